//! HMAC-MD5 (RFC 2104), which RFC 5944 section 5.1 makes every agent know.
//!
//! It is weak and serves nothing but nodes that know nothing else, by policy of their operator.

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;

use crate::Key;

/// HMAC-MD5 over the parts one after the other: 16 bytes.
#[must_use]
pub fn hmac_md5(key: &Key, parts: &[&[u8]]) -> [u8; 16] {
    with(key, parts).finalize().into_bytes().into()
}

/// True if `authenticator` is the HMAC-MD5 of the parts, compared in constant time; never a truncated one.
#[must_use]
pub fn verify_hmac_md5(key: &Key, parts: &[&[u8]], authenticator: &[u8]) -> bool {
    with(key, parts).verify_slice(authenticator).is_ok()
}

fn with(key: &Key, parts: &[&[u8]]) -> Hmac<Md5> {
    // An HMAC key may have any length, so 32 bytes cannot be refused; the fallback is never taken.
    let mut mac = <Hmac<Md5> as KeyInit>::new_from_slice(key.expose())
        .unwrap_or_else(|_| <Hmac<Md5> as KeyInit>::new(&Default::default()));
    for part in parts {
        mac.update(part);
    }
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        // RFC 2202 test cases 1 and 2: keys shorter than 32 bytes, padded with zeros as HMAC does.
        let mut key = [0; 32];
        key[..16].fill(0x0b);
        let hex = |mac: [u8; 16]| mac.iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert_eq!(hex(hmac_md5(&Key::new(key), &[b"Hi ", b"There"])), "9294727a3638bb1c13f48ef8158bfc9d");
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let mac = hmac_md5(&Key::new(key), &[b"what do ya want for nothing?"]);
        assert_eq!(hex(mac), "750c783e6ab0b503eaa86e310a5db738");
    }

    #[test]
    fn any_changed_bit_and_any_cut_is_refused() {
        let key = Key::new([7; 32]);
        let mac = hmac_md5(&key, &[b"message"]);
        assert!(verify_hmac_md5(&key, &[b"mess", b"age"], &mac));
        for i in 0..mac.len() {
            let mut changed = mac;
            changed[i] ^= 1;
            assert!(!verify_hmac_md5(&key, &[b"message"], &changed));
            assert!(!verify_hmac_md5(&key, &[b"message"], &mac[..i]));
        }
    }
}
