//! The mobility bindings in memory: by home address and care-of address, by end, by index.
//!
//! There may be a million: each stands once in a slot, and everything that finds it names the slot.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::Arc,
    time::Duration,
};

use record::{Association, AssociationKind, Binding};
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
    /// When its end, or a later attempt to end it, is due; `None` while its removal is being committed.
    due: Option<Instant>,
    /// Its removal was sent to the store.
    ending: bool,
}

impl Bound {
    /// When it is looked at next.
    fn wakes(&self) -> Option<Instant> {
        earliest(self.due, self.changeover.deadline())
    }

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

/// Place of a binding.
type Slot = u32;

/// How many there are through each foreign agent.
type Through = BTreeMap<Arc<str>, usize>;

fn more(through: &mut Through, agent: Option<&Arc<str>>) {
    let Some(agent) = agent else { return };
    match through.get_mut(agent) {
        Some(count) => *count += 1,
        None => drop(through.insert(Arc::clone(agent), 1)),
    }
}

fn fewer(through: &mut Through, agent: Option<&Arc<str>>) {
    if let Some(count) = agent.and_then(|agent| through.get_mut(agent)) {
        *count -= 1;
    }
}

/// All of them.
#[derive(Default)]
pub(super) struct Bindings {
    slots: Vec<Option<Bound>>,
    free: Vec<Slot>,
    by_id: BTreeMap<BindingId, Slot>,
    /// When to look at which: it is due, or associations of it are erased.
    wakes: BTreeSet<(Instant, Slot)>,
    inbound: BTreeMap<Spi, Slot>,
    /// Those that were found due.
    over: Vec<BindingId>,
    /// How many there are through each foreign agent.
    through: Through,
}

impl Bindings {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    fn at(&self, slot: Slot) -> Option<&Bound> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Binding> {
        self.by_id.values().filter_map(|slot| Some(&self.at(*slot)?.binding))
    }

    /// How many there are through a foreign agent.
    pub(super) fn through(&self, agent: &str) -> usize {
        self.through.get(agent).copied().unwrap_or(0)
    }

    pub(super) fn find(&self, id: BindingId) -> Option<&Bound> {
        self.at(*self.by_id.get(&id)?)
    }

    /// Those of a home address, in order of care-of address.
    pub(super) fn of(&self, home_address: Ipv4Addr) -> impl Iterator<Item = &Binding> {
        let all = (home_address, Ipv4Addr::UNSPECIFIED)..=(home_address, Ipv4Addr::BROADCAST);
        self.by_id.range(all).filter_map(|(_, slot)| Some(&self.at(*slot)?.binding))
    }

    /// Where packets for a home address go; nowhere without a binding.
    pub(super) fn tunnels(&self, home_address: Ipv4Addr) -> Vec<BoundTunnel> {
        self.of(home_address).map(BoundTunnel::of).collect()
    }

    /// The binding that receives under this index.
    pub(super) fn holder(&self, inbound: Spi) -> Option<BindingId> {
        self.at(*self.inbound.get(&inbound)?).map(|bound| id_of(&bound.binding))
    }

    /// Inserts a binding; hands back those that it takes the place of: always that of its care-of address, and all
    /// others of the home address unless they are kept beside it.
    pub(super) fn replace(&mut self, bound: Bound, keep_others: bool) -> Vec<Binding> {
        let id = id_of(&bound.binding);
        let place = match self.by_id.contains_key(&id) {
            true => Some(id),
            false if keep_others => None,
            false => self.of(id.0).map(id_of).next(),
        };
        let Some(place) = place else {
            self.put(id, bound);
            return Vec::new();
        };
        let others = self.of(id.0).map(id_of).filter(|other| !keep_others && *other != place);
        let others: Vec<_> = others.collect();
        // First: the new one may have taken over some of their associations.
        let mut before: Vec<_> = others.into_iter().filter_map(|other| self.remove(other)).collect();
        before.extend(self.change_places(place, bound));
        before.sort_by_key(|binding| binding.care_of);
        before
    }

    /// Puts a binding into the slot of another one of the same home address, and changes only what leads elsewhere now.
    /// None with the addresses of the new one stands in another slot.
    fn change_places(&mut self, before: BindingId, mut bound: Bound) -> Option<Binding> {
        let slot = *self.by_id.get(&before)?;
        let old = self.slots.get_mut(slot as usize)?.as_mut()?;
        bound.binding.associations.shrink_to_fit();
        let id = id_of(&bound.binding);
        if id != before {
            self.by_id.remove(&before);
            self.by_id.insert(id, slot);
        }
        if bound.wakes() != old.wakes() {
            old.wakes().map(|at| self.wakes.remove(&(at, slot)));
            self.wakes.extend(bound.wakes().map(|at| (at, slot)));
        }
        let (gone, new) = (&old.binding.associations, &bound.binding.associations);
        let without =
            |all: &[Association], a: &Association| all.iter().all(|other| other.inbound != a.inbound);
        for index in gone.iter().filter(|a| without(new, a)).map(|a| a.inbound) {
            self.inbound.remove(&index);
        }
        for index in new.iter().filter(|a| without(gone, a)).map(|a| a.inbound) {
            self.inbound.insert(index, slot);
        }
        if old.binding.foreign_agent != bound.binding.foreign_agent {
            fewer(&mut self.through, old.binding.foreign_agent.as_ref());
            more(&mut self.through, bound.binding.foreign_agent.as_ref());
        }
        Some(std::mem::replace(old, bound).binding)
    }

    /// Those that a start found, in order of home address and care-of address. What leads to them is built at once: that
    /// is quicker, and leaves no gaps.
    pub(super) fn restored(all: impl ExactSizeIterator<Item = Bound>) -> Self {
        let mut slots = Vec::with_capacity(all.len());
        slots.extend(all.map(|mut bound| {
            bound.binding.associations.shrink_to_fit();
            Some(bound)
        }));
        let mut restored = Self { slots, ..Self::default() };
        let numbered = || {
            let slots = restored.slots.iter().flatten();
            slots.zip(0..).map(|(bound, slot): (&Bound, Slot)| (slot, bound))
        };
        let by_id = numbered().map(|(slot, bound)| (id_of(&bound.binding), slot)).collect();
        let wakes = numbered().filter_map(|(slot, bound)| Some((bound.wakes()?, slot))).collect();
        let indices = |(slot, bound): (Slot, &'_ Bound)| {
            bound.binding.associations.iter().map(move |a| (a.inbound, slot)).collect::<Vec<_>>()
        };
        let inbound = numbered().flat_map(indices).collect();
        let mut through = Through::new();
        for (_, bound) in numbered() {
            more(&mut through, bound.binding.foreign_agent.as_ref());
        }
        (restored.by_id, restored.wakes, restored.inbound, restored.through) =
            (by_id, wakes, inbound, through);
        restored
    }

    /// Puts it in a slot with what leads to it.
    fn put(&mut self, id: BindingId, mut bound: Bound) {
        bound.binding.associations.shrink_to_fit();
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            Slot::try_from(self.slots.len() - 1).unwrap_or(Slot::MAX)
        });
        self.inbound.extend(bound.binding.associations.iter().map(|a| (a.inbound, slot)));
        self.wakes.extend(bound.wakes().map(|at| (at, slot)));
        more(&mut self.through, bound.binding.foreign_agent.as_ref());
        self.by_id.insert(id, slot);
        self.slots[slot as usize] = Some(bound);
    }

    /// Changes what is in a slot, but not its addresses nor who it is through, with what leads to it.
    fn change<T>(&mut self, slot: Slot, change: impl FnOnce(&mut Bound) -> T) -> Option<T> {
        let bound = self.slots.get_mut(slot as usize)?.as_mut()?;
        let (woke, before) = (bound.wakes(), bound.binding.associations.len());
        let indices: Vec<Spi> = bound.binding.associations.iter().map(|a| a.inbound).collect();
        let done = change(bound);
        if bound.wakes() != woke {
            self.wakes.extend(bound.wakes().map(|at| (at, slot)));
            if let Some(woke) = woke {
                self.wakes.remove(&(woke, slot));
            }
        }
        if bound.binding.associations.len() != before {
            let kept = &bound.binding.associations;
            for gone in indices.iter().filter(|index| kept.iter().all(|a| a.inbound != **index)) {
                self.inbound.remove(gone);
            }
        }
        Some(done)
    }

    /// Something verified under this association.
    pub(super) fn confirm(&mut self, id: BindingId, which: (AssociationKind, Spi), now: Now) {
        if let Some(slot) = self.by_id.get(&id).copied() {
            self.change(slot, |bound| bound.changeover.confirm(&mut bound.binding.associations, which, now));
        }
    }

    /// Erases associations whose time is over, and remembers which bindings are due.
    pub(super) fn erase(&mut self, now: Instant) {
        while let Some((at, slot)) = self.wakes.first().copied().filter(|(at, _)| *at <= now) {
            let due = self.change(slot, |bound| {
                bound.changeover.erase(&mut bound.binding.associations, now);
                let due = bound.due.take_if(|due| *due <= now);
                due.map(|_| id_of(&bound.binding))
            });
            // It has moved in the order, or there was nothing in the slot.
            self.wakes.remove(&(at, slot));
            self.over.extend(due.flatten());
        }
    }

    pub(super) fn remove(&mut self, id: BindingId) -> Option<Binding> {
        let slot = self.by_id.remove(&id)?;
        let bound = self.slots.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        if let Some(at) = bound.wakes() {
            self.wakes.remove(&(at, slot));
        }
        for association in &bound.binding.associations {
            self.inbound.remove(&association.inbound);
        }
        fewer(&mut self.through, bound.binding.foreign_agent.as_ref());
        Some(bound.binding)
    }

    /// Removes all bindings of a home address.
    pub(super) fn remove_all(&mut self, home_address: Ipv4Addr) -> Vec<Binding> {
        let ids: Vec<_> = self.of(home_address).map(id_of).collect();
        ids.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    /// When the next one is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.wakes.first().map(|(at, _)| *at)
    }

    /// Those that are due, in order of time; each is due no more until [`look_again`](Self::look_again).
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<BindingId> {
        self.erase(now);
        std::mem::take(&mut self.over)
    }

    /// It was looked at, and stands until its lifetime is over.
    pub(super) fn stays(&mut self, id: BindingId) {
        if let Some(slot) = self.by_id.get(&id).copied() {
            self.change(slot, |bound| bound.due = bound.ends);
        }
    }

    /// Marks a binding whose removal goes to the store; false if it is marked already, or not there.
    pub(super) fn begin_ending(&mut self, id: BindingId) -> bool {
        let slot = self.by_id.get(&id).copied();
        let bound = slot.and_then(|slot| self.slots.get_mut(slot as usize)?.as_mut());
        bound.is_some_and(|bound| !std::mem::replace(&mut bound.ending, true))
    }

    /// It was not removed now: it is due again at `at`.
    pub(super) fn look_again(&mut self, id: BindingId, at: Instant) {
        if let Some(slot) = self.by_id.get(&id).copied() {
            self.change(slot, |bound| {
                bound.ending = false;
                bound.due = Some(at);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use crypto::{Key, Rng};
    use record::{Nai, Suite, Tunnel};

    use super::*;

    fn at(seconds: u64) -> Now {
        Now { mono: Instant::new(Duration::from_secs(seconds)), unix: Duration::from_secs(5000 + seconds) }
    }

    fn binding(host: u8, care_of: u8, indices: &[u32], now: Now) -> Binding {
        let association = |inbound: &u32| Association {
            kind: AssociationKind::Key1,
            inbound: Spi(*inbound),
            outbound: Spi(1),
            suite: Suite::default(),
            key: Key::new([1; 32]),
            own: "".into(),
            peer: "".into(),
            made: now.unix.as_secs(),
            ends: now.unix.as_secs() + 50,
            confirmed: false,
            retires: None,
        };
        let care_of = Ipv4Addr::new(10, 51, 1, care_of);
        Binding {
            nai: Nai::parse(&format!("traveller-{host}@home.example")).unwrap(),
            home_address: Ipv4Addr::new(10, 11, 1, host),
            care_of,
            tunnel: Tunnel::IpInIp(care_of),
            reverse_tunnel: false,
            broadcasts: false,
            revocation: None,
            foreign_agent: (care_of.octets()[3] > 0)
                .then(|| format!("fa-{}@visited.example", care_of.octets()[3]).into()),
            lifetime: 60,
            granted: now.unix.as_secs(),
            associations: indices.iter().map(association).collect(),
        }
    }

    #[test]
    fn what_leads_to_a_binding_leads_to_it_wherever_it_was_put() {
        let (mut bindings, mut rng) = (Bindings::default(), Rng::from_seed([4; 32]));
        let mut model = BTreeMap::<BindingId, Vec<u32>>::new();
        let mut used = 1000;
        for turn in 0..5000 {
            let now = at(turn / 100);
            let (host, care_of) = (rng.u32() as u8 % 4, rng.u32() as u8 % 3);
            let id = (Ipv4Addr::new(10, 11, 1, host), Ipv4Addr::new(10, 51, 1, care_of));
            if rng.u32() % 4 == 0 {
                assert_eq!(bindings.remove(id).is_some(), model.remove(&id).is_some());
            } else {
                let keep_others = rng.u32() % 2 == 0;
                let of_host = |other: &BindingId| other.0 == id.0 && (!keep_others || *other == id);
                // Those that it takes the place of hand some of their indices on.
                let before: BTreeMap<_, _> = model.extract_if(.., |other, _| of_host(other)).collect();
                let mut indices: Vec<u32> =
                    before.values().flatten().copied().filter(|_| rng.u32() % 2 == 0).collect();
                indices.extend((0..2).map(|n| used + n));
                used += 2;
                let left =
                    bindings.replace(Bound::granted(binding(host, care_of, &indices, now), now), keep_others);
                assert!(left.iter().map(id_of).eq(before.keys().copied()), "in order of care-of address");
                model.insert(id, indices);
            }
            assert!(bindings.iter().map(id_of).eq(model.keys().copied()));
            let held: BTreeMap<_, _> =
                model.iter().flat_map(|(id, all)| all.iter().map(|index| (Spi(*index), *id))).collect();
            assert_eq!(bindings.inbound.len(), held.len());
            assert!(held.iter().all(|(index, id)| bindings.holder(*index) == Some(*id)));
            for agent in 1..3 {
                let through = model.keys().filter(|(_, care_of)| care_of.octets()[3] == agent).count();
                assert_eq!(bindings.through(&format!("fa-{agent}@visited.example")), through);
            }
            let wakes = bindings.slots.iter().flatten().filter_map(Bound::wakes);
            assert_eq!((bindings.wakes.len(), bindings.next_due()), (wakes.clone().count(), wakes.min()));
        }
    }
}
