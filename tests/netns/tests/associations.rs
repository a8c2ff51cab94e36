//! Security associations of real daemons in the hands of an operator: listed at every agent, renewed by whoever wants it,
//! ended at everybody, and renewed by themselves when they have carried enough.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{collections::BTreeMap, fs};

use netns_tests::{Testbed, text, told::Told};
use serde_json::Value;

const HOME_ADDRESS: &str = "10.11.1.50";

/// A look takes a process of its own, so this many last longer than any retransmission that is waited for.
const LOOKS: usize = 1000;

fn up() -> Testbed {
    let testbed = Testbed::new().unwrap();
    let file = Testbed::scenarios().join("10-walk.toml");
    testbed.run(&["up", file.to_str().unwrap()]).unwrap();
    testbed
}

/// The newest of each kind at a node; older ones receive until something came under it.
fn held(testbed: &Testbed, node: &str) -> Vec<Value> {
    let mut newest = BTreeMap::new();
    for row in all(testbed, node).into_iter().filter(|row| text(&row["state"]) != "retiring") {
        newest.insert(text(&row["kind"]).to_owned(), row);
    }
    newest.into_values().collect()
}

/// All at a node, those of one kind from the oldest to the newest.
fn all(testbed: &Testbed, node: &str) -> Vec<Value> {
    testbed.sojourn(node, &["sa", "list"]).unwrap()
}

fn kinds(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| text(&row["kind"])).collect()
}

fn fingerprints(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| text(&row["fingerprint"])).collect()
}

fn until(what: &str, holds: impl Fn() -> bool) {
    assert!((0..LOOKS).any(|_| holds()), "never: {what}");
}

fn registrations(testbed: &Testbed) -> u64 {
    testbed.node("mn").unwrap()["registrations"].as_u64().unwrap()
}

#[test]
fn they_are_listed_renewed_and_ended_at_every_agent() {
    let testbed = up();
    for (link, agents) in [("visited-a", &["ha", "fa-a", "mn"][..]), ("visited-c", &["ha", "mn"])] {
        testbed.run(&["move", "mn", "--to", link]).unwrap();
        for agent in agents {
            let (before, registered) = (held(&testbed, agent), registrations(&testbed));
            let expected: &[&str] = match (*agent, link) {
                ("ha", "visited-a") => &["KEY 1", "KEY 2"],
                ("fa-a", _) => &["KEY 2", "KEY 3"],
                ("mn", "visited-a") => &["KEY 1", "KEY 3"],
                _ => &["KEY 1"],
            };
            assert_eq!(kinds(&before), expected, "{agent} on {link}");
            for row in &before {
                assert_eq!(text(&row["home_address"]), HOME_ADDRESS);
                assert_eq!((text(&row["mode"]), text(&row["encryption"])), ("stateful", "aes-256-gcm"));
                assert!(row["lifetime_left_s"].as_u64() > Some(0) && row["age_s"].is_u64(), "{row}");
            }
            // By any index of the registration.
            for row in before.iter().take(1) {
                let spi = row["inbound_spi"].as_u64().unwrap().to_string();
                let shown = testbed.sojourn(agent, &["sa", "show", &spi]).unwrap().remove(0);
                assert_eq!(shown["fingerprint"], row["fingerprint"]);
                testbed.run(&["exec", agent, "--", "sojourn", "sa", "renew", &spi]).unwrap();
            }
            let after = held(&testbed, agent);
            assert_eq!((kinds(&after), registrations(&testbed)), (expected.to_vec(), registered + 1));
            let old = fingerprints(&before);
            assert!(fingerprints(&after).iter().all(|new| !old.contains(new)), "{agent} on {link}");
            // Both ends of each have the same key.
            let elsewhere: Vec<Value> = agents.iter().flat_map(|agent| held(&testbed, agent)).collect();
            for row in &after {
                let same = elsewhere.iter().filter(|other| other["fingerprint"] == row["fingerprint"]);
                assert_eq!(same.count(), 2, "{row}");
            }
        }
    }
    // None by that index: said, with nothing done.
    for words in [["sa", "renew", "7"], ["sa", "delete", "7"], ["sa", "show", "7"]] {
        let refused = testbed.attempt(&[&["exec", "ha", "--", "sojourn"][..], &words].concat()).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{words:?}");
    }
    testbed.run(&["down"]).unwrap();
}

#[test]
fn who_ends_one_ends_the_registration_at_everybody() {
    let testbed = up();
    for agent in ["fa-a", "ha"] {
        testbed.run(&["move", "mn", "--to", "visited-a"]).unwrap();
        // What is said in the very second of the registration waits for the next, and the node may be quicker.
        until("a second passed", || held(&testbed, agent)[0]["age_s"].as_u64() > Some(1));
        let old = held(&testbed, agent);
        let spi = old[0]["inbound_spi"].as_u64().unwrap().to_string();
        let registered = registrations(&testbed);
        testbed.run(&["exec", agent, "--", "sojourn", "sa", "delete", &spi]).unwrap();
        until("it registers again", || registrations(&testbed) > registered);
        for node in ["ha", "fa-a"] {
            let (old, new) = (fingerprints(&old), all(&testbed, node));
            assert!(fingerprints(&new).iter().all(|key| !old.contains(key)), "{agent} at {node}");
        }
        testbed.run(&["move", "mn", "--to", "home"]).unwrap();
    }
    testbed.run(&["down"]).unwrap();
}

#[test]
fn what_has_carried_enough_is_renewed_and_what_has_carried_all_ends() {
    let testbed = up();
    let file = testbed.folder("ha").join("home-agent.toml");
    let text_of = fs::read_to_string(&file).unwrap();
    let limited = match text_of.contains("[registration]\n") {
        true => text_of.replacen("[registration]\n", "[registration]\nmax_octets = 100000\n", 1),
        false => format!("{text_of}\n[registration]\nmax_octets = 100000\n"),
    };
    fs::write(&file, limited).unwrap();
    let changes = testbed.run(&["exec", "ha", "--", "sojourn", "ha", "reload"]).unwrap();
    assert!(changes.contains("registration.max_octets"), "{changes}");
    testbed.run(&["move", "mn", "--to", "visited-a"]).unwrap();
    let mut told = Told::by(&testbed, "mn", "mn");
    let pour = |octets: &str| {
        testbed.run(&["exec", "cn", "--", env!("CARGO_BIN_EXE_netns-pour"), HOME_ADDRESS, octets]).unwrap();
    };
    // More than eight tenths, less than all: nothing ends.
    let before = registrations(&testbed);
    pour("85000");
    told.wait_for("wants the registration renewed");
    until("it is renewed", || registrations(&testbed) == before + 1);
    let ended = || {
        let counters = testbed.sojourn("ha", &["ha", "status"]).unwrap().remove(0)["counters"].clone();
        counters["bindings ended by octets"].as_u64().unwrap_or(0)
    };
    assert_eq!(ended(), 0);
    // The count began anew, so it takes as much again; and more than all in a moment ends it.
    pour("60000");
    assert_eq!((registrations(&testbed), ended()), (before + 1, 0));
    pour("90000");
    Told::by(&testbed, "ha", "ha").wait_for("have served as many octets as they may");
    until("it registers again", || registrations(&testbed) > before + 1);
    assert_eq!(ended(), 1);
    testbed.run(&["exec", "cn", "--", env!("CARGO_BIN_EXE_netns-reach"), HOME_ADDRESS, "10"]).unwrap();
    testbed.run(&["down"]).unwrap();
}
