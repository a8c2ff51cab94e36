//! Requests that come again, and clocks that are wrong.

use super::*;

#[test]
fn replays_inside_at_the_edge_of_and_beyond_the_window_never_move_a_binding() {
    let mut bench = bench();
    let first = ask(0).bytes();
    assert_eq!(code(&bench.through(0, first.clone(), 1).unwrap()), Code::ACCEPTED);
    bench.now = at(1);
    let second = Ask { care_of: FA[1], heard: Some(FA_NAI[1]), ..ask(1) }.bytes();
    assert_eq!(code(&bench.through(1, second, 2).unwrap()), Code::ACCEPTED);
    let (tunnels, commits) = (bench.tunnels.len(), bench.committed.len());
    for (n, later) in [2, 7, 8, 100].into_iter().enumerate() {
        bench.now = at(later);
        let reply = bench.through(0, first.clone(), 10 + n as u32);
        assert!(reply.is_none_or(|r| code(&r) == Code::HA_IDENTIFICATION), "{later} s later");
    }
    assert_eq!((bench.tunnels.len(), bench.committed.len()), (tunnels, commits));
    assert_eq!(bench.agent.bindings().next().unwrap().care_of, FA[1]);
}

#[test]
fn a_replay_after_a_restart_is_refused() {
    let mut bench = bench();
    let first = ask(0).bytes();
    bench.through(0, first.clone(), 1).unwrap();
    let mut restarted = Bench::with(stored(&bench.committed), at(2));
    assert_eq!(restarted.agent.bindings().count(), 1);
    let reply = restarted.through(0, first, 9).unwrap();
    assert_eq!(code(&reply), Code::HA_IDENTIFICATION);
    assert!(restarted.committed.is_empty() && restarted.tunnels.is_empty());
}

#[test]
fn a_wrong_clock_is_told_the_time_once() {
    let mut bench = bench();
    let early = Ask { identification: Identification::new(ntp_seconds(NOW - 86_400), 5), ..ask(0) }.bytes();
    let reply = bench.through(0, early.clone(), 1).unwrap();
    let fixed = registration::Reply::parse(&reply).unwrap();
    assert_eq!(fixed.code, Code::HA_IDENTIFICATION);
    assert_eq!(fixed.identification, Identification::new(ntp_seconds(NOW), 5));
    assert!(bench.committed.is_empty());
    assert!(bench.through(0, early, 2).is_none(), "the same request is answered once");
}

#[test]
fn a_quicker_home_agent_on_the_same_store_is_believed() {
    let mut bench = bench();
    bench.through(0, ask(0).bytes(), 1).unwrap();
    let (sent, tunnels) = (bench.sent.len(), bench.tunnels.len());
    bench.quicker = true;
    bench.now = at(5);
    assert!(bench.through(1, Ask { heard: Some(FA_NAI[1]), care_of: FA[1], ..ask(5) }.bytes(), 2).is_none());
    assert_eq!(
        (bench.sent.len(), bench.tunnels.len()),
        (sent, tunnels),
        "nothing is answered, nothing changes"
    );
    assert_eq!(bench.refreshes, [nai()]);

    // The other one bound the node through its agent at second 6.
    bench.quicker = false;
    let stored = Seen { nai: nai(), identification: ask(6).identification.0, generation: 0, index: 0 };
    let mut theirs = bench.agent.bindings().next().unwrap().duplicate();
    theirs.care_of = FA[1];
    let refreshed =
        Request::Refreshed { nai: nai(), seen: Some(stored), bindings: vec![theirs], assigned: None };
    bench.input(Input::Request(refreshed));
    assert_eq!(bench.agent.bindings().count(), 0, "one home agent serves a node at a time");
    let unbound = TunnelChange::Unbind { home_address: HOME, returned: None };
    assert_eq!(bench.tunnels.last(), Some(&unbound));

    // What the other one has seen is replay here, and the next request stands on it.
    let replay = Ask { heard: Some(FA_NAI[1]), care_of: FA[1], ..ask(6) }.bytes();
    assert_eq!(code(&bench.through(1, replay, 3).unwrap()), Code::HA_IDENTIFICATION);
    bench.now = at(7);
    assert_eq!(code(&bench.through(0, ask(7).bytes(), 4).unwrap()), Code::ACCEPTED);
    let previous = bench.committed.iter().rev().find_map(|c| match c {
        Change::Identification { previous, .. } => *previous,
        _ => None,
    });
    assert_eq!(previous, Some(ask(6).identification.0));
}

#[test]
fn a_quicker_home_agent_that_changed_no_binding_leaves_ours() {
    let mut bench = bench();
    bench.through(0, ask(0).bytes(), 1).unwrap();
    let ours = bench.agent.bindings().next().unwrap().duplicate();
    let seen = Seen { nai: nai(), identification: ask(3).identification.0, generation: 0, index: 0 };
    bench.input(Input::Request(Request::Refreshed {
        nai: nai(),
        seen: Some(seen),
        bindings: vec![ours],
        assigned: None,
    }));
    assert_eq!(bench.agent.bindings().count(), 1);
}
