//! Taking registration replies (RFC 5944 section 3.6.2, docs/wire.md).
//!
//! A reply counts only if port, home agent and the low half of the identification name one of the last three
//! requests. Codes of foreign agents are hints that anybody on the link could have sent: they make us wait or
//! look elsewhere. Everything else needs the home agent's authenticator, and an acceptance also the keys and, through
//! a foreign agent, that agent's own authenticator under the new KEY 3: only the agent that was heard can make it.

mod denied;
mod open;

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use sa::{Direction, Unverified, Verified};
use sansio::{LinkId, Now};
use wire::{
    Writer,
    ip::UdpPacket,
    mip::{
        PORT,
        code::Code,
        notice::NOTICE,
        ours::Numbers,
        part::Parts,
        registration::{Flags, REPLY, Reply},
        revocation::REVOCATION,
        share::Cookie,
    },
};

use self::open::Accepted;
use super::{
    Delivery, Effect, MobileNode, Route,
    delivery::granted_tunnel,
    movement::{Away, Place, Registration, Target},
    register::Purpose,
    request::{Sent, vendor},
};
use crate::{Event, EventKey, EventKind};

/// A request is repeated with a cookie this often: the first may be renewed on the way.
const COOKIES: u8 = 2;
/// No keepalives closer than this, whatever a reply asks for (RFC 3519 section 4.10).
const KEEPALIVE_LEAST: Duration = Duration::from_secs(10);

impl MobileNode {
    /// A UDP packet from a link: the reply that a foreign agent relays to a node without an address.
    pub(super) fn take_link_reply(&mut self, link: LinkId, udp: &UdpPacket<'_>, now: Now) {
        let here =
            self.attachment.as_ref().is_some_and(|a| matches!(a.target, Target::Agent(l, _) if l == link));
        if !here || udp.source.port() != PORT || !udp.destination.ip().is_broadcast() {
            return;
        }
        if udp.payload.first() == Some(&NOTICE) {
            self.noticed(udp.payload, true, now);
        } else {
            self.take_reply(udp.destination.port(), udp.payload, now);
        }
    }

    /// A datagram that the host delivered to the care-of or home address.
    pub(super) fn take_datagram(
        &mut self,
        source: SocketAddrV4,
        destination: SocketAddrV4,
        payload: &[u8],
        now: Now,
    ) {
        // Answers to keepalives and other tunnel data are not ours to read.
        match payload.first() {
            Some(&REPLY) => {}
            Some(&REVOCATION) => return self.revoked(source, destination, payload, now),
            Some(&NOTICE) => return self.noticed(payload, false, now),
            _ => return,
        }
        let expected = match self.attachment.as_ref().map(|a| &a.place) {
            Some(Place::Home { .. }) => self.home_address,
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
        let ours = reply.home_agent == self.config.home_agent;
        let found = self.attachment.as_mut().filter(|_| ours).and_then(|a| {
            let at = a.sent.iter().position(|s| s.port == port && s.identification.low() == low)?;
            Some((at, a.sent.remove(at)?))
        });
        let Some((at, mut sent)) = found else {
            self.count("reply to no request");
            return;
        };
        let answered = self.judge(&reply, payload, at, &mut sent, now);
        if let Some(a) = self.attachment.as_mut().filter(|_| !answered) {
            a.sent.insert(at.min(a.sent.len()), sent);
        }
    }

    /// True if the request, which stood `at` that place among the last ones, is answered by this; else it stays open.
    fn judge(&mut self, reply: &Reply, payload: &[u8], at: usize, sent: &mut Sent, now: Now) -> bool {
        if reply.code.from_foreign_agent() {
            if sent.agent.is_some() {
                self.hint(reply, sent, now);
            }
            return false;
        }
        let vendor = vendor(self.config.numbers);
        if let Some((cookie, numbers)) = Cookie::alone_in(payload, vendor)
            && reply.code == Code::HA_UNSPECIFIED
        {
            self.return_cookie(cookie, numbers, sent);
            return false;
        }
        let Ok(parts) = Parts::parse(payload, Reply::LEN, vendor) else {
            self.discard("malformed reply", "a malformed registration reply was ignored");
            return false;
        };
        let message = Unverified::new(parts);
        let Some(parts) = self.keys.verify(Direction::FromHome, sent.spi, &message) else {
            self.discard(
                "reply authenticator",
                "a registration reply without a valid authenticator was ignored",
            );
            return false;
        };
        self.home_agent_says(reply, &parts, at, sent, now)
    }

    /// The home agent did say this.
    fn home_agent_says(
        &mut self,
        reply: &Reply,
        parts: &Verified<&Parts<'_>>,
        at: usize,
        sent: &Sent,
        now: Now,
    ) -> bool {
        if reply.code.accepted() {
            return self.home_agent_accepts(reply, parts, at, sent, now);
        }
        if parts.mobile.key_share.is_some() {
            self.discard("reply refused", "a denial with a key share was ignored");
            return false;
        }
        let Ok(challenge) = self.relayed(parts, sent) else {
            self.discard("agent authenticator", "a denial that its agent did not relay so was ignored");
            return false;
        };
        if let Some(challenge) = challenge {
            self.take_challenge(challenge);
        }
        self.names.answered(sent.naming, self.denial_counts_from(parts, sent));
        if reply.code == Code::HA_IDENTIFICATION {
            self.learn_time(reply, now);
        } else {
            self.clock.confirm(sent.identification);
            self.denied(reply, parts, sent, now);
        }
        true
    }

    /// An acceptance answers the request only if everything in it is right, and leaves no earlier one to be answered.
    fn home_agent_accepts(
        &mut self,
        reply: &Reply,
        parts: &Verified<&Parts<'_>>,
        at: usize,
        sent: &Sent,
        now: Now,
    ) -> bool {
        let accepted = match self.open(reply, parts, sent, now) {
            Ok(accepted) => accepted,
            Err(why) => {
                self.discard("reply refused", format!("an accepting reply was ignored: {why}"));
                return false;
            }
        };
        if let Some(a) = &mut self.attachment {
            a.sent.drain(..at.min(a.sent.len()));
        }
        self.names.answered(sent.naming, accepted.counts_from);
        self.clock.confirm(sent.identification);
        if let Some(challenge) = accepted.challenge {
            self.take_challenge(challenge);
        }
        self.accepted(reply, accepted, sent, now);
        true
    }

    /// The home agent wants to see that we receive where we send from: the same request again, with its cookie.
    fn return_cookie(&mut self, cookie: Cookie, numbers: Numbers, sent: &mut Sent) {
        let again =
            sent.repeatable.as_ref().filter(|_| sent.cookies < COOKIES && numbers == self.config.numbers);
        let with_cookie = again.and_then(|bytes| {
            let mut w = Writer::after(bytes.clone());
            cookie.emit(&mut w, numbers).ok()?;
            self.addressed(sent.port, w.bytes())
        });
        let Some(transmit) = with_cookie else {
            self.count("cookie for no request");
            return;
        };
        sent.cookies += 1;
        self.count("cookies returned");
        self.outbox.send(transmit);
    }

    fn accepted(&mut self, reply: &Reply, accepted: Accepted<'_>, sent: &Sent, now: Now) {
        match sent.purpose {
            Purpose::Register => {
                self.registered(reply, accepted, sent, now);
                self.answer_renewal(Ok(()));
            }
            Purpose::Return => self.returned(reply, now),
            Purpose::Deregister => self.given_up(reply),
        }
    }

    fn registered(&mut self, reply: &Reply, accepted: Accepted<'_>, sent: &Sent, now: Now) {
        let granted = reply.lifetime;
        // RFC 5944 section 3.6.2.2: counted from when the request left, so that we renew before it ends there.
        let ends = (granted != u16::MAX).then(|| sent.at + Duration::from_secs(granted.into()));
        let renew = (granted != u16::MAX).then(|| {
            let whole = u64::from(granted) * 1000;
            let jitter = self.rng.below(whole * 8 / 100 + 1);
            sent.at + Duration::from_millis(whole * 8 / 10 - jitter)
        });
        let home_agent = self.config.home_agent;
        self.take_home_address(accepted.home_address);
        let previous = if sent.flags.has(Flags::SIMULTANEOUS) && reply.code == Code::ACCEPTED {
            self.previous_tunnel()
        } else {
            None
        };
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
                    delivery: if sent.encapsulating { Delivery::Encapsulating } else { Delivery::Direct },
                    broadcasts: sent.flags.has(Flags::BROADCAST),
                };
                (route, None)
            }
            Place::CoLocated { care_of, port } => {
                let peer = granted_tunnel(care_of.address, home_agent, accepted.udp.is_some(), sent.flags);
                let (link, broadcasts) = (a.target.link(), sent.flags.has(Flags::BROADCAST));
                let (care_of, port) = (*care_of, *port);
                (Route::CoLocated { link, care_of, port, peer, previous, broadcasts }, Some(peer))
            }
        };
        let keepalive = accepted.udp.map(|every| {
            let own = self.config.keepalive;
            let every = if every == 0 { own } else { own.min(Duration::from_secs(every.into())) };
            let every = every.max(KEEPALIVE_LEAST);
            (every, now.mono + every)
        });
        let Accepted { associations, revocable, .. } = accepted;
        let registration = Registration { ends, renew, peer, keepalive, associations, revocable };
        a.replace_registration(registration, now);
        a.attempt = None;
        a.anew = None;
        a.first_contact = false;
        a.spent = None;
        let target = a.target;
        self.away = Some(Away { target, ends, peer });
        self.avoided.remove(&target);
        self.registrations += 1;
        self.negotiated(sent);
        self.count("registrations accepted");
        self.tell_registered(reply, keys, first, now);
        let changed = self.route != Some(route);
        self.set_route(route, ends);
        if changed {
            self.route_installed(route);
        }
        self.persist();
    }

    /// The home agent's choice, or what we had already.
    fn take_home_address(&mut self, granted: Ipv4Addr) {
        self.ask_any = false;
        if self.home_address != granted {
            self.home_address = granted;
            self.outbox.effect(Effect::HomeAddress(granted));
            // Whatever stands is for another address.
            self.route = None;
        }
    }

    fn tell_registered(&mut self, reply: &Reply, keys: Vec<EventKey>, first: bool, now: Now) {
        let Some(a) = &self.attachment else { return };
        let link = a.target.link();
        let place = match &a.place {
            Place::CoLocated { care_of, .. } => {
                let by = match a.registration.as_ref().and_then(|r| r.peer) {
                    Some(forward::Peer::Udp { .. }) => "udp",
                    Some(forward::Peer::Minimal { .. }) => "minimal encapsulation",
                    Some(forward::Peer::Gre { .. }) => "gre",
                    Some(forward::Peer::IpInIp { .. }) | None => "ip in ip",
                };
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
        let mut event =
            Event::new(EventKind::Registered, format!("{verb} {place}, {lifetime}")).of(reply.identification);
        event.agent = a.agent_name().map(str::to_owned);
        event.care_of = a.care_of();
        event.home_address = Some(self.home_address);
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
        self.away = None;
        let Some(a) = &mut self.attachment else { return };
        a.attempt = None;
        a.registration = Some(Registration {
            ends: None,
            renew: None,
            peer: None,
            keepalive: None,
            associations: Vec::new(),
            revocable: None,
        });
        let link = a.target.link();
        let mut event =
            Event::new(EventKind::Deregistered, "at home, the home agent knows").of(reply.identification);
        event.home_address = Some(self.home_address);
        event.code = Some(reply.code.0);
        self.append_since_link_up(&mut event, link, now);
        self.notify(event);
        self.persist();
    }

    /// The binding was given up on an operator's wish.
    fn given_up(&mut self, reply: &Reply) {
        let mut event =
            Event::new(EventKind::Deregistered, "the binding was given up").of(reply.identification);
        event.agent = self.status().agent.map(str::to_owned);
        event.care_of = self.status().care_of;
        event.code = Some(reply.code.0);
        self.notify(event);
        self.dormant = true;
        self.attachment = None;
        self.away = None;
        self.answer_deregistration(Ok(()));
        self.set_route(Route::Detached, None);
    }
}
