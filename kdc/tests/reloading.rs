//! The configuration of a key distribution centre that serves, read again.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod installation;

use std::fs;

use installation::{Admin, Installation, all};
use proto::kdc::{ListHomeAgentsRequest, ReloadRequest};
use tonic::{Code, Status};

async fn reload(admin: &mut Admin) -> Result<Vec<String>, Status> {
    Ok(admin.reload(ReloadRequest {}).await?.into_inner().changes)
}

#[tokio::test]
async fn a_file_with_any_key_wrong_changes_nothing() {
    let installation = Installation::new();
    let server = installation.start();
    let mut admin = server.admin(&installation.administrator());
    let path = installation.file("kdc.toml");
    let right = fs::read_to_string(&path).unwrap();
    let spoiled = daemon::config::spoil(&right);
    assert!(spoiled.len() > 10);
    for daemon::config::Spoiled { text, line, key } in spoiled {
        fs::write(&path, &text).unwrap();
        let refusal = reload(&mut admin).await.unwrap_err();
        assert_eq!(refusal.code(), Code::FailedPrecondition, "{key}: {refusal}");
        let place = format!("{}:{line}:", path.display());
        assert!(
            refusal.message().starts_with(&place) && refusal.message().contains(&key),
            "{key}: {refusal}"
        );
    }
    for (from, to, key) in [
        ("127.0.0.1:0", "127.0.0.1:7", "listen"),
        ("home.example\"", "other.example\"", "realm"),
        ("kdc.db", "elsewhere.db", "state"),
    ] {
        fs::write(&path, right.replace(from, to)).unwrap();
        let refusal = reload(&mut admin).await.unwrap_err();
        let told = refusal.message();
        assert!(told.contains(&format!("{key}: cannot change while the daemon runs: only ")), "{told}");
    }
    fs::write(&path, &right).unwrap();
    assert_eq!(reload(&mut admin).await.unwrap(), [""; 0]);
    assert!(server.log().contains("the configuration stays as it was"));
}

#[tokio::test]
async fn other_certificates_count_for_the_connections_to_come() {
    let (installation, other) = (Installation::new(), Installation::new());
    let server = installation.start();
    let mut admin = server.admin(&installation.administrator());
    let path = installation.file("kdc.toml");
    let right = fs::read_to_string(&path).unwrap();
    fs::copy(other.file("ca.pem"), installation.file("other.pem")).unwrap();
    fs::write(&path, right.replace("ca = \"ca.pem\"", "ca = \"other.pem\"")).unwrap();
    let changes = reload(&mut admin).await.unwrap();
    assert!(changes[0].starts_with("tls.ca: ") && changes[0].ends_with("other.pem"), "{changes:?}");
    let mut late = server.admin(&installation.administrator());
    assert!(late.list_home_agents(ListHomeAgentsRequest {}).await.is_err());
    // Who was connected before goes on, and puts it right.
    assert!(all(admin.list_home_agents(ListHomeAgentsRequest {}).await).await.is_empty());
    fs::write(&path, &right).unwrap();
    reload(&mut admin).await.unwrap();
    let mut late = server.admin(&installation.administrator());
    assert!(all(late.list_home_agents(ListHomeAgentsRequest {}).await).await.is_empty());
}

#[tokio::test]
async fn only_an_administrator_may_ask() {
    let installation = Installation::new();
    let server = installation.start();
    let mut auditor = server.admin(&installation.certificate("auditor", "eve"));
    assert_eq!(reload(&mut auditor).await.unwrap_err().code(), Code::PermissionDenied);
}
