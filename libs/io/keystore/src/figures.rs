//! How long transactions take and how much is in them: counted by the writer, read by anybody at any time.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

/// Upper limits, in microseconds.
const MICROS: [u64; 12] =
    [500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 5_000_000];
/// Upper limits, in lists of one transaction.
const LISTS: [u64; 10] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

/// Counts of values below rising limits; the last count is of those above all of them.
#[derive(Debug)]
struct Spread<const N: usize> {
    limits: &'static [u64; N],
    counts: [AtomicU64; N],
    above: AtomicU64,
    sum: AtomicU64,
}

impl<const N: usize> Spread<N> {
    const fn new(limits: &'static [u64; N]) -> Self {
        Self {
            limits,
            counts: [const { AtomicU64::new(0) }; N],
            above: AtomicU64::new(0),
            sum: AtomicU64::new(0),
        }
    }

    fn add(&self, value: u64) {
        let below = self.limits.iter().position(|limit| value <= *limit);
        let count = below.map_or(&self.above, |place| &self.counts[place]);
        count.fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    fn read(&self) -> Spreading {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = self.limits.iter().zip(&self.counts).map(|(limit, count)| (*limit, read(count)));
        Spreading { buckets: counts.collect(), above: read(&self.above), sum: read(&self.sum) }
    }
}

/// How values are spread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spreading {
    /// Upper limits, rising, each with how many values lie at or below it and above the one before.
    pub buckets: Vec<(u64, u64)>,
    /// How many lie above all of them.
    pub above: u64,
    /// Sum of all values.
    pub sum: u64,
}

/// What the writer counts.
#[derive(Debug)]
pub struct Figures {
    micros: Spread<12>,
    lists: Spread<10>,
    failed: AtomicU64,
    /// Touched only where something fails and where it works again.
    trouble: Mutex<Option<String>>,
    sick: AtomicBool,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            micros: Spread::new(&MICROS),
            lists: Spread::new(&LISTS),
            failed: AtomicU64::new(0),
            trouble: Mutex::new(None),
            sick: AtomicBool::new(false),
        }
    }
}

impl Figures {
    pub(crate) fn committed(&self, lists: usize, took: Duration) {
        self.micros.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        self.lists.add(lists as u64);
        if self.sick.swap(false, Ordering::Relaxed) {
            *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    pub(crate) fn failed(&self, why: &str) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_owned());
        self.sick.store(true, Ordering::Relaxed);
    }

    /// Microseconds that transactions took, failed ones left out.
    #[must_use]
    pub fn micros(&self) -> Spreading {
        self.micros.read()
    }

    /// Lists of changes in them.
    #[must_use]
    pub fn lists(&self) -> Spreading {
        self.lists.read()
    }

    /// Transactions of which nothing was written, and why not if the last was such a one.
    #[must_use]
    pub fn failures(&self) -> (u64, Option<String>) {
        let why = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (self.failed.load(Ordering::Relaxed), why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_spread_and_a_trouble_is_over_with_the_next_commit() {
        let figures = Figures::default();
        figures.committed(1, Duration::from_micros(400));
        figures.committed(600, Duration::from_millis(5));
        figures.failed("the disk is full");
        let (micros, lists) = (figures.micros(), figures.lists());
        assert_eq!((micros.buckets[0], micros.buckets[3], micros.sum), ((500, 1), (5_000, 1), 5_400));
        assert_eq!((lists.buckets[0], lists.above, lists.sum), ((1, 1), 1, 601));
        assert_eq!(figures.failures(), (1, Some("the disk is full".to_owned())));
        figures.committed(1, Duration::ZERO);
        assert_eq!(figures.failures(), (1, None));
    }
}
