//! A mobile node that was enrolled without a home address (RFC 2794 section 1, RFC 5944 section 3.6).

use wire::mip::code::Code;

use super::{super::*, world::*};

const NONE: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const GIVEN: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 130);

fn unnumbered() -> Config {
    Config { home_address: NONE, ..config() }
}

fn world() -> World {
    World::with(unnumbered(), MobileNodeState::default(), T)
}

/// Accepts the last request with this address.
fn give(world: &mut World, agent: Option<&Agent>, address: Ipv4Addr) {
    let asked = world.last();
    let answer = Answer { ip: Some(address), ..Answer::accept(&asked, agent) };
    world.reply(&asked, &answer.bytes(&asked));
}

fn wanted(world: &World) -> Ipv4Addr {
    verified(&world.last()).1
}

/// Registered through agent A with a given address.
fn registered() -> World {
    let mut world = world();
    world.link_up();
    world.hear(&fa_a());
    assert_eq!((wanted(&world), world.last().fixed.home_address), (NONE, NONE));
    give(&mut world, Some(&fa_a()), GIVEN);
    assert_eq!((world.state(), world.given.clone()), (State::Registered, vec![GIVEN]));
    world
}

#[test]
fn it_asks_for_any_and_keeps_what_it_is_given() {
    let mut world = registered();
    assert_eq!(world.node.home_address(), GIVEN);
    assert_eq!(world.on_disk.home_address, Some(GIVEN));
    let event = world.events.iter().rev().find(|e| e.kind == EventKind::Registered).unwrap();
    assert_eq!(event.home_address, Some(GIVEN));
    // From now on it asks for that one, and is told once.
    world.seconds_hearing(500, &mut fa_a());
    assert_eq!(wanted(&world), GIVEN);
    give(&mut world, Some(&fa_a()), GIVEN);
    assert_eq!(world.given, [GIVEN]);
    // So does the next process.
    let mut again = world.crash(unnumbered());
    again.link_up();
    again.hear(&fa_b());
    assert_eq!((again.node.home_address(), wanted(&again)), (GIVEN, GIVEN));
    give(&mut again, Some(&fa_b()), GIVEN);
    assert_eq!((again.state(), again.given.len()), (State::Registered, 0));
}

#[test]
fn without_its_state_it_asks_for_any_again() {
    let lost = MobileNodeState { lost: true, ..MobileNodeState::default() };
    let mut world = World::with(unnumbered(), lost, T);
    world.link_up();
    world.hear(&fa_a());
    assert_eq!(wanted(&world), NONE);
}

#[test]
fn who_is_enrolled_with_an_address_has_that() {
    let kept = MobileNodeState { home_address: Some(GIVEN), ..MobileNodeState::default() };
    let mut world = World::with(config(), kept, T);
    world.link_up();
    world.hear(&fa_a());
    assert_eq!(wanted(&world), HOME);
    give(&mut world, Some(&fa_a()), GIVEN);
    assert_eq!(world.state(), State::Registering, "it grants another home address");
    world.accept(Some(&fa_a()));
    assert_eq!((world.state(), world.on_disk.home_address), (State::Registered, None));
    assert!(world.given.is_empty());
}

#[test]
fn an_address_that_no_host_can_have_is_refused() {
    let mut world = world();
    world.link_up();
    world.hear(&fa_a());
    for wrong in [NONE, Ipv4Addr::BROADCAST, Ipv4Addr::LOCALHOST, Ipv4Addr::new(224, 0, 0, 1), HOME_AGENT] {
        give(&mut world, Some(&fa_a()), wrong);
        assert_eq!(world.state(), State::Registering, "{wrong}");
    }
    // Nor is a reply without one.
    let asked = world.last();
    let answer = Answer { ip: None, ..Answer::accept(&asked, Some(&fa_a())) };
    world.reply(&asked, &answer.bytes(&asked));
    assert_eq!((world.state(), world.given.len()), (State::Registering, 0));
    give(&mut world, Some(&fa_a()), GIVEN);
    assert_eq!(world.state(), State::Registered);
}

#[test]
fn once_it_has_one_no_reply_gives_it_another() {
    let mut world = registered();
    world.seconds_hearing(500, &mut fa_a());
    give(&mut world, Some(&fa_a()), HOME);
    assert_eq!((world.node.home_address(), world.given.len()), (GIVEN, 1));
    assert!(world.counter("reply refused") == 1);
}

#[test]
fn an_address_that_became_another_ones_is_given_up() {
    let mut world = registered();
    world.seconds_hearing(500, &mut fa_a());
    let (asked, requests) = (world.last(), world.asked.len());
    let denial = Answer { challenge: None, ..Answer::deny(&asked, Code::HA_PROHIBITED) };
    world.reply(&asked, &denial.bytes(&asked));
    world.pass(Duration::from_millis(1100));
    assert_eq!((world.asked.len(), wanted(&world)), (requests + 1, NONE));
    assert_eq!(world.node.home_address(), GIVEN, "it is in use as long as nothing else is");
    // A second denial is meant otherwise.
    let routes = world.routes.len();
    let asked = world.last();
    let denial = Answer { challenge: None, ..Answer::deny(&asked, Code::HA_PROHIBITED) };
    world.reply(&asked, &denial.bytes(&asked));
    world.seconds_hearing(5, &mut fa_a());
    assert_eq!(world.asked.len(), requests + 1);
    world.seconds_hearing(15, &mut fa_a());
    assert_eq!((world.asked.len(), wanted(&world)), (requests + 2, NONE));
    give(&mut world, Some(&fa_a()), HOME);
    assert_eq!((world.given.clone(), world.node.home_address()), (vec![GIVEN, HOME], HOME));
    assert_eq!((world.routes.len(), world.on_disk.home_address), (routes + 1, Some(HOME)));
    world.seconds_hearing(500, &mut fa_a());
    assert_eq!(wanted(&world), HOME);
}

#[test]
fn at_home_it_is_nowhere_until_it_has_an_address() {
    let mut world = world();
    world.link_up();
    for _ in 0..20 {
        world.hear(&home_agent());
        world.seconds(1);
    }
    assert!(world.asked.is_empty() && world.state() == State::Discovering);
    assert!(world.routes.iter().all(|route| *route == Route::Detached));
    // An address of the home network's own is as good as any other to ask from.
    world.hear(&home_agent());
    world.address();
    assert_eq!((wanted(&world), world.last().fixed.care_of), (NONE, CARE_OF));
    give(&mut world, None, GIVEN);
    world.seconds(1);
    world.hear(&home_agent());
    let asked = world.last();
    assert_eq!((asked.fixed.lifetime, asked.fixed.home_address), (0, GIVEN));
    assert_eq!((asked.fixed.care_of, *asked.source.ip()), (GIVEN, GIVEN));
    world.accept(None);
    assert_eq!(world.state(), State::AtHome);
}

#[test]
fn at_home_it_uses_the_address_that_it_was_given() {
    let mut world = registered();
    world.link_down();
    world.link_up();
    world.hear(&home_agent());
    let asked = world.last();
    assert_eq!((asked.fixed.home_address, verified(&asked).1), (GIVEN, GIVEN));
    world.accept(None);
    assert_eq!(world.state(), State::AtHome);
}
