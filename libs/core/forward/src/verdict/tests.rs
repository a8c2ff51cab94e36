use super::*;
use crate::{
    Delivery,
    testing::{Inner, Random, address},
};

const HOME: &str = "10.11.1.50";
const CORRESPONDENT: &str = "10.11.1.90";
const HOME_AGENT: &str = "10.11.1.2";
const CARE_OF: &str = "10.51.1.2";

fn home_agent() -> Table {
    let peer = Peer::IpInIp { local: address(HOME_AGENT), remote: address(CARE_OF) };
    Table::new(Side::HomeAgent, [Entry::new(address(HOME), peer)])
}

fn foreign_agent() -> Table {
    let peer = Peer::IpInIp { local: address(CARE_OF), remote: address(HOME_AGENT) };
    Table::new(Side::Visited, [Entry::new(address(HOME), peer)])
}

fn from(source: &str, destination: &str) -> Outer {
    Outer::IpInIp { source: address(source), destination: address(destination) }
}

#[test]
fn the_home_agent_looks_at_the_destination() {
    let packet = Inner::new(CORRESPONDENT, HOME).payload(100).build();
    assert!(matches!(home_agent().outbound(&packet, &Paths::default()), Verdict::Encap(e)
        if e.home_address == address(HOME)));
    let packet = Inner::new(HOME, CORRESPONDENT).payload(100).build();
    assert_eq!(home_agent().outbound(&packet, &Paths::default()), Verdict::Drop(Reason::NoTunnel));
}

#[test]
fn the_visited_side_looks_at_the_source() {
    let packet = Inner::new(HOME, CORRESPONDENT).payload(100).build();
    assert!(matches!(foreign_agent().outbound(&packet, &Paths::default()), Verdict::Encap(_)));
    let packet = Inner::new("10.21.1.77", CORRESPONDENT).payload(100).build();
    assert_eq!(foreign_agent().outbound(&packet, &Paths::default()), Verdict::Drop(Reason::NoTunnel));
}

#[test]
fn a_stranger_cannot_speak_for_a_visitor() {
    let inner = Inner::new(HOME, CORRESPONDENT).payload(10).build();
    let table = home_agent();
    assert_eq!(table.inbound(from(CARE_OF, HOME_AGENT), &inner), Verdict::Deliver { length: 30 });
    for outer in [
        from("10.52.1.2", HOME_AGENT),
        from(CARE_OF, "10.11.1.3"),
        Outer::Udp { source: SocketAddrV4::new(address(CARE_OF), 434) },
    ] {
        assert_eq!(table.inbound(outer, &inner), Verdict::Drop(Reason::WrongPeer), "{outer:?}");
    }
    let spoofed = Inner::new("10.11.1.51", CORRESPONDENT).payload(10).build();
    assert_eq!(table.inbound(from(CARE_OF, HOME_AGENT), &spoofed), Verdict::Drop(Reason::NoTunnel));
}

/// Bound at two places: the second is a co-located care-of address behind a NAT.
fn bound_twice(side: Side) -> (Table, [Entry; 2]) {
    let home = address(HOME);
    let [local, remote] = match side {
        Side::HomeAgent => [HOME_AGENT, CARE_OF].map(address),
        Side::Visited => [CARE_OF, HOME_AGENT].map(address),
    };
    let udp = Peer::Udp { remote: SocketAddrV4::new(address("10.99.1.2"), 40_000) };
    let entries = [Entry::new(home, Peer::IpInIp { local, remote }), Entry::new(home, udp)];
    let mut table = Table::new(side, []);
    table.set(home, &entries);
    (table, entries)
}

#[test]
fn a_copy_goes_to_every_care_of_address() {
    let (table, entries) = bound_twice(Side::HomeAgent);
    let paths = Paths::default();
    let packet = Inner::new(CORRESPONDENT, HOME).payload(100).build();
    assert_eq!(table.outbound(&packet, &paths), Verdict::Encap(entries[0]));
    assert_eq!(table.further(&packet, &paths).collect::<Vec<_>>(), [Verdict::Encap(entries[1])]);
    // Each copy is judged by its own tunnel: this one fits into the first only.
    let long = Inner::new(CORRESPONDENT, HOME).dont_fragment(true).payload(1460).build();
    assert_eq!(table.outbound(&long, &paths), Verdict::Encap(entries[0]));
    let too_big = Verdict::TooBig { entry: entries[1], mtu: 1468, dont_fragment: true };
    assert_eq!(table.further(&long, &paths).collect::<Vec<_>>(), [too_big]);
    assert_eq!(table.again(address("10.99.1.2"), &long, &paths), too_big);
    assert_eq!(table.again(address(CARE_OF), &long, &paths), Verdict::Encap(entries[0]));
    assert_eq!(table.again(address("10.98.1.2"), &long, &paths), Verdict::Drop(Reason::NoTunnel));
    // Errors about either are believed.
    for entry in entries {
        assert_eq!(table.sent(entry.peer.remote(), &packet), Some(entry));
    }
    // A stranger's packet, and one for the mobile node of nobody, go nowhere.
    for wrong in [Inner::new(CORRESPONDENT, "10.11.1.51").build(), vec![0x45; 19], vec![]] {
        assert_eq!(table.further(&wrong, &paths).count(), 0);
    }
}

#[test]
fn a_mobile_node_sends_by_one_tunnel_and_takes_from_both() {
    let (table, entries) = bound_twice(Side::Visited);
    let packet = Inner::new(HOME, CORRESPONDENT).payload(100).build();
    assert_eq!(table.outbound(&packet, &Paths::default()), Verdict::Encap(entries[0]));
    assert_eq!(table.further(&packet, &Paths::default()).count(), 0);
    let inner = Inner::new(CORRESPONDENT, HOME).payload(10).build();
    let udp = Outer::Udp { source: SocketAddrV4::new(address("10.99.1.2"), 40_000) };
    for outer in [from(HOME_AGENT, CARE_OF), udp] {
        assert_eq!(table.inbound(outer, &inner), Verdict::Deliver { length: 30 });
    }
    assert_eq!(table.inbound(from(HOME_AGENT, "10.52.1.2"), &inner), Verdict::Drop(Reason::WrongPeer));
    assert!(table.brings_duplicates() && !foreign_agent().brings_duplicates());
    assert!(!bound_twice(Side::HomeAgent).0.brings_duplicates());
}

#[test]
fn both_care_of_addresses_may_send_at_the_home_agent_and_no_other() {
    let (table, _) = bound_twice(Side::HomeAgent);
    let inner = Inner::new(HOME, CORRESPONDENT).payload(10).build();
    let udp = |port| Outer::Udp { source: SocketAddrV4::new(address("10.99.1.2"), port) };
    for outer in [from(CARE_OF, HOME_AGENT), udp(40_000)] {
        assert_eq!(table.inbound(outer, &inner), Verdict::Deliver { length: 30 });
    }
    for outer in [from("10.52.1.2", HOME_AGENT), udp(40_001)] {
        assert_eq!(table.inbound(outer, &inner), Verdict::Drop(Reason::WrongPeer));
    }
}

#[test]
fn a_udp_peer_is_its_address_and_its_port() {
    let remote = SocketAddrV4::new(address("10.53.1.2"), 40_000);
    let table = Table::new(Side::HomeAgent, [Entry::new(address(HOME), Peer::Udp { remote })]);
    let inner = Inner::new(HOME, CORRESPONDENT).payload(10).build();
    assert_eq!(table.inbound(Outer::Udp { source: remote }, &inner), Verdict::Deliver { length: 30 });
    let other = SocketAddrV4::new(*remote.ip(), 40_001);
    let verdict = table.inbound(Outer::Udp { source: other }, &inner);
    assert_eq!(verdict, Verdict::Drop(Reason::WrongPeer));
    let verdict = table.inbound(from("10.53.1.2", HOME_AGENT), &inner);
    assert_eq!(verdict, Verdict::Drop(Reason::WrongPeer));
}

#[test]
fn the_visited_side_delivers_to_its_own_visitors_only() {
    let table = foreign_agent();
    let inner = Inner::new(CORRESPONDENT, HOME).payload(10).build();
    assert_eq!(table.inbound(from(HOME_AGENT, CARE_OF), &inner), Verdict::Deliver { length: 30 });
    let inner = Inner::new(CORRESPONDENT, "10.51.1.9").payload(10).build();
    let verdict = table.inbound(from(HOME_AGENT, CARE_OF), &inner);
    assert_eq!(verdict, Verdict::Drop(Reason::NoTunnel));
}

#[test]
fn broadcast_multicast_and_loopback_never_pass() {
    let table = foreign_agent();
    for destination in ["255.255.255.255", "224.0.0.11", "239.1.2.3", "127.0.0.1", "0.0.0.0", "240.0.0.1"] {
        let packet = Inner::new(HOME, destination).payload(4).build();
        let verdict = table.outbound(&packet, &Paths::default());
        assert_eq!(verdict, Verdict::Drop(Reason::Destination), "{destination}");
    }
    for source in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"] {
        let inner = Inner::new(source, HOME).payload(4).build();
        let verdict = table.inbound(from(HOME_AGENT, CARE_OF), &inner);
        assert_eq!(verdict, Verdict::Drop(Reason::Source), "{source}");
    }
}

#[test]
fn time_to_live_zero_neither_enters_nor_leaves() {
    let packet = Inner::new(CORRESPONDENT, HOME).time_to_live(0).payload(4).build();
    assert_eq!(home_agent().outbound(&packet, &Paths::default()), Verdict::Drop(Reason::TimeToLive));
    let verdict = foreign_agent().inbound(from(HOME_AGENT, CARE_OF), &packet);
    assert_eq!(verdict, Verdict::Drop(Reason::TimeToLive));
}

#[test]
fn packets_of_the_tunnel_end_do_not_enter_the_tunnel() {
    let packet = Inner::new(CARE_OF, HOME).payload(4).build();
    assert_eq!(home_agent().outbound(&packet, &Paths::default()), Verdict::Drop(Reason::Loop));
    let packet = Inner::new(HOME_AGENT, HOME).protocol(IPIP).payload(40).build();
    assert_eq!(home_agent().outbound(&packet, &Paths::default()), Verdict::Drop(Reason::Loop));
    let echo_reply = Inner::new(HOME_AGENT, HOME).protocol(1).payload(40).build();
    assert!(matches!(home_agent().outbound(&echo_reply, &Paths::default()), Verdict::Encap(_)));
}

#[test]
fn size_is_judged_to_the_octet() {
    let table = home_agent();
    let fits = Inner::new(CORRESPONDENT, HOME).payload(1460).build();
    assert!(matches!(table.outbound(&fits, &Paths::default()), Verdict::Encap(_)));
    for dont_fragment in [true, false] {
        let big = Inner::new(CORRESPONDENT, HOME).dont_fragment(dont_fragment).payload(1461).build();
        let verdict = table.outbound(&big, &Paths::default());
        assert!(matches!(verdict, Verdict::TooBig { mtu: 1480, dont_fragment: d, .. } if d == dont_fragment));
    }
}

#[test]
fn what_leaves_in_segments_is_too_big_if_they_are() {
    let table = home_agent();
    let long = Inner::new(CORRESPONDENT, HOME).dont_fragment(true).payload(20_000).build();
    for longest in [1480, 1481] {
        let verdict = table.outbound_segments(&long, longest, &Paths::default());
        assert_eq!(matches!(verdict, Verdict::Encap(_)), longest == 1480);
        assert_eq!(matches!(verdict, Verdict::TooBig { mtu: 1480, .. }), longest == 1481);
    }
    assert!(matches!(table.outbound(&long, &Paths::default()), Verdict::TooBig { .. }));
    let strange = Inner::new(CORRESPONDENT, "10.11.1.51").payload(20_000).build();
    let verdict = table.outbound_segments(&strange, 1000, &Paths::default());
    assert_eq!(verdict, Verdict::Drop(Reason::NoTunnel));
}

#[test]
fn what_comes_in_is_of_the_tunnel_of_its_home_address() {
    let mut paths = Paths::default();
    paths.lower(address(CARE_OF), 1400, std::time::Duration::ZERO);
    let from_node = Inner::new(HOME, CORRESPONDENT).payload(8).build();
    assert_eq!(home_agent().mtu_of_inbound(&from_node, &Paths::default()), Some(1480));
    assert_eq!(home_agent().mtu_of_inbound(&from_node, &paths), Some(1380));
    assert_eq!(foreign_agent().mtu_of_inbound(&from_node, &paths), None);
    let to_node = Inner::new(CORRESPONDENT, HOME).payload(8).build();
    assert_eq!(foreign_agent().mtu_of_inbound(&to_node, &paths), Some(1480));
}

#[test]
fn only_our_own_packets_are_recognised_in_errors() {
    let table = home_agent();
    let ours = Inner::new(CORRESPONDENT, HOME).payload(8).build();
    assert!(table.sent(address(CARE_OF), &ours[..28]).is_some());
    assert!(table.sent(address("10.52.1.2"), &ours[..28]).is_none());
    let other = Inner::new(CORRESPONDENT, "10.11.1.51").payload(8).build();
    assert!(table.sent(address(CARE_OF), &other[..28]).is_none());
    assert!(table.sent(address(CARE_OF), &ours[..19]).is_none());
}

#[test]
fn random_bytes_never_panic_and_never_pass() {
    let mut random = Random::new(7);
    let (home_agent, foreign_agent) = (home_agent(), foreign_agent());
    for _ in 0..50_000 {
        let length = random.below(80) as usize;
        let mut bytes = random.bytes(length);
        if let Some(first) = bytes.first_mut() {
            *first = 0x40 | (*first & 0x0f);
        }
        // The entries' own address is one of 2^32: chance does not hit it.
        assert!(matches!(home_agent.outbound(&bytes, &Paths::default()), Verdict::Drop(_)));
        assert!(matches!(foreign_agent.inbound(from(HOME_AGENT, CARE_OF), &bytes), Verdict::Drop(_)));
    }
}

#[test]
fn the_index_of_a_reason_is_its_place() {
    for (place, reason) in Reason::ALL.into_iter().enumerate() {
        assert_eq!(reason.index(), place, "{}", reason.name());
    }
}

const AGENT: &str = "10.21.1.1";
const STATION: Station = Station { interface: 7, link_address: [2, 0, 0, 0, 0, 7] };

fn ends(local: &str, remote: &str) -> [Peer; 3] {
    let (local, remote) = (address(local), address(remote));
    [Peer::IpInIp { local, remote }, Peer::Minimal { local, remote }, Peer::Gre { local, remote }]
}

fn outers(source: &str, destination: &str) -> [Outer; 3] {
    let (source, destination) = (address(source), address(destination));
    [
        Outer::IpInIp { source, destination },
        Outer::Minimal { source, destination },
        Outer::Gre { source, destination },
    ]
}

#[test]
fn only_the_encapsulation_that_was_agreed_on_passes() {
    let inner = Inner::new(HOME, CORRESPONDENT).payload(10).build();
    for (n, peer) in ends(HOME_AGENT, CARE_OF).into_iter().enumerate() {
        let table = Table::new(Side::HomeAgent, [Entry::new(address(HOME), peer)]);
        for (m, outer) in outers(CARE_OF, HOME_AGENT).into_iter().enumerate() {
            let expected =
                if n == m { Verdict::Deliver { length: 30 } } else { Verdict::Drop(Reason::WrongPeer) };
            assert_eq!(table.inbound(outer, &inner), expected, "{peer:?} {outer:?}");
        }
        for outer in [outers("10.52.1.2", HOME_AGENT)[n], outers(CARE_OF, "10.11.1.3")[n]] {
            assert_eq!(table.inbound(outer, &inner), Verdict::Drop(Reason::WrongPeer), "{outer:?}");
        }
    }
}

#[test]
fn what_minimal_encapsulation_cannot_carry_goes_and_comes_as_ip_in_ip() {
    let [ipip, minimal, _] = ends(HOME_AGENT, CARE_OF);
    let table = Table::new(Side::HomeAgent, [Entry::new(address(HOME), minimal)]);
    let [plain, small, _] = outers(CARE_OF, HOME_AGENT);
    let packet = |from: &str, to: &str| {
        [
            Inner::new(from, to).fragment(0, true).payload(8),
            Inner::new(from, to).fragment(3, false).payload(8),
            Inner::new(from, to).options(&[1, 1, 1, 0]).payload(8),
        ]
    };
    let many = Inner::new(HOME, "239.1.2.3").time_to_live(1).payload(8).build();
    assert_eq!(table.inbound(plain, &many), Verdict::Flood { length: 28 });
    for inner in packet(CORRESPONDENT, HOME) {
        let verdict = table.outbound(&inner.build(), &Paths::default());
        assert!(matches!(verdict, Verdict::Encap(entry) if entry.peer == ipip && entry.mtu == 1480));
    }
    for inner in packet(HOME, CORRESPONDENT) {
        assert!(matches!(table.inbound(plain, &inner.build()), Verdict::Deliver { .. }));
        assert!(matches!(table.inbound(small, &inner.build()), Verdict::Deliver { .. }));
    }
    let whole = Inner::new(HOME, CORRESPONDENT).payload(8).build();
    assert_eq!(table.inbound(plain, &whole), Verdict::Drop(Reason::WrongPeer));
}

#[test]
fn the_pieces_of_a_packet_for_minimal_encapsulation_leave_room_for_ip_in_ip() {
    let [ipip, minimal, _] = ends(HOME_AGENT, CARE_OF);
    let table = Table::new(Side::HomeAgent, [Entry::new(address(HOME), minimal)]);
    for (dont_fragment, peer, room) in [(true, minimal, 1488), (false, ipip, 1480)] {
        let fits = Inner::new(CORRESPONDENT, HOME).dont_fragment(dont_fragment).payload(1468).build();
        assert!(matches!(table.outbound(&fits, &Paths::default()), Verdict::Encap(e) if e.peer == minimal));
        let big = Inner::new(CORRESPONDENT, HOME).dont_fragment(dont_fragment).payload(1469).build();
        let verdict = table.outbound(&big, &Paths::default());
        assert!(matches!(verdict, Verdict::TooBig { entry, mtu, .. } if entry.peer == peer && mtu == room));
    }
}

#[test]
fn a_gre_packet_for_its_encapsulator_is_a_loop() {
    let [.., gre] = ends(HOME_AGENT, CARE_OF);
    let table = Table::new(Side::HomeAgent, [Entry::new(address(HOME), gre)]);
    let inner = Inner::new(HOME, CARE_OF).payload(10).build();
    assert_eq!(table.inbound(outers(CARE_OF, HOME_AGENT)[2], &inner), Verdict::Drop(Reason::Loop));
}

/// A foreign agent with one visitor that encapsulates.
fn receiving() -> Table {
    let peer = Peer::IpInIp { local: address(CARE_OF), remote: address(HOME_AGENT) };
    let delivery = Delivery { station: STATION, agent: address(AGENT) };
    Table::new(Side::Visited, [Entry::new(address(HOME), peer).with_delivery(delivery)])
}

fn deliver(table: &Table, station: Station, outer: Outer, inner: &Inner) -> (Verdict, Vec<u8>) {
    let mut inner = inner.build();
    (table.delivered(station, outer, &mut inner, &Paths::default()), inner)
}

#[test]
fn a_visitors_own_packets_go_on_with_one_hop_less() {
    for agent in [AGENT, CARE_OF] {
        let inner = Inner::new(HOME, CORRESPONDENT).payload(10);
        let (verdict, packet) = deliver(&receiving(), STATION, from(HOME, agent), &inner);
        assert!(matches!(verdict, Verdict::Encap(entry) if entry.peer.remote() == address(HOME_AGENT)));
        assert_eq!(packet, inner.time_to_live(62).build());
    }
    let last = Inner::new(HOME, CORRESPONDENT).time_to_live(1).payload(10);
    let (verdict, _) = deliver(&receiving(), STATION, from(HOME, AGENT), &last);
    assert!(matches!(verdict, Verdict::Expired { .. }));
}

#[test]
fn a_visitors_broadcasts_go_home_as_they_are() {
    for destination in ["255.255.255.255", "224.0.0.22", "239.1.2.3"] {
        let inner = Inner::new(HOME, destination).time_to_live(1).payload(10);
        let (verdict, packet) = deliver(&receiving(), STATION, from(HOME, AGENT), &inner);
        assert!(matches!(verdict, Verdict::Encap(_)), "{destination}");
        assert_eq!(packet, inner.build());
    }
}

#[test]
fn nobody_hands_over_packets_in_a_visitors_name() {
    let table = receiving();
    let own = Inner::new(HOME, CORRESPONDENT).payload(10);
    let neighbour = Station { link_address: [2, 0, 0, 0, 0, 8], ..STATION };
    let elsewhere = Station { interface: 8, ..STATION };
    for (station, outer, inner, reason) in [
        (neighbour, from(HOME, AGENT), &own, Reason::WrongPeer),
        (elsewhere, from(HOME, AGENT), &own, Reason::WrongPeer),
        (STATION, from(HOME, "10.21.1.2"), &own, Reason::WrongPeer),
        (STATION, from("10.11.1.51", AGENT), &own, Reason::NoTunnel),
        (STATION, from(HOME, AGENT), &Inner::new("10.11.1.51", CORRESPONDENT).payload(9), Reason::Source),
        (STATION, from(HOME, AGENT), &Inner::new(HOME, "127.0.0.1").payload(9), Reason::Destination),
        (STATION, outers(HOME, AGENT)[1], &own, Reason::Delivery),
        (STATION, outers(HOME, AGENT)[2], &own, Reason::Delivery),
    ] {
        let (verdict, packet) = deliver(&table, station, outer, inner);
        assert_eq!(verdict, Verdict::Drop(reason), "{outer:?}");
        assert_eq!(packet, inner.build());
    }
    let (verdict, _) = deliver(&foreign_agent(), STATION, from(HOME, AGENT), &own);
    assert_eq!(verdict, Verdict::Drop(Reason::Delivery));
}

/// The raw socket gets them as well, without the link address of their sender.
#[test]
fn what_a_visitor_hands_over_is_judged_once() {
    let inner = Inner::new(HOME, CORRESPONDENT).payload(10).build();
    assert_eq!(receiving().inbound(from(HOME, AGENT), &inner), Verdict::SeenOnLink);
    assert_eq!(foreign_agent().inbound(from(HOME, AGENT), &inner), Verdict::Drop(Reason::NoTunnel));
}

const BROADCAST: &str = "10.11.1.255";
const GROUPS: [&str; 4] = ["255.255.255.255", "239.1.2.3", "224.0.0.251", BROADCAST];

#[test]
fn copies_go_to_all_that_asked_but_not_to_the_sender() {
    let home_agent = address(HOME_AGENT);
    let entry = |last: u8, broadcasts| {
        let peer = Peer::IpInIp { local: home_agent, remote: address(CARE_OF) };
        Entry::new(Ipv4Addr::new(10, 11, 1, last), peer).with_broadcasts(broadcasts)
    };
    let entries = [
        entry(50, Broadcasts::Nested { home_agent }),
        entry(51, Broadcasts::No),
        entry(52, Broadcasts::Plain),
    ];
    let table = Table::new(Side::HomeAgent, entries).with_broadcast(address(BROADCAST));
    let recipients = |packet: Vec<u8>| -> Vec<u8> {
        let paths = Paths::default();
        let copies = table.copies(&packet, &paths).map(|verdict| match verdict {
            Verdict::Encap(entry) => entry.home_address.octets()[3],
            other => panic!("{other:?}"),
        });
        copies.collect()
    };
    for group in GROUPS {
        let packet = |source| Inner::new(source, group).time_to_live(1).payload(10).build();
        assert_eq!(recipients(packet(CORRESPONDENT)), [50, 52], "{group}");
        assert_eq!(recipients(packet("10.11.1.50")), [52], "{group}");
        assert_eq!(recipients(packet("10.11.1.51")), [50, 52], "{group}");
        assert_eq!(recipients(packet("0.0.0.0")), [], "{group}");
    }
    for single in ["10.11.1.50", "10.12.1.255"] {
        assert_eq!(recipients(Inner::new(CORRESPONDENT, single).payload(10).build()), []);
    }
    assert_eq!(recipients(Inner::new(CORRESPONDENT, BROADCAST).time_to_live(0).build()), []);
}

#[test]
fn a_nested_copy_is_smaller_by_the_inner_wrapping() {
    let home_agent = address(HOME_AGENT);
    let [_, minimal, _] = ends(HOME_AGENT, CARE_OF);
    let entry = Entry::new(address(HOME), minimal);
    for (broadcasts, room) in [(Broadcasts::Nested { home_agent }, 1468), (Broadcasts::Plain, 1480)] {
        let table = Table::new(Side::HomeAgent, [entry.with_broadcasts(broadcasts)]);
        let copy = |payload: usize| {
            let packet = Inner::new(CORRESPONDENT, "255.255.255.255").payload(payload).build();
            table.copies(&packet, &Paths::default()).next()
        };
        assert!(matches!(copy(room - 20), Some(Verdict::Encap(_))), "{broadcasts:?}");
        let verdict = copy(room - 19);
        assert!(matches!(verdict, Some(Verdict::TooBig { mtu, .. }) if usize::from(mtu) == room));
    }
}

#[test]
fn a_mobile_node_takes_broadcasts_from_its_home_agent_only() {
    let home_agent = address(HOME_AGENT);
    let peer = Peer::IpInIp { local: address(HOME), remote: address(AGENT) };
    let nested = Entry::new(address(HOME), peer).with_broadcasts(Broadcasts::Nested { home_agent });
    let peer = Peer::IpInIp { local: address(CARE_OF), remote: home_agent };
    let plain = Entry::new(address(HOME), peer).with_broadcasts(Broadcasts::Plain);
    for (entry, own) in [(nested, HOME), (plain, CARE_OF)] {
        let table = Table::new(Side::Visited, [entry]).with_broadcast(address(BROADCAST));
        for group in GROUPS {
            let inner = Inner::new(CORRESPONDENT, group).payload(10).build();
            assert_eq!(table.inbound(from(HOME_AGENT, own), &inner), Verdict::Deliver { length: 30 });
            for wrong in [from(AGENT, own), from(HOME_AGENT, "10.99.1.1"), outers(HOME_AGENT, own)[2]] {
                assert_eq!(table.inbound(wrong, &inner), Verdict::Drop(Reason::Destination), "{wrong:?}");
            }
            let silent = Table::new(Side::Visited, [entry.with_broadcasts(Broadcasts::No)]);
            let verdict = silent.with_broadcast(address(BROADCAST)).inbound(from(HOME_AGENT, own), &inner);
            assert_eq!(verdict, Verdict::Drop(Reason::Destination));
        }
    }
}

#[test]
fn a_mobile_node_sends_broadcasts_only_if_that_was_agreed_on() {
    let peer = Peer::IpInIp { local: address(CARE_OF), remote: address(HOME_AGENT) };
    let entry = Entry::new(address(HOME), peer);
    for group in GROUPS {
        let packet = Inner::new(HOME, group).payload(10).build();
        let verdict = |entry| {
            let table = Table::new(Side::Visited, [entry]).with_broadcast(address(BROADCAST));
            table.outbound(&packet, &Paths::default())
        };
        assert_eq!(verdict(entry), Verdict::Drop(Reason::Destination));
        assert!(matches!(verdict(entry.with_broadcasts(Broadcasts::Plain)), Verdict::Encap(_)));
    }
}

#[test]
fn broadcasts_of_a_mobile_node_are_for_the_home_link() {
    let table = home_agent().with_broadcast(address(BROADCAST));
    for group in GROUPS {
        let inner = Inner::new(HOME, group).payload(10).build();
        let verdict = table.inbound(from(CARE_OF, HOME_AGENT), &inner);
        assert_eq!(verdict, Verdict::Flood { length: 30 });
        let stranger = table.inbound(from("10.52.1.2", HOME_AGENT), &inner);
        assert_eq!(stranger, Verdict::Drop(Reason::WrongPeer));
    }
    let elsewhere = Inner::new(HOME, "10.12.1.255").payload(10).build();
    assert_eq!(table.inbound(from(CARE_OF, HOME_AGENT), &elsewhere), Verdict::Deliver { length: 30 });
}
