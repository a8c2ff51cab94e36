//! IPv4, UDP, ICMP and what is tunnelled: IP-in-IP, minimal encapsulation, GRE.
//!
//! Random bytes hardly ever have a right checksum, so each target reads its input twice: as it came, and with
//! the checksums made right.

use std::net::Ipv4Addr;

use wire::{
    checksum::checksum,
    ip::{self, Icmp, Ipv4Packet, icmp::Unreachable, ipip as tunnel, ipv4::HEADER_LEN, udp::Udp},
};

const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 50);
const DESTINATION: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 2);

/// The input with the checksum of its IPv4 header made right, as far as there is one.
fn ipv4_repaired(data: &[u8]) -> Vec<u8> {
    let mut bytes = data.to_vec();
    let length = bytes.first().map_or(0, |first| usize::from(first & 15) * 4);
    if length >= HEADER_LEN && bytes.len() >= length {
        bytes[10..12].fill(0);
        let sum = checksum(&bytes[..length]);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    }
    bytes
}

pub(crate) fn icmp_repaired(data: &[u8]) -> Vec<u8> {
    let mut bytes = data.to_vec();
    if bytes.len() >= 4 {
        bytes[2..4].fill(0);
        let sum = checksum(&bytes);
        bytes[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    bytes
}

fn ipv4_once(data: &[u8]) {
    let Ok(packet) = Ipv4Packet::parse(data) else {
        return;
    };
    let again = packet.to_vec().expect("it was parsed");
    assert_eq!(Ipv4Packet::parse(&again), Ok(packet));
    // The reserved flag is ignored, and all ones is a way to write the checksum zero.
    let canonical = data[6] & 0x80 == 0 && data[10..12] != [0xff, 0xff];
    if canonical {
        assert_eq!(again, data[..again.len()]);
    }
    let mut one_hop = again;
    let left = ip::ipv4::decrement_ttl(&mut one_hop).expect("it was parsed");
    assert_eq!(left, packet.header.ttl.saturating_sub(1));
    assert_eq!(Ipv4Packet::parse(&one_hop).map(|p| p.header.ttl), Ok(left));
}

/// An IPv4 packet.
pub fn ipv4(data: &[u8]) {
    ipv4_once(data);
    ipv4_once(&ipv4_repaired(data));
}

fn udp_once(data: &[u8]) {
    let Ok(udp) = Udp::parse(data, SOURCE, DESTINATION) else {
        return;
    };
    let header = udp.header(SOURCE, DESTINATION).expect("it was parsed");
    let again = [&header[..], udp.payload].concat();
    assert_eq!(Udp::parse(&again, SOURCE, DESTINATION), Ok(udp));
    if data[6..8] != [0, 0] {
        assert_eq!(again, data[..again.len()]);
    }
}

/// A UDP datagram between two fixed addresses; without checksum on the second reading.
pub fn udp(data: &[u8]) {
    udp_once(data);
    let mut without = data.to_vec();
    if let Some(sum) = without.get_mut(6..8) {
        sum.fill(0);
        udp_once(&without);
    }
}

fn icmp_once(data: &[u8]) {
    let Ok(message) = Icmp::parse(data) else { return };
    let again = message.to_vec();
    assert_eq!(Icmp::parse(&again), Ok(message));
    let unused_clear = match message {
        Icmp::EchoRequest { .. } | Icmp::EchoReply { .. } => data[1] == 0,
        Icmp::DestinationUnreachable { code: Unreachable::FRAGMENTATION_NEEDED, .. } => data[4..6] == [0; 2],
        Icmp::DestinationUnreachable { .. } | Icmp::TimeExceeded { .. } => data[4..8] == [0; 4],
        Icmp::Other { .. } => true,
    };
    if unused_clear && data[2..4] != [0xff, 0xff] {
        assert_eq!(again, data);
    }
}

/// An ICMP message.
pub fn icmp(data: &[u8]) {
    icmp_once(data);
    icmp_once(&icmp_repaired(data));
}

fn ipip_once(data: &[u8]) {
    let Ok(out) = tunnel::decapsulate(data) else {
        return;
    };
    assert_eq!(Ipv4Packet::parse(out.bytes), Ok(out.inner));
    if let Ok(again) = tunnel::encapsulate(out.bytes, out.outer.source, out.outer.destination) {
        assert_eq!(tunnel::decapsulate(&again).map(|o| o.bytes), Ok(out.bytes));
    }
}

/// An IP-in-IP packet; outer and inner header made right on the second reading.
pub fn ipip(data: &[u8]) {
    ipip_once(data);
    let mut repaired = ipv4_repaired(data);
    let outer = repaired.first().map_or(0, |first| usize::from(first & 15) * 4);
    if let Some(inner) = repaired.get(outer..) {
        let inner = ipv4_repaired(inner);
        repaired.truncate(outer);
        repaired.extend(inner);
    }
    ipip_once(&repaired);
}

/// The packet path reads tunnels with a parser of its own, which has to find the same.
fn path_agrees(data: &[u8], expected: Option<&[u8]>) {
    let mut packet = data.to_vec();
    let found = forward::decap::raw(&mut packet).ok().map(|(_, range)| &packet[range]);
    if let Some(expected) = expected {
        // What follows the inner packet's own total length is for the judgement after this.
        let whole = found.is_some_and(|found| found.starts_with(expected));
        assert!(whole, "{found:?} is not {expected:?}");
    }
    let mut quoted = data.to_vec();
    if let Some(range) = forward::decap::quoted(&mut quoted) {
        assert!(range.end <= quoted.len());
    }
}

fn minimal_once(data: &[u8]) {
    let out = ip::minimal::decapsulate(data).ok();
    // The path keeps the reserved flag, which the general parser ignores.
    let canonical = data.get(6).is_some_and(|flags| flags & 0x80 == 0);
    path_agrees(data, out.as_ref().filter(|_| canonical).map(|out| out.packet.as_slice()));
    let Some(out) = out else { return };
    let packet = Ipv4Packet::parse(&out.packet).expect("it was put together");
    let again = ip::minimal::encapsulate(&out.packet, out.outer.source, out.outer.destination);
    let again = again.map(|again| ip::minimal::decapsulate(&again).map(|out| out.packet));
    assert_eq!(again, Ok(Ok(out.packet.clone())));
    assert!(!packet.header.is_fragment());
}

/// A packet with a minimal forwarding header; its checksum and the outer one made right on the second reading.
pub fn minimal(data: &[u8]) {
    minimal_once(data);
    let mut repaired = ipv4_repaired(data);
    let outer = repaired.first().map_or(0, |first| usize::from(first & 15) * 4);
    let length = if repaired.get(outer + 1).is_some_and(|flags| flags & 0x80 != 0) { 12 } else { 8 };
    if let Some(forwarding) = repaired.get_mut(outer..outer + length) {
        forwarding[2..4].fill(0);
        let sum = checksum(forwarding);
        forwarding[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    minimal_once(&repaired);
}

fn gre_once(data: &[u8]) {
    let out = ip::gre::decapsulate(data).ok();
    path_agrees(data, out.as_ref().map(|out| out.bytes));
    let Some(out) = out else { return };
    assert_eq!(Ipv4Packet::parse(out.bytes), Ok(out.inner));
    let again = ip::gre::encapsulate(out.bytes, out.outer.source, out.outer.destination, out.summed);
    if let Ok(again) = again {
        assert_eq!(ip::gre::decapsulate(&again).map(|o| (o.bytes, o.summed)), Ok((out.bytes, out.summed)));
    }
}

/// A GRE packet; outer and inner header, and the checksum if there is one, made right on the second reading.
pub fn gre(data: &[u8]) {
    gre_once(data);
    let mut repaired = ipv4_repaired(data);
    let outer = repaired.first().map_or(0, |first| usize::from(first & 15) * 4);
    let summed = repaired.get(outer).is_some_and(|flags| flags & 0x80 != 0);
    let tunnel = outer + if summed { 8 } else { 4 };
    if let Some(inner) = repaired.get(tunnel..) {
        let inner = ipv4_repaired(inner);
        repaired.truncate(tunnel);
        repaired.extend(inner);
    }
    let total = repaired.get(2..4).map_or(0, |total| usize::from(u16::from_be_bytes([total[0], total[1]])));
    if summed && let Some(payload) = repaired.get_mut(outer..total).filter(|payload| payload.len() >= 8) {
        payload[4..6].fill(0);
        let sum = checksum(payload);
        payload[4..6].copy_from_slice(&sum.to_be_bytes());
    }
    gre_once(&repaired);
}

fn udp_packet_once(data: &[u8]) {
    let Ok(packet) = ip::parse_udp(data) else { return };
    let again = ip::udp_packet(packet.source, packet.destination, packet.ttl, packet.payload);
    assert_eq!(ip::parse_udp(&again.expect("it was parsed")), Ok(packet));
}

/// A whole packet with UDP in it.
pub fn udp_packet(data: &[u8]) {
    udp_packet_once(data);
    udp_packet_once(&ipv4_repaired(data));
}

fn icmp_packet_once(data: &[u8]) {
    let Ok(packet) = ip::parse_icmp(data) else { return };
    icmp(packet.message);
    let again = ip::icmp_packet(packet.source, packet.destination, packet.ttl, packet.message);
    assert_eq!(ip::parse_icmp(&again.expect("it was parsed")), Ok(packet));
}

/// A whole packet with ICMP in it.
pub fn icmp_packet(data: &[u8]) {
    icmp_packet_once(data);
    icmp_packet_once(&ipv4_repaired(data));
}
