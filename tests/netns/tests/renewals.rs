//! Associations that are renewed, and that change at a renewal, while packets run both ways: none is lost.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;

use netns_tests::{Testbed, text};
use serde_json::{Value, json};

const SCENARIO: &str = "97-renewals-stateful-stateless-semi-stateful.toml";

/// What agents allow one after the other: algorithms and mode of every association.
const ALLOWED: [(&str, &str); 4] = [
    ("aes-256-gcm, hmac-sha-256", "stateful"),
    ("chacha20-poly1305, hmac-sha-256, x25519", "stateless"),
    ("aes-256-gcm, hmac-sha-512", "semi-stateful"),
    ("aes-128-gcm, hmac-sha-256, p-256", "stateless"),
];

/// Node and association of each that is renewed.
const ASSOCIATIONS: [(&str, &str); 4] =
    [("mn", "MN-HA"), ("mn", "HA-FA"), ("mn", "MN-FA"), ("mn-2", "MN-HA")];

/// Milliseconds after a reload in which a registration is accepted that was asked for before it.
const UNDER_WAY: f64 = 1000.0;

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn run() -> Value {
    let testbed = Testbed::new().unwrap();
    let (file, report) = (Testbed::scenarios().join(SCENARIO), testbed.results().join("report.json"));
    testbed.run(&["run".as_ref(), file.as_os_str(), "--report".as_ref(), report.as_os_str()]).unwrap();
    serde_json::from_slice(&fs::read(&report).unwrap()).unwrap()
}

/// When an agent was configured anew: told to, and had done so.
fn reloads(report: &Value, agent: &str) -> Vec<(f64, f64)> {
    let of_agent = list(&report["reloads"]).iter().filter(|reload| reload["node"] == agent);
    of_agent.map(|reload| (number(&reload["at_ms"]), number(&reload["done_ms"]))).collect()
}

#[test]
fn a_renewal_or_another_association_loses_no_packet() {
    let report = run();
    assert_eq!(report["faults"], json!([]));
    assert_eq!(report["handovers"], json!([]), "nobody moves");
    for reload in list(&report["reloads"]) {
        assert!(!list(&reload["changes"]).is_empty(), "{reload}");
    }

    // Two nodes, both directions, a thousand a second for a minute. A machine that stood still is nobody's fault.
    let (ping, losses) = (&report["ping"], list(&report["losses"]));
    assert!(number(&ping["sent"]) > 4.0 * 50_000.0, "{ping}");
    assert!(losses.iter().all(|loss| loss["cause"] == "standstill"), "{losses:?}");
    let stood_still = number(&ping["lost_in_standstills"]);
    assert_eq!(number(&ping["sent"]), number(&ping["received"]) + stood_still, "{ping}");

    for node in ["mn", "mn-2"] {
        let renewals = list(&report["renewals"]).iter().filter(|renewal| renewal["node"] == node).count();
        assert!(renewals >= 6, "{node}: {renewals}");
    }

    // Whatever was agreed on was allowed at that time, and everything that was allowed was agreed on.
    for (node, association) in ASSOCIATIONS {
        let agent = if association == "MN-FA" { "fa-a" } else { "ha" };
        let reloads = reloads(&report, agent);
        assert_eq!(reloads.len(), ALLOWED.len() - 1);
        let mut agreed = [0; ALLOWED.len()];
        let of = |of: &&Value| of["node"] == node && of["association"] == association;
        for of in list(&report["negotiations"]).iter().filter(of) {
            let at = number(&of["at_ms"]);
            if reloads.iter().any(|(told, done)| (*told..*done + UNDER_WAY).contains(&at)) {
                continue;
            }
            let number = reloads.iter().filter(|(_, done)| *done <= at).count();
            assert_eq!((text(&of["agreed"]), text(&of["mode"])), ALLOWED[number], "{of}");
            agreed[number] += 1;
        }
        assert!(agreed.iter().all(|count| *count > 0), "{node}, {association}: {agreed:?}");
    }
}
