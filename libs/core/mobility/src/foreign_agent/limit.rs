//! How much of a foreign agent may be used by whom (docs/limits.md). Strangers on a link fill nothing but meters of
//! fixed size and their share of what may wait.

use sansio::Instant;

use super::Station;
use crate::admission::{Meter, Rate, Sieve};
pub(super) use crate::budget::Budget;

/// Answers to solicitations of one station a second.
const SOLICITATIONS: Rate = Rate(3);
/// Denials of our own, in all.
const REFUSALS: Rate = Rate(1000);

/// How much may be used by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests that may wait for one home agent: code 66 beyond.
    pub pending_home_agent: usize,
    /// Requests of one station a second: code 66 beyond.
    pub rate_station: Rate,
    /// Requests a second in all, of those who did not prove to be visitors: code 66 beyond.
    pub rate: Rate,
}

impl Default for Limits {
    fn default() -> Self {
        Self { pending_home_agent: usize::MAX, rate_station: Rate(100), rate: Rate::UNLIMITED }
    }
}

/// What was used of each share.
pub(super) struct Gate {
    requests: Sieve,
    all_requests: Meter,
    solicitations: Sieve,
    refusals: Sieve,
    all_refusals: Meter,
}

impl Gate {
    /// The secrets are random.
    pub(super) fn new(secrets: [[u8; 32]; 3]) -> Self {
        let [requests, solicitations, refusals] = secrets.map(Sieve::new);
        let (all_requests, all_refusals) = (Meter::default(), Meter::default());
        Self { requests, all_requests, solicitations, refusals, all_refusals }
    }

    /// True if this station may ask once more.
    pub(super) fn takes_request(&mut self, station: Station, limits: &Limits, now: Instant) -> bool {
        self.requests.take(&station, limits.rate_station, now)
    }

    /// True if one more request of whoever is no visitor may be relayed.
    pub(super) fn relays(&mut self, limits: &Limits, now: Instant) -> bool {
        self.all_requests.take(limits.rate, now)
    }

    /// True if this station's solicitation may be answered.
    pub(super) fn answers_solicitation(&mut self, station: Station, now: Instant) -> bool {
        self.solicitations.take(&station, SOLICITATIONS, now)
    }

    /// True if this station may be denied something: once a second (RFC 5944 section 3.7.2).
    pub(super) fn refuses(&mut self, station: Station, now: Instant) -> bool {
        self.refusals.take(&station, Rate(1), now) && self.all_refusals.take(REFUSALS, now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
    fn one_denial_a_second_for_each_station_and_no_more_than_a_thousand_in_all() {
        let mut gate = Gate::new([[1; 32], [2; 32], [3; 32]]);
        let station = |n: u32| Station { link: LinkId(n), address: [2; 6] };
        assert!(gate.refuses(station(0), at(0)) && gate.refuses(station(1), at(0)));
        assert!(!gate.refuses(station(0), at(999)) && gate.refuses(station(0), at(1000)));
        let denied = (2..100_000).filter(|n| gate.refuses(station(*n), at(5000))).count();
        assert!((900..=1000).contains(&denied), "{denied}");
        assert!(gate.refuses(station(200_000), at(60_000)));
    }
}
