//! What the operator sees of a mobile node.

use std::sync::Arc;

use ::admin::{AgentSnapshot, shown};
use mobility::mobile_node::{self, State};
use proto::agent::{MobileNode, Role, StatusReply};
use sansio::{Instant, Now};
use tokio::sync::watch;

/// Publishes snapshots as the core changes.
pub(crate) struct Publisher {
    snapshots: watch::Sender<Arc<AgentSnapshot>>,
    started: Instant,
    revision: Option<u64>,
}

impl Publisher {
    pub(crate) const fn new(snapshots: watch::Sender<Arc<AgentSnapshot>>, started: Instant) -> Self {
        Self { snapshots, started, revision: None }
    }

    /// Publishes what has changed.
    pub(crate) fn publish(
        &mut self,
        core: &mobile_node::MobileNode,
        counters: impl Iterator<Item = (String, u64)>,
        now: Now,
    ) {
        if self.revision.replace(core.revision()) == Some(core.revision()) {
            return;
        }
        let mut snapshot = AgentSnapshot::new(StatusReply {
            role: Role::MobileNode.into(),
            nai: core.config().nai.to_string(),
            uptime_s: now.mono.saturating_since(self.started).as_secs(),
            counters: core.counters().iter().map(|(k, v)| (k.clone(), *v)).chain(counters).collect(),
            mobile_node: Some(mobile_node(core, now)),
            ..StatusReply::default()
        });
        let associations = core.associations();
        snapshot.associations =
            associations.map(|a| shown::Association::of(a, core.home_address(), now.unix)).collect();
        self.snapshots.send_replace(Arc::new(snapshot));
    }
}

fn mobile_node(core: &mobile_node::MobileNode, now: Now) -> MobileNode {
    let status = core.status();
    let left = match (status.state, status.ends) {
        (_, Some(ends)) => u32::try_from(ends.saturating_since(now.mono).as_secs()).unwrap_or(u32::MAX),
        // Registered without an end.
        (State::Registered, None) => u32::MAX,
        (State::Detached | State::Discovering | State::Registering | State::AtHome, None) => 0,
    };
    MobileNode {
        state: status.state.as_str().to_owned(),
        home_address: core.home_address().to_string(),
        home_agent: core.config().home_agent.to_string(),
        care_of: status.care_of.map_or_else(String::new, |a| a.to_string()),
        agent: status.agent.unwrap_or_default().to_owned(),
        encapsulation: status.encapsulation.unwrap_or_default().to_owned(),
        lifetime_left_s: left,
        registrations: status.registrations,
        clock_offset_s: status.clock_offset,
    }
}
