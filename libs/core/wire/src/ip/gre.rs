//! An IPv4 packet in generic routing encapsulation (RFC 2784).
//!
//! Whole-packet functions for control, tests and captures. The packet path has its own, which works in the
//! headroom of a buffer.

use std::net::Ipv4Addr;

use super::{
    Error, ipip,
    ipv4::{HEADER_LEN, Ipv4Header, Ipv4Packet, Protocol},
};
use crate::checksum::checksum;

/// Bytes of the header without a checksum.
pub const SHORT: usize = 4;
/// Bytes of the header with a checksum.
pub const LONG: usize = 8;
/// The protocol type of IPv4 (RFC 2784 §3).
pub const IPV4: u16 = 0x0800;

/// Checksum and Reserved1 are there.
const CHECKSUM_PRESENT: u16 = 0x8000;
/// Bits 1 to 5, which only older implementations use: routing, key, sequence number, strict source route and the
/// first bit of recursion control (RFC 2784 §2.3, §5).
const MUST_BE_ZERO: u16 = 0x7c00;
const VERSION: u16 = 0x0007;

/// The packet `inner` in an outer packet from `entry` to `exit`, with the outer header of [`ipip::outer_header`];
/// with a checksum if `summed`.
///
/// # Errors
/// What [`Ipv4Packet::parse`] finds wrong with `inner`; [`Error::TooLong`].
pub fn encapsulate(inner: &[u8], entry: Ipv4Addr, exit: Ipv4Addr, summed: bool) -> Result<Vec<u8>, Error> {
    let packet = Ipv4Packet::parse(inner)?;
    let header = Ipv4Header { protocol: Protocol::GRE, ..ipip::outer_header(&packet.header, entry, exit) };
    let flags = if summed { CHECKSUM_PRESENT } else { 0 };
    let mut payload = [flags.to_be_bytes(), IPV4.to_be_bytes()].concat();
    if summed {
        payload.extend([0; LONG - SHORT]);
    }
    payload.extend(inner);
    if summed {
        let sum = checksum(&payload);
        payload[4..6].copy_from_slice(&sum.to_be_bytes());
    }
    Ipv4Packet { header, options: &[], payload: &payload }.to_vec()
}

/// A tunnelled packet taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decapsulated<'a> {
    /// The outer header.
    pub outer: Ipv4Header,
    /// Whether there was a checksum, which was right.
    pub summed: bool,
    /// The inner packet, parsed.
    pub inner: Ipv4Packet<'a>,
    /// The bytes of the inner packet, up to its own total length.
    pub bytes: &'a [u8],
}

/// Takes the inner packet out of a whole packet. Bits 6 to 12 and Reserved1 are ignored.
///
/// # Errors
/// [`Error::OtherProtocol`], [`Error::Fragment`] for an outer fragment, [`Error::TunnelHeader`] for another version
/// or one of bits 1 to 5, [`Error::EtherType`] for something other than IPv4, [`Error::Checksum`] also for that of
/// the tunnel header, and what is wrong with either IPv4 header.
pub fn decapsulate(packet: &[u8]) -> Result<Decapsulated<'_>, Error> {
    let outer = Ipv4Packet::parse(packet)?;
    if outer.header.protocol != Protocol::GRE {
        return Err(Error::OtherProtocol(outer.header.protocol));
    }
    if outer.header.is_fragment() {
        return Err(Error::Fragment);
    }
    let &[a, b, c, d] = outer.payload.first_chunk::<SHORT>().ok_or(Error::Truncated)?;
    let (flags, ether_type) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    if flags & (MUST_BE_ZERO | VERSION) != 0 {
        return Err(Error::TunnelHeader);
    }
    let summed = flags & CHECKSUM_PRESENT != 0;
    let length = if summed { LONG } else { SHORT };
    let body = outer.payload.get(length..).ok_or(Error::Truncated)?;
    if summed && checksum(outer.payload) != 0 {
        return Err(Error::Checksum);
    }
    if ether_type != IPV4 {
        return Err(Error::EtherType(ether_type));
    }
    let inner = Ipv4Packet::parse(body)?;
    let bytes = &body[..HEADER_LEN + inner.options.len() + inner.payload.len()];
    Ok(Decapsulated { outer: outer.header, summed, inner, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 2);
    const EXIT: Ipv4Addr = Ipv4Addr::new(10, 51, 1, 2);

    fn inner(payload: &[u8]) -> Vec<u8> {
        let mut header =
            Ipv4Header::new(Ipv4Addr::new(10, 11, 1, 90), Ipv4Addr::new(10, 11, 1, 50), Protocol::TCP, 63);
        header.tos = 0xb9;
        Ipv4Packet { header, options: &[], payload }.to_vec().unwrap()
    }

    fn with_payload(payload: &[u8]) -> Vec<u8> {
        let header = Ipv4Header::new(ENTRY, EXIT, Protocol::GRE, 64);
        Ipv4Packet { header, options: &[], payload }.to_vec().unwrap()
    }

    #[test]
    fn round_trip_of_odd_and_even_lengths() {
        for (summed, added) in [(false, 24), (true, 28)] {
            for payload in [&b""[..], b"a", b"even", b"segment"] {
                let packet = encapsulate(&inner(payload), ENTRY, EXIT, summed).unwrap();
                assert_eq!(packet.len(), inner(payload).len() + added);
                let out = decapsulate(&packet).unwrap();
                assert_eq!((out.bytes, out.summed), (&inner(payload)[..], summed));
                assert_eq!((out.outer.source, out.outer.destination), (ENTRY, EXIT));
                assert_eq!((out.outer.protocol, out.outer.tos), (Protocol::GRE, 0xb8));
                assert!(out.outer.dont_fragment);
            }
        }
    }

    #[test]
    fn every_bit_that_must_be_zero_is_looked_at_and_no_other() {
        let whole = encapsulate(&inner(b"segment"), ENTRY, EXIT, false).unwrap();
        for bit in 1..16 {
            let mut payload = whole[20..].to_vec();
            payload[bit / 8] ^= 0x80 >> (bit % 8);
            let result = decapsulate(&with_payload(&payload)).map(|out| out.bytes.len());
            let expected = if (6..13).contains(&bit) { Ok(27) } else { Err(Error::TunnelHeader) };
            assert_eq!(result, expected, "bit {bit}");
        }
    }

    #[test]
    fn a_wrong_checksum_is_noticed() {
        let whole = encapsulate(&inner(b"segment"), ENTRY, EXIT, true).unwrap();
        for at in [24, 25, 26, 28, whole.len() - 1] {
            let mut payload = whole[20..].to_vec();
            payload[at - 20] ^= 1;
            assert_eq!(decapsulate(&with_payload(&payload)), Err(Error::Checksum), "byte {at}");
        }
    }

    #[test]
    fn truncated_at_every_length() {
        for summed in [false, true] {
            let whole = encapsulate(&inner(b"segment"), ENTRY, EXIT, summed).unwrap();
            for n in 0..whole.len() {
                assert_eq!(decapsulate(&whole[..n]), Err(Error::Truncated), "{n} bytes");
            }
            for n in 0..if summed { LONG } else { SHORT } {
                let cut = with_payload(&whole[20..20 + n]);
                assert_eq!(decapsulate(&cut), Err(Error::Truncated), "{n} bytes");
            }
        }
    }

    #[test]
    fn what_is_no_ipv4_is_named() {
        let ipv6 = with_payload(&[&[0, 0, 0x86, 0xdd][..], &[0x60; 40]].concat());
        assert_eq!(decapsulate(&ipv6), Err(Error::EtherType(0x86dd)));
        let other = Ipv4Header::new(ENTRY, EXIT, Protocol::UDP, 64);
        let other = Ipv4Packet { header: other, options: &[], payload: &[0; 24] }.to_vec().unwrap();
        assert_eq!(decapsulate(&other), Err(Error::OtherProtocol(Protocol::UDP)));
    }
}
