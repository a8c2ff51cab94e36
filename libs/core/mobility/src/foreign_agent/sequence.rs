//! Sequence numbers of advertisements (RFC 5944 section 2.3.2).
//!
//! A fall below 256 tells mobile nodes that the agent started anew and lost them. An agent that kept its
//! visitors over a restart has to go on above what it used before, so numbers are reserved in the store in
//! blocks before they are used.

/// Numbers reserved at a time.
const BLOCK: u32 = 256;
/// The first number after the turn, and after a restart that lost nobody.
const AGAIN: u32 = 256;
/// One above the last number.
const END: u32 = 0x1_0000;
/// The next block is reserved when no more than this many numbers are left.
const LOW: u32 = BLOCK / 2;

/// The sequence numbers of one link.
#[derive(Debug)]
pub(super) struct Sequence {
    next: u32,
    /// The first number of this block that is not reserved.
    below: u32,
    /// End of a further block that is reserved.
    ahead: Option<u32>,
    asked: bool,
    last: Option<u16>,
}

impl Sequence {
    /// Starts after `stored`, the first number not reserved before, if visitors were `kept`; else at 0.
    pub(super) fn new(stored: Option<u32>, kept: bool) -> Self {
        let stored = stored.map(|below| below.min(END));
        let (next, below) = if kept {
            let from = stored.map_or(AGAIN, |below| below.max(AGAIN));
            let from = if from == END { AGAIN } else { from };
            (from, from)
        } else {
            (0, stored.unwrap_or(0))
        };
        Self { next, below, ahead: None, asked: false, last: None }
    }

    /// The end of the block that should be reserved now, if any. Answer with [`reserved`](Self::reserved) or
    /// [`refused`](Self::refused) before asking again.
    pub(super) fn ask(&mut self) -> Option<u32> {
        if self.asked || self.ahead.is_some() || self.below - self.next > LOW {
            return None;
        }
        self.asked = true;
        Some(if self.below == END { AGAIN + BLOCK } else { (self.below + BLOCK).min(END) })
    }

    /// The block up to `below` is reserved.
    pub(super) const fn reserved(&mut self, below: u32) {
        self.asked = false;
        self.ahead = Some(below);
    }

    /// The store could not reserve.
    pub(super) const fn refused(&mut self) {
        self.asked = false;
    }

    /// The number of the next advertisement. When the reserved ones are used up the last one is repeated:
    /// an agent that falls silent would lose its visitors. `None` until the first block is reserved.
    pub(super) fn take(&mut self) -> Option<u16> {
        if self.next == self.below
            && let Some(ahead) = self.ahead.take()
        {
            if self.below == END {
                self.next = AGAIN;
            }
            self.below = ahead;
        }
        if self.next < self.below {
            self.last = u16::try_from(self.next).ok();
            self.next += 1;
        }
        self.last
    }

    /// True once an advertisement took a number.
    pub(super) const fn begun(&self) -> bool {
        self.last.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes `count` numbers with a store that always works; the blocks are written to `stored`.
    fn run(sequence: &mut Sequence, count: usize, stored: &mut Option<u32>) -> Vec<u16> {
        let mut taken = Vec::new();
        for _ in 0..count {
            if let Some(below) = sequence.ask() {
                *stored = Some(below);
                sequence.reserved(below);
            }
            taken.push(sequence.take().unwrap());
        }
        taken
    }

    #[test]
    fn begins_at_zero_and_turns_to_256() {
        let mut stored = None;
        let mut sequence = Sequence::new(None, false);
        assert_eq!(sequence.take(), None);
        let taken = run(&mut sequence, 0x1_0000 + 300, &mut stored);
        assert_eq!(taken[..3], [0, 1, 2]);
        assert_eq!(taken[0xffff..0x1_0002], [0xffff, 256, 257]);
    }

    #[test]
    fn a_restart_that_lost_nobody_goes_on_above_everything_used() {
        for used in [1, 100, 128, 129, 255, 256, 257, 5000, 65_535, 65_536, 65_537, 66_000] {
            let mut stored = None;
            let before = run(&mut Sequence::new(None, false), used, &mut stored);
            let after = run(&mut Sequence::new(stored, true), 1, &mut stored)[0];
            let last = *before.last().unwrap();
            assert!(after >= 256, "after {used} comes {after}");
            // Not used just before: within the last thousand numbers.
            let recent = &before[before.len().saturating_sub(1000)..];
            assert!(!recent.contains(&after), "after {used} comes {after} again, last was {last}");
        }
    }

    #[test]
    fn a_restart_without_visitors_begins_at_zero_and_one_without_a_store_too() {
        assert_eq!(run(&mut Sequence::new(Some(512), false), 2, &mut None), [0, 1]);
        assert_eq!(run(&mut Sequence::new(None, false), 1, &mut None), [0]);
        assert_eq!(run(&mut Sequence::new(None, true), 2, &mut None), [256, 257]);
        assert_eq!(run(&mut Sequence::new(Some(0x1_0000), true), 1, &mut None), [256]);
    }

    #[test]
    fn numbers_are_never_used_before_they_are_reserved() {
        let mut sequence = Sequence::new(None, false);
        let first = sequence.ask().unwrap();
        assert_eq!((first, sequence.ask()), (256, None));
        sequence.reserved(first);
        for expected in 0..256 {
            assert_eq!(sequence.take(), Some(expected));
            if sequence.ask().is_some() {
                sequence.refused();
            }
        }
        // The store refuses: the last number is repeated, and the block is asked for again.
        assert_eq!((sequence.take(), sequence.take()), (Some(255), Some(255)));
        let next = sequence.ask().unwrap();
        sequence.reserved(next);
        assert_eq!(sequence.take(), Some(256));
    }
}
