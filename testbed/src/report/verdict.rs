//! What must not have happened in a run.

use std::collections::BTreeSet;

use super::{Handover, Negotiation, Report};

/// Longest handover that is acceptable over good links, in milliseconds. Over bad ones, or while something is
/// wrong on purpose, only a packet that never comes is a fault.
const LONGEST: f64 = 2000.0;

/// One sentence per fault.
pub(super) fn faults(report: &Report, missing_frames: u32) -> Vec<String> {
    let mut faults: Vec<String> = report.handovers.iter().filter_map(|line| handover(report, line)).collect();
    let ping = &report.ping;
    if ping.lost_outside_handovers > 0 {
        faults.push(format!(
            "{} probes were lost although no handover was under way",
            ping.lost_outside_handovers
        ));
    }
    for fault in &report.scheduled_faults {
        if let Some(error) = &fault.error {
            faults.push(format!("the scenario's {} {} failed: {error}", fault.what, fault.target));
        }
    }
    for reload in &report.reloads {
        if let Some(error) = &reload.error {
            faults.push(format!("{} was not configured anew: {error}", reload.node));
        }
    }
    let overrun: u64 = report.emulated_links.iter().map(|link| link.overrun).sum();
    if overrun > 0 {
        faults
            .push(format!("the machine was too slow for the emulated links: {overrun} frames were not read"));
    }
    transfer(report, &mut faults);
    keys(report, &mut faults);
    if missing_frames > 0 {
        faults.push(format!("the captures lack {missing_frames} frames"));
    }
    faults
}

fn handover(report: &Report, line: &Handover) -> Option<String> {
    let all_well = report.scheduled_faults.is_empty();
    let good_links = report.emulated_links.is_empty();
    let what = format!("{}: {} -> {}", line.node, line.from, line.to);
    match line.link_up_to_first_packet_ms {
        None => Some(format!("{what}: no packet came")),
        Some(ms) if ms > LONGEST && all_well && good_links => {
            Some(format!("{what}: {ms:.0} ms to the first packet"))
        }
        Some(_) => {
            let unknown = [line.discovery_ms, line.registration_ms, line.tunnel_ms].contains(&None);
            // A daemon that was killed did not tell everything.
            (unknown && all_well).then(|| format!("{what}: the mobile node did not tell of each step"))
        }
    }
}

fn transfer(report: &Report, faults: &mut Vec<String>) {
    let transfer = &report.transfer;
    if let Some(error) = &transfer.error {
        faults.push(format!("the transfer failed: {error}"));
        return;
    }
    if !transfer.sha256_match {
        faults.push("the transfer arrived with another SHA-256 than it left with".into());
    }
    if transfer.bytes == 0 {
        faults.push("the transfer carried nothing".into());
    }
    if transfer.connections != 1 {
        faults.push(format!("the transfer took {} connections", transfer.connections));
    }
    let first = report.handovers.iter().map(|line| line.link_down_at_ms).fold(f64::INFINITY, f64::min);
    let last = report.handovers.iter().map(|line| line.link_up_at_ms).fold(0.0, f64::max);
    if transfer.started_ms > first || transfer.ended_ms < last {
        faults.push("the transfer did not span the whole walk".into());
    }
}

fn keys(report: &Report, faults: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for keys in &report.keys {
        // Keys that two others make by themselves the home agent does not know.
        let before = |of: &&Negotiation| {
            (&of.node, &of.care_of) == (&keys.node, &keys.care_of) && of.at_ms <= keys.at_ms
        };
        let negotiated = || report.negotiations.iter().filter(before);
        // A renewal may agree on something else than the registration before it.
        let last = negotiated().map(|of| of.at_ms).fold(f64::NEG_INFINITY, f64::max);
        let unknown = negotiated()
            .filter(|of| of.at_ms >= last && of.mode != "stateful")
            .any(|of| of.association.starts_with("MN-") && of.association != "MN-HA");
        let wanted = if keys.agent.is_empty() { 1 } else { 3 - usize::from(unknown) };
        if keys.fingerprints.len() != wanted {
            faults.push(format!("{} keys for {} at {}", keys.fingerprints.len(), keys.node, keys.care_of));
        }
        for fingerprint in &keys.fingerprints {
            if !seen.insert(fingerprint) {
                faults.push(format!("the key {fingerprint} was handed out twice"));
            }
        }
    }
    let away = report.handovers.iter().filter(|line| !line.care_of.is_empty()).count();
    if report.keys.len() < away {
        faults.push(format!("{away} registrations away from home, and keys of only {}", report.keys.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{EmulatedLink, Keys, Ping, Reload, ScheduledFault, Topology, Transfer};

    fn report() -> Report {
        let line = |to: &str, care_of: &str| Handover {
            node: "mn".into(),
            from: "x".into(),
            to: to.into(),
            care_of: care_of.into(),
            link_down_at_ms: 10.0,
            link_up_at_ms: 11.0,
            link_up_to_first_packet_ms: Some(40.0),
            discovery_ms: Some(1.0),
            registration_ms: Some(1.0),
            tunnel_ms: Some(1.0),
            ..Handover::default()
        };
        let keys = |agent: &str, care_of: &str, fingerprints: &[&str]| Keys {
            node: "mn".into(),
            agent: agent.into(),
            care_of: care_of.into(),
            at_ms: 20.0,
            spis: vec![],
            fingerprints: fingerprints.iter().map(|text| (*text).to_owned()).collect(),
        };
        Report {
            negotiations: vec![],
            renewals: vec![],
            topology: Topology { scenario: String::new(), links: vec![], nodes: vec![] },
            mobile_nodes: vec![],
            handovers: vec![line("a", "10.51.1.2"), line("c", "192.168.77.10"), line("home", "")],
            transfer: Transfer {
                bytes: 1,
                sha256_match: true,
                connections: 1,
                started_ms: 0.0,
                ended_ms: 100.0,
                error: None,
                curve: vec![],
            },
            ping: Ping::default(),
            keys: vec![keys("fa-a", "10.51.1.2", &["1", "2", "3"]), keys("", "192.168.77.10", &["4"])],
            captures: vec![],
            emulated_links: vec![],
            scheduled_faults: vec![],
            reloads: vec![],
            standstills: vec![],
            losses: vec![],
            faults: vec![],
        }
    }

    #[test]
    fn a_good_run_has_no_fault() {
        assert_eq!(faults(&report(), 0), Vec::<String>::new());
    }

    #[test]
    fn every_wrong_thing_is_a_fault() {
        type Spoil = fn(&mut Report);
        let ways: [(&str, Spoil); 15] = [
            ("no packet came", |report| {
                report.handovers[0].link_up_to_first_packet_ms = None;
            }),
            ("2001 ms", |report| {
                report.handovers[2].link_up_to_first_packet_ms = Some(2000.6);
            }),
            ("each step", |report| report.handovers[1].tunnel_ms = None),
            ("3 probes", |report| report.ping.lost_outside_handovers = 3),
            ("broken pipe", |report| {
                report.transfer.error = Some("broken pipe".into());
            }),
            ("SHA-256", |report| report.transfer.sha256_match = false),
            ("2 connections", |report| report.transfer.connections = 2),
            ("span", |report| report.transfer.ended_ms = 10.5),
            ("handed out twice", |report| {
                report.keys[1].fingerprints = vec!["2".into()];
            }),
            ("2 keys", |report| {
                report.keys[0].fingerprints.pop();
            }),
            ("carried nothing", |report| report.transfer.bytes = 0),
            ("kill fa-a failed: no", |report| {
                let (what, target) = ("kill".into(), "fa-a".into());
                let error = Some("no".into());
                report.scheduled_faults.push(ScheduledFault {
                    at_ms: 1.0,
                    what,
                    target,
                    done_ms: 2.0,
                    error,
                });
            }),
            ("ha was not configured anew: no", |report| {
                let (node, error) = ("ha".into(), Some("no".into()));
                report.reloads.push(Reload { at_ms: 1.0, node, done_ms: 2.0, changes: vec![], error });
            }),
            ("5 frames were not read", |report| {
                report.emulated_links.push(EmulatedLink { overrun: 5, ..EmulatedLink::default() });
            }),
            ("only 1", |report| {
                report.keys.pop();
            }),
        ];
        for (words, spoil) in ways {
            let mut report = report();
            spoil(&mut report);
            let faults = faults(&report, 0);
            assert_eq!(faults.len(), 1, "{words}: {faults:?}");
            assert!(faults[0].contains(words), "{words}: {faults:?}");
        }
        assert_eq!(faults(&report(), 7), ["the captures lack 7 frames"]);
    }

    #[test]
    fn keys_are_counted_by_what_their_own_registration_negotiated() {
        let mut report = report();
        let negotiated = |at_ms: f64, mode: &str| Negotiation {
            node: "mn".into(),
            agent: "fa-a".into(),
            care_of: "10.51.1.2".into(),
            at_ms,
            association: "MN-FA".into(),
            offered: mode.into(),
            agreed: String::new(),
            rounds: 1,
            mode: mode.into(),
        };
        let keys = |at_ms: f64, fingerprints: &[&str]| Keys {
            node: "mn".into(),
            agent: "fa-a".into(),
            care_of: "10.51.1.2".into(),
            at_ms,
            spis: vec![],
            fingerprints: fingerprints.iter().map(|text| (*text).to_owned()).collect(),
        };
        report.negotiations = vec![negotiated(20.0, "stateful"), negotiated(30.0, "stateless")];
        report.keys.push(keys(30.0, &["5", "6"]));
        assert_eq!(faults(&report, 0), Vec::<String>::new());
        report.keys.push(keys(31.0, &["7", "8", "9"]));
        assert_eq!(faults(&report, 0), ["3 keys for mn at 10.51.1.2"]);
        report.negotiations.push(negotiated(31.0, "stateful"));
        assert_eq!(faults(&report, 0), Vec::<String>::new());
    }

    #[test]
    fn bad_links_make_a_handover_long_without_a_fault() {
        let mut report = report();
        report.emulated_links.push(EmulatedLink::default());
        report.handovers[0].link_up_to_first_packet_ms = Some(6000.0);
        assert_eq!(faults(&report, 0), Vec::<String>::new());
        report.handovers[0].link_up_to_first_packet_ms = None;
        assert_eq!(faults(&report, 0).len(), 1, "a packet must come");
    }
}
