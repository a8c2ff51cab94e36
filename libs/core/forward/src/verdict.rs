//! What happens to one packet: into the tunnel, out of it, or nowhere.
//!
//! A packet from the tunnel is taken only from the tunnel end that its home address is bound to (RFC 5944
//! §4.3, RFC 3024 §4.3), and no packet enters a tunnel that it came from (RFC 2003 §3.2). The time to live
//! is never changed here: the host's forwarding into and out of the TUN device has counted, or will count,
//! its one hop (RFC 2003 §3.1).

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::{
    header::{IPIP, Packet},
    mtu::Paths,
    table::{Entry, Peer, Side, Table},
};

/// Where a tunnelled packet came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outer {
    /// In an IP in IP packet.
    IpInIp {
        /// Outer source.
        source: Ipv4Addr,
        /// Outer destination: one of our addresses.
        destination: Ipv4Addr,
    },
    /// In a UDP datagram.
    Udp {
        /// Outer source and port.
        source: SocketAddrV4,
    },
}

/// What to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Wrap it and send it to the peer of this entry.
    Encap(Entry),
    /// Hand its first octets to the host.
    Deliver {
        /// The packet's total length; what follows in the buffer is padding.
        length: usize,
    },
    /// It does not fit into the tunnel of this entry.
    TooBig {
        /// The tunnel that it was meant for.
        entry: Entry,
        /// The largest inner packet that fits, in octets.
        mtu: u16,
        /// True: tell the sender; false: cut it into fragments.
        dont_fragment: bool,
    },
    /// Discard it.
    Drop(Reason),
}

/// Why a packet was discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The version nibble is not 4; a new TUN device emits IPv6 of its own.
    NotIpv4,
    /// Header length, total length or tunnel header make no sense.
    Malformed,
    /// No tunnel for this home address.
    NoTunnel,
    /// It came from somewhere else than its home address is bound to.
    WrongPeer,
    /// Inner source that no packet may have.
    Source,
    /// Inner destination that is not a single host: broadcast, multicast, loopback or none.
    Destination,
    /// Time to live 0.
    TimeToLive,
    /// It would go in circles (RFC 2003 §3.2).
    Loop,
    /// The tunnel header names something other than IPv4 in IPv4 (RFC 3519 §3.3).
    NextHeader,
}

impl Reason {
    /// All reasons, in the order of [`Reason::index`].
    pub const ALL: [Self; 9] = [
        Self::NotIpv4,
        Self::Malformed,
        Self::NoTunnel,
        Self::WrongPeer,
        Self::Source,
        Self::Destination,
        Self::TimeToLive,
        Self::Loop,
        Self::NextHeader,
    ];

    /// Its place in [`Reason::ALL`], for tables of counters.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Words for a counter or a log line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotIpv4 => "not IPv4",
            Self::Malformed => "malformed packet",
            Self::NoTunnel => "no tunnel",
            Self::WrongPeer => "wrong tunnel peer",
            Self::Source => "source not allowed",
            Self::Destination => "destination not allowed",
            Self::TimeToLive => "time to live 0",
            Self::Loop => "tunnel loop",
            Self::NextHeader => "unknown next header",
        }
    }
}

impl Table {
    /// Judges a packet that the host wants in the tunnel; `paths` is what is known of the way to the peers.
    #[must_use]
    pub fn outbound(&self, packet: &[u8], paths: &Paths) -> Verdict {
        match self.judge_outbound(packet, paths) {
            Ok(verdict) => verdict,
            Err(reason) => Verdict::Drop(reason),
        }
    }

    /// Judges `inner`, which arrived in a tunnel from `outer`.
    #[must_use]
    pub fn inbound(&self, outer: Outer, inner: &[u8]) -> Verdict {
        match self.judge_inbound(outer, inner) {
            Ok(length) => Verdict::Deliver { length },
            Err(reason) => Verdict::Drop(reason),
        }
    }

    /// The entry that sent `quoted`, the beginning of an inner packet, to `remote`; none if we never would.
    ///
    /// Guards the reaction to ICMP errors, which anybody can forge.
    #[must_use]
    pub fn sent(&self, remote: Ipv4Addr, quoted: &[u8]) -> Option<Entry> {
        let packet = Packet::quoted(quoted).ok()?;
        let home = match self.side() {
            Side::HomeAgent => packet.destination(),
            Side::Visited => packet.source(),
        };
        self.find(home).filter(|entry| entry.peer.remote() == remote)
    }

    fn judge_outbound(&self, bytes: &[u8], paths: &Paths) -> Result<Verdict, Reason> {
        let packet = checked(bytes)?;
        let home = match self.side() {
            Side::HomeAgent => packet.destination(),
            Side::Visited => packet.source(),
        };
        let entry = self.find(home).ok_or(Reason::NoTunnel)?;
        if circles(packet, entry.peer) {
            return Err(Reason::Loop);
        }
        let mtu = paths.inner_mtu(&entry);
        if packet.bytes().len() > usize::from(mtu) {
            return Ok(Verdict::TooBig { entry, mtu, dont_fragment: packet.dont_fragment() });
        }
        Ok(Verdict::Encap(entry))
    }

    fn judge_inbound(&self, outer: Outer, bytes: &[u8]) -> Result<usize, Reason> {
        let packet = checked(bytes)?;
        let home = match self.side() {
            Side::HomeAgent => packet.source(),
            Side::Visited => packet.destination(),
        };
        let entry = self.find(home).ok_or(Reason::NoTunnel)?;
        if !is_from(outer, entry.peer) {
            return Err(Reason::WrongPeer);
        }
        Ok(packet.bytes().len())
    }
}

/// What holds in both directions.
fn checked(bytes: &[u8]) -> Result<Packet<'_>, Reason> {
    let packet = Packet::parse(bytes)?;
    if !is_host(packet.source()) {
        return Err(Reason::Source);
    }
    if !is_host(packet.destination()) {
        return Err(Reason::Destination);
    }
    if packet.time_to_live() == 0 {
        return Err(Reason::TimeToLive);
    }
    Ok(packet)
}

/// True for an address that can name one host beyond this one.
pub(crate) fn is_host(address: Ipv4Addr) -> bool {
    let first = address.octets()[0];
    first != 0 && !address.is_loopback() && first < 224
}

/// A packet from the far end of the tunnel, or one that we wrapped ourselves, must not enter it again.
fn circles(packet: Packet<'_>, peer: Peer) -> bool {
    if packet.source() == peer.remote() {
        return true;
    }
    match peer {
        Peer::IpInIp { local, .. } => packet.protocol() == IPIP && packet.source() == local,
        // Our own datagram would have the socket's address as source, which is no home address; on the home
        // agent's side the destination is the peer's, which is none either.
        Peer::Udp { .. } => false,
    }
}

fn is_from(outer: Outer, peer: Peer) -> bool {
    match (outer, peer) {
        (Outer::IpInIp { source, destination }, Peer::IpInIp { local, remote }) => {
            source == remote && destination == local
        }
        (Outer::Udp { source }, Peer::Udp { remote }) => source == remote,
        (Outer::IpInIp { .. }, Peer::Udp { .. }) | (Outer::Udp { .. }, Peer::IpInIp { .. }) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Inner, Random, address};

    const HOME: &str = "10.11.1.50";
    const CORRESPONDENT: &str = "10.11.1.90";
    const HOME_AGENT: &str = "10.11.1.2";
    const CARE_OF: &str = "10.51.1.2";

    fn home_agent() -> Table {
        let peer = Peer::IpInIp { local: address(HOME_AGENT), remote: address(CARE_OF) };
        Table::new(Side::HomeAgent, [Entry::new(address(HOME), peer)])
    }

    fn foreign_agent() -> Table {
        let peer = Peer::IpInIp { local: address(CARE_OF), remote: address(HOME_AGENT) };
        Table::new(Side::Visited, [Entry::new(address(HOME), peer)])
    }

    fn from(source: &str, destination: &str) -> Outer {
        Outer::IpInIp { source: address(source), destination: address(destination) }
    }

    #[test]
    fn the_home_agent_looks_at_the_destination() {
        let packet = Inner::new(CORRESPONDENT, HOME).payload(100).build();
        assert!(matches!(home_agent().outbound(&packet, &Paths::default()), Verdict::Encap(e)
            if e.home_address == address(HOME)));
        let packet = Inner::new(HOME, CORRESPONDENT).payload(100).build();
        assert_eq!(home_agent().outbound(&packet, &Paths::default()), Verdict::Drop(Reason::NoTunnel));
    }

    #[test]
    fn the_visited_side_looks_at_the_source() {
        let packet = Inner::new(HOME, CORRESPONDENT).payload(100).build();
        assert!(matches!(foreign_agent().outbound(&packet, &Paths::default()), Verdict::Encap(_)));
        let packet = Inner::new("10.21.1.77", CORRESPONDENT).payload(100).build();
        assert_eq!(foreign_agent().outbound(&packet, &Paths::default()), Verdict::Drop(Reason::NoTunnel));
    }

    #[test]
    fn a_stranger_cannot_speak_for_a_visitor() {
        let inner = Inner::new(HOME, CORRESPONDENT).payload(10).build();
        let table = home_agent();
        assert_eq!(table.inbound(from(CARE_OF, HOME_AGENT), &inner), Verdict::Deliver { length: 30 });
        for outer in [
            from("10.52.1.2", HOME_AGENT),
            from(CARE_OF, "10.11.1.3"),
            Outer::Udp { source: SocketAddrV4::new(address(CARE_OF), 434) },
        ] {
            assert_eq!(table.inbound(outer, &inner), Verdict::Drop(Reason::WrongPeer), "{outer:?}");
        }
        let spoofed = Inner::new("10.11.1.51", CORRESPONDENT).payload(10).build();
        assert_eq!(table.inbound(from(CARE_OF, HOME_AGENT), &spoofed), Verdict::Drop(Reason::NoTunnel));
    }

    #[test]
    fn a_udp_peer_is_its_address_and_its_port() {
        let remote = SocketAddrV4::new(address("10.53.1.2"), 40_000);
        let table = Table::new(Side::HomeAgent, [Entry::new(address(HOME), Peer::Udp { remote })]);
        let inner = Inner::new(HOME, CORRESPONDENT).payload(10).build();
        assert_eq!(table.inbound(Outer::Udp { source: remote }, &inner), Verdict::Deliver { length: 30 });
        let other = SocketAddrV4::new(*remote.ip(), 40_001);
        let verdict = table.inbound(Outer::Udp { source: other }, &inner);
        assert_eq!(verdict, Verdict::Drop(Reason::WrongPeer));
        let verdict = table.inbound(from("10.53.1.2", HOME_AGENT), &inner);
        assert_eq!(verdict, Verdict::Drop(Reason::WrongPeer));
    }

    #[test]
    fn the_visited_side_delivers_to_its_own_visitors_only() {
        let table = foreign_agent();
        let inner = Inner::new(CORRESPONDENT, HOME).payload(10).build();
        assert_eq!(table.inbound(from(HOME_AGENT, CARE_OF), &inner), Verdict::Deliver { length: 30 });
        let inner = Inner::new(CORRESPONDENT, "10.51.1.9").payload(10).build();
        let verdict = table.inbound(from(HOME_AGENT, CARE_OF), &inner);
        assert_eq!(verdict, Verdict::Drop(Reason::NoTunnel));
    }

    #[test]
    fn broadcast_multicast_and_loopback_never_pass() {
        let table = foreign_agent();
        for destination in ["255.255.255.255", "224.0.0.11", "239.1.2.3", "127.0.0.1", "0.0.0.0", "240.0.0.1"]
        {
            let packet = Inner::new(HOME, destination).payload(4).build();
            let verdict = table.outbound(&packet, &Paths::default());
            assert_eq!(verdict, Verdict::Drop(Reason::Destination), "{destination}");
        }
        for source in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"] {
            let inner = Inner::new(source, HOME).payload(4).build();
            let verdict = table.inbound(from(HOME_AGENT, CARE_OF), &inner);
            assert_eq!(verdict, Verdict::Drop(Reason::Source), "{source}");
        }
    }

    #[test]
    fn time_to_live_zero_neither_enters_nor_leaves() {
        let packet = Inner::new(CORRESPONDENT, HOME).time_to_live(0).payload(4).build();
        assert_eq!(home_agent().outbound(&packet, &Paths::default()), Verdict::Drop(Reason::TimeToLive));
        let verdict = foreign_agent().inbound(from(HOME_AGENT, CARE_OF), &packet);
        assert_eq!(verdict, Verdict::Drop(Reason::TimeToLive));
    }

    #[test]
    fn packets_of_the_tunnel_end_do_not_enter_the_tunnel() {
        let packet = Inner::new(CARE_OF, HOME).payload(4).build();
        assert_eq!(home_agent().outbound(&packet, &Paths::default()), Verdict::Drop(Reason::Loop));
        let packet = Inner::new(HOME_AGENT, HOME).protocol(IPIP).payload(40).build();
        assert_eq!(home_agent().outbound(&packet, &Paths::default()), Verdict::Drop(Reason::Loop));
        let echo_reply = Inner::new(HOME_AGENT, HOME).protocol(1).payload(40).build();
        assert!(matches!(home_agent().outbound(&echo_reply, &Paths::default()), Verdict::Encap(_)));
    }

    #[test]
    fn size_is_judged_to_the_octet() {
        let table = home_agent();
        let fits = Inner::new(CORRESPONDENT, HOME).payload(1460).build();
        assert!(matches!(table.outbound(&fits, &Paths::default()), Verdict::Encap(_)));
        for dont_fragment in [true, false] {
            let big = Inner::new(CORRESPONDENT, HOME).dont_fragment(dont_fragment).payload(1461).build();
            let verdict = table.outbound(&big, &Paths::default());
            assert!(
                matches!(verdict, Verdict::TooBig { mtu: 1480, dont_fragment: d, .. } if d == dont_fragment)
            );
        }
    }

    #[test]
    fn only_our_own_packets_are_recognised_in_errors() {
        let table = home_agent();
        let ours = Inner::new(CORRESPONDENT, HOME).payload(8).build();
        assert!(table.sent(address(CARE_OF), &ours[..28]).is_some());
        assert!(table.sent(address("10.52.1.2"), &ours[..28]).is_none());
        let other = Inner::new(CORRESPONDENT, "10.11.1.51").payload(8).build();
        assert!(table.sent(address(CARE_OF), &other[..28]).is_none());
        assert!(table.sent(address(CARE_OF), &ours[..19]).is_none());
    }

    #[test]
    fn random_bytes_never_panic_and_never_pass() {
        let mut random = Random::new(7);
        let (home_agent, foreign_agent) = (home_agent(), foreign_agent());
        for _ in 0..50_000 {
            let length = random.below(80) as usize;
            let mut bytes = random.bytes(length);
            if let Some(first) = bytes.first_mut() {
                *first = 0x40 | (*first & 0x0f);
            }
            // The entries' own address is one of 2^32: chance does not hit it.
            assert!(matches!(home_agent.outbound(&bytes, &Paths::default()), Verdict::Drop(_)));
            assert!(matches!(foreign_agent.inbound(from(HOME_AGENT, CARE_OF), &bytes), Verdict::Drop(_)));
        }
    }

    #[test]
    fn the_index_of_a_reason_is_its_place() {
        for (place, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), place, "{}", reason.name());
        }
    }
}
