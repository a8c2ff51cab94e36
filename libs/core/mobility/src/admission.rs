//! How much of an agent may be used by whom: rates in virtual time, kept in memory whose size nobody but the
//! configuration decides.

use std::{
    hash::{DefaultHasher, Hash, Hasher as _},
    time::Duration,
};

use sansio::Instant;

const SECOND: u64 = 1_000_000_000;

/// So many a second, and as many at once. Zero is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rate(pub u32);

impl Rate {
    /// No limit.
    pub const UNLIMITED: Self = Self(0);

    /// Nanoseconds between two; `None` without a limit.
    const fn every(self) -> Option<u64> {
        match self.0 {
            0 => None,
            rate => Some(SECOND / rate as u64),
        }
    }
}

/// What was used of a rate: 8 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meter {
    /// Nanoseconds since the start at which all of it is there again.
    whole: u64,
}

impl Meter {
    /// Takes one; false if there is none.
    pub(crate) fn take(&mut self, rate: Rate, now: Instant) -> bool {
        let Some(every) = rate.every() else { return true };
        let there = self.has_one(rate, now);
        if there {
            self.whole = self.whole.max(nanoseconds(now)) + every;
        }
        there
    }

    /// True if there is one to take.
    pub(crate) fn has_one(self, rate: Rate, now: Instant) -> bool {
        let used = self.whole.saturating_sub(nanoseconds(now));
        rate.every().is_none_or(|every| used + every <= SECOND)
    }
}

fn nanoseconds(now: Instant) -> u64 {
    u64::try_from(now.since_start().as_nanos()).unwrap_or(u64::MAX / 2)
}

/// A meter for each of any number of strangers, in 32 KiB.
///
/// Strangers share meters by a keyed hash of who they are, which changes every half minute. So whoever fills meters on
/// purpose cannot choose whose, and who shares one by chance does so for half a minute at most.
#[derive(Debug)]
pub(crate) struct Sieve {
    secret: [u8; 32],
    /// Which half minute the meters are of.
    epoch: u64,
    meters: Box<[Meter]>,
}

impl Sieve {
    const METERS: usize = 4096;
    const EPOCH: Duration = Duration::from_secs(30);

    /// `secret` is random.
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        Self { secret, epoch: 0, meters: vec![Meter::default(); Self::METERS].into() }
    }

    /// Takes one for this stranger; false if there is none.
    pub(crate) fn take(&mut self, who: &impl Hash, rate: Rate, now: Instant) -> bool {
        rate == Rate::UNLIMITED || self.meter(who, now).take(rate, now)
    }

    /// True if there is one to take for this stranger.
    pub(crate) fn has_one(&mut self, who: &impl Hash, rate: Rate, now: Instant) -> bool {
        rate == Rate::UNLIMITED || self.meter(who, now).has_one(rate, now)
    }

    fn meter(&mut self, who: &impl Hash, now: Instant) -> &mut Meter {
        let epoch = now.since_start().as_secs() / Self::EPOCH.as_secs();
        if epoch != self.epoch {
            self.epoch = epoch;
            self.meters.fill(Meter::default());
        }
        let mut hasher = DefaultHasher::new();
        (self.secret, epoch).hash(&mut hasher);
        who.hash(&mut hasher);
        &mut self.meters[hasher.finish() as usize % Self::METERS]
    }
}

/// Whether there is too much to do: known by two counts, each with a mark above which there is, and below half of which
/// there is not any more.
#[derive(Debug, Default)]
pub(crate) struct Load {
    high: bool,
    second: u64,
    this: u32,
    last: u32,
}

/// When there is too much to do. Zero is never.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Watermark {
    /// Requests that wait.
    pub pending: usize,
    /// Requests in a second that proved nothing.
    pub failures: u32,
}

impl Load {
    /// A request proved nothing.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.turn(now);
        self.this = self.this.saturating_add(1);
    }

    fn turn(&mut self, now: Instant) {
        let second = now.since_start().as_secs();
        if second != self.second {
            self.last = if second == self.second + 1 { self.this } else { 0 };
            (self.second, self.this) = (second, 0);
        }
    }

    /// Whether there is too much to do now, and whether that has just changed.
    pub(crate) fn is_high(&mut self, pending: usize, mark: Watermark, now: Instant) -> (bool, bool) {
        self.turn(now);
        let failures = self.this.max(self.last);
        let half = u32::from(self.high);
        let over = mark.pending > 0 && pending >= (mark.pending >> half).max(1)
            || mark.failures > 0 && failures >= (mark.failures >> half).max(1);
        let changed = over != self.high;
        self.high = over;
        (over, changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::new(Duration::from_millis(ms))
    }

    #[test]
    fn a_meter_gives_a_seconds_worth_at_once_and_then_its_rate() {
        let (mut meter, rate) = (Meter::default(), Rate(4));
        assert_eq!((0..10).filter(|_| meter.take(rate, at(5000))).count(), 4);
        assert!(!meter.take(rate, at(5249)) && meter.take(rate, at(5250)) && !meter.take(rate, at(5250)));
        assert_eq!((0..10).filter(|_| meter.take(rate, at(60_000))).count(), 4, "no more is saved up");
        assert!((0..100_000).all(|_| meter.take(Rate::UNLIMITED, at(0))));
        let mut once = Meter::default();
        assert!(once.take(Rate(1), at(0)) && !once.take(Rate(1), at(999)) && once.take(Rate(1), at(1000)));
    }

    #[test]
    fn strangers_have_meters_of_their_own_and_no_more_memory() {
        let (mut sieve, rate) = (Sieve::new([7; 32]), Rate(2));
        let served = |sieve: &mut Sieve, who: u32| (0..5).filter(|_| sieve.take(&who, rate, at(0))).count();
        // Some of a hundred share one by chance.
        assert!((0..100).filter(|who| served(&mut sieve, *who) == 2).count() >= 90);
        for who in 0..100_000 {
            served(&mut sieve, who);
        }
        assert_eq!(sieve.meters.len(), Sieve::METERS);
        assert!(!sieve.has_one(&1, rate, at(0)));
        assert!(sieve.has_one(&1, rate, at(30_000)), "another half minute, other neighbours");
    }

    #[test]
    fn load_goes_down_at_half_of_where_it_went_up() {
        let mark = Watermark { pending: 10, failures: 100 };
        let mut load = Load::default();
        assert_eq!(load.is_high(9, mark, at(0)), (false, false));
        assert_eq!(load.is_high(10, mark, at(0)), (true, true));
        assert_eq!(load.is_high(5, mark, at(0)), (true, false));
        assert_eq!(load.is_high(4, mark, at(0)), (false, true));
        (0..100).for_each(|_| load.failed(at(10)));
        assert_eq!(load.is_high(0, mark, at(20)), (true, true));
        (0..50).for_each(|_| load.failed(at(1500)));
        assert_eq!(load.is_high(0, mark, at(2500)), (true, false), "the second before counts");
        assert_eq!(load.is_high(0, mark, at(3000)), (false, true));
        let never = Watermark { pending: 0, failures: 0 };
        assert_eq!(load.is_high(1_000_000, never, at(3000)), (false, false));
    }
}
