//! Copies of a store in use, putting them back, and another key-encryption key.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crypto::Key;
use keystore::{OpenError, ResealError, Resealed, RestoreError, Store, reseal, restore};
use record::{Change, State};

use crate::sample::{
    KEK, audit, binding, count, grant, open, other_program, place, realm_key, revocation, show, subscriber,
    visitor,
};

const OTHER_KEK: [u8; 32] = [0x4c; 32];

fn full() -> Vec<Change> {
    let mut list = Vec::new();
    for n in [8, 50] {
        list.extend([
            Change::PutSubscriber(subscriber(n)),
            Change::PutBinding(binding(n)),
            Change::PutVisitor(visitor(n)),
            Change::PutRevocation(revocation(n)),
            Change::PutRealmKey(realm_key(n)),
        ]);
    }
    list.push(Change::Audit(audit(1)));
    list
}

async fn copy_to(store: &Store, path: &Path) {
    let mut snapshot = store.snapshot().await.unwrap();
    let mut bytes = Vec::new();
    loop {
        let part = snapshot.read(5000).await.unwrap();
        if part.is_empty() {
            break;
        }
        bytes.extend(part);
    }
    assert_eq!(bytes.len() as u64, snapshot.size());
    fs::write(path, bytes).unwrap();
}

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn a_copy_made_under_load_is_the_store_of_one_moment() {
    let (folder, path) = place();
    let store = open(&path).await;
    store.commit((1..=50).map(|n| Change::Audit(audit(n))).collect()).await.unwrap();
    let writing = tokio::spawn({
        let store = store.clone();
        async move {
            for n in 51..=400 {
                store.commit(vec![Change::PutGrant(grant(n)), Change::Audit(audit(n))]).await.unwrap();
            }
        }
    });
    let mut copies: Vec<PathBuf> = Vec::new();
    while !writing.is_finished() || copies.is_empty() {
        let acknowledged = store.audit(0, u32::MAX).await.unwrap().len() as u64;
        let copy = folder.path().join(format!("copy-{}-{acknowledged}", copies.len()));
        copy_to(&store, &copy).await;
        copies.push(copy);
    }
    writing.await.unwrap();
    store.close().await;
    for copy in copies {
        let acknowledged: u64 = copy.to_str().unwrap().rsplit('-').next().unwrap().parse().unwrap();
        let store = open(&copy).await;
        let entries = store.audit(0, u32::MAX).await.unwrap();
        assert!(entries.len() as u64 >= acknowledged);
        assert!(entries.iter().map(|entry| entry.number).eq(1..=entries.len() as u64));
        let filter = keystore::GrantFilter { limit: u32::MAX, ..Default::default() };
        let grants = store.grants(&filter).await.unwrap();
        assert!(grants.iter().map(|grant| grant.id).eq(51..=entries.len() as u64), "a list in part");
        store.close().await;
    }
}

#[tokio::test]
async fn a_copy_leaves_nothing_and_shows_no_key() {
    let (folder, path) = place();
    let store = open(&path).await;
    store.commit(full()).await.unwrap();
    let before = names(folder.path());
    let copy = folder.path().join("out");
    copy_to(&store, &copy).await;
    let bytes = fs::read(&copy).unwrap();
    fs::remove_file(copy).unwrap();
    assert_eq!(names(folder.path()), before);
    for key in [subscriber(50).key0, subscriber(50).retiring.unwrap().key0, realm_key(50).secret] {
        assert!(!bytes.windows(32).any(|window| window == key.expose()));
    }
    store.clone().close().await;
    assert!(store.snapshot().await.is_err());
}

#[tokio::test]
async fn what_is_restored_is_what_was_copied_and_the_store_before_is_kept() {
    let (folder, path) = place();
    let store = open(&path).await;
    store.commit(full()).await.unwrap();
    let copied = show(&store.load().await.unwrap());
    let copy = folder.path().join("copy");
    copy_to(&store, &copy).await;
    store.commit(vec![Change::Audit(audit(2)), Change::PutBinding(binding(9))]).await.unwrap();

    let refusal = restore(&path, &copy, Key::new(KEK), |_| vec![]).await.unwrap_err();
    assert!(matches!(refusal, RestoreError::Open(OpenError::InUse { .. })), "{refusal}");
    let later = show(&store.load().await.unwrap());
    store.close().await;

    let mut seen = None;
    let restored = restore(&path, &copy, Key::new(KEK), |state| {
        seen = Some(show(state));
        vec![Change::SubscriberCursor(77)]
    });
    let restored = restored.await.unwrap();
    assert_eq!((restored.subscribers, restored.last_audit), (2, 1));
    assert_eq!(seen.unwrap(), copied);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let store = open(&path).await;
    let state = store.load().await.unwrap();
    assert_eq!(state.subscriber_cursor, 77);
    assert_eq!(show(&State { subscriber_cursor: 0, ..state }), copied);
    store.close().await;
    let aside = open(&restored.aside.unwrap()).await;
    assert_eq!(show(&aside.load().await.unwrap()), later);
    aside.close().await;
    assert!(!names(folder.path()).iter().any(|name| name.contains(".restore")), "{:?}", names(folder.path()));
}

#[tokio::test]
async fn a_store_that_was_lost_is_restored() {
    let (folder, path) = place();
    let store = open(&path).await;
    store.commit(full()).await.unwrap();
    let copy = folder.path().join("copy");
    copy_to(&store, &copy).await;
    store.close().await;
    fs::remove_file(&path).unwrap();
    let restored = restore(&path, &copy, Key::new(KEK), |_| vec![]).await.unwrap();
    assert_eq!(restored.aside, None);
    assert_eq!(open(&path).await.load().await.unwrap().subscribers.len(), 2);
    // And one that is rubbish by now.
    let (_folder, path) = place();
    fs::write(&path, "rubbish").unwrap();
    let restored = restore(&path, &copy, Key::new(KEK), |_| vec![]).await.unwrap();
    assert_eq!(fs::read(restored.aside.unwrap()).unwrap(), b"rubbish");
    assert_eq!(open(&path).await.load().await.unwrap().subscribers.len(), 2);
}

#[tokio::test]
async fn a_copy_that_is_none_is_refused_and_nothing_is_changed() {
    let (folder, path) = place();
    let store = open(&path).await;
    store.commit(full()).await.unwrap();
    let copy = folder.path().join("copy");
    copy_to(&store, &copy).await;
    store.close().await;
    let stands = fs::read(&path).unwrap();
    let good = fs::read(&copy).unwrap();
    let other = folder.path().join("other");
    open(&other).await.close().await;
    let mut broken = good.clone();
    let middle = broken.len() / 2;
    broken[middle..].fill(0x55);
    let newer = {
        let edit = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
            VALUES (99, 'later', TRUE, x'00', 0)";
        let mut connection = other_program(&other).await;
        crate::sample::sql(&mut connection, edit).await;
        crate::sample::sql(&mut connection, "PRAGMA journal_mode = DELETE").await;
        fs::read(&other).unwrap()
    };
    let before = names(folder.path());
    let cases: [(&str, Vec<u8>); 7] = [
        ("an empty file", vec![]),
        ("text", b"nai = \"ha@home.example\"\n".repeat(300)),
        ("cut within a page", good[..good.len() - 100].to_vec()),
        ("cut between pages", good[..good.len() - 8192].to_vec()),
        ("the first page alone", good[..4096].to_vec()),
        ("damaged", broken),
        ("newer", newer),
    ];
    for (what, bytes) in cases {
        fs::write(&copy, bytes).unwrap();
        let done = restore(&path, &copy, Key::new(KEK), |_| vec![]).await;
        let Err(refusal) = done else { panic!("{what} was restored") };
        assert!(refusal.to_string().contains("copy"), "{what}: {refusal}");
        assert_eq!(fs::read(&path).unwrap(), stands, "{what}");
        assert_eq!(names(folder.path()), before, "{what}");
    }
    fs::write(&copy, &good).unwrap();
    let refusal = restore(&path, &copy, Key::new(OTHER_KEK), |_| vec![]).await.unwrap_err();
    assert!(matches!(refusal, RestoreError::Open(OpenError::WrongKey { .. })), "{refusal}");
    let refusal = restore(&path, &folder.path().join("absent"), Key::new(KEK), |_| vec![]).await.unwrap_err();
    assert!(refusal.to_string().contains("absent"), "{refusal}");
    assert_eq!(fs::read(&path).unwrap(), stands);
    open(&path).await.load().await.unwrap();
}

/// Every value of every column named sealed_*, with where it stands.
async fn sealed(path: &Path) -> BTreeSet<(String, i64, Vec<u8>)> {
    let mut connection = other_program(path).await;
    let columns: Vec<(String, String, bool)> = sqlx::query_as(
        "SELECT t.name, c.name, t.sql GLOB '*WITHOUT ROWID*' FROM sqlite_schema AS t, pragma_table_info(t.name) AS c
        WHERE t.type = 'table' AND c.name GLOB 'sealed_*'",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let mut values = BTreeSet::new();
    for (table, column, without_rowid) in columns {
        let row = if without_rowid { "home_address" } else { "rowid" };
        let text = format!("SELECT {row}, {column} FROM {table} WHERE {column} IS NOT NULL");
        let rows: Vec<(i64, Vec<u8>)> =
            sqlx::query_as(sqlx::AssertSqlSafe(text)).fetch_all(&mut connection).await.unwrap();
        assert!(!rows.is_empty(), "the sample has nothing in {table}.{column}");
        values.extend(rows.into_iter().map(|(row, value)| (format!("{table}.{column}"), row, value)));
    }
    values
}

#[tokio::test]
async fn resealing_leaves_nothing_under_the_old_key() {
    let (folder, path) = place();
    let store = open(&path).await;
    store.commit(full()).await.unwrap();
    let content = show(&store.load().await.unwrap());
    let refusal = reseal(&path, Key::new(KEK), Key::new(OTHER_KEK)).await.unwrap_err();
    assert!(matches!(refusal, ResealError::Open(OpenError::InUse { .. })), "{refusal}");
    store.close().await;
    let before = sealed(&path).await;
    let old_bytes: Vec<Vec<u8>> = before.iter().map(|(_, _, value)| value.clone()).collect();

    let done = reseal(&path, Key::new(KEK), Key::new(OTHER_KEK)).await.unwrap();
    assert_eq!(done, Resealed::Now(before.len() - 1), "all but the check value are keys");
    assert!(sealed(&path).await.is_disjoint(&before));
    for name in names(folder.path()) {
        // A log goes with the last connection.
        let Ok(bytes) = fs::read(folder.path().join(&name)) else { continue };
        for value in &old_bytes {
            assert!(!bytes.windows(value.len()).any(|window| window == value), "an old value in {name}");
        }
    }
    assert!(matches!(Store::open(&path, Key::new(KEK)).await.err().unwrap(), OpenError::WrongKey { .. }));
    let store = Store::open(&path, Key::new(OTHER_KEK)).await.unwrap();
    assert_eq!(show(&store.load().await.unwrap()), content);
    store.close().await;
    let again = reseal(&path, Key::new(KEK), Key::new(OTHER_KEK)).await.unwrap();
    assert_eq!(again, Resealed::Before);
}

#[tokio::test]
async fn resealing_under_the_wrong_key_or_with_a_damaged_row_changes_nothing() {
    let (folder, path) = place();
    let store = open(&path).await;
    store.commit(full()).await.unwrap();
    store.close().await;
    let before = sealed(&path).await;
    let refusal = reseal(&path, Key::new([1; 32]), Key::new(OTHER_KEK)).await.unwrap_err();
    assert!(matches!(refusal, ResealError::Open(OpenError::WrongKey { .. })), "{refusal}");
    let absent = folder.path().join("absent.db");
    assert!(reseal(&absent, Key::new(KEK), Key::new(OTHER_KEK)).await.is_err());
    assert!(!absent.exists());
    assert_eq!(sealed(&path).await, before);

    crate::sample::sql(&mut other_program(&path).await, "UPDATE realm_keys SET ends = 9 WHERE id = 306")
        .await;
    let refusal = reseal(&path, Key::new(KEK), Key::new(OTHER_KEK)).await.unwrap_err();
    assert!(matches!(refusal, ResealError::Read(_)), "{refusal}");
    assert_eq!(sealed(&path).await, before);
    assert_eq!(count(&path, "SELECT count(*) FROM realm_keys").await, 2);
}
