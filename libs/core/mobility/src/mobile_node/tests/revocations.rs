//! Revocations by the home agent.

use std::net::{Ipv4Addr, SocketAddrV4};

use crypto::Rng;
use record::{Association, AssociationKind, Suite};
use sa::{End, KeyInfo, Own};
use sansio::{Datagram, Input};
use wire::mip::{
    Spi,
    ours::{DOCUMENTATION_VENDOR as VENDOR, Numbers},
    registration::ntp_seconds,
    revocation::{Acknowledgement, Message, Revocation},
};

use super::{
    super::{Config, Route, State},
    world::*,
};
use crate::revocation::Revoker;

/// The home agent's clock when it accepted.
const AGREED: u32 = 5_000_000;

/// KEY 1 as the home agent has it.
fn at_home(key1: &KeyInfo) -> Association {
    let mut association = key1.duplicate().into_association(Suite::default(), Own::Nothing, T).unwrap();
    std::mem::swap(&mut association.own, &mut association.peer);
    std::mem::swap(&mut association.inbound, &mut association.outbound);
    association
}

/// The last request is accepted, with 137 if a time is given.
fn accept(world: &mut World, revocable: Option<u32>) -> Association {
    let asked = world.last();
    let answer = Answer { revocable, ..Answer::accept(&asked, None) };
    world.reply(&asked, &answer.bytes(&asked));
    assert_eq!(world.state(), State::Registered);
    at_home(answer.keys.iter().find(|k| k.kind == AssociationKind::Key1).unwrap())
}

fn registered(revocable: Option<u32>) -> (World, Association) {
    let mut world = World::new();
    world.link_up();
    world.address();
    let key1 = accept(&mut world, revocable);
    (world, key1)
}

fn fixed(identifier: u32) -> Revocation {
    Revocation {
        from_home: true,
        inform: true,
        home_address: Ipv4Addr::UNSPECIFIED,
        home_agent: HOME_AGENT,
        care_of: CARE_OF,
        identifier,
    }
}

fn revocation(key1: &Association, fixed: &Revocation, home_address: Ipv4Addr) -> Vec<u8> {
    let revoker = Revoker::new(key1, End::Second).unwrap();
    revoker.revoke(fixed, home_address, Numbers::Vendor(VENDOR), &mut Rng::from_seed([3; 32])).unwrap()
}

fn arrives(world: &mut World, payload: &[u8]) {
    from(world, HOME_AGENT, payload);
}

fn from(world: &mut World, source: Ipv4Addr, payload: &[u8]) {
    let datagram = Datagram::Udp {
        source: SocketAddrV4::new(source, 434),
        destination: SocketAddrV4::new(CARE_OF, 434),
        payload,
    };
    world.input(Input::Datagram(datagram));
}

/// Identifiers of what was acknowledged since the last look, opened as the home agent does.
fn acknowledged(world: &mut World, key1: &Association) -> Vec<u32> {
    let revoker = Revoker::new(key1, End::Second).unwrap();
    let open = |(source, destination, bytes): (SocketAddrV4, SocketAddrV4, Vec<u8>)| {
        assert_eq!(
            (source, destination.port()),
            (SocketAddrV4::new(CARE_OF, 434), 434),
            "from where it went to"
        );
        let message = Message::parse(&bytes, Acknowledgement::LEN, VENDOR).unwrap();
        assert!(revoker.verifies(&message) && message.kind == 32);
        let fixed = Acknowledgement::parse(&bytes).unwrap();
        assert!(fixed.inform && fixed.home_address.is_unspecified());
        fixed.identifier
    };
    std::mem::take(&mut world.acknowledged).into_iter().map(open).collect()
}

fn nothing(world: &World) -> bool {
    world.acknowledged.is_empty() && world.state() == State::Registered
}

#[test]
fn with_an_address_of_its_own_it_wants_to_know_and_through_an_agent_it_does_not_ask() {
    let (world, _) = registered(Some(AGREED));
    let support = world.last().parts().mobile.revocation.unwrap();
    assert!(!support.inform && support.timestamp.abs_diff(ntp_seconds(T)) < 2);
    assert!(World::registered_through(&fa_a()).last().parts().mobile.revocation.is_none());
    assert!(World::at_home().last().parts().mobile.revocation.is_none());
    let mut world = World::with(Config { revocation: false, ..config() }, Default::default(), T);
    world.link_up();
    world.address();
    assert!(world.last().parts().mobile.revocation.is_none());
    // Unasked it is not agreed on.
    let key1 = accept(&mut world, Some(AGREED));
    arrives(&mut world, &revocation(&key1, &fixed(AGREED + 5), HOME));
    assert!(nothing(&world));
}

#[test]
fn a_revoked_registration_is_acknowledged_and_asked_for_again() {
    let (mut world, key1) = registered(Some(AGREED));
    world.seconds(5);
    let asked = world.asked.len();
    arrives(&mut world, &revocation(&key1, &fixed(AGREED + 5), HOME));
    assert_eq!(acknowledged(&mut world, &key1), [AGREED + 5]);
    assert!(matches!(world.routes.last(), Some(Route::CareOf { .. })), "no tunnel any more");
    assert_eq!((world.state(), world.asked.len()), (State::Registering, asked + 1));
    // The acknowledgement was lost: again, once for each time.
    for again in [6, 6, 5] {
        arrives(&mut world, &revocation(&key1, &fixed(AGREED + again), HOME));
    }
    assert_eq!(acknowledged(&mut world, &key1), [AGREED + 6]);
    // It came back: what was said before counts no more, whatever is repeated.
    let new = accept(&mut world, Some(AGREED + 7));
    for late in [5, 6, 7] {
        arrives(&mut world, &revocation(&key1, &fixed(AGREED + late), HOME));
        arrives(&mut world, &revocation(&new, &fixed(AGREED + late), HOME));
    }
    assert!(nothing(&world));
    arrives(&mut world, &revocation(&new, &fixed(AGREED + 8), HOME));
    assert_eq!(acknowledged(&mut world, &new), [AGREED + 8]);
    world.seconds(61);
    arrives(&mut world, &revocation(&new, &fixed(AGREED + 80), HOME));
    assert_eq!(acknowledged(&mut world, &new), [], "forgotten");
}

#[test]
fn a_forged_one_changes_nothing() {
    let (mut world, key1) = registered(Some(AGREED));
    let good = revocation(&key1, &fixed(AGREED + 5), HOME);
    for i in 0..good.len() {
        for bit in [0x01, 0x80] {
            let mut changed = good.clone();
            changed[i] ^= bit;
            arrives(&mut world, &changed);
            assert!(nothing(&world), "byte {i}");
        }
        arrives(&mut world, &good[..i]);
        assert!(nothing(&world), "cut at {i}");
    }
    arrives(&mut world, &[&good[..], &[0]].concat());
    from(&mut world, Ipv4Addr::new(10, 11, 1, 3), &good);
    assert!(nothing(&world));
    // Under KEY 2 it would be an agent's, and one of ours come back is no revocation of the home agent's.
    let mut other = key1.duplicate();
    other.kind = AssociationKind::Key2;
    arrives(&mut world, &revocation(&other, &fixed(AGREED + 5), HOME));
    let own = world.node.associations().find(|a| a.kind == AssociationKind::Key1).unwrap().duplicate();
    let ours = Revoker::new(&own, End::First).unwrap();
    let numbers = Numbers::Vendor(VENDOR);
    let reflected = ours.revoke(&fixed(AGREED + 5), HOME, numbers, &mut Rng::from_seed([4; 32])).unwrap();
    arrives(&mut world, &reflected);
    assert!(nothing(&world));
    arrives(&mut world, &good);
    assert_eq!(acknowledged(&mut world, &key1), [AGREED + 5]);
}

#[test]
fn what_contradicts_itself_or_was_not_agreed_on_changes_nothing() {
    let (mut world, key1) = registered(Some(AGREED));
    let right = fixed(AGREED + 5);
    for wrong in [
        Revocation { from_home: false, ..right },
        Revocation { home_address: HOME, ..right },
        Revocation { home_agent: CARE_OF, ..right },
        Revocation { care_of: GATEWAY, ..right },
        Revocation { identifier: AGREED, ..right },
        Revocation { identifier: AGREED - 1, ..right },
    ] {
        arrives(&mut world, &revocation(&key1, &wrong, HOME));
        assert!(nothing(&world), "{wrong:?}");
    }
    arrives(&mut world, &revocation(&key1, &right, CARE_OF));
    assert!(nothing(&world), "another home address");
    let (mut world, key1) = registered(None);
    arrives(&mut world, &revocation(&key1, &right, HOME));
    assert!(nothing(&world), "none was agreed on");
}

#[test]
fn through_an_agent_it_takes_none() {
    let mut world = World::registered_through(&fa_a());
    let held = world.node.associations().find(|a| a.kind == AssociationKind::Key1).unwrap().duplicate();
    let mut key1 = held;
    std::mem::swap(&mut key1.own, &mut key1.peer);
    std::mem::swap(&mut key1.inbound, &mut key1.outbound);
    arrives(&mut world, &revocation(&key1, &fixed(u32::MAX), HOME));
    assert!(nothing(&world));
    assert_ne!(key1.inbound, Spi(0));
}

#[test]
fn an_agent_that_says_the_registration_is_gone_is_registered_with_again() {
    let mut agent = fa_a();
    let mut world = World::registered_through(&agent);
    world.seconds_hearing(5, &mut agent);
    let asked = world.asked.len();
    // To us alone, as if it counted from 0 again (RFC 3543 section 4.1).
    let mut alone = agent.clone();
    alone.sequence = 0;
    world.hear(&alone);
    assert_eq!(world.asked.len(), asked + 1);
    assert!(world.last().parts().foreign.mobile_foreign.is_none(), "it may know KEY 3 no more");
    world.accept(Some(&agent));
    // Regular ones go on where they were, and mean nothing.
    world.seconds_hearing(70, &mut agent);
    assert_eq!(world.asked.len(), asked + 1);
}
