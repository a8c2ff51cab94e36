//! What the operator sees of a home agent.

use std::{collections::HashMap, sync::Arc, time::Duration};

use ::admin::{AgentSnapshot, Look, shown};
use mobility::home_agent::HomeAgent;
use net::{clock::Clock, tunnel::Tunnel as Tunnels};
use proto::agent::{Binding, Role, StatusReply};
use record::Tunnel;
use sansio::{Instant, Now};
use tokio::sync::watch;
use wire::mip::Spi;

use crate::counters::{self, Rows};

/// Snapshots of many bindings follow each other at least at this distance, and at so many times what the last one took
/// to make: making one copies every row. What is held back goes out with a later advertisement, or when somebody looks.
const SPACING: Duration = Duration::from_millis(200);
const SHARE: u32 = 400;
/// The same while somebody looks: who asks again and again must not take all of a processor.
const SHARE_LOOKED_AT: u32 = 10;
/// Up to so many bindings every change is published at once.
const FEW: usize = 64;

/// Publishes snapshots as the core changes.
pub(crate) struct Publisher {
    snapshots: watch::Sender<Arc<AgentSnapshot>>,
    kdc: watch::Receiver<String>,
    started: Instant,
    last: Option<(u64, Instant)>,
    /// What the last one took to make.
    took: Duration,
    rows: Rows,
    /// Names of keys by both indices and the time they were made, of the last snapshot and some before.
    names: HashMap<(Spi, Spi, u64), [u8; 8]>,
    /// Who waits for a snapshot.
    looking: Vec<Look>,
}

impl Publisher {
    pub(crate) fn new(
        snapshots: watch::Sender<Arc<AgentSnapshot>>,
        kdc: watch::Receiver<String>,
        started: Instant,
    ) -> Self {
        Self {
            snapshots,
            kdc,
            started,
            last: None,
            took: Duration::ZERO,
            rows: Rows::default(),
            names: HashMap::new(),
            looking: Vec::new(),
        }
    }

    /// Somebody looks: he is told as soon as he can see what is so now, or was [`SHARE_LOOKED_AT`] times what a snapshot
    /// takes ago.
    pub(crate) fn look(&mut self, look: Look) {
        self.looking.push(look);
    }

    /// True if something has changed that was not published.
    fn stale(&self, core: &HomeAgent) -> bool {
        self.last.is_none_or(|(revision, _)| revision != core.revision())
            || self.kdc.has_changed().unwrap_or(false)
    }

    /// Publishes what has changed, unless a large snapshot was published just now.
    pub(crate) fn publish(&mut self, core: &HomeAgent, tunnel: &Tunnels, clock: Clock) {
        self.publish_changes(core, tunnel, clock);
        for look in self.looking.drain(..) {
            // He may have gone away meanwhile.
            let _ = look.send(());
        }
    }

    fn publish_changes(&mut self, core: &HomeAgent, tunnel: &Tunnels, clock: Clock) {
        if !self.stale(core) {
            return;
        }
        let now = clock.now();
        let spacing = match self.looking.is_empty() {
            true => SPACING.max(self.took * SHARE),
            false => self.took * SHARE_LOOKED_AT,
        };
        let soon = self.last.is_some_and(|(_, at)| now.mono.saturating_since(at) < spacing);
        if soon && core.bindings_held() > FEW {
            return;
        }
        let counters = tunnel.counters();
        let counters = counters.entries().map(|(name, value)| (name.to_owned(), value)).collect();
        self.last = Some((core.revision(), now.mono));
        let status = self.status(core, counters, now);
        let mut snapshot = AgentSnapshot::new(status);
        snapshot.bindings = core.bindings().map(|b| binding(core, b, now)).collect();
        let associations = core.bindings().flat_map(|b| b.associations.iter().map(|a| (a, b.home_address)));
        let names = &mut self.names;
        let rows = associations.map(|(a, of)| {
            let name = names.entry((a.inbound, a.outbound, a.made)).or_insert_with(|| a.key.fingerprint().0);
            shown::Association::named(a, of, now.unix, *name)
        });
        snapshot.associations = rows.collect();
        // Those of keys that are gone go all at once.
        if self.names.len() > 2 * snapshot.associations.len() + FEW {
            self.names.clear();
        }
        snapshot.counters = Some(counters::in_all(core, now));
        snapshot.peers = self.rows.of(core, now);
        snapshot.answer_time = core.registrations(now).keys_sum;
        self.snapshots.send_replace(Arc::new(snapshot));
        self.took = clock.now().mono.saturating_since(now.mono);
    }

    fn status(&mut self, core: &HomeAgent, counters: Vec<(String, u64)>, now: Now) -> StatusReply {
        StatusReply {
            role: Role::HomeAgent.into(),
            nai: core.config().nai.clone(),
            uptime_s: now.mono.saturating_since(self.started).as_secs(),
            counters: core.counters().iter().map(|(k, v)| (k.clone(), *v)).chain(counters).collect(),
            bindings: core.bindings_held() as u64,
            pending: core.pending() as u64,
            kdc: self.kdc.borrow_and_update().clone(),
            ..StatusReply::default()
        }
    }
}

fn binding(core: &HomeAgent, binding: &record::Binding, now: Now) -> Binding {
    let left = core.lifetime_left(binding.home_address, binding.care_of, now);
    Binding {
        nai: binding.nai.to_string(),
        home_address: binding.home_address.to_string(),
        care_of: binding.care_of.to_string(),
        agent: binding.foreign_agent.as_deref().unwrap_or_default().to_owned(),
        encapsulation: binding.tunnel.name().to_owned(),
        tunnel_to: match binding.tunnel {
            Tunnel::IpInIp(address) | Tunnel::Minimal(address) | Tunnel::Gre(address) => address.to_string(),
            Tunnel::Udp(address) => address.to_string(),
        },
        reverse_tunnel: binding.reverse_tunnel,
        lifetime_s: u32::from(binding.lifetime),
        lifetime_left_s: left.map_or(u32::MAX, |s| u32::try_from(s).unwrap_or(u32::MAX)),
    }
}
