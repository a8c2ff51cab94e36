//! Packets that do not fit: what is known of the paths, and fragments of inner packets.
//!
//! Outer packets always carry don't-fragment, so what the path refuses is learned here (RFC 2003 §5.1) and
//! the inner packet is cut before it is wrapped (RFC 3519 §4.8), unless its sender forbade it.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use crate::{
    header::{MAXIMUM, MINIMUM, Packet, refragment},
    table::Entry,
};

/// The smallest path MTU that is believed, in octets of outer packet; the host's own limit as well.
///
/// An ICMP message is easily forged, and every packet in tiny pieces would be a cheap attack.
pub const SMALLEST_PATH: u16 = 552;
/// How long a lowered path MTU holds before a larger packet may try again (RFC 1191 §6.3).
pub const HOLD: Duration = Duration::from_secs(600);
/// Path MTUs to assume below the length of a packet that was refused without a number (RFC 1191 §7.1).
const PLATEAUS: [u16; 8] = [32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006, 552];

/// What ICMP taught about the way to tunnel peers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paths {
    /// Outer MTU and the time until which it holds.
    lowered: BTreeMap<Ipv4Addr, (u16, Duration)>,
}

impl Paths {
    /// Notes that outer packets to `remote` may have at most `mtu` octets, at time `now` of any clock that
    /// only rises; true if this is less than was known.
    pub fn lower(&mut self, remote: Ipv4Addr, mtu: u16, now: Duration) -> bool {
        let mtu = mtu.max(SMALLEST_PATH);
        if self.lowered.get(&remote).is_some_and(|(known, _)| *known < mtu) {
            return false;
        }
        let before = self.lowered.insert(remote, (mtu, now + HOLD));
        before.is_none_or(|(known, _)| mtu < known)
    }

    /// Forgets what was learned more than [`HOLD`] ago; true if anything was.
    pub fn expire(&mut self, now: Duration) -> bool {
        let before = self.lowered.len();
        self.lowered.retain(|_, (_, until)| *until > now);
        before != self.lowered.len()
    }

    /// True if every path has its ordinary MTU.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lowered.is_empty()
    }

    /// The largest inner packet, in octets, that fits into the tunnel of `entry`.
    #[must_use]
    pub fn inner_mtu(&self, entry: &Entry) -> u16 {
        if self.lowered.is_empty() {
            return entry.mtu;
        }
        let path = self.lowered.get(&entry.peer.remote());
        path.map_or(entry.mtu, |(mtu, _)| entry.mtu.min(mtu - entry.peer.overhead()))
    }
}

/// The path MTU to assume when a router refused an outer packet of `length` octets and named no number.
#[must_use]
pub fn plateau_below(length: usize) -> u16 {
    PLATEAUS.into_iter().find(|plateau| usize::from(*plateau) < length).unwrap_or(SMALLEST_PATH)
}

/// Cuts an inner packet into fragments of at most `mtu` octets, one after the other (RFC 791 §3.2).
pub struct Fragments<'a> {
    packet: Packet<'a>,
    /// Octets of payload in every fragment but the last: a multiple of eight.
    step: usize,
    /// Octets of payload already given out.
    done: usize,
}

impl<'a> Fragments<'a> {
    /// Prepares to cut `packet`; none if it is no IPv4 packet or `mtu` has no room for its header and eight
    /// octets.
    ///
    /// Whether its sender allows it was judged before.
    #[must_use]
    pub fn new(packet: &'a [u8], mtu: u16) -> Option<Self> {
        let packet = Packet::parse(packet).ok()?;
        let room = usize::from(mtu).checked_sub(packet.header_length())?;
        let step = room & !7;
        (step > 0).then_some(Self { packet, step, done: 0 })
    }

    /// Writes the next fragment to the beginning of `out` and returns its length; none when all are out or
    /// when `out` is shorter than the fragment.
    pub fn next_into(&mut self, out: &mut [u8]) -> Option<usize> {
        let payload = self.packet.payload();
        if self.done >= payload.len() {
            return None;
        }
        let mut header = [0; MAXIMUM];
        let header_length = self.copy_header(&mut header);
        let piece = &payload[self.done..payload.len().min(self.done + self.step)];
        let length = header_length + piece.len();
        let last = self.done + piece.len() == payload.len();
        let offset = self.packet.fragment_offset() + u16::try_from(self.done / 8).ok()?;
        let more = !last || self.packet.more_fragments();
        refragment(&mut header[..header_length], u16::try_from(length).ok()?, offset, more);
        let out = out.get_mut(..length)?;
        out[..header_length].copy_from_slice(&header[..header_length]);
        out[header_length..].copy_from_slice(piece);
        self.done += piece.len();
        Some(length)
    }

    /// The header of the next fragment: the first keeps all options, later ones those marked as copied.
    fn copy_header(&self, header: &mut [u8; MAXIMUM]) -> usize {
        let whole = self.packet.header_length();
        header[..whole].copy_from_slice(&self.packet.bytes()[..whole]);
        if self.done == 0 {
            return whole;
        }
        let length = MINIMUM + copied_options(self.packet.options(), &mut header[MINIMUM..]);
        header[0] = 0x40 | (length / 4) as u8;
        length
    }
}

/// Writes the options with the copy flag, padded to whole words; returns the octets written.
fn copied_options(mut options: &[u8], out: &mut [u8]) -> usize {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const COPIED: u8 = 0x80;
    let mut length = 0;
    while let [kind, rest @ ..] = options {
        let size = match (*kind, rest.first()) {
            (END, _) => break,
            (NO_OPERATION, _) => 1,
            (_, Some(size)) if (2..=options.len()).contains(&usize::from(*size)) => usize::from(*size),
            // What cannot be read is not copied.
            (_, _) => break,
        };
        if *kind & COPIED != 0 {
            out[length..length + size].copy_from_slice(&options[..size]);
            length += size;
        }
        options = &options[size..];
    }
    let padded = length.next_multiple_of(4);
    out[length..padded].fill(END);
    padded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Peer,
        testing::{Inner, Random, address},
    };

    const NOW: Duration = Duration::from_secs(1000);

    fn entry() -> Entry {
        let peer = Peer::IpInIp { local: address("10.11.1.2"), remote: address("10.51.1.2") };
        Entry::new(address("10.11.1.50"), peer)
    }

    fn cut(packet: &[u8], mtu: u16) -> Vec<Vec<u8>> {
        let mut fragments = Fragments::new(packet, mtu).unwrap();
        let mut all = Vec::new();
        let mut out = vec![0; usize::from(mtu)];
        while let Some(length) = fragments.next_into(&mut out) {
            all.push(out[..length].to_vec());
        }
        all
    }

    /// What the receiver's IP stack does; the pieces in order.
    fn join(fragments: &[Vec<u8>]) -> Vec<u8> {
        let mut payload = Vec::new();
        let base = Packet::parse(&fragments[0]).unwrap().fragment_offset();
        for fragment in fragments {
            let packet = Packet::parse(fragment).unwrap();
            assert_eq!(wire::checksum::checksum(&fragment[..packet.header_length()]), 0);
            assert_eq!(usize::from(packet.fragment_offset() - base) * 8, payload.len());
            payload.extend(packet.payload());
        }
        payload
    }

    #[test]
    fn the_path_lowers_the_mtu_until_it_is_forgotten() {
        let mut paths = Paths::default();
        assert_eq!(paths.inner_mtu(&entry()), 1480);
        assert!(paths.lower(address("10.51.1.2"), 1400, NOW));
        assert_eq!(paths.inner_mtu(&entry()), 1380);
        assert!(!paths.lower(address("10.51.1.2"), 1450, NOW), "a larger value is no news");
        assert!(!paths.lower(address("10.51.1.2"), 1400, NOW), "nor is the same");
        assert!(paths.lower(address("10.51.1.2"), 1300, NOW));
        assert!(!paths.expire(NOW + HOLD - Duration::from_millis(1)));
        assert!(paths.expire(NOW + HOLD));
        assert!(paths.is_empty());
        assert_eq!(paths.inner_mtu(&entry()), 1480);
    }

    #[test]
    fn other_peers_and_larger_paths_change_nothing() {
        let mut paths = Paths::default();
        paths.lower(address("10.52.1.2"), 1000, NOW);
        paths.lower(address("10.51.1.2"), 9000, NOW);
        assert_eq!(paths.inner_mtu(&entry()), 1480);
    }

    #[test]
    fn an_absurd_path_mtu_is_not_believed() {
        let mut paths = Paths::default();
        paths.lower(address("10.51.1.2"), 0, NOW);
        assert_eq!(paths.inner_mtu(&entry()), SMALLEST_PATH - 20);
    }

    #[test]
    fn plateaus_are_below_the_length() {
        assert_eq!(plateau_below(1500), 1492);
        assert_eq!(plateau_below(1492), 1006);
        assert_eq!(plateau_below(552), 552);
        assert_eq!(plateau_below(65_535), 32_000);
    }

    #[test]
    fn fragments_join_to_the_packet() {
        let mut random = Random::new(11);
        for _ in 0..3_000 {
            let length = random.below(3_000) as usize + 1;
            let payload = random.bytes(length);
            let mtu = 68 + random.below(1_400) as u16;
            let packet = Inner::new("10.11.1.90", "10.11.1.50").bytes(&payload).build();
            let fragments = cut(&packet, mtu);
            assert!(fragments.iter().all(|fragment| fragment.len() <= usize::from(mtu)));
            assert_eq!(join(&fragments), payload);
            for (n, fragment) in fragments.iter().enumerate() {
                let more = Packet::parse(fragment).unwrap().more_fragments();
                assert_eq!(more, n + 1 < fragments.len());
            }
        }
    }

    #[test]
    fn a_fragment_is_cut_again_with_its_offset() {
        let packet = Inner::new("10.11.1.90", "10.11.1.50").fragment(100, true).payload(100).build();
        let fragments = cut(&packet, 68);
        let offsets: Vec<_> =
            fragments.iter().map(|fragment| Packet::parse(fragment).unwrap().fragment_offset()).collect();
        assert_eq!(offsets, [100, 106, 112]);
        assert!(fragments.iter().all(|fragment| Packet::parse(fragment).unwrap().more_fragments()));
    }

    #[test]
    fn only_copied_options_repeat() {
        // Record route (7, not copied, 3 octets), no operation, security (130, copied, 3 octets), end.
        let options = [7, 3, 4, 1, 130, 3, 9, 0];
        let packet = Inner::new("10.11.1.90", "10.11.1.50").options(&options).payload(100).build();
        let fragments = cut(&packet, 76);
        let first = Packet::parse(&fragments[0]).unwrap();
        let second = Packet::parse(&fragments[1]).unwrap();
        assert_eq!(first.options(), options);
        assert_eq!(second.options(), [130, 3, 9, 0]);
        assert_eq!(join(&fragments).len(), 100);
    }

    #[test]
    fn broken_options_do_not_panic() {
        let mut random = Random::new(5);
        for _ in 0..5_000 {
            let words = random.below(11) as usize;
            let options = random.bytes(words * 4);
            let packet = Inner::new("10.11.1.90", "10.11.1.50").options(&options).payload(300).build();
            let fragments = cut(&packet, 200);
            assert_eq!(join(&fragments).len(), 300);
        }
    }

    #[test]
    fn an_mtu_without_room_for_eight_octets_is_refused() {
        let packet = Inner::new("10.11.1.90", "10.11.1.50").payload(100).build();
        assert!(Fragments::new(&packet, 27).is_none());
        assert!(Fragments::new(&packet, 28).is_some());
    }

    #[test]
    fn a_short_buffer_ends_it() {
        let packet = Inner::new("10.11.1.90", "10.11.1.50").payload(100).build();
        let mut fragments = Fragments::new(&packet, 68).unwrap();
        assert_eq!(fragments.next_into(&mut [0; 40]), None);
    }
}
