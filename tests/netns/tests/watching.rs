//! Daemons at work as programs see them that watch: metrics, and whether they are ready.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{collections::BTreeSet, fs, path::Path};

use netns_tests::{Testbed, text};
use serde_json::Value;

/// A look takes processes of its own, so this many last longer than anything that is waited for.
const LOOKS: usize = 300;

const KDC: (&str, u16) = ("kdc", 9433);
const HOME: (&str, u16) = ("ha", 9434);
const VISITED: (&str, u16) = ("fa-a", 9435);
const NODE: (&str, u16) = ("mn", 9436);

fn up() -> Testbed {
    let testbed = Testbed::new().unwrap();
    let file = Testbed::scenarios().join("10-walk.toml");
    testbed.run(&["up", file.to_str().unwrap()]).unwrap();
    testbed
}

/// What is answered at a path, by a daemon in its own namespace: status and body.
fn get(testbed: &Testbed, (node, port): (&str, u16), path: &str) -> (u16, String) {
    // A shell is there on every machine.
    let script = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{port} && printf 'GET {path} HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n' >&3 && cat <&3"
    );
    let answer = testbed.run(&["exec", node, "--", "bash", "-c", &script]).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn metrics(testbed: &Testbed, daemon: (&str, u16)) -> String {
    let (status, page) = get(testbed, daemon, "/metrics");
    assert_eq!(status, 200, "{page}");
    page
}

/// One value of a page; 0 where nothing was counted yet.
fn value(page: &str, name: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |line| line.parse().unwrap())
}

/// Whether a daemon is ready, with the reasons why not.
fn ready(testbed: &Testbed, daemon: (&str, u16)) -> Result<(), String> {
    let (status, body) = get(testbed, daemon, "/health/ready");
    let told: Value = serde_json::from_str(&body).unwrap();
    let bad = told["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == false);
    let bad: Vec<_> = bad.map(|check| format!("{}: {}", text(&check["name"]), text(&check["why"]))).collect();
    let expected = if bad.is_empty() { (200, "ready") } else { (503, "not ready") };
    assert_eq!((status, text(&told["status"])), expected);
    if bad.is_empty() { Ok(()) } else { Err(bad.join("; ")) }
}

fn waits_for(what: &str, mut holds: impl FnMut() -> bool) {
    assert!((0..LOOKS).any(|_| holds()), "{what} never came");
}

#[test]
fn a_registration_moves_the_counters_of_everybody_who_took_part() {
    let testbed = up();
    let registered = "sojourn_home_agent_registrations_accepted_total";
    let issued = "sojourn_kdc_keys_issued_total";
    let before = (value(&metrics(&testbed, HOME), registered), value(&metrics(&testbed, KDC), issued));
    testbed.run(&["move", "mn", "--to", "visited-a"]).unwrap();
    waits_for("the registration", || value(&metrics(&testbed, HOME), registered) > before.0);
    let home = metrics(&testbed, HOME);
    assert!(value(&home, "sojourn_home_agent_bindings") >= 1.0, "{home}");
    assert!(value(&home, "sojourn_home_agent_kdc_answers_total") >= 1.0, "{home}");
    assert!(value(&home, "sojourn_home_agent_kdc_wait_seconds_total") > 0.0, "{home}");
    assert!(value(&home, "sojourn_home_agent_replies_total{code=\"0\"}") >= 1.0, "{home}");
    assert!(value(&home, "sojourn_store_commit_seconds_count") >= 1.0, "{home}");
    let centre = metrics(&testbed, KDC);
    assert!(value(&centre, issued) > before.1, "{centre}");
    assert!(value(&centre, "sojourn_kdc_home_agents_connected") >= 1.0, "{centre}");
    waits_for("the visitor", || value(&metrics(&testbed, VISITED), "sojourn_foreign_agent_visitors") >= 1.0);
    let visited = metrics(&testbed, VISITED);
    assert!(value(&visited, "sojourn_foreign_agent_requests_relayed_total") >= 1.0, "{visited}");
    assert!(value(&visited, "sojourn_foreign_agent_home_agent_wait_seconds_total") > 0.0, "{visited}");
    let node = metrics(&testbed, NODE);
    assert!(value(&node, "sojourn_mobile_node_state{state=\"registered\"}") >= 1.0, "{node}");
    // Packets go by a counter that nothing but packets moves.
    let carried = "sojourn_tunnel_packets_total{direction=\"out\"}";
    let packets = value(&home, carried);
    testbed.run(&["traffic", "--megabytes", "1", "--seconds", "1"]).unwrap();
    assert!(value(&metrics(&testbed, HOME), carried) > packets, "{home}");
    // Who it was stands on no page.
    for page in [home, centre, visited, node] {
        assert!(!page.contains('@') && !page.contains("traveller"), "{page}");
        assert!(!page.contains("10.11.1.50") && !page.contains("10.51.1.2"), "{page}");
    }
    testbed.run(&["down"]).unwrap();
}

#[test]
fn a_home_agent_is_not_ready_while_its_key_distribution_centre_is_gone() {
    let testbed = up();
    for daemon in [KDC, HOME, VISITED, NODE] {
        waits_for(daemon.0, || ready(&testbed, daemon).is_ok());
        assert_eq!(get(&testbed, daemon, "/health/live").0, 200);
    }
    testbed.run(&["kill", "kdc"]).unwrap();
    let mut why = String::new();
    waits_for("the end of readiness", || {
        why = ready(&testbed, HOME).err().unwrap_or_default();
        !why.is_empty()
    });
    assert!(
        why.starts_with("key_distribution_centre: ") && why.len() > "key_distribution_centre: ".len(),
        "{why}"
    );
    let page = metrics(&testbed, HOME);
    assert!(page.contains("sojourn_ready{check=\"key_distribution_centre\"} 0"), "{page}");
    assert!(page.contains("sojourn_ready{check=\"store\"} 1"), "{page}");
    // It lives, and the others are as ready as before.
    assert_eq!(get(&testbed, HOME, "/health/live").0, 200);
    assert_eq!(ready(&testbed, VISITED), Ok(()));
    testbed.run(&["start", "kdc"]).unwrap();
    waits_for("readiness", || ready(&testbed, HOME).is_ok());
    testbed.run(&["down"]).unwrap();
}

/// Names in the first column of the tables below a heading.
fn told(document: &str, heading: &str) -> BTreeSet<String> {
    let (_, section) = document.split_once(heading).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let metric = |name: &&str| ["sojourn_", "process_"].iter().any(|start| name.starts_with(start));
    rows.map(|(name, _)| name).filter(metric).map(str::to_owned).collect()
}

#[test]
fn the_table_of_metrics_names_what_daemons_tell_and_nothing_else() {
    let testbed = up();
    let mut served = BTreeSet::new();
    for daemon in [KDC, HOME, VISITED, NODE] {
        let page = metrics(&testbed, daemon);
        for (name, kind) in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')) {
            let end = match kind {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            served.insert(format!("{name}{end}"));
            assert!(page.contains(&format!("# HELP {name} ")), "{name} is not explained");
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let document = fs::read_to_string(root.join("docs/operations.md")).unwrap();
    let told = told(&document, "\n## Metrics and health\n");
    let missing: Vec<_> = served.difference(&told).collect();
    let invented: Vec<_> = told.difference(&served).collect();
    assert!(missing.is_empty() && invented.is_empty(), "not told: {missing:?}; not served: {invented:?}");
    // Rules and pictures speak of metrics that there are.
    for file in ["docs/alerts.yml", "docs/dashboard.json"] {
        let text = fs::read_to_string(root.join(file)).unwrap();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let named: BTreeSet<_> = words.filter(|word| word.starts_with("sojourn_")).collect();
        assert!(!named.is_empty());
        for name in named {
            let base = ["_count", "_sum", "_bucket"].iter().find_map(|end| name.strip_suffix(end));
            assert!(told.contains(name) || base.is_some_and(|base| told.contains(base)), "{name} in {file}");
        }
    }
    testbed.run(&["down"]).unwrap();
}
