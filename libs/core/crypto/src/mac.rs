//! HMAC-SHA-256 (RFC 2104, RFC 4868 without truncation) and SHA-256.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::Key;

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
    fn any_changed_bit_and_any_cut_is_refused() {
        let key = Key::new([7; 32]);
        let mac = hmac(&key, &[b"message"]);
        assert!(verify_hmac(&key, &[b"mess", b"age"], &mac));
        for i in 0..mac.len() {
            let mut changed = mac;
            changed[i] ^= 1;
            assert!(!verify_hmac(&key, &[b"message"], &changed));
            assert!(!verify_hmac(&key, &[b"message"], &mac[..i]));
        }
    }
}
