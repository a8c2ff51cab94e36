//! Rules of RFC 5944 that no other test shows (docs/conformance.md).

use std::net::Ipv4Addr;

use forward::{Entry, Peer, Side, Table, Verdict, encap::encap, mtu::Paths};

const HOME: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 50);
const HOME_AGENT: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 2);
const CARE_OF: Ipv4Addr = Ipv4Addr::new(10, 51, 1, 2);

/// An IP in IP packet for the home address, from `outer` with `inner` inside.
fn tunnelled(outer: [u8; 4], inner: [u8; 4]) -> Vec<u8> {
    let header = |length: u8, protocol, source: [u8; 4], destination: [u8; 4]| {
        let mut bytes = vec![0x45, 0, 0, length, 0, 0, 0, 0, 63, protocol, 0, 0];
        bytes.extend(source);
        bytes.extend(destination);
        let sum = wire::checksum::checksum(&bytes);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes
    };
    let mut packet = header(44, 4, outer, HOME.octets());
    packet.extend(header(24, 17, [10, 99, 1, 7], inner));
    packet.extend([1, 2, 3, 4]);
    packet
}

/// RFC 5944 section 4.2.3: only a packet that comes from the care-of address would circle.
#[test]
fn a_tunnel_packet_from_elsewhere_is_tunnelled_again() {
    let peer = Peer::IpInIp { local: HOME_AGENT, remote: CARE_OF };
    let table = Table::new(Side::HomeAgent, [Entry::new(HOME, peer)]);
    for inner in [HOME.octets(), [10, 11, 1, 60]] {
        let packet = tunnelled([10, 99, 1, 1], inner);
        let verdict = table.outbound(&packet, &Paths::default());
        assert!(matches!(verdict, Verdict::Encap(entry) if entry.peer == peer), "{verdict:?}");
        let mut buffer = vec![0; forward::HEADROOM];
        buffer.extend(&packet);
        let at = forward::HEADROOM..buffer.len();
        let outer = encap(&mut buffer, at, peer).unwrap();
        assert_eq!(buffer[outer.clone()][16..20], CARE_OF.octets());
        assert_eq!(buffer[outer][20..], packet, "whole");
        let circling = tunnelled(CARE_OF.octets(), inner);
        assert!(matches!(table.outbound(&circling, &Paths::default()), Verdict::Drop(_)));
    }
}
