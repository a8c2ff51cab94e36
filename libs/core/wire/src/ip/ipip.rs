//! An IPv4 packet inside another one (RFC 2003).
//!
//! Whole-packet functions for control, tests and captures; the packet path builds its outer headers in the
//! headroom of its own buffers from the same [`outer_header`].

use std::net::Ipv4Addr;

use super::{
    Error,
    ipv4::{Ipv4Header, Ipv4Packet, Protocol},
};

/// Time to live of outer headers: enough for any path to the other end of a tunnel (RFC 2003 §3.1).
pub const OUTER_TTL: u8 = 64;

/// The outer header for a packet with the header `inner`, from tunnel entry to tunnel exit (RFC 2003 §3.1).
///
/// Type of service is copied. Fragmentation is forbidden whatever the inner header says, as §5.1 allows: path
/// MTU discovery within the tunnel relies on it.
#[must_use]
pub const fn outer_header(inner: &Ipv4Header, entry: Ipv4Addr, exit: Ipv4Addr) -> Ipv4Header {
    let mut outer = Ipv4Header::new(entry, exit, Protocol::IP_IN_IP, OUTER_TTL);
    outer.tos = inner.tos;
    outer
}

/// The packet `inner` in an outer packet from `entry` to `exit`. The inner packet is carried as it is: who
/// forwards it takes one from its time to live before.
///
/// # Errors
/// What [`Ipv4Packet::parse`] finds wrong with `inner`; [`Error::TooLong`].
pub fn encapsulate(inner: &[u8], entry: Ipv4Addr, exit: Ipv4Addr) -> Result<Vec<u8>, Error> {
    let header = Ipv4Packet::parse(inner)?.header;
    Ipv4Packet {
        header: outer_header(&header, entry, exit),
        options: &[],
        payload: inner,
    }
    .to_vec()
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
    Ok(Decapsulated {
        outer: outer.header,
        inner,
        bytes: &outer.payload[..length],
    })
}
