//! Security associations negotiated by the real daemons in real registrations: each mode between every pair, and
//! policies that differ, against what the reference says of them.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{collections::BTreeSet, fs};

use netns_tests::{Testbed, text};
use serde_json::{Value, json};

/// Association, agent, agreed algorithms, mode.
type Line = (String, String, String, String);

fn line(association: &str, agent: &str, agreed: &str, mode: &str) -> Line {
    (association.to_owned(), agent.to_owned(), agreed.to_owned(), mode.to_owned())
}

/// What a run of a scenario of the folder negotiated; all in one round, with nothing lost that should not be.
fn negotiated(scenario: &str) -> BTreeSet<Line> {
    let testbed = Testbed::new().unwrap();
    let (file, report) = (Testbed::scenarios().join(scenario), testbed.results().join("report.json"));
    testbed.run(&["run".as_ref(), file.as_os_str(), "--report".as_ref(), report.as_os_str()]).unwrap();
    let report: Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    assert_eq!(report["faults"], json!([]));
    let negotiations = report["negotiations"].as_array().unwrap();
    for of in negotiations {
        assert_eq!(of["rounds"], 1, "{of}");
        assert!(text(&of["offered"]).contains(text(&of["mode"])), "{of}");
    }
    let told = |of: &Value| {
        let [association, agent, agreed, mode] =
            ["association", "agent", "agreed", "mode"].map(|key| text(&of[key]));
        line(association, agent, agreed, mode)
    };
    negotiations.iter().map(told).collect()
}

/// Every pair, through both agents and with an address of its own.
fn everywhere(agreed: &str, mode: &str) -> BTreeSet<Line> {
    let mut lines = BTreeSet::from([line("MN-HA", "", agreed, mode)]);
    for agent in ["fa-a", "fa-b"] {
        for association in ["MN-HA", "MN-FA", "HA-FA"] {
            lines.insert(line(association, agent, agreed, mode));
        }
    }
    lines
}

#[test]
fn every_pair_has_keys_of_the_key_distribution_centre() {
    let expected = everywhere("aes-256-gcm, hmac-sha-256", "stateful");
    assert_eq!(negotiated("91-negotiated-stateful.toml"), expected);
}

#[test]
fn every_pair_makes_keys_of_a_seed() {
    let expected = everywhere("aes-256-gcm, hmac-sha-256", "semi-stateful");
    assert_eq!(negotiated("92-negotiated-semi-stateful.toml"), expected);
}

#[test]
fn every_pair_makes_keys_by_itself() {
    let expected = everywhere("aes-256-gcm, hmac-sha-256, x25519", "stateless");
    assert_eq!(negotiated("93-negotiated-stateless.toml"), expected);
}

#[test]
fn two_domains_agree_with_one_node_on_different_things() {
    let home = |agent| line("MN-HA", agent, "aes-256-gcm, hmac-sha-256", "semi-stateful");
    let expected = BTreeSet::from([
        home(""),
        home("fa-a"),
        home("fa-b"),
        line("MN-FA", "fa-a", "aes-256-gcm, hmac-sha-256, x25519", "stateless"),
        line("HA-FA", "fa-a", "aes-256-gcm, hmac-sha-256, modp-2048", "stateless"),
        line("MN-FA", "fa-b", "aes-256-gcm, hmac-sha-512", "stateful"),
        line("HA-FA", "fa-b", "aes-256-gcm, hmac-sha-256", "stateful"),
    ]);
    assert_eq!(negotiated("94-mixed-policies-stateless-stateful-semi-stateful.toml"), expected);
}

#[test]
fn a_serving_mobility_manager_is_one_to_who_wants_one() {
    let expected = BTreeSet::from([
        line("MN-SMM", "fa-a", "aes-256-gcm, hmac-sha-256", "semi-stateful"),
        line("MN-SMM", "fa-b", "aes-256-gcm, hmac-sha-256, x25519", "stateless"),
        line("MN-SMM", "fa-c", "aes-256-gcm, hmac-sha-256", "stateful"),
    ]);
    assert_eq!(negotiated("95-serving-mobility-managers-stateful-semi-stateful-stateless.toml"), expected);
}

#[test]
fn a_home_agent_takes_groups_of_others() {
    let own = "aes-256-gcm, hmac-sha-256, a group of a peer's own";
    let known = "aes-256-gcm, hmac-sha-256, x25519";
    let expected = BTreeSet::from([
        line("MN-HA", "", own, "stateless"),
        line("MN-HA", "fa-a", own, "stateless"),
        line("MN-HA", "fa-b", own, "stateless"),
        line("MN-FA", "fa-a", known, "stateless"),
        line("MN-FA", "fa-b", known, "stateless"),
        line("HA-FA", "fa-a", own, "stateless"),
        line("HA-FA", "fa-b", known, "stateless"),
    ]);
    assert_eq!(negotiated("96-own-group-stateless.toml"), expected);
}
