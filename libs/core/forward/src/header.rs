//! The few fields of an IPv4 header that the packet path reads (RFC 791 §3.1).
//!
//! Its own reader and not the general one, because a packet is looked at several times and nothing may be
//! copied. The header checksum is left to the host's IP stack, which sees every packet before or after us.

use std::{net::Ipv4Addr, ops::Range};

use crate::Reason;

/// Octets of a header without options.
pub(crate) const MINIMUM: usize = 20;
/// Octets of a header with all options.
pub(crate) const MAXIMUM: usize = 60;
/// Protocol number of ICMP.
pub(crate) const ICMP: u8 = 1;
/// Protocol number of IPv4 in IPv4.
pub(crate) const IPIP: u8 = 4;
/// Protocol number of TCP.
pub(crate) const TCP: u8 = 6;
/// Protocol number of UDP.
pub(crate) const UDP: u8 = 17;
/// Protocol number of generic routing encapsulation.
pub(crate) const GRE: u8 = 47;
/// Protocol number of minimal encapsulation.
pub(crate) const MINIMAL: u8 = 55;

/// Where the identification is.
pub(crate) const IDENTIFICATION: Range<usize> = 4..6;

const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;

/// A packet whose fixed header and total length were checked.
#[derive(Clone, Copy)]
pub(crate) struct Packet<'a> {
    /// Exactly the total length, link padding removed.
    bytes: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Checks version, header length and total length; octets behind the total length are left out.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Reason> {
        let packet = Self::quoted(bytes)?;
        let total = packet.total_length();
        if total < packet.header_length() || total > bytes.len() {
            return Err(Reason::Malformed);
        }
        Ok(Self { bytes: &bytes[..total] })
    }

    /// Checks version and header length only: the beginning of a packet as an ICMP error quotes it.
    pub(crate) fn quoted(bytes: &'a [u8]) -> Result<Self, Reason> {
        match bytes.first() {
            Some(first) if first >> 4 != 4 => return Err(Reason::NotIpv4),
            Some(_) if bytes.len() >= MINIMUM => {}
            Some(_) | None => return Err(Reason::Malformed),
        }
        let packet = Self { bytes };
        let header = packet.header_length();
        if header < MINIMUM || header > bytes.len() {
            return Err(Reason::Malformed);
        }
        Ok(packet)
    }

    pub(crate) const fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn header_length(self) -> usize {
        usize::from(self.bytes[0] & 0x0f) * 4
    }

    pub(crate) fn total_length(self) -> usize {
        usize::from(self.word(2))
    }

    /// DSCP and ECN.
    pub(crate) fn traffic_class(self) -> u8 {
        self.bytes[1]
    }

    pub(crate) fn identification(self) -> u16 {
        self.word(4)
    }

    pub(crate) fn dont_fragment(self) -> bool {
        self.word(6) & DONT_FRAGMENT != 0
    }

    pub(crate) fn more_fragments(self) -> bool {
        self.word(6) & MORE_FRAGMENTS != 0
    }

    /// In units of eight octets.
    pub(crate) fn fragment_offset(self) -> u16 {
        self.word(6) & OFFSET
    }

    pub(crate) fn is_fragment(self) -> bool {
        self.more_fragments() || self.fragment_offset() != 0
    }

    pub(crate) fn time_to_live(self) -> u8 {
        self.bytes[8]
    }

    pub(crate) fn protocol(self) -> u8 {
        self.bytes[9]
    }

    pub(crate) fn source(self) -> Ipv4Addr {
        self.address(12)
    }

    pub(crate) fn destination(self) -> Ipv4Addr {
        self.address(16)
    }

    pub(crate) fn options(self) -> &'a [u8] {
        &self.bytes[MINIMUM..self.header_length()]
    }

    pub(crate) fn payload(self) -> &'a [u8] {
        &self.bytes[self.header_length()..]
    }

    fn word(self, at: usize) -> u16 {
        u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]])
    }

    fn address(self, at: usize) -> Ipv4Addr {
        Ipv4Addr::new(self.bytes[at], self.bytes[at + 1], self.bytes[at + 2], self.bytes[at + 3])
    }
}

/// A header without options that is about to be written.
pub(crate) struct New {
    pub(crate) traffic_class: u8,
    pub(crate) total_length: u16,
    pub(crate) dont_fragment: bool,
    pub(crate) time_to_live: u8,
    pub(crate) protocol: u8,
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
}

impl New {
    /// Writes the header with its checksum; identification 0, which suits a packet that nobody may fragment
    /// (RFC 6864 §4.1).
    pub(crate) fn write(&self, out: &mut [u8; MINIMUM]) {
        out[0] = 0x45;
        out[1] = self.traffic_class;
        out[2..4].copy_from_slice(&self.total_length.to_be_bytes());
        out[4..6].fill(0);
        let flags = if self.dont_fragment { DONT_FRAGMENT } else { 0 };
        out[6..8].copy_from_slice(&flags.to_be_bytes());
        out[8] = self.time_to_live;
        out[9] = self.protocol;
        out[12..16].copy_from_slice(&self.source.octets());
        out[16..20].copy_from_slice(&self.destination.octets());
        set_checksum(out);
    }
}

/// Sets total length, flags and fragment offset of a copied header, then its checksum.
pub(crate) fn refragment(header: &mut [u8], total_length: u16, offset: u16, more: bool) {
    let flags = (offset & OFFSET) | if more { MORE_FRAGMENTS } else { 0 };
    header[2..4].copy_from_slice(&total_length.to_be_bytes());
    header[6..8].copy_from_slice(&flags.to_be_bytes());
    set_checksum(header);
}

/// Sets the total length of a copied header, then its checksum.
pub(crate) fn set_length(header: &mut [u8], total_length: u16) {
    header[2..4].copy_from_slice(&total_length.to_be_bytes());
    set_checksum(header);
}

/// Gives a copied header another total length, protocol and addresses, then its checksum.
pub(crate) fn relabel(
    header: &mut [u8],
    total_length: u16,
    protocol: u8,
    source: Ipv4Addr,
    destination: Ipv4Addr,
) {
    header[2..4].copy_from_slice(&total_length.to_be_bytes());
    header[9] = protocol;
    header[12..16].copy_from_slice(&source.octets());
    header[16..20].copy_from_slice(&destination.octets());
    set_checksum(header);
}

fn set_checksum(header: &mut [u8]) {
    header[10..12].fill(0);
    let sum = wire::checksum::checksum(header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Inner, address};

    #[test]
    fn a_padded_packet_is_trimmed_to_its_total_length() {
        let mut bytes = Inner::new("10.0.0.1", "10.0.0.2").payload(30).build();
        bytes.extend([0; 12]);
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!(packet.bytes().len(), 50);
        assert_eq!(packet.source(), address("10.0.0.1"));
        assert_eq!(packet.destination(), address("10.0.0.2"));
        assert_eq!(packet.payload().len(), 30);
    }

    #[test]
    fn every_truncation_is_malformed() {
        let bytes = Inner::new("10.0.0.1", "10.0.0.2").payload(8).build();
        for length in 0..bytes.len() {
            assert!(matches!(Packet::parse(&bytes[..length]), Err(Reason::Malformed)), "{length}");
        }
    }

    #[test]
    fn other_versions_and_short_headers_are_refused() {
        let mut bytes = Inner::new("10.0.0.1", "10.0.0.2").payload(60).build();
        bytes[0] = 0x65;
        assert!(matches!(Packet::parse(&bytes), Err(Reason::NotIpv4)));
        bytes[0] = 0x44;
        assert!(matches!(Packet::parse(&bytes), Err(Reason::Malformed)));
        bytes[0] = 0x45;
        bytes[2..4].copy_from_slice(&19_u16.to_be_bytes());
        assert!(matches!(Packet::parse(&bytes), Err(Reason::Malformed)));
    }

    #[test]
    fn a_written_header_reads_back_and_sums_to_zero() {
        let mut bytes = [0xaa; MINIMUM];
        New {
            traffic_class: 0xb8,
            total_length: 20,
            dont_fragment: true,
            time_to_live: 64,
            protocol: IPIP,
            source: address("10.51.1.2"),
            destination: address("10.11.1.2"),
        }
        .write(&mut bytes);
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!(wire::checksum::checksum(&bytes), 0);
        assert_eq!(packet.traffic_class(), 0xb8);
        assert!(packet.dont_fragment() && !packet.more_fragments());
        assert_eq!((packet.time_to_live(), packet.protocol()), (64, IPIP));
    }
}
