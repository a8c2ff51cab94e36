//! The mobility bindings in memory: by home address, by end, by index.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    time::Duration,
};

use record::{AssociationKind, Binding};
use sansio::{Instant, Now, earliest};
use wire::mip::Spi;

use crate::changeover::Changeover;

/// One binding.
pub(super) struct Bound {
    pub(super) binding: Binding,
    /// When its associations are erased.
    changeover: Changeover,
    /// When its lifetime is over; `None` never.
    pub(super) ends: Option<Instant>,
    /// Under which instant it is looked at next.
    due: Option<Instant>,
    /// Its removal was sent to the store.
    ending: bool,
}

impl Bound {
    /// A binding that was just granted.
    pub(super) fn granted(binding: Binding, now: Now) -> Self {
        let lives = Duration::from_secs(u64::from(binding.lifetime));
        let ends = (binding.lifetime != u16::MAX).then(|| now.mono + lives);
        let changeover = Changeover::of(&binding.associations, now);
        Self { binding, changeover, ends, due: ends, ending: false }
    }

    /// A binding that the store held: what is left of its lifetime, by the wall clock, never more than all.
    pub(super) fn restored(binding: Binding, now: Now) -> Self {
        let lifetime = u64::from(binding.lifetime);
        let left = binding.ends().map(|e| e.saturating_sub(now.unix.as_secs()).min(lifetime));
        let ends = left.map(|left| now.mono + Duration::from_secs(left));
        let changeover = Changeover::of(&binding.associations, now);
        Self { binding, changeover, ends, due: ends, ending: false }
    }
}

/// All of them.
#[derive(Default)]
pub(super) struct Bindings {
    by_address: BTreeMap<Ipv4Addr, Bound>,
    /// When to look at which: its end, or a later attempt to end it. Not while its removal is being committed.
    due: BTreeSet<(Instant, Ipv4Addr)>,
    inbound: BTreeMap<Spi, Ipv4Addr>,
    /// When associations of which one are erased.
    erasures: BTreeSet<(Instant, Ipv4Addr)>,
}

impl Bindings {
    pub(super) fn len(&self) -> usize {
        self.by_address.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Binding> {
        self.by_address.values().map(|bound| &bound.binding)
    }

    pub(super) fn find(&self, home_address: Ipv4Addr) -> Option<&Bound> {
        self.by_address.get(&home_address)
    }

    /// The binding that receives under this index.
    pub(super) fn holder(&self, inbound: Spi) -> Option<Ipv4Addr> {
        self.inbound.get(&inbound).copied()
    }

    /// Inserts or replaces the binding of its home address.
    pub(super) fn insert(&mut self, bound: Bound) {
        let home_address = bound.binding.home_address;
        self.remove(home_address);
        self.due.extend(bound.ends.map(|ends| (ends, home_address)));
        self.put(home_address, bound);
    }

    /// Puts it in its place with what follows from its associations.
    fn put(&mut self, home_address: Ipv4Addr, bound: Bound) {
        self.inbound.extend(bound.binding.associations.iter().map(|a| (a.inbound, home_address)));
        self.erasures.extend(bound.changeover.deadline().map(|at| (at, home_address)));
        self.by_address.insert(home_address, bound);
    }

    fn take(&mut self, home_address: Ipv4Addr) -> Option<Bound> {
        let bound = self.by_address.remove(&home_address)?;
        for association in &bound.binding.associations {
            self.inbound.remove(&association.inbound);
        }
        if let Some(at) = bound.changeover.deadline() {
            self.erasures.remove(&(at, home_address));
        }
        Some(bound)
    }

    /// Something verified under this association.
    pub(super) fn confirm(&mut self, home_address: Ipv4Addr, which: (AssociationKind, Spi), now: Now) {
        if let Some(mut bound) = self.take(home_address) {
            bound.changeover.confirm(&mut bound.binding.associations, which, now);
            self.put(home_address, bound);
        }
    }

    /// Erases associations whose time is over.
    pub(super) fn erase(&mut self, now: Instant) {
        while let Some((_, home_address)) = self.erasures.first().copied().filter(|(at, _)| *at <= now)
            && let Some(mut bound) = self.take(home_address)
        {
            bound.changeover.erase(&mut bound.binding.associations, now);
            self.put(home_address, bound);
        }
    }

    pub(super) fn remove(&mut self, home_address: Ipv4Addr) -> Option<Binding> {
        let bound = self.take(home_address)?;
        if let Some(due) = bound.due {
            self.due.remove(&(due, home_address));
        }
        Some(bound.binding)
    }

    /// When the next one is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        earliest(self.due.first().map(|(at, _)| *at), self.erasures.first().map(|(at, _)| *at))
    }

    /// Those that are due; each is due no more until [`look_again`](Self::look_again).
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Ipv4Addr> {
        let mut over = Vec::new();
        while let Some(first) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            self.due.remove(&first);
            over.push(first.1);
        }
        over
    }

    /// True if its removal went to the store.
    pub(super) fn is_ending(&self, home_address: Ipv4Addr) -> bool {
        self.by_address.get(&home_address).is_some_and(|bound| bound.ending)
    }

    /// It was looked at, and stands until its lifetime is over.
    pub(super) fn stays(&mut self, home_address: Ipv4Addr) {
        if let Some(bound) = self.by_address.get_mut(&home_address) {
            bound.due = bound.ends;
            self.due.extend(bound.ends.map(|ends| (ends, home_address)));
        }
    }

    /// Marks a binding whose removal goes to the store; false if it is marked already, or not there.
    pub(super) fn begin_ending(&mut self, home_address: Ipv4Addr) -> bool {
        self.by_address.get_mut(&home_address).is_some_and(|b| !std::mem::replace(&mut b.ending, true))
    }

    /// It was not removed now: it is due again at `at`.
    pub(super) fn look_again(&mut self, home_address: Ipv4Addr, at: Instant) {
        if let Some(bound) = self.by_address.get_mut(&home_address) {
            bound.ending = false;
            if let Some(before) = bound.due.replace(at) {
                self.due.remove(&(before, home_address));
            }
            self.due.insert((at, home_address));
        }
    }
}
