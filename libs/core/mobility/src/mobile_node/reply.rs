//! Taking registration replies (RFC 5944 section 3.6.2, docs/wire.md).
//!
//! A reply counts only if port, home agent and the low half of the identification name one of the last three
//! requests. Codes of foreign agents are hints that anybody on the link could have sent: they make us wait or
//! look elsewhere. Everything else needs the home agent's authenticator, and an acceptance also the keys.

mod denied;
mod open;

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use sa::{Direction, Unverified, Verified};
use sansio::{LinkId, Now};
use wire::{
    ip::UdpPacket,
    mip::{
        PORT,
        code::Code,
        part::Parts,
        registration::{REPLY, Reply},
    },
};

use self::open::Accepted;
use super::{
    MobileNode, Route,
    movement::{Place, Registration, Target},
    register::Purpose,
    request::{Sent, vendor},
};
use crate::{Event, EventKey, EventKind};

/// No keepalives closer than this, whatever a reply asks for (RFC 3519 section 4.10).
const KEEPALIVE_LEAST: Duration = Duration::from_secs(10);

impl MobileNode {
    /// A UDP packet from a link: the reply that a foreign agent relays to a node without an address.
    pub(super) fn take_link_reply(&mut self, link: LinkId, udp: &UdpPacket<'_>, now: Now) {
        let here =
            self.attachment.as_ref().is_some_and(|a| matches!(a.target, Target::Agent(l, _) if l == link));
        if here && udp.source.port() == PORT && udp.destination.ip().is_broadcast() {
            self.take_reply(udp.destination.port(), udp.payload, now);
        }
    }

    /// A datagram that the host delivered to the care-of or home address.
    pub(super) fn take_datagram(
        &mut self,
        _source: SocketAddrV4,
        destination: SocketAddrV4,
        payload: &[u8],
        now: Now,
    ) {
        // Answers to keepalives and other tunnel data are not ours to read.
        if payload.first() != Some(&REPLY) {
            return;
        }
        let expected = match self.attachment.as_ref().map(|a| &a.place) {
            Some(Place::Home { .. }) => self.config.home_address,
            Some(Place::CoLocated { care_of, .. }) => care_of.address,
            Some(Place::Agent(_)) | None => return,
        };
        if *destination.ip() == expected {
            self.take_reply(destination.port(), payload, now);
        }
    }

    fn take_reply(&mut self, port: u16, payload: &[u8], now: Now) {
        let Ok(reply) = Reply::parse(payload) else {
            self.count("malformed reply");
            return;
        };
        let low = reply.identification.low();
        let sent = self
            .attachment
            .as_ref()
            .and_then(|a| a.sent.iter().find(|s| s.port == port && s.identification.low() == low).cloned());
        let Some(sent) = sent.filter(|_| reply.home_agent == self.config.home_agent) else {
            self.count("reply to no request");
            return;
        };
        if reply.code.from_foreign_agent() {
            if sent.agent.is_some() {
                self.hint(&reply, &sent, now);
            }
            return;
        }
        let Ok(parts) = Parts::parse(payload, Reply::LEN, vendor(self.config.numbers)) else {
            self.discard("malformed reply", "a malformed registration reply was ignored");
            return;
        };
        let message = Unverified::new(parts);
        let Some(parts) = self.keys.verify(Direction::FromHome, &message) else {
            self.discard(
                "reply authenticator",
                "a registration reply without a valid authenticator was ignored",
            );
            return;
        };
        self.home_agent_says(&reply, &parts, &sent, now);
    }

    /// The home agent did say this.
    fn home_agent_says(&mut self, reply: &Reply, parts: &Verified<&Parts<'_>>, sent: &Sent, now: Now) {
        if reply.code == Code::HA_IDENTIFICATION {
            self.forget(sent, false);
            self.learn_time(reply, now);
            return;
        }
        if !reply.code.accepted() {
            self.forget(sent, false);
            self.clock.confirm(sent.identification.seconds());
            self.denied(reply, parts, sent, now);
            return;
        }
        match self.open(reply, parts, sent, now) {
            Ok(accepted) => {
                self.forget(sent, true);
                self.clock.confirm(sent.identification.seconds());
                self.accepted(reply, accepted, sent, now);
            }
            Err(why) => self.discard("reply refused", format!("an accepting reply was ignored: {why}")),
        }
    }

    /// A request that was answered is answered once. An acceptance leaves no earlier one to be answered.
    fn forget(&mut self, sent: &Sent, and_earlier: bool) {
        if let Some(a) = &mut self.attachment {
            let of = sent.identification;
            let at = a.sent.iter().position(|s| s.identification == of);
            let earlier = if and_earlier { at.unwrap_or(0) } else { 0 };
            a.sent.drain(..earlier);
            a.sent.retain(|s| s.identification != of);
        }
    }

    fn accepted(&mut self, reply: &Reply, accepted: Accepted, sent: &Sent, now: Now) {
        match sent.purpose {
            Purpose::Register => self.registered(reply, accepted, sent, now),
            Purpose::Return => self.returned(reply, now),
            Purpose::Deregister => self.given_up(reply),
        }
    }

    fn registered(&mut self, reply: &Reply, accepted: Accepted, sent: &Sent, now: Now) {
        let granted = reply.lifetime;
        // RFC 5944 section 3.6.2.2: counted from when the request left, so that we renew before it ends there.
        let ends = (granted != u16::MAX).then(|| sent.at + Duration::from_secs(granted.into()));
        let renew = (granted != u16::MAX).then(|| {
            let whole = u64::from(granted) * 1000;
            let jitter = self.rng.below(whole * 8 / 100 + 1);
            sent.at + Duration::from_millis(whole * 8 / 10 - jitter)
        });
        let home_agent = self.config.home_agent;
        let keys = accepted.associations.iter().map(EventKey::of).collect();
        let Some(a) = &mut self.attachment else { return };
        let first = a.registration.is_none();
        let (route, peer) = match &a.place {
            Place::Home { .. } => return,
            Place::Agent(agent) => {
                let Some(care_of) = agent.care_of.first() else {
                    return;
                };
                let route = Route::ViaForeignAgent {
                    link: a.target.link(),
                    agent: agent.address,
                    agent_link: agent.link_address,
                    care_of: *care_of,
                };
                (route, None)
            }
            Place::CoLocated { care_of, port } => {
                let peer = if accepted.udp.is_some() {
                    forward::Peer::Udp { remote: SocketAddrV4::new(home_agent, PORT) }
                } else {
                    forward::Peer::IpInIp { local: care_of.address, remote: home_agent }
                };
                let link = a.target.link();
                (Route::CoLocated { link, care_of: *care_of, port: *port, peer }, Some(peer))
            }
        };
        let keepalive = accepted.udp.map(|every| {
            let own = self.config.keepalive;
            let every = if every == 0 { own } else { own.min(Duration::from_secs(every.into())) };
            let every = every.max(KEEPALIVE_LEAST);
            (every, now.mono + every)
        });
        let associations = accepted.associations;
        a.registration = Some(Registration { ends, renew, peer, keepalive, associations });
        a.attempt = None;
        a.anew = None;
        a.spent = None;
        let target = a.target;
        self.avoided.remove(&target);
        self.registrations += 1;
        self.count("registrations accepted");
        self.tell_registered(reply, keys, first, now);
        let changed = self.route != Some(route);
        self.set_route(route, ends);
        if changed {
            self.route_installed(route);
        }
        self.persist();
    }

    fn tell_registered(&mut self, reply: &Reply, keys: Vec<EventKey>, first: bool, now: Now) {
        let Some(a) = &self.attachment else { return };
        let link = a.target.link();
        let place = match &a.place {
            Place::CoLocated { care_of, .. } => {
                let encapsulation = a.registration.as_ref().and_then(|r| r.peer);
                let by =
                    if matches!(encapsulation, Some(forward::Peer::Udp { .. })) { "udp" } else { "ip in ip" };
                format!("with the co-located care-of address {}, tunnel by {by}", care_of.address)
            }
            Place::Agent(_) | Place::Home { .. } => {
                let care_of = a.care_of().unwrap_or(Ipv4Addr::UNSPECIFIED);
                format!("through {}, care-of {care_of}", a.label())
            }
        };
        let verb = if first { "registered" } else { "registration renewed" };
        let lifetime =
            if reply.lifetime == u16::MAX { "for ever".into() } else { format!("{} s", reply.lifetime) };
        let mut event = Event::new(EventKind::Registered, format!("{verb} {place}, {lifetime}"));
        event.agent = a.agent_name().map(str::to_owned);
        event.care_of = a.care_of();
        event.home_address = Some(self.config.home_address);
        event.code = Some(reply.code.0);
        event.lifetime = Some(reply.lifetime);
        event.encapsulation = self.status().encapsulation;
        event.keys = keys;
        self.append_since_link_up(&mut event, link, now);
        self.notify(event);
    }

    /// The first time after a link came up, how long it took.
    fn append_since_link_up(&mut self, event: &mut Event, id: LinkId, now: Now) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        if let Some(up) = link.up.filter(|_| std::mem::take(&mut link.fresh)) {
            let took = now.mono.saturating_since(up).as_secs_f64() * 1000.0;
            event.text.push_str(&format!(", {took:.1} ms after link up"));
        }
    }

    /// The home agent knows that we are home.
    fn returned(&mut self, reply: &Reply, now: Now) {
        let Some(a) = &mut self.attachment else { return };
        a.attempt = None;
        a.registration = Some(Registration {
            ends: None,
            renew: None,
            peer: None,
            keepalive: None,
            associations: Vec::new(),
        });
        let link = a.target.link();
        let mut event = Event::new(EventKind::Deregistered, "at home, the home agent knows");
        event.home_address = Some(self.config.home_address);
        event.code = Some(reply.code.0);
        self.append_since_link_up(&mut event, link, now);
        self.notify(event);
        self.persist();
    }

    /// The binding was given up on an operator's wish.
    fn given_up(&mut self, reply: &Reply) {
        let mut event = Event::new(EventKind::Deregistered, "the binding was given up");
        event.agent = self.status().agent.map(str::to_owned);
        event.care_of = self.status().care_of;
        event.code = Some(reply.code.0);
        self.notify(event);
        self.dormant = true;
        self.attachment = None;
        self.answer_deregistration(Ok(()));
        self.set_route(Route::Detached, None);
    }
}
