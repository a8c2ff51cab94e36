//! What is kept in memory of grants: little, because there are as many as registrations.
//!
//! A grant itself stands in the store alone, and names the one before it of the same subscriber. Here stand the number
//! of each subscriber's newest, how many end when, and whole only those that were revoked, until an hour after their
//! end: home agents that were away are told of them. What else somebody wants to see, the store is asked for.

use std::{collections::BTreeMap, mem::take};

use record::{Grant, Nai, State};

/// How long grants are shown after their end, in seconds.
pub(super) const SHOWN: u64 = 3600;

/// Grants that the machine wants to see, out of those that are durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GrantsWanted {
    /// Of this subscriber, whose newest has this number; `None` for all.
    pub of: Option<(Nai, u64)>,
    /// Those with a higher number.
    pub after: u64,
    /// At most so many, in order of number.
    pub limit: usize,
    /// Those neither revoked nor ended at this time, in seconds since 1970.
    pub live_at: Option<u64>,
    /// Those that end after this time, in seconds since 1970.
    pub ends_after: u64,
    /// Those issued at this time or later, in seconds since 1970; none issued before it ends after `ends_after`. The
    /// store's clock may have been turned back since: one issued before it may have others before it that count.
    pub issued_since: u64,
}

impl GrantsWanted {
    /// Those that end after a time, from the first on; none runs longer than `longest` seconds.
    const fn ending(ends_after: u64, longest: u64) -> Self {
        let issued_since = ends_after.saturating_sub(longest);
        Self { of: None, after: 0, limit: usize::MAX, live_at: None, ends_after, issued_since }
    }

    /// True if `grant` is one of them, as long as there is no limit.
    #[must_use]
    pub fn holds(&self, grant: &Grant) -> bool {
        let of_subscriber = |(nai, newest): &(Nai, u64)| grant.nai == *nai && grant.id <= *newest;
        self.of.as_ref().is_none_or(of_subscriber)
            && grant.id > self.after
            && self.live_at.is_none_or(|time| grant.revoked.is_none() && grant.ends > time)
            && grant.ends > self.ends_after
            && grant.issued >= self.issued_since
    }
}

/// What ended then or before is not shown any more at `time`.
const fn shown_from(time: u64) -> u64 {
    time.saturating_sub(SHOWN + 1)
}

/// What is known of grants without the store.
#[derive(Default)]
pub(super) struct Grants {
    newest: BTreeMap<Nai, u64>,
    revoked: BTreeMap<Nai, BTreeMap<u64, Grant>>,
    /// How many end when: as many entries as a lifetime has seconds.
    ending: BTreeMap<u64, u64>,
    running: u64,
    /// None that is shown runs for more seconds. It only grows, and spares the store looking at what has ended.
    longest: u64,
    undo: Vec<Undo>,
}

enum Undo {
    Newest(Nai, Option<u64>),
    Revoked(Nai, u64),
    Counted(u64),
    Discounted(u64),
}

impl Grants {
    /// From what the store held.
    pub(super) fn new(state: &mut State) -> Self {
        let ending = take(&mut state.grants_ending);
        let mut grants = Self {
            newest: take(&mut state.newest_grants).into_iter().collect(),
            running: ending.iter().map(|(_, count)| count).sum(),
            ending: ending.into_iter().collect(),
            longest: state.longest_grant,
            ..Self::default()
        };
        for grant in state.grants.iter().filter(|grant| grant.revoked.is_some()) {
            grants.revoked.entry(grant.nai.clone()).or_default().insert(grant.id, grant.clone());
        }
        grants
    }

    /// Those that are shown to people at `time`.
    pub(super) const fn shown(&self, time: u64) -> GrantsWanted {
        GrantsWanted::ending(shown_from(time), self.longest)
    }

    /// Those that have neither ended nor been revoked at `time`.
    pub(super) fn live(&self, time: u64) -> GrantsWanted {
        GrantsWanted { live_at: Some(time), ..GrantsWanted::ending(time, self.longest) }
    }

    /// How many have not ended, as of the last [`Self::forget`].
    pub(super) const fn running(&self) -> u64 {
        self.running
    }

    /// How much of them is in memory.
    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        self.newest.len() + self.ending.len() + self.revoked.values().map(BTreeMap::len).sum::<usize>()
    }

    /// The number of the newest of a subscriber.
    pub(super) fn newest(&self, nai: &Nai) -> Option<u64> {
        self.newest.get(nai).copied()
    }

    /// Those of a subscriber that were revoked.
    pub(super) fn revoked_of(&self, nai: &Nai) -> impl Iterator<Item = &Grant> + use<'_> {
        self.revoked.get(nai).into_iter().flat_map(BTreeMap::values)
    }

    pub(super) fn is_revoked(&self, grant: &Grant) -> bool {
        self.revoked.get(&grant.nai).is_some_and(|of| of.contains_key(&grant.id))
    }

    /// A grant is new, or was issued again instead of one that would have ended at `instead_of`.
    pub(super) fn add(&mut self, grant: &Grant, instead_of: Option<u64>) {
        match instead_of {
            Some(ends) => self.discount(ends),
            None => {
                let before = self.newest.insert(grant.nai.clone(), grant.id);
                self.undo.push(Undo::Newest(grant.nai.clone(), before));
            }
        }
        self.longest = self.longest.max(grant.ends.saturating_sub(grant.issued));
        self.count(grant.ends);
        self.undo.push(Undo::Counted(grant.ends));
    }

    /// A grant was revoked.
    pub(super) fn revoke(&mut self, grant: Grant) {
        self.undo.push(Undo::Revoked(grant.nai.clone(), grant.id));
        self.revoked.entry(grant.nai.clone()).or_default().insert(grant.id, grant);
    }

    fn count(&mut self, ends: u64) {
        *self.ending.entry(ends).or_default() += 1;
        self.running += 1;
    }

    fn discount(&mut self, ends: u64) {
        if self.uncount(ends) {
            self.undo.push(Undo::Discounted(ends));
        }
    }

    /// False if it has ended and is not counted any more.
    fn uncount(&mut self, ends: u64) -> bool {
        let Some(count) = self.ending.get_mut(&ends) else {
            return false;
        };
        *count -= 1;
        if *count == 0 {
            self.ending.remove(&ends);
        }
        self.running -= 1;
        true
    }

    /// Everything so far is durable.
    pub(super) fn keep(&mut self) {
        self.undo.clear();
    }

    /// Everything since the last [`Self::keep`] is not durable.
    pub(super) fn put_back(&mut self) {
        for undo in take(&mut self.undo).into_iter().rev() {
            match undo {
                Undo::Newest(nai, Some(before)) => drop(self.newest.insert(nai, before)),
                Undo::Newest(nai, None) => drop(self.newest.remove(&nai)),
                Undo::Revoked(nai, id) => {
                    let of = self.revoked.entry(nai.clone()).or_default();
                    of.remove(&id);
                    if of.is_empty() {
                        self.revoked.remove(&nai);
                    }
                }
                Undo::Counted(ends) => drop(self.uncount(ends)),
                Undo::Discounted(ends) => self.count(ends),
            }
        }
    }

    /// Counts no more what has ended at `time` (seconds since 1970).
    pub(super) fn end(&mut self, time: u64) {
        while let Some(first) = self.ending.first_entry().filter(|first| *first.key() <= time) {
            self.running -= first.remove();
        }
    }

    /// Forgets revoked ones that are not shown any more at `time`.
    pub(super) fn forget(&mut self, time: u64) {
        self.revoked.retain(|_, of| {
            of.retain(|_, grant| grant.ends > shown_from(time));
            !of.is_empty()
        });
    }
}
