//! Taking out duplicates: a mobile node that is bound at several places gets every packet at each of them (RFC 5944
//! §3.6.1.2, §4.2.3), and its applications should see it once.
//!
//! Two packets are the same if all their octets are, but for what routers change: traffic class, time to live and
//! header checksum. That alone does not make one a duplicate. A host may repeat a packet on purpose, and where
//! fragmentation is forbidden its identification need not differ (RFC 6864 §4.1): a second acknowledgment of TCP means
//! something else than the first. So copies are counted by tunnel, and what passes is as many as the tunnel that brought
//! the most of them: whatever came twice through one tunnel passes twice. A copy through another tunnel is taken for the
//! same packet only within [`TOGETHER`], which is shorter than any host waits before it sends again (RFC 6298 §2.4
//! wants a second, common hosts take a fifth of one).
//!
//! What does not fit into the memory is forgotten, and passes: never is a packet dropped that was not delivered.

use std::time::Duration;

use crate::{Outer, header::Packet};

/// Copies of a packet that come within this time of its first are the same one.
pub const TOGETHER: Duration = Duration::from_millis(150);
/// Sets of packets that are remembered; a packet belongs to one of them.
const SETS: usize = 1024;
/// Packets in a set.
const WAYS: usize = 4;
/// Tunnels that may bring one packet; what comes through more passes.
const TUNNELS: usize = 4;

/// Packets that came lately: 4,096 of them in half a megabyte, whatever comes.
#[derive(Debug)]
pub struct Duplicates {
    sets: Vec<[Option<Lately>; WAYS]>,
}

/// A packet that came lately.
#[derive(Clone, Copy, Debug)]
struct Lately {
    digest: [u8; 16],
    first: Duration,
    passed: u32,
    /// How often each tunnel brought it.
    brought: [Option<(Outer, u32)>; TUNNELS],
}

impl Default for Duplicates {
    fn default() -> Self {
        Self { sets: vec![[None; WAYS]; SETS] }
    }
}

impl Duplicates {
    /// True if `inner`, which came through the tunnel `outer` at time `now` of any clock that only rises, is to be
    /// handed on; false if the same one was before.
    pub fn pass(&mut self, outer: Outer, inner: &[u8], now: Duration) -> bool {
        let Some(digest) = digest(inner) else {
            return true;
        };
        let set = &mut self.sets[usize::from(u16::from_be_bytes([digest[0], digest[1]])) % SETS];
        let here = |way: &Option<Lately>| {
            way.is_some_and(|it| it.digest == digest && now.saturating_sub(it.first) < TOGETHER)
        };
        if let Some(known) = set.iter_mut().find(|way| here(way)).and_then(Option::as_mut) {
            return known.pass(outer);
        }
        // An empty way first, then the one that has been there longest.
        if let Some(way) = set.iter_mut().min_by_key(|way| way.map(|it| it.first)) {
            let mut fresh = Lately { digest, first: now, passed: 0, brought: [None; TUNNELS] };
            fresh.pass(outer);
            *way = Some(fresh);
        }
        true
    }
}

impl Lately {
    fn pass(&mut self, outer: Outer) -> bool {
        let of_tunnel = |slot: &&mut Option<(Outer, u32)>| slot.is_none_or(|(tunnel, _)| tunnel == outer);
        let Some(slot) = self.brought.iter_mut().find(of_tunnel) else {
            return true;
        };
        let brought = slot.map_or(0, |(_, count)| count).saturating_add(1);
        *slot = Some((outer, brought));
        if brought <= self.passed {
            return false;
        }
        self.passed = brought;
        true
    }
}

/// What names a packet; none for what is no packet. SHA-256 lets nobody make another packet of the same name, which
/// would be lost in place of a copy.
fn digest(inner: &[u8]) -> Option<[u8; 16]> {
    let bytes = Packet::parse(inner).ok()?.bytes();
    let parts = [&bytes[..1], &bytes[2..8], &bytes[9..10], &bytes[12..]];
    let whole = crypto::digest(&parts);
    let mut half = [0; 16];
    half.copy_from_slice(&whole[..16]);
    Some(half)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Inner, Random, address};

    const A: (&str, &str) = ("10.11.1.2", "10.60.1.1");
    const B: (&str, &str) = ("10.11.1.2", "10.60.2.1");

    fn via((source, destination): (&str, &str)) -> Outer {
        Outer::IpInIp { source: address(source), destination: address(destination) }
    }

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(1_000_000 + milliseconds)
    }

    fn packet() -> Inner {
        Inner::new("10.11.1.90", "10.11.1.50").payload(100)
    }

    #[test]
    fn a_copy_through_another_tunnel_passes_once() {
        let mut filter = Duplicates::default();
        let bytes = packet().build();
        assert!(filter.pass(via(A), &bytes, at(0)));
        assert!(!filter.pass(via(B), &bytes, at(149)));
        // What a router on the way changed makes no other packet of it.
        let later = packet().time_to_live(40).build();
        assert!(filter.pass(via(A), &packet().protocol(6).build(), at(149)));
        let mut filter = Duplicates::default();
        assert!(filter.pass(via(B), &later, at(0)));
        assert!(!filter.pass(via(A), &bytes, at(1)));
    }

    #[test]
    fn what_one_tunnel_brings_twice_passes_twice() {
        let mut filter = Duplicates::default();
        let bytes = packet().build();
        // The second copy through B is the second packet, which A has brought already.
        let script = [(A, true), (A, true), (B, false), (B, false), (B, true), (A, false), (A, true)];
        for (n, (tunnel, passes)) in script.into_iter().enumerate() {
            assert_eq!(filter.pass(via(tunnel), &bytes, at(n as u64)), passes, "copy {n}");
        }
    }

    #[test]
    fn a_packet_that_is_sent_again_later_passes() {
        let mut filter = Duplicates::default();
        let bytes = packet().build();
        assert!(filter.pass(via(A), &bytes, at(0)));
        assert!(filter.pass(via(B), &bytes, at(150)), "sent again, and lost on the other way");
        assert!(!filter.pass(via(A), &bytes, at(151)));
    }

    #[test]
    fn one_octet_or_length_makes_another_packet() {
        let mut filter = Duplicates::default();
        let bytes = packet().build();
        assert!(filter.pass(via(A), &bytes, at(0)));
        for n in (0..bytes.len()).filter(|n| ![0, 1, 2, 3, 8, 10, 11].contains(n)) {
            let mut other = bytes.clone();
            other[n] ^= 1;
            assert!(filter.pass(via(B), &other, at(1)), "octet {n}");
        }
        assert!(filter.pass(via(B), &Inner::new("10.11.1.90", "10.11.1.50").payload(99).build(), at(1)));
        assert!(!filter.pass(via(B), &bytes, at(1)));
        // Padding of a link is no part of it.
        let padded = [&bytes[..], &[0; 9]].concat();
        assert!(!filter.pass(Outer::Udp { source: "10.11.1.2:434".parse().unwrap() }, &padded, at(1)));
        for wrong in [&[][..], &bytes[..19], &[0x60; 40]] {
            assert!(filter.pass(via(A), wrong, at(2)) && filter.pass(via(B), wrong, at(2)), "no packet");
        }
    }

    /// However much comes, the memory stays, and what was never delivered is not dropped.
    #[test]
    fn a_flood_makes_it_forget_and_not_drop() {
        let (mut filter, mut random) = (Duplicates::default(), Random::new(7));
        let size = filter.sets.len();
        let mut dropped = 0;
        for n in 0..50_000_u32 {
            let filler = random.bytes(60);
            let payload = [&n.to_be_bytes()[..], &filler].concat();
            let bytes = Inner::new("10.11.1.90", "10.11.1.50").bytes(&payload).build();
            let now = at(u64::from(n) / 1000);
            assert!(filter.pass(via(A), &bytes, now), "a packet that came for the first time");
            dropped += u32::from(!filter.pass(via(B), &bytes, now));
        }
        assert_eq!((filter.sets.len(), dropped), (size, 50_000));
    }

    #[test]
    fn random_bytes_never_panic_and_pass_when_they_are_new() {
        let (mut filter, mut random) = (Duplicates::default(), Random::new(3));
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..50_000 {
            let length = random.below(90) as usize;
            let mut bytes = random.bytes(length);
            if let Some(first) = bytes.first_mut() {
                // Half of them look like a header.
                *first = if *first & 1 == 0 { 0x45 } else { *first };
            }
            let passed = filter.pass(via(if random.below(2) == 0 { A } else { B }), &bytes, at(0));
            let new = seen.insert(bytes);
            assert!(passed || !new, "it was never there");
        }
    }

    #[test]
    fn through_five_tunnels_it_passes_rather_than_not() {
        let mut filter = Duplicates::default();
        let bytes = packet().build();
        let passed: Vec<_> = (1..=6_u8)
            .map(|n| Outer::IpInIp { source: address("10.11.1.2"), destination: [10, 60, n, 1].into() })
            .map(|outer| filter.pass(outer, &bytes, at(0)))
            .collect();
        assert_eq!(passed, [true, false, false, false, true, true]);
    }
}
