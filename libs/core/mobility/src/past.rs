//! Keys of registrations that the other end revoked, for a minute: its acknowledgement may have been lost, and then it
//! asks again (RFC 3543 section 4.2); and what it granted before may still arrive.

use std::{collections::VecDeque, net::Ipv4Addr, time::Duration};

use record::Association;
use sansio::{Instant, Now};
use wire::mip::Spi;

/// How long a revocation that comes again is acknowledged again.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Most that are remembered at a time.
const MOST: usize = 1024;

/// One of them.
struct Entry {
    home_address: Ipv4Addr,
    associations: Vec<Association>,
    peer: Ipv4Addr,
    /// The latest that was acknowledged: an earlier one, or this again, is a replay.
    identifier: u32,
    until: Instant,
}

/// Those of the last minute, oldest first.
#[derive(Default)]
pub(crate) struct Past {
    entries: VecDeque<Entry>,
}

impl Past {
    /// The key that an end at this address names by an index, and of which home address it was.
    pub(crate) fn find(&self, peer: Ipv4Addr, index: Spi) -> Option<(Ipv4Addr, &Association)> {
        let of_peer = self.entries.iter().filter(|entry| entry.peer == peer);
        let keys = of_peer.flat_map(|e| e.associations.iter().map(|a| (e.home_address, a)));
        keys.into_iter().find(|(_, a)| a.inbound == index)
    }

    /// Remembers the keys of a registration of this home address that that end revoked with this identifier.
    pub(crate) fn remember(
        &mut self,
        home_address: Ipv4Addr,
        associations: Vec<Association>,
        peer: Ipv4Addr,
        identifier: u32,
        now: Now,
    ) {
        if self.entries.len() >= MOST {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry {
            home_address,
            associations,
            peer,
            identifier,
            until: now.mono + REMEMBERED,
        });
    }

    /// True if a revocation under this key, which verified, is later than what was acknowledged: it is to be
    /// acknowledged, once.
    pub(crate) fn again(&mut self, peer: Ipv4Addr, index: Spi, identifier: u32) -> bool {
        let named =
            |entry: &&mut Entry| entry.peer == peer && entry.associations.iter().any(|a| a.inbound == index);
        let later = |entry: &mut Entry| {
            let later = identifier.wrapping_sub(entry.identifier).cast_signed() > 0;
            if later {
                entry.identifier = identifier;
            }
            later
        };
        self.entries.iter_mut().find(named).is_some_and(later)
    }

    /// True if that end revoked what this home address had with it later than this time of its 137: a registration of
    /// that time, which is only learned of now, is over already.
    pub(crate) fn covers(&self, home_address: Ipv4Addr, peer: Ipv4Addr, timestamp: u32) -> bool {
        let later = |entry: &Entry| entry.identifier.wrapping_sub(timestamp).cast_signed() > 0;
        let of_this = |entry: &&Entry| (entry.home_address, entry.peer) == (home_address, peer);
        self.entries.iter().filter(of_this).any(later)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Erases those whose minute is over.
    pub(crate) fn erase(&mut self, now: Instant) {
        while self.entries.front().is_some_and(|entry| entry.until <= now) {
            self.entries.pop_front();
        }
    }

    /// When the next one is to be erased.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.entries.front().map(|entry| entry.until)
    }

    /// True if an index names one of them.
    pub(crate) fn uses(&self, index: Spi) -> bool {
        self.entries.iter().flat_map(|entry| &entry.associations).any(|a| a.inbound == index)
    }
}
