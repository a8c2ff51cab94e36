//! Unwrapping what came out of the network (RFC 2003 §3.1, RFC 2004 §3, RFC 2784 §2, RFC 3519 §3.3).
//!
//! Says where the inner packet is and who sent the outer one. Whether that sender may send it is for
//! [`Table::inbound`](crate::Table::inbound).

use std::{net::Ipv4Addr, ops::Range};

use wire::checksum::checksum;

use crate::{
    Outer, Reason,
    encap::{FORWARDING, GRE_HEADER, SOURCE_PRESENT, TUNNEL_DATA, TUNNEL_HEADER},
    header::{GRE, IPIP, MINIMAL, Packet, relabel},
};

/// Octets of a GRE header with a checksum.
const SUMMED_GRE_HEADER: usize = 8;
/// The first octet of a GRE header: a checksum follows.
const CHECKSUM_PRESENT: u8 = 0x80;
/// The five bits after it, which must be zero: no key, sequence number or source route is known (RFC 2784 §2.3).
const MUST_BE_ZERO: u8 = 0x7c;
/// The version, in the second octet.
const VERSION: u8 = 0x07;

/// Unwraps a whole outer IP packet of protocol 4, 47 or 55, as a raw socket gives it. With minimal encapsulation the
/// header of the inner packet is put together again in place.
///
/// # Errors
/// The reason to discard it: it is no IPv4 packet, or of another protocol, or a fragment, or its tunnel header is
/// wrong. Nothing is changed then.
pub fn raw(packet: &mut [u8]) -> Result<(Outer, Range<usize>), Reason> {
    let outer = Packet::parse(packet)?;
    if outer.is_fragment() {
        return Err(Reason::Malformed);
    }
    let (source, destination) = (outer.source(), outer.destination());
    let (header, whole) = (outer.header_length(), outer.bytes().len());
    match outer.protocol() {
        IPIP => Ok((Outer::IpInIp { source, destination }, header..whole)),
        GRE => {
            let length = gre_header(outer.payload())?;
            Ok((Outer::Gre { source, destination }, header + length..whole))
        }
        MINIMAL => {
            let length = forwarding_header(outer.payload())?;
            restore(packet, header, length).ok_or(Reason::Malformed)?;
            Ok((Outer::Minimal { source, destination }, length..whole))
        }
        _ => Err(Reason::NextHeader),
    }
}

/// Finds the inner packet in the beginning of an outer one, as an ICMP error quotes it; with minimal encapsulation
/// its header is put together again in place.
///
/// None if it is no tunnelled packet, not the first fragment, or ends before the inner header is known.
#[must_use]
pub fn quoted(quoted: &mut [u8]) -> Option<Range<usize>> {
    let outer = Packet::quoted(quoted).ok()?;
    if outer.fragment_offset() != 0 {
        return None;
    }
    let header = outer.header_length();
    let inner = match outer.protocol() {
        IPIP => header,
        // Ours has no checksum.
        GRE => header + outer.payload().starts_with(&GRE_HEADER).then_some(GRE_HEADER.len())?,
        MINIMAL => {
            let length = forwarding_header(outer.payload()).ok()?;
            restore(quoted, header, length)?;
            length
        }
        _ => return None,
    };
    Some(inner..quoted.len())
}

/// True if what an ICMP error quotes was sent with minimal encapsulation, in which the hops of the tunnel count
/// for the inner packet (RFC 2004 §3).
#[must_use]
pub fn shows_hops(quoted: &[u8]) -> bool {
    Packet::quoted(quoted).is_ok_and(|outer| outer.protocol() == MINIMAL)
}

/// The length of the GRE header at the beginning of `payload`, which was checked.
fn gre_header(payload: &[u8]) -> Result<usize, Reason> {
    let &[flags, version, ether_type @ .., _, _, _, _] =
        payload.first_chunk::<SUMMED_GRE_HEADER>().ok_or(Reason::Malformed)?;
    // An inner packet is longer than a checksum, so that the short form has eight octets as well.
    if flags & MUST_BE_ZERO != 0 || version & VERSION != 0 {
        return Err(Reason::TunnelHeader);
    }
    if ether_type != GRE_HEADER[2..] {
        return Err(Reason::NextHeader);
    }
    if flags & CHECKSUM_PRESENT == 0 {
        return Ok(GRE_HEADER.len());
    }
    if checksum(payload) == 0 { Ok(SUMMED_GRE_HEADER) } else { Err(Reason::Checksum) }
}

/// The length of the minimal forwarding header at the beginning of `payload`, which was checked.
fn forwarding_header(payload: &[u8]) -> Result<usize, Reason> {
    let flags = *payload.get(1).ok_or(Reason::Malformed)?;
    let length = if flags & SOURCE_PRESENT == 0 { FORWARDING.0 } else { FORWARDING.1 };
    let forwarding = payload.get(..length).ok_or(Reason::Malformed)?;
    if checksum(forwarding) == 0 { Ok(length) } else { Err(Reason::Checksum) }
}

/// Puts the original header in place of a forwarding header of `length` octets, behind a header of `header` octets.
fn restore(packet: &mut [u8], header: usize, length: usize) -> Option<()> {
    let outer = Packet::quoted(packet).ok()?;
    let forwarding = packet.get(header..header + length)?;
    let address = |at: usize| Some(Ipv4Addr::from(*forwarding.get(at..)?.first_chunk::<4>()?));
    let (protocol, destination) = (forwarding[0], address(4)?);
    let source = if length == FORWARDING.1 { address(8)? } else { outer.source() };
    let total_length = u16::try_from(outer.total_length().checked_sub(length)?).ok()?;
    packet.copy_within(..header, length);
    relabel(&mut packet[length..length + header], total_length, protocol, source, destination);
    Some(())
}

/// Unwraps the payload of a UDP datagram of type 4.
///
/// # Errors
/// The reason to discard it: it is not tunnel data, or what follows is not IPv4.
pub fn udp(payload: &[u8]) -> Result<Range<usize>, Reason> {
    match payload {
        [TUNNEL_DATA, IPIP, _, _, ..] => Ok(TUNNEL_HEADER..payload.len()),
        [TUNNEL_DATA, _, _, _, ..] => Err(Reason::NextHeader),
        _ => Err(Reason::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        HEADROOM, Peer, encap,
        testing::{Inner, Random, address},
    };

    #[test]
    fn outer_options_are_skipped() {
        let inner = Inner::new("10.11.1.50", "10.11.1.90").payload(9).build();
        let outer =
            Inner::new("10.51.1.2", "10.11.1.2").protocol(IPIP).options(&[1, 1, 1, 0]).bytes(&inner).build();
        let mut outer = outer;
        let (from, range) = raw(&mut outer).unwrap();
        assert_eq!(outer[range], inner);
        let expected = Outer::IpInIp { source: address("10.51.1.2"), destination: address("10.11.1.2") };
        assert_eq!(from, expected);
    }

    #[test]
    fn other_protocols_and_fragments_are_refused() {
        let mut other = Inner::new("10.51.1.2", "10.11.1.2").protocol(17).payload(40).build();
        assert_eq!(raw(&mut other), Err(Reason::NextHeader));
        for protocol in [IPIP, GRE, MINIMAL] {
            for (offset, more) in [(0, true), (3, false), (3, true)] {
                let part = Inner::new("10.51.1.2", "10.11.1.2").protocol(protocol).fragment(offset, more);
                assert_eq!(raw(&mut part.payload(40).build()), Err(Reason::Malformed));
            }
        }
    }

    #[test]
    fn a_quotation_may_be_cut_short() {
        let inner = Inner::new("10.11.1.50", "10.11.1.90").payload(90).build();
        let outer = Inner::new("10.51.1.2", "10.11.1.2").protocol(IPIP).bytes(&inner).build();
        assert_eq!(quoted(&mut outer.clone()[..48]), Some(20..48));
        assert_eq!(quoted(&mut outer.clone()[..19]), None);
        let mut other = Inner::new("10.51.1.2", "10.11.1.2").protocol(17).payload(40).build();
        assert_eq!(quoted(&mut other), None);
        let later = Inner::new("10.51.1.2", "10.11.1.2").protocol(IPIP).fragment(3, false).payload(40);
        assert_eq!(quoted(&mut later.build()), None);
    }

    #[test]
    fn quotations_of_every_encapsulation_show_the_inner_header() {
        let inner = Inner::new("10.11.1.90", "10.11.1.50").payload(90).build();
        let (local, remote) = (address("10.11.1.2"), address("10.51.1.2"));
        for (peer, least, hops) in [
            (Peer::IpInIp { local, remote }, 20, false),
            (Peer::Gre { local, remote }, 24, false),
            (Peer::Minimal { local, remote }, 32, true),
        ] {
            let mut buffer = vec![0; HEADROOM];
            buffer.extend(&inner);
            let at = HEADROOM..buffer.len();
            let outer = encap::encap(&mut buffer, at, peer).unwrap();
            let outer = &buffer[outer];
            assert_eq!(shows_hops(outer), hops);
            for length in 0..outer.len() {
                let mut cut = outer[..length].to_vec();
                match quoted(&mut cut) {
                    Some(range) => {
                        assert!(length >= least, "{peer:?} {length}");
                        let there = range.len();
                        assert_eq!(cut[range], inner[..there], "{peer:?} {length}");
                    }
                    None => assert!(length < least, "{peer:?} {length}"),
                }
            }
        }
    }

    /// A GRE packet whose header begins like this, with `rest` behind it.
    fn gre(header: [u8; 4], rest: &[u8]) -> Vec<u8> {
        let payload = [&header[..], rest].concat();
        Inner::new("10.51.1.2", "10.11.1.2").protocol(GRE).bytes(&payload).build()
    }

    #[test]
    fn fields_that_gre_gave_up_are_refused_and_reserved_bits_ignored() {
        let inner = Inner::new("10.11.1.50", "10.11.1.90").payload(9).build();
        assert_eq!(raw(&mut gre([0, 0, 8, 0], &inner)).unwrap().1, 24..24 + inner.len());
        for bit in 1..16 {
            let flags = 0x8000_u16 >> bit;
            let [a, b] = flags.to_be_bytes();
            let result = raw(&mut gre([a, b, 8, 0], &inner));
            // Routing, key, sequence number, source route, recursion; then the version.
            let refused = (1..=5).contains(&bit) || bit >= 13;
            assert_eq!(result.err(), refused.then_some(Reason::TunnelHeader), "bit {bit}");
        }
        assert_eq!(raw(&mut gre([0, 0, 0x86, 0xdd], &inner)), Err(Reason::NextHeader));
        for short in 0..8 {
            let mut cut = Inner::new("10.51.1.2", "10.11.1.2").protocol(GRE).payload(short).build();
            assert_eq!(raw(&mut cut), Err(Reason::Malformed), "{short}");
        }
    }

    #[test]
    fn a_gre_checksum_is_verified() {
        for length in [9, 10] {
            let inner = Inner::new("10.11.1.50", "10.11.1.90").payload(length).build();
            let mut rest = [&[0, 0, 0, 0], &inner[..]].concat();
            let sum = checksum(&[&[0x80, 0, 8, 0], &rest[..]].concat());
            rest[..2].copy_from_slice(&sum.to_be_bytes());
            let mut packet = gre([0x80, 0, 8, 0], &rest);
            let (_, range) = raw(&mut packet).unwrap();
            assert_eq!(packet[range], inner);
            for at in 20..packet.len() {
                let mut broken = packet.clone();
                broken[at] ^= 0x40;
                // A flipped key bit or protocol type is noticed before the sum is.
                assert!(raw(&mut broken).is_err() || at == 21, "octet {at}");
            }
        }
    }

    #[test]
    fn a_broken_forwarding_header_changes_nothing() {
        let mut buffer = vec![0; HEADROOM];
        buffer.extend(Inner::new("10.11.1.50", "10.11.1.90").payload(9).build());
        let (local, remote) = (address("10.51.1.2"), address("10.11.1.2"));
        let at = HEADROOM..buffer.len();
        let outer = encap::encap(&mut buffer, at, Peer::Minimal { local, remote }).unwrap();
        for bit in 0..96 {
            let mut broken = buffer[outer.clone()].to_vec();
            broken[20 + bit / 8] ^= 0x80 >> (bit % 8);
            let before = broken.clone();
            assert_eq!(raw(&mut broken), Err(Reason::Checksum), "bit {bit}");
            assert_eq!(broken, before);
        }
        for short in 0..12 {
            let mut payload = buffer[outer.start + 20..outer.start + 20 + short].to_vec();
            payload.resize(short, 0);
            let mut cut = Inner::new("10.51.1.2", "10.11.1.2").protocol(MINIMAL).bytes(&payload).build();
            assert_eq!(raw(&mut cut), Err(Reason::Malformed), "{short}");
        }
    }

    /// Options of a packet that somebody else wrapped so are kept.
    #[test]
    fn options_before_a_forwarding_header_belong_to_the_packet() {
        let mut forwarding = vec![17, 0, 0, 0, 10, 11, 1, 90];
        let sum = checksum(&forwarding);
        forwarding[2..4].copy_from_slice(&sum.to_be_bytes());
        forwarding.extend([7; 5]);
        let outer = Inner::new("10.51.1.2", "10.11.1.2").options(&[1, 1, 1, 0]).protocol(MINIMAL);
        let mut outer = outer.bytes(&forwarding).build();
        let (_, range) = raw(&mut outer).unwrap();
        let inner = Inner::new("10.51.1.2", "10.11.1.90").options(&[1, 1, 1, 0]).bytes(&[7; 5]).build();
        assert_eq!(outer[range], inner);
    }

    #[test]
    fn random_packets_never_panic() {
        let mut random = Random::new(21);
        for _ in 0..50_000 {
            let length = random.below(60) as usize;
            let payload = random.bytes(length);
            let protocol = [IPIP, GRE, MINIMAL][random.below(3) as usize];
            let mut packet = Inner::new("10.51.1.2", "10.11.1.2").protocol(protocol).bytes(&payload).build();
            let mut cut = packet[..random.below(packet.len() as u32 + 1) as usize].to_vec();
            if let Ok((_, range)) = raw(&mut packet) {
                assert!(range.end <= packet.len());
            }
            if let Some(range) = quoted(&mut cut) {
                assert!(range.end <= cut.len());
            }
        }
    }

    #[test]
    fn the_udp_tunnel_header_is_checked() {
        assert_eq!(udp(&[4, 4, 0, 0, 0x45]), Ok(4..5));
        // Reserved octets are ignored on receipt.
        assert_eq!(udp(&[4, 4, 9, 9]), Ok(4..4));
        for next_header in [0, 47, 55, 255] {
            assert_eq!(udp(&[4, next_header, 0, 0, 0x45]), Err(Reason::NextHeader));
        }
        assert_eq!(udp(&[1, 4, 0, 0]), Err(Reason::Malformed));
        for short in [&[][..], &[4], &[4, 4], &[4, 4, 0]] {
            assert_eq!(udp(short), Err(Reason::Malformed));
        }
    }
}
