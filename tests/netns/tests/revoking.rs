//! Registrations that end before their time, through real daemons.
#![allow(clippy::unwrap_used, missing_docs)]

use netns_tests::{Testbed, text};
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

/// What `sojourn` prints in a node; a list counts as its elements.
fn sojourn(testbed: &Testbed, node: &str, words: &[&str]) -> Vec<Value> {
    let arguments = [&["exec", node, "--", "sojourn", "--json"], words].concat();
    let said = testbed.run(&arguments).unwrap();
    let value: Value = serde_json::from_str(&said).unwrap();
    value.as_array().cloned().unwrap_or_else(|| vec![value])
}

fn visitors(testbed: &Testbed, agent: &str) -> usize {
    sojourn(testbed, agent, &["fa", "visitors"]).len()
}

fn counter(testbed: &Testbed, node: &str, role: &str, name: &str) -> u64 {
    sojourn(testbed, node, &[role, "status"])[0]["counters"][name].as_u64().unwrap_or_default()
}

fn registrations(testbed: &Testbed) -> u64 {
    testbed.node("mn").unwrap()["registrations"].as_u64().unwrap()
}

fn until(what: &str, holds: impl Fn() -> bool) {
    assert!((0..LOOKS).any(|_| holds()), "never: {what}");
}

#[test]
fn a_walk_leaves_no_visitor_behind() {
    let testbed = up();
    testbed.run(&["move", "mn", "--to", "visited-a"]).unwrap();
    assert_eq!(visitors(&testbed, "fa-a"), 1);
    testbed.run(&["move", "mn", "--to", "visited-b"]).unwrap();
    until("the visitor goes from A", || visitors(&testbed, "fa-a") == 0);
    assert_eq!(visitors(&testbed, "fa-b"), 1);
    let acknowledged = "revocations acknowledged by the other end";
    until("A's answer arrives", || counter(&testbed, "ha", "ha", acknowledged) == 1);
    // To a network without an agent, and home, from where no agent is passed.
    testbed.run(&["move", "mn", "--to", "visited-c"]).unwrap();
    until("the visitor goes from B", || visitors(&testbed, "fa-b") == 0);
    testbed.run(&["move", "mn", "--to", "visited-a"]).unwrap();
    testbed.run(&["move", "mn", "--to", "home"]).unwrap();
    until("the visitor goes from A again", || visitors(&testbed, "fa-a") == 0);
    until("all is told", || counter(&testbed, "ha", "ha", acknowledged) == 3);
    assert_eq!(counter(&testbed, "ha", "ha", "revocations begun"), 3);
    testbed.run(&["down"]).unwrap();
}

#[test]
fn a_visitor_that_the_operator_sends_away_is_gone_at_home_too_and_registers_again() {
    let testbed = up();
    testbed.run(&["move", "mn", "--to", "visited-a"]).unwrap();
    // What is said in the very second of the registration waits for the next, and the node may be quicker.
    until("a second passed", || {
        let visitor = &sojourn(&testbed, "fa-a", &["fa", "visitors"])[0];
        visitor["lifetime_left_s"].as_u64() < visitor["lifetime_s"].as_u64().map(|whole| whole - 1)
    });
    let before = registrations(&testbed);
    sojourn(&testbed, "fa-a", &["fa", "revoke", HOME_ADDRESS]);
    until("it registers again", || registrations(&testbed) == before + 1);
    assert_eq!(counter(&testbed, "ha", "ha", "revocations acknowledged"), 1);
    assert_eq!(counter(&testbed, "fa-a", "fa", "revocations acknowledged by home agents"), 1);
    let removed = sojourn_lines(&testbed, "ha", &["ha", "events"]);
    let kinds: Vec<&str> = removed.iter().map(|event| text(&event["kind"])).collect();
    assert!(kinds.ends_with(&["binding_added", "binding_removed", "binding_added"]), "{kinds:?}");
    assert_eq!((visitors(&testbed, "fa-a"), sojourn(&testbed, "ha", &["ha", "bindings"]).len()), (1, 1));
    // Nobody there: said, with nothing done.
    for (node, words) in [("fa-b", ["fa", "revoke", HOME_ADDRESS]), ("ha", ["ha", "revoke", "10.11.1.51"])] {
        let arguments = [&["exec", node, "--", "sojourn"][..], &words].concat();
        assert!(!testbed.attempt(&arguments).unwrap().status.success(), "{words:?}");
    }
    testbed.run(&["down"]).unwrap();
}

#[test]
fn a_binding_that_the_operator_ends_is_over_at_the_other_end_and_made_anew() {
    let testbed = up();
    testbed.run(&["move", "mn", "--to", "visited-b"]).unwrap();
    let before = registrations(&testbed);
    sojourn(&testbed, "ha", &["ha", "revoke", HOME_ADDRESS]);
    until("it registers again through B", || registrations(&testbed) == before + 1);
    assert_eq!(counter(&testbed, "fa-b", "fa", "visitors revoked"), 1);
    // With an address of its own, behind a translating router, it is told itself.
    testbed.run(&["move", "mn", "--to", "visited-c"]).unwrap();
    let before = registrations(&testbed);
    sojourn(&testbed, "ha", &["ha", "revoke", HOME_ADDRESS]);
    until("it registers again by itself", || registrations(&testbed) == before + 1);
    assert_eq!(counter(&testbed, "mn", "mn", "revocations acknowledged"), 1);
    assert_eq!(sojourn(&testbed, "ha", &["ha", "bindings"])[0]["care_of"], "192.168.77.10");
    testbed.run(&["down"]).unwrap();
}

/// Where each line is a value.
fn sojourn_lines(testbed: &Testbed, node: &str, words: &[&str]) -> Vec<Value> {
    let arguments = [&["exec", node, "--", "sojourn", "--json"], words].concat();
    let said = testbed.run(&arguments).unwrap();
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
