//! Attacks on registrations by rogue agents, proxies, thieves and worse, each named after what must hold.
//!
//! docs/threats.md lists them. Every attack stands beside a control: the same world without it registers.
#![allow(clippy::unwrap_used, missing_docs)]

mod agents;
mod clocks;
mod home_clock;
mod identity;
mod load;
mod loss;
mod replay;
mod secrecy;
mod shares;
mod tampering;

use std::time::Duration;

use mobility::mobile_node::State;
use sim::{Fate, Message, Place, Scene, Way};
use wire::mip::registration::{Reply, Request};

const VISIT: Place = Place::Visited(0);

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// As if nobody were there.
fn passed(message: &Message) -> Fate {
    vec![(Duration::ZERO, message.clone())]
}

/// Somebody else's message in its place.
fn replaced(message: Message) -> Fate {
    vec![(Duration::ZERO, message)]
}

/// A mobile node and this many foreign agents, before anything happens.
fn scene(agents: usize) -> Scene {
    Scene::new(1, agents)
}

/// A mobile node that is registered through the first of this many foreign agents.
fn registered(agents: usize) -> Scene {
    let mut scene = scene(agents);
    scene.move_to(0, VISIT);
    scene.pass(seconds(3));
    assert_registered(&scene, 0);
    scene
}

fn assert_registered(scene: &Scene, node: usize) {
    assert_eq!(scene.state(node), State::Registered);
    assert_eq!(scene.agreed(node), Ok(()));
}

/// Neither end has anything: no binding, no visitor, no key.
fn assert_nothing(scene: &Scene, node: usize, why: &str) {
    assert_ne!(scene.state(node), State::Registered, "{why}");
    assert!(scene.held(node).is_empty(), "{why}: the mobile node holds keys");
    assert!(scene.binding(node).is_none() && !scene.tunnelled(node), "{why}: bound");
    assert!(!scene.visits(node, 0), "{why}: visiting");
    assert_eq!(scene.broken(), None, "{why}");
}

/// What went one way, in order.
fn went(scene: &Scene, way: Way) -> Vec<Message> {
    scene.seen().iter().map(|(_, message)| message).filter(|m| m.way() == Some(way)).cloned().collect()
}

/// The last thing that went one way.
fn last(scene: &Scene, way: Way) -> Message {
    went(scene, way).pop().unwrap()
}

/// Codes of the replies that went one way, in order.
fn codes(scene: &Scene, way: Way) -> Vec<u8> {
    went(scene, way).iter().filter_map(|m| Reply::parse(m.payload()).ok()).map(|reply| reply.code.0).collect()
}

/// The requests that a mobile node sent, in order.
fn requests(scene: &Scene) -> Vec<Request> {
    went(scene, Way::FromMobileNode).iter().map(|m| Request::parse(m.payload()).unwrap()).collect()
}

/// A scene in which the first message of one way is changed and nothing follows it: what becomes of it alone.
fn changed_once(way: Way, change: impl Fn(&[u8]) -> Vec<u8> + 'static) -> Scene {
    changed_once_at(VISIT, way, change)
}

/// The same of a mobile node somewhere else.
fn changed_once_at(place: Place, way: Way, change: impl Fn(&[u8]) -> Vec<u8> + 'static) -> Scene {
    let mut scene = scene(1);
    let mut met = false;
    scene.on_the_way(move |message, _| match message.way() {
        Some(of) if of == way && !met => {
            met = true;
            replaced(message.carrying(change(message.payload())))
        }
        Some(of) if of == way => vec![],
        _ => passed(message),
    });
    scene.move_to(0, place);
    scene.pass(seconds(2));
    scene
}

const WAYS: [Way; 4] = [Way::FromMobileNode, Way::ToHomeAgent, Way::FromHomeAgent, Way::ToMobileNode];

/// A message that was changed on this way made nothing behind it: no binding, no visitor, no keys at the mobile node.
fn assert_unbelieved(scene: &Scene, way: Way, why: &str) {
    assert_ne!(scene.state(0), State::Registered, "{way:?}: {why}");
    assert!(scene.held(0).is_empty(), "{way:?}: {why}: the mobile node holds keys");
    if way != Way::ToMobileNode {
        assert!(!scene.visits(0, 0), "{way:?}: {why}: visiting");
    }
    if matches!(way, Way::FromMobileNode | Way::ToHomeAgent) {
        assert!(scene.binding(0).is_none() && !scene.tunnelled(0), "{way:?}: {why}: bound");
    }
    assert_eq!(scene.broken(), None, "{way:?}: {why}");
}

/// Once the attack is over the mobile node finds its way by itself: at once, or when it asks again after denials that
/// only a person could heal.
fn assert_heals(scene: &mut Scene) {
    scene.undisturbed();
    for _ in 0..10 {
        scene.pass(seconds(60));
        if scene.state(0) == State::Registered {
            return assert_registered(scene, 0);
        }
    }
    panic!("not within ten minutes");
}
