use std::{net::SocketAddrV4, time::Duration};

use wire::{
    ip::{self, Icmp},
    mip::{
        PORT,
        extension::UdpTunnelReply,
        ours::DOCUMENTATION_VENDOR,
        part::Parts,
        registration::{Flags, Request as Fixed, ntp_seconds},
        tunnel_data::TunnelData,
    },
};

use super::{super::*, world::*};

fn parts(asked: &Asked) -> Parts<'_> {
    Parts::parse(&asked.bytes, Fixed::LEN, DOCUMENTATION_VENDOR).unwrap()
}

#[test]
fn through_a_foreign_agent() {
    let mut world = World::new();
    world.link_up();
    world.hear(&fa_a());
    let asked = world.last();
    assert_eq!(asked.link, Some((fa_a().link_address, 255)));
    assert_eq!(asked.destination, SocketAddrV4::new(fa_a().address, PORT));
    assert_eq!(*asked.source.ip(), Ipv4Addr::UNSPECIFIED);
    assert_eq!(asked.fixed.flags, Flags(Flags::REVERSE_TUNNEL));
    assert_eq!((asked.fixed.lifetime, asked.fixed.home_agent), (600, HOME_AGENT));
    assert_eq!((asked.fixed.home_address, asked.fixed.care_of), (Ipv4Addr::UNSPECIFIED, fa_a().care_of[0]));
    assert_eq!(asked.fixed.identification.seconds(), ntp_seconds(T));
    assert_eq!(verified(&asked), ("traveller-one".into(), HOME));
    let parts = parts(&asked);
    let heard = parts.mobile.agent_heard.unwrap();
    assert_eq!((heard.agent, heard.challenge), (fa_a().nai.unwrap(), &[1; 8][..]));
    assert_eq!(parts.foreign.challenge, Some(&[1; 8][..]));
    assert!(parts.mobile.udp_request.is_none() && parts.foreign_home.is_none());
    assert!(world.routes.is_empty(), "no route before the reply");

    world.accept(Some(&fa_a()));
    let a = fa_a();
    let route = Route::ViaForeignAgent {
        link: LINK,
        agent: a.address,
        agent_link: a.link_address,
        care_of: a.care_of[0],
        delivery: Delivery::Direct,
        broadcasts: false,
    };
    assert_eq!(world.routes, [route]);
    assert_eq!(world.node.associations().count(), 2);
    assert_eq!(world.kept.unwrap().registrations, 1);
    assert_eq!(world.node.status().agent, a.nai);
}

#[test]
fn nothing_on_a_visited_link_tells_who_we_are() {
    let mut world = World::new();
    world.link_up();
    world.hear(&fa_a());
    world.seconds(20);
    for asked in &world.asked {
        for secret in [&HOME.octets()[..], b"traveller", &OURS, &asked.source.ip().octets()[..0]] {
            let found = !secret.is_empty() && asked.bytes.windows(secret.len()).any(|w| w == secret);
            assert!(!found, "{secret:?}");
        }
    }
    let mut ports: Vec<_> = world.asked.iter().map(|a| a.source.port()).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), world.asked.len(), "a fresh port for every request");
}

#[test]
fn with_an_address_of_our_own() {
    let mut world = World::new();
    world.link_up();
    world.request(Request::AddressAppeared {
        link: LINK,
        address: CARE_OF,
        prefix_length: 24,
        gateway: None,
    });
    assert!(world.asked.is_empty(), "no gateway yet");
    world.address();
    let asked = world.last();
    let care_of = CareOf { address: CARE_OF, prefix_length: 24, gateway: Some(GATEWAY) };
    let port = asked.source.port();
    assert_eq!(world.routes, [Route::CareOf { link: LINK, care_of, port }]);
    assert_eq!(asked.destination, SocketAddrV4::new(HOME_AGENT, PORT));
    assert_eq!(*asked.source.ip(), CARE_OF);
    assert_eq!(asked.fixed.flags, Flags(Flags::DECAPSULATION | Flags::REVERSE_TUNNEL));
    assert_eq!((asked.fixed.home_address, asked.fixed.care_of), (Ipv4Addr::UNSPECIFIED, CARE_OF));
    verified(&asked);
    let udp = parts(&asked).mobile.udp_request.unwrap();
    assert!(!udp.forced && udp.encapsulation == 4);
    assert!(parts(&asked).mobile.agent_heard.is_none());

    world.accept(None);
    let peer = forward::Peer::IpInIp { local: CARE_OF, remote: HOME_AGENT };
    assert_eq!(
        world.routes.last(),
        Some(&Route::CoLocated { link: LINK, care_of, port, peer, previous: None, broadcasts: false })
    );
    assert_eq!(world.node.associations().count(), 1);
}

#[test]
fn behind_a_nat_the_tunnel_is_udp_and_kept_alive() {
    let reply = UdpTunnelReply { code: 0, forced: false, keepalive: 50 };
    let mut world = World::co_located(Some(reply));
    let peer = forward::Peer::Udp { remote: SocketAddrV4::new(HOME_AGENT, PORT) };
    assert!(matches!(world.routes.last(), Some(Route::CoLocated { peer: p, .. }) if *p == peer));
    assert_eq!(world.node.status().encapsulation, Some("udp"));
    let begun = world.now.mono;
    let source = world.last().source;
    world.seconds(160);
    let times: Vec<_> = world.keepalives.iter().map(|k| (k.0 - begun).as_secs()).collect();
    assert_eq!(times, [50, 100, 150]);
    let (_, from, payload) = &world.keepalives[0];
    assert_eq!(*from, source, "the port of the registration");
    let inner = ip::parse_icmp(TunnelData::parse(payload).unwrap().packet).unwrap();
    assert_eq!((inner.source, inner.destination), (HOME, HOME_AGENT));
    assert!(matches!(inner.icmp(), Ok(Icmp::EchoRequest { sequence: 1, .. })));
}

#[test]
fn the_keepalive_interval_is_the_shorter_one_and_never_silly() {
    for (asked, every) in [(0, 110), (500, 110), (30, 30), (1, 10)] {
        let reply = UdpTunnelReply { code: 0, forced: false, keepalive: asked };
        let mut world = World::co_located(Some(reply));
        let begun = world.now.mono;
        world.seconds(120);
        assert_eq!((world.keepalives[0].0 - begun).as_secs(), every, "for {asked}");
    }
}

#[test]
fn a_declined_udp_tunnel_is_ip_in_ip_and_needs_no_keepalive() {
    let reply = UdpTunnelReply { code: 64, forced: false, keepalive: 0 };
    let mut world = World::co_located(Some(reply));
    assert_eq!(world.node.status().encapsulation, Some("ipip"));
    world.seconds(200);
    assert!(world.keepalives.is_empty());
}

#[test]
fn at_home() {
    let mut world = World::new();
    world.link_up();
    world.hear(&home_agent());
    let asked = world.last();
    assert_eq!(world.routes, [Route::Home { link: LINK, port: asked.source.port() }]);
    assert_eq!((*asked.source.ip(), asked.destination), (HOME, SocketAddrV4::new(HOME_AGENT, PORT)));
    assert_eq!((asked.fixed.flags, asked.fixed.lifetime), (Flags(0), 0));
    assert_eq!((asked.fixed.home_address, asked.fixed.care_of), (HOME, HOME));
    assert_eq!(verified(&asked).0, "traveller-one");
    assert!(parts(&asked).mobile.agent_heard.is_none() && parts(&asked).mobile.udp_request.is_none());
    assert_eq!(world.state(), State::Registering);
    world.accept(None);
    assert_eq!(world.state(), State::AtHome);
    assert_eq!(world.node.status().registrations, 0);
    world.seconds(2000);
    assert_eq!(world.asked.len(), 1);
}

#[test]
fn unanswered_requests_are_repeated_at_doubling_intervals() {
    let mut agent = fa_a();
    let mut world = World::new();
    world.link_up();
    world.hear(&agent);
    let begun = world.now.mono;
    world.seconds_hearing(80, &mut agent);
    let times: Vec<_> = world.asked.iter().map(|a| (a.at - begun).as_secs()).collect();
    assert_eq!(times, [0, 1, 3, 7, 15, 31, 47, 63, 79]);
    let identifications: Vec<_> = world.asked.iter().map(|a| a.fixed.identification.seconds()).collect();
    assert!(identifications.windows(2).all(|w| w[0] < w[1]));
    let challenges = world.asked.iter().map(|a| parts(a).foreign.challenge.unwrap());
    assert!(challenges.skip(1).is_sorted_by(|a, b| a < b), "always the latest challenge");
}

#[test]
fn identifications_rise_within_a_second_and_over_a_restart() {
    let mut world = World::new();
    for _ in 0..5 {
        world.link_up();
        world.hear(&fa_a());
    }
    let seconds = |w: &World| -> Vec<_> {
        w.asked.iter().map(|a| a.fixed.identification.seconds() - ntp_seconds(T)).collect()
    };
    assert_eq!(seconds(&world), [0; 5]);
    assert!(world.asked.windows(2).all(|pair| pair[1].fixed.identification > pair[0].fixed.identification));
    let mut restarted = World::with(config(), world.kept.unwrap(), T);
    restarted.link_up();
    restarted.hear(&fa_a());
    assert_eq!(seconds(&restarted), [1], "its low half is not kept");
}

#[test]
fn renewal_comes_at_80_percent_less_jitter() {
    let mut agent = fa_a();
    let mut world = World::registered_through(&agent);
    let mut waits = Vec::new();
    for round in 1..10 {
        while world.asked.len() == round {
            world.seconds_hearing(1, &mut agent);
        }
        waits.push((world.asked[round].at - world.asked[round - 1].at).as_secs_f64());
        world.accept(Some(&agent));
    }
    assert!(waits.iter().all(|w| (432.0..=480.0).contains(w)), "{waits:?}");
    assert!(waits.windows(2).any(|w| (w[0] - w[1]).abs() > 1.0), "{waits:?}");
    assert_eq!(world.routes.len(), 1, "the same way, so nothing changes");
    assert_eq!(world.node.status().registrations, 10);
}

#[test]
fn the_smaller_lifetime_wins_and_is_counted_from_the_request() {
    let mut agent = Agent { registration_lifetime: 500, ..fa_a() };
    let mut world = World::new();
    world.link_up();
    world.hear(&agent);
    let asked = world.last();
    assert_eq!(asked.fixed.lifetime, 500);
    world.pass(Duration::from_millis(900));
    let answer = Answer { lifetime: 100, ..Answer::accept(&asked, Some(&agent)) };
    world.reply(&asked, &answer.bytes(&asked));
    let ends = world.node.status().ends.unwrap();
    assert_eq!(ends - asked.at, Duration::from_secs(100));
    world.seconds_hearing(99, &mut agent);
    assert_eq!(world.state(), State::Registered);
    world.seconds_hearing(2, &mut agent);
    assert_eq!(world.routes.last(), Some(&Route::Detached));
    assert_eq!(world.state(), State::Registering);
    world.accept(Some(&agent));
    assert_eq!(world.state(), State::Registered);
}

#[test]
fn an_infinite_lifetime_is_never_renewed() {
    let mut world = World::with(Config { lifetime: u16::MAX, ..config() }, MobileNodeState::default(), T);
    let mut agent = Agent { registration_lifetime: u16::MAX, ..fa_a() };
    world.link_up();
    world.hear(&agent);
    let asked = world.last();
    let mut answer = Answer::accept(&asked, Some(&agent));
    for key in &mut answer.keys {
        key.lifetime = sa::LIFETIME_FOREVER;
    }
    world.reply(&asked, &answer.bytes(&asked));
    assert_eq!((world.state(), world.node.status().ends), (State::Registered, None));
    world.seconds_hearing(1000, &mut agent);
    assert_eq!(world.asked.len(), 1);
}

#[test]
fn a_co_located_registration_that_ends_keeps_its_port_open() {
    let mut world = World::co_located(None);
    world.seconds(700);
    assert!(matches!(world.routes.last(), Some(Route::CareOf { .. })));
    assert_eq!(world.state(), State::Registering);
    let mut ports: Vec<_> = world.asked.iter().map(|a| a.source.port()).collect();
    ports.dedup();
    assert_eq!(ports.len(), 1, "one port for one care-of address");
    world.accept(None);
    assert!(matches!(world.routes.last(), Some(Route::CoLocated { .. })));
}

#[test]
fn deregistration_on_an_operators_wish() {
    let mut agent = fa_a();
    let mut world = World::registered_through(&agent);
    world.seconds_hearing(10, &mut agent);
    world.request(Request::Deregister);
    let asked = world.last();
    assert_eq!((asked.fixed.lifetime, asked.fixed.care_of), (0, agent.care_of[0]));
    assert_eq!(asked.fixed.home_address, Ipv4Addr::UNSPECIFIED);
    assert!(parts(&asked).mobile.agent_heard.is_some());
    assert!(world.deregistered.is_empty());
    world.accept(Some(&agent));
    assert_eq!(world.deregistered, [Ok(())]);
    assert_eq!(world.routes.last(), Some(&Route::Detached));
    world.seconds_hearing(60, &mut agent);
    assert_eq!((world.state(), world.asked.len()), (State::Detached, 2));
    world.link_up();
    world.hear(&agent);
    assert_eq!(world.asked.len(), 3, "a new link ends the silence");
}

#[test]
fn a_deregistration_that_nobody_answers_is_followed_by_a_registration() {
    let mut agent = fa_a();
    let mut world = World::registered_through(&agent);
    world.request(Request::Deregister);
    world.seconds_hearing(20, &mut agent);
    assert!(world.deregistered[0].is_err());
    // Nobody knows whether the binding stands: three farewells, then it is asked for.
    assert_eq!(world.state(), State::Registered);
    let lifetimes: Vec<_> = world.asked[1..].iter().map(|asked| asked.fixed.lifetime > 0).take(4).collect();
    assert_eq!(lifetimes, [false, false, false, true]);
    world.accept(Some(&agent));
    assert_eq!(world.state(), State::Registered);
    let mut nowhere = World::new();
    nowhere.request(Request::Deregister);
    assert!(nowhere.deregistered[0].is_err());
    let mut home = World::at_home();
    home.request(Request::Deregister);
    assert_eq!(home.deregistered, [Ok(())]);
}
