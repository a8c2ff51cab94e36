//! What happened how often, in all and by mobile node, as in the Mobile IP MIB (RFC 2006).

use std::{collections::BTreeMap, fmt::Display, time::Duration};

use record::Nai;
use sansio::{Instant, Now};
use wire::mip::code::Code;

use super::{Effect, HomeAgent, roster::Who};
use crate::{
    Event, EventKind,
    admission::{Meter, Rate},
    figures::{Minute, Spans},
};

/// Lines about discarded messages that strangers can cause; the rest is only counted.
const NOTICES: Rate = Rate(20);
/// Counters alone are shown to the operator this often.
const SHOWN: Duration = Duration::from_millis(100);

/// What was asked for in the name of one mobile node, by requests that it authenticated (RFC 2006, haCounterTable).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counted {
    /// Registrations and deregistrations accepted.
    pub accepted: u64,
    /// Requests denied.
    pub denied: u64,
    /// When the last was accepted, in seconds since 1970; 0 never.
    pub accepted_at: u64,
    /// When the last was denied; 0 never.
    pub denied_at: u64,
    /// Code of the last denial.
    pub denied_code: u8,
}

impl Counted {
    /// True if there was anything.
    const fn any(&self) -> bool {
        self.accepted > 0 || self.denied > 0
    }
}

/// What registrations there were, since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Registrations {
    /// Accepted in the last minute.
    pub minute: u64,
    /// Most in any minute.
    pub most_in_a_minute: u64,
    /// How often keys came.
    pub keys: u64,
    /// How long that took on average.
    pub keys_mean: Duration,
    /// And together.
    pub keys_sum: Duration,
    /// And at most.
    pub keys_longest: Duration,
    /// Most requests that waited at a time.
    pub most_pending: usize,
}

/// All figures but those of each mobile node. Counters have names of ours: nobody else makes this grow.
#[derive(Default)]
pub(super) struct Figures {
    counters: BTreeMap<String, u64>,
    minute: Minute,
    keys: Spans,
    notices: Meter,
    revision: u64,
    clock: Instant,
    shown: Instant,
    /// Counters moved since they were shown.
    moved: bool,
}

impl Figures {
    /// Time goes on.
    pub(super) fn now(&mut self, now: Instant) {
        self.clock = now;
        if self.moved && now.saturating_since(self.shown) >= SHOWN {
            (self.moved, self.shown) = (false, now);
            self.revision += 1;
        }
    }

    /// Something changed that an operator could see.
    pub(super) const fn visible(&mut self) {
        self.revision += 1;
    }

    fn count(&mut self, what: &str) {
        self.moved = true;
        match self.counters.get_mut(what) {
            Some(count) => *count += 1,
            None => {
                self.counters.insert(what.to_owned(), 1);
            }
        }
    }

    /// The key distribution centre answered what was asked `whole` before `deadline`.
    pub(super) fn keys_came(&mut self, deadline: Option<Instant>, whole: Duration, now: Instant) {
        let Some(deadline) = deadline else { return };
        self.keys.add(whole.saturating_sub(deadline.saturating_since(now)));
    }

    /// A registration was accepted.
    pub(super) fn registered(&mut self, now: Now) {
        self.minute.add(now.mono);
    }
}

impl HomeAgent {
    /// What happened how often since the start, by name.
    #[must_use]
    pub const fn counters(&self) -> &BTreeMap<String, u64> {
        &self.figures.counters
    }

    /// The same by mobile node: those that sent an authentic request since the start, in order of name.
    pub fn nodes(&self) -> impl Iterator<Item = (&Nai, &Counted)> {
        let counted = self.known.iter().filter(|known| known.counted.any());
        counted.map(|known| (&known.subscriber.nai, &known.counted))
    }

    /// How many registrations there were, and how long their keys took.
    #[must_use]
    pub fn registrations(&self, now: Now) -> Registrations {
        let (minute, most_in_a_minute) = self.figures.minute.read(now.mono);
        let keys = self.figures.keys;
        Registrations {
            minute,
            most_in_a_minute,
            keys: keys.count,
            keys_mean: keys.mean(),
            keys_sum: keys.sum,
            keys_longest: keys.longest,
            most_pending: self.work.most(),
        }
    }

    /// Rises with everything that an operator could see; for counters alone not more often than every 100 ms.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.figures.revision
    }

    /// How many entries each table has that messages can make grow.
    #[must_use]
    pub fn footprint(&self) -> BTreeMap<&'static str, usize> {
        BTreeMap::from([
            ("bindings", self.bindings.len()),
            ("counters", self.figures.counters.len()),
            ("exchanges", self.reused.len()),
            ("groups tested", self.groups.len()),
            ("nodes counted", self.nodes().count()),
            ("pending", self.work.len()),
            ("refused transcripts", self.known.iter().map(|known| known.refused.len()).sum()),
            ("repeats", self.known.iter().filter(|known| known.repeat.is_some()).count()),
            ("revocations past", self.revocations.past.len()),
        ])
    }

    pub(super) fn count(&mut self, what: &str) {
        self.figures.count(what);
    }

    /// Counts an answer, or the denial of a known subscriber's request.
    pub(super) fn count_denial(&mut self, who: &Who, code: Code, now: Now) {
        self.figures.count(&format!("code {}", code.0));
        if let Some(known) = self.known.of_mut(who) {
            known.denied(code, now);
        }
    }

    pub(super) fn notify(&mut self, event: Event) {
        self.figures.visible();
        self.outbox.effect(Effect::Notify(event));
    }

    /// Silence on the wire, a line for the operator; beyond a rate only a count.
    pub(super) fn discard(&mut self, counter: &str, text: impl Display) {
        self.figures.count(counter);
        if self.figures.notices.take(NOTICES, self.figures.clock) {
            self.notify(Event::new(EventKind::Discarded, text.to_string()));
        } else {
            self.figures.count("notices suppressed");
        }
    }
}
