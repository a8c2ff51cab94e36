//! Packets at the old place and at the new one (RFC 5944 section 3.6.1.2).

use wire::mip::{code::Code, extension::UdpTunnelReply, registration::Flags};

use super::{super::*, world::*};

const OTHER_LINK: LinkId = LinkId(1);
const OTHER: Ipv4Addr = Ipv4Addr::new(172, 16, 5, 9);

fn both() -> Config {
    Config { simultaneous: true, ..config() }
}

fn asks_for_both(asked: &Asked) -> bool {
    asked.fixed.flags.has(Flags::SIMULTANEOUS)
}

/// Registered through agent A, then on the link of agent B.
fn moved(config: Config) -> World {
    let mut world = World::with(config, MobileNodeState::default(), T);
    world.link_up();
    world.hear(&fa_a());
    assert!(!asks_for_both(&world.last()), "there is nothing beside which it could be");
    world.accept(Some(&fa_a()));
    go(&mut world, &fa_b());
    world
}

fn go(world: &mut World, agent: &Agent) {
    world.link_down();
    world.seconds(1);
    world.link_up();
    world.hear(agent);
}

#[test]
fn only_the_first_request_after_a_move_asks_for_both() {
    let mut world = moved(both());
    assert!(asks_for_both(&world.last()) && world.last().fixed.care_of == fa_b().care_of[0]);
    // The same request again does too, a renewal does not.
    world.seconds(1);
    assert!(asks_for_both(&world.last()));
    let requests = world.asked.len();
    world.accept(Some(&fa_b()));
    world.seconds_hearing(500, &mut fa_b());
    assert!(world.asked.len() > requests && !asks_for_both(&world.last()));
}

#[test]
fn who_is_not_told_to_never_asks_for_both() {
    assert!(!asks_for_both(&moved(config()).last()));
}

#[test]
fn there_is_one_place_after_home_after_the_end_and_where_it_was_already() {
    // A, then home, then B.
    let mut world = World::with(both(), MobileNodeState::default(), T);
    world.link_up();
    world.hear(&fa_a());
    world.accept(Some(&fa_a()));
    go(&mut world, &home_agent());
    assert!(!asks_for_both(&world.last()));
    world.accept(None);
    go(&mut world, &fa_b());
    assert!(!asks_for_both(&world.last()));
    // A again after its link was down for a moment.
    world.accept(Some(&fa_b()));
    go(&mut world, &fa_b());
    assert!(!asks_for_both(&world.last()));
    // The registration is over before another place is found.
    world.accept(Some(&fa_b()));
    world.link_down();
    world.seconds(601);
    go(&mut world, &fa_a());
    assert!(!asks_for_both(&world.last()));
}

#[test]
fn where_there_are_too_many_it_asks_for_this_one_alone() {
    let mut world = moved(both());
    let asked = world.last();
    let (requests, at) = (world.asked.len(), asked.at);
    let denial = Answer { challenge: None, ..Answer::deny(&asked, Code::HA_TOO_MANY_BINDINGS) };
    world.reply(&asked, &denial.bytes(&asked));
    world.pass(Duration::from_millis(1100));
    assert_eq!(world.asked.len(), requests + 1);
    assert!(!asks_for_both(&world.last()));
    assert_eq!(world.last().at, at + Duration::from_secs(1), "as soon as it may");
    world.accept(Some(&fa_b()));
    assert_eq!(world.state(), State::Registered);
    // The next move asks for both again.
    go(&mut world, &fa_a());
    assert!(asks_for_both(&world.last()));
}

/// Registered with an address on one link; the home agent falls silent there, and another link has an address too.
fn two_addresses(udp: Option<UdpTunnelReply>) -> World {
    let mut world = World::with(both(), MobileNodeState::default(), T);
    world.link_up();
    world.address();
    let asked = world.last();
    let answer = Answer { udp, ..Answer::accept(&asked, None) };
    world.reply(&asked, &answer.bytes(&asked));
    world.request(Request::LinkUp { link: OTHER_LINK, address: [2, 0, 0, 0, 0, 0x51] });
    let gateway = Some(Ipv4Addr::new(172, 16, 5, 1));
    world.request(Request::AddressAppeared { link: OTHER_LINK, address: OTHER, prefix_length: 24, gateway });
    for _ in 0..600 {
        if world.last().fixed.care_of == OTHER {
            return world;
        }
        world.seconds(1);
    }
    panic!("it stays where nobody answers");
}

fn previous(world: &World) -> Option<forward::Peer> {
    match world.routes.last() {
        Some(Route::CoLocated { care_of, previous, .. }) if care_of.address == OTHER => *previous,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_tunnel_at_the_address_before_still_brings_packets_until_the_next_renewal() {
    let mut world = two_addresses(None);
    assert!(asks_for_both(&world.last()));
    world.accept(None);
    let before = forward::Peer::IpInIp { local: CARE_OF, remote: HOME_AGENT };
    assert_eq!(previous(&world), Some(before));
    for _ in 0..500 {
        world.seconds(1);
        if !asks_for_both(&world.last()) {
            break;
        }
    }
    world.accept(None);
    assert_eq!(previous(&world), None);
}

#[test]
fn what_ended_with_the_move_brings_nothing() {
    // The home agent keeps one binding only.
    let mut world = two_addresses(None);
    let asked = world.last();
    let answer = Answer { code: Code::ACCEPTED_NO_SIMULTANEOUS, ..Answer::accept(&asked, None) };
    world.reply(&asked, &answer.bytes(&asked));
    assert_eq!(previous(&world), None);
    // The address is gone, or its link, or the port of its tunnel.
    let mut world = two_addresses(None);
    world.request(Request::AddressGone { link: LINK, address: CARE_OF });
    world.accept(None);
    assert_eq!(previous(&world), None);
    let mut world = two_addresses(None);
    world.link_down();
    world.accept(None);
    assert_eq!(previous(&world), None);
    let udp = UdpTunnelReply { code: 0, forced: false, keepalive: 600 };
    let mut world = two_addresses(Some(udp));
    world.accept(None);
    assert_eq!(previous(&world), None);
}
