//! What waits for keys or for the store, and whose it is: found by subscriber, by home address and by deadline without
//! looking through all of it, and counted by where it came from.

use std::{
    collections::{BTreeMap, BTreeSet},
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

/// All of it. Its size is bounded by [`Limits`](super::Limits) as far as mobile nodes cause it, and by the number of
/// bindings and subscribers as far as their ends and changes do.
#[derive(Default)]
pub(super) struct Pending {
    by_ticket: BTreeMap<Ticket, Box<Work>>,
    /// Those that wait for keys.
    waits: BTreeSet<(Instant, Ticket)>,
    /// By the number that the subscriber had.
    by_node: BTreeSet<(u32, Ticket)>,
    /// What makes or ends bindings, in the order in which it was sent to the store.
    by_home: BTreeSet<(Ipv4Addr, Ticket)>,
    by_agent: BTreeMap<usize, usize>,
    by_source: BTreeMap<Ipv4Addr, usize>,
    /// How many are for a request of a mobile node.
    asked: usize,
    most: usize,
}

fn home_address(step: &Step) -> Option<Ipv4Addr> {
    match step {
        Step::Bind { binding, .. } => Some(binding.home_address),
        Step::Unbind { home_address, .. } => Some(*home_address),
        Step::Keys(_) | Step::Record | Step::Subscribers(_) => None,
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
        self.by_ticket.len()
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
            self.waits.insert((deadline, ticket));
        }
        if let Some((who, _)) = &work.of {
            self.by_node.insert((who.number, ticket));
        }
        if let Some(home_address) = home_address(&work.step) {
            self.by_home.insert((home_address, ticket));
        }
        self.asked += usize::from(work.origin.is_some());
        match work.origin {
            Some(Origin { agent: Some(agent), .. }) => more(&mut self.by_agent, agent),
            Some(Origin { source, .. }) => more(&mut self.by_source, source),
            None => {}
        }
        self.by_ticket.insert(ticket, Box::new(work));
        self.most = self.most.max(self.asked);
    }

    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<Work> {
        let work = self.by_ticket.remove(&ticket)?;
        if let Some((who, _)) = &work.of {
            self.by_node.remove(&(who.number, ticket));
        }
        if let Some(home_address) = home_address(&work.step) {
            self.by_home.remove(&(home_address, ticket));
        }
        self.asked -= usize::from(work.origin.is_some());
        match work.origin {
            Some(Origin { agent: Some(agent), .. }) => fewer(&mut self.by_agent, &agent),
            Some(Origin { source, .. }) => fewer(&mut self.by_source, &source),
            None => {}
        }
        if let Some(deadline) = work.deadline {
            self.waits.remove(&(deadline, ticket));
        }
        Some(*work)
    }

    /// The tickets of all for which this holds.
    pub(super) fn tickets_of(&self, holds: impl Fn(&Work) -> bool) -> Vec<Ticket> {
        self.by_ticket.iter().filter(|(_, work)| holds(work)).map(|(ticket, _)| *ticket).collect()
    }

    /// In the order in which it came.
    pub(super) fn values(&self) -> impl Iterator<Item = &Work> {
        self.by_ticket.values().map(Box::as_ref)
    }

    /// What makes or ends bindings of a home address, in the order in which it was sent to the store.
    pub(super) fn at(&self, home_address: Ipv4Addr) -> impl Iterator<Item = &Work> {
        let tickets = self.by_home.range((home_address, Ticket(0))..=(home_address, Ticket(u64::MAX)));
        tickets.filter_map(|(_, ticket)| self.by_ticket.get(ticket).map(Box::as_ref))
    }

    /// Identifications of a subscriber's requests.
    pub(super) fn of(&self, who: &Who) -> impl Iterator<Item = Identification> {
        let tickets = self.by_node.range((who.number, Ticket(0))..=(who.number, Ticket(u64::MAX)));
        let all = tickets.filter_map(|(_, ticket)| self.by_ticket.get(ticket)?.of.as_ref());
        // The number may have been another one's before.
        all.filter(|(of, _)| of.nai == who.nai).map(|(_, identification)| *identification)
    }

    /// How much came from there: through the same agent, or from the same address without one.
    pub(super) fn from(&self, origin: Origin) -> usize {
        let found = match origin.agent {
            Some(agent) => self.by_agent.get(&agent),
            None => self.by_source.get(&origin.source),
        };
        found.copied().unwrap_or(0)
    }

    /// When the first wait for keys is over.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waits.first().map(|(deadline, _)| *deadline)
    }

    /// The first whose wait for keys is over.
    pub(super) fn late(&self, now: Instant) -> Option<Ticket> {
        self.waits.first().filter(|(deadline, _)| *deadline <= now).map(|(_, ticket)| *ticket)
    }
}
