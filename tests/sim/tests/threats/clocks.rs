//! Clocks that are wrong, state files of yesterday, and replies that never come.

use std::{cell::Cell, rc::Rc};

use sim::Action;

use super::*;

const DAY: i64 = 86_400;

#[test]
fn a_clock_a_day_off_costs_one_denial() {
    for off in [DAY, -DAY, 8, -8, 400 * DAY, -400 * DAY] {
        let mut scene = scene(1);
        scene.act(Action::ClockJump(0, off));
        scene.move_to(0, VISIT);
        scene.pass(seconds(5));
        assert_registered(&scene, 0);
        assert_eq!(codes(&scene, Way::FromHomeAgent), [133, 0], "{off} s off");
    }
    let mut scene = scene(1);
    scene.move_to(0, VISIT);
    scene.pass(seconds(5));
    assert_eq!(codes(&scene, Way::FromHomeAgent), [0], "a right clock");
}

#[test]
fn a_clock_that_jumps_at_every_step_ends_registered_with_rising_identifications() {
    let mut scene = scene(2);
    for (step, jump) in [DAY, -2 * DAY, 30, -3, 5 * DAY, -DAY, 3_600, -3_600].into_iter().enumerate() {
        scene.act(Action::ClockJump(0, jump));
        scene.move_to(0, Place::Visited(step % 2));
        scene.pass(seconds(20));
        assert_registered(&scene, 0);
    }
    let seen = requests(&scene);
    assert!(seen.len() < 60, "{} requests for eight moves", seen.len());
}

/// What nobody authenticated teaches no time.
#[test]
fn a_forged_time_is_not_learned() {
    let mut scene = scene(1);
    scene.on_the_way(|message, _| match message.way() {
        Some(Way::FromMobileNode) => {
            let mut forged = sim::rogue::hint(message.payload(), 133);
            forged[12..16].copy_from_slice(&[0, 0, 0, 1]);
            sim::rogue::answered_on_link(message, &forged).map_or_else(Vec::new, replaced)
        }
        _ => passed(message),
    });
    scene.move_to(0, VISIT);
    scene.pass(seconds(60));
    assert_eq!(scene.state_file(0).clock_offset, 0);
    assert_heals(&mut scene);
}

#[test]
fn ten_thousand_lost_replies_in_a_row_cost_only_time() {
    let mut scene = scene(2);
    let lost = Rc::new(Cell::new(0));
    let counted = Rc::clone(&lost);
    scene.on_the_way(move |message, _| match message.way() {
        Some(Way::ToMobileNode) => {
            counted.set(counted.get() + 1);
            vec![]
        }
        _ => passed(message),
    });
    let mut moves = 0;
    while lost.get() < 10_000 {
        scene.move_to(0, Place::Visited(moves % 2));
        scene.pass(seconds(3));
        moves += 1;
    }
    assert_ne!(scene.state(0), State::Registered);
    assert_eq!(scene.broken(), None, "no index is shown at two places");
    scene.undisturbed();
    scene.move_to(0, VISIT);
    scene.pass(seconds(40));
    assert_registered(&scene, 0);
}

#[test]
fn a_state_file_of_yesterday_or_none_at_all_finds_its_way_back() {
    let mut scene = scene(2);
    scene.move_to(0, VISIT);
    scene.pass(seconds(5));
    let yesterday = scene.state_file(0);
    // A day of moving about.
    for hour in 1..=24 {
        scene.move_to(0, Place::Visited(hour % 2));
        scene.pass(seconds(3_600));
    }
    assert_registered(&scene, 0);
    for state in [Some(yesterday), None] {
        let before = requests(&scene).len();
        scene.restart(0, state);
        scene.pass(seconds(60));
        assert_registered(&scene, 0);
        let needed = requests(&scene).len() - before;
        assert!(needed <= 8, "{needed} requests");
    }
}
