use std::time::Duration;

use wire::mip::advertisement::AgentFlags;

use super::{super::*, world::*};
use crate::EventKind;

fn gaps(world: &World) -> Vec<f64> {
    let at: Vec<_> = world.solicited.iter().map(|(_, at)| at.since_start().as_secs_f64()).collect();
    at.windows(2).map(|w| w[1] - w[0]).collect()
}

#[test]
fn solicitations_begin_at_once_and_back_off_to_a_minute() {
    let mut world = World::new();
    world.link_up();
    assert_eq!(world.solicited.len(), 1);
    assert_eq!(world.solicited[0].1, world.now.mono);
    world.seconds(600);
    let gaps = gaps(&world);
    let nominal = [1, 1, 2, 4, 8, 16, 32, 64, 64, 64];
    for (gap, nominal) in gaps.iter().zip(nominal.map(f64::from)) {
        assert!(*gap >= nominal && *gap <= nominal * 1.2 + 0.001, "{gap} for {nominal}");
    }
    assert!(gaps.len() >= 9, "{gaps:?}");
    assert_eq!(world.state(), State::Discovering);
}

#[test]
fn an_agent_ends_the_search_and_its_loss_begins_it_anew() {
    let mut world = World::registered_through(&fa_a());
    world.seconds(2);
    assert_eq!(world.solicited.len(), 1);
    world.seconds(2);
    assert_eq!(world.solicited.len(), 2, "its advertisement lived 3 s");
}

#[test]
fn a_down_link_is_deaf_and_silent() {
    let mut world = World::new();
    world.request(Request::LinkDown { link: LINK });
    world.hear(&fa_a());
    world.seconds(100);
    assert!(world.asked.is_empty() && world.solicited.is_empty());
    assert_eq!(world.state(), State::Detached);
}

#[test]
fn advertisements_that_cannot_be_used_are_not() {
    let none = |change: fn(&mut Agent)| {
        let mut world = World::new();
        world.link_up();
        let mut agent = fa_a();
        change(&mut agent);
        world.hear(&agent);
        world.seconds(1);
        assert!(world.asked.is_empty());
    };
    none(|a| a.flags |= AgentFlags::BUSY);
    none(|a| a.flags = AgentFlags::FOREIGN_AGENT);
    none(|a| a.flags = AgentFlags::REVERSE_TUNNEL);
    none(|a| a.challenge = None);
    none(|a| a.challenge = Some(vec![1; 33]));
    none(|a| a.nai = None);
    none(|a| a.nai = Some("an-agent-with-a-name-that-is-longer-than-sixty-four-bytes@visited-a.example"));
    none(|a| a.registration_lifetime = 0);
    none(|a| a.lifetime = 0);
    none(|a| a.address = Ipv4Addr::UNSPECIFIED);
    none(|a| a.address = HOME);
    none(|a| a.care_of = vec![Ipv4Addr::BROADCAST]);
}

#[test]
fn no_changed_bit_of_an_advertisement_is_believed() {
    let packet = fa_a().packet();
    for bit in 0..packet.len() * 8 {
        let mut world = World::new();
        world.link_up();
        let mut wrong = packet.clone();
        wrong[bit / 8] ^= 1 << (bit % 8);
        world.packet(fa_a().link_address, &wrong);
        assert!(world.asked.is_empty(), "bit {bit} of byte {} of {packet:?}", bit / 8);
    }
}

#[test]
fn without_the_wish_for_a_reverse_tunnel_an_agent_without_one_will_do() {
    let mut world = World::with(Config { reverse_tunnel: false, ..config() }, MobileNodeState::default(), T);
    world.link_up();
    world.hear(&Agent { flags: AgentFlags::FOREIGN_AGENT, ..fa_a() });
    assert_eq!(world.last().fixed.flags.0, 0);
}

#[test]
fn a_flood_of_agents_costs_no_memory_and_no_flood_of_requests() {
    let mut world = World::new();
    world.link_up();
    for n in 0..1000_u32 {
        let address = Ipv4Addr::from(0x0a16_0000 + n);
        world.hear(&Agent { address, ..fa_a() });
    }
    assert!(world.node.links[&LINK].agents.len() <= 16);
    assert_eq!(world.asked.len(), 1);
    // The home agent is heard all the same.
    world.hear(&home_agent());
    assert!(matches!(world.routes.last(), Some(Route::Home { .. })));
}

#[test]
fn one_agent_that_changes_its_link_address_all_the_time_gets_one_request_a_second() {
    let mut world = World::new();
    world.link_up();
    for n in 0..100_u8 {
        world.hear(&Agent { link_address: [2, 0, 0, 0, 1, n], ..fa_a() });
        world.pass(Duration::from_millis(10));
    }
    assert!(world.asked.len() <= 4, "{} requests in a second", world.asked.len());
}

#[test]
fn hearing_the_same_agent_again_is_no_event() {
    let mut agent = fa_a();
    let mut world = World::registered_through(&agent);
    world.seconds_hearing(10, &mut agent);
    assert_eq!(world.saw(EventKind::AgentHeard), 1);
    assert_eq!(world.saw(EventKind::Moved), 0);
    assert_eq!(world.solicited.len(), 1);
}

#[test]
fn after_a_restart_the_old_routes_stand_until_nothing_is_found() {
    let mut world = World::new();
    world.link_up();
    assert!(world.routes.is_empty());
    world.seconds(3);
    assert_eq!(world.routes, [Route::Detached]);
}
