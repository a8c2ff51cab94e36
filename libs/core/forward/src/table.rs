//! Where the packets of each home address go.
//!
//! Control keeps one [`Table`], changes it, and hands a clone to the data path, which swaps it whole. A clone
//! shares all that did not change, so that one new binding among a hundred thousand does not copy them.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    ops::Range,
    sync::Arc,
};

use crate::header::Packet;

/// Inner MTU of IP in IP over a 1500-octet path.
pub const IPIP_MTU: u16 = 1480;
/// Inner MTU of minimal encapsulation over a 1500-octet path, with the original source address kept.
pub const MINIMAL_MTU: u16 = 1488;
/// Inner MTU of GRE over a 1500-octet path: outer IP 20, tunnel header without a checksum 4.
pub const GRE_MTU: u16 = 1476;
/// Inner MTU of UDP tunnel data over a 1500-octet path: outer IP 20, UDP 8, tunnel header 4.
pub const UDP_MTU: u16 = 1468;

/// The other end of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// IP in IP (RFC 2003).
    IpInIp {
        /// Our outer address.
        local: Ipv4Addr,
        /// The peer's outer address.
        remote: Ipv4Addr,
    },
    /// Minimal encapsulation (RFC 2004); what it cannot carry goes as IP in IP.
    Minimal {
        /// Our outer address.
        local: Ipv4Addr,
        /// The peer's outer address.
        remote: Ipv4Addr,
    },
    /// Generic routing encapsulation (RFC 2784), sent without a checksum.
    Gre {
        /// Our outer address.
        local: Ipv4Addr,
        /// The peer's outer address.
        remote: Ipv4Addr,
    },
    /// UDP tunnel data (RFC 3519); the local end is the UDP socket of the tunnel.
    Udp {
        /// The peer's outer address and port, as a NAT on the way shows them.
        remote: SocketAddrV4,
    },
}

impl Peer {
    /// Octets that encapsulation adds to a packet, at most: minimal encapsulation adds four less to a packet whose
    /// source is our outer address.
    #[must_use]
    pub const fn overhead(self) -> u16 {
        match self {
            Self::IpInIp { .. } => 20,
            Self::Minimal { .. } => 12,
            Self::Gre { .. } => 24,
            Self::Udp { .. } => 32,
        }
    }

    /// The outer address of the peer.
    #[must_use]
    pub const fn remote(self) -> Ipv4Addr {
        match self {
            Self::IpInIp { remote, .. } | Self::Minimal { remote, .. } | Self::Gre { remote, .. } => remote,
            Self::Udp { remote } => *remote.ip(),
        }
    }

    /// Our outer address; with UDP it is that of the tunnel's socket.
    #[must_use]
    pub const fn local(self) -> Option<Ipv4Addr> {
        match self {
            Self::IpInIp { local, .. } | Self::Minimal { local, .. } | Self::Gre { local, .. } => Some(local),
            Self::Udp { .. } => None,
        }
    }

    /// "ipip", "minimal", "gre" or "udp".
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IpInIp { .. } => "ipip",
            Self::Minimal { .. } => "minimal",
            Self::Gre { .. } => "gre",
            Self::Udp { .. } => "udp",
        }
    }
}

/// Whether broadcasts and multicasts of the home link come through a tunnel (the B bit, RFC 5944 §4.3, §4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broadcasts {
    /// They do not.
    No,
    /// Like any other packet: to a co-located care-of address.
    Plain,
    /// Wrapped in IP in IP from the home agent to the home address first, so that a foreign agent knows whom they
    /// are for.
    Nested {
        /// The source address of that wrapping.
        home_agent: Ipv4Addr,
    },
}

/// A mobile node on a visited link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Station {
    /// Index of the interface that it is at.
    pub interface: u32,
    /// Its link address.
    pub link_address: [u8; 6],
}

/// How a visitor hands its packets over when it encapsulates them (RFC 3024 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Where it is.
    pub station: Station,
    /// The agent's address on that link, which they are sent to; the care-of address is taken as well.
    pub agent: Ipv4Addr,
}

/// One home address and its tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The mobile node's home address.
    pub home_address: Ipv4Addr,
    /// The other end of its tunnel.
    pub peer: Peer,
    /// The largest inner packet in octets; what is known of the path may lower it further.
    pub mtu: u16,
    /// Whether broadcasts come through this tunnel; and whether they may enter it, at the mobile node.
    pub broadcasts: Broadcasts,
    /// At a foreign agent: how the visitor's encapsulated packets come, if that was agreed on.
    pub delivery: Option<Delivery>,
}

impl Entry {
    /// An entry with the inner MTU of a 1500-octet path, without broadcasts and encapsulated delivery.
    #[must_use]
    pub const fn new(home_address: Ipv4Addr, peer: Peer) -> Self {
        let mtu = match peer {
            Peer::IpInIp { .. } => IPIP_MTU,
            Peer::Minimal { .. } => MINIMAL_MTU,
            Peer::Gre { .. } => GRE_MTU,
            Peer::Udp { .. } => UDP_MTU,
        };
        Self { home_address, peer, mtu, broadcasts: Broadcasts::No, delivery: None }
    }

    /// The same with these broadcasts.
    #[must_use]
    pub const fn with_broadcasts(self, broadcasts: Broadcasts) -> Self {
        Self { broadcasts, ..self }
    }

    /// The same with encapsulated delivery.
    #[must_use]
    pub const fn with_delivery(self, delivery: Delivery) -> Self {
        Self { delivery: Some(delivery), ..self }
    }

    /// The tunnel as `packet` takes it, wrapped once: what minimal encapsulation cannot carry goes as IP in IP.
    pub(crate) fn carrying(self, packet: Packet<'_>) -> Self {
        if is_beyond_minimal(packet) {
            self.carrying_fragments()
        } else {
            self.with_broadcasts(Broadcasts::No)
        }
    }

    /// The tunnel as fragments take it, wrapped once.
    pub(crate) const fn carrying_fragments(self) -> Self {
        let once = self.with_broadcasts(Broadcasts::No);
        match self.peer {
            Peer::Minimal { local, remote } => {
                let peer = Peer::IpInIp { local, remote };
                let more = peer.overhead() - self.peer.overhead();
                Self { peer, mtu: self.mtu.saturating_sub(more), ..once }
            }
            Peer::IpInIp { .. } | Peer::Gre { .. } | Peer::Udp { .. } => once,
        }
    }
}

/// Fragments have no place in the forwarding header (RFC 2004 §3). Options would become options of the outer packet,
/// which the routers on the way and the host of the tunnel end would obey. What is for many hosts often has a time to
/// live of one link, which would end inside the tunnel.
pub(crate) fn is_beyond_minimal(packet: Packet<'_>) -> bool {
    let destination = packet.destination();
    packet.is_fragment()
        || !packet.options().is_empty()
        || destination.is_multicast()
        || destination.is_broadcast()
}

/// On which end of the tunnel this agent stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Home agent: packets into the tunnel go *to* a home address, those from it come *from* one.
    HomeAgent,
    /// Foreign agent or co-located mobile node: the other way round.
    Visited,
}

/// The shard of an address: its last octet, which differs most between the addresses of one realm.
const SHARDS: usize = 256;

/// The tunnels by home address. A mobile node with simultaneous bindings has several (RFC 5944 §4.2.3).
#[derive(Clone, Debug)]
pub struct Table {
    side: Side,
    /// Entries by the last octet of the home address, each shard in order of address, those of one address as they
    /// were given.
    shards: Vec<Arc<Vec<Entry>>>,
    /// How many entries, and how many home addresses, there are.
    entries: usize,
    length: usize,
    /// Those of the entries that have broadcasts, in the same order.
    listeners: Arc<Vec<Entry>>,
    /// The broadcast address of the home link.
    broadcast: Option<Ipv4Addr>,
}

impl Table {
    /// A table of `entries`; of several with one home address the last wins.
    #[must_use]
    pub fn new(side: Side, entries: impl IntoIterator<Item = Entry>) -> Self {
        let empty = Arc::new(Vec::new());
        let shards = vec![Arc::clone(&empty); SHARDS];
        let mut table = Self { side, shards, entries: 0, length: 0, listeners: empty, broadcast: None };
        for entry in entries {
            table.insert(entry);
        }
        table
    }

    /// The same, for a home link whose broadcast address is `broadcast`. Without it only 255.255.255.255 and
    /// multicast groups are known as what goes to many.
    #[must_use]
    pub fn with_broadcast(self, broadcast: Ipv4Addr) -> Self {
        Self { broadcast: Some(broadcast), ..self }
    }

    /// True for an address of many hosts of the home link.
    #[must_use]
    pub fn is_group(&self, address: Ipv4Addr) -> bool {
        address.is_multicast() || address.is_broadcast() || self.broadcast == Some(address)
    }

    /// The entries with broadcasts, in order of home address.
    #[must_use]
    pub fn listeners(&self) -> &[Entry] {
        &self.listeners
    }

    /// The end on which this agent stands.
    #[must_use]
    pub const fn side(&self) -> Side {
        self.side
    }

    /// The entries of `home_address`.
    #[must_use]
    pub fn of(&self, home_address: Ipv4Addr) -> &[Entry] {
        let shard = self.shards.get(shard_of(home_address)).map_or(&[][..], |shard| shard.as_slice());
        &shard[places(shard, home_address)]
    }

    /// The first entry of `home_address`: where what it sends goes, at its own end of the tunnels.
    #[must_use]
    pub fn find(&self, home_address: Ipv4Addr) -> Option<Entry> {
        self.of(home_address).first().copied()
    }

    /// True if some tunnel leads to `remote`. Looks at every entry: not for each packet.
    #[must_use]
    pub fn has_peer(&self, remote: Ipv4Addr) -> bool {
        self.entries().any(|entry| entry.peer.remote() == remote)
    }

    /// Makes `entry` the only one of its home address; returns the first that it replaced.
    pub fn insert(&mut self, entry: Entry) -> Option<Entry> {
        self.set(entry.home_address, &[entry])
    }

    /// Removes all entries of `home_address`; returns the first.
    pub fn remove(&mut self, home_address: Ipv4Addr) -> Option<Entry> {
        self.set(home_address, &[])
    }

    /// Makes `entries` those of `home_address`, which all of them have; returns the first before. Those of another
    /// home address are left out.
    pub fn set(&mut self, home_address: Ipv4Addr, entries: &[Entry]) -> Option<Entry> {
        let (before, many) = (self.find(home_address), self.of(home_address).len());
        let own = || entries.iter().copied().filter(|entry| entry.home_address == home_address);
        let shard = self.shards.get_mut(shard_of(home_address))?;
        put(shard, home_address, own());
        put(&mut self.listeners, home_address, own().filter(|entry| entry.broadcasts != Broadcasts::No));
        self.length -= usize::from(before.is_some());
        self.length += usize::from(own().next().is_some());
        self.entries = self.entries - many + own().count();
        before
    }

    /// True if a mobile node at its own end of several tunnels may get each packet more than once.
    #[must_use]
    pub fn brings_duplicates(&self) -> bool {
        self.side == Side::Visited && self.entries > self.length
    }

    /// How many home addresses it holds.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// True if it holds no home address.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// All entries; those with the same last octet of the home address in order of address.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        self.shards.iter().flat_map(|shard| shard.iter().copied())
    }
}

fn shard_of(address: Ipv4Addr) -> usize {
    usize::from(address.octets()[3])
}

/// Where the entries of `home_address` stand, or would.
fn places(shard: &[Entry], home_address: Ipv4Addr) -> Range<usize> {
    let first = shard.partition_point(|entry| entry.home_address < home_address);
    let rest = shard.get(first..).unwrap_or_default();
    first..first + rest.iter().take_while(|entry| entry.home_address == home_address).count()
}

/// Puts `entries` in the place of those of `home_address`, without a copy if there are none before and after.
fn put(shard: &mut Arc<Vec<Entry>>, home_address: Ipv4Addr, entries: impl Iterator<Item = Entry>) {
    let places = places(shard, home_address);
    let mut entries = entries.peekable();
    if !places.is_empty() || entries.peek().is_some() {
        Arc::make_mut(shard).splice(places, entries);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::testing::{Random, address};

    fn entry(home: Ipv4Addr, mtu: u16) -> Entry {
        let peer = Peer::IpInIp { local: address("10.11.1.2"), remote: address("10.51.1.2") };
        Entry { mtu, ..Entry::new(home, peer) }
    }

    #[test]
    fn default_mtus_leave_room_for_the_overhead() {
        let local = address("10.11.1.2");
        let udp = Peer::Udp { remote: SocketAddrV4::new(local, 434) };
        let remote = local;
        let ipip = Peer::IpInIp { local, remote };
        for peer in [udp, ipip, Peer::Minimal { local, remote }, Peer::Gre { local, remote }] {
            assert_eq!(Entry::new(local, peer).mtu + peer.overhead(), 1500);
        }
    }

    #[test]
    fn agrees_with_an_ordered_map_under_random_changes() {
        let mut random = Random::new(1);
        let mut model = BTreeMap::new();
        let mut table = Table::new(Side::HomeAgent, []);
        for _ in 0..20_000 {
            // Few addresses, so that they meet again, in and across shards.
            let home = Ipv4Addr::from(random.below(700) * 37);
            if random.below(3) == 0 {
                assert_eq!(table.remove(home), model.remove(&home));
            } else {
                let broadcasts = if random.below(4) == 0 { Broadcasts::Plain } else { Broadcasts::No };
                let new = entry(home, random.below(1480) as u16).with_broadcasts(broadcasts);
                assert_eq!(table.insert(new), model.insert(home, new));
            }
            assert_eq!(table.len(), model.len());
            assert_eq!(table.is_empty(), model.is_empty());
            let probe = Ipv4Addr::from(random.below(700) * 37);
            assert_eq!(table.find(probe), model.get(&probe).copied());
        }
        let mut listed: Vec<_> = table.entries().collect();
        listed.sort_by_key(|entry| entry.home_address);
        assert_eq!(listed, model.into_values().collect::<Vec<_>>());
        listed.retain(|entry| entry.broadcasts != Broadcasts::No);
        assert!(!listed.is_empty());
        assert_eq!(table.listeners(), listed);
    }

    #[test]
    fn a_home_address_has_the_entries_that_were_set_last() {
        let home = address("10.11.1.50");
        let neighbours = ["10.11.0.50", "10.11.2.50"].map(|other| entry(address(other), 1480));
        let mut table = Table::new(Side::HomeAgent, neighbours);
        let [first, second, third] = [1000, 900, 1100].map(|mtu| entry(home, mtu));
        let loud = second.with_broadcasts(Broadcasts::Plain);
        assert_eq!(table.set(home, &[first, loud]), None);
        assert_eq!((table.of(home), table.find(home), table.len()), (&[first, loud][..], Some(first), 3));
        assert_eq!(table.listeners(), [loud]);
        assert_eq!(table.set(home, &[third, neighbours[0]]), Some(first), "a stranger's is left out");
        assert_eq!((table.of(home), table.len(), table.listeners()), (&[third][..], 3, &[][..]));
        assert_eq!(table.set(home, &[loud, third]), Some(third));
        assert_eq!(table.insert(first), Some(loud));
        assert_eq!((table.of(home), table.listeners()), (&[first][..], &[][..]));
        assert_eq!((table.remove(home), table.remove(home), table.len()), (Some(first), None, 2));
        assert_eq!(table.entries().collect::<Vec<_>>(), neighbours);
    }

    #[test]
    fn peers_are_those_of_present_entries() {
        let mut table = Table::new(Side::HomeAgent, [entry(address("10.11.1.50"), 1480)]);
        assert!(table.has_peer(address("10.51.1.2")));
        assert!(!table.has_peer(address("10.11.1.2")), "the local end is no peer");
        table.remove(address("10.11.1.50"));
        assert!(!table.has_peer(address("10.51.1.2")));
    }

    #[test]
    fn a_clone_keeps_what_it_had() {
        let mut table = Table::new(Side::HomeAgent, [entry(address("10.11.1.50"), 1480)]);
        let before = table.clone();
        table.insert(entry(address("10.11.2.50"), 1000));
        table.remove(address("10.11.1.50"));
        assert_eq!(before.len(), 1);
        assert!(before.find(address("10.11.1.50")).is_some());
        assert!(before.find(address("10.11.2.50")).is_none());
    }

    #[test]
    fn a_clone_shares_the_shards_that_did_not_change() {
        let entries = (0..2560_u32).map(|n| entry(Ipv4Addr::from(0x0a0b_0000 + n), 1480));
        let mut table = Table::new(Side::HomeAgent, entries);
        let before = table.clone();
        table.insert(entry(address("10.99.0.7"), 1480));
        let copied =
            table.shards.iter().zip(&before.shards).filter(|(now, then)| !Arc::ptr_eq(now, then)).count();
        assert_eq!(copied, 1);
    }
}
