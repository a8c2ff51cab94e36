//! What was acknowledged is there after the process was killed at any moment.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use keystore::GrantFilter;
use record::Change;
use tokio::task::JoinSet;

use crate::sample::{audit, binding, grant, open, place};

const PATH: &str = "SOJOURN_TEST_STORE";

/// Not a test of its own: the process that is killed. It commits for ever and prints each number that was
/// acknowledged.
#[tokio::test]
#[ignore = "runs as the child of killed_writers_lose_nothing_acknowledged"]
async fn endless_writer() {
    let Some(path) = std::env::var_os(PATH) else {
        return;
    };
    let store = open(Path::new(&path)).await;
    let mut next = store.load().await.unwrap().last_audit + 1;
    let mut commits = JoinSet::new();
    loop {
        while commits.len() < 16 {
            let (store, number) = (store.clone(), next);
            commits.spawn(async move {
                let list = vec![
                    Change::PutBinding(binding(u8::try_from(number % 100).unwrap())),
                    Change::PutGrant(grant(number)),
                    Change::Audit(audit(number)),
                ];
                store.commit(list).await.unwrap();
                number
            });
            next += 1;
        }
        let number = commits.join_next().await.unwrap().unwrap();
        println!("acknowledged {number}");
    }
}

/// Runs the writer until it has acknowledged `enough` numbers, kills it, and returns all that it printed.
fn acknowledged_before_kill(path: &Path, enough: usize) -> BTreeSet<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["crash::endless_writer", "--exact", "--ignored", "--nocapture"])
        .env(PATH, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut numbers = BTreeSet::new();
    for line in lines {
        // The harness of the child may have put words of its own before the first one.
        let line = line.unwrap();
        let Some((_, number)) = line.split_once("acknowledged ") else {
            continue;
        };
        numbers.insert(number.parse().unwrap());
        if numbers.len() == enough {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(numbers.len() >= enough, "the writer ended by itself");
    numbers
}

#[tokio::test]
async fn killed_writers_lose_nothing_acknowledged() {
    let (_folder, path) = place();
    let mut acknowledged = BTreeSet::new();
    for enough in [1, 7, 40, 111, 300, 512] {
        acknowledged.extend(acknowledged_before_kill(&path, enough));
        let store = open(&path).await;
        let entries: BTreeSet<u64> =
            store.audit(0, u32::MAX).await.unwrap().iter().map(|entry| entry.number).collect();
        let lost: Vec<_> = acknowledged.difference(&entries).collect();
        assert!(lost.is_empty(), "lost {lost:?}");
        // Lists that were not acknowledged are there as a whole or not at all.
        let filter = GrantFilter { limit: u32::MAX, ..GrantFilter::default() };
        let grants = store.grants(&filter).await.unwrap();
        assert_eq!(grants.iter().map(|grant| grant.id).collect::<BTreeSet<_>>(), entries);
        assert!(grants.iter().all(|found| *found == grant(found.id)));
        let state = store.load().await.unwrap();
        assert_eq!(state.last_audit, *entries.last().unwrap());
        assert!(
            state.bindings.iter().all(|b| b.associations.len() == 1 + usize::from(b.foreign_agent.is_some()))
        );
        store.close().await;
    }
}
