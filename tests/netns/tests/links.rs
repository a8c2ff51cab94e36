//! Walks over links that are bad, and with trouble on the way.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use netns_tests::{Testbed, text};
use serde_json::{Value, json};

/// A scenario of the folder with other words in it.
fn changed(testbed: &Testbed, scenario: &str, changes: &[(&str, &str)], more: &str) -> PathBuf {
    let mut words = fs::read_to_string(Testbed::scenarios().join(scenario)).unwrap();
    for (from, to) in changes {
        assert!(words.contains(from), "{from}");
        words = words.replace(from, to);
    }
    let path = testbed.results().join(scenario);
    fs::write(&path, words + more).unwrap();
    path
}

fn run(testbed: &Testbed, words: &[&str], scenario: &Path) -> Value {
    let report = testbed.results().join("report.json");
    let mut arguments: Vec<&std::ffi::OsStr> = words.iter().map(AsRef::as_ref).collect();
    arguments.extend([scenario.as_os_str(), "--report".as_ref(), report.as_os_str()]);
    testbed.run(&arguments).unwrap();
    serde_json::from_slice(&fs::read(&report).unwrap()).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Every probe that did not arrive has one cause.
fn losses_add_up(report: &Value) {
    let ping = &report["ping"];
    let handovers = report["handovers"].as_array().unwrap();
    let in_handovers: f64 = handovers.iter().map(|line| number(&line["packets_lost"])).sum();
    let told = ["lost_on_links", "lost_by_faults", "lost_in_standstills", "lost_outside_handovers"]
        .map(|key| number(&ping[key]));
    let lost = number(&ping["sent"]) - number(&ping["received"]);
    assert_eq!(lost, in_handovers + told.iter().sum::<f64>(), "{ping}");
    let listed: f64 = report["losses"].as_array().unwrap().iter().map(|loss| number(&loss["probes"])).sum();
    assert_eq!(lost, listed, "every one is in the list");
}

#[test]
fn the_demo_succeeds_over_links_of_50_ms_and_2_percent_loss() {
    let testbed = Testbed::new().unwrap();
    let stays = [("stay_ms = 6000", "stay_ms = 4000"), ("stay_ms = 9000", "stay_ms = 5000")];
    let scenario = changed(&testbed, "50-lossy-links.toml", &stays, "");
    let report = run(&testbed, &["demo", "--scenario"], &scenario);

    assert_eq!(report["faults"], json!([]));
    assert_eq!(report["transfer"]["sha256_match"], true);
    assert_eq!(report["transfer"]["connections"], 1);
    losses_add_up(&report);
    assert!(number(&report["ping"]["lost_on_links"]) > 0.0);
    for line in report["handovers"].as_array().unwrap() {
        let way = if line["to"] == "home" { 2.0 } else { 6.0 };
        assert!(number(&line["registration_ms"]) >= way * 50.0, "not faster than the links: {line}");
    }
    let links = report["emulated_links"].as_array().unwrap();
    assert_eq!(links.len(), 7);
    for link in links {
        let (frames, lost) = (number(&link["frames"]), number(&link["lost"]));
        let (mean, deviation) = (frames * 0.02, (frames * 0.02 * 0.98).sqrt());
        assert!(frames > 100.0 && (lost - mean).abs() < 5.0 * deviation + 1.0, "{link}");
    }

    let (file, picture) = (testbed.results().join("report.json"), testbed.results().join("picture.svg"));
    testbed.run(&["report".as_ref(), file.as_os_str(), "-o".as_ref(), picture.as_os_str()]).unwrap();
    let picture = fs::read_to_string(picture).unwrap();
    for part in ["<title id=\"title\">Handovers: ", "mn: visited-a → visited-b", "lost on an emulated link"]
    {
        assert!(picture.contains(part), "{part}");
    }
}

/// One packet of a hundred has a bit changed or is cut short, on every link and inside of every tunnel: whoever gets it
/// drops it or sends it on as it is, and what arrives in the end is right.
#[test]
fn damaged_and_truncated_packets_are_as_good_as_lost() {
    let testbed = Testbed::new().unwrap();
    let changes = [
        ("delay_ms = 50", "delay_ms = 2"),
        ("loss_percent = 2", "damage_percent = 1"),
        ("stay_ms = 6000", "stay_ms = 4000"),
        ("stay_ms = 9000", "stay_ms = 4000"),
    ];
    let scenario = changed(&testbed, "50-lossy-links.toml", &changes, "");
    let report = run(&testbed, &["run"], &scenario);

    assert_eq!(report["faults"], json!([]));
    assert_eq!(report["transfer"]["sha256_match"], true);
    assert_eq!(report["transfer"]["connections"], 1);
    losses_add_up(&report);
    assert!(number(&report["ping"]["lost_on_links"]) > 0.0);
    for link in report["emulated_links"].as_array().unwrap() {
        assert!(number(&link["damaged"]) > 0.0 && link["lost"] == 0, "{link}");
    }
}

#[test]
fn trouble_on_a_schedule_is_made_told_and_survived() {
    let testbed = Testbed::new().unwrap();
    let fault =
        |at: f64, what: &str, target: &str| format!("[[faults]]\nat_s = {at}\nwhat = \"{what}\"\n{target}\n");
    let faults = [
        fault(2.6, "kill", "node = \"fa-a\""),
        fault(3.0, "start", "node = \"fa-a\""),
        fault(5.0, "cut", "link = \"core-b\""),
        fault(5.3, "restore", "link = \"core-b\""),
        fault(7.0, "stop", "node = \"ha\""),
        fault(7.2, "continue", "node = \"ha\""),
        fault(
            7.4,
            "impair",
            "link = \"core-c\"\nvalues = { delay_ms = 20, rate_mbit = 50, queue_packets = 50 }",
        ),
    ];
    let changes = [
        ("stay_ms = 6000", "stay_ms = 2000"),
        ("stay_ms = 9000", "stay_ms = 2000"),
        ("transfer_mb = 220", "transfer_mb = 30"),
    ];
    let scenario = changed(&testbed, "10-walk.toml", &changes, &faults.concat());
    let report = run(&testbed, &["run"], &scenario);

    assert_eq!(report["faults"], json!([]));
    assert_eq!(report["transfer"]["sha256_match"], true);
    assert_eq!(report["transfer"]["connections"], 1);
    losses_add_up(&report);
    assert!(number(&report["ping"]["lost_by_faults"]) > 0.0, "the killed agent lost probes");
    let made: Vec<(&str, &str)> = report["scheduled_faults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| (text(&fault["what"]), text(&fault["target"])))
        .collect();
    let wanted = [
        ("kill", "fa-a"),
        ("start", "fa-a"),
        ("cut", "core-b"),
        ("restore", "core-b"),
        ("stop", "ha"),
        ("continue", "ha"),
        ("impair", "core-c"),
    ];
    assert_eq!(made, wanted);
    let links = report["emulated_links"].as_array().unwrap();
    let cut = links.iter().find(|link| link["link"] == "core-b").unwrap();
    assert!(number(&cut["cut"]) > 100.0, "probes of 0.3 s: {cut}");
    assert!(links.iter().all(|link| link["link"] == "core-b" || link["cut"] == 0));
}

#[test]
fn bad_values_and_bad_reports_are_refused_before_anything_is_done() {
    let testbed = Testbed::new().unwrap();
    let broken = testbed.results().join("broken.json");
    fs::write(&broken, "{ \"topology\": 1 }").unwrap();
    let broken = broken.to_str().unwrap();
    for (words, complaint) in [
        (&["demo", "--loss-percent", "200"][..], "--loss-percent = 200: 0 to 100"),
        (&["demo", "--jitter-ms", "5"], "--jitter-ms = 5: at most delay-ms, which is 0"),
        (&["demo", "--delay-ms", "fast"], "invalid value 'fast'"),
        (&["report", broken], "is no report of `testbed demo --report`"),
        (&["report", "/nowhere.json"], "cannot read /nowhere.json"),
    ] {
        let output = testbed.attempt(words).unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(complaint), "{words:?}: {said}");
        assert!(output.stdout.is_empty(), "{words:?}");
    }
    assert_eq!(fs::read_dir(testbed.runtime()).unwrap().count(), 0, "no directory was made");
}
