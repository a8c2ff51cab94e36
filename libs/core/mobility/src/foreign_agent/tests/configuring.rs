//! A new configuration while visitors stay.

use super::{
    keepalives::{kept_alive, udp, visitor},
    script::{HomeAgentScript, Mobile},
    *,
};

fn configure(world: &mut World, config: Config) {
    world.input(Input::Request(Request::Configure(Box::new(config))));
}

fn without_home_agent(mut config: Config) -> Config {
    config.home_agents.remove(0);
    config
}

fn send(world: &mut World, mobile: &mut Mobile) {
    let request = mobile.request(&world.challenge(LINK));
    world.did();
    world.packet(LINK, mobile.station, &mobile.packet(&request));
}

#[test]
fn a_visitor_survives_and_what_is_not_to_be_changed_stays() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    world.register(&mut mobile);
    world.did();
    configure(&mut world, Config { max_lifetime: 60, care_of: ON_LINK, nai: "x@y".into(), ..config() });
    assert!(world.did().is_empty(), "nothing was touched");
    assert_eq!(world.visitors(), [HOME_ADDRESS]);
    assert_eq!((world.agent.config().care_of, world.agent.config().nai.as_str()), (CARE_OF, NAI));
    world.pass(Duration::from_secs(1));
    send(&mut world, &mut mobile);
    assert_eq!(world.codes(), [Code::FA_LIFETIME], "more than may be asked for now");
}

#[test]
fn a_request_that_waits_is_answered_after_it() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    send(&mut world, &mut mobile);
    let (to, relayed) = world.relayed().pop().unwrap();
    configure(&mut world, config());
    assert_eq!(world.agent.pending(), 1);
    world.accept(to, &relayed);
    assert_eq!(world.visitors(), [HOME_ADDRESS]);
}

#[test]
fn nobody_comes_from_a_home_agent_that_is_gone_and_its_visitor_stays() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    world.register(&mut mobile);
    let mut second = Mobile::numbered(2);
    send(&mut world, &mut second);
    let (to, relayed) = world.relayed().pop().unwrap();
    configure(&mut world, without_home_agent(config()));
    assert_eq!(world.visitors(), [HOME_ADDRESS]);
    // Neither a reply that was under way nor a new request.
    let mut script = HomeAgentScript::of(to);
    world.reply(to, &script.reply(&relayed));
    assert_eq!(world.counter("reply: from no configured home agent"), 1);
    assert_eq!(world.visitors(), [HOME_ADDRESS]);
    world.pass(Duration::from_secs(1));
    send(&mut world, &mut mobile);
    assert_eq!(world.codes(), [Code::FA_PROHIBITED]);
    // And it may come back.
    configure(&mut world, config());
    world.pass(Duration::from_secs(1));
    send(&mut world, &mut mobile);
    assert_eq!(world.relayed().len(), 1);
}

#[test]
fn the_tunnel_of_a_visitor_is_kept_open_when_its_home_agent_is_gone() {
    let mut world = World::with(udp());
    visitor(&mut world, 0, 20);
    configure(&mut world, without_home_agent(udp()));
    assert_eq!(kept_alive(&mut world, 45).len(), 2);
}

#[test]
fn a_shorter_pause_between_keepalives_counts_at_once() {
    let mut world = World::with(udp());
    visitor(&mut world, 0, 0);
    configure(&mut world, Config { keepalive: Duration::from_secs(15), ..udp() });
    assert_eq!(kept_alive(&mut world, 45).len(), 3);
}

#[test]
fn a_shorter_interval_of_advertisements_counts_at_once() {
    let mut world = World::with(Config { interval: Duration::from_secs(600), ..config() });
    world.pass(Duration::from_secs(1));
    world.did();
    configure(&mut world, config());
    world.pass(Duration::from_secs(1));
    assert_eq!(world.advertised(LINK).len(), 1);
}
