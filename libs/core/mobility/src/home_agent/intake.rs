//! A registration request from its first byte to the decision what to do with it (RFC 5944 section 3.8.2,
//! docs/wire.md, order of checks).

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    sync::Arc,
};

use crypto::{Cipher, Key, Sealer};
use record::{AssociationKind, Tunnel};
use sa::{
    Direction, Exchange, Replay, Transcript, Unfinished, Unverified, Verified, check_identification,
    sealed_plain, sealed_plain_with,
};
use sansio::{LinkAddress, Now};
use wire::mip::{
    Spi,
    code::{Code, DetailCode},
    extension::UdpTunnelReply,
    ours::{Handle, Numbers, SealedLayer2, SealedNai, layer_2, nai_owner, parse_ip},
    part::{Held, Parts},
    registration::{Flags, Identification, Request},
    revocation::{ACKNOWLEDGEMENT, REVOCATION, Support},
};

use super::{
    CANDIDATES, Effect, HomeAgent, KeyRequest, Known,
    answer::Repeated,
    bind::Work,
    limits::ANSWERS,
    negotiate::Agreed,
    plain::Clear,
    realm::{self, Named},
    roster::Who,
};

use crate::Trace;

/// The foreign agent that relayed a request.
#[derive(Clone)]
pub(super) struct Agent {
    pub(super) nai: Arc<str>,
    pub(super) path: usize,
    pub(super) handle: Handle,
}

/// Who sent a request, and how it says so.
pub(super) struct Author {
    pub(super) who: Who,
    /// Generation of the KEY 0 that 32 is made with.
    pub(super) generation: u32,
    /// Number of the one-time index; 0 with a static one.
    pub(super) index: u64,
    /// What the request is sealed with, if not with KEY 0 but to a realm key.
    pub(super) realm_seal: Option<(Cipher, Key)>,
}

/// A request whose 32 verified, with all that an answer needs.
pub(super) struct Asked {
    pub(super) who: Who,
    /// Index of 32 and of everything sealed, in the request and so in the reply.
    pub(super) spi: Spi,
    /// Generation of the KEY 0 that it was made with.
    pub(super) generation: u32,
    /// Highest number of a one-time index, this request's included.
    pub(super) index: u64,
    /// It came under a realm key: the reply tells the number to go on from.
    pub(super) by_realm_key: bool,
    /// What the request is sealed with.
    seal: (Cipher, Key),
    /// Of the key shares with the mobile node and with the foreign agent, once the request is to be accepted.
    pub(super) exchange: Option<Exchange>,
    /// The former while the key distribution centre is asked.
    pub(super) unfinished: Option<Unfinished>,
    pub(super) agent_exchange: Option<Arc<Exchange>>,
    pub(super) identification: Identification,
    pub(super) source: SocketAddrV4,
    /// Of the request: they tie the answer to it.
    pub(super) t1: Transcript,
    /// The same for the agent that relayed it.
    pub(super) t2: Option<Transcript>,
    /// Home address of the fixed part.
    pub(super) clear_home_address: Ipv4Addr,
    pub(super) numbers: Numbers,
    pub(super) agent: Option<Agent>,
    /// 0.0.0.0 until one is assigned.
    pub(super) home_address: Ipv4Addr,
    /// The one that was asked for; 0.0.0.0 for any.
    pub(super) wanted: Ipv4Addr,
    pub(super) care_of: Ipv4Addr,
    pub(super) tunnel: Tunnel,
    pub(super) reverse_tunnel: bool,
    /// S: the bindings before are to stay.
    pub(super) simultaneous: bool,
    /// B, and granted.
    pub(super) broadcasts: bool,
    /// D: the mobile node is itself the end of its tunnel, even if an agent relayed.
    pub(super) co_located: bool,
    pub(super) lifetime: u16,
    /// The 137 of the other end, if it is agreed to.
    pub(super) revocation: Option<Support>,
    pub(super) returned: Option<LinkAddress>,
    pub(super) mobile_udp: Option<UdpTunnelReply>,
    pub(super) agent_udp: Option<UdpTunnelReply>,
    /// KEY 1: inbound at the mobile node, at the home agent.
    pub(super) key1: (Spi, Spi),
    /// KEY 2 inbound at the home agent, KEY 3 inbound at the mobile node.
    pub(super) key2_key3: (Spi, Spi),
    pub(super) visit_name: String,
    /// It came from a node without our extensions.
    pub(super) clear: Option<Clear>,
    /// Suites of the keys.
    pub(super) agreed: Agreed,
}

impl Asked {
    /// The agent at which the tunnel ends: none if the mobile node is its own end, whoever relayed.
    pub(super) fn serving_agent(&self) -> Option<&Agent> {
        self.agent.as_ref().filter(|_| !self.co_located)
    }
}

/// Why a request whose 32 verified is denied.
pub(super) type Denial = (Code, Option<DetailCode>);

pub(super) const fn denial(code: Code) -> Denial {
    (code, None)
}

impl HomeAgent {
    /// Takes a message of UDP port 434.
    pub(super) fn take_message(&mut self, source: SocketAddrV4, payload: &[u8], now: Now) {
        match payload.first() {
            Some(&REVOCATION) => return self.revoked(source, payload, now),
            Some(&ACKNOWLEDGEMENT) => return self.acknowledged(source, payload),
            _ => {}
        }
        let fixed = match Request::parse(payload) {
            Ok(fixed) => fixed,
            Err(error) => {
                return self.discard("malformed", format_args!("not a registration request: {error}"));
            }
        };
        let parts = match Parts::parse(payload, Request::LEN, self.config.vendor) {
            Ok(parts) => Unverified::new(parts),
            Err(error) => return self.discard("malformed", format_args!("registration request: {error}")),
        };
        let path = self.path_of(parts.peek(), source);
        if path.is_none() && parts.peek().foreign_home.is_some() {
            self.proved_nothing(source, false, now);
            return self.discard("no association with the agent", "34 of an agent that is not configured");
        }
        let relayed = path
            .and_then(|p| self.paths.get(p))
            .is_some_and(|p| p.keys.matches(Direction::ToHome, parts.peek()));
        if let Some(path) = path.filter(|_| !relayed && parts.peek().foreign_home.is_some())
            && !self.gate.looks_behind_34(path, now)
        {
            // So that 32 need not be looked for among the subscribers only to answer code 132.
            self.proved_nothing(source, true, now);
            return self.discard("34 is wrong too often", "a wrong 34 in the name of a configured agent");
        }
        if !through_an_agent(parts.peek()) && !self.shows_itself(fixed, parts.peek(), source, now) {
            return;
        }
        let author = if parts.peek().mobile_home.spi.names_realm_key() {
            let Some(named) = self.named_by_realm_key(fixed, parts.peek(), source, (path, relayed), now)
            else {
                return;
            };
            self.author_named(named, &parts, now)
        } else {
            self.author(&parts, now)
        };
        let Some((author, parts)) = author else {
            return self.take_plain(fixed, &parts, (source, (path, relayed)), now);
        };
        if parts.foreign.mobile_aaa.is_some() {
            return self.discard("malformed", "36 of a mobile node with our extensions");
        }
        self.authenticated(author, fixed, parts, source, (path, relayed), now);
    }

    /// The configured agent that a message came from: by index and source of 34, or by source alone.
    fn path_of(&self, parts: &Parts<'_>, source: SocketAddrV4) -> Option<usize> {
        let spi = parts.foreign_home.map(|claim| claim.spi);
        let fits = |p: &super::Path| p.address == *source.ip() && spi.is_none_or(|spi| spi == p.keys.spi());
        self.paths.position(fits)
    }

    /// The subscriber whose 32 this is, of at most four with that index.
    fn author<'m, 'a>(
        &self,
        parts: &'m Unverified<Parts<'a>>,
        now: Now,
    ) -> Option<(Author, Verified<&'m Parts<'a>>)> {
        let spi = parts.peek().mobile_home.spi;
        let unix = now.unix.as_secs();
        self.names.numbers(spi).take(CANDIDATES).find_map(|number| {
            let known = self.known.numbered(number)?;
            let credentials = known.credentials.iter();
            let credentials = credentials.filter(|c| c.counts(unix) && c.plain.is_none());
            let mut credentials = credentials;
            credentials.find_map(|credential| {
                // The number of a one-time index costs up to 16 authenticators, and is an authentic request's alone.
                let verified = credential.keys.verify(Direction::ToHome, spi, parts)?;
                let (generation, index) = (credential.generation, credential.number_of(spi)?);
                let who = Who { nai: known.subscriber.nai.clone(), number };
                Some((Author { who, generation, index, realm_seal: None }, verified))
            })
        })
    }

    /// The same for a request that named its sender by a realm key: its 32 must be of one of his KEY 0s.
    fn author_named<'m, 'a>(
        &self,
        named: Named,
        parts: &'m Unverified<Parts<'a>>,
        now: Now,
    ) -> Option<(Author, Verified<&'m Parts<'a>>)> {
        let spi = parts.peek().mobile_home.spi;
        let known = self.known.named(&named.nai)?;
        let unix = now.unix.as_secs();
        let mut credentials = known.credentials.iter().filter(|c| c.counts(unix) && c.plain.is_none());
        let found = credentials.find_map(|c| Some((c, c.keys.verify(Direction::ToHome, spi, parts)?)));
        let (credential, verified) = found?;
        let Named { nai, index, seal } = named;
        let (who, generation) = (Who { nai, number: known.number }, credential.generation);
        Some((Author { who, generation, index, realm_seal: Some(seal) }, verified))
    }

    fn authenticated(
        &mut self,
        author: Author,
        fixed: Request,
        parts: Verified<&Parts<'_>>,
        source: SocketAddrV4,
        (path, relayed): (Option<usize>, bool),
        now: Now,
    ) {
        let who = &author.who.clone();
        let by_realm_key = author.realm_seal.is_some();
        if !by_realm_key {
            self.move_window(who, author.generation, author.index);
        }
        let (generation, named) = (author.generation, author.index);
        let t1 = Transcript::of_mobile(&parts);
        let repeated = self.repeated(who, &parts, (path, relayed), &t1, now);
        if repeated.is_none() && self.in_progress(who, fixed.identification) {
            // Its keys or its commit are awaited: the answer is on its way already.
            return;
        }
        if matches!(repeated, Some(Repeated::Silence)) {
            return self.discard("repeated elsewhere", "an answered request came again with other indices");
        }
        if matches!(repeated, Some(Repeated::TooOften)) {
            return self.discard("repeated too often", "an answered request came again and again");
        }
        let window = self.config.timestamp_window;
        let known = self.known.of(who);
        let seen = known.and_then(|known| known.seen);
        let replay = check_identification(fixed.identification, seen, now.unix.as_secs(), window);
        if repeated.is_none() && replay != Replay::Fresh && known.is_some_and(|known| known.was_refused(&t1))
        {
            return self.discard("replayed", "an identification that was refused before");
        }
        let Some(mut asked) = self.asked(author, fixed, (&parts, t1), source, path) else {
            return;
        };
        if let Some(Repeated::Again(message)) = repeated {
            self.count("repeated");
            let transmit = self.transmit(&asked, message);
            return self.outbox.send(transmit);
        }
        if repeated.is_some() {
            return self.deny_again(&asked, Code::HA_PROHIBITED, now);
        }
        if replay == Replay::Fresh
            && let Err(why) = self.check_room(&asked, now)
        {
            return self.turn_away(&asked, why, now);
        }
        let Some(known) = self.known.of_mut(who) else {
            return;
        };
        if replay != Replay::Fresh {
            if known.first_refusal(&t1) && known.answers.take(ANSWERS, now.mono) {
                self.mismatch(&asked, replay, now);
            } else {
                self.discard("replayed", "an identification that was refused before");
            }
            return;
        }
        known.seen = Some(fixed.identification);
        if by_realm_key {
            // Only now: a replay must not move it.
            asked.index = realm::highest_after(asked.index, named);
            self.move_window(who, generation, asked.index);
        }
        match self.decide(&mut asked, fixed, &parts, relayed) {
            Ok(()) if asked.lifetime == 0 => self.deregister(&asked, now),
            Ok(()) => match self.grant(&mut asked, &parts, now) {
                Ok(()) => self.exchange_or_ask(asked, now),
                Err((code, detail)) => self.deny(&asked, code, detail, now),
            },
            Err((code, detail)) => self.deny(&asked, code, detail, now),
        }
    }

    /// What costs something once all policy is passed: negotiation, a home address, and key shares.
    fn grant(&mut self, asked: &mut Asked, parts: &Parts<'_>, now: Now) -> Result<(), Denial> {
        self.negotiate(asked, parts, now)?;
        self.give_address(asked)?;
        self.exchange(asked, parts, now)
    }

    /// What is known of a request before any policy. Silence if an agent relayed it without a handle: no
    /// answer could find back.
    pub(super) fn asked(
        &mut self,
        author: Author,
        fixed: Request,
        (parts, t1): (&Parts<'_>, Transcript),
        source: SocketAddrV4,
        path: Option<usize>,
    ) -> Option<Asked> {
        let agent = match (through_an_agent(parts), path, parts.foreign.handle) {
            (true, Some(path), Some(handle)) => {
                Some(Agent { nai: self.paths.get(path)?.nai.clone(), path, handle })
            }
            (true, _, _) => {
                self.discard(
                    "no way back",
                    "relayed by an agent that is not configured, or without a handle",
                );
                return None;
            }
            (false, _, _) => None,
        };
        let known = self.known.of(&author.who)?;
        let home_address = self.home_address_of(&known.subscriber);
        let credential = known.credentials.iter().find(|c| c.generation == author.generation)?;
        let by_realm_key = author.realm_seal.is_some();
        let own_seal = || (credential.keys.cipher(), credential.keys.request_key().duplicate());
        let seal = author.realm_seal.unwrap_or_else(own_seal);
        // Only a node that is on the home link may have its link address told there.
        let at_home = agent.is_none() && *source.ip() == home_address && !home_address.is_unspecified();
        let returned = at_home.then(|| link_address(parts, &seal)).flatten();
        Some(Asked {
            spi: parts.mobile_home.spi,
            generation: author.generation,
            index: credential.highest(),
            by_realm_key,
            seal,
            exchange: None,
            unfinished: None,
            agent_exchange: None,
            who: author.who,
            identification: fixed.identification,
            source,
            t1,
            t2: agent.is_some().then(|| Transcript::of_agent(parts)),
            clear_home_address: fixed.home_address,
            numbers: parts.mobile.numbers.unwrap_or(Numbers::Vendor(self.config.vendor)),
            agent,
            home_address,
            wanted: fixed.home_address,
            care_of: fixed.care_of,
            tunnel: Tunnel::IpInIp(fixed.care_of),
            reverse_tunnel: fixed.flags.has(Flags::REVERSE_TUNNEL),
            simultaneous: fixed.flags.has(Flags::SIMULTANEOUS),
            broadcasts: false,
            co_located: fixed.flags.has(Flags::DECAPSULATION),
            lifetime: fixed.lifetime,
            revocation: None,
            returned,
            mobile_udp: None,
            agent_udp: None,
            key1: (self.free_spi(), self.free_spi()),
            key2_key3: (self.free_spi(), self.free_spi()),
            visit_name: sa::visit_name(&mut self.rng, &self.config.realm),
            clear: None,
            agreed: Agreed::default(),
        })
    }

    /// Policy, once 32 and identification have passed. What is granted is written into `asked`.
    fn decide(
        &self,
        asked: &mut Asked,
        fixed: Request,
        parts: &Parts<'_>,
        relayed: bool,
    ) -> Result<(), Denial> {
        self.check_agent(asked, fixed, parts, relayed)?;
        self.check_form(fixed, parts)?;
        self.check_identity(asked, fixed, parts)?;
        self.check_encapsulation(asked, fixed, parts)?;
        self.check_revocation(asked, parts, relayed)?;
        self.check_limits(asked)
    }

    /// The foreign agent: authenticated, and the one that the mobile node heard.
    pub(super) fn check_agent(
        &self,
        asked: &Asked,
        fixed: Request,
        parts: &Parts<'_>,
        relayed: bool,
    ) -> Result<(), Denial> {
        let Some(agent) = &asked.agent else {
            let own = fixed.flags.has(Flags::DECAPSULATION) || fixed.lifetime == 0;
            return if own { Ok(()) } else { Err(denial(Code::HA_FA_AUTHENTICATION)) };
        };
        // A relayed deregistration carries no 34, nor does a care-of address that is not the agent's (RFC 5944
        // section 3.7.2.2).
        let unsigned = (fixed.lifetime == 0 || asked.co_located) && parts.foreign_home.is_none();
        if !relayed && !unsigned {
            return Err(denial(Code::HA_FA_AUTHENTICATION));
        }
        let mismatch = (Code::HA_FA_AUTHENTICATION, Some(DetailCode::AGENT_MISMATCH));
        let named = parts.foreign.nai.is_some_and(|held| {
            let p = held.protected;
            !p.sealed && p.content == nai_owner::FOREIGN_AGENT && p.info == agent.nai.as_bytes()
        });
        let heard = parts.mobile.agent_heard.is_some_and(|heard| heard.agent == &*agent.nai);
        if !named || !heard && asked.clear.is_none() {
            return Err(mismatch);
        }
        let path = self.paths.get(agent.path).ok_or(denial(Code::HA_FA_AUTHENTICATION))?;
        let address = path.address;
        let router = parts.foreign.ip.map(|held| parse_ip(held.protected.info));
        let offered = fixed.care_of == address || fixed.care_of.is_unspecified() && fixed.lifetime == 0;
        if router.is_some_and(|r| r != Ok(address)) || !asked.co_located && !offered {
            return Err(denial(Code::HA_PROHIBITED));
        }
        Ok(())
    }

    pub(super) fn check_form(&self, fixed: Request, parts: &Parts<'_>) -> Result<(), Denial> {
        if !parts.mobile.understood() {
            return Err(denial(Code::HA_VENDOR_FROM_MN));
        }
        if !parts.foreign.understood() {
            return Err(denial(Code::HA_VENDOR_FROM_FA));
        }
        let misplaced = parts.mobile.handle.is_some()
            || !parts.mobile.associations.is_empty()
            || !parts.foreign.associations.is_empty()
            || parts.foreign.agent_heard.is_some()
            || parts.mobile.cookie.is_some();
        if !fixed.flags.reserved_clear() || misplaced {
            return Err(denial(Code::HA_BAD_REQUEST));
        }
        if fixed.home_agent != self.config.address {
            return Err(denial(Code::HA_UNKNOWN_HOME_AGENT));
        }
        Ok(())
    }

    /// The seals: who it is, which home address, which link address.
    fn check_identity(&self, asked: &mut Asked, fixed: Request, parts: &Parts<'_>) -> Result<(), Denial> {
        let bad = denial(Code::HA_BAD_REQUEST);
        let sealer = Sealer::new(asked.seal.0, &asked.seal.1);
        let open = |held: &Held<'_>| {
            let named = held.protected.spi == asked.spi;
            named.then(|| sealed_plain_with(parts, held, &sealer)).flatten().ok_or(bad)
        };
        let nai = parts.mobile.nai.ok_or(bad)?;
        let user = SealedNai::parse(&open(&nai)?).map_err(|_| bad)?;
        if nai.protected.content != nai_owner::MOBILE_NODE || user.user != asked.who.nai.user() {
            return Err(bad);
        }
        let wanted = match &parts.mobile.ip {
            Some(held) => parse_ip(&open(held)?).map_err(|_| bad)?,
            None => fixed.home_address,
        };
        let mut named = [wanted, fixed.home_address].into_iter().filter(|a| !a.is_unspecified());
        asked.wanted = named.next().unwrap_or(Ipv4Addr::UNSPECIFIED);
        // Who has none yet may ask for a certain one.
        let own = if asked.home_address.is_unspecified() { asked.wanted } else { asked.home_address };
        if [Some(asked.wanted), named.next()].into_iter().flatten().any(|a| !a.is_unspecified() && a != own) {
            return Err(denial(Code::HA_PROHIBITED));
        }
        if let Some(held) = &parts.mobile.layer_2 {
            SealedLayer2::parse(&open(held)?).map_err(|_| bad)?;
        }
        Ok(())
    }

    /// How it can be reached (RFC 2003, RFC 3519).
    pub(super) fn check_encapsulation(
        &self,
        asked: &mut Asked,
        fixed: Request,
        parts: &Parts<'_>,
    ) -> Result<(), Denial> {
        if fixed.lifetime == 0 {
            return Ok(());
        }
        let usable = !fixed.care_of.is_unspecified()
            && !fixed.care_of.is_multicast()
            && !fixed.care_of.is_broadcast()
            && !fixed.care_of.is_loopback()
            && fixed.care_of != self.config.address;
        if !usable {
            return Err(denial(Code::HA_BAD_REQUEST));
        }
        let served = asked.serving_agent().is_some();
        // Who asks for UDP is the end of the tunnel: without D the agent, with D the node (RFC 3519 section 4.6.1).
        let misplaced = if asked.co_located { parts.foreign.udp_request } else { parts.mobile.udp_request };
        if misplaced.is_some() {
            return Err(denial(Code::HA_BAD_REQUEST));
        }
        // What an agent relayed for a node with its own address says nothing of a NAT before that node.
        let half_bound = asked.agent.is_some() && !served;
        let translated = *asked.source.ip() != fixed.care_of && !half_bound;
        let wish = if served { parts.foreign.udp_request } else { parts.mobile.udp_request };
        if wish.is_some_and(|w| !matches!(w.encapsulation, 0 | 4)) {
            return Err(denial(Code::HA_UDP_UNAVAILABLE));
        }
        let udp = wish.is_some_and(|w| w.forced || translated) && !half_bound;
        if translated && !udp && !served {
            return Err(denial(Code::HA_PROHIBITED));
        }
        let (minimal, gre) = (fixed.flags.has(Flags::MINIMAL), fixed.flags.has(Flags::GRE));
        // What UDP carries is IP in IP, if 144 asks for that; if it leaves it to M and G, those ask for something else
        // (RFC 3519 section 4.1).
        if udp && (minimal || gre) && wish.is_some_and(|w| w.encapsulation == 0) {
            return Err(denial(Code::HA_UDP_UNAVAILABLE));
        }
        if !udp {
            asked.tunnel = match (minimal && self.config.minimal, gre && self.config.gre) {
                (true, _) => Tunnel::Minimal(fixed.care_of),
                (false, true) => Tunnel::Gre(fixed.care_of),
                (false, false) if minimal || gre => return Err(denial(Code::HA_ENCAPSULATION)),
                (false, false) => Tunnel::IpInIp(fixed.care_of),
            };
        }
        asked.broadcasts = fixed.flags.has(Flags::BROADCAST) && self.config.broadcasts;
        let answer = wish.map(|_| UdpTunnelReply {
            code: if udp { 0 } else { 64 },
            forced: false,
            keepalive: if udp { self.config.keepalive } else { 0 },
        });
        if udp {
            asked.tunnel = Tunnel::Udp(asked.source);
        }
        *(if served { &mut asked.agent_udp } else { &mut asked.mobile_udp }) = answer;
        Ok(())
    }

    pub(super) fn check_limits(&self, asked: &mut Asked) -> Result<(), Denial> {
        let known = self.known.of(&asked.who).ok_or(denial(Code::HA_UNSPECIFIED))?;
        let most = known.subscriber.max_lifetime.unwrap_or(u16::MAX).min(self.config.max_lifetime);
        asked.lifetime = asked.lifetime.min(most);
        if asked.lifetime == 0 {
            return Ok(());
        }
        if self.too_many(asked) {
            return Err(denial(Code::HA_TOO_MANY_BINDINGS));
        }
        let most = self.config.limits.bindings_agent;
        let agent = asked.serving_agent().filter(|_| most < usize::MAX);
        let full = self.bindings.len() >= self.config.max_bindings
            || agent.map_or(0, |agent| self.bindings.through(&agent.nai)) >= most;
        let is_new = || match self.keeps_others(asked) {
            true => self.bindings.find((asked.home_address, asked.care_of)).is_none(),
            false => self.bindings.of(asked.home_address).next().is_none(),
        };
        if full && is_new() {
            return Err(denial(Code::HA_RESOURCES));
        }
        Ok(())
    }

    /// What takes long is left to others.
    fn exchange_or_ask(&mut self, asked: Asked, now: Now) {
        let Some(exchanges) = Self::exchanges(&asked) else {
            return self.ask_keys(asked, now);
        };
        let ticket = self.ticket();
        self.work.insert(ticket, Work::exchanging(asked, now));
        self.outbox.effect(Effect::Exchange { ticket, exchanges });
    }

    pub(super) fn ask_keys(&mut self, asked: Asked, now: Now) {
        let asks = |kind, spis| asked.agreed.seeded(kind).map(|_| spis);
        let key1 = asks(AssociationKind::Key1, asked.key1);
        let agent = asked.serving_agent().map(|a| a.handle);
        let (home, mobile) = asked.key2_key3;
        let key2 = agent.and_then(|handle| asks(AssociationKind::Key2, (handle.key2, home)));
        let key3 = agent.and_then(|handle| asks(AssociationKind::Key3, (mobile, handle.key3)));
        let there = [
            (AssociationKind::Key1, key1.is_some()),
            (AssociationKind::Key2, key2.is_some()),
            (AssociationKind::Key3, key3.is_some()),
        ];
        if there.iter().all(|(_, there)| !there) {
            return self.without_keys(asked, now);
        }
        let seeded =
            |(kind, there): &(AssociationKind, bool)| *there && asked.agreed.seeded(*kind) == Some(true);
        let request = KeyRequest {
            request: self.rng.array(),
            trace: Trace::of(asked.identification),
            nai: asked.who.nai.clone(),
            foreign_agent: asked.serving_agent().map(|a| a.nai.clone()),
            care_of: asked.care_of,
            lifetime: asked.lifetime,
            key1,
            key2,
            key3,
            seeded: there.iter().filter(|of| seeded(of)).map(|(kind, _)| *kind).collect(),
        };
        let ticket = self.ticket();
        let share = asked.unfinished.as_ref().map(Unfinished::duplicate);
        self.work.insert(ticket, Work::awaiting(asked, now));
        self.outbox.effect(Effect::AskKdc { ticket, request, share });
    }

    /// A random index that names nothing of ours yet.
    fn free_spi(&mut self) -> Spi {
        loop {
            let spi = Spi(self.rng.u32());
            let taken = self.bindings.holder(spi).is_some() || self.revocations.uses(spi);
            let subscriber = self.names.is_taken(spi);
            if spi >= Spi::FIRST_MOBILE_NODE && !subscriber && !taken {
                return spi;
            }
        }
    }
}

/// True if a foreign agent wrote something behind 32.
pub(super) const fn through_an_agent(parts: &Parts<'_>) -> bool {
    parts.foreign.nai.is_some() || parts.foreign.handle.is_some() || parts.foreign_home.is_some()
}

/// The link address that the mobile node sealed, if it is an Ethernet one.
fn link_address(parts: &Parts<'_>, (cipher, key): &(Cipher, Key)) -> Option<LinkAddress> {
    let held = parts.mobile.layer_2.as_ref().filter(|h| h.protected.spi == parts.mobile_home.spi)?;
    let address = SealedLayer2::parse(&sealed_plain(parts, held, *cipher, key)?).ok()?;
    (address.kind == layer_2::ETHERNET).then(|| address.address.try_into().ok()).flatten()
}

impl Known {
    /// True if this transcript is one of the last that were refused for their identification.
    pub(super) fn was_refused(&self, t1: &Transcript) -> bool {
        self.refused.contains(&t1.0)
    }

    /// True the first time this transcript is refused for its identification.
    pub(super) fn first_refusal(&mut self, t1: &Transcript) -> bool {
        const KEPT: usize = 8;
        if self.refused.contains(&t1.0) {
            return false;
        }
        if self.refused.len() == KEPT {
            self.refused.remove(0);
        }
        self.refused.push(t1.0);
        true
    }
}
