//! Minimal encapsulation, GRE, broadcasts and encapsulating delivery: asked for where they are offered, and what comes
//! of a refusal.

use forward::Peer;
use record::MobileNodeState;
use wire::mip::{
    advertisement::AgentFlags, code::Code, extension::UdpTunnelReply, ours::DOCUMENTATION_VENDOR,
    part::Parts, registration::Flags,
};

use super::{
    super::{Config, Delivery, Encapsulation, Request, Route, State},
    world::*,
};

const WISHES: [(Encapsulation, u8, u16); 3] = [
    (Encapsulation::IpInIp, 0, 0),
    (Encapsulation::Minimal, Flags::MINIMAL, AgentFlags::MINIMAL),
    (Encapsulation::Gre, Flags::GRE, AgentFlags::GRE),
];

/// An agent that offers these beside what it always does.
fn offering(flags: u16) -> Agent {
    Agent { flags: fa_a().flags | flags, ..fa_a() }
}

fn wishing(encapsulation: Encapsulation) -> Config {
    Config { encapsulation, ..config() }
}

fn everything() -> Config {
    Config { broadcasts: true, ..wishing(Encapsulation::Gre) }
}

fn world(config: Config) -> World {
    let mut world = World::with(config, MobileNodeState::default(), T);
    world.link_up();
    world
}

/// Registered through that agent.
fn through(config: Config, agent: &Agent) -> World {
    let mut world = world(config);
    world.hear(agent);
    world.accept(Some(agent));
    assert_eq!(world.state(), State::Registered);
    world
}

/// Flags of the last request, and whether 130 stood there.
fn asked(world: &World) -> (u8, bool) {
    let asked = world.last();
    (asked.fixed.flags.0, asked.parts().foreign.delivery_style)
}

/// How packets and broadcasts are handed over, in the last route.
fn handed(world: &World) -> (Delivery, bool) {
    match world.routes.last() {
        Some(Route::ViaForeignAgent { delivery, broadcasts, .. }) => (*delivery, *broadcasts),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_encapsulation_is_asked_for_only_where_it_is_offered() {
    for (wish, flag, offer) in WISHES {
        for offered in [0, AgentFlags::MINIMAL, AgentFlags::GRE, AgentFlags::MINIMAL | AgentFlags::GRE] {
            let world = through(wishing(wish), &offering(offered));
            let expected = if offered & offer == offer { flag } else { 0 };
            assert_eq!(asked(&world), (Flags::REVERSE_TUNNEL | expected, false), "{wish:?} {offered:04x}");
            assert_eq!(handed(&world), (Delivery::Direct, false));
        }
    }
}

#[test]
fn encapsulating_delivery_and_broadcasts_are_asked_for_with_a_reverse_tunnel_only() {
    let encapsulating = || Config { delivery: Delivery::Encapsulating, ..config() };
    let broadcasts = || Config { broadcasts: true, ..config() };
    let world = through(encapsulating(), &fa_a());
    assert_eq!(asked(&world), (Flags::REVERSE_TUNNEL, true));
    assert_eq!(handed(&world), (Delivery::Encapsulating, false));
    let world = through(broadcasts(), &fa_a());
    assert_eq!(asked(&world), (Flags::REVERSE_TUNNEL | Flags::BROADCAST, true), "B needs 130");
    assert_eq!(handed(&world), (Delivery::Encapsulating, true));
    // A node that does without reverse tunnels, and an agent that has none.
    let none = Agent { flags: AgentFlags::FOREIGN_AGENT, ..fa_a() };
    for config in [encapsulating(), broadcasts()] {
        let without = Config { reverse_tunnel: false, ..config };
        for agent in [&fa_a(), &none] {
            let world = through(Config { key0: crypto::Key::new([7; 32]), ..duplicate(&without) }, agent);
            assert_eq!(asked(&world), (0, false));
            assert_eq!(handed(&world), (Delivery::Direct, false));
        }
    }
}

/// A configuration is not cloned, since it holds KEY 0.
fn duplicate(of: &Config) -> Config {
    Config {
        reverse_tunnel: of.reverse_tunnel,
        encapsulation: of.encapsulation,
        delivery: of.delivery,
        broadcasts: of.broadcasts,
        ..config()
    }
}

#[test]
fn the_130_stands_behind_32_under_33() {
    let agent = offering(AgentFlags::GRE);
    let mut heard = agent.clone();
    let mut world = through(everything(), &agent);
    world.seconds_hearing(500, &mut heard);
    assert!(world.asked.len() > 1, "a renewal");
    let asked = world.last();
    let parts =
        Parts::parse(&asked.bytes, wire::mip::registration::Request::LEN, DOCUMENTATION_VENDOR).unwrap();
    assert!(parts.foreign.delivery_style && !parts.mobile.delivery_style);
    let claim = parts.foreign.mobile_foreign.expect("33");
    let style = asked.bytes.windows(2).rposition(|pair| pair == [130, 0]).unwrap();
    assert!(parts.mobile_end <= style && style < claim.covered, "between 32 and 33");
}

#[test]
fn a_deregistration_asks_for_nothing() {
    let mut world = through(everything(), &offering(AgentFlags::GRE));
    world.seconds(2);
    world.request(Request::Deregister);
    assert_eq!(world.last().fixed.lifetime, 0);
    assert_eq!(asked(&world), (Flags::REVERSE_TUNNEL, false));
    let mut world = world_at_home_with(everything());
    world.accept(None);
    assert_eq!(asked(&world), (0, false));
}

fn world_at_home_with(config: Config) -> World {
    let mut world = world(config);
    world.hear(&home_agent());
    world
}

#[test]
fn after_code_72_an_ip_in_ip_tunnel_is_asked_for_at_once() {
    for (wish, flag, offer) in &WISHES[1..] {
        let agent = offering(*offer);
        let mut world = world(Config { broadcasts: true, ..wishing(*wish) });
        world.hear(&agent);
        assert_eq!(asked(&world).0 & flag, *flag);
        let first = world.last();
        world.reply(&first, &hint(&first, Code::FA_ENCAPSULATION, 600));
        world.seconds(1);
        assert_eq!(asked(&world), (Flags::REVERSE_TUNNEL | Flags::BROADCAST, true), "all else as before");
        world.accept(Some(&agent));
        assert_eq!(world.state(), State::Registered);
        // And when it is renewed.
        world.seconds_hearing(500, &mut agent.clone());
        assert_eq!(asked(&world).0 & flag, 0);
    }
}

#[test]
fn after_code_79_packets_are_handed_over_as_they_are_and_no_broadcasts_wanted() {
    let mut world = world(everything());
    let agent = offering(AgentFlags::GRE);
    world.hear(&agent);
    let first = world.last();
    world.reply(&first, &hint(&first, Code::FA_DELIVERY_STYLE, 600));
    world.seconds(1);
    assert_eq!(asked(&world), (Flags::REVERSE_TUNNEL | Flags::GRE, false));
    world.accept(Some(&agent));
    assert_eq!(handed(&world), (Delivery::Direct, false));
}

/// Anybody on the link can send these codes: they cost an option at this agent, and nothing else.
#[test]
fn hints_that_fit_nothing_we_asked_for_only_make_us_look_elsewhere() {
    for code in [Code::FA_ENCAPSULATION, Code::FA_DELIVERY_STYLE] {
        let mut world = World::new();
        world.link_up();
        world.hear(&fa_a());
        let first = world.last();
        world.reply(&first, &hint(&first, code, 600));
        world.seconds(5);
        assert_eq!(world.asked.len(), 1, "not before a person can have healed it");
        world.accept(Some(&fa_a()));
        assert_eq!(world.state(), State::Registered, "the request was still open");
    }
    // Elsewhere everything is asked for again.
    let mut world = world(everything());
    for code in [Code::FA_ENCAPSULATION, Code::FA_DELIVERY_STYLE] {
        world.hear(&offering(AgentFlags::GRE));
        world.seconds(1);
        let last = world.last();
        world.reply(&last, &hint(&last, code, 600));
    }
    world.seconds(1);
    assert_eq!(asked(&world), (Flags::REVERSE_TUNNEL, false));
    world.link_down();
    world.link_up();
    world.hear(&Agent { flags: fa_b().flags | AgentFlags::GRE, ..fa_b() });
    world.seconds(1);
    assert_eq!(asked(&world), (Flags::REVERSE_TUNNEL | Flags::GRE | Flags::BROADCAST, true));
}

#[test]
fn after_code_139_the_home_agent_is_not_asked_again_for_ten_minutes() {
    let agent = offering(AgentFlags::GRE);
    let mut heard = agent.clone();
    let mut world = world(wishing(Encapsulation::Gre));
    world.hear(&agent);
    let first = world.last();
    let denial = Answer::deny(&first, Code::HA_ENCAPSULATION);
    world.reply(&first, &denial.bytes(&first));
    world.seconds(1);
    assert_eq!((world.asked.len(), asked(&world)), (2, (Flags::REVERSE_TUNNEL, false)), "at once");
    world.accept(Some(&agent));
    // Another agent, the same home agent.
    world.link_down();
    world.link_up();
    let other = Agent { flags: fa_b().flags | AgentFlags::GRE, ..fa_b() };
    world.hear(&other);
    world.seconds(1);
    assert_eq!(asked(&world), (Flags::REVERSE_TUNNEL, false));
    world.accept(Some(&other));
    heard.clone_from(&other);
    world.seconds_hearing(601, &mut heard);
    world.accept(Some(&other));
    world.seconds_hearing(601, &mut heard);
    assert_eq!(
        asked(&world),
        (Flags::REVERSE_TUNNEL | Flags::GRE, false),
        "its configuration may be another"
    );
}

/// A denial that the home agent did not make changes nothing: 139 is its code.
#[test]
fn a_forged_139_is_ignored() {
    let agent = offering(AgentFlags::GRE);
    let mut world = world(wishing(Encapsulation::Gre));
    world.hear(&agent);
    let first = world.last();
    world.reply(&first, &hint(&first, Code::HA_ENCAPSULATION, 600));
    let mut denial = Answer::deny(&first, Code::HA_ENCAPSULATION).bytes(&first);
    *denial.last_mut().unwrap() ^= 1;
    world.reply(&first, &denial);
    world.seconds(1);
    assert_eq!(asked(&world), (Flags::REVERSE_TUNNEL | Flags::GRE, false));
}

#[test]
fn with_an_address_of_our_own_the_tunnel_is_the_one_that_was_asked_for() {
    for (wish, flag, _) in WISHES {
        for broadcasts in [false, true] {
            let mut world = world(Config { broadcasts, ..wishing(wish) });
            world.address();
            let own = Flags::DECAPSULATION | Flags::REVERSE_TUNNEL | flag;
            let b = if broadcasts { Flags::BROADCAST } else { 0 };
            assert_eq!(asked(&world), (own | b, false));
            world.accept(None);
            let (local, remote) = (CARE_OF, HOME_AGENT);
            let expected = match wish {
                Encapsulation::IpInIp => Peer::IpInIp { local, remote },
                Encapsulation::Minimal => Peer::Minimal { local, remote },
                Encapsulation::Gre => Peer::Gre { local, remote },
            };
            let Some(Route::CoLocated { peer, broadcasts: come, .. }) = world.routes.last() else {
                panic!("{:?}", world.routes);
            };
            assert_eq!((*peer, *come), (expected, broadcasts));
            assert_eq!(world.node.status().encapsulation, Some(expected.name()));
        }
    }
}

#[test]
fn behind_a_nat_it_is_udp_whatever_was_asked_for() {
    for (wish, _, _) in WISHES {
        let mut world = world(Config { broadcasts: true, ..wishing(wish) });
        world.address();
        let asked = world.last();
        let udp = Some(UdpTunnelReply { code: 0, forced: false, keepalive: 0 });
        let answer = Answer { udp, ..Answer::accept(&asked, None) };
        world.reply(&asked, &answer.bytes(&asked));
        let last = world.routes.last();
        assert!(matches!(last, Some(Route::CoLocated { peer: Peer::Udp { .. }, broadcasts: true, .. })));
    }
}

#[test]
fn a_home_agent_that_refuses_the_encapsulation_of_our_own_tunnel_is_asked_for_ip_in_ip() {
    let mut world = world(Config { broadcasts: true, ..wishing(Encapsulation::Minimal) });
    world.address();
    let first = world.last();
    world.reply(&first, &Answer::deny(&first, Code::HA_ENCAPSULATION).bytes(&first));
    world.seconds(1);
    let own = Flags::DECAPSULATION | Flags::REVERSE_TUNNEL;
    assert_eq!(asked(&world), (own | Flags::BROADCAST, false));
    world.accept(None);
    let last = world.routes.last();
    assert!(matches!(last, Some(Route::CoLocated { peer: Peer::IpInIp { .. }, broadcasts: true, .. })));
}

#[test]
fn an_agent_that_offers_it_no_longer_is_not_asked_for_it_at_the_renewal() {
    let mut agent = offering(AgentFlags::GRE);
    let mut world = through(everything(), &agent);
    agent.flags = fa_a().flags;
    world.seconds_hearing(500, &mut agent);
    assert_eq!(asked(&world), (Flags::REVERSE_TUNNEL | Flags::BROADCAST, true));
    world.accept(Some(&agent));
    assert_eq!(world.routes.len(), 1, "to us it is the same way");
}
