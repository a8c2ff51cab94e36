//! Home addresses for subscribers that were enrolled without one (RFC 2794 section 1, RFC 5944 section 3.8.3.2).
//!
//! An address is chosen at the first registration that is to be accepted, and committed with its binding. From then on
//! it is that subscriber's: what roams is known by its address, so nobody gets another one's. That of a revoked one is
//! kept for its name, because agents and correspondents may still know it by that, and is given to somebody else only
//! where no other is left. It is never an address that somebody is enrolled with, ours, or one that no host of the home
//! link can have.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use record::{Change, Nai, Subscriber, SubscriberState};
use wire::mip::code::Code;

use super::{
    Config, HomeAgent, Pool,
    bind::Step,
    intake::{Asked, Denial},
};

/// An address that was given to a subscriber.
struct Assigned {
    home_address: Ipv4Addr,
    /// The store has it. Until then it is only kept from others.
    durable: bool,
    /// Who had it before.
    taken_from: Option<Nai>,
}

/// Who has which home address.
pub(super) struct Addresses {
    pool: Option<Pool>,
    /// Where the search for the next one begins: after the last that was given, so that an address which became free is
    /// given again as late as can be.
    next: u32,
    assigned: BTreeMap<Nai, Assigned>,
    /// All that were assigned or are enrolled.
    taken: BTreeSet<Ipv4Addr>,
}

impl Addresses {
    pub(super) fn new(config: &Config) -> Self {
        let mut addresses = Self { pool: None, next: 0, assigned: BTreeMap::new(), taken: BTreeSet::new() };
        addresses.give_from(config);
        addresses
    }

    /// New ones come from the pool of this configuration; those that were given stay.
    pub(super) fn give_from(&mut self, config: &Config) {
        let pool = config.home_addresses.clone().map(|mut pool| {
            let host = u32::MAX.checked_shr(config.home_prefix_length.into()).unwrap_or(0);
            let own = config.address.to_bits();
            // A prefix of 31 or 32 bits has neither network nor broadcast address (RFC 3021).
            let ends = (host > 1).then(|| [own & !host, own | host].map(Ipv4Addr::from_bits));
            pool.never.extend(ends.into_iter().flatten().chain([config.address]));
            pool
        });
        if pool != self.pool {
            self.next = pool.as_ref().map_or(0, |pool| pool.first.to_bits());
            self.pool = pool;
        }
    }

    /// The address that was assigned to a subscriber.
    pub(super) fn of(&self, nai: &Nai) -> Option<Ipv4Addr> {
        self.assigned.get(nai).map(|assigned| assigned.home_address)
    }

    /// What the store has.
    pub(super) fn restore(&mut self, nai: Nai, home_address: Ipv4Addr) {
        self.release(&nai);
        self.taken.insert(home_address);
        self.assigned.insert(nai, Assigned { home_address, durable: true, taken_from: None });
    }

    /// A subscriber is enrolled with this address.
    pub(super) fn enrolled(&mut self, home_address: Ipv4Addr) {
        self.taken.insert(home_address);
    }

    /// Nobody is enrolled with it any more.
    pub(super) fn free(&mut self, home_address: Ipv4Addr) {
        self.taken.remove(&home_address);
    }

    /// The address of a subscriber becomes free.
    pub(super) fn release(&mut self, nai: &Nai) {
        if let Some(assigned) = self.assigned.remove(nai) {
            self.taken.remove(&assigned.home_address);
        }
    }

    /// To whom this one was assigned. Looks at all of them: not for each registration.
    fn owner(&self, home_address: Ipv4Addr) -> Option<&Nai> {
        self.assigned.iter().find(|(_, assigned)| assigned.home_address == home_address).map(|(nai, _)| nai)
    }

    /// What is still to be committed for this subscriber.
    pub(super) fn to_commit(&self, nai: &Nai) -> Vec<Change> {
        let Some(assigned) = self.assigned.get(nai).filter(|assigned| !assigned.durable) else {
            return Vec::new();
        };
        let before = assigned.taken_from.clone().map(Change::ReleaseAddress);
        let change = Change::AssignAddress { nai: nai.clone(), home_address: assigned.home_address };
        before.into_iter().chain([change]).collect()
    }

    /// It is committed.
    pub(super) fn committed(&mut self, nai: &Nai) {
        if let Some(assigned) = self.assigned.get_mut(nai) {
            assigned.durable = true;
            assigned.taken_from = None;
        }
    }

    /// Another home agent on the same store was quicker: what the store has counts. An address that we had only in mind
    /// may be another one's there.
    pub(super) fn refresh(&mut self, nai: &Nai, stored: Option<Ipv4Addr>) {
        match stored {
            Some(home_address) => self.restore(nai.clone(), home_address),
            None => self.release(nai),
        }
    }

    fn is_free(&self, home_address: Ipv4Addr, coming: &BTreeSet<Ipv4Addr>) -> bool {
        let ours = |pool: &Pool| {
            (pool.first..=pool.last).contains(&home_address) && !pool.never.contains(&home_address)
        };
        self.pool.as_ref().is_some_and(ours)
            && !self.taken.contains(&home_address)
            && !coming.contains(&home_address)
    }

    /// A free address: the wanted one, or if none is wanted the next of the pool.
    fn choose(&self, wanted: Ipv4Addr, coming: &BTreeSet<Ipv4Addr>) -> Result<Ipv4Addr, Code> {
        let Some(pool) = &self.pool else {
            return Err(Code::HA_PROHIBITED);
        };
        if !wanted.is_unspecified() {
            return if self.is_free(wanted, coming) { Ok(wanted) } else { Err(Code::HA_PROHIBITED) };
        }
        let (first, last) = (pool.first.to_bits(), pool.last.to_bits());
        let mut all = (self.next..=last).chain(first..self.next).map(Ipv4Addr::from_bits);
        all.find(|address| self.is_free(*address, coming)).ok_or(Code::HA_RESOURCES)
    }
}

impl HomeAgent {
    /// The home address of a subscriber: enrolled or assigned; 0.0.0.0 as long as it has none.
    pub(super) fn home_address_of(&self, subscriber: &Subscriber) -> Ipv4Addr {
        match subscriber.home_address {
            Ipv4Addr::UNSPECIFIED => self.addresses.of(&subscriber.nai).unwrap_or(Ipv4Addr::UNSPECIFIED),
            enrolled => enrolled,
        }
    }

    /// The home address of a subscriber that is to have one assigned: the one that it has already, else the `wanted` one
    /// if it can have that, else, if none is wanted, a free one. It is this subscriber's from now on, and durable with
    /// the first binding.
    ///
    /// Denied with 129 without a pool and for a wanted one that it cannot have, with 130 if none is free.
    fn assign(&mut self, nai: &Nai, wanted: Ipv4Addr) -> Result<Ipv4Addr, Denial> {
        let denied = |code| (code, None);
        if let Some(home_address) = self.addresses.of(nai) {
            let same = wanted.is_unspecified() || wanted == home_address;
            return if same { Ok(home_address) } else { Err(denied(Code::HA_PROHIBITED)) };
        }
        let coming = self.coming();
        let (home_address, taken_from) = match self.addresses.choose(wanted, &coming) {
            Err(Code::HA_RESOURCES) => self.abandoned(&coming).ok_or(denied(Code::HA_RESOURCES))?,
            chosen => (chosen.map_err(denied)?, None),
        };
        if let Some(before) = &taken_from {
            self.addresses.release(before);
        }
        self.addresses.taken.insert(home_address);
        let assigned = Assigned { home_address, durable: false, taken_from };
        self.addresses.assigned.insert(nai.clone(), assigned);
        self.addresses.next = match home_address.to_bits().checked_add(1) {
            Some(next) if self.addresses.pool.as_ref().is_some_and(|p| next <= p.last.to_bits()) => next,
            Some(_) | None => self.addresses.pool.as_ref().map_or(0, |p| p.first.to_bits()),
        };
        self.figures.visible();
        Ok(home_address)
    }

    /// An address of the pool that was given to a name which is no subscriber any more.
    fn abandoned(&self, coming: &BTreeSet<Ipv4Addr>) -> Option<(Ipv4Addr, Option<Nai>)> {
        let gone = |nai: &Nai, assigned: &Assigned| {
            let bound = self.bindings.of(assigned.home_address).next().is_some();
            !self.known.contains(nai) && !bound && !coming.contains(&assigned.home_address)
        };
        let ours =
            |address| self.addresses.pool.as_ref().is_some_and(|p| (p.first..=p.last).contains(address));
        let mut all = self.addresses.assigned.iter();
        let (nai, assigned) = all.find(|(nai, a)| gone(nai, a) && ours(&a.home_address))?;
        Some((assigned.home_address, Some(nai.clone())))
    }

    /// The same for a request that is to be accepted and whose sender has no address yet.
    pub(super) fn give_address(&mut self, asked: &mut Asked) -> Result<(), Denial> {
        if asked.home_address.is_unspecified() {
            asked.home_address = self.assign(&asked.who.nai, asked.wanted)?;
        }
        Ok(())
    }

    /// True if a registration may still be granted for this address. Meanwhile its subscriber may have been revoked, or
    /// somebody else enrolled with the address, and the record of that be on its way to the store.
    pub(super) fn still_has(&self, nai: &Nai, home_address: Ipv4Addr) -> bool {
        !self.is_ending(nai)
            && self.addresses.of(nai).is_none_or(|own| own == home_address && !self.coming().contains(&own))
    }

    /// True if a change that ends the bindings of this subscriber is being committed.
    fn is_ending(&self, nai: &Nai) -> bool {
        let ends = |step: &Step| match step {
            Step::Subscribers(batch) => {
                batch.changed.iter().any(|s| s.nai == *nai && self.ended_by(s).is_some())
            }
            Step::Exchange(_) | Step::Keys(_) | Step::Bind { .. } | Step::Unbind { .. } | Step::Record => {
                false
            }
        };
        self.following.is_committing() && self.work.values().any(|work| ends(&work.step))
    }

    /// Home addresses of subscribers that are on their way to the store.
    fn coming(&self) -> BTreeSet<Ipv4Addr> {
        let of = |step: &Step| match step {
            Step::Subscribers(batch) => batch
                .changed
                .iter()
                .filter(|s| s.state == SubscriberState::Active)
                .map(|s| s.home_address)
                .collect(),
            Step::Exchange(_) | Step::Keys(_) | Step::Bind { .. } | Step::Unbind { .. } | Step::Record => {
                Vec::new()
            }
        };
        self.work.values().flat_map(|work| of(&work.step)).chain(self.following.coming()).collect()
    }

    /// Whose assigned address ends with a change of subscribers: of one that was enrolled with another address, and of
    /// somebody else who has that.
    pub(super) fn released_by(&self, changed: &Subscriber) -> BTreeSet<Nai> {
        let mut released = BTreeSet::new();
        if changed.state == SubscriberState::Active && !changed.home_address.is_unspecified() {
            released.extend(self.addresses.of(&changed.nai).map(|_| changed.nai.clone()));
            released.extend(self.addresses.owner(changed.home_address).cloned());
        }
        released
    }
}
