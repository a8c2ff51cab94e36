//! The mobility bindings in memory: by home address and care-of address, by end, by index.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::Arc,
    time::Duration,
};

use record::{AssociationKind, Binding};
use sansio::{Instant, Now, earliest};
use wire::mip::Spi;

use super::BoundTunnel;
use crate::changeover::Changeover;

/// Which binding: home address and care-of address. A mobile node may have several at a time (RFC 5944 section
/// 3.8.2.2), never two with one care-of address.
pub(super) type BindingId = (Ipv4Addr, Ipv4Addr);

pub(super) const fn id_of(binding: &Binding) -> BindingId {
    (binding.home_address, binding.care_of)
}

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
    by_id: BTreeMap<BindingId, Bound>,
    /// When to look at which: its end, or a later attempt to end it. Not while its removal is being committed.
    due: BTreeSet<(Instant, BindingId)>,
    inbound: BTreeMap<Spi, BindingId>,
    /// When associations of which one are erased.
    erasures: BTreeSet<(Instant, BindingId)>,
    /// How many there are through each foreign agent.
    through: BTreeMap<Arc<str>, usize>,
}

impl Bindings {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Binding> {
        self.by_id.values().map(|bound| &bound.binding)
    }

    /// How many there are through a foreign agent.
    pub(super) fn through(&self, agent: &str) -> usize {
        self.through.get(agent).copied().unwrap_or(0)
    }

    pub(super) fn find(&self, id: BindingId) -> Option<&Bound> {
        self.by_id.get(&id)
    }

    /// Those of a home address, in order of care-of address.
    pub(super) fn of(&self, home_address: Ipv4Addr) -> impl Iterator<Item = &Binding> {
        let all = (home_address, Ipv4Addr::UNSPECIFIED)..=(home_address, Ipv4Addr::BROADCAST);
        self.by_id.range(all).map(|(_, bound)| &bound.binding)
    }

    /// Where packets for a home address go; nowhere without a binding.
    pub(super) fn tunnels(&self, home_address: Ipv4Addr) -> Vec<BoundTunnel> {
        self.of(home_address).map(BoundTunnel::of).collect()
    }

    /// The binding that receives under this index.
    pub(super) fn holder(&self, inbound: Spi) -> Option<BindingId> {
        self.inbound.get(&inbound).copied()
    }

    /// Inserts a binding; hands back those that it takes the place of: always that of its care-of address, and all
    /// others of the home address unless they are kept beside it.
    pub(super) fn replace(&mut self, bound: Bound, keep_others: bool) -> Vec<Binding> {
        let id = id_of(&bound.binding);
        let before = if keep_others { self.remove(id).into_iter().collect() } else { self.remove_all(id.0) };
        self.due.extend(bound.ends.map(|ends| (ends, id)));
        self.put(id, bound);
        before
    }

    /// Puts it in its place with what follows from its associations.
    fn put(&mut self, id: BindingId, bound: Bound) {
        self.inbound.extend(bound.binding.associations.iter().map(|a| (a.inbound, id)));
        self.erasures.extend(bound.changeover.deadline().map(|at| (at, id)));
        if let Some(agent) = &bound.binding.foreign_agent {
            match self.through.get_mut(agent) {
                Some(count) => *count += 1,
                None => drop(self.through.insert(agent.clone(), 1)),
            }
        }
        self.by_id.insert(id, bound);
    }

    fn take(&mut self, id: BindingId) -> Option<Bound> {
        let bound = self.by_id.remove(&id)?;
        for association in &bound.binding.associations {
            self.inbound.remove(&association.inbound);
        }
        if let Some(at) = bound.changeover.deadline() {
            self.erasures.remove(&(at, id));
        }
        if let Some(agent) = &bound.binding.foreign_agent
            && let Some(count) = self.through.get_mut(agent)
        {
            *count -= 1;
        }
        Some(bound)
    }

    /// Something verified under this association.
    pub(super) fn confirm(&mut self, id: BindingId, which: (AssociationKind, Spi), now: Now) {
        if let Some(mut bound) = self.take(id) {
            bound.changeover.confirm(&mut bound.binding.associations, which, now);
            self.put(id, bound);
        }
    }

    /// Erases associations whose time is over.
    pub(super) fn erase(&mut self, now: Instant) {
        while let Some((_, id)) = self.erasures.first().copied().filter(|(at, _)| *at <= now)
            && let Some(mut bound) = self.take(id)
        {
            bound.changeover.erase(&mut bound.binding.associations, now);
            self.put(id, bound);
        }
    }

    pub(super) fn remove(&mut self, id: BindingId) -> Option<Binding> {
        let bound = self.take(id)?;
        if let Some(due) = bound.due {
            self.due.remove(&(due, id));
        }
        Some(bound.binding)
    }

    /// Removes all bindings of a home address.
    pub(super) fn remove_all(&mut self, home_address: Ipv4Addr) -> Vec<Binding> {
        let ids: Vec<_> = self.of(home_address).map(id_of).collect();
        ids.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    /// When the next one is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        earliest(self.due.first().map(|(at, _)| *at), self.erasures.first().map(|(at, _)| *at))
    }

    /// Those that are due; each is due no more until [`look_again`](Self::look_again).
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<BindingId> {
        let mut over = Vec::new();
        while let Some(first) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            self.due.remove(&first);
            over.push(first.1);
        }
        over
    }

    /// It was looked at, and stands until its lifetime is over.
    pub(super) fn stays(&mut self, id: BindingId) {
        if let Some(bound) = self.by_id.get_mut(&id) {
            bound.due = bound.ends;
            self.due.extend(bound.ends.map(|ends| (ends, id)));
        }
    }

    /// Marks a binding whose removal goes to the store; false if it is marked already, or not there.
    pub(super) fn begin_ending(&mut self, id: BindingId) -> bool {
        self.by_id.get_mut(&id).is_some_and(|b| !std::mem::replace(&mut b.ending, true))
    }

    /// It was not removed now: it is due again at `at`.
    pub(super) fn look_again(&mut self, id: BindingId, at: Instant) {
        if let Some(bound) = self.by_id.get_mut(&id) {
            bound.ending = false;
            if let Some(before) = bound.due.replace(at) {
                self.due.remove(&(before, id));
            }
            self.due.insert((at, id));
        }
    }
}
