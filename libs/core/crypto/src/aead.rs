//! Authenticated encryption with associated data: nonce 12 bytes, tag 16 bytes.

use aes_gcm::{
    Aes128Gcm, Aes256Gcm,
    aead::{Aead, AeadInOut, KeyInit, Nonce, Payload},
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

/// A cipher with its key, set up once for all that one message needs; wiped on drop.
pub struct Sealer(Keyed);

#[allow(clippy::large_enum_variant, reason = "it lives on the stack for the time of one message")]
enum Keyed {
    Aes256Gcm(Aes256Gcm),
    Aes128Gcm(Aes128Gcm),
    ChaCha20Poly1305(ChaCha20Poly1305),
}

impl Sealer {
    /// With the first bytes of the key, as many as the cipher takes.
    #[must_use]
    pub fn new(cipher: Cipher, key: &Key) -> Self {
        let key = key.expose();
        Self(match cipher {
            Cipher::Aes256Gcm => Keyed::Aes256Gcm(Aes256Gcm::new(key.into())),
            Cipher::Aes128Gcm => {
                let mut half = [0; 16];
                half.copy_from_slice(&key[..16]);
                let keyed = Aes128Gcm::new((&half).into());
                crate::wipe(&mut half);
                Keyed::Aes128Gcm(keyed)
            }
            Cipher::ChaCha20Poly1305 => Keyed::ChaCha20Poly1305(ChaCha20Poly1305::new(key.into())),
        })
    }

    /// Appends nonce, ciphertext and tag of `plain` under a fresh random nonce: 28 bytes more than `plain`.
    pub fn seal(&self, rng: &mut Rng, additional: &[u8], plain: &[u8], out: &mut Vec<u8>) {
        let nonce = nonce(rng);
        out.reserve(NONCE + plain.len() + TAG);
        out.extend_from_slice(&nonce);
        let from = out.len();
        out.extend_from_slice(plain);
        match self.seal_in_place(nonce, additional, &mut out[from..]) {
            Some(tag) => out.extend_from_slice(&tag),
            // What is left would fail to open.
            None => out.truncate(from),
        }
    }

    /// Makes ciphertext of plain text where it stands, and the tag of it under a [`nonce`] that was used for nothing
    /// else. `None`, with the text wiped, for a text above the cipher's limit of gigabytes.
    #[must_use]
    pub fn seal_in_place(&self, nonce: [u8; NONCE], additional: &[u8], text: &mut [u8]) -> Option<[u8; TAG]> {
        let tag = match &self.0 {
            Keyed::Aes256Gcm(aead) => encrypt(aead, nonce, additional, text),
            Keyed::Aes128Gcm(aead) => encrypt(aead, nonce, additional, text),
            Keyed::ChaCha20Poly1305(aead) => encrypt(aead, nonce, additional, text),
        };
        if tag.is_none() {
            crate::wipe(text);
        }
        tag
    }

    /// The plain text of nonce, ciphertext and tag, or `None` if anything was changed or the key is wrong.
    ///
    /// The plain text may hold keys: the caller wipes it.
    #[must_use]
    pub fn open(&self, additional: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        if sealed.len() < NONCE + TAG {
            return None;
        }
        let (nonce, sealed) = sealed.split_at(NONCE);
        let nonce: [u8; NONCE] = nonce.try_into().ok()?;
        let payload = Payload { msg: sealed, aad: additional };
        match &self.0 {
            Keyed::Aes256Gcm(aead) => decrypt(aead, nonce, payload),
            Keyed::Aes128Gcm(aead) => decrypt(aead, nonce, payload),
            Keyed::ChaCha20Poly1305(aead) => decrypt(aead, nonce, payload),
        }
    }
}

/// A fresh random nonce.
#[must_use]
pub fn nonce(rng: &mut Rng) -> [u8; NONCE] {
    rng.array()
}

/// [`Sealer::seal`] of one message alone.
#[must_use]
pub fn seal(cipher: Cipher, key: &Key, rng: &mut Rng, additional: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Sealer::new(cipher, key).seal(rng, additional, plain, &mut out);
    out
}

/// [`Sealer::open`] of one message alone.
#[must_use]
pub fn open(cipher: Cipher, key: &Key, additional: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    Sealer::new(cipher, key).open(additional, sealed)
}

fn encrypt<A: AeadInOut>(
    aead: &A,
    nonce: [u8; NONCE],
    additional: &[u8],
    text: &mut [u8],
) -> Option<[u8; TAG]> {
    let nonce = Nonce::<A>::try_from(&nonce[..]).ok()?;
    let tag = aead.encrypt_inout_detached(&nonce, additional, text.into()).ok()?;
    tag.as_slice().try_into().ok()
}

fn decrypt<A: Aead>(aead: &A, nonce: [u8; NONCE], payload: Payload<'_, '_>) -> Option<Vec<u8>> {
    aead.decrypt(&Nonce::<A>::try_from(&nonce[..]).ok()?, payload).ok()
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
