//! What a subscriber authenticates by: KEY 0, and for an overlap after a rotation the one before it; and the indices
//! that name each (docs/wire.md, one-time indices).

use std::ops::RangeInclusive;

use record::Subscriber;
use sa::{MobileHome, PlainAssociation};
use wire::mip::Spi;

use super::plain::algorithm;

/// One-time indices are accepted from this many below the highest seen,
const BELOW: u64 = 2;
/// to this many above it.
const ABOVE: u64 = 13;

/// One KEY 0.
pub(super) struct Credential {
    pub(super) keys: MobileHome,
    /// What a node without our extensions authenticates by; then nothing else counts.
    pub(super) plain: Option<PlainAssociation>,
    pub(super) generation: u32,
    one_time: bool,
    /// Number of the highest one-time index whose 32 verified; 0 before the first.
    highest: u64,
    /// When it is accepted no longer, in seconds since 1970.
    ends: Option<u64>,
}

impl Credential {
    /// Those of a subscriber, the current one first.
    pub(super) fn all_of(subscriber: &Subscriber) -> Vec<Self> {
        let plain =
            |spi, key0| subscriber.plain.map(|plain| PlainAssociation::of_key0(spi, algorithm(plain), key0));
        let current = Self {
            plain: plain(subscriber.spi, &subscriber.key0),
            keys: MobileHome::of(subscriber),
            generation: subscriber.generation,
            one_time: subscriber.one_time,
            highest: 0,
            ends: None,
        };
        let retiring = subscriber.retiring.as_ref().map(|old| Self {
            plain: plain(old.spi, &old.key0),
            keys: MobileHome::new(
                &subscriber.nai,
                subscriber.nai.realm(),
                old.spi,
                subscriber.cipher,
                old.key0.duplicate(),
            ),
            generation: old.generation,
            one_time: subscriber.one_time,
            highest: 0,
            ends: Some(old.ends),
        });
        std::iter::once(current).chain(retiring).collect()
    }

    /// False once its overlap is over.
    pub(super) fn counts(&self, unix: u64) -> bool {
        self.ends.is_none_or(|ends| unix < ends)
    }

    pub(super) const fn highest(&self) -> u64 {
        self.highest
    }

    pub(super) fn set_highest(&mut self, highest: u64) {
        self.highest = highest;
    }

    /// Moves the window up to this number, never down. Tells what leaves it (false), then what enters it (true).
    pub(super) fn move_up(&mut self, highest: u64, mut tell: impl FnMut(Spi, bool)) {
        let before = self.window();
        if highest <= self.highest {
            return;
        }
        self.highest = highest;
        if !self.one_time {
            return;
        }
        let after = self.window();
        let outside = |numbers: &RangeInclusive<u64>, but: &RangeInclusive<u64>| {
            let but = but.clone();
            numbers.clone().filter(move |n| !but.contains(n))
        };
        outside(&before, &after).for_each(|n| tell(self.keys.one_time_spi(n), false));
        outside(&after, &before).for_each(|n| tell(self.keys.one_time_spi(n), true));
    }

    fn window(&self) -> RangeInclusive<u64> {
        self.highest.saturating_sub(BELOW).max(1)..=self.highest.saturating_add(ABOVE)
    }

    /// The indices that name it now.
    pub(super) fn indices(&self) -> impl Iterator<Item = Spi> + '_ {
        let fixed = (!self.one_time).then(|| self.keys.spi());
        let window = if self.one_time { Some(self.window()) } else { None };
        fixed.into_iter().chain(window.into_iter().flatten().map(|n| self.keys.one_time_spi(n)))
    }

    /// The number of this index: 0 for the static one, `None` if it does not name this credential now.
    pub(super) fn number_of(&self, spi: Spi) -> Option<u64> {
        if self.one_time {
            // Mostly the next one.
            let (above, below) = (
                self.highest.saturating_add(1)..=*self.window().end(),
                *self.window().start()..=self.highest,
            );
            above.chain(below.rev()).find(|n| *n > 0 && self.keys.one_time_spi(*n) == spi)
        } else {
            (self.keys.spi() == spi).then_some(0)
        }
    }
}
