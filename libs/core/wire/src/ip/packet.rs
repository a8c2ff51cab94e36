//! Whole packets as agents send and receive them on a link: IPv4 with UDP, IPv4 with ICMP.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::{
    Error, Icmp,
    ipv4::{HEADER_LEN, Ipv4Header, Ipv4Packet, Protocol},
    udp::{self, Udp},
};

/// A UDP datagram with what its IPv4 header says of the way it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpPacket<'a> {
    /// Source address and port.
    pub source: SocketAddrV4,
    /// Destination address and port.
    pub destination: SocketAddrV4,
    /// Time to live on arrival; 255 proves that the sender is on this link (RFC 3024 §5.1).
    pub ttl: u8,
    /// What the datagram carries.
    pub payload: &'a [u8],
}

/// Reads a whole IPv4 packet that carries UDP; padding of the link layer is ignored.
///
/// # Errors
/// [`Error::OtherProtocol`], [`Error::Fragment`], and what is wrong with either header.
pub fn parse_udp(packet: &[u8]) -> Result<UdpPacket<'_>, Error> {
    let Ipv4Packet { header, payload, .. } = whole(packet, Protocol::UDP)?;
    let udp = Udp::parse(payload, header.source, header.destination)?;
    Ok(UdpPacket {
        source: SocketAddrV4::new(header.source, udp.source_port),
        destination: SocketAddrV4::new(header.destination, udp.destination_port),
        ttl: header.ttl,
        payload: udp.payload,
    })
}

/// An IPv4 packet with a UDP datagram; fragmentation is forbidden.
///
/// # Errors
/// [`Error::TooLong`] for a payload above 65,507 bytes.
pub fn udp_packet(
    source: SocketAddrV4,
    destination: SocketAddrV4,
    ttl: u8,
    payload: &[u8],
) -> Result<Vec<u8>, Error> {
    let udp = Udp { source_port: source.port(), destination_port: destination.port(), payload };
    let udp_header = udp.header(*source.ip(), *destination.ip())?;
    let header = Ipv4Header::new(*source.ip(), *destination.ip(), Protocol::UDP, ttl)
        .emit(udp::HEADER_LEN + payload.len())?;
    let mut out = Vec::with_capacity(HEADER_LEN + udp::HEADER_LEN + payload.len());
    out.extend(header);
    out.extend(udp_header);
    out.extend(payload);
    Ok(out)
}

/// An ICMP message with what its IPv4 header says of the way it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpPacket<'a> {
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination address.
    pub destination: Ipv4Addr,
    /// Time to live on arrival.
    pub ttl: u8,
    /// The bytes of the ICMP message; its checksum is not verified yet. Readers of the message do that.
    pub message: &'a [u8],
}

impl<'a> IcmpPacket<'a> {
    /// Type field of the message, unless it is empty.
    #[must_use]
    pub fn kind(&self) -> Option<u8> {
        self.message.first().copied()
    }

    /// The message, its checksum verified.
    ///
    /// # Errors
    /// As [`Icmp::parse`].
    pub fn icmp(&self) -> Result<Icmp<'a>, Error> {
        Icmp::parse(self.message)
    }
}

/// Reads a whole IPv4 packet that carries ICMP; padding of the link layer is ignored.
///
/// # Errors
/// [`Error::OtherProtocol`], [`Error::Fragment`], and what is wrong with the IPv4 header.
pub fn parse_icmp(packet: &[u8]) -> Result<IcmpPacket<'_>, Error> {
    let Ipv4Packet { header, payload, .. } = whole(packet, Protocol::ICMP)?;
    Ok(IcmpPacket {
        source: header.source,
        destination: header.destination,
        ttl: header.ttl,
        message: payload,
    })
}

/// An IPv4 packet with an ICMP message that is emitted already; fragmentation is forbidden.
///
/// # Errors
/// [`Error::TooLong`] for a message above 65,515 bytes.
pub fn icmp_packet(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    ttl: u8,
    message: &[u8],
) -> Result<Vec<u8>, Error> {
    let header = Ipv4Header::new(source, destination, Protocol::ICMP, ttl);
    Ipv4Packet { header, options: &[], payload: message }.to_vec()
}

fn whole(packet: &[u8], protocol: Protocol) -> Result<Ipv4Packet<'_>, Error> {
    let packet = Ipv4Packet::parse(packet)?;
    if packet.header.protocol != protocol {
        return Err(Error::OtherProtocol(packet.header.protocol));
    }
    if packet.header.is_fragment() {
        return Err(Error::Fragment);
    }
    Ok(packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 21, 1, 1), 434);
    const DESTINATION: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::BROADCAST, 40_000);

    #[test]
    fn udp_round_trip_with_link_padding() {
        let mut packet = udp_packet(SOURCE, DESTINATION, 255, b"reply").unwrap();
        packet.resize(60, 0);
        let expected = UdpPacket { source: SOURCE, destination: DESTINATION, ttl: 255, payload: b"reply" };
        assert_eq!(parse_udp(&packet), Ok(expected));
    }

    #[test]
    fn icmp_round_trip_with_link_padding() {
        let echo = Icmp::EchoRequest { identifier: 1, sequence: 2, data: b"x" };
        let mut packet = icmp_packet(*SOURCE.ip(), Ipv4Addr::new(224, 0, 0, 1), 1, &echo.to_vec()).unwrap();
        packet.resize(60, 0);
        let parsed = parse_icmp(&packet).unwrap();
        assert_eq!((parsed.source, parsed.ttl, parsed.kind()), (*SOURCE.ip(), 1, Some(8)));
        assert_eq!(parsed.icmp(), Ok(echo));
    }

    #[test]
    fn the_other_protocol() {
        let packet = udp_packet(SOURCE, DESTINATION, 255, b"").unwrap();
        assert_eq!(parse_icmp(&packet), Err(Error::OtherProtocol(Protocol::UDP)));
    }

    #[test]
    fn a_fragment() {
        let mut header = Ipv4Header::new(*SOURCE.ip(), *DESTINATION.ip(), Protocol::UDP, 255);
        header.dont_fragment = false;
        header.fragment_offset = 8;
        let packet = Ipv4Packet { header, options: &[], payload: &[0; 16] }.to_vec().unwrap();
        assert_eq!(parse_udp(&packet), Err(Error::Fragment));
    }

    #[test]
    fn truncated_at_every_length() {
        let packet = udp_packet(SOURCE, DESTINATION, 255, b"reply").unwrap();
        for n in 0..packet.len() {
            assert_eq!(parse_udp(&packet[..n]), Err(Error::Truncated), "{n} bytes");
        }
    }

    #[test]
    fn too_long() {
        assert_eq!(udp_packet(SOURCE, DESTINATION, 255, &[0; 65_508]), Err(Error::TooLong));
        assert!(udp_packet(SOURCE, DESTINATION, 255, &[0; 65_507]).is_ok());
    }
}
