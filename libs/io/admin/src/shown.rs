//! How values of the cores are shown to an operator: never a key, always its name.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use crypto::Fingerprint;
use proto::agent;
use record::Mode;
use sa::negotiation::group_name;
use wire::mip::share::Group;

/// An event as it is kept in the [`EventLog`](crate::EventLog).
#[must_use]
pub fn event(event: &mobility::Event, now: sansio::Now) -> agent::Event {
    let text = |address: Option<Ipv4Addr>| address.map_or_else(String::new, |a| a.to_string());
    agent::Event {
        number: 0,
        unix_ns: nanoseconds(now.unix),
        boot_ns: nanoseconds(now.mono.since_start()),
        kind: event.kind.word().to_owned(),
        agent: event.agent.clone().unwrap_or_default(),
        care_of: text(event.care_of),
        home_address: text(event.home_address),
        code: event.code.map_or(0, u32::from),
        lifetime_s: event.lifetime.map_or(0, u32::from),
        encapsulation: event.encapsulation.unwrap_or_default().to_owned(),
        keys: event.keys.iter().map(key).collect(),
        negotiations: event.negotiations.iter().map(negotiation).collect(),
        text: event.text.clone(),
        trace: event.trace.map_or_else(String::new, |trace| trace.to_string()),
    }
}

fn negotiation(of: &mobility::Negotiated) -> agent::Negotiation {
    agent::Negotiation {
        association: of.association.to_owned(),
        offered: of.offered.clone(),
        agreed: of.agreed.clone(),
        rounds: of.rounds.into(),
        mode: of.mode.name().to_owned(),
    }
}

fn key(key: &mobility::EventKey) -> agent::Key {
    agent::Key {
        kind: key.kind.name().to_owned(),
        spis: key.spis.iter().map(|spi| spi.0).collect(),
        fingerprint: key.fingerprint.to_string(),
    }
}

/// A security association as it is kept in an [`AgentSnapshot`](crate::AgentSnapshot): there may be millions, and making
/// one takes no memory of its own.
#[derive(Clone, Debug)]
pub struct Association {
    /// "KEY 1", "KEY 2" or "KEY 3".
    pub kind: &'static str,
    /// Index of what is received.
    pub inbound: u32,
    /// Index of what is sent.
    pub outbound: u32,
    /// Our name.
    pub own: Arc<str>,
    /// The peer's name.
    pub peer: Arc<str>,
    /// Home address of the mobile node.
    pub home_address: Ipv4Addr,
    /// Seconds until it ends.
    pub left_s: u32,
    /// Seconds since it was made.
    pub age_s: u32,
    /// Names the key.
    pub fingerprint: [u8; 8],
    /// What seals, in the words of configurations.
    pub encryption: &'static str,
    /// What authenticates.
    pub integrity: &'static str,
    /// How its key was made.
    pub mode: &'static str,
    /// By which group, if by a key exchange.
    pub group: Option<u16>,
    /// "in use", "new" or "retiring".
    pub state: &'static str,
}

impl Association {
    /// That of the mobile node with this home address at this wall time.
    #[must_use]
    pub fn of(association: &record::Association, home_address: Ipv4Addr, unix: Duration) -> Self {
        Self::named(association, home_address, unix, association.key.fingerprint().0)
    }

    /// The same where the key's name is known already: making one takes longer than all the rest.
    #[must_use]
    pub fn named(
        association: &record::Association,
        home_address: Ipv4Addr,
        unix: Duration,
        fingerprint: [u8; 8],
    ) -> Self {
        let seconds = |seconds: u64| u32::try_from(seconds).unwrap_or(u32::MAX);
        let suite = &association.suite;
        Self {
            kind: association.kind.name(),
            inbound: association.inbound.0,
            outbound: association.outbound.0,
            own: Arc::clone(&association.own),
            peer: Arc::clone(&association.peer),
            home_address,
            left_s: seconds(association.ends.saturating_sub(unix.as_secs())),
            age_s: seconds(unix.as_secs().saturating_sub(association.made)),
            fingerprint,
            encryption: suite.encryption.name(),
            integrity: suite.integrity.name(),
            mode: suite.mode.name(),
            group: (suite.mode == Mode::Stateless).then_some(suite.group.0),
            state: match (association.retires, association.confirmed) {
                (Some(_), _) => "retiring",
                (None, true) => "in use",
                (None, false) => "new",
            },
        }
    }

    /// As it is told `later_s` seconds after the snapshot.
    pub(crate) fn told(&self, later_s: u64) -> agent::Association {
        let later = u32::try_from(later_s).unwrap_or(u32::MAX);
        agent::Association {
            kind: self.kind.to_owned(),
            inbound_spi: self.inbound,
            outbound_spi: self.outbound,
            own_name: self.own.to_string(),
            peer_name: self.peer.to_string(),
            lifetime_left_s: self.left_s.saturating_sub(later),
            fingerprint: Fingerprint(self.fingerprint).to_string(),
            home_address: self.home_address.to_string(),
            encryption: self.encryption.to_owned(),
            integrity: self.integrity.to_owned(),
            mode: self.mode.to_owned(),
            group: self.group.map_or_else(String::new, |group| group_name(Group(group))),
            age_s: self.age_s.saturating_add(later),
            state: self.state.to_owned(),
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
