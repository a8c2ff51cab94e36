//! Minimal encapsulation, GRE, and encapsulating delivery with broadcasts, by the real binaries.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    net::Ipv4Addr,
    path::Path,
    process::{Child, ChildStdout, Stdio},
};

use netns_tests::{
    Testbed,
    frames::{Packet, ipv4},
    pcap::{self, Frame},
    text,
};

const SCENARIO: &str = "70-encapsulations.toml";
const CRY: &str = env!("CARGO_BIN_EXE_netns-cry");
const HOME_AGENT: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 2);
const FA_A: Ipv4Addr = Ipv4Addr::new(10, 51, 1, 2);
const FA_A_ON_LINK: Ipv4Addr = Ipv4Addr::new(10, 21, 1, 1);
/// Home address of the node with encapsulating delivery.
const ALL: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 52);

/// The network of the scenario, its transfer to this node, captured into that directory.
fn up(to: &str, captures: &Path) -> Testbed {
    up_with(captures, "to = \"mn-minimal\"", &format!("to = \"{to}\""))
}

/// The network of the scenario with a line changed, captured into that directory.
fn up_with(captures: &Path, line: &str, changed: &str) -> Testbed {
    let testbed = Testbed::new().unwrap();
    let scenario = std::fs::read_to_string(Testbed::scenarios().join(SCENARIO)).unwrap();
    let file = testbed.results().join(SCENARIO);
    assert_eq!(scenario.matches(line).count(), 1, "{line}");
    std::fs::write(&file, scenario.replace(line, changed)).unwrap();
    testbed.run(&["up".as_ref(), file.as_os_str(), "--pcap".as_ref(), captures.as_os_str()]).unwrap();
    testbed
}

fn frames(captures: &Path, link: &str) -> Vec<Frame> {
    pcap::read(&captures.join(link).with_extension("pcap")).unwrap()
}

/// The packets between home agent and foreign agent, and no registration messages.
fn tunnelled(frames: &[Frame]) -> impl Iterator<Item = Packet<'_>> {
    let between = [(HOME_AGENT, FA_A), (FA_A, HOME_AGENT)];
    let packets = frames.iter().filter_map(ipv4).filter(|packet| packet.registration().is_none());
    packets.filter(move |packet| between.contains(&(packet.source, packet.destination)))
}

/// The words that `sojourn` says of the tunnel of the one with this home address.
fn encapsulation(testbed: &Testbed, agent: &str, words: [&str; 2], home: &str) -> String {
    let said = testbed.run(&[&["exec", agent, "--", "sojourn", "--json"][..], &words].concat()).unwrap();
    let values = serde_json::Deserializer::from_str(&said).into_iter::<serde_json::Value>();
    let rows = values.map(Result::unwrap);
    let mut rows = rows.flat_map(|value| value.as_array().cloned().unwrap_or_else(|| vec![value]));
    let row = rows.find(|row| row["home_address"] == home).unwrap_or_else(|| panic!("no {home}: {said}"));
    text(&row["encapsulation"]).to_owned()
}

fn carries(node: &str, home: &str, kind: &str, protocol: u8) {
    let captures = tempfile::tempdir().unwrap();
    let testbed = up(node, captures.path());
    testbed.run(&["move", node, "--to", "visited-a"]).unwrap();
    assert_eq!(encapsulation(&testbed, "ha", ["ha", "bindings"], home), kind);
    assert_eq!(encapsulation(&testbed, "fa-a", ["fa", "visitors"], home), kind);
    let traffic = || {
        let result = testbed.json(&["traffic", "--megabytes", "5", "--seconds", "2"]).unwrap();
        assert_eq!(result["transfer"]["sha256_match"], true, "{result}");
        assert_eq!(result["transfer"]["connections"], 1, "{result}");
    };
    traffic();
    // The agent comes back with what it had granted.
    testbed.run(&["kill", "fa-a"]).unwrap();
    testbed.run(&["start", "fa-a"]).unwrap();
    assert_eq!(encapsulation(&testbed, "fa-a", ["fa", "visitors"], home), kind);
    traffic();
    testbed.run(&["down"]).unwrap();
    let frames = frames(captures.path(), "core-a");
    let protocols: BTreeSet<u8> = tunnelled(&frames).map(|packet| packet.protocol).collect();
    assert_eq!(protocols, BTreeSet::from([protocol]), "between the agents");
    let both = [HOME_AGENT, FA_A].map(|from| tunnelled(&frames).filter(|p| p.source == from).count());
    assert!(both.iter().all(|count| *count > 100), "both ways: {both:?}");
}

#[test]
fn a_transfer_and_probes_pass_through_minimal_encapsulation() {
    carries("mn-minimal", "10.11.1.50", "minimal", 55);
}

#[test]
fn a_transfer_and_probes_pass_through_gre() {
    carries("mn-gre", "10.11.1.51", "gre", 47);
}

/// A program in a node that waits for one datagram.
struct Ear(Child, BufReader<ChildStdout>);

impl Ear {
    fn in_node(testbed: &Testbed, node: &str, target: &str) -> Self {
        let mut command = testbed.command(&["exec", node, "--", CRY, "hear", target]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(child, lines)
    }

    fn heard(mut self) -> String {
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        assert!(self.0.wait().unwrap().success(), "nothing was heard");
        line.trim_end().to_owned()
    }
}

#[test]
fn broadcasts_reach_a_roaming_node_through_an_agent_and_its_own_the_home_link() {
    let captures = tempfile::tempdir().unwrap();
    let testbed = up("mn-all", captures.path());
    let say = |node: &str, target: &str, words: &str| {
        testbed.run(&["exec", node, "--", CRY, "say", target, words]).unwrap();
    };
    // At the agents, and with an address of its own behind the NAT.
    for link in ["visited-a", "visited-b", "visited-c"] {
        testbed.run(&["move", "mn-all", "--to", link]).unwrap();
        for target in ["10.11.1.255:6000", "255.255.255.255:6000"] {
            let ear = Ear::in_node(&testbed, "mn-all", target);
            say("cn", target, "from-home");
            assert_eq!(ear.heard(), "10.11.1.90 from-home", "{target} at {link}");
        }
        for target in ["10.11.1.255:6000", "255.255.255.255:6000", "239.1.2.3:6000"] {
            let ear = Ear::in_node(&testbed, "cn", target);
            say("mn-all", target, "from-afar");
            assert_eq!(ear.heard(), "10.11.1.52 from-afar", "{target} at {link}");
        }
    }
    // After a restart of the agent as before.
    testbed.run(&["move", "mn-all", "--to", "visited-a"]).unwrap();
    testbed.run(&["kill", "fa-a"]).unwrap();
    testbed.run(&["start", "fa-a"]).unwrap();
    let ear = Ear::in_node(&testbed, "cn", "239.1.2.3:6000");
    say("mn-all", "239.1.2.3:6000", "again");
    assert_eq!(ear.heard(), "10.11.1.52 again");
    let result = testbed.json(&["traffic", "--megabytes", "5", "--seconds", "2"]).unwrap();
    assert_eq!(result["transfer"]["sha256_match"], true, "{result}");
    testbed.run(&["down"]).unwrap();

    let visited = frames(captures.path(), "visited-a");
    let handed = |packet: &Packet<'_>| packet.source == ALL;
    let own: Vec<_> = visited.iter().filter_map(ipv4).filter(handed).collect();
    let right = |packet: &&Packet<'_>| packet.protocol == 4 && packet.destination == FA_A_ON_LINK;
    assert!(own.len() > 100);
    assert!(own.iter().all(|packet| right(&packet)), "all that it says there is encapsulated to the agent");
    let wrapped =
        |packet: &Packet<'_>| (packet.source, packet.destination, packet.protocol) == (HOME_AGENT, ALL, 4);
    assert!(
        visited.iter().filter_map(ipv4).any(|p| wrapped(&p)),
        "broadcasts come wrapped by the home agent"
    );
}

#[test]
fn the_scenario_loses_nothing() {
    let testbed = Testbed::new().unwrap();
    let report = testbed.results().join("report.json");
    let file = Testbed::scenarios().join(SCENARIO);
    let said =
        testbed.run(&["run".as_ref(), file.as_os_str(), "--report".as_ref(), report.as_os_str()]).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    assert_eq!(report["faults"], serde_json::json!([]), "{said}");
    assert_eq!(report["transfer"]["sha256_match"], true);
    assert_eq!(report["handovers"].as_array().unwrap().len(), 12, "four of each");
}

/// An agent that asks for UDP offers no other encapsulation, and after a restart keeps its tunnels alive at once.
#[test]
fn a_udp_tunnel_of_an_agent_is_kept_alive() {
    let captures = tempfile::tempdir().unwrap();
    let gateway = "gateway = \"10.51.1.1\"";
    let testbed = up_with(captures.path(), gateway, &format!("{gateway}\nencapsulation = \"udp\""));
    testbed.run(&["move", "mn-minimal", "--to", "visited-a"]).unwrap();
    assert_eq!(encapsulation(&testbed, "fa-a", ["fa", "visitors"], "10.11.1.50"), "udp");
    testbed.run(&["kill", "fa-a"]).unwrap();
    testbed.run(&["start", "fa-a"]).unwrap();
    let result = testbed.json(&["traffic", "--megabytes", "5", "--seconds", "2"]).unwrap();
    assert_eq!(result["transfer"]["sha256_match"], true, "{result}");
    testbed.run(&["down"]).unwrap();
    let frames = frames(captures.path(), "core-a");
    let (home, echo) = (Ipv4Addr::new(10, 11, 1, 50), 8);
    // Behind UDP header and tunnel header: an ICMP message between these two.
    let message = |packet: &Packet<'_>, from: Ipv4Addr, to: Ipv4Addr, kind: u8| {
        let inner = packet.body.get(12..).unwrap_or_default();
        let addresses = [from.octets(), to.octets()].concat();
        let data = packet.protocol == 17 && packet.body.get(8) == Some(&4);
        data && inner.get(9) == Some(&1)
            && inner.get(12..20) == Some(&addresses)
            && inner.get(20) == Some(&kind)
    };
    let sent = tunnelled(&frames).any(|p| p.source == FA_A && message(&p, home, HOME_AGENT, echo));
    let answered = tunnelled(&frames).any(|p| p.source == HOME_AGENT && message(&p, HOME_AGENT, home, 0));
    assert!(sent && answered, "{sent} {answered}");
}
