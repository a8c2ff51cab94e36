//! Registrations and what became of them, as the operator sees them.

use std::{sync::Arc, time::Duration};

use mobility::home_agent::{Counted, HomeAgent};
use proto::agent::{CountersReply, PeerCounters};
use sansio::{Instant, Now};

/// Rows of many mobile nodes are made anew at most this often: it costs a copy of every row.
const SPACING: Duration = Duration::from_secs(1);
/// Up to so many rows are always new.
const FEW: usize = 256;

/// The rows that were made last.
#[derive(Default)]
pub(crate) struct Rows {
    peers: Arc<[PeerCounters]>,
    made: Option<Instant>,
}

impl Rows {
    /// Those of now, or of a second ago if they are many.
    pub(crate) fn of(&mut self, core: &HomeAgent, now: Now) -> Arc<[PeerCounters]> {
        let recent = self.made.is_some_and(|at| now.mono.saturating_since(at) < SPACING);
        if !recent || self.peers.len() <= FEW {
            self.made = Some(now.mono);
            self.peers = core.nodes().map(|(nai, counted)| row(nai.as_str(), counted)).collect();
        }
        Arc::clone(&self.peers)
    }
}

/// All but the rows.
pub(crate) fn in_all(core: &HomeAgent, now: Now) -> CountersReply {
    let registrations = core.registrations(now);
    CountersReply {
        registrations_minute: registrations.minute,
        registrations_peak: registrations.most_in_a_minute,
        pending_peak: registrations.most_pending as u64,
        pending: core.pending() as u64,
        kdc_answers: registrations.keys,
        kdc_mean_us: micros(registrations.keys_mean),
        kdc_longest_us: micros(registrations.keys_longest),
        under_load: core.under_load(),
        peers: Vec::new(),
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
        ..PeerCounters::default()
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
