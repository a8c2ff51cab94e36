use wire::mip::advertisement::AgentFlags;

use super::{super::*, world::*};

#[test]
fn a_link_that_goes_down_parks_everything_at_once() {
    let mut world = World::registered_through(&fa_a());
    world.link_down();
    assert_eq!(world.routes.last(), Some(&Route::Detached));
    assert_eq!((world.state(), world.node.associations().count()), (State::Detached, 0));
    world.link_up();
    assert_eq!(world.solicited.len(), 2);
    world.hear(&fa_b());
    let asked = world.last();
    assert_eq!(asked.fixed.care_of, fa_b().care_of[0], "at once, without waiting a second");
    assert!(asked.fixed.identification > world.asked[0].fixed.identification);
    world.accept(Some(&fa_b()));
    assert_eq!(world.state(), State::Registered);
}

#[test]
fn the_same_agent_after_a_flap_is_registered_with_anew() {
    let mut world = World::registered_through(&fa_a());
    world.link_up();
    assert_eq!(world.routes.last(), Some(&Route::Detached));
    world.hear(&fa_a());
    assert_eq!(world.asked.len(), 2);
    world.accept(Some(&fa_a()));
    assert!(matches!(world.routes.last(), Some(Route::ViaForeignAgent { .. })));
}

#[test]
fn an_agent_that_falls_silent_and_returns_is_gone_on_with() {
    let mut agent = fa_a();
    let mut world = World::registered_through(&agent);
    world.seconds(10);
    assert_eq!(world.saw(EventKind::Moved), 1);
    agent.sequence = 512;
    world.seconds_hearing(10, &mut agent);
    assert_eq!((world.asked.len(), world.routes.len()), (1, 1));
    assert_eq!(world.state(), State::Registered);
}

#[test]
fn lifetime_expiry_with_another_agent_at_hand_moves() {
    let mut agent = fa_a();
    let mut other = Agent { prefix: None, ..fa_b() };
    let mut world = World::registered_through(&agent);
    for _ in 0..5 {
        world.seconds_hearing(1, &mut agent);
        world.hear(&other);
    }
    assert_eq!(world.asked.len(), 1, "what works is kept");
    world.seconds_hearing(4, &mut other);
    assert_eq!(world.last().fixed.care_of, other.care_of[0]);
    assert!(
        matches!(world.routes.last(), Some(Route::ViaForeignAgent { agent, .. }) if *agent == fa_a().address)
    );
    world.accept(Some(&other));
    assert!(
        matches!(world.routes.last(), Some(Route::ViaForeignAgent { agent, .. }) if *agent == other.address)
    );
}

#[test]
fn another_prefix_moves_unless_the_agent_in_use_still_answers() {
    let mut agent = fa_a();
    let mut world = World::registered_through(&agent);
    world.seconds_hearing(5, &mut agent);
    world.hear(&fa_b());
    assert_eq!(world.solicited.len(), 2, "asked");
    world.hear(&agent);
    world.seconds_hearing(2, &mut agent);
    assert_eq!(world.asked.len(), 1, "both are here");

    let mut world = World::registered_through(&agent);
    world.seconds_hearing(5, &mut agent);
    world.hear(&fa_b());
    world.pass(Duration::from_millis(500));
    assert_eq!(world.routes.last(), Some(&Route::Detached));
    assert_eq!(world.last().fixed.care_of, fa_b().care_of[0]);
}

#[test]
fn without_prefixes_there_is_no_such_movement() {
    for (a, b) in [(None, Some(24)), (Some(24), None)] {
        let mut agent = Agent { prefix: a, ..fa_a() };
        let mut world = World::registered_through(&agent);
        world.hear(&Agent { prefix: b, ..fa_b() });
        world.seconds(2);
        agent.sequence += 1;
        world.hear(&agent);
        assert_eq!((world.asked.len(), world.solicited.len()), (1, 1));
    }
}

#[test]
fn a_sequence_reset_registers_anew_at_most_once_a_minute() {
    let mut agent = fa_a();
    let mut world = World::registered_through(&agent);
    world.seconds_hearing(5, &mut agent);
    agent.sequence = 0;
    agent.challenge = Some(vec![8; 8]);
    world.hear(&agent);
    assert_eq!(world.asked.len(), 2);
    world.accept(Some(&agent));
    for _ in 0..10 {
        world.seconds_hearing(2, &mut agent);
        agent.sequence = 0;
        world.hear(&agent);
    }
    assert_eq!(world.asked.len(), 2);
    world.seconds_hearing(40, &mut agent);
    assert_eq!(world.asked.len(), 3, "the minute is over");
}

#[test]
fn a_rollover_is_no_reset() {
    let mut agent = Agent { sequence: u16::MAX, ..fa_a() };
    let mut world = World::registered_through(&agent);
    world.seconds_hearing(3, &mut agent);
    assert_eq!(agent.sequence, 258);
    assert_eq!(world.asked.len(), 1);
}

#[test]
fn another_box_with_the_agents_address_is_another_agent() {
    let mut world = World::registered_through(&fa_a());
    world.seconds(2);
    world.hear(&Agent { link_address: [2, 0, 0, 0, 9, 9], ..fa_a() });
    assert!(world.routes.contains(&Route::Detached));
    assert_eq!(world.last().link.unwrap().0, [2, 0, 0, 0, 9, 9]);
}

#[test]
fn the_home_agent_wins_over_all_others() {
    let mut agent = fa_a();
    let mut world = World::registered_through(&agent);
    world.seconds_hearing(3, &mut agent);
    world.hear(&home_agent());
    assert!(matches!(world.routes.last(), Some(Route::Home { .. })));
    world.accept(None);
    let mut ha = home_agent();
    for _ in 0..10 {
        world.hear(&agent);
        world.seconds_hearing(1, &mut ha);
    }
    assert_eq!((world.state(), world.asked.len()), (State::AtHome, 2));
}

#[test]
fn somebody_with_the_h_bit_or_the_address_alone_is_not_home() {
    for agent in [
        Agent { address: Ipv4Addr::new(10, 11, 1, 3), ..home_agent() },
        Agent { flags: AgentFlags::REVERSE_TUNNEL, ..home_agent() },
    ] {
        let mut world = World::new();
        world.link_up();
        world.hear(&agent);
        assert!(world.asked.is_empty() && world.routes.is_empty());
    }
}

#[test]
fn a_home_agent_that_dies_leaves_us_at_home() {
    let mut world = World::at_home();
    world.address();
    world.seconds(100);
    assert_eq!((world.state(), world.asked.len()), (State::AtHome, 1));
    world.hear(&fa_a());
    world.seconds(1);
    assert_eq!(world.last().fixed.care_of, fa_a().care_of[0], "another network: we moved");
    assert!(world.routes.contains(&Route::Detached));
}

#[test]
fn a_foreign_agent_is_preferred_while_nothing_works() {
    let mut world = World::new();
    world.address();
    world.link_up();
    assert_eq!(world.last().fixed.care_of, CARE_OF, "perhaps a stale address, but the only one");
    world.hear(&fa_a());
    assert_eq!(world.last().fixed.care_of, fa_a().care_of[0], "at once, without waiting a second");
}

#[test]
fn a_co_located_registration_stays_unless_an_agent_insists() {
    let mut agent = Agent { prefix: None, ..fa_a() };
    let mut world = World::co_located(None);
    world.seconds_hearing(3, &mut agent);
    assert_eq!(world.asked.len(), 1);
    agent.flags |= AgentFlags::REGISTRATION_REQUIRED;
    world.seconds_hearing(2, &mut agent);
    assert_eq!(world.last().fixed.care_of, agent.care_of[0]);
    world.accept(Some(&agent));
    assert!(matches!(world.routes.last(), Some(Route::ViaForeignAgent { .. })));
}

#[test]
fn an_address_that_goes_takes_its_registration_along() {
    let mut world = World::co_located(None);
    world.request(Request::AddressGone { link: LINK, address: CARE_OF });
    assert_eq!(world.routes.last(), Some(&Route::Detached));
    assert_eq!(world.state(), State::Discovering);
    world.seconds(1);
    world.address();
    assert_eq!(world.asked.len(), 2);
}

#[test]
fn another_gateway_changes_routes_only() {
    let mut world = World::co_located(None);
    let other = Ipv4Addr::new(192, 168, 77, 2);
    world.request(Request::AddressAppeared {
        link: LINK,
        address: CARE_OF,
        prefix_length: 24,
        gateway: Some(other),
    });
    assert_eq!(world.asked.len(), 1);
    let last = world.routes.last();
    assert!(matches!(last, Some(Route::CoLocated { care_of, .. }) if care_of.gateway == Some(other)));
}

#[test]
fn the_home_address_is_no_care_of_address() {
    let mut world = World::new();
    world.link_up();
    world.request(Request::AddressAppeared {
        link: LINK,
        address: HOME,
        prefix_length: 24,
        gateway: Some(HOME_AGENT),
    });
    assert!(world.asked.is_empty());
}

#[test]
fn a_silent_agent_is_given_up_for_another_one() {
    let (mut silent, mut other) = (fa_a(), Agent { prefix: None, ..fa_b() });
    let mut world = World::new();
    world.link_up();
    world.hear(&silent);
    for _ in 0..7 {
        world.hear(&other);
        world.seconds_hearing(1, &mut silent);
        other.sequence += 1;
    }
    assert_eq!(world.last().fixed.care_of, other.care_of[0]);
    assert_eq!(world.asked.len(), 4);
}

#[test]
fn routes_that_fail_are_tried_again_but_not_in_a_loop() {
    let mut world = World::new();
    world.link_up();
    let mut agent = home_agent();
    world.hear(&agent);
    for _ in 0..10 {
        world.request(Request::RouteFailed { reason: "no such device".into() });
        world.seconds_hearing(1, &mut agent);
    }
    let homes = world.routes.iter().filter(|r| matches!(r, Route::Home { .. })).count();
    assert!((10..=11).contains(&homes), "{homes}");
    world.accept(None);
    assert_eq!(world.state(), State::AtHome);
}

#[test]
fn a_second_link_is_used_when_the_first_goes() {
    let mut world = World::registered_through(&fa_a());
    let second = LinkId(1);
    world.request(Request::LinkUp { link: second, address: [2, 0, 0, 0, 0, 0x51] });
    world.request(Request::AddressAppeared {
        link: second,
        address: CARE_OF,
        prefix_length: 24,
        gateway: Some(GATEWAY),
    });
    assert_eq!(world.asked.len(), 1, "what works is kept");
    world.link_down();
    assert_eq!(world.last().fixed.care_of, CARE_OF);
    assert!(matches!(world.routes.last(), Some(Route::CareOf { link, .. }) if *link == second));
}
