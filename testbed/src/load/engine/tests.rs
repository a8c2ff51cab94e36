//! The schedule without sockets.

use super::*;
use crate::load::trace;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn engine(nodes: u32, agents: u16) -> Engine {
    let mut engine = Engine::new(nodes, agents, [3; 32]);
    engine.set_window(1000);
    engine
}

/// Sends all that is due; hands back the orders with the names that they were given.
fn send(engine: &mut Engine, now: Duration, names: &mut u32) -> Vec<(Order, u32)> {
    let mut sent = Vec::new();
    while let Some(order) = engine.next(now) {
        *names += 1;
        engine.sent(order.node, *names, now);
        sent.push((order, *names));
    }
    sent
}

fn accept(engine: &mut Engine, sent: &[(Order, u32)], now: Duration) {
    for (order, name) in sent {
        engine.answered(order.node, *name, Code::ACCEPTED, now);
    }
}

#[test]
fn everyone_registers_once_and_then_the_phase_is_over() {
    let (mut engine, mut names) = (engine(10, 4), 0);
    engine.begin(Source::Everyone, Pace::Answers, ms(0));
    let sent = send(&mut engine, ms(0), &mut names);
    let nodes: Vec<u32> = sent.iter().map(|(order, _)| order.node).collect();
    assert_eq!(nodes, (0..10).collect::<Vec<_>>());
    assert_eq!(sent[5].0.ask, Ask::Register(Place::Agent(1)));
    assert!(!engine.finished(ms(1)));
    accept(&mut engine, &sent, ms(7));
    assert!(engine.finished(ms(7)));
    assert_eq!((engine.tally.accepted(), engine.tally.sent), (10, 10));
    assert_eq!(engine.bound(5), Some(Place::Agent(1)));
    assert_eq!(engine.over().count(), 10);
}

#[test]
fn the_window_bounds_what_is_on_its_way() {
    let (mut engine, mut names) = (engine(10, 4), 0);
    engine.set_window(3);
    engine.begin(Source::Everyone, Pace::Answers, ms(0));
    let sent = send(&mut engine, ms(0), &mut names);
    assert_eq!(sent.len(), 3);
    accept(&mut engine, &sent[..1], ms(1));
    assert_eq!(send(&mut engine, ms(1), &mut names).len(), 1);
}

#[test]
fn with_a_rate_an_answers_time_counts_from_when_its_request_was_due() {
    let (mut engine, mut names) = (engine(100, 4), 0);
    engine.begin(Source::Everyone, Pace::Rate(100.0), ms(1000));
    assert_eq!(engine.next(ms(999)), None);
    assert_eq!(engine.deadline(), Some(ms(1000)));
    // The generator was kept from sending for 50 ms: six requests are due, and the first waits since 1,000.
    let sent = send(&mut engine, ms(1050), &mut names);
    assert_eq!(sent.len(), 6);
    accept(&mut engine, &sent[..1], ms(1050));
    assert!((engine.tally.took.quantiles().max_ms - 50.0).abs() < 1e-9);
    assert_eq!(engine.deadline(), Some(ms(1060)));
}

#[test]
fn a_lost_request_is_sent_again_and_late_answers_to_the_first_count() {
    let (mut engine, mut names) = (engine(1, 1), 0);
    engine.begin(Source::Everyone, Pace::Answers, ms(0));
    let first = send(&mut engine, ms(0), &mut names);
    assert_eq!(engine.deadline(), Some(ms(1000)));
    assert!(send(&mut engine, ms(999), &mut names).is_empty());
    let again = send(&mut engine, ms(1000), &mut names);
    assert_eq!(again.len(), 1);
    assert_eq!(engine.tally.retransmissions, 1);
    accept(&mut engine, &first, ms(1100));
    assert_eq!(engine.tally.accepted(), 1);
    assert!(engine.finished(ms(1100)));
    assert_eq!(engine.over().collect::<Vec<_>>(), [first[0].1, again[0].1]);
    accept(&mut engine, &again, ms(1200));
    assert_eq!((engine.tally.late, engine.tally.accepted()), (1, 1));
}

#[test]
fn a_request_that_nobody_answers_is_a_timeout_and_the_node_stays_where_it_was() {
    let (mut engine, mut names) = (engine(1, 2), 0);
    let events = trace::parse("x", "0 0 register 0\n1 0 move 1\n40 0 renew").unwrap();
    engine.begin(Source::Trace(events.into()), Pace::Answers, ms(0));
    let sent = send(&mut engine, ms(0), &mut names);
    accept(&mut engine, &sent, ms(5));
    let mut moved = 0;
    for now in (1000..39_000).step_by(500) {
        moved += send(&mut engine, ms(now), &mut names).len();
    }
    assert_eq!((moved, engine.tally.retransmissions, engine.tally.timeouts), (4, 3, 1));
    assert_eq!(engine.bound(0), Some(Place::Agent(0)));
    let renewed = send(&mut engine, ms(40_000), &mut names);
    assert_eq!(renewed[0].0.ask, Ask::Register(Place::Agent(0)), "where its binding is");
}

#[test]
fn a_denial_moves_nobody() {
    let (mut engine, mut names) = (engine(1, 1), 0);
    engine.begin(Source::Everyone, Pace::Answers, ms(0));
    let sent = send(&mut engine, ms(0), &mut names);
    engine.answered(0, sent[0].1, Code::HA_RESOURCES, ms(3));
    assert_eq!((engine.tally.accepted(), engine.tally.denied()), (0, 1));
    assert_eq!(engine.bound(0), None);
    assert!(engine.finished(ms(3)));
}

#[test]
fn random_moves_go_elsewhere_until_their_time_is_over() {
    let (mut engine, mut names) = (engine(20, 3), 0);
    engine.begin(Source::Everyone, Pace::Answers, ms(0));
    let sent = send(&mut engine, ms(0), &mut names);
    accept(&mut engine, &sent, ms(1));
    engine.begin(Source::Moves { until: ms(100) }, Pace::Rate(1000.0), ms(2));
    let mut seen = BTreeMap::new();
    for now in 2..200 {
        for (order, name) in send(&mut engine, ms(now), &mut names) {
            let Ask::Register(place) = order.ask else { panic!("only moves") };
            assert_ne!(engine.bound(order.node), Some(place));
            *seen.entry(place).or_insert(0) += 1;
            engine.answered(order.node, name, Code::ACCEPTED, ms(now));
            assert_eq!(engine.bound(order.node), Some(place));
        }
    }
    assert_eq!(engine.tally.accepted(), 98);
    assert!(seen.len() == 4 && seen[&Place::Own] < 30, "{seen:?}");
    assert!(engine.finished(ms(100)));
}

#[test]
fn renewals_are_in_turn_where_each_node_is_and_only_of_those_that_are_registered() {
    let (mut engine, mut names) = (engine(5, 3), 0);
    engine.begin(Source::Everyone, Pace::Answers, ms(0));
    let sent = send(&mut engine, ms(0), &mut names);
    accept(&mut engine, &sent[..3], ms(1));
    for (order, name) in &sent[3..] {
        engine.answered(order.node, *name, Code::HA_RESOURCES, ms(1));
    }
    engine.begin(Source::Renewals { until: ms(100) }, Pace::Rate(100.0), ms(2));
    let mut asked = Vec::new();
    for now in 2..110 {
        for (order, name) in send(&mut engine, ms(now), &mut names) {
            assert_eq!(order.ask, Ask::Register(Place::Agent(order.node as u16 % 3)));
            asked.push(order.node);
            engine.answered(order.node, name, Code::ACCEPTED, ms(now));
        }
    }
    assert_eq!(asked.len(), 10);
    assert!((0..3).all(|node| asked.iter().filter(|one| **one == node).count() >= 2), "{asked:?}");
    assert!(engine.finished(ms(110)) && asked.iter().all(|node| *node < 3), "{asked:?}");
}

#[test]
fn nothing_is_asked_for_while_nothing_should_be() {
    let (mut engine, mut names) = (engine(5, 3), 0);
    engine.begin(Source::Nothing { until: ms(50) }, Pace::Answers, ms(0));
    assert!(send(&mut engine, ms(10), &mut names).is_empty());
    assert_eq!(engine.deadline(), None);
    assert!(!engine.finished(ms(49)) && engine.finished(ms(50)));
}

#[test]
fn a_schedule_that_cannot_be_kept_is_caught_up_with_and_wakes_nobody_meanwhile() {
    let (mut engine, mut names) = (engine(2, 3), 0);
    engine.begin(Source::Moves { until: ms(100) }, Pace::Rate(100.0), ms(0));
    let sent = send(&mut engine, ms(50), &mut names);
    assert_eq!(sent.len(), 2, "of six that are due: both nodes are busy");
    assert_eq!(engine.deadline(), Some(ms(1050)), "nothing but a timer");
    assert!(!engine.finished(ms(200)));
    let mut asked = 2;
    for now in 200..220 {
        for (order, name) in send(&mut engine, ms(now), &mut names) {
            asked += 1;
            engine.answered(order.node, name, Code::ACCEPTED, ms(now));
        }
        if now == 201 {
            accept(&mut engine, &sent, ms(now));
        }
    }
    assert_eq!((asked, engine.tally.accepted()), (10, 10));
    assert!(engine.finished(ms(220)));
    assert!(engine.tally.took.quantiles().max_ms >= 180.0, "the second was due at 10");
}

#[test]
fn a_busy_node_does_what_the_trace_says_later_and_in_order() {
    let (mut engine, mut names) = (engine(2, 3), 0);
    let text = "0 0 register 0\n0.1 0 move 1\n0.2 0 move 2\n0.3 0 deregister\n0.3 1 home";
    engine.begin(Source::Trace(trace::parse("x", text).unwrap().into()), Pace::Answers, ms(0));
    let first = send(&mut engine, ms(0), &mut names);
    assert_eq!(engine.deadline(), Some(ms(100)));
    let others = send(&mut engine, ms(500), &mut names);
    assert_eq!(others.len(), 1, "node 0 waits for its first answer");
    assert_eq!(others[0].0, Order { node: 1, ask: Ask::Return });
    assert_eq!(engine.tally.deferred, 3);
    accept(&mut engine, &others, ms(501));
    accept(&mut engine, &first, ms(600));
    let mut asked = Vec::new();
    for now in [600, 601, 602] {
        let sent = send(&mut engine, ms(now), &mut names);
        accept(&mut engine, &sent, ms(now));
        asked.extend(sent.into_iter().map(|(order, _)| order.ask));
    }
    let expected =
        [Ask::Register(Place::Agent(1)), Ask::Register(Place::Agent(2)), Ask::Leave(Place::Agent(2))];
    assert_eq!(asked, expected);
    assert!(engine.finished(ms(602)) && engine.bound(0).is_none());
    // The first move was due at 100 ms.
    assert!(engine.tally.took.quantiles().max_ms >= 600.0);
}

#[test]
fn an_old_timer_does_not_repeat_a_new_request() {
    let (mut engine, mut names) = (engine(1, 2), 0);
    let text = "0 0 register 0\n0.5 0 move 1";
    engine.begin(Source::Trace(trace::parse("x", text).unwrap().into()), Pace::Answers, ms(0));
    let sent = send(&mut engine, ms(0), &mut names);
    accept(&mut engine, &sent, ms(10));
    assert_eq!(send(&mut engine, ms(500), &mut names).len(), 1);
    assert!(send(&mut engine, ms(1000), &mut names).is_empty(), "that was the timer of the first");
    assert_eq!(send(&mut engine, ms(1500), &mut names).len(), 1);
}
