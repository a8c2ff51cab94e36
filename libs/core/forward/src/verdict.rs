//! What happens to one packet: into the tunnel, out of it, or nowhere.
//!
//! A packet from the tunnel is taken only from the tunnel end that its home address is bound to (RFC 5944
//! §4.3, RFC 3024 §4.3), and no packet enters a tunnel that it came from (RFC 2003 §3.2). The time to live
//! is not changed here: the host's forwarding into and out of the TUN device has counted, or will count,
//! its one hop (RFC 2003 §3.1). What visitors hand over encapsulated passes no such device, see
//! [`Table::delivered`].

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::{
    header::{IPIP, Packet},
    mtu::Paths,
    table::{Broadcasts, Entry, Peer, Side, Station, Table, is_beyond_minimal},
};

/// Octets that the inner of two wrappings adds to a broadcast.
const NESTED: u16 = 20;

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
    /// In minimal encapsulation.
    Minimal {
        /// Outer source.
        source: Ipv4Addr,
        /// Outer destination: one of our addresses.
        destination: Ipv4Addr,
    },
    /// In a GRE packet.
    Gre {
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

impl Outer {
    /// The outer source address.
    #[must_use]
    pub const fn source(self) -> Ipv4Addr {
        match self {
            Self::IpInIp { source, .. } | Self::Minimal { source, .. } | Self::Gre { source, .. } => source,
            Self::Udp { source } => *source.ip(),
        }
    }
}

/// What to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Wrap it and send it to the peer of this entry, which is as this packet takes it: by IP in IP if minimal
    /// encapsulation cannot carry it, and with [`Broadcasts::Nested`] only if it is to be wrapped twice.
    Encap(Entry),
    /// Hand its first octets to the host.
    Deliver {
        /// The packet's total length; what follows in the buffer is padding.
        length: usize,
    },
    /// Hand its first octets to the host and to all hosts of the home link: a broadcast or multicast that a mobile
    /// node sent home.
    Flood {
        /// The packet's total length; what follows in the buffer is padding.
        length: usize,
    },
    /// Nothing: a visitor handed it over, and the link socket, which knows the visitor's link address, has it too.
    SeenOnLink,
    /// Its time to live ends here; tell the sender.
    Expired {
        /// The tunnel that it was meant for.
        entry: Entry,
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
    /// Inner destination that may not be there: loopback, none, or one of many hosts where that was not agreed on.
    Destination,
    /// Time to live 0.
    TimeToLive,
    /// It would go in circles (RFC 2003 §3.2).
    Loop,
    /// The tunnel header names something other than IPv4 in IPv4 (RFC 3519 §3.3, RFC 2784 §2.4).
    NextHeader,
    /// A GRE header of another version, or with a field that RFC 2784 §2.3 took away.
    TunnelHeader,
    /// The checksum of the tunnel header is wrong.
    Checksum,
    /// Handed over encapsulated by a visitor that did not ask for that (RFC 3024 §5.2).
    Delivery,
}

impl Reason {
    /// All reasons, in the order of [`Reason::index`].
    pub const ALL: [Self; 12] = [
        Self::NotIpv4,
        Self::Malformed,
        Self::NoTunnel,
        Self::WrongPeer,
        Self::Source,
        Self::Destination,
        Self::TimeToLive,
        Self::Loop,
        Self::NextHeader,
        Self::TunnelHeader,
        Self::Checksum,
        Self::Delivery,
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
            Self::TunnelHeader => "tunnel header not supported",
            Self::Checksum => "wrong tunnel checksum",
            Self::Delivery => "encapsulated delivery not agreed on",
        }
    }
}

impl Table {
    /// Judges a packet that the host wants in the tunnel; `paths` is what is known of the way to the peers.
    #[must_use]
    pub fn outbound(&self, packet: &[u8], paths: &Paths) -> Verdict {
        self.judge_outbound(packet, packet.len(), paths).unwrap_or_else(Verdict::Drop)
    }

    /// The same for a packet that leaves in segments, the longest of which has `longest` octets: it is too big if
    /// that is.
    #[must_use]
    pub fn outbound_segments(&self, packet: &[u8], longest: usize, paths: &Paths) -> Verdict {
        self.judge_outbound(packet, longest, paths).unwrap_or_else(Verdict::Drop)
    }

    /// True if [`further`](Self::further) yields something for this packet.
    #[must_use]
    pub fn has_further(&self, packet: &[u8]) -> bool {
        let destination = Packet::parse(packet).map(Packet::destination);
        self.side() == Side::HomeAgent
            && destination.is_ok_and(|home_address| self.of(home_address).len() > 1)
    }

    /// Judges a packet that [`outbound`](Self::outbound) has judged for the first tunnel of its home address, once for
    /// each further one: a mobile node with simultaneous bindings gets a copy at each of its care-of addresses (RFC 5944
    /// §4.2.3). A mobile node itself sends by one tunnel only.
    pub fn further<'a>(&'a self, packet: &'a [u8], paths: &'a Paths) -> impl Iterator<Item = Verdict> + 'a {
        let packet = passable(packet).ok().filter(|packet| self.group_or_host(*packet) == Ok(false));
        let entries = match (packet, self.side()) {
            (Some(packet), Side::HomeAgent) => self.of(packet.destination()),
            (Some(_), Side::Visited) | (None, _) => &[],
        };
        let judge =
            move |entry: &Entry| into_tunnel(*entry, packet?, paths).unwrap_or_else(Verdict::Drop).into();
        entries.iter().skip(1).filter_map(judge)
    }

    /// Judges a packet anew for the tunnel to the host at `remote`, whose path takes less than was known.
    #[must_use]
    pub fn again(&self, remote: Ipv4Addr, packet: &[u8], paths: &Paths) -> Verdict {
        let judged = passable(packet).and_then(|packet| {
            let entry = self.toward(remote, self.home_of_outbound(packet)).ok_or(Reason::NoTunnel)?;
            into_tunnel(entry, packet, paths)
        });
        judged.unwrap_or_else(Verdict::Drop)
    }

    /// Judges `inner`, which arrived in a tunnel from `outer`.
    #[must_use]
    pub fn inbound(&self, outer: Outer, inner: &[u8]) -> Verdict {
        match self.judge_inbound(outer, inner) {
            Ok(verdict) => verdict,
            Err(reason) => Verdict::Drop(reason),
        }
    }

    /// The largest packet, in octets, that fits into every tunnel of the home address that `inner` belongs to, which
    /// arrived in one of them; none without a tunnel.
    #[must_use]
    pub fn mtu_of_inbound(&self, inner: &[u8], paths: &Paths) -> Option<u16> {
        let packet = Packet::parse(inner).ok()?;
        let home = match self.side() {
            Side::HomeAgent => packet.source(),
            Side::Visited => packet.destination(),
        };
        self.of(home).iter().map(|entry| paths.inner_mtu(entry)).min()
    }

    /// Judges `inner`, which `station` handed over encapsulated in `outer` (RFC 3024 §5.2).
    ///
    /// Only the visitor's own packets from its own link address pass. One that goes on has its hop taken from its
    /// time to live, unless it is for many hosts: those are for the home link as if it had been sent there.
    #[must_use]
    pub fn delivered(&self, station: Station, outer: Outer, inner: &mut [u8], paths: &Paths) -> Verdict {
        match self.judge_delivered(station, outer, inner, paths) {
            Ok(Verdict::Encap(entry)) => {
                if Packet::parse(inner).is_ok_and(|packet| !self.is_group(packet.destination())) {
                    // A header that arrived broken stays so, and the far end's host drops it.
                    let _ = wire::ip::ipv4::decrement_ttl(inner);
                }
                Verdict::Encap(entry)
            }
            Ok(verdict) => verdict,
            Err(reason) => Verdict::Drop(reason),
        }
    }

    /// Judges a packet for many hosts of the home link, once for each mobile node that is to have a copy: never the
    /// one that sent it (RFC 5944 §4.3, §4.4). [`nest`](crate::encap::nest) comes before
    /// [`encap`](crate::encap::encap).
    pub fn copies<'a>(&'a self, packet: &'a [u8], paths: &'a Paths) -> impl Iterator<Item = Verdict> + 'a {
        let packet = passable(packet).ok().filter(|packet| self.is_group(packet.destination()));
        let copy = move |entry: &Entry| {
            let packet = packet.filter(|packet| packet.source() != entry.home_address)?;
            Some(judge_copy(*entry, packet, paths))
        };
        self.listeners().iter().filter_map(copy)
    }

    /// The entry that sent `quoted`, the beginning of an inner packet, to `remote`; none if we never would.
    ///
    /// Guards the reaction to ICMP errors, which anybody can forge.
    #[must_use]
    pub fn sent(&self, remote: Ipv4Addr, quoted: &[u8]) -> Option<Entry> {
        let packet = Packet::quoted(quoted).ok()?;
        self.toward(remote, self.home_of_outbound(packet))
    }

    /// The entry of `home_address` whose tunnel leads to the host at `remote`.
    fn toward(&self, remote: Ipv4Addr, home_address: Ipv4Addr) -> Option<Entry> {
        self.of(home_address).iter().find(|entry| entry.peer.remote() == remote).copied()
    }

    /// The home address that a packet into the tunnel belongs to.
    fn home_of_outbound(&self, packet: Packet<'_>) -> Ipv4Addr {
        match self.side() {
            Side::HomeAgent => packet.destination(),
            Side::Visited => packet.source(),
        }
    }

    fn judge_outbound(&self, bytes: &[u8], longest: usize, paths: &Paths) -> Result<Verdict, Reason> {
        let packet = passable(bytes)?;
        let group = self.group_or_host(packet)?;
        let entry = self.find(self.home_of_outbound(packet));
        if group && entry.is_none_or(|entry| entry.broadcasts == Broadcasts::No) {
            return Err(Reason::Destination);
        }
        let entry = entry.ok_or(Reason::NoTunnel)?;
        if circles(packet, entry.peer) {
            return Err(Reason::Loop);
        }
        Ok(fit(entry, packet, longest.min(packet.bytes().len()), paths))
    }

    fn judge_inbound(&self, outer: Outer, bytes: &[u8]) -> Result<Verdict, Reason> {
        if self.side() == Side::Visited && self.find(outer.source()).is_some_and(|it| it.delivery.is_some()) {
            return Ok(Verdict::SeenOnLink);
        }
        let packet = passable(bytes)?;
        let length = packet.bytes().len();
        let group = self.group_or_host(packet)?;
        if group && self.side() == Side::Visited {
            let brings = |entry: &Entry| brings_broadcasts(outer, entry, packet);
            let wanted = self.listeners().iter().any(brings);
            return if wanted { Ok(Verdict::Deliver { length }) } else { Err(Reason::Destination) };
        }
        let home = match self.side() {
            Side::HomeAgent => packet.source(),
            Side::Visited => packet.destination(),
        };
        let entries = self.of(home);
        if entries.is_empty() {
            return Err(Reason::NoTunnel);
        }
        if !entries.iter().any(|entry| carries(outer, entry.peer, packet)) {
            return Err(Reason::WrongPeer);
        }
        // To the encapsulator itself it would go in circles (RFC 2784 §3.1).
        if matches!(outer, Outer::Gre { source, .. } if source == packet.destination()) {
            return Err(Reason::Loop);
        }
        Ok(if group { Verdict::Flood { length } } else { Verdict::Deliver { length } })
    }

    fn judge_delivered(
        &self,
        station: Station,
        outer: Outer,
        bytes: &[u8],
        paths: &Paths,
    ) -> Result<Verdict, Reason> {
        let Outer::IpInIp { source: home, destination } = outer else {
            return Err(Reason::Delivery);
        };
        let entry = self.find(home).ok_or(Reason::NoTunnel)?;
        let delivery = entry.delivery.ok_or(Reason::Delivery)?;
        let ours = destination == delivery.agent || entry.peer.local() == Some(destination);
        if delivery.station != station || !ours {
            return Err(Reason::WrongPeer);
        }
        let packet = passable(bytes)?;
        if packet.source() != home {
            return Err(Reason::Source);
        }
        let group = self.group_or_host(packet)?;
        if !group && packet.time_to_live() == 1 {
            return Ok(Verdict::Expired { entry });
        }
        into_tunnel(entry, packet, paths)
    }

    /// True if the packet is for many hosts, false if it is for one.
    fn group_or_host(&self, packet: Packet<'_>) -> Result<bool, Reason> {
        let group = self.is_group(packet.destination());
        if group || is_host(packet.destination()) { Ok(group) } else { Err(Reason::Destination) }
    }
}

/// Judges a packet that may enter the tunnel of `entry`.
fn into_tunnel(entry: Entry, packet: Packet<'_>, paths: &Paths) -> Result<Verdict, Reason> {
    if circles(packet, entry.peer) {
        Err(Reason::Loop)
    } else {
        Ok(fit(entry, packet, packet.bytes().len(), paths))
    }
}

/// Judges a copy of a broadcast for the mobile node of `entry`.
fn judge_copy(entry: Entry, packet: Packet<'_>, paths: &Paths) -> Verdict {
    match entry.broadcasts {
        Broadcasts::Nested { .. } => {
            let mtu = paths.inner_mtu(&entry).saturating_sub(NESTED);
            sized(packet, packet.bytes().len(), (entry, mtu), (entry, mtu))
        }
        Broadcasts::Plain | Broadcasts::No => fit(entry, packet, packet.bytes().len(), paths),
    }
}

/// Judges the size of a packet that leaves in pieces of at most `longest` octets.
fn fit(entry: Entry, packet: Packet<'_>, longest: usize, paths: &Paths) -> Verdict {
    let (whole, pieces) = (entry.carrying(packet), entry.carrying_fragments());
    sized(packet, longest, (whole, paths.inner_mtu(&whole)), (pieces, paths.inner_mtu(&pieces)))
}

/// Judges by the tunnel and inner MTU that the packet takes as a whole, and those that its pieces would take.
fn sized(packet: Packet<'_>, longest: usize, whole: (Entry, u16), pieces: (Entry, u16)) -> Verdict {
    let (entry, mtu) = whole;
    if longest <= usize::from(mtu) {
        return Verdict::Encap(entry);
    }
    let dont_fragment = packet.dont_fragment();
    let (entry, mtu) = if dont_fragment { whole } else { pieces };
    Verdict::TooBig { entry, mtu, dont_fragment }
}

/// What holds for every packet.
fn passable(bytes: &[u8]) -> Result<Packet<'_>, Reason> {
    let packet = Packet::parse(bytes)?;
    if !is_host(packet.source()) {
        return Err(Reason::Source);
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
    match peer.local() {
        Some(local) => packet.protocol() == IPIP && packet.source() == local,
        // Our own datagram would have the socket's address as source, which is no home address; on the home
        // agent's side the destination is the peer's, which is none either.
        None => false,
    }
}

/// True if a packet in `outer` came from `peer` as it was agreed on.
pub(crate) fn is_from(outer: Outer, peer: Peer) -> bool {
    match (outer, peer) {
        (Outer::IpInIp { source, destination }, Peer::IpInIp { local, remote })
        | (Outer::Minimal { source, destination }, Peer::Minimal { local, remote })
        | (Outer::Gre { source, destination }, Peer::Gre { local, remote }) => {
            source == remote && destination == local
        }
        (Outer::Udp { source }, Peer::Udp { remote }) => source == remote,
        (_, _) => false,
    }
}

/// The same, or in IP in IP what minimal encapsulation cannot carry.
fn carries(outer: Outer, peer: Peer, packet: Packet<'_>) -> bool {
    match peer {
        Peer::Minimal { local, remote } if is_beyond_minimal(packet) => {
            is_from(outer, peer) || is_from(outer, Peer::IpInIp { local, remote })
        }
        _ => is_from(outer, peer),
    }
}

/// True if `outer` is how broadcasts come to the mobile node of `entry`, seen from that node.
fn brings_broadcasts(outer: Outer, entry: &Entry, packet: Packet<'_>) -> bool {
    match entry.broadcasts {
        Broadcasts::No => false,
        Broadcasts::Plain => carries(outer, entry.peer, packet),
        Broadcasts::Nested { home_agent } => {
            outer == Outer::IpInIp { source: home_agent, destination: entry.home_address }
        }
    }
}

#[cfg(test)]
mod tests;
