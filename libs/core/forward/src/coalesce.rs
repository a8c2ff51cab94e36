//! Putting together what came in segments: one long packet for the host in place of many, as its network card would
//! hand it over.
//!
//! Only what the host could take apart again into the same packets is put together: neighbours of one flow with
//! payloads of one size (the last may be shorter), whose headers are the same but for length, identification, sequence
//! number, PSH of the last, and checksums, and whose checksums are right. All else stays as it came, in its place: no
//! packet overtakes another of its flow.

use std::{num::NonZeroU16, ops::Range};

use wire::checksum::checksum;

use crate::{
    header::{IDENTIFICATION, MINIMUM, Packet, TCP, UDP, set_length},
    segment::{LONGEST_HEAD, Left, PSH, Place, TCP_CHECKSUM, UDP_CHECKSUM, pseudo},
};

/// Flows that are put together at the same time.
const RUNS: usize = 8;
/// Segments of one packet at most; as many datagrams as a host sends with one call.
const SEGMENTS: usize = 64;
/// Octets of a packet at most.
const LONGEST: usize = 65_535;
const ACK: u8 = 0x10;
/// Octets of a UDP header.
const DATAGRAM: usize = 8;

/// What is to be handed to the host.
#[derive(Debug)]
pub enum Whole<'a> {
    /// A packet as it came, at this place.
    Packet(Range<usize>),
    /// Several in one: its header, the places of its payload in order, and what is left for the host to do.
    Long {
        /// IP header and that of the transport protocol.
        head: &'a [u8],
        /// At least two.
        pieces: &'a [Range<usize>],
        /// The segments to cut it into, and its checksum.
        left: Left,
    },
}

impl Whole<'_> {
    /// How many packets it is, and their octets.
    #[must_use]
    pub fn amount(&self) -> (u64, u64) {
        match self {
            Self::Packet(at) => (1, at.len() as u64),
            Self::Long { head, pieces, .. } => {
                let payload: usize = pieces.iter().map(Range::len).sum();
                (pieces.len() as u64, (head.len() * pieces.len() + payload) as u64)
            }
        }
    }
}

/// Packets that are being put together. They stay where they are, in memory that is given at each step.
#[derive(Debug)]
pub struct Runs {
    /// The first `open` of them, in the order in which they began.
    runs: Vec<Run>,
    open: usize,
    /// Datagrams are put together as well, not TCP alone.
    datagrams: bool,
}

/// One packet that grows.
#[derive(Debug)]
struct Run {
    head: [u8; LONGEST_HEAD],
    length: usize,
    /// Payload of each segment but the last, and of all.
    size: usize,
    payload: usize,
    pieces: Vec<Range<usize>>,
    first: Range<usize>,
}

impl Runs {
    /// Nothing yet. `datagrams` says whether the host takes UDP packets that are to be cut, not those of TCP alone.
    #[must_use]
    pub fn new(datagrams: bool) -> Self {
        Self { runs: (0..RUNS).map(|_| Run::new()).collect(), open: 0, datagrams }
    }

    /// Takes the packet at `at` in `memory`; calls `hand` with what is ready, at once or later.
    pub fn take(&mut self, memory: &[u8], at: Range<usize>, mut hand: impl FnMut(Whole<'_>)) {
        let Some(packet) = memory.get(at.clone()) else { return };
        let Some(segment) = Segment::parse(packet, self.datagrams) else {
            self.end_between(packet, &mut hand);
            return hand(Whole::Packet(at));
        };
        let known = self.runs[..self.open].iter().position(|run| run.is_flow(&segment));
        if let Some(n) = known {
            let run = &mut self.runs[n];
            if run.continues(&segment) {
                run.append(&segment, &at);
                if segment.pushes || segment.payload < run.size || run.pieces.len() == SEGMENTS {
                    self.end(n, &mut hand);
                }
                return;
            }
            self.end(n, &mut hand);
        }
        if segment.pushes {
            return hand(Whole::Packet(at));
        }
        if self.open == RUNS {
            self.end(0, &mut hand);
        }
        self.runs[self.open].begin(&segment, at);
        self.open += 1;
    }

    /// Hands out what runs between the hosts of `packet`, which is handed over past us and must not be overtaken.
    pub fn let_pass(&mut self, packet: &[u8], mut hand: impl FnMut(Whole<'_>)) {
        self.end_between(packet, &mut hand);
    }

    /// Hands out all that is not yet: no packet waits for what may never come.
    pub fn finish(&mut self, mut hand: impl FnMut(Whole<'_>)) {
        while self.open > 0 {
            self.end(0, &mut hand);
        }
    }

    /// Hands out what runs between the hosts of `packet`, which must not overtake it.
    fn end_between(&mut self, packet: &[u8], hand: &mut impl FnMut(Whole<'_>)) {
        let mut n = 0;
        while n < self.open {
            if packet.get(12..MINIMUM) == Some(&self.runs[n].head[12..MINIMUM]) {
                self.end(n, hand);
            } else {
                n += 1;
            }
        }
    }

    fn end(&mut self, n: usize, hand: &mut impl FnMut(Whole<'_>)) {
        self.runs[n].hand(hand);
        self.runs[n..self.open].rotate_left(1);
        self.open -= 1;
    }
}

impl Run {
    const fn new() -> Self {
        Self { head: [0; LONGEST_HEAD], length: 0, size: 0, payload: 0, pieces: Vec::new(), first: 0..0 }
    }

    fn begin(&mut self, segment: &Segment<'_>, at: Range<usize>) {
        self.length = segment.head.len();
        self.head[..self.length].copy_from_slice(segment.head);
        self.size = segment.payload;
        self.payload = segment.payload;
        self.pieces.clear();
        self.pieces.push(at.start + self.length..at.start + self.length + segment.payload);
        self.first = at;
    }

    fn append(&mut self, segment: &Segment<'_>, at: &Range<usize>) {
        self.pieces.push(at.start + self.length..at.start + self.length + segment.payload);
        self.payload += segment.payload;
        if segment.pushes {
            self.head[MINIMUM + 13] |= PSH;
        }
    }

    fn is_flow(&self, segment: &Segment<'_>) -> bool {
        self.head[9] == segment.head[9] && self.head[12..MINIMUM + 4] == segment.head[12..MINIMUM + 4]
    }

    /// True if the packet is the next one of this flow, and nothing gets lost if it is put there.
    fn continues(&self, segment: &Segment<'_>) -> bool {
        let (ours, new) = (&self.head[..self.length], segment.head);
        if ours.len() != new.len()
            || segment.payload > self.size
            || self.length + self.payload + segment.payload > LONGEST
        {
            return false;
        }
        // All of IP but length, identification and checksum, and the addresses, which are those of the flow.
        if ours[..2] != new[..2] || ours[6..10] != new[6..10] {
            return false;
        }
        let dont_fragment = ours[6] & 0x40 != 0;
        let steps = word(new, IDENTIFICATION.start).wrapping_sub(word(ours, IDENTIFICATION.start));
        if !dont_fragment && usize::from(steps) != self.pieces.len() {
            return false;
        }
        if new[9] == UDP {
            return true;
        }
        let (ours, new) = (&ours[MINIMUM..], &new[MINIMUM..]);
        let next = number(ours).wrapping_add(self.payload as u32);
        number(new) == next
            && ours[8..13] == new[8..13]
            && (ours[13] ^ new[13]) & !PSH == 0
            && ours[14..TCP_CHECKSUM] == new[14..TCP_CHECKSUM]
            && ours[18..] == new[18..]
    }

    fn hand(&mut self, hand: &mut impl FnMut(Whole<'_>)) {
        if self.pieces.len() < 2 {
            return hand(Whole::Packet(self.first.clone()));
        }
        let transport = self.length - MINIMUM + self.payload;
        let head = &mut self.head[..self.length];
        // No longer than a packet may be, which was seen to.
        set_length(&mut head[..MINIMUM], (MINIMUM + transport) as u16);
        let field = if head[9] == TCP {
            TCP_CHECKSUM
        } else {
            head[MINIMUM + 4..MINIMUM + 6].copy_from_slice(&(transport as u16).to_be_bytes());
            UDP_CHECKSUM
        };
        let Ok(packet) = Packet::quoted(head) else { return };
        let sum = !pseudo(packet, transport).finish();
        head[MINIMUM + field..MINIMUM + field + 2].copy_from_slice(&sum.to_be_bytes());
        let left = Left {
            checksum: Some(Place { start: MINIMUM as u16, field: field as u16 }),
            segment: NonZeroU16::new(self.size as u16),
        };
        hand(Whole::Long { head, pieces: &self.pieces, left });
    }
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// The sequence number of a TCP header.
fn number(tcp: &[u8]) -> u32 {
    u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]])
}

/// A packet that may be put together with others.
struct Segment<'a> {
    /// IP header without options and that of the transport protocol.
    head: &'a [u8],
    payload: usize,
    /// Nothing may come after it.
    pushes: bool,
}

impl<'a> Segment<'a> {
    /// None for a packet that has to stay as it is.
    fn parse(bytes: &'a [u8], datagrams: bool) -> Option<Self> {
        let packet = Packet::parse(bytes).ok()?;
        let plain = packet.header_length() == MINIMUM && !packet.is_fragment();
        // A packet with octets behind it would not be the same without them; checksums last, they cost most.
        if !plain || packet.bytes().len() != bytes.len() {
            return None;
        }
        let transport = packet.payload();
        let (length, pushes) = match packet.protocol() {
            TCP => stream(transport)?,
            UDP if datagrams => (datagram(transport)?, false),
            _ => return None,
        };
        let payload = transport.len().checked_sub(length).filter(|payload| *payload > 0)?;
        let right = checksum(&bytes[..MINIMUM]) == 0
            && pseudo(packet, transport.len()).bytes(transport).finish() == 0;
        right.then_some(Self { head: &bytes[..MINIMUM + length], payload, pushes })
    }
}

/// The length of a TCP header that carries data and nothing else, and whether it has PSH.
fn stream(transport: &[u8]) -> Option<(usize, bool)> {
    let &[offset, flags] = transport.get(12..14)?.first_chunk::<2>()?;
    let length = usize::from(offset >> 4) * 4;
    let plain = flags & !PSH == ACK && offset & 0x0f == 0 && (20..=60).contains(&length);
    (plain && length <= transport.len()).then_some((length, flags & PSH != 0))
}

/// The length of the header of a datagram with a checksum.
fn datagram(transport: &[u8]) -> Option<usize> {
    let header = transport.get(..DATAGRAM)?;
    let whole = usize::from(word(header, 4)) == transport.len();
    (whole && header[6..] != [0, 0]).then_some(DATAGRAM)
}

#[cfg(test)]
mod tests;
