//! Configurations that are read again by daemons at work.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use netns_tests::{Testbed, text};
use serde_json::Value;

/// A look takes a process of its own, so this many last longer than anything that is waited for.
const LOOKS: usize = 1000;

/// Node, word of `sojourn` and program of each agent.
const AGENTS: [(&str, &str, &str); 3] =
    [("ha", "ha", "home-agent"), ("fa-a", "fa", "foreign-agent"), ("mn", "mn", "mobile-node")];

fn visiting() -> Testbed {
    let testbed = Testbed::new().unwrap();
    let file = Testbed::scenarios().join("10-walk.toml");
    testbed.run(&["up", file.to_str().unwrap()]).unwrap();
    testbed.run(&["move", "mn", "--to", "visited-a"]).unwrap();
    testbed
}

/// The configuration of a node's daemon, wherever the testbed keeps it.
fn configuration(testbed: &Testbed, node: &str, program: &str) -> PathBuf {
    fn search(folder: &Path, end: &Path) -> Option<PathBuf> {
        let entries = fs::read_dir(folder).ok()?;
        let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        paths.find_map(
            |path| if path.is_dir() { search(&path, end) } else { path.ends_with(end).then_some(path) },
        )
    }
    let end = Path::new(node).join(program).with_extension("toml");
    search(testbed.runtime(), &end).unwrap()
}

fn sojourn(testbed: &Testbed, node: &str, words: &[&str]) -> Value {
    let arguments = [&["exec", node, "--", "sojourn", "--json"], words].concat();
    serde_json::from_str(&testbed.run(&arguments).unwrap()).unwrap()
}

fn reload(testbed: &Testbed, node: &str, word: &str) -> Result<Vec<String>, String> {
    let output = testbed.attempt(&["exec", node, "--", "sojourn", "--json", word, "reload"]).unwrap();
    if !output.status.success() {
        return Err(String::from_utf8(output.stderr).unwrap());
    }
    let reply: Value = serde_json::from_slice(&output.stdout).unwrap();
    Ok(reply["changes"].as_array().unwrap().iter().map(|change| text(change).to_owned()).collect())
}

fn registrations(testbed: &Testbed) -> u64 {
    testbed.node("mn").unwrap()["registrations"].as_u64().unwrap()
}

/// Each key misspelt, and each value of another type: line, key and text.
fn spoiled(right: &str) -> Vec<(usize, String, String)> {
    let lines: Vec<&str> = right.lines().collect();
    let mut all = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        let Some((key, value)) = line.split('#').next().unwrap().split_once('=') else { continue };
        let other = if value.trim().starts_with('[') { "{}" } else { "[]" };
        for (named, wrong) in [
            (format!("{}_", key.trim()), format!("{}_ = {value}", key.trim())),
            (key.trim().to_owned(), format!("{key} = {other}")),
        ] {
            let mut text = lines.clone();
            text[n] = &wrong;
            all.push((n + 1, named, text.join("\n")));
        }
    }
    all
}

#[test]
fn a_file_with_any_key_wrong_does_no_harm_to_a_daemon_at_work() {
    let testbed = visiting();
    let before = registrations(&testbed);
    for (node, word, program) in AGENTS {
        let path = configuration(&testbed, node, program);
        let right = fs::read_to_string(&path).unwrap();
        let wrong = spoiled(&right);
        assert!(wrong.len() > 10, "{node}: {}", wrong.len());
        for (line, key, text) in wrong {
            fs::write(&path, text).unwrap();
            let refusal = reload(&testbed, node, word).unwrap_err();
            let place = format!("{program}.toml:{line}:");
            assert!(refusal.contains(&place) && refusal.contains(&key), "{node}, {key}: {refusal}");
        }
        // Right, but not for a daemon that runs.
        fs::write(&path, right.replace(".sock\"", "2.sock\"")).unwrap();
        let refusal = reload(&testbed, node, word).unwrap_err();
        assert!(refusal.contains("admin.socket: cannot change while the daemon runs: only "), "{refusal}");
        fs::write(&path, right).unwrap();
        assert_eq!(reload(&testbed, node, word).unwrap(), [""; 0], "{node}");
    }
    assert_eq!(registrations(&testbed), before);
    let bindings = sojourn(&testbed, "ha", &["ha", "bindings"]);
    assert_eq!((bindings.as_array().unwrap().len(), &bindings[0]["care_of"]), (1, &"10.51.1.2".into()));
    assert_eq!(sojourn(&testbed, "fa-a", &["fa", "visitors"]).as_array().unwrap().len(), 1);
    let result = testbed.json(&["traffic", "--megabytes", "1", "--seconds", "1"]).unwrap();
    assert_eq!(result["transfer"]["sha256_match"], true, "{result}");
    testbed.run(&["down"]).unwrap();
}

#[test]
fn what_may_change_counts_from_then_on_and_bindings_stay() {
    let testbed = visiting();
    let before = registrations(&testbed);
    let path = configuration(&testbed, "ha", "home-agent");
    let right = fs::read_to_string(&path).unwrap();
    // The second foreign agent is not wanted any more.
    let entries: Vec<&str> = right.split_inclusive("[[foreign_agents]]").collect();
    let second = entries.iter().position(|entry| entry.contains("fa-b@")).unwrap();
    let entry = entries[second].trim_end_matches("[[foreign_agents]]");
    let without = right.replace(&format!("[[foreign_agents]]{entry}"), "");
    fs::write(&path, format!("log = \"debug\"\n{without}")).unwrap();
    let changes = reload(&testbed, "ha", "ha").unwrap();
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert!(
        changes[0].starts_with("foreign_agents fa-b@") && changes[0].ends_with(": removed"),
        "{changes:?}"
    );
    assert_eq!(changes[1], "log: none -> debug");
    assert_eq!(registrations(&testbed), before);
    assert_eq!(sojourn(&testbed, "ha", &["ha", "bindings"]).as_array().unwrap().len(), 1);
    // It is wanted again. This time a signal says so, and the log.
    fs::write(&path, &right).unwrap();
    testbed.run(&["kill", "ha", "--signal", "1"]).unwrap();
    let log = || fs::read_to_string(path.with_extension("log")).unwrap();
    assert!((0..LOOKS).any(|_| {
        testbed.node("ha").unwrap();
        log().contains("foreign_agents fa-b@visited-b.example: added")
    }));
    assert_eq!(registrations(&testbed), before);
    testbed.run(&["move", "mn", "--to", "visited-b"]).unwrap();
    assert_eq!(testbed.node("mn").unwrap()["agent"], "fa-b");
    testbed.run(&["down"]).unwrap();
}
