//! The clock of the home agent steps: ahead and back, by seconds and by a year, while it runs and while it is down.

use sim::{Action, care_of};

use super::*;

const DAY: i64 = 86_400;
const YEAR: i64 = 365 * DAY;
/// What the scene's mobile nodes ask for.
const LIFETIME: u64 = 600;

/// Lets the node move and says whether it was registered there within this time.
fn moves(scene: &mut Scene, agent: usize, within: Duration) -> bool {
    scene.move_to(0, Place::Visited(agent));
    scene.pass(within);
    scene.state(0) == State::Registered && scene.binding(0).is_some_and(|it| it.care_of == care_of(agent))
}

#[test]
fn a_home_agent_a_year_off_costs_each_node_one_denial() {
    for off in [YEAR, -YEAR] {
        let mut scene = scene(2);
        scene.step_home_clock(off);
        assert!(moves(&mut scene, 0, seconds(5)), "{off}");
        assert_eq!(
            codes(&scene, Way::FromHomeAgent),
            [133, 0],
            "{off}: it tells its time, and that is taken"
        );
        assert!(moves(&mut scene, 1, seconds(5)), "{off}");
        assert_eq!(codes(&scene, Way::FromHomeAgent), [133, 0, 0], "{off}: which the node remembers");
    }
}

#[test]
fn a_clock_that_steps_ahead_while_it_runs_costs_one_denial_and_no_binding() {
    for off in [8, DAY, YEAR] {
        let mut scene = registered(2);
        scene.step_home_clock(off);
        scene.pass(seconds(60));
        assert_registered(&scene, 0);
        assert!(scene.binding(0).is_some(), "{off}: lifetimes go by another clock");
        assert!(moves(&mut scene, 1, seconds(5)), "{off}");
        assert_eq!(codes(&scene, Way::FromHomeAgent), [0, 133, 0], "{off}");
    }
}

#[test]
fn a_clock_that_steps_back_makes_no_replay_new() {
    for back in [1, 5, 8, 600, DAY, YEAR] {
        let mut scene = registered(2);
        let old = last(&scene, Way::ToHomeAgent);
        scene.pass(seconds(20));
        assert!(moves(&mut scene, 1, seconds(5)));
        // As it was when the old request was made, and further back.
        scene.step_home_clock(-back);
        for _ in 0..3 {
            scene.send(old.clone());
            scene.pass(seconds(7));
        }
        assert_eq!(scene.binding(0).unwrap().care_of, care_of(1), "{back} s back");
        // Neither over a restart.
        scene.act(Action::CrashHomeAgent(0, millis(5)));
        scene.pass(seconds(1));
        scene.send(old.clone());
        scene.pass(seconds(1));
        assert_eq!(scene.binding(0).unwrap().care_of, care_of(1), "{back} s back, and a restart");
        assert_eq!(scene.broken(), None);
    }
}

/// What was accepted stays the measure: until the clock is where it was nobody who was registered before can move, and
/// then everybody can, by itself.
#[test]
fn after_a_step_back_a_node_registers_once_the_clock_has_come_back_and_its_binding_stands_meanwhile() {
    for back in [60, DAY, YEAR] {
        let mut scene = registered(2);
        scene.step_home_clock(-back);
        assert!(!moves(&mut scene, 1, seconds(30)), "{back} s back");
        assert_eq!(scene.binding(0).unwrap().care_of, care_of(0), "{back} s back: what was bound stays");
        scene.step_home_clock(back);
        scene.pass(seconds(120));
        assert_registered(&scene, 0);
        assert_eq!(scene.binding(0).unwrap().care_of, care_of(1), "{back} s back");
        assert_eq!(scene.broken(), None);
    }
}

#[test]
fn no_step_lengthens_a_binding_while_it_runs_or_over_a_restart() {
    for (step, restarts) in [(-YEAR, false), (YEAR, false), (-YEAR, true), (-60, true)] {
        let mut scene = registered(1);
        // Nobody renews.
        scene.on_the_way(|message, _| match message.way() {
            Some(Way::FromMobileNode) => vec![],
            _ => passed(message),
        });
        scene.pass(seconds(300));
        scene.step_home_clock(step);
        if restarts {
            scene.act(Action::CrashHomeAgent(0, millis(5)));
        }
        scene.pass(seconds(10));
        assert!(scene.binding(0).is_some(), "{step} {restarts}: half of it is left");
        // Over a restart only the wall clock tells what has gone by; more than the whole it never gives.
        let most = if restarts { LIFETIME } else { LIFETIME - 300 };
        scene.pass(seconds(most));
        assert!(scene.binding(0).is_none() && !scene.tunnelled(0), "{step} {restarts}");
    }
    // A clock that is a year ahead after a restart ends what it holds; its nodes come back when they renew or move.
    let mut scene = registered(2);
    scene.step_home_clock(YEAR);
    scene.act(Action::CrashHomeAgent(0, millis(5)));
    scene.pass(seconds(10));
    assert!(scene.binding(0).is_none() && !scene.tunnelled(0));
    assert!(moves(&mut scene, 1, seconds(5)));
}
