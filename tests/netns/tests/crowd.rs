//! Many mobile nodes that move at random: the short form of the scenario with fifty of them, and by a flag the whole.
#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

use std::{collections::BTreeSet, env, fs};

use netns_tests::{Testbed, text};
use serde_json::{Value, json};

/// Runs the scenario's whole ten minutes with all fifty nodes if it is set.
const WHOLE: &str = "SOJOURN_WHOLE_CROWD";

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_else(|| panic!("{key} of {value}"))
}

/// Runs so many nodes; everyone must be heard of after every move.
fn roam(scenario: &str, nodes: usize) {
    let testbed = Testbed::new().unwrap();
    let (file, report) = (testbed.results().join("crowd.toml"), testbed.results().join("report.json"));
    fs::write(&file, scenario).unwrap();
    testbed.run(&["run".as_ref(), file.as_os_str(), "--report".as_ref(), report.as_os_str()]).unwrap();
    let report: Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    assert_eq!(report["faults"], json!([]));
    let handovers = report["handovers"].as_array().unwrap();
    let moved: BTreeSet<&str> = handovers.iter().map(|line| text(&line["node"])).collect();
    assert_eq!(moved.len(), nodes);
    assert!(handovers.iter().all(|line| line["link_up_to_first_packet_ms"].is_number()));
    let links: BTreeSet<&str> = handovers.iter().map(|line| text(&line["to"])).collect();
    assert_eq!(links, ["home", "visited-a", "visited-b", "visited-c"].into());
    let ping = &report["ping"];
    assert_eq!(number(ping, "lost_outside_handovers"), 0);
    assert!(number(ping, "received") > number(ping, "sent") * 9 / 10, "{ping}");
}

#[test]
fn everyone_of_a_crowd_can_be_reached_wherever_it_goes() {
    let whole = fs::read_to_string(Testbed::scenarios().join("90-fifty-nodes.toml")).unwrap();
    if env::var_os(WHOLE).is_some() {
        return roam(&whole, 50);
    }
    let short = whole
        .replace("count = 50", "count = 10")
        .replace("seconds = 600", "seconds = 40")
        .replace("stay_ms = [5000, 30000]", "stay_ms = [3000, 12000]")
        .replace("transfer_mb = 60", "transfer_mb = 10");
    for wanted in ["count = 10", "seconds = 40", "[3000, 12000]", "transfer_mb = 10"] {
        assert!(short.contains(wanted), "{wanted}");
    }
    roam(&short, 10);
}
