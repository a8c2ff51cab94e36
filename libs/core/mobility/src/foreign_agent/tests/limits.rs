//! Limits: how many may wait, how many may visit, how often strangers are answered.

use super::{
    script::{HomeAgentScript, Mobile},
    *,
};

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
