//! Wrapping a packet for the tunnel, in the headroom before it (RFC 2003 §3.1, RFC 3519 §3.3).
//!
//! The outer packet of IP in IP is written whole. For UDP only the tunnel header is: the UDP socket of the
//! tunnel writes the rest. The inner packet is left as it is.

use std::ops::Range;

use crate::{
    header::{IPIP, MINIMUM, New, Packet},
    table::Peer,
};

/// Octets that a buffer keeps free before a packet; a multiple of 16, more than any encapsulation needs.
pub const HEADROOM: usize = 64;
/// Time to live of outer packets, enough to cross the Internet.
const TIME_TO_LIVE: u8 = 64;
/// Type of UDP tunnel data, the first octet on port 434 (RFC 3519 §3.3).
pub const TUNNEL_DATA: u8 = 4;
/// Octets of the UDP tunnel header: type, next header, two reserved.
pub const TUNNEL_HEADER: usize = 4;
/// The six bits of the traffic class that are the differentiated services code point.
const CODE_POINT: u8 = 0xfc;

/// Wraps the packet at `at` in `buffer` for `peer`; returns where the outer bytes are now.
///
/// For IP in IP these are a whole IP packet, always with don't-fragment, and with the inner code point but no
/// congestion notification (the compatibility mode of RFC 6040 §4.1: the far end may not know how to undo
/// it). For UDP they are the payload of a datagram.
///
/// None if `at` is not an IPv4 packet, has too little room before it, or would exceed 65,535 octets.
#[must_use]
pub fn encap(buffer: &mut [u8], at: Range<usize>, peer: Peer) -> Option<Range<usize>> {
    let packet = Packet::parse(buffer.get(at.clone())?).ok()?;
    let end = at.start + packet.bytes().len();
    match peer {
        Peer::IpInIp { local, remote } => {
            let start = at.start.checked_sub(MINIMUM)?;
            let header = New {
                traffic_class: packet.traffic_class() & CODE_POINT,
                total_length: u16::try_from(end - start).ok()?,
                dont_fragment: true,
                time_to_live: TIME_TO_LIVE,
                protocol: IPIP,
                source: local,
                destination: remote,
            };
            header.write(buffer[start..at.start].as_mut_array()?);
            Some(start..end)
        }
        Peer::Udp { .. } => {
            let start = at.start.checked_sub(TUNNEL_HEADER)?;
            buffer[start..at.start].copy_from_slice(&[TUNNEL_DATA, IPIP, 0, 0]);
            Some(start..end)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV4;

    use super::*;
    use crate::{
        Outer, decap,
        testing::{Inner, Random, address},
    };

    fn ipip() -> Peer {
        Peer::IpInIp { local: address("10.11.1.2"), remote: address("10.51.1.2") }
    }

    fn udp() -> Peer {
        Peer::Udp { remote: SocketAddrV4::new(address("10.53.1.2"), 434) }
    }

    fn buffer_with(packet: &[u8]) -> (Vec<u8>, Range<usize>) {
        let mut buffer = vec![0xee; HEADROOM];
        buffer.extend(packet);
        let at = HEADROOM..buffer.len();
        (buffer, at)
    }

    #[test]
    fn ip_in_ip_to_the_octet() {
        let inner = Inner::new("10.11.1.90", "10.11.1.50").payload(4).build();
        let (mut buffer, at) = buffer_with(&inner);
        let outer = encap(&mut buffer, at, ipip()).unwrap();
        let mut expected = vec![0x45, 0xb8, 0, 44, 0, 0, 0x40, 0, 64, 4, 0, 0, 10, 11, 1, 2, 10, 51, 1, 2];
        let sum = wire::checksum::checksum(&expected);
        expected[10..12].copy_from_slice(&sum.to_be_bytes());
        expected.extend(&inner);
        assert_eq!(buffer[outer], expected);
    }

    #[test]
    fn udp_tunnel_data_to_the_octet() {
        let inner = Inner::new("10.11.1.90", "10.11.1.50").payload(4).build();
        let (mut buffer, at) = buffer_with(&inner);
        let outer = encap(&mut buffer, at, udp()).unwrap();
        let mut expected = vec![4, 4, 0, 0];
        expected.extend(&inner);
        assert_eq!(buffer[outer], expected);
    }

    #[test]
    fn congestion_notification_stays_inside() {
        let mut inner = Inner::new("10.11.1.90", "10.11.1.50").payload(4).build();
        inner[1] = 0xbb;
        let (mut buffer, at) = buffer_with(&inner);
        let outer = encap(&mut buffer, at, ipip()).unwrap();
        assert_eq!(buffer[outer.start + 1], 0xb8);
        assert_eq!(buffer[outer][20..], inner);
    }

    #[test]
    fn without_headroom_nothing_is_written() {
        let inner = Inner::new("10.11.1.90", "10.11.1.50").payload(4).build();
        for (room, peer) in [(19, ipip()), (3, udp())] {
            let mut buffer = vec![0; room];
            buffer.extend(&inner);
            let before = buffer.clone();
            let at = room..buffer.len();
            assert_eq!(encap(&mut buffer, at, peer), None);
            assert_eq!(buffer, before);
        }
    }

    #[test]
    fn the_longest_packet_cannot_be_wrapped_in_ip() {
        let inner = Inner::new("10.11.1.90", "10.11.1.50").payload(65_515).build();
        let (mut buffer, at) = buffer_with(&inner);
        assert_eq!(encap(&mut buffer, at, ipip()), None);
    }

    #[test]
    fn what_goes_in_comes_out() {
        let mut random = Random::new(3);
        for _ in 0..2_000 {
            let payload = random.below(1441) as usize;
            let payload = random.bytes(payload);
            let inner = Inner::new("10.11.1.90", "10.11.1.50").bytes(&payload).build();
            for peer in [ipip(), udp()] {
                let (mut buffer, at) = buffer_with(&inner);
                buffer.extend([0; 7]);
                let outer = encap(&mut buffer, at.start..at.end + 7, peer).unwrap();
                let bytes = &buffer[outer];
                let unwrapped = match peer {
                    Peer::IpInIp { local, remote } => {
                        let (from, range) = decap::ip_in_ip(bytes).unwrap();
                        assert_eq!(from, Outer::IpInIp { source: local, destination: remote });
                        range
                    }
                    Peer::Udp { .. } => decap::udp(bytes).unwrap(),
                };
                assert_eq!(&bytes[unwrapped], inner, "padding is gone and nothing changed");
            }
        }
    }
}
