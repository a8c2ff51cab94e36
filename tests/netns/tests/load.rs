//! The load generator against a real home agent with a real key distribution centre.
#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

use std::{
    ffi::OsString,
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use netns_tests::Testbed;
use serde_json::Value;

/// Runs `testbed load` with its folder in memory, and reads its figures.
fn load(testbed: &Testbed, arguments: &[&str]) -> (Output, Value) {
    let file = testbed.results().join("load.json");
    let place = place(testbed);
    let words = ["load", "--json", file.to_str().unwrap(), "--directory", place.to_str().unwrap()];
    let words: Vec<OsString> = words.iter().chain(arguments).map(OsString::from).collect();
    let output = testbed.attempt(&words).unwrap();
    let figures = fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok());
    (output, figures.unwrap_or_default())
}

fn place(testbed: &Testbed) -> PathBuf {
    testbed.runtime().join("load")
}

fn said(output: &Output) -> String {
    [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat()
}

fn number(figures: &Value, key: &str) -> u64 {
    figures[key].as_u64().unwrap_or_else(|| panic!("{key} of {figures}"))
}

/// The run was good, and left nothing behind.
fn assert_good(testbed: &Testbed, output: &Output, figures: &Value) {
    let said = said(output);
    assert!(output.status.success(), "{said}");
    assert_eq!(number(figures, "verified"), number(figures, "accepted"), "{said}");
    for key in ["wrong", "unreachable", "timeouts"] {
        assert_eq!(number(figures, key), 0, "{key}: {said}");
    }
    assert_eq!(number(figures, "registered"), number(figures, "bindings"), "{said}");
    let left: Vec<_> = fs::read_dir(place(testbed)).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn two_hundred_nodes_register_move_and_can_all_be_reached() {
    let testbed = Testbed::new().unwrap();
    let (output, figures) = load(&testbed, &["--nodes", "200", "--seconds", "3"]);
    assert_good(&testbed, &output, &figures);
    assert_eq!(number(&figures, "registered"), 200);
    let phases = figures["phases"].as_array().unwrap();
    let [register, moves] = phases.as_slice() else { panic!("{phases:?}") };
    assert_eq!((number(register, "accepted"), number(register, "denied")), (200, 0));
    assert!(number(moves, "accepted") > 0);
    for phase in phases {
        let counted: u64 =
            phase["histogram"].as_array().unwrap().iter().map(|bucket| number(bucket, "count")).sum();
        assert_eq!(counted, number(phase, "accepted") + number(phase, "denied"));
        assert!(phase["p50_ms"].as_f64() <= phase["p99_ms"].as_f64());
        assert!(phase["home_agent"]["rss_bytes"].as_u64().unwrap() > 1_000_000);
    }
}

#[test]
fn without_key_shares_at_a_rate() {
    let testbed = Testbed::new().unwrap();
    let words = ["--nodes", "30", "--seconds", "2", "--rate", "50", "--no-shares", "--check-at-once"];
    let (output, figures) = load(&testbed, &words);
    assert_good(&testbed, &output, &figures);
    assert_eq!(figures["shares"], false);
    // 2 seconds at 50: none is left out for being late.
    assert_eq!(number(&figures["phases"][1], "accepted"), 100);
}

fn names(figures: &Value) -> Vec<&str> {
    figures["phases"].as_array().unwrap().iter().map(|phase| phase["name"].as_str().unwrap()).collect()
}

#[test]
fn keys_that_nodes_and_agents_negotiate_are_the_home_agents() {
    for policy in ["stateful", "semi-stateful", "stateless:p-256"] {
        let testbed = Testbed::new().unwrap();
        let words = ["--nodes", "30", "--seconds", "2", "--rate", "40", "--negotiate", policy];
        let (output, figures) = load(&testbed, &[&words[..], &["--negotiate-agents"]].concat());
        assert_good(&testbed, &output, &figures);
        // Those through agents have two.
        let compared = number(&figures, "keys_compared");
        assert!((31..=60).contains(&compared), "{policy}: {compared}");
        assert_eq!(number(&figures, "keys_wrong"), 0, "{policy}");
    }
}

#[test]
fn nodes_that_exchange_keys_have_a_rate_and_figures_of_their_own_beside_the_others() {
    let testbed = Testbed::new().unwrap();
    let words = ["--nodes", "40", "--seconds", "2", "--rate", "50", "--negotiate", "stateless:modp-2048"];
    let (output, figures) = load(&testbed, &[&words[..], &["--negotiators", "41"]].concat());
    assert!(!output.status.success() && figures.is_null() && said(&output).contains("at most 40 of 40"));
    let beside = ["--negotiators", "10", "--negotiators-rate", "20"];
    let (output, figures) = load(&testbed, &[&words[..], &beside].concat());
    assert_good(&testbed, &output, &figures);
    assert_eq!(names(&figures), ["register", "register-beside", "moves", "moves-beside"]);
    let accepted = [0, 1, 2, 3].map(|phase: usize| number(&figures["phases"][phase], "accepted"));
    assert_eq!(accepted, [30, 10, 100, 40]);
    // KEY 1 of ten nodes, and KEY 2 of those through agents.
    assert!((10..=20).contains(&number(&figures, "keys_compared")), "{figures}");
    assert_eq!(number(&figures, "keys_wrong"), 0);
}

#[test]
fn renewals_are_where_each_node_is_and_come_after_doing_nothing() {
    let testbed = Testbed::new().unwrap();
    let words = ["--nodes", "20", "--renew", "--idle", "1", "--seconds", "2", "--rate", "30"];
    let (output, figures) = load(&testbed, &words);
    assert_good(&testbed, &output, &figures);
    assert_eq!(names(&figures), ["register", "idle", "renewals"]);
    let sent = [0, 1, 2].map(|phase: usize| number(&figures["phases"][phase], "sent"));
    assert_eq!(sent, [20, 0, 60]);
    assert!(figures["phases"][1]["lasted_s"].as_f64().unwrap() >= 1.0);
}

#[test]
fn an_ordinary_user_plays_a_trace_as_it_says() {
    let testbed = Testbed::ordinary().unwrap();
    let mut probe = Command::new("unshare");
    if !testbed.output(probe.args(["--user", "--net", "true"])).is_ok_and(|it| it.status.success()) {
        eprintln!("SKIPPED: a trace played by an ordinary user (users may not make namespaces here)");
        return;
    }
    let trace = testbed.results().join("few.trace");
    let text = "\
        0 0 register 0\n0 1 register fa1 # a comment\n0 2 register own\n0 3 register 2\n\
        0.2 0 renew\n0.2 1 move own\n0.2 2 move 3\n\
        0.4 0 move 2\n0.4 1 home\n0.4 2 deregister\n0.4 3 renew\n0.6 1 register 3\n";
    fs::write(&trace, text).unwrap();
    let (output, figures) = load(&testbed, &["--trace", trace.to_str().unwrap()]);
    assert_good(&testbed, &output, &figures);
    assert_eq!((number(&figures, "nodes"), number(&figures, "accepted")), (4, 12));
    // Nodes 0, 1 and 3: 2 left.
    assert_eq!(number(&figures, "registered"), 3);
}

#[test]
fn a_bad_trace_is_refused_with_its_line_before_anything_is_started() {
    let testbed = Testbed::new().unwrap();
    let trace = testbed.results().join("bad.trace");
    let refused = |text: &str, more: &[&str]| {
        fs::write(&trace, text).unwrap();
        let (output, figures) = load(&testbed, &[&["--trace", trace.to_str().unwrap()], more].concat());
        assert!(!output.status.success() && figures.is_null(), "{figures}");
        assert!(!place(&testbed).exists());
        said(&output)
    };
    let why = refused("0 0 register 0\n1 0 fly 1\n", &[]);
    assert!(why.contains("bad.trace, line 2") && why.contains("register, move, renew"), "{why}");
    let why = refused("0 5 register 7\n", &["--agents", "7"]);
    assert!(why.contains("foreign agent 7") && why.contains("--agents"), "{why}");
    let why = refused("0 5 register 1\n", &["--nodes", "5"]);
    assert!(why.contains("node 5") && why.contains("--nodes"), "{why}");
}

#[test]
fn a_written_trace_can_be_played() {
    let testbed = Testbed::new().unwrap();
    let trace = testbed.results().join("random.trace");
    let file = trace.to_str().unwrap();
    let words = ["load", "--write-trace", file, "--nodes", "6", "--seed", "3", "--duration", "4"];
    testbed.run(&words).unwrap();
    let (output, figures) = load(&testbed, &["--trace", file]);
    assert_good(&testbed, &output, &figures);
    let lines = fs::read_to_string(&trace).unwrap().lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(number(&figures, "accepted"), lines as u64);
}
