//! All or nothing, first come first served, many with one flush.

use keystore::Store;
use record::{Change, CommitError};
use tokio::task::JoinSet;

use crate::sample::{audit, binding, home, nai, open, other_program, place, show, sql, subscriber, visitor};

fn identification(previous: Option<u64>, next: u64) -> Change {
    Change::Identification { nai: nai(50), previous, next, generation: 0, index: 0 }
}

async fn identifications(store: &Store) -> Vec<u64> {
    store.load().await.unwrap().seen.iter().map(|seen| seen.identification).collect()
}

#[tokio::test]
async fn a_refused_list_leaves_nothing_and_disturbs_no_neighbour() {
    let (_folder, path) = place();
    let store = open(&path).await;
    store.commit(vec![identification(None, 1), Change::PutBinding(binding(9))]).await.unwrap();

    let first = store.commit(vec![Change::PutVisitor(visitor(8))]);
    let refused = store.commit(vec![
        Change::PutBinding(binding(50)),
        Change::RemoveBindings(home(9)),
        Change::PutSubscriber(subscriber(50)),
        Change::Audit(audit(1)),
        identification(Some(2), 3),
        Change::Audit(audit(2)),
    ]);
    let last = store.commit(vec![Change::Audit(audit(7)), identification(Some(1), 2)]);
    assert_eq!(first.await, Ok(()));
    assert_eq!(refused.await, Err(CommitError::Conflict));
    assert_eq!(last.await, Ok(()));

    let state = store.load().await.unwrap();
    assert_eq!(state.bindings.iter().map(|b| b.home_address).collect::<Vec<_>>(), [home(9)]);
    assert_eq!(state.bindings[0].associations.len(), 1);
    assert_eq!(state.visitors.len(), 1);
    assert!(state.subscribers.is_empty());
    assert_eq!(identifications(&store).await, [2]);
    assert_eq!(store.audit(0, 10).await.unwrap(), [audit(7)]);
}

#[tokio::test]
async fn a_compare_and_set_refuses_every_wrong_expectation() {
    let (_folder, path) = place();
    let store = open(&path).await;
    assert_eq!(store.commit(vec![identification(Some(0), 1)]).await, Err(CommitError::Conflict));
    assert_eq!(store.commit(vec![identification(None, u64::MAX)]).await, Ok(()));
    assert_eq!(store.commit(vec![identification(None, 1)]).await, Err(CommitError::Conflict));
    assert_eq!(store.commit(vec![identification(Some(u64::MAX - 1), 1)]).await, Err(CommitError::Conflict));
    assert_eq!(identifications(&store).await, [u64::MAX]);
    assert_eq!(store.commit(vec![identification(Some(u64::MAX), 0)]).await, Ok(()));
    assert_eq!(identifications(&store).await, [0]);
}

#[tokio::test]
async fn of_many_at_once_one_wins_each_round() {
    let (_folder, path) = place();
    let store = open(&path).await;
    let mut standing = None;
    for round in 0..5 {
        let mut commits = JoinSet::new();
        for contender in 0..200 {
            let store = store.clone();
            let next = round * 1000 + contender;
            commits.spawn(async move {
                (next, store.commit(vec![identification(standing, next), Change::Audit(audit(next))]).await)
            });
        }
        let results = commits.join_all().await;
        let winners: Vec<u64> = results.iter().filter(|(_, r)| r.is_ok()).map(|(next, _)| *next).collect();
        assert_eq!(winners.len(), 1);
        assert!(results.iter().all(|(_, r)| matches!(r, Ok(()) | Err(CommitError::Conflict))));
        standing = Some(winners[0]);
        assert_eq!(identifications(&store).await, [winners[0]]);
        let entries = store.audit(round * 1000, 1000).await.unwrap();
        assert!(entries.iter().all(|entry| entry.number == winners[0]));
    }
}

#[tokio::test]
async fn lists_are_committed_in_the_order_of_the_calls() {
    let (_folder, path) = place();
    let store = open(&path).await;
    let mut commits = vec![store.commit(vec![identification(None, 0)])];
    commits.extend((0..500).map(|n| store.commit(vec![identification(Some(n), n + 1)])));
    // The order in which answers are awaited is of no account.
    for commit in commits.into_iter().rev() {
        commit.await.unwrap();
    }
    assert_eq!(identifications(&store).await, [500]);
}

#[tokio::test]
async fn many_lists_share_a_flush_and_too_many_are_refused() {
    let (_folder, path) = place();
    let store = open(&path).await;
    let before = store.transactions();
    // Another program keeps the writer waiting, with one batch in its hands at most.
    let mut other = other_program(&path).await;
    sql(&mut other, "BEGIN EXCLUSIVE").await;
    let commits: Vec<_> = (1..=8712).map(|number| store.commit(vec![Change::Audit(audit(number))])).collect();
    sql(&mut other, "ROLLBACK").await;
    let (mut done, mut refused) = (0, 0);
    for commit in commits {
        match commit.await {
            Ok(()) => done += 1,
            Err(CommitError::Unavailable(reason)) => {
                assert!(reason.contains("wait for the disk"), "{reason}");
                refused += 1;
            }
            Err(CommitError::Conflict) => panic!("no list stands in another's way"),
        }
    }
    assert_eq!(done + refused, 8712);
    assert!((8192..=8704).contains(&done), "{done}");
    let transactions = store.transactions() - before;
    assert!((16..100).contains(&transactions), "{transactions}");
    // Which ones were refused depends on when the writer took its batch.
    assert_eq!(store.audit(0, 9000).await.unwrap().len(), done);
}

#[tokio::test]
async fn concurrent_callers_that_each_wait_are_grouped() {
    let (_folder, path) = place();
    let store = open(&path).await;
    let before = store.transactions();
    let mut callers = JoinSet::new();
    for caller in 0..100 {
        let store = store.clone();
        callers.spawn(async move {
            for n in 1..=10 {
                store.commit(vec![Change::Audit(audit(caller * 100 + n))]).await.unwrap();
            }
        });
    }
    callers.join_all().await;
    assert_eq!(store.audit(0, 2000).await.unwrap().len(), 1000);
    let transactions = store.transactions() - before;
    assert!(transactions <= 100, "1000 lists took {transactions} transactions");
}

#[tokio::test]
async fn an_audit_entry_is_never_overwritten_nor_removed() {
    let (_folder, path) = place();
    let store = open(&path).await;
    store.commit(vec![Change::Audit(audit(1))]).await.unwrap();
    let mut forged = audit(1);
    forged.actor = "nobody".into();
    let list = vec![Change::PutBinding(binding(9)), Change::Audit(forged)];
    assert_eq!(store.commit(list).await, Err(CommitError::Conflict));
    assert_eq!(store.audit(0, 10).await.unwrap(), [audit(1)]);
    assert!(store.load().await.unwrap().bindings.is_empty());

    let mut other = other_program(&path).await;
    for attempt in ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit"] {
        let refusal = sqlx::query(attempt).execute(&mut other).await.unwrap_err();
        assert!(refusal.to_string().contains("only appended to"), "{refusal}");
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_nothing_back() {
    let (_folder, path) = place();
    let store = open(&path).await;
    drop(store.commit(vec![Change::Audit(audit(1))]));
    store.close().await;
    assert_eq!(open(&path).await.load().await.unwrap().last_audit, 1);
}

#[tokio::test]
async fn closing_commits_what_waits_and_then_refuses() {
    let (_folder, path) = place();
    let store = open(&path).await;
    let other = store.clone();
    let waiting: Vec<_> = (1..=100).map(|number| store.commit(vec![Change::Audit(audit(number))])).collect();
    store.close().await;
    for commit in waiting {
        assert_eq!(commit.await, Ok(()));
    }
    let refusal = other.commit(vec![Change::Audit(audit(101))]).await;
    assert_eq!(refusal, Err(CommitError::Unavailable("the store is closed".into())));
    assert_eq!(other.commit(vec![]).await, Ok(()));
    assert!(other.load().await.is_err());
    let reopened = open(&path).await;
    assert_eq!(reopened.load().await.unwrap().last_audit, 100);
}

/// A hundred changes of few rows, in an order that matters.
fn entangled() -> Vec<Change> {
    let mut changes = vec![identification(None, 1)];
    for n in 1..100_u64 {
        let row = u8::try_from(8 + n % 3).unwrap();
        changes.push(identification(Some(n), n + 1));
        changes.push(match n % 5 {
            0 => Change::RemoveBindings(home(row)),
            1 => Change::AddBinding(binding(row)),
            2 => Change::PutSubscriber(subscriber(row)),
            _ => Change::PutBinding(binding(row)),
        });
        changes.push(Change::Audit(audit(n)));
    }
    changes
}

#[tokio::test]
async fn many_changes_at_a_time_end_as_one_after_the_other() {
    let (_folder, path) = place();
    let together = open(&path).await;
    together.commit(entangled()).await.unwrap();
    let (_other_folder, path) = place();
    let apart = open(&path).await;
    for change in entangled() {
        apart.commit(vec![change]).await.unwrap();
    }
    assert_eq!(show(&together.load().await.unwrap()), show(&apart.load().await.unwrap()));
    let audits = [together.audit(0, 1000).await.unwrap(), apart.audit(0, 1000).await.unwrap()];
    assert_eq!(audits[0].len(), 99);
    assert_eq!(audits[0], audits[1]);
    assert_eq!(identifications(&together).await, [100]);
}
