//! Registration replies (RFC 5944 section 3.8.3, docs/wire.md): the mobile node's part through 32, then
//! the foreign agent's through 34.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    sync::Arc,
    time::Duration,
};

use crypto::Sealer;
use record::AssociationKind;
use sa::{
    Direction, Exchange, KeyInfo, LIFETIME_FOREVER, Material, Replay, Transcript, put_key_with,
    put_sealed_with,
};
use sansio::{Instant, Now, Transmit};
use wire::{
    Error, Writer, ip,
    mip::{
        PORT,
        code::{Code, DetailCode},
        extension::{self, FA_HA_AUTHENTICATION, MN_HA_AUTHENTICATION, UdpTunnelReply},
        ours::{self, ErrorDetail, Numbers, SealedNai, Subtype, ip_owner, nai_owner},
        part::Parts,
        registration::{self, Identification, ntp_seconds},
        revocation::Support,
    },
};

use super::{HomeAgent, Keys, intake::Asked, limits::ANSWERS, roster::Who};
use crate::{Event, EventKey, EventKind};

/// How long an answer is kept for a request that comes again.
const REPEAT: Duration = Duration::from_secs(30);

/// Room for what follows 32, in octets: two keys, an address, a key share and 34 take less where names are short.
const AGENT_PART: usize = 512;

/// Time to live of an answer on the home link; it passes no router.
const REPLY_TTL: u8 = 255;

/// What to answer.
pub(super) struct Reply {
    pub(super) code: Code,
    pub(super) lifetime: u16,
    pub(super) detail: Option<DetailCode>,
    pub(super) keys: Option<ReplyKeys>,
}

/// Keys as their receivers are told of them.
pub(super) struct ReplyKeys {
    mobile: Vec<KeyInfo>,
    agent: Vec<KeyInfo>,
}

/// All views of the keys of one registration.
#[derive(Default)]
pub(super) struct KeyInfos {
    mobile: Vec<KeyInfo>,
    agent: Vec<KeyInfo>,
    at_home_agent: Vec<KeyInfo>,
}

impl KeyInfos {
    /// Those for the reply, and those that we keep.
    pub(super) fn split(self) -> (ReplyKeys, Vec<KeyInfo>) {
        (ReplyKeys { mobile: self.mobile, agent: self.agent }, self.at_home_agent)
    }

    /// KEY 3 by name; the home agent itself does not keep it.
    pub(super) fn fingerprint_of_key3(&self) -> Option<EventKey> {
        let info = self.mobile.iter().find(|i| i.kind == AssociationKind::Key3)?;
        let Material::Key(key) = &info.material else {
            return None;
        };
        Some(EventKey {
            kind: info.kind,
            spis: [info.inbound, info.outbound],
            fingerprint: key.fingerprint(),
        })
    }
}

impl Asked {
    /// The keys of this registration in every receiver's view; `None` if keys are missing.
    pub(super) fn key_infos(&self, keys: Keys, home_agent: &Arc<str>) -> Option<KeyInfos> {
        let forever = self.lifetime == u16::MAX;
        let lifetime = if forever { LIFETIME_FOREVER } else { u32::from(self.lifetime) };
        let pair = |kind, spis: (_, _), first: &Arc<str>, second: &Arc<str>| {
            let material = self.agreed.material(kind, &keys)?;
            let encryption = self.agreed.suite(kind).encryption;
            let view = |inbound, outbound, own: &Arc<str>, peer: &Arc<str>, material| KeyInfo {
                kind,
                inbound,
                outbound,
                lifetime,
                encryption,
                material,
                own: Arc::clone(own),
                peer: Arc::clone(peer),
            };
            let copy = material.duplicate();
            Some((view(spis.0, spis.1, first, second, copy), view(spis.1, spis.0, second, first, material)))
        };
        let (mobile1, home1) = pair(AssociationKind::Key1, self.key1, &self.who.nai.shared(), home_agent)?;
        if let Some(agent) = self.serving_agent() {
            let spis2 = (agent.handle.key2, self.key2_key3.0);
            let (agent2, home2) = pair(AssociationKind::Key2, spis2, &agent.nai, home_agent)?;
            let spis3 = (self.key2_key3.1, agent.handle.key3);
            let (mobile3, agent3) =
                pair(AssociationKind::Key3, spis3, &self.visit_name.as_str().into(), &agent.nai)?;
            return Some(KeyInfos {
                mobile: vec![mobile3, mobile1],
                agent: vec![agent2, agent3],
                at_home_agent: vec![home1, home2],
            });
        }
        Some(KeyInfos { mobile: vec![mobile1], agent: Vec::new(), at_home_agent: vec![home1] })
    }
}

/// What a request that came before deserves.
pub(super) enum Repeated {
    /// The stored answer.
    Again(Vec<u8>),
    /// It came through another agent this time.
    ThroughAnother,
    /// Nothing.
    Silence,
    /// Nothing: it was answered often enough.
    TooOften,
}

/// An answer kept for a request that comes again: recognised by T1 alone.
pub(super) struct Repeat {
    t1: Transcript,
    until: Instant,
    mobile_part: Vec<u8>,
    numbers: Numbers,
    agent: Option<RepeatAgent>,
}

struct RepeatAgent {
    path: usize,
    handle: ours::Handle,
    content: AgentContent,
}

/// What a foreign agent is told.
struct AgentContent {
    keys: Vec<KeyInfo>,
    home_address: Option<Ipv4Addr>,
    udp: Option<UdpTunnelReply>,
    revocation: Option<Support>,
    challenge: Option<Vec<u8>>,
    /// Body of the agent's part of a negotiation.
    negotiation: Option<Vec<u8>>,
}

impl HomeAgent {
    /// Builds the whole reply and what to keep of it.
    pub(super) fn reply(&mut self, asked: &Asked, reply: Reply, now: Now) -> Option<(Transmit, Repeat)> {
        let built = self.build(asked, reply, asked.identification, now);
        if let Err(error) = &built {
            self.discard("reply too long", format_args!("no reply can be written: {error}"));
        }
        built.ok()
    }

    /// Code 133 with our time (RFC 5944 section 5.7.1). It changes nothing, so nothing is committed first.
    pub(super) fn mismatch(&mut self, asked: &Asked, replay: Replay, now: Now) {
        let code = Code::HA_IDENTIFICATION;
        self.count_denial(&asked.who, code, now);
        let why = match replay {
            Replay::OutOfWindow(off) => format!("the clock of the mobile node is off by {off} s"),
            Replay::OtherNonce => "a nonce that is not the one given last".to_owned(),
            Replay::NotAbove | Replay::Fresh => "an identification not above the last one".to_owned(),
        };
        let mut event = Event::new(EventKind::Denied, format!("{code}: {why}")).of(asked.identification);
        event.code = Some(code.0);
        event.agent = asked.agent.as_ref().map(|a| a.nai.to_string());
        self.notify(event);
        let time = Identification::new(ntp_seconds(now.unix.as_secs()), asked.identification.low());
        let reply = Reply { code, lifetime: 0, detail: None, keys: None };
        if let Ok((transmit, _)) = self.build(asked, reply, time, now) {
            self.outbox.send(transmit);
        }
    }

    fn build(
        &mut self,
        asked: &Asked,
        reply: Reply,
        identification: Identification,
        now: Now,
    ) -> Result<(Transmit, Repeat), Error> {
        let (mobile_keys, agent_keys) = reply.keys.map_or_else(Default::default, |k| (k.mobile, k.agent));
        let fixed = registration::Reply {
            code: reply.code,
            lifetime: reply.lifetime,
            // At home the address is clear in the request and so in the reply (RFC 5944 section 3.8.3.1).
            home_address: asked.clear_home_address,
            home_agent: self.config.address,
            identification,
        };
        let granted = (!mobile_keys.is_empty()).then_some(asked.home_address);
        // Of what was chosen only an acceptance speaks.
        let speaks = granted.is_some() || reply.detail == Some(DetailCode::COUNTER_PROPOSAL);
        let [to_mobile, to_agent] =
            asked.agreed.replies.each_ref().map(|body| body.as_deref().filter(|_| speaks));
        let support = self.support(asked, now);
        let own = support.filter(|_| asked.agent.is_none());
        let granting = granted.map(|address| (address, own));
        let mobile_part = match &asked.clear {
            Some(clear) => self.clear_part(asked, clear, fixed)?,
            None => self.mobile_part(asked, fixed, &mobile_keys, granting, (reply.detail, to_mobile))?,
        };
        let agent = asked.agent.as_ref().map(|agent| RepeatAgent {
            path: agent.path,
            handle: agent.handle,
            content: AgentContent {
                keys: agent_keys,
                home_address: granted.filter(|_| !asked.co_located),
                udp: asked.agent_udp,
                revocation: support.filter(|_| granted.is_some()),
                challenge: asked.clear.as_ref().and_then(|clear| clear.challenge.clone()),
                negotiation: to_agent.map(<[u8]>::to_vec),
            },
        });
        let message = match &agent {
            Some(agent) => {
                let t2 = asked.t2.as_ref().ok_or(Error::Value("foreign agent"))?;
                let exchange = asked.agent_exchange.as_deref();
                self.agent_part(&mobile_part, asked.numbers, agent, agent.handle, (t2, exchange))?
            }
            None => mobile_part.clone(),
        };
        let until = now.mono + REPEAT;
        let repeat = Repeat { t1: asked.t1, until, mobile_part, numbers: asked.numbers, agent };
        Ok((self.transmit(asked, message), repeat))
    }

    /// An answer to a mobile node on the home link goes past the host's routes: while its binding stands they
    /// lead into the tunnel.
    pub(super) fn transmit(&self, asked: &Asked, payload: Vec<u8>) -> Transmit {
        let (source, destination) = (SocketAddrV4::new(self.config.address, PORT), asked.source);
        if let Some(to) = asked.returned.or(asked.plain_at_home().then_some([0xff; 6]))
            && let Ok(packet) = ip::udp_packet(source, destination, REPLY_TTL, &payload)
        {
            let link = self.config.home_link;
            return Transmit::Link { link, to, packet };
        }
        Transmit::Udp { source, destination, payload }
    }

    /// From the fixed part through 32.
    fn mobile_part(
        &mut self,
        asked: &Asked,
        fixed: registration::Reply,
        keys: &[KeyInfo],
        granted: Option<(Ipv4Addr, Option<Support>)>,
        (detail, negotiation): (Option<DetailCode>, Option<&[u8]>),
    ) -> Result<Vec<u8>, Error> {
        let known = self.known.of(&asked.who).ok_or(Error::Value("subscriber"))?;
        let credential = known.credentials.iter().find(|c| c.generation == asked.generation);
        let home = &credential.ok_or(Error::Value("KEY 0"))?.keys;
        // Only keys are worth an exchange; everything else is sealed without one.
        let exchange = asked.exchange.as_ref().filter(|_| !keys.is_empty());
        let (spi, sealer) = (asked.spi, Sealer::new(home.cipher(), &home.reply_key(&asked.t1, exchange)));
        let (len, numbers, rng) = (registration::Reply::LEN, asked.numbers, &mut self.rng);
        let mut w = Writer::with_capacity(512);
        fixed.emit(&mut w);
        extension::put(&mut w, extension::MN_NAI, format!("@{}", self.config.realm).as_bytes())?;
        for info in keys {
            put_key_with(&mut w, len, numbers, spi, &sealer, rng, info)?;
        }
        if asked.by_realm_key && asked.index > 0 {
            let name = SealedNai { index: asked.index, user: asked.who.nai.user().to_owned() }.emit()?;
            let slot = (Subtype::NAI, nai_owner::MOBILE_NODE, spi);
            put_sealed_with(&mut w, len, numbers, slot, &sealer, rng, &name)?;
        }
        if let Some((address, _)) = granted {
            let slot = (Subtype::IP, ip_owner::HOST, spi);
            put_sealed_with(&mut w, len, numbers, slot, &sealer, rng, &address.octets())?;
        }
        if let Some(exchange) = exchange {
            exchange.emit(&mut w, numbers)?;
        }
        if let Some(body) = negotiation {
            ours::put(&mut w, numbers, Subtype::NEGOTIATION, body)?;
        }
        if let Some((_, Some(support))) = granted {
            support.emit(&mut w);
        }
        if let Some(udp) = asked.mobile_udp {
            udp.emit(&mut w);
        }
        if let Some(code) = detail {
            let plain = ErrorDetail { code, text: code.meaning().to_owned() }.emit();
            let slot = (Subtype::ERROR_DETAIL, 0, spi);
            put_sealed_with(&mut w, len, numbers, slot, &sealer, rng, &plain)?;
        }
        extension::open_authentication(&mut w, MN_HA_AUTHENTICATION, spi, 32);
        let authenticator = home.authenticate(Direction::FromHome, w.bytes());
        w.put(&authenticator);
        Ok(w.into_bytes())
    }

    /// What follows 32, through 34.
    fn agent_part(
        &mut self,
        mobile_part: &[u8],
        numbers: Numbers,
        agent: &RepeatAgent,
        handle: ours::Handle,
        (t2, exchange): (&Transcript, Option<&Exchange>),
    ) -> Result<Vec<u8>, Error> {
        let path = self.paths.get(agent.path).ok_or(Error::Value("foreign agent"))?;
        let exchange = exchange.filter(|_| !agent.content.keys.is_empty());
        let spi = path.keys.spi();
        let sealer = Sealer::new(path.keys.cipher(), &path.keys.reply_key(t2, exchange));
        let (len, rng) = (registration::Reply::LEN, &mut self.rng);
        let mut w = Writer::with_capacity(mobile_part.len() + AGENT_PART);
        w.put(mobile_part);
        handle.emit(&mut w, numbers)?;
        if let Some(challenge) = &agent.content.challenge {
            extension::put(&mut w, extension::MN_FA_CHALLENGE, challenge)?;
        }
        for info in &agent.content.keys {
            put_key_with(&mut w, len, numbers, spi, &sealer, rng, info)?;
        }
        if let Some(address) = agent.content.home_address {
            let slot = (Subtype::IP, ip_owner::HOST, spi);
            put_sealed_with(&mut w, len, numbers, slot, &sealer, rng, &address.octets())?;
        }
        if let Some(exchange) = exchange {
            exchange.emit(&mut w, numbers)?;
        }
        if let Some(body) = &agent.content.negotiation {
            ours::put(&mut w, numbers, Subtype::NEGOTIATION, body)?;
        }
        if let Some(support) = agent.content.revocation {
            support.emit(&mut w);
        }
        if let Some(udp) = agent.content.udp {
            udp.emit(&mut w);
        }
        extension::open_authentication(&mut w, FA_HA_AUTHENTICATION, spi, 32);
        let authenticator = path.keys.authenticate(Direction::FromHome, w.bytes());
        w.put(&authenticator);
        Ok(w.into_bytes())
    }

    /// What to do with a request that came before; `None` if this one is new.
    pub(super) fn repeated(
        &mut self,
        who: &Who,
        parts: &Parts<'_>,
        (path, relayed): (Option<usize>, bool),
        t1: &Transcript,
        now: Now,
    ) -> Option<Repeated> {
        let known = self.known.of_mut(who)?;
        let repeat = known.repeat.take_if(|r| r.t1 == *t1 && now.mono <= r.until)?;
        let there = repeat.agent.as_ref().map(|a| a.path);
        let action = if !known.answers.take(ANSWERS, now.mono) {
            Repeated::TooOften
        } else if relayed && there != path {
            Repeated::ThroughAnother
        } else {
            self.repeat_message(&repeat, parts, (path, relayed), now)
                .map_or(Repeated::Silence, Repeated::Again)
        };
        if let Some(known) = self.known.of_mut(who) {
            known.repeat = Some(repeat);
        }
        Some(action)
    }

    /// Denies without recording anything: the identification was recorded before.
    pub(super) fn deny_again(&mut self, asked: &Asked, code: Code, now: Now) {
        self.count_denial(&asked.who, code, now);
        let reply = Reply { code, lifetime: 0, detail: None, keys: None };
        if let Ok((transmit, _)) = self.build(asked, reply, asked.identification, now) {
            self.outbox.send(transmit);
        }
    }

    /// The stored answer with a fresh agent's part; `None` where silence is due: another agent, another
    /// handle's indices, or an agent that did not prove itself.
    fn repeat_message(
        &mut self,
        repeat: &Repeat,
        parts: &Parts<'_>,
        (path, relayed): (Option<usize>, bool),
        now: Now,
    ) -> Option<Vec<u8>> {
        let Some(agent) = &repeat.agent else {
            return parts.foreign.handle.is_none().then(|| repeat.mobile_part.clone());
        };
        let handle = parts.foreign.handle?;
        let same = (handle.key2, handle.key3) == (agent.handle.key2, agent.handle.key3);
        let keyless = agent.content.keys.is_empty();
        if path != Some(agent.path) || !relayed && !keyless || !same && !keyless {
            return None;
        }
        let exchange = match keyless {
            true => None,
            false => self.agent_exchange(agent.path, parts.foreign.key_share, now).ok()?,
        };
        let proof = (&Transcript::of_agent(parts), exchange.as_deref());
        self.agent_part(&repeat.mobile_part, repeat.numbers, agent, handle, proof).ok()
    }
}
