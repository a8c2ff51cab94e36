//! Keys that do not show themselves.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Overwrites bytes that held a secret.
pub fn wipe(bytes: &mut [u8]) {
    bytes.zeroize();
}

/// A secret of 32 bytes: KEY 0 to KEY 3, an association, or what is derived from them.
///
/// It has neither `Debug` nor `Display` nor `Clone`, is wiped on drop and compared in constant time.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Key([u8; 32]);

impl Key {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// Takes 32 bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A key from a slice, `None` unless it has 32 bytes.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// From 64 hexadecimal digits, `None` for anything else.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut key = Self([0; 32]);
        if text.len() != 64 {
            return None;
        }
        for (byte, pair) in key.0.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digit = |d: u8| char::from(d).to_digit(16);
            *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
        }
        Some(key)
    }

    /// The bytes, for the algorithms and for sealing; never for a log.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// A second copy, on purpose and by name.
    #[must_use]
    pub const fn duplicate(&self) -> Self {
        Self(self.0)
    }

    /// Its first 16 bytes, which the zeros behind them leave the same key for HMAC: a key of 128 bits.
    #[must_use]
    pub fn first_half(&self) -> Self {
        let mut half = Self([0; 32]);
        half.0[..16].copy_from_slice(&self.0[..16]);
        half
    }

    /// 8 bytes that name the key and reveal nothing of it.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(crate::kdf::derive(self, None, "fingerprint", &[]))
    }

    /// The fingerprint as 16 hexadecimal digits.
    #[must_use]
    pub fn fingerprint_hex(&self) -> String {
        self.fingerprint().to_string()
    }
}

/// What names a key and reveals nothing of it, shown as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 8]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Key {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_taken_whole_or_not_at_all() {
        assert!(Key::from_hex(&"0f".repeat(32)).unwrap() == Key::new([15; 32]));
        assert!(Key::from_hex(&"0f".repeat(31)).is_none());
        assert!(Key::from_hex(&"zz".repeat(32)).is_none());
    }

    #[test]
    fn fingerprints_differ_and_are_not_the_key() {
        let (a, b) = (Key::new([1; 32]), Key::new([2; 32]));
        assert_ne!(a.fingerprint(), b.fingerprint());
        assert_ne!(a.fingerprint(), Fingerprint([1; 8]));
        assert_eq!(a.fingerprint_hex().len(), 16);
    }
}
