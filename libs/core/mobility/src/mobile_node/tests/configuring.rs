//! Other wishes while a registration stands.

use super::{super::*, world::*};

const WISHES: Preferences = Preferences {
    negotiation: Policies { home_agent: None, foreign_agents: None, serving_managers: None },
    lifetime: 90,
    reverse_tunnel: false,
    simultaneous: false,
    delivery: Delivery::Direct,
    broadcasts: false,
    revocation: true,
    keepalive: Duration::from_secs(30),
};

#[test]
fn the_registration_stands_and_the_next_asks_for_what_is_wished_now() {
    let mut world = World::registered_through(&fa_a());
    let (routes, asked) = (world.routes.len(), world.asked.len());
    world.request(Request::Configure(Box::new(WISHES)));
    assert_eq!((world.routes.len(), world.asked.len()), (routes, asked), "nothing was touched");
    assert_eq!(world.state(), State::Registered);
    // Another agent is heard, and the one in use is not any more.
    world.link_up();
    world.hear(&fa_b());
    let asked = world.last();
    assert_eq!((asked.fixed.lifetime, asked.fixed.flags), (90, wire::mip::registration::Flags(0)));
    world.accept(Some(&fa_b()));
    assert_eq!(world.state(), State::Registered);
}

#[test]
fn a_request_that_waits_is_answered_by_what_it_asked_for() {
    let mut world = World::new();
    world.link_up();
    world.hear(&fa_a());
    world.request(Request::Configure(Box::new(WISHES)));
    world.accept(Some(&fa_a()));
    assert_eq!(world.state(), State::Registered);
    assert_eq!(world.routes.len(), 1);
}
