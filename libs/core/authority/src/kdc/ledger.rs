//! What the key distribution centre knows, and a journal that can take changes back.
//!
//! Changes are made in memory first, one after the other, so that each sees those before it; the journal
//! collects what must be durable. If the store refuses, the journal puts everything back.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem::take,
    net::Ipv4Addr,
};

use record::{AuditEntry, Change, Grant, HomeAgent, Nai, RealmKey, State, Subscriber, SubscriberState};
use wire::mip::Spi;

use super::{Event, grants::Grants};

/// The first change number of the epoch after the one of `change`, at `time` (seconds since 1970).
///
/// The upper 32 bits of a change number are its epoch. A store that is put back to an earlier state begins a new
/// one, because numbers are given out again that home agents know for other changes: what they have of another
/// epoch counts as nothing, and they take over everything.
#[must_use]
pub const fn epoch_after(change: u64, time: u64) -> u64 {
    let next = epoch(change).saturating_add(1);
    (if time > next && time <= u32::MAX as u64 { time } else { next }) << 32
}

const fn epoch(change: u64) -> u64 {
    change >> 32
}

/// The state, with what is needed to find things in it.
pub(super) struct Ledger {
    subscribers: BTreeMap<Nai, Subscriber>,
    by_change: BTreeMap<u64, Nai>,
    by_home_address: BTreeMap<Ipv4Addr, Nai>,
    spis: BTreeSet<u32>,
    overlaps: BTreeSet<(u64, Nai)>,
    realm_keys: BTreeMap<Spi, RealmKey>,
    /// Removed since this start, each index once: a home agent that connects gets all keys anyway.
    removed_keys: BTreeMap<u64, Spi>,
    grants: Grants,
    home_agents: BTreeMap<String, HomeAgent>,
    change: u64,
    last_audit: u64,
    journal: Journal,
}

/// What happened since the last commit, in order, and how to undo it.
#[derive(Default)]
struct Journal {
    changes: Vec<Change>,
    undo: Vec<Undo>,
    events: Vec<Event>,
}

enum Undo {
    Subscriber(Nai, Option<Subscriber>),
    RealmKey(Spi, Option<RealmKey>),
    RemovedKeys(BTreeMap<u64, Spi>),
    HomeAgent(String, Option<HomeAgent>),
    Change(u64),
    Audit(u64),
}

impl Ledger {
    /// How many subscribers and home agents, and grants that have not ended.
    pub(super) fn held(&self) -> [u64; 3] {
        [self.subscribers.len() as u64, self.home_agents.len() as u64, self.grants.running()]
    }

    /// From what the store held; the grants issued lately are left there.
    pub(super) fn new(state: &mut State) -> Self {
        let mut ledger = Self {
            subscribers: BTreeMap::new(),
            by_change: BTreeMap::new(),
            by_home_address: BTreeMap::new(),
            spis: BTreeSet::new(),
            overlaps: BTreeSet::new(),
            realm_keys: BTreeMap::new(),
            removed_keys: BTreeMap::new(),
            grants: Grants::new(state),
            home_agents: BTreeMap::new(),
            change: state.subscriber_cursor,
            last_audit: state.last_audit,
            journal: Journal::default(),
        };
        for subscriber in take(&mut state.subscribers) {
            ledger.change = ledger.change.max(subscriber.change);
            ledger.set_subscriber(&subscriber.nai.clone(), Some(subscriber));
        }
        for key in take(&mut state.realm_keys) {
            ledger.change = ledger.change.max(key.change);
            ledger.realm_keys.insert(key.id, key);
        }
        ledger
            .home_agents
            .extend(take(&mut state.home_agents).into_iter().map(|agent| (agent.name.clone(), agent)));
        ledger
    }

    // --- reading ---

    pub(super) fn subscriber(&self, nai: &str) -> Option<&Subscriber> {
        self.subscribers.get(nai)
    }

    /// Subscribers in order of NAI, after the one named `after`.
    pub(super) fn subscribers_after(&self, after: &str) -> impl Iterator<Item = &Subscriber> {
        let start = Nai::parse(after).ok();
        let bound = start.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        self.subscribers.range((bound, std::ops::Bound::Unbounded)).map(|(_, s)| s)
    }

    /// Subscribers in order of change, after change `since`.
    pub(super) fn changed_since(&self, since: u64) -> impl Iterator<Item = &Subscriber> {
        let changed = self.by_change.range((std::ops::Bound::Excluded(since), std::ops::Bound::Unbounded));
        changed.filter_map(|(_, nai)| self.subscribers.get(nai))
    }

    /// True if changes up to `since` were given out by this store as it is now.
    pub(super) const fn knows(&self, since: u64) -> bool {
        since <= self.change && epoch(since) == epoch(self.change)
    }

    pub(super) fn realm_key(&self, id: Spi) -> Option<&RealmKey> {
        self.realm_keys.get(&id)
    }

    /// Keys of the realm in order of index, ended ones too until they are removed.
    pub(super) fn realm_keys(&self) -> impl Iterator<Item = &RealmKey> {
        self.realm_keys.values()
    }

    /// Keys of the realm removed by a change after `since`.
    pub(super) fn removed_since(&self, since: u64) -> impl Iterator<Item = (u64, Spi)> {
        let after = (std::ops::Bound::Excluded(since), std::ops::Bound::Unbounded);
        self.removed_keys.range(after).map(|(change, id)| (*change, *id))
    }

    /// True while something is accepted that has an end.
    pub(super) fn overlaps_run(&self) -> bool {
        !self.overlaps.is_empty() || self.realm_keys.values().any(|key| key.ends.is_some())
    }

    /// Subscribers whose overlap is over at `time`, at most `limit`.
    pub(super) fn overlaps_over(&self, time: u64, limit: usize) -> Vec<Nai> {
        let over = self.overlaps.iter().take_while(|(ends, _)| *ends <= time);
        over.take(limit).map(|(_, nai)| nai.clone()).collect()
    }

    pub(super) fn owner_of(&self, home_address: Ipv4Addr) -> Option<&Nai> {
        self.by_home_address.get(&home_address)
    }

    pub(super) fn has_spi(&self, spi: u32) -> bool {
        self.spis.contains(&spi)
    }

    pub(super) const fn grants(&self) -> &Grants {
        &self.grants
    }

    pub(super) fn home_agent(&self, name: &str) -> Option<&HomeAgent> {
        self.home_agents.get(name)
    }

    pub(super) fn home_agents(&self) -> impl Iterator<Item = &HomeAgent> {
        self.home_agents.values()
    }

    /// The highest change number given out.
    pub(super) const fn change(&self) -> u64 {
        self.change
    }

    /// The number of the last audit entry.
    pub(super) const fn last_audit(&self) -> u64 {
        self.last_audit
    }

    // --- changing, with the journal ---

    /// The next change number.
    pub(super) fn next_change(&mut self) -> u64 {
        self.journal.undo.push(Undo::Change(self.change));
        self.change += 1;
        self.change
    }

    pub(super) fn put_subscriber(&mut self, subscriber: Subscriber) {
        let nai = subscriber.nai.clone();
        self.journal.changes.push(Change::PutSubscriber(subscriber.duplicate()));
        let before = self.set_subscriber(&nai, Some(subscriber));
        self.journal.undo.push(Undo::Subscriber(nai, before));
    }

    pub(super) fn put_realm_key(&mut self, key: RealmKey) {
        let id = key.id;
        self.journal.changes.push(Change::PutRealmKey(key.duplicate()));
        let before = self.realm_keys.insert(id, key);
        self.journal.undo.push(Undo::RealmKey(id, before));
    }

    /// Removes a key of the realm, by a change of its own.
    pub(super) fn remove_realm_key(&mut self, id: Spi) {
        let change = self.next_change();
        // No row keeps the number, and it must not be given out again after a restart.
        self.journal.changes.extend([Change::RemoveRealmKey(id), Change::SubscriberCursor(change)]);
        let before = self.realm_keys.remove(&id);
        self.journal.undo.extend([Undo::RealmKey(id, before), Undo::RemovedKeys(self.removed_keys.clone())]);
        self.removed_keys.retain(|_, other| *other != id);
        self.removed_keys.insert(change, id);
    }

    /// Tells of it once it is durable.
    pub(super) fn tell(&mut self, event: Event) {
        self.journal.events.push(event);
    }

    /// A new grant, or one that was issued again and would have ended at `instead_of`.
    pub(super) fn put_grant(&mut self, grant: Grant, instead_of: Option<u64>) {
        self.grants.add(&grant, instead_of);
        self.journal.changes.push(Change::PutGrant(grant));
    }

    /// Ends a grant at `time`, in seconds since 1970.
    pub(super) fn revoke_grant(&mut self, mut grant: Grant, time: u64) {
        grant.revoked = Some(time);
        self.journal.changes.push(Change::PutGrant(grant.clone()));
        self.grants.revoke(grant);
    }

    pub(super) fn put_home_agent(&mut self, agent: HomeAgent) {
        let name = agent.name.clone();
        self.journal.changes.push(Change::PutHomeAgent(agent.clone()));
        let before = self.home_agents.insert(name.clone(), agent);
        self.journal.undo.push(Undo::HomeAgent(name, before));
    }

    /// Appends to the audit trail; `make` gets the entry's number. Returns the number.
    pub(super) fn audit(&mut self, make: impl FnOnce(u64) -> AuditEntry) -> u64 {
        self.journal.undo.push(Undo::Audit(self.last_audit));
        self.last_audit += 1;
        self.journal.changes.push(Change::Audit(make(self.last_audit)));
        self.last_audit
    }

    /// True if something waits to be made durable.
    pub(super) fn is_changed(&self) -> bool {
        !self.journal.changes.is_empty()
    }

    /// How many changes wait to be made durable.
    pub(super) fn pending(&self) -> usize {
        self.journal.changes.len()
    }

    /// What must be made durable now.
    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        take(&mut self.journal.changes)
    }

    /// It is durable; returns what is to be told.
    pub(super) fn keep(&mut self) -> Vec<Event> {
        self.grants.keep();
        take(&mut self.journal).events
    }

    /// It is not durable: everything since the last [`keep`](Self::keep) is undone.
    pub(super) fn put_back(&mut self) {
        self.grants.put_back();
        for undo in take(&mut self.journal).undo.into_iter().rev() {
            match undo {
                Undo::Subscriber(nai, before) => drop(self.set_subscriber(&nai, before)),
                Undo::RealmKey(id, Some(before)) => drop(self.realm_keys.insert(id, before)),
                Undo::RealmKey(id, None) => drop(self.realm_keys.remove(&id)),
                Undo::RemovedKeys(before) => self.removed_keys = before,
                Undo::HomeAgent(name, Some(before)) => drop(self.home_agents.insert(name, before)),
                Undo::HomeAgent(name, None) => drop(self.home_agents.remove(&name)),
                Undo::Change(before) => self.change = before,
                Undo::Audit(before) => self.last_audit = before,
            }
        }
    }

    /// Counts no more the grants that have ended at `time` (seconds since 1970).
    pub(super) fn end_grants(&mut self, time: u64) {
        self.grants.end(time);
    }

    /// Forgets revoked grants that are not shown any more at `time`; the store keeps its rows.
    pub(super) fn forget_grants(&mut self, time: u64) {
        self.grants.forget(time);
    }

    // --- keeping the indices right ---

    fn set_subscriber(&mut self, nai: &Nai, next: Option<Subscriber>) -> Option<Subscriber> {
        let before = self.subscribers.remove(nai);
        if let Some(before) = &before {
            self.by_change.remove(&before.change);
            self.spis.remove(&before.spi.0);
            if let Some(old) = &before.retiring {
                self.spis.remove(&old.spi.0);
                self.overlaps.remove(&(old.ends, nai.clone()));
            }
            if before.state == SubscriberState::Active && !before.home_address.is_unspecified() {
                self.by_home_address.remove(&before.home_address);
            }
        }
        if let Some(next) = next {
            self.by_change.insert(next.change, nai.clone());
            self.spis.insert(next.spi.0);
            if let Some(old) = &next.retiring {
                self.spis.insert(old.spi.0);
                self.overlaps.insert((old.ends, nai.clone()));
            }
            // The address of a revoked subscriber is free for another one.
            if next.state == SubscriberState::Active && !next.home_address.is_unspecified() {
                self.by_home_address.insert(next.home_address, nai.clone());
            }
            self.subscribers.insert(nai.clone(), next);
        }
        before
    }
}
