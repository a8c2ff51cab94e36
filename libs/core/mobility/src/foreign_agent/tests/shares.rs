//! Key shares between us and home agents.

use wire::mip::{
    extension,
    ours::Numbers,
    part::Parts,
    registration::{Flags, Request as Fixed},
    share::Group,
};

use super::{
    script::{HomeAgentScript, Mobile, Piece, ours},
    *,
};

/// The share in a relayed request.
fn share(relayed: &[u8]) -> Option<Vec<u8>> {
    let share = Parts::parse(relayed, Fixed::LEN, VENDOR).unwrap().foreign.key_share?;
    assert_eq!((share.group, share.value.len()), (Group::X25519, 32));
    Some(share.value.to_vec())
}

fn relay(world: &mut World, mobile: &mut Mobile) -> Vec<u8> {
    let advertised = world.advertised(LINK).pop();
    let request = mobile.request(advertised.expect("a challenge").0.challenge().unwrap());
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    let sent = |did: &Did| match did {
        Did::Send(Transmit::Udp { payload, .. }) => Some(payload.clone()),
        _ => None,
    };
    let relayed = world.did.iter().rev().find_map(sent).expect("relayed");
    world.did.retain(|did| matches!(did, Did::Send(Transmit::Link { to: [1, ..], .. })));
    relayed
}

/// What happens to an acceptance that the home agent makes of a request by `change`.
fn told(config: Config, change: impl FnOnce(&mut HomeAgentScript)) -> Vec<u8> {
    let mut world = World::with(config);
    let relayed = relay(&mut world, &mut Mobile::new());
    let mut script = HomeAgentScript::new();
    change(&mut script);
    world.reply(HOME_AGENT, &script.reply(&relayed));
    let codes: Vec<u8> = world.codes().iter().map(|code| code.0).collect();
    assert_eq!(world.store.visitors.len(), usize::from(codes == [0]), "{codes:?}");
    assert_eq!(world.agent.pending(), 0);
    codes
}

fn without_fs() -> Config {
    let mut config = config();
    config.home_agents[0].no_fs = true;
    config
}

const GOOD: [Piece; 4] = [Piece::Handle, Piece::Key2, Piece::Key3, Piece::Ip];

fn with(piece: Piece) -> Option<Vec<Piece>> {
    Some([&GOOD[..], &[piece]].concat())
}

/// A key share with this group and value.
fn raw(group: u16, value: &[u8]) -> Piece {
    Piece::Raw(ours(Numbers::Vendor(VENDOR), 9, &[&group.to_be_bytes()[..], value].concat()))
}

#[test]
fn a_share_stands_in_our_part_where_keys_are_answered() {
    let mut config = config();
    config.encapsulation = Encapsulation::Udp;
    let mut world = World::with(config);
    let relayed = relay(&mut world, &mut Mobile::new());
    let value = share(&relayed).expect("a share");
    let of_share: Vec<u8> = [&31_u16.to_be_bytes()[..], &value].concat();
    let kinds: Vec<(u8, bool)> = extension::walk(&relayed, Fixed::LEN)
        .unwrap()
        .iter()
        .map(|e| (e.kind, e.data.ends_with(&of_share)))
        .skip_while(|(kind, _)| *kind != extension::MN_HA_AUTHENTICATION)
        .collect();
    let expected = [
        (32, false),
        (38, false),
        (38, false),
        (38, false),
        (38, true),
        (137, false),
        (144, false),
        (34, false),
    ];
    assert_eq!(kinds, expected, "name, address, handle, share, 137, 144 before 34");
}

#[test]
fn without_keys_to_come_there_is_none() {
    let mut mobile = Mobile::new();
    mobile.fixed.lifetime = 0;
    assert_eq!(share(&relay(&mut World::new(), &mut mobile)), None);
    let mut mobile = Mobile::new();
    mobile.fixed.flags.0 |= Flags::DECAPSULATION;
    mobile.fixed.care_of = Ipv4Addr::new(10, 21, 1, 77);
    assert_eq!(share(&relay(&mut World::new(), &mut mobile)), None);
    assert_eq!(share(&relay(&mut World::with(without_fs()), &mut Mobile::new())), None);
}

#[test]
fn it_serves_many_for_53_seconds_and_one_home_agent_only() {
    let mut world = World::new();
    let mut ask = |after: u64, home_agent| {
        world.pass(Duration::from_millis(after));
        let mut mobile = Mobile::new();
        mobile.fixed.home_agent = home_agent;
        mobile.fixed.identification.0 += world.now.mono.since_start().as_secs() << 32;
        share(&relay(&mut world, &mut mobile)).unwrap()
    };
    let first = ask(0, HOME_AGENT);
    let other = ask(0, OTHER_HOME_AGENT);
    assert_ne!(first, other, "two home agents see no common value");
    assert_eq!(ask(52_999, HOME_AGENT), first);
    assert_ne!(ask(1, HOME_AGENT), first);
    assert_ne!(ask(0, OTHER_HOME_AGENT), other);
}

#[test]
fn it_is_erased_a_minute_after_its_first_use_with_or_without_traffic() {
    let mut world = World::new();
    let relayed = relay(&mut world, &mut Mobile::new());
    let value: [u8; 32] = share(&relayed).unwrap().try_into().unwrap();
    let kept = |world: &World| world.agent.homes[&HOME_AGENT].shares.find(&value).is_some();
    world.pass(Duration::from_millis(59_999));
    assert!(kept(&world));
    world.pass(Duration::from_millis(1));
    assert!(!kept(&world));
    // A host that slept wakes up with other things to do: erased before anything else.
    let mut world = World::new();
    relay(&mut world, &mut Mobile::new());
    world.now.mono = world.now.mono + Duration::from_secs(61);
    world.reply(HOME_AGENT, &[3; 20]);
    assert!(!kept(&world));
}

#[test]
fn every_request_can_still_be_answered() {
    let mut world = World::new();
    relay(&mut world, &mut Mobile::new());
    world.pass(Duration::from_millis(52_999));
    let mut late = Mobile::new();
    late.fixed.identification.0 += 1 << 40;
    let relayed = relay(&mut world, &mut late);
    world.pass(Duration::from_millis(6_999));
    world.did();
    let reply = HomeAgentScript::new().reply(&relayed);
    world.reply(HOME_AGENT, &reply);
    assert_eq!(world.codes(), [Code::ACCEPTED]);
}

#[test]
fn an_acceptance_without_the_right_answer_is_refused() {
    assert_eq!(told(config(), |_| {}), [0]);
    let unanswered = |s: &mut HomeAgentScript| s.answers_share = false;
    assert_eq!(told(config(), unanswered), [71], "stripped, or never made");
    let value = [9; 32];
    for wrong in [
        raw(31, &[0; 32]),
        raw(31, &value[..31]),
        raw(31, &[9; 33]),
        raw(30, &value),
        raw(29, &value),
        raw(31, &value),
    ] {
        assert_eq!(told(config(), |s| s.pieces = with(wrong)), [71]);
    }
    // Sealed as if there were no exchange, with a share beside it.
    let aside = |s: &mut HomeAgentScript| {
        s.answers_share = false;
        s.pieces = with(raw(31, &value));
    };
    assert_eq!(told(config(), aside), [71]);
    let low_order = |s: &mut HomeAgentScript| {
        s.answers_share = false;
        s.pieces = with(raw(31, &[0; 32]));
    };
    assert_eq!(told(config(), low_order), [71]);
}

#[test]
fn an_answer_that_nobody_asked_for_is_refused() {
    assert_eq!(told(without_fs(), |_| {}), [0]);
    assert_eq!(told(without_fs(), |s| s.pieces = with(raw(31, &[9; 32]))), [71]);
    // A deregistration brings no keys.
    let mut world = World::new();
    let mut mobile = Mobile::new();
    world.register(&mut mobile);
    mobile.fixed.lifetime = 0;
    let relayed = relay(&mut world, &mut mobile);
    let mut script = HomeAgentScript::new();
    script.pieces = Some(vec![Piece::Handle, raw(31, &[9; 32])]);
    world.reply(HOME_AGENT, &script.reply(&relayed));
    assert_eq!(world.codes(), [Code::FA_BAD_REPLY]);
    assert_eq!(world.visitors(), [HOME_ADDRESS]);
}

#[test]
fn a_denial_is_handed_on_whatever_stands_beside_it() {
    let denied = |s: &mut HomeAgentScript| {
        s.code = Code::HA_PROHIBITED;
        s.pieces = Some(vec![Piece::Handle, raw(31, &[9; 32])]);
    };
    assert_eq!(told(config(), denied), [Code::HA_PROHIBITED.0]);
}
