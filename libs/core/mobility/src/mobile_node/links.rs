//! Links and addresses: what the shell reports, and what a change of them means.

use std::{collections::BTreeMap, net::Ipv4Addr};

use sansio::{Instant, LinkAddress, LinkId, Now, earliest};

use super::{
    CareOf, Effect, MobileNode, Request, Route,
    discovery::{Agent, Solicit},
    movement::{Place, RETRY_ROUTE, Target},
};
use crate::{Event, EventKind};

/// Requests at once after a link came up: one to every kind of place.
const QUICK: u8 = 3;

/// A link of this host.
#[derive(Default)]
pub(super) struct Link {
    /// Our address on it.
    pub(super) address: LinkAddress,
    /// Since when it is up.
    pub(super) up: Option<Instant>,
    /// Nothing was registered over it since it came up.
    pub(super) fresh: bool,
    /// Requests that may still go out at once because it came up.
    pub(super) quick: u8,
    /// Agents whose advertisements hold, by address.
    pub(super) agents: BTreeMap<Ipv4Addr, Agent>,
    /// Addresses of ours that could be care-of addresses.
    pub(super) addresses: BTreeMap<Ipv4Addr, CareOf>,
    pub(super) solicit: Solicit,
}

impl Link {
    pub(super) fn deadline(&self) -> Option<Instant> {
        earliest(self.agents.values().map(|a| a.expires).min(), self.solicit.next)
    }
}

impl MobileNode {
    pub(super) fn take_request(&mut self, request: Request, now: Now) {
        self.revision += 1;
        match request {
            Request::LinkUp { link, address } => self.link_up(link, address, now),
            Request::LinkDown { link } => self.link_down(link),
            Request::AddressAppeared { link, address, prefix_length, gateway } => {
                self.address_appeared(link, CareOf { address, prefix_length, gateway }, now);
            }
            Request::AddressGone { link, address } => self.address_gone(link, address),
            Request::RouteFailed { reason } => self.route_failed(&reason, now),
            Request::Configure(preferences) => {
                // What was found to be allowed was found for other wishes.
                if preferences.negotiation != self.config.negotiation
                    && let Some(a) = &mut self.attachment
                {
                    a.talk = None;
                }
                self.config.prefer(*preferences);
            }
            Request::Deregister => self.deregister(now),
            Request::Renew(index) => self.renew(index, now),
            Request::Delete(index) => self.delete(index, now),
            Request::Persisted { ticket, result } => self.persisted(ticket, result, now),
        }
    }

    fn link_up(&mut self, id: LinkId, address: LinkAddress, now: Now) {
        if self.links.get(&id).is_some_and(|l| l.up.is_some()) {
            self.link_down(id);
        }
        let link = self.links.entry(id).or_default();
        link.address = address;
        link.up = Some(now.mono);
        link.fresh = true;
        link.quick = QUICK;
        link.solicit = Solicit::at_once(now);
        self.avoided.retain(|target, _| target.link() != id);
        // A link layer indication lifts the limit of one request a second (RFC 5944 section 3.6).
        self.not_before = now.mono;
        self.dormant = false;
        self.notify(Event::new(EventKind::LinkUp, "the link is up"));
    }

    fn link_down(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let was_up = link.up.take().is_some();
        link.agents.clear();
        link.solicit = Solicit::default();
        if !was_up {
            return;
        }
        self.notify(Event::new(EventKind::LinkDown, "the link is down"));
        if self.attachment.as_ref().is_some_and(|a| a.target.link() == id) {
            self.detach();
        } else if self.route.is_some_and(|r| r.link() == Some(id)) {
            // A registration over another link is on its way; what stood over this one is gone.
            self.set_route(Route::Detached, None);
        }
    }

    fn address_appeared(&mut self, id: LinkId, care_of: CareOf, now: Now) {
        let address = care_of.address;
        if address == self.home_address {
            return;
        }
        let link = self.links.entry(id).or_default();
        let before = link.addresses.insert(address, care_of);
        if before.is_none() {
            self.not_before = now.mono;
            let mut event = Event::new(EventKind::AddressAppeared, format!("{address} appeared"));
            event.care_of = Some(address);
            self.notify(event);
        }
        let Some(attachment) = &mut self.attachment else {
            return;
        };
        if attachment.target != Target::CoLocated(id, address) || before == Some(care_of) {
            return;
        }
        // Same address, another gateway: the registration stands, the routes change.
        if let Place::CoLocated { care_of: used, .. } = &mut attachment.place {
            *used = care_of;
        }
        match self.route {
            Some(Route::CareOf { link, port, .. }) => {
                self.set_route(Route::CareOf { link, care_of, port }, self.route_ends);
            }
            Some(Route::CoLocated { link, port, peer, previous, broadcasts, .. }) => {
                let route = Route::CoLocated { link, care_of, port, peer, previous, broadcasts };
                self.set_route(route, self.route_ends);
            }
            Some(Route::Detached | Route::Home { .. } | Route::ViaForeignAgent { .. }) | None => {}
        }
    }

    fn address_gone(&mut self, id: LinkId, address: Ipv4Addr) {
        let link = self.links.entry(id).or_default();
        if link.addresses.remove(&address).is_none() {
            return;
        }
        let mut event = Event::new(EventKind::AddressGone, format!("{address} is gone"));
        event.care_of = Some(address);
        self.notify(event);
        self.avoided.remove(&Target::CoLocated(id, address));
        if self.attachment.as_ref().is_some_and(|a| a.target == Target::CoLocated(id, address)) {
            self.detach();
        } else if self.route.is_some_and(|r| r.care_of() == Some(address) && r.link() == Some(id)) {
            self.set_route(Route::Detached, None);
        }
    }

    /// Nothing is certain about the routes any more: begin anew, but not in a hurry.
    fn route_failed(&mut self, reason: &str, now: Now) {
        self.discard("route failed", format!("routes could not be changed, trying again: {reason}"));
        self.attachment = None;
        self.route = None;
        self.route_ends = None;
        self.names.dropped();
        self.hold = Some(now.mono + RETRY_ROUTE);
        self.answer_deregistration(Err("the routes could not be changed".into()));
        self.answer_renewal(Err("the routes could not be changed".into()));
    }

    /// Leaves the present point of attachment: packets of the home address stay here.
    pub(super) fn detach(&mut self) {
        self.attachment = None;
        self.answer_deregistration(Err("the point of attachment was lost".into()));
        self.answer_renewal(Err("the point of attachment was lost".into()));
        self.set_route(Route::Detached, None);
    }

    /// Answers whoever asked to deregister, once.
    pub(super) fn answer_deregistration(&mut self, result: Result<(), String>) {
        if std::mem::take(&mut self.asked_to_deregister) {
            self.outbox.effect(Effect::Deregistered(result));
        }
    }
}

impl Route {
    /// The link that it uses.
    pub(super) const fn link(self) -> Option<LinkId> {
        match self {
            Self::Detached => None,
            Self::Home { link, .. }
            | Self::CareOf { link, .. }
            | Self::ViaForeignAgent { link, .. }
            | Self::CoLocated { link, .. } => Some(link),
        }
    }

    /// The co-located care-of address that it uses.
    const fn care_of(self) -> Option<Ipv4Addr> {
        match self {
            Self::CareOf { care_of, .. } | Self::CoLocated { care_of, .. } => Some(care_of.address),
            Self::Detached | Self::Home { .. } | Self::ViaForeignAgent { .. } => None,
        }
    }
}
