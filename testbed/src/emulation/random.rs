//! The dice of an emulated link: SplitMix64, seeded, the same on every machine.

use sha2::{Digest, Sha256};

/// A seeded generator. Not for secrets.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// A stream of its own for each seed and name.
    pub(super) fn new(seed: u64, name: &str) -> Self {
        let digest = Sha256::digest([&seed.to_be_bytes()[..], name.as_bytes()].concat());
        let mut state = [0; 8];
        for (to, from) in state.iter_mut().zip(digest) {
            *to = from;
        }
        Self(u64::from_be_bytes(state))
    }

    /// Another stream of the same dice, which takes nothing from this one.
    pub(super) fn beside(&self) -> Self {
        Self(!self.0)
    }

    /// Evenly from 0 up to, and without, 1.
    pub(super) fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^= word >> 31;
        // The 53 bits that a double holds exactly.
        (word >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_sequence_and_names_give_others() {
        let draw = |seed, name| {
            let mut random = Random::new(seed, name);
            (0..4).map(|_| random.unit()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
        assert!(draw(7, "x").iter().all(|value| (0.0..1.0).contains(value)));
    }
}
