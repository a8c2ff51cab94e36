//! Plays mobile nodes and foreign agents as lean as it goes: builds requests as both of them do and checks replies as
//! both of them do (docs/wire.md), with the functions of the cores, but without their state machines.
//!
//! What it leaves out: agent discovery and challenges (nobody listens), the leg between node and foreign agent, 33, and
//! revocations, which its foreign agents do not offer.

mod negotiation;

use std::{
    collections::{BTreeMap, HashMap},
    net::Ipv4Addr,
    time::Duration,
};

use crypto::{Cipher, Key, Rng};
use record::{Association, AssociationKind, Nai, Suite};
use sa::{
    AgentPath, Direction, Exchange, KeyInfo, MobileHome, Offer, Own, Transcript, Unverified,
    negotiation::{Ends, Offered},
    put_sealed, sealed_plain, take_key,
};
use wire::{
    Error, Writer,
    mip::{
        Spi,
        code::Code,
        extension::{
            self, FA_HA_AUTHENTICATION, MN_HA_AUTHENTICATION, MN_NAI, UdpTunnelRequest, open_authentication,
        },
        ours::{
            self, AgentHeard, Handle, Numbers, Protected, SealedLayer2, SealedNai, Subtype, ip_owner,
            layer_2, nai_owner, parse_ip,
        },
        part::{Held, Parts},
        registration::{Flags, Identification, Reply, Request, ntp_seconds},
    },
    negotiation::Between,
};

pub(crate) use self::negotiation::{Held as HeldKey, Negotiating};
use self::negotiation::{Offering, associate, settled};
use super::{
    ledger::{Acknowledged, Ledger},
    trace::Place,
};

/// Enterprise number of our extensions.
const VENDOR: u32 = ours::DOCUMENTATION_VENDOR;
const NUMBERS: Numbers = Numbers::Vendor(VENDOR);
/// Indices beyond the last confirmed one that the home agent knows for sure.
const AHEAD: u64 = 12;
/// Key shares that the nodes take in turn. Making them costs as much as the home agent's own; nobody can tell that
/// another node had the same.
const OFFERS: usize = 512;
/// How long an agent offers a key share.
const SHARE_OFFERED: Duration = Duration::from_secs(53);

/// The home of all nodes.
pub(crate) struct Home {
    pub(crate) realm: String,
    pub(crate) agent: String,
    pub(crate) address: Ipv4Addr,
    /// Seconds that are asked for.
    pub(crate) lifetime: u16,
    /// Every request has key shares.
    pub(crate) shares: bool,
}

/// A foreign agent.
pub(crate) struct Agent {
    nai: String,
    address: Ipv4Addr,
    path: AgentPath,
    /// Its key shares, the one in use last.
    shares: Vec<AgentShare>,
}

struct AgentShare {
    offer: Offer,
    made: Duration,
    /// By answer: the home agent has one for a minute.
    exchanges: Vec<Exchange>,
}

/// A mobile node.
struct Node {
    nai: Nai,
    keys: MobileHome,
    home_address: Ipv4Addr,
    /// Number of the one-time index in use, and the highest that an authenticated reply confirmed.
    index: u64,
    confirmed: u64,
    /// Where that index showed.
    shown: Option<Place>,
    answered: bool,
    /// First octets of the keys of the last registration.
    last: [u64; 3],
}

/// What a node asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Register(Place),
    Leave(Place),
    /// It is at home.
    Return,
}

impl Ask {
    /// The place that it is sent from.
    const fn place(self) -> Option<Place> {
        match self {
            Self::Register(place) | Self::Leave(place) => Some(place),
            Self::Return => None,
        }
    }
}

/// A request on its way.
struct Sent {
    node: u32,
    ask: Ask,
    spi: Spi,
    index: u64,
    identification: Identification,
    t1: Transcript,
    t2: Transcript,
    handle: Option<Handle>,
    offer: Option<usize>,
    /// The key share of its agent.
    share: Option<[u8; 32]>,
    /// What node and agent offer for their associations.
    offered: [Option<Offered>; 2],
}

/// A request to be sent.
pub(crate) struct Datagram {
    /// The agent that sends it; none from an address of the node's own.
    pub(crate) from: Option<u16>,
    /// The low half of its identification, which names it.
    pub(crate) name: u32,
    pub(crate) bytes: Vec<u8>,
}

/// A reply that is checked later, and where it came.
struct Kept {
    sent: Sent,
    at: Option<u16>,
    message: Vec<u8>,
}

/// What a reply is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// To a request of this node, and everything in it is right.
    Verified { node: u32, name: u32, code: Code },
    /// To a request of this node, by its identification; the rest is checked by [`Player::verify_kept`].
    Kept { node: u32, name: u32, code: Code },
    /// To a request that is over.
    Late,
    /// With this wrong in it.
    Wrong(&'static str),
}

/// All nodes and agents.
pub(crate) struct Player {
    home: Home,
    agents: Vec<Agent>,
    nodes: Vec<Node>,
    offers: Vec<Offer>,
    next_offer: usize,
    offering: Option<Offering>,
    /// By node, what was negotiated last: the time of the request, and what was made then.
    made: BTreeMap<u32, (Identification, Vec<HeldKey>)>,
    rng: Rng,
    /// Low half of the next identification.
    next_name: u32,
    seconds: u64,
    sent: HashMap<u32, Sent>,
    kept: Vec<Kept>,
    /// Most replies that are kept to be checked later.
    keeps: usize,
    /// What was acknowledged, if anybody wants to know.
    pub(crate) ledger: Option<Ledger>,
}

impl Agent {
    /// One with its association with the home agent.
    pub(crate) fn new(nai: String, address: Ipv4Addr, home: &str, spi: u32, key: Key) -> Self {
        let path = AgentPath::new(&nai, home, Spi(spi), Cipher::Aes256Gcm, key);
        Self { nai, address, path, shares: Vec::new() }
    }

    /// The key share to offer at this time.
    fn offer(&mut self, rng: &mut Rng, now: Duration) -> [u8; 32] {
        let live = self.shares.last().filter(|share| now.saturating_sub(share.made) < SHARE_OFFERED);
        if let Some(share) = live {
            return *share.offer.value();
        }
        let offer = Offer::new(rng);
        let value = *offer.value();
        self.shares.push(AgentShare { offer, made: now, exchanges: Vec::new() });
        value
    }

    /// The exchange that this reply completes.
    fn complete(&mut self, value: &[u8; 32], parts: &Parts<'_>) -> Option<&Exchange> {
        let share = self.shares.iter_mut().find(|share| share.offer.value() == value)?;
        let answer = parts.foreign.key_share?;
        let known = share.exchanges.iter().position(|exchange| exchange.answer() == answer.value);
        let at = match known {
            Some(at) => at,
            None => {
                let new = share.offer.complete(Some(answer)).ok()?;
                if share.exchanges.len() > 3 {
                    share.exchanges.remove(0);
                }
                share.exchanges.push(new);
                share.exchanges.len() - 1
            }
        };
        share.exchanges.get(at)
    }
}

impl Player {
    /// Without nodes yet.
    pub(crate) fn new(home: Home, agents: Vec<Agent>, seed: [u8; 32]) -> Self {
        let mut rng = Rng::from_seed(seed);
        let count = if home.shares { OFFERS } else { 0 };
        let offers = (0..count).map(|_| Offer::new(&mut rng)).collect();
        Self {
            home,
            agents,
            nodes: Vec::new(),
            offers,
            next_offer: 0,
            offering: None,
            made: BTreeMap::new(),
            rng,
            next_name: 0,
            seconds: 0,
            sent: HashMap::new(),
            kept: Vec::new(),
            keeps: 0,
            ledger: None,
        }
    }

    /// From now on associations are negotiated. False for a group that is not known here.
    pub(crate) fn negotiate(&mut self, what: Negotiating) -> bool {
        self.offering = Offering::new(what, &mut self.rng);
        self.offering.is_some()
    }

    /// What was negotiated by nodes that are registered: each should stand at the home agent, the other way round.
    pub(crate) fn negotiated(&self) -> impl Iterator<Item = &HeldKey> {
        self.made.values().flat_map(|(_, made)| made)
    }

    /// Keeps so many replies to be checked by [`Self::verify_kept`], and checks only those beyond at once.
    pub(crate) fn keep(&mut self, most: usize) {
        self.keeps = most;
    }

    /// Adds the next node.
    ///
    /// # Errors
    /// A name without a realm.
    pub(crate) fn enrol(
        &mut self,
        nai: &str,
        home_address: Ipv4Addr,
        key0: Key,
    ) -> Result<(), record::NaiError> {
        let nai = Nai::parse(nai)?;
        // With one-time indices the static one is only a name for people.
        let keys = MobileHome::new(&nai, &self.home.realm, Spi(0), Cipher::Aes256Gcm, key0);
        self.nodes.push(Node {
            nai,
            keys,
            home_address,
            index: 0,
            confirmed: 0,
            shown: None,
            answered: true,
            last: [0; 3],
        });
        Ok(())
    }

    /// How many nodes there are.
    pub(crate) fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Builds a request. `now` is on any clock, `unix` the seconds since 1970.
    ///
    /// # Errors
    /// Never in practice: everything fits.
    pub(crate) fn request(
        &mut self,
        number: u32,
        ask: Ask,
        now: Duration,
        unix: u64,
    ) -> Result<Datagram, Error> {
        let Self { home, agents, nodes, offers, offering, rng, .. } = self;
        let node = nodes.get_mut(number as usize).ok_or(Error::Value("node"))?;
        // A number is used up by an answer and by a move.
        let place = ask.place();
        if (node.answered || node.shown != place) && node.index < node.confirmed + AHEAD {
            node.index += 1;
        }
        (node.answered, node.shown) = (false, place);
        let spi = node.keys.one_time_spi(node.index);
        // Both halves only grow: so does the whole.
        self.seconds = self.seconds.max(unix);
        self.next_name = self.next_name.wrapping_add(1);
        let identification = Identification::new(ntp_seconds(self.seconds), self.next_name);
        let agent = match place {
            Some(Place::Agent(at)) => {
                Some((at, agents.get_mut(usize::from(at)).ok_or(Error::Value("agent"))?))
            }
            Some(Place::Own) | None => None,
        };
        let offer = (home.shares && place.is_some() && !offers.is_empty()).then(|| {
            self.next_offer = (self.next_offer + 1) % offers.len();
            self.next_offer
        });
        let mut w = Writer::with_capacity(800);
        fixed_part(home, node, number, ask, agent.as_ref().map(|(_, agent)| agent.address), identification)
            .emit(&mut w);
        extension::put(&mut w, MN_NAI, format!("@{}", home.realm).as_bytes())?;
        seal_identity(&mut w, node, number, spi, rng)?;
        if let Some((_, agent)) = &agent {
            let challenge: [u8; 16] = rng.array();
            AgentHeard { challenge: &challenge, agent: &agent.nai }.emit(&mut w, NUMBERS)?;
        }
        if let Some(offer) = offer.and_then(|at| offers.get(at)) {
            offer.emit(&mut w, NUMBERS)?;
        }
        if place == Some(Place::Own) {
            UdpTunnelRequest { forced: false, through_foreign_agent: false, encapsulation: 4 }.emit(&mut w);
        }
        let registers = matches!(ask, Ask::Register(_));
        let offering = offering.as_mut().filter(|of| registers && number >= of.what.first);
        let mut offered = [None, None];
        if let (Some(of), [by_node, by_agent]) = (offering, &mut offered) {
            *by_node = of.offer(Between::MN_HA);
            let agents = of.what.agents && agent.is_some();
            *by_agent = if agents { of.offer(Between::HA_FA) } else { None };
        }
        put_offer(&mut w, offered.first())?;
        open_authentication(&mut w, MN_HA_AUTHENTICATION, spi, 32);
        let authenticator = node.keys.authenticate(Direction::ToHome, w.bytes());
        w.put(&authenticator);
        let t1 = Transcript(crypto::digest(&[w.bytes()]));
        let mut sent = Sent {
            node: number,
            ask,
            spi,
            index: node.index,
            identification,
            t1,
            t2: t1,
            handle: None,
            offer,
            share: None,
            offered,
        };
        let from = agent.as_ref().map(|(at, _)| *at);
        if let Some((_, agent)) = agent {
            add_agents_part(&mut w, agent, home.shares, &mut sent, rng, now)?;
        }
        if let Some(ledger) = &mut self.ledger {
            ledger.asked(number, ask, identification.0, w.bytes());
        }
        self.sent.insert(self.next_name, sent);
        Ok(Datagram { from, name: self.next_name, bytes: w.into_bytes() })
    }

    /// A request that nobody waits for any more.
    pub(crate) fn forget(&mut self, name: u32) {
        self.sent.remove(&name);
    }

    /// Checks what arrived from the home agent, at an agent or at an address of a node's own.
    pub(crate) fn reply(&mut self, at: Option<u16>, message: &[u8]) -> Heard {
        let Ok(reply) = Reply::parse(message) else {
            return Heard::Wrong("no registration reply");
        };
        let (name, code) = (reply.identification.low(), reply.code);
        let Some(sent) = self.sent.remove(&name) else {
            return Heard::Late;
        };
        let node = sent.node;
        if self.kept.len() < self.keeps {
            self.confirm(&sent);
            self.kept.push(Kept { sent, at, message: message.to_vec() });
            return Heard::Kept { node, name, code };
        }
        match self.check(&sent, at, &reply, message) {
            Ok(()) => {
                self.confirm(&sent);
                Heard::Verified { node, name, code }
            }
            Err(why) => {
                // The right answer may still come.
                self.sent.insert(name, sent);
                Heard::Wrong(why)
            }
        }
    }

    /// Checks what was kept, and tells for each node whether it was a right acceptance, or what was wrong.
    pub(crate) fn verify_kept(&mut self) -> Vec<(u32, Result<bool, &'static str>)> {
        let mut found = Vec::with_capacity(self.kept.len());
        for Kept { sent, at, message } in std::mem::take(&mut self.kept) {
            let checked = Reply::parse(&message)
                .map_err(|_| "no registration reply")
                .and_then(|reply| self.check(&sent, at, &reply, &message).map(|()| reply.code.accepted()));
            found.push((sent.node, checked));
        }
        found
    }

    /// The home agent counts this request's index.
    fn confirm(&mut self, sent: &Sent) {
        if let Some(node) = self.nodes.get_mut(sent.node as usize) {
            node.confirmed = node.confirmed.max(sent.index);
            node.answered |= sent.index == node.index;
        }
    }

    fn check(
        &mut self,
        sent: &Sent,
        at: Option<u16>,
        reply: &Reply,
        message: &[u8],
    ) -> Result<(), &'static str> {
        let parts = Parts::parse(message, Reply::LEN, VENDOR).map_err(|_| "malformed")?;
        if parts.foreign.handle != sent.handle {
            return Err("a handle that is not the request's");
        }
        if reply.home_agent != self.home.address {
            return Err("another home agent");
        }
        let message = Unverified::new(parts);
        let agent = match sent.ask.place() {
            Some(Place::Agent(number)) => {
                if at != Some(number) {
                    return Err("it came to another agent");
                }
                let agent = self.agents.get_mut(usize::from(number)).ok_or("no such agent")?;
                agent.path.verify(Direction::FromHome, &message).ok_or("34 is missing or wrong")?;
                Some(agent)
            }
            Some(Place::Own) | None => None,
        };
        let node = self.nodes.get_mut(sent.node as usize).ok_or("no such node")?;
        let parts = node.keys.verify(Direction::FromHome, sent.spi, &message).ok_or("32 is wrong")?;
        let parts = parts.value();
        if !parts.mobile.understood() || !parts.foreign.understood() {
            return Err("extensions that are not understood");
        }
        let (ledger, identification) = (self.ledger.as_mut(), sent.identification.0);
        if !reply.code.accepted() {
            if let Some(ledger) = ledger {
                ledger.denied(sent.node, identification);
            }
            return Ok(());
        }
        if reply.identification != sent.identification {
            return Err("another identification");
        }
        if let Ask::Register(place) = sent.ask {
            if reply.lifetime == 0 || reply.lifetime > self.home.lifetime {
                return Err("a lifetime that was not asked for");
            }
            let keys = open(&self.home, node, agent, &self.offers, sent, parts)?;
            check_fresh(&keys, &mut node.last)?;
            if sent.offered.iter().any(Option::is_some) {
                let older = |(at, _): &(Identification, _)| at.0 < sent.identification.0;
                if self.made.get(&sent.node).is_none_or(older) {
                    let with_home = keys.iter().filter(|key| key.kind != AssociationKind::Key3);
                    let made = with_home.map(HeldKey::of).collect();
                    self.made.insert(sent.node, (sent.identification, made));
                }
            }
            if let Some(ledger) = ledger {
                let key1 = keys.first().map(|key1| (key1.inbound.0, key1.outbound.0));
                let (place, lifetime) = (Some(place), reply.lifetime);
                ledger.acknowledged(sent.node, Acknowledged { identification, place, lifetime, key1 });
            }
            return Ok(());
        }
        if reply.lifetime != 0 || !parts.mobile.associations.is_empty() {
            return Err("a registration in answer to a deregistration");
        }
        self.made.remove(&sent.node);
        if let Some(ledger) = ledger {
            let (place, lifetime, key1) = (None, 0, None);
            ledger.acknowledged(sent.node, Acknowledged { identification, place, lifetime, key1 });
        }
        Ok(())
    }
}

/// The care-of address of a node at a place of its own, behind a translator.
pub(crate) fn own_care_of(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from_be_bytes([10, 128, 0, 0]) + number)
}

fn fixed_part(
    home: &Home,
    node: &Node,
    number: u32,
    ask: Ask,
    agent: Option<Ipv4Addr>,
    identification: Identification,
) -> Request {
    let nowhere = Ipv4Addr::UNSPECIFIED;
    let (flags, care_of) = match (ask.place(), agent) {
        (Some(_), Some(agent)) => (Flags::REVERSE_TUNNEL, agent),
        (Some(_), None) => (Flags::DECAPSULATION | Flags::REVERSE_TUNNEL, own_care_of(number)),
        (None, _) => (0, node.home_address),
    };
    Request {
        flags: Flags(flags),
        lifetime: if matches!(ask, Ask::Register(_)) { home.lifetime } else { 0 },
        home_address: if ask == Ask::Return { node.home_address } else { nowhere },
        home_agent: home.address,
        care_of,
        identification,
    }
}

/// Name, home address and link address, each sealed.
fn seal_identity(w: &mut Writer, node: &Node, number: u32, spi: Spi, rng: &mut Rng) -> Result<(), Error> {
    let name = SealedNai { index: node.index, user: node.nai.user().to_owned() }.emit()?;
    let address = node.home_address.octets();
    let [a, b, c, d] = number.to_be_bytes();
    let layer_2 = SealedLayer2 { kind: layer_2::ETHERNET, address: vec![2, 0, a, b, c, d] }.emit()?;
    let extensions = [
        (Subtype::NAI, nai_owner::MOBILE_NODE, name.as_slice()),
        (Subtype::IP, ip_owner::HOST, &address),
        (Subtype::LAYER_2, 0, &layer_2),
    ];
    for (subtype, content, plain) in extensions {
        let by = (node.keys.cipher(), node.keys.request_key());
        put_sealed(w, Request::LEN, NUMBERS, (subtype, content, spi), by, rng, plain)?;
    }
    Ok(())
}

/// The foreign agent's part, with 34 and key share only for registrations.
fn add_agents_part(
    w: &mut Writer,
    agent: &mut Agent,
    shares: bool,
    sent: &mut Sent,
    rng: &mut Rng,
    now: Duration,
) -> Result<(), Error> {
    let clear = |content, info| Protected { content, sealed: false, spi: Spi(0), info };
    clear(nai_owner::FOREIGN_AGENT, agent.nai.as_bytes()).emit(w, NUMBERS, Subtype::NAI)?;
    let registers = matches!(sent.ask, Ask::Register(_));
    if registers {
        clear(ip_owner::ROUTER, &agent.address.octets()).emit(w, NUMBERS, Subtype::IP)?;
    }
    let index = |rng: &mut Rng| Spi(rng.u32().max(Spi::FIRST_MOBILE_NODE.0));
    let handle = Handle { handle: rng.u64(), key2: index(rng), key3: index(rng) };
    handle.emit(w, NUMBERS)?;
    sent.handle = Some(handle);
    if registers {
        if shares {
            let value = agent.offer(rng, now);
            let group = wire::mip::share::Group::X25519;
            wire::mip::share::KeyShare { group, value: &value }.emit(w, NUMBERS)?;
            sent.share = Some(value);
        }
        put_offer(w, sent.offered.get(1))?;
        open_authentication(w, FA_HA_AUTHENTICATION, agent.path.spi(), 32);
        let authenticator = agent.path.authenticate(Direction::ToHome, w.bytes());
        w.put(&authenticator);
    }
    sent.t2 = Transcript(crypto::digest(&[w.bytes()]));
    Ok(())
}

/// Appends an offer, if there is one.
fn put_offer(w: &mut Writer, offered: Option<&Option<Offered>>) -> Result<(), Error> {
    match offered {
        Some(Some(offered)) => ours::put(w, NUMBERS, Subtype::NEGOTIATION, offered.body()),
        _ => Ok(()),
    }
}

/// Opens everything that an acceptance brings to node and agent: KEY 1, and through an agent KEY 2 and KEY 3, all made as
/// was agreed on.
fn open(
    home: &Home,
    node: &Node,
    agent: Option<&mut Agent>,
    offers: &[Offer],
    sent: &Sent,
    parts: &Parts<'_>,
) -> Result<Vec<Association>, &'static str> {
    let [by_node, by_agent] = &sent.offered;
    let agreed1 = settled(by_node.as_ref(), parts.mobile.negotiation.as_ref())?;
    let agreed2 = settled(by_agent.as_ref(), parts.foreign.negotiation.as_ref())?;
    let exchange = match sent.offer.and_then(|at| offers.get(at)) {
        Some(offer) => Some(offer.complete(parts.mobile.key_share).map_err(|_| "no key share for the node")?),
        None if parts.mobile.key_share.is_some() => return Err("a key share that was not asked for"),
        None => None,
    };
    let key = node.keys.reply_key(&sent.t1, exchange.as_ref());
    let seal = Seal { spi: sent.spi, cipher: node.keys.cipher(), key };
    let granted = parts.mobile.ip.as_ref().and_then(|held| seal.address(parts, held));
    if granted != Some(node.home_address) {
        return Err("the home address does not open or is another one");
    }
    let key1_of = |info: KeyInfo| {
        let ends = Ends {
            initiator: node.nai.as_str(),
            responder: &home.agent,
            initiator_address: node.home_address,
            responder_address: home.address,
        };
        associate(info, agreed1.as_ref(), ends, |shared| node.keys.stateless_key(&sent.t1, shared))
    };
    let mut by_node = seal.keys(parts, parts.mobile.associations.iter())?;
    let Some(agent) = agent else {
        if !parts.mobile.udp_reply.as_ref().is_some_and(|reply| reply.tunnels()) {
            return Err("no UDP tunnel");
        }
        let key1 = by_node.pop().filter(|_| by_node.is_empty());
        let right = |key1: &KeyInfo| names(key1, AssociationKind::Key1, node.nai.as_str(), &home.agent);
        let key1 = key1.filter(right).ok_or("not exactly KEY 1")?;
        return Ok(vec![key1_of(key1)?]);
    };
    let handle = sent.handle.ok_or("no handle")?;
    let (spi, cipher) = (agent.path.spi(), agent.path.cipher());
    let key = match &sent.share {
        Some(value) => {
            let found = agent.shares.iter().position(|share| share.offer.value() == value);
            found.ok_or("the agent's key share is too old")?;
            let exchange = agent.complete(value, parts).ok_or("no key share for the agent")?.duplicate();
            agent.path.reply_key(&sent.t2, Some(&exchange))
        }
        None => agent.path.reply_key(&sent.t2, None),
    };
    let seal = Seal { spi, cipher, key };
    let granted = parts.foreign.ip.as_ref().and_then(|held| seal.address(parts, held));
    if granted != Some(node.home_address) {
        return Err("the agent's home address does not open or is another one");
    }
    let mut by_agent = seal.keys(parts, parts.foreign.associations.iter())?;
    by_node.sort_by_key(|key| key.kind);
    by_agent.sort_by_key(|key| key.kind);
    let (Ok([key1, key3]), Ok([key2, agents_key3])) =
        (<[KeyInfo; 2]>::try_from(by_node), <[KeyInfo; 2]>::try_from(by_agent))
    else {
        return Err("not exactly three keys");
    };
    let right = names(&key1, AssociationKind::Key1, node.nai.as_str(), &home.agent)
        && names(&key2, AssociationKind::Key2, &agent.nai, &home.agent)
        && names(&agents_key3, AssociationKind::Key3, &agent.nai, &key3.own)
        && names(&key3, AssociationKind::Key3, &agents_key3.peer, &agent.nai);
    if !right || *key3.own == *node.nai.as_str() {
        return Err("names of other nodes");
    }
    if key2.inbound != handle.key2 || agents_key3.inbound != handle.key3 || key3.outbound != handle.key3 {
        return Err("other indices than the handle's");
    }
    // Nobody offers anything for KEY 3: it is told itself.
    if key3.key().is_none() || key3.key() != agents_key3.key() {
        return Err("two different KEY 3");
    }
    let key2_ends = Ends {
        initiator: &agent.nai,
        responder: &home.agent,
        initiator_address: agent.address,
        responder_address: home.address,
    };
    let key2 =
        associate(key2, agreed2.as_ref(), key2_ends, |shared| agent.path.stateless_key(&sent.t2, shared))?;
    let key3 = key3.into_association(Suite::default(), Own::Nothing, 0).ok_or("another suite of KEY 3")?;
    Ok(vec![key1_of(key1)?, key3, key2])
}

fn names(key: &KeyInfo, kind: AssociationKind, own: &str, peer: &str) -> bool {
    key.kind == kind && *key.own == *own && *key.peer == *peer
}

/// All different, and different from those before.
fn check_fresh(keys: &[Association], last: &mut [u64; 3]) -> Result<(), &'static str> {
    let mut now = [0; 3];
    for (at, made) in keys.iter().enumerate() {
        let [a, b, c, d, e, f, g, h, ..] = *made.key.expose();
        let begin = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        if begin == 0 || now.contains(&begin) || last.contains(&begin) {
            return Err("a key twice");
        }
        *now.get_mut(at).ok_or("too many keys")? = begin;
    }
    *last = now;
    Ok(())
}

/// What opens one part of a reply.
struct Seal {
    spi: Spi,
    cipher: Cipher,
    key: Key,
}

impl Seal {
    fn address(&self, parts: &Parts<'_>, held: &Held<'_>) -> Option<Ipv4Addr> {
        if held.protected.spi != self.spi || held.protected.content != ip_owner::HOST {
            return None;
        }
        parse_ip(&sealed_plain(parts, held, self.cipher, &self.key)?).ok()
    }

    fn keys<'a, 'b: 'a>(
        &self,
        parts: &Parts<'_>,
        held: impl Iterator<Item = &'a Held<'b>>,
    ) -> Result<Vec<KeyInfo>, &'static str> {
        held.map(|held| {
            if held.protected.spi != self.spi {
                return Err("a key under another index");
            }
            take_key(parts, held, self.cipher, &self.key).map_err(|_| "a key that does not open")
        })
        .collect()
    }
}

#[cfg(test)]
mod tests;
