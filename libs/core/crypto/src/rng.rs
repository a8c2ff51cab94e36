//! Randomness that comes from a seed, and the seed from outside.

use chacha20::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng},
};

use crate::Key;

/// A generator of secret and public random values: ChaCha20 under a 256-bit seed.
///
/// Daemons seed it once from the operating system; the simulator seeds it from a number, so that a run can
/// be repeated.
pub struct Rng(ChaCha20Rng);

impl Rng {
    /// Starts from a seed.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(seed))
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    /// `N` random bytes.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// A random key.
    pub fn key(&mut self) -> Key {
        Key::new(self.array())
    }

    /// The source itself, for algorithms that draw on their own.
    pub(crate) const fn source(&mut self) -> &mut ChaCha20Rng {
        &mut self.0
    }

    /// 32 random bits.
    pub fn u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// 64 random bits.
    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound` (0 if `bound` is 0); the bias is below 2^-32 for bounds below 2^32.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.u64() % bound }
    }
}

impl std::fmt::Debug for Rng {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rng")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_values() {
        let mut a = Rng::from_seed([1; 32]);
        let mut b = Rng::from_seed([1; 32]);
        let mut c = Rng::from_seed([2; 32]);
        let first = a.u64();
        assert_eq!(first, b.u64());
        assert_ne!(first, c.u64());
        assert!(a.below(3) < 3);
        assert_eq!(a.below(0), 0);
    }
}
