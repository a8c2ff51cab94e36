//! What happened how often, in all and by home agent, as in the Mobile IP MIB (RFC 2006).

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use sansio::{Instant, Now};
use wire::mip::code::Code;

use super::{Effect, ForeignAgent, pending::Pending};
use crate::{
    Event, EventKind,
    figures::{Minute, Spans},
};

/// Counters alone are shown to the operator this often.
const SHOWN: Duration = Duration::from_millis(100);

/// What a home agent said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counted {
    /// Requests relayed to it, repeats not counted.
    pub relayed: u64,
    /// Registrations and deregistrations that it accepted.
    pub accepted: u64,
    /// When the last was, in seconds since 1970; 0 never.
    pub accepted_at: u64,
    /// Requests that it denied.
    pub denied: u64,
    /// Code of its last denial; 0 of none.
    pub denied_code: u8,
    /// When that was, in seconds since 1970.
    pub denied_at: u64,
    /// Requests that it never answered.
    pub timed_out: u64,
    /// How long its replies took on average.
    pub mean: Duration,
    /// And together.
    pub sum: Duration,
    /// And at most.
    pub longest: Duration,
}

/// What registrations there were, since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Registrations {
    /// Accepted in the last minute.
    pub minute: u64,
    /// Most in any minute.
    pub most_in_a_minute: u64,
    /// Most requests that waited at a time.
    pub most_pending: usize,
}

/// All figures. Counters have names of ours, home agents are configured ones: nobody else makes this grow.
#[derive(Default)]
pub(super) struct Figures {
    counters: BTreeMap<&'static str, u64>,
    homes: BTreeMap<Ipv4Addr, (Counted, Spans)>,
    minute: Minute,
    revision: u64,
    shown: Instant,
    /// Counters moved since they were shown.
    moved: bool,
}

impl Figures {
    /// Time goes on.
    pub(super) fn now(&mut self, now: Instant) {
        if self.moved && now.saturating_since(self.shown) >= SHOWN {
            (self.moved, self.shown) = (false, now);
            self.revision += 1;
        }
    }

    fn home(&mut self, home_agent: Ipv4Addr) -> &mut (Counted, Spans) {
        self.homes.entry(home_agent).or_default()
    }

    pub(super) fn relayed(&mut self, home_agent: Ipv4Addr) {
        self.home(home_agent).0.relayed += 1;
    }

    pub(super) fn timed_out(&mut self, home_agent: Ipv4Addr) {
        self.home(home_agent).0.timed_out += 1;
    }

    /// A reply that answers this request, which waits `whole` at most.
    pub(super) fn replied(&mut self, pending: &Pending, whole: Duration, code: Code, now: Now) {
        let (counted, spans) = self.home(pending.home_agent());
        spans.add(whole.saturating_sub(pending.deadline.saturating_since(now.mono)));
        if code.accepted() {
            counted.accepted += 1;
            counted.accepted_at = now.unix.as_secs();
        } else {
            counted.denied += 1;
            (counted.denied_code, counted.denied_at) = (code.0, now.unix.as_secs());
        }
    }

    /// A visitor was added or renewed.
    pub(super) fn registered(&mut self, now: Now) {
        self.minute.add(now.mono);
    }
}

impl ForeignAgent {
    /// What happened how often since the start, by name.
    #[must_use]
    pub const fn counters(&self) -> &BTreeMap<&'static str, u64> {
        &self.figures.counters
    }

    /// The same by home agent, for those that something was relayed to: name and figures, in order of address.
    pub fn home_agents(&self) -> impl Iterator<Item = (&str, Counted)> {
        self.figures.homes.iter().filter_map(|(address, (counted, spans))| {
            let home = self.homes.get(address)?;
            let times = Counted { mean: spans.mean(), sum: spans.sum, longest: spans.longest, ..*counted };
            Some((home.nai.as_str(), times))
        })
    }

    /// How many registrations there were.
    #[must_use]
    pub fn registrations(&self, now: Now) -> Registrations {
        let (minute, most_in_a_minute) = self.figures.minute.read(now.mono);
        Registrations { minute, most_in_a_minute, most_pending: self.pendings.most() }
    }

    /// Rises whenever something happened that a look from outside could show; for counters alone not more often than
    /// every 100 ms.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.figures.revision
    }

    /// How many entries each table has that messages can make grow.
    #[must_use]
    pub fn footprint(&self) -> BTreeMap<&'static str, usize> {
        BTreeMap::from([
            ("challenges", self.beacons.values().map(|beacon| beacon.challenges.len()).sum()),
            ("challenges spent", self.beacons.values().map(|beacon| beacon.challenges.spent()).sum()),
            ("counters", self.figures.counters.len()),
            ("home agents counted", self.figures.homes.len()),
            ("pending", self.pendings.len()),
            ("revocations past", self.past.len()),
            ("visitors", self.visitors.len()),
            ("waiting for exchanges", self.waiting.len()),
        ])
    }

    pub(super) fn count(&mut self, what: &'static str) {
        self.figures.moved = true;
        *self.figures.counters.entry(what).or_default() += 1;
    }

    pub(super) fn notify(&mut self, event: Event) {
        self.figures.revision += 1;
        self.outbox.effect(Effect::Notify(event));
    }

    /// A notice that whoever sends packets can cause: beyond a rate they are only counted.
    pub(super) fn notice(&mut self, event: impl FnOnce(&Self) -> Event, now: Now) {
        if self.notices.take(now.mono) {
            let event = event(self);
            self.notify(event);
        } else {
            self.count("notices suppressed");
        }
    }

    /// Counts a message that is passed over in silence, and says why.
    pub(super) fn discard(&mut self, why: &'static str, now: Now) {
        self.count(why);
        self.notice(|_| Event::new(EventKind::Discarded, format!("discarded a {why}")), now);
    }
}
