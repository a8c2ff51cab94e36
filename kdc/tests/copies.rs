//! Keys that change, and the store as a file: rotation over a kill, backup, restoration, another key-encryption key.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod installation;

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use installation::{Admin, HOME_AGENT, Installation, all, enrol, kdc, register};
use proto::kdc::{
    AuditTrailRequest, BackupRequest, ListRealmKeysRequest, ListSubscribersRequest, RotateRealmKeyRequest,
    RotateSubscriberRequest, WatchSubscribersRequest, subscriber_change::What,
};

async fn names(admin: &mut Admin) -> BTreeSet<String> {
    let list = all(admin.list_subscribers(ListSubscribersRequest { include_revoked: true }).await).await;
    list.into_iter().map(|it| it.nai).collect()
}

async fn actions(admin: &mut Admin) -> Vec<String> {
    let entries = all(admin.audit_trail(AuditTrailRequest::default()).await).await;
    assert!(entries.windows(2).all(|pair| pair[1].number == pair[0].number + 1), "a gap");
    entries.into_iter().map(|entry| entry.action).collect()
}

async fn backup(admin: &mut Admin, to: &Path) {
    let parts = all(admin.backup(BackupRequest {}).await).await;
    let bytes: Vec<u8> = parts.iter().flat_map(|part| part.data.clone()).collect();
    assert!(parts.iter().all(|part| part.size == bytes.len() as u64) && !bytes.is_empty());
    fs::write(to, bytes).unwrap();
}

fn run(installation: &Installation, subcommand: &str, rest: &[&Path]) -> Output {
    let mut arguments: Vec<OsString> = vec![subcommand.into(), "--config".into()];
    arguments.push(installation.file("kdc.toml").into());
    arguments.extend(rest.iter().map(|it| it.as_os_str().to_owned()));
    kdc(arguments)
}

fn said(output: &Output, success: bool) -> String {
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.success(), success, "{told}");
    told
}

#[tokio::test]
async fn sigkill_right_after_a_rotation_loses_nothing() {
    let installation = Installation::new();
    let holder = installation.certificate("home-agent", HOME_AGENT);
    let server = installation.start();
    let mut admin = server.admin(&installation.administrator());
    register(&mut admin, HOME_AGENT, "").await;
    let first = enrol(&mut admin, "traveller-one", 50).await.unwrap().enrolment.unwrap();
    let nai = "traveller-one@home.example".to_owned();
    let rotation = RotateSubscriberRequest { nai, overlap_s: 86_400, dry_run: false };
    let second = admin.rotate_subscriber(rotation).await.unwrap().into_inner();
    server.kill();
    let server = installation.start();
    let mut admin = server.admin(&installation.administrator());
    let rotation = RotateRealmKeyRequest { overlap_s: 86_400, dry_run: false };
    let key = admin.rotate_realm_key(rotation).await.unwrap().into_inner().key.unwrap();
    server.kill();

    let server = installation.start();
    let mut admin = server.admin(&installation.administrator());
    let keys = admin.list_realm_keys(ListRealmKeysRequest {}).await.unwrap().into_inner().keys;
    assert!(keys.len() == 2 && keys[0] == key && keys[1].ends_unix_s > 0);
    let mut agent = server.distribution(&holder);
    let mut stream =
        agent.watch_subscribers(WatchSubscribersRequest { since: 0 }).await.unwrap().into_inner();
    loop {
        match stream.message().await.unwrap().unwrap().what.unwrap() {
            What::RealmKey(_) => {}
            What::Subscriber(record) => {
                let old = record.retiring.clone().unwrap();
                assert!(record.key0 == second.enrolment.unwrap().key0 && old.key0 == first.key0);
                assert_eq!(old.ends_unix_s, second.ends_unix_s);
                break;
            }
            _ => panic!("the subscriber is lost"),
        }
    }
    assert_eq!(
        actions(&mut admin).await[..5],
        [
            "make realm key",
            "register home agent",
            "enrol subscriber",
            "rotate subscriber",
            "rotate realm key"
        ]
    );
}

#[tokio::test]
async fn a_backup_under_load_restores_what_was_acknowledged_before_it() {
    let installation = Installation::new();
    let server = installation.start();
    let mut admin = server.admin(&installation.administrator());
    let (to, mut enrolled) = tokio::sync::mpsc::unbounded_channel();
    let enrolling = tokio::spawn({
        let mut admin = admin.clone();
        async move {
            for n in 3..=200_u8 {
                enrol(&mut admin, &format!("user-{n}"), n).await.unwrap();
                if to.send(format!("user-{n}@home.example")).is_err() {
                    return;
                }
            }
        }
    });
    let mut before = BTreeSet::new();
    for _ in 0..40 {
        before.insert(enrolled.recv().await.unwrap());
    }
    let copy = installation.file("backup");
    backup(&mut admin, &copy).await;
    let at_most = names(&mut admin).await;
    let last_change = enrol(&mut admin, "too-late", 240).await.unwrap().change;
    drop(enrolled);
    enrolling.await.unwrap();

    let told = said(&run(&installation, "restore", &[&copy]), false);
    assert!(told.contains("in use") && told.contains("nothing was changed"), "{told}");
    server.kill();
    let told = said(&run(&installation, "restore", &[&copy]), true);
    assert!(told.contains("is restored") && told.contains("before-restore-1"), "{told}");

    let server = installation.start();
    let mut admin = server.admin(&installation.administrator());
    let restored = names(&mut admin).await;
    assert!(restored.is_superset(&before), "acknowledged before the backup and lost");
    assert!(restored.is_subset(&at_most), "not known when the backup had ended");
    let actions = actions(&mut admin).await;
    assert_eq!(actions.iter().filter(|action| *action == "enrol subscriber").count(), restored.len());
    assert_eq!(actions.last().unwrap(), "restore the store");
    assert!(actions.iter().any(|action| action == "back up the store"));
    // A home agent that knows changes which are lost takes over everything.
    register(&mut admin, HOME_AGENT, "").await;
    let mut agent = server.distribution(&installation.certificate("home-agent", HOME_AGENT));
    for known in [last_change, 5] {
        let request = WatchSubscribersRequest { since: known };
        let mut stream = agent.watch_subscribers(request).await.unwrap().into_inner();
        let complete = loop {
            if let What::CaughtUp(it) = stream.message().await.unwrap().unwrap().what.unwrap() {
                break it.complete;
            }
        };
        assert!(complete, "{known}");
    }
    let change = enrol(&mut admin, "after", 241).await.unwrap().change;
    assert!(change >> 32 > last_change >> 32);
}

#[tokio::test]
async fn what_is_no_backup_of_this_store_is_refused() {
    let installation = Installation::new();
    let server = installation.start();
    let mut admin = server.admin(&installation.administrator());
    enrol(&mut admin, "traveller-one", 50).await.unwrap();
    let copy = installation.file("backup");
    backup(&mut admin, &copy).await;
    server.kill();
    let other = Installation::new();
    let stands = fs::read(other.file("kdc.db")).unwrap();
    let told = said(&run(&other, "restore", &[&copy]), false);
    assert!(told.contains("key-encryption key") && told.contains("backup"), "{told}");
    let cut = installation.file("cut");
    let bytes = fs::read(&copy).unwrap();
    fs::write(&cut, &bytes[..bytes.len() - 1]).unwrap();
    for file in [&cut, &installation.file("kdc.toml"), &installation.file("absent")] {
        let told = said(&run(&installation, "restore", &[file]), false);
        assert!(told.contains("nothing was changed"), "{told}");
    }
    assert_eq!(fs::read(other.file("kdc.db")).unwrap(), stands);
    let server = installation.start();
    assert_eq!(names(&mut server.admin(&installation.administrator())).await.len(), 1);
}

#[tokio::test]
async fn a_resealed_store_serves_under_the_new_key_only() {
    let installation = Installation::new();
    let server = installation.start();
    let mut admin = server.admin(&installation.administrator());
    enrol(&mut admin, "traveller-one", 50).await.unwrap();
    let new = installation.file("new.kek");
    let told = said(&run(&installation, "reseal", &[Path::new("--new-key"), &new]), false);
    assert!(told.contains("in use"), "{told}");
    server.kill();
    let old = fs::read(installation.file("kdc.kek")).unwrap();
    let told = said(&run(&installation, "reseal", &[Path::new("--new-key"), &new]), true);
    assert!(told.contains("2 keys are sealed anew"), "{told}");
    assert_eq!(fs::read(installation.file("kdc.kek.old")).unwrap(), old);
    assert_ne!(fs::read(installation.file("kdc.kek")).unwrap(), old);
    assert_eq!(installation::mode(&installation.file("kdc.kek")), 0o600);
    let server = installation.start();
    assert_eq!(names(&mut server.admin(&installation.administrator())).await.len(), 1);
}

/// Which of the key files opens the store, by their content.
async fn opens_with(database: &Path, keys: &[PathBuf]) -> BTreeSet<Vec<u8>> {
    let mut opens = BTreeSet::new();
    for file in keys.iter().filter(|file| file.exists()) {
        let bytes = daemon::secret_file::read_key(file).unwrap();
        let key = crypto::Key::new(*bytes.expose());
        // Another test may be between fork and exec: until then its child has our files too, their locks included.
        let opened = loop {
            match keystore::Store::open(database, key.duplicate()).await {
                Err(keystore::OpenError::InUse { .. }) => tokio::task::yield_now().await,
                opened => break opened,
            }
        };
        match opened {
            Ok(store) => {
                store.load().await.unwrap();
                store.close().await;
                opens.insert(bytes.expose().to_vec());
            }
            Err(error) => assert!(matches!(error, keystore::OpenError::WrongKey { .. }), "{error}"),
        }
    }
    opens
}

#[tokio::test]
async fn resealing_killed_at_any_moment_leaves_one_key_that_opens_and_goes_on() {
    let installation = Installation::new();
    let server = installation.start();
    let mut admin = server.admin(&installation.administrator());
    for n in 3..=60 {
        enrol(&mut admin, &format!("user-{n}"), n).await.unwrap();
    }
    server.kill();
    let files = ["kdc.kek", "kdc.kek.old", "new.kek"].map(|name| installation.file(name));
    let (mut killed, mut done) = (0, 0);
    for round in 0..60_u64 {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kdc"));
        command.args(["reseal", "--config"]).arg(installation.file("kdc.toml"));
        let mut child = command.arg("--new-key").arg(&files[2]).stderr(Stdio::null()).spawn().unwrap();
        // Where exactly it is does not matter: every moment must do.
        std::thread::sleep(std::time::Duration::from_micros(round * 300));
        child.kill().unwrap();
        let whole = child.wait().unwrap().success();
        let opens = opens_with(&installation.file("kdc.db"), &files).await;
        assert_eq!(opens.len(), 1, "round {round}");
        if whole {
            // The next round begins with another new key.
            done += 1;
            fs::remove_file(&files[1]).unwrap();
            fs::remove_file(&files[2]).unwrap();
        } else {
            killed += 1;
        }
    }
    assert!(killed > 0, "none of {done} attempts was cut off");
    said(&run(&installation, "reseal", &[Path::new("--new-key"), &files[2]]), true);
    let server = installation.start();
    assert_eq!(names(&mut server.admin(&installation.administrator())).await.len(), 58);
}

#[test]
fn man_pages_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let output = kdc(["man".as_ref(), folder.path().as_os_str()]);
    said(&output, true);
    for name in ["kdc.1", "kdc-init.1", "kdc-restore.1", "kdc-reseal.1"] {
        assert!(fs::read_to_string(folder.path().join(name)).unwrap().contains("kdc"), "{name}");
    }
}
