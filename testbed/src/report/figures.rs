//! The numbers of a report, from the raw times of a walk.

use std::collections::BTreeSet;

use proto::agent::Event;

use super::{
    Cause, EmulatedLink, Handover, Keys, Ping, Reload, ScheduledFault, Standstill, Transfer,
    losses::{self, Lost},
};
use crate::{
    clock,
    scenario::Scenario,
    walk,
    walk::{Reloaded, Trouble, Walk},
};

/// Every line of the report.
pub(super) fn handovers(walk: &Walk, lost: &[Lost<'_>]) -> Vec<Handover> {
    walk.handovers.iter().map(|line| handover(walk, lost, line)).collect()
}

fn handover(walk: &Walk, lost: &[Lost<'_>], handover: &walk::Handover) -> Handover {
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
    let losses = |cause: Cause| {
        let Some(log) = walk.probes.get(&handover.node) else { return 0 };
        let (from, to) = losses::window(log, handover, walk.on_the_way);
        let to_node = |probe: &&Lost<'_>| probe.node == handover.node && !probe.back && probe.cause == cause;
        let of_node = lost.iter().filter(to_node);
        of_node.filter(|probe| (from..=to).contains(&probe.sent)).count()
    };
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
        packets_lost: losses(Cause::Handover),
        packets_lost_on_links: losses(Cause::Link),
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
        started_ms: relative_ms(walk.zero, outcome.started),
        ended_ms: relative_ms(walk.zero, outcome.ended),
        error: outcome.error.clone(),
        curve: outcome.curve.iter().map(|(at, bytes)| (relative_ms(walk.zero, *at), *bytes)).collect(),
    }
}

/// All probe streams together.
pub(super) fn ping(walk: &Walk, lost: &[Lost<'_>]) -> Ping {
    let of = |cause: Cause| lost.iter().filter(|probe| probe.cause == cause).count();
    let mut ping = Ping {
        lost_on_links: of(Cause::Link),
        lost_by_faults: of(Cause::Fault),
        lost_in_standstills: of(Cause::Standstill),
        lost_outside_handovers: of(Cause::Unexplained),
        ..Ping::default()
    };
    for log in walk.probes.values().chain(walk.back.values()) {
        ping.sent += log.sent.len();
        ping.received += log.received().iter().flatten().count();
        ping.longest_gap_ms = ping.longest_gap_ms.max(round(log.longest_gap() as f64 / 1e6));
    }
    ping
}

/// When the machine stood still.
pub(super) fn standstills(walk: &Walk) -> Vec<Standstill> {
    let told = |(from, to): &(u64, u64)| Standstill {
        from_ms: relative_ms(walk.zero, *from),
        to_ms: relative_ms(walk.zero, *to),
    };
    walk.standstills.iter().map(told).collect()
}

/// The emulated links with their counts.
pub(super) fn emulated_links(scenario: &Scenario, walk: &Walk) -> Vec<EmulatedLink> {
    let mut links = Vec::new();
    for line in scenario.lines() {
        let counts = walk.ledger.links().find(|(link, _)| *link == line.link);
        let counts = counts.map(|(_, counts)| counts.clone()).unwrap_or_default();
        let impairment = line.impairment;
        links.push(EmulatedLink {
            link: line.link,
            delay_ms: round(impairment.delay as f64 / 1e6),
            jitter_ms: round(impairment.jitter as f64 / 1e6),
            loss_percent: impairment.loss_percent,
            duplicate_percent: impairment.duplicate_percent,
            reorder_percent: impairment.reorder_percent,
            damage_percent: impairment.damage_percent,
            rate_mbit: impairment.rate.map(|rate| rate as f64 / 1e6),
            queue_packets: impairment.queue,
            seed: line.seed,
            frames: counts.frames,
            lost: counts.lost,
            queue_full: counts.queue_full,
            cut: counts.cut,
            duplicated: counts.duplicated,
            reordered: counts.reordered,
            damaged: counts.damaged,
            overrun: counts.overrun,
        });
    }
    links
}

/// What the scenario let go wrong.
pub(super) fn scheduled_faults(walk: &Walk) -> Vec<ScheduledFault> {
    let line = |trouble: &Trouble| ScheduledFault {
        at_ms: relative_ms(walk.zero, trouble.at),
        what: trouble.what.word().to_owned(),
        target: trouble.target.clone(),
        done_ms: relative_ms(walk.zero, trouble.done),
        error: trouble.error.clone(),
    };
    walk.troubles.iter().map(line).collect()
}

pub(super) fn reloads(walk: &Walk) -> Vec<Reload> {
    let line = |reloaded: &Reloaded| Reload {
        at_ms: relative_ms(walk.zero, reloaded.at),
        node: reloaded.node.clone(),
        done_ms: relative_ms(walk.zero, reloaded.done),
        changes: reloaded.changes.clone().unwrap_or_default(),
        error: reloaded.changes.as_ref().err().cloned(),
    };
    walk.reloads.iter().map(line).collect()
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
        let at_ms = relative_ms(walk.zero, event.boot_ns);
        found.push(Keys { node, agent, care_of: event.care_of.clone(), at_ms, spis, fingerprints });
    }
    found
}

/// Milliseconds from one boot time to another, which may be earlier.
pub(super) fn relative_ms(from: u64, to: u64) -> f64 {
    round(if to >= from { clock::ms(from, to) } else { -clock::ms(to, from) })
}

/// Three digits behind the point: microseconds.
fn round(ms: f64) -> f64 {
    (ms * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        emulation::Ledger,
        network::Move,
        scenario::What,
        traffic::{
            probe::{Arrival, Log},
            transfer::Outcome,
        },
    };

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
            back: BTreeMap::new(),
            transfer: Outcome {
                bytes: 9,
                sha256_match: true,
                connections: 1,
                started: 0,
                ended: 900 * MS,
                curve: vec![(100 * MS, 0), (900 * MS, 9)],
                error: None,
            },
            troubles: Vec::new(),
            reloads: Vec::new(),
            ledger: Ledger::default(),
            streams: vec!["mn".into()],
            on_the_way: 50 * MS,
            standstills: Vec::new(),
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

    fn line(walk: &Walk) -> Handover {
        handovers(walk, &losses::classify(walk)).remove(0)
    }

    fn pinged(walk: &Walk) -> Ping {
        ping(walk, &losses::classify(walk))
    }

    #[test]
    fn a_handover_says_where_the_milliseconds_went() {
        let walk = walk(499..540);
        let line = line(&walk);
        assert_eq!(line.discovery_ms, Some(11.0));
        assert_eq!(line.registration_ms, Some(18.0));
        assert_eq!(line.tunnel_ms, Some(2.0));
        assert_eq!(line.link_up_to_first_packet_ms, Some(40.0));
        assert_eq!(line.packets_lost, 41);
        assert_eq!(line.care_of, "10.51.1.2");
        let ping = pinged(&walk);
        assert_eq!((ping.sent, ping.received, ping.lost_outside_handovers), (1000, 959, 0));
        assert_eq!(ping.longest_gap_ms, 42.0);
    }

    #[test]
    fn a_loss_before_the_link_went_or_after_the_first_packet_is_told() {
        assert_eq!(pinged(&walk(300..301)).lost_outside_handovers, 1);
        // Those that nothing came behind were held up as the cable was pulled, for ten milliseconds at most.
        assert_eq!(pinged(&walk(497..501)).lost_outside_handovers, 0);
        assert_eq!(pinged(&walk(485..501)).lost_outside_handovers, 5);
        assert_eq!(pinged(&walk(542..544)).lost_outside_handovers, 2);
    }

    #[test]
    fn routes_that_stood_before_the_reply_cost_nothing() {
        let mut walk = walk(0..0);
        if let Some(events) = walk.events.get_mut("mn") {
            events.retain(|event| event.kind != "route_installed");
            events.insert(0, event("route_installed", 505));
        }
        assert_eq!(line(&walk).tunnel_ms, Some(0.0));
    }

    #[test]
    fn what_a_node_sends_is_lost_for_reasons_of_its_own() {
        let mut walk = walk(0..0);
        walk.back = BTreeMap::from([("mn".into(), log(499..560))]);
        walk.back.extend([("mn-2".into(), log(700..702))]);
        let lost = losses::classify(&walk);
        let told: Vec<_> = losses::in_order(&walk, &lost)
            .iter()
            .map(|loss| (loss.node.clone(), loss.back, loss.cause, loss.probes))
            .collect();
        // The first that came of its own was sent at 560.
        let expected = [("mn", Cause::Handover, 61), ("mn-2", Cause::Unexplained, 2)];
        let expected = expected.map(|(node, cause, probes)| (node.to_owned(), true, cause, probes));
        assert_eq!(told, expected);
        assert_eq!((line(&walk).packets_lost, pinged(&walk).lost_outside_handovers), (0, 2));
        assert_eq!(pinged(&walk).sent, 3000);
    }

    fn trouble(what: What, at: u64) -> Trouble {
        Trouble { what, target: "fa-a".into(), at: at * MS, done: (at + 5) * MS, error: None }
    }

    #[test]
    fn each_loss_has_the_first_cause_that_explains_it() {
        let mut walk = walk(480..545);
        walk.ledger = Ledger::of_probes(&[(0, 492), (0, 510), (7, 495)]);
        let ping = pinged(&walk);
        assert_eq!(ping.lost_on_links, 2, "another stream's drops are not this one's");
        assert_eq!(ping.lost_outside_handovers, 10 + 3);
        let line = line(&walk);
        assert_eq!((line.packets_lost, line.packets_lost_on_links), (50, 2));
        assert_eq!(ping.sent - ping.received, 65, "and nothing is counted twice");
    }

    #[test]
    fn an_outage_lasts_until_something_comes_through_again() {
        let mut walk = walk(700..760);
        walk.troubles = vec![trouble(What::Kill, 700), trouble(What::Start, 750)];
        assert_eq!(pinged(&walk).lost_by_faults, 60);
        walk.troubles.pop();
        assert_eq!(pinged(&walk).lost_by_faults, 60, "never put right");
        walk.troubles = vec![trouble(What::Stop, 700), trouble(What::Continue, 730)];
        let ping = pinged(&walk);
        assert_eq!(ping.lost_by_faults, 60, "it came to itself a little later");
        walk.troubles = vec![trouble(What::Impair, 700)];
        assert_eq!(pinged(&walk).lost_outside_handovers, 60, "an impairment counts its own losses");
    }

    #[test]
    fn what_is_lost_while_the_machine_stands_still_is_nobodys_fault() {
        let mut walk = walk(700..760);
        walk.standstills = vec![(705 * MS, 740 * MS)];
        let ping = pinged(&walk);
        assert_eq!((ping.lost_in_standstills, ping.lost_outside_handovers), (60, 0));
        assert_eq!(standstills(&walk), [Standstill { from_ms: 705.0, to_ms: 740.0 }]);
        walk.standstills = vec![(755 * MS, 780 * MS)];
        let ping = pinged(&walk);
        assert_eq!((ping.lost_in_standstills, ping.lost_outside_handovers), (55, 5), "what was under way");
        walk.standstills = vec![(500 * MS, 590 * MS)];
        assert_eq!(pinged(&walk).lost_outside_handovers, 60, "long over");
    }

    #[test]
    fn losses_of_one_cause_next_to_each_other_are_one_line() {
        let mut walk = walk(480..545);
        walk.ledger = Ledger::of_probes(&[(0, 492)]);
        let lost = losses::classify(&walk);
        let told: Vec<_> = losses::in_order(&walk, &lost)
            .iter()
            .map(|loss| (loss.cause, loss.from_ms, loss.to_ms, loss.probes))
            .collect();
        let expected = [
            (Cause::Unexplained, 480.0, 489.0, 10),
            (Cause::Handover, 490.0, 541.0, 51),
            (Cause::Link, 492.0, 492.0, 1),
            (Cause::Unexplained, 542.0, 544.0, 3),
        ];
        assert_eq!(told, expected);
    }
}
