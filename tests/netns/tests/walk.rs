//! The walk of the demo, once, and everything that must be true of it.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    path::Path,
    sync::LazyLock,
};

use netns_tests::{
    Testbed,
    frames::{Arp, arp, holds, ipv4},
    pcap::{self, Frame},
    text,
};
use serde_json::Value;

/// One run for all tests of this file.
static WALK: LazyLock<Walk> = LazyLock::new(Walk::new);

struct Walk {
    said: String,
    report: Value,
    /// By link: kind and frames.
    captures: BTreeMap<String, (String, Vec<Frame>)>,
}

impl Walk {
    fn new() -> Self {
        let testbed = Testbed::new().unwrap();
        let (report, captures) = (testbed.results().join("report.json"), testbed.results().join("pcap"));
        let arguments = [
            "demo".as_ref(),
            "--report".as_ref(),
            report.as_os_str(),
            "--pcap".as_ref(),
            captures.as_os_str(),
        ];
        let said = testbed.run(&arguments).unwrap();
        let report: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
        let read = |capture: &Value| {
            let frames = pcap::read(Path::new(text(&capture["path"]))).unwrap();
            (text(&capture["link"]).to_owned(), (text(&capture["kind"]).to_owned(), frames))
        };
        let captures = report["captures"].as_array().unwrap().iter().map(read).collect();
        Self { said, report, captures }
    }

    fn home_address(&self) -> Ipv4Addr {
        text(&self.report["mobile_nodes"][0]["home_address"]).parse().unwrap()
    }

    fn link_address(&self, node: &str) -> [u8; 6] {
        let nodes = self.report["topology"]["nodes"].as_array().unwrap();
        let node = nodes.iter().find(|found| found["name"] == node).unwrap();
        mac(text(&node["interfaces"][0]["link_address"]))
    }

    fn frames(&self, link: &str) -> &[Frame] {
        &self.captures[link].1
    }

    fn away(&self) -> impl Iterator<Item = (&str, &[Frame])> {
        let away = self.captures.iter().filter(|(_, (kind, _))| kind != "home");
        away.map(|(link, (_, frames))| (link.as_str(), frames.as_slice()))
    }

    fn arps(&self, link: &str) -> impl Iterator<Item = Arp> {
        self.frames(link).iter().filter_map(arp)
    }
}

fn mac(text: &str) -> [u8; 6] {
    let octets: Vec<u8> = text.split(':').map(|octet| u8::from_str_radix(octet, 16).unwrap()).collect();
    octets.try_into().unwrap()
}

#[test]
fn the_transfer_survives_on_one_connection() {
    let transfer = &WALK.report["transfer"];
    assert!(transfer["bytes"].as_u64().unwrap() >= 200_000_000);
    assert_eq!(transfer["sha256_match"], true);
    assert_eq!(transfer["connections"], 1);
    let handovers = WALK.report["handovers"].as_array().unwrap();
    let first = handovers.first().unwrap()["link_down_at_ms"].as_f64().unwrap();
    let last = handovers.last().unwrap()["link_up_at_ms"].as_f64().unwrap();
    assert!(transfer["started_ms"].as_f64().unwrap() < first);
    assert!(transfer["ended_ms"].as_f64().unwrap() > last);
}

#[test]
fn every_handover_says_where_the_milliseconds_went() {
    let handovers = WALK.report["handovers"].as_array().unwrap();
    let way: Vec<&str> = handovers.iter().map(|line| text(&line["to"])).collect();
    assert_eq!(way, ["visited-a", "visited-b", "visited-c", "home"]);
    let care_of: Vec<&str> = handovers.iter().map(|line| text(&line["care_of"])).collect();
    assert_eq!(care_of, ["10.51.1.2", "10.52.1.2", "192.168.77.10", ""]);
    for line in handovers {
        for key in ["link_up_to_first_packet_ms", "discovery_ms", "registration_ms", "tunnel_ms"] {
            let ms = line[key].as_f64().unwrap_or_else(|| panic!("{key} of {line}"));
            assert!((0.0..2000.0).contains(&ms), "{key} of {line}");
        }
        let (before, after) = (&line["transfer_bytes_before"], &line["transfer_bytes_after"]);
        assert!(before.as_u64().unwrap() < after.as_u64().unwrap(), "{line}");
    }
}

#[test]
fn nothing_is_lost_that_should_not_be() {
    assert_eq!(WALK.report["faults"], serde_json::json!([]), "{}", WALK.said);
    let ping = &WALK.report["ping"];
    let lost: u64 = WALK.report["handovers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["packets_lost"].as_u64().unwrap())
        .sum();
    let (sent, received) = (ping["sent"].as_u64().unwrap(), ping["received"].as_u64().unwrap());
    assert!(sent > 20_000, "a thousand a second: {sent}");
    assert_eq!(sent - received, lost, "every loss belongs to a handover");
}

#[test]
fn every_registration_away_from_home_made_fresh_keys() {
    let keys = WALK.report["keys"].as_array().unwrap();
    let of = |care_of: &str| keys.iter().filter(|keys| keys["care_of"] == care_of).collect::<Vec<_>>();
    let count = |keys: &Value| keys["fingerprints"].as_array().unwrap().len();
    for (care_of, agent, wanted) in
        [("10.51.1.2", "fa-a", 3), ("10.52.1.2", "fa-b", 3), ("192.168.77.10", "", 1)]
    {
        let found = of(care_of);
        assert!(!found.is_empty(), "{care_of}");
        assert!(found.iter().all(|keys| keys["agent"] == agent && keys["node"] == "mn"), "{found:?}");
        assert!(found.iter().all(|keys| count(keys) == wanted), "{found:?}");
        assert!(found.iter().all(|keys| keys["spis"].as_array().unwrap().len() == wanted * 2), "{found:?}");
    }
    let all: Vec<&str> =
        keys.iter().flat_map(|keys| keys["fingerprints"].as_array().unwrap()).map(text).collect();
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "each key once");
    assert!(all.iter().all(|print| print.len() == 16 && print.bytes().all(|c| c.is_ascii_hexdigit())));
}

#[test]
fn registrations_show_nobody_on_visited_and_core_links() {
    let nai = text(&WALK.report["mobile_nodes"][0]["nai"]).to_owned();
    let user = nai.split_once('@').unwrap().0.to_owned();
    let link_address = mac(text(&WALK.report["mobile_nodes"][0]["link_address"]));
    let home = WALK.home_address();
    let in_the_open = |frame: &Frame| {
        ipv4(frame)
            .is_some_and(|packet| packet.registration().is_some() && holds(packet.whole, &home.octets()))
    };
    assert!(WALK.frames("home").iter().any(in_the_open), "at home it is in clear, and this search finds it");
    for (link, frames) in WALK.away() {
        let (mut requests, mut replies) = (0, 0);
        for frame in frames {
            if arp(frame).is_some() {
                assert!(!holds(&frame.bytes, &home.octets()), "ARP on {link}: {frame:?}");
            }
            let Some(packet) = ipv4(frame) else { continue };
            if packet.icmp_type() == Some(10) {
                assert!(!holds(packet.whole, &home.octets()), "solicitation on {link}");
            }
            let Some(message) = packet.registration() else {
                continue;
            };
            assert!(frame.is_whole(), "registration messages are kept whole");
            assert!(!holds(packet.whole, &home.octets()), "home address on {link}: {frame:?}");
            assert!(!holds(message, &link_address), "link address on {link}: {frame:?}");
            assert!(!holds(message, user.as_bytes()), "identity on {link}: {frame:?}");
            match message.first() {
                Some(1) => requests += 1,
                Some(3) => replies += 1,
                // The agent that was left is told, and says that it was.
                Some(7 | 15) if link.starts_with("core") => {}
                other => panic!("message {other:?} on {link}"),
            }
        }
        assert!(requests > 0 && replies > 0, "{link}: {requests} requests and {replies} replies");
    }
}

#[test]
fn the_home_address_travels_in_tunnels_only() {
    let home = WALK.home_address();
    for (link, (kind, frames)) in &WALK.captures {
        // Through a foreign agent the last hop is the plain packet; a co-located node has no such hop.
        if kind == "core" || link == "visited-c" {
            let plain = |frame: &&Frame| {
                ipv4(frame).is_some_and(|packet| packet.source == home || packet.destination == home)
            };
            assert_eq!(frames.iter().find(plain), None, "on {link}");
        }
    }
    let protocols = |link: &str| -> BTreeSet<u8> {
        WALK.frames(link).iter().filter_map(|frame| Some(ipv4(frame)?.protocol)).collect()
    };
    assert!(protocols("core-a").contains(&4) && protocols("core-b").contains(&4), "IP-in-IP to the agents");
    assert!(!protocols("core-c").contains(&4), "UDP through the translating router");
}

#[test]
fn foreign_agents_advertise_themselves() {
    for link in ["visited-a", "visited-b", "home"] {
        let advertisements = WALK
            .frames(link)
            .iter()
            .filter(|frame| ipv4(frame).is_some_and(|packet| packet.icmp_type() == Some(9)));
        assert!(advertisements.count() > 10, "one a second on {link}");
    }
}

#[test]
fn the_home_agent_announces_itself_and_the_node_comes_back_with_its_own_address() {
    let (home, agent, node) = (WALK.home_address(), WALK.link_address("ha"), WALK.link_address("mn"));
    let announced: Vec<[u8; 6]> = WALK
        .arps("home")
        .filter(|arp| arp.is_gratuitous() && arp.sender_address == home)
        .map(|arp| arp.sender)
        .collect();
    let first_by_agent =
        announced.iter().position(|sender| *sender == agent).expect("gratuitous ARP when it left");
    let back =
        announced.iter().rposition(|sender| *sender == node).expect("gratuitous ARP when it came back");
    assert!(first_by_agent < back, "{announced:x?}");
}

#[test]
fn the_captures_follow_the_node() {
    let node = WALK.link_address("mn");
    let by_node = |frame: &&Frame| frame.bytes.get(6..12) == Some(&node);
    for (link, (kind, frames)) in &WALK.captures {
        assert_eq!(frames.iter().any(|frame| by_node(&frame)), kind != "core", "{link}");
        assert!(frames.iter().all(|frame| frame.length <= 1514), "frames as on a cable");
    }
}

#[test]
fn the_terminal_shows_a_picture() {
    for part in ["visited-a → visited-b", "●", "SHA-256 right", "Nothing was lost"] {
        assert!(WALK.said.contains(part), "{part}: {}", WALK.said);
    }
}
