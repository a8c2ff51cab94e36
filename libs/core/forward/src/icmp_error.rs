//! Telling the sender of an inner packet what became of it (RFC 792, RFC 1191, RFC 2003 §4).
//!
//! Errors are made for our own verdict "too big" and for errors that routers inside the tunnel report.
//! Protocol and port unreachable are not passed on, other than RFC 2003 §4.1 would have it: they are what a
//! tunnel end sends while its agent restarts, and the applications shall not notice that. No error is ever
//! made about an error, a later fragment, or a packet that is not between two hosts (RFC 1122 §3.2.2).

use std::{net::Ipv4Addr, time::Duration};

use wire::checksum::checksum;

use crate::{
    header::{ICMP, MINIMUM, New, Packet},
    verdict::is_host,
};

/// Octets of the longest error message, outer header included (RFC 1812 §4.3.2.3).
pub const LONGEST: usize = 576;
/// Octets of an ICMP error header.
const ERROR_HEADER: usize = 8;
/// Octets of payload that an error quotes at least.
const QUOTED: usize = 8;
/// Time to live of the errors.
const TIME_TO_LIVE: u8 = 64;

const ECHO_REPLY: u8 = 0;
const UNREACHABLE: u8 = 3;
const ECHO: u8 = 8;
const TIME_EXCEEDED: u8 = 11;
const TIMESTAMP: u8 = 13;
const TIMESTAMP_REPLY: u8 = 14;

/// What the error says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Fragmentation needed and forbidden; with the largest packet that fits, in octets.
    TooBig {
        /// The inner MTU.
        mtu: u16,
    },
    /// Host unreachable.
    Host,
    /// Network unreachable.
    Network,
    /// Time to live exceeded in transit.
    TimeExceeded,
}

/// What to do about an ICMP error from inside the tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Outer packets to this peer may have so many octets; 0 if the router named no number.
    LowerPath {
        /// The outer MTU.
        mtu: u16,
    },
    /// Tell the sender of the inner packet.
    Relay(Kind),
    /// Nothing.
    Ignore,
}

/// The reaction to an ICMP message of this type and code about an outer packet; `mtu` counts for 3/4 only, and
/// `shows_hops` says that the hops of the tunnel count for the inner packet as well (RFC 2004 §3).
#[must_use]
pub const fn reaction(icmp_type: u8, code: u8, mtu: u16, shows_hops: bool) -> Reaction {
    match (icmp_type, code) {
        (UNREACHABLE, 4) => Reaction::LowerPath { mtu },
        (UNREACHABLE, 0 | 6 | 9 | 11) => Reaction::Relay(Kind::Network),
        (UNREACHABLE, 1 | 7 | 10 | 12 | 13) => Reaction::Relay(Kind::Host),
        (TIME_EXCEEDED, 0) if shows_hops => Reaction::Relay(Kind::TimeExceeded),
        // A loop inside the tunnel looks like an absent host from outside (RFC 2003 §4.4).
        (TIME_EXCEEDED, 0) => Reaction::Relay(Kind::Host),
        (_, _) => Reaction::Ignore,
    }
}

/// Writes an error about `offending`, the beginning of an inner packet, from `source` to its sender; returns
/// the length of the whole IP packet.
///
/// None if no error may be made about it, if `offending` ends before the eighth octet of its payload, or if
/// `out` has no room. `out` of [`LONGEST`] octets is always enough.
#[must_use]
pub fn build(out: &mut [u8], kind: Kind, source: Ipv4Addr, offending: &[u8]) -> Option<usize> {
    let packet = Packet::quoted(offending).ok()?;
    if !may_answer(packet) {
        return None;
    }
    // Link padding and what a router appended are no part of it.
    let there = packet.total_length().min(offending.len());
    let least =
        packet.header_length() + QUOTED.min(packet.total_length().checked_sub(packet.header_length())?);
    if there < least {
        return None;
    }
    let quoted = &offending[..there.min(LONGEST - MINIMUM - ERROR_HEADER)];
    let length = MINIMUM + ERROR_HEADER + quoted.len();
    let out = out.get_mut(..length)?;
    let (header, message) = out.split_at_mut(MINIMUM);
    New {
        traffic_class: 0xc0,
        total_length: u16::try_from(length).ok()?,
        dont_fragment: false,
        time_to_live: TIME_TO_LIVE,
        protocol: ICMP,
        source,
        destination: packet.source(),
    }
    .write(header.as_mut_array()?);
    write_message(message, kind, quoted);
    Some(length)
}

fn write_message(message: &mut [u8], kind: Kind, quoted: &[u8]) {
    let (icmp_type, code, mtu) = match kind {
        Kind::Network => (UNREACHABLE, 0, 0),
        Kind::Host => (UNREACHABLE, 1, 0),
        Kind::TooBig { mtu } => (UNREACHABLE, 4, mtu),
        Kind::TimeExceeded => (TIME_EXCEEDED, 0, 0),
    };
    message[..6].copy_from_slice(&[icmp_type, code, 0, 0, 0, 0]);
    message[6..8].copy_from_slice(&mtu.to_be_bytes());
    message[8..].copy_from_slice(quoted);
    let sum = checksum(message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
}

fn may_answer(packet: Packet<'_>) -> bool {
    if packet.fragment_offset() != 0 || !is_host(packet.source()) || !is_host(packet.destination()) {
        return false;
    }
    let query = |icmp_type| [ECHO_REPLY, ECHO, TIMESTAMP, TIMESTAMP_REPLY].contains(&icmp_type);
    packet.protocol() != ICMP || packet.payload().first().copied().is_some_and(query)
}

/// How many errors may be sent: a thousand a second, fifty at once, as the host's own stack does.
#[derive(Clone, Debug)]
pub struct Bucket {
    tokens: u32,
    filled: Duration,
}

impl Bucket {
    const BURST: u32 = 50;
    const INTERVAL: Duration = Duration::from_millis(1);

    /// A full bucket at time `now` of any clock that only rises.
    #[must_use]
    pub const fn new(now: Duration) -> Self {
        Self { tokens: Self::BURST, filled: now }
    }

    /// True if one more error may be sent at `now`; it counts as sent.
    pub fn take(&mut self, now: Duration) -> bool {
        let passed = now.saturating_sub(self.filled);
        if passed >= Self::INTERVAL * Self::BURST {
            *self = Self::new(now);
        } else if passed >= Self::INTERVAL {
            // Below the burst by the branch above.
            let earned = (passed.as_micros() / Self::INTERVAL.as_micros()) as u32;
            self.tokens = (self.tokens + earned).min(Self::BURST);
            self.filled += Self::INTERVAL * earned;
        }
        let granted = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Inner, Random, address};

    const OURS: &str = "10.11.1.2";

    fn error_about(offending: &[u8], kind: Kind) -> Option<Vec<u8>> {
        let mut out = [0; LONGEST];
        let length = build(&mut out, kind, address(OURS), offending)?;
        Some(out[..length].to_vec())
    }

    #[test]
    fn frag_needed_to_the_octet() {
        let inner = Inner::new("10.11.1.90", "10.11.1.50").dont_fragment(true).payload(8).build();
        let error = error_about(&inner, Kind::TooBig { mtu: 1480 }).unwrap();
        let packet = Packet::parse(&error).unwrap();
        assert_eq!(checksum(&error[..20]), 0);
        assert_eq!(checksum(packet.payload()), 0);
        assert_eq!((packet.source(), packet.destination()), (address(OURS), address("10.11.1.90")));
        assert_eq!((packet.protocol(), packet.time_to_live(), packet.traffic_class()), (1, 64, 0xc0));
        assert_eq!(packet.payload()[..2], [3, 4]);
        assert_eq!(packet.payload()[4..8], [0, 0, 0x05, 0xc8]);
        assert_eq!(packet.payload()[8..], inner);
    }

    #[test]
    fn a_long_packet_is_quoted_up_to_576_octets() {
        let inner = Inner::new("10.11.1.90", "10.11.1.50").payload(1470).build();
        let error = error_about(&inner, Kind::Host).unwrap();
        assert_eq!(error.len(), LONGEST);
        assert_eq!(error[28..], inner[..548]);
        assert_eq!(error[21], 1);
    }

    #[test]
    fn a_quotation_without_eight_octets_of_payload_is_not_enough() {
        let inner = Inner::new("10.11.1.90", "10.11.1.50").payload(100).build();
        assert!(error_about(&inner[..27], Kind::Host).is_none());
        assert_eq!(error_about(&inner[..28], Kind::Network).unwrap()[20..22], [3, 0]);
        assert_eq!(error_about(&inner[..28], Kind::TimeExceeded).unwrap()[20..22], [11, 0]);
    }

    #[test]
    fn no_error_about_an_error() {
        for icmp_type in 0..=255 {
            let inner = Inner::new("10.11.1.90", "10.11.1.50").protocol(ICMP).bytes(&[icmp_type; 16]).build();
            let answered = error_about(&inner, Kind::Host).is_some();
            assert_eq!(answered, [0, 8, 13, 14].contains(&icmp_type), "{icmp_type}");
        }
    }

    #[test]
    fn no_error_about_later_fragments_or_to_nobody() {
        let later = Inner::new("10.11.1.90", "10.11.1.50").fragment(5, false).payload(64).build();
        assert!(error_about(&later, Kind::Host).is_none());
        let first = Inner::new("10.11.1.90", "10.11.1.50").fragment(0, true).payload(64).build();
        assert!(error_about(&first, Kind::Host).is_some());
        for (source, destination) in
            [("0.0.0.0", "10.11.1.50"), ("255.255.255.255", "10.11.1.50"), ("10.11.1.90", "224.0.0.11")]
        {
            let inner = Inner::new(source, destination).payload(64).build();
            assert!(error_about(&inner, Kind::Host).is_none(), "{source} {destination}");
        }
    }

    #[test]
    fn reactions_follow_the_code() {
        for shows_hops in [false, true] {
            assert_eq!(reaction(3, 4, 1400, shows_hops), Reaction::LowerPath { mtu: 1400 });
            assert_eq!(reaction(3, 0, 0, shows_hops), Reaction::Relay(Kind::Network));
            assert_eq!(reaction(3, 1, 0, shows_hops), Reaction::Relay(Kind::Host));
        }
        assert_eq!(reaction(11, 0, 0, false), Reaction::Relay(Kind::Host));
        assert_eq!(reaction(11, 0, 0, true), Reaction::Relay(Kind::TimeExceeded));
        for (icmp_type, code) in [(3, 2), (3, 3), (3, 5), (4, 0), (5, 1), (11, 1), (12, 0), (200, 200)] {
            assert_eq!(reaction(icmp_type, code, 0, true), Reaction::Ignore, "{icmp_type} {code}");
        }
    }

    #[test]
    fn random_quotations_never_panic() {
        let mut random = Random::new(9);
        for _ in 0..50_000 {
            let length = random.below(100) as usize;
            let mut bytes = random.bytes(length);
            if let Some(first) = bytes.first_mut() {
                *first = 0x40 | (*first & 0x0f);
            }
            if let Some(error) = error_about(&bytes, Kind::Host) {
                assert!(error.len() <= 28 + length);
                assert_eq!(checksum(&error[20..]), 0);
            }
        }
    }

    #[test]
    fn the_bucket_gives_fifty_at_once_and_one_each_millisecond() {
        let start = Duration::from_secs(77);
        let mut bucket = Bucket::new(start);
        assert_eq!((0..200).filter(|_| bucket.take(start)).count(), 50);
        let later = start + Duration::from_millis(3);
        assert_eq!((0..200).filter(|_| bucket.take(later)).count(), 3);
        let much_later = start + Duration::from_secs(5_000_000);
        assert_eq!((0..200).filter(|_| bucket.take(much_later)).count(), 50);
    }
}
