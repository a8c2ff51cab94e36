//! One registration, a handover and a deregistration, with each message lost, doubled or late, and each pair lost: all
//! end as asked.

use std::collections::BTreeSet;

use record::AssociationKind;

use super::*;

/// For each stage: a spent challenge and two losses cost the waits of four requests, 1, 2, 4 and 8 s.
const STAGE: Duration = seconds(16);

/// What becomes of one message of the walk.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Lost,
    Doubled,
    /// Beyond the next request.
    Late,
}

impl Fault {
    fn fate(self, message: &Message) -> Fate {
        match self {
            Self::Lost => vec![],
            Self::Doubled => vec![(Duration::ZERO, message.clone()), (millis(3), message.clone())],
            Self::Late => vec![(millis(1_300), message.clone())],
        }
    }
}

/// Walks, with faults at messages by number; how many messages there were in each stage.
fn walk(faults: &[(usize, Fault)]) -> Vec<usize> {
    let mut scene = Scene::new(1, 2);
    let (mut number, faults_of, shown) = (0, faults.to_vec(), format!("{faults:?}"));
    scene.on_the_way(move |message, _| {
        let fault = faults_of.iter().find(|(at, _)| *at == number);
        number += 1;
        fault.map_or_else(|| passed(message), |(_, fault)| fault.fate(message))
    });
    let mut stages = Vec::new();
    for agent in 0..2 {
        scene.move_to(0, Place::Visited(agent));
        scene.pass(STAGE);
        assert_eq!(scene.agreed(0), Ok(()), "visiting {agent}: {shown}");
        assert_eq!(scene.state(0), State::Registered, "{shown}");
        let held: BTreeSet<_> = scene.held(0).iter().map(|a| a.kind).collect();
        assert_eq!(held, BTreeSet::from([AssociationKind::Key1, AssociationKind::Key3]), "{shown}");
        stages.push(scene.seen().len());
    }
    scene.deregister(0);
    scene.pass(STAGE);
    assert_ne!(scene.state(0), State::Registered, "{shown}");
    assert!(scene.binding(0).is_none() && !scene.tunnelled(0), "still bound: {shown}");
    assert!(!scene.visits(0, 1), "still visiting: {shown}");
    assert!(scene.held(0).is_empty(), "{shown}");
    assert_eq!(scene.broken(), None, "{shown}");
    stages.push(scene.seen().len());
    stages
}

/// The messages of a walk without faults, whose loss could matter: the first of each stage, advertisements and all.
fn numbers() -> Vec<usize> {
    let stages = walk(&[]);
    let starts = [0, stages[0], stages[1]];
    starts.iter().zip(&stages).flat_map(|(from, to)| *from..(*to).min(from + 14)).collect()
}

#[test]
fn each_message_of_a_walk_may_be_lost_doubled_or_late() {
    let numbers = numbers();
    assert!(numbers.len() > 20, "{} messages", numbers.len());
    for number in numbers {
        for fault in [Fault::Lost, Fault::Doubled, Fault::Late] {
            walk(&[(number, fault)]);
        }
    }
}

#[test]
fn each_two_messages_of_a_walk_may_be_lost() {
    let numbers = numbers();
    for (at, first) in numbers.iter().enumerate() {
        for second in &numbers[at + 1..] {
            walk(&[(*first, Fault::Lost), (*second, Fault::Lost)]);
        }
    }
}

/// When all answers to a deregistration are lost the binding is gone, and the mobile node cannot know: it registers anew
/// instead of believing in what is not there.
#[test]
fn a_deregistration_without_an_answer_ends_in_a_registration_that_stands() {
    let mut scene = registered(1);
    scene.on_the_way(|message, _| match message.way() {
        Some(Way::ToMobileNode) => vec![],
        _ => passed(message),
    });
    scene.deregister(0);
    scene.pass(seconds(30));
    assert!(scene.binding(0).is_none() || scene.registrations(0) == 1);
    assert_heals(&mut scene);
    assert_eq!(scene.registrations(0), 2);
}
