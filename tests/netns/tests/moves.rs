//! Many moves in a row, and a correspondent on a link of its own.
#![allow(clippy::unwrap_used, missing_docs)]

use netns_tests::{Testbed, text};
use serde_json::Value;

fn run(scenario: &str) -> Value {
    let testbed = Testbed::new().unwrap();
    let report = testbed.results().join("report.json");
    let file = Testbed::scenarios().join(scenario);
    testbed.run(&["run".as_ref(), file.as_os_str(), "--report".as_ref(), report.as_os_str()]).unwrap();
    serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap()
}

#[test]
fn twenty_moves_need_no_manual_step() {
    let report = run("30-twenty-moves.toml");
    let handovers = report["handovers"].as_array().unwrap();
    assert_eq!(handovers.len(), 20);
    for line in handovers {
        assert!(line["link_up_to_first_packet_ms"].as_f64().unwrap() < 2000.0, "{line}");
    }
    assert_eq!(report["transfer"]["sha256_match"], true);
    assert_eq!(report["transfer"]["connections"], 1);
    assert_eq!(report["faults"], serde_json::json!([]));
}

#[test]
fn three_nodes_of_two_realms_roam_at_once() {
    let report = run("40-two-realms.toml");
    let handovers = report["handovers"].as_array().unwrap();
    let of = |node: &str| handovers.iter().filter(|line| line["node"] == node).count();
    assert_eq!([of("mn"), of("mn-2"), of("mn-3")], [4, 4, 3]);
    assert_eq!(report["faults"], serde_json::json!([]));
}

#[test]
fn a_correspondent_behind_the_router_is_reached_the_same_way() {
    let report = run("20-far-correspondent.toml");
    let way: Vec<&str> =
        report["handovers"].as_array().unwrap().iter().map(|line| text(&line["to"])).collect();
    assert_eq!(way, ["visited-a", "visited-b", "visited-c", "home"]);
    assert_eq!(report["faults"], serde_json::json!([]));
}
