//! What a host leaves to its network card when it sends: checksums, and the segments of a packet that is longer than
//! its link takes.
//!
//! The rules are those of the wire and not of a system: TCP segments differ in sequence number, and the flags FIN and
//! PSH are for the last, CWR for the first (RFC 9293 §3.1, RFC 3168 §6.1.2); datagrams differ in nothing; each has its
//! own identification, one more than that before it (RFC 6864 §4 lets what may not be fragmented have any).

use std::{num::NonZeroU16, ops::Range};

use wire::checksum::Sum;

use crate::header::{IDENTIFICATION, MAXIMUM, Packet, TCP, UDP, set_length};

/// Octets of the longest header of a segment: IP and TCP, both with all options.
pub const LONGEST_HEAD: usize = MAXIMUM + 60;
/// Where the checksum of TCP and UDP stands, from their beginning.
pub(crate) const TCP_CHECKSUM: usize = 16;
pub(crate) const UDP_CHECKSUM: usize = 6;
/// Flags of TCP, in its octet 13.
pub(crate) const FIN: u8 = 0x01;
pub(crate) const PSH: u8 = 0x08;
const CWR: u8 = 0x80;

/// What is left to do on a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// The checksum of its transport protocol; where there is one, its field holds the sum of the pseudo-header.
    pub checksum: Option<Place>,
    /// To cut it into segments with so many octets of payload, the last with fewer; their checksums as well.
    pub segment: Option<NonZeroU16>,
}

/// Where a checksum is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where that begins which it is about, in octets from the beginning of the packet.
    pub start: u16,
    /// Its field, in octets from there.
    pub field: u16,
}

/// Completes the checksum at `place`; false, with nothing changed, if it is outside the packet.
#[must_use]
pub fn complete(packet: &mut [u8], place: Place) -> bool {
    let (start, field) = (usize::from(place.start), usize::from(place.start) + usize::from(place.field));
    let Some(summed) = packet.get(start..).filter(|summed| summed.len() >= usize::from(place.field) + 2)
    else {
        return false;
    };
    let sum = written(Sum::new().bytes(summed).finish());
    packet[field..field + 2].copy_from_slice(&sum.to_be_bytes());
    true
}

/// A checksum as UDP has it, where 0 would mean that there is none; 0xffff is the same number.
const fn written(sum: u16) -> u16 {
    if sum == 0 { u16::MAX } else { sum }
}

/// The sum of the pseudo-header of a transport protocol whose header and payload have `length` octets (RFC 9293 §3.1,
/// RFC 768).
pub(crate) fn pseudo(packet: Packet<'_>, length: usize) -> Sum {
    let (source, destination) = (packet.source().octets(), packet.destination().octets());
    // Lengths of a transport are below 64 KiB.
    Sum::new().bytes(&source).bytes(&destination).word(packet.protocol().into()).word(length as u16)
}

/// The segments of a packet of TCP or UDP.
#[derive(Clone, Copy)]
pub struct Segments<'a> {
    packet: Packet<'a>,
    /// Octets of the IP header, and of both headers.
    transport: usize,
    head: usize,
    /// Octets of payload of each segment but the last.
    size: usize,
    /// There is a checksum.
    summed: bool,
}

impl<'a> Segments<'a> {
    /// Prepares to cut `packet`, as the host handed it over; none if nothing is to be cut, if it is no whole packet of
    /// TCP or UDP, or is a fragment.
    #[must_use]
    pub fn new(packet: &'a [u8], left: Left) -> Option<Self> {
        let size = usize::from(left.segment?.get());
        let packet = Packet::parse(packet).ok().filter(|packet| !packet.is_fragment())?;
        let transport = packet.header_length();
        let payload = packet.payload();
        let (length, summed) = match packet.protocol() {
            TCP => (usize::from(payload.get(12)? >> 4) * 4, true),
            UDP => (8, left.checksum.is_some() || payload.get(6..8)? != [0, 0]),
            _ => return None,
        };
        let least = if packet.protocol() == TCP { 20 } else { 8 };
        (length >= least && length < payload.len()).then_some(())?;
        Some(Self { packet, transport, head: transport + length, size, summed })
    }

    /// How many there are; at least one.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.payload().div_ceil(self.size)
    }

    /// Octets of the longest segment.
    #[must_use]
    pub const fn longest(&self) -> usize {
        let payload = self.payload();
        self.head + if payload < self.size { payload } else { self.size }
    }

    /// Octets of all segments together.
    #[must_use]
    pub const fn octets(&self) -> usize {
        self.count() * self.head + self.payload()
    }

    const fn payload(&self) -> usize {
        self.packet.bytes().len() - self.head
    }

    /// Writes the headers of segment `n`, counted from 0, to the beginning of `out`, with all checksums right; returns
    /// their length and where in the packet its payload is. None if there is no such segment or no room; [`LONGEST_HEAD`]
    /// octets are enough.
    pub fn head(&self, n: usize, out: &mut [u8]) -> Option<(usize, Range<usize>)> {
        let bytes = self.packet.bytes();
        let start = self.head + n.checked_mul(self.size)?;
        (start < bytes.len()).then_some(())?;
        let payload = start..bytes.len().min(start + self.size);
        let last = payload.end == bytes.len();
        let out = out.get_mut(..self.head)?;
        out.copy_from_slice(&bytes[..self.head]);
        // Counted as the field is: round and round.
        let identification = self.packet.identification().wrapping_add(n as u16);
        out[IDENTIFICATION].copy_from_slice(&identification.to_be_bytes());
        set_length(&mut out[..self.transport], (self.head + payload.len()) as u16);
        let transport = &mut out[self.transport..];
        let length = transport.len() + payload.len();
        let field = if self.packet.protocol() == TCP {
            let sequence = u32::from_be_bytes([transport[4], transport[5], transport[6], transport[7]]);
            let sequence = sequence.wrapping_add((n * self.size) as u32);
            transport[4..8].copy_from_slice(&sequence.to_be_bytes());
            let not_here = if last { 0 } else { FIN | PSH } | if n == 0 { 0 } else { CWR };
            transport[13] &= !not_here;
            TCP_CHECKSUM
        } else {
            transport[4..6].copy_from_slice(&(length as u16).to_be_bytes());
            UDP_CHECKSUM
        };
        transport[field..field + 2].fill(0);
        if self.summed {
            let sum = pseudo(self.packet, length).bytes(transport).bytes(&bytes[payload.clone()]).finish();
            let sum = if field == TCP_CHECKSUM { sum } else { written(sum) };
            transport[field..field + 2].copy_from_slice(&sum.to_be_bytes());
        }
        Some((self.head, payload))
    }

    /// Writes the whole of segment `n` to the beginning of `out` and returns its length; none as [`Self::head`] has it.
    pub fn write(&self, n: usize, out: &mut [u8]) -> Option<usize> {
        let (head, payload) = self.head(n, out)?;
        let length = head + payload.len();
        out.get_mut(head..length)?.copy_from_slice(&self.packet.bytes()[payload]);
        Some(length)
    }
}

#[cfg(test)]
mod tests;
