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
        if has_checksum && pseudo_header(source, destination, length).bytes(datagram).finish() != 0 {
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
        let sum = pseudo_header(source, destination, length).bytes(&out).bytes(self.payload).finish();
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

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 21, 1, 1);
    const DESTINATION: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 2);
    /// Port 434 to port 434, three bytes of data; the checksum was computed by hand.
    const VECTOR: [u8; 11] = [0x01, 0xb2, 0x01, 0xb2, 0x00, 0x0b, 0x21, 0xef, 0x61, 0x62, 0x63];

    #[test]
    fn parse() {
        let udp = Udp::parse(&VECTOR, SOURCE, DESTINATION).unwrap();
        assert_eq!(udp, Udp { source_port: 434, destination_port: 434, payload: b"abc" });
    }

    #[test]
    fn emit() {
        let udp = Udp { source_port: 434, destination_port: 434, payload: b"abc" };
        assert_eq!(udp.header(SOURCE, DESTINATION).unwrap(), VECTOR[..8]);
    }

    #[test]
    fn truncated_at_every_length() {
        for n in 0..VECTOR.len() {
            assert_eq!(Udp::parse(&VECTOR[..n], SOURCE, DESTINATION), Err(Error::Truncated), "{n} bytes");
        }
    }

    #[test]
    fn bytes_after_the_datagram_are_ignored() {
        let mut bytes = VECTOR.to_vec();
        bytes.extend([1, 2, 3]);
        assert_eq!(Udp::parse(&bytes, SOURCE, DESTINATION).unwrap().payload, b"abc");
    }

    #[test]
    fn a_length_below_the_header() {
        let mut bytes = VECTOR;
        bytes[5] = 7;
        assert_eq!(Udp::parse(&bytes, SOURCE, DESTINATION), Err(Error::Length));
    }

    #[test]
    fn the_checksum_covers_addresses_and_data() {
        assert_eq!(Udp::parse(&VECTOR, SOURCE, SOURCE), Err(Error::Checksum));
        for at in [0, 2, 6, 8, 10] {
            let mut bytes = VECTOR;
            bytes[at] ^= 1;
            assert_eq!(Udp::parse(&bytes, SOURCE, DESTINATION), Err(Error::Checksum), "byte {at}");
        }
    }

    #[test]
    fn a_zero_checksum_is_accepted_on_receipt() {
        let mut bytes = VECTOR;
        bytes[6..8].fill(0);
        assert_eq!(Udp::parse(&bytes, SOURCE, DESTINATION).unwrap().payload, b"abc");
    }

    /// Data whose sum is all ones would get the checksum 0, which means "none".
    #[test]
    fn a_zero_checksum_is_never_sent() {
        let empty = Udp { source_port: 0, destination_port: 434, payload: &[0, 0] };
        let header = empty.header(SOURCE, DESTINATION).unwrap();
        let fill = u16::from_be_bytes([header[6], header[7]]).to_be_bytes();
        let full = Udp { payload: &fill, ..empty };
        let header = full.header(SOURCE, DESTINATION).unwrap();
        assert_eq!(header[6..8], [0xff, 0xff]);
        let datagram = [&header[..], &fill].concat();
        assert_eq!(Udp::parse(&datagram, SOURCE, DESTINATION), Ok(full));
    }

    #[test]
    fn too_long() {
        let payload = vec![0; 65_528];
        let udp = Udp { source_port: 1, destination_port: 2, payload: &payload };
        assert_eq!(udp.header(SOURCE, DESTINATION), Err(Error::TooLong));
        let longest = Udp { payload: &payload[1..], ..udp };
        assert!(longest.header(SOURCE, DESTINATION).is_ok());
    }
}
