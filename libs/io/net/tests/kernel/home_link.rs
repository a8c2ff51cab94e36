//! Broadcasts and multicasts of a home link, there and back; packets that a visitor hands over encapsulated; and what
//! is refused.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

use forward::{Broadcasts, HEADROOM, Peer, Side, Table, encap};
use net::{
    link::{Hears, LinkSocket},
    plan::MARK,
    tunnel::{Links, Tunnel},
};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockRef, Socket, Type};

use crate::{
    lab::{Host, Switch},
    world::{
        ALL, BROADCAST, CARE_OF, Encapsulation, FOREIGN_AGENT, HOME_ADDRESS, HOME_AGENT, VISITED_AGENT,
        World, echo, ends, entry, learns_mtu, link_address, open, open_with, set, transfer, wait_for,
    },
};

const NESTED: Broadcasts = Broadcasts::Nested { home_agent: HOME_AGENT };
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
const PORT: u16 = 6000;

/// The three ways to reach many.
const MANY: [Ipv4Addr; 3] = [Ipv4Addr::BROADCAST, BROADCAST, GROUP];

/// A socket that sends to many on `interface` and hears them there.
fn crier(host: &Host, interface: &'static str) -> UdpSocket {
    let index = host.index(interface);
    let socket = host.udp("0.0.0.0:6000");
    let options = SockRef::from(&socket);
    options.set_broadcast(true).unwrap();
    options.join_multicast_v4_n(&GROUP, &InterfaceIndexOrAddress::Index(index)).unwrap();
    options.set_multicast_loop_v4(false).unwrap();
    options.bind_device(Some(interface.as_bytes())).unwrap();
    socket
}

/// Waits for `message`, whatever else arrives before; its sender.
fn hears(socket: &UdpSocket, message: &[u8]) -> Ipv4Addr {
    let mut buffer = [0; 2048];
    loop {
        let expected = message.escape_ascii().to_string();
        let (length, from) = socket.recv_from(&mut buffer).unwrap_or_else(|e| panic!("{e}: {expected:.40}"));
        if buffer[..length] == *message {
            let std::net::SocketAddr::V4(from) = from else { unreachable!("bound to IPv4") };
            return *from.ip();
        }
    }
}

/// Broadcasts and multicasts reach the mobile node from the home link, and those that it sends the home link.
fn cries_both_ways(world: &World, home_agent: &Tunnel) {
    let (correspondent, mobile) = (crier(&world.correspondent, "eth0"), crier(&world.mobile, "sojourn0"));
    for (n, many) in (1..).zip(MANY) {
        let message = [b"from home to ", &many.octets()[..]].concat();
        correspondent.send_to(&message, (many, PORT)).unwrap();
        assert_eq!(hears(&mobile, &message), Ipv4Addr::new(10, 11, 1, 90), "{many}");
        let message = [b"from afar to ", &many.octets()[..]].concat();
        mobile.send_to(&message, (many, PORT)).unwrap();
        assert_eq!(hears(&correspondent, &message), HOME_ADDRESS, "{many}");
        wait_for(|| home_agent.counters().value("broadcasts put on the home link") >= n);
    }
    // What came from the mobile node is captured too, and not sent back to it: the last one comes after all those.
    correspondent.send_to(b"last", (BROADCAST, PORT)).unwrap();
    hears(&mobile, b"last");
    assert_eq!(home_agent.counters().value("broadcast copies sent"), 4);
}

#[test]
fn broadcasts_reach_a_node_with_an_address_of_its_own() {
    for encapsulation in ALL {
        let Some(world) = World::new() else { return };
        let (at_home, _control) = world.bind_as(encapsulation, CARE_OF, Broadcasts::Plain);
        let _away = world.co_locate_as(encapsulation, Broadcasts::Plain);
        cries_both_ways(&world, &at_home);
    }
}

#[test]
fn broadcasts_reach_a_node_through_a_foreign_agent() {
    for encapsulation in ALL {
        let Some(world) = World::new() else { return };
        let (at_home, _control) = world.bind_as(encapsulation, FOREIGN_AGENT, NESTED);
        let [(agent, _), _node] = world.visit_encapsulating(encapsulation);
        cries_both_ways(&world, &at_home);
        assert!(agent.counters().value("packets handed over by visitors") >= 3);
    }
}

#[test]
fn what_a_visitor_encapsulates_goes_home_and_answers_come_back() {
    for encapsulation in ALL {
        let Some(world) = World::new() else { return };
        let (_at_home, _control) = world.bind(encapsulation, FOREIGN_AGENT);
        let [(agent, _), (_node, _)] = world.visit_encapsulating(encapsulation);
        let (correspondent, mobile) = ends(&world);
        echo(&correspondent, &mobile, 100);
        echo(&mobile, &correspondent, 1400);
        transfer(&world, 1 << 20);
        let counters = agent.counters();
        assert!(counters.value("packets handed over by visitors") > 700, "{counters:?}");
        // The raw socket of the agent has seen the same packets, and counted none of them.
        assert!(counters.entries().all(|(name, value)| !name.contains("drop") || value == 0), "{counters:?}");
        let expected = encapsulation.mtu().min(1480);
        learns_mtu(&mobile, &correspondent, expected.into());
        learns_mtu(&correspondent, &mobile, encapsulation.mtu().into());
    }
}

/// With encapsulating delivery the plain packets of a visitor take the ordinary routes (RFC 3024 §5.2.1).
#[test]
fn plain_packets_of_a_visitor_that_encapsulates_are_not_tunnelled() {
    let Some(world) = World::new() else { return };
    let _at_home = world.bind(Encapsulation::IpInIp, FOREIGN_AGENT);
    let [(agent, _), _node] = world.visit_encapsulating(Encapsulation::IpInIp);
    let router = world.router.udp("10.51.1.1:5000");
    let plain = datagram(HOME_ADDRESS, Ipv4Addr::new(10, 51, 1, 1), 5000);
    say(&world.mobile, link_address(&world.foreign_agent, "eth1"), plain);
    let (_, from) = router.recv_from(&mut [0; 64]).unwrap();
    assert_eq!(from.ip(), HOME_ADDRESS);
    assert_eq!(agent.counters().value("tunnel packets out"), 0);
}

/// RFC 5944 §4.4, RFC 3024 §5.3: only encapsulated, and never on the link itself with the home address.
#[test]
fn by_direct_delivery_nothing_for_many_leaves_the_node() {
    let Some(world) = World::new() else { return };
    let nothing = Table::new(Side::Visited, []).with_broadcast(BROADCAST);
    let (node, _control) = open_with(&world.mobile, HOME_ADDRESS, Some(MARK), nothing, Links::None);
    let (agent, _) = world.visit(Encapsulation::IpInIp);
    let neighbour = Host::new().unwrap();
    world.switch.connect(&neighbour, "eth0", "visited");
    neighbour.address("eth0", "10.21.1.9", 24);
    let neighbours = crier(&neighbour, "eth0");
    let mobile = world.mobile.udp("0.0.0.0:6000");
    mobile.set_broadcast(true).unwrap();
    for many in MANY {
        mobile.send_to(b"from here", (many, PORT)).unwrap();
    }
    wait_for(|| node.counters().value("tunnel drop: destination not allowed") == 3);
    neighbours.set_nonblocking(true).unwrap();
    assert!(neighbours.recv_from(&mut [0; 64]).is_err(), "it was heard on the link");
    assert_eq!(agent.counters().value("tunnel packets out"), 0);
}

#[test]
fn every_listener_but_the_sender_gets_a_copy() {
    let Some(world) = World::new() else { return };
    let (at_home, _control) = world.bind_as(Encapsulation::IpInIp, CARE_OF, Broadcasts::Plain);
    let _away = world.co_locate_as(Encapsulation::IpInIp, Broadcasts::Plain);
    let own = entry(Encapsulation::IpInIp.peer(HOME_AGENT, CARE_OF)).with_broadcasts(Broadcasts::Plain);
    // More than fit into one batch.
    let others = (100..200).map(|last| forward::Entry {
        home_address: Ipv4Addr::new(10, 11, 1, last),
        peer: Encapsulation::Gre.peer(HOME_AGENT, FOREIGN_AGENT),
        ..own
    });
    let table = Table::new(Side::HomeAgent, others.chain([own])).with_broadcast(BROADCAST);
    at_home.swap(table);
    let (correspondent, mobile) = (crier(&world.correspondent, "eth0"), crier(&world.mobile, "sojourn0"));
    mobile.send_to(b"from afar", (BROADCAST, PORT)).unwrap();
    hears(&correspondent, b"from afar");
    wait_for(|| at_home.counters().value("broadcast copies sent") == 100);
    correspondent.send_to(b"from home", (BROADCAST, PORT)).unwrap();
    hears(&mobile, b"from home");
    wait_for(|| at_home.counters().value("broadcast copies sent") == 201);
}

#[test]
fn large_broadcasts_are_cut_for_the_tunnel() {
    for (broadcasts, remote) in [(NESTED, FOREIGN_AGENT), (Broadcasts::Plain, CARE_OF)] {
        for encapsulation in ALL {
            let Some(world) = World::new() else { return };
            let _at_home = world.bind_as(encapsulation, remote, broadcasts);
            let (_agent, _away) = match broadcasts {
                Broadcasts::Plain => (None, world.co_locate_as(encapsulation, broadcasts)),
                _ => {
                    let [agent, node] = world.visit_encapsulating(encapsulation);
                    (Some(agent), node)
                }
            };
            let (correspondent, mobile) =
                (crier(&world.correspondent, "eth0"), crier(&world.mobile, "sojourn0"));
            // With don't-fragment they would be lost: no error may be sent about a broadcast.
            set(&correspondent, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DONT);
            let message: Vec<u8> = (0..1472).map(|n| n as u8).collect();
            correspondent.send_to(&message, (BROADCAST, PORT)).unwrap();
            hears(&mobile, &message);
        }
    }
}

#[test]
fn what_belongs_to_the_home_link_stays_there() {
    let Some(world) = World::new() else { return };
    let (at_home, _control) = world.bind_as(Encapsulation::IpInIp, CARE_OF, Broadcasts::Plain);
    let _away = world.co_locate_as(Encapsulation::IpInIp, Broadcasts::Plain);
    let (correspondent, mobile) = (crier(&world.correspondent, "eth0"), crier(&world.mobile, "sojourn0"));
    for port in [67, 68, 434] {
        correspondent.send_to(b"noise", (Ipv4Addr::BROADCAST, port)).unwrap();
        correspondent.send_to(b"noise", (BROADCAST, port)).unwrap();
    }
    correspondent.send_to(b"noise", (Ipv4Addr::new(224, 0, 0, 251), PORT)).unwrap();
    // An agent advertisement: the node would take it for a sign that it is at home.
    let advertisement = packet(HOME_AGENT, Ipv4Addr::BROADCAST, 1, &[9, 0, 0xf6, 0xff, 0, 0, 0, 0]);
    world.correspondent.act(move || async move {
        let link = LinkSocket::open("eth0", Hears::MobileNode).unwrap();
        link.send(net::link::BROADCAST, &advertisement).unwrap();
    });
    correspondent.send_to(b"last", (BROADCAST, PORT)).unwrap();
    hears(&mobile, b"last");
    assert_eq!(at_home.counters().value("broadcast copies sent"), 1);
}

#[test]
fn who_did_not_ask_gets_no_broadcasts() {
    let Some(world) = World::new() else { return };
    let (at_home, _control) = world.bind_as(Encapsulation::IpInIp, CARE_OF, Broadcasts::Plain);
    let silent = entry(Encapsulation::IpInIp.peer(HOME_AGENT, CARE_OF));
    at_home.swap(Table::new(Side::HomeAgent, [silent]).with_broadcast(BROADCAST));
    let _away = world.co_locate_as(Encapsulation::IpInIp, Broadcasts::Plain);
    let (correspondent, mobile) = (crier(&world.correspondent, "eth0"), crier(&world.mobile, "sojourn0"));
    correspondent.send_to(b"to all", (BROADCAST, PORT)).unwrap();
    // It may have been captured before this, but not after the answer to it.
    let (one, other) = ends(&world);
    echo(&one, &other, 100);
    mobile.send_to(b"from afar", (BROADCAST, PORT)).unwrap();
    hears(&correspondent, b"from afar");
    assert_eq!(at_home.counters().value("broadcast copies sent"), 0);
}

/// A home agent that keeps broadcasts out takes none from mobile nodes either.
#[test]
fn without_a_home_link_broadcasts_are_refused() {
    let Some(world) = World::new() else { return };
    let (at_home, _control) = world.bind(Encapsulation::Gre, CARE_OF);
    let _away = world.co_locate_as(Encapsulation::Gre, Broadcasts::Plain);
    crier(&world.mobile, "sojourn0").send_to(b"to all", (BROADCAST, PORT)).unwrap();
    wait_for(|| at_home.counters().value("tunnel drop: destination not allowed") == 1);
}

/// An IP packet without options.
fn packet(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0x45, 0];
    out.extend((20 + payload.len() as u16).to_be_bytes());
    out.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    out.extend(source.octets());
    out.extend(destination.octets());
    let words = out.chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
    out[10..12].copy_from_slice(&sum.to_be_bytes());
    out.extend(payload);
    out
}

/// A UDP datagram without a checksum.
fn datagram(source: Ipv4Addr, destination: Ipv4Addr, port: u16) -> Vec<u8> {
    let [a, b] = port.to_be_bytes();
    packet(source, destination, 17, &[0x13, 0x88, a, b, 0, 12, 0, 0, 1, 2, 3, 4])
}

fn wrapped(inner: &[u8], peer: Peer) -> Vec<u8> {
    let mut buffer = vec![0; HEADROOM];
    buffer.extend(inner);
    let at = HEADROOM..buffer.len();
    let outer = encap::encap(&mut buffer, at, peer).unwrap();
    buffer[outer].to_vec()
}

/// Puts a packet on the link of `host`, whatever its routes are.
fn say(host: &Host, to: [u8; 6], packet: Vec<u8>) {
    host.act(move || async move {
        LinkSocket::open("eth0", Hears::MobileNode).unwrap().send(to, &packet).unwrap();
    });
}

/// One that comes from another link address, or speaks for somebody else, or did not agree on it.
#[test]
fn a_foreign_agent_takes_only_what_its_visitor_hands_over() {
    let Some(world) = World::new() else { return };
    let (at_home, _control) = world.bind(Encapsulation::IpInIp, FOREIGN_AGENT);
    let [(agent, _), _node] = world.visit_encapsulating(Encapsulation::IpInIp);
    let neighbour = Host::new().unwrap();
    world.switch.connect(&neighbour, "eth0", "visited");
    let to = link_address(&world.foreign_agent, "eth1");
    let (correspondent, stranger) = (Ipv4Addr::new(10, 11, 1, 90), Ipv4Addr::new(10, 11, 1, 51));
    let tunnel = |local| Peer::IpInIp { local, remote: VISITED_AGENT };
    let own = datagram(HOME_ADDRESS, correspondent, 5000);
    let counted = |name: &'static str, value: u64| {
        wait_for(|| agent.counters().value(name) == value);
    };
    say(&neighbour, to, wrapped(&own, tunnel(HOME_ADDRESS)));
    counted("tunnel drop: wrong peer", 1);
    say(&world.mobile, to, wrapped(&datagram(stranger, correspondent, 5000), tunnel(HOME_ADDRESS)));
    counted("tunnel drop: source not allowed", 1);
    let agreed = entry(Encapsulation::IpInIp.peer(FOREIGN_AGENT, HOME_AGENT));
    agent.swap(Table::new(Side::Visited, [agreed]));
    say(&world.mobile, to, wrapped(&own, tunnel(HOME_ADDRESS)));
    counted("tunnel drop: encapsulated delivery not agreed on", 1);
    assert_eq!(agent.counters().value("packets handed over by visitors"), 0);
    assert_eq!(at_home.counters().value("tunnel packets in"), 0);
}

/// Sends a whole IP packet from `host`, whoever its source is.
fn send_raw(host: &Host, packet: Vec<u8>) {
    host.act(move || async move {
        let protocol = Protocol::from(i32::from(packet[9]));
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(protocol)).unwrap();
        socket.set_header_included_v4(true).unwrap();
        let to = SocketAddrV4::new(Ipv4Addr::new(packet[16], packet[17], packet[18], packet[19]), 0);
        socket.send_to(&packet, &to.into()).unwrap();
    });
}

#[test]
fn a_home_agent_takes_only_the_agreed_encapsulation_from_the_care_of_address() {
    let own = datagram(HOME_ADDRESS, Ipv4Addr::new(10, 11, 1, 90), 5000);
    let router = Ipv4Addr::new(10, 50, 1, 1);
    for agreed in [Encapsulation::IpInIp, Encapsulation::Minimal, Encapsulation::Gre] {
        let Some(world) = World::new() else { return };
        // A second entry, so that all sockets are open.
        let others = [Encapsulation::Minimal, Encapsulation::Gre].into_iter().zip(60..);
        let others = others.map(|(encapsulation, last)| forward::Entry {
            home_address: Ipv4Addr::new(10, 11, 1, last),
            ..entry(encapsulation.peer(HOME_AGENT, router))
        });
        let binding = entry(agreed.peer(HOME_AGENT, FOREIGN_AGENT));
        let table = Table::new(Side::HomeAgent, others.chain([binding]));
        let (at_home, _control) = open_with(&world.home_agent, HOME_AGENT, None, table, Links::None);
        let mut refused = 0;
        for used in [Encapsulation::IpInIp, Encapsulation::Minimal, Encapsulation::Gre] {
            send_raw(&world.router, wrapped(&own, used.peer(router, HOME_AGENT)));
            refused += 1;
            wait_for(|| at_home.counters().value("tunnel drop: wrong peer") == refused);
            if used != agreed {
                send_raw(&world.router, wrapped(&own, used.peer(FOREIGN_AGENT, HOME_AGENT)));
                refused += 1;
                wait_for(|| at_home.counters().value("tunnel drop: wrong peer") == refused);
            }
        }
        let spoofed = datagram(Ipv4Addr::new(10, 11, 1, 51), Ipv4Addr::new(10, 11, 1, 90), 5000);
        send_raw(&world.router, wrapped(&spoofed, agreed.peer(FOREIGN_AGENT, HOME_AGENT)));
        wait_for(|| at_home.counters().value("tunnel drop: no tunnel") == 1);
        assert_eq!(at_home.counters().value("tunnel packets in"), 0);
        send_raw(&world.router, wrapped(&own, agreed.peer(FOREIGN_AGENT, HOME_AGENT)));
        wait_for(|| at_home.counters().value("tunnel packets in") == 1);
    }
}

#[test]
fn broken_tunnel_headers_are_counted() {
    let Some(world) = World::new() else { return };
    let router = Ipv4Addr::new(10, 50, 1, 1);
    let own = datagram(HOME_ADDRESS, Ipv4Addr::new(10, 11, 1, 90), 5000);
    for (encapsulation, at, counter) in [
        (Encapsulation::Minimal, 22, "tunnel drop: wrong checksum"),
        (Encapsulation::Gre, 21, "tunnel drop: header not supported"),
        (Encapsulation::Gre, 22, "tunnel drop: unknown next header"),
    ] {
        let peer = encapsulation.peer(HOME_AGENT, router);
        let (at_home, _control) = open(&world.home_agent, HOME_AGENT, None, Side::HomeAgent, peer);
        let mut packet = wrapped(&own, encapsulation.peer(router, HOME_AGENT));
        packet[at] ^= 0x01;
        send_raw(&world.router, packet);
        wait_for(|| at_home.counters().value(counter) == 1);
        assert_eq!(at_home.counters().value("tunnel packets in"), 0);
    }
}

#[test]
fn a_narrow_visited_path_is_told_to_a_visitor_that_encapsulates() {
    let Some(world) = World::new() else { return };
    Switch::narrow(&world.router, "eth0", 1400);
    Switch::narrow(&world.home_agent, "eth1", 1400);
    let _at_home = world.bind(Encapsulation::Gre, FOREIGN_AGENT);
    let _away = world.visit_encapsulating(Encapsulation::Gre);
    let (correspondent, mobile) = ends(&world);
    learns_mtu(&mobile, &correspondent, 1376);
}
