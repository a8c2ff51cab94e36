//! What the key distribution centre knows, and a journal that can take changes back.
//!
//! Changes are made in memory first, one after the other, so that each sees those before it; the journal
//! collects what must be durable. If the store refuses, the journal puts everything back.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use record::{AuditEntry, Change, Grant, HomeAgent, Nai, RealmKey, State, Subscriber, SubscriberState};
use wire::mip::Spi;

use super::Event;

/// Names one issue: who asked, and its own number for it.
pub(super) type IssueName = (String, [u8; 16]);

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
    /// Removed since this start: a home agent that connects gets all keys anyway.
    removed_keys: BTreeMap<u64, Spi>,
    grants: BTreeMap<u64, Grant>,
    grants_of: BTreeMap<Nai, BTreeSet<u64>>,
    by_issue: BTreeMap<IssueName, u64>,
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
    RemovedKey(u64),
    Grant(u64, Option<Grant>),
    HomeAgent(String, Option<HomeAgent>),
    Change(u64),
    Audit(u64),
}

impl Ledger {
    /// How many subscribers, home agents and grants.
    pub(super) fn held(&self) -> [usize; 3] {
        [self.subscribers.len(), self.home_agents.len(), self.grants.len()]
    }

    /// From what the store held.
    pub(super) fn new(state: State) -> Self {
        let mut ledger = Self {
            subscribers: BTreeMap::new(),
            by_change: BTreeMap::new(),
            by_home_address: BTreeMap::new(),
            spis: BTreeSet::new(),
            overlaps: BTreeSet::new(),
            realm_keys: BTreeMap::new(),
            removed_keys: BTreeMap::new(),
            grants: BTreeMap::new(),
            grants_of: BTreeMap::new(),
            by_issue: BTreeMap::new(),
            home_agents: BTreeMap::new(),
            change: state.subscriber_cursor,
            last_audit: state.last_audit,
            journal: Journal::default(),
        };
        for subscriber in state.subscribers {
            ledger.change = ledger.change.max(subscriber.change);
            ledger.set_subscriber(&subscriber.nai.clone(), Some(subscriber));
        }
        for key in state.realm_keys {
            ledger.change = ledger.change.max(key.change);
            ledger.realm_keys.insert(key.id, key);
        }
        for grant in state.grants {
            ledger.set_grant(grant.id, Some(grant));
        }
        ledger.home_agents.extend(state.home_agents.into_iter().map(|agent| (agent.name.clone(), agent)));
        ledger
    }

    // --- reading ---

    pub(super) fn subscriber(&self, nai: &Nai) -> Option<&Subscriber> {
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

    pub(super) fn grant(&self, id: u64) -> Option<&Grant> {
        self.grants.get(&id)
    }

    pub(super) fn grants_after(&self, after: u64) -> impl Iterator<Item = &Grant> {
        self.grants.range((std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded)).map(|(_, g)| g)
    }

    /// One subscriber's grants in order of number, after number `after`.
    pub(super) fn grants_of<'a>(
        &'a self,
        nai: &Nai,
        after: u64,
    ) -> impl Iterator<Item = &'a Grant> + use<'a> {
        let ids = self.grants_of.get(nai).into_iter().flatten();
        ids.filter(move |id| **id > after).filter_map(|id| self.grants.get(id))
    }

    pub(super) fn issue(&self, name: &IssueName) -> Option<&Grant> {
        self.by_issue.get(name).and_then(|id| self.grants.get(id))
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
        self.removed_keys.insert(change, id);
        self.journal.undo.extend([Undo::RealmKey(id, before), Undo::RemovedKey(change)]);
    }

    /// Tells of it once it is durable.
    pub(super) fn tell(&mut self, event: Event) {
        self.journal.events.push(event);
    }

    pub(super) fn put_grant(&mut self, grant: Grant) {
        let id = grant.id;
        self.journal.changes.push(Change::PutGrant(grant.clone()));
        let before = self.set_grant(id, Some(grant));
        self.journal.undo.push(Undo::Grant(id, before));
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
        std::mem::take(&mut self.journal.changes)
    }

    /// It is durable; returns what is to be told.
    pub(super) fn keep(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.journal).events
    }

    /// It is not durable: everything since the last [`keep`](Self::keep) is undone.
    pub(super) fn put_back(&mut self) {
        for undo in std::mem::take(&mut self.journal).undo.into_iter().rev() {
            match undo {
                Undo::Subscriber(nai, before) => drop(self.set_subscriber(&nai, before)),
                Undo::RealmKey(id, Some(before)) => drop(self.realm_keys.insert(id, before)),
                Undo::RealmKey(id, None) => drop(self.realm_keys.remove(&id)),
                Undo::RemovedKey(change) => drop(self.removed_keys.remove(&change)),
                Undo::Grant(id, before) => drop(self.set_grant(id, before)),
                Undo::HomeAgent(name, Some(before)) => drop(self.home_agents.insert(name, before)),
                Undo::HomeAgent(name, None) => drop(self.home_agents.remove(&name)),
                Undo::Change(before) => self.change = before,
                Undo::Audit(before) => self.last_audit = before,
            }
        }
    }

    /// Forgets grants that ended before `time` (seconds since 1970); the store keeps its rows.
    pub(super) fn forget_grants(&mut self, time: u64) {
        let old: Vec<u64> = self.grants.values().filter(|g| g.ends < time).map(|g| g.id).collect();
        for id in old {
            self.set_grant(id, None);
        }
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

    fn set_grant(&mut self, id: u64, next: Option<Grant>) -> Option<Grant> {
        let before = self.grants.remove(&id);
        if let Some(before) = &before {
            self.by_issue.remove(&(before.home_agent.clone(), before.request));
            if let Some(ids) = self.grants_of.get_mut(&before.nai) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.grants_of.remove(&before.nai);
                }
            }
        }
        if let Some(next) = next {
            self.by_issue.insert((next.home_agent.clone(), next.request), id);
            self.grants_of.entry(next.nai.clone()).or_default().insert(id);
            self.grants.insert(id, next);
        }
        before
    }
}
