//! What waits for keys or for the store, and whose it is: found by subscriber, by home address and by deadline without
//! looking through all of it, and counted by where it came from.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::Ipv4Addr,
};

use sansio::Instant;
use wire::mip::registration::Identification;

use super::{
    bind::{Step, Work},
    intake::Asked,
    roster::Who,
};
use crate::Ticket;

/// Where a request came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Origin {
    /// The foreign agent that relayed it, by its place among those configured.
    pub(super) agent: Option<usize>,
    /// Its source, of one that no agent relayed.
    pub(super) source: Ipv4Addr,
}

impl Origin {
    pub(super) fn of(asked: &Asked) -> Self {
        Self { agent: asked.agent.as_ref().map(|agent| agent.path), source: *asked.source.ip() }
    }
}

/// Work by ticket. Tickets rise by one and mostly go in the order in which they came: whoever has the oldest ones keeps
/// room for all that came since, 8 octets each.
#[derive(Default)]
struct Tickets {
    /// The ticket of the first place.
    first: u64,
    places: VecDeque<Option<Box<Work>>>,
    held: usize,
}

impl Tickets {
    fn place(&self, ticket: Ticket) -> Option<usize> {
        usize::try_from(ticket.0.checked_sub(self.first)?).ok()
    }

    fn get(&self, ticket: Ticket) -> Option<&Work> {
        self.places.get(self.place(ticket)?)?.as_deref()
    }

    /// Mostly under the newest ticket.
    fn insert(&mut self, ticket: Ticket, work: Work) {
        if self.places.is_empty() {
            self.first = ticket.0;
        }
        while ticket.0 < self.first {
            self.places.push_front(None);
            self.first -= 1;
        }
        let Some(at) = self.place(ticket) else { return };
        if self.places.len() <= at {
            self.places.resize_with(at + 1, || None);
        }
        self.held += usize::from(self.places[at].replace(Box::new(work)).is_none());
    }

    fn remove(&mut self, ticket: Ticket) -> Option<Box<Work>> {
        let at = self.place(ticket)?;
        let work = self.places.get_mut(at)?.take()?;
        self.held -= 1;
        while self.places.pop_front_if(|first| first.is_none()).is_some() {
            self.first += 1;
        }
        Some(work)
    }

    /// In order of ticket.
    fn iter(&self) -> impl Iterator<Item = (Ticket, &Work)> {
        let tickets = (self.first..).map(Ticket);
        tickets.zip(&self.places).filter_map(|(ticket, place)| Some((ticket, place.as_deref()?)))
    }
}

/// All of it. Its size is bounded by [`Limits`](super::Limits) as far as mobile nodes cause it, and by the number of
/// bindings and subscribers as far as their ends and changes do.
#[derive(Default)]
pub(super) struct Pending {
    by_ticket: Tickets,
    /// Those that wait for keys, in order of their ends; some are gone already, but never the first.
    waits: VecDeque<(Instant, Ticket)>,
    /// By the number that the subscriber had.
    by_node: BTreeSet<(u32, Ticket)>,
    /// What makes or ends bindings, in the order in which it was sent to the store.
    by_home: BTreeSet<(Ipv4Addr, Ticket)>,
    by_agent: Vec<usize>,
    by_source: BTreeMap<Ipv4Addr, usize>,
    /// How many are for a request of a mobile node.
    asked: usize,
    most: usize,
}

fn home_address(step: &Step) -> Option<Ipv4Addr> {
    match step {
        Step::Bind { binding, .. } => Some(binding.home_address),
        Step::Unbind { home_address, .. } => Some(*home_address),
        Step::Exchange(_) | Step::Keys(_) | Step::Record | Step::Subscribers(_) => None,
    }
}

fn more<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K) {
    *counts.entry(key).or_default() += 1;
}

fn fewer<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

impl Pending {
    pub(super) fn len(&self) -> usize {
        self.by_ticket.held
    }

    /// How many are for requests of mobile nodes.
    pub(super) const fn asked(&self) -> usize {
        self.asked
    }

    /// Most of those at a time.
    pub(super) const fn most(&self) -> usize {
        self.most
    }

    pub(super) fn insert(&mut self, ticket: Ticket, work: Work) {
        if let Some(deadline) = work.deadline {
            let at = self.waits.partition_point(|(before, _)| *before <= deadline);
            self.waits.insert(at, (deadline, ticket));
        }
        if let Some((who, _)) = &work.of {
            self.by_node.insert((who.number, ticket));
        }
        if let Some(home_address) = home_address(&work.step) {
            self.by_home.insert((home_address, ticket));
        }
        self.asked += usize::from(work.origin.is_some());
        match work.origin {
            Some(Origin { agent: Some(agent), .. }) => {
                if self.by_agent.len() <= agent {
                    self.by_agent.resize(agent + 1, 0);
                }
                self.by_agent[agent] += 1;
            }
            Some(Origin { source, .. }) => more(&mut self.by_source, source),
            None => {}
        }
        self.by_ticket.insert(ticket, work);
        self.most = self.most.max(self.asked);
    }

    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<Work> {
        let work = self.by_ticket.remove(ticket)?;
        if let Some((who, _)) = &work.of {
            self.by_node.remove(&(who.number, ticket));
        }
        if let Some(home_address) = home_address(&work.step) {
            self.by_home.remove(&(home_address, ticket));
        }
        self.asked -= usize::from(work.origin.is_some());
        match work.origin {
            Some(Origin { agent: Some(agent), .. }) => self.by_agent[agent] -= 1,
            Some(Origin { source, .. }) => fewer(&mut self.by_source, &source),
            None => {}
        }
        if work.deadline.is_some() {
            while self.waits.pop_front_if(|(_, ticket)| self.by_ticket.get(*ticket).is_none()).is_some() {}
        }
        Some(*work)
    }

    /// The tickets of all for which this holds.
    pub(super) fn tickets_of(&self, holds: impl Fn(&Work) -> bool) -> Vec<Ticket> {
        self.by_ticket.iter().filter(|(_, work)| holds(work)).map(|(ticket, _)| ticket).collect()
    }

    /// In the order in which it came.
    pub(super) fn values(&self) -> impl Iterator<Item = &Work> {
        self.by_ticket.iter().map(|(_, work)| work)
    }

    /// What makes or ends bindings of a home address, in the order in which it was sent to the store.
    pub(super) fn at(&self, home_address: Ipv4Addr) -> impl Iterator<Item = &Work> {
        let tickets = self.by_home.range((home_address, Ticket(0))..=(home_address, Ticket(u64::MAX)));
        tickets.filter_map(|(_, ticket)| self.by_ticket.get(*ticket))
    }

    /// Identifications of a subscriber's requests.
    pub(super) fn of(&self, who: &Who) -> impl Iterator<Item = Identification> {
        let tickets = self.by_node.range((who.number, Ticket(0))..=(who.number, Ticket(u64::MAX)));
        let all = tickets.filter_map(|(_, ticket)| self.by_ticket.get(*ticket)?.of.as_ref());
        // The number may have been another one's before.
        all.filter(|(of, _)| of.nai == who.nai).map(|(_, identification)| *identification)
    }

    /// How much came from there: through the same agent, or from the same address without one.
    pub(super) fn from(&self, origin: Origin) -> usize {
        let found = match origin.agent {
            Some(agent) => self.by_agent.get(agent),
            None => self.by_source.get(&origin.source),
        };
        found.copied().unwrap_or(0)
    }

    /// When the first wait for keys is over.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waits.front().map(|(deadline, _)| *deadline)
    }

    /// The first whose wait for keys is over.
    pub(super) fn late(&self, now: Instant) -> Option<Ticket> {
        self.waits.front().filter(|(deadline, _)| *deadline <= now).map(|(_, ticket)| *ticket)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crypto::Rng;

    use super::*;

    #[test]
    fn work_goes_by_its_ticket_and_the_first_wait_is_known() {
        let (mut pending, mut model, mut rng) =
            (Pending::default(), BTreeMap::new(), Rng::from_seed([2; 32]));
        let at = |ms| Instant::new(Duration::from_millis(ms));
        for ticket in (1..3000).map(Ticket) {
            // Time goes on, and once in a while it does not.
            let deadline = (rng.u32() % 2 == 0).then(|| at(ticket.0 - u64::from(rng.u32() % 8 == 0)));
            let mut work = Work::unwaited();
            work.deadline = deadline;
            pending.insert(ticket, work);
            model.insert(ticket, deadline);
            while rng.u32() % 8 > 3 {
                let oldest = model.keys().next().map_or(0, |ticket| ticket.0);
                let gone = Ticket(oldest + u64::from(rng.u32() % 40));
                assert_eq!(pending.remove(gone).map(|work| work.deadline), model.remove(&gone));
            }
            assert_eq!(pending.len(), model.len());
            let first = model.iter().filter_map(|(ticket, deadline)| Some(((*deadline)?, *ticket))).min();
            assert_eq!(pending.deadline(), first.map(|(deadline, _)| deadline));
            assert_eq!(first.map(|(deadline, _)| pending.late(deadline).is_some()), first.map(|_| true));
            assert!(pending.late(at(0)).is_none());
        }
        let held = pending.by_ticket.iter().map(|(ticket, work)| (ticket, work.deadline));
        assert!(held.eq(model.iter().map(|(ticket, deadline)| (*ticket, *deadline))));
        assert!(pending.tickets_of(|_| true).into_iter().eq(model.into_keys()));
    }
}
