//! The section `[limits]` of the configuration.

use daemon::config::{Check, Setting};
use mobility::{admission::Rate, foreign_agent};
use serde::Deserialize;

/// How much may be used by whom.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// 0: as many as may wait at all.
    pub(crate) pending_home_agent: usize,
    pub(crate) rate_station: u32,
    pub(crate) rate: u32,
}

impl Default for Limits {
    fn default() -> Self {
        let core = foreign_agent::Limits::default();
        Self { pending_home_agent: 0, rate_station: core.rate_station.0, rate: core.rate.0 }
    }
}

impl Limits {
    pub(crate) fn check(&self, check: &mut Check) {
        check.range("limits.pending_home_agent", self.pending_home_agent, 0..=1_000_000);
        check.range("limits.rate_station", self.rate_station, 0..=100_000_000);
        check.range("limits.rate", self.rate, 0..=100_000_000);
    }

    /// Its keys: all may change while the agent runs.
    pub(crate) fn settings(&self) -> Vec<Setting> {
        vec![
            Setting::free("limits.pending_home_agent", self.pending_home_agent),
            Setting::free("limits.rate_station", self.rate_station),
            Setting::free("limits.rate", self.rate),
        ]
    }

    /// What the core is told.
    pub(crate) const fn core(&self) -> foreign_agent::Limits {
        foreign_agent::Limits {
            pending_home_agent: if self.pending_home_agent == 0 {
                usize::MAX
            } else {
                self.pending_home_agent
            },
            rate_station: Rate(self.rate_station),
            rate: Rate(self.rate),
        }
    }
}
