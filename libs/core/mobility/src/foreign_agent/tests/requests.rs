//! What a request from a visited link is answered with, and what is relayed.

use sa::{Direction, Unverified};
use wire::mip::{
    ours::{Numbers, ip_owner, nai_owner},
    part::Parts,
    registration::{Flags, Request as Fixed},
};

use super::{
    script::{HomeAgentScript, Mobile, ours},
    *,
};

/// The codes that a request gets which `change` spoiled, and how many were relayed.
pub(super) fn codes(change: impl FnOnce(&mut Mobile)) -> Vec<u8> {
    codes_with(config(), change)
}

pub(super) fn codes_with(config: Config, change: impl FnOnce(&mut Mobile)) -> Vec<u8> {
    let mut world = World::with(config);
    let mut mobile = Mobile::new();
    change(&mut mobile);
    let request = mobile.request(&world.challenge(LINK));
    send(&mut world, &mobile, &request)
}

fn send(world: &mut World, mobile: &Mobile, request: &[u8]) -> Vec<u8> {
    world.did();
    world.packet(LINK, mobile.station, &mobile.packet(request));
    let relayed = world.did.iter().any(|d| matches!(d, Did::Send(Transmit::Udp { .. })));
    let codes: Vec<u8> = world.codes().iter().map(|code| code.0).collect();
    assert!(!relayed || codes.is_empty(), "relayed and refused");
    assert_eq!(world.agent.pending(), usize::from(relayed));
    if relayed { vec![0] } else { codes }
}

#[test]
fn a_relayed_request_is_told_by_the_name_of_its_registration_and_not_of_its_node() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    let request = mobile.request(&world.challenge(LINK));
    world.did();
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    let told = world.did().into_iter().find_map(|did| match did {
        Did::Notify(event) if event.kind == EventKind::RequestRelayed => Some(event),
        _ => None,
    });
    let told = told.unwrap();
    let identification = Fixed::parse(&request).unwrap().identification;
    assert_eq!(told.trace, Some(crate::Trace::of(identification)));
    assert_eq!(told.text, format!("relayed a request from link 0 to {HOME_NAI}"));
    assert!(told.home_address.is_none() && told.care_of.is_none());
}

#[test]
fn a_good_request_is_relayed_with_our_part() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    let request = mobile.request(&world.challenge(LINK));
    world.did();
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    let (to, relayed) = world.relayed().pop().unwrap();
    assert_eq!(to, HOME_AGENT);
    let own = Parts::parse(&request, Fixed::LEN, VENDOR).unwrap();
    let parts = Parts::parse(&relayed, Fixed::LEN, VENDOR).unwrap();
    assert_eq!(parts.mobile_bytes(), own.mobile_bytes(), "not a byte of the mobile node's");
    assert!(parts.foreign.challenge.is_none(), "132 was for the foreign agent");
    let name = parts.foreign.nai.unwrap().protected;
    assert_eq!((name.content, name.sealed, name.info), (nai_owner::FOREIGN_AGENT, false, NAI.as_bytes()));
    let router = parts.foreign.ip.unwrap().protected;
    assert_eq!((router.content, router.info), (ip_owner::ROUTER, &CARE_OF.octets()[..]));
    let handle = parts.foreign.handle.unwrap();
    assert!(handle.key2 != handle.key3 && handle.key2 > Spi(255) && handle.key3 > Spi(255));
    assert!(parts.foreign.udp_request.is_none());
    let message = Unverified::new(parts);
    let script = HomeAgentScript::new();
    assert!(script.path().verify(Direction::ToHome, &message).is_some());
    assert_eq!(world.agent.pending(), 1);
}

#[test]
fn udp_is_asked_for_before_34() {
    let mut config = config();
    config.encapsulation = Encapsulation::Udp;
    let mut world = World::with(config);
    let mut mobile = Mobile::new();
    let request = mobile.request(&world.challenge(LINK));
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    let (_, relayed) = world.relayed().pop().unwrap();
    let parts = Parts::parse(&relayed, Fixed::LEN, VENDOR).unwrap();
    assert!(parts.foreign.udp_request.unwrap().forced && parts.foreign_home.is_some());
}

#[test]
fn a_deregistration_carries_name_and_handle_only() {
    for care_of in [CARE_OF, Ipv4Addr::UNSPECIFIED] {
        let mut world = World::new();
        let mut mobile = Mobile::new();
        mobile.fixed.lifetime = 0;
        mobile.fixed.care_of = care_of;
        let request = mobile.request(&world.challenge(LINK));
        world.packet(LINK, mobile.station, &mobile.packet(&request));
        let (_, relayed) = world.relayed().pop().unwrap();
        let parts = Parts::parse(&relayed, Fixed::LEN, VENDOR).unwrap();
        assert!(parts.foreign.nai.is_some() && parts.foreign.handle.is_some());
        assert!(parts.foreign_home.is_none() && parts.foreign.ip.is_none());
    }
}

#[test]
fn a_mobile_node_that_decapsulates_itself_gets_no_34() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    mobile.fixed.flags = Flags(Flags::REVERSE_TUNNEL | Flags::DECAPSULATION);
    mobile.fixed.care_of = Ipv4Addr::new(10, 21, 1, 77);
    let request = mobile.request(&world.challenge(LINK));
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    let (to, relayed) = world.relayed().pop().unwrap();
    let parts = Parts::parse(&relayed, Fixed::LEN, VENDOR).unwrap();
    assert!(parts.foreign.handle.is_some() && parts.foreign_home.is_none());
    let mut script = HomeAgentScript::of(to);
    script.pieces = Some(vec![script::Piece::Handle]);
    world.reply(to, &script.reply(&relayed));
    assert_eq!(world.codes(), [Code::ACCEPTED]);
    assert!(world.visitors().is_empty());
}

#[test]
fn refusals_copy_port_identification_and_home_agent() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    mobile.fixed.lifetime = 601;
    mobile.port = 51_234;
    let request = mobile.request(&world.challenge(LINK));
    world.did();
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    let (link, to, port, bytes) = world.replies().pop().unwrap();
    assert_eq!((link, to, port), (LINK, mobile.station, 51_234));
    let reply = Reply::parse(&bytes).unwrap();
    assert_eq!((reply.code, reply.lifetime), (Code::FA_LIFETIME, 600), "the longest that is granted");
    assert_eq!(reply.identification, mobile.fixed.identification);
    assert_eq!((reply.home_address, reply.home_agent), (Ipv4Addr::UNSPECIFIED, HOME_AGENT));
    assert_eq!(bytes.len(), Reply::LEN, "nothing authenticated");
}

#[test]
fn distance() {
    assert_eq!(codes(|m| m.ttl = 254), [76]);
    assert_eq!(codes(|m| m.ttl = 1), [76]);
    let to_group = |m: &mut Mobile| (m.ttl, m.to) = (1, Ipv4Addr::new(224, 0, 0, 11));
    assert_eq!(codes(to_group), [0], "that group is never forwarded");
    assert_eq!(codes(|m| m.to = Ipv4Addr::BROADCAST), [0]);
    assert_eq!(codes(|m| m.to = Ipv4Addr::new(10, 21, 1, 9)), [] as [u8; 0]);
    assert_eq!(codes(|m| m.to = ON_LINK_B), [] as [u8; 0]);
}

#[test]
fn form() {
    for reserved in [0x01, 0x04, 0x05] {
        assert_eq!(codes(|m| m.fixed.flags.0 |= reserved), [70]);
    }
    let without_32 = |m: &mut Mobile| m.tail = Some(Vec::new());
    assert_eq!(codes(without_32), [0], "132 may be left out");
    // A second 32, a 34 or one of our extensions behind 32, an extension that is cut.
    let authentication = |kind: u8| {
        let mut bytes = vec![kind, 36, 0, 0, 4, 0];
        bytes.extend([7; 32]);
        bytes
    };
    for tail in [
        authentication(32),
        authentication(34),
        ours(Numbers::Vendor(VENDOR), 8, &[1; 16]),
        vec![132, 16, 1],
        vec![132, 4, 1, 2, 3, 4, 132, 4, 1, 2, 3, 4],
    ] {
        assert_eq!(codes(|m| m.tail = Some(tail.clone())), [70], "{tail:?}");
    }
    // Nobody has this KEY 3.
    assert_eq!(codes(|m| m.tail = Some(authentication(33))), [67]);
    let mut world = World::new();
    let mut mobile = Mobile::new();
    let request = mobile.request(&world.challenge(LINK));
    let short = Parts::parse(&request, Fixed::LEN, VENDOR).unwrap().mobile_bytes().len() - 38;
    assert_eq!(send(&mut world, &mobile, &request[..short]), [70], "no 32");
}

#[test]
fn every_cut_is_refused_or_silent() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    let request = mobile.request(&world.challenge(LINK));
    let whole = Parts::parse(&request, Fixed::LEN, VENDOR).unwrap().mobile_bytes().len();
    for end in (0..request.len()).filter(|end| *end != whole) {
        world.now.mono = world.now.mono + Duration::from_millis(1001);
        world.did();
        world.packet(LINK, mobile.station, &mobile.packet(&request[..end]));
        let codes = world.codes();
        if end < Fixed::LEN {
            assert!(codes.is_empty(), "nothing to answer to");
        } else {
            // What is left of a challenge that went with time is unknown.
            assert_eq!(codes.len(), 1, "cut at {end}");
            assert!(codes[0].from_foreign_agent());
        }
        assert_eq!(world.agent.pending(), 0, "cut at {end} was relayed");
    }
}

#[test]
fn unknown_extensions_follow_the_rule() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    mobile.head = vec![99, 1, 0];
    let request = mobile.request(&world.challenge(LINK));
    assert_eq!(send(&mut world, &mobile, &request), [] as [u8; 0]);
    assert_eq!(world.counter("request: unknown extension that may not be skipped"), 1);
    assert_eq!(codes(|m| m.head = vec![250, 1, 0]), [0]);
    assert_eq!(codes(|m| m.head = vec![0, 0, 0]), [0], "padding");
}

#[test]
fn vendor_extensions_that_are_not_understood() {
    let foreign = ours(Numbers::Vendor(VENDOR + 1), 1, b"x");
    let unknown = ours(Numbers::Vendor(VENDOR), 999, b"x");
    for extension in [foreign, unknown] {
        assert_eq!(codes(|m| m.head = extension.clone()), [100]);
        assert_eq!(codes(|m| m.tail = Some(extension.clone())), [100]);
    }
}

#[test]
fn what_is_asked_for_must_be_offered() {
    assert_eq!(codes(|m| m.fixed.lifetime = 600), [0]);
    assert_eq!(codes(|m| m.fixed.lifetime = 601), [69]);
    assert_eq!(codes(|m| m.fixed.lifetime = u16::MAX), [69]);
    assert_eq!(codes(|m| m.fixed.care_of = Ipv4Addr::new(10, 51, 1, 3)), [77]);
    assert_eq!(codes(|m| m.fixed.care_of = ON_LINK), [77]);
    let own = |m: &mut Mobile| m.fixed.flags.0 |= Flags::DECAPSULATION;
    assert_eq!(codes(own), [77], "ours is nobody's own");
}

#[test]
fn home_agents_must_be_configured() {
    assert_eq!(codes(|m| m.fixed.home_agent = Ipv4Addr::new(10, 11, 1, 3)), [65]);
    assert_eq!(codes(|m| m.fixed.home_agent = OTHER_HOME_AGENT), [0]);
    for ours in [CARE_OF, ON_LINK, ON_LINK_B] {
        assert_eq!(codes(|m| m.fixed.home_agent = ours), [194]);
    }
    for anyone in [Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST] {
        assert_eq!(codes(|m| m.fixed.home_agent = anyone), [98]);
    }
}

#[test]
fn reverse_tunnels_as_configured() {
    let with = |policy| {
        let mut config = config();
        config.reverse_tunnel = policy;
        config
    };
    let forward = |m: &mut Mobile| m.fixed.flags = Flags(0);
    assert_eq!(codes_with(with(ReverseTunnel::Optional), forward), [0]);
    assert_eq!(codes_with(with(ReverseTunnel::Optional), |_| {}), [0]);
    assert_eq!(codes_with(with(ReverseTunnel::Required), forward), [75]);
    assert_eq!(codes_with(with(ReverseTunnel::Required), |_| {}), [0]);
    assert_eq!(codes_with(with(ReverseTunnel::Off), |_| {}), [74]);
    assert_eq!(codes_with(with(ReverseTunnel::Off), forward), [0]);
}

#[test]
fn the_agent_heard_must_be_us_with_a_challenge_of_ours() {
    assert_eq!(codes(|m| m.heard = None), [105]);
    assert_eq!(codes(|m| m.heard = Some("fa-b@visited-b.example".into())), [104]);
    let contradiction = |m: &mut Mobile| m.tail = Some(vec![132, 4, 1, 2, 3, 4]);
    assert_eq!(codes(contradiction), [104]);
    let mut world = World::new();
    let mut mobile = Mobile::new();
    let request = mobile.request(&[5; 16]);
    assert_eq!(send(&mut world, &mobile, &request), [104]);
    let other_link = world_challenge_of_other_link();
    let mut world = World::new();
    let request = mobile.request(&other_link);
    assert_eq!(send(&mut world, &mobile, &request), [104]);
}

fn world_challenge_of_other_link() -> Vec<u8> {
    World::new().challenge(LINK_B)
}

#[test]
fn a_challenge_grows_stale_by_time_and_by_use() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    let old = world.challenge(LINK);
    world.pass(Duration::from_millis(1000));
    let request = mobile.request(&old);
    assert_eq!(send(&mut world, &mobile, &request), [0], "one of the last two");
    let mut world = World::new();
    let old = world.challenge(LINK);
    world.pass(Duration::from_millis(2000));
    let request = mobile.request(&old);
    assert_eq!(send(&mut world, &mobile, &request), [104], "three ago");
}

#[test]
fn the_same_pair_is_stale_only_after_acceptance() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    let challenge = world.challenge(LINK);
    let first = mobile.request(&challenge);
    let second = mobile.request(&challenge);
    world.did();
    for request in [&first, &second] {
        world.packet(LINK, mobile.station, &mobile.packet(request));
    }
    let relayed = world.relayed();
    assert_eq!((relayed.len(), world.agent.pending()), (2, 2));
    let handles = [&relayed[0].1, &relayed[1].1].map(|bytes| {
        let parts = Parts::parse(bytes, Fixed::LEN, VENDOR).unwrap();
        parts.foreign.handle.unwrap()
    });
    assert_ne!(handles[0].handle, handles[1].handle);
    let reply = HomeAgentScript::new().reply(&relayed[1].1);
    world.reply(HOME_AGENT, &reply);
    assert_eq!(world.codes(), [Code::ACCEPTED]);
    let third = mobile.request(&challenge);
    world.packet(LINK, mobile.station, &mobile.packet(&third));
    assert_eq!(world.codes(), [Code::FA_STALE_CHALLENGE]);
    // Another mobile node may use it: the pair was spent, not the challenge.
    let mut other = Mobile::numbered(1);
    let request = other.request(&challenge);
    world.packet(LINK, other.station, &other.packet(&request));
    assert_eq!(world.relayed().len(), 1);
}

#[test]
fn a_denial_does_not_spend_the_challenge() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    let challenge = world.challenge(LINK);
    let first = mobile.request(&challenge);
    world.packet(LINK, mobile.station, &mobile.packet(&first));
    let (_, relayed) = world.relayed().pop().unwrap();
    let mut script = HomeAgentScript::new();
    script.code = Code::HA_IDENTIFICATION;
    world.reply(HOME_AGENT, &script.reply(&relayed));
    assert_eq!(world.codes(), [Code::HA_IDENTIFICATION]);
    let second = mobile.request(&challenge);
    world.packet(LINK, mobile.station, &mobile.packet(&second));
    assert_eq!(world.relayed().len(), 1);
}

#[test]
fn a_repeat_is_relayed_byte_for_byte_and_answered_at_its_port() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    let request = mobile.request(&world.challenge(LINK));
    world.did();
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    let first = world.relayed();
    // The challenge left the window meanwhile.
    world.pass(Duration::from_secs(5));
    world.did();
    mobile.port = 40_001;
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    assert_eq!(world.relayed(), first);
    assert_eq!(world.agent.pending(), 1);
    world.reply(HOME_AGENT, &HomeAgentScript::new().reply(&first[0].1));
    let replies = world.replies();
    assert_eq!((replies.len(), replies[0].2), (1, 40_001));
    // Answered: the same bytes get the same answer, without the home agent.
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    assert_eq!(world.replies(), replies);
    // From another station they are a replay.
    world.packet(LINK, [2, 9, 9, 9, 9, 9], &mobile.packet(&request));
    assert!(world.codes()[0].from_foreign_agent());
    // When the time of the request is over they are one too.
    world.pass(Duration::from_secs(3));
    world.did();
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    assert_eq!(world.codes(), [Code::FA_UNKNOWN_CHALLENGE]);
}

#[test]
fn without_an_answer_a_request_times_out() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    let request = mobile.request(&world.challenge(LINK));
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    let (_, relayed) = world.relayed().pop().unwrap();
    world.pass(Duration::from_millis(6999));
    assert!(world.codes().is_empty());
    world.pass(Duration::from_millis(1));
    assert_eq!(world.codes(), [Code::FA_TIMEOUT]);
    assert_eq!(world.agent.pending(), 0);
    world.reply(HOME_AGENT, &HomeAgentScript::new().reply(&relayed));
    assert!(world.codes().is_empty() && world.visitors().is_empty());
}

#[test]
fn an_unreachable_home_agent_is_told_and_may_still_answer() {
    for (kind, code) in [
        (Unreachable::Network, Code::FA_HOME_NETWORK),
        (Unreachable::Host, Code::FA_HOME_AGENT_HOST),
        (Unreachable::Port, Code::FA_HOME_AGENT_PORT),
        (Unreachable::Other, Code::FA_HOME_AGENT_UNREACHABLE),
    ] {
        let mut world = World::new();
        let mut mobile = Mobile::new();
        let request = mobile.request(&world.challenge(LINK));
        world.packet(LINK, mobile.station, &mobile.packet(&request));
        let (_, relayed) = world.relayed().pop().unwrap();
        for home_agent in [OTHER_HOME_AGENT, HOME_AGENT, HOME_AGENT] {
            world.input(Input::Request(Request::Unreachable { home_agent, kind }));
        }
        assert_eq!(world.codes(), [code], "once, and only for that home agent");
        world.reply(HOME_AGENT, &HomeAgentScript::new().reply(&relayed));
        assert_eq!(world.codes(), [Code::ACCEPTED]);
    }
}

#[test]
fn what_is_no_request_is_passed_over() {
    let mut world = World::new();
    let mobile = Mobile::new();
    world.did();
    for payload in [&[][..], &[3; 24], &[4, 4, 0, 0, 0x45], &[255; 40]] {
        world.packet(LINK, mobile.station, &mobile.packet(payload));
    }
    for packet in [&[][..], &[0x45], &[0x60; 60], &[0xff; 1500]] {
        world.packet(LINK, mobile.station, packet);
    }
    let mut good = Mobile::new();
    let request = good.request(&[1; 16]);
    world.packet(LinkId(9), good.station, &good.packet(&request));
    world.packet(LINK, [0xff; 6], &good.packet(&request));
    good.port = 0;
    world.packet(LINK, good.station, &good.packet(&request));
    assert_eq!(world.did(), []);
}
