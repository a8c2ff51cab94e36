//! Floods (row 18): what a spoofed request costs, and who waits because of it.

use std::net::{Ipv4Addr, SocketAddrV4};

use sim::rogue::{self, Relay};
use wire::{
    ip,
    mip::{
        PORT,
        advertisement::{ALL_ROUTERS, ALL_SYSTEMS, Solicitation},
        share::Cookie,
    },
};

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
    let cookies = scene.counted_at_home("cookies");
    assert_eq!(
        answers as u64, cookies,
        "and nothing is answered, but with what the one address has to return"
    );
    assert!(cookies <= 50, "{cookies}");
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

/// Messages a millisecond of a flood: 100,000 a second.
const A_MILLISECOND: u32 = 100;

const HOME_AGENT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 11, 1, 2), PORT);

/// So many milliseconds of messages in a second's hundred thousand.
fn flood(scene: &mut Scene, milliseconds: u32, mut message: impl FnMut(u32) -> Message) {
    for ms in 0..milliseconds {
        for n in 0..A_MILLISECOND {
            scene.send(message(ms * A_MILLISECOND + n));
        }
        scene.pass(millis(1));
    }
}

/// A node moves there, with this going on meanwhile, and the requests that it takes to register.
fn requests_to_register(
    scene: &mut Scene,
    node: usize,
    place: Place,
    mut meanwhile: impl FnMut(&mut Scene),
) -> usize {
    let own = |scene: &Scene| {
        let of_node = |m: &&Message| matches!(m, Message::Link { from, .. } if from[4..] == [2, node as u8]);
        went(scene, Way::FromMobileNode).iter().filter(of_node).count()
    };
    let before = own(scene);
    scene.move_to(node, place);
    meanwhile(scene);
    scene.pass(seconds(2));
    assert_registered(scene, node);
    own(scene) - before
}

#[test]
fn row_18_a_hundred_thousand_bad_requests_a_second_leave_no_entry_and_cost_the_honest_no_message() {
    let mut scene = Scene::new(2, 2);
    let calm = requests_to_register(&mut scene, 0, VISIT, |_| {});
    let good = last(&scene, Way::ToHomeAgent).payload().to_vec();
    let part = rogue::mobile_part(&good);
    let before = scene.footprint_at_home();
    let relay = Relay::of(1, 1);
    let troubled = requests_to_register(&mut scene, 1, VISIT, |scene| {
        flood(scene, 300, |n| {
            let source = SocketAddrV4::new(Ipv4Addr::from_bits(0xc633_0000 | n), PORT);
            let from = |payload| Message::Udp { source, destination: HOME_AGENT, payload };
            match n % 5 {
                0 => relay.message(spoofed(&part, n)),
                1 => from(spoofed(&part, n)),
                2 => Relay { signer: Some(0), ..relay.clone() }.message(part.clone()),
                3 => relay.message(good.clone()).carrying(good.clone()),
                _ => from(good[..n as usize % good.len()].to_vec()),
            }
        });
    });
    assert_eq!(troubled, calm, "requests of the honest node");
    let mut after = scene.footprint_at_home();
    assert!(after["counters"] < 40, "{after:?}");
    for (table, most) in
        [("bindings", 2), ("nodes counted", 2), ("repeats", 2), ("exchanges", 2), ("pending", 0)]
    {
        assert!(after[table] <= most, "{table}: {after:?}");
    }
    after.remove("refused transcripts").filter(|refused| *refused <= 8 * 2).unwrap();
    assert!(before.keys().all(|table| after.contains_key(table) || *table == "refused transcripts"));
    let said = scene.seen().iter().filter(|(_, m)| m.way() == Some(Way::FromHomeAgent)).count();
    assert!(said < 20_000, "{said} answers to strangers and others");
}

/// Without an agent nobody vouches for a request: under load each has to bring a cookie, and who lives where it says
/// it does is served after one more round trip.
#[test]
fn row_18_under_load_a_node_without_an_agent_registers_by_a_cookie() {
    let mut scene = Scene::new(1, 1);
    let stranger = |n: u32| SocketAddrV4::new(Ipv4Addr::from_bits(0xc633_0000 | n), PORT);
    let nonsense = {
        let mut other = registered(1);
        other.pass(seconds(1));
        rogue::mobile_part(last(&other, Way::ToHomeAgent).payload())
    };
    let forged =
        |n| Message::Udp { source: stranger(n), destination: HOME_AGENT, payload: spoofed(&nonsense, n) };
    flood(&mut scene, 300, forged);
    scene.move_to(0, Place::Translated);
    flood(&mut scene, 200, forged);
    assert_registered(&scene, 0);
    let to_node = went(&scene, Way::FromHomeAgent);
    let nat = |m: &&Message| matches!(m, Message::Udp { destination, .. } if *destination.ip() == Ipv4Addr::new(10, 99, 1, 2));
    let cookies = to_node
        .iter()
        .filter(nat)
        .filter(|m| Cookie::alone_in(m.payload(), wire::mip::ours::DOCUMENTATION_VENDOR).is_some());
    assert_eq!(cookies.count(), 1);
    assert_eq!(scene.counted_at_home("changes of load"), 1);
    assert_eq!(scene.footprint_at_home()["pending"], 0);
    // The flood is over: the next one needs none.
    scene.pass(seconds(5));
    scene.move_to(0, Place::Nowhere);
    scene.pass(seconds(1));
    let cookies = scene.counted_at_home("cookies");
    scene.move_to(0, Place::Translated);
    scene.pass(seconds(2));
    assert_registered(&scene, 0);
    assert_eq!((scene.counted_at_home("cookies"), scene.counted_at_home("changes of load")), (cookies, 2));
}

/// An insider: its 34 is right, and everything else is nobody's.
#[test]
fn row_18_a_peer_that_opens_registrations_by_halves_fills_nothing_and_delays_nobody() {
    let mut scene = Scene::new(2, 2);
    let calm = requests_to_register(&mut scene, 0, VISIT, |_| {});
    let part = rogue::mobile_part(last(&scene, Way::ToHomeAgent).payload());
    let troubled = requests_to_register(&mut scene, 1, VISIT, |scene| {
        flood(scene, 300, |n| Relay::of(1, n).message(spoofed(&part, n)));
    });
    assert_eq!(troubled, calm);
    let after = scene.footprint_at_home();
    assert_eq!((after["pending"], after["bindings"]), (0, 2), "{after:?}");
    assert!(after["exchanges"] <= 2, "{after:?}");
}

/// The home agent never answers what it cannot believe, so requests of strangers wait at the foreign agent until their
/// time is over: others take their place.
#[test]
fn row_18_strangers_whose_requests_wait_make_room_for_the_honest() {
    let mut scene = Scene::new(2, 1);
    let calm = requests_to_register(&mut scene, 0, VISIT, |_| {});
    scene.pass(seconds(3));
    let request = last(&scene, Way::FromMobileNode);
    // As long as the challenge is good, from ever another link address.
    let mut number = 0_u32;
    let mut wave = |scene: &mut Scene| {
        scene.act(sim::Action::Move(0, Place::Nowhere));
        scene.move_to(0, VISIT);
        scene.pass(seconds(2));
        let fresh = went(scene, Way::FromMobileNode).pop().unwrap_or_else(|| request.clone());
        for _ in 0..150 {
            number += 1;
            let Message::Link { place, to, packet, .. } = fresh.carrying(spoofed(fresh.payload(), number))
            else {
                unreachable!("a frame")
            };
            let [_, _, c, d] = number.to_be_bytes();
            scene.send(Message::Link { place, from: [2, 0, 7, 7, c, d], to, packet });
        }
        scene.pass(millis(20));
    };
    (0..4).for_each(|_| wave(&mut scene));
    let footprint = scene.footprint(0);
    assert!(scene.waiting_at(0) <= 100 && footprint["pending"] <= 200, "{footprint:?}");
    let troubled = requests_to_register(&mut scene, 1, VISIT, |_| {});
    assert!(troubled <= calm + 1, "{troubled} requests instead of {calm}");
    scene.pass(seconds(10));
    assert!(scene.footprint(0)["pending"] <= 4, "{:?}", scene.footprint(0));
}

#[test]
fn row_18_solicitations_advertisements_and_icmp_of_strangers_leave_nothing_behind() {
    let mut scene = Scene::new(2, 1);
    let calm = requests_to_register(&mut scene, 0, VISIT, |_| {});
    let (before, at_home) = (scene.footprint(0), scene.footprint_at_home());
    let heard = scene.seen().iter().map(|(_, m)| m).find(|m| m.way().is_none()).cloned().unwrap();
    let advertisements = scene.counted(0, "advertisements");
    let troubled = requests_to_register(&mut scene, 1, VISIT, |scene| {
        flood(scene, 100, |n| {
            let [_, b, c, d] = n.to_be_bytes();
            let from = [2, 0, 9, b, c, d];
            let everybody = [0xff; 6];
            let icmp = |to, message: &[u8]| ip::icmp_packet(Ipv4Addr::UNSPECIFIED, to, 1, message).unwrap();
            let place = if n % 2 == 0 { VISIT } else { Place::Home };
            let packet = match n % 4 {
                0 | 1 => icmp(ALL_ROUTERS, &Solicitation.to_vec()),
                2 => icmp(ALL_SYSTEMS, &[3, 1, 0, 0, 0, 0, 0, 0, c, d]),
                _ => vec![b, c, d],
            };
            Message::Link { place, from, to: everybody, packet }
        });
        // Agents that nobody knows.
        for n in 0..500_u32 {
            let name = format!("fa-{n:03}");
            let made = rogue::advertisement_with(&heard, b"fa-0", &name.as_bytes()[..4]);
            if let Some(Message::Link { place, to, packet, .. }) = made {
                let [_, _, c, d] = n.to_be_bytes();
                scene.send(Message::Link { place, from: [2, 0, 5, 5, c, d], to, packet });
            }
        }
    });
    assert!(troubled <= calm + 1, "{troubled} requests instead of {calm}");
    let after = scene.footprint(0);
    assert!(after["challenges"] <= before["challenges"] + 64, "{after:?}");
    assert_eq!((after["pending"] <= 4, after["visitors"]), (true, 2), "{after:?}");
    let spoken = scene.counted(0, "advertisements") - advertisements;
    assert!(spoken < 60, "{spoken} advertisements in three seconds");
    assert_eq!(scene.footprint_at_home()["pending"], at_home["pending"]);
    (0..2).for_each(|node| assert_registered(&scene, node));
}
