//! A network that stays up: its commands, and daemons that are killed while a transfer runs.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{collections::BTreeSet, net::Ipv4Addr, path::Path, thread};

use netns_tests::{
    Testbed,
    frames::{arp, ipv4},
    pcap, text,
};
use serde_json::Value;

fn up(extra: &[&str]) -> Testbed {
    let testbed = Testbed::new().unwrap();
    let file = Testbed::scenarios().join("10-walk.toml");
    let mut arguments = vec!["up", file.to_str().unwrap()];
    arguments.extend(extra);
    testbed.run(&arguments).unwrap();
    testbed
}

/// The lines that `sojourn` prints in a node, each a JSON value; a list counts as its elements.
fn sojourn(testbed: &Testbed, node: &str, words: &[&str]) -> Vec<Value> {
    let arguments = [&["exec", node, "--", "sojourn", "--json"], words].concat();
    let said = testbed.run(&arguments).unwrap();
    let values: Vec<Value> =
        serde_json::Deserializer::from_str(&said).into_iter().collect::<Result<_, _>>().unwrap();
    values.into_iter().flat_map(|value| value.as_array().cloned().unwrap_or_else(|| vec![value])).collect()
}

#[test]
fn a_network_answers_until_it_is_taken_down() {
    let testbed = up(&[]);
    let status = testbed.json(&["status", "--json"]).unwrap();
    let nodes = status["nodes"].as_array().unwrap();
    let roles: BTreeSet<&str> = nodes.iter().map(|node| text(&node["role"])).collect();
    let wanted = ["correspondent", "foreign-agent", "home-agent", "kdc", "mobile-node", "router"];
    assert_eq!(roles, BTreeSet::from(wanted));
    assert_eq!(testbed.node("fa-a").unwrap()["link"], "visited-a");
    assert_eq!(testbed.node("ha").unwrap()["link"], "home");
    let mobile = testbed.node("mn").unwrap();
    assert_eq!((text(&mobile["state"]), text(&mobile["link"])), ("at home", "home"));
    assert_eq!(mobile["agent"], "ha");

    let file = Testbed::scenarios().join("10-walk.toml");
    let second = testbed.attempt(&["up".as_ref(), file.as_os_str()]).unwrap();
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("already up"), "{second:?}");

    testbed.run(&["move", "mn", "--to", "visited-b"]).unwrap();
    let mobile = testbed.node("mn").unwrap();
    assert_eq!((text(&mobile["agent"]), text(&mobile["care_of"])), ("fa-b", "10.52.1.2"));
    assert_eq!(sojourn(&testbed, "ha", &["ha", "bindings"]).len(), 1);
    assert_eq!(sojourn(&testbed, "fa-b", &["fa", "visitors"]).len(), 1);
    assert_eq!(sojourn(&testbed, "kdc", &["kdc", "list"]).len(), 1);
    testbed.run(&["move", "mn", "--to", "visited-c"]).unwrap();
    assert_eq!(testbed.node("mn").unwrap()["care_of"], "192.168.77.10");
    testbed.run(&["move", "mn", "--to", "home"]).unwrap();
    assert_eq!(testbed.node("mn").unwrap()["state"], "at home");

    for wrong in [&["move", "mn", "--to", "core-a"][..], &["move", "ha", "--to", "home"], &["kill", "router"]]
    {
        assert!(!testbed.attempt(wrong).unwrap().status.success(), "{wrong:?}");
    }
    testbed.run(&["down"]).unwrap();
    assert!(!testbed.attempt(&["status"]).unwrap().status.success());
}

#[test]
fn the_home_agent_answers_for_a_node_that_is_away() {
    let captures = tempfile::tempdir().unwrap();
    let testbed = up(&["--pcap", captures.path().to_str().unwrap()]);
    testbed.run(&["move", "mn", "--to", "visited-a"]).unwrap();
    // The router has not talked to the node yet: it has to ask for its link address.
    testbed.run(&["exec", "router", "--", env!("CARGO_BIN_EXE_netns-send"), "10.11.1.50:9"]).unwrap();
    testbed.run(&["move", "mn", "--to", "home"]).unwrap();
    testbed.run(&["down"]).unwrap();

    let frames = pcap::read(&captures.path().join("home.pcap")).unwrap();
    let home: Ipv4Addr = "10.11.1.50".parse().unwrap();
    let packets: Vec<_> = frames.iter().filter_map(|frame| Some((frame, arp(frame)?))).collect();
    let asked = packets.iter().position(|(_, arp)| {
        arp.operation == 1 && arp.target_address == home && arp.sender_address == Ipv4Addr::new(10, 11, 1, 1)
    });
    let asked = asked.expect("the router asks");
    let (question, _) = packets[asked];
    let answer = packets[asked..].iter().find(|(_, arp)| arp.operation == 2 && arp.sender_address == home);
    let (answer, arp) = answer.expect("somebody answers");
    let agent = frames
        .iter()
        .find(|frame| ipv4(frame).is_some_and(|packet| packet.source == Ipv4Addr::new(10, 11, 1, 2)));
    assert_eq!(&arp.sender, &agent.unwrap().bytes[6..12], "the home agent answers");
    let ms = (answer.unix_ns - question.unix_ns) / 1_000_000;
    assert!(ms < 100, "without the delay that the kernel gives proxies: {ms} ms");
}

#[test]
fn killed_daemons_lose_nothing_that_was_acknowledged() {
    let captures = tempfile::tempdir().unwrap();
    let testbed = up(&["--pcap", captures.path().to_str().unwrap()]);
    testbed.run(&["move", "mn", "--to", "visited-a"]).unwrap();
    survive(&testbed, &["ha", "fa-a", "kdc", "fa-b"]);
    testbed.run(&["move", "mn", "--to", "visited-c"]).unwrap();
    survive(&testbed, &["ha", "kdc"]);
    testbed.run(&["down"]).unwrap();
    nothing_untunnelled(captures.path());
}

/// Kills daemons in turn while a transfer runs, and the mobile node at last.
fn survive(testbed: &Testbed, daemons: &[&str]) {
    let registrations = testbed.node("mn").unwrap()["registrations"].clone();
    let bindings = bindings(testbed);
    let associations = sojourn(testbed, "kdc", &["kdc", "associations", "--all"]);
    let audit = sojourn(testbed, "kdc", &["kdc", "audit"]);
    assert!(!bindings.is_empty() && !associations.is_empty() && !audit.is_empty());

    thread::scope(|scope| {
        let transfer = scope.spawn(|| testbed.json(&["traffic", "--megabytes", "60", "--seconds", "20"]));
        for daemon in daemons {
            testbed.run(&["kill", daemon]).unwrap();
            assert_eq!(testbed.node(daemon).unwrap()["state"], "stopped");
            testbed.run(&["start", daemon]).unwrap();
            assert_eq!(testbed.node("mn").unwrap()["registrations"], registrations, "after {daemon}");
        }
        assert_eq!(self::bindings(testbed), bindings);
        assert_eq!(sojourn(testbed, "kdc", &["kdc", "associations", "--all"]), associations);
        let later = sojourn(testbed, "kdc", &["kdc", "audit"]);
        assert_eq!(later.get(..audit.len()), Some(&audit[..]), "the audit trail only grows");
        testbed.run(&["kill", "mn"]).unwrap();
        testbed.run(&["start", "mn"]).unwrap();
        assert!(!transfer.is_finished(), "all of this happened while the transfer ran");
        let result = transfer.join().unwrap().unwrap();
        assert_eq!(result["transfer"]["sha256_match"], true, "{result}");
        assert_eq!(result["transfer"]["connections"], 1, "{result}");
    });
}

fn bindings(testbed: &Testbed) -> Vec<[String; 4]> {
    let bindings = sojourn(testbed, "ha", &["ha", "bindings"]);
    let fixed = |binding: Value| {
        ["nai", "home_address", "care_of", "agent"].map(|key| text(&binding[key]).to_owned())
    };
    bindings.into_iter().map(fixed).collect()
}

fn nothing_untunnelled(captures: &Path) {
    let home: Ipv4Addr = "10.11.1.50".parse().unwrap();
    for link in ["core-a", "core-b", "core-c"] {
        let frames = pcap::read(&captures.join(link).with_extension("pcap")).unwrap();
        let plain = frames.iter().find(|frame| ipv4(frame).is_some_and(|packet| packet.source == home));
        assert_eq!(plain, None, "a packet of {home} outside a tunnel on {link}");
    }
}
