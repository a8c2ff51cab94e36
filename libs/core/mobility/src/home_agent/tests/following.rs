//! Changes of subscribers on their way to a store that refuses, and two home agents on one store.

use super::*;

fn other() -> Subscriber {
    let nai = Nai::parse("traveller-two@home.example").unwrap();
    Subscriber { nai, spi: Spi(4712), home_address: Ipv4Addr::new(10, 11, 1, 51), change: 5, ..subscriber() }
}

fn handed(bench: &mut Bench, changed: Vec<Subscriber>, cursor: u64, complete: bool) {
    bench.input(Input::Request(Request::Subscribers { changed, realm_keys: vec![], cursor, complete }));
}

/// What was committed, as text.
fn committed(bench: &Bench) -> Vec<String> {
    let line = |change: &Change| match change {
        Change::PutSubscriber(s) => format!("{} {:?} at {}", s.nai.user(), s.state, s.change),
        Change::SubscriberCursor(cursor) => format!("up to {cursor}"),
        Change::RemoveBindings(address) | Change::RemoveBinding { home_address: address, .. } => {
            format!("unbind {address}")
        }
        _ => "other".to_owned(),
    };
    bench.committed.iter().map(line).collect()
}

#[test]
fn the_cursor_never_passes_a_change_that_the_store_refused() {
    let mut bench = bench();
    bench.store = false;
    handed(&mut bench, vec![other()], 5, false);
    assert!(bench.acknowledged.is_empty());

    // The store is well again and another change comes: the refused one goes with it, not before its time.
    bench.store = true;
    let revoked = Subscriber { state: SubscriberState::Revoked, change: 6, ..subscriber() };
    handed(&mut bench, vec![revoked], 6, false);
    assert!(bench.committed.is_empty() && bench.acknowledged.is_empty());
    bench.now = at(1);
    bench.input(Input::Tick);
    assert_eq!(
        committed(&bench),
        ["traveller-two Active at 5", "traveller-one Revoked at 6", "unbind 10.11.1.50", "up to 6"]
    );
    assert_eq!(bench.acknowledged, [6]);
    assert_eq!(bench.agent.subscribers(), 1, "one came, one went");
}

#[test]
fn refused_changes_are_sent_again_by_themselves_once_a_second() {
    let mut bench = bench();
    bench.store = false;
    handed(&mut bench, vec![other()], 5, false);
    for second in 1..4 {
        bench.now = at(second);
        bench.input(Input::Tick);
        assert!(bench.committed.is_empty());
        let due = bench.agent.deadline().unwrap();
        assert!(due > bench.now.mono, "it does not spin");
    }
    bench.store = true;
    bench.now = at(4);
    bench.input(Input::Tick);
    assert_eq!(committed(&bench), ["traveller-two Active at 5", "up to 5"]);
    assert_eq!(bench.acknowledged, [5]);
    bench.now = at(10);
    bench.input(Input::Tick);
    assert_eq!(bench.acknowledged, [5], "once");
}

#[test]
fn the_latest_of_two_refused_changes_counts() {
    let mut bench = bench();
    bench.store = false;
    handed(&mut bench, vec![other()], 5, false);
    let revoked = Subscriber { state: SubscriberState::Revoked, change: 6, ..other() };
    handed(&mut bench, vec![revoked], 6, false);
    bench.store = true;
    bench.now = at(1);
    bench.input(Input::Tick);
    assert_eq!(committed(&bench), ["traveller-two Revoked at 6", "unbind 10.11.1.51", "up to 6"]);
    assert_eq!(bench.agent.subscribers(), 1);
}

#[test]
fn everything_there_is_replaces_what_was_refused() {
    let mut bench = bench();
    bench.store = false;
    handed(&mut bench, vec![other()], 5, false);
    handed(&mut bench, vec![subscriber()], 9, true);
    bench.store = true;
    bench.now = at(1);
    bench.input(Input::Tick);
    assert_eq!(committed(&bench), ["traveller-one Active at 1", "up to 9"]);
    assert_eq!(bench.agent.subscribers(), 1);
}

/// Our binding of a node that has gone to another home agent meanwhile, which we do not know.
#[test]
fn a_binding_that_ends_here_never_takes_another_home_agents_with_it() {
    let mut bench = bench();
    bench.through(0, ask(0).bytes(), 1).unwrap();
    let before = bench.committed.len();
    bench.quicker = true;
    bench.now = at(400);
    bench.input(Input::Tick);
    assert_eq!(bench.committed.len(), before, "the store refuses: somebody else heard of it since");
    assert_eq!(bench.refreshes, [nai()]);
    let mut theirs = bench.agent.bindings().next().unwrap().duplicate();
    theirs.care_of = FA[1];
    let seen = Seen { nai: nai(), identification: ask(300).identification.0, generation: 0, index: 0 };
    bench.quicker = false;
    bench.input(Input::Request(Request::Refreshed {
        nai: nai(),
        seen: Some(seen),
        bindings: vec![theirs],
        assigned: None,
    }));
    assert_eq!(bench.agent.bindings().count(), 0);
    bench.now = at(500);
    bench.input(Input::Tick);
    assert_eq!(bench.committed.len(), before, "what stands is not ours to end");
}

#[test]
fn the_end_of_a_binding_is_a_compare_and_set_too() {
    let mut bench = bench();
    bench.through(0, ask(0).bytes(), 1).unwrap();
    let before = bench.committed.len();
    bench.now = at(400);
    bench.input(Input::Tick);
    let stands = ask(0).identification.0;
    match &bench.committed[before..] {
        [
            Change::Identification { previous, next, .. },
            Change::RemoveBinding { home_address: address, .. },
        ] => {
            assert_eq!((*previous, *next, *address), (Some(stands), stands, HOME));
        }
        _ => panic!("{:?}", committed(&bench)),
    }
    assert_eq!(bench.agent.bindings().count(), 0);
}

#[test]
fn a_deregistration_through_us_ends_the_binding_at_another_home_agent() {
    for (care_of, ends) in [(FA[0], true), (FA[1], false), (Ipv4Addr::UNSPECIFIED, true)] {
        let mut first = bench();
        first.through(0, ask(0).bytes(), 1).unwrap();
        let theirs = first.agent.bindings().next().unwrap().duplicate();

        let mut bench = bench();
        let seen = Seen { nai: nai(), identification: ask(0).identification.0, generation: 0, index: 0 };
        let refreshed =
            Request::Refreshed { nai: nai(), seen: Some(seen), bindings: vec![theirs], assigned: None };
        bench.input(Input::Request(refreshed));
        let agent = usize::from(care_of == FA[1]);
        let leave = Ask { lifetime: 0, care_of, heard: Some(FA_NAI[agent]), ..ask(5) };
        bench.now = at(5);
        assert_eq!(code(&bench.through(agent, leave.bytes(), 2).unwrap()), Code::ACCEPTED);
        let ended = bench.committed.iter().any(|c| match c {
            Change::RemoveBindings(address) => *address == HOME,
            Change::RemoveBinding { home_address, care_of } => (*home_address, *care_of) == (HOME, FA[0]),
            _ => false,
        });
        assert_eq!(ended, ends, "{care_of}");
    }
}
