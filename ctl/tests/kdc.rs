//! The real `sojourn kdc` against a real key distribution centre.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use daemon::enrolment::Enrolment;
use serde_json::Value;

const MOBILE_NODE: &str = "traveller-one@home.example";
const HOME_AGENT: &str = "ha@home.example";

/// The daemon stands beside `sojourn`; built if it is not there, as after `cargo test -p ctl` alone.
fn kdc_program() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_sojourn")).with_file_name("kdc");
    if !program.is_file() {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--package", "kdc"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success());
    }
    program
}

struct Centre {
    serving: Child,
    folder: tempfile::TempDir,
}

impl Drop for Centre {
    fn drop(&mut self) {
        let _ = self.serving.kill();
        let _ = self.serving.wait();
    }
}

impl Centre {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("kdc");
        let mut init = Command::new(kdc_program());
        init.arg("init").arg("--directory").arg(&directory);
        init.args([
            "--realm",
            "home.example",
            "--listen",
            "127.0.0.1:0",
            "--server-name",
            "kdc.home.example",
        ]);
        assert!(init.output().unwrap().status.success());
        let mut command = Command::new(kdc_program());
        command.arg("--config").arg(directory.join("kdc.toml")).stderr(Stdio::piped());
        let mut serving = command.spawn().unwrap();
        let mut lines = BufReader::new(serving.stderr.take().unwrap()).lines().map_while(Result::ok);
        let address = lines
            .find_map(|line| line.split_once("ready address=").map(|(_, rest)| rest.to_owned()))
            .unwrap();
        let address = address.split_whitespace().next().unwrap();
        // It chose its port itself.
        let profile = directory.join("admin.toml");
        let text = fs::read_to_string(&profile).unwrap();
        fs::write(&profile, text.replace("https://127.0.0.1:0", &format!("https://{address}"))).unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        Self { serving, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn sojourn(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sojourn"));
        command.arg("kdc").args(arguments).env("SOJOURN_KDC", self.file("kdc/admin.toml")).output().unwrap()
    }

    fn text(&self, arguments: &[&str]) -> String {
        let output = self.sojourn(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.text(&[arguments, &["--json"]].concat())).unwrap()
    }

    fn refusal(&self, arguments: &[&str], code: i32) -> String {
        let output = self.sojourn(arguments);
        assert_eq!(output.status.code(), Some(code));
        String::from_utf8(output.stderr).unwrap()
    }

    fn enrol<'a>(&self, nai: &'a str, address: &'a str, out: &'a str) -> Vec<&'a str> {
        let fixed = ["--home-prefix", "24", "--home-agent", "10.11.1.2", "--home-gateway", "10.11.1.1"];
        [&["enrol", nai, "--home-address", address, "--out", out], &fixed[..]].concat()
    }
}

#[test]
fn enrolment_writes_a_file_for_the_owner_alone_and_shows_no_key() {
    let centre = Centre::start();
    let out = centre.file("mn.toml");
    let told = centre.text(&centre.enrol(MOBILE_NODE, "10.11.1.50", out.to_str().unwrap()));
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    let enrolment = Enrolment::load(&out).unwrap();
    assert_eq!(enrolment.nai.as_str(), MOBILE_NODE);
    assert!(enrolment.spi > 511 && enrolment.home_gateway.is_some());
    let key = enrolment.key0.to_hex();
    let shown = [
        told,
        centre.text(&["list", "--json"]),
        centre.text(&["show", MOBILE_NODE, "--json"]),
        centre.text(&["audit", "--json"]),
    ];
    for text in shown {
        assert!(text.contains(MOBILE_NODE) && !text.contains(key.as_str()), "{text}");
    }
}

#[test]
fn nothing_is_enrolled_when_the_file_cannot_be_written() {
    let centre = Centre::start();
    let taken = centre.file("taken.toml");
    fs::write(&taken, "mine").unwrap();
    let absent = centre.file("absent/mn.toml");
    for (out, told) in [(&taken, "not overwritten"), (&absent, "nothing was changed")] {
        let arguments = centre.enrol(MOBILE_NODE, "10.11.1.50", out.to_str().unwrap());
        assert!(centre.refusal(&arguments, 1).contains(told));
    }
    assert_eq!(fs::read_to_string(&taken).unwrap(), "mine");
    assert_eq!(centre.json(&["list", "--all"]), Value::Array(Vec::new()));
}

#[test]
fn what_is_enrolled_is_listed_shown_and_revoked() {
    let centre = Centre::start();
    assert!(centre.text(&["list"]).contains("No subscriber"));
    centre.text(&["register-home-agent", HOME_AGENT]);
    let out = centre.file("mn.toml");
    let enrol = centre.enrol(MOBILE_NODE, "10.11.1.50", out.to_str().unwrap());
    let rehearsed = centre.json(&[&enrol[..], &["--dry-run"]].concat());
    assert!(rehearsed["dry_run"] == true && !out.exists());
    let enrolled = centre.json(&enrol);
    assert_eq!(enrolled["not_yet_at"], serde_json::json!([HOME_AGENT]));

    let table = centre.text(&["list"]);
    let mut lines = table.lines();
    assert!(lines.next().unwrap().starts_with("SUBSCRIBER"));
    assert!(lines.next().unwrap().contains("10.11.1.50/24"));
    assert_eq!(centre.json(&["show", MOBILE_NODE])["subscriber"]["spi"], enrolled["spi"]);
    assert_eq!(centre.json(&["associations", "--subscriber", MOBILE_NODE]), Value::Array(Vec::new()));
    assert_eq!(centre.json(&["home-agents"])[0]["connected"], false);

    let other = centre.file("other.toml");
    let twice = centre.enrol(MOBILE_NODE, "10.11.1.51", other.to_str().unwrap());
    assert!(centre.refusal(&twice, 1).contains("enrolled already"));
    assert!(!other.exists());
    assert!(centre.refusal(&["revoke-association", "99"], 1).contains("no association 99"));
    centre.text(&["revoke", MOBILE_NODE, "--reason", "lost at sea"]);
    assert_eq!(centre.json(&["list"]), Value::Array(Vec::new()));
    assert_eq!(centre.json(&["list", "--all"])[0]["state"], "revoked");

    let trail = centre.text(&["audit"]);
    let expected = [
        "make realm key",
        "register home agent",
        "enrol subscriber",
        "refused: ",
        "refused: ",
        "lost at sea",
    ];
    assert_eq!(trail.lines().count(), expected.len());
    for (line, part) in trail.lines().zip(expected) {
        assert!(line.contains(part), "{line}");
    }
    assert_eq!(centre.text(&["audit", "--since", "5"]).lines().count(), 1);
}

#[test]
fn a_rotation_writes_a_new_file_and_says_how_long_the_old_one_serves() {
    let centre = Centre::start();
    let (first, second) = (centre.file("first.toml"), centre.file("second.toml"));
    centre.text(&centre.enrol(MOBILE_NODE, "10.11.1.50", first.to_str().unwrap()));
    let rotate = ["rotate", MOBILE_NODE, "--out", second.to_str().unwrap()];
    assert_eq!(centre.json(&[&rotate[..], &["--dry-run"]].concat())["dry_run"], true);
    assert!(!second.exists());
    let told = centre.text(&[&rotate[..], &["--overlap", "90d"]].concat());
    assert!(told.contains("generation 1") && told.contains("accepted until"), "{told}");
    let (old, new) = (Enrolment::load(&first).unwrap(), Enrolment::load(&second).unwrap());
    assert!(new.key0.expose() != old.key0.expose() && new.spi != old.spi);
    assert_eq!((old.generation, new.generation, new.one_time, new.no_fs), (0, 1, true, false));
    assert_eq!(fs::metadata(&second).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(centre.text(&["show", MOBILE_NODE]).contains("also"));
    assert!(centre.refusal(&rotate, 1).contains("not overwritten"));
    let third = centre.file("third.toml");
    let long = ["rotate", MOBILE_NODE, "--overlap", "91d", "--out", third.to_str().unwrap()];
    assert!(centre.refusal(&long, 1).contains("90 days"));
    assert!(!third.exists());
}

#[test]
fn plain_mobile_nodes_are_warned_of() {
    let centre = Centre::start();
    let out = centre.file("mn.toml");
    let enrol = centre.enrol(MOBILE_NODE, "10.11.1.50", out.to_str().unwrap());
    assert_eq!(centre.sojourn(&[&enrol[..], &["--md5"]].concat()).status.code(), Some(2));
    assert_eq!(centre.sojourn(&[&enrol[..], &["--nonces"]].concat()).status.code(), Some(2));
    let sealed = ["--plain", "--cipher", "aes-128-gcm"];
    assert_eq!(centre.sojourn(&[&enrol[..], &sealed].concat()).status.code(), Some(2));
    let output = centre.sojourn(&[&enrol[..], &["--plain", "--nonces", "--md5"]].concat());
    assert!(output.status.success());
    let (said, warned) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(warned.contains("HMAC-MD5 is weak") && warned.contains("can be followed"), "{warned}");
    assert!(said.contains("Tell its software what stands at the top of"), "{said}");
    let text = fs::read_to_string(&out).unwrap();
    let key = text.lines().find_map(|line| line.strip_prefix("#   key (hex)")).unwrap().trim();
    assert_eq!(key.len(), 32);
    assert!(!said.contains(key) && !warned.contains(key));
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    let enrolment = Enrolment::load(&out).unwrap();
    assert!(!enrolment.one_time && enrolment.no_fs);
    assert!(enrolment.plain.is_some_and(|plain| plain.nonces && plain.md5));
    assert!(centre.text(&["show", MOBILE_NODE]).contains("plain RFC 5944 with nonces and HMAC-MD5"));
}

#[test]
fn realm_keys_are_listed_rotated_and_given_as_they_stand_in_the_file() {
    let centre = Centre::start();
    let first = centre.json(&["realm-key", "list"]);
    assert_eq!(first.as_array().unwrap().len(), 1);
    assert_eq!(centre.json(&["realm-key", "rotate", "--dry-run"])["dry_run"], true);
    let rotated = centre.json(&["realm-key", "rotate", "--overlap", "1d"]);
    let listed = centre.json(&["realm-key", "list"]);
    assert_eq!((&listed[0]["id"], &listed[1]["id"]), (&rotated["key"]["id"], &first[0]["id"]));
    assert!(listed[1]["ends_unix_s"].as_u64().unwrap() > 0);
    let out = centre.file("mn.toml");
    centre.text(&centre.enrol(MOBILE_NODE, "10.11.1.50", out.to_str().unwrap()));
    let toml = centre.text(&["realm-key", "list", "--toml"]);
    assert!(fs::read_to_string(&out).unwrap().ends_with(&toml), "{toml}");
    assert_eq!(Enrolment::load(&out).unwrap().realm_keys.len(), 2);
    assert!(centre.text(&["realm-key", "list"]).starts_with("ID"));
    assert!(centre.text(&["events"]).contains("realm-key-made"));
}

#[test]
fn a_backup_is_a_file_for_the_owner_alone_and_overwrites_nothing() {
    let centre = Centre::start();
    let out = centre.file("kdc.backup");
    let told = centre.json(&["backup", out.to_str().unwrap()]);
    assert_eq!(fs::metadata(&out).unwrap().len(), told["size"].as_u64().unwrap());
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(centre.refusal(&["backup", out.to_str().unwrap()], 1).contains("not overwritten"));
    let absent = centre.file("absent/kdc.backup");
    assert!(centre.refusal(&["backup", absent.to_str().unwrap()], 1).contains("absent"));
    assert!(!centre.file("kdc.backup.part").exists());
}

#[test]
fn the_audit_trail_is_exported_whole_and_goes_on_where_it_ended() {
    let centre = Centre::start();
    for n in 0..5 {
        centre.text(&["register-home-agent", &format!("ha-{n}@home.example")]);
    }
    let (one, two) = (centre.file("one.jsonl"), centre.file("two.csv"));
    let told = centre.json(&["audit", "export", one.to_str().unwrap()]);
    assert_eq!((told["entries"].as_u64(), told["last"].as_u64()), (Some(6), Some(6)));
    let text = fs::read_to_string(&one).unwrap();
    let numbers: Vec<u64> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["number"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    centre.text(&["register-home-agent", "ha-9@home.example"]);
    centre.text(&["audit", "export", two.to_str().unwrap(), "--since", "6", "--format", "csv"]);
    let text = fs::read_to_string(&two).unwrap();
    assert_eq!(text.lines().count(), 2);
    assert!(text.lines().nth(1).unwrap().starts_with("7,"), "{text}");
    assert!(centre.refusal(&["audit", "export", one.to_str().unwrap()], 1).contains("not overwritten"));
}

#[test]
fn completions_and_man_pages_come_out_of_the_command_line() {
    let sojourn =
        |arguments: &[&str]| Command::new(env!("CARGO_BIN_EXE_sojourn")).args(arguments).output().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = sojourn(&["completions", shell]);
        assert!(output.status.success() && output.stdout.len() > 1000, "{shell}");
        assert!(String::from_utf8(output.stdout).unwrap().contains("realm-key"), "{shell}");
    }
    let folder = tempfile::tempdir().unwrap();
    assert!(sojourn(&["man", folder.path().to_str().unwrap()]).status.success());
    for name in ["sojourn.1", "sojourn-kdc.1", "sojourn-kdc-rotate.1", "sojourn-kdc-audit-export.1"] {
        assert!(folder.path().join(name).is_file(), "{name}");
    }
    assert_eq!(sojourn(&["man", "/nonexistent/folder"]).status.code(), Some(1));
}

#[test]
fn no_profile_a_wrong_one_and_nobody_there_are_told_apart() {
    let mut centre = Centre::start();
    let run = |profile: Option<&Path>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sojourn"));
        command.args(["kdc", "list"]).env_remove("SOJOURN_KDC");
        if let Some(profile) = profile {
            command.arg("--profile").arg(profile);
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(3));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(run(None).contains("SOJOURN_KDC"));
    let profile = centre.file("kdc/admin.toml");
    let good = fs::read_to_string(&profile).unwrap();
    let wrong = centre.file("kdc/wrong.toml");
    fs::write(&wrong, good.replace("admin.key", "absent.key")).unwrap();
    let told = run(Some(&wrong));
    assert!(told.contains("wrong.toml:") && told.contains("absent.key"), "{told}");
    centre.serving.kill().unwrap();
    centre.serving.wait().unwrap();
    let told = run(Some(&profile));
    assert!(told.contains("https://127.0.0.1:"), "{told}");
}
