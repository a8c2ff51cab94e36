//! What was acknowledged is there after SIGKILL, and trouble with the store changes nothing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod installation;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::Write as _,
    path::Path,
    process::Command,
};

use installation::{
    Admin, Distribution, HOME_AGENT, Installation, Server, all, enrol, enrolment, issue, register,
};
use proto::kdc::{
    Association, AuditEntry, AuditTrailRequest, ListAssociationsRequest, ListSubscribersRequest,
    RevokeAssociationRequest, RevokeSubscriberRequest, State, Subscriber, WatchSubscribersRequest,
    subscriber_change::What,
};
use sqlx::{Connection as _, Executor as _};
use tonic::Code;

async fn subscribers(admin: &mut Admin) -> BTreeMap<String, Subscriber> {
    let list = all(admin.list_subscribers(ListSubscribersRequest { include_revoked: true }).await).await;
    list.into_iter().map(|it| (it.nai.clone(), it)).collect()
}

async fn associations(admin: &mut Admin) -> BTreeMap<u64, Association> {
    let request = ListAssociationsRequest { subscriber: String::new(), include_ended: true };
    all(admin.list_associations(request).await).await.into_iter().map(|it| (it.id, it)).collect()
}

async fn audit(admin: &mut Admin) -> Vec<AuditEntry> {
    all(admin.audit_trail(AuditTrailRequest::default()).await).await
}

#[tokio::test]
async fn sigkill_right_after_each_answer_loses_nothing() {
    let installation = Installation::new();
    let agent_holder = installation.certificate("home-agent", HOME_AGENT);
    let clients = |server: &Server| -> (Admin, Distribution) {
        (server.admin(&installation.administrator()), server.distribution(&agent_holder))
    };
    let server = installation.start();
    register(&mut clients(&server).0, HOME_AGENT, "").await;
    server.kill();

    let server = installation.start();
    let enrolled = enrol(&mut clients(&server).0, "traveller-one", 50).await.unwrap();
    server.kill();

    let server = installation.start();
    let issued = clients(&server).1.issue_keys(issue("traveller-one", 1)).await.unwrap().into_inner();
    server.kill();

    let server = installation.start();
    let (mut admin, mut agent) = clients(&server);
    // KEY 0 is what the mobile node was given.
    let mut stream =
        agent.watch_subscribers(WatchSubscribersRequest { since: 0 }).await.unwrap().into_inner();
    let Some(What::RealmKey(_)) = stream.message().await.unwrap().unwrap().what else { panic!() };
    let Some(What::Subscriber(record)) = stream.message().await.unwrap().unwrap().what else { panic!() };
    assert_eq!(record.key0, enrolled.enrolment.unwrap().key0);
    let key1 = crypto::Key::from_slice(&issued.key1).unwrap();
    assert_eq!(
        associations(&mut admin).await[&issued.association_id].keys[0].fingerprint,
        key1.fingerprint_hex()
    );
    let request = RevokeAssociationRequest { id: issued.association_id, ..Default::default() };
    admin.revoke_association(request).await.unwrap();
    server.kill();

    let server = installation.start();
    let (mut admin, _) = clients(&server);
    assert_eq!(associations(&mut admin).await[&issued.association_id].state(), State::Revoked);
    let request =
        RevokeSubscriberRequest { nai: "traveller-one@home.example".to_owned(), ..Default::default() };
    admin.revoke_subscriber(request).await.unwrap();
    server.kill();

    let server = installation.start();
    let (mut admin, _) = clients(&server);
    assert_eq!(subscribers(&mut admin).await["traveller-one@home.example"].state(), State::Revoked);
    let entries = audit(&mut admin).await;
    let actions: Vec<_> = entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(
        actions,
        [
            "make realm key",
            "register home agent",
            "enrol subscriber",
            "issue keys",
            "take over subscribers",
            "revoke association",
            "revoke subscriber"
        ]
    );
    assert!(entries.windows(2).all(|pair| pair[1].number == pair[0].number + 1));
}

#[tokio::test]
async fn sigkill_under_load_loses_no_acknowledged_key_and_no_audit_entry() {
    let installation = Installation::new();
    let agent_holder = installation.certificate("home-agent", HOME_AGENT);
    let server = installation.start();
    let mut admin = server.admin(&installation.administrator());
    register(&mut admin, HOME_AGENT, "").await;
    enrol(&mut admin, "traveller-one", 50).await.unwrap();
    drop(server);
    let mut acknowledged = BTreeSet::new();
    for round in 0..3u32 {
        let server = installation.start();
        let (to, mut answers) = tokio::sync::mpsc::unbounded_channel();
        for worker in 0..8u32 {
            let (to, mut agent) = (to.clone(), server.distribution(&agent_holder));
            tokio::spawn(async move {
                for n in 0.. {
                    let number = round << 24 | worker << 16 | n;
                    let Ok(reply) = agent.issue_keys(issue("traveller-one", number)).await else {
                        return;
                    };
                    if to.send(reply.into_inner().association_id).is_err() {
                        return;
                    }
                }
            });
        }
        drop(to);
        // In the middle of it, then everything that was answered before the end.
        for _ in 0..150 + 50 * round {
            acknowledged.insert(answers.recv().await.unwrap());
        }
        server.kill();
        while let Some(id) = answers.recv().await {
            acknowledged.insert(id);
        }
    }
    let server = installation.start();
    let mut admin = server.admin(&installation.administrator());
    let kept = associations(&mut admin).await;
    let lost: Vec<_> = acknowledged.iter().filter(|id| !kept.contains_key(id)).collect();
    assert!(lost.is_empty(), "{lost:?} of {}", acknowledged.len());
    let entries = audit(&mut admin).await;
    assert!(entries.windows(2).all(|pair| pair[1].number == pair[0].number + 1), "a gap");
    let issued: BTreeSet<u64> =
        entries.iter().filter(|e| e.action == "issue keys").map(|e| e.number).collect();
    assert_eq!(issued, kept.keys().copied().collect(), "keys and audit entries belong together");
}

/// Everything that changes is refused with UNAVAILABLE; reading goes on; afterwards all is as before and works.
async fn in_trouble(admin: &mut Admin, agent: &mut Distribution, told: &str) {
    let before = (subscribers(admin).await, associations(admin).await, audit(admin).await.len());
    let id = *before.1.keys().next().unwrap();
    let refusals = [
        enrol(admin, "traveller-two", 51).await.map(drop).unwrap_err(),
        agent.issue_keys(issue("traveller-one", 99)).await.map(drop).unwrap_err(),
        admin
            .revoke_subscriber(RevokeSubscriberRequest {
                nai: "traveller-one@home.example".to_owned(),
                ..Default::default()
            })
            .await
            .map(drop)
            .unwrap_err(),
        admin
            .revoke_association(RevokeAssociationRequest { id, ..Default::default() })
            .await
            .map(drop)
            .unwrap_err(),
    ];
    for status in refusals {
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert!(status.message().contains(told), "{}", status.message());
        assert!(status.message().contains("nothing was changed"), "{}", status.message());
    }
    assert_eq!((subscribers(admin).await, associations(admin).await, audit(admin).await.len()), before);
}

async fn furnish(admin: &mut Admin, agent: &mut Distribution) {
    register(admin, HOME_AGENT, "").await;
    enrol(admin, "traveller-one", 50).await.unwrap();
    agent.issue_keys(issue("traveller-one", 1)).await.unwrap();
}

#[tokio::test]
async fn a_locked_database_refuses_and_recovers() {
    let installation = Installation::new();
    let agent_holder = installation.certificate("home-agent", HOME_AGENT);
    let server = installation.start();
    let mut admin = server.admin(&installation.administrator());
    let mut agent = server.distribution(&agent_holder);
    furnish(&mut admin, &mut agent).await;

    let database = format!("sqlite://{}", installation.file("kdc.db").display());
    let mut other = sqlx::SqliteConnection::connect(&database).await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    in_trouble(&mut admin, &mut agent, "locked").await;
    other.execute("ROLLBACK").await.unwrap();

    enrol(&mut admin, "traveller-two", 51).await.unwrap();
    agent.issue_keys(issue("traveller-two", 2)).await.unwrap();
    server.kill();
    let server = installation.start();
    let mut admin = server.admin(&installation.administrator());
    assert_eq!(subscribers(&mut admin).await.len(), 2);
}

/// Serves with its store on a file system of one megabyte, in a mount namespace of its own.
fn start_on_small_disk(installation: &Installation) -> Option<Server> {
    let small = installation.file("small");
    fs::create_dir(&small).unwrap();
    let config = installation.file("kdc.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("state = \"kdc.db\"", "state = \"small/kdc.db\"")).unwrap();
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c"]);
        command.arg(format!("mount -t tmpfs -o size=1m none \"$0\" && {script}")).arg(&small);
        command
    };
    let possible = unshare("true").output().is_ok_and(|output| output.status.success());
    if !possible {
        return None;
    }
    let mut command = unshare("exec \"$@\"");
    command.arg(env!("CARGO_BIN_EXE_kdc")).arg("--config").arg(&config);
    Some(Server::spawn(command))
}

/// Writes until nothing fits any more.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    for size in [4096, 1] {
        while file.write_all(&vec![0xff; size]).is_ok() {}
    }
}

#[tokio::test]
async fn a_full_disk_refuses_and_recovers() {
    let installation = Installation::new();
    let agent_holder = installation.certificate("home-agent", HOME_AGENT);
    let Some(server) = start_on_small_disk(&installation) else {
        println!("skipped: no mount namespace can be made here");
        return;
    };
    let mut admin = server.admin(&installation.administrator());
    let mut agent = server.distribution(&agent_holder);
    furnish(&mut admin, &mut agent).await;

    // The namespace's view of the file system, from outside.
    let small = installation.file("small");
    let filler = format!("/proc/{}/root{}/filler", server.id(), small.display());
    fill(Path::new(&filler));
    in_trouble(&mut admin, &mut agent, "full").await;
    fs::remove_file(&filler).unwrap();

    enrol(&mut admin, "traveller-two", 51).await.unwrap();
    agent.issue_keys(issue("traveller-two", 2)).await.unwrap();
    assert_eq!(subscribers(&mut admin).await.len(), 2);
}

#[tokio::test]
async fn the_store_shows_no_key_and_opens_with_its_own_key_only() {
    let installation = Installation::new();
    let server = installation.start();
    let mut admin = server.admin(&installation.administrator());
    let key0 = enrol(&mut admin, "traveller-one", 50).await.unwrap().enrolment.unwrap().key0;
    server.kill();
    for file in ["kdc.db", "kdc.db-wal"] {
        let Ok(content) = fs::read(installation.file(file)) else {
            continue;
        };
        assert!(!content.windows(32).any(|window| window == key0), "{file}");
    }
    fs::remove_file(installation.file("kdc.kek")).unwrap();
    daemon::secret_file::write_key(
        &installation.file("kdc.kek"),
        &daemon::secret_file::KeyBytes::new([9; 32]),
    )
    .unwrap();
    let output =
        installation::kdc([std::ffi::OsStr::new("--config"), installation.file("kdc.toml").as_os_str()]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("key"), "{told}");
}

#[tokio::test]
async fn the_audit_trail_can_be_followed() {
    let installation = Installation::new();
    let server = installation.start();
    let mut admin = server.admin(&installation.administrator());
    enrol(&mut admin, "traveller-one", 50).await.unwrap();
    let request = AuditTrailRequest { since: 0, follow: true };
    let mut stream = admin.audit_trail(request).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap().action, "make realm key");
    assert_eq!(stream.message().await.unwrap().unwrap().action, "enrol subscriber");
    let refused = admin.enrol_subscriber(enrolment("traveller-one", 51)).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);
    let entry =
        tokio::time::timeout(installation::PATIENCE, stream.message()).await.unwrap().unwrap().unwrap();
    assert_eq!((entry.number, entry.actor.as_str()), (3, "admin"));
    assert!(entry.outcome.contains("enrolled already"), "{}", entry.outcome);
}
