//! What an agent's operator may see, as of one moment.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use proto::agent::{self, Binding, CountersReply, PeerCounters, StatusReply, Visitor};

use crate::shown::Association;

/// Most peers in one answer about counters.
const COUNTED: usize = 10_000;

/// State of an agent when it was [`taken`](Self::taken).
///
/// The daemon's loop makes one when state changed and publishes it through a `tokio::sync::watch`; making one
/// costs a copy of every row, so a busy agent makes them at intervals. `uptime_s` and every `lifetime_left_s`
/// are as of `taken`; the service moves them on to the moment of its answer.
#[derive(Clone, Debug)]
pub struct AgentSnapshot {
    /// When it was made.
    pub taken: Instant,
    /// Who the agent is and whether it works.
    pub status: StatusReply,
    /// Home agent: in order of home address.
    pub bindings: Vec<Binding>,
    /// Foreign agent: in order of home address.
    pub visitors: Vec<Visitor>,
    /// Security associations, without keys.
    pub associations: Vec<Association>,
    /// Registrations and what became of them, without peers; `None` at a mobile node.
    pub counters: Option<CountersReply>,
    /// The same by peer, in order of name.
    pub peers: Arc<[PeerCounters]>,
    /// Time that answers took together: of the key distribution centre at a home agent, of home agents at a foreign agent.
    pub answer_time: Duration,
}

impl AgentSnapshot {
    /// A snapshot taken now, with no rows.
    #[must_use]
    pub fn new(status: StatusReply) -> Self {
        Self {
            taken: Instant::now(),
            status,
            bindings: Vec::new(),
            visitors: Vec::new(),
            associations: Vec::new(),
            counters: None,
            peers: Arc::default(),
            answer_time: Duration::ZERO,
        }
    }

    /// Whole seconds since it was taken.
    pub(crate) fn age_s(&self) -> u64 {
        self.taken.elapsed().as_secs()
    }

    pub(crate) fn status_at(&self, age_s: u64) -> StatusReply {
        let mut status = self.status.clone();
        status.uptime_s += age_s;
        if status.version.is_empty() {
            status.version = env!("CARGO_PKG_VERSION").to_owned();
        }
        if let Some(node) = &mut status.mobile_node {
            age(&mut node.lifetime_left_s, age_s);
        }
        status
    }

    /// The counters with this peer alone, or with as many as an answer may hold.
    pub(crate) fn counters_of(&self, nai: &str) -> Option<CountersReply> {
        let counters = self.counters.as_ref()?;
        let peers = self.peers.iter().filter(|peer| nai.is_empty() || peer.nai == nai);
        Some(CountersReply { peers: peers.take(COUNTED).cloned().collect(), ..counters.clone() })
    }

    pub(crate) fn binding_at(&self, row: usize, age_s: u64) -> Option<Binding> {
        let mut binding = self.bindings.get(row)?.clone();
        age(&mut binding.lifetime_left_s, age_s);
        Some(binding)
    }

    pub(crate) fn visitor_at(&self, row: usize, age_s: u64) -> Option<Visitor> {
        let mut visitor = self.visitors.get(row)?.clone();
        age(&mut visitor.lifetime_left_s, age_s);
        Some(visitor)
    }

    pub(crate) fn association_at(&self, row: usize, age_s: u64) -> Option<agent::Association> {
        self.associations.get(row).map(|association| association.told(age_s))
    }
}

impl Default for AgentSnapshot {
    fn default() -> Self {
        Self::new(StatusReply::default())
    }
}

fn age(lifetime_left_s: &mut u32, age_s: u64) {
    *lifetime_left_s = lifetime_left_s.saturating_sub(u32::try_from(age_s).unwrap_or(u32::MAX));
}

#[cfg(test)]
mod tests {
    use proto::agent::MobileNode;

    use super::*;

    #[test]
    fn lifetimes_run_down_and_uptime_runs_up() {
        let snapshot = AgentSnapshot {
            status: StatusReply {
                uptime_s: 10,
                mobile_node: Some(MobileNode { lifetime_left_s: 600, ..MobileNode::default() }),
                ..StatusReply::default()
            },
            bindings: vec![Binding { lifetime_s: 600, lifetime_left_s: 5, ..Binding::default() }],
            ..AgentSnapshot::default()
        };
        let status = snapshot.status_at(7);
        assert_eq!(status.uptime_s, 17);
        assert_eq!(status.mobile_node.unwrap().lifetime_left_s, 593);
        assert!(!status.version.is_empty());
        let binding = snapshot.binding_at(0, 7).unwrap();
        assert_eq!((binding.lifetime_s, binding.lifetime_left_s), (600, 0));
        assert!(snapshot.binding_at(1, 7).is_none());
    }

    #[test]
    fn counters_are_of_one_peer_or_of_all() {
        let peer = |nai: &str| PeerCounters { nai: nai.to_owned(), accepted: 1, ..PeerCounters::default() };
        let snapshot = AgentSnapshot {
            counters: Some(CountersReply { registrations_minute: 7, ..CountersReply::default() }),
            peers: (0..20_000).map(|n| peer(&format!("traveller-{n}@home.example"))).collect(),
            ..AgentSnapshot::default()
        };
        assert_eq!(
            snapshot.counters_of("").map(|c| (c.peers.len(), c.registrations_minute)),
            Some((COUNTED, 7))
        );
        let one = snapshot.counters_of("traveller-19999@home.example").map(|c| c.peers);
        assert_eq!(one, Some(vec![peer("traveller-19999@home.example")]));
        assert_eq!(snapshot.counters_of("nobody@home.example").map(|c| c.peers.len()), Some(0));
        assert!(AgentSnapshot::default().counters_of("").is_none());
    }
}
