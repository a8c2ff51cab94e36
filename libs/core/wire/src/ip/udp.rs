//! UDP datagrams (RFC 768): ports, length, and the checksum with its pseudo header.
//!
//! A checksum of zero says that the sender made none; it is accepted on receipt and never sent.

use std::net::Ipv4Addr;

use super::{Error, Protocol};
use crate::checksum::Sum;

/// Bytes of the UDP header.
pub const HEADER_LEN: usize = 8;

/// A UDP datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Udp<'a> {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// What the datagram carries.
    pub payload: &'a [u8],
}

impl<'a> Udp<'a> {
    /// Reads a datagram from the payload of an IPv4 packet between `source` and `destination`; bytes after
    /// its length are ignored.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::Length`], [`Error::Checksum`].
    pub fn parse(bytes: &'a [u8], source: Ipv4Addr, destination: Ipv4Addr) -> Result<Self, Error> {
        let &[s1, s2, d1, d2, l1, l2, c1, c2] = bytes.first_chunk::<HEADER_LEN>().ok_or(Error::Truncated)?;
        let length = usize::from(u16::from_be_bytes([l1, l2]));
        if length < HEADER_LEN {
            return Err(Error::Length);
        }
        let datagram = bytes.get(..length).ok_or(Error::Truncated)?;
        let has_checksum = [c1, c2] != [0, 0];
        if has_checksum
            && pseudo_header(source, destination, length)
                .bytes(datagram)
                .finish()
                != 0
        {
            return Err(Error::Checksum);
        }
        Ok(Self {
            source_port: u16::from_be_bytes([s1, s2]),
            destination_port: u16::from_be_bytes([d1, d2]),
            payload: &datagram[HEADER_LEN..],
        })
    }

    /// The eight bytes in front of the payload, checksum included.
    ///
    /// # Errors
    /// [`Error::TooLong`] if header and payload pass 65,535 bytes.
    pub fn header(&self, source: Ipv4Addr, destination: Ipv4Addr) -> Result<[u8; HEADER_LEN], Error> {
        let length = self.payload.len().checked_add(HEADER_LEN).ok_or(Error::TooLong)?;
        let wire_length = u16::try_from(length).map_err(|_| Error::TooLong)?;
        let mut out = [0; HEADER_LEN];
        out[0..2].copy_from_slice(&self.source_port.to_be_bytes());
        out[2..4].copy_from_slice(&self.destination_port.to_be_bytes());
        out[4..6].copy_from_slice(&wire_length.to_be_bytes());
        let sum = pseudo_header(source, destination, length)
            .bytes(&out)
            .bytes(self.payload)
            .finish();
        // Zero would mean "no checksum"; all ones is the same number in ones complement.
        let sum = if sum == 0 { 0xffff } else { sum };
        out[6..8].copy_from_slice(&sum.to_be_bytes());
        Ok(out)
    }
}

fn pseudo_header(source: Ipv4Addr, destination: Ipv4Addr, length: usize) -> Sum {
    Sum::new()
        .bytes(&source.octets())
        .bytes(&destination.octets())
        .word(u16::from(Protocol::UDP.0))
        // Callers have a length of at most 65,535.
        .word(length as u16)
}
