//! The real `sojourn` against agents that a test plays.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    path::{Path, PathBuf},
    process::Output,
    sync::Arc,
};

use admin::{Agent, AgentRequest, AgentSnapshot, EventLog, shown::Association, unix::Socket};
use proto::agent::{Binding, Event, MobileNode, Role, StatusReply, Visitor};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
    sync::{mpsc, watch},
    task::JoinSet,
};

struct Played {
    socket: PathBuf,
    events: EventLog,
    asked: mpsc::Receiver<AgentRequest>,
    _snapshots: watch::Sender<Arc<AgentSnapshot>>,
    _server: JoinSet<()>,
    _folder: tempfile::TempDir,
}

fn play(snapshot: AgentSnapshot) -> Played {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("agent.sock");
    let events = EventLog::default();
    let (snapshots, watch) = watch::channel(Arc::new(snapshot));
    let (requests, asked) = mpsc::channel(1);
    let agent = Agent::new(watch, events.clone()).with_requests(requests);
    let listening = Socket::bind(&socket).unwrap();
    let mut server = JoinSet::new();
    server.spawn(async move { listening.serve(agent.routes()).await.unwrap() });
    Played { socket, events, asked, _snapshots: snapshots, _server: server, _folder: folder }
}

fn sojourn(arguments: &[&str], socket: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sojourn"));
    command.args(arguments).arg("--socket").arg(socket).env_remove("SOJOURN_SOCKET").kill_on_drop(true);
    command
}

async fn run(arguments: &[&str], socket: &Path) -> Output {
    sojourn(arguments, socket).output().await.unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json_of(output: &Output) -> Value {
    serde_json::from_str(&text(output)).unwrap()
}

fn home_agent() -> AgentSnapshot {
    let status = StatusReply {
        role: Role::HomeAgent.into(),
        nai: "ha@home.example".to_owned(),
        uptime_s: 3661,
        bindings: 1,
        kdc: "connected".to_owned(),
        counters: [("code 133".to_owned(), 2), ("accepted".to_owned(), 9)].into(),
        ..StatusReply::default()
    };
    let mut snapshot = AgentSnapshot::new(status);
    snapshot.bindings = vec![Binding {
        nai: "traveller-one@home.example".to_owned(),
        home_address: "10.11.1.50".to_owned(),
        care_of: "10.51.1.2".to_owned(),
        agent: "fa-a@visited-a.example".to_owned(),
        encapsulation: "ipip".to_owned(),
        tunnel_to: "10.51.1.2".to_owned(),
        reverse_tunnel: true,
        lifetime_s: 600,
        // Two minutes and a bit: a slow test run cannot change the minutes shown.
        lifetime_left_s: 599,
    }];
    snapshot.associations = vec![Association {
        kind: "KEY 1",
        inbound: 4096,
        outbound: 5000,
        own: "ha@home.example".into(),
        peer: "traveller-one@home.example".into(),
        home_address: [10, 11, 1, 50].into(),
        left_s: 599,
        age_s: 3601,
        fingerprint: [0x00, 0x11, 0x22, 0x33, 0xaa, 0xbb, 0xcc, 0xdd],
        encryption: "aes-256-gcm",
        integrity: "hmac-sha-256",
        mode: "stateless",
        group: Some(14),
        state: "in use",
    }];
    snapshot
}

#[tokio::test]
async fn a_home_agent_tells_its_bindings_as_table_and_as_json() {
    let played = play(home_agent());
    let table = text(&run(&["ha", "bindings"], &played.socket).await);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 2, "{table}");
    let column = lines[0].find("CARE-OF ADDRESS").unwrap();
    assert!(lines[1][column..].starts_with("10.51.1.2 "), "{table}");
    assert!(lines[1].contains("9m ") && lines[1].ends_with("of 10m 0s"), "{table}");

    let value = json_of(&run(&["ha", "bindings", "--json"], &played.socket).await);
    assert_eq!(value[0]["home_address"], "10.11.1.50");
    assert_eq!(value[0]["reverse_tunnel"], true);
    assert!(value[0]["lifetime_left_s"].as_u64().unwrap() <= 599);
}

#[tokio::test]
async fn status_and_associations_are_told() {
    let played = play(home_agent());
    let status = text(&run(&["ha", "status"], &played.socket).await);
    for word in ["home agent", "ha@home.example", "1h 1m", "connected", "code 133"] {
        assert!(status.contains(word), "{word}: {status}");
    }
    let value = json_of(&run(&["--json", "ha", "status"], &played.socket).await);
    assert_eq!(value["counters"], json!({ "code 133": 2, "accepted": 9 }));
    assert_eq!(value["role"], "home-agent");
    let associations = text(&run(&["ha", "associations"], &played.socket).await);
    assert!(associations.contains("modp-2048") && associations.contains("4096"), "{associations}");
}

#[tokio::test]
async fn a_foreign_agent_tells_its_visitors_or_that_there_are_none() {
    let status = StatusReply { role: Role::ForeignAgent.into(), ..StatusReply::default() };
    let mut snapshot = AgentSnapshot::new(status);
    let empty = play(snapshot.clone());
    assert_eq!(text(&run(&["fa", "visitors"], &empty.socket).await), "No mobile node is visiting.\n");
    assert_eq!(json_of(&run(&["fa", "visitors", "--json"], &empty.socket).await), json!([]));
    snapshot.visitors = vec![Visitor {
        home_address: "10.11.1.50".to_owned(),
        link_address: "02:00:00:00:00:01".to_owned(),
        interface: "eth1".to_owned(),
        ..Visitor::default()
    }];
    let played = play(snapshot);
    assert!(text(&run(&["fa", "visitors"], &played.socket).await).contains("02:00:00:00:00:01"));
}

fn mobile_node() -> AgentSnapshot {
    AgentSnapshot::new(StatusReply {
        role: Role::MobileNode.into(),
        mobile_node: Some(MobileNode {
            state: "registered".to_owned(),
            home_address: "10.11.1.50".to_owned(),
            care_of: "192.168.77.10".to_owned(),
            encapsulation: "udp".to_owned(),
            registrations: 4,
            ..MobileNode::default()
        }),
        ..StatusReply::default()
    })
}

#[tokio::test]
async fn a_mobile_node_tells_where_it_is() {
    let played = play(mobile_node());
    let status = text(&run(&["mn", "status"], &played.socket).await);
    assert!(status.contains("registered") && status.contains("co-located"), "{status}");
    let value = json_of(&run(&["mn", "status", "--json"], &played.socket).await);
    assert_eq!(value["mobile_node"]["registrations"], 4);
}

#[tokio::test]
async fn events_end_unless_followed() {
    let played = play(mobile_node());
    let push = |kind: &str| {
        played.events.push(Event { kind: kind.to_owned(), unix_ns: 1_000_000_000, ..Event::default() })
    };
    push("link_up");
    push("registered");
    let told = text(&run(&["mn", "events", "--after", "1"], &played.socket).await);
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.contains("registered") && told.contains("code 0"), "{told}");

    let mut following = sojourn(&["mn", "events", "--follow", "--json"], &played.socket)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    for expected in ["link_up", "registered"] {
        let line = lines.next_line().await.unwrap().unwrap();
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["kind"], expected);
    }
    push("link_down");
    let line = lines.next_line().await.unwrap().unwrap();
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["kind"], "link_down");
    following.kill().await.unwrap();
}

#[tokio::test]
async fn deregistration_waits_for_the_answer() {
    let mut played = play(mobile_node());
    let told = tokio::spawn(sojourn(&["mn", "deregister"], &played.socket).output());
    let Some(AgentRequest::Deregister(answer)) = played.asked.recv().await else { panic!("no request") };
    answer.send(Ok(())).unwrap();
    assert!(text(&told.await.unwrap().unwrap()).contains("binding is gone"));

    let told = tokio::spawn(sojourn(&["mn", "deregister"], &played.socket).output());
    let Some(AgentRequest::Deregister(answer)) = played.asked.recv().await else { panic!("no request") };
    answer.send(Err("not registered".to_owned())).unwrap();
    let told = told.await.unwrap().unwrap();
    assert_eq!(told.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&told.stderr), "sojourn: not registered\n");
}

#[tokio::test]
async fn a_revocation_names_whose_registration_ends_and_waits_for_the_answer() {
    for (whom, role, done) in [
        ("ha", Role::HomeAgent, "The binding of 10.11.1.50 is gone"),
        ("fa", Role::ForeignAgent, "The visitor 10.11.1.50 is gone"),
    ] {
        let status = StatusReply { role: role.into(), ..StatusReply::default() };
        let mut played = play(AgentSnapshot::new(status));
        let told = tokio::spawn(sojourn(&[whom, "revoke", "10.11.1.50"], &played.socket).output());
        let Some(AgentRequest::Revoke(address, answer)) = played.asked.recv().await else {
            panic!("no request")
        };
        assert_eq!(address, std::net::Ipv4Addr::new(10, 11, 1, 50));
        answer.send(Ok(())).unwrap();
        assert!(text(&told.await.unwrap().unwrap()).starts_with(done));

        let told = tokio::spawn(sojourn(&[whom, "revoke", "10.11.1.51", "--json"], &played.socket).output());
        let Some(AgentRequest::Revoke(_, answer)) = played.asked.recv().await else { panic!("no request") };
        answer.send(Err("10.11.1.51 has no binding".to_owned())).unwrap();
        let told = told.await.unwrap().unwrap();
        assert_eq!(told.status.code(), Some(1));
        assert_eq!(String::from_utf8_lossy(&told.stderr), "sojourn: 10.11.1.51 has no binding\n");

        let wrong = run(&[whom, "revoke", "traveller-one"], &played.socket).await;
        assert_eq!(wrong.status.code(), Some(2), "an address is wanted");
        let help = Command::new(env!("CARGO_BIN_EXE_sojourn")).args([whom, "revoke", "--help"]).output();
        assert!(text(&help.await.unwrap()).contains("register again at once"));
    }
}

#[tokio::test]
async fn what_is_wrong_is_said_with_an_exit_code() {
    let played = play(mobile_node());
    let complaint = |output: Output| (output.status.code(), String::from_utf8(output.stderr).unwrap());

    let (code, message) = complaint(run(&["ha", "bindings"], &played.socket).await);
    assert_eq!(code, Some(1));
    assert!(message.contains("a mobile node") && message.contains("sojourn mn"), "{message}");

    let (code, message) = complaint(run(&["ha", "bindings"], Path::new("/nowhere/ha.sock")).await);
    assert_eq!(code, Some(3));
    assert!(message.contains("/nowhere/ha.sock") && message.contains("is the daemon running"), "{message}");

    let mut without = Command::new(env!("CARGO_BIN_EXE_sojourn"));
    let (code, message) =
        complaint(without.args(["ha", "status"]).env_remove("SOJOURN_SOCKET").output().await.unwrap());
    assert_eq!(code, Some(3));
    assert!(message.contains("--socket") && message.contains("SOJOURN_SOCKET"), "{message}");

    let (code, _) = complaint(run(&["ha", "everything"], &played.socket).await);
    assert_eq!(code, Some(2));
}

#[tokio::test]
async fn help_teaches_with_examples() {
    for arguments in [&["--help"][..], &["ha", "--help"], &["fa", "--help"], &["mn", "--help"]] {
        let help = Command::new(env!("CARGO_BIN_EXE_sojourn")).args(arguments).output().await.unwrap();
        let help = text(&help);
        assert!(help.contains("Example") && help.contains("--json"), "{help}");
    }
}

#[tokio::test]
async fn security_associations_are_listed_and_shown_at_any_agent() {
    let played = play(home_agent());
    let table = text(&run(&["sa", "list"], &played.socket).await);
    for word in [
        "SPI IN",
        "4096",
        "traveller-one@home.example",
        "aes-256-gcm",
        "stateless by modp-2048",
        "1h 0m",
        "in use",
    ] {
        assert!(table.contains(word), "{word}: {table}");
    }
    let value = json_of(&run(&["sa", "list", "--json"], &played.socket).await);
    assert_eq!((&value[0]["mode"], &value[0]["home_address"]), (&json!("stateless"), &json!("10.11.1.50")));
    for (filter, rows) in [
        (["--peer", "traveller-one@home.example"], 1),
        (["--peer", "somebody@home.example"], 0),
        (["--mode", "stateless"], 1),
        (["--mode", "stateful"], 0),
        (["--home-address", "10.11.1.51"], 0),
    ] {
        let value = json_of(&run(&["sa", "list", "--json", filter[0], filter[1]], &played.socket).await);
        assert_eq!(value.as_array().unwrap().len(), rows, "{filter:?}");
    }
    let one = text(&run(&["sa", "show", "4096"], &played.socket).await);
    assert!(one.contains("mobile node and home agent") && one.contains("00112233aabbccdd"), "{one}");
    let none = run(&["sa", "show", "4097"], &played.socket).await;
    assert_eq!(none.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&none.stderr).contains("sojourn sa list"));
    let wrong = run(&["sa", "list", "--mode", "stateles"], &played.socket).await;
    assert_eq!(wrong.status.code(), Some(2));
}

#[tokio::test]
async fn renewals_and_deletions_wait_for_the_answer() {
    for role in [Role::HomeAgent, Role::ForeignAgent, Role::MobileNode] {
        let mut snapshot = home_agent();
        snapshot.status.role = role.into();
        let mut played = play(snapshot);
        let told = tokio::spawn(sojourn(&["sa", "renew", "4096"], &played.socket).output());
        let Some(AgentRequest::Renew(4096, answer)) = played.asked.recv().await else { panic!("no request") };
        answer.send(Ok(())).unwrap();
        assert!(text(&told.await.unwrap().unwrap()).contains("was renewed"));

        let told = tokio::spawn(sojourn(&["sa", "renew", "--all", "--json"], &played.socket).output());
        let Some(AgentRequest::Renew(4096, answer)) = played.asked.recv().await else { panic!("no request") };
        answer.send(Err("nobody did".to_owned())).unwrap();
        let told = told.await.unwrap().unwrap();
        assert_eq!(told.status.code(), Some(1));
        let answer: Value = serde_json::from_slice(&told.stdout).unwrap();
        assert_eq!(answer, json!({ "renewed": 0, "not_renewed": 1 }));
        assert!(
            String::from_utf8_lossy(&told.stderr)
                .contains("10.11.1.50 (index 4096) was not renewed: nobody did")
        );

        let told = tokio::spawn(sojourn(&["sa", "delete", "7"], &played.socket).output());
        let Some(AgentRequest::Delete(7, answer)) = played.asked.recv().await else { panic!("no request") };
        answer.send(Err("no association receives under index 7 here".to_owned())).unwrap();
        let told = told.await.unwrap().unwrap();
        assert_eq!(told.status.code(), Some(1));
        assert_eq!(
            String::from_utf8_lossy(&told.stderr),
            "sojourn: no association receives under index 7 here\n"
        );
        let nothing = run(&["sa", "renew"], &played.socket).await;
        assert_eq!(nothing.status.code(), Some(2), "which one?");
    }
}
