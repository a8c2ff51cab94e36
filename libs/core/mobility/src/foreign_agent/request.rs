//! What arrives on the visited links: solicitations and registration requests (RFC 5944 section 3.7.2).

use std::{net::Ipv4Addr, time::Duration};

use sansio::{LinkAddress, LinkId, Now};
use wire::{
    Error,
    ip::{self, Protocol, UdpPacket, icmp::ROUTER_SOLICITATION},
    mip::{
        PORT, Spi,
        advertisement::ALL_AGENTS,
        code::Code,
        ours::{Handle, Numbers},
        part::Parts,
        registration::{Flags, REQUEST, Request},
    },
    negotiation::Negotiation,
};

use super::{
    ForeignAgent, ReverseTunnel, Station, Unreachable,
    challenge::{Spender, Standing},
    negotiate::Stated,
    pending::{Asker, PER_STATION, Pending, Progress, Purpose, WAIT},
    plain::{Answered, Clear},
    proof::Proof,
};
use crate::{Event, EventKind};

/// How long a request may wait without an answer before another may take its place, when as many wait as may.
const PATIENCE: Duration = Duration::from_secs(1);

/// An unknown extension below 128, or one that is not for nodes with our extensions.
const UNKNOWN: &str = "request: unknown extension that may not be skipped";

/// Why a request is not relayed.
pub(super) enum Refusal {
    /// The mobile node is told.
    Code(Code),
    /// Nobody is.
    Silence(&'static str),
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        Self::Code(code)
    }
}

/// What becomes of a good request.
#[derive(PartialEq, Eq)]
enum Admission {
    /// It was relayed or refused.
    Over,
    /// A value that it needs is still being made.
    Later,
}

/// What the checks found in a good request.
pub(super) struct Admitted<'a> {
    pub(super) purpose: Purpose,
    /// 130 stood there.
    pub(super) encapsulating: bool,
    pub(super) mobile: &'a [u8],
    pub(super) digest: [u8; 32],
    pub(super) numbers: Numbers,
    pub(super) spender: Spender,
    pub(super) challenge: &'a [u8],
    pub(super) proof: Option<Proof>,
    /// Of a request without our extensions.
    pub(super) clear: Option<Clear>,
    /// What stands behind 32 and is relayed too.
    pub(super) behind: Vec<u8>,
    /// What the mobile node offers.
    pub(super) negotiation: Option<Negotiation<'a>>,
}

impl ForeignAgent {
    pub(super) fn take_packet(&mut self, link: LinkId, from: LinkAddress, packet: &[u8], now: Now) {
        let Some(address) = self.beacons.get(&link).map(|beacon| beacon.link.address) else {
            return;
        };
        // A group cannot send, and would make us answer everybody.
        if from[0] & 1 != 0 {
            return self.count("sender is no single station");
        }
        match ip::parse_icmp(packet) {
            Ok(icmp) if icmp.kind() == Some(ROUTER_SOLICITATION) => {
                return self.solicited(link, from, icmp.message, now);
            }
            Ok(_) => return,
            Err(ip::Error::OtherProtocol(Protocol::UDP)) => {}
            Err(_) => return self.count("packet malformed"),
        }
        let Ok(udp) = ip::parse_udp(packet) else {
            return self.count("packet malformed");
        };
        let to_us = [address, Ipv4Addr::BROADCAST, ALL_AGENTS].contains(udp.destination.ip());
        if to_us && udp.destination.port() == PORT {
            let station = Station { link, address: from };
            self.request(station, &udp, now);
        }
    }

    fn request(&mut self, station: Station, udp: &UdpPacket<'_>, now: Now) {
        if udp.payload.first() != Some(&REQUEST) || udp.source.port() == 0 {
            return self.count("request: another message");
        }
        let Ok(request) = Request::parse(udp.payload) else {
            return self.discard("request: cut or too long", now);
        };
        let asker = Asker { station, port: udp.source.port(), request };
        if !self.gate.takes_request(station, &self.config.limits, now.mono) {
            self.count("request: too many of one station");
            return self.refuse(&asker, Code::FA_RESOURCES, now);
        }
        match self.examine(&asker, udp) {
            Ok(admitted) => {
                if let Some(proof) = admitted.proof {
                    self.confirm(proof, now);
                }
                if self.admit(asker, &admitted, self.waiting.has_room(), now) == Admission::Later {
                    self.count("requests that waited for a value");
                    self.waiting.keep(station, udp);
                }
            }
            Err(Refusal::Code(code)) => self.refuse(&asker, code, now),
            Err(Refusal::Silence(why)) => self.discard(why, now),
        }
    }

    /// One that waited for a value. It has passed the meter of its station; all else may have changed.
    pub(super) fn request_again(&mut self, station: Station, udp: &UdpPacket<'_>, now: Now) {
        let Ok(request) = Request::parse(udp.payload) else { return };
        let asker = Asker { station, port: udp.source.port(), request };
        match self.examine(&asker, udp) {
            Ok(admitted) => {
                self.admit(asker, &admitted, false, now);
            }
            Err(Refusal::Code(code)) => self.refuse(&asker, code, now),
            Err(Refusal::Silence(why)) => self.discard(why, now),
        }
    }

    /// All checks that need no memory of other requests.
    fn examine<'a>(&self, asker: &Asker, udp: &UdpPacket<'a>) -> Result<Admitted<'a>, Refusal> {
        // RFC 3024 section 4.2.1; the group of all agents is never forwarded.
        if udp.ttl != 255 && !(udp.ttl == 1 && *udp.destination.ip() == ALL_AGENTS) {
            return Err(Code::FA_TOO_DISTANT.into());
        }
        let parts = Parts::parse(udp.payload, Request::LEN, self.config.vendor).map_err(|e| match e {
            Error::UnknownCritical(_) => Refusal::Silence(UNKNOWN),
            _ => Code::FA_BAD_REQUEST.into(),
        })?;
        check_form(&asker.request, &parts)?;
        // Through us nobody but we takes revocations (RFC 3543 section 4.2.1).
        if parts.mobile.revocation.is_some() || parts.foreign.revocation.is_some() {
            return Err(Refusal::Silence("request: 137 is not the mobile node's to send"));
        }
        let mobile = parts.mobile_bytes();
        let digest = crypto::digest(&[mobile]);
        if self.serves_plainly(&parts) {
            let purpose = self.check_offer(&asker.request, &parts)?;
            let Answered { challenge, spender, clear, behind } = self.check_plain(&asker.request, &parts)?;
            let numbers = Numbers::Vendor(self.config.vendor);
            let clear = Some(clear);
            return Ok(Admitted {
                purpose,
                encapsulating: parts.foreign.delivery_style,
                mobile,
                digest,
                numbers,
                spender,
                challenge,
                proof: None,
                clear,
                behind,
                negotiation: None,
            });
        }
        if parts.foreign.mobile_aaa.is_some() {
            return Err(Refusal::Silence(UNKNOWN));
        }
        let proof = self.prove(&asker.request, &parts)?;
        let purpose = self.check_offer(&asker.request, &parts)?;
        let (challenge, numbers) = self.check_agent_heard(&parts)?;
        Ok(Admitted {
            purpose,
            encapsulating: parts.foreign.delivery_style,
            mobile,
            digest,
            numbers,
            spender: Spender::of(&parts),
            challenge,
            proof,
            clear: None,
            behind: Vec::new(),
            negotiation: parts.mobile.negotiation,
        })
    }

    /// Whether we offer what is asked for.
    fn check_offer(&self, request: &Request, parts: &Parts<'_>) -> Result<Purpose, Code> {
        let home_agent = request.home_agent;
        if home_agent.is_unspecified() || home_agent.is_broadcast() {
            return Err(Code::FA_MISSING_HOME_AGENT);
        }
        if home_agent == self.config.care_of || self.config.links.iter().any(|l| l.address == home_agent) {
            return Err(Code::FA_INVALID_HOME_AGENT);
        }
        if self.homes.get(&home_agent).is_none_or(|home| home.retired) {
            return Err(Code::FA_PROHIBITED);
        }
        if request.lifetime > self.config.max_lifetime {
            return Err(Code::FA_LIFETIME);
        }
        if request.lifetime == 0 {
            return Ok(Purpose::Leave);
        }
        self.check_style(request, parts.foreign.delivery_style)?;
        if request.flags.has(Flags::DECAPSULATION) {
            return if request.care_of == self.config.care_of {
                Err(Code::FA_CARE_OF)
            } else {
                Ok(Purpose::CoLocated)
            };
        }
        if request.care_of != self.config.care_of {
            return Err(Code::FA_CARE_OF);
        }
        match (self.config.reverse_tunnel, request.flags.has(Flags::REVERSE_TUNNEL)) {
            (ReverseTunnel::Off, true) => Err(Code::FA_REVERSE_UNAVAILABLE),
            (ReverseTunnel::Required, false) => Err(Code::FA_REVERSE_MANDATORY),
            _ => Ok(Purpose::Visit),
        }
    }

    /// The challenge that the mobile node answers, under what 32 covers, and the numbering it speaks.
    fn check_agent_heard<'a>(&self, parts: &Parts<'a>) -> Result<(&'a [u8], Numbers), Code> {
        let (Some(heard), Some(numbers)) = (parts.mobile.agent_heard, parts.mobile.numbers) else {
            return Err(Code::FA_MISSING_CHALLENGE);
        };
        let repeated = [parts.mobile.challenge, parts.foreign.challenge];
        let contradicted = repeated.iter().flatten().any(|challenge| *challenge != heard.challenge);
        if contradicted || heard.agent != self.config.nai {
            return Err(Code::FA_UNKNOWN_CHALLENGE);
        }
        Ok((heard.challenge, numbers))
    }

    /// Relays a good request, unless it was answered already, is stale, or there are too many. One that `may_wait` does
    /// so for a value that is still being made.
    fn admit(&mut self, asker: Asker, admitted: &Admitted<'_>, may_wait: bool, now: Now) -> Admission {
        if self.repeat(&asker, admitted.digest) {
            return Admission::Over;
        }
        let (station, home_agent) = (asker.station, asker.request.home_agent);
        if let Err(code) = self
            .check_challenge(station, admitted)
            .and_then(|()| self.check_room(station, admitted, home_agent, now))
        {
            self.refuse(&asker, code, now);
            return Admission::Over;
        }
        let Stated { offered, incomplete } = self.offer((station, home_agent), admitted, now);
        if incomplete && may_wait {
            return Admission::Later;
        }
        let handle = self.new_handle();
        let keyed = admitted.clear.is_none();
        let share = keyed.then(|| self.share(home_agent, admitted.purpose, now)).flatten();
        let Some(home) = self.homes.get(&home_agent) else {
            return Admission::Over;
        };
        let home_name = home.nai.clone();
        let relayed = self.with_our_part(home, admitted, handle, (share, offered.as_ref()), now);
        let Ok(relayed) = relayed else {
            self.refuse(&asker, Code::FA_BAD_REQUEST, now);
            return Admission::Over;
        };
        let identification = asker.request.identification;
        self.pendings.insert(Pending {
            asker,
            purpose: admitted.purpose,
            encapsulating: admitted.encapsulating,
            digest: admitted.digest,
            spender: admitted.spender,
            challenge: admitted.challenge.to_vec(),
            visitor: admitted.proof.map(|proof| proof.visitor),
            clear: admitted.clear.clone(),
            offered,
            share,
            handle,
            relayed: relayed.clone(),
            deadline: now.mono + WAIT,
            progress: Progress::Waiting,
            overtaken: false,
            told: false,
        });
        self.count("requests relayed");
        self.figures.relayed(home_agent);
        self.send_home(home_agent, relayed);
        let text = format!("relayed a request from link {} to {home_name}", station.link.0);
        let event = Event::new(EventKind::RequestRelayed, text).of(identification);
        self.notify(Event { agent: Some(home_name), ..event });
        Admission::Over
    }

    /// The same bytes from the same station: relayed again with the same part, or answered as before. The
    /// answer goes to the port of the latest one.
    fn repeat(&mut self, asker: &Asker, digest: [u8; 32]) -> bool {
        let Some(pending) = self.pendings.repeated(asker.station, digest) else {
            return false;
        };
        pending.asker.port = asker.port;
        match &pending.progress {
            Progress::Waiting => {
                let relayed = pending.relayed.clone();
                self.count("requests relayed again");
                self.send_home(asker.request.home_agent, relayed);
            }
            Progress::Exchanging | Progress::Committing => {}
            Progress::Answered(answer) => {
                let answer = answer.clone();
                self.count("replies relayed again");
                self.send_answer(asker, &answer);
            }
        }
        true
    }

    fn check_challenge(&self, station: Station, admitted: &Admitted<'_>) -> Result<(), Code> {
        let challenges = self.beacons.get(&station.link).map(|beacon| &beacon.challenges);
        let standing = challenges.map_or(Standing::Unknown, |challenges| {
            challenges.standing(admitted.challenge, admitted.spender, station.address)
        });
        match standing {
            Standing::Fresh => Ok(()),
            Standing::Spent => Err(Code::FA_STALE_CHALLENGE),
            Standing::Unknown => Err(Code::FA_UNKNOWN_CHALLENGE),
        }
    }

    fn check_room(
        &mut self,
        station: Station,
        admitted: &Admitted<'_>,
        home_agent: Ipv4Addr,
        now: Now,
    ) -> Result<(), Code> {
        let limits = &self.config.limits;
        if self.pendings.open_of(station) >= PER_STATION
            || self.pendings.open_at(home_agent) >= limits.pending_home_agent
        {
            return Err(Code::FA_RESOURCES);
        }
        // Whoever visits already may renew; newcomers whose home agents were asked count as visitors.
        let known = admitted.proof.is_some() || self.visitors.knows(station);
        let full = admitted.purpose == Purpose::Visit && !known && {
            let most = self.visitors.len() + self.pendings.stations_arriving();
            // Only then need it be known exactly.
            most >= self.config.max_visitors && {
                let arriving = self.pendings.arriving().filter(|s| *s != station);
                let newcomers = arriving.filter(|s| !self.visitors.knows(*s)).count();
                self.visitors.len() + newcomers >= self.config.max_visitors
            }
        };
        // A visitor that proved itself is not turned away for the sake of strangers.
        let proved = admitted.proof.is_some();
        if full || !proved && !self.gate.relays(limits, now.mono) {
            return Err(Code::FA_RESOURCES);
        }
        if self.pendings.open() < self.config.max_pending {
            return Ok(());
        }
        let patience = if proved { Duration::ZERO } else { PATIENCE };
        if self.pendings.displace(now.mono, patience).is_none() {
            return Err(Code::FA_RESOURCES);
        }
        self.count("requests displaced");
        Ok(())
    }

    /// The share to offer this home agent, where it answers with keys.
    fn share(&mut self, home_agent: Ipv4Addr, purpose: Purpose, now: Now) -> Option<[u8; 32]> {
        let home = self.homes.get_mut(&home_agent)?;
        let offers = purpose == Purpose::Visit && !home.no_fs;
        offers.then(|| home.shares.offer(&mut self.rng, now.mono))
    }

    /// A handle that no request has, and two indices that name no association of ours.
    fn new_handle(&mut self) -> Handle {
        let handle = loop {
            let handle = self.rng.u64();
            if self.pendings.find(handle).is_none() {
                break handle;
            }
        };
        let key2 = self.new_index(None);
        let key3 = self.new_index(Some(key2));
        Handle { handle, key2, key3 }
    }

    fn new_index(&mut self, other: Option<Spi>) -> Spi {
        loop {
            let spi = Spi(self.rng.u32());
            let taken = other == Some(spi)
                || self.visitors.uses(spi)
                || self.pendings.uses(spi)
                || self.past.uses(spi)
                || self.dismissals.uses(spi);
            if spi >= Spi::FIRST && !taken {
                return spi;
            }
        }
    }

    /// Requests that waited long enough are refused; remembered answers are forgotten.
    pub(super) fn time_out_requests(&mut self, now: Now) {
        while let Some(pending) = self.pendings.over(now.mono) {
            if !matches!(pending.progress, Progress::Waiting) {
                continue;
            }
            self.count("requests timed out");
            self.figures.timed_out(pending.home_agent());
            if !pending.told {
                self.refuse(&pending.asker, Code::FA_TIMEOUT, now);
            }
        }
    }

    /// Tells the mobile nodes that wait for this home agent. Their requests go on waiting: the network may
    /// be wrong, and a reply that still comes is authenticated.
    pub(super) fn unreachable(&mut self, home_agent: Ipv4Addr, kind: Unreachable, now: Now) {
        let code = match kind {
            Unreachable::Network => Code::FA_HOME_NETWORK,
            Unreachable::Host => Code::FA_HOME_AGENT_HOST,
            Unreachable::Port => Code::FA_HOME_AGENT_PORT,
            Unreachable::Other => Code::FA_HOME_AGENT_UNREACHABLE,
        };
        for asker in self.pendings.tell(home_agent) {
            self.refuse(&asker, code, now);
        }
    }
}

fn check_form(request: &Request, parts: &Parts<'_>) -> Result<(), Code> {
    if !parts.mobile.understood() || !parts.foreign.understood() {
        return Err(Code::FA_VENDOR_FROM_MN);
    }
    // 34 and our extensions behind 32 are a foreign agent's to write.
    let ours = parts.foreign_home.is_some() || parts.foreign.numbers.is_some();
    // Under 32 we could not keep 130 from the home agent (RFC 3024 section 3.3).
    if ours || parts.mobile.delivery_style || !request.flags.reserved_clear() {
        return Err(Code::FA_BAD_REQUEST);
    }
    Ok(())
}
