//! How long answers took: counts in buckets that grow with the value, so that a microsecond and a minute are both
//! known to about 3 %.

use serde::Serialize;

/// Buckets for each doubling.
const PER_DOUBLING: u32 = 32;
const BITS: u32 = PER_DOUBLING.trailing_zeros();
/// The longest bar in characters.
const BAR: u64 = 50;

/// Counts of microseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    longest: u64,
}

/// One bucket of a report: from this many milliseconds up to that many.
#[derive(Debug, Serialize)]
pub(crate) struct Bucket {
    pub(crate) from_ms: f64,
    pub(crate) to_ms: f64,
    pub(crate) count: u64,
}

/// What is said of many answers in one line.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Quantiles {
    pub(crate) p50_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

/// The bucket of a value: exact below 32 microseconds, then 32 for each doubling.
const fn bucket(micros: u64) -> usize {
    let width = u64::BITS - micros.leading_zeros();
    if width <= BITS {
        return micros as usize;
    }
    let shift = width - BITS - 1;
    ((shift as u64 * PER_DOUBLING as u64) + (micros >> shift)) as usize
}

/// The lowest value of a bucket.
const fn lowest(bucket: usize) -> u64 {
    let (bucket, per) = (bucket as u64, PER_DOUBLING as u64);
    if bucket < 2 * per {
        return bucket;
    }
    let shift = bucket / per - 1;
    (bucket - shift * per) << shift
}

fn ms(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

impl Histogram {
    /// Counts one answer.
    pub(crate) fn add(&mut self, micros: u64) {
        let at = bucket(micros);
        if self.counts.len() <= at {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += 1;
        self.total += 1;
        self.longest = self.longest.max(micros);
    }

    /// Adds all of another one.
    pub(crate) fn merge(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.longest = self.longest.max(other.longest);
    }

    /// Microseconds that this part of all answers did not take longer than, to the end of its bucket.
    fn quantile(&self, part: f64) -> u64 {
        let wanted = (self.total as f64 * part).ceil() as u64;
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                return (lowest(at + 1) - 1).min(self.longest);
            }
        }
        self.longest
    }

    /// The figures of a report.
    pub(crate) fn quantiles(&self) -> Quantiles {
        Quantiles {
            p50_ms: ms(self.quantile(0.50)),
            p90_ms: ms(self.quantile(0.90)),
            p99_ms: ms(self.quantile(0.99)),
            max_ms: ms(self.longest),
        }
    }

    /// The buckets that are not empty.
    pub(crate) fn buckets(&self) -> Vec<Bucket> {
        let counted = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        counted
            .map(|(at, count)| Bucket { from_ms: ms(lowest(at)), to_ms: ms(lowest(at + 1)), count: *count })
            .collect()
    }

    /// As text: a line for each doubling that holds something.
    pub(crate) fn draw(&self) -> String {
        let mut doublings: Vec<(u64, u64)> = Vec::new();
        for (at, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let ends = lowest(at).max(1).ilog2();
            let ends = 1_u64 << (ends + 1);
            match doublings.last_mut() {
                Some((last, sum)) if *last == ends => *sum += count,
                _ => doublings.push((ends, *count)),
            }
        }
        let most = doublings.iter().map(|(_, count)| *count).max().unwrap_or(1);
        let mut text = String::new();
        for (ends, count) in doublings {
            let bar = "#".repeat(usize::try_from((count * BAR).div_ceil(most)).unwrap_or(0));
            text.push_str(&format!("  < {:>10.3} ms {count:>10}  {bar}\n", ms(ends)));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_buckets_are_narrow() {
        for value in (0..5000).chain([9_999, 1_000_000, 59_999_999, u64::from(u32::MAX)]) {
            let at = bucket(value);
            assert!(lowest(at) <= value && value < lowest(at + 1), "{value}");
            let width = lowest(at + 1) - lowest(at);
            assert!(width == 1 || width * 32 <= value, "{value} in a bucket of {width}");
        }
    }

    #[test]
    fn quantiles_of_a_thousand_values() {
        let mut histogram = Histogram::default();
        for value in 1..=1000 {
            histogram.add(value * 1000);
        }
        let Quantiles { p50_ms, p90_ms, p99_ms, max_ms } = histogram.quantiles();
        for (found, right) in [(p50_ms, 500.0), (p90_ms, 900.0), (p99_ms, 990.0)] {
            assert!(found >= right && found <= right * 1.04, "{found} for {right}");
        }
        assert!((max_ms - 1000.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_gives_nothing() {
        let empty = Histogram::default();
        assert_eq!(empty.quantile(0.99), 0);
        assert!(empty.buckets().is_empty() && empty.draw().is_empty());
    }

    #[test]
    fn two_are_added_up() {
        let (mut one, mut two) = (Histogram::default(), Histogram::default());
        one.add(5);
        two.add(50_000);
        one.merge(&two);
        assert_eq!(one.buckets().iter().map(|bucket| bucket.count).sum::<u64>(), 2);
        assert_eq!(one.longest, 50_000);
        assert_eq!(one.draw().lines().count(), 2);
    }
}
