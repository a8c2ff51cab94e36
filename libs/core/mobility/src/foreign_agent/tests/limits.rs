//! Limits: how many may wait, how many may visit, how often strangers are answered.

use wire::{
    ip,
    mip::advertisement::{ALL_ROUTERS, Solicitation},
};

use super::{
    script::{HomeAgentScript, Mobile},
    *,
};
use crate::admission::Rate;

/// Sends a request and says whether it was relayed, or with which code it was refused.
fn try_request(world: &mut World, mobile: &mut Mobile) -> Result<Vec<u8>, Option<u8>> {
    let challenge = world.challenge(LINK);
    let request = mobile.request(&challenge);
    let advertised: Vec<Did> = world.did();
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    let relayed = world.did.iter().find_map(|did| match did {
        Did::Send(Transmit::Udp { payload, .. }) => Some(payload.clone()),
        _ => None,
    });
    let codes = world.codes();
    world.did = advertised;
    relayed.ok_or(codes.first().map(|code| code.0))
}

#[test]
fn five_of_one_station_may_wait() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    for _ in 0..5 {
        assert!(try_request(&mut world, &mut mobile).is_ok());
    }
    assert_eq!(try_request(&mut world, &mut mobile), Err(Some(66)));
    assert!(try_request(&mut world, &mut Mobile::numbered(1)).is_ok());
    world.pass(Duration::from_secs(7));
    assert!(try_request(&mut world, &mut mobile).is_ok());
}

#[test]
fn so_many_in_all_may_wait() {
    let mut world = World::new();
    for n in 0..10 {
        let mut mobile = Mobile::numbered(n);
        mobile.fixed.lifetime = 0;
        assert!(try_request(&mut world, &mut mobile).is_ok(), "{n}");
    }
    assert_eq!(try_request(&mut world, &mut Mobile::numbered(10)), Err(Some(66)));
    assert_eq!(world.agent.pending(), 10);
}

#[test]
fn so_many_may_visit_and_they_may_renew_and_leave() {
    let mut config = config();
    config.max_visitors = 2;
    let mut world = World::with(config);
    let mut first = Mobile::numbered(1);
    world.register(&mut first);
    // A second one is on its way, so a third finds no room.
    let mut second = Mobile::numbered(2);
    let relayed = try_request(&mut world, &mut second).unwrap();
    assert_eq!(try_request(&mut world, &mut Mobile::numbered(3)), Err(Some(66)));
    let mut script = HomeAgentScript::new();
    script.home_address = Ipv4Addr::new(10, 11, 1, 51);
    world.reply(HOME_AGENT, &script.reply(&relayed));
    assert_eq!(world.visitors().len(), 2);
    world.did();
    world.pass(Duration::from_secs(2));
    let busy = world.advertised(LINK).pop().unwrap().0;
    let flags = busy.agent().unwrap().flags;
    assert!(flags.has(wire::mip::advertisement::AgentFlags::BUSY));
    assert_eq!(try_request(&mut world, &mut Mobile::numbered(3)), Err(Some(66)));
    assert!(try_request(&mut world, &mut first).is_ok(), "a renewal");
    second.fixed.lifetime = 0;
    assert!(try_request(&mut world, &mut second).is_ok(), "a farewell");
}

#[test]
fn refusals_go_out_once_a_second_for_each_station() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    mobile.ttl = 3;
    assert_eq!(try_request(&mut world, &mut mobile), Err(Some(76)));
    assert_eq!(try_request(&mut world, &mut mobile), Err(None));
    let mut other = Mobile::numbered(1);
    other.ttl = 3;
    assert_eq!(try_request(&mut world, &mut other), Err(Some(76)));
    world.pass(Duration::from_secs(1));
    assert_eq!(try_request(&mut world, &mut mobile), Err(Some(76)));
    assert_eq!(world.counter("refusals suppressed"), 1);
    assert_eq!(world.counter("code 76"), 3);
}

#[test]
fn a_flood_of_nonsense_is_counted_and_does_not_flood_the_log() {
    let mut world = World::new();
    for _ in 0..1000 {
        world.reply(HOME_AGENT, &[3; 20]);
    }
    let notices = world.did().iter().filter(|d| matches!(d, Did::Notify(_))).count();
    assert!(notices <= 20, "{notices} notices");
    assert_eq!(world.counter("reply: malformed"), 1000);
}

#[test]
fn indices_are_never_promised_twice() {
    let mut world = World::new();
    let mut seen = std::collections::BTreeSet::new();
    for n in 0..10 {
        let relayed = try_request(&mut world, &mut Mobile::numbered(n)).unwrap();
        let parts = wire::mip::part::Parts::parse(&relayed, 24, VENDOR).unwrap();
        let handle = parts.foreign.handle.unwrap();
        assert!(seen.insert(handle.key2) && seen.insert(handle.key3));
    }
    assert!(seen.iter().all(|spi| *spi >= Spi::FIRST));
}

fn limited(limits: Limits) -> World {
    World::with(Config { limits, ..config() })
}

#[test]
fn a_station_asks_only_so_often_a_second() {
    let mut world = limited(Limits { rate_station: Rate(3), ..Limits::default() });
    let mut mobile = Mobile::new();
    let tried: Vec<_> = (0..5).map(|_| try_request(&mut world, &mut mobile).map(drop)).collect();
    assert_eq!(tried, [Ok(()), Ok(()), Ok(()), Err(Some(66)), Err(None)]);
    assert!(try_request(&mut world, &mut Mobile::numbered(1)).is_ok());
    assert_eq!(world.counter("request: too many of one station"), 2);
    world.pass(Duration::from_secs(1));
    assert!(try_request(&mut world, &mut mobile).is_ok());
}

#[test]
fn strangers_ask_only_so_often_a_second_and_visitors_come_first() {
    let mut world = limited(Limits { rate: Rate(3), ..Limits::default() });
    let mut visitor = Mobile::numbered(0);
    let relayed = try_request(&mut world, &mut visitor).unwrap();
    let (_, key3) = world.accept(HOME_AGENT, &relayed);
    let tried = (1..=4).map(|n| try_request(&mut world, &mut Mobile::numbered(n)).map(drop));
    assert_eq!(tried.collect::<Vec<_>>(), [Ok(()), Ok(()), Ok(()), Err(Some(66))]);
    assert_eq!(try_request(&mut world, &mut visitor), Err(Some(66)), "it has not proved itself");
    visitor.key3 = Some(key3);
    assert!(try_request(&mut world, &mut visitor).is_ok());
}

#[test]
fn a_home_agent_that_never_answers_takes_its_share_and_no_more() {
    let mut world = limited(Limits { pending_home_agent: 4, ..Limits::default() });
    for n in 0..4 {
        assert!(try_request(&mut world, &mut Mobile::numbered(n)).is_ok(), "{n}");
    }
    assert_eq!(try_request(&mut world, &mut Mobile::numbered(5)), Err(Some(66)));
    let mut other = Mobile::numbered(6);
    other.fixed.home_agent = OTHER_HOME_AGENT;
    assert!(try_request(&mut world, &mut other).is_ok());
    world.pass(Duration::from_secs(7));
    assert!(try_request(&mut world, &mut Mobile::numbered(5)).is_ok());
    let told: Vec<_> = world.agent.home_agents().map(|(name, told)| (name.to_owned(), told)).collect();
    assert_eq!((told[0].0.as_str(), told[0].1.relayed, told[0].1.timed_out), (HOME_NAI, 5, 4));
}

#[test]
fn who_has_waited_a_second_makes_room_when_as_many_wait_as_may() {
    let mut world = World::new();
    let mut relayed = Vec::new();
    for n in 0..10 {
        let mut mobile = Mobile::numbered(n);
        mobile.fixed.lifetime = 0;
        relayed.push(try_request(&mut world, &mut mobile).unwrap());
        world.pass(Duration::from_millis(1));
    }
    assert_eq!(try_request(&mut world, &mut Mobile::numbered(10)), Err(Some(66)));
    world.pass(Duration::from_secs(1));
    let mut honest = Mobile::numbered(11);
    let asked = try_request(&mut world, &mut honest).unwrap();
    assert_eq!((world.agent.pending(), world.counter("requests displaced")), (10, 1));
    world.reply(HOME_AGENT, &HomeAgentScript::new().reply(&asked));
    assert_eq!(world.visitors().len(), 1);
    // The answer to the one that went comes to nothing.
    let first = HomeAgentScript::new().reply(&relayed[0]);
    world.reply(HOME_AGENT, &first);
    assert_eq!((world.counter("reply: no request has its handle"), world.visitors().len()), (1, 1));
}

#[test]
fn strangers_on_a_link_leave_nothing_behind() {
    let mut world = World::new();
    let mut visitor = Mobile::numbered(0);
    world.register(&mut visitor);
    world.pass(Duration::from_secs(10));
    let before = world.agent.footprint();
    let mut forged = Mobile::numbered(1);
    let challenge = world.challenge(LINK);
    let request = forged.request(&challenge);
    for n in 0..20_000_u32 {
        let [_, b, c, d] = n.to_be_bytes();
        let mut bytes = request.clone();
        match n % 4 {
            0 => bytes.truncate((n as usize / 4) % request.len()),
            1 => bytes[20..24].copy_from_slice(&n.to_be_bytes()),
            2 => bytes[30] ^= 1,
            _ => bytes[0] = 9,
        }
        let packet = forged.packet(&bytes);
        world.packet(LINK, [2, 0, 7, b, c, d], &packet);
        world.reply(HOME_AGENT, &bytes);
        world.did();
    }
    let mut after = world.agent.footprint();
    assert!(after["pending"] <= 20, "{after:?}");
    assert!(after["counters"] < 40 && after["challenges"] <= 2 * (2 + 64), "{after:?}");
    world.pass(Duration::from_secs(10));
    after = world.agent.footprint();
    assert_eq!((after["pending"], after["visitors"]), (before["pending"], before["visitors"]));
    assert!(try_request(&mut world, &mut Mobile::numbered(2)).is_ok());
}

#[test]
fn one_station_does_not_use_up_the_answers_to_solicitations() {
    let mut world = World::new();
    let solicitation = Solicitation.to_vec();
    let packet = ip::icmp_packet(Ipv4Addr::UNSPECIFIED, ALL_ROUTERS, 1, &solicitation).unwrap();
    for _ in 0..100 {
        world.packet(LINK, [2, 0, 0, 0, 9, 9], &packet);
    }
    let answered = world.counter("solicitations answered");
    assert_eq!(answered, 3);
    for n in 0..10 {
        world.packet(LINK, [2, 0, 0, 0, 8, n], &packet);
    }
    assert!(world.counter("solicitations answered") >= answered + 9);
}
