//! Networks of a user without rights, in namespaces of their own.
#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

use std::{fs, path::PathBuf, process::Command};

use netns_tests::{Testbed, text};
use serde_json::Value;

/// Whether this kernel lets a user make namespaces; says so if not.
fn allowed(testbed: &Testbed, what: &str) -> bool {
    let mut probe = Command::new("unshare");
    probe.args(["--user", "--net", "true"]);
    let said = match testbed.output(&mut probe) {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => format!("{error:#}"),
    };
    eprintln!("SKIPPED: {what} (users may not make namespaces here: {said})");
    false
}

/// A scenario where the user can read it, with shorter stays.
fn short_walk(testbed: &Testbed) -> PathBuf {
    let walk = fs::read_to_string(Testbed::scenarios().join("10-walk.toml")).unwrap();
    let short = walk
        .replace("stay_ms = 6000", "stay_ms = 1500")
        .replace("stay_ms = 9000", "stay_ms = 1500")
        .replace("transfer_mb = 220", "transfer_mb = 30");
    assert!(!short.contains("stay_ms = 9000") && short.contains("transfer_mb = 30"));
    let path = testbed.results().join("short.toml");
    fs::write(&path, short).unwrap();
    path
}

#[test]
fn an_ordinary_user_walks() {
    let testbed = Testbed::ordinary().unwrap();
    if !allowed(&testbed, "the walk of an ordinary user") {
        return;
    }
    let (walk, report) = (short_walk(&testbed), testbed.results().join("report.json"));
    let captures = testbed.results().join("pcap");
    let arguments = ["run".as_ref(), walk.as_os_str(), "--report".as_ref(), report.as_os_str()];
    let capture = ["--pcap".as_ref(), captures.as_os_str()];
    testbed.run(&[&arguments[..], &capture].concat()).unwrap();
    let report: Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    assert_eq!(report["faults"], serde_json::json!([]));
    assert_eq!(report["transfer"]["sha256_match"], true);
    let way: Vec<&str> =
        report["handovers"].as_array().unwrap().iter().map(|line| text(&line["to"])).collect();
    assert_eq!(way, ["visited-a", "visited-b", "visited-c", "home"]);
    assert!(fs::metadata(captures.join("core-c.pcap")).unwrap().len() > 1000, "captures too");
}

#[test]
fn an_ordinary_user_keeps_a_network_up_and_goes_into_it() {
    let testbed = Testbed::ordinary().unwrap();
    if !allowed(&testbed, "a kept network of an ordinary user") {
        return;
    }
    let walk = short_walk(&testbed);
    testbed.run(&["up".as_ref(), walk.as_os_str()]).unwrap();
    testbed.run(&["move", "mn", "--to", "visited-c"]).unwrap();
    let said = testbed.run(&["exec", "ha", "--", "sojourn", "--json", "ha", "bindings"]).unwrap();
    assert!(said.contains("192.168.77.10"), "{said}");
    testbed.run(&["kill", "ha"]).unwrap();
    testbed.run(&["start", "ha"]).unwrap();
    assert_eq!(testbed.node("mn").unwrap()["care_of"], "192.168.77.10");
    testbed.run(&["down"]).unwrap();
}

#[test]
fn a_kernel_that_refuses_is_told_with_the_setting_to_change() {
    let testbed = Testbed::ordinary().unwrap();
    if !allowed(&testbed, "the refusal of namespaces") {
        return;
    }
    // A user of a user namespace in which no further one may be made.
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-user=1000", "--keep-caps", "sh", "-c"]);
    command.arg("echo 0 > /proc/sys/user/max_user_namespaces && exec \"$0\" demo");
    command.arg(testbed.command(&[] as &[&str]).get_program());
    command.env("XDG_RUNTIME_DIR", testbed.runtime());
    let output = testbed.output(&mut command).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("sysctl -w user.max_user_namespaces=15000    (now 0)  <- this is why"), "{said}");
    let left = fs::read_dir(testbed.runtime()).unwrap().count();
    assert_eq!(left, 0, "nothing was begun");
}
