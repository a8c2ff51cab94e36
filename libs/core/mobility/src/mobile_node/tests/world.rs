//! A mobile node with time in our hands, and what its agents would say.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use crypto::{Cipher, Key, Rng};
use record::{AssociationKind, MobileNodeState, Nai, Suite};
use sa::{
    Direction, End, Exchange, KeyInfo, Material, MobileHome, Own, Transcript, Unverified, answer,
    association_auth, key_extension, put_sealed, realm_key_at_home, sealed_plain,
};
use sansio::{Datagram, Input, Instant, LinkAddress, LinkId, Machine, Now, Output, Transmit};
use wire::{
    Writer,
    ip::{self, UdpPacket},
    mip::{
        PORT, Spi,
        advertisement::{
            ALL_SYSTEMS, Advertisement, AgentFlags, CODE_ROUTER, Extension, MobilityAgent, Router,
        },
        code::Code,
        extension::{
            self, MN_FA_AUTHENTICATION, MN_FA_CHALLENGE, MN_HA_AUTHENTICATION, MN_NAI, UdpTunnelReply,
            open_authentication,
        },
        ours::{DOCUMENTATION_VENDOR, ErrorDetail, Numbers, SealedNai, Subtype, ip_owner, nai_owner},
        part::Parts,
        registration::{Identification, Reply, Request as Fixed},
        revocation::{ACKNOWLEDGEMENT, Support},
        share::{Group, KeyShare},
    },
};

use super::super::{Config, Delivery, Effect, Encapsulation, MobileNode, Request, Route, State};
use crate::{Event, EventKind, Ticket};

pub(super) const HOME: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 50);
pub(super) const HOME_AGENT: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 2);
pub(super) const CARE_OF: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 10);
pub(super) const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 1);
pub(super) const LINK: LinkId = LinkId(0);
pub(super) const OURS: LinkAddress = [2, 0, 0, 0, 0, 0x50];
pub(super) const NUMBERS: Numbers = Numbers::Vendor(DOCUMENTATION_VENDOR);
pub(super) const REALM: &str = "home.example";
pub(super) const NAI: &str = "traveller-one@home.example";
pub(super) const HOME_NAI: &str = "ha@home.example";
/// What the home agent's clock says at the start.
pub(super) const T: u64 = 1_800_000_000;

/// An agent that advertises.
#[derive(Clone)]
pub(super) struct Agent {
    pub(super) address: Ipv4Addr,
    pub(super) link_address: LinkAddress,
    pub(super) nai: Option<&'static str>,
    pub(super) challenge: Option<Vec<u8>>,
    pub(super) care_of: Vec<Ipv4Addr>,
    pub(super) flags: u16,
    pub(super) sequence: u16,
    pub(super) registration_lifetime: u16,
    pub(super) lifetime: u16,
    pub(super) prefix: Option<u8>,
}

pub(super) fn fa_a() -> Agent {
    Agent {
        address: Ipv4Addr::new(10, 21, 1, 1),
        link_address: [2, 0, 0, 0, 0, 0xa],
        nai: Some("fa-a@visited-a.example"),
        challenge: Some(vec![1; 8]),
        care_of: vec![Ipv4Addr::new(10, 51, 1, 2)],
        flags: AgentFlags::FOREIGN_AGENT | AgentFlags::REVERSE_TUNNEL,
        sequence: 300,
        registration_lifetime: 600,
        lifetime: 3,
        prefix: Some(24),
    }
}

pub(super) fn fa_b() -> Agent {
    Agent {
        address: Ipv4Addr::new(10, 22, 1, 1),
        link_address: [2, 0, 0, 0, 0, 0xb],
        nai: Some("fa-b@visited-b.example"),
        challenge: Some(vec![2; 8]),
        care_of: vec![Ipv4Addr::new(10, 52, 1, 2)],
        ..fa_a()
    }
}

pub(super) fn home_agent() -> Agent {
    Agent {
        address: HOME_AGENT,
        link_address: [2, 0, 0, 0, 0, 0xc],
        nai: Some(HOME_NAI),
        challenge: None,
        care_of: vec![],
        flags: AgentFlags::HOME_AGENT | AgentFlags::REVERSE_TUNNEL,
        ..fa_a()
    }
}

impl Agent {
    pub(super) fn packet(&self) -> Vec<u8> {
        let agent = MobilityAgent {
            sequence: self.sequence,
            lifetime: self.registration_lifetime,
            flags: AgentFlags(self.flags),
            care_of: self.care_of.clone(),
        };
        let mut extensions = vec![Extension::MobilityAgent(agent)];
        extensions.extend(self.prefix.map(|bits| Extension::PrefixLengths(vec![bits])));
        extensions.extend(self.challenge.clone().map(Extension::Challenge));
        extensions.extend(self.nai.map(|n| Extension::AgentNai(n.into())));
        let routers = vec![Router { address: self.address, preference: 0 }];
        let advertisement = Advertisement { code: CODE_ROUTER, lifetime: self.lifetime, routers, extensions };
        ip::icmp_packet(self.address, ALL_SYSTEMS, 1, &advertisement.to_vec().unwrap()).unwrap()
    }
}

/// A request as its receiver sees it.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) bytes: Vec<u8>,
    pub(super) fixed: Fixed,
    pub(super) source: SocketAddrV4,
    pub(super) destination: SocketAddrV4,
    /// Link address and TTL if it went past the host's routing.
    pub(super) link: Option<(LinkAddress, u8)>,
    pub(super) at: Instant,
}

/// The key share of a reply.
pub(super) enum Share {
    /// The right one.
    Right,
    /// None, and nothing is sealed by an exchange.
    None,
    /// Sealed as if the right one stood there, with this instead.
    Wrong(Group, Vec<u8>),
    /// Sealed as if the right one stood there, with none.
    Stripped,
    /// The right one in a message whose seals know of no exchange.
    Idle,
}

/// What a home agent answers.
pub(super) struct Answer {
    pub(super) code: Code,
    pub(super) lifetime: u16,
    pub(super) identification: Identification,
    pub(super) home_address: Ipv4Addr,
    pub(super) ip: Option<Ipv4Addr>,
    pub(super) keys: Vec<KeyInfo>,
    pub(super) udp: Option<UdpTunnelReply>,
    /// The home agent's time in 137.
    pub(super) revocable: Option<u32>,
    pub(super) detail: Option<ErrorDetail>,
    pub(super) realm: String,
    pub(super) share: Share,
    /// NAI(MN, E): the index that the home agent counts from.
    pub(super) counts_from: Option<u64>,
    /// 132, which the foreign agent adds.
    pub(super) challenge: Option<Vec<u8>>,
    /// KEY 3 as the mobile node has it, under which the foreign agent adds 33.
    pub(super) relayed_under: Option<KeyInfo>,
}

pub(super) fn key(kind: AssociationKind, own: &str, peer: &str) -> KeyInfo {
    KeyInfo {
        kind,
        inbound: Spi(5000 + u32::from(kind.number())),
        outbound: Spi(6000 + u32::from(kind.number())),
        lifetime: 600,
        encryption: Cipher::Aes256Gcm,
        material: Material::Key(Key::new([kind.number(); 32])),
        own: own.into(),
        peer: peer.into(),
    }
}

pub(super) const VISIT: &str = "abcdefghijklm@home.example";

impl Answer {
    /// What a right home agent answers to a request.
    pub(super) fn accept(asked: &Asked, agent: Option<&Agent>) -> Self {
        let away = asked.fixed.lifetime != 0;
        let mut keys = Vec::new();
        if away {
            keys.extend(agent.map(|a| key(AssociationKind::Key3, VISIT, a.nai.unwrap())));
            keys.push(key(AssociationKind::Key1, NAI, HOME_NAI));
        }
        // Every registration has its own.
        let low = asked.fixed.identification.low();
        for key in &mut keys {
            let number = u32::from(key.kind.number());
            key.inbound = Spi(low << 8 | 0x8000_0000 | number);
            key.outbound = Spi(low << 8 | 0x8000_0080 | number);
            let octets = crypto::digest(&[&low.to_be_bytes(), &[key.kind.number()]]);
            key.material = Material::Key(Key::new(octets));
        }
        Self {
            share: if away && asked.offers() { Share::Right } else { Share::None },
            counts_from: None,
            challenge: agent.map(|_| [&b"next"[..], &low.to_be_bytes()].concat()),
            relayed_under: keys.iter().find(|k| k.kind == AssociationKind::Key3).map(KeyInfo::duplicate),
            code: Code::ACCEPTED,
            lifetime: asked.fixed.lifetime,
            identification: asked.fixed.identification,
            home_address: asked.fixed.home_address,
            ip: away.then_some(HOME),
            keys,
            udp: None,
            revocable: None,
            detail: None,
            realm: format!("@{REALM}"),
        }
    }

    pub(super) fn deny(asked: &Asked, code: Code) -> Self {
        let accepted = Self::accept(asked, None);
        Self { code, lifetime: 0, ip: None, keys: Vec::new(), share: Share::None, ..accepted }
    }

    /// The bytes, sealed and authenticated under KEY 0, and what the foreign agent added.
    pub(super) fn bytes(&self, asked: &Asked) -> Vec<u8> {
        let mut w = Writer::after(self.mobile_part(asked));
        if let Some(challenge) = &self.challenge {
            extension::put(&mut w, MN_FA_CHALLENGE, challenge).unwrap();
        }
        if let Some(key3) = &self.relayed_under {
            put_33(&mut w, key3);
        }
        w.into_bytes()
    }

    /// Through 32.
    fn mobile_part(&self, asked: &Asked) -> Vec<u8> {
        let keys = association();
        let mut rng = Rng::from_seed([9; 32]);
        let parts = asked.parts();
        let exchange: Option<Exchange> =
            parts.mobile.key_share.and_then(|share| answer(&mut rng, Some(share)).ok());
        let sealed_by = exchange.as_ref().filter(|_| !matches!(self.share, Share::None | Share::Idle));
        let seal = keys.reply_key(&Transcript::of_mobile(&parts), sealed_by);
        let spi = parts.mobile_home.spi;
        let mut w = Writer::default();
        let fixed = Reply {
            code: self.code,
            lifetime: self.lifetime,
            home_address: self.home_address,
            home_agent: HOME_AGENT,
            identification: self.identification,
        };
        fixed.emit(&mut w);
        extension::put(&mut w, MN_NAI, self.realm.as_bytes()).unwrap();
        let mut put = |w: &mut Writer, subtype, content, plain: &[u8]| {
            let head = (subtype, content, spi);
            put_sealed(w, Reply::LEN, NUMBERS, head, (keys.cipher(), &seal), &mut rng, plain).unwrap();
        };
        for info in &self.keys {
            let (content, plain) = key_extension(info).unwrap();
            put(&mut w, Subtype::ASSOCIATION, content, &plain);
        }
        if let Some(index) = self.counts_from {
            let name = SealedNai { index, user: "traveller-one".into() };
            put(&mut w, Subtype::NAI, nai_owner::MOBILE_NODE, &name.emit().unwrap());
        }
        if let Some(address) = self.ip {
            put(&mut w, Subtype::IP, ip_owner::HOST, &address.octets());
        }
        match (&self.share, &exchange) {
            (Share::Right | Share::Idle, Some(exchange)) => exchange.emit(&mut w, NUMBERS).unwrap(),
            (Share::Wrong(group, value), _) => {
                KeyShare { group: *group, value }.emit(&mut w, NUMBERS).unwrap();
            }
            _ => {}
        }
        if let Some(timestamp) = self.revocable {
            Support { inform: false, timestamp }.emit(&mut w);
        }
        if let Some(udp) = &self.udp {
            udp.emit(&mut w);
        }
        if let Some(detail) = &self.detail {
            put(&mut w, Subtype::ERROR_DETAIL, 0, &detail.emit());
        }
        open_authentication(&mut w, MN_HA_AUTHENTICATION, spi, 32);
        let authenticator = keys.authenticate(Direction::FromHome, w.bytes());
        w.put(&authenticator);
        w.into_bytes()
    }
}

/// 33 as the foreign agent makes it, whose view of KEY 3 is the mirror of the mobile node's.
pub(super) fn put_33(w: &mut Writer, key3: &KeyInfo) {
    let agents = agents_view(key3);
    open_authentication(w, MN_FA_AUTHENTICATION, agents.outbound, 32);
    let authenticator = crypto::hmac(&association_auth(&agents, End::Second, true), &[w.bytes()]);
    w.put(&authenticator);
}

/// KEY 3 as the foreign agent has it.
pub(super) fn agents_view(key3: &KeyInfo) -> record::Association {
    let mut agents = key3.duplicate().into_association(Suite::default(), Own::Nothing, T).unwrap();
    std::mem::swap(&mut agents.own, &mut agents.peer);
    std::mem::swap(&mut agents.inbound, &mut agents.outbound);
    agents
}

impl Asked {
    pub(super) fn parts(&self) -> Parts<'_> {
        Parts::parse(&self.bytes, Fixed::LEN, DOCUMENTATION_VENDOR).unwrap()
    }

    pub(super) fn spi(&self) -> Spi {
        self.parts().mobile_home.spi
    }

    fn offers(&self) -> bool {
        self.parts().mobile.key_share.is_some()
    }

    /// True if its 33 is right under this KEY 3.
    pub(super) fn proves(&self, key3: &KeyInfo) -> bool {
        let (parts, agents) = (self.parts(), agents_view(key3));
        let key = association_auth(&agents, End::Second, false);
        parts.foreign.mobile_foreign.is_some_and(|claim| {
            claim.spi == agents.inbound
                && crypto::verify_hmac(&key, &[parts.covered(&claim)], claim.authenticator)
        })
    }
}

/// KEY 0 as enrolled.
pub(super) fn association() -> MobileHome {
    let nai = Nai::parse(NAI).unwrap();
    MobileHome::new(&nai, REALM, Spi(1234), Cipher::Aes256Gcm, Key::new([7; 32]))
}

/// A denial by a foreign agent: only the fixed part.
pub(super) fn hint(asked: &Asked, code: Code, lifetime: u16) -> Vec<u8> {
    let mut w = Writer::default();
    let reply = Reply {
        code,
        lifetime,
        home_address: Ipv4Addr::UNSPECIFIED,
        home_agent: HOME_AGENT,
        identification: asked.fixed.identification,
    };
    reply.emit(&mut w);
    w.into_bytes()
}

/// The realm keys' private halves.
pub(super) const REALM_SECRETS: [(Spi, [u8; 32]); 2] = [(Spi(301), [12; 32]), (Spi(300), [11; 32])];

/// The realm keys as enrolled, newest first.
pub(super) fn realm_keys() -> Vec<(Spi, [u8; 32])> {
    let public = |secret: [u8; 32]| crypto::exchange::Secret::from_key(&Key::new(secret)).public();
    REALM_SECRETS.map(|(id, secret)| (id, public(secret))).to_vec()
}

/// What the home agent reads in a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) user: String,
    pub(super) index: u64,
    pub(super) address: Ipv4Addr,
}

/// Checks a request as the home agent would and returns what it sealed.
pub(super) fn opened(asked: &Asked) -> Opened {
    let keys = association();
    let spi = asked.spi();
    let parts = Unverified::new(asked.parts());
    let parts = keys.verify(Direction::ToHome, spi, &parts).expect("32 of the request");
    let realm = REALM_SECRETS.iter().find(|(id, _)| *id == spi).map(|(_, secret)| {
        realm_key_at_home(&Key::new(*secret), parts.mobile.key_share, REALM).expect("a share")
    });
    let cipher = if realm.is_some() { Cipher::Aes256Gcm } else { keys.cipher() };
    let open = |held: &Option<wire::mip::part::Held<'_>>| {
        let held = held.as_ref().unwrap();
        assert_eq!(held.protected.spi, spi);
        sealed_plain(&parts, held, cipher, realm.as_ref().unwrap_or(keys.request_key())).unwrap()
    };
    assert!(parts.mobile.understood() && !open(&parts.mobile.layer_2).is_empty());
    assert_eq!(parts.mobile.clear_nai, Some(&b"@home.example"[..]));
    let SealedNai { user, index } = SealedNai::parse(&open(&parts.mobile.nai)).unwrap();
    let octets: [u8; 4] = open(&parts.mobile.ip).try_into().unwrap();
    if realm.is_none() {
        assert_eq!(spi, if index == 0 { keys.spi() } else { keys.one_time_spi(index) });
    }
    Opened { user, index, address: octets.into() }
}

/// Name and address that a request sealed.
pub(super) fn verified(asked: &Asked) -> (String, Ipv4Addr) {
    let Opened { user, address, .. } = opened(asked);
    (user, address)
}

/// What becomes of what should be kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Disk {
    Works,
    /// Nothing is answered yet.
    Slow,
    Fails,
}

/// The mobile node and all that it did.
pub(super) struct World {
    pub(super) node: MobileNode,
    pub(super) now: Now,
    pub(super) asked: Vec<Asked>,
    pub(super) solicited: Vec<(LinkId, Instant)>,
    pub(super) keepalives: Vec<(Instant, SocketAddrV4, Vec<u8>)>,
    /// Acknowledgements of revocations: from, to, bytes.
    pub(super) acknowledged: Vec<(SocketAddrV4, SocketAddrV4, Vec<u8>)>,
    pub(super) routes: Vec<Route>,
    /// Home addresses that it was given.
    pub(super) given: Vec<Ipv4Addr>,
    pub(super) events: Vec<Event>,
    pub(super) deregistered: Vec<Result<(), String>>,
    pub(super) renewed: Vec<Result<(), String>>,
    /// The last state that was to be kept.
    pub(super) kept: Option<MobileNodeState>,
    /// What a crash would leave.
    pub(super) on_disk: MobileNodeState,
    pub(super) disk: Disk,
    writing: Vec<(Ticket, MobileNodeState)>,
    wait: Option<Instant>,
}

pub(super) fn config() -> Config {
    Config {
        negotiation: crate::mobile_node::Policies::default(),
        nai: Nai::parse(NAI).unwrap(),
        home_realm: REALM.into(),
        home_address: HOME,
        home_agent: HOME_AGENT,
        spi: Spi(1234),
        one_time: false,
        realm_keys: Vec::new(),
        no_fs: false,
        cipher: Cipher::Aes256Gcm,
        key0: Key::new([7; 32]),
        numbers: NUMBERS,
        lifetime: 600,
        reverse_tunnel: true,
        simultaneous: false,
        encapsulation: Encapsulation::IpInIp,
        delivery: Delivery::Direct,
        broadcasts: false,
        revocation: true,
        keepalive: Duration::from_secs(110),
    }
}

/// With one-time indices and two realm keys.
pub(super) fn one_time() -> Config {
    Config { one_time: true, realm_keys: realm_keys(), ..config() }
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(config(), MobileNodeState::default(), T)
    }

    pub(super) fn with(config: Config, state: MobileNodeState, unix: u64) -> Self {
        let now = Now { mono: Instant::new(Duration::from_secs(1000)), unix: Duration::from_secs(unix) };
        let mut world = Self {
            node: MobileNode::new(config, [3; 32], state, now),
            now,
            asked: Vec::new(),
            solicited: Vec::new(),
            keepalives: Vec::new(),
            acknowledged: Vec::new(),
            routes: Vec::new(),
            given: Vec::new(),
            events: Vec::new(),
            deregistered: Vec::new(),
            renewed: Vec::new(),
            kept: None,
            on_disk: state,
            disk: Disk::Works,
            writing: Vec::new(),
            wait: None,
        };
        world.give(Input::Tick);
        world
    }

    fn give(&mut self, input: Input<'_, Request>) {
        self.node.handle(input, self.now);
        self.poll();
        while self.disk != Disk::Slow && !self.writing.is_empty() {
            let (ticket, state) = self.writing.remove(0);
            let result = if self.disk == Disk::Works {
                self.on_disk = state;
                Ok(())
            } else {
                Err("no space left".into())
            };
            self.node.handle(Input::Request(Request::Persisted { ticket, result }), self.now);
            self.poll();
        }
    }

    fn poll(&mut self) {
        loop {
            match self.node.poll() {
                Output::Send(transmit) => self.take(transmit),
                Output::Effect(Effect::Route(route)) => self.routes.push(route),
                Output::Effect(Effect::HomeAddress(address)) => self.given.push(address),
                Output::Effect(Effect::Persist { ticket, state }) => {
                    self.kept = Some(state);
                    self.writing.push((ticket, state));
                }
                Output::Effect(Effect::Notify(event)) => self.events.push(event),
                Output::Effect(Effect::Deregistered(result)) => self.deregistered.push(result),
                Output::Effect(Effect::Renewed(result)) => self.renewed.push(result),
                Output::Wait(at) => {
                    // Asking to be woken in the past, over and over, would be a busy loop.
                    assert!(at.is_none_or(|at| at > self.now.mono), "{at:?} at {:?}", self.now.mono);
                    self.wait = at;
                    return;
                }
            }
        }
    }

    /// The disk takes all that waits, and what comes.
    pub(super) fn disk_works(&mut self) {
        self.disk = Disk::Works;
        self.give(Input::Tick);
    }

    /// Routes could not be changed, and what was to be kept after them was dropped.
    pub(super) fn routes_fail(&mut self) {
        self.writing.clear();
        self.request(Request::RouteFailed { reason: "no such device".into() });
    }

    /// The process is killed and started again: what is not on disk is lost.
    pub(super) fn crash(self, config: Config) -> Self {
        let Self { on_disk, asked, now, .. } = self;
        let mut world = Self::with(config, on_disk, now.unix.as_secs());
        world.asked = asked;
        world
    }

    fn take(&mut self, transmit: Transmit) {
        let at = self.now.mono;
        match transmit {
            Transmit::Link { link, to, packet } => {
                if let Ok(icmp) = ip::parse_icmp(&packet) {
                    assert_eq!((icmp.source, icmp.ttl), (Ipv4Addr::UNSPECIFIED, 1));
                    assert_eq!(icmp.destination, Ipv4Addr::new(224, 0, 0, 2));
                    self.solicited.push((link, at));
                    return;
                }
                let UdpPacket { source, destination, ttl, payload } = ip::parse_udp(&packet).unwrap();
                self.record(payload, source, destination, Some((to, ttl)));
            }
            Transmit::Udp { source, destination, payload } => {
                if payload[0] == 4 {
                    self.keepalives.push((at, source, payload));
                } else if payload[0] == ACKNOWLEDGEMENT {
                    self.acknowledged.push((source, destination, payload));
                } else {
                    self.record(&payload, source, destination, None);
                }
            }
        }
    }

    fn record(
        &mut self,
        payload: &[u8],
        source: SocketAddrV4,
        destination: SocketAddrV4,
        link: Option<(LinkAddress, u8)>,
    ) {
        let asked = Asked {
            bytes: payload.to_vec(),
            fixed: Fixed::parse(payload).unwrap(),
            source,
            destination,
            link,
            at: self.now.mono,
        };
        if asked.spi() >= Spi::FIRST_MOBILE_NODE {
            let index = opened(&asked).index;
            assert!(index <= self.on_disk.index, "{index} is used before it is on disk");
        }
        self.asked.push(asked);
    }

    pub(super) fn input(&mut self, input: Input<'_, Request>) {
        self.give(input);
    }

    pub(super) fn request(&mut self, request: Request) {
        self.give(Input::Request(request));
    }

    pub(super) fn link_up(&mut self) {
        self.request(Request::LinkUp { link: LINK, address: OURS });
    }

    pub(super) fn link_down(&mut self) {
        self.request(Request::LinkDown { link: LINK });
    }

    pub(super) fn address(&mut self) {
        let gateway = Some(GATEWAY);
        self.request(Request::AddressAppeared { link: LINK, address: CARE_OF, prefix_length: 24, gateway });
    }

    pub(super) fn packet(&mut self, from: LinkAddress, packet: &[u8]) {
        self.give(Input::Datagram(Datagram::Link { link: LINK, from, packet }));
    }

    pub(super) fn hear(&mut self, agent: &Agent) {
        self.packet(agent.link_address, &agent.packet());
    }

    /// Hands in a reply the way the request went out.
    pub(super) fn reply(&mut self, asked: &Asked, bytes: &[u8]) {
        if asked.link.is_some() {
            let source = SocketAddrV4::new(*asked.destination.ip(), PORT);
            let destination = SocketAddrV4::new(Ipv4Addr::BROADCAST, asked.source.port());
            let packet = ip::udp_packet(source, destination, 255, bytes).unwrap();
            self.packet([2, 0, 0, 0, 0, 0xa], &packet);
        } else {
            self.give(Input::Datagram(Datagram::Udp {
                source: asked.destination,
                destination: asked.source,
                payload: bytes,
            }));
        }
    }

    /// Time passes; the node is woken whenever it asked for it.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now.mono + time;
        while let Some(at) = self.wait.filter(|at| *at <= end) {
            self.set(at);
            self.give(Input::Tick);
        }
        self.set(end);
        self.give(Input::Tick);
    }

    fn set(&mut self, at: Instant) {
        self.now.unix += at.saturating_since(self.now.mono);
        self.now.mono = at;
    }

    pub(super) fn seconds(&mut self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    /// Time passes while an agent goes on advertising once a second.
    pub(super) fn seconds_hearing(&mut self, seconds: u64, agent: &mut Agent) {
        for _ in 0..seconds {
            self.seconds(1);
            agent.sequence = agent.sequence.checked_add(1).unwrap_or(256);
            if let Some(challenge) = &mut agent.challenge {
                *challenge = [&agent.sequence.to_be_bytes()[..], &[5; 6]].concat();
            }
            self.hear(agent);
        }
    }

    pub(super) fn last(&self) -> Asked {
        self.asked.last().expect("a request").clone()
    }

    pub(super) fn state(&self) -> State {
        self.node.status().state
    }

    pub(super) fn saw(&self, kind: EventKind) -> usize {
        self.events.iter().filter(|e| e.kind == kind).count()
    }

    pub(super) fn counter(&self, name: &str) -> u64 {
        self.node.counters().get(name).copied().unwrap_or(0)
    }

    /// Accepts the last request as a right home agent does.
    pub(super) fn accept(&mut self, agent: Option<&Agent>) {
        let asked = self.last();
        let bytes = Answer::accept(&asked, agent).bytes(&asked);
        self.reply(&asked, &bytes);
    }

    /// Link up, agent heard, registered.
    pub(super) fn registered_through(agent: &Agent) -> Self {
        let mut world = Self::new();
        world.link_up();
        world.hear(agent);
        world.accept(Some(agent));
        assert_eq!(world.state(), State::Registered);
        world
    }

    pub(super) fn co_located(udp: Option<UdpTunnelReply>) -> Self {
        let mut world = Self::new();
        world.link_up();
        world.address();
        let asked = world.last();
        let answer = Answer { udp, ..Answer::accept(&asked, None) };
        world.reply(&asked, &answer.bytes(&asked));
        assert_eq!(world.state(), State::Registered);
        world
    }

    pub(super) fn at_home() -> Self {
        let mut world = Self::new();
        world.link_up();
        world.hear(&home_agent());
        world.accept(None);
        assert_eq!(world.state(), State::AtHome);
        world
    }
}
