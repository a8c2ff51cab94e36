//! A store of the first schema comes over whole.

use std::{net::Ipv4Addr, path::Path};

use keystore::GrantFilter;
use record::{
    Association, AssociationKind, Binding, Change, Grant, GrantKey, HomeAgent, Seen, State, Subscriber,
    Suite, Visitor,
};
use sqlx::{
    ConnectOptions as _,
    migrate::{Migration, MigrationType, Migrator},
    sqlite::SqliteConnectOptions,
};
use wire::mip::Spi;

use crate::sample::{binding, count, home, nai, open, place, show, sql, subscriber, visitor};

const FIRST: &str = include_str!("../../../../../migrations/sqlite/0001_initial.sql");

/// Makes the file as a program that knew the first schema only.
async fn old_store(path: &Path) {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true).foreign_keys(true);
    let mut connection = options.connect().await.unwrap();
    let first = sqlx::AssertSqlSafe(FIRST);
    let first = Migration::new(
        1,
        "initial".into(),
        MigrationType::Simple,
        sqlx::SqlSafeStr::into_sql_str(first),
        false,
    );
    Migrator::with_migrations(vec![first]).run(&mut connection).await.unwrap();
    sql(&mut connection, include_str!("first_schema.sql")).await;
}

fn old_subscriber(n: u8) -> Subscriber {
    Subscriber { one_time: false, generation: 0, retiring: None, plain: None, ..subscriber(n) }
}

fn old_associations(of: Vec<Association>) -> Vec<Association> {
    of.into_iter()
        .map(|of| Association { confirmed: false, retires: None, suite: Suite::default(), ..of })
        .collect()
}

fn old_binding(n: u8) -> Binding {
    let of = binding(n);
    let associations = old_associations(of.associations);
    Binding { broadcasts: false, revocation: None, associations, ..of }
}

fn old_visitor(n: u8) -> Visitor {
    let of = visitor(n);
    let associations = old_associations(of.associations);
    Visitor { encapsulating_delivery: false, broadcasts: false, revocation: None, associations, ..of }
}

fn expected() -> State {
    State {
        subscribers: vec![old_subscriber(50), old_subscriber(51)],
        subscriber_cursor: 7,
        seen: vec![Seen { nai: nai(50), identification: u64::MAX, generation: 0, index: 0 }],
        realm_keys: vec![],
        assigned: vec![],
        bindings: vec![old_binding(9), old_binding(50)],
        visitors: vec![old_visitor(9), old_visitor(50)],
        revocations: vec![],
        sequences: vec![(0, 256)],
        // The revoked one; all were issued long ago.
        grants: vec![grants()[2].clone()],
        newest_grants: vec![(nai(50), 7), (nai(51), 2)],
        grants_ending: vec![(u64::MAX, 4)],
        longest_grant: 0,
        last_audit: 1,
        home_agents: vec![HomeAgent {
            name: "ha@home.example".into(),
            address: Some(home(2)),
            registered: 1,
        }],
    }
}

/// The grants of the first schema, each with the one before it of the same subscriber.
fn grants() -> [Grant; 4] {
    let key = GrantKey {
        kind: AssociationKind::Key1,
        first: Spi(600),
        second: Spi(601),
        fingerprint: 0x0123_4567_89ab_cdef,
    };
    [(1, 50, None), (2, 51, None), (3, 50, Some(1)), (7, 50, Some(3))].map(|(id, n, earlier)| Grant {
        id,
        request: [0; 16],
        nai: nai(n),
        earlier,
        home_agent: "ha@home.example".into(),
        foreign_agent: None,
        care_of: Ipv4Addr::new(10, 51, 1, 2),
        keys: if id == 1 { vec![key.clone()] } else { vec![] },
        issued: 5,
        ends: u64::MAX,
        revoked: (id == 3).then_some(6),
    })
}

#[tokio::test]
async fn a_store_of_the_first_schema_loses_nothing() {
    let (_folder, path) = place();
    old_store(&path).await;
    let store = open(&path).await;
    assert_eq!(show(&store.load().await.unwrap()), show(&expected()));
    assert_eq!(store.grants(&GrantFilter::default()).await.unwrap(), grants());
    let of_one = GrantFilter { newest: Some(7), ..GrantFilter::default() };
    assert_eq!(store.grants(&of_one).await.unwrap(), [0, 2, 3].map(|n| grants()[n].clone()));
    for (time, found) in [(5, 4), (6, 0)] {
        let since = GrantFilter { issued_since: time, ..GrantFilter::default() };
        assert_eq!(store.grants(&since).await.unwrap().len(), found, "issued since {time}");
    }
    store.close().await;
    let store = open(&path).await;
    assert_eq!(show(&store.load().await.unwrap()), show(&expected()));
    assert_eq!(store.grants(&GrantFilter::default()).await.unwrap(), grants());
    assert_eq!(count(&path, "SELECT count(*) FROM sqlite_schema WHERE name GLOB 'old_*'").await, 0);
}

#[tokio::test]
async fn a_store_of_the_first_schema_takes_what_is_new() {
    let (_folder, path) = place();
    old_store(&path).await;
    let store = open(&path).await;
    let list = vec![
        Change::PutSubscriber(subscriber(50)),
        Change::PutBinding(binding(8)),
        Change::PutVisitor(visitor(51)),
    ];
    store.commit(list).await.unwrap();
    let state = store.load().await.unwrap();
    let expected = State {
        subscribers: vec![subscriber(50), old_subscriber(51)],
        bindings: vec![binding(8), old_binding(9), old_binding(50)],
        visitors: vec![old_visitor(9), old_visitor(50), visitor(51)],
        ..expected()
    };
    assert_eq!(show(&state), show(&expected));
    // Associations still go with what they belong to.
    let gone = [9, 50, 8, 51]
        .into_iter()
        .flat_map(|n| [Change::RemoveBindings(home(n)), Change::RemoveVisitor(home(n))]);
    store.commit(gone.collect()).await.unwrap();
    assert_eq!(count(&path, "SELECT count(*) FROM bindings").await, 0);
    assert_eq!(count(&path, "SELECT count(*) FROM visitor_associations").await, 0);
}
