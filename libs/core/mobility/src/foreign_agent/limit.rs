//! How often a thing may be done that strangers on a link can cause.

use std::{collections::BTreeMap, time::Duration};

use sansio::Instant;

use super::Station;
pub(super) use crate::budget::Budget;

/// At most one a second for each station (RFC 5944 section 3.7.2 for denials).
#[derive(Debug, Default)]
pub(super) struct OncePerSecond {
    last: BTreeMap<Station, Instant>,
}

impl OncePerSecond {
    const GAP: Duration = Duration::from_secs(1);
    /// Stations remembered at a time; more are not served at all until some are forgotten.
    const STATIONS: usize = 4096;

    /// True if this station had its last one a second ago or never.
    pub(super) fn allows(&mut self, station: Station, now: Instant) -> bool {
        let recent = |at: &Instant| now.saturating_since(*at) < Self::GAP;
        if self.last.get(&station).is_some_and(recent) {
            return false;
        }
        if self.last.len() >= Self::STATIONS {
            self.last.retain(|_, at| recent(at));
        }
        if self.last.len() >= Self::STATIONS {
            return false;
        }
        self.last.insert(station, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use sansio::LinkId;

    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::new(Duration::from_millis(ms))
    }

    #[test]
    fn a_budget_gives_its_burst_then_one_in_each_interval() {
        let mut budget = Budget::new(2, Duration::from_millis(100), at(0));
        assert!(budget.take(at(0)) && budget.take(at(0)) && !budget.take(at(99)));
        assert!(budget.take(at(100)) && !budget.take(at(100)));
        assert!(budget.take(at(100_000)) && budget.take(at(100_000)) && !budget.take(at(100_000)));
    }

    #[test]
    fn one_a_second_for_each_station_and_not_without_end() {
        let mut limit = OncePerSecond::default();
        let station = |n: u32| Station { link: LinkId(n), address: [2; 6] };
        assert!(limit.allows(station(0), at(0)) && limit.allows(station(1), at(0)));
        assert!(!limit.allows(station(0), at(999)) && limit.allows(station(0), at(1000)));
        for n in 2..10_000 {
            limit.allows(station(n), at(1000));
        }
        assert!(limit.last.len() <= OncePerSecond::STATIONS);
        assert!(limit.allows(station(20_000), at(2000)));
    }
}
