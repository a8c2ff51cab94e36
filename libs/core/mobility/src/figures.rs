//! Figures that an operator asks for: how many in a minute, how long on average.

use std::time::Duration;

use sansio::Instant;

/// Things by the second, for a minute.
#[derive(Debug)]
pub(crate) struct Minute {
    seconds: [u32; 60],
    now: u64,
    sum: u64,
    most: u64,
}

impl Default for Minute {
    fn default() -> Self {
        Self { seconds: [0; 60], now: 0, sum: 0, most: 0 }
    }
}

impl Minute {
    fn turn(&mut self, now: Instant) {
        let second = now.since_start().as_secs();
        for gone in (self.now + 1..=second).take(60) {
            let place = &mut self.seconds[(gone % 60) as usize];
            self.sum -= u64::from(std::mem::take(place));
        }
        self.now = self.now.max(second);
    }

    pub(crate) fn add(&mut self, now: Instant) {
        self.turn(now);
        let place = &mut self.seconds[(self.now % 60) as usize];
        let more = place.saturating_add(1);
        self.sum += u64::from(more - *place);
        *place = more;
        self.most = self.most.max(self.sum);
    }

    /// In the last minute, and most in any.
    pub(crate) fn read(&self, now: Instant) -> (u64, u64) {
        let first = now.since_start().as_secs().saturating_sub(59).max(self.now.saturating_sub(59));
        let sum = (first..=self.now).map(|second| u64::from(self.seconds[(second % 60) as usize])).sum();
        (sum, self.most)
    }
}

/// How long things took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spans {
    pub(crate) count: u64,
    pub(crate) sum: Duration,
    pub(crate) longest: Duration,
}

impl Spans {
    pub(crate) fn add(&mut self, took: Duration) {
        self.count += 1;
        self.sum = self.sum.saturating_add(took);
        self.longest = self.longest.max(took);
    }

    /// Zero of none.
    pub(crate) fn mean(&self) -> Duration {
        let mean = self.sum.as_nanos().checked_div(u128::from(self.count)).unwrap_or(0);
        Duration::from_nanos(u64::try_from(mean).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::new(Duration::from_secs(seconds))
    }

    #[test]
    fn a_minute_forgets_by_the_second_and_keeps_its_peak() {
        let mut minute = Minute::default();
        (0..5).for_each(|_| minute.add(at(1000)));
        (0..3).for_each(|_| minute.add(at(1059)));
        assert_eq!(minute.read(at(1059)), (8, 8));
        assert_eq!(minute.read(at(1060)), (3, 8));
        assert_eq!(minute.read(at(1118)), (3, 8));
        assert_eq!(minute.read(at(1119)), (0, 8));
        (0..9).for_each(|_| minute.add(at(90_000)));
        assert_eq!(minute.read(at(90_000)), (9, 9));
    }
}
