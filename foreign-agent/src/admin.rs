//! What the operator sees of a foreign agent.

use std::{sync::Arc, time::Duration};

use ::admin::{AgentSnapshot, shown};
use mobility::foreign_agent::{ForeignAgent, Visit};
use proto::agent::{Role, StatusReply, Visitor};
use sansio::{Instant, Now};
use tokio::sync::watch;

use crate::counters;

/// Snapshots of many visitors follow each other at least at this distance: making one copies every row. What is
/// held back goes out with the next advertisement at the latest.
const SPACING: Duration = Duration::from_millis(200);
/// Up to so many visitors every change is published at once.
const FEW: usize = 256;

/// Publishes snapshots as the core changes.
pub(crate) struct Publisher {
    snapshots: watch::Sender<Arc<AgentSnapshot>>,
    interfaces: Vec<String>,
    started: Instant,
    last: Option<(u64, Instant)>,
}

impl Publisher {
    pub(crate) const fn new(
        snapshots: watch::Sender<Arc<AgentSnapshot>>,
        interfaces: Vec<String>,
        started: Instant,
    ) -> Self {
        Self { snapshots, interfaces, started, last: None }
    }

    /// Publishes what has changed, unless a large snapshot was published just now.
    pub(crate) fn publish(&mut self, core: &ForeignAgent, packets: Vec<(String, u64)>, now: Now) {
        let fresh = self.last.is_some_and(|(revision, _)| revision == core.revision());
        let soon = self.last.is_some_and(|(_, at)| now.mono.saturating_since(at) < SPACING);
        if fresh || soon && core.visitors().count() > FEW {
            return;
        }
        self.last = Some((core.revision(), now.mono));
        let mut snapshot = AgentSnapshot::new(self.status(core, packets, now));
        snapshot.visitors = core.visitors().map(|visit| self.visitor(&visit, now)).collect();
        let of = core.visitors().map(|visit| visit.record);
        let associations = of.flat_map(|record| record.associations.iter().map(|a| (a, record.home_address)));
        snapshot.associations = associations.map(|(a, of)| shown::Association::of(a, of, now.unix)).collect();
        snapshot.counters = Some(counters::in_all(core, now));
        snapshot.peers = counters::rows(core);
        snapshot.answer_time = core.home_agents().map(|(_, counted)| counted.sum).sum();
        self.snapshots.send_replace(Arc::new(snapshot));
    }

    fn status(&self, core: &ForeignAgent, counters: Vec<(String, u64)>, now: Now) -> StatusReply {
        let own = core.counters().iter();
        let own = own.map(|(name, count)| ((*name).to_owned(), *count));
        StatusReply {
            role: Role::ForeignAgent.into(),
            nai: core.config().nai.clone(),
            uptime_s: now.mono.saturating_since(self.started).as_secs(),
            counters: own.chain(counters).collect(),
            visitors: core.visitors().count() as u64,
            pending: core.pending() as u64,
            ..StatusReply::default()
        }
    }

    fn visitor(&self, visit: &Visit<'_>, now: Now) -> Visitor {
        let record = visit.record;
        let left = visit.ends.map(|ends| ends.saturating_since(now.mono).as_secs());
        let interface = self.interfaces.get(record.link as usize).cloned();
        Visitor {
            home_address: record.home_address.to_string(),
            link_address: record.link_address.map(|byte| format!("{byte:02x}")).join(":"),
            interface: interface.unwrap_or_default(),
            home_agent: record.home_agent.to_string(),
            encapsulation: record.tunnel.name().to_owned(),
            lifetime_s: u32::from(record.lifetime),
            lifetime_left_s: left.map_or(u32::MAX, |s| u32::try_from(s).unwrap_or(u32::MAX)),
        }
    }
}
