//! What the tests want to know of a frame: ARP, or IPv4 with what is in it.

use std::net::Ipv4Addr;

use crate::pcap::Frame;

/// UDP port of registration messages (RFC 5944 §3.2).
const REGISTRATION: u16 = 434;
/// First byte of tunnel data on the same port (RFC 3519 §3.3).
const TUNNEL_DATA: u8 = 4;

/// An ARP packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arp {
    /// 1 asks, 2 answers.
    pub operation: u16,
    /// Link address of the sender.
    pub sender: [u8; 6],
    /// Who the sender says that it is.
    pub sender_address: Ipv4Addr,
    /// Whom it means.
    pub target_address: Ipv4Addr,
}

impl Arp {
    /// Whether it tells all hosts of the link where an address is.
    #[must_use]
    pub fn is_gratuitous(&self) -> bool {
        self.sender_address == self.target_address
    }
}

/// An IPv4 packet as far as it was kept.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// From its header.
    pub source: Ipv4Addr,
    /// From its header.
    pub destination: Ipv4Addr,
    /// 1 ICMP, 4 IP-in-IP, 6 TCP, 17 UDP.
    pub protocol: u8,
    /// Header and all.
    pub whole: &'a [u8],
    /// Behind the header.
    pub body: &'a [u8],
}

/// The ARP packet in a frame.
#[must_use]
pub fn arp(frame: &Frame) -> Option<Arp> {
    let body = payload(frame, 0x0806)?;
    Some(Arp {
        operation: half(body, 6)?,
        sender: body.get(8..14)?.try_into().ok()?,
        sender_address: address(body, 14)?,
        target_address: address(body, 24)?,
    })
}

/// The IPv4 packet in a frame.
#[must_use]
pub fn ipv4(frame: &Frame) -> Option<Packet<'_>> {
    let whole = payload(frame, 0x0800)?;
    let header = usize::from(whole.first()? & 15) * 4;
    Some(Packet {
        source: address(whole, 12)?,
        destination: address(whole, 16)?,
        protocol: *whole.get(9)?,
        whole,
        body: whole.get(header..)?,
    })
}

impl<'a> Packet<'a> {
    /// The registration message in it, if it carries one: UDP 434, not tunnel data.
    #[must_use]
    pub fn registration(&self) -> Option<&'a [u8]> {
        if self.protocol != 17 {
            return None;
        }
        let ports = [half(self.body, 0)?, half(self.body, 2)?];
        let message = self.body.get(8..)?;
        (ports.contains(&REGISTRATION) && message.first() != Some(&TUNNEL_DATA)).then_some(message)
    }

    /// The ICMP type, if it is ICMP: 9 advertisement, 10 solicitation.
    #[must_use]
    pub fn icmp_type(&self) -> Option<u8> {
        (self.protocol == 1).then_some(*self.body.first()?)
    }
}

/// Whether a word stands anywhere in some bytes.
#[must_use]
pub fn holds(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

fn payload(frame: &Frame, protocol: u16) -> Option<&[u8]> {
    (half(&frame.bytes, 12)? == protocol).then_some(frame.bytes.get(14..)?)
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn address(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(octets.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn udp(source: u16, destination: u16, message: &[u8]) -> Frame {
        let mut bytes = vec![0; 12];
        bytes.extend([8, 0, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 10, 1, 1, 1, 10, 2, 2, 2]);
        bytes.extend(source.to_be_bytes());
        bytes.extend(destination.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(message);
        Frame { unix_ns: 0, length: bytes.len(), bytes }
    }

    #[test]
    fn registration_messages_are_told_from_tunnel_data() {
        let is_registration = |frame: &Frame| ipv4(frame).unwrap().registration().is_some();
        assert!(is_registration(&udp(40000, 434, &[1, 2])));
        assert!(is_registration(&udp(434, 40000, &[3, 0])));
        assert!(!is_registration(&udp(434, 434, &[4, 4])));
        assert!(!is_registration(&udp(40000, 435, &[1, 2])));
    }

    #[test]
    fn words_are_found_at_the_edges() {
        assert!(holds(b"abc", b"ab") && holds(b"abc", b"bc") && holds(b"abc", b"abc"));
        assert!(!holds(b"abc", b"ac") && !holds(b"", b"a"));
    }
}
