//! Wrapping a packet for the tunnel, in the headroom before it (RFC 2003 §3.1, RFC 2004 §3, RFC 2784 §2, RFC 3519
//! §3.3).
//!
//! Outer packets are written whole. For UDP only the tunnel header is: the UDP socket of the tunnel writes the
//! rest. The inner packet is left as it is, except with minimal encapsulation, which changes its header.

use std::{net::Ipv4Addr, ops::Range};

use crate::{
    header::{GRE, IPIP, MINIMAL, MINIMUM, New, Packet, relabel},
    table::{Broadcasts, Entry, Peer, is_beyond_minimal},
};

/// Octets that a buffer keeps free before a packet; a multiple of 16, more than any encapsulation needs.
pub const HEADROOM: usize = 64;
/// Time to live of outer packets, enough to cross the Internet.
const TIME_TO_LIVE: u8 = 64;
/// Type of UDP tunnel data, the first octet on port 434 (RFC 3519 §3.3).
pub const TUNNEL_DATA: u8 = 4;
/// Octets of the UDP tunnel header: type, next header, two reserved.
pub const TUNNEL_HEADER: usize = 4;
/// The GRE header before an IPv4 packet: no checksum, version 0, protocol type 0x0800 (RFC 2784 §2, §3).
pub(crate) const GRE_HEADER: [u8; 4] = [0, 0, 0x08, 0];
/// Octets of a minimal forwarding header without and with the original source address (RFC 2004 §3).
pub(crate) const FORWARDING: (usize, usize) = (8, 12);
/// The flag of a minimal forwarding header that says that the original source address is there.
pub(crate) const SOURCE_PRESENT: u8 = 0x80;
/// The six bits of the traffic class that are the differentiated services code point.
const CODE_POINT: u8 = 0xfc;

/// Wraps the packet at `at` in `buffer` for `peer`; returns where the outer bytes are now.
///
/// For UDP these are the payload of a datagram, else a whole IP packet. In IP in IP and GRE it always has
/// don't-fragment, and the inner code point but no congestion notification (the compatibility mode of RFC 6040
/// §4.1: the far end may not know how to undo it). Minimal encapsulation keeps the header of the packet itself,
/// with its time to live, don't-fragment and traffic class.
///
/// None if `at` is not an IPv4 packet, has too little room before it, would exceed 65,535 octets, or is what minimal
/// encapsulation cannot carry: a fragment, with options, or for many hosts. Nothing is changed then.
#[must_use]
pub fn encap(buffer: &mut [u8], at: Range<usize>, peer: Peer) -> Option<Range<usize>> {
    let packet = Packet::parse(buffer.get(at.clone())?).ok()?;
    let at = at.start..at.start + packet.bytes().len();
    let (length, traffic_class) = (at.len(), packet.traffic_class());
    head(buffer, at, length, traffic_class, peer)
}

/// Wraps a packet of which only the beginning is at `at` in `buffer`, at least its IP header: what follows it stands
/// elsewhere. Otherwise as [`encap`].
#[must_use]
pub fn encap_head(buffer: &mut [u8], at: Range<usize>, peer: Peer) -> Option<Range<usize>> {
    let packet = Packet::quoted(buffer.get(at.clone())?).ok()?;
    let (length, traffic_class) = (packet.total_length(), packet.traffic_class());
    (at.len() <= length).then_some(())?;
    head(buffer, at, length, traffic_class, peer)
}

/// Writes what comes before a packet of `length` octets that begins at `at`.
fn head(
    buffer: &mut [u8],
    at: Range<usize>,
    length: usize,
    traffic_class: u8,
    peer: Peer,
) -> Option<Range<usize>> {
    match peer {
        Peer::IpInIp { local, remote } => wrap(buffer, at, length, traffic_class, (IPIP, local, remote)),
        Peer::Gre { local, remote } => {
            let tunnel_header = at.start.checked_sub(GRE_HEADER.len())?;
            let length = length + GRE_HEADER.len();
            let whole = wrap(buffer, tunnel_header..at.end, length, traffic_class, (GRE, local, remote))?;
            buffer[tunnel_header..at.start].copy_from_slice(&GRE_HEADER);
            Some(whole)
        }
        Peer::Minimal { local, remote } => minimal(buffer, at, length, local, remote),
        Peer::Udp { .. } => {
            let start = at.start.checked_sub(TUNNEL_HEADER)?;
            buffer[start..at.start].copy_from_slice(&[TUNNEL_DATA, IPIP, 0, 0]);
            Some(start..at.end)
        }
    }
}

/// Wraps a broadcast for the mobile node of `entry` as its foreign agent needs it (RFC 5944 §4.3), before
/// [`encap`]; returns where the packet for the tunnel is now.
///
/// None as [`encap`] has it.
#[must_use]
pub fn nest(buffer: &mut [u8], at: Range<usize>, entry: &Entry) -> Option<Range<usize>> {
    match entry.broadcasts {
        Broadcasts::Nested { home_agent } => {
            let inner = Peer::IpInIp { local: home_agent, remote: entry.home_address };
            encap(buffer, at, inner)
        }
        Broadcasts::Plain | Broadcasts::No => Some(at),
    }
}

/// Writes an outer IP header of this protocol, source and destination before what begins at `at` and has `length`
/// octets.
fn wrap(
    buffer: &mut [u8],
    at: Range<usize>,
    length: usize,
    traffic_class: u8,
    (protocol, source, destination): (u8, Ipv4Addr, Ipv4Addr),
) -> Option<Range<usize>> {
    let start = at.start.checked_sub(MINIMUM)?;
    let header = New {
        traffic_class: traffic_class & CODE_POINT,
        total_length: u16::try_from(length + MINIMUM).ok()?,
        dont_fragment: true,
        time_to_live: TIME_TO_LIVE,
        protocol,
        source,
        destination,
    };
    header.write(buffer[start..at.start].as_mut_array()?);
    Some(start..at.end)
}

/// Moves the header of the packet at `at` towards the front and puts a forwarding header behind it.
fn minimal(
    buffer: &mut [u8],
    at: Range<usize>,
    length: usize,
    local: Ipv4Addr,
    remote: Ipv4Addr,
) -> Option<Range<usize>> {
    let packet = Packet::quoted(&buffer[at.clone()]).ok()?;
    if is_beyond_minimal(packet) {
        return None;
    }
    let (source, destination, protocol) = (packet.source(), packet.destination(), packet.protocol());
    let more = if source == local { FORWARDING.0 } else { FORWARDING.1 };
    let start = at.start.checked_sub(more)?;
    let total_length = u16::try_from(length + more).ok()?;
    buffer.copy_within(at.start..at.start + MINIMUM, start);
    let (header, forwarding) = buffer[start..at.start + MINIMUM].split_at_mut(MINIMUM);
    relabel(header, total_length, MINIMAL, local, remote);
    let flags = if source == local { 0 } else { SOURCE_PRESENT };
    forwarding[..4].copy_from_slice(&[protocol, flags, 0, 0]);
    forwarding[4..8].copy_from_slice(&destination.octets());
    if source != local {
        forwarding[8..12].copy_from_slice(&source.octets());
    }
    let sum = wire::checksum::checksum(forwarding);
    forwarding[2..4].copy_from_slice(&sum.to_be_bytes());
    Some(start..at.end)
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

    fn minimal() -> Peer {
        Peer::Minimal { local: address("10.11.1.2"), remote: address("10.51.1.2") }
    }

    fn gre() -> Peer {
        Peer::Gre { local: address("10.11.1.2"), remote: address("10.51.1.2") }
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
    fn gre_to_the_octet() {
        let inner = Inner::new("10.11.1.90", "10.11.1.50").payload(4).build();
        let (mut buffer, at) = buffer_with(&inner);
        let outer = encap(&mut buffer, at, gre()).unwrap();
        let mut expected = vec![0x45, 0xb8, 0, 48, 0, 0, 0x40, 0, 64, 47, 0, 0, 10, 11, 1, 2, 10, 51, 1, 2];
        let sum = wire::checksum::checksum(&expected);
        expected[10..12].copy_from_slice(&sum.to_be_bytes());
        expected.extend([0, 0, 8, 0]);
        expected.extend(&inner);
        assert_eq!(buffer[outer], expected);
    }

    #[test]
    fn minimal_to_the_octet() {
        let inner = Inner::new("10.11.1.90", "10.11.1.50").payload(4).build();
        let (mut buffer, at) = buffer_with(&inner);
        let outer = encap(&mut buffer, at, minimal()).unwrap();
        // Identification, flags and time to live are those of the packet.
        let mut expected =
            vec![0x45, 0xb8, 0, 36, 0x12, 0x34, 0, 0, 63, 55, 0, 0, 10, 11, 1, 2, 10, 51, 1, 2];
        let sum = wire::checksum::checksum(&expected);
        expected[10..12].copy_from_slice(&sum.to_be_bytes());
        let mut forwarding = vec![17, 0x80, 0, 0, 10, 11, 1, 50, 10, 11, 1, 90];
        let sum = wire::checksum::checksum(&forwarding);
        forwarding[2..4].copy_from_slice(&sum.to_be_bytes());
        expected.extend(forwarding);
        expected.extend(&inner[20..]);
        assert_eq!(buffer[outer], expected);
    }

    #[test]
    fn our_own_packets_need_no_source_in_the_forwarding_header() {
        let inner = Inner::new("10.11.1.2", "10.11.1.50").payload(4).build();
        let (mut buffer, at) = buffer_with(&inner);
        let outer = encap(&mut buffer, at, minimal()).unwrap();
        assert_eq!(outer.len(), inner.len() + 8);
        assert_eq!(buffer[outer.start + 21], 0);
        let mut outer = buffer[outer].to_vec();
        let (_, range) = decap::raw(&mut outer).unwrap();
        assert_eq!(outer[range], inner);
    }

    #[test]
    fn what_minimal_encapsulation_cannot_carry_is_left_alone() {
        let first = Inner::new("10.11.1.90", "10.11.1.50").fragment(0, true).payload(8).build();
        let later = Inner::new("10.11.1.90", "10.11.1.50").fragment(9, false).payload(8).build();
        let options = Inner::new("10.11.1.90", "10.11.1.50").options(&[1, 1, 1, 0]).payload(8).build();
        let many = Inner::new("10.11.1.90", "239.1.2.3").time_to_live(1).payload(8).build();
        for inner in [first, later, options, many] {
            let (mut buffer, at) = buffer_with(&inner);
            let before = buffer.clone();
            assert_eq!(encap(&mut buffer, at, minimal()), None);
            assert_eq!(buffer, before);
        }
    }

    #[test]
    fn a_broadcast_is_wrapped_twice_for_a_foreign_agent() {
        let inner = Inner::new("10.11.1.90", "255.255.255.255").payload(4).build();
        let home_agent = address("10.11.1.2");
        for peer in [ipip(), gre(), minimal(), udp()] {
            let entry = Entry::new(address("10.11.1.50"), peer);
            let (mut buffer, at) = buffer_with(&inner);
            assert_eq!(nest(&mut buffer, at.clone(), &entry), Some(at.clone()));
            let entry = entry.with_broadcasts(Broadcasts::Nested { home_agent });
            let nested = nest(&mut buffer, at, &entry).unwrap();
            let outer = encap(&mut buffer, nested, peer).unwrap();
            let mut outer = buffer[outer].to_vec();
            let middle = match peer {
                Peer::Udp { .. } => decap::udp(&outer).unwrap(),
                _ => decap::raw(&mut outer).unwrap().1,
            };
            let mut middle = outer[middle].to_vec();
            let (from, range) = decap::raw(&mut middle).unwrap();
            assert_eq!(from, Outer::IpInIp { source: home_agent, destination: address("10.11.1.50") });
            assert_eq!(middle[range], inner);
        }
    }

    #[test]
    fn the_beginning_alone_is_wrapped_as_the_whole() {
        let inner = Inner::new("10.11.1.90", "10.11.1.50").payload(1200).build();
        for peer in [ipip(), gre(), minimal(), udp()] {
            let (mut whole, at) = buffer_with(&inner);
            let (mut beginning, _) = buffer_with(&inner[..40]);
            let outer = encap(&mut whole, at, peer).unwrap();
            let head = encap_head(&mut beginning, HEADROOM..HEADROOM + 40, peer).unwrap();
            assert_eq!(beginning[head.clone()], whole[outer.start..outer.start + head.len()]);
            let (mut long, _) = buffer_with(&inner);
            long.extend([0; 7]);
            let too_long = HEADROOM..long.len();
            assert_eq!(encap_head(&mut long, too_long, peer), None, "more than the packet has");
        }
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
        for (room, peer) in [(19, ipip()), (23, gre()), (11, minimal()), (3, udp())] {
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
        for peer in [ipip(), gre(), minimal()] {
            let (mut buffer, at) = buffer_with(&inner);
            let before = buffer.clone();
            assert_eq!(encap(&mut buffer, at, peer), None);
            assert_eq!(buffer, before);
        }
    }

    #[test]
    fn what_goes_in_comes_out() {
        let mut random = Random::new(3);
        for _ in 0..2_000 {
            let payload = random.below(1441) as usize;
            let payload = random.bytes(payload);
            let inner = Inner::new("10.11.1.90", "10.11.1.50").bytes(&payload).build();
            for peer in [ipip(), minimal(), gre(), udp()] {
                let (mut buffer, at) = buffer_with(&inner);
                buffer.extend([0; 7]);
                let outer = encap(&mut buffer, at.start..at.end + 7, peer).unwrap();
                assert!(outer.len() <= inner.len() + usize::from(peer.overhead()));
                let bytes = &mut buffer[outer];
                let unwrapped = match peer {
                    Peer::Udp { .. } => decap::udp(bytes).unwrap(),
                    _ => {
                        let (from, range) = decap::raw(bytes).unwrap();
                        assert_eq!(Some(from.source()), peer.local());
                        range
                    }
                };
                assert_eq!(&bytes[unwrapped], inner, "padding is gone and nothing changed");
            }
        }
    }
}
