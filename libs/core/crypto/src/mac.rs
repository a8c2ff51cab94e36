//! HMAC-SHA-256 and HMAC-SHA-512 (RFC 2104, RFC 4868), 32 bytes of each, and SHA-256.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq as _;

use crate::Key;

/// What authenticates under an association: always 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Integrity {
    /// HMAC-SHA-256.
    #[default]
    HmacSha256,
    /// The first half of HMAC-SHA-512 (RFC 4868 section 2.1.2).
    HmacSha512,
}

impl Integrity {
    /// All of them with their names in configuration files.
    pub const ALL: [(Self, &'static str); 2] =
        [(Self::HmacSha256, "hmac-sha-256"), (Self::HmacSha512, "hmac-sha-512")];

    /// The name in configuration files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HmacSha256 => "hmac-sha-256",
            Self::HmacSha512 => "hmac-sha-512",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, n)| *n == name).map(|(i, _)| *i)
    }

    /// The authenticator of the parts one after the other.
    #[must_use]
    pub fn authenticate(self, key: &Key, parts: &[&[u8]]) -> [u8; 32] {
        match self {
            Self::HmacSha256 => hmac(key, parts),
            Self::HmacSha512 => {
                // As above: a key of any length is taken.
                let mut mac = <Hmac<Sha512> as KeyInit>::new_from_slice(key.expose())
                    .unwrap_or_else(|_| <Hmac<Sha512> as KeyInit>::new(&Default::default()));
                for part in parts {
                    mac.update(part);
                }
                let whole = mac.finalize().into_bytes();
                let mut half = [0; 32];
                half.copy_from_slice(&whole[..32]);
                half
            }
        }
    }

    /// True if this is the authenticator of the parts, compared in constant time.
    #[must_use]
    pub fn verify(self, key: &Key, parts: &[&[u8]], authenticator: &[u8]) -> bool {
        match self {
            Self::HmacSha256 => verify_hmac(key, parts, authenticator),
            Self::HmacSha512 => self.authenticate(key, parts).ct_eq(authenticator).into(),
        }
    }
}

/// HMAC-SHA-256 over the parts one after the other: 32 bytes.
#[must_use]
pub fn hmac(key: &Key, parts: &[&[u8]]) -> [u8; 32] {
    with(key, parts).finalize().into_bytes().into()
}

/// True if `authenticator` is the HMAC-SHA-256 of the parts, compared in constant time. A truncated
/// authenticator is never accepted.
#[must_use]
pub fn verify_hmac(key: &Key, parts: &[&[u8]], authenticator: &[u8]) -> bool {
    with(key, parts).verify_slice(authenticator).is_ok()
}

fn with(key: &Key, parts: &[&[u8]]) -> Hmac<Sha256> {
    // An HMAC key may have any length, so 32 bytes cannot be refused; the fallback is never taken.
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key.expose())
        .unwrap_or_else(|_| <Hmac<Sha256> as KeyInit>::new(&Default::default()));
    for part in parts {
        mac.update(part);
    }
    mac
}

/// SHA-256 of the parts one after the other.
#[must_use]
pub fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn known_answers() {
        // RFC 4231 test case 1, its 20-byte key padded with zeros to the block as HMAC does.
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let mac = hmac(&Key::new(key), &[b"Hi ", b"There"]);
        assert_eq!(hex(&mac), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
        assert_eq!(
            hex(&digest(&[b"ab", b"c"])),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn the_longer_hash_is_cut_to_its_first_half() {
        // RFC 4231 test case 1 again.
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let mac = Integrity::HmacSha512.authenticate(&Key::new(key), &[b"Hi There"]);
        assert_eq!(hex(&mac), "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde");
    }

    #[test]
    fn any_changed_bit_and_any_cut_is_refused() {
        let key = Key::new([7; 32]);
        for (integrity, name) in Integrity::ALL {
            assert_eq!((integrity.name(), Integrity::from_name(name)), (name, Some(integrity)));
            let mac = integrity.authenticate(&key, &[b"message"]);
            assert!(integrity.verify(&key, &[b"mess", b"age"], &mac));
            for i in 0..mac.len() {
                let mut changed = mac;
                changed[i] ^= 1;
                assert!(!integrity.verify(&key, &[b"message"], &changed));
                assert!(!integrity.verify(&key, &[b"message"], &mac[..i]));
            }
        }
    }
}
