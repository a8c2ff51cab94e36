//! X25519 (RFC 7748): key shares and realm keys.

use x25519_dalek::{PublicKey, StaticSecret};

use crate::{Key, Rng};

/// Bytes of a public value.
pub const PUBLIC: usize = 32;

/// A private value, wiped on drop. Whoever keeps it decides how often it serves: for one exchange, for a minute,
/// or for as long as a realm key lives.
pub struct Secret(StaticSecret);

impl Secret {
    /// A fresh one.
    #[must_use]
    pub fn new(rng: &mut Rng) -> Self {
        Self::from_key(&rng.key())
    }

    /// The one of these 32 bytes.
    #[must_use]
    pub fn from_key(key: &Key) -> Self {
        Self(StaticSecret::from(*key.expose()))
    }

    /// A second copy, on purpose and by name.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }

    /// The public value that belongs to it.
    #[must_use]
    pub fn public(&self) -> [u8; PUBLIC] {
        PublicKey::from(&self.0).to_bytes()
    }

    /// The shared secret with the owner of a public value; `None` for a value of low order, which would give
    /// everybody the same secret (RFC 7748 section 6.1).
    #[must_use]
    pub fn agree(&self, theirs: &[u8; PUBLIC]) -> Option<Key> {
        let shared = self.0.diffie_hellman(&PublicKey::from(*theirs));
        shared.was_contributory().then(|| Key::new(shared.to_bytes()))
    }
}

/// The values of low order but 0 and 1 (RFC 7748 section 6.1): the two of order 8, and p - 1, p and p + 1.
const LOW_ORDER: [[u8; PUBLIC]; 5] = {
    let mut around_p = [[0xff; PUBLIC]; 3];
    let mut n = 0;
    while n < 3 {
        around_p[n][0] = 0xec + n as u8;
        around_p[n][PUBLIC - 1] = 0x7f;
        n += 1;
    }
    [
        around_p[0],
        around_p[1],
        around_p[2],
        [
            0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a,
            0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
        ],
        [
            0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b,
            0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
        ],
    ]
};

/// True for a public value with which [`Secret::agree`] would refuse to agree: known without the work of it, so that
/// such a value can be refused before anybody else is asked for anything.
#[must_use]
pub fn is_of_low_order(public: &[u8; PUBLIC]) -> bool {
    let mut value = *public;
    // The highest bit does not count (RFC 7748 section 5).
    value[PUBLIC - 1] &= 0x7f;
    let small = value[0] <= 1 && value[1..].iter().all(|octet| *octet == 0);
    small || LOW_ORDER.contains(&value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(hex: &str) -> Key {
        Key::from_hex(hex).unwrap()
    }

    #[test]
    fn known_answers() {
        // RFC 7748 section 6.1.
        let a = Secret::from_key(&key("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"));
        let b = Secret::from_key(&key("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"));
        let public_a = key("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
        assert_eq!(a.public(), *public_a.expose());
        let shared = key("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
        assert!(a.agree(&b.public()).unwrap() == shared && b.agree(&a.public()).unwrap() == shared);
    }

    #[test]
    fn values_of_low_order_are_refused() {
        let secret = Secret::new(&mut Rng::from_seed([1; 32]));
        // The points of order 1, 2, 4 and 8, with the forms above the prime that name them too.
        let one = {
            let mut one = [0; 32];
            one[0] = 1;
            one
        };
        let minus = |n: u8| {
            // p - 1, p, p + 1 for n = 1, 0, -1 (as 255).
            let mut value = [0xff; 32];
            value[0] = 0xed_u8.wrapping_sub(n);
            value[31] = 0x7f;
            value
        };
        let order_8 = [
            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        ]
        .map(|hex| *key(hex).expose());
        for low in [[0; 32], one, minus(1), minus(0), minus(255), order_8[0], order_8[1]] {
            assert!(secret.agree(&low).is_none() && is_of_low_order(&low), "{low:02x?}");
            let mut high = low;
            high[31] |= 0x80;
            assert!(secret.agree(&high).is_none() && is_of_low_order(&high), "{high:02x?}");
            for bit in 0..255 {
                let mut other = low;
                other[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(secret.agree(&other).is_none(), is_of_low_order(&other), "{other:02x?}");
            }
        }
    }
}
