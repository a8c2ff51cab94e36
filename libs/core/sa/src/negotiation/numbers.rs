//! Algorithms as transforms, in IANA's IKEv2 numbers (RFC 7296 section 3.3.2, RFC 7634, RFC 4868).

use crypto::{Cipher, Integrity};
use wire::negotiation::{Attribute, Transform};

/// AES-GCM with a tag of 16 octets.
const AES_GCM_16: u16 = 20;
/// ChaCha20-Poly1305.
const CHACHA20_POLY1305: u16 = 28;
/// HMAC-SHA-256.
const HMAC_SHA_256: u16 = 12;
/// HMAC-SHA-512, cut to 256 bits.
const HMAC_SHA_512: u16 = 14;
/// HMAC-SHA-256 as a pseudo-random function.
const PRF_HMAC_SHA_256: u16 = 5;

/// The cipher that a transform stands for; `None` if it is none of ours.
pub(super) fn cipher(transform: &Transform<'_>) -> Option<Cipher> {
    match (transform.id, transform.key_bits().ok()?) {
        (AES_GCM_16, Some(256)) => Some(Cipher::Aes256Gcm),
        (AES_GCM_16, Some(128)) => Some(Cipher::Aes128Gcm),
        (CHACHA20_POLY1305, None) => Some(Cipher::ChaCha20Poly1305),
        _ => None,
    }
}

/// The algorithm that a transform stands for; `None` if it is none of ours.
pub(super) fn integrity(transform: &Transform<'_>) -> Option<Integrity> {
    match (transform.id, transform.key_bits().ok()?) {
        (HMAC_SHA_256, None) => Some(Integrity::HmacSha256),
        (HMAC_SHA_512, None) => Some(Integrity::HmacSha512),
        _ => None,
    }
}

/// True for the one pseudo-random function.
pub(super) fn is_prf(transform: &Transform<'_>) -> bool {
    transform.id == PRF_HMAC_SHA_256 && transform.key_bits() == Ok(None)
}

/// A cipher as the transform of that number.
pub(crate) fn of_cipher(number: u8, cipher: Cipher) -> Transform<'static> {
    let (id, bits) = match cipher {
        Cipher::Aes256Gcm => (AES_GCM_16, Some(256)),
        Cipher::Aes128Gcm => (AES_GCM_16, Some(128)),
        Cipher::ChaCha20Poly1305 => (CHACHA20_POLY1305, None),
    };
    // A key of each direction.
    Transform { number, keys: 2, id, attributes: bits.map(Attribute::KeyBits).into_iter().collect() }
}

/// An algorithm as the transform of that number.
pub(super) const fn of_integrity(number: u8, integrity: Integrity) -> Transform<'static> {
    let id = match integrity {
        Integrity::HmacSha256 => HMAC_SHA_256,
        Integrity::HmacSha512 => HMAC_SHA_512,
    };
    Transform { number, keys: 2, id, attributes: Vec::new() }
}

/// The pseudo-random function as the transform of that number.
pub(super) const fn prf(number: u8) -> Transform<'static> {
    Transform { number, keys: 1, id: PRF_HMAC_SHA_256, attributes: Vec::new() }
}
