//! What the data path counts.

use std::sync::atomic::{AtomicU64, Ordering};

use forward::Reason;

/// One thing that is counted, other than the reasons to drop.
#[derive(Clone, Copy)]
pub(super) enum Count {
    PacketsOut,
    OctetsOut,
    PacketsIn,
    OctetsIn,
    TooBig,
    Fragments,
    Errors,
    ErrorsReceived,
    SendFailed,
    DeliveryFailed,
    TooLong,
    ControlOverflow,
    HandedOver,
    Copied,
    Flooded,
    Duplicated,
    DuplicateDropped,
    Cut,
    Together,
}

const NAMES: [&str; 19] = [
    "tunnel packets out",
    "tunnel octets out",
    "tunnel packets in",
    "tunnel octets in",
    "tunnel packets too big",
    "tunnel fragments made",
    "tunnel ICMP errors sent",
    "tunnel ICMP errors received",
    "tunnel sends refused",
    "tunnel deliveries refused",
    "tunnel packets too long to be read",
    "datagrams lost before control",
    "packets handed over by visitors",
    "broadcast copies sent",
    "broadcasts put on the home link",
    "copies for simultaneous bindings sent",
    "duplicates taken out",
    "tunnel segments cut from longer packets",
    "tunnel packets handed over together",
];

const DROPS: [&str; Reason::ALL.len()] = [
    "tunnel drop: not IPv4",
    "tunnel drop: malformed packet",
    "tunnel drop: no tunnel",
    "tunnel drop: wrong peer",
    "tunnel drop: source not allowed",
    "tunnel drop: destination not allowed",
    "tunnel drop: time to live 0",
    "tunnel drop: loop",
    "tunnel drop: unknown next header",
    "tunnel drop: header not supported",
    "tunnel drop: wrong checksum",
    "tunnel drop: encapsulated delivery not agreed on",
];

/// The counters as the threads see them.
#[derive(Default)]
pub(super) struct Tally {
    counts: [AtomicU64; NAMES.len()],
    drops: [AtomicU64; DROPS.len()],
}

impl Tally {
    pub(super) fn add(&self, count: Count, amount: u64) {
        self.counts[count as usize].fetch_add(amount, Ordering::Relaxed);
    }

    pub(super) fn dropped(&self, reason: Reason) {
        self.drops[reason.index()].fetch_add(1, Ordering::Relaxed);
        tracing::trace!(reason = reason.name(), "packet dropped");
    }

    pub(super) fn read(&self) -> Counters {
        let names = NAMES.iter().chain(&DROPS);
        let values = self.counts.iter().chain(&self.drops);
        Counters(names.zip(values).map(|(name, value)| (*name, value.load(Ordering::Relaxed))).collect())
    }
}

/// The counters at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters(Vec<(&'static str, u64)>);

impl Counters {
    /// Each counter with its name.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.0.iter().copied()
    }

    /// The value of one counter; 0 for a name that is none.
    #[must_use]
    pub fn value(&self, name: &str) -> u64 {
        self.0.iter().find(|(known, _)| *known == name).map_or(0, |(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_and_drop_has_its_own_name() {
        let tally = Tally::default();
        for (n, reason) in Reason::ALL.into_iter().enumerate() {
            (0..=n).for_each(|_| tally.dropped(reason));
            let name = DROPS[reason.index()];
            assert_eq!(tally.read().value(name), n as u64 + 1, "{name}");
        }
        tally.add(Count::ControlOverflow, 7);
        assert_eq!(tally.read().value("datagrams lost before control"), 7);
        let mut names: Vec<_> = tally.read().entries().map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), NAMES.len() + DROPS.len());
    }
}
