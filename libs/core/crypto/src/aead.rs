//! Authenticated encryption with associated data: nonce 12 bytes, tag 16 bytes.

use aes_gcm::{
    Aes128Gcm, Aes256Gcm,
    aead::{Aead, KeyInit, Payload},
};
use chacha20poly1305::ChaCha20Poly1305;

use crate::{Key, Rng};

/// The cipher of an association, chosen at enrolment or per neighbour.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Cipher {
    /// AES-256-GCM.
    #[default]
    Aes256Gcm,
    /// AES-128-GCM, with the first 16 bytes of the derived key.
    Aes128Gcm,
    /// ChaCha20-Poly1305 (RFC 8439).
    ChaCha20Poly1305,
}

/// Bytes of a nonce.
pub const NONCE: usize = 12;
/// Bytes of a tag.
pub const TAG: usize = 16;

impl Cipher {
    /// All ciphers with their names in configuration files.
    pub const ALL: [(Self, &'static str); 3] = [
        (Self::Aes256Gcm, "aes-256-gcm"),
        (Self::Aes128Gcm, "aes-128-gcm"),
        (Self::ChaCha20Poly1305, "chacha20-poly1305"),
    ];

    /// The name in configuration files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes256Gcm => "aes-256-gcm",
            Self::Aes128Gcm => "aes-128-gcm",
            Self::ChaCha20Poly1305 => "chacha20-poly1305",
        }
    }

    /// The cipher of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, n)| *n == name).map(|(c, _)| *c)
    }

    /// Bytes of its key, the first of 32 derived ones.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Self::Aes128Gcm => 16,
            Self::Aes256Gcm | Self::ChaCha20Poly1305 => 32,
        }
    }
}

/// Nonce, ciphertext and tag of `plain` under a fresh random nonce: 28 bytes more than `plain`.
#[must_use]
pub fn seal(cipher: Cipher, key: &Key, rng: &mut Rng, additional: &[u8], plain: &[u8]) -> Vec<u8> {
    let nonce: [u8; NONCE] = rng.array();
    let payload = Payload { msg: plain, aad: additional };
    let key = &key.expose()[..cipher.key_len()];
    let sealed = match cipher {
        Cipher::Aes256Gcm => encrypt::<Aes256Gcm>(key, nonce, payload),
        Cipher::Aes128Gcm => encrypt::<Aes128Gcm>(key, nonce, payload),
        Cipher::ChaCha20Poly1305 => encrypt::<ChaCha20Poly1305>(key, nonce, payload),
    };
    let mut out = Vec::with_capacity(NONCE + sealed.len());
    out.extend_from_slice(&nonce);
    out.extend_from_slice(&sealed);
    out
}

/// The plain text of nonce, ciphertext and tag, or `None` if anything was changed or the key is wrong.
///
/// The plain text may hold keys: the caller wipes it.
#[must_use]
pub fn open(cipher: Cipher, key: &Key, additional: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    if sealed.len() < NONCE + TAG {
        return None;
    }
    let (nonce, sealed) = sealed.split_at(NONCE);
    let nonce: [u8; NONCE] = nonce.try_into().ok()?;
    let payload = Payload { msg: sealed, aad: additional };
    let key = &key.expose()[..cipher.key_len()];
    match cipher {
        Cipher::Aes256Gcm => decrypt::<Aes256Gcm>(key, nonce, payload),
        Cipher::Aes128Gcm => decrypt::<Aes128Gcm>(key, nonce, payload),
        Cipher::ChaCha20Poly1305 => decrypt::<ChaCha20Poly1305>(key, nonce, payload),
    }
}

fn encrypt<A: KeyInit + Aead>(key: &[u8], nonce: [u8; NONCE], payload: Payload<'_, '_>) -> Vec<u8> {
    let sealed = A::new_from_slice(key).ok().zip(aes_gcm::aead::Nonce::<A>::try_from(&nonce[..]).ok());
    // Key and nonce lengths are fixed by the cipher and messages are far below its limit, so this always
    // yields; an empty vector would fail to open at the peer.
    sealed.and_then(|(aead, nonce)| aead.encrypt(&nonce, payload).ok()).unwrap_or_default()
}

fn decrypt<A: KeyInit + Aead>(key: &[u8], nonce: [u8; NONCE], payload: Payload<'_, '_>) -> Option<Vec<u8>> {
    let nonce = aes_gcm::aead::Nonce::<A>::try_from(&nonce[..]).ok()?;
    A::new_from_slice(key).ok()?.decrypt(&nonce, payload).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_what_it_sealed_and_nothing_else() {
        let mut rng = Rng::from_seed([3; 32]);
        for (cipher, name) in Cipher::ALL {
            assert_eq!(Cipher::from_name(name), Some(cipher));
            assert_eq!(cipher.name(), name);
            let key = Key::new([5; 32]);
            let sealed = seal(cipher, &key, &mut rng, b"header", b"secret");
            assert_eq!(sealed.len(), NONCE + 6 + TAG);
            assert_eq!(open(cipher, &key, b"header", &sealed).as_deref(), Some(&b"secret"[..]));
            assert_eq!(open(cipher, &key, b"Header", &sealed), None);
            for i in 0..sealed.len() {
                let mut changed = sealed.clone();
                changed[i] ^= 0x10;
                assert_eq!(open(cipher, &key, b"header", &changed), None);
                assert_eq!(open(cipher, &key, b"header", &sealed[..i]), None);
            }
        }
    }

    #[test]
    fn nonces_are_fresh() {
        let mut rng = Rng::from_seed([3; 32]);
        let key = Key::new([5; 32]);
        let mut seal = || seal(Cipher::Aes256Gcm, &key, &mut rng, b"", b"same");
        assert_ne!(seal()[..NONCE], seal()[..NONCE]);
    }

    #[test]
    fn known_answer_of_aes_256_gcm() {
        // McGrew and Viega's GCM test case 14: zero key, zero nonce, one zero block.
        let mut sealed = vec![0; NONCE];
        for byte in "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919".as_bytes().chunks(2) {
            let text = std::str::from_utf8(byte).unwrap();
            sealed.push(u8::from_str_radix(text, 16).unwrap());
        }
        assert_eq!(open(Cipher::Aes256Gcm, &Key::new([0; 32]), b"", &sealed), Some(vec![0; 16]));
    }
}
