//! Issues of the last minute, for home agents whose answer was lost.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use record::{Grant, Nai};
use sansio::Instant;

use super::Issued;

/// How long an answer can be had again.
const REMEMBERED: Duration = Duration::from_secs(60);
/// At most so many answers; with more, the oldest go first.
const REMEMBERED_MOST: usize = 65_536;
/// Parts of the table, a power of two: what is in one lies in one node of a map.
const PARTS: usize = REMEMBERED_MOST / 8;

/// Names one issue: the asker's own number for it, and who asked.
pub(super) type IssueName = ([u8; 16], Arc<str>);

/// Issues of the last minute with their answers, by the asker's number. The keys in them are wiped when they go.
#[derive(Default)]
pub(super) struct Remembered {
    issues: Issues,
    ends: VecDeque<(Instant, IssueName)>,
    /// Those that a start found; their minute begins with the first input.
    found: Vec<IssueName>,
    uncommitted: Vec<(IssueName, Option<Box<Remembrance>>)>,
}

/// An issue and its answer.
pub(super) struct Remembrance {
    until: Instant,
    pub(super) grant: Grant,
    /// `None` after a start, and once something of the subscriber was revoked.
    pub(super) keys: Option<Issued>,
}

/// Issues by name, in parts that the number chooses. Tens of thousands come and go every second: in one map of all of them
/// each would be looked for four nodes deep, in memory that nobody touched lately. An asker whose numbers are not random
/// crowds in few parts, and has one map again.
struct Issues(Vec<BTreeMap<IssueName, Box<Remembrance>>>);

impl Default for Issues {
    fn default() -> Self {
        Self(std::iter::repeat_with(BTreeMap::new).take(PARTS).collect())
    }
}

impl Issues {
    const fn place((request, _): &IssueName) -> usize {
        let [.., high, low] = *request;
        u16::from_be_bytes([high, low]) as usize % PARTS
    }

    fn get(&self, name: &IssueName) -> Option<&Remembrance> {
        self.0[Self::place(name)].get(name).map(Box::as_ref)
    }

    fn get_mut(&mut self, name: &IssueName) -> Option<&mut Remembrance> {
        self.0[Self::place(name)].get_mut(name).map(Box::as_mut)
    }

    fn insert(&mut self, name: IssueName, issue: Box<Remembrance>) -> Option<Box<Remembrance>> {
        self.0[Self::place(&name)].insert(name, issue)
    }

    fn remove(&mut self, name: &IssueName) -> Option<Box<Remembrance>> {
        self.0[Self::place(name)].remove(name)
    }

    fn values_mut(&mut self) -> impl Iterator<Item = &mut Remembrance> {
        self.0.iter_mut().flat_map(BTreeMap::values_mut).map(Box::as_mut)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.iter().map(BTreeMap::len).sum()
    }
}

impl Remembered {
    /// Those that were issued lately, in order of number.
    pub(super) fn new(grants: Vec<Grant>) -> Self {
        let mut remembered = Self::default();
        let more = grants.len().saturating_sub(REMEMBERED_MOST);
        for grant in grants.into_iter().skip(more) {
            let name = (grant.request, Arc::clone(&grant.home_agent));
            remembered.found.push(name.clone());
            let remembrance = Remembrance { until: Instant::default(), grant, keys: None };
            remembered.issues.insert(name, Box::new(remembrance));
        }
        remembered
    }

    /// How much of them is in memory.
    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        self.issues.len() + self.ends.len() + self.found.len() + self.uncommitted.len()
    }

    /// Until a minute after `now`.
    pub(super) fn add(&mut self, name: IssueName, grant: Grant, keys: Issued, now: Instant) {
        let until = now + REMEMBERED;
        if self.ends.len() >= REMEMBERED_MOST
            && let Some((_, oldest)) = self.ends.pop_front()
        {
            self.issues.remove(&oldest);
        }
        let remembrance = Box::new(Remembrance { until, grant, keys: Some(keys) });
        let before = self.issues.insert(name.clone(), remembrance);
        self.ends.push_back((until, name.clone()));
        self.uncommitted.push((name, before));
    }

    pub(super) fn of(&self, name: &IssueName) -> Option<&Remembrance> {
        self.issues.get(name)
    }

    /// A subscriber's keys are not given again.
    pub(super) fn drop_of(&mut self, nai: &Nai) {
        for issue in self.issues.values_mut().filter(|issue| issue.grant.nai == *nai) {
            issue.keys = None;
        }
    }

    /// What was added is durable.
    pub(super) fn keep(&mut self) {
        self.uncommitted.clear();
    }

    /// What was added is not durable: it is forgotten.
    pub(super) fn put_back(&mut self) {
        for (name, before) in std::mem::take(&mut self.uncommitted).into_iter().rev() {
            match before {
                Some(before) => drop(self.issues.insert(name, before)),
                None => drop(self.issues.remove(&name)),
            }
        }
    }

    /// Forgets what is over at `now`.
    pub(super) fn forget(&mut self, now: Instant) {
        for name in std::mem::take(&mut self.found) {
            if let Some(issue) = self.issues.get_mut(&name) {
                issue.until = now + REMEMBERED;
                self.ends.push_back((issue.until, name));
            }
        }
        while let Some((_, name)) = self.ends.pop_front_if(|(until, _)| *until <= now) {
            // It may have been issued again since.
            if self.issues.get(&name).is_some_and(|issue| issue.until <= now) {
                self.issues.remove(&name);
            }
        }
    }

    /// When the next is over.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.ends.front().map(|(until, _)| *until)
    }
}

#[cfg(test)]
mod tests {
    use record::AssociationKind;

    use super::*;

    fn remembrance(id: u64, home_agent: &Arc<str>) -> Box<Remembrance> {
        let grant = Grant {
            id,
            request: [0; 16],
            nai: "mn@home.example".parse().unwrap(),
            earlier: None,
            home_agent: Arc::clone(home_agent),
            foreign_agent: None,
            care_of: std::net::Ipv4Addr::LOCALHOST,
            keys: vec![record::GrantKey {
                kind: AssociationKind::Key1,
                first: wire::mip::Spi(256),
                second: wire::mip::Spi(257),
                fingerprint: id,
            }],
            issued: 0,
            ends: 1,
            revoked: None,
        };
        Box::new(Remembrance { until: Instant::default(), grant, keys: None })
    }

    /// Numbers of all parts, of one part only, and the same ones of two home agents.
    #[test]
    fn issues_are_told_apart_wherever_their_numbers_lie() {
        let agents: [Arc<str>; 2] = ["ha.home.example".into(), "ha2.home.example".into()];
        let mut issues = Issues::default();
        let mut model = BTreeMap::new();
        for n in 0..60_000_u64 {
            let mut number = [0; 16];
            let at = if n % 3 == 0 { 0 } else { 8 };
            number[at..at + 8].copy_from_slice(&(n / 2).to_be_bytes());
            let name = (number, Arc::clone(&agents[usize::from(n % 2 == 1)]));
            let before = issues.insert(name.clone(), remembrance(n, &name.1)).map(|issue| issue.grant.id);
            assert_eq!(before, model.insert(name, n));
        }
        assert_eq!(issues.len(), model.len());
        for (place, (name, id)) in model.iter().enumerate() {
            assert_eq!(issues.get(name).map(|issue| issue.grant.id), Some(*id));
            if place % 2 == 0 {
                assert_eq!(issues.remove(name).map(|issue| issue.grant.id), Some(*id));
                assert!(issues.get_mut(name).is_none());
            }
        }
        assert_eq!(issues.values_mut().count(), model.len() / 2);
    }
}
