//! An IPv4 packet inside another one (RFC 2003).
//!
//! Whole-packet functions for control, tests and captures. The packet path has its own, which writes the same
//! outer header into the headroom of a buffer instead of making a new packet.

use std::net::Ipv4Addr;

use super::{
    Error,
    ipv4::{Ipv4Header, Ipv4Packet, Protocol},
};

/// Time to live of outer headers: enough for any path to the other end of a tunnel (RFC 2003 §3.1).
pub const OUTER_TTL: u8 = 64;

/// The bits of the type of service that are the code point.
const CODE_POINT: u8 = 0xfc;

/// The outer header for a packet with the header `inner`, from tunnel entry to tunnel exit (RFC 2003 §3.1).
///
/// The differentiated services code point is copied, congestion notification is not: the far end may not know
/// how to undo it (RFC 6040 section 4.1). Fragmentation is forbidden whatever the inner header says, as RFC 2003
/// §5.1 allows: path MTU discovery within the tunnel relies on it.
#[must_use]
pub const fn outer_header(inner: &Ipv4Header, entry: Ipv4Addr, exit: Ipv4Addr) -> Ipv4Header {
    let mut outer = Ipv4Header::new(entry, exit, Protocol::IP_IN_IP, OUTER_TTL);
    outer.tos = inner.tos & CODE_POINT;
    outer
}

/// The packet `inner` in an outer packet from `entry` to `exit`. The inner packet is carried as it is: who
/// forwards it takes one from its time to live before.
///
/// # Errors
/// What [`Ipv4Packet::parse`] finds wrong with `inner`; [`Error::TooLong`].
pub fn encapsulate(inner: &[u8], entry: Ipv4Addr, exit: Ipv4Addr) -> Result<Vec<u8>, Error> {
    let header = Ipv4Packet::parse(inner)?.header;
    Ipv4Packet { header: outer_header(&header, entry, exit), options: &[], payload: inner }.to_vec()
}

/// A tunnelled packet taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decapsulated<'a> {
    /// The outer header.
    pub outer: Ipv4Header,
    /// The inner packet, parsed.
    pub inner: Ipv4Packet<'a>,
    /// The bytes of the inner packet, up to its own total length.
    pub bytes: &'a [u8],
}

/// Takes the inner packet out of a whole IP-in-IP packet.
///
/// # Errors
/// [`Error::OtherProtocol`], [`Error::Fragment`] for an outer fragment, and what is wrong with either header.
pub fn decapsulate(packet: &[u8]) -> Result<Decapsulated<'_>, Error> {
    let outer = Ipv4Packet::parse(packet)?;
    if outer.header.protocol != Protocol::IP_IN_IP {
        return Err(Error::OtherProtocol(outer.header.protocol));
    }
    if outer.header.is_fragment() {
        return Err(Error::Fragment);
    }
    let inner = Ipv4Packet::parse(outer.payload)?;
    let length = super::ipv4::HEADER_LEN + inner.options.len() + inner.payload.len();
    Ok(Decapsulated { outer: outer.header, inner, bytes: &outer.payload[..length] })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 2);
    const EXIT: Ipv4Addr = Ipv4Addr::new(10, 51, 1, 2);

    fn inner() -> Vec<u8> {
        let mut header =
            Ipv4Header::new(Ipv4Addr::new(10, 11, 1, 90), Ipv4Addr::new(10, 11, 1, 50), Protocol::TCP, 63);
        header.tos = 0xb9;
        header.dont_fragment = false;
        Ipv4Packet { header, options: &[1, 1, 1, 0], payload: b"segment" }.to_vec().unwrap()
    }

    #[test]
    fn round_trip() {
        let packet = encapsulate(&inner(), ENTRY, EXIT).unwrap();
        assert_eq!(packet.len(), inner().len() + 20);
        let out = decapsulate(&packet).unwrap();
        assert_eq!(out.bytes, inner());
        assert_eq!(out.inner, Ipv4Packet::parse(&inner()).unwrap());
        assert_eq!((out.outer.source, out.outer.destination), (ENTRY, EXIT));
        assert_eq!((out.outer.protocol, out.outer.ttl), (Protocol::IP_IN_IP, OUTER_TTL));
    }

    #[test]
    fn the_code_point_is_copied_and_fragmentation_forbidden() {
        let packet = encapsulate(&inner(), ENTRY, EXIT).unwrap();
        assert_eq!(packet[1], 0xb8);
        assert!(Ipv4Packet::parse(&packet).unwrap().header.dont_fragment);
    }

    #[test]
    fn truncated_at_every_length() {
        let packet = encapsulate(&inner(), ENTRY, EXIT).unwrap();
        for n in 0..packet.len() {
            assert_eq!(decapsulate(&packet[..n]), Err(Error::Truncated), "{n} bytes");
        }
        for n in 0..inner().len() {
            let cut = Ipv4Packet {
                header: Ipv4Header::new(ENTRY, EXIT, Protocol::IP_IN_IP, 64),
                options: &[],
                payload: &inner()[..n],
            };
            assert_eq!(decapsulate(&cut.to_vec().unwrap()), Err(Error::Truncated), "{n} inner bytes");
        }
    }

    #[test]
    fn other_protocols_and_outer_fragments_are_refused() {
        let inner = inner();
        let mut header = Ipv4Header::new(ENTRY, EXIT, Protocol::GRE, 64);
        let packet = |header| Ipv4Packet { header, options: &[], payload: &inner }.to_vec().unwrap();
        assert_eq!(decapsulate(&packet(header)), Err(Error::OtherProtocol(Protocol::GRE)));
        header.protocol = Protocol::IP_IN_IP;
        header.more_fragments = true;
        assert_eq!(decapsulate(&packet(header)), Err(Error::Fragment));
    }

    #[test]
    fn what_is_no_packet_is_not_carried() {
        assert_eq!(encapsulate(&[], ENTRY, EXIT), Err(Error::Truncated));
        assert_eq!(encapsulate(&[0x60; 40], ENTRY, EXIT), Err(Error::Version(6)));
    }
}
