//! What replies of home agents change, and which of them change nothing.

use record::AssociationKind;
use sa::{KeyInfo, Material};
use wire::mip::{
    ours::{Numbers, association_between},
    part::Parts,
    registration::Request as Fixed,
};

use super::{
    script::{HomeAgentScript, Mobile, Piece, clear_key, ours, without_proof},
    *,
};

/// A world with one request relayed: the request as the home agent got it.
fn asked(world: &mut World, mobile: &mut Mobile) -> Vec<u8> {
    let request = mobile.request(&world.challenge(LINK));
    world.did();
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    let relayed = world.relayed().pop().expect("relayed").1;
    // Leave nothing of this behind for whoever looks at what comes next.
    world.did();
    relayed
}

/// What the mobile node is told when the home agent's reply is `change`d.
fn told(change: impl FnOnce(&mut HomeAgentScript)) -> Vec<u8> {
    let mut world = World::new();
    let relayed = asked(&mut world, &mut Mobile::new());
    let mut script = HomeAgentScript::new();
    change(&mut script);
    let reply = script.reply(&relayed);
    world.reply(HOME_AGENT, &reply);
    let codes: Vec<u8> = world.codes().iter().map(|code| code.0).collect();
    let accepted = codes == [0];
    assert_eq!(world.visitors().len(), usize::from(accepted));
    assert_eq!(world.store.visitors.len(), usize::from(accepted));
    assert_eq!(world.agent.pending(), usize::from(codes.is_empty()), "what is not answered still waits");
    codes
}

const SILENCE: [u8; 0] = [];

#[test]
fn an_accepted_registration_makes_a_visitor_in_the_right_order() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    let relayed = asked(&mut world, &mut mobile);
    let handle = Parts::parse(&relayed, Fixed::LEN, VENDOR).unwrap().foreign.handle.unwrap();
    let reply = HomeAgentScript::new().reply(&relayed);
    world.reply(HOME_AGENT, &reply);
    let did = world.did.clone();
    let expected = TunnelChange::VisitorAdded(VisitorTunnel {
        home_address: HOME_ADDRESS,
        link: LINK,
        link_address: mobile.station,
        home_agent: HOME_AGENT,
        care_of: CARE_OF,
        tunnel: Tunnel::IpInIp(HOME_AGENT),
        reverse_tunnel: true,
        encapsulating_delivery: false,
    });
    let [Did::Persist(1), Did::Tunnel(added), Did::Notify(event), Did::Send(_)] = did.as_slice() else {
        panic!("{did:?}");
    };
    assert_eq!(*added, expected);
    assert_eq!((event.kind, event.home_address), (EventKind::VisitorAdded, Some(HOME_ADDRESS)));
    assert!(!event.text.contains("10.11.1.50"), "no home address in what is logged");
    let own = Parts::parse(&reply, Reply::LEN, VENDOR).unwrap();
    assert_eq!(without_proof(&world.replies()[0].3), own.mobile_bytes(), "stripped, else byte for byte");
    let stored = &world.store.visitors[0];
    let inbound: Vec<Spi> = stored.associations.iter().map(|a| a.inbound).collect();
    assert_eq!(inbound, [handle.key2, handle.key3]);
    assert_eq!((stored.lifetime, stored.granted, stored.care_of), (600, UNIX, CARE_OF));
    assert_eq!(world.agent.tunnels().count(), 1);
}

#[test]
fn nothing_is_built_or_answered_before_the_commit() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    let relayed = asked(&mut world, &mut mobile);
    world.mode = StoreMode::Holds;
    let reply = HomeAgentScript::new().reply(&relayed);
    world.reply(HOME_AGENT, &reply);
    assert_eq!(world.did(), [Did::Persist(1)]);
    // Repeats of reply and request meanwhile change nothing.
    world.reply(HOME_AGENT, &reply);
    assert!(!world.did().iter().any(|d| matches!(d, Did::Persist(_) | Did::Send(_))));
    assert!(world.visitors().is_empty());
    world.pass(Duration::from_secs(8));
    assert!(world.codes().is_empty(), "no time-out while the store works on it");
    world.release();
    assert_eq!(world.codes(), [Code::ACCEPTED]);
    assert_eq!(world.visitors(), [HOME_ADDRESS]);
}

#[test]
fn a_failed_commit_is_silence_and_the_mobile_node_may_repeat() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    let request = mobile.request(&world.challenge(LINK));
    world.did();
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    let (_, relayed) = world.relayed().pop().unwrap();
    world.mode = StoreMode::Fails;
    let reply = HomeAgentScript::new().reply(&relayed);
    world.reply(HOME_AGENT, &reply);
    let did = world.did();
    let [Did::Persist(1), Did::Notify(event)] = did.as_slice() else {
        panic!("{did:?}");
    };
    assert!(event.text.contains("disk full"));
    assert!(world.visitors().is_empty());
    world.mode = StoreMode::Works;
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    assert_eq!(world.relayed()[0].1, relayed);
    // Should it not: its home agent did answer, so that is not what it is told.
    let mut silent = World::new();
    let relayed_there = asked(&mut silent, &mut Mobile::new());
    silent.mode = StoreMode::Fails;
    silent.reply(HOME_AGENT, &HomeAgentScript::new().reply(&relayed_there));
    silent.pass(Duration::from_secs(8));
    assert!(silent.codes().is_empty() && silent.agent.pending() == 0);
    world.reply(HOME_AGENT, &reply);
    assert_eq!(world.codes(), [Code::ACCEPTED]);
    assert_eq!(world.visitors(), [HOME_ADDRESS]);
}

#[test]
fn every_changed_byte_of_a_reply_is_silence() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    let relayed = asked(&mut world, &mut mobile);
    let reply = HomeAgentScript::new().reply(&relayed);
    for i in 0..reply.len() {
        for bit in [0x01, 0x80] {
            let mut changed = reply.clone();
            changed[i] ^= bit;
            world.reply(HOME_AGENT, &changed);
            assert!(world.visitors().is_empty(), "byte {i}");
            assert!(world.codes().is_empty(), "byte {i}");
            assert_eq!(world.agent.pending(), 1, "byte {i}");
        }
    }
    for end in 0..reply.len() {
        world.reply(HOME_AGENT, &reply[..end]);
    }
    let mut longer = reply.clone();
    longer.push(0);
    world.reply(HOME_AGENT, &[&longer[..], &[1, 2]].concat());
    assert!(world.codes().is_empty() && world.visitors().is_empty());
    world.reply(HOME_AGENT, &reply);
    assert_eq!(world.codes(), [Code::ACCEPTED]);
}

#[test]
fn a_replayed_reply_changes_nothing() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    let relayed = asked(&mut world, &mut mobile);
    let reply = HomeAgentScript::new().reply(&relayed);
    world.reply(HOME_AGENT, &reply);
    world.did();
    world.reply(HOME_AGENT, &reply);
    assert_eq!(world.counter("reply: repeated"), 1);
    world.pass(Duration::from_secs(10));
    world.did();
    world.reply(HOME_AGENT, &reply);
    assert!(world.replies().is_empty());
    assert_eq!(world.counter("reply: no request has its handle"), 1);
    assert_eq!(world.counter("visitors added"), 1);
}

#[test]
fn a_reply_for_somebody_else_changes_nothing() {
    let mut world = World::new();
    let (mut one, mut two) = (Mobile::numbered(1), Mobile::numbered(2));
    let first = asked(&mut world, &mut one);
    // The second one asks the other home agent.
    two.fixed.home_agent = OTHER_HOME_AGENT;
    world.pass(Duration::from_millis(900));
    world.pass(Duration::from_millis(100));
    let second = asked(&mut world, &mut two);
    let handle = |bytes: &[u8]| {
        let parts = Parts::parse(bytes, Fixed::LEN, VENDOR).unwrap();
        parts.foreign.handle.unwrap().handle
    };
    // One home agent answers the request that waits for the other.
    let mut script = HomeAgentScript::of(OTHER_HOME_AGENT);
    script.handle = Some(handle(&first));
    let reply = script.reply(&second);
    world.reply(OTHER_HOME_AGENT, &reply);
    // It pretends to come from the right one, and to be it.
    world.reply(HOME_AGENT, &reply);
    script.address = HOME_AGENT;
    world.reply(HOME_AGENT, &script.reply(&second));
    world.reply(OTHER_HOME_AGENT, &script.reply(&first));
    // The right reply comes from somewhere else, or to another port of ours.
    let right = HomeAgentScript::new().reply(&first);
    world.reply(Ipv4Addr::new(10, 11, 1, 3), &right);
    world.input(Input::Datagram(Datagram::Udp {
        source: SocketAddrV4::new(HOME_AGENT, PORT),
        destination: SocketAddrV4::new(CARE_OF, 435),
        payload: &right,
    }));
    assert!(world.replies().is_empty() && world.visitors().is_empty());
    assert_eq!(world.agent.pending(), 2);
}

#[test]
fn what_must_fit_the_request_or_is_silence() {
    assert_eq!(told(|_| {}), [0]);
    assert_eq!(told(|s| s.low_identification = Some(5)), SILENCE);
    assert_eq!(told(|s| s.handle = Some(5)), SILENCE);
    assert_eq!(told(|s| s.reindex = 1), SILENCE);
    assert_eq!(told(|s| s.with_34 = false), SILENCE);
    let no_handle =
        |s: &mut HomeAgentScript| s.pieces = Some(vec![Piece::Key2, Piece::Key3, Piece::Ip, Piece::Share]);
    assert_eq!(told(no_handle), SILENCE);
    let denied_without_34 = |s: &mut HomeAgentScript| {
        s.code = Code::HA_PROHIBITED;
        s.with_34 = false;
    };
    assert_eq!(told(denied_without_34), SILENCE);
    assert_eq!(told(|s| s.address = OTHER_HOME_AGENT), SILENCE);
}

#[test]
fn denials_are_stripped_and_relayed() {
    for code in [Code::HA_UNSPECIFIED, Code::HA_IDENTIFICATION, Code::HA_UDP_UNAVAILABLE, Code(2)] {
        assert_eq!(told(|s| s.code = code), [code.0]);
    }
    let mut world = World::new();
    let relayed = asked(&mut world, &mut Mobile::new());
    let mut script = HomeAgentScript::new();
    script.code = Code::HA_RESOURCES;
    let reply = script.reply(&relayed);
    world.reply(HOME_AGENT, &reply);
    let Some(Did::Notify(event)) = world.did.first() else { panic!() };
    assert_eq!((event.kind, event.code), (EventKind::Denied, Some(130)));
    let own = Parts::parse(&reply, Reply::LEN, VENDOR).unwrap();
    assert_eq!(without_proof(&world.replies()[0].3), own.mobile_bytes());
}

#[test]
fn extensions_in_any_order_but_each_once() {
    use Piece::{Handle, Ip, Key2, Key3, Raw, Share, Udp};
    let exactly = |pieces: &[Piece]| told(|s| s.pieces = Some(pieces.to_vec()));
    let with = |pieces: &[Piece]| exactly(&[pieces, &[Share]].concat());
    assert_eq!(exactly(&[Share, Ip, Key3, Handle, Key2]), [0]);
    assert_eq!(with(&[Raw(vec![250, 0, 0]), Key3, Handle, Key2, Ip]), [0]);
    assert_eq!(with(&[Handle, Key2, Key3, Ip, Share]), SILENCE);
    assert_eq!(with(&[Handle, Handle, Key2, Key3, Ip]), SILENCE);
    assert_eq!(with(&[Handle, Key2, Key3, Ip, Ip]), SILENCE);
    assert_eq!(with(&[Handle, Raw(vec![99, 0]), Key2, Key3, Ip]), SILENCE);
    // Authenticated, but not what was asked for: told.
    assert_eq!(with(&[Handle, Key2, Key3]), [71]);
    assert_eq!(with(&[Handle, Key2, Ip]), [71]);
    assert_eq!(with(&[Handle, Key3, Ip]), [71]);
    assert_eq!(with(&[Handle, Key2, Key2, Ip]), [71]);
    assert_eq!(with(&[Handle, Key3, Key3, Ip]), [71]);
    assert_eq!(with(&[Handle, Key2, Key3, Key3, Ip]), [71]);
    assert_eq!(with(&[Handle, Key2, Key3, Ip, Udp(0)]), [71], "nobody asked for UDP");
    let clear = Raw(clear_key(association_between::FA_HA));
    assert_eq!(with(&[Handle, clear, Key3, Ip]), [71], "a key in clear");
    let foreign = Raw(ours(Numbers::Vendor(VENDOR + 1), 1, b"x"));
    assert_eq!(with(&[Handle, Key2, Key3, Ip, foreign]), [101]);
    let unknown = Raw(ours(Numbers::Vendor(VENDOR), 11, b"x"));
    assert_eq!(with(&[Handle, Key2, Key3, Ip, unknown]), [101]);
}

#[test]
fn keys_must_be_ours() {
    let with = |distort: fn(&mut KeyInfo)| told(|s| s.distort = distort);
    assert_eq!(with(|k| reindex(k, AssociationKind::Key2)), [71]);
    assert_eq!(with(|k| reindex(k, AssociationKind::Key3)), [71]);
    assert_eq!(with(|k| rename(k, AssociationKind::Key2)), [71]);
    assert_eq!(with(|k| rename(k, AssociationKind::Key3)), [71]);
    assert_eq!(with(|k| k.material = Material::Key(Key::new([3; 32]))), [71], "one key for both");
    assert_eq!(with(|k| k.lifetime = 1), [0]);
    assert_eq!(told(|s| s.nai = "ha@elsewhere.example".into()), [71]);
    assert_eq!(told(|s| s.seal_spi = Some(Spi(1002))), [71]);
}

fn reindex(key: &mut KeyInfo, which: AssociationKind) {
    if key.kind == which {
        key.inbound = Spi(4_000_000);
    }
}

fn rename(key: &mut KeyInfo, which: AssociationKind) {
    if key.kind == which {
        key.own = "fa-b@visited-b.example".into();
    }
}

#[test]
fn lifetimes_are_never_raised() {
    assert_eq!(told(|s| s.lifetime = Some(601)), [71]);
    assert_eq!(told(|s| s.lifetime = Some(u16::MAX)), [71]);
    assert_eq!(told(|s| s.lifetime = Some(30)), [0]);
}

#[test]
fn home_addresses_must_be_usable_and_not_ours() {
    for address in [
        Ipv4Addr::UNSPECIFIED,
        Ipv4Addr::BROADCAST,
        Ipv4Addr::LOCALHOST,
        Ipv4Addr::new(224, 0, 0, 1),
        CARE_OF,
        ON_LINK,
        Ipv4Addr::new(10, 21, 1, 200),
        Ipv4Addr::new(10, 22, 1, 200),
        HOME_AGENT,
        OTHER_HOME_AGENT,
    ] {
        assert_eq!(told(|s| s.home_address = address), [71], "{address}");
    }
}

#[test]
fn one_home_agent_cannot_take_a_visitor_of_another() {
    let mut world = World::new();
    let mut one = Mobile::numbered(1);
    world.register(&mut one);
    let mut two = Mobile::numbered(2);
    two.fixed.home_agent = OTHER_HOME_AGENT;
    let relayed = asked(&mut world, &mut two);
    let reply = HomeAgentScript::of(OTHER_HOME_AGENT).reply(&relayed);
    world.reply(OTHER_HOME_AGENT, &reply);
    assert_eq!(world.codes(), [Code::FA_RESOURCES]);
    let visit = world.agent.visitors().next().unwrap();
    assert_eq!((visit.record.home_agent, visit.record.link_address), (HOME_AGENT, one.station));
}

#[test]
fn registering_again_replaces_the_visitor() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    world.register(&mut mobile);
    let first: Vec<Spi> = world.store.visitors[0].associations.iter().map(|a| a.inbound).collect();
    mobile.station = [2, 0, 0, 0, 7, 7];
    world.register(&mut mobile);
    assert_eq!(world.visitors(), [HOME_ADDRESS]);
    let stored = &world.store.visitors[0];
    assert_eq!((world.store.visitors.len(), stored.link_address), (1, mobile.station));
    let kept: Vec<Spi> = stored.associations.iter().map(|a| a.inbound).collect();
    assert!(kept.starts_with(&first) && kept.len() == 4, "until the new ones are confirmed");
    assert_eq!((world.counter("visitors added"), world.counter("visitors renewed")), (1, 1));
}

#[test]
fn udp_is_used_if_the_home_agent_agrees() {
    use Piece::{Handle, Ip, Key2, Key3, Share, Udp};
    for (pieces, tunnel) in [
        (vec![Handle, Key2, Key3, Ip, Share, Udp(0)], Tunnel::Udp(SocketAddrV4::new(HOME_AGENT, PORT))),
        (vec![Handle, Key2, Key3, Ip, Share, Udp(64)], Tunnel::IpInIp(HOME_AGENT)),
        (vec![Handle, Key2, Key3, Ip, Share], Tunnel::IpInIp(HOME_AGENT)),
    ] {
        let mut config = config();
        config.encapsulation = Encapsulation::Udp;
        let mut world = World::with(config);
        let relayed = asked(&mut world, &mut Mobile::new());
        let mut script = HomeAgentScript::new();
        script.pieces = Some(pieces);
        world.reply(HOME_AGENT, &script.reply(&relayed));
        assert_eq!(world.agent.visitors().next().unwrap().record.tunnel, tunnel);
    }
}

#[test]
fn a_visitor_leaves_only_by_its_own_accepted_deregistration() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    world.register(&mut mobile);
    // Another mobile node at the same link address deregisters itself.
    let mut thief = Mobile::numbered(9);
    thief.station = mobile.station;
    thief.fixed.lifetime = 0;
    let relayed = asked(&mut world, &mut thief);
    world.reply(HOME_AGENT, &HomeAgentScript::new().reply(&relayed));
    assert_eq!(world.codes(), [Code::ACCEPTED]);
    assert_eq!(world.visitors(), [HOME_ADDRESS]);
    // A denied deregistration of its own.
    world.pass(Duration::from_secs(1));
    mobile.fixed.lifetime = 0;
    let relayed = asked(&mut world, &mut mobile);
    let mut script = HomeAgentScript::new();
    script.code = Code::HA_IDENTIFICATION;
    world.reply(HOME_AGENT, &script.reply(&relayed));
    assert_eq!(world.visitors(), [HOME_ADDRESS]);
    // An accepted one that would grant a lifetime.
    let relayed = asked_again(&mut world, &mut mobile);
    let mut script = HomeAgentScript::new();
    script.lifetime = Some(5);
    world.reply(HOME_AGENT, &script.reply(&relayed));
    assert_eq!(world.visitors(), [HOME_ADDRESS]);
    // And one that is right.
    let relayed = asked_again(&mut world, &mut mobile);
    world.did();
    world.reply(HOME_AGENT, &HomeAgentScript::new().reply(&relayed));
    let did = world.did.clone();
    let [
        Did::Persist(1),
        Did::Tunnel(TunnelChange::VisitorRemoved { home_address }),
        Did::Notify(event),
        Did::Send(_),
    ] = did.as_slice()
    else {
        panic!("{did:?}");
    };
    assert_eq!((*home_address, event.kind), (HOME_ADDRESS, EventKind::VisitorRemoved));
    assert_eq!(world.codes(), [Code::ACCEPTED]);
    assert!(world.visitors().is_empty() && world.store.visitors.is_empty());
}

fn asked_again(world: &mut World, mobile: &mut Mobile) -> Vec<u8> {
    world.did();
    world.pass(Duration::from_secs(1));
    asked(world, mobile)
}

#[test]
fn visitors_expire() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    mobile.fixed.lifetime = 30;
    world.register(&mut mobile);
    world.pass(Duration::from_millis(28_999));
    assert_eq!(world.visitors(), [HOME_ADDRESS]);
    world.did();
    world.pass(Duration::from_millis(1));
    assert!(world.visitors().is_empty() && world.store.visitors.is_empty());
    let removed = Did::Tunnel(TunnelChange::VisitorRemoved { home_address: HOME_ADDRESS });
    assert!(world.did().contains(&removed));
    assert_eq!(world.counter("visitors expired"), 1);
}

#[test]
fn a_visitor_does_not_expire_while_its_renewal_is_with_the_store() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    mobile.fixed.lifetime = 30;
    world.register(&mut mobile);
    world.pass(Duration::from_millis(28_500));
    let relayed = asked(&mut world, &mut mobile);
    world.mode = StoreMode::Holds;
    world.reply(HOME_AGENT, &HomeAgentScript::new().reply(&relayed));
    world.pass(Duration::from_secs(2));
    assert_eq!(world.visitors(), [HOME_ADDRESS]);
    world.release();
    world.pass(Duration::from_secs(25));
    assert_eq!(world.visitors(), [HOME_ADDRESS], "renewed");
    assert_eq!(world.store.visitors.len(), 1);
}

/// Two requests of one mobile node with these lifetimes, as the home agent got them.
fn asked_twice(world: &mut World, mobile: &mut Mobile, lifetimes: [u16; 2]) -> [Vec<u8>; 2] {
    let challenge = world.challenge(LINK);
    lifetimes.map(|lifetime| {
        mobile.fixed.lifetime = lifetime;
        let request = mobile.request(&challenge);
        world.did();
        world.packet(LINK, mobile.station, &mobile.packet(&request));
        world.relayed().pop().unwrap().1
    })
}

#[test]
fn a_reply_that_was_overtaken_changes_nothing() {
    for (lifetimes, kept) in [([600, 300], 1), ([600, 0], 0), ([0, 300], 1)] {
        for mode in [StoreMode::Works, StoreMode::Holds] {
            let mut world = World::new();
            let mut mobile = Mobile::new();
            let [earlier, later] = asked_twice(&mut world, &mut mobile, lifetimes);
            let mut script = HomeAgentScript::new();
            let replies = [script.reply(&earlier), script.reply(&later)];
            world.mode = mode;
            world.reply(HOME_AGENT, &replies[1]);
            world.reply(HOME_AGENT, &replies[0]);
            world.release();
            assert_eq!(world.visitors().len(), kept, "{lifetimes:?} {mode:?}");
            assert_eq!(world.store.visitors.len(), kept);
            if let Some(visit) = world.agent.visitors().next() {
                assert_eq!(visit.record.lifetime, 300, "{lifetimes:?} {mode:?}");
            }
            assert_eq!(world.agent.pending(), 0);
        }
    }
}

#[test]
fn replies_in_order_all_count() {
    for (lifetimes, kept) in [([600, 300], 1), ([600, 0], 0), ([0, 300], 1)] {
        for mode in [StoreMode::Works, StoreMode::Holds] {
            let mut world = World::new();
            let mut mobile = Mobile::new();
            let asked = asked_twice(&mut world, &mut mobile, lifetimes);
            world.mode = mode;
            for relayed in &asked {
                world.reply(HOME_AGENT, &HomeAgentScript::new().reply(relayed));
            }
            world.release();
            assert_eq!(world.visitors().len(), kept, "{lifetimes:?} {mode:?}");
            assert_eq!(world.store.visitors.len(), kept, "{lifetimes:?} {mode:?}");
        }
    }
}

#[test]
fn a_reply_overtaken_by_one_to_another_link_address_changes_nothing() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    let earlier = asked(&mut world, &mut mobile);
    world.pass(Duration::from_secs(1));
    mobile.station = [2, 7, 7, 7, 7, 7];
    let later = asked(&mut world, &mut mobile);
    for relayed in [&later, &earlier] {
        world.reply(HOME_AGENT, &HomeAgentScript::new().reply(relayed));
    }
    let visit = world.agent.visitors().next().unwrap();
    assert_eq!(visit.record.link_address, mobile.station);
}

#[test]
fn mobile_nodes_with_the_same_index_do_not_overtake_each_other() {
    let mut world = World::new();
    let (mut one, mut two) = (Mobile::numbered(1), Mobile::numbered(1));
    two.station = [2, 7, 7, 7, 7, 7];
    let earlier = asked(&mut world, &mut one);
    world.pass(Duration::from_secs(1));
    two.fixed.identification.0 += 1 << 40;
    let later = asked(&mut world, &mut two);
    let mut script = HomeAgentScript::new();
    world.reply(HOME_AGENT, &script.reply(&later));
    script.home_address = Ipv4Addr::new(10, 11, 1, 51);
    world.reply(HOME_AGENT, &script.reply(&earlier));
    assert_eq!(world.visitors().len(), 2);
}
