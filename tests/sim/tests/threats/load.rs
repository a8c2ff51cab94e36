//! Floods (row 18): what a spoofed request costs, and who waits because of it.

use std::net::{Ipv4Addr, SocketAddrV4};

use sim::rogue::{self, Relay};
use wire::mip::PORT;

use super::*;

const FLOOD: u32 = 20_000;

/// The same request with another identification, so that none is a repeat, and 32 fails.
fn spoofed(part: &[u8], n: u32) -> Vec<u8> {
    let mut part = part.to_vec();
    part[20..24].copy_from_slice(&n.to_be_bytes());
    part
}

#[test]
fn row_18_a_flood_of_spoofed_requests_leaves_nothing_behind_and_delays_nobody() {
    let mut scene = Scene::new(2, 2);
    scene.move_to(0, VISIT);
    scene.pass(seconds(3));
    let part = rogue::mobile_part(last(&scene, Way::FromMobileNode).payload());
    let quiet = scene.seen().len();
    // From an agent's address, and from anywhere, with a 34 that is right, wrong or not there.
    let relay = Relay::of(1, 1);
    let stranger = SocketAddrV4::new(Ipv4Addr::new(10, 99, 9, 9), PORT);
    for n in 0..FLOOD {
        let part = spoofed(&part, n);
        scene.send(match n % 3 {
            0 => relay.message(part),
            1 => Relay { signer: None, ..relay.clone() }.message(part),
            _ => Message::Udp {
                source: stranger,
                destination: SocketAddrV4::new(Ipv4Addr::new(10, 11, 1, 2), PORT),
                payload: part,
            },
        });
    }
    scene.pass(millis(1));
    assert_eq!(scene.waiting_at_home(), 0, "nothing is kept of what did not verify");
    let answers = scene.seen()[quiet..].iter().filter(|(_, m)| m.way().is_some()).count();
    assert_eq!(answers, 0, "and nothing is answered");
    // In the middle of it somebody honest.
    for n in 0..FLOOD / 10 {
        scene.send(relay.message(spoofed(&part, FLOOD + n)));
    }
    let asked = scene.now();
    scene.move_to(1, VISIT);
    for n in 0..FLOOD / 10 {
        scene.send(relay.message(spoofed(&part, 2 * FLOOD + n)));
    }
    scene.pass(millis(50));
    assert_registered(&scene, 1);
    let last = scene.seen().iter().rev().find(|(_, m)| m.way() == Some(Way::ToMobileNode)).unwrap().0;
    assert!(last - asked < millis(50), "{:?}", last - asked);
    (0..2).for_each(|node| assert_registered(&scene, node));
}

#[test]
fn row_18_a_flood_on_a_link_fills_no_more_than_its_stations_share() {
    let mut scene = Scene::new(2, 1);
    scene.move_to(0, VISIT);
    scene.pass(seconds(3));
    let request = last(&scene, Way::FromMobileNode);
    // One station repeats requests that are right but for 32, with challenges that are used up and ones made up.
    for n in 0..FLOOD {
        let mut part = spoofed(request.payload(), n);
        if n % 2 == 0 {
            let at = part.windows(4).position(|window| window == b"fa-0").unwrap();
            part[at - 3] ^= n.to_be_bytes()[3] | 1;
        }
        scene.send(request.carrying(part));
    }
    scene.pass(millis(10));
    assert!(scene.waiting_at(0) <= 5, "{} requests wait", scene.waiting_at(0));
    let told = codes(&scene, Way::ToMobileNode).len();
    assert!(told <= 3, "{told} answers to one station");
    scene.move_to(1, VISIT);
    scene.pass(millis(500));
    assert_registered(&scene, 1);
}

/// Requests by the realm's key cost an exchange before anything is known of their sender: behind a 34 they are counted
/// for each agent, without one they need a cookie.
#[test]
fn row_18_what_costs_an_exchange_is_rationed_for_each_agent() {
    let mut scene = Scene::new(2, 2);
    scene.move_to(0, VISIT);
    scene.pass(seconds(3));
    scene.restart(0, None);
    scene.pass(seconds(3));
    let by_realm_key = last(&scene, Way::FromMobileNode);
    let part = rogue::mobile_part(by_realm_key.payload());
    let before = scene.seen().len();
    let relay = Relay::of(1, 1);
    for n in 0..FLOOD {
        scene.send(relay.message(spoofed(&part, n)));
    }
    scene.pass(millis(10));
    assert_eq!(scene.seen()[before..].iter().filter(|(_, m)| m.way().is_some()).count(), 0);
    assert_eq!(scene.waiting_at_home(), 0);
    // Another agent's ration is its own.
    scene.restart(1, None);
    scene.move_to(1, VISIT);
    scene.pass(seconds(3));
    assert_registered(&scene, 1);
}
