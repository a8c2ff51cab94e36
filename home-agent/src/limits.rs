//! The section `[limits]` of the configuration.

use daemon::config::{Check, Setting};
use mobility::{
    admission::{Rate, Watermark},
    home_agent,
};
use serde::Deserialize;

/// How much may be used by whom.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    pub(crate) pending: usize,
    pub(crate) pending_agent: usize,
    pub(crate) pending_source: usize,
    /// 0: as many as there may be at all.
    pub(crate) bindings_agent: usize,
    pub(crate) rate: u32,
    pub(crate) rate_agent: u32,
    pub(crate) rate_source: u32,
    pub(crate) failures_source: u32,
    pub(crate) load_pending: usize,
    pub(crate) load_failures: u32,
}

impl Default for Limits {
    fn default() -> Self {
        let core = home_agent::Limits::default();
        Self {
            pending: core.pending,
            pending_agent: core.pending_agent,
            pending_source: core.pending_source,
            bindings_agent: 0,
            rate: core.rate.0,
            rate_agent: core.rate_agent.0,
            rate_source: core.rate_source.0,
            failures_source: core.failures_source.0,
            load_pending: core.under_load.pending,
            load_failures: core.under_load.failures,
        }
    }
}

impl Limits {
    pub(crate) fn check(&self, check: &mut Check) {
        let amounts = [
            ("pending", self.pending),
            ("pending_agent", self.pending_agent),
            ("pending_source", self.pending_source),
        ];
        for (key, value) in amounts {
            check.range(format!("limits.{key}"), value, 1..=1_000_000);
        }
        check.range("limits.bindings_agent", self.bindings_agent, 0..=10_000_000);
        check.range("limits.load_pending", self.load_pending, 0..=1_000_000);
        let rates = [
            ("rate", self.rate),
            ("rate_agent", self.rate_agent),
            ("rate_source", self.rate_source),
            ("failures_source", self.failures_source),
            ("load_failures", self.load_failures),
        ];
        for (key, value) in rates {
            check.range(format!("limits.{key}"), value, 0..=100_000_000);
        }
    }

    /// Its keys: all may change while the agent runs.
    pub(crate) fn settings(&self) -> Vec<Setting> {
        vec![
            Setting::free("limits.pending", self.pending),
            Setting::free("limits.pending_agent", self.pending_agent),
            Setting::free("limits.pending_source", self.pending_source),
            Setting::free("limits.bindings_agent", self.bindings_agent),
            Setting::free("limits.rate", self.rate),
            Setting::free("limits.rate_agent", self.rate_agent),
            Setting::free("limits.rate_source", self.rate_source),
            Setting::free("limits.failures_source", self.failures_source),
            Setting::free("limits.load_pending", self.load_pending),
            Setting::free("limits.load_failures", self.load_failures),
        ]
    }

    /// What the core is told.
    pub(crate) const fn core(&self) -> home_agent::Limits {
        home_agent::Limits {
            pending: self.pending,
            pending_agent: self.pending_agent,
            pending_source: self.pending_source,
            bindings_agent: if self.bindings_agent == 0 { usize::MAX } else { self.bindings_agent },
            rate: Rate(self.rate),
            rate_agent: Rate(self.rate_agent),
            rate_source: Rate(self.rate_source),
            failures_source: Rate(self.failures_source),
            under_load: Watermark { pending: self.load_pending, failures: self.load_failures },
        }
    }
}
