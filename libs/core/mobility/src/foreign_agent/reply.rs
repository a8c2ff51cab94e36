//! What arrives from home agents: registration replies (RFC 5944 section 3.7.3), and what the store answers.
//!
//! A reply counts only if its handle names a request that waits, home agent and low identification fit that
//! request, and 34 is right. Everything else is silence: the request goes on waiting.

use std::net::{Ipv4Addr, SocketAddrV4};

use record::{AssociationKind, Change, CommitError, Tunnel, Visitor};
use sa::{Direction, KeyInfo, Transcript, Unverified, Verified, sealed_plain, take_key};
use sansio::{LinkId, Now};
use wire::mip::{
    PORT,
    code::Code,
    extension::UdpTunnelReply,
    ours::{ip_owner, parse_ip},
    part::Parts,
    registration::{Flags, Reply},
};

use super::{
    Effect, Encapsulation, ForeignAgent, Home, TunnelChange,
    pending::{Asker, Pending, Progress, Purpose},
    visitors::Visiting,
};
use crate::{Event, EventKey, EventKind, Ticket};

/// What goes on when the store has answered.
pub(super) enum Work {
    /// Sequence numbers of a link below this one were reserved.
    Sequence { link: LinkId, below: u32 },
    /// Records of visitors that ended were removed: nobody waits for that.
    Forget,
    /// A visitor was accepted.
    Visit { handle: u64, visiting: Box<Visiting>, answer: Vec<u8> },
    /// A visitor left.
    Leave { handle: u64, home_address: Ipv4Addr, answer: Vec<u8> },
}

impl Work {
    /// True if it changes the visitor of this home address.
    pub(super) fn concerns(&self, address: Ipv4Addr) -> bool {
        match self {
            Self::Sequence { .. } | Self::Forget => false,
            Self::Visit { visiting, .. } => visiting.record.home_address == address,
            Self::Leave { home_address, .. } => *home_address == address,
        }
    }
}

/// A reply that answers a waiting request.
struct Judged {
    handle: u64,
    asker: Asker,
    reply: Reply,
    outcome: Result<Outcome, Code>,
}

/// What follows from a reply.
enum Outcome {
    /// The mobile node is told, nothing changes here.
    Relay(Vec<u8>),
    /// A visitor comes or goes; the mobile node is told when that is durable.
    Commit(Change, Work),
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
        match self.judge(*source.ip(), payload, now) {
            Ok(judged) => self.settle(judged, now),
            Err(why) => self.discard(why, now),
        }
    }

    /// Finds the request that a reply answers, verifies 34, and decides what follows.
    fn judge(&self, source: Ipv4Addr, payload: &[u8], now: Now) -> Result<Judged, &'static str> {
        let home = self.homes.get(&source).ok_or("reply: from no configured home agent")?;
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
        let message = Unverified::new(parts);
        let verified =
            home.path.verify(Direction::FromHome, &message).ok_or("reply: 34 is missing or wrong")?;
        if handle != pending.handle {
            return Err("reply: indices are not those of the request");
        }
        if !matches!(pending.progress, Progress::Waiting) {
            return Err("reply: repeated");
        }
        Ok(Judged {
            handle: handle.handle,
            asker: pending.asker,
            reply,
            outcome: self.decide(pending, home, &reply, verified, now),
        })
    }

    /// What a reply that answers a waiting request changes: a visitor, nothing, or it is refused.
    fn decide(
        &self,
        pending: &Pending,
        home: &Home,
        reply: &Reply,
        message: Verified<&Parts<'_>>,
        now: Now,
    ) -> Result<Outcome, Code> {
        let answer = message.mobile_bytes().to_vec();
        if !message.foreign.understood() {
            return Err(Code::FA_VENDOR_FROM_HA);
        }
        if !reply.code.accepted() {
            return Ok(Outcome::Relay(answer));
        }
        if reply.lifetime > pending.asker.request.lifetime {
            return Err(Code::FA_BAD_REPLY);
        }
        // After the reply to a later request: the home agent knows only that one any more.
        if pending.overtaken || pending.purpose == Purpose::CoLocated {
            return Ok(Outcome::Relay(answer));
        }
        if reply.lifetime == 0 {
            return Ok(self.leave(pending, answer));
        }
        let visiting = self.visit(pending, home, reply, message, now)?;
        if self.is_outdated(&visiting) {
            return Ok(Outcome::Relay(answer));
        }
        Ok(Outcome::Commit(
            Change::PutVisitor(visiting.record.duplicate()),
            Work::Visit { handle: pending.handle.handle, visiting: Box::new(visiting), answer },
        ))
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

    /// Visitors that the store is asked about.
    fn arriving(&self) -> impl Iterator<Item = &Visiting> {
        self.work.values().filter_map(|work| match work {
            Work::Visit { visiting, .. } => Some(&**visiting),
            Work::Sequence { .. } | Work::Forget | Work::Leave { .. } => None,
        })
    }

    /// Carries out what was decided.
    fn settle(&mut self, judged: Judged, now: Now) {
        let handle = judged.handle;
        if judged.reply.code.accepted() && judged.outcome.is_ok() {
            self.pendings.overtake(handle);
        }
        match judged.outcome {
            Ok(Outcome::Relay(answer)) => {
                let code = judged.reply.code;
                if !code.accepted() {
                    self.notify_denial(judged.reply.home_agent, code, now);
                }
                self.answer(handle, code.accepted(), answer);
            }
            Ok(Outcome::Commit(change, work)) => {
                if let Some(pending) = self.pendings.find_mut(handle) {
                    pending.progress = Progress::Committing;
                }
                self.persist(vec![change], work);
            }
            Err(code) => {
                self.pendings.remove(handle);
                self.count("reply: contradicts its request");
                self.refuse(&judged.asker, code, now);
            }
        }
    }

    fn notify_denial(&mut self, home_agent: Ipv4Addr, code: Code, now: Now) {
        self.count("denied by home agents");
        let agent = self.homes.get(&home_agent).map(|home| home.nai.clone());
        let name = agent.as_deref().unwrap_or_default();
        let text = format!("{name} denied a registration: {code}");
        let mut event = Event::new(EventKind::Denied, text);
        event.code = Some(code.0);
        event.agent = agent;
        self.notice(event, now);
    }

    /// The removal of the visitor that a deregistration means, if we still have it.
    fn leave(&self, pending: &Pending, answer: Vec<u8>) -> Outcome {
        let (station, home_agent, spi) = (pending.asker.station, pending.home_agent(), pending.spi);
        match self.visitors.leaving(station, home_agent, spi, self.arriving()) {
            Some(home_address) => Outcome::Commit(
                Change::RemoveVisitor(home_address),
                Work::Leave { handle: pending.handle.handle, home_address, answer },
            ),
            None => Outcome::Relay(answer),
        }
    }

    /// The visitor that an accepted registration makes.
    fn visit(
        &self,
        pending: &Pending,
        home: &Home,
        reply: &Reply,
        message: Verified<&Parts<'_>>,
        now: Now,
    ) -> Result<Visiting, Code> {
        let granted = open_grant(pending, home, &message).ok_or(Code::FA_BAD_REPLY)?;
        let [key2, key3] = granted.keys;
        let handle = pending.handle;
        let names = [&key2.own, &key3.own] == [&self.config.nai; 2] && key2.peer == home.nai;
        if !names || key2.inbound != handle.key2 || key3.inbound != handle.key3 || key2.key == key3.key {
            return Err(Code::FA_BAD_REPLY);
        }
        let address = granted.home_address;
        let usable = !(address.is_unspecified()
            || address.is_broadcast()
            || address.is_multicast()
            || address.is_loopback());
        if !usable || self.is_local(address) || self.homes.contains_key(&address) {
            return Err(Code::FA_BAD_REPLY);
        }
        let home_agent = pending.home_agent();
        if self.visitors.find(address).is_some_and(|other| other.record.home_agent != home_agent) {
            // Two private networks with the same addresses: one visitor at a time.
            return Err(Code::FA_RESOURCES);
        }
        let granted_at = now.unix.as_secs();
        let request = &pending.asker.request;
        let record = Visitor {
            home_address: address,
            link: pending.asker.station.link.0,
            link_address: pending.asker.station.address,
            home_agent,
            care_of: self.config.care_of,
            tunnel: self.tunnel(home_agent, message.foreign.udp_reply)?,
            reverse_tunnel: request.flags.has(Flags::REVERSE_TUNNEL),
            encapsulating_delivery: false,
            broadcasts: false,
            revocation: None,
            lifetime: reply.lifetime,
            granted: granted_at,
            associations: [key2, key3].map(|key| key.into_association(granted_at)).into(),
        };
        Ok(Visiting {
            spi: Some(pending.spi),
            identification: Some(request.identification),
            ends: record
                .ends()
                .map(|_| now.mono + std::time::Duration::from_secs(u64::from(record.lifetime))),
            record,
        })
    }

    /// The tunnel that the home agent uses: UDP only if we asked for it and it agreed (RFC 3519 section 3.2).
    fn tunnel(&self, home_agent: Ipv4Addr, reply: Option<UdpTunnelReply>) -> Result<Tunnel, Code> {
        match (self.config.encapsulation, reply) {
            (Encapsulation::IpInIp, Some(_)) => Err(Code::FA_BAD_REPLY),
            (Encapsulation::Udp, Some(reply)) if reply.tunnels() => {
                Ok(Tunnel::Udp(SocketAddrV4::new(home_agent, PORT)))
            }
            _ => Ok(Tunnel::IpInIp(home_agent)),
        }
    }

    /// Relays what the home agent said to the mobile node. An acceptance spends the challenge.
    fn answer(&mut self, handle: u64, accepted: bool, answer: Vec<u8>) {
        let Some(pending) = self.pendings.find(handle) else {
            return;
        };
        let asker = pending.asker;
        if accepted && let Some(beacon) = self.beacons.get_mut(&asker.station.link) {
            let challenges = &mut beacon.challenges;
            challenges.spend(&pending.challenge, pending.spi, asker.station.address);
        }
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
            self.notice(Event::new(EventKind::Discarded, text), now);
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
            Work::Visit { handle, visiting, answer } => {
                self.install(*visiting);
                self.answer(handle, true, answer);
            }
            Work::Leave { handle, home_address, answer } => {
                if let Some(gone) = self.visitors.remove(home_address) {
                    self.count("visitors left");
                    let removed = TunnelChange::VisitorRemoved { home_address };
                    self.outbox.effect(Effect::Tunnel(removed));
                    self.notify_removed(&gone.record, "a visitor deregistered");
                }
                self.answer(handle, true, answer);
            }
        }
    }

    fn install(&mut self, visiting: Visiting) {
        let event = self.added(&visiting.record);
        let tunnel = visiting.tunnel();
        let renewed = self.visitors.insert(visiting).is_some();
        self.count(if renewed { "visitors renewed" } else { "visitors added" });
        self.outbox.effect(Effect::Tunnel(TunnelChange::VisitorAdded(tunnel)));
        self.notify(event);
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
        event.keys = record.associations.iter().map(EventKey::of).collect();
        event
    }
}

/// What the home agent sealed for us.
struct Grant {
    /// KEY 2 and KEY 3.
    keys: [KeyInfo; 2],
    home_address: Ipv4Addr,
}

/// Opens KEY 2, KEY 3 and the home address in the agent's part. All three must be there, sealed, once, and
/// under the index of 34.
fn open_grant(pending: &Pending, home: &Home, message: &Parts<'_>) -> Option<Grant> {
    // T2: the request as we sent it, through its 34 and so to its end.
    let t2 = Transcript(crypto::digest(&[&pending.relayed]));
    let key = home.path.reply_key(&t2, None);
    let (spi, cipher) = (home.path.spi(), home.path.cipher());
    let part = &message.foreign;
    let ip = part.ip.filter(|ip| ip.protected.content == ip_owner::HOST && ip.protected.spi == spi)?;
    let home_address = parse_ip(&sealed_plain(message, &ip, cipher, &key)?).ok()?;
    let [first, second] = part.associations.as_slice() else {
        return None;
    };
    let mut keys = [first, second]
        .into_iter()
        .filter(|held| held.protected.spi == spi)
        .filter_map(|held| take_key(message, held, cipher, &key).ok())
        .collect::<Vec<_>>();
    keys.sort_by_key(|key| key.kind);
    let keys: [KeyInfo; 2] = keys.try_into().ok()?;
    let kinds = keys.each_ref().map(|key| key.kind);
    (kinds == [AssociationKind::Key2, AssociationKind::Key3]).then_some(Grant { keys, home_address })
}
