//! `kdc init`, `kdc certificate` and `--check`, as a person uses them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod installation;

use std::{ffi::OsStr, fs, path::Path};

use installation::{HOME_AGENT, Installation, all, kdc, mode};
use proto::kdc::ListHomeAgentsRequest;

const SECRETS: [&str; 5] = ["kdc.db", "kdc.kek", "ca.key", "server.key", "admin.key"];
const PUBLIC: [&str; 5] = ["kdc.toml", "ca.pem", "server.pem", "admin.pem", "admin.toml"];

fn init(directory: &Path, more: &[&str]) -> std::process::Output {
    let fixed = ["--realm", "home.example", "--listen", "127.0.0.1:0", "--server-name", "kdc.home.example"];
    let mut arguments = vec![OsStr::new("init"), OsStr::new("--directory"), directory.as_os_str()];
    arguments.extend(fixed.iter().chain(more).map(OsStr::new));
    kdc(arguments)
}

fn check(config: &Path) -> (Option<i32>, String) {
    let output = kdc([OsStr::new("--config"), config.as_os_str(), OsStr::new("--check")]);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn init_makes_everything_with_secrets_for_the_owner_alone() {
    let installation = Installation::new();
    for name in SECRETS {
        assert_eq!(mode(&installation.file(name)), 0o600, "{name}");
    }
    for name in PUBLIC {
        assert!(installation.file(name).exists(), "{name}");
    }
    assert_eq!(mode(&installation.directory()), 0o700);
    let (code, told) = check(&installation.file("kdc.toml"));
    assert_eq!(code, Some(0), "{told}");
}

#[test]
fn init_overwrites_nothing_and_leaves_nothing_when_it_fails() {
    let installation = Installation::new();
    for name in SECRETS.iter().chain(&PUBLIC) {
        let folder = tempfile::tempdir().unwrap();
        let present = folder.path().join(name);
        fs::write(&present, "mine").unwrap();
        let output = init(folder.path(), &[]);
        assert!(!output.status.success());
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains(name) && told.contains("exists already"), "{told}");
        assert_eq!(fs::read_to_string(&present).unwrap(), "mine");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
    let before = fs::read(installation.file("ca.key")).unwrap();
    assert!(!init(&installation.directory(), &[]).status.success());
    assert_eq!(fs::read(installation.file("ca.key")).unwrap(), before);

    let folder = tempfile::tempdir().unwrap();
    let output = init(folder.path(), &["--home-agent", "ha@other.example"]);
    assert!(!output.status.success());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("--home-agent") && told.contains("home.example"), "{told}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "half an installation is left");
}

#[test]
fn init_wants_the_realm_in_lower_case() {
    let folder = tempfile::tempdir().unwrap();
    let arguments =
        ["--realm", "Home.Example", "--listen", "127.0.0.1:0", "--server-name", "kdc.home.example"];
    let mut all = vec![OsStr::new("init"), OsStr::new("--directory"), folder.path().as_os_str()];
    all.extend(arguments.iter().map(OsStr::new));
    let output = kdc(all);
    assert!(String::from_utf8(output.stderr).unwrap().contains("home.example"));
    assert!(!output.status.success());
}

#[tokio::test]
async fn init_can_register_home_agents() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("kdc");
    let output = init(&directory, &["--home-agent", HOME_AGENT, "--home-agent", "ha-two@home.example"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_kdc"));
    command.arg("--config").arg(directory.join("kdc.toml"));
    let server = installation::Server::spawn(command);
    let file = |name| directory.join(name);
    let holder =
        installation::Holder { ca: file("ca.pem"), certificate: file("admin.pem"), key: file("admin.key") };
    let agents = all(server.admin(&holder).list_home_agents(ListHomeAgentsRequest {}).await).await;
    let names: Vec<_> = agents.iter().map(|agent| agent.name.as_str()).collect();
    assert_eq!(names, ["ha-two@home.example", HOME_AGENT]);
}

#[test]
fn a_certificate_is_issued_once_and_for_the_realm_only() {
    let installation = Installation::new();
    let holder = installation.certificate("home-agent", HOME_AGENT);
    assert_eq!(mode(&holder.key), 0o600);
    let issue = |role: &str, name: &str| {
        let output = kdc([
            OsStr::new("certificate"),
            OsStr::new("--directory"),
            installation.directory().as_os_str(),
            OsStr::new("--role"),
            OsStr::new(role),
            OsStr::new("--name"),
            OsStr::new(name),
            OsStr::new("--out"),
            holder.key.parent().unwrap().as_os_str(),
        ]);
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let before = fs::read(&holder.key).unwrap();
    for (role, name, told) in [
        ("home-agent", HOME_AGENT, "exists already"),
        ("home-agent", "ha@other.example", "home.example"),
        ("home-agent", "ha", "NAI"),
        ("administrator", "../alice", "refused"),
        ("root", "alice", "invalid value"),
    ] {
        let (success, message) = issue(role, name);
        assert!(!success && message.contains(told), "{role} {name}: {message}");
    }
    assert_eq!(fs::read(&holder.key).unwrap(), before);
}

/// Every key wrong in turn: the message names file, line, key and what is allowed, and the exit code is 2.
#[test]
fn check_names_file_line_and_key() {
    let installation = Installation::new();
    let config = installation.file("kdc.toml");
    let good = fs::read_to_string(&config).unwrap();
    let line_of = |text: &str| good.lines().position(|line| line.starts_with(text)).unwrap() + 1;
    let cases = [
        ("realm", "realm = \"home\"", "realm"),
        ("realm", "realm = \"Home.example\"", "lower case"),
        ("listen", "listen = \"10.11.1.3\"", "listen"),
        ("listen", "listen = 7443", "listen"),
        ("state ", "state = 1", "state"),
        ("state_key", "state_key = \"absent.kek\"", "absent.kek"),
        ("vendor", "vendor = 0", "from 1 to"),
        ("vendor", "vendor = -1", "vendor"),
        ("testbed", "testbed = \"yes\"", "testbed"),
        ("ca ", "ca = \"absent.pem\"", "absent.pem"),
        ("certificate", "certificate = \"absent.pem\"", "absent.pem"),
        ("key ", "key = \"absent.key\"", "absent.key"),
        ("key ", "colour = \"blue\"", "colour"),
    ];
    for (begins, wrong, told) in cases {
        let line = line_of(begins);
        let mut lines: Vec<&str> = good.lines().collect();
        lines[line - 1] = wrong;
        fs::write(&config, lines.join("\n")).unwrap();
        let (code, message) = check(&config);
        assert_eq!(code, Some(2), "{wrong}: {message}");
        assert!(
            message.contains(&format!("kdc.toml:{line}:")) && message.contains(told),
            "{wrong}: {message}"
        );
    }
    fs::write(&config, good.replace("testbed = true", "testbed = false")).unwrap();
    let (code, message) = check(&config);
    assert!(code == Some(2) && message.contains("vendor") && message.contains("testbed"), "{message}");
    fs::write(&config, good.replace("realm = \"home.example\"\n", "")).unwrap();
    let (code, message) = check(&config);
    assert!(code == Some(2) && message.contains("realm"), "{message}");
}

#[test]
fn a_key_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let installation = Installation::new();
    fs::set_permissions(installation.file("kdc.kek"), fs::Permissions::from_mode(0o644)).unwrap();
    let (code, message) = check(&installation.file("kdc.toml"));
    assert_eq!(code, Some(2));
    assert!(message.contains("chmod 600"), "{message}");
}

#[test]
fn serving_without_configuration_says_what_is_missing() {
    let output = kdc::<&str>([]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("--config"));
}
