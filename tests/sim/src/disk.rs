//! A store in memory with the semantics of the real one: all or nothing, compare-and-set, and a crash that
//! may or may not have written what was not yet acknowledged.

use std::{collections::BTreeMap, net::Ipv4Addr};

use record::{Change, CommitError, HomeAgent, Nai, State, Subscriber};

/// What survives a crash. Several home agents may share one: whose a binding is stands there too.
#[derive(Default)]
pub(crate) struct Disk {
    state: State,
    /// Who wrote the binding of a home address and care-of address.
    writers: BTreeMap<(Ipv4Addr, Ipv4Addr), usize>,
}

impl Disk {
    pub(crate) fn enrol(&mut self, subscriber: Subscriber) {
        self.state.subscribers.push(subscriber);
    }

    pub(crate) fn keep(&mut self, key: record::RealmKey) {
        self.state.realm_keys.push(key);
    }

    pub(crate) fn register(&mut self, home_agent: HomeAgent) {
        self.state.home_agents.push(home_agent);
    }

    /// As a start of one of those who share it reads it: bindings are those it wrote itself.
    pub(crate) fn load_as(&self, reader: usize) -> State {
        let mut state = self.load();
        state.bindings.retain(|b| self.writers.get(&(b.home_address, b.care_of)) == Some(&reader));
        state
    }

    /// A copy of everything.
    pub(crate) fn load(&self) -> State {
        let s = &self.state;
        State {
            subscribers: s.subscribers.iter().map(Subscriber::duplicate).collect(),
            subscriber_cursor: s.subscriber_cursor,
            seen: s.seen.clone(),
            realm_keys: s.realm_keys.iter().map(record::RealmKey::duplicate).collect(),
            assigned: s.assigned.clone(),
            bindings: s.bindings.iter().map(record::Binding::duplicate).collect(),
            visitors: s.visitors.iter().map(record::Visitor::duplicate).collect(),
            revocations: s.revocations.iter().map(record::Revocation::duplicate).collect(),
            sequences: s.sequences.clone(),
            grants: s.grants.clone(),
            newest_grants: s.newest_grants.clone(),
            // Counted for people only.
            grants_ending: Vec::new(),
            longest_grant: u64::MAX,
            last_audit: s.last_audit,
            home_agents: s.home_agents.clone(),
        }
    }

    pub(crate) fn identification(&self, nai: &Nai) -> Option<u64> {
        self.state.seen.iter().find(|seen| seen.nai == *nai).map(|seen| seen.identification)
    }

    pub(crate) fn seen(&self, nai: &Nai) -> Option<&record::Seen> {
        self.state.seen.iter().find(|seen| seen.nai == *nai)
    }

    /// The number of the change that this subscriber stands at.
    pub(crate) fn change_of(&self, nai: &Nai) -> Option<u64> {
        self.state.subscribers.iter().find(|s| s.nai == *nai).map(|s| s.change)
    }

    /// The bindings of a home address.
    pub(crate) fn bindings(&self, home_address: Ipv4Addr) -> impl Iterator<Item = &record::Binding> {
        self.state.bindings.iter().filter(move |b| b.home_address == home_address)
    }

    pub(crate) fn bindings_of(&self, nai: &Nai) -> Vec<record::Binding> {
        self.state.bindings.iter().filter(|b| b.nai == *nai).map(record::Binding::duplicate).collect()
    }

    /// The address that was given to a subscriber.
    pub(crate) fn assigned(&self, nai: &Nai) -> Option<Ipv4Addr> {
        self.state.assigned.iter().find(|(of, _)| of == nai).map(|(_, address)| *address)
    }

    pub(crate) fn visitor(&self, home_address: Ipv4Addr) -> Option<&record::Visitor> {
        self.state.visitors.iter().find(|v| v.home_address == home_address)
    }

    /// True if the other end of this registration is being told that it ended.
    pub(crate) fn tells(&self, home_address: Ipv4Addr, care_of: Ipv4Addr) -> bool {
        self.state.revocations.iter().any(|r| (r.home_address, r.care_of) == (home_address, care_of))
    }

    /// A disk on which every visitor is gone, as after a loss of the file.
    pub(crate) fn lose(&mut self) {
        self.state.visitors.clear();
        self.state.revocations.clear();
        self.state.sequences.clear();
    }

    /// Commits a list as a whole.
    pub(crate) fn commit(&mut self, writer: usize, changes: Vec<Change>) -> Result<(), CommitError> {
        self.accepts(&changes)?;
        for change in changes {
            if let Change::PutBinding(binding) | Change::AddBinding(binding) = &change {
                self.writers.insert((binding.home_address, binding.care_of), writer);
            }
            self.apply(change);
        }
        Ok(())
    }

    /// Whether a list would be committed.
    pub(crate) fn accepts(&self, changes: &[Change]) -> Result<(), CommitError> {
        for change in changes {
            if let Change::Identification { nai, previous, .. } = change
                && self.identification(nai) != *previous
            {
                return Err(CommitError::Conflict);
            }
            if let Change::AssignAddress { nai, home_address } = change
                && self.state.assigned.iter().any(|(n, a)| (n == nai) != (a == home_address))
            {
                return Err(CommitError::Conflict);
            }
        }
        Ok(())
    }

    fn apply(&mut self, change: Change) {
        let s = &mut self.state;
        match change {
            Change::PutSubscriber(subscriber) => {
                // Whoever is behind takes nothing back.
                if s.subscribers.iter().any(|x| x.nai == subscriber.nai && x.change > subscriber.change) {
                    return;
                }
                s.subscribers.retain(|x| x.nai != subscriber.nai);
                s.subscribers.push(subscriber);
            }
            Change::SubscriberCursor(cursor) => s.subscriber_cursor = cursor,
            Change::Identification { nai, next, generation, index, .. } => {
                s.seen.retain(|seen| seen.nai != nai);
                s.seen.push(record::Seen { nai, identification: next, generation, index });
            }
            Change::PutRealmKey(key) => {
                s.realm_keys.retain(|other| other.id != key.id);
                s.realm_keys.push(key);
            }
            Change::RemoveRealmKey(id) => s.realm_keys.retain(|key| key.id != id),
            Change::PutBinding(binding) => {
                s.bindings.retain(|b| b.home_address != binding.home_address);
                s.bindings.push(binding);
            }
            Change::AddBinding(binding) => {
                let id = (binding.home_address, binding.care_of);
                s.bindings.retain(|b| (b.home_address, b.care_of) != id);
                s.bindings.push(binding);
            }
            Change::RemoveBinding { home_address, care_of } => {
                s.bindings.retain(|b| (b.home_address, b.care_of) != (home_address, care_of));
            }
            Change::RemoveBindings(address) => s.bindings.retain(|b| b.home_address != address),
            Change::AssignAddress { nai, home_address } => {
                s.assigned.retain(|(other, _)| *other != nai);
                s.assigned.push((nai, home_address));
            }
            Change::ReleaseAddress(nai) => s.assigned.retain(|(other, _)| *other != nai),
            Change::PutVisitor(visitor) => {
                s.visitors.retain(|v| v.home_address != visitor.home_address);
                s.visitors.push(visitor);
            }
            Change::RemoveVisitor(address) => s.visitors.retain(|v| v.home_address != address),
            Change::PutRevocation(record) => {
                let same = |r: &record::Revocation| {
                    (r.home_address, r.care_of) == (record.home_address, record.care_of)
                };
                s.revocations.retain(|r| !same(r));
                s.revocations.push(record);
            }
            Change::RemoveRevocation { home_address, care_of } => {
                s.revocations.retain(|r| (r.home_address, r.care_of) != (home_address, care_of));
            }
            Change::ReserveSequence { link, below } => {
                s.sequences.retain(|(l, _)| *l != link);
                s.sequences.push((link, below));
            }
            Change::PutGrant(grant) => {
                match s.newest_grants.binary_search_by(|(nai, _)| nai.cmp(&grant.nai)) {
                    Ok(at) => s.newest_grants[at].1 = s.newest_grants[at].1.max(grant.id),
                    Err(at) => s.newest_grants.insert(at, (grant.nai.clone(), grant.id)),
                }
                match s.grants.binary_search_by_key(&grant.id, |g| g.id) {
                    Ok(at) => s.grants[at] = grant,
                    Err(at) => s.grants.insert(at, grant),
                }
            }
            Change::Audit(entry) => s.last_audit = entry.number,
            Change::PutHomeAgent(home_agent) => self.register(home_agent),
        }
    }
}
