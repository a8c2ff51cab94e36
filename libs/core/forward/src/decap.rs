//! Unwrapping what came out of the network (RFC 2003 §3.1, RFC 3519 §3.3).
//!
//! Says where the inner packet is and who sent the outer one. Whether that sender may send it is for
//! [`Table::inbound`](crate::Table::inbound).

use std::ops::Range;

use crate::{
    Outer, Reason,
    encap::{TUNNEL_DATA, TUNNEL_HEADER},
    header::{IPIP, Packet},
};

/// Unwraps a whole outer IP packet of protocol 4, as a raw socket gives it.
///
/// # Errors
/// The reason to discard it: it is no IPv4 packet, or not of protocol 4, or a fragment.
pub fn ip_in_ip(packet: &[u8]) -> Result<(Outer, Range<usize>), Reason> {
    let outer = Packet::parse(packet)?;
    if outer.protocol() != IPIP {
        return Err(Reason::NextHeader);
    }
    if outer.more_fragments() || outer.fragment_offset() != 0 {
        return Err(Reason::Malformed);
    }
    let from = Outer::IpInIp { source: outer.source(), destination: outer.destination() };
    Ok((from, outer.header_length()..outer.bytes().len()))
}

/// Finds the inner packet in the beginning of an outer one, as an ICMP error quotes it.
///
/// None if it is not of protocol 4 or not the first fragment.
#[must_use]
pub fn quoted_ip_in_ip(quoted: &[u8]) -> Option<Range<usize>> {
    let outer = Packet::quoted(quoted).ok()?;
    let first = outer.protocol() == IPIP && outer.fragment_offset() == 0;
    first.then(|| outer.header_length()..quoted.len())
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
    use crate::testing::{Inner, address};

    #[test]
    fn outer_options_are_skipped() {
        let inner = Inner::new("10.11.1.50", "10.11.1.90").payload(9).build();
        let outer =
            Inner::new("10.51.1.2", "10.11.1.2").protocol(IPIP).options(&[1, 1, 1, 0]).bytes(&inner).build();
        let (from, range) = ip_in_ip(&outer).unwrap();
        assert_eq!(outer[range], inner);
        let expected = Outer::IpInIp { source: address("10.51.1.2"), destination: address("10.11.1.2") };
        assert_eq!(from, expected);
    }

    #[test]
    fn other_protocols_and_fragments_are_refused() {
        let other = Inner::new("10.51.1.2", "10.11.1.2").protocol(17).payload(40).build();
        assert_eq!(ip_in_ip(&other), Err(Reason::NextHeader));
        for (offset, more) in [(0, true), (3, false), (3, true)] {
            let part = Inner::new("10.51.1.2", "10.11.1.2").protocol(IPIP).fragment(offset, more);
            assert_eq!(ip_in_ip(&part.payload(40).build()), Err(Reason::Malformed));
        }
    }

    #[test]
    fn a_quotation_may_be_cut_short() {
        let inner = Inner::new("10.11.1.50", "10.11.1.90").payload(90).build();
        let outer = Inner::new("10.51.1.2", "10.11.1.2").protocol(IPIP).bytes(&inner).build();
        assert_eq!(quoted_ip_in_ip(&outer[..48]), Some(20..48));
        assert_eq!(quoted_ip_in_ip(&outer[..19]), None);
        let other = Inner::new("10.51.1.2", "10.11.1.2").protocol(17).payload(40).build();
        assert_eq!(quoted_ip_in_ip(&other), None);
        let later = Inner::new("10.51.1.2", "10.11.1.2").protocol(IPIP).fragment(3, false).payload(40);
        assert_eq!(quoted_ip_in_ip(&later.build()), None);
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
