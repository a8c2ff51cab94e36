//! Several bindings of one mobile node at a time (RFC 5944 sections 3.6.1.2, 3.8.2.2, 4.2.3).

use super::*;

const S: u8 = Flags::SIMULTANEOUS | Flags::REVERSE_TUNNEL;

/// A wish for a binding through an agent, with S or without.
fn wish(agent: usize, seconds: u64, flags: u8) -> Vec<u8> {
    Ask { flags, care_of: FA[agent], heard: Some(FA_NAI[agent]), ..ask(seconds) }.bytes()
}

/// A wish for a binding at an address of its own, with S.
fn own(n: u8, seconds: u64) -> (SocketAddrV4, Vec<u8>) {
    let care_of = Ipv4Addr::new(10, 60, 1, n);
    let flags = S | Flags::DECAPSULATION;
    (SocketAddrV4::new(care_of, 5000), Ask { flags, care_of, udp: None, ..colocated(seconds) }.bytes())
}

fn through(care_of: Ipv4Addr) -> BoundTunnel {
    BoundTunnel { tunnel: Tunnel::IpInIp(care_of), broadcasts: false, served: true }
}

fn care_ofs(bench: &Bench) -> Vec<Ipv4Addr> {
    bench.agent.bindings().map(|b| b.care_of).collect()
}

/// Bound through both agents.
fn bound_twice() -> Bench {
    let mut bench = bench();
    assert_eq!(code(&bench.through(0, wish(0, 0, 0), 1).unwrap()), Code::ACCEPTED);
    bench.now = at(1);
    assert_eq!(code(&bench.through(1, wish(1, 1, S), 2).unwrap()), Code::ACCEPTED);
    bench
}

#[test]
fn with_s_the_binding_before_stays_and_packets_go_to_both() {
    let mut bench = bound_twice();
    assert_eq!(care_ofs(&bench), FA);
    assert_eq!(bench.tunnels, [bound_to([through(FA[0])]), bound_to([through(FA[0]), through(FA[1])])]);
    let keys = |b: &Binding| b.associations.iter().map(|a| a.key.fingerprint_hex()).collect::<Vec<_>>();
    let all: Vec<_> = bench.agent.bindings().flat_map(keys).collect();
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 4, "each has keys of its own");
    assert_eq!(bench.agent.tunnels().collect::<Vec<_>>(), [(HOME, vec![through(FA[0]), through(FA[1])])]);
    // One of them is renewed: there are still two.
    bench.now = at(2);
    assert_eq!(code(&bench.through(0, wish(0, 2, S), 3).unwrap()), Code::ACCEPTED);
    assert_eq!(care_ofs(&bench), FA);
    assert_eq!(bench.agent.lifetime_left(HOME, FA[0], at(2)), Some(300));
    assert_eq!(bench.agent.lifetime_left(HOME, FA[1], at(2)), Some(299));
}

#[test]
fn without_s_all_others_go_in_the_same_commit() {
    let mut bench = bound_twice();
    bench.now = at(2);
    bench.order.clear();
    assert_eq!(code(&bench.through(1, wish(1, 2, 0), 3).unwrap()), Code::ACCEPTED);
    assert_eq!(care_ofs(&bench), [FA[1]]);
    assert_eq!(bench.order, ["commit", "tunnel", "send"]);
    assert_eq!(bench.tunnels.last(), Some(&bound_to([through(FA[1])])));
    assert_eq!(stored(&bench.committed).bindings.len(), 1);
}

#[test]
fn more_than_it_may_have_are_denied_and_change_nothing() {
    let mut bench = bound_twice();
    bench.now = at(2);
    let (source, third) = own(1, 2);
    bench.receive(source, &third);
    assert_eq!(code(&bench.sent.pop().unwrap().1), Code::ACCEPTED);
    let (tunnels, asked) = (bench.tunnels.len(), bench.asked.len());
    bench.now = at(3);
    let (source, fourth) = own(2, 3);
    bench.receive(source, &fourth);
    assert_eq!(code(&bench.sent.pop().unwrap().1), Code::HA_TOO_MANY_BINDINGS);
    assert_eq!((bench.tunnels.len(), bench.asked.len(), care_ofs(&bench).len()), (tunnels, asked, 3));
    // One of the three may be renewed, and without S a fourth is the only one.
    bench.now = at(4);
    let (source, again) = own(1, 4);
    bench.receive(source, &again);
    assert_eq!(code(&bench.sent.pop().unwrap().1), Code::ACCEPTED);
    assert_eq!(care_ofs(&bench).len(), 3);
    bench.now = at(5);
    let alone = Ask { care_of: Ipv4Addr::new(10, 60, 1, 2), udp: None, ..colocated(5) }.bytes();
    bench.receive(source_of(2), &alone);
    assert_eq!(care_ofs(&bench), [Ipv4Addr::new(10, 60, 1, 2)]);
}

fn source_of(n: u8) -> SocketAddrV4 {
    own(n, 0).0
}

#[test]
fn where_one_is_the_most_s_is_accepted_with_code_1() {
    let state = State { subscribers: vec![subscriber()], ..State::default() };
    let mut bench = Bench::of(Config { max_simultaneous_bindings: 1, ..config() }, state, at(0));
    assert_eq!(code(&bench.through(0, wish(0, 0, S), 1).unwrap()), Code::ACCEPTED_NO_SIMULTANEOUS);
    bench.now = at(1);
    assert_eq!(code(&bench.through(1, wish(1, 1, S), 2).unwrap()), Code::ACCEPTED_NO_SIMULTANEOUS);
    assert_eq!(care_ofs(&bench), [FA[1]]);
    assert_eq!(bench.tunnels.last(), Some(&bound_to([through(FA[1])])));
}

#[test]
fn all_bindings_of_a_node_count_where_there_is_room_for_few() {
    let state = State { subscribers: vec![subscriber()], ..State::default() };
    let mut bench = Bench::of(Config { max_bindings: 1, ..config() }, state, at(0));
    bench.through(0, wish(0, 0, S), 1).unwrap();
    bench.now = at(1);
    assert_eq!(code(&bench.through(1, wish(1, 1, S), 2).unwrap()), Code::HA_RESOURCES);
    bench.now = at(2);
    assert_eq!(code(&bench.through(1, wish(1, 2, 0), 3).unwrap()), Code::ACCEPTED, "in place of the first");
}

#[test]
fn a_deregistration_takes_the_binding_that_it_names() {
    let mut bench = bound_twice();
    bench.now = at(2);
    let one = Ask { lifetime: 0, care_of: FA[0], ..ask(2) };
    bench.receive(SocketAddrV4::new(FA[0], 434), &relay(one.bytes(), 0, handle(3), false));
    assert_eq!(code(&bench.sent.pop().unwrap().1), Code::ACCEPTED);
    assert_eq!(care_ofs(&bench), [FA[1]]);
    assert_eq!(bench.tunnels.last(), Some(&bound_to([through(FA[1])])));
    assert_eq!(stored(&bench.committed).bindings.len(), 1);
}

#[test]
fn a_deregistration_of_all_takes_all() {
    let home = Ask { flags: 0, lifetime: 0, home_address: HOME, care_of: HOME, heard: None, ..ask(2) };
    let none = Ask { lifetime: 0, care_of: Ipv4Addr::UNSPECIFIED, ..ask(2) };
    for (source, message) in [
        (SocketAddrV4::new(HOME, 5000), home.bytes()),
        (SocketAddrV4::new(FA[0], 434), relay(none.bytes(), 0, handle(3), false)),
    ] {
        let mut bench = bound_twice();
        bench.now = at(2);
        bench.receive(source, &message);
        assert_eq!(code(&bench.sent.pop().unwrap().1), Code::ACCEPTED);
        assert!(care_ofs(&bench).is_empty() && stored(&bench.committed).bindings.is_empty());
        assert!(matches!(bench.tunnels.last(), Some(TunnelChange::Unbind { home_address: HOME, .. })));
    }
}

#[test]
fn each_binding_ends_by_itself() {
    let mut bench = bench();
    bench.through(0, Ask { lifetime: 20, ..ask(0) }.bytes(), 1).unwrap();
    bench.now = at(5);
    bench.through(1, wish(1, 5, S), 2).unwrap();
    bench.now = at(20);
    bench.input(Input::Tick);
    assert_eq!(care_ofs(&bench), [FA[1]]);
    assert_eq!(bench.tunnels.last(), Some(&bound_to([through(FA[1])])));
    let last = bench.committed.last();
    assert!(matches!(last, Some(Change::RemoveBinding { home_address: HOME, care_of }) if *care_of == FA[0]));
    bench.now = at(305);
    bench.input(Input::Tick);
    assert!(care_ofs(&bench).is_empty());
    assert!(matches!(bench.tunnels.last(), Some(TunnelChange::Unbind { .. })));
}

#[test]
fn revoked_keys_end_their_binding_only() {
    let mut bench = bound_twice();
    let inbound = bench.agent.bindings().next().unwrap().associations[0].inbound;
    bench.input(Input::Request(Request::AssociationsRevoked(vec![inbound])));
    assert_eq!(care_ofs(&bench), [FA[1]]);
    let revoked = Subscriber { state: SubscriberState::Revoked, ..subscriber() };
    let changed = vec![revoked];
    let gone = Request::Subscribers { changed, realm_keys: vec![], cursor: 5, complete: false };
    let mut bench = bound_twice();
    bench.input(Input::Request(gone));
    assert!(care_ofs(&bench).is_empty() && stored(&bench.committed).bindings.is_empty());
}

#[test]
fn a_restart_finds_all_of_them() {
    let bench = bound_twice();
    let mut restarted = Bench::with(stored(&bench.committed), at(10));
    assert_eq!(care_ofs(&restarted), FA);
    assert_eq!(restarted.agent.lifetime_left(HOME, FA[0], at(10)), Some(290));
    assert_eq!(restarted.agent.lifetime_left(HOME, FA[1], at(10)), Some(291));
    restarted.now = at(300);
    restarted.input(Input::Tick);
    assert_eq!(care_ofs(&restarted), [FA[1]]);
}

#[test]
fn a_store_that_refuses_leaves_what_stood() {
    let mut bench = bound_twice();
    let tunnels = bench.tunnels.len();
    bench.store = false;
    bench.now = at(2);
    let (source, third) = own(1, 2);
    let sent = bench.sent.len();
    bench.receive(source, &third);
    bench.through(0, wish(0, 3, 0), 3);
    assert_eq!((bench.sent.len(), bench.tunnels.len(), care_ofs(&bench)), (sent, tunnels, FA.to_vec()));
    bench.store = true;
    bench.now = at(4);
    assert_eq!(code(&bench.through(0, wish(0, 4, S), 4).unwrap()), Code::ACCEPTED);
    assert_eq!(care_ofs(&bench), FA);
}

#[test]
fn the_same_request_again_adds_nothing() {
    let mut bench = bound_twice();
    let (tunnels, asked) = (bench.tunnels.len(), bench.asked.len());
    assert_eq!(code(&bench.through(1, wish(1, 1, S), 2).unwrap()), Code::ACCEPTED);
    assert_eq!((bench.tunnels.len(), bench.asked.len(), care_ofs(&bench)), (tunnels, asked, FA.to_vec()));
}

/// Two requests wait for their keys at a time: what the first is granted counts for the second.
#[test]
fn requests_that_wait_together_get_no_more_than_one_by_one() {
    let state = State { subscribers: vec![subscriber()], ..State::default() };
    let config = Config { max_simultaneous_bindings: 2, ..config() };
    let mut agent = HomeAgent::new(config, [3; 32], state, at(0));
    let destination = SocketAddrV4::new(HA, 434);
    for n in 0..3 {
        let (source, payload) = own(n, n.into());
        let datagram = Datagram::Udp { source, destination, payload: &payload };
        agent.handle(Input::Datagram(datagram), at(2));
    }
    let (mut codes, mut keys, mut commits) = (Vec::new(), Vec::new(), Vec::new());
    let mut drain = |agent: &mut HomeAgent, keys: &mut Vec<Ticket>, commits: &mut Vec<Ticket>| loop {
        match agent.poll() {
            Output::Effect(Effect::AskKdc { ticket, .. }) => keys.push(ticket),
            Output::Effect(Effect::Persist { ticket, .. }) => commits.push(ticket),
            Output::Send(Transmit::Udp { payload, .. }) => codes.push(code(&payload).0),
            Output::Wait(_) => return,
            Output::Send(Transmit::Link { .. }) | Output::Effect(_) => {}
        }
    };
    drain(&mut agent, &mut keys, &mut commits);
    for (n, ticket) in (1..).zip(std::mem::take(&mut keys)) {
        let result = Ok(Keys { key1: Some(Key::new([n; 32])), ..Keys::default() });
        agent.handle(Input::Request(Request::Keys { ticket, result }), at(2));
        drain(&mut agent, &mut keys, &mut commits);
    }
    for ticket in std::mem::take(&mut commits) {
        agent.handle(Input::Request(Request::Persisted { ticket, result: Ok(()) }), at(2));
        drain(&mut agent, &mut keys, &mut commits);
    }
    assert_eq!(codes, [Code::ACCEPTED.0, Code::ACCEPTED.0, Code::HA_TOO_MANY_BINDINGS.0]);
    assert_eq!(agent.bindings().count(), 2);
}

/// One home agent at a time answers for a home address: who has not the newest binding ends its own, in the store too.
#[test]
fn of_two_home_agents_the_one_with_the_newest_binding_goes_on() {
    for newer in [true, false] {
        let mut bench = bench();
        bench.through(0, wish(0, 0, S), 1).unwrap();
        let ours = bench.agent.bindings().next().unwrap().duplicate();
        let granted = if newer { ours.granted + 1 } else { ours.granted - 1 };
        let theirs = Binding { care_of: FA[1], granted, associations: vec![], ..ours.duplicate() };
        let seen = Seen { nai: nai(), identification: ask(3).identification.0, generation: 0, index: 0 };
        bench.input(Input::Request(Request::Refreshed {
            nai: nai(),
            seen: Some(seen),
            bindings: vec![ours, theirs],
            assigned: None,
        }));
        assert_eq!(care_ofs(&bench).is_empty(), newer);
        let ended = bench.committed.iter().any(|c| matches!(c, Change::RemoveBinding { .. }));
        assert_eq!((ended, bench.tunnels.len()), (newer, if newer { 2 } else { 1 }));
    }
}
