//! Where the packets of each home address go.
//!
//! Control keeps one [`Table`], changes it, and hands a clone to the data path, which swaps it whole. A clone
//! shares all that did not change, so that one new binding among a hundred thousand does not copy them.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    sync::Arc,
};

/// Inner MTU of IP in IP over a 1500-octet path.
pub const IPIP_MTU: u16 = 1480;
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
    /// UDP tunnel data (RFC 3519); the local end is the UDP socket of the tunnel.
    Udp {
        /// The peer's outer address and port, as a NAT on the way shows them.
        remote: SocketAddrV4,
    },
}

impl Peer {
    /// Octets that encapsulation adds to a packet.
    #[must_use]
    pub const fn overhead(self) -> u16 {
        match self {
            Self::IpInIp { .. } => 20,
            Self::Udp { .. } => 32,
        }
    }

    /// The outer address of the peer.
    #[must_use]
    pub const fn remote(self) -> Ipv4Addr {
        match self {
            Self::IpInIp { remote, .. } => remote,
            Self::Udp { remote } => *remote.ip(),
        }
    }
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
}

impl Entry {
    /// An entry with the inner MTU of a 1500-octet path.
    #[must_use]
    pub const fn new(home_address: Ipv4Addr, peer: Peer) -> Self {
        let mtu = match peer {
            Peer::IpInIp { .. } => IPIP_MTU,
            Peer::Udp { .. } => UDP_MTU,
        };
        Self { home_address, peer, mtu }
    }
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

/// The tunnels by home address.
#[derive(Clone, Debug)]
pub struct Table {
    side: Side,
    /// Entries by the last octet of the home address, each shard in order of address.
    shards: Vec<Arc<Vec<Entry>>>,
    length: usize,
}

impl Table {
    /// A table of `entries`; of several with one home address the last wins.
    #[must_use]
    pub fn new(side: Side, entries: impl IntoIterator<Item = Entry>) -> Self {
        let empty = Arc::new(Vec::new());
        let mut table = Self { side, shards: vec![empty; SHARDS], length: 0 };
        for entry in entries {
            table.insert(entry);
        }
        table
    }

    /// The end on which this agent stands.
    #[must_use]
    pub const fn side(&self) -> Side {
        self.side
    }

    /// The entry of `home_address`.
    #[must_use]
    pub fn find(&self, home_address: Ipv4Addr) -> Option<Entry> {
        let shard = self.shards.get(shard_of(home_address))?;
        let at = position(shard, home_address).ok()?;
        shard.get(at).copied()
    }

    /// True if some tunnel leads to `remote`. Looks at every entry: not for each packet.
    #[must_use]
    pub fn has_peer(&self, remote: Ipv4Addr) -> bool {
        self.entries().any(|entry| entry.peer.remote() == remote)
    }

    /// Adds `entry`; returns the one that it replaced.
    pub fn insert(&mut self, entry: Entry) -> Option<Entry> {
        let shard = self.shards.get_mut(shard_of(entry.home_address))?;
        let found = position(shard, entry.home_address);
        let shard = Arc::make_mut(shard);
        match found {
            Ok(at) => Some(std::mem::replace(&mut shard[at], entry)),
            Err(at) => {
                shard.insert(at, entry);
                self.length += 1;
                None
            }
        }
    }

    /// Removes and returns the entry of `home_address`.
    pub fn remove(&mut self, home_address: Ipv4Addr) -> Option<Entry> {
        let shard = self.shards.get_mut(shard_of(home_address))?;
        let at = position(shard, home_address).ok()?;
        self.length -= 1;
        Some(Arc::make_mut(shard).remove(at))
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

    /// All entries; those with the same last octet in order of address.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        self.shards.iter().flat_map(|shard| shard.iter().copied())
    }
}

fn shard_of(address: Ipv4Addr) -> usize {
    usize::from(address.octets()[3])
}

fn position(shard: &[Entry], home_address: Ipv4Addr) -> Result<usize, usize> {
    shard.binary_search_by_key(&home_address, |entry| entry.home_address)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::testing::{Random, address};

    fn entry(home: Ipv4Addr, mtu: u16) -> Entry {
        let peer = Peer::IpInIp { local: address("10.11.1.2"), remote: address("10.51.1.2") };
        Entry { home_address: home, peer, mtu }
    }

    #[test]
    fn default_mtus_leave_room_for_the_overhead() {
        let local = address("10.11.1.2");
        let udp = Peer::Udp { remote: SocketAddrV4::new(local, 434) };
        let ipip = Peer::IpInIp { local, remote: local };
        for peer in [udp, ipip] {
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
                let new = entry(home, random.below(1480) as u16);
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
