//! The numbers of a report, from the raw times of a walk.

use std::collections::BTreeSet;

use proto::agent::Event;

use super::{Handover, Keys, Ping, Transfer};
use crate::{clock, scenario::Scenario, traffic::probe::Log, walk, walk::Walk};

/// A packet is on its way this long at most when nothing is wrong (nanoseconds): one that was sent so shortly
/// before a link went down was lost with the link.
const ON_THE_WAY: u64 = 50_000_000;
/// The way before a handover is judged by the packets of the last second.
const LATELY: u64 = 1_000_000_000;

/// The window in which a handover may lose packets, by time of sending: from the last packets that could not
/// arrive any more before the link went down, to the first that came on the new link.
fn window(log: &Log, handover: &walk::Handover) -> (u64, u64) {
    let down = handover.moved.link_down;
    let slowest = log
        .arrivals
        .iter()
        .filter(|arrival| (down.saturating_sub(LATELY)..down).contains(&arrival.at))
        .filter_map(|arrival| Some(arrival.at.saturating_sub(*log.sent.get(arrival.number)?)))
        .max()
        .unwrap_or(0);
    (down.saturating_sub(slowest.min(ON_THE_WAY)), handover.first_packet.unwrap_or(handover.until))
}

/// Numbers of lost packets with their times of sending.
fn lost(log: &Log) -> impl Iterator<Item = u64> {
    log.sent.iter().zip(log.received()).filter(|(_, received)| received.is_none()).map(|(sent, _)| *sent)
}

/// One line of the report.
pub(super) fn handover(walk: &Walk, handover: &walk::Handover) -> Handover {
    let (down, up) = (handover.moved.link_down, handover.moved.link_up);
    // A daemon may hear of the carrier, and act, a moment before the testbed does.
    let plugged = handover.moved.plugged;
    let events = walk.events.get(&handover.node).map(Vec::as_slice).unwrap_or_default();
    let find = |from: u64, kinds: &[&str]| -> Option<&Event> {
        events
            .iter()
            .filter(|event| event.boot_ns >= from && event.boot_ns < handover.until)
            .find(|event| kinds.contains(&event.kind.as_str()))
    };
    let request = find(plugged, &["request_sent"]);
    let accepted = find(plugged, &["registered", "deregistered"]);
    let routes = find(plugged, &["route_installed"]);
    let span = |from: Option<u64>, to: Option<&Event>| Some(round(clock::ms(from?, to?.boot_ns)));
    let losses = walk.probes.get(&handover.node).map_or(0, |log| {
        let (from, to) = window(log, handover);
        lost(log).filter(|sent| (from..=to).contains(sent)).count()
    });
    Handover {
        node: handover.node.clone(),
        from: handover.moved.from.clone(),
        to: handover.moved.to.clone(),
        care_of: accepted
            .filter(|event| event.kind == "registered")
            .map(|event| event.care_of.clone())
            .unwrap_or_default(),
        link_down_at_ms: round(clock::ms(walk.zero, down)),
        link_up_at_ms: round(clock::ms(walk.zero, up)),
        carrier_ms: round(clock::ms(plugged, up)),
        link_up_to_first_packet_ms: handover.first_packet.map(|first| round(clock::ms(up, first))),
        discovery_ms: span(Some(up), request),
        registration_ms: span(request.map(|event| event.boot_ns), accepted),
        tunnel_ms: span(accepted.map(|event| event.boot_ns), routes),
        packets_lost: losses,
        transfer_bytes_before: handover.bytes_before,
        transfer_bytes_after: handover.bytes_after,
    }
}

pub(super) fn transfer(walk: &Walk) -> Transfer {
    let outcome = &walk.transfer;
    Transfer {
        bytes: outcome.bytes,
        sha256_match: outcome.sha256_match,
        connections: outcome.connections,
        started_ms: round(signed_ms(walk.zero, outcome.started)),
        ended_ms: round(signed_ms(walk.zero, outcome.ended)),
        error: outcome.error.clone(),
    }
}

/// All probe streams together.
pub(super) fn ping(walk: &Walk) -> Ping {
    let mut ping = Ping::default();
    for (node, log) in &walk.probes {
        let windows: Vec<(u64, u64)> = walk
            .handovers
            .iter()
            .filter(|handover| handover.node == *node)
            .map(|handover| window(log, handover))
            .collect();
        let inside = |sent: &u64| windows.iter().any(|(from, to)| (from..=to).contains(&sent));
        ping.sent += log.sent.len();
        ping.received += log.received().iter().flatten().count();
        ping.longest_gap_ms = ping.longest_gap_ms.max(round(log.longest_gap() as f64 / 1e6));
        ping.lost_outside_handovers += lost(log).filter(|sent| !inside(sent)).count();
    }
    ping
}

/// The keys that the home agents made, each once.
pub(super) fn keys(scenario: &Scenario, walk: &Walk) -> Vec<Keys> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    let homes = scenario.home_agents.iter().filter_map(|agent| walk.events.get(agent.name.get_ref()));
    for event in homes.flatten().filter(|event| event.kind == "binding_added" && !event.keys.is_empty()) {
        let fingerprints: Vec<String> = event.keys.iter().map(|key| key.fingerprint.clone()).collect();
        if !seen.insert(fingerprints.clone()) {
            continue;
        }
        let node = scenario
            .mobile_nodes
            .iter()
            .find(|mobile| mobile.home_address.get_ref().to_string() == event.home_address)
            .map_or_else(|| event.home_address.clone(), |mobile| mobile.name.get_ref().clone());
        let agent = scenario
            .foreign_agents
            .iter()
            .find(|agent| agent.nai() == event.agent)
            .map_or_else(|| event.agent.clone(), |agent| agent.name.get_ref().clone());
        let spis = event.keys.iter().flat_map(|key| key.spis.iter().copied()).collect();
        found.push(Keys { node, agent, care_of: event.care_of.clone(), spis, fingerprints });
    }
    found
}

fn signed_ms(from: u64, to: u64) -> f64 {
    if to >= from { clock::ms(from, to) } else { -clock::ms(to, from) }
}

/// Three digits behind the point: microseconds.
fn round(ms: f64) -> f64 {
    (ms * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{network::Move, traffic::probe::Arrival, traffic::transfer::Outcome};

    const MS: u64 = 1_000_000;

    fn event(kind: &str, at: u64) -> Event {
        Event { kind: kind.into(), boot_ns: at * MS, care_of: "10.51.1.2".into(), ..Event::default() }
    }

    /// One probe a millisecond for a second, 1 ms on the way; those sent from `from` to `to` are lost.
    fn log(lost: std::ops::Range<u64>) -> Log {
        let mut log = Log::default();
        for number in 0..1000 {
            log.sent.push(number * MS);
            if !lost.contains(&number) {
                log.arrivals.push(Arrival { number: number as usize, at: (number + 1) * MS });
            }
        }
        log
    }

    fn walk(lost: std::ops::Range<u64>) -> Walk {
        let moved = Move {
            from: "home".into(),
            to: "a".into(),
            link_down: 500 * MS,
            plugged: 500 * MS,
            link_up: 501 * MS,
        };
        Walk {
            zero: 0,
            handovers: vec![walk::Handover {
                node: "mn".into(),
                moved,
                first_packet: Some(541 * MS),
                until: 1000 * MS,
                bytes_before: 7,
                bytes_after: 9,
            }],
            probes: BTreeMap::from([("mn".into(), log(lost))]),
            transfer: Outcome {
                bytes: 9,
                sha256_match: true,
                connections: 1,
                started: 0,
                ended: 900 * MS,
                error: None,
            },
            events: BTreeMap::from([(
                "mn".into(),
                vec![
                    event("registered", 3),
                    event("agent_heard", 511),
                    event("request_sent", 512),
                    event("request_sent", 520),
                    event("registered", 530),
                    event("route_installed", 532),
                ],
            )]),
        }
    }

    #[test]
    fn a_handover_says_where_the_milliseconds_went() {
        let walk = walk(499..540);
        let line = handover(&walk, &walk.handovers[0]);
        assert_eq!(line.discovery_ms, Some(11.0));
        assert_eq!(line.registration_ms, Some(18.0));
        assert_eq!(line.tunnel_ms, Some(2.0));
        assert_eq!(line.link_up_to_first_packet_ms, Some(40.0));
        assert_eq!(line.packets_lost, 41);
        assert_eq!(line.care_of, "10.51.1.2");
        let ping = ping(&walk);
        assert_eq!((ping.sent, ping.received, ping.lost_outside_handovers), (1000, 959, 0));
        assert_eq!(ping.longest_gap_ms, 42.0);
    }

    #[test]
    fn a_loss_before_the_link_went_or_after_the_first_packet_is_told() {
        assert_eq!(ping(&walk(300..301)).lost_outside_handovers, 1);
        assert_eq!(ping(&walk(497..501)).lost_outside_handovers, 2);
        assert_eq!(ping(&walk(542..544)).lost_outside_handovers, 2);
    }

    #[test]
    fn routes_that_stood_before_the_reply_cost_nothing() {
        let mut walk = walk(0..0);
        if let Some(events) = walk.events.get_mut("mn") {
            events.retain(|event| event.kind != "route_installed");
            events.insert(0, event("route_installed", 505));
        }
        assert_eq!(handover(&walk, &walk.handovers[0]).tunnel_ms, Some(0.0));
    }
}
