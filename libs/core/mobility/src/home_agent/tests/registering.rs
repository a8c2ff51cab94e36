//! Requests that are accepted, in the order commit, tunnel, reply.

use super::*;

#[test]
fn accepted_in_the_order_commit_tunnel_send_with_all_keys() {
    let mut bench = bench();
    let request = relay(ask(0).bytes(), 0, handle(1), true);
    bench.receive(SocketAddrV4::new(FA[0], 434), &request);
    assert_eq!(bench.order, ["commit", "tunnel", "send"]);
    let (to, reply) = &bench.sent[0];
    assert_eq!(*to, SocketAddrV4::new(FA[0], 434));
    let fixed = registration::Reply::parse(reply).unwrap();
    assert_eq!((fixed.code, fixed.lifetime), (Code::ACCEPTED, 300));
    assert_eq!(fixed.home_address, Ipv4Addr::UNSPECIFIED);
    assert_eq!(fixed.identification, ask(0).identification);

    let asked = Parts::parse(&request, 24, DOCUMENTATION_VENDOR).unwrap();
    let parts = Parts::parse(reply, 20, DOCUMENTATION_VENDOR).unwrap();
    let unverified = Unverified::new(parts.clone());
    assert!(keys().verify(Direction::FromHome, SPI, &unverified).is_some());
    assert!(keys().verify(Direction::ToHome, SPI, &unverified).is_none(), "a reply cannot be reflected");
    assert!(path(0).verify(Direction::FromHome, &unverified).is_some());
    let (mobile, foreign) = (
        keys().reply_key(&Transcript::of_mobile(&asked), None),
        path(0).reply_key(&Transcript::of_agent(&asked), None),
    );
    let take = |held, key| take_key(&parts, held, Cipher::Aes256Gcm, key).unwrap();
    let to_mobile: Vec<_> = parts.mobile.associations.iter().map(|h| take(h, &mobile)).collect();
    let to_agent: Vec<_> = parts.foreign.associations.iter().map(|h| take(h, &foreign)).collect();
    let kinds = |infos: &[sa::KeyInfo]| infos.iter().map(|i| i.kind).collect::<Vec<_>>();
    assert_eq!(kinds(&to_mobile), [AssociationKind::Key3, AssociationKind::Key1]);
    assert_eq!(kinds(&to_agent), [AssociationKind::Key2, AssociationKind::Key3]);
    let (mn3, fa3) = (&to_mobile[0], &to_agent[1]);
    assert!(mn3.key().is_some() && mn3.key() == fa3.key());
    assert!(mn3.key() != to_mobile[1].key() && mn3.key() != to_agent[0].key());
    assert_eq!((mn3.inbound, mn3.outbound), (fa3.outbound, fa3.inbound));
    assert_eq!(fa3.inbound, handle(1).key3);
    assert_eq!(to_agent[0].inbound, handle(1).key2);
    assert_eq!((&*mn3.peer, &*fa3.own), (FA_NAI[0], FA_NAI[0]));
    assert_eq!(mn3.own, fa3.peer);
    assert!(!fa3.peer.contains("traveller"), "the foreign agent learns a visit name");
    let granted = sealed_plain(&parts, &parts.foreign.ip.unwrap(), Cipher::Aes256Gcm, &foreign).unwrap();
    assert_eq!(granted, HOME.octets());
    assert!(!reply.windows(13).any(|w| w == b"traveller-one"));
}

#[test]
fn the_same_request_again_gets_the_same_keys() {
    let mut bench = bench();
    let mobile = ask(0).bytes();
    let first = bench.through(0, mobile.clone(), 1).unwrap();
    let again = bench.through(0, mobile.clone(), 1).unwrap();
    let mobile_part = |r: &[u8]| Parts::parse(r, 20, DOCUMENTATION_VENDOR).unwrap().mobile_bytes().to_vec();
    assert_eq!(mobile_part(&first), mobile_part(&again));
    assert_eq!(bench.asked.len(), 1);
    assert!(bench.through(0, mobile.clone(), 3).is_none(), "other indices: silence");
    let elsewhere = bench.through(1, mobile.clone(), 4).unwrap();
    assert_eq!(code(&elsewhere), Code::HA_PROHIBITED);
    bench.now = at(31);
    let late = bench.through(0, mobile, 1).unwrap();
    assert_eq!(code(&late), Code::HA_IDENTIFICATION);
    assert_eq!(bench.asked.len(), 1);
}

#[test]
fn four_subscribers_may_share_an_index() {
    let other = |n: u8| Subscriber {
        nai: Nai::parse(&format!("a-neighbour-{n}@home.example")).unwrap(),
        key0: Key::new([50 + n; 32]),
        home_address: Ipv4Addr::new(10, 11, 1, 60 + n),
        ..subscriber()
    };
    let subscribers = vec![other(1), other(2), other(3), subscriber()];
    let mut bench = Bench::with(State { subscribers, ..State::default() }, at(0));
    assert_eq!(code(&bench.through(0, ask(0).bytes(), 1).unwrap()), Code::ACCEPTED);
    assert_eq!(bench.agent.bindings().next().unwrap().nai, nai());
}

#[test]
fn a_nat_is_found_by_source_and_care_of() {
    let mut bench = bench();
    let public = SocketAddrV4::new(Ipv4Addr::new(10, 53, 1, 2), 40_000);
    bench.receive(public, &colocated(0).bytes());
    let (to, reply) = bench.sent.pop().unwrap();
    assert_eq!((to, code(&reply)), (public, Code::ACCEPTED));
    let parts = Parts::parse(&reply, 20, DOCUMENTATION_VENDOR).unwrap();
    let udp = parts.mobile.udp_reply.unwrap();
    assert!(udp.tunnels() && udp.keepalive == 110);
    assert_eq!(parts.mobile.associations.len(), 1);
    assert!(parts.foreign_home.is_none() && parts.foreign.associations.is_empty());
    let tunnel = Tunnel::Udp(public);
    assert_eq!(bench.tunnels, [bound_to([BoundTunnel { tunnel, broadcasts: false, served: false }])]);
    // Without a NAT and without force: not.
    bench.now = at(1);
    let direct = SocketAddrV4::new(colocated(1).care_of, 40_000);
    bench.receive(direct, &colocated(1).bytes());
    let reply = bench.sent.pop().unwrap().1;
    let parts = Parts::parse(&reply, 20, DOCUMENTATION_VENDOR).unwrap();
    assert_eq!(parts.mobile.udp_reply.unwrap().code, 64);
    let tunnel = Tunnel::IpInIp(*direct.ip());
    let plain = bound_to([BoundTunnel { tunnel, broadcasts: false, served: false }]);
    assert_eq!(bench.tunnels.last(), Some(&plain));
    // Behind a NAT without asking for UDP it cannot be reached.
    bench.now = at(2);
    bench.receive(public, &Ask { udp: None, ..colocated(2) }.bytes());
    assert_eq!(code(&bench.sent.pop().unwrap().1), Code::HA_PROHIBITED);
}

#[test]
fn deregistration_at_home_names_the_link_address_that_is_back() {
    let mut bench = bench();
    bench.through(0, ask(0).bytes(), 1).unwrap();
    bench.now = at(1);
    bench.order.clear();
    let home = Ask { flags: 0, lifetime: 0, home_address: HOME, care_of: HOME, heard: None, ..ask(1) };
    bench.receive(SocketAddrV4::new(HOME, 5000), &home.bytes());
    assert_eq!(bench.order, ["commit", "tunnel", "send"]);
    let unbind = TunnelChange::Unbind { home_address: HOME, returned: Some([2, 0, 0, 0, 0, 9]) };
    assert_eq!(bench.tunnels.last(), Some(&unbind));
    let reply = registration::Reply::parse(&bench.sent.last().unwrap().1).unwrap();
    assert_eq!((reply.code, reply.lifetime, reply.home_address), (Code::ACCEPTED, 0, HOME));
    assert_eq!(bench.agent.bindings().count(), 0);
}

#[test]
fn deregistration_through_an_agent_needs_no_34_and_is_answered_with_one() {
    let mut bench = bench();
    bench.through(0, ask(0).bytes(), 1).unwrap();
    bench.now = at(1);
    let away = Ask { lifetime: 0, ..ask(1) };
    bench.receive(SocketAddrV4::new(FA[0], 434), &relay(away.bytes(), 0, handle(2), false));
    let reply = bench.sent.pop().unwrap().1;
    assert_eq!(code(&reply), Code::ACCEPTED);
    let parts = Unverified::new(Parts::parse(&reply, 20, DOCUMENTATION_VENDOR).unwrap());
    assert!(path(0).verify(Direction::FromHome, &parts).is_some());
    assert!(parts.peek().foreign.associations.is_empty());
    assert!(matches!(bench.tunnels.last(), Some(TunnelChange::Unbind { returned: None, .. })));
    // One that names another care-of address leaves a later binding alone.
    bench.now = at(2);
    bench.through(0, ask(2).bytes(), 3).unwrap();
    bench.now = at(3);
    let other = Ask { lifetime: 0, care_of: FA[1], heard: Some(FA_NAI[1]), ..ask(3) };
    bench.receive(SocketAddrV4::new(FA[1], 434), &relay(other.bytes(), 1, handle(4), false));
    assert_eq!(code(&bench.sent.pop().unwrap().1), Code::ACCEPTED);
    assert_eq!(bench.agent.bindings().count(), 1);
}

#[test]
fn limits_and_lifetimes() {
    let mut bench = bench();
    bench.agent.config.max_bindings = 0;
    assert_eq!(code(&bench.through(0, ask(0).bytes(), 1).unwrap()), Code::HA_RESOURCES);
    bench.agent.config.max_bindings = 1;
    bench.now = at(1);
    let short = Ask { lifetime: 20, ..ask(1) };
    let reply = bench.through(0, short.bytes(), 2).unwrap();
    assert_eq!(registration::Reply::parse(&reply).unwrap().lifetime, 20);
    bench.now = at(20);
    bench.input(Input::Tick);
    assert_eq!(bench.agent.bindings().count(), 1);
    bench.now = at(21);
    bench.input(Input::Tick);
    assert_eq!(bench.agent.bindings().count(), 0);
    assert!(matches!(bench.committed.last(), Some(Change::RemoveBinding { home_address: HOME, .. })));
}

#[test]
fn a_later_request_overtakes_one_whose_keys_are_late() {
    let mut agent = HomeAgent::new(
        config(),
        [3; 32],
        State { subscribers: vec![subscriber()], ..State::default() },
        at(0),
    );
    let mut tickets = Vec::new();
    let mut put = |agent: &mut HomeAgent, input: Input<'_, Request>, now| {
        agent.handle(input, now);
        let mut sent = 0;
        loop {
            match agent.poll() {
                Output::Effect(Effect::AskKdc { ticket, .. }) => tickets.push(ticket),
                Output::Effect(Effect::Persist { ticket, .. }) => {
                    agent.handle(Input::Request(Request::Persisted { ticket, result: Ok(()) }), now);
                }
                Output::Send(Transmit::Udp { .. }) => sent += 1,
                Output::Wait(_) => return (tickets.clone(), sent),
                _ => {}
            }
        }
    };
    let one = relay(ask(0).bytes(), 0, handle(1), true);
    let two = relay(Ask { care_of: FA[1], heard: Some(FA_NAI[1]), ..ask(1) }.bytes(), 1, handle(2), true);
    let destination = SocketAddrV4::new(HA, 434);
    for (payload, from) in [(&one, FA[0]), (&two, FA[1])] {
        let source = SocketAddrV4::new(from, 434);
        put(&mut agent, Input::Datagram(Datagram::Udp { source, destination, payload }), at(1));
    }
    let keys = |n| {
        Ok(Keys {
            key1: Some(Key::new([n; 32])),
            key2: Some(Key::new([n + 1; 32])),
            key3: Some(Key::new([n + 2; 32])),
            ..Keys::default()
        })
    };
    let (tickets, _) = put(&mut agent, Input::Tick, at(1));
    let answer = |ticket, n| Input::Request(Request::Keys { ticket, result: keys(n) });
    assert_eq!(put(&mut agent, answer(tickets[1], 10), at(2)).1, 1);
    assert_eq!(put(&mut agent, answer(tickets[0], 20), at(2)).1, 0);
    assert_eq!(agent.bindings().next().unwrap().care_of, FA[1]);
}

#[test]
fn a_co_located_address_through_an_agent_gets_key_1_alone() {
    let mut bench = bench();
    let own = Ask { udp: None, heard: Some(FA_NAI[0]), ..colocated(0) };
    bench.receive(SocketAddrV4::new(FA[0], 434), &relay(own.bytes(), 0, handle(1), false));
    let reply = bench.sent.pop().unwrap().1;
    assert_eq!(code(&reply), Code::ACCEPTED);
    let parts = Unverified::new(Parts::parse(&reply, 20, DOCUMENTATION_VENDOR).unwrap());
    assert!(path(0).verify(Direction::FromHome, &parts).is_some());
    let parts = parts.peek();
    assert_eq!(parts.mobile.associations.len(), 1);
    assert!(parts.foreign.associations.is_empty() && parts.foreign.ip.is_none());
    assert_eq!(bench.asked[0].foreign_agent, None);
    let tunnel = Tunnel::IpInIp(colocated(0).care_of);
    assert_eq!(bench.tunnels, [bound_to([BoundTunnel { tunnel, broadcasts: false, served: false }])]);
}

#[test]
fn a_subscriber_enrolled_again_with_another_key_loses_its_binding() {
    let mut bench = bench();
    bench.through(0, ask(0).bytes(), 1).unwrap();
    let mut change = |subscriber: Subscriber| {
        bench.input(Input::Request(Request::Subscribers {
            changed: vec![subscriber],
            realm_keys: vec![],
            cursor: 9,
            complete: false,
        }));
        bench.agent.bindings().count()
    };
    assert_eq!(change(subscriber()), 1, "the same record again changes nothing");
    assert_eq!(change(Subscriber { key0: Key::new([2; 32]), ..subscriber() }), 0);
    assert!(bench.committed.iter().any(|c| matches!(c, Change::RemoveBindings(HOME))));
    bench.now = at(1);
    assert!(bench.through(0, ask(1).bytes(), 2).is_none(), "the old KEY 0 is worth nothing");
}

#[test]
fn the_encapsulation_is_the_one_asked_for_if_it_is_offered() {
    let tunnel = |flags: u8, minimal: bool, gre: bool| {
        let state = State { subscribers: vec![subscriber()], ..State::default() };
        let mut bench = Bench::of(Config { minimal, gre, ..config() }, state, at(0));
        let reply = bench.through(0, Ask { flags, ..ask(0) }.bytes(), 1).unwrap();
        match bench.agent.bindings().next() {
            Some(binding) => Ok(binding.tunnel),
            None => Err(code(&reply)),
        }
    };
    let (m, g) = (Flags::MINIMAL, Flags::GRE);
    assert_eq!(tunnel(0, true, true), Ok(Tunnel::IpInIp(FA[0])));
    assert_eq!(tunnel(m, true, true), Ok(Tunnel::Minimal(FA[0])));
    assert_eq!(tunnel(g, true, true), Ok(Tunnel::Gre(FA[0])));
    assert_eq!(tunnel(m | g, true, true), Ok(Tunnel::Minimal(FA[0])));
    assert_eq!(tunnel(m | g, false, true), Ok(Tunnel::Gre(FA[0])));
    assert_eq!(tunnel(m, false, true), Err(Code::HA_ENCAPSULATION));
    assert_eq!(tunnel(g, true, false), Err(Code::HA_ENCAPSULATION));
}

#[test]
fn broadcasts_go_to_who_asks_for_them_if_they_are_offered() {
    for (flags, offered, granted) in
        [(Flags::BROADCAST, true, true), (Flags::BROADCAST, false, false), (0, true, false)]
    {
        let state = State { subscribers: vec![subscriber()], ..State::default() };
        let mut bench = Bench::of(Config { broadcasts: offered, ..config() }, state, at(0));
        bench.through(0, Ask { flags, ..ask(0) }.bytes(), 1).unwrap();
        assert_eq!(bench.agent.bindings().next().unwrap().broadcasts, granted);
        let way = |tunnel, served| bound_to([BoundTunnel { tunnel, broadcasts: granted, served }]);
        assert_eq!(bench.tunnels.last(), Some(&way(Tunnel::IpInIp(FA[0]), true)));
        // And to who has an address of his own, without the inner wrapping.
        bench.now = at(1);
        let own = Flags::DECAPSULATION | Flags::REVERSE_TUNNEL;
        let direct = SocketAddrV4::new(colocated(1).care_of, 40_000);
        bench.receive(direct, &Ask { flags: own | flags, ..colocated(1) }.bytes());
        assert_eq!(bench.tunnels.last(), Some(&way(Tunnel::IpInIp(*direct.ip()), false)));
    }
}
