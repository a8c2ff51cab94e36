//! New keys beside old ones: who accepts what, until when, and what is left of it.

use crypto::Rng;
use record::{Plain, SubscriberState};

use super::*;

const DAY: u32 = 86_400;

fn rotation(overlap: u32) -> Ask {
    Ask::Rotate { nai: MOBILE_NODE.to_owned(), overlap, dry_run: false }
}

fn rotate(desk: &mut Desk, overlap: u32) -> Subscriber {
    match desk.done(admin(), rotation(overlap)) {
        Answer::Rotated(subscriber) => subscriber,
        _ => panic!("a rotation is expected"),
    }
}

fn stored(desk: &Desk) -> &Subscriber {
    &desk.durable.subscribers[&Nai::parse(MOBILE_NODE).unwrap()]
}

/// Of the stored key before, its index, generation and end.
fn retiring(desk: &Desk) -> Option<(u32, u64)> {
    stored(desk).retiring.as_ref().map(|old| (old.generation, old.ends))
}

fn keys(desk: &mut Desk) -> Vec<RealmKeyView> {
    match desk.done(admin(), Ask::RealmKeys) {
        Answer::RealmKeys(keys) => keys,
        _ => panic!("keys are expected"),
    }
}

fn rotate_realm(desk: &mut Desk, overlap: u32) -> RealmKeyView {
    match desk.done(admin(), Ask::RotateRealmKey { overlap, dry_run: false }) {
        Answer::RealmKey(key) => key,
        _ => panic!("a key is expected"),
    }
}

#[test]
fn both_keys_stand_during_the_overlap_and_one_after_it() {
    let mut desk = Desk::furnished();
    let before = stored(&desk).duplicate();
    let rotated = rotate(&mut desk, 7 * DAY);
    assert!(rotated.key0 != before.key0 && rotated.spi != before.spi && rotated.generation == 1);
    let old = stored(&desk).retiring.as_ref().unwrap();
    assert!(old.key0 == before.key0 && old.spi == before.spi && old.generation == 0);
    assert_eq!(old.ends, desk.seconds + u64::from(7 * DAY));
    assert!(rotated.change > before.change && desk.published.last() == Some(&rotated.change));

    desk.pass(u64::from(7 * DAY) - 1);
    assert!(retiring(&desk).is_some());
    desk.restart();
    desk.pass(1);
    assert!(retiring(&desk).is_none(), "erased from the store");
    assert!(stored(&desk).key0 == rotated.key0 && stored(&desk).change > rotated.change);
    assert_eq!(desk.last_entry().action, "end overlap");
    let Answer::Changes(page) = desk.done(home_agent(HOME_AGENT), since(rotated.change)) else { panic!() };
    assert!(page.subscribers.len() == 1 && page.subscribers[0].retiring.is_none());
}

#[test]
fn the_machine_wakes_by_itself_to_end_an_overlap() {
    let mut desk = Desk::furnished();
    desk.pass(120);
    assert_eq!(desk.kdc.poll_wait(), None);
    rotate(&mut desk, 90);
    let wake = desk.kdc.poll_wait().expect("a time to wake");
    desk.pass(90);
    assert!(wake <= desk.now().mono && retiring(&desk).is_none());
    assert_eq!(desk.kdc.poll_wait(), None);
}

#[test]
fn a_second_rotation_ends_the_older_overlap_and_revocation_ends_both() {
    let mut desk = Desk::furnished();
    let first = rotate(&mut desk, DAY);
    let second = rotate(&mut desk, 2 * DAY);
    assert_eq!(retiring(&desk), Some((1, desk.seconds + u64::from(2 * DAY))));
    assert!(stored(&desk).retiring.as_ref().unwrap().key0 == first.key0 && second.generation == 2);
    desk.done(admin(), revocation(MOBILE_NODE));
    assert!(retiring(&desk).is_none() && *stored(&desk).key0.expose() == [0; 32]);
    assert_eq!(stored(&desk).state, SubscriberState::Revoked);
    // Enrolled anew, what was remembered of an older KEY 0 is not taken for this one's.
    let Answer::Enrolled(anew) = desk.done(admin(), Ask::Enrol(enrolment(MOBILE_NODE, "10.11.1.50"))) else {
        panic!()
    };
    assert_eq!(anew.generation, 3);
}

#[test]
fn without_overlap_the_old_key_ends_at_once() {
    let mut desk = Desk::furnished();
    rotate(&mut desk, DAY);
    let last = rotate(&mut desk, 0);
    assert!(retiring(&desk).is_none() && last.generation == 2);
}

#[test]
fn refused_rotations_change_nothing() {
    let mut desk = Desk::furnished();
    let before = desk.seen();
    assert_eq!(desk.refused(admin(), rotation(90 * DAY + 1)).class(), Class::Invalid);
    let stranger = Ask::Rotate { nai: "nobody@home.example".to_owned(), overlap: 0, dry_run: false };
    assert_eq!(desk.refused(admin(), stranger).class(), Class::NotFound);
    let rehearsal = Ask::Rotate { nai: MOBILE_NODE.to_owned(), overlap: 90 * DAY, dry_run: true };
    assert!(matches!(desk.done(admin(), rehearsal), Answer::WouldDo));
    desk.refuses = Some(CommitError::Unavailable("no space left".to_owned()));
    assert_eq!(desk.refused(admin(), rotation(DAY)).class(), Class::Unavailable);
    let realm = Ask::RotateRealmKey { overlap: DAY, dry_run: false };
    assert_eq!(desk.refused(admin(), realm).class(), Class::Unavailable);
    desk.refuses = None;
    assert_eq!(desk.seen(), before);
    assert!(desk.events.iter().all(|event| event.kind != EventKind::SubscriberRotated));
    desk.done(admin(), revocation(MOBILE_NODE));
    assert_eq!(desk.refused(admin(), rotation(DAY)).class(), Class::State);
}

#[test]
fn plain_nodes_have_a_static_index_and_no_shares() {
    let mut desk = Desk::furnished();
    let plain = Plain { nonces: true, md5: false };
    let ask = Enrol { plain: Some(plain), ..enrolment("plain@home.example", "10.11.1.51") };
    let Answer::Enrolled(plainly) = desk.done(admin(), Ask::Enrol(ask)) else { panic!() };
    assert!(!plainly.one_time && plainly.no_fs && plainly.plain == Some(plain));
    let ask = Enrol { static_spi: true, no_fs: true, ..enrolment("static@home.example", "10.11.1.52") };
    let Answer::Enrolled(fixed) = desk.done(admin(), Ask::Enrol(ask)) else { panic!() };
    assert!(!fixed.one_time && fixed.no_fs && fixed.plain.is_none());
}

#[test]
fn the_realm_has_one_key_from_the_first_start_on() {
    let mut desk = Desk::new();
    assert!(matches!(desk.done(admin(), Ask::EnsureRealmKey), Answer::RealmKey(_)));
    assert!(matches!(desk.done(admin(), Ask::EnsureRealmKey), Answer::Noted));
    desk.restart();
    assert!(matches!(desk.done(admin(), Ask::EnsureRealmKey), Answer::Noted));
    let keys = keys(&mut desk);
    assert!(keys.len() == 1 && (256..=511).contains(&keys[0].id.0) && keys[0].ends.is_none());
}

#[test]
fn realm_keys_overlap_and_are_removed_when_they_have_ended() {
    let mut desk = Desk::furnished();
    desk.done(admin(), Ask::EnsureRealmKey);
    let first = keys(&mut desk).remove(0);
    let second = rotate_realm(&mut desk, DAY);
    let both = keys(&mut desk);
    assert_eq!(both.iter().map(|key| key.id).collect::<Vec<_>>(), [second.id, first.id]);
    assert_eq!(both[1].ends, Some(desk.seconds + u64::from(DAY)));
    // A later rotation does not lengthen what ends sooner.
    let third = rotate_realm(&mut desk, 10 * DAY);
    assert_eq!(keys(&mut desk)[2].ends, both[1].ends);
    desk.pass(u64::from(DAY));
    assert_eq!(keys(&mut desk).iter().map(|key| key.id).collect::<Vec<_>>(), [third.id, second.id]);
    assert_eq!(desk.durable.realm_keys.len(), 2, "erased from the store");
    assert_eq!(desk.last_entry().action, "end realm key");
    let fourth = rotate_realm(&mut desk, 0);
    assert_eq!(keys(&mut desk).iter().map(|key| key.id).collect::<Vec<_>>(), [fourth.id]);
    assert_eq!(desk.durable.realm_keys.len(), 1);
}

#[test]
fn a_realm_has_no_more_keys_than_a_mobile_node_is_told() {
    let mut desk = Desk::new();
    for _ in 0..16 {
        rotate_realm(&mut desk, DAY);
    }
    let refusal = desk.refused(admin(), Ask::RotateRealmKey { overlap: DAY, dry_run: false });
    assert_eq!(refusal.class(), Class::State);
    rotate_realm(&mut desk, 0);
    assert_eq!(keys(&mut desk).len(), 1);
}

/// A home agent that takes over page by page, as the shell does.
fn take_over(desk: &mut Desk, since: u64, held: &mut BTreeMap<Spi, Option<u64>>) -> u64 {
    let (mut at, mut first) = (since, true);
    loop {
        let ask = Ask::ChangesSince { since: at, limit: 1, first };
        let page = changes(desk.done(home_agent(HOME_AGENT), ask));
        if first {
            held.clear();
        }
        for key in page.realm_keys {
            match key {
                RealmKeyChange::Put(key) => drop(held.insert(key.id, key.ends)),
                RealmKeyChange::Removed { id, .. } => drop(held.remove(&id)),
            }
        }
        (at, first) = (page.next, false);
        if !page.more {
            return at;
        }
    }
}

#[test]
fn a_home_agent_ends_with_the_same_realm_keys_however_long_it_was_away() {
    let mut rng = Rng::from_seed([3; 32]);
    let mut desk = Desk::furnished();
    let (mut held, mut at) = (BTreeMap::new(), 0);
    for _ in 0..200 {
        match rng.below(4) {
            0 => drop(desk.ask(admin(), Ask::RotateRealmKey { overlap: 100, dry_run: false })),
            1 => desk.pass(rng.below(200)),
            2 => drop(desk.ask(admin(), rotation(50))),
            _ => desk.restart(),
        }
        if rng.below(3) == 0 {
            at = take_over(&mut desk, at, &mut held);
            let there: BTreeMap<_, _> = desk.durable.realm_keys.values().map(|k| (k.id, k.ends)).collect();
            assert_eq!(held, there);
            assert_eq!(at, desk.kdc.published());
        }
    }
}

#[test]
fn a_removed_realm_key_is_told_to_who_stays_connected() {
    let mut desk = Desk::furnished();
    let first = rotate_realm(&mut desk, 0);
    let second = rotate_realm(&mut desk, 100);
    desk.pass(200);
    let page = changes(desk.done(home_agent(HOME_AGENT), since(second.change)));
    assert!(matches!(page.realm_keys[..], [RealmKeyChange::Removed { id, .. }] if id == first.id));
    // Its number is not given out again after a restart.
    let last = desk.kdc.published();
    desk.restart();
    assert_eq!(desk.kdc.published(), last);
}

#[test]
fn numbers_of_another_epoch_count_as_nothing() {
    let mut desk = Desk::furnished();
    let known = desk.kdc.published();
    desk.durable.cursor = epoch_after(known, 7);
    desk.restart();
    let page = changes(desk.done(home_agent(HOME_AGENT), since(known)));
    assert!(page.from_beginning && page.subscribers.len() == 1);
    assert_eq!(page.next, 7 << 32);
    let page = changes(desk.done(home_agent(HOME_AGENT), since(7 << 32)));
    assert!(!page.from_beginning);
    assert_eq!(epoch_after(7 << 32, 7), 8 << 32);
}

#[test]
fn what_happens_is_told_once_it_is_durable() {
    let mut desk = Desk::furnished();
    desk.holds = true;
    desk.submit(admin(), rotation(60));
    let told = desk.events.len();
    desk.commit();
    assert_eq!(
        desk.events[told..].iter().map(|e| e.kind).collect::<Vec<_>>(),
        [EventKind::SubscriberRotated]
    );
    desk.holds = false;
    desk.done(home_agent(HOME_AGENT), Ask::Issue(issue(1)));
    desk.pass(61);
    desk.done(admin(), revocation(MOBILE_NODE));
    let words: Vec<_> = desk.events.iter().map(|event| event.kind.word()).collect();
    assert_eq!(
        words,
        [
            "home-agent-registered",
            "home-agent-registered",
            "subscriber-enrolled",
            "subscriber-rotated",
            "association-issued",
            "overlap-ended",
            "subscriber-revoked"
        ]
    );
}
