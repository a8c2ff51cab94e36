//! How values of the cores are shown to an operator: never a key, always its name.

use std::time::Duration;

use proto::agent;

/// An event as it is kept in the [`EventLog`](crate::EventLog).
#[must_use]
pub fn event(event: &mobility::Event, now: sansio::Now) -> agent::Event {
    let text = |address: Option<std::net::Ipv4Addr>| address.map_or_else(String::new, |a| a.to_string());
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

/// A security association at this wall time.
#[must_use]
pub fn association(association: &record::Association, unix: Duration) -> agent::Association {
    let left = association.ends.saturating_sub(unix.as_secs());
    agent::Association {
        kind: association.kind.name().to_owned(),
        inbound_spi: association.inbound.0,
        outbound_spi: association.outbound.0,
        own_name: association.own.to_string(),
        peer_name: association.peer.to_string(),
        lifetime_left_s: u32::try_from(left).unwrap_or(u32::MAX),
        fingerprint: association.key.fingerprint_hex(),
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
