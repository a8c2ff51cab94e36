//! When a request goes out: first, again, and before the lifetime ends (RFC 5944 section 3.6.3).

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use sa::{Authenticator, End, negotiation::Talk};
use sansio::{Instant, Now, Transmit};
use wire::{
    ip,
    mip::{
        PORT,
        registration::{Flags, Identification},
    },
};

use super::{
    MobileNode, Route,
    movement::{Attachment, Place, Target},
    naming::Naming,
    request::{Built, Draft, Sent},
};
use crate::{Event, EventKind, Trace};

/// First wait for a reply, and the least time between requests.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Longest wait while replies do not come: a mobile user waits for this at worst after an outage.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(16);
/// Requests without a reply after which other places are preferred.
const PATIENCE: u32 = 3;
/// For how many seconds they are.
const AVOID_SILENT: u64 = 30;
/// Replies to this many of the last requests are taken.
const REMEMBERED: usize = 3;
/// Time to live of a request on a link (RFC 3024 section 4.1.1).
const TTL: u8 = 255;

/// What a request is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    Register,
    /// Tell the home agent that we are home.
    Return,
    /// Give the binding up.
    Deregister,
}

impl Purpose {
    pub(super) const fn of(target: Target) -> Self {
        if target.is_home() { Self::Return } else { Self::Register }
    }
}

/// A registration that is being asked for.
pub(super) struct Attempt {
    pub(super) purpose: Purpose,
    pub(super) next: Instant,
    /// The first request need not keep the distance to the one before.
    pub(super) at_once: bool,
    pub(super) wait: Duration,
    pub(super) longest: Duration,
    pub(super) sends: u32,
    /// The home agent's time was learned once already.
    pub(super) resynchronised: bool,
}

impl Attempt {
    pub(super) const fn new(purpose: Purpose, at_once: bool, now: Now) -> Self {
        Self {
            purpose,
            next: now.mono,
            at_once,
            wait: FIRST_WAIT,
            longest: LONGEST_WAIT,
            sends: 0,
            resynchronised: false,
        }
    }

    /// When the next request goes out.
    pub(super) fn due(&self, not_before: Instant) -> Instant {
        if self.at_once { self.next } else { self.next.max(not_before) }
    }

    /// A hint that something passes: not before `least`. The waits of requests without an acceptance grow by themselves;
    /// growing them twice would make a lost message or two cost half a minute.
    pub(super) fn rest(&mut self, least: Duration, now: Now) {
        self.longest = LONGEST_WAIT;
        self.wait = self.wait.min(LONGEST_WAIT);
        self.next = self.next.max(now.mono + least);
    }

    /// A denial: not before `least`, and slower from time to time.
    pub(super) fn back_off(&mut self, least: Duration, longest: Duration, now: Now) {
        self.longest = longest;
        let wait = self.wait.max(least);
        self.next = now.mono + wait;
        self.wait = (wait * 2).min(longest);
    }
}

impl MobileNode {
    /// Sends what is due: renewals, registrations anew, first requests and repeated ones.
    pub(super) fn register_due(&mut self, now: Now) {
        self.waiting = false;
        if self.hold.is_some() || self.dormant {
            return;
        }
        self.anew_due(now);
        self.renew_due(now);
        if !self.is_due(now) {
            return;
        }
        self.lose_patience(now);
        if self.is_due(now) {
            self.send_request(now);
        }
    }

    fn is_due(&self, now: Now) -> bool {
        let attempt = self.attachment.as_ref().and_then(|a| a.attempt.as_ref());
        attempt.is_some_and(|attempt| attempt.due(self.not_before) <= now.mono)
    }

    fn renew_due(&mut self, now: Now) {
        let Some(a) = &mut self.attachment else { return };
        let renew = a.registration.as_ref().and_then(|r| r.renew);
        if a.attempt.is_none() && renew.is_some_and(|at| at <= now.mono) {
            a.attempt = Some(Attempt::new(Purpose::Register, false, now));
        }
    }

    /// Several requests without a reply: look elsewhere, or give a deregistration up.
    fn lose_patience(&mut self, now: Now) {
        let Some(a) = &mut self.attachment else { return };
        let Some(attempt) = a.attempt.as_ref().filter(|t| t.sends >= PATIENCE) else {
            return;
        };
        if attempt.purpose == Purpose::Deregister {
            // An answer may have been lost, and the binding be gone: only another one tells.
            a.attempt = Some(Attempt::new(Purpose::Register, false, now));
            let text =
                "no answer to the deregistration; registering again, for the binding may be gone or not";
            self.notify(Event::new(EventKind::Denied, text));
            self.answer_deregistration(Err("the home agent does not answer".into()));
        } else if attempt.sends == PATIENCE {
            let target = a.target;
            self.answer_renewal(Err("the home agent does not answer; asking on".into()));
            self.avoid(target, AVOID_SILENT, now);
            self.reconsider(now);
        }
    }

    /// An operator wants the binding given up.
    pub(super) fn deregister(&mut self, now: Now) {
        self.asked_to_deregister = true;
        match &mut self.attachment {
            Some(a) if a.target.is_home() => self.answer_deregistration(Ok(())),
            Some(a) if a.settled() => {
                a.attempt = Some(Attempt::new(Purpose::Deregister, false, now));
            }
            Some(_) | None => {
                self.answer_deregistration(Err("there is no registration to give up".into()));
            }
        }
    }

    /// The lifetime ended without a renewal.
    pub(super) fn registration_over(&mut self, now: Now) {
        let Some(a) = &mut self.attachment else { return };
        let over = |r: &super::movement::Registration| r.ends.is_some_and(|e| e <= now.mono);
        if !a.registration.as_ref().is_some_and(over) {
            return;
        }
        a.registration = None;
        let text = format!("the registration through {} ended without a renewal", a.label());
        let deregistering = a.attempt.as_ref().is_some_and(|t| t.purpose == Purpose::Deregister);
        if a.attempt.is_none() || deregistering {
            a.attempt = Some(Attempt::new(Purpose::Register, false, now));
        }
        self.notify(Event::new(EventKind::Moved, text));
        self.answer_deregistration(Ok(()));
        self.answer_renewal(Err("the registration ended".into()));
    }

    /// The route that lets requests out while nothing is registered here.
    pub(super) fn bare_route(&self) -> Route {
        match self.attachment.as_ref().map(|a| (&a.place, a.target.link())) {
            Some((Place::CoLocated { care_of, port }, link)) => {
                Route::CareOf { link, care_of: *care_of, port: *port }
            }
            Some((Place::Home { .. } | Place::Agent(_), _)) | None => Route::Detached,
        }
    }

    fn draft(
        &self,
        a: &Attachment,
        purpose: Purpose,
        naming: Naming,
        identification: Identification,
        now: Now,
    ) -> Option<Draft> {
        let link_address = self.links.get(&a.target.link())?.address;
        let wanted = if purpose == Purpose::Register { self.config.lifetime.min(a.most) } else { 0 };
        let both = if wanted > 0 && self.wants_both(a, now) { Flags::SIMULTANEOUS } else { 0 };
        let sealed = Draft {
            flags: Flags(0),
            lifetime: wanted,
            home_address: Ipv4Addr::UNSPECIFIED,
            wanted: if self.ask_any { Ipv4Addr::UNSPECIFIED } else { self.home_address },
            care_of: a.care_of().unwrap_or(self.home_address),
            identification,
            link_address,
            naming,
            encapsulating: false,
            revocation: None,
            heard: None,
            proof: None,
            talk: if matches!(a.place, Place::Home { .. }) {
                Talk::default()
            } else {
                self.talk(&a.place, purpose)
            },
        };
        let wishes = self.wishes(a, purpose);
        Some(match &a.place {
            Place::Home { .. } => {
                // Only here the home address is no secret: this is its own link.
                let own = self.home_address;
                Draft { home_address: own, wanted: own, ..sealed }
            }
            Place::Agent(agent) => Draft {
                flags: Flags(wishes.flags.0 | both),
                encapsulating: wishes.encapsulating,
                lifetime: wanted.min(agent.lifetime),
                heard: Some((agent.name.clone()?, agent.challenge.clone()?)),
                proof: a.key3().map(|k| Authenticator::sending(k, End::First)),
                ..sealed
            },
            Place::CoLocated { .. } => {
                let revocable = self.config.revocation && wanted > 0;
                Draft {
                    flags: Flags(wishes.flags.0 | both),
                    revocation: revocable.then(|| identification.seconds()),
                    ..sealed
                }
            }
        })
    }

    fn send_request(&mut self, now: Now) {
        let attempt = self.attachment.as_ref().and_then(|a| a.attempt.as_ref());
        let Some((purpose, whereabouts)) = attempt.map(|t| t.purpose).zip(self.whereabouts()) else {
            return;
        };
        let Some(naming) = self.names.choose(&whereabouts) else {
            self.waiting = true;
            return;
        };
        let identification = self.clock.next(now, &mut self.rng);
        let fresh_port = self.fresh_port();
        let draft =
            self.attachment.as_ref().and_then(|a| self.draft(a, purpose, naming, identification, now));
        let Some(draft) = draft else { return };
        let built = self.build(&draft);
        let Some(a) = &mut self.attachment else { return };
        let port = match &a.place {
            Place::Home { port, .. } | Place::CoLocated { port, .. } => *port,
            Place::Agent(_) => fresh_port,
        };
        if let Some(attempt) = &mut a.attempt {
            attempt.sends += 1;
            attempt.at_once = false;
            attempt.next = now.mono + attempt.wait;
            attempt.wait = (attempt.wait * 2).min(attempt.longest);
        }
        self.not_before = now.mono + FIRST_WAIT;
        let Ok(built) = built else {
            // Names and addresses are checked at start, so every request fits.
            self.discard("request not built", "a registration request could not be built");
            return;
        };
        self.names.sent(naming, whereabouts);
        if matches!(naming, Naming::Realm(_)) {
            self.count("requests by the realm key");
        }
        let transmit = self.addressed(port, &built.bytes);
        self.remember(purpose, port, draft, built, now);
        if let Some(transmit) = transmit {
            self.outbox.send(transmit);
        }
        self.persist();
    }

    /// Keeps what the reply will be checked against.
    fn remember(&mut self, purpose: Purpose, port: u16, draft: Draft, built: Built, now: Now) {
        let lifetime = draft.lifetime;
        let Some(a) = &mut self.attachment else { return };
        while a.sent.len() >= REMEMBERED {
            a.sent.pop_front();
        }
        let (agent, challenge) = draft.heard.unzip();
        // Only a home agent that hears us directly asks for a cookie.
        let repeatable = agent.is_none();
        a.sent.push_back(Sent {
            purpose,
            identification: draft.identification,
            port,
            lifetime,
            at: now.mono,
            naming: draft.naming,
            spi: built.spi,
            transcript: built.transcript,
            offer: built.offer,
            agent,
            challenge,
            flags: draft.flags,
            encapsulating: draft.encapsulating,
            revocable: draft.revocation.is_some(),
            wanted: draft.wanted,
            proved: draft.proof.is_some(),
            hinted: false,
            offered: built.offered,
            care_of: draft.care_of,
            repeatable: repeatable.then_some(built.bytes),
            cookies: 0,
        });
        self.request_sent(lifetime);
    }

    /// A random port that none of the last requests used.
    fn fresh_port(&mut self) -> u16 {
        loop {
            let port = 49_152 + self.rng.below(16_384) as u16;
            let used = self.attachment.iter().flat_map(|a| &a.sent).any(|s| s.port == port);
            if !used {
                return port;
            }
        }
    }

    /// The request on its way: to the agent on the link, or to the home agent by the host's routes.
    pub(super) fn addressed(&self, port: u16, bytes: &[u8]) -> Option<Transmit> {
        let a = self.attachment.as_ref()?;
        let home_agent = SocketAddrV4::new(self.config.home_agent, PORT);
        let by_host = |from: Ipv4Addr| Transmit::Udp {
            source: SocketAddrV4::new(from, port),
            destination: home_agent,
            payload: bytes.to_vec(),
        };
        match &a.place {
            Place::Home { .. } => Some(by_host(self.home_address)),
            Place::CoLocated { care_of, .. } => Some(by_host(care_of.address)),
            Place::Agent(agent) => {
                let source = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
                let destination = SocketAddrV4::new(agent.address, PORT);
                let packet = ip::udp_packet(source, destination, TTL, bytes).ok()?;
                Some(Transmit::Link { link: a.target.link(), to: agent.link_address, packet })
            }
        }
    }

    fn request_sent(&mut self, lifetime: u16) {
        self.count("requests");
        let Some(a) = &self.attachment else { return };
        let sends = a.attempt.as_ref().map_or(1, |t| t.sends);
        let purpose = a.attempt.as_ref().map_or(Purpose::Register, |t| t.purpose);
        let what = match purpose {
            Purpose::Register => format!("registration request through {}", a.label()),
            Purpose::Return => "deregistration request from home".into(),
            Purpose::Deregister => format!("deregistration request through {}", a.label()),
        };
        let text = if sends > 1 { format!("{what}, number {sends} without an acceptance") } else { what };
        let mut event = Event::new(EventKind::RequestSent, text);
        event.trace = a.sent.back().map(|sent| Trace::of(sent.identification));
        event.agent = a.agent_name().map(str::to_owned);
        event.care_of = a.care_of();
        event.lifetime = Some(lifetime);
        self.notify(event);
    }
}
