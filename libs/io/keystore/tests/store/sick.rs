//! Full disks and locked databases: said in words, nothing half done, work again when they are cured.

use std::path::Path;

use keystore::Store;
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    unistd::Uid,
};
use record::{Change, CommitError};

use crate::sample::{audit, binding, grant, nai, open, other_program, place, sql};

#[tokio::test]
async fn a_locked_database_is_said_and_survived() {
    let (_folder, path) = place();
    let store = open(&path).await;
    store.commit(vec![Change::Audit(audit(1))]).await.unwrap();
    let before = store.transactions();

    let mut other = other_program(&path).await;
    sql(&mut other, "BEGIN EXCLUSIVE").await;
    let refused =
        [2, 3].map(|number| store.commit(vec![Change::PutBinding(binding(9)), Change::Audit(audit(number))]));
    for commit in refused {
        let reason = "another program keeps the database locked".to_owned();
        assert_eq!(commit.await, Err(CommitError::Unavailable(reason)));
    }
    assert_eq!(store.load().await.unwrap().last_audit, 1);
    assert_eq!(store.transactions(), before);

    sql(&mut other, "ROLLBACK").await;
    assert_eq!(store.commit(vec![Change::Audit(audit(2))]).await, Ok(()));
    let state = store.load().await.unwrap();
    assert_eq!((state.last_audit, state.bindings.len()), (2, 0));
}

#[tokio::test]
async fn a_short_lock_is_waited_for() {
    let (_folder, path) = place();
    let store = open(&path).await;
    let mut other = other_program(&path).await;
    sql(&mut other, "BEGIN EXCLUSIVE").await;
    let commit = tokio::spawn(store.commit(vec![Change::Audit(audit(1))]));
    // Gives the writer the time to find the lock, and less than it waits for.
    tokio::task::yield_now().await;
    sql(&mut other, "ROLLBACK").await;
    assert_eq!(commit.await.unwrap(), Ok(()));
}

/// Commits until the disk is full; returns the numbers that were acknowledged and the reason for the first
/// refusal.
async fn fill(store: &Store, from: u64) -> (Vec<u64>, String) {
    let mut acknowledged = Vec::new();
    for number in from.. {
        let list = vec![Change::PutGrant(grant(number)), Change::Audit(audit(number))];
        match store.commit(list).await {
            Ok(()) => acknowledged.push(number),
            Err(CommitError::Unavailable(reason)) => return (acknowledged, reason),
            Err(CommitError::Conflict) => panic!("no list stands in another's way"),
        }
    }
    unreachable!("a disk without end")
}

async fn numbers(store: &Store) -> Vec<u64> {
    let state = store.load().await.unwrap();
    let entries = store.audit(0, u32::MAX).await.unwrap();
    let numbers: Vec<u64> = entries.iter().map(|entry| entry.number).collect();
    assert_eq!(numbers, state.grants.iter().map(|grant| grant.id).collect::<Vec<_>>());
    numbers
}

async fn live_on_a_small_disk(folder: &Path) {
    let path = folder.join("ha.db");
    let store = open(&path).await;
    store
        .commit(vec![Change::Identification {
            nai: nai(50),
            previous: None,
            next: 1,
            generation: 0,
            index: 0,
        }])
        .await
        .unwrap();
    let (mut acknowledged, reason) = fill(&store, 1).await;
    assert!(reason.contains("full"), "{reason}");
    assert!(acknowledged.len() > 10);
    assert_eq!(numbers(&store).await, acknowledged);

    // Still full: refused again, for a whole group at once, and readable all the while.
    let refused: Vec<_> =
        (5000..5600).map(|number| store.commit(vec![Change::PutGrant(grant(number))])).collect();
    let mut results = Vec::new();
    for commit in refused {
        results.push(commit.await);
    }
    assert!(results.iter().any(Result::is_err));
    assert!(results.iter().all(|result| !matches!(result, Err(CommitError::Conflict))));
    let loaded = store.load().await.unwrap().grants.len();
    assert_eq!(loaded, acknowledged.len() + results.iter().filter(|result| result.is_ok()).count());

    // Somebody makes room.
    mount(None::<&str>, folder, None::<&str>, MsFlags::MS_REMOUNT, Some("size=8m")).unwrap();
    let next = acknowledged.last().unwrap() + 1;
    let list = vec![Change::PutGrant(grant(next)), Change::Audit(audit(next))];
    assert_eq!(store.commit(list).await, Ok(()));
    acknowledged.push(next);
    store.close().await;
    let store = open(&path).await;
    assert_eq!(store.audit(0, u32::MAX).await.unwrap().len(), acknowledged.len());
    assert_eq!(
        store.load().await.unwrap().seen.iter().map(|seen| seen.identification).collect::<Vec<_>>(),
        [1]
    );
}

#[test]
fn a_full_disk_is_said_and_survived() {
    if !Uid::effective().is_root() {
        eprintln!("skipped: a small file system takes root to mount");
        return;
    }
    // A mount namespace of its own for one thread and what it starts: nobody else sees the small disk.
    let life = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        let folder = tempfile::tempdir().unwrap();
        mount(Some("none"), folder.path(), Some("tmpfs"), MsFlags::empty(), Some("size=800k")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(live_on_a_small_disk(folder.path()));
        drop(runtime);
        nix::mount::umount2(folder.path(), nix::mount::MntFlags::MNT_DETACH).unwrap();
    });
    life.join().unwrap();
}
