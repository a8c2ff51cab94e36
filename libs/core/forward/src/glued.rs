//! TCP segments that the host's kernel has put together inside a tunnel before we saw them.
//!
//! Kernels coalesce what comes in IP in IP and GRE as they do with other streams, and a raw socket gets one long packet:
//! its checksum is that of the pseudo-header, left to somebody who knows, and how long the segments were nobody says. No
//! segment that we make of it may be longer than those were, or a narrower link behind us would refuse what its sender
//! never sent. So it is cut as segments of the same flow came that were not put together, and as every host has to
//! take them (RFC 9293 §3.7.1) if none did.

use std::num::NonZeroU16;

use crate::{
    header::{MINIMUM, Packet, TCP, UDP},
    segment::{Left, Place, TCP_CHECKSUM, UDP_CHECKSUM, pseudo},
};

/// Octets of payload that a segment may always have.
const DEFAULT: u16 = 536;
/// Flows whose segments are remembered; another one takes the place of one of them.
const FLOWS: usize = 256;
/// Addresses and ports.
type Flow = [u8; 12];

/// What is known of the segments of flows.
#[derive(Debug)]
pub struct Sizes(Vec<Option<(Flow, u16)>>);

impl Default for Sizes {
    fn default() -> Self {
        Self(vec![None; FLOWS])
    }
}

impl Sizes {
    /// What the kernel left to do on an inner packet from a raw socket; none for one that is as it was sent, which is
    /// remembered.
    pub fn left(&mut self, inner: &[u8]) -> Option<Left> {
        let packet = Packet::parse(inner).ok().filter(|packet| !packet.is_fragment())?;
        let (start, transport) = (packet.header_length(), packet.payload());
        let (header, field) = match packet.protocol() {
            TCP => (usize::from(transport.get(12)? >> 4) * 4, TCP_CHECKSUM),
            UDP => (8, UDP_CHECKSUM),
            _ => return None,
        };
        let payload = u16::try_from(transport.len().checked_sub(header)?).ok()?;
        let written = transport.get(field..field + 2)?;
        let sum = pseudo(packet, transport.len());
        // Chance makes some checksum the same now and then: then it is right.
        let left = written == (!sum.finish()).to_be_bytes() && sum.bytes(transport).finish() != 0;
        if packet.protocol() == UDP {
            return left.then_some(Left { checksum: Some(place(start, field)), segment: None });
        }
        let known = self.known(packet)?;
        if !left {
            *known = payload.max(*known);
            return None;
        }
        let segment = NonZeroU16::new(*known).filter(|size| payload > size.get());
        Some(Left { checksum: Some(place(start, field)), segment })
    }

    /// Forgets all: paths change.
    pub fn forget(&mut self) {
        self.0.fill(None);
    }

    /// The longest segment of the flow of a packet.
    fn known(&mut self, packet: Packet<'_>) -> Option<&mut u16> {
        let mut flow = Flow::default();
        flow[..8].copy_from_slice(packet.bytes().get(12..MINIMUM)?);
        flow[8..].copy_from_slice(packet.payload().get(..4)?);
        let mixed = flow.iter().fold(0_usize, |mixed, octet| mixed.wrapping_mul(31) + usize::from(*octet));
        let slot = self.0.get_mut(mixed % FLOWS)?;
        if slot.is_none_or(|(known, _)| known != flow) {
            *slot = Some((flow, DEFAULT));
        }
        slot.as_mut().map(|(_, size)| size)
    }
}

/// Where a checksum is; headers are short.
const fn place(start: usize, field: usize) -> Place {
    Place { start: start as u16, field: field as u16 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Inner, Random, tcp, tcp_sum};

    fn stream(port: u8, payload: usize) -> Vec<u8> {
        let mut bytes = tcp(7, 0x10, &[1, 1, 1, 1], &vec![port; payload]);
        bytes[1] = port;
        let mut packet = Inner::new("10.11.1.90", "10.11.1.50").protocol(6).bytes(&bytes).build();
        let sum = tcp_sum(&packet);
        packet[36..38].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    /// As a kernel leaves it that has put segments together.
    fn glued(port: u8, payload: usize) -> Vec<u8> {
        let mut packet = stream(port, payload);
        let sum = !pseudo(Packet::parse(&packet).unwrap(), packet.len() - 20).finish();
        packet[36..38].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    fn segment(left: Option<Left>) -> Option<u16> {
        let left = left.unwrap();
        assert_eq!(left.checksum, Some(Place { start: 20, field: 16 }));
        left.segment.map(NonZeroU16::get)
    }

    #[test]
    fn segments_are_as_long_as_one_that_came_alone() {
        let mut sizes = Sizes::default();
        assert_eq!(segment(sizes.left(&glued(1, 4000))), Some(536), "nothing is known");
        assert_eq!(segment(sizes.left(&glued(1, 536))), None, "short enough");
        for payload in [1000, 1428, 20] {
            assert_eq!(sizes.left(&stream(1, payload)), None);
        }
        assert_eq!(segment(sizes.left(&glued(1, 4000))), Some(1428));
        assert_eq!(segment(sizes.left(&glued(2, 4000))), Some(536), "another flow");
        sizes.forget();
        assert_eq!(segment(sizes.left(&glued(1, 4000))), Some(536));
    }

    #[test]
    fn a_datagram_lacks_its_checksum_alone() {
        let mut sizes = Sizes::default();
        let mut bytes = vec![0x13, 0x88, 0x13, 0x89, 0, 20, 0, 0];
        bytes.extend([7; 12]);
        let mut packet = Inner::new("10.11.1.90", "10.11.1.50").bytes(&bytes).build();
        assert_eq!(sizes.left(&packet), None, "it has none at all");
        let sum = !pseudo(Packet::parse(&packet).unwrap(), 20).finish();
        packet[26..28].copy_from_slice(&sum.to_be_bytes());
        let checksum = Some(Place { start: 20, field: 6 });
        assert_eq!(sizes.left(&packet), Some(Left { checksum, segment: None }));
    }

    #[test]
    fn nothing_else_is_touched() {
        let mut sizes = Sizes::default();
        let mut wrong = glued(1, 4000);
        wrong[37] ^= 1;
        let mut fragment = glued(1, 4000);
        fragment[6] = 0x20;
        let mut other = glued(1, 4000);
        other[9] = 1;
        for packet in [wrong, fragment, other, stream(1, 4000), stream(1, 0)] {
            assert_eq!(sizes.left(&packet), None);
        }
        let mut random = Random::new(6);
        for _ in 0..20_000 {
            let mut packet = glued(1, 30);
            let at = random.below(60) as usize;
            packet[at] = random.next() as u8;
            packet.truncate(random.below(75) as usize);
            let _ = sizes.left(&packet);
        }
    }
}
