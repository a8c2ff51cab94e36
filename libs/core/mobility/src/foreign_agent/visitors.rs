//! Visitors: mobile nodes whose home agents accepted a registration through us (RFC 5944 section 3.7.1).

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    net::Ipv4Addr,
    time::Duration,
};

use record::{Association, AssociationKind, Change, Tunnel, Visitor};
use sansio::{Instant, LinkId, Now, earliest};
use wire::mip::{Spi, registration::Identification};

use super::{Effect, ForeignAgent, Station, TunnelChange, VisitorTunnel, Work, challenge::Spender};
use crate::{
    Event, EventKind,
    changeover::{self, Changeover},
};

/// A visitor as it may be looked at from outside.
pub struct Visit<'a> {
    /// What is recorded of it. It holds keys.
    pub record: &'a Visitor,
    /// When it ends; `None` never.
    pub ends: Option<Instant>,
}

/// A visitor in memory.
pub(super) struct Visiting {
    pub(super) record: Visitor,
    /// When its associations are erased.
    pub(super) changeover: Changeover,
    /// Who asked for it, as the challenge saw it; not known after a restart.
    pub(super) spender: Option<Spender>,
    /// Identification of that request; not known after a restart.
    pub(super) identification: Option<Identification>,
    /// When it ends; `None` never.
    pub(super) ends: Option<Instant>,
}

impl Visiting {
    const fn station(&self) -> Station {
        Station { link: LinkId(self.record.link), address: self.record.link_address }
    }

    pub(super) const fn tunnel(&self) -> VisitorTunnel {
        VisitorTunnel {
            home_address: self.record.home_address,
            link: LinkId(self.record.link),
            link_address: self.record.link_address,
            home_agent: self.record.home_agent,
            care_of: self.record.care_of,
            tunnel: self.record.tunnel,
            reverse_tunnel: self.record.reverse_tunnel,
            encapsulating_delivery: self.record.encapsulating_delivery,
        }
    }
}

/// All of them.
#[derive(Default)]
pub(super) struct Visitors {
    by_address: BTreeMap<Ipv4Addr, Visiting>,
    by_station: BTreeSet<(Station, Ipv4Addr)>,
    /// By the indices that they receive under.
    by_index: BTreeMap<Spi, Ipv4Addr>,
    ends: BTreeSet<(Instant, Ipv4Addr)>,
    /// When associations of which visitor are erased.
    erasures: BTreeSet<(Instant, Ipv4Addr)>,
    /// Those whose record is newer than what the store holds.
    unsaved: BTreeSet<Ipv4Addr>,
}

impl Visitors {
    pub(super) fn len(&self) -> usize {
        self.by_address.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Visit<'_>> {
        self.by_address.values().map(|visiting| Visit { record: &visiting.record, ends: visiting.ends })
    }

    pub(super) fn tunnels(&self) -> impl Iterator<Item = VisitorTunnel> {
        self.by_address.values().map(Visiting::tunnel)
    }

    pub(super) fn find(&self, home_address: Ipv4Addr) -> Option<&Visiting> {
        self.by_address.get(&home_address)
    }

    pub(super) fn any_on(&self, link: LinkId) -> bool {
        self.by_address.values().any(|v| v.record.link == link.0)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let first = |set: &BTreeSet<(Instant, Ipv4Addr)>| set.first().map(|(at, _)| *at);
        earliest(first(&self.ends), first(&self.erasures))
    }

    /// True if an index is the inbound one of a visitor's association.
    pub(super) fn uses(&self, spi: Spi) -> bool {
        self.by_index.contains_key(&spi)
    }

    /// The association of this kind that receives under this index, and whose it is.
    pub(super) fn receiving(&self, kind: AssociationKind, spi: Spi) -> Option<(&Visiting, &Association)> {
        let visiting = self.by_address.get(self.by_index.get(&spi)?)?;
        Some((visiting, changeover::receiving(&visiting.record.associations, kind, spi)?))
    }

    /// Changes what is known of a visitor, and what follows from it here.
    pub(super) fn change<T>(
        &mut self,
        home_address: Ipv4Addr,
        change: impl FnOnce(&mut Visiting) -> T,
    ) -> Option<T> {
        let mut visiting = self.remove(home_address)?;
        let done = change(&mut visiting);
        self.insert(visiting);
        Some(done)
    }

    /// Erases the associations of one visitor that are due, and says whose.
    pub(super) fn erase_next(&mut self, now: Instant) -> Option<Ipv4Addr> {
        let (_, home_address) = self.erasures.first().copied().filter(|(at, _)| *at <= now)?;
        self.change(home_address, |visiting| {
            visiting.changeover.erase(&mut visiting.record.associations, now);
        });
        Some(home_address)
    }

    /// The record of this visitor is to be written again.
    pub(super) fn unsaved(&mut self, home_address: Ipv4Addr) {
        self.unsaved.insert(home_address);
    }

    pub(super) fn take_unsaved(&mut self) -> BTreeSet<Ipv4Addr> {
        mem::take(&mut self.unsaved)
    }

    pub(super) fn insert(&mut self, visiting: Visiting) -> Option<Visiting> {
        let address = visiting.record.home_address;
        let replaced = self.remove(address);
        self.by_station.insert((visiting.station(), address));
        self.by_index.extend(visiting.record.associations.iter().map(|a| (a.inbound, address)));
        self.ends.extend(visiting.ends.map(|at| (at, address)));
        self.erasures.extend(visiting.changeover.deadline().map(|at| (at, address)));
        self.by_address.insert(address, visiting);
        replaced
    }

    pub(super) fn remove(&mut self, home_address: Ipv4Addr) -> Option<Visiting> {
        let visiting = self.by_address.remove(&home_address)?;
        self.by_station.remove(&(visiting.station(), home_address));
        for association in &visiting.record.associations {
            self.by_index.remove(&association.inbound);
        }
        if let Some(at) = visiting.ends {
            self.ends.remove(&(at, home_address));
        }
        if let Some(at) = visiting.changeover.deadline() {
            self.erasures.remove(&(at, home_address));
        }
        Some(visiting)
    }

    fn postpone(&mut self, home_address: Ipv4Addr, to: Instant) {
        if let Some(visiting) = self.by_address.get_mut(&home_address) {
            if let Some(at) = visiting.ends.replace(to) {
                self.ends.remove(&(at, home_address));
            }
            self.ends.insert((to, home_address));
        }
    }

    fn of(&self, station: Station) -> impl Iterator<Item = &Visiting> {
        self.by_station
            .range((station, Ipv4Addr::UNSPECIFIED)..=(station, Ipv4Addr::BROADCAST))
            .filter_map(|(_, address)| self.by_address.get(address))
    }

    pub(super) fn knows(&self, station: Station) -> bool {
        self.of(station).next().is_some()
    }

    /// The visitor that a deregistration without 33 means: the one of this station and home agent that this spender
    /// registered, or is about to. Of one restored after a restart that is not known, so there the only one is
    /// meant.
    pub(super) fn leaving<'a>(
        &'a self,
        station: Station,
        home_agent: Ipv4Addr,
        spender: Spender,
        arriving: impl Iterator<Item = &'a Visiting>,
    ) -> Option<Ipv4Addr> {
        let fits = |v: &&Visiting| v.station() == station && v.record.home_agent == home_agent;
        let exact = self.of(station).chain(arriving).filter(fits);
        if let Some(exact) = exact.filter(|v| v.spender == Some(spender)).last() {
            return Some(exact.record.home_address);
        }
        let mut restored = self.of(station).filter(fits).filter(|v| v.spender.is_none());
        match (restored.next(), restored.next()) {
            (Some(only), None) => Some(only.record.home_address),
            _ => None,
        }
    }
}

impl ForeignAgent {
    /// Takes over what the store holds.
    pub(super) fn restore_visitors(&mut self, stored: Vec<Visitor>, now: Now) {
        let mut gone = Vec::new();
        for record in stored {
            let left = record
                .ends()
                .map(|ends| ends.saturating_sub(now.unix.as_secs()).min(u64::from(record.lifetime)));
            let fits = record.care_of == self.config.care_of
                && self.homes.contains_key(&record.home_agent)
                && self.still_offers(&record)
                && self.config.links.iter().any(|link| link.id.0 == record.link);
            if !fits || left == Some(0) {
                gone.push(Change::RemoveVisitor(record.home_address));
                continue;
            }
            let visiting = Visiting {
                ends: left.map(|left| now.mono + Duration::from_secs(left)),
                changeover: Changeover::of(&record.associations, now),
                spender: None,
                identification: None,
                record,
            };
            let added = TunnelChange::VisitorAdded(visiting.tunnel());
            self.outbox.effect(Effect::Tunnel(added));
            if let Tunnel::Udp(home_agent) = visiting.record.tunnel {
                // Nobody knows how long the NAT has heard nothing of us, nor what the home agent wanted.
                self.keep_alive(*home_agent.ip(), 0, now.mono);
            }
            self.visitors.insert(visiting);
        }
        if !gone.is_empty() {
            self.persist(gone, Work::Forget);
        }
    }

    /// Ends the visitors whose lifetime is over. Their records may go later: a start drops them too.
    pub(super) fn expire_visitors(&mut self, now: Now) {
        while let Some((at, home_address)) = self.visitors.ends.first().copied()
            && at <= now.mono
        {
            if self.being_changed(home_address) {
                // Its renewal or removal is with the store: what that answers decides.
                self.visitors.postpone(home_address, now.mono + Duration::from_secs(1));
                continue;
            }
            let Some(gone) = self.visitors.remove(home_address) else {
                continue;
            };
            self.count("visitors expired");
            self.persist(vec![Change::RemoveVisitor(home_address)], Work::Forget);
            self.outbox.effect(Effect::Tunnel(TunnelChange::VisitorRemoved { home_address }));
            self.notify_removed(&gone.record, "a visitor's registration expired");
        }
    }

    pub(super) fn being_changed(&self, home_address: Ipv4Addr) -> bool {
        self.work.values().any(|work| work.concerns(home_address))
    }

    pub(super) fn notify_removed(&mut self, record: &Visitor, text: &str) {
        let agent = self.homes.get(&record.home_agent).map(|home| home.nai.clone());
        let mut event = Event::new(EventKind::VisitorRemoved, text);
        event.care_of = Some(record.care_of);
        event.home_address = Some(record.home_address);
        event.agent = agent;
        self.notify(event);
    }
}
