//! IPv4, UDP, ICMP and IP-in-IP.
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
