//! The IPv4 header (RFC 791 §3.1).
//!
//! Options are tolerated and kept on receipt; our own packets carry none. Fragments are read as what they
//! are, never put together.

use std::net::Ipv4Addr;

use super::Error;
use crate::checksum::{self, checksum};

/// Bytes of a header without options.
pub const HEADER_LEN: usize = 20;

/// The number in the protocol field of a header (IANA "Assigned Internet Protocol Numbers").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(pub u8);

impl Protocol {
    /// Internet Control Message Protocol (RFC 792).
    pub const ICMP: Self = Self(1);
    /// An IPv4 packet in this one (RFC 2003).
    pub const IP_IN_IP: Self = Self(4);
    /// Transmission Control Protocol.
    pub const TCP: Self = Self(6);
    /// User Datagram Protocol (RFC 768).
    pub const UDP: Self = Self(17);
    /// Generic routing encapsulation (RFC 2784).
    pub const GRE: Self = Self(47);
    /// Minimal encapsulation (RFC 2004).
    pub const MINIMAL: Self = Self(55);
}

/// The fields of an IPv4 header, without its lengths, checksum and options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Header {
    /// Type of service: differentiated services and congestion bits as one byte.
    pub tos: u8,
    /// The same in all fragments of one packet.
    pub identification: u16,
    /// Routers must not fragment this packet.
    pub dont_fragment: bool,
    /// Fragments with higher offsets belong to the same packet.
    pub more_fragments: bool,
    /// Where this fragment begins, in bytes: a multiple of 8, at most 65,528.
    pub fragment_offset: u16,
    /// Hops that the packet may still make.
    pub ttl: u8,
    /// What the payload is.
    pub protocol: Protocol,
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination address.
    pub destination: Ipv4Addr,
}

impl Ipv4Header {
    /// A header of a whole packet: type of service 0, identification 0, fragmentation forbidden.
    ///
    /// An identification of 0 is right for packets that are never fragmented (RFC 6864 §4.1).
    #[must_use]
    pub const fn new(source: Ipv4Addr, destination: Ipv4Addr, protocol: Protocol, ttl: u8) -> Self {
        Self {
            tos: 0,
            identification: 0,
            dont_fragment: true,
            more_fragments: false,
            fragment_offset: 0,
            ttl,
            protocol,
            source,
            destination,
        }
    }

    /// Whether the packet is only a piece of a larger one.
    #[must_use]
    pub const fn is_fragment(&self) -> bool {
        self.more_fragments || self.fragment_offset != 0
    }

    /// The 20 bytes of the header in front of `payload_len` bytes, checksum included, no options.
    ///
    /// # Errors
    /// [`Error::TooLong`] if the whole would pass 65,535 bytes.
    pub fn emit(&self, payload_len: usize) -> Result<[u8; HEADER_LEN], Error> {
        self.fixed_part(&[], payload_len)
    }

    /// The first 20 bytes of a header with `options`, whose length is a multiple of 4 up to 40.
    fn fixed_part(&self, options: &[u8], payload_len: usize) -> Result<[u8; HEADER_LEN], Error> {
        if !options.len().is_multiple_of(4) || options.len() > 40 {
            return Err(Error::Length);
        }
        let header_len = HEADER_LEN + options.len();
        let total = header_len.checked_add(payload_len).ok_or(Error::TooLong)?;
        let total = u16::try_from(total).map_err(|_| Error::TooLong)?;
        let flags = (u16::from(self.dont_fragment) << 14) | (u16::from(self.more_fragments) << 13);
        let mut out = [0; HEADER_LEN];
        // At most 60 / 4.
        out[0] = 0x40 | (header_len / 4) as u8;
        out[1] = self.tos;
        out[2..4].copy_from_slice(&total.to_be_bytes());
        out[4..6].copy_from_slice(&self.identification.to_be_bytes());
        out[6..8].copy_from_slice(&(flags | (self.fragment_offset >> 3)).to_be_bytes());
        out[8] = self.ttl;
        out[9] = self.protocol.0;
        out[12..16].copy_from_slice(&self.source.octets());
        out[16..20].copy_from_slice(&self.destination.octets());
        let sum = checksum::Sum::new().bytes(&out).bytes(options).finish();
        out[10..12].copy_from_slice(&sum.to_be_bytes());
        Ok(out)
    }
}

/// An IPv4 packet: its header, its options and its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Packet<'a> {
    /// The fields of the header.
    pub header: Ipv4Header,
    /// Options with their padding, 0 to 40 bytes, a multiple of 4.
    pub options: &'a [u8],
    /// What follows the header, up to the total length.
    pub payload: &'a [u8],
}

impl<'a> Ipv4Packet<'a> {
    /// Reads the packet at the start of `bytes`; what follows its total length is ignored, as links with a
    /// minimum frame size add padding.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::Version`], [`Error::Length`], [`Error::Checksum`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let first = *bytes.first().ok_or(Error::Truncated)?;
        if first >> 4 != 4 {
            return Err(Error::Version(first >> 4));
        }
        let fixed = bytes.first_chunk::<HEADER_LEN>().ok_or(Error::Truncated)?;
        let header_len = usize::from(first & 0x0f) * 4;
        let total = usize::from(word(fixed, 2));
        if header_len < HEADER_LEN || total < header_len {
            return Err(Error::Length);
        }
        let packet = bytes.get(..total).ok_or(Error::Truncated)?;
        let (header, payload) = packet.split_at(header_len);
        if checksum(header) != 0 {
            return Err(Error::Checksum);
        }
        Ok(Self { header: fields(fixed), options: &header[HEADER_LEN..], payload })
    }

    /// The packet as bytes.
    ///
    /// # Errors
    /// [`Error::TooLong`] above 65,535 bytes, [`Error::Length`] for options of a length that is impossible.
    pub fn to_vec(&self) -> Result<Vec<u8>, Error> {
        let fixed = self.header.fixed_part(self.options, self.payload.len())?;
        Ok([&fixed, self.options, self.payload].concat())
    }
}

/// Takes one from the time to live of the packet at the start of `packet`, its checksum adapted, and returns
/// what is left (RFC 1812 §5.3.1).
///
/// # Errors
/// [`Error::Truncated`] for less than a header, [`Error::Version`] for another version. Nothing is changed
/// then, nor when the time to live is 0 already.
pub fn decrement_ttl(packet: &mut [u8]) -> Result<u8, Error> {
    let first = *packet.first().ok_or(Error::Truncated)?;
    if first >> 4 != 4 {
        return Err(Error::Version(first >> 4));
    }
    let header = packet.first_chunk_mut::<HEADER_LEN>().ok_or(Error::Truncated)?;
    if header[8] == 0 {
        return Ok(0);
    }
    let before = word(header, 8);
    header[8] -= 1;
    let sum = checksum::update(word(header, 10), before, word(header, 8));
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    Ok(header[8])
}

const fn word(bytes: &[u8; HEADER_LEN], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn fields(bytes: &[u8; HEADER_LEN]) -> Ipv4Header {
    let fragment = word(bytes, 6);
    Ipv4Header {
        tos: bytes[1],
        identification: word(bytes, 4),
        dont_fragment: fragment & 0x4000 != 0,
        more_fragments: fragment & 0x2000 != 0,
        fragment_offset: (fragment & 0x1fff) << 3,
        ttl: bytes[8],
        protocol: Protocol(bytes[9]),
        source: Ipv4Addr::new(bytes[12], bytes[13], bytes[14], bytes[15]),
        destination: Ipv4Addr::new(bytes[16], bytes[17], bytes[18], bytes[19]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A UDP packet of 24 bytes from 192.168.0.1 to 192.168.0.199; its checksum was computed by hand.
    const VECTOR: [u8; 24] = [
        0x45, 0x00, 0x00, 0x18, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb8, 0xbc, 0xc0, 0xa8, 0x00, 0x01, 0xc0,
        0xa8, 0x00, 0xc7, 0xde, 0xad, 0xbe, 0xef,
    ];

    fn header() -> Ipv4Header {
        let (source, destination) = (Ipv4Addr::new(192, 168, 0, 1), Ipv4Addr::new(192, 168, 0, 199));
        Ipv4Header::new(source, destination, Protocol::UDP, 64)
    }

    fn rewritten(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut bytes = VECTOR.to_vec();
        change(&mut bytes);
        bytes[10..12].fill(0);
        let length = (usize::from(bytes[0] & 15) * 4).clamp(HEADER_LEN, bytes.len());
        let sum = checksum(&bytes[..length]);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    #[test]
    fn parse() {
        let packet = Ipv4Packet::parse(&VECTOR).unwrap();
        assert_eq!(packet.header, header());
        assert_eq!((packet.options, packet.payload), (&[][..], &VECTOR[20..]));
    }

    #[test]
    fn emit() {
        assert_eq!(header().emit(4).unwrap(), VECTOR[..20]);
        let packet = Ipv4Packet { header: header(), options: &[], payload: &VECTOR[20..] };
        assert_eq!(packet.to_vec().unwrap(), VECTOR);
    }

    #[test]
    fn every_field_survives_a_round_trip() {
        let header = Ipv4Header {
            tos: 0xb9,
            identification: 0xfedc,
            dont_fragment: false,
            more_fragments: true,
            fragment_offset: 65_528,
            ttl: 1,
            protocol: Protocol(253),
            source: Ipv4Addr::new(1, 2, 3, 4),
            destination: Ipv4Addr::new(250, 251, 252, 253),
        };
        let packet = Ipv4Packet { header, options: &[1, 1, 1, 0], payload: b"payload" };
        let bytes = packet.to_vec().unwrap();
        assert_eq!(Ipv4Packet::parse(&bytes), Ok(packet));
        assert!(header.is_fragment());
    }

    #[test]
    fn truncated_at_every_length() {
        for n in 0..VECTOR.len() {
            assert_eq!(Ipv4Packet::parse(&VECTOR[..n]), Err(Error::Truncated), "{n} bytes");
        }
    }

    #[test]
    fn padding_of_the_link_is_not_payload() {
        let mut frame = VECTOR.to_vec();
        frame.resize(46, 0x55);
        assert_eq!(Ipv4Packet::parse(&frame), Ipv4Packet::parse(&VECTOR));
    }

    #[test]
    fn lengths_that_contradict_each_other() {
        let shorter_than_header = rewritten(|b| b[3] = 19);
        let header_too_short = rewritten(|b| b[0] = 0x44);
        let header_beyond_total = rewritten(|b| b[0] = 0x47);
        for bytes in [shorter_than_header, header_too_short, header_beyond_total] {
            assert_eq!(Ipv4Packet::parse(&bytes), Err(Error::Length));
        }
    }

    #[test]
    fn another_version() {
        let bytes = rewritten(|b| b[0] = 0x65);
        assert_eq!(Ipv4Packet::parse(&bytes), Err(Error::Version(6)));
        assert_eq!(decrement_ttl(&mut bytes.clone()), Err(Error::Version(6)));
    }

    #[test]
    fn every_flipped_bit_of_the_header_is_noticed() {
        for bit in 0..HEADER_LEN * 8 {
            let mut bytes = VECTOR;
            bytes[bit / 8] ^= 0x80 >> (bit % 8);
            assert!(Ipv4Packet::parse(&bytes).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn impossible_packets_are_not_made() {
        assert_eq!(header().emit(65_516), Err(Error::TooLong));
        assert!(header().emit(65_515).is_ok());
        assert_eq!(header().emit(usize::MAX), Err(Error::TooLong));
        for options in [&[0; 3][..], &[0; 44][..]] {
            let packet = Ipv4Packet { header: header(), options, payload: &[] };
            assert_eq!(packet.to_vec(), Err(Error::Length));
        }
    }

    #[test]
    fn decrementing_keeps_the_checksum_right_down_to_zero() {
        let mut bytes = VECTOR;
        for left in (0..64).rev() {
            assert_eq!(decrement_ttl(&mut bytes), Ok(left));
            assert_eq!(Ipv4Packet::parse(&bytes).unwrap().header.ttl, left);
        }
        let dead = bytes;
        assert_eq!(decrement_ttl(&mut bytes), Ok(0));
        assert_eq!(bytes, dead);
    }
}
