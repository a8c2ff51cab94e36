//! `--check` on the example configuration with each key wrong in turn.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::process::Command;

#[test]
fn every_key_wrong_in_turn_is_told_by_line_and_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("home-agent.toml");
    let spoiled = daemon::config::spoil(include_str!("../home-agent.toml"));
    assert!(spoiled.len() > 10);
    for daemon::config::Spoiled { text, line, key } in spoiled {
        std::fs::write(&path, &text).unwrap();
        let check =
            Command::new(env!("CARGO_BIN_EXE_home-agent")).arg("--check").arg("--config").arg(&path).output();
        let check = check.unwrap();
        let message = String::from_utf8(check.stderr).unwrap();
        assert_eq!(check.status.code(), Some(2), "{key} in line {line}: {message}");
        let place = format!("{}:{line}:", path.display());
        assert!(message.starts_with(&place), "{key} in line {line}: {message}");
        assert!(message.lines().next().unwrap_or_default().contains(&key), "{key} in line {line}: {message}");
    }
}
