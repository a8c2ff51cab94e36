//! Minimal encapsulation (RFC 2004): the header of the packet itself leads through the tunnel, and what was
//! changed in it follows in a small forwarding header.
//!
//! Whole-packet functions for control, tests and captures. The packet path has its own, which works in the
//! headroom of a buffer.

use std::net::Ipv4Addr;

use super::{
    Error,
    ipv4::{Ipv4Header, Ipv4Packet, Protocol},
};
use crate::checksum::checksum;

/// Bytes of a forwarding header without the original source address.
pub const SHORT: usize = 8;
/// Bytes of a forwarding header with the original source address.
pub const LONG: usize = 12;

/// The flag that says that the original source address is there.
const SOURCE_PRESENT: u8 = 0x80;

/// The packet `inner`, led from `entry` to `exit`. The original source is kept in the forwarding header unless
/// it is `entry`; everything else in its header, also time to live and don't-fragment, stays as it is.
///
/// # Errors
/// What [`Ipv4Packet::parse`] finds wrong with `inner`; [`Error::Fragment`] for a fragment, which the forwarding
/// header cannot describe (RFC 2004 §3); [`Error::TooLong`].
pub fn encapsulate(inner: &[u8], entry: Ipv4Addr, exit: Ipv4Addr) -> Result<Vec<u8>, Error> {
    let packet = Ipv4Packet::parse(inner)?;
    let header = packet.header;
    if header.is_fragment() {
        return Err(Error::Fragment);
    }
    let mut forwarding = vec![header.protocol.0, 0, 0, 0];
    forwarding.extend(header.destination.octets());
    if header.source != entry {
        forwarding[1] = SOURCE_PRESENT;
        forwarding.extend(header.source.octets());
    }
    let sum = checksum(&forwarding);
    forwarding[2..4].copy_from_slice(&sum.to_be_bytes());
    forwarding.extend(packet.payload);
    let outer = Ipv4Header { protocol: Protocol::MINIMAL, source: entry, destination: exit, ..header };
    Ipv4Packet { header: outer, options: packet.options, payload: &forwarding }.to_vec()
}

/// A packet taken out of the tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decapsulated {
    /// The header that led it through the tunnel.
    pub outer: Ipv4Header,
    /// The packet with its own header again.
    pub packet: Vec<u8>,
}

/// Takes the inner packet out of a whole packet. Reserved bits of the forwarding header are ignored.
///
/// # Errors
/// [`Error::OtherProtocol`], [`Error::Fragment`] for an outer fragment, [`Error::Truncated`] for less than a
/// forwarding header, [`Error::Checksum`] also for that of the forwarding header.
pub fn decapsulate(packet: &[u8]) -> Result<Decapsulated, Error> {
    let outer = Ipv4Packet::parse(packet)?;
    if outer.header.protocol != Protocol::MINIMAL {
        return Err(Error::OtherProtocol(outer.header.protocol));
    }
    if outer.header.is_fragment() {
        return Err(Error::Fragment);
    }
    let flags = *outer.payload.get(1).ok_or(Error::Truncated)?;
    let length = if flags & SOURCE_PRESENT == 0 { SHORT } else { LONG };
    let (forwarding, payload) = outer.payload.split_at_checked(length).ok_or(Error::Truncated)?;
    if checksum(forwarding) != 0 {
        return Err(Error::Checksum);
    }
    let address = |at: usize| {
        let octets = forwarding.get(at..at + 4).and_then(|octets| octets.first_chunk::<4>());
        octets.map(|octets| Ipv4Addr::from(*octets))
    };
    let header = Ipv4Header {
        protocol: Protocol(forwarding[0]),
        destination: address(4).ok_or(Error::Truncated)?,
        source: address(8).unwrap_or(outer.header.source),
        ..outer.header
    };
    let packet = Ipv4Packet { header, options: outer.options, payload }.to_vec()?;
    Ok(Decapsulated { outer: outer.header, packet })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 2);
    const EXIT: Ipv4Addr = Ipv4Addr::new(10, 51, 1, 2);
    const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 90);

    fn inner(source: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
        let mut header = Ipv4Header::new(source, Ipv4Addr::new(10, 11, 1, 50), Protocol::TCP, 63);
        header.tos = 0xb9;
        header.identification = 0x1234;
        header.dont_fragment = false;
        Ipv4Packet { header, options: &[1, 1, 1, 0], payload }.to_vec().unwrap()
    }

    #[test]
    fn round_trip_with_and_without_the_source() {
        for (source, added) in [(SOURCE, LONG), (ENTRY, SHORT)] {
            for payload in [&b""[..], b"a", b"segment"] {
                let packet = encapsulate(&inner(source, payload), ENTRY, EXIT).unwrap();
                assert_eq!(packet.len(), inner(source, payload).len() + added);
                let out = decapsulate(&packet).unwrap();
                assert_eq!(out.packet, inner(source, payload));
                assert_eq!((out.outer.source, out.outer.destination), (ENTRY, EXIT));
                assert_eq!((out.outer.protocol, out.outer.ttl), (Protocol::MINIMAL, 63));
            }
        }
    }

    #[test]
    fn a_fragment_is_refused_on_either_side() {
        let fragment = |protocol| {
            let mut header = Ipv4Header::new(ENTRY, EXIT, protocol, 64);
            header.fragment_offset = 8;
            Ipv4Packet { header, options: &[], payload: &[0; 20] }.to_vec().unwrap()
        };
        assert_eq!(encapsulate(&fragment(Protocol::UDP), ENTRY, EXIT), Err(Error::Fragment));
        assert_eq!(decapsulate(&fragment(Protocol::MINIMAL)), Err(Error::Fragment));
    }

    #[test]
    fn truncated_at_every_length() {
        let header = Ipv4Header::new(ENTRY, EXIT, Protocol::MINIMAL, 64);
        let whole = encapsulate(&inner(SOURCE, b"segment"), ENTRY, EXIT).unwrap();
        let payload = Ipv4Packet::parse(&whole).unwrap().payload;
        for n in 0..LONG {
            let cut = Ipv4Packet { header, options: &[], payload: &payload[..n] }.to_vec().unwrap();
            assert_eq!(decapsulate(&cut), Err(Error::Truncated), "{n} bytes");
        }
        for n in 0..whole.len() {
            assert_eq!(decapsulate(&whole[..n]), Err(Error::Truncated), "{n} bytes");
        }
    }

    #[test]
    fn every_flipped_bit_of_the_forwarding_header_is_noticed() {
        let whole = encapsulate(&inner(SOURCE, b"segment"), ENTRY, EXIT).unwrap();
        for bit in 0..LONG * 8 {
            let mut bytes = whole.clone();
            bytes[24 + bit / 8] ^= 0x80 >> (bit % 8);
            assert_eq!(decapsulate(&bytes), Err(Error::Checksum), "bit {bit}");
        }
    }

    #[test]
    fn other_protocols_are_refused() {
        let header = Ipv4Header::new(ENTRY, EXIT, Protocol::GRE, 64);
        let packet = Ipv4Packet { header, options: &[], payload: &[0; 20] }.to_vec().unwrap();
        assert_eq!(decapsulate(&packet), Err(Error::OtherProtocol(Protocol::GRE)));
    }
}
