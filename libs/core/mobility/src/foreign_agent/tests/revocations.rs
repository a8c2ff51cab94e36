//! Revocations by home agents.

use crypto::Rng;
use record::RevocationSupport;
use sa::End;
use wire::mip::{
    extension::{self, put},
    ours::{Numbers, Protected, Subtype, ip_owner},
    part::Parts,
    registration::{Request as Fixed, ntp_seconds},
    revocation::{Acknowledgement, Message, Revocation},
};

use super::{
    script::{HomeAgentScript, Mobile},
    *,
};
use crate::revocation::Revoker;

/// The home agent's clock when it accepted.
const AGREED: u32 = 1_000_000;
/// Where its revocations come from.
const FROM: u16 = 50_434;

/// A world with a visitor that may be revoked, and KEY 2 as its home agent sees it.
fn visited() -> (World, Mobile, Association) {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    let key2 = register(&mut world, &mut mobile, Some(AGREED));
    (world, mobile, key2)
}

fn register(world: &mut World, mobile: &mut Mobile, revocable: Option<u32>) -> Association {
    world.did();
    world.pass(Duration::from_secs(1));
    let request = mobile.request(&world.challenge(LINK));
    world.did();
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    let relayed = world.relayed().pop().expect("relayed").1;
    let mut script = HomeAgentScript::new();
    script.revocable = revocable;
    world.reply(HOME_AGENT, &script.reply(&relayed));
    assert_eq!(world.codes(), [Code::ACCEPTED]);
    script.key2.unwrap()
}

fn fixed(identifier: u32) -> Revocation {
    Revocation {
        from_home: true,
        inform: false,
        home_address: Ipv4Addr::UNSPECIFIED,
        home_agent: HOME_AGENT,
        care_of: CARE_OF,
        identifier,
    }
}

fn revocation(key2: &Association, fixed: &Revocation, home_address: Ipv4Addr) -> Vec<u8> {
    let at_home = Revoker::new(key2, End::Second).unwrap();
    at_home.revoke(fixed, home_address, Numbers::Vendor(VENDOR), &mut Rng::from_seed([3; 32])).unwrap()
}

fn arrives(world: &mut World, source: Ipv4Addr, payload: &[u8]) {
    world.input(Input::Datagram(Datagram::Udp {
        source: SocketAddrV4::new(source, FROM),
        destination: SocketAddrV4::new(CARE_OF, PORT),
        payload,
    }));
}

/// The identifiers of acknowledgements that were sent since the last look.
fn acknowledged(world: &mut World, key2: &Association) -> Vec<u32> {
    let at_home = Revoker::new(key2, End::Second).unwrap();
    let sent = |did| match did {
        Did::Send(Transmit::Udp { source, destination, payload }) => {
            assert_eq!(source, SocketAddrV4::new(CARE_OF, PORT));
            assert_eq!(destination, SocketAddrV4::new(HOME_AGENT, FROM), "the port that it came from");
            let fixed = Acknowledgement::parse(&payload).unwrap();
            assert!(at_home.verifies(&Message::parse(&payload, Acknowledgement::LEN, VENDOR).unwrap()));
            assert_eq!((fixed.inform, fixed.home_address), (false, Ipv4Addr::UNSPECIFIED));
            Some(fixed.identifier)
        }
        _ => None,
    };
    world.did().into_iter().filter_map(sent).collect()
}

/// True if nothing at all came of a message.
fn nothing(world: &mut World) -> bool {
    let silent = !world.did().iter().any(|d| matches!(d, Did::Send(_) | Did::Persist(_) | Did::Tunnel(_)));
    silent && world.visitors() == [HOME_ADDRESS] && world.store.visitors.len() == 1
}

#[test]
fn support_is_offered_with_34_and_remembered() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    for (lifetime, offered) in [(600, Some(ntp_seconds(UNIX))), (0, None)] {
        mobile.fixed.lifetime = lifetime;
        let request = mobile.request(&world.challenge(LINK));
        world.packet(LINK, mobile.station, &mobile.packet(&request));
        let advertised = world.did.clone();
        let relayed = world.relayed().pop().unwrap().1;
        world.did = advertised;
        let support = Parts::parse(&relayed, Fixed::LEN, VENDOR).unwrap().foreign.revocation;
        assert_eq!(support.map(|s| (s.inform, s.timestamp)), offered.map(|at| (false, at)));
    }
    let (world, ..) = visited();
    let agreed = RevocationSupport { timestamp: AGREED, inform: false };
    assert_eq!(world.store.visitors[0].revocation, Some(agreed));
}

#[test]
fn a_mobile_node_does_not_send_it() {
    let mut world = World::new();
    let mut w = wire::Writer::default();
    put(&mut w, 137, &[0; 6]).unwrap();
    let extension = w.into_bytes();
    for behind in [false, true] {
        let mut mobile = Mobile::new();
        if behind {
            mobile.tail = Some(extension.clone());
        } else {
            mobile.head.clone_from(&extension);
        }
        let request = mobile.request(&world.challenge(LINK));
        world.packet(LINK, mobile.station, &mobile.packet(&request));
        assert_eq!(world.agent.pending(), 0);
    }
    assert!(world.replies().is_empty(), "silence");
    assert_eq!(world.counter("request: 137 is not the mobile node's to send"), 2);
}

#[test]
fn a_revoked_visitor_goes_and_that_is_acknowledged_in_this_order() {
    let (mut world, _, key2) = visited();
    world.did();
    arrives(&mut world, HOME_AGENT, &revocation(&key2, &fixed(AGREED + 5), HOME_ADDRESS));
    let [Did::Persist(1), Did::Tunnel(gone), Did::Notify(event), Did::Send(_), Did::Send(_)] =
        world.did.as_slice()
    else {
        panic!("{:?}", world.did);
    };
    assert_eq!(*gone, TunnelChange::VisitorRemoved { home_address: HOME_ADDRESS });
    assert_eq!(event.kind, EventKind::VisitorRemoved);
    assert_eq!(acknowledged(&mut world, &key2), [AGREED + 5]);
    assert!(world.visitors().is_empty() && world.store.visitors.is_empty());
    // Its acknowledgement was lost: it comes again with a new time, for a minute.
    arrives(&mut world, HOME_AGENT, &revocation(&key2, &fixed(AGREED + 6), HOME_ADDRESS));
    assert_eq!(acknowledged(&mut world, &key2), [AGREED + 6]);
    // This one again is a replay.
    arrives(&mut world, HOME_AGENT, &revocation(&key2, &fixed(AGREED + 6), HOME_ADDRESS));
    assert_eq!((acknowledged(&mut world, &key2), world.counter("revocation: repeated")), (vec![], 1));
    world.pass(Duration::from_secs(60));
    world.did();
    arrives(&mut world, HOME_AGENT, &revocation(&key2, &fixed(AGREED + 70), HOME_ADDRESS));
    assert_eq!(acknowledged(&mut world, &key2), []);
    assert_eq!(world.counter("revocation: of no registration that we know"), 1);
}

#[test]
fn nothing_is_acknowledged_before_the_commit() {
    let (mut world, _, key2) = visited();
    let message = revocation(&key2, &fixed(AGREED + 5), HOME_ADDRESS);
    world.mode = StoreMode::Fails;
    world.did();
    arrives(&mut world, HOME_AGENT, &message);
    assert_eq!(acknowledged(&mut world, &key2), []);
    assert_eq!(world.visitors(), [HOME_ADDRESS]);
    world.mode = StoreMode::Holds;
    arrives(&mut world, HOME_AGENT, &message);
    arrives(&mut world, HOME_AGENT, &message);
    assert_eq!((world.held.len(), acknowledged(&mut world, &key2)), (1, vec![]));
    world.release();
    assert_eq!(acknowledged(&mut world, &key2), [AGREED + 5]);
    assert!(world.visitors().is_empty());
}

#[test]
fn a_forged_one_changes_nothing() {
    let (mut world, _, key2) = visited();
    let good = revocation(&key2, &fixed(AGREED + 5), HOME_ADDRESS);
    for i in 0..good.len() {
        for bit in [0x01, 0x80] {
            let mut changed = good.clone();
            changed[i] ^= bit;
            arrives(&mut world, HOME_AGENT, &changed);
            assert!(nothing(&mut world), "byte {i}");
        }
        arrives(&mut world, HOME_AGENT, &good[..i]);
        assert!(nothing(&mut world), "cut at {i}");
    }
    arrives(&mut world, HOME_AGENT, &[&good[..], &[0]].concat());
    arrives(&mut world, OTHER_HOME_AGENT, &good);
    arrives(&mut world, Ipv4Addr::new(10, 11, 1, 3), &good);
    assert!(nothing(&mut world));
    arrives(&mut world, HOME_AGENT, &good);
    assert!(world.visitors().is_empty());
}

#[test]
fn what_contradicts_itself_changes_nothing() {
    let (mut world, _, key2) = visited();
    let right = fixed(AGREED + 5);
    let other = Ipv4Addr::new(10, 11, 1, 51);
    for wrong in [
        Revocation { from_home: false, ..right },
        Revocation { home_address: HOME_ADDRESS, ..right },
        Revocation { home_agent: OTHER_HOME_AGENT, ..right },
        Revocation { care_of: ON_LINK, ..right },
    ] {
        arrives(&mut world, HOME_AGENT, &revocation(&key2, &wrong, HOME_ADDRESS));
        assert!(nothing(&mut world), "{wrong:?}");
    }
    arrives(&mut world, HOME_AGENT, &revocation(&key2, &right, other));
    assert!(nothing(&mut world), "another address than the visitor's");
    // The address in clear, or none.
    for with_address in [true, false] {
        let mut w = wire::Writer::default();
        right.emit(&mut w);
        if with_address {
            let octets = HOME_ADDRESS.octets();
            let clear = Protected { content: ip_owner::HOST, sealed: false, spi: Spi(0), info: &octets };
            clear.emit(&mut w, Numbers::Vendor(VENDOR), Subtype::IP).unwrap();
        }
        extension::open_authentication(&mut w, 34, key2.outbound, 32);
        let authenticator = crypto::hmac(&sa::association_auth(&key2, End::Second, true), &[w.bytes()]);
        w.put(&authenticator);
        arrives(&mut world, HOME_AGENT, w.bytes());
        assert!(nothing(&mut world), "{with_address}");
    }
    // One of ours, come back.
    let [own] = world.store.visitors[0].associations.as_slice().first_chunk().unwrap();
    let ours = Revoker::new(own, End::First).unwrap();
    let numbers = Numbers::Vendor(VENDOR);
    let reflected = ours.revoke(&right, HOME_ADDRESS, numbers, &mut Rng::from_seed([4; 32])).unwrap();
    arrives(&mut world, HOME_AGENT, &reflected);
    assert!(nothing(&mut world));
}

#[test]
fn one_that_is_late_spares_a_visitor_that_came_back() {
    let (mut world, mut mobile, old) = visited();
    let late = revocation(&old, &fixed(AGREED + 5), HOME_ADDRESS);
    let new = register(&mut world, &mut mobile, Some(AGREED + 6));
    arrives(&mut world, HOME_AGENT, &late);
    assert!(nothing(&mut world));
    // One of the same second may be from before, too.
    arrives(&mut world, HOME_AGENT, &revocation(&new, &fixed(AGREED + 6), HOME_ADDRESS));
    assert!(nothing(&mut world));
    assert_eq!(world.counter("revocation: not later than the registration"), 2);
    arrives(&mut world, HOME_AGENT, &revocation(&new, &fixed(AGREED + 7), HOME_ADDRESS));
    assert_eq!(acknowledged(&mut world, &new), [AGREED + 7]);
    // It came back: what was said of before counts no more, under whichever key.
    register(&mut world, &mut mobile, Some(AGREED + 9));
    for key2 in [&old, &new] {
        arrives(&mut world, HOME_AGENT, &revocation(key2, &fixed(AGREED + 8), HOME_ADDRESS));
        assert!(nothing(&mut world));
    }
    // What is said of it now does, even under a key of before: which reply arrived the home agent cannot know.
    arrives(&mut world, HOME_AGENT, &revocation(&old, &fixed(AGREED + 10), HOME_ADDRESS));
    assert_eq!(acknowledged(&mut world, &old), [AGREED + 10]);
    assert!(world.visitors().is_empty());
}

#[test]
fn times_compare_round_the_end_of_32_bits() {
    let mut world = World::new();
    let key2 = register(&mut world, &mut Mobile::new(), Some(u32::MAX));
    arrives(&mut world, HOME_AGENT, &revocation(&key2, &fixed(u32::MAX - 1), HOME_ADDRESS));
    assert!(world.visitors() == [HOME_ADDRESS]);
    arrives(&mut world, HOME_AGENT, &revocation(&key2, &fixed(3), HOME_ADDRESS));
    assert!(world.visitors().is_empty());
}

#[test]
fn where_none_was_agreed_on_there_is_none() {
    let mut world = World::new();
    let key2 = register(&mut world, &mut Mobile::new(), None);
    arrives(&mut world, HOME_AGENT, &revocation(&key2, &fixed(AGREED), HOME_ADDRESS));
    assert!(nothing(&mut world));
}

#[test]
fn a_restart_forgets_no_key_that_revokes() {
    let (world, _, key2) = visited();
    let mut world = world.restarted(config(), 5);
    world.did();
    arrives(&mut world, HOME_AGENT, &revocation(&key2, &fixed(AGREED + 5), HOME_ADDRESS));
    assert_eq!(acknowledged(&mut world, &key2), [AGREED + 5]);
    assert!(world.visitors().is_empty() && world.store.visitors.is_empty());
}

/// What was sent to home agents since the last look, opened as they do.
fn revoked(world: &mut World, key2: &Association) -> Vec<Revocation> {
    let at_home = Revoker::new(key2, End::Second).unwrap();
    let open = |(to, bytes): (Ipv4Addr, Vec<u8>)| {
        assert_eq!(to, HOME_AGENT);
        let message = Message::parse(&bytes, Revocation::LEN, VENDOR).unwrap();
        assert!(at_home.verifies(&message));
        assert_eq!(at_home.home_address(&message), Some(HOME_ADDRESS));
        Revocation::parse(&bytes).unwrap()
    };
    world.relayed().into_iter().map(open).collect()
}

fn dismiss(world: &mut World) {
    // A revocation of the same second as the registration would wait for the next.
    world.pass(Duration::from_secs(1));
    world.did();
    let ticket = Ticket(7);
    world.input(Input::Request(Request::RevokeVisitor { home_address: HOME_ADDRESS, ticket }));
}

fn acknowledge(world: &mut World, key2: &Association, home_address: Ipv4Addr, identifier: u32) {
    let fixed = Acknowledgement { inform: false, home_address, identifier };
    let bytes = Revoker::new(key2, End::Second).unwrap().acknowledge(&fixed);
    world.reply(HOME_AGENT, &bytes);
}

#[test]
fn a_visitor_that_is_sent_away_is_gone_before_its_home_agent_is_told() {
    let (mut world, _, key2) = visited();
    world.mode = StoreMode::Fails;
    dismiss(&mut world);
    assert!(matches!(world.did.as_slice(), [Did::Persist(2), Did::Notify(_), Did::Revoked(Err(_))]));
    assert_eq!((world.visitors().len(), revoked(&mut world, &key2)), (1, vec![]));
    world.mode = StoreMode::Works;
    dismiss(&mut world);
    let order = [
        matches!(world.did[0], Did::Persist(2)),
        matches!(world.did[1], Did::Tunnel(_)),
        matches!(&world.did[2], Did::Notify(event) if event.kind == EventKind::VisitorRemoved),
        matches!(world.did[3], Did::Revoked(Ok(()))),
        matches!(world.did[4], Did::Send(Transmit::Udp { .. })),
    ];
    assert_eq!(order, [true; 5], "{:?}", world.did);
    assert!(world.store.visitors.is_empty() && world.store.revocations.len() == 1);
    let sent = revoked(&mut world, &key2);
    let identifier = ntp_seconds(world.now.unix.as_secs());
    assert_eq!(sent, [Revocation { from_home: false, ..fixed(identifier) }]);
    // A second time there is nobody.
    dismiss(&mut world);
    let nobody = format!("{HOME_ADDRESS} is no visitor");
    assert_eq!(world.did(), [Did::Revoked(Err(nobody))]);
}

#[test]
fn its_home_agent_is_told_until_it_acknowledges() {
    let (mut world, _, key2) = visited();
    dismiss(&mut world);
    let first = revoked(&mut world, &key2)[0].identifier;
    let start = world.now.mono;
    let mut times = Vec::new();
    while times.len() < 4 {
        let at = world.wait.unwrap();
        world.pass(at - world.now.mono);
        for sent in revoked(&mut world, &key2) {
            times.push((world.now.mono - start).as_secs());
            assert_eq!(u64::from(sent.identifier - first), (world.now.mono - start).as_secs());
        }
    }
    assert_eq!(times, [1, 3, 7, 15]);
    // What answers something else, or is forged, stops nothing.
    acknowledge(&mut world, &key2, Ipv4Addr::UNSPECIFIED, first + 2);
    acknowledge(&mut world, &key2, HOME_ADDRESS, first);
    let mut forged = key2.duplicate();
    forged.key = Key::new([1; 32]);
    acknowledge(&mut world, &forged, Ipv4Addr::UNSPECIFIED, first);
    assert!(world.agent.dismissals.deadline().is_some());
    // An earlier one that was under way serves.
    acknowledge(&mut world, &key2, Ipv4Addr::UNSPECIFIED, first + 1);
    assert!(world.agent.dismissals.deadline().is_none());
    world.did();
    world.pass(Duration::from_secs(100));
    assert_eq!(revoked(&mut world, &key2), []);
    acknowledge(&mut world, &key2, Ipv4Addr::UNSPECIFIED, first);
    assert_eq!(world.counter("revocations acknowledged by home agents"), 1);
}

#[test]
fn it_is_told_no_longer_than_the_registration_would_have_lasted() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    mobile.fixed.lifetime = 30;
    let key2 = register(&mut world, &mut mobile, Some(AGREED));
    dismiss(&mut world);
    world.pass(Duration::from_secs(1000));
    assert_eq!(revoked(&mut world, &key2).len(), 5, "after 0, 1, 3, 7 and 15 seconds");
    assert!(world.store.revocations.is_empty());
    assert_eq!(world.counter("revocations not acknowledged"), 1);
}

#[test]
fn a_mobile_node_that_comes_back_is_not_revoked() {
    let (mut world, mut mobile, key2) = visited();
    dismiss(&mut world);
    register(&mut world, &mut mobile, Some(AGREED + 9));
    world.did();
    world.pass(Duration::from_secs(100));
    assert_eq!(revoked(&mut world, &key2), []);
    assert_eq!(world.visitors(), [HOME_ADDRESS]);
}

#[test]
fn a_home_agent_that_did_not_agree_is_not_told() {
    let mut world = World::new();
    let key2 = register(&mut world, &mut Mobile::new(), None);
    dismiss(&mut world);
    assert!(world.visitors().is_empty());
    world.did();
    world.pass(Duration::from_secs(10));
    assert_eq!(revoked(&mut world, &key2), []);
}

#[test]
fn a_restart_goes_on_telling_the_home_agent() {
    let (mut world, _, key2) = visited();
    dismiss(&mut world);
    let first = revoked(&mut world, &key2)[0].identifier;
    let mut world = world.restarted(config(), 5);
    let again = revoked(&mut world, &key2);
    assert_eq!(again.iter().map(|sent| sent.identifier - first).collect::<Vec<_>>(), [5]);
    acknowledge(&mut world, &key2, Ipv4Addr::UNSPECIFIED, first);
    assert_eq!(world.store.revocations.len(), 1, "what the process before sent is not known");
    acknowledge(&mut world, &key2, Ipv4Addr::UNSPECIFIED, first + 5);
    assert!(world.store.revocations.is_empty() && world.agent.dismissals.deadline().is_none());
}

#[test]
fn a_new_registration_and_the_end_of_the_telling_are_one_commit() {
    let (mut world, mut mobile, _) = visited();
    dismiss(&mut world);
    world.pass(Duration::from_secs(1));
    let request = mobile.request(&world.challenge(LINK));
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    let relayed = world.relayed();
    // While the home agent is asked, nothing is sent that it could take for the end of what it is about to grant.
    world.pass(Duration::from_secs(5));
    assert!(world.relayed().is_empty());
    world.mode = StoreMode::Holds;
    let reply = HomeAgentScript::new().reply(&relayed.last().unwrap().1);
    world.reply(HOME_AGENT, &reply);
    let [(_, changes)] = world.held.as_slice() else { panic!("one commit") };
    let put = changes.iter().any(|c| matches!(c, Change::PutVisitor(_)));
    assert!(put && changes.iter().any(|c| matches!(c, Change::RemoveRevocation { .. })));
    world.release();
    assert!(world.store.revocations.is_empty() && world.agent.dismissals.deadline().is_none());
}

/// The sequence numbers of advertisements that were for this mobile node alone.
fn told(world: &World, mobile: &Mobile) -> Vec<u16> {
    let alone = world.advertised(LINK).into_iter().filter(|(_, to)| *to == mobile.station);
    alone.map(|(advertisement, _)| advertisement.agent().unwrap().sequence).collect()
}

fn deciding(inform: Inform) -> World {
    World::with(Config { inform, ..config() })
}

#[test]
fn a_mobile_node_is_told_by_a_sequence_that_begins_anew_until_it_registers() {
    let (mut world, mut mobile, key2) = visited();
    world.did();
    arrives(&mut world, HOME_AGENT, &revocation(&key2, &fixed(AGREED + 5), HOME_ADDRESS));
    assert_eq!(told(&world, &mobile), [0]);
    world.pass(Duration::from_secs(10));
    assert_eq!(told(&world, &mobile), [0, 0, 0], "the link may lose it");
    assert!(world.wait.is_some());
    let key2 = register(&mut world, &mut mobile, Some(AGREED + 6));
    world.did();
    arrives(&mut world, HOME_AGENT, &revocation(&key2, &fixed(AGREED + 9), HOME_ADDRESS));
    register(&mut world, &mut mobile, Some(AGREED + 10));
    world.did();
    world.pass(Duration::from_secs(10));
    assert_eq!(told(&world, &mobile), [], "it knows");
}

#[test]
fn who_is_told_is_as_configured_and_agreed_on() {
    // Offered, agreed to by the home agent, flag I of the revocation: whether the node is told, I of the answer.
    for (inform, agreed, asked, tells, answered) in [
        (Inform::Always, false, false, true, false),
        (Inform::Always, false, true, true, true),
        (Inform::Never, false, true, false, false),
        (Inform::HomeAgentDecides, false, false, true, false),
        (Inform::HomeAgentDecides, true, false, false, false),
        (Inform::HomeAgentDecides, true, true, true, true),
        (Inform::Always, true, false, true, false),
    ] {
        let mut world = deciding(inform);
        let mut mobile = Mobile::new();
        let key2 = register_agreeing(&mut world, &mut mobile, agreed);
        world.did();
        let message = Revocation { inform: asked, ..fixed(AGREED + 5) };
        arrives(&mut world, HOME_AGENT, &revocation(&key2, &message, HOME_ADDRESS));
        assert_eq!(!told(&world, &mobile).is_empty(), tells, "{inform:?} {agreed} {asked}");
        let answer = world.relayed_to(FROM).pop().unwrap();
        assert_eq!(Acknowledgement::parse(&answer).unwrap().inform, answered, "{inform:?} {agreed} {asked}");
    }
}

fn register_agreeing(world: &mut World, mobile: &mut Mobile, inform: bool) -> Association {
    let request = mobile.request(&world.challenge(LINK));
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    let relayed = world.relayed().pop().unwrap().1;
    let mut script = HomeAgentScript::new();
    (script.revocable, script.inform) = (Some(AGREED), inform);
    world.reply(HOME_AGENT, &script.reply(&relayed));
    script.key2.unwrap()
}

#[test]
fn before_a_node_is_sent_away_quietly_its_home_agent_is_asked() {
    for wanted in [true, false] {
        let mut world = deciding(Inform::HomeAgentDecides);
        let mut mobile = Mobile::new();
        let key2 = register_agreeing(&mut world, &mut mobile, true);
        dismiss(&mut world);
        assert_eq!(told(&world, &mobile), []);
        let sent = revoked(&mut world, &key2);
        assert!(sent[0].inform);
        let fixed = Acknowledgement {
            inform: wanted,
            home_address: Ipv4Addr::UNSPECIFIED,
            identifier: sent[0].identifier,
        };
        world.reply(HOME_AGENT, &Revoker::new(&key2, End::Second).unwrap().acknowledge(&fixed));
        assert_eq!(!told(&world, &mobile).is_empty(), wanted);
    }
    // Nobody answers: robustness says to tell.
    let mut world = deciding(Inform::HomeAgentDecides);
    let mut mobile = Mobile::new();
    mobile.fixed.lifetime = 30;
    register_agreeing(&mut world, &mut mobile, true);
    dismiss(&mut world);
    world.did();
    world.pass(Duration::from_secs(40));
    assert_eq!(told(&world, &mobile), [0, 0, 0]);
}

#[test]
fn a_reply_that_a_revocation_overtook_makes_no_visitor() {
    for held in [false, true] {
        let (mut world, mut mobile, old) = visited();
        world.pass(Duration::from_secs(1));
        let request = mobile.request(&world.challenge(LINK));
        world.did();
        world.packet(LINK, mobile.station, &mobile.packet(&request));
        let relayed = world.relayed().pop().unwrap().1;
        let mut script = HomeAgentScript::new();
        script.revocable = Some(AGREED + 5);
        let reply = script.reply(&relayed);
        // The home agent granted, then revoked, and its messages changed places on the way.
        if held {
            world.mode = StoreMode::Holds;
        }
        arrives(&mut world, HOME_AGENT, &revocation(&old, &fixed(AGREED + 6), HOME_ADDRESS));
        world.reply(HOME_AGENT, &reply);
        world.release();
        assert!(world.visitors().is_empty() && world.store.visitors.is_empty(), "{held}");
        // It comes back later than that.
        register(&mut world, &mut mobile, Some(AGREED + 7));
        assert_eq!(world.visitors(), [HOME_ADDRESS]);
    }
}

#[test]
fn both_ends_at_once_need_no_more_telling() {
    let (mut world, _, key2) = visited();
    dismiss(&mut world);
    world.did();
    arrives(&mut world, HOME_AGENT, &revocation(&key2, &fixed(AGREED + 9), HOME_ADDRESS));
    assert_eq!(acknowledged(&mut world, &key2), [AGREED + 9]);
    assert!(world.store.revocations.is_empty() && world.agent.dismissals.deadline().is_none());
}
