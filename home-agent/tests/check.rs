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

#[test]
fn home_addresses_that_are_not_of_the_home_link_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("home-agent.toml");
    for (right, wrong, told) in [
        ("10.11.1.128/26", "10.11.2.0/24", "registration.home_addresses"),
        ("10.11.1.128/26", "10.11.0.0/16", "registration.home_addresses"),
        ("10.11.1.128/26", "10.11.1.9-10.11.1.8", "the lower address comes first"),
        ("10.11.1.128/26", "10.11.1.128", "10.11.1.128-10.11.1.191"),
        ("gateway = \"10.11.1.1\"", "gateway = \"10.11.2.1\"", "home_link.gateway"),
        ("max_simultaneous_bindings = 3", "max_simultaneous_bindings = 0", "max_simultaneous_bindings"),
        ("max_simultaneous_bindings = 3", "max_simultaneous_bindings = 17", "1 to 16"),
    ] {
        let text = include_str!("../home-agent.toml");
        assert!(text.contains(right), "{right}");
        std::fs::write(&path, text.replacen(right, wrong, 1)).unwrap();
        let mut check = Command::new(env!("CARGO_BIN_EXE_home-agent"));
        let output = check.arg("--check").arg("--config").arg(&path).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong}: {message}");
        assert!(message.contains(told), "{wrong}: {message}");
    }
}
