//! Renewals that somebody wants before their time. What agents say is in tests/sim/tests/renewals.rs.

use wire::mip::code::Code;

use super::{super::*, world::*};

/// An index of the registration in force.
fn index(world: &World) -> Spi {
    world.node.associations().next().unwrap().inbound
}

#[test]
fn the_owner_is_answered_when_the_new_associations_stand() {
    let mut agent = fa_a();
    let mut world = World::registered_through(&agent);
    world.seconds_hearing(10, &mut agent);
    let (before, routes) = (index(&world), world.routes.len());
    world.request(Request::Renew(before));
    assert_eq!((world.asked.len(), world.renewed.len()), (2, 0));
    // A second wish is the same wish.
    world.request(Request::Renew(before));
    assert_eq!(world.asked.len(), 2);
    world.accept(Some(&agent));
    assert_eq!(world.renewed, [Ok(())]);
    assert!(index(&world) != before && world.routes.len() == routes, "packets go on as before");
    assert_eq!(world.state(), State::Registered);
}

#[test]
fn what_is_not_there_is_not_renewed() {
    let mut world = World::registered_through(&fa_a());
    world.request(Request::Renew(Spi(7)));
    assert!(world.renewed.pop().unwrap().unwrap_err().contains("index 7"));
    world.request(Request::Delete(Spi(7)));
    assert!(world.deregistered.pop().unwrap().unwrap_err().contains("index 7"));
    assert_eq!((world.asked.len(), world.state()), (1, State::Registered));
    for mut world in [World::new(), World::at_home()] {
        world.request(Request::Renew(Spi(1000)));
        assert!(world.renewed.pop().unwrap().is_err());
    }
}

#[test]
fn a_denied_renewal_leaves_what_stands_and_is_told() {
    let mut agent = fa_a();
    let mut world = World::registered_through(&agent);
    world.seconds_hearing(10, &mut agent);
    let before = index(&world);
    world.request(Request::Renew(before));
    let asked = world.last();
    world.reply(&asked, &Answer::deny(&asked, Code::HA_PROHIBITED).bytes(&asked));
    assert!(world.renewed.pop().unwrap().unwrap_err().contains("129"), "told with the code");
    assert_eq!((world.state(), index(&world)), (State::Registered, before));
}

#[test]
fn a_renewal_that_nobody_answers_is_told_and_asked_for_again() {
    let mut agent = fa_a();
    let mut world = World::registered_through(&agent);
    world.seconds_hearing(10, &mut agent);
    world.request(Request::Renew(index(&world)));
    world.seconds_hearing(20, &mut agent);
    assert!(world.renewed.pop().unwrap().unwrap_err().contains("does not answer"));
    assert_eq!((world.state(), world.renewed.len()), (State::Registered, 0));
    world.accept(Some(&agent));
    assert!(world.renewed.is_empty(), "he was answered");
}

#[test]
fn ending_an_association_gives_the_binding_up() {
    let mut agent = fa_a();
    let mut world = World::registered_through(&agent);
    world.seconds_hearing(10, &mut agent);
    world.request(Request::Delete(index(&world)));
    assert_eq!(world.last().fixed.lifetime, 0);
    world.accept(Some(&agent));
    assert_eq!((world.deregistered.len(), world.state()), (1, State::Detached));
}
