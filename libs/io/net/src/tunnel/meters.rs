//! Octets through the tunnels of home addresses, where somebody wants to know when they are many.
//!
//! Only what is metered costs anything: a look at one flag for each packet else.

use std::{
    collections::HashMap,
    net::Ipv4Addr,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::sync::mpsc;

/// How many octets went through the tunnels of a home address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crossed {
    /// As many as are most of what is allowed.
    Most,
    /// As many as are allowed.
    All,
}

/// Each is told once for each time that a home address is metered.
pub type Crossings = mpsc::UnboundedReceiver<(Ipv4Addr, Crossed)>;

/// The two threads and control seldom want the same one.
const SHARDS: usize = 16;

struct Meter {
    counted: AtomicU64,
    most: u64,
    all: u64,
}

/// All of them.
pub(super) struct Meters {
    any: AtomicBool,
    shards: [RwLock<HashMap<Ipv4Addr, Meter>>; SHARDS],
    crossed: mpsc::UnboundedSender<(Ipv4Addr, Crossed)>,
}

impl Meters {
    pub(super) fn new() -> (Self, Crossings) {
        let (crossed, crossings) = mpsc::unbounded_channel();
        (Self { any: AtomicBool::new(false), shards: Default::default(), crossed }, crossings)
    }

    fn shard(&self, home_address: Ipv4Addr) -> &RwLock<HashMap<Ipv4Addr, Meter>> {
        &self.shards[home_address.to_bits() as usize % SHARDS]
    }

    /// Counts for this home address from 0, and tells once `most` and once `all` octets have gone.
    pub(super) fn begin(&self, home_address: Ipv4Addr, most: u64, all: u64) {
        let meter = Meter { counted: AtomicU64::new(0), most, all };
        let mut shard = self.shard(home_address).write().unwrap_or_else(PoisonError::into_inner);
        shard.insert(home_address, meter);
        self.any.store(true, Ordering::Relaxed);
    }

    /// Counts no longer for this home address.
    pub(super) fn end(&self, home_address: Ipv4Addr) {
        if self.any.load(Ordering::Relaxed) {
            self.shard(home_address).write().unwrap_or_else(PoisonError::into_inner).remove(&home_address);
        }
    }

    /// So many octets went through.
    pub(super) fn count(&self, home_address: Ipv4Addr, octets: usize) {
        if !self.any.load(Ordering::Relaxed) {
            return;
        }
        let shard = self.shard(home_address).read().unwrap_or_else(PoisonError::into_inner);
        let Some(meter) = shard.get(&home_address) else {
            return;
        };
        let octets = octets as u64;
        let before = meter.counted.fetch_add(octets, Ordering::Relaxed);
        let crosses = |limit: u64| before < limit && before.saturating_add(octets) >= limit;
        for (limit, crossed) in [(meter.most, Crossed::Most), (meter.all, Crossed::All)] {
            if crosses(limit) {
                // Nobody listens where nobody asked for it.
                let _ = self.crossed.send((home_address, crossed));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 50);
    const B: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 51);

    #[test]
    fn each_limit_is_told_once_and_a_new_count_begins_at_0() {
        let (meters, mut crossings) = Meters::new();
        meters.count(A, 1000);
        meters.begin(A, 80, 100);
        meters.begin(B, 80, 100);
        for _ in 0..79 {
            meters.count(A, 1);
        }
        assert!(crossings.try_recv().is_err());
        meters.count(A, 1);
        assert_eq!(crossings.try_recv(), Ok((A, Crossed::Most)));
        meters.count(A, 19);
        assert!(crossings.try_recv().is_err());
        meters.count(A, 1);
        meters.count(A, 1);
        assert_eq!(crossings.try_recv(), Ok((A, Crossed::All)));
        assert!(crossings.try_recv().is_err());
        // Both at once, in their order.
        meters.count(B, 500);
        let both = [crossings.try_recv(), crossings.try_recv()];
        assert_eq!(both, [Ok((B, Crossed::Most)), Ok((B, Crossed::All))]);
        meters.begin(A, 80, 100);
        meters.count(A, 79);
        assert!(crossings.try_recv().is_err());
        meters.end(A);
        meters.count(A, 79);
        assert!(crossings.try_recv().is_err());
    }
}
