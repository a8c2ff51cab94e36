//! Several bindings of one home address, and home addresses that were assigned.

use record::{Change, CommitError, State};

use crate::sample::{beside, binding, count, home, nai, open, other_program, place, show, show_binding, sql};

fn remove(n: u8, of: &record::Binding) -> Change {
    Change::RemoveBinding { home_address: home(n), care_of: of.care_of }
}

fn assign(n: u8, address: u8) -> Change {
    Change::AssignAddress { nai: nai(n), home_address: home(address) }
}

fn shown(of: &State) -> Vec<String> {
    of.bindings.iter().map(show_binding).collect()
}

#[tokio::test]
async fn bindings_of_one_home_address_stand_beside_each_other() {
    let (_folder, path) = place();
    let store = open(&path).await;
    let both = [binding(50), beside(50)];
    store.commit(both.iter().map(|b| Change::AddBinding(b.duplicate())).collect()).await.unwrap();
    store.commit(vec![Change::AddBinding(binding(9))]).await.unwrap();
    let expected = [&binding(9), &both[0], &both[1]].map(show_binding);
    assert_eq!(shown(&store.load().await.unwrap()), expected);

    // One is renewed with other keys, one goes: the other ones stay as they are.
    let mut renewed = beside(50);
    renewed.associations = beside(52).associations;
    store.commit(vec![Change::AddBinding(renewed.duplicate())]).await.unwrap();
    assert_eq!(shown(&store.load().await.unwrap()), [&binding(9), &both[0], &renewed].map(show_binding));
    store.commit(vec![remove(50, &both[0]), remove(50, &both[0])]).await.unwrap();
    assert_eq!(shown(&store.load().await.unwrap()), [&binding(9), &renewed].map(show_binding));
    assert_eq!(count(&path, "SELECT count(*) FROM bindings").await, 2);

    // One in the place of all, and none.
    store.commit(vec![Change::AddBinding(binding(50)), Change::PutBinding(beside(50))]).await.unwrap();
    assert_eq!(shown(&store.load().await.unwrap()), [&binding(9), &beside(50)].map(show_binding));
    store.commit(vec![Change::AddBinding(binding(50)), Change::RemoveBindings(home(50))]).await.unwrap();
    assert_eq!(shown(&store.load().await.unwrap()), [&binding(9)].map(show_binding));
}

#[tokio::test]
async fn a_key_that_is_moved_to_the_binding_beside_it_does_not_open() {
    let (_folder, path) = place();
    let store = open(&path).await;
    store.commit(vec![Change::AddBinding(binding(51)), Change::AddBinding(beside(51))]).await.unwrap();
    store.load().await.unwrap();
    // 10.51.1.2 and 10.52.1.2.
    let swap = "UPDATE bindings SET sealed_record =
        (SELECT sealed_record FROM bindings WHERE care_of = 171114754) WHERE care_of = 171180290";
    sql(&mut other_program(&path).await, swap).await;
    let error = store.load().await.err().unwrap().to_string();
    assert!(error.contains("sealed_record does not open"), "{error}");
}

#[tokio::test]
async fn an_address_is_one_subscribers_and_a_subscriber_has_one() {
    let (_folder, path) = place();
    let store = open(&path).await;
    store.commit(vec![assign(50, 128), assign(51, 129)]).await.unwrap();
    // The same again is no conflict.
    store.commit(vec![assign(50, 128)]).await.unwrap();
    for wrong in [(51, 128), (50, 129), (50, 130), (52, 128)] {
        let list = vec![Change::AddBinding(binding(9)), assign(wrong.0, wrong.1)];
        assert_eq!(store.commit(list).await, Err(CommitError::Conflict), "{wrong:?}");
    }
    let state = store.load().await.unwrap();
    assert_eq!(state.assigned, [(nai(50), home(128)), (nai(51), home(129))]);
    assert!(state.bindings.is_empty(), "the whole list is refused");
    // Released and given to another in one list.
    store.commit(vec![Change::ReleaseAddress(nai(50)), assign(52, 128)]).await.unwrap();
    store.commit(vec![Change::ReleaseAddress(nai(50))]).await.unwrap();
    store.close().await;
    let state = open(&path).await.load().await.unwrap();
    assert_eq!(state.assigned, [(nai(52), home(128)), (nai(51), home(129))]);
}

#[tokio::test]
async fn all_that_is_held_of_one_subscriber_is_found() {
    let (_folder, path) = place();
    let store = open(&path).await;
    let list = vec![
        Change::AddBinding(binding(50)),
        Change::AddBinding(beside(50)),
        Change::AddBinding(binding(51)),
        assign(50, 128),
        Change::Identification { nai: nai(50), previous: None, next: 7, generation: 1, index: 3 },
    ];
    store.commit(list).await.unwrap();
    let held = store.held(nai(50)).await.unwrap();
    let bindings: Vec<_> = held.bindings.iter().map(show_binding).collect();
    assert_eq!(bindings, [binding(50), beside(50)].map(|b| show_binding(&b)));
    assert_eq!((held.seen.map(|seen| seen.identification), held.assigned), (Some(7), Some(home(128))));
    let held = store.held(nai(52)).await.unwrap();
    assert!(held.bindings.is_empty() && held.seen.is_none() && held.assigned.is_none());
    assert_eq!(show(&store.load().await.unwrap()).len(), 4);
}
