//! What is opened, and what is refused in words.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use crypto::Key;
use keystore::{OpenError, Store};
use record::Change;

use crate::sample::{KEK, audit, open, other_program, place, sql};

async fn refusal(path: &Path) -> OpenError {
    Store::open(path, Key::new(KEK)).await.err().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn every_file_is_for_its_owner_alone() {
    let (folder, path) = place();
    let store = open(&path).await;
    store.commit(vec![Change::Audit(audit(1))]).await.unwrap();
    let mut names = Vec::new();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(mode(&entry.path()), 0o600, "{:?}", entry.path());
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["ha.db", "ha.db-shm", "ha.db-wal", "ha.db.lock"]);
    store.close().await;

    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let _store = open(&path).await;
    assert_eq!(mode(&path), 0o600);
}

#[tokio::test]
async fn the_database_is_set_up_to_last() {
    let (_folder, path) = place();
    let _store = open(&path).await;
    let mut other = other_program(&path).await;
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut other).await.unwrap();
    assert_eq!(journal, "wal");
    let check: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut other).await.unwrap();
    assert_eq!(check, "ok");
}

#[tokio::test]
async fn one_daemon_at_a_time() {
    let (_folder, path) = place();
    let store = open(&path).await;
    let second = refusal(&path).await;
    assert!(matches!(&second, OpenError::InUse { path: found } if *found == path));
    assert!(second.to_string().contains("in use by another process"), "{second}");
    store.commit(vec![Change::Audit(audit(1))]).await.unwrap();
    store.close().await;
    assert_eq!(open(&path).await.load().await.unwrap().last_audit, 1);
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let (_folder, path) = place();
    open(&path).await.close().await;
    let edit = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (99, 'later', TRUE, x'00', 0)";
    sql(&mut other_program(&path).await, edit).await;
    let newer = refusal(&path).await;
    assert!(matches!(newer, OpenError::Newer { found: 99, known: 8, .. }), "{newer}");
    assert!(newer.to_string().contains("run the newer program"), "{newer}");
    sql(&mut other_program(&path).await, "DELETE FROM _sqlx_migrations WHERE version = 99").await;
    open(&path).await;
}

#[tokio::test]
async fn another_schema_of_the_same_number_is_refused() {
    let (_folder, path) = place();
    open(&path).await.close().await;
    sql(&mut other_program(&path).await, "UPDATE _sqlx_migrations SET checksum = x'00'").await;
    assert!(matches!(refusal(&path).await, OpenError::Differs { version: 1, .. }));
}

#[tokio::test]
async fn what_is_no_store_is_refused_and_left_alone() {
    let (_folder, path) = place();
    fs::write(&path, "nai = \"ha@home.example\"\n".repeat(100)).unwrap();
    let before = fs::read(&path).unwrap();
    let text = refusal(&path).await;
    assert!(matches!(text, OpenError::Foreign { .. }), "{text}");
    assert_eq!(fs::read(&path).unwrap(), before);

    let (_folder, path) = place();
    fs::write(&path, "").unwrap();
    sql(&mut other_program(&path).await, "CREATE TABLE recipes (name TEXT)").await;
    let before = fs::read(&path).unwrap();
    let database = refusal(&path).await;
    assert!(matches!(database, OpenError::Foreign { .. }), "{database}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_damaged_file_is_said() {
    let (_folder, path) = place();
    let store = open(&path).await;
    store.commit((1..200).map(|number| Change::Audit(audit(number))).collect()).await.unwrap();
    store.close().await;
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096..].fill(0x55);
    fs::write(&path, &bytes).unwrap();
    let said = refusal(&path).await.to_string();
    assert!(said.contains("damaged"), "{said}");
}

#[tokio::test]
async fn a_start_that_was_cut_off_is_taken_up_again() {
    let (_folder, path) = place();
    // The migrations' own table is made before the first of them runs.
    fs::write(&path, "").unwrap();
    let edit = "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL,
        installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL,
        checksum BLOB NOT NULL, execution_time BIGINT NOT NULL)";
    sql(&mut other_program(&path).await, edit).await;
    open(&path).await.commit(vec![Change::Audit(audit(1))]).await.unwrap();
}

#[tokio::test]
async fn a_missing_folder_is_named() {
    let (folder, _) = place();
    let said = refusal(&folder.path().join("absent/ha.db")).await.to_string();
    assert!(said.contains("absent/ha.db") && said.contains("No such file"), "{said}");
}
