//! What arrives from home agents: registration replies (RFC 5944 section 3.7.3), and what the store answers.
//!
//! A reply counts only if its handle names a request that waits, home agent and low identification fit that
//! request, and 34 is right. Everything else is silence: the request goes on waiting.

use std::net::{Ipv4Addr, SocketAddrV4};

use record::{Change, CommitError, Revocation, Visitor};
use sa::{
    Direction, Unverified, Verified,
    negotiation::{End, Settled, Talk},
};
use sansio::{LinkId, Now};
use wire::mip::{
    PORT,
    code::Code,
    extension::UdpTunnelReply,
    notice::NOTICE,
    part::Parts,
    registration::Reply,
    revocation::{ACKNOWLEDGEMENT, REVOCATION},
};

use super::{
    Effect, ForeignAgent, Home, TunnelChange,
    exchange::Exchanges,
    grant::NEW,
    negotiate::Unready,
    pending::{Asker, Pending, Progress, Purpose, WAIT},
    proof::Signature,
    revoke::Answer,
    visitors::Visiting,
};
use crate::{Event, EventKey, EventKind, Ticket, Trace, telling::Ended};

/// What goes on when the store has answered.
pub(super) enum Work {
    /// Sequence numbers of a link below this one were reserved.
    Sequence { link: LinkId, below: u32 },
    /// Records of visitors that ended were removed: nobody waits for that.
    Forget,
    /// A visitor was accepted.
    Visit { handle: u64, visiting: Box<Visiting>, answer: Vec<u8>, decided: Now, keepalive: Option<u16> },
    /// A visitor left.
    Leave { handle: u64, home_address: Ipv4Addr, answer: Vec<u8> },
    /// A visitor's home agent revoked it.
    Revoke { home_address: Ipv4Addr, answer: Box<Answer> },
    /// The operator sent a visitor away.
    Dismiss { home_address: Ipv4Addr, record: Option<Box<Revocation>>, ticket: Ticket },
}

impl Work {
    /// True if it changes the visitor of this home address.
    pub(super) fn concerns(&self, address: Ipv4Addr) -> bool {
        match self {
            Self::Sequence { .. } | Self::Forget => false,
            Self::Visit { visiting, .. } => visiting.record.home_address == address,
            Self::Leave { home_address, .. }
            | Self::Revoke { home_address, .. }
            | Self::Dismiss { home_address, .. } => *home_address == address,
        }
    }

    /// What the store is asked for.
    pub(super) fn changes(&self) -> Vec<Change> {
        match self {
            Self::Sequence { .. } | Self::Forget => Vec::new(),
            Self::Visit { visiting, .. } => vec![Change::PutVisitor(visiting.record.duplicate())],
            Self::Leave { home_address, .. } | Self::Revoke { home_address, .. } => {
                vec![Change::RemoveVisitor(*home_address)]
            }
            Self::Dismiss { home_address, record, .. } => {
                let told = record.as_ref().map(|record| Change::PutRevocation(record.duplicate()));
                std::iter::once(Change::RemoveVisitor(*home_address)).chain(told).collect()
            }
        }
    }
}

/// A reply that answers a waiting request.
struct Judged {
    handle: u64,
    asker: Asker,
    reply: Reply,
    outcome: Result<Outcome, Code>,
    /// How a negotiation goes on that ended in a counter-proposal.
    talk: Option<Talk>,
}

/// What follows from a reply.
enum Outcome {
    /// The mobile node is told, nothing changes here.
    Relay(Vec<u8>),
    /// A visitor comes or goes; the mobile node is told when that is durable.
    Commit(Work),
}

/// What comes of a reply that answers a waiting request.
enum Judgement {
    Now(Judged),
    /// All of it is right as far as can be seen before the exchanges of the request with this handle were worked at.
    Later(u64, Exchanges),
}

/// What came of the exchanges of a reply.
pub(super) type Done = Result<Vec<Settled>, End>;

/// The registration that a dismissal could name.
const fn ended(visiting: &Visiting) -> Ended {
    (visiting.record.home_address, visiting.record.care_of)
}

impl ForeignAgent {
    /// A datagram that arrived at our care-of address.
    pub(super) fn take_datagram(
        &mut self,
        source: SocketAddrV4,
        destination: SocketAddrV4,
        payload: &[u8],
        now: Now,
    ) {
        if destination != SocketAddrV4::new(self.config.care_of, PORT) {
            return;
        }
        if payload.first() == Some(&REVOCATION) && self.homes.contains_key(source.ip()) {
            return self.revoked(source, payload, now);
        }
        if payload.first() == Some(&ACKNOWLEDGEMENT) && self.homes.contains_key(source.ip()) {
            return self.acknowledged(*source.ip(), payload, now);
        }
        if payload.first() == Some(&NOTICE) && self.homes.contains_key(source.ip()) {
            return self.noticed(*source.ip(), payload, now);
        }
        self.take_reply(*source.ip(), payload, None, now);
    }

    /// A reply, with what came of its exchanges if they had to be worked at.
    pub(super) fn take_reply(&mut self, source: Ipv4Addr, payload: &[u8], done: Option<Done>, now: Now) {
        match self.judge(source, payload, done, now) {
            Ok(Judgement::Now(judged)) => self.settle(judged, now),
            Ok(Judgement::Later(handle, work)) => self.exchange(handle, (source, payload), work),
            Err(why) => self.discard(why, now),
        }
    }

    /// Finds the request that a reply answers, verifies 34, and decides what follows.
    fn judge(
        &self,
        source: Ipv4Addr,
        payload: &[u8],
        done: Option<Done>,
        now: Now,
    ) -> Result<Judgement, &'static str> {
        let home = self.homes.get(&source).filter(|home| !home.retired);
        let home = home.ok_or("reply: from no configured home agent")?;
        let reply = Reply::parse(payload).map_err(|_| "reply: another message, cut or too long")?;
        let parts = Parts::parse(payload, Reply::LEN, self.config.vendor).map_err(|_| "reply: malformed")?;
        let handle = parts.foreign.handle.ok_or("reply: without a handle")?;
        let pending = self.pendings.find(handle.handle).ok_or("reply: no request has its handle")?;
        if pending.home_agent() != source || reply.home_agent != source {
            return Err("reply: from another home agent than was asked");
        }
        if reply.identification.low() != pending.asker.request.identification.low() {
            return Err("reply: identification does not fit the request");
        }
        if pending.clear.as_ref().is_some_and(|clear| !clear.fits(&pending.asker.request, &reply, &parts)) {
            return Err("reply: home address or challenge does not fit the request");
        }
        let message = Unverified::new(parts);
        let verified =
            home.path.verify(Direction::FromHome, &message).ok_or("reply: 34 is missing or wrong")?;
        if handle != pending.handle {
            return Err("reply: indices are not those of the request");
        }
        if !matches!(pending.progress, Progress::Waiting) {
            return Err("reply: repeated");
        }
        let counter = verified.foreign.negotiation.filter(|_| !reply.code.accepted());
        let talk = counter.and_then(|counter| pending.offered.as_ref()?.countered(&counter).ok());
        let outcome = match self.decide(pending, home, &reply, verified, (done, now)) {
            Ok(outcome) => Ok(outcome),
            Err(Unready::Refused(code)) => Err(code),
            Err(Unready::Exchange(work)) => return Ok(Judgement::Later(handle.handle, work)),
        };
        let (handle, asker) = (handle.handle, pending.asker);
        Ok(Judgement::Now(Judged { handle, asker, reply, talk, outcome }))
    }

    /// What a reply that answers a waiting request changes: a visitor, nothing, or it is refused.
    fn decide(
        &self,
        pending: &Pending,
        home: &Home,
        reply: &Reply,
        message: Verified<&Parts<'_>>,
        (done, now): (Option<Done>, Now),
    ) -> Result<Outcome, Unready> {
        let answer = message.mobile_bytes().to_vec();
        if !message.foreign.understood() {
            return Err(Code::FA_VENDOR_FROM_HA.into());
        }
        if !reply.code.accepted() {
            return Ok(Outcome::Relay(answer));
        }
        if reply.lifetime > pending.asker.request.lifetime {
            return Err(Code::FA_BAD_REPLY.into());
        }
        let with_keys = pending.purpose == Purpose::Visit && reply.lifetime > 0;
        if message.foreign.key_share.is_some() && !(with_keys && pending.share.is_some()) {
            return Err(Code::FA_BAD_REPLY.into());
        }
        // After the reply to a later request: the home agent knows only that one any more.
        if pending.overtaken || pending.purpose == Purpose::CoLocated {
            return Ok(Outcome::Relay(answer));
        }
        if reply.lifetime == 0 {
            return Ok(self.leave(pending, reply, answer));
        }
        let visiting = match pending.clear.as_ref() {
            Some(clear) => self.visit_plainly(pending, clear, reply, message, now)?,
            None => self.visit(pending, home, reply, message, (done, now))?,
        };
        if self.is_outdated(&visiting) || self.is_revoked(&visiting) {
            return Ok(Outcome::Relay(answer));
        }
        Ok(Outcome::Commit(Work::Visit {
            handle: pending.handle.handle,
            visiting: Box::new(visiting),
            answer,
            decided: now,
            keepalive: message.foreign.udp_reply.filter(UdpTunnelReply::tunnels).map(|reply| reply.keepalive),
        }))
    }

    /// True if a later request of the same mobile node was accepted before, from another link address perhaps:
    /// its reply has overtaken this one, and the home agent holds the keys of the later one.
    fn is_outdated(&self, visiting: &Visiting) -> bool {
        let address = visiting.record.home_address;
        let known = self.visitors.find(address);
        let same = self.arriving().filter(|v| v.record.home_address == address);
        known.into_iter().chain(same).any(|other| {
            let both = other.identification.zip(visiting.identification);
            both.is_some_and(|(other, this)| other.0.wrapping_sub(this.0).cast_signed() > 0)
        })
    }

    /// True if its home agent has revoked this registration, which arrives late.
    fn is_revoked(&self, visiting: &Visiting) -> bool {
        let record = &visiting.record;
        let granted = record.revocation.map(|support| support.timestamp);
        granted.is_some_and(|at| {
            let revoking = self.work.values().any(|work| match work {
                Work::Revoke { home_address, answer } => {
                    *home_address == record.home_address && answer.is_later_than(at)
                }
                _ => false,
            });
            revoking || self.past.covers(record.home_address, record.home_agent, at)
        })
    }

    /// Visitors that the store is asked about.
    fn arriving(&self) -> impl Iterator<Item = &Visiting> {
        self.work.values().filter_map(|work| match work {
            Work::Visit { visiting, .. } => Some(&**visiting),
            _ => None,
        })
    }

    /// Carries out what was decided.
    fn settle(&mut self, judged: Judged, now: Now) {
        let handle = judged.handle;
        if let Some(pending) = self.pendings.find(handle) {
            self.figures.replied(pending, WAIT, judged.reply.code, now);
        }
        if judged.reply.code.accepted() && judged.outcome.is_ok() {
            self.pendings.overtake(handle);
        }
        let of = (judged.asker.station, judged.asker.request.home_agent);
        match judged.talk {
            Some(talk) => self.countered(of, talk, now),
            None => self.talked(of),
        }
        match judged.outcome {
            Ok(Outcome::Relay(answer)) => {
                let code = judged.reply.code;
                if !code.accepted() {
                    self.notify_denial(&judged.reply, now);
                }
                let visitor = self.pendings.find(handle).and_then(|pending| pending.visitor);
                let visiting = visitor.and_then(|address| self.visitors.find(address));
                let signature = visiting.and_then(Signature::of_confirmed);
                self.answer(handle, code.accepted(), answer, signature.as_ref());
            }
            Ok(Outcome::Commit(work)) => {
                if let Some(pending) = self.pendings.find_mut(handle) {
                    pending.progress = Progress::Committing;
                }
                let mut changes = work.changes();
                if let Work::Visit { visiting, .. } = &work {
                    changes.extend(self.dismissals.cancelling(ended(visiting)));
                }
                self.persist(changes, work);
            }
            Err(code) => {
                self.pendings.remove(handle);
                self.count("reply: contradicts its request");
                self.refuse(&judged.asker, code, now);
            }
        }
    }

    fn notify_denial(&mut self, reply: &Reply, now: Now) {
        let (home_agent, code) = (reply.home_agent, reply.code);
        self.count("denied by home agents");
        let denied = |this: &Self| {
            let agent = this.homes.get(&home_agent).map(|home| home.nai.clone());
            let name = agent.as_deref().unwrap_or_default();
            let text = format!("{name} denied a registration: {code}");
            let mut event = Event::new(EventKind::Denied, text).of(reply.identification);
            event.code = Some(code.0);
            event.agent = agent;
            event
        };
        self.notice(denied, now);
    }

    /// The removal of the visitor that a deregistration means, if we still have it.
    fn leave(&self, pending: &Pending, reply: &Reply, answer: Vec<u8>) -> Outcome {
        let (station, home_agent) = (pending.asker.station, pending.home_agent());
        let of_this = |v: &&Visiting| v.record.home_agent == home_agent;
        let proved = pending.visitor.and_then(|address| self.visitors.find(address)).filter(of_this);
        let meant = match pending.clear {
            Some(_) => self.leaving_plainly(pending, reply),
            None => proved
                .map(|visiting| visiting.record.home_address)
                .or_else(|| self.visitors.leaving(station, home_agent, pending.spender, self.arriving())),
        };
        match meant {
            Some(home_address) => {
                Outcome::Commit(Work::Leave { handle: pending.handle.handle, home_address, answer })
            }
            None => Outcome::Relay(answer),
        }
    }

    /// Relays what the home agent said to the mobile node, with our proof. An acceptance spends the challenge.
    fn answer(&mut self, handle: u64, accepted: bool, answer: Vec<u8>, signature: Option<&Signature>) {
        let Some(pending) = self.pendings.find(handle) else {
            return;
        };
        let (asker, challenge) = (pending.asker, pending.challenge.clone());
        if accepted && let Some(beacon) = self.beacons.get_mut(&asker.station.link) {
            beacon.challenges.spend(&challenge, pending.spender, asker.station.address);
        }
        let plain = pending.clear.is_some().then(|| self.plain_signature(&asker)).flatten();
        let answer = self.with_our_proof(&asker, &challenge, answer, plain.as_ref().or(signature));
        self.count("replies relayed");
        self.send_answer(&asker, &answer);
        self.pendings.answered(handle, answer, self.config.max_pending);
    }

    pub(super) fn send_answer(&mut self, asker: &Asker, answer: &[u8]) {
        let home_address = Reply::parse(answer).map_or(Ipv4Addr::UNSPECIFIED, |reply| reply.home_address);
        self.send_to_station(asker, home_address, answer);
    }

    /// The store answered.
    pub(super) fn persisted(&mut self, ticket: Ticket, result: Result<(), CommitError>, now: Now) {
        let Some(work) = self.work.remove(&ticket) else {
            return;
        };
        if let Err(error) = &result {
            self.count("changes not committed");
            let text = format!("a change was not made durable: {error}");
            self.notice(|_| Event::new(EventKind::Discarded, text), now);
        }
        match work {
            Work::Sequence { link, below } => self.sequence_reserved(link, below, &result, now),
            Work::Forget => {}
            Work::Visit { handle, .. } | Work::Leave { handle, .. } if result.is_err() => {
                // No tunnel, no reply. The mobile node asks again, and its home agent repeats the answer.
                if let Some(pending) = self.pendings.find_mut(handle) {
                    pending.progress = Progress::Waiting;
                    pending.told = true;
                }
            }
            // Nothing happened: it is asked for again.
            Work::Revoke { .. } if result.is_err() => {}
            Work::Dismiss { home_address, record, ticket } => match result {
                Ok(()) => self.dismissed(home_address, record.map(|record| *record), ticket, now),
                Err(error) => self.not_dismissed(ticket, &error.to_string()),
            },
            Work::Revoke { home_address, answer } => self.revocation_done(home_address, &answer, now),
            Work::Visit { handle, visiting, answer, decided, keepalive } => {
                let (home_address, home_agent) = (visiting.record.home_address, visiting.record.home_agent);
                self.install(*visiting, decided);
                if let Some(seconds) = keepalive {
                    let first = now.mono + self.keepalive_interval(seconds);
                    self.keep_alive(home_agent, seconds, first);
                }
                let index = self.pendings.find(handle).map(|pending| pending.handle.key3);
                let visiting = self.visitors.find(home_address);
                let signature = visiting.zip(index).and_then(|(v, index)| Signature::of_new(v, index));
                self.answer(handle, true, answer, signature.as_ref());
            }
            Work::Leave { handle, home_address, answer } => {
                let gone = self.visitors.remove(home_address);
                let signature = gone.as_ref().and_then(Signature::of_confirmed);
                if let Some(gone) = gone {
                    self.count("visitors left");
                    let removed = TunnelChange::VisitorRemoved { home_address };
                    self.outbox.effect(Effect::Tunnel(removed));
                    self.notify_removed(&gone.record, "a visitor deregistered");
                }
                self.answer(handle, true, answer, signature.as_ref());
            }
        }
    }

    fn install(&mut self, mut visiting: Visiting, decided: Now) {
        let home_address = visiting.record.home_address;
        let mut event = self.added(&visiting.record);
        event.trace = visiting.identification.map(Trace::of);
        if self.take_associations(&mut visiting, decided) {
            self.visitors.unsaved(home_address);
        }
        self.dismissals.cancel(ended(&visiting));
        let tunnel = visiting.tunnel();
        let renewed = self.visitors.insert(visiting).is_some();
        self.figures.registered(decided);
        self.count(if renewed { "visitors renewed" } else { "visitors added" });
        self.outbox.effect(Effect::Tunnel(TunnelChange::VisitorAdded(tunnel)));
        self.notify(event);
        self.renewed(home_address);
    }

    fn added(&self, record: &Visitor) -> Event {
        let known = self.visitors.find(record.home_address).is_some();
        let home = self.homes.get(&record.home_agent);
        let agent = home.map_or("", |home| &home.nai);
        let done = if known { "renewed" } else { "admitted" };
        let text = format!(
            "{done} a visitor of {agent} on link {} for {} s, tunnel {}",
            record.link,
            record.lifetime,
            record.tunnel.name()
        );
        let mut event = Event::new(EventKind::VisitorAdded, text);
        event.agent = home.map(|home| home.nai.clone());
        event.care_of = Some(record.care_of);
        event.home_address = Some(record.home_address);
        event.code = Some(Code::ACCEPTED.0);
        event.lifetime = Some(record.lifetime);
        event.encapsulation = Some(record.tunnel.name());
        let older = record.associations.len().saturating_sub(NEW);
        event.keys = record.associations.iter().skip(older).map(EventKey::of).collect();
        event
    }
}
