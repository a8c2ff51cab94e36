//! A store in memory with the semantics of the real one: all or nothing, compare-and-set, and a crash that
//! may or may not have written what was not yet acknowledged.

use std::net::Ipv4Addr;

use record::{Change, CommitError, Nai, State, Subscriber};

/// What survives a crash.
#[derive(Default)]
pub(crate) struct Disk {
    state: State,
}

impl Disk {
    pub(crate) fn enrol(&mut self, subscriber: Subscriber) {
        self.state.subscribers.push(subscriber);
    }

    pub(crate) fn keep(&mut self, key: record::RealmKey) {
        self.state.realm_keys.push(key);
    }

    /// A copy, as a start reads it.
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
            sequences: s.sequences.clone(),
            ..State::default()
        }
    }

    pub(crate) fn identification(&self, nai: &Nai) -> Option<u64> {
        self.state.seen.iter().find(|seen| seen.nai == *nai).map(|seen| seen.identification)
    }

    /// The bindings of a home address.
    pub(crate) fn bindings(&self, home_address: Ipv4Addr) -> impl Iterator<Item = &record::Binding> {
        self.state.bindings.iter().filter(move |b| b.home_address == home_address)
    }

    /// A disk on which every visitor is gone, as after a loss of the file.
    pub(crate) fn lose(&mut self) {
        self.state.visitors.clear();
        self.state.sequences.clear();
    }

    /// Commits a list as a whole.
    pub(crate) fn commit(&mut self, changes: Vec<Change>) -> Result<(), CommitError> {
        self.accepts(&changes)?;
        changes.into_iter().for_each(|change| self.apply(change));
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
            Change::ReserveSequence { link, below } => {
                s.sequences.retain(|(l, _)| *l != link);
                s.sequences.push((link, below));
            }
            Change::PutGrant(_) | Change::Audit(_) | Change::PutHomeAgent(_) => {}
        }
    }
}
