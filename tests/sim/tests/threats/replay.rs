//! Whole registrations again (row 11): within, at and after the window of seven seconds, after restarts of everybody,
//! byte for byte and relayed anew by an insider.

use record::AssociationKind;
use sim::{
    Action, care_of,
    rogue::{self, Relay},
};

use super::*;

/// A node that was registered through agent 0, then through agent 1; what it said to each, first to last.
fn moved_on() -> (Scene, Message, Message) {
    let mut scene = registered(2);
    let on_link = last(&scene, Way::FromMobileNode);
    let between = last(&scene, Way::ToHomeAgent);
    scene.move_to(0, Place::Visited(1));
    scene.pass(millis(500));
    assert_registered(&scene, 0);
    (scene, on_link, between)
}

fn key1(scene: &Scene) -> String {
    let held = &scene.binding(0).unwrap().associations;
    held.iter().find(|a| a.kind == AssociationKind::Key1).unwrap().key.fingerprint_hex()
}

/// Nothing has moved: binding, keys, visitor and what the node believes.
fn assert_unmoved(scene: &Scene, key: &str, why: &str) {
    assert_eq!(scene.binding(0).unwrap().care_of, care_of(1), "{why}");
    assert_eq!(key1(scene), key, "{why}: other keys");
    assert!(scene.visits(0, 1), "{why}");
    assert_registered(scene, 0);
}

/// After the request of agent 0, in milliseconds: inside the window, at it, beyond it, and when kept answers are gone.
const LATER: [u64; 7] = [3_600, 6_900, 7_000, 7_100, 12_000, 29_900, 35_000];

#[test]
fn row_11_a_replayed_registration_moves_nothing_within_at_and_after_the_window() {
    for later in LATER {
        let (mut scene, on_link, between) = moved_on();
        let key = key1(&scene);
        scene.pass(millis(later - 3_500));
        let before = codes(&scene, Way::FromHomeAgent).len();
        scene.send(between.clone());
        scene.pass(millis(100));
        // Relayed anew, by the agent that it was said to and by another.
        let part = rogue::mobile_part(between.payload());
        scene.send(Relay::of(0, 9).message(part.clone()));
        scene.pass(millis(100));
        scene.send(Relay::of(1, 10).message(part));
        scene.send(on_link.clone());
        scene.pass(seconds(1));
        let codes = codes(&scene, Way::FromHomeAgent).split_off(before);
        // The answer to the later request replaced the kept one: the time is told once, then there is silence.
        assert_eq!(codes, [133], "{later} ms later");
        assert_unmoved(&scene, &key, &format!("{later} ms later"));
    }
}

#[test]
fn row_11_a_replay_after_restarts_of_home_agent_and_key_distribution_centre_moves_nothing() {
    for later in LATER {
        for (home_agent, centre, agents) in [(true, false, false), (false, true, false), (true, true, true)] {
            let (mut scene, on_link, between) = moved_on();
            let key = key1(&scene);
            if home_agent {
                scene.act(Action::CrashHomeAgent(0, millis(5)));
            }
            if centre {
                scene.act(Action::KdcAway(millis(5)));
            }
            if agents {
                scene.act(Action::CrashForeignAgent(0, millis(5), true));
                scene.act(Action::CrashForeignAgent(1, millis(5), false));
            }
            scene.pass(millis(later - 3_500));
            scene.send(between.clone());
            scene.send(Relay::of(0, 9).message(rogue::mobile_part(between.payload())));
            scene.send(on_link.clone());
            scene.pass(seconds(1));
            assert!(scene.broken().is_none(), "{:?}", scene.broken());
            assert_eq!(scene.binding(0).unwrap().care_of, care_of(1), "{later} ms later");
            assert_eq!(key1(&scene), key, "{later} ms later: other keys");
            assert!(!scene.visits(0, 0) || !agents, "a visitor of a replay");
        }
    }
}

/// The last registration again: the kept answer with the same keys, while it is kept, and then nothing new.
#[test]
fn row_11_the_last_registration_again_gets_the_same_keys_or_none() {
    for (later, expected) in [(3_100, 0), (6_900, 0), (29_000, 0), (31_000, 133)] {
        let mut scene = registered(1);
        let key = key1(&scene);
        let between = last(&scene, Way::ToHomeAgent);
        scene.pass(millis(later - 3_000));
        let before = codes(&scene, Way::FromHomeAgent).len();
        scene.send(between.clone());
        scene.pass(millis(100));
        assert_eq!(codes(&scene, Way::FromHomeAgent)[before..], [expected], "{later} ms later");
        assert_eq!(key1(&scene), key, "{later} ms later");
        assert_registered(&scene, 0);
        // Under another handle: silence. Its keys would belong to somebody else's indices.
        let before = codes(&scene, Way::FromHomeAgent).len();
        scene.send(Relay::of(0, 9).message(rogue::mobile_part(between.payload())));
        scene.pass(millis(100));
        assert_eq!(codes(&scene, Way::FromHomeAgent)[before..], [0; 0], "{later} ms later");
        assert_eq!(key1(&scene), key, "{later} ms later");
    }
}

/// Replies of before, on the link and between the agents, at every age.
#[test]
fn row_11_a_replayed_reply_registers_nobody() {
    let mut scene = registered(2);
    let old = [last(&scene, Way::FromHomeAgent), last(&scene, Way::ToMobileNode)];
    scene.move_to(0, Place::Visited(1));
    scene.pass(millis(500));
    let key = key1(&scene);
    for _ in 0..40 {
        for message in &old {
            scene.send(message.clone());
        }
        scene.pass(seconds(1));
    }
    assert_unmoved(&scene, &key, "old replies");
    assert_eq!(scene.registrations(0), 2);
    // Back at the first agent, whose lost reply comes up while the node waits for another.
    let again = old.clone();
    scene.on_the_way(move |message, _| match message.way() {
        Some(Way::FromHomeAgent | Way::ToMobileNode) => {
            again.iter().map(|old| (Duration::ZERO, old.clone())).collect()
        }
        _ => passed(message),
    });
    scene.move_to(0, VISIT);
    scene.pass(seconds(20));
    assert_eq!((scene.state(0), scene.registrations(0)), (State::Registering, 2));
    assert_heals(&mut scene);
}
