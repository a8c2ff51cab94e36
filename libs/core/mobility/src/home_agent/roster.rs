//! Subscribers with what is known of each. A request finds its sender by number: a dozen times in a registration, and
//! comparing names on the way down a tree each time was a tenth of it.

use std::collections::BTreeMap;

use record::{Nai, Subscriber};
use sansio::Now;
use wire::mip::{code::Code, registration::Identification};

use super::{Meter, answer::Repeat, counting::Counted, credential::Credential};

/// A subscriber with what is derived from KEY 0 and what its last requests left.
pub(super) struct Known {
    pub(super) subscriber: Subscriber,
    /// Its number among the names.
    pub(super) number: u32,
    /// The current one first.
    pub(super) credentials: Vec<Credential>,
    /// Highest identification that passed; replays are measured against it.
    pub(super) seen: Option<Identification>,
    /// What the store holds.
    pub(super) stored: Option<Identification>,
    /// What the store will hold once all that was sent to it is committed.
    pub(super) sent: Option<Identification>,
    /// Generation and highest index that go with it.
    pub(super) window: (u32, u64),
    /// That is of its way to keep replays out: requests can be compared with it.
    pub(super) comparable: bool,
    pub(super) repeat: Option<Repeat>,
    /// Transcripts that were answered with code 133 lately: each is answered once.
    pub(super) refused: Vec<[u8; 32]>,
    /// Answers to what came before, and to what came out of its time.
    pub(super) answers: Meter,
    pub(super) counted: Counted,
}

impl Known {
    /// A request of it was accepted.
    pub(super) const fn accepted(&mut self, now: Now) {
        self.counted.accepted += 1;
        self.counted.accepted_at = now.unix.as_secs();
    }

    /// A request of it was denied.
    pub(super) const fn denied(&mut self, code: Code, now: Now) {
        self.counted.denied += 1;
        self.counted.denied_at = now.unix.as_secs();
        self.counted.denied_code = code.0;
    }
}

/// Who sent a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Who {
    pub(super) nai: Nai,
    /// The number of that name when the request came; later it may be another one's, or nobody's.
    pub(super) number: u32,
}

/// All of them.
#[derive(Default)]
pub(super) struct Roster {
    by_name: BTreeMap<Nai, u32>,
    /// In the order of their numbers.
    known: Vec<Option<Box<Known>>>,
}

impl Roster {
    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(super) fn contains(&self, nai: &Nai) -> bool {
        self.by_name.contains_key(nai)
    }

    /// In order of name.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Known> {
        self.by_name.values().filter_map(|number| self.numbered(*number))
    }

    /// The one with this number.
    pub(super) fn numbered(&self, number: u32) -> Option<&Known> {
        self.known.get(number as usize)?.as_deref()
    }

    fn numbered_mut(&mut self, number: u32) -> Option<&mut Known> {
        self.known.get_mut(number as usize)?.as_deref_mut()
    }

    pub(super) fn named(&self, nai: &Nai) -> Option<&Known> {
        self.numbered(*self.by_name.get(nai)?)
    }

    pub(super) fn named_mut(&mut self, nai: &Nai) -> Option<&mut Known> {
        let number = *self.by_name.get(nai)?;
        self.numbered_mut(number)
    }

    /// The number of whoever has that name now.
    fn number_of(&self, who: &Who) -> Option<u32> {
        match self.numbered(who.number) {
            Some(known) if known.subscriber.nai == who.nai => Some(who.number),
            _ => self.by_name.get(&who.nai).copied(),
        }
    }

    pub(super) fn of(&self, who: &Who) -> Option<&Known> {
        self.numbered(self.number_of(who)?)
    }

    pub(super) fn of_mut(&mut self, who: &Who) -> Option<&mut Known> {
        let number = self.number_of(who)?;
        self.numbered_mut(number)
    }

    /// Puts a subscriber under its number.
    pub(super) fn enter(&mut self, known: Known) {
        let at = known.number as usize;
        if self.known.len() <= at {
            self.known.resize_with(at + 1, || None);
        }
        self.by_name.insert(known.subscriber.nai.clone(), known.number);
        self.known[at] = Some(Box::new(known));
    }

    pub(super) fn remove(&mut self, nai: &Nai) -> Option<Known> {
        let number = self.by_name.remove(nai)?;
        self.known.get_mut(number as usize)?.take().map(|known| *known)
    }
}
