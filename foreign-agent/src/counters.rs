//! Registrations and what became of them, as the operator sees them.

use std::{sync::Arc, time::Duration};

use mobility::foreign_agent::{Counted, ForeignAgent};
use proto::agent::{CountersReply, PeerCounters};
use sansio::Now;

/// A row for each home agent that something was relayed to, in order of name.
pub(crate) fn rows(core: &ForeignAgent) -> Arc<[PeerCounters]> {
    let mut rows: Vec<_> = core.home_agents().map(|(nai, counted)| row(nai, &counted)).collect();
    rows.sort_by(|one, other| one.nai.cmp(&other.nai));
    rows.into()
}

/// All but the rows.
pub(crate) fn in_all(core: &ForeignAgent, now: Now) -> CountersReply {
    let registrations = core.registrations(now);
    CountersReply {
        registrations_minute: registrations.minute,
        registrations_peak: registrations.most_in_a_minute,
        pending_peak: registrations.most_pending as u64,
        pending: core.pending() as u64,
        ..CountersReply::default()
    }
}

fn row(nai: &str, counted: &Counted) -> PeerCounters {
    PeerCounters {
        nai: nai.to_owned(),
        accepted: counted.accepted,
        denied: counted.denied,
        accepted_at: counted.accepted_at,
        denied_at: counted.denied_at,
        denied_code: counted.denied_code.into(),
        relayed: counted.relayed,
        timed_out: counted.timed_out,
        mean_us: micros(counted.mean),
        longest_us: micros(counted.longest),
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
