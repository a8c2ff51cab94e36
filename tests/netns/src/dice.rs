//! Dice with a seed that a failing test says and a person can give.

use std::{
    env,
    hash::{BuildHasher as _, RandomState},
};

/// The environment variable with the seed.
const SEED: &str = "SOJOURN_SEED";

/// Numbers that the seed determines (SplitMix64).
#[derive(Clone, Debug)]
pub struct Dice {
    /// With which they began.
    pub seed: u64,
    state: u64,
}

impl Dice {
    /// With the seed that `SOJOURN_SEED` gives, or one that nobody chose.
    ///
    /// # Panics
    /// If what it gives is no number.
    #[must_use]
    pub fn thrown() -> Self {
        let seed = match env::var(SEED) {
            Ok(text) => text.parse().unwrap_or_else(|_| panic!("{SEED}={text}: a number from 0 to 2^64-1")),
            Err(_) => RandomState::new().hash_one(0) % 1_000_000,
        };
        Self::of(seed)
    }

    /// With this seed.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        Self { seed, state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below this one, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// One of these.
    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

/// The number that an environment variable gives, or this one.
///
/// # Panics
/// If what it gives is no number.
#[must_use]
pub fn given(name: &str, otherwise: u64) -> u64 {
    match env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text}: a whole number")),
        Err(_) => otherwise,
    }
}
