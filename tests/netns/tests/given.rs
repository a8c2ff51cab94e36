//! A mobile node that was enrolled without a home address, and asks for simultaneous bindings.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;

use netns_tests::{Testbed, text};
use serde_json::Value;

const SCENARIO: &str = "80-given-address.toml";

/// The lines that `sojourn` prints in a node, each a JSON value; a list counts as its elements.
fn sojourn(testbed: &Testbed, node: &str, words: &[&str]) -> Vec<Value> {
    let arguments = [&["exec", node, "--", "sojourn", "--json"], words].concat();
    let said = testbed.run(&arguments).unwrap();
    let values: Vec<Value> =
        serde_json::Deserializer::from_str(&said).into_iter().collect::<Result<_, _>>().unwrap();
    values.into_iter().flat_map(|value| value.as_array().cloned().unwrap_or_else(|| vec![value])).collect()
}

/// Care-of addresses at which the home agent has bound the given address.
fn bound(testbed: &Testbed) -> BTreeSet<String> {
    let bindings = sojourn(testbed, "ha", &["ha", "bindings"]);
    assert!(bindings.iter().all(|binding| binding["home_address"] == "10.11.1.130"), "{bindings:?}");
    bindings.iter().map(|binding| text(&binding["care_of"]).to_owned()).collect()
}

fn places<const N: usize>(places: [&str; N]) -> BTreeSet<String> {
    places.map(str::to_owned).into()
}

#[test]
fn a_transfer_to_a_given_address_survives_moves_with_two_bindings() {
    let testbed = Testbed::new().unwrap();
    let report = testbed.results().join("report.json");
    let file = Testbed::scenarios().join(SCENARIO);
    testbed.run(&["run".as_ref(), file.as_os_str(), "--report".as_ref(), report.as_os_str()]).unwrap();
    let report: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    let way: Vec<&str> =
        report["handovers"].as_array().unwrap().iter().map(|line| text(&line["to"])).collect();
    assert_eq!(way, ["visited-b", "visited-c", "visited-a", "home"]);
    assert_eq!(report["transfer"]["sha256_match"], true);
    assert_eq!(report["transfer"]["connections"], 1);
    assert_eq!(report["faults"], serde_json::json!([]));
}

#[test]
fn bindings_stand_beside_each_other_until_there_are_too_many_or_it_is_home() {
    let testbed = Testbed::new().unwrap();
    let file = Testbed::scenarios().join(SCENARIO);
    testbed.run(&["up".as_ref(), file.as_os_str()]).unwrap();
    let (a, b, c) = ("10.51.1.2", "10.52.1.2", "192.168.77.10");
    assert_eq!(bound(&testbed), places([a]));
    assert_eq!(sojourn(&testbed, "mn", &["mn", "status"])[0]["mobile_node"]["home_address"], "10.11.1.130");
    for (link, expected) in
        [("visited-b", places([a, b])), ("visited-c", places([a, b, c])), ("visited-a", places([a, b, c]))]
    {
        testbed.run(&["move", "mn", "--to", link]).unwrap();
        assert_eq!(bound(&testbed), expected, "{link}");
    }
    // A restart of the home agent loses none of them. The mobile node does not know after one of its own where it was:
    // it asks for one place, by the address that it was given.
    for (node, expected) in [("ha", places([a, b, c])), ("mn", places([a]))] {
        testbed.run(&["kill", node]).unwrap();
        testbed.run(&["start", node]).unwrap();
        assert_eq!(bound(&testbed), expected, "{node}");
    }
    testbed.run(&["move", "mn", "--to", "visited-b"]).unwrap();
    assert_eq!(bound(&testbed), places([a, b]));
    testbed.run(&["move", "mn", "--to", "home"]).unwrap();
    assert_eq!(
        (bound(&testbed), testbed.node("mn").unwrap()["state"].clone()),
        (places([]), "at home".into())
    );
}
