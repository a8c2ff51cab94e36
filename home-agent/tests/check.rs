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

/// A safe prime of 2,048 bits (openssl prime -generate -safe -bits 2048 -hex).
const SAFE: &str = "dd6a1452d8ca4cb5fd95f79002d6b6203133390fb1702536462f0682a3fdf22f815aae446080499a013568306ff0\
                    3819d9f7c1ef9350c6f26d151f5f1b28ac48171a12339c44382bf0801b139cc0ee83e12d88854fb00447198df9ee\
                    09f6ebb826ee649d8dafd2dc3ea5515f62c3d47d1cbff56ebac3d3a9886077c772cec48a6771d1dfdf1d82f3f0f9\
                    0711e4f99ab3a55bcfda38c95163550e6e699953de064ee50f4ae1fcc8a8c776e1ec7b91cb65f5dad3db7053ad6e\
                    3fa914b82421c3dfd7c172bfbab0be62fbd83e90aebcb0915e9158297cc7424373688192ff62fafff0ebf7a1706c\
                    97cce9dc269b6fcccae118d246a0dde5fe7a07202eb607b7759b";

/// A group of one's own passes the same test as one that a peer brings, or the file is refused.
#[test]
fn a_group_of_ones_own_is_tested_before_it_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("home-agent.toml");
    let told = |groups: &str, more: &str| {
        let example = include_str!("../home-agent.toml");
        let line = example.lines().find(|line| line.starts_with("groups = ")).unwrap();
        let text = example.replacen(line, &format!("groups = [{groups}]\n{more}"), 1);
        std::fs::write(&path, text).unwrap();
        let check =
            Command::new(env!("CARGO_BIN_EXE_home-agent")).arg("--check").arg("--config").arg(&path).output();
        String::from_utf8(check.unwrap().stderr).unwrap()
    };
    let example = include_str!("../home-agent.toml").lines();
    let at = example.take_while(|line| !line.starts_with("groups = ")).count() + 2;
    let (even, short) = (format!("{}0", &SAFE[..511]), &SAFE[..256]);
    let group = |prime: &str, generator: &str| {
        format!("own_group = {{ prime = \"{prime}\", generator = \"{generator}\" }}")
    };
    for (more, key, words) in [
        (group(&even, "2"), "prime", "even"),
        (group(&SAFE[1..], "2"), "prime", "it must have 2048 to 8192"),
        (group(short, "2"), "prime", "allow_legacy_groups = true"),
        (group(&SAFE[..16], "2"), "prime", "64 bits: it must have 2048 to 8192"),
        (group(&SAFE.repeat(5), "2"), "prime", "no more than 8192"),
        (group(&format!("{}1", &SAFE[..511]), "2"), "prime", "prime"),
        (group(SAFE, "1"), "generator", "2 to p - 2"),
        (group(SAFE, "0"), "generator", "2 to p - 2"),
        (group(SAFE, SAFE), "generator", "2 to p - 2"),
        (group(SAFE, "two"), "generator", "hexadecimal"),
        (group("", "2"), "prime", "hexadecimal"),
        ("own_group.prime_file = \"nowhere.hex\"".to_owned(), "prime_file", "nowhere.hex"),
        ("own_group.generator = \"2\"".to_owned(), "prime", "one of prime and prime_file"),
    ] {
        let message = told("\"own\"", &more);
        let place = format!("{}:{at}:", path.display());
        assert!(message.starts_with(&place), "{message}");
        let key = format!(": negotiation.mobile_nodes.own_group.{key}: ");
        let first = message.lines().next().unwrap();
        assert!(first.contains(&key) && first.contains(words), "{message}");
    }
    for (groups, more, words) in [
        ("\"own\"".to_owned(), String::new(), "own_group"),
        ("\"x25519\"".to_owned(), group(SAFE, "2"), "\"own\" stands in groups"),
    ] {
        let message = told(&groups, &more);
        assert!(message.contains("negotiation.mobile_nodes.") && message.contains(words), "{message}");
    }
    std::fs::write(folder.path().join("own.hex"), format!("{}\n{}\n", &SAFE[..256], &SAFE[256..])).unwrap();
    for right in [group(SAFE, "2"), group(SAFE, "b"), "own_group.prime_file = \"own.hex\"".to_owned()] {
        let message = told("\"x25519\", \"own\"", &right);
        assert!(!message.contains("negotiation"), "{message}");
    }
}
