//! Revocations in both directions, as foreign agents and co-located mobile nodes see them.

use sa::End;
use wire::mip::revocation::{Acknowledgement, Message, Revocation, Support};

use super::*;
use crate::revocation::Revoker;

/// The agents' clock at some second.
fn clock(seconds: u64) -> u32 {
    ntp_seconds(NOW + seconds)
}

/// What a foreign agent that takes part makes of a mobile node's part.
fn relay_supporting(mobile: Vec<u8>, agent: usize, n: u32, support: Support) -> Vec<u8> {
    let unsigned = relay(mobile, agent, handle(n), false);
    let mut w = Writer::after(unsigned);
    support.emit(&mut w);
    extension::open_authentication(&mut w, extension::FA_HA_AUTHENTICATION, path(agent).spi(), 32);
    let authenticator = path(agent).authenticate(Direction::ToHome, w.bytes());
    w.put(&authenticator);
    w.into_bytes()
}

fn source(agent: usize) -> SocketAddrV4 {
    SocketAddrV4::new(FA[agent], 434)
}

fn ask_through(agent: usize, seconds: u64) -> Ask {
    Ask { care_of: FA[agent], heard: Some(FA_NAI[agent]), ..ask(seconds) }
}

/// A registration through a foreign agent at some second; KEY 2 as that agent has it.
fn register(bench: &mut Bench, agent: usize, seconds: u64) -> Association {
    register_with(bench, agent, seconds, false)
}

fn register_with(bench: &mut Bench, agent: usize, seconds: u64, inform: bool) -> Association {
    bench.now = at(seconds);
    let support = Support { inform, timestamp: clock(seconds) };
    let mobile = ask_through(agent, seconds).bytes();
    bench.receive(source(agent), &relay_supporting(mobile, agent, seconds as u32 + 1, support));
    let reply = bench.sent.iter().rposition(|(_, bytes)| bytes[0] == registration::REPLY).unwrap();
    assert_eq!(code(&bench.sent.remove(reply).1), Code::ACCEPTED);
    other_end(newest(bench, AssociationKind::Key2))
}

fn newest(bench: &Bench, kind: AssociationKind) -> &Association {
    let binding = bench.agent.bindings().next().unwrap();
    binding.associations.iter().rev().find(|a| a.kind == kind).unwrap()
}

fn other_end(association: &Association) -> Association {
    let mut other = association.duplicate();
    std::mem::swap(&mut other.own, &mut other.peer);
    std::mem::swap(&mut other.inbound, &mut other.outbound);
    other
}

fn fixed(agent: usize, identifier: u32) -> Revocation {
    Revocation {
        from_home: false,
        inform: false,
        home_address: Ipv4Addr::UNSPECIFIED,
        home_agent: HA,
        care_of: FA[agent],
        identifier,
    }
}

fn revocation(key: &Association, fixed: &Revocation, home_address: Ipv4Addr) -> Vec<u8> {
    let revoker = Revoker::new(key, End::First).unwrap();
    revoker.revoke(fixed, home_address, NUMBERS, &mut Rng::from_seed([3; 32])).unwrap()
}

/// The revocations that left since the last look, opened by whoever holds this key.
fn told(bench: &mut Bench, key: &Association) -> Vec<(SocketAddrV4, Revocation)> {
    let other = Revoker::new(key, End::First).unwrap();
    let open = |(to, bytes): (SocketAddrV4, Vec<u8>)| {
        let message = Message::parse(&bytes, Revocation::LEN, DOCUMENTATION_VENDOR).ok()?;
        if !other.verifies(&message) {
            return None;
        }
        assert_eq!(other.home_address(&message), Some(HOME));
        Some((to, Revocation::parse(&bytes).unwrap()))
    };
    std::mem::take(&mut bench.sent).into_iter().filter_map(open).collect()
}

fn acknowledge(bench: &mut Bench, key: &Association, from: SocketAddrV4, identifier: u32) {
    let fixed = Acknowledgement { inform: true, home_address: Ipv4Addr::UNSPECIFIED, identifier };
    let bytes = Revoker::new(key, End::First).unwrap().acknowledge(&fixed);
    bench.receive(from, &bytes);
}

/// The acknowledgements that left since the last look.
fn acknowledged(bench: &mut Bench, key: &Association) -> Vec<Acknowledgement> {
    let other = Revoker::new(key, End::First).unwrap();
    let open = |(to, bytes): (SocketAddrV4, Vec<u8>)| {
        let message = Message::parse(&bytes, Acknowledgement::LEN, DOCUMENTATION_VENDOR).unwrap();
        assert!(other.verifies(&message) && *to.ip() == FA[0] && to.port() == 434);
        Acknowledgement::parse(&bytes).unwrap()
    };
    std::mem::take(&mut bench.sent).into_iter().map(open).collect()
}

fn bound(bench: &Bench) -> bool {
    bench.agent.bindings().count() == 1
}

fn counter(bench: &Bench, name: &str) -> u64 {
    bench.agent.counters().get(name).copied().unwrap_or_default()
}

fn tick(bench: &mut Bench, seconds: u64) {
    bench.now = at(seconds);
    bench.input(Input::Tick);
}

fn put(changes: &[Change]) -> usize {
    changes.iter().filter(|c| matches!(c, Change::PutRevocation(_))).count()
}

fn removed(changes: &[Change]) -> usize {
    changes.iter().filter(|c| matches!(c, Change::RemoveRevocation { .. })).count()
}

#[test]
fn support_is_answered_where_it_was_asked_and_in_the_same_part() {
    let reply = |mobile: Vec<u8>, support: Option<Support>, config: Config| {
        let state = State { subscribers: vec![subscriber()], ..State::default() };
        let mut bench = Bench::of(config, state, at(0));
        let relayed = match support {
            Some(support) => relay_supporting(mobile, 0, 1, support),
            None => relay(mobile, 0, handle(1), true),
        };
        bench.receive(source(0), &relayed);
        let (_, bytes) = bench.sent.pop().unwrap();
        let parts = Parts::parse(&bytes, 20, DOCUMENTATION_VENDOR).unwrap();
        (parts.mobile.revocation, parts.foreign.revocation, bench)
    };
    for inform in [false, true] {
        let offered = Support { inform, timestamp: 77 };
        let (mobile, foreign, bench) = reply(ask(0).bytes(), Some(offered), config());
        assert_eq!((mobile, foreign), (None, Some(Support { inform, timestamp: clock(0) })));
        let agreed = bench.agent.bindings().next().unwrap().revocation;
        assert_eq!(agreed, Some(record::RevocationSupport { timestamp: 77, inform }));
    }
    let offered = Some(Support { inform: false, timestamp: 77 });
    let (mobile, foreign, bench) = reply(ask(0).bytes(), None, config());
    assert_eq!((mobile, foreign), (None, None), "not asked");
    assert!(bench.agent.bindings().next().unwrap().revocation.is_none());
    let (mobile, foreign, _) = reply(ask(0).bytes(), offered, Config { revocation: false, ..config() });
    assert_eq!((mobile, foreign), (None, None), "not wanted");
    let (mobile, foreign, _) = reply(Ask { lifetime: 0, ..ask(0) }.bytes(), offered, config());
    assert_eq!((mobile, foreign), (None, None), "nothing is granted");
}

/// A co-located node's part with 137.
fn colocated_supporting(seconds: u64) -> Vec<u8> {
    let without = colocated(seconds).bytes();
    let parts = Parts::parse(&without, 24, DOCUMENTATION_VENDOR).unwrap();
    // 32 is 38 bytes long with its header.
    let mut w = Writer::after(without[..parts.mobile_end - 38].to_vec());
    Support { inform: false, timestamp: clock(seconds) }.emit(&mut w);
    extension::open_authentication(&mut w, extension::MN_HA_AUTHENTICATION, SPI, 32);
    let authenticator = keys().authenticate(Direction::ToHome, w.bytes());
    w.put(&authenticator);
    w.into_bytes()
}

const NODE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 99, 1, 2), 20_000);

#[test]
fn a_co_located_node_is_answered_and_told_under_key_1() {
    let mut bench = bench();
    bench.receive(NODE, &colocated_supporting(0));
    let (_, bytes) = bench.sent.pop().unwrap();
    let support = Parts::parse(&bytes, 20, DOCUMENTATION_VENDOR).unwrap().mobile.revocation;
    assert_eq!(support, Some(Support { inform: false, timestamp: clock(0) }));
    let key1 = other_end(newest(&bench, AssociationKind::Key1));
    bench.now = at(5);
    bench.input(Input::Request(Request::RevokeBinding { home_address: HOME, ticket: Ticket(1) }));
    assert_eq!(bench.revoked, [Ok(())]);
    let expected = Revocation {
        from_home: true,
        inform: true,
        care_of: Ipv4Addr::new(192, 168, 77, 10),
        ..fixed(0, clock(5))
    };
    assert_eq!(told(&mut bench, &key1), [(NODE, expected)], "where its request came from, through the NAT");
    acknowledge(&mut bench, &key1, NODE, clock(5));
    tick(&mut bench, 100);
    assert_eq!(told(&mut bench, &key1), []);
    // It revokes nothing itself: under KEY 1 nothing is taken.
    bench.receive(NODE, &revocation(&key1, &fixed(0, clock(50)), HOME));
    assert_eq!(counter(&bench, "revocation: of no registration that we know"), 1);
}

#[test]
fn support_that_nothing_protects_is_denied() {
    let mut bench = bench();
    let mut w =
        Writer::after(relay(Ask { flags: Flags::DECAPSULATION, ..ask(0) }.bytes(), 0, handle(1), false));
    Support { inform: false, timestamp: 1 }.emit(&mut w);
    bench.receive(source(0), w.bytes());
    assert_eq!(code(&bench.sent[0].1), Code::HA_FA_AUTHENTICATION);
}

#[test]
fn the_agent_that_a_node_left_is_told_after_the_reply_until_it_acknowledges() {
    let mut bench = bench();
    let key2 = register(&mut bench, 0, 0);
    bench.committed.clear();
    bench.order.clear();
    let new = {
        bench.now = at(5);
        let support = Support { inform: true, timestamp: clock(5) };
        let mobile = ask_through(1, 5).bytes();
        bench.receive(source(1), &relay_supporting(mobile, 1, 6, support));
        assert_eq!(bench.order, ["commit", "tunnel", "send", "send"]);
        assert_eq!(put(&bench.committed), 1, "one commit with the binding");
        assert_eq!(code(&bench.sent.remove(0).1), Code::ACCEPTED);
        other_end(newest(&bench, AssociationKind::Key2))
    };
    let expected = Revocation { from_home: true, ..fixed(0, clock(5)) };
    assert_eq!(told(&mut bench, &key2), [(source(0), expected)], "nobody there is to be informed");
    // Again, slower each time, with the time of each.
    let mut times = Vec::new();
    for seconds in 6..140 {
        tick(&mut bench, seconds);
        for (_, sent) in told(&mut bench, &key2) {
            assert_eq!(sent.identifier, clock(seconds));
            times.push(seconds - 5);
        }
    }
    assert_eq!(times, [1, 3, 7, 15, 31, 63, 127]);
    // What answers something else, comes from elsewhere or is forged, stops nothing.
    acknowledge(&mut bench, &key2, source(0), clock(7));
    acknowledge(&mut bench, &key2, source(1), clock(6));
    acknowledge(&mut bench, &new, source(0), clock(6));
    let mut forged = key2.duplicate();
    forged.key = Key::new([1; 32]);
    acknowledge(&mut bench, &forged, source(0), clock(6));
    assert_eq!(removed(&bench.committed), 0);
    acknowledge(&mut bench, &key2, source(0), clock(6));
    assert_eq!(removed(&bench.committed), 1);
    for seconds in 140..300 {
        tick(&mut bench, seconds);
    }
    assert_eq!(told(&mut bench, &key2), []);
}

#[test]
fn nobody_is_told_longer_than_the_registration_would_have_lasted() {
    let mut bench = bench();
    let key2 = register(&mut bench, 0, 0);
    bench.committed.clear();
    bench.now = at(250);
    bench.receive(source(1), &relay(ask_through(1, 250).bytes(), 1, handle(9), true));
    for seconds in 251..600 {
        tick(&mut bench, seconds);
    }
    // The binding through the other agent ended too; its agent took no part.
    let sent: Vec<_> = told(&mut bench, &key2).iter().map(|(_, sent)| sent.identifier - clock(250)).collect();
    assert_eq!(sent, [0, 1, 3, 7, 15, 31]);
    assert_eq!((removed(&bench.committed), counter(&bench, "revocations not acknowledged")), (1, 1));
}

#[test]
fn a_revocation_waits_for_the_second_after_the_registration() {
    let mut bench = bench();
    let key2 = register(&mut bench, 0, 0);
    bench.input(Input::Request(Request::RevokeBinding { home_address: HOME, ticket: Ticket(1) }));
    assert_eq!(told(&mut bench, &key2), [], "the agent would take it for one from before");
    tick(&mut bench, 1);
    assert_eq!(told(&mut bench, &key2).len(), 1);
}

#[test]
fn a_restart_goes_on_telling() {
    let mut first = bench();
    let key2 = register(&mut first, 0, 0);
    first.now = at(5);
    first.committed.clear();
    first.receive(source(1), &relay(ask_through(1, 5).bytes(), 1, handle(9), true));
    let is_record = |change: Change| match change {
        Change::PutRevocation(record) => Some(record),
        _ => None,
    };
    let revocations: Vec<_> = first.committed.into_iter().filter_map(is_record).collect();
    let state = State { subscribers: vec![subscriber()], revocations, ..State::default() };
    let mut second = Bench::with(state, at(60));
    second.input(Input::Tick);
    let sent = told(&mut second, &key2);
    assert_eq!(
        sent.iter().map(|(to, sent)| (*to, sent.identifier)).collect::<Vec<_>>(),
        [(source(0), clock(60))]
    );
}

#[test]
fn a_node_that_comes_back_is_not_revoked_there() {
    let mut bench = bench();
    register(&mut bench, 0, 0);
    let at_b = register(&mut bench, 1, 5);
    bench.sent.clear();
    bench.committed.clear();
    let back = register(&mut bench, 0, 6);
    assert_eq!((put(&bench.committed), removed(&bench.committed)), (1, 1));
    let kinds = bench.agent.bindings().next().unwrap();
    let held = kinds.associations.iter().filter(|a| a.kind == AssociationKind::Key2).count();
    assert_eq!(held, 2, "the agent may hold either");
    bench.sent.clear();
    for seconds in 7..200 {
        tick(&mut bench, seconds);
    }
    let sent = std::mem::take(&mut bench.sent);
    assert!(sent.iter().all(|(to, _)| *to == source(1)) && sent.len() > 3);
    bench.sent = sent;
    assert!(!told(&mut bench, &at_b).is_empty() && told(&mut bench, &back).is_empty());
}

#[test]
fn keys_take_turns_while_it_is_not_known_which_arrived() {
    let mut bench = bench();
    let first = register(&mut bench, 0, 0);
    let second = register(&mut bench, 0, 1);
    bench.now = at(5);
    bench.receive(source(1), &relay(ask_through(1, 5).bytes(), 1, handle(9), true));
    for seconds in 6..9 {
        tick(&mut bench, seconds);
    }
    let sent = bench.sent.clone();
    assert_eq!(told(&mut bench, &second).len(), 2, "after 0 and 3 seconds");
    bench.sent = sent;
    assert_eq!(told(&mut bench, &first).len(), 1, "after 1 second");
    acknowledge(&mut bench, &first, source(0), clock(6));
    assert_eq!(counter(&bench, "revocations acknowledged by the other end"), 1);
}

#[test]
fn who_deregistered_through_its_agent_need_not_be_told_of() {
    let mut bench = bench();
    register(&mut bench, 0, 0);
    bench.committed.clear();
    let leave = Ask { lifetime: 0, ..ask(5) };
    bench.now = at(5);
    bench.receive(source(0), &relay(leave.bytes(), 0, handle(9), false));
    assert!(!bound(&bench) && put(&bench.committed) == 0);
    // From home, the agent does not know.
    let key2 = register(&mut bench, 0, 6);
    bench.sent.clear();
    bench.now = at(10);
    let home = Ask { lifetime: 0, flags: 0, home_address: HOME, care_of: HOME, heard: None, ..ask(10) };
    bench.receive(SocketAddrV4::new(HOME, 50_000), &home.bytes());
    assert!(!bound(&bench) && put(&bench.committed) == 1);
    assert_eq!(told(&mut bench, &key2).len(), 1);
}

#[test]
fn revoked_subscribers_and_keys_end_bindings_and_agents_are_told() {
    for by_key in [false, true] {
        let mut bench = bench();
        let key2 = register_with(&mut bench, 0, 0, true);
        bench.now = at(5);
        let request = if by_key {
            Request::AssociationsRevoked(vec![newest(&bench, AssociationKind::Key1).inbound])
        } else {
            let changed = vec![Subscriber { state: SubscriberState::Revoked, change: 2, ..subscriber() }];
            Request::Subscribers { changed, realm_keys: vec![], cursor: 2, complete: false }
        };
        bench.input(Input::Request(request));
        assert!(!bound(&bench));
        let expected = Revocation { from_home: true, inform: true, ..fixed(0, clock(5)) };
        assert_eq!(told(&mut bench, &key2), [(source(0), expected)], "by key: {by_key}");
    }
}

#[test]
fn keys_of_which_none_ends_here_are_revoked_where_their_owner_is() {
    let mut bench = bench();
    let key2 = register_with(&mut bench, 0, 0, true);
    bench.now = at(5);
    let visit = |care_of| Request::VisitRevoked { nai: subscriber().nai, care_of };
    bench.input(Input::Request(visit(Ipv4Addr::new(10, 99, 1, 2))));
    assert!(bound(&bench), "he is not there any more");
    bench.input(Input::Request(visit(*source(0).ip())));
    assert!(!bound(&bench));
    assert_eq!(told(&mut bench, &key2).len(), 1);
}

#[test]
fn what_has_carried_all_that_it_may_ends_and_who_serves_it_is_told() {
    let mut bench = bench();
    let key2 = register_with(&mut bench, 0, 0, true);
    bench.now = at(5);
    let request = |served| Input::Request(Request::Served { home_address: HOME, served });
    bench.input(request(Served::Enough));
    assert!(bound(&bench));
    assert_eq!(bench.agent.counters().get("renewals asked for"), Some(&1));
    bench.sent.clear();
    bench.input(request(Served::All));
    assert!(!bound(&bench));
    assert_eq!(told(&mut bench, &key2).len(), 1);
    // A packet that was counted late changes nothing.
    bench.input(request(Served::All));
    bench.input(request(Served::Enough));
    assert!(!bound(&bench));
}

#[test]
fn an_operator_is_answered_when_it_is_durable_or_told_why_not() {
    let mut bench = bench();
    let revoke = || Input::Request(Request::RevokeBinding { home_address: HOME, ticket: Ticket(1) });
    bench.input(revoke());
    assert_eq!(bench.revoked.pop(), Some(Err(format!("{HOME} has no binding"))));
    let key2 = register(&mut bench, 0, 0);
    bench.now = at(5);
    bench.store = false;
    bench.input(revoke());
    assert!(bench.revoked.pop().unwrap().unwrap_err().starts_with("the binding stands: "));
    bench.store = true;
    for seconds in 6..20 {
        tick(&mut bench, seconds);
    }
    assert!(bound(&bench) && told(&mut bench, &key2).is_empty(), "nothing is done later behind his back");
    bench.input(revoke());
    assert_eq!((bench.revoked.pop(), bound(&bench)), (Some(Ok(())), false));
    assert_eq!(told(&mut bench, &key2).len(), 1);
}

#[test]
fn keys_that_were_revoked_end_the_binding_once_the_store_works() {
    let mut bench = bench();
    register(&mut bench, 0, 0);
    bench.now = at(5);
    bench.store = false;
    let spis = vec![newest(&bench, AssociationKind::Key2).inbound];
    bench.input(Input::Request(Request::AssociationsRevoked(spis)));
    assert!(bound(&bench));
    bench.store = true;
    tick(&mut bench, 6);
    assert!(!bound(&bench) && put(&bench.committed) == 1);
}

#[test]
fn what_was_granted_before_is_not_granted_again_after_a_revocation() {
    let mut bench = bench();
    let mobile = ask(0).bytes();
    let relayed = relay_supporting(mobile, 0, 1, Support { inform: false, timestamp: clock(0) });
    bench.receive(source(0), &relayed);
    bench.now = at(2);
    bench.input(Input::Request(Request::RevokeBinding { home_address: HOME, ticket: Ticket(1) }));
    bench.sent.clear();
    bench.receive(source(0), &relayed);
    assert_eq!(code(&bench.sent[0].1), Code::HA_IDENTIFICATION);
    assert!(!bound(&bench));
}

#[test]
fn a_foreign_agents_revocation_ends_the_binding_durably_and_then_is_acknowledged() {
    let mut bench = bench();
    let key2 = register(&mut bench, 0, 0);
    bench.now = at(5);
    let good = revocation(&key2, &fixed(0, clock(5)), HOME);
    bench.store = false;
    bench.receive(source(0), &good);
    assert!(bound(&bench) && acknowledged(&mut bench, &key2).is_empty());
    bench.store = true;
    tick(&mut bench, 6);
    assert!(bound(&bench), "the agent asks again");
    bench.order.clear();
    bench.receive(source(0), &good);
    assert_eq!(bench.order, ["commit", "tunnel", "send"]);
    let answer = |seconds| Acknowledgement {
        inform: false,
        home_address: Ipv4Addr::UNSPECIFIED,
        identifier: clock(seconds),
    };
    assert_eq!(acknowledged(&mut bench, &key2), [answer(5)]);
    assert!(!bound(&bench));
    // The acknowledgement was lost: again with a new time, and never to a replay.
    for seconds in [5, 7, 7, 6] {
        bench.receive(source(0), &revocation(&key2, &fixed(0, clock(seconds)), HOME));
    }
    assert_eq!(acknowledged(&mut bench, &key2), [answer(7)]);
    assert_eq!(counter(&bench, "revocation: repeated"), 3);
    tick(&mut bench, 70);
    bench.sent.clear();
    bench.receive(source(0), &revocation(&key2, &fixed(0, clock(70)), HOME));
    assert_eq!(acknowledged(&mut bench, &key2), [], "forgotten after a minute");
}

#[test]
fn a_forged_one_changes_nothing() {
    let mut bench = bench();
    let key2 = register(&mut bench, 0, 0);
    bench.now = at(5);
    let good = revocation(&key2, &fixed(0, clock(5)), HOME);
    let unharmed = |bench: &Bench| bound(bench) && bench.sent.is_empty();
    for i in 0..good.len() {
        for bit in [0x01, 0x80] {
            let mut changed = good.clone();
            changed[i] ^= bit;
            bench.receive(source(0), &changed);
            assert!(unharmed(&bench), "byte {i}");
        }
        bench.receive(source(0), &good[..i]);
        assert!(unharmed(&bench), "cut at {i}");
    }
    bench.receive(source(0), &[&good[..], &[0]].concat());
    bench.receive(source(1), &good);
    bench.receive(SocketAddrV4::new(Ipv4Addr::new(10, 51, 1, 3), 434), &good);
    // One of our own, reflected.
    let ours = newest(&bench, AssociationKind::Key2).duplicate();
    let ours = Revoker::new(&ours, End::Second).unwrap();
    let own = Revocation { from_home: true, ..fixed(0, clock(5)) };
    bench.receive(source(0), &ours.revoke(&own, HOME, NUMBERS, &mut Rng::from_seed([4; 32])).unwrap());
    assert!(unharmed(&bench));
    let right = fixed(0, clock(5));
    for wrong in [
        Revocation { from_home: true, ..right },
        Revocation { home_address: HOME, ..right },
        Revocation { home_agent: FA[0], ..right },
        Revocation { care_of: FA[1], ..right },
        Revocation { identifier: clock(0), ..right },
        Revocation { identifier: clock(0) - 1, ..right },
    ] {
        bench.receive(source(0), &revocation(&key2, &wrong, HOME));
        assert!(unharmed(&bench), "{wrong:?}");
    }
    bench.receive(source(0), &revocation(&key2, &right, FA[0]));
    assert!(unharmed(&bench), "another home address");
    bench.receive(source(0), &good);
    assert!(!bound(&bench));
}

#[test]
fn one_that_is_late_spares_a_binding_made_anew() {
    let mut bench = bench();
    let old = register(&mut bench, 0, 0);
    register(&mut bench, 0, 6);
    bench.receive(source(0), &revocation(&old, &fixed(0, clock(5)), HOME));
    bench.receive(source(0), &revocation(&old, &fixed(0, clock(6)), HOME));
    assert!(bound(&bench) && bench.sent.is_empty());
    assert_eq!(counter(&bench, "revocation: not later than the registration"), 2);
    // It verified, so that agent has this key: it is the one to send under from now on.
    let binding = bench.agent.bindings().next().unwrap();
    let confirmed = crate::changeover::confirmed(&binding.associations, AssociationKind::Key2);
    assert_eq!(confirmed.map(|a| a.inbound), Some(old.outbound));
    // Elsewhere it is nobody's business any more.
    let elsewhere = register(&mut bench, 1, 10);
    bench.sent.clear();
    bench.receive(source(0), &revocation(&old, &fixed(0, clock(20)), HOME));
    assert!(bound(&bench), "the node is with the other agent");
    bench.receive(source(1), &revocation(&elsewhere, &fixed(1, clock(20)), HOME));
    assert!(!bound(&bench));
}

#[test]
fn both_ends_at_once_need_no_more_telling() {
    let mut bench = bench();
    let key2 = register(&mut bench, 0, 0);
    bench.now = at(5);
    bench.input(Input::Request(Request::RevokeBinding { home_address: HOME, ticket: Ticket(1) }));
    bench.sent.clear();
    bench.committed.clear();
    bench.receive(source(0), &revocation(&key2, &fixed(0, clock(5)), HOME));
    assert_eq!((acknowledged(&mut bench, &key2).len(), removed(&bench.committed)), (1, 1));
    for seconds in 6..100 {
        tick(&mut bench, seconds);
    }
    assert_eq!(told(&mut bench, &key2), []);
}

#[test]
fn whether_the_node_is_told_is_as_configured_where_that_was_agreed_on() {
    for (wanted, agreed, asked, answered) in [
        (true, true, true, true),
        (false, true, true, false),
        (true, true, false, false),
        (true, false, true, false),
    ] {
        let state = State { subscribers: vec![subscriber()], ..State::default() };
        let mut bench = Bench::of(Config { inform: wanted, ..config() }, state, at(0));
        let key2 = register_with(&mut bench, 0, 0, agreed);
        bench.now = at(5);
        let message = Revocation { inform: asked, ..fixed(0, clock(5)) };
        bench.receive(source(0), &revocation(&key2, &message, HOME));
        assert_eq!(acknowledged(&mut bench, &key2)[0].inform, answered, "{wanted} {agreed} {asked}");
        // And in what the home agent itself says.
        let key2 = register_with(&mut bench, 0, 10, agreed);
        bench.now = at(15);
        bench.input(Input::Request(Request::RevokeBinding { home_address: HOME, ticket: Ticket(1) }));
        assert_eq!(told(&mut bench, &key2)[0].1.inform, wanted && agreed, "{wanted} {agreed}");
    }
}

#[test]
fn equal_times_of_different_agents_do_not_disturb_each_other() {
    let mut bench = bench();
    let at_a = register(&mut bench, 0, 0);
    let at_b = register(&mut bench, 1, 5);
    bench.sent.clear();
    bench.now = at(6);
    bench.receive(SocketAddrV4::new(HOME, 50_000), &{
        Ask { lifetime: 0, flags: 0, home_address: HOME, care_of: HOME, heard: None, ..ask(6) }.bytes()
    });
    tick(&mut bench, 8);
    let sent = std::mem::take(&mut bench.sent);
    for (key2, agent) in [(&at_a, 0), (&at_b, 1)] {
        bench.sent = sent.clone();
        let times: Vec<_> = told(&mut bench, key2).iter().map(|(_, sent)| sent.identifier).collect();
        assert!(!times.is_empty(), "both are told");
        acknowledge(&mut bench, key2, source(agent), *times.last().unwrap());
    }
    assert_eq!(counter(&bench, "revocations acknowledged by the other end"), 2);
}

#[test]
fn one_registration_of_many_seconds_keeps_what_an_agent_may_hold() {
    let mut bench = bench();
    let first = register(&mut bench, 0, 0);
    for seconds in 1..8 {
        register(&mut bench, 0, seconds);
    }
    let of = |kind| {
        let binding = bench.agent.bindings().next().unwrap();
        binding.associations.iter().filter(|a| a.kind == kind).count()
    };
    assert_eq!((of(AssociationKind::Key1), of(AssociationKind::Key2)), (2, 8));
    bench.now = at(20);
    bench.receive(source(0), &revocation(&first, &fixed(0, clock(20)), HOME));
    assert!(!bound(&bench), "its agent saw no reply but the first");
}
