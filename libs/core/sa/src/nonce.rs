//! Replay protection by nonces (RFC 5944 section 5.7.2): a request bears in its high half what the last reply gave.
//!
//! Nothing but the nonce given last is remembered. That is enough because none comes a second time: they are a
//! pseudo-random order of all 32-bit numbers, each of which follows from the one before.

use crypto::{Key, kdf};
use wire::mip::registration::Identification;

use crate::Replay;

/// Rounds of the permutation: with four a pseudo-random function on each half gives a pseudo-random permutation.
const ROUNDS: u8 = 4;

/// The order in which one mobile node is given nonces.
pub struct Nonces(Key);

impl Nonces {
    /// The order that this KEY 0 gives.
    #[must_use]
    pub fn of_key0(key0: &Key) -> Self {
        Self(Key::new(kdf::derive(key0, None, "nonce", &[])))
    }

    /// The nonce after `last`: another one each time, for 2^32 times.
    #[must_use]
    pub fn after(&self, last: u32) -> u32 {
        self.number(self.place(last).wrapping_add(1))
    }

    fn round(&self, round: u8, half: u32) -> u32 {
        let mac = crypto::hmac(&self.0, &[&[round], &half.to_be_bytes()]);
        u32::from(u16::from_be_bytes([mac[0], mac[1]]))
    }

    fn number(&self, place: u32) -> u32 {
        let halves = (place >> 16, place & 0xffff);
        let (left, right) = (0..ROUNDS).fold(halves, |(l, r), n| (r, l ^ self.round(n, r)));
        left << 16 | right
    }

    fn place(&self, number: u32) -> u32 {
        let halves = (number >> 16, number & 0xffff);
        let (left, right) = (0..ROUNDS).rev().fold(halves, |(l, r), n| (r ^ self.round(n, l), l));
        left << 16 | right
    }
}

/// Checks an identification against the nonce that the last reply gave.
#[must_use]
pub const fn check_nonce(identification: Identification, given: u32) -> Replay {
    if identification.seconds() == given { Replay::Fresh } else { Replay::OtherNonce }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_nonce_comes_again_and_none_tells_the_next() {
        let (nonces, others) = (Nonces::of_key0(&Key::new([1; 32])), Nonces::of_key0(&Key::new([2; 32])));
        for place in [0, 1, 0xffff, 0x1_0000, u32::MAX] {
            assert_eq!(nonces.place(nonces.number(place)), place);
        }
        let (mut last, mut seen, mut steps) = (7, BTreeSet::new(), BTreeSet::new());
        for _ in 0..10_000 {
            let next = nonces.after(last);
            assert!(seen.insert(next));
            steps.insert(next.wrapping_sub(last));
            last = next;
        }
        assert!(steps.len() > 9_990, "the way from one to the next differs");
        assert_ne!(nonces.after(7), others.after(7));
        assert_ne!(nonces.after(u32::MAX), u32::MAX);
    }

    #[test]
    fn only_the_nonce_given_last_passes() {
        assert_eq!(check_nonce(Identification::new(5, 9), 5), Replay::Fresh);
        assert_eq!(check_nonce(Identification::new(6, 9), 5), Replay::OtherNonce);
        assert_eq!(check_nonce(Identification::new(9, 5), 5), Replay::OtherNonce);
    }
}
