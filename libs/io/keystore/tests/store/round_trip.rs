//! What went in comes out, in every field.

use record::{AssociationKind, Change, HomeAgent, Seen, State};
use wire::mip::Spi;

use crate::sample::{
    association, audit, beside, binding, count, grant, home, nai, open, place, realm_key, revocation, show,
    subscriber, visitor,
};

fn home_agents() -> Vec<HomeAgent> {
    vec![
        HomeAgent { name: "ha2@home.example".into(), address: Some(home(3)), registered: u64::MAX },
        HomeAgent { name: "ha@home.example".into(), address: None, registered: 1 },
    ]
}

fn seen(n: u8, identification: u64, index: u64) -> Seen {
    Seen { nai: nai(n), identification, generation: u32::MAX - u32::from(n), index }
}

fn identification(seen: Seen, previous: Option<u64>) -> Change {
    let Seen { nai, identification: next, generation, index } = seen;
    Change::Identification { nai, previous, next, generation, index }
}

/// One of everything, both ways where there are two, in the order of a load.
fn full() -> State {
    State {
        subscribers: vec![subscriber(50), subscriber(51)],
        subscriber_cursor: u64::MAX,
        seen: vec![seen(50, 0xe9b8_5aa0_ffff_ffff, u64::MAX), seen(51, 0, 0)],
        realm_keys: vec![realm_key(0), realm_key(255)],
        assigned: vec![(nai(51), home(200)), (nai(50), home(201))],
        bindings: vec![binding(8), binding(9), binding(50), beside(50), binding(51)],
        visitors: [8, 9, 50, 51].map(visitor).into(),
        revocations: [50, 51].map(revocation).into(),
        sequences: vec![(0, 65_536), (u32::MAX, 256)],
        grants: vec![grant(3), grant(4)],
        newest_grants: vec![(nai(50), 4)],
        grants_ending: vec![(u64::MAX, 2)],
        // Those of the sample never end.
        longest_grant: 0,
        last_audit: 4,
        home_agents: home_agents(),
    }
}

/// The changes that lead to a state, in the reverse of its order.
fn changes(of: State) -> Vec<Change> {
    let mut changes = vec![Change::SubscriberCursor(of.subscriber_cursor)];
    changes.extend(of.subscribers.into_iter().rev().map(Change::PutSubscriber));
    changes.extend(of.seen.into_iter().rev().map(|seen| identification(seen, None)));
    changes.extend(of.realm_keys.into_iter().rev().map(Change::PutRealmKey));
    let assigned = of.assigned.into_iter().rev();
    changes.extend(assigned.map(|(nai, home_address)| Change::AssignAddress { nai, home_address }));
    changes.extend(of.bindings.into_iter().rev().map(Change::AddBinding));
    changes.extend(of.visitors.into_iter().rev().map(Change::PutVisitor));
    changes.extend(of.revocations.into_iter().rev().map(Change::PutRevocation));
    changes
        .extend(of.sequences.into_iter().rev().map(|(link, below)| Change::ReserveSequence { link, below }));
    changes.extend(of.grants.into_iter().rev().map(Change::PutGrant));
    changes.extend((1..=of.last_audit).map(|number| Change::Audit(audit(number))));
    changes.extend(of.home_agents.into_iter().rev().map(Change::PutHomeAgent));
    changes
}

#[tokio::test]
async fn a_new_store_is_empty() {
    let (_folder, path) = place();
    assert_eq!(show(&open(&path).await.load().await.unwrap()), show(&State::default()));
}

#[tokio::test]
async fn every_field_comes_back() {
    let (_folder, path) = place();
    let store = open(&path).await;
    store.commit(changes(full())).await.unwrap();
    assert_eq!(show(&store.load().await.unwrap()), show(&full()));
    store.close().await;
    let store = open(&path).await;
    assert_eq!(show(&store.load().await.unwrap()), show(&full()));
    assert_eq!(store.audit(2, 10).await.unwrap(), [audit(3), audit(4)]);
    assert_eq!(store.audit(0, 2).await.unwrap(), [audit(1), audit(2)]);
}

#[tokio::test]
async fn putting_again_replaces_whole_rows_with_their_associations() {
    let (_folder, path) = place();
    let store = open(&path).await;
    store.commit(changes(full())).await.unwrap();

    let mut expected = full();
    expected.subscriber_cursor = 3;
    expected.subscribers[0] = subscriber(51);
    expected.subscribers[0].nai = nai(50);
    expected.seen[0] = seen(50, 1, 7);
    expected.realm_keys = vec![realm_key(255)];
    expected.realm_keys[0].id = Spi(256);
    expected.bindings.remove(3);
    expected.bindings[2] = binding(51);
    expected.bindings[2].home_address = home(50);
    expected.visitors[2] = visitor(51);
    expected.visitors[2].home_address = home(50);
    expected.visitors[2].associations = vec![association(AssociationKind::Key3, 77)];
    expected.revocations[1].inform = true;
    expected.revocations[1].associations.truncate(1);
    expected.sequences[0].1 = 256;
    expected.grants[1] = grant(5);
    expected.grants[1].id = 4;
    expected.home_agents[1].address = Some(home(4));
    let list = vec![
        Change::SubscriberCursor(3),
        Change::PutSubscriber(expected.subscribers[0].duplicate()),
        identification(seen(50, 1, 7), Some(0xe9b8_5aa0_ffff_ffff)),
        Change::PutRealmKey(expected.realm_keys[0].duplicate()),
        Change::RemoveRealmKey(Spi(256 + 255)),
        Change::PutBinding(expected.bindings[2].duplicate()),
        Change::PutVisitor(expected.visitors[2].duplicate()),
        Change::PutRevocation(expected.revocations[1].duplicate()),
        Change::ReserveSequence { link: 0, below: 256 },
        Change::PutGrant(expected.grants[1].clone()),
        Change::PutHomeAgent(expected.home_agents[1].clone()),
    ];
    store.commit(list).await.unwrap();
    assert_eq!(show(&store.load().await.unwrap()), show(&expected));
}

#[tokio::test]
async fn removed_bindings_visitors_and_revocations_leave_no_keys() {
    let (_folder, path) = place();
    let store = open(&path).await;
    store.commit(changes(full())).await.unwrap();
    let list = [8, 9, 50, 51]
        .into_iter()
        .flat_map(|n| [Change::RemoveBindings(home(n)), Change::RemoveVisitor(home(n))]);
    store.commit(list.collect()).await.unwrap();
    let told = |n| {
        let of = revocation(n);
        Change::RemoveRevocation { home_address: of.home_address, care_of: of.care_of }
    };
    store.commit(vec![told(50), told(51), told(51)]).await.unwrap();
    let expected = State { bindings: vec![], visitors: vec![], revocations: vec![], ..full() };
    assert_eq!(show(&store.load().await.unwrap()), show(&expected));
    assert_eq!(count(&path, "SELECT count(*) FROM bindings").await, 0);
    assert_eq!(count(&path, "SELECT count(*) FROM visitor_associations").await, 0);
    assert_eq!(count(&path, "SELECT count(*) FROM revocation_associations").await, 0);
    // Removing what is not there is no failure.
    store.commit(vec![Change::RemoveBindings(home(9)), Change::RemoveVisitor(home(9))]).await.unwrap();
}
