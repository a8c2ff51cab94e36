//! Key shares, and the cookie of a home agent that hears us directly.

use wire::{
    Writer,
    mip::{
        code::Code,
        ours::{DOCUMENTATION_VENDOR, Subtype},
        registration::{Reply, Request as Fixed},
        share::{Cookie, Group},
    },
};

use super::{super::*, world::*};

fn asking(config: Config) -> (World, Asked) {
    let mut world = World::with(config, MobileNodeState::default(), T);
    world.link_up();
    world.hear(&fa_a());
    let asked = world.last();
    (world, asked)
}

/// The reply is ignored, and the right one still taken.
fn refused(change: impl FnOnce(&Asked, &mut Answer)) {
    let (mut world, asked) = asking(config());
    let mut answer = Answer::accept(&asked, Some(&fa_a()));
    change(&asked, &mut answer);
    world.reply(&asked, &answer.bytes(&asked));
    assert_eq!((world.state(), world.counter("reply refused")), (State::Registering, 1));
    assert!(world.routes.is_empty() && world.node.associations().count() == 0);
    world.reply(&asked, &Answer::accept(&asked, Some(&fa_a())).bytes(&asked));
    assert_eq!(world.state(), State::Registered);
}

#[test]
fn every_request_has_a_share_of_its_own() {
    let (mut world, _) = asking(config());
    world.seconds_hearing(60, &mut fa_a());
    let shares: Vec<_> = world.asked.iter().map(|a| a.parts().mobile.key_share.unwrap()).collect();
    assert!(shares.len() > 5 && shares.iter().all(|s| s.group == Group::X25519));
    for (i, share) in shares.iter().enumerate() {
        assert!(!shares[..i].contains(share));
    }
}

#[test]
fn at_home_there_is_none_but_for_the_realms_key() {
    assert!(World::at_home().last().parts().mobile.key_share.is_none());
    let mut world = World::with(one_time(), lost(), T);
    world.link_up();
    world.hear(&home_agent());
    assert!(world.last().parts().mobile.key_share.is_some());
}

#[test]
fn the_order_of_a_request() {
    let (world, asked) = asking(config());
    let kinds: Vec<_> = wire::mip::extension::walk(&asked.bytes, Fixed::LEN)
        .unwrap()
        .iter()
        .map(|e| (e.kind, wire::mip::ours::parse(e).unwrap().map(|o| o.subtype)))
        .collect();
    let ours = [Subtype::NAI, Subtype::IP, Subtype::LAYER_2, Subtype::AGENT_HEARD, Subtype::KEY_SHARE];
    let mut expected = vec![(131, None)];
    expected.extend(ours.map(|subtype| (38, Some(subtype))));
    expected.extend([(32, None), (132, None)]);
    assert_eq!(kinds, expected);
    drop(world);
    let mut world = World::new();
    world.link_up();
    world.address();
    let extensions = wire::mip::extension::walk(&world.last().bytes, Fixed::LEN).unwrap().len();
    assert_eq!(extensions, 8);
    let last = world.last();
    let tail = wire::mip::extension::walk(&last.bytes, Fixed::LEN).unwrap();
    assert_eq!(tail[4..].iter().map(|e| e.kind).collect::<Vec<_>>(), [38, 137, 144, 32]);
}

#[test]
fn an_acceptance_without_the_answering_share_is_refused() {
    refused(|_, a| a.share = Share::None);
    refused(|_, a| a.share = Share::Stripped);
    refused(|_, a| a.share = Share::Idle);
}

#[test]
fn shares_that_do_not_serve_are_refused() {
    let one = [&[1][..], &[0; 31]].concat();
    for (group, value) in [
        (Group::X25519, vec![0; 32]),
        (Group::X25519, one),
        (Group::X25519, vec![7; 31]),
        (Group::X25519, vec![7; 33]),
        (Group::X25519, vec![7; 32]),
        (Group(19), vec![7; 32]),
        (Group(35), vec![7; 1184]),
    ] {
        refused(|_, a| a.share = Share::Wrong(group, value));
    }
    // The own share reflected.
    refused(|asked, a| {
        a.share = Share::Wrong(Group::X25519, asked.parts().mobile.key_share.unwrap().value.to_vec());
    });
}

#[test]
fn a_share_changed_on_the_way_is_noticed() {
    let (mut world, asked) = asking(config());
    let right = Answer::accept(&asked, Some(&fa_a())).bytes(&asked);
    let share = wire::mip::part::Parts::parse(&right, Reply::LEN, DOCUMENTATION_VENDOR).unwrap();
    let value = share.mobile.key_share.unwrap().value;
    let at = value.as_ptr() as usize - right.as_ptr() as usize;
    for byte in at - 2..at + 32 {
        let mut wrong = right.clone();
        wrong[byte] ^= 4;
        world.reply(&asked, &wrong);
        assert_eq!(world.state(), State::Registering);
    }
    world.reply(&asked, &right);
    assert_eq!(world.state(), State::Registered);
}

#[test]
fn without_forward_secrecy_by_enrolment() {
    let bare = || Config { no_fs: true, ..config() };
    let (mut world, asked) = asking(bare());
    assert!(asked.parts().mobile.key_share.is_none());
    // A share that nobody offered to answer.
    let unasked = Answer { share: Share::Wrong(Group::X25519, vec![7; 32]), ..accepting(&asked) };
    world.reply(&asked, &unasked.bytes(&asked));
    assert_eq!((world.state(), world.counter("reply refused")), (State::Registering, 1));
    world.reply(&asked, &accepting(&asked).bytes(&asked));
    assert_eq!(world.state(), State::Registered);
}

fn accepting(asked: &Asked) -> Answer {
    Answer::accept(asked, Some(&fa_a()))
}

#[test]
fn denials_and_deregistrations_have_none() {
    let (mut world, asked) = asking(config());
    let answer = Answer { share: Share::Idle, ..Answer::deny(&asked, Code::HA_RESOURCES) };
    world.reply(&asked, &answer.bytes(&asked));
    assert_eq!((world.saw(EventKind::Denied), world.counter("reply refused")), (0, 1));
    world.reply(&asked, &Answer::deny(&asked, Code::HA_RESOURCES).bytes(&asked));
    assert_eq!(world.saw(EventKind::Denied), 1);

    let mut world = World::registered_through(&fa_a());
    world.seconds(2);
    world.request(Request::Deregister);
    let asked = world.last();
    assert!(asked.parts().mobile.key_share.is_some(), "it looks like any other");
    let answer = Answer { share: Share::Idle, ..accepting(&asked) };
    world.reply(&asked, &answer.bytes(&asked));
    assert!(world.deregistered.is_empty());
    world.reply(&asked, &accepting(&asked).bytes(&asked));
    assert_eq!(world.deregistered, [Ok(())]);
}

/// A reply that only asks for the request again.
fn cookie(asked: &Asked, cookie: [u8; 16]) -> Vec<u8> {
    let mut w = Writer::default();
    let reply = Reply {
        code: Code::HA_UNSPECIFIED,
        lifetime: 0,
        home_address: asked.fixed.home_address,
        home_agent: HOME_AGENT,
        identification: asked.fixed.identification,
    };
    reply.emit(&mut w);
    Cookie(cookie).emit(&mut w, NUMBERS).unwrap();
    w.into_bytes()
}

fn lost() -> MobileNodeState {
    MobileNodeState { lost: true, ..MobileNodeState::default() }
}

#[test]
fn a_cookie_is_brought_back_with_the_same_bytes_twice_at_most() {
    let mut world = World::with(one_time(), lost(), T);
    world.link_up();
    world.address();
    let asked = world.last();
    assert!(asked.spi().names_realm_key());
    for n in 1..=4_u8 {
        world.reply(&asked, &cookie(&asked, [n; 16]));
        let again = world.last();
        assert_eq!(world.asked.len(), 1 + usize::from(n.min(2)));
        let mut w = Writer::after(asked.bytes.clone());
        Cookie([n.min(2); 16]).emit(&mut w, NUMBERS).unwrap();
        assert_eq!((again.bytes, again.source), (w.into_bytes(), asked.source));
    }
    assert_eq!((world.counter("cookies returned"), world.counter("cookie for no request")), (2, 2));
    // The answer to the repeated bytes is the answer to the request: T1 does not know of the cookie.
    let answer = Answer { counts_from: Some(9), ..Answer::accept(&asked, None) };
    world.reply(&asked, &answer.bytes(&asked));
    assert_eq!(world.state(), State::Registered);
}

#[test]
fn a_cookie_is_brought_back_whatever_names_the_node() {
    // A home agent under load asks for one of every request that no agent vouches for.
    let mut world = World::with(one_time(), MobileNodeState::default(), T);
    world.link_up();
    world.address();
    let asked = world.last();
    assert!(!asked.spi().names_realm_key());
    world.reply(&asked, &cookie(&asked, [1; 16]));
    let mut w = Writer::after(asked.bytes.clone());
    Cookie([1; 16]).emit(&mut w, NUMBERS).unwrap();
    assert_eq!((world.asked.len(), world.last().bytes), (2, w.into_bytes()));
    let answer = Answer::accept(&asked, None);
    world.reply(&asked, &answer.bytes(&asked));
    assert_eq!(world.state(), State::Registered);
}

#[test]
fn a_cookie_for_any_other_request_is_ignored() {
    // Through a foreign agent.
    let mut world = World::with(one_time(), lost(), T);
    world.link_up();
    world.hear(&fa_a());
    let asked = world.last();
    assert!(asked.spi().names_realm_key());
    world.reply(&asked, &cookie(&asked, [1; 16]));
    assert_eq!(world.asked.len(), 1);
    assert_eq!(world.counter("cookie for no request"), 1);
    // Under another code, or with anything beside it, it is no cookie at all.
    let mut world = World::with(one_time(), lost(), T);
    world.link_up();
    world.address();
    let asked = world.last();
    let mut other = cookie(&asked, [1; 16]);
    other[1] = Code::HA_RESOURCES.0;
    world.reply(&asked, &other);
    world.reply(&asked, &[&cookie(&asked, [1; 16])[..], &[200, 0]].concat());
    assert_eq!(world.asked.len(), 1);
}
