//! Rules of the RFCs that no other test shows (docs/conformance.md).

use std::{collections::BTreeSet, net::SocketAddrV4};

use wire::{
    checksum::checksum,
    ip,
    mip::{PORT, code::Code, ours::DOCUMENTATION_VENDOR, part::Parts},
};

use super::{super::*, world::*};

#[test]
fn reserved_bits_of_an_advertisement_are_ignored() {
    let mut world = World::new();
    world.link_up();
    // Flag r and the five bits that have no name.
    world.hear(&Agent { flags: fa_a().flags | 0x0200 | 0x001f, ..fa_a() });
    assert_eq!(world.asked.len(), 1);
}

#[test]
fn the_first_care_of_address_is_taken() {
    let second = Ipv4Addr::new(10, 51, 1, 3);
    let agent = Agent { care_of: vec![fa_a().care_of[0], second], ..fa_a() };
    let mut world = World::new();
    world.link_up();
    world.hear(&agent);
    assert_eq!(world.last().fixed.care_of, agent.care_of[0]);
}

#[test]
fn after_a_registration_the_next_search_begins_fast() {
    let mut world = World::new();
    world.link_up();
    world.seconds(200);
    let before = world.solicited.len();
    let slow = world.solicited[before - 1].1 - world.solicited[before - 2].1;
    assert!(slow > Duration::from_secs(30), "otherwise this test proves nothing");
    world.hear(&fa_a());
    world.accept(Some(&fa_a()));
    world.seconds(7);
    let times: Vec<_> = world.solicited[before..].iter().map(|(_, at)| *at).collect();
    assert!(times.len() >= 3, "{} after the agent fell silent", times.len());
    assert!(times[1] - times[0] < Duration::from_secs(2));
}

#[test]
fn a_redirect_is_no_reason_to_move() {
    let mut world = World::registered_through(&fa_a());
    world.hear(&Agent { prefix: None, ..fa_b() });
    let mut message = vec![5, 1, 0, 0];
    message.extend(fa_b().address.octets());
    message.extend([0x45; 28]);
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let packet = ip::icmp_packet(fa_a().address, HOME, 64, &message).unwrap();
    let (asked, routes) = (world.asked.len(), world.routes.clone());
    world.packet(fa_a().link_address, &packet);
    world.seconds(1);
    assert_eq!((world.asked.len(), &world.routes), (asked, &routes));
}

fn asking() -> (World, Asked) {
    let mut world = World::new();
    world.link_up();
    world.hear(&fa_a());
    let asked = world.last();
    (world, asked)
}

#[test]
fn a_wrong_udp_checksum_is_silence() {
    let (mut world, asked) = asking();
    let reply = Answer::accept(&asked, Some(&fa_a())).bytes(&asked);
    let source = SocketAddrV4::new(fa_a().address, PORT);
    let destination = SocketAddrV4::new(Ipv4Addr::BROADCAST, asked.source.port());
    let right = ip::udp_packet(source, destination, 255, &reply).unwrap();
    let mut wrong = right.clone();
    wrong[26] ^= 1;
    world.packet(fa_a().link_address, &wrong);
    assert_eq!(world.state(), State::Registering);
    world.packet(fa_a().link_address, &right);
    assert_eq!(world.state(), State::Registered);
}

#[test]
fn the_lifetime_of_a_denial_means_nothing() {
    for lifetime in [0, 1, 20, u16::MAX] {
        let (mut world, asked) = asking();
        let answer = Answer { lifetime, ..Answer::deny(&asked, Code::HA_RESOURCES) };
        world.reply(&asked, &answer.bytes(&asked));
        world.seconds_hearing(10, &mut fa_a());
        assert!(world.asked.len() > 1);
        assert_eq!(world.last().fixed.lifetime, asked.fixed.lifetime);
    }
}

#[test]
fn what_fails_is_told_to_the_operator() {
    let (mut world, asked) = asking();
    let mut reply = Answer::accept(&asked, Some(&fa_a())).bytes(&asked);
    let end = Parts::parse(&reply, 20, DOCUMENTATION_VENDOR).unwrap().mobile_end;
    reply[end - 1] ^= 1;
    world.reply(&asked, &reply);
    assert_eq!(world.saw(EventKind::Discarded), 1);
    assert_eq!(world.counter("reply authenticator"), 1);
}

#[test]
fn the_longest_wait_is_below_the_lifetime() {
    let mut agent = Agent { registration_lifetime: 60, ..fa_a() };
    let mut world = World::new();
    world.link_up();
    world.hear(&agent);
    world.seconds_hearing(200, &mut agent);
    let longest = world.asked.windows(2).map(|w| w[1].at - w[0].at).max().unwrap();
    assert!(longest <= Duration::from_secs(world.last().fixed.lifetime.into()), "{longest:?}");
}

#[test]
fn the_low_half_of_an_identification_is_random() {
    let mut agent = fa_a();
    let mut world = World::new();
    world.link_up();
    world.hear(&agent);
    world.seconds_hearing(200, &mut agent);
    let low: BTreeSet<u32> = world.asked.iter().map(|a| a.fixed.identification.low()).collect();
    assert_eq!(low.len(), world.asked.len());
    let ones: u32 = low.iter().map(|low| low.count_ones()).sum();
    let bits = 32 * low.len() as u32;
    assert!((bits / 3..=bits * 2 / 3).contains(&ones), "{ones} of {bits} bits are one");
}
