//! Rules of RFC 5944 that no other test shows (docs/conformance.md).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::process::Command;

/// Section 5.7.1: what a mobile node's clock may be off is 7 s by default, and more than 3 s.
#[test]
fn a_replay_window_of_three_seconds_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("home-agent.toml");
    let example = include_str!("../home-agent.toml");
    let told = |window: &str| {
        let text = example.replacen("timestamp_window = 7 ", &format!("timestamp_window = {window} "), 1);
        std::fs::write(&path, text).unwrap();
        let check =
            Command::new(env!("CARGO_BIN_EXE_home-agent")).arg("--check").arg("--config").arg(&path).output();
        String::from_utf8(check.unwrap().stderr).unwrap()
    };
    assert!(example.contains("timestamp_window = 7 "), "the example has the default");
    assert!(told("3").contains("registration.timestamp_window"), "{}", told("3"));
    for window in ["4", "7"] {
        assert!(!told(window).contains("timestamp_window"), "{}", told(window));
    }
}
