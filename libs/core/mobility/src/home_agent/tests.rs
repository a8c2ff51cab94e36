//! A home agent before a scripted mobile node and foreign agent.

mod addresses;
mod configuring;
mod conformance;
mod following;
mod limits;
mod negotiating;
mod plain;
mod privacy;
mod refusing;
mod registering;
mod replaying;
mod revoking;
mod simultaneous;

use std::net::{Ipv4Addr, SocketAddrV4};

use record::{Association, AssociationKind, SubscriberState};
use sa::{AgentPath, Direction, MobileHome, Transcript, Unverified, put_sealed, sealed_plain, take_key};
use sansio::Transmit;
use wire::{
    Writer,
    mip::{
        code::{Code, DetailCode},
        extension::{self, UdpTunnelRequest},
        ours::{
            self, AgentHeard, DOCUMENTATION_VENDOR, ErrorDetail, Handle, Numbers, Protected, SealedLayer2,
            SealedNai, Subtype, nai_owner,
        },
        part::Parts,
        registration::{self, Flags, ntp_seconds},
        share::{Group, KeyShare},
    },
};

use super::*;
use crate::EventKind;

const NOW: u64 = 1_800_000_000;
const HA: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 2);
const HOME: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 50);
const FA: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 51, 1, 2), Ipv4Addr::new(10, 52, 1, 2)];
const FA_NAI: [&str; 2] = ["fa-a@visited-a.example", "fa-b@visited-b.example"];
const NUMBERS: Numbers = Numbers::Vendor(DOCUMENTATION_VENDOR);
const SPI: Spi = Spi(4711);

fn nai() -> Nai {
    Nai::parse("traveller-one@home.example").unwrap()
}

fn subscriber() -> Subscriber {
    Subscriber {
        nai: nai(),
        key0: Key::new([1; 32]),
        spi: SPI,
        one_time: false,
        generation: 0,
        retiring: None,
        plain: None,
        cipher: Cipher::Aes256Gcm,
        home_address: HOME,
        home_prefix_length: 24,
        home_agent: HA,
        home_gateway: None,
        no_fs: true,
        state: SubscriberState::Active,
        max_lifetime: None,
        change: 1,
    }
}

fn keys() -> MobileHome {
    MobileHome::of(&subscriber())
}

fn path(agent: usize) -> AgentPath {
    let key = Key::new([7 + agent as u8; 32]);
    AgentPath::new(FA_NAI[agent], "ha@home.example", Spi(1001 + agent as u32), Cipher::Aes256Gcm, key)
}

fn at(seconds: u64) -> Now {
    Now { mono: Instant::new(Duration::from_secs(1000 + seconds)), unix: Duration::from_secs(NOW + seconds) }
}

/// A request as a mobile node would build it, with everything that a test may bend.
#[derive(Clone)]
struct Ask {
    flags: u8,
    lifetime: u16,
    home_agent: Ipv4Addr,
    home_address: Ipv4Addr,
    care_of: Ipv4Addr,
    identification: Identification,
    user: &'static str,
    wanted: Ipv4Addr,
    heard: Option<&'static str>,
    udp: Option<UdpTunnelRequest>,
    spi: Spi,
    /// Number in the sealed NAI.
    index: u64,
    /// Value and group of the mobile node's key share.
    share: Option<(u16, Vec<u8>)>,
    /// Seals instead of what KEY 0 gives.
    seal: Option<[u8; 32]>,
    /// Body of what it offers for associations.
    negotiation: Option<Vec<u8>>,
}

fn ask(seconds: u64) -> Ask {
    Ask {
        flags: Flags::REVERSE_TUNNEL,
        lifetime: 600,
        home_agent: HA,
        home_address: Ipv4Addr::UNSPECIFIED,
        care_of: FA[0],
        identification: Identification::new(ntp_seconds(NOW + seconds), 77),
        user: "traveller-one",
        wanted: HOME,
        heard: Some(FA_NAI[0]),
        udp: None,
        spi: SPI,
        index: 0,
        share: None,
        seal: None,
        negotiation: None,
    }
}

fn colocated(seconds: u64) -> Ask {
    Ask {
        flags: Flags::REVERSE_TUNNEL | Flags::DECAPSULATION,
        care_of: Ipv4Addr::new(192, 168, 77, 10),
        heard: None,
        udp: Some(UdpTunnelRequest { forced: false, through_foreign_agent: false, encapsulation: 0 }),
        ..ask(seconds)
    }
}

impl Ask {
    /// The mobile node's part, through 32.
    fn bytes(&self) -> Vec<u8> {
        self.bytes_by(&keys())
    }

    /// The same of another mobile node.
    fn bytes_by(&self, keys: &MobileHome) -> Vec<u8> {
        let mut rng = Rng::from_seed([9; 32]);
        let mut w = Writer::default();
        registration::Request {
            flags: Flags(self.flags),
            lifetime: self.lifetime,
            home_address: self.home_address,
            home_agent: self.home_agent,
            care_of: self.care_of,
            identification: self.identification,
        }
        .emit(&mut w);
        extension::put(&mut w, extension::MN_NAI, b"@home.example").unwrap();
        let seal = self.seal.map_or_else(|| keys.request_key().duplicate(), Key::new);
        let key = (keys.cipher(), &seal);
        let nai = SealedNai { index: self.index, user: self.user.into() }.emit().unwrap();
        let layer_2 = SealedLayer2 { kind: 0, address: vec![2, 0, 0, 0, 0, 9] }.emit().unwrap();
        put_sealed(&mut w, 24, NUMBERS, (Subtype::NAI, 0, self.spi), key, &mut rng, &nai).unwrap();
        put_sealed(&mut w, 24, NUMBERS, (Subtype::IP, 0, self.spi), key, &mut rng, &self.wanted.octets())
            .unwrap();
        put_sealed(&mut w, 24, NUMBERS, (Subtype::LAYER_2, 0, self.spi), key, &mut rng, &layer_2).unwrap();
        if let Some(agent) = self.heard {
            AgentHeard { challenge: &[5; 8], agent }.emit(&mut w, NUMBERS).unwrap();
        }
        if let Some((group, value)) = &self.share {
            KeyShare { group: Group(*group), value }.emit(&mut w, NUMBERS).unwrap();
        }
        if let Some(body) = &self.negotiation {
            ours::put(&mut w, NUMBERS, Subtype::NEGOTIATION, body).unwrap();
        }
        if let Some(udp) = self.udp {
            udp.emit(&mut w);
        }
        extension::open_authentication(&mut w, extension::MN_HA_AUTHENTICATION, self.spi, 32);
        let authenticator = keys.authenticate(Direction::ToHome, w.bytes());
        w.put(&authenticator);
        w.into_bytes()
    }
}

fn handle(n: u32) -> Handle {
    Handle { handle: u64::from(n), key2: Spi(10_000 + n), key3: Spi(20_000 + n) }
}

/// What a foreign agent makes of a mobile node's part.
fn relay(mobile: Vec<u8>, agent: usize, handle: Handle, signed: bool) -> Vec<u8> {
    relay_with(mobile, agent, handle, signed, None)
}

/// The same with a key share of the foreign agent's.
fn relay_with(mobile: Vec<u8>, agent: usize, handle: Handle, signed: bool, share: Option<&[u8]>) -> Vec<u8> {
    let mut w = Writer::after(mobile);
    let name = Protected {
        content: nai_owner::FOREIGN_AGENT,
        sealed: false,
        spi: Spi(0),
        info: FA_NAI[agent].as_bytes(),
    };
    name.emit(&mut w, NUMBERS, Subtype::NAI).unwrap();
    let router = Protected { content: 1, sealed: false, spi: Spi(0), info: &FA[agent].octets() };
    router.emit(&mut w, NUMBERS, Subtype::IP).unwrap();
    handle.emit(&mut w, NUMBERS).unwrap();
    if let Some(value) = share {
        KeyShare { group: Group::X25519, value }.emit(&mut w, NUMBERS).unwrap();
    }
    if signed {
        extension::open_authentication(&mut w, extension::FA_HA_AUTHENTICATION, path(agent).spi(), 32);
        let authenticator = path(agent).authenticate(Direction::ToHome, w.bytes());
        w.put(&authenticator);
    }
    w.into_bytes()
}

/// A home agent with a store that can refuse and a key distribution centre that can be away.
struct Bench {
    agent: HomeAgent,
    now: Now,
    store: bool,
    /// Another home agent commits before each of ours.
    quicker: bool,
    kdc: Result<(), KdcError>,
    asked: Vec<KeyRequest>,
    committed: Vec<Change>,
    sent: Vec<(SocketAddrV4, Vec<u8>)>,
    tunnels: Vec<TunnelChange>,
    refreshes: Vec<Nai>,
    /// Up to which changes of subscribers are durable.
    acknowledged: Vec<u64>,
    /// What operators were answered.
    revoked: Vec<Result<(), String>>,
    /// Nobody works at exchanges: they are kept here.
    held: Option<Vec<(Ticket, Exchanges)>>,
    order: Vec<&'static str>,
    told: Vec<Event>,
}

fn config() -> Config {
    let neighbour = |i: usize| Neighbour {
        nai: FA_NAI[i].into(),
        address: FA[i],
        spi: Spi(1001 + i as u32),
        key: Key::new([7 + i as u8; 32]),
        cipher: Cipher::Aes256Gcm,
        no_fs: true,
    };
    Config {
        negotiation: Policies::default(),
        max_octets: 0,
        nai: "ha@home.example".into(),
        realm: "home.example".into(),
        address: HA,
        vendor: DOCUMENTATION_VENDOR,
        home_link: LinkId(0),
        home_prefix_length: 24,
        max_lifetime: 300,
        timestamp_window: 7,
        max_bindings: 10,
        max_simultaneous_bindings: 3,
        advertisement_interval: Duration::from_secs(1),
        minimal: false,
        gre: false,
        broadcasts: true,
        revocation: true,
        inform: true,
        keepalive: 110,
        home_addresses: None,
        limits: Limits::default(),
        neighbours: vec![neighbour(0), neighbour(1)],
    }
}

fn bench() -> Bench {
    Bench::with(State { subscribers: vec![subscriber()], ..State::default() }, at(0))
}

impl Bench {
    fn with(state: State, now: Now) -> Self {
        Self::of(config(), state, now)
    }

    fn of(config: Config, state: State, now: Now) -> Self {
        Self {
            agent: HomeAgent::new(config, [3; 32], state, now),
            now,
            store: true,
            quicker: false,
            kdc: Ok(()),
            asked: vec![],
            committed: vec![],
            sent: vec![],
            tunnels: vec![],
            refreshes: vec![],
            acknowledged: vec![],
            revoked: vec![],
            held: None,
            order: vec![],
            told: vec![],
        }
    }

    fn input(&mut self, input: Input<'_, Request>) {
        self.agent.handle(input, self.now);
        let mut answers = Vec::new();
        loop {
            match self.agent.poll() {
                Output::Wait(_) => break,
                Output::Send(Transmit::Link { packet, .. }) => {
                    if let Ok(udp) = wire::ip::parse_udp(&packet) {
                        self.order.push("send");
                        self.sent.push((udp.destination, udp.payload.to_vec()));
                    }
                }
                Output::Effect(Effect::Acknowledge(cursor)) => self.acknowledged.push(cursor),
                Output::Effect(Effect::Answered { result, .. }) => self.revoked.push(result),
                Output::Effect(Effect::Meter { .. }) => {}
                Output::Send(Transmit::Udp { destination, payload, .. }) => {
                    self.order.push("send");
                    self.sent.push((destination, payload));
                }
                Output::Effect(Effect::Persist { ticket, changes }) => {
                    let result = match (self.store, self.quicker) {
                        (false, _) => Err(CommitError::Unavailable("full".into())),
                        (true, true) => Err(CommitError::Conflict),
                        (true, false) => Ok(()),
                    };
                    if result.is_ok() {
                        self.order.push("commit");
                        self.committed.extend(changes);
                    }
                    answers.push(Request::Persisted { ticket, result });
                }
                Output::Effect(Effect::Exchange { ticket, exchanges }) => {
                    self.order.push("exchange");
                    match &mut self.held {
                        Some(held) => held.push((ticket, exchanges)),
                        None => answers.push(Request::Exchanged { ticket, results: exchanges.finish() }),
                    }
                }
                Output::Effect(Effect::AskKdc { ticket, request, .. }) => {
                    let n = self.asked.len() as u8 + 1;
                    let key = |kind, spis: Option<_>, octet| {
                        (spis.is_some() && !request.seeded.contains(&kind)).then(|| Key::new([octet; 32]))
                    };
                    let keys = || Keys {
                        key1: key(AssociationKind::Key1, request.key1, 100 + n),
                        key2: key(AssociationKind::Key2, request.key2, 150 + n),
                        key3: key(AssociationKind::Key3, request.key3, 200 + n),
                        seed: (!request.seeded.is_empty()).then(|| Key::new([50 + n; 32])),
                        exchange: None,
                    };
                    answers.push(Request::Keys { ticket, result: self.kdc.clone().map(|()| keys()) });
                    self.asked.push(request);
                }
                Output::Effect(Effect::Tunnel(change)) => {
                    self.order.push("tunnel");
                    self.tunnels.push(change);
                }
                Output::Effect(Effect::Refresh { nai }) => self.refreshes.push(nai),
                Output::Effect(Effect::Notify(event)) => self.told.push(event),
            }
        }
        for answer in answers {
            self.input(Input::Request(answer));
        }
    }

    fn receive(&mut self, source: SocketAddrV4, payload: &[u8]) {
        let destination = SocketAddrV4::new(HA, 434);
        self.input(Input::Datagram(Datagram::Udp { source, destination, payload }));
    }

    /// Through a foreign agent; the reply, if any.
    fn through(&mut self, agent: usize, mobile: Vec<u8>, n: u32) -> Option<Vec<u8>> {
        let before = self.sent.len();
        self.receive(SocketAddrV4::new(FA[agent], 434), &relay(mobile, agent, handle(n), true));
        self.sent.get(before).map(|(_, bytes)| bytes.clone())
    }

    fn nothing_changed(&self) -> bool {
        self.sent.is_empty() && self.committed.is_empty() && self.tunnels.is_empty() && self.asked.is_empty()
    }
}

/// The whole list of ways to the one subscriber.
fn bound_to<const N: usize>(tunnels: [BoundTunnel; N]) -> TunnelChange {
    TunnelChange::Bind { home_address: HOME, tunnels: tunnels.into() }
}

/// What a store holds after these changes, as a start finds it.
fn stored(changes: &[Change]) -> State {
    let mut state = State { subscribers: vec![subscriber()], ..State::default() };
    for change in changes {
        match change {
            Change::Identification { nai, next, generation, index, .. } => {
                state.seen.retain(|seen| seen.nai != *nai);
                let (nai, generation, index) = (nai.clone(), *generation, *index);
                state.seen.push(Seen { nai, identification: *next, generation, index });
            }
            Change::PutBinding(binding) => {
                state.bindings.retain(|b| b.home_address != binding.home_address);
                state.bindings.push(binding.duplicate());
            }
            Change::AddBinding(binding) => {
                state
                    .bindings
                    .retain(|b| (b.home_address, b.care_of) != (binding.home_address, binding.care_of));
                state.bindings.push(binding.duplicate());
            }
            Change::RemoveBinding { home_address, care_of } => {
                state.bindings.retain(|b| (b.home_address, b.care_of) != (*home_address, *care_of));
            }
            Change::RemoveBindings(home_address) => {
                state.bindings.retain(|b| b.home_address != *home_address);
            }
            Change::AssignAddress { nai, home_address } => {
                assert!(state.assigned.iter().all(|(other, taken)| other != nai && taken != home_address));
                state.assigned.push((nai.clone(), *home_address));
            }
            Change::ReleaseAddress(nai) => state.assigned.retain(|(other, _)| other != nai),
            _ => {}
        }
    }
    state
}

fn code(reply: &[u8]) -> Code {
    registration::Reply::parse(reply).unwrap().code
}
