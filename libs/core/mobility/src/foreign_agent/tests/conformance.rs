//! Rules of the RFCs that no other test shows (docs/conformance.md).

use wire::mip::{
    advertisement::ALL_AGENTS,
    part::Parts,
    registration::{Flags, Request as Fixed},
};

use super::{
    script::{HomeAgentScript, Mobile},
    *,
};

/// Where the checksum of UDP stands in a packet without options.
const UDP_CHECKSUM: std::ops::Range<usize> = 26..28;

/// Whether a request was relayed whose packet was `change`d.
fn relayed(change: impl FnOnce(&mut Vec<u8>)) -> bool {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    let request = mobile.request(&world.challenge(LINK));
    let mut packet = mobile.packet(&request);
    change(&mut packet);
    world.did();
    world.packet(LINK, mobile.station, &packet);
    let relays = |did: &Did| match did {
        Did::Send(Transmit::Udp { .. }) => true,
        Did::Notify(event) => event.kind == EventKind::RequestRelayed,
        _ => false,
    };
    assert!(world.did.iter().all(relays), "no denial either");
    !world.relayed().is_empty()
}

#[test]
fn a_wrong_udp_checksum_is_silence_and_a_zero_one_is_not() {
    assert!(relayed(|_| {}));
    assert!(!relayed(|packet| packet[UDP_CHECKSUM.start] ^= 1));
    assert!(!relayed(|packet| *packet.last_mut().unwrap() ^= 1));
    assert!(relayed(|packet| packet[UDP_CHECKSUM].fill(0)));
}

/// True if no registration message is among what was done.
fn no_registration_message(did: &[Did]) -> bool {
    did.iter().all(|did| match did {
        Did::Send(Transmit::Udp { .. }) => false,
        Did::Send(Transmit::Link { packet, .. }) => ip::parse_udp(packet).is_err(),
        Did::Persist(_) | Did::Tunnel(_) | Did::Revoked(_) | Did::Notify(_) => true,
    })
}

#[test]
fn an_agent_that_nobody_asks_sends_no_registration_message() {
    let mut world = World::new();
    world.pass(Duration::from_secs(1000));
    assert!(world.advertised(LINK).len() >= 1000);
    assert!(no_registration_message(&world.did()));
}

#[test]
fn the_end_of_a_visit_makes_no_registration_message() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    mobile.fixed.lifetime = 30;
    world.register(&mut mobile);
    world.did();
    world.pass(Duration::from_secs(60));
    assert!(world.visitors().is_empty());
    assert!(no_registration_message(&world.did()));
}

#[test]
fn another_denial_copies_the_lifetime() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    mobile.fixed.lifetime = 123;
    mobile.ttl = 3;
    let request = mobile.request(&world.challenge(LINK));
    world.did();
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    let reply = Reply::parse(&world.replies()[0].3).unwrap();
    assert_eq!((reply.code, reply.lifetime), (Code::FA_TOO_DISTANT, 123));
}

#[test]
fn a_request_to_all_agents_is_denied_from_our_address() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    (mobile.ttl, mobile.to) = (1, ALL_AGENTS);
    mobile.fixed.lifetime = 601;
    let request = mobile.request(&world.challenge(LINK));
    world.did();
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    // Their source is looked at where replies are taken from the link: our address there.
    assert_eq!(world.codes(), [Code::FA_LIFETIME]);
}

#[test]
fn a_reply_with_a_wrong_34_is_told_to_the_operator() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    let request = mobile.request(&world.challenge(LINK));
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    let (to, relayed) = world.relayed().pop().unwrap();
    let mut reply = HomeAgentScript::of(to).reply(&relayed);
    *reply.last_mut().unwrap() ^= 1;
    world.reply(to, &reply);
    let did = world.did();
    let [Did::Notify(event)] = did.as_slice() else { panic!("{did:?}") };
    assert_eq!(event.kind, EventKind::Discarded);
    assert_eq!(world.counter("reply: 34 is missing or wrong"), 1);
}

/// The request as the home agent gets it.
fn sent_home(config: Config, change: impl FnOnce(&mut Fixed)) -> Vec<u8> {
    let mut world = World::with(config);
    let mut mobile = Mobile::new();
    change(&mut mobile.fixed);
    let request = mobile.request(&world.challenge(LINK));
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    world.relayed().pop().unwrap().1
}

#[test]
fn a_deregistration_of_another_care_of_address_gets_no_34() {
    let bytes = sent_home(config(), |fixed| {
        fixed.lifetime = 0;
        fixed.care_of = Ipv4Addr::new(10, 52, 1, 2);
    });
    let parts = Parts::parse(&bytes, Fixed::LEN, VENDOR).unwrap();
    assert!(parts.foreign_home.is_none() && parts.foreign.handle.is_some());
}

#[test]
fn udp_is_not_asked_for_a_co_located_address() {
    let config = Config { encapsulation: Encapsulation::Udp, ..config() };
    let bytes = sent_home(config, |fixed| {
        fixed.flags.0 |= Flags::DECAPSULATION;
        fixed.care_of = Ipv4Addr::new(10, 21, 1, 77);
    });
    assert!(Parts::parse(&bytes, Fixed::LEN, VENDOR).unwrap().foreign.udp_request.is_none());
}
