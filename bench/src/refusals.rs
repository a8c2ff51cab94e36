//! What the home agent's core spends on requests that it refuses, by kind. No socket is in it: the limit of one core,
//! not of a host.

use std::{
    hint::black_box,
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use crypto::{Cipher, Key, Rng};
use mobility::home_agent::{Config, Effect, HomeAgent, Keys, Limits, Neighbour, Request};
use record::{Nai, RealmKey, State, Subscriber, SubscriberState};
use sa::{AgentPath, Direction, MobileHome, put_sealed};
use sansio::{Datagram, Input, Instant, LinkId, Machine as _, Now, Output};
use wire::{
    Writer,
    mip::{
        PORT, Spi,
        extension::{self, FA_HA_AUTHENTICATION, MN_HA_AUTHENTICATION},
        ours::{AgentHeard, DOCUMENTATION_VENDOR, Handle, Numbers, Protected, SealedNai, Subtype, nai_owner},
        registration::{self, Flags, Identification, ntp_seconds},
        share::{Group, KeyShare},
    },
};

use crate::outcome::Outcome;

/// Requests of one run of one kind.
const TURNS: u32 = 100_000;
/// Subscribers beside the one that is attacked.
const SUBSCRIBERS: u32 = 10_000;
/// Virtual time between two requests.
const GAP: Duration = Duration::from_micros(10);

const REALM: &str = "home.example";
const HOME_AGENT: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 2);
const AGENT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 51, 1, 2), PORT);
const STRANGER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 7), 40_000);
const NUMBERS: Numbers = Numbers::Vendor(DOCUMENTATION_VENDOR);
const REALM_KEY: Spi = Spi(300);
const UNIX: u64 = 1_800_000_000;

/// A kind of request that is refused.
struct Kind {
    name: &'static str,
    from: SocketAddrV4,
    bytes: Vec<u8>,
    /// The identification counts up, so that none is the same.
    counting: bool,
}

pub(crate) fn run(runs: u32) -> anyhow::Result<Outcome> {
    let mut world = World::new()?;
    let kinds = world.kinds()?;
    let mut all: Vec<(&'static str, Vec<f64>)> = kinds.iter().map(|kind| (kind.name, Vec::new())).collect();
    let mut hashes = Vec::new();
    for _ in 0..runs {
        for (kind, (_, rates)) in kinds.iter().zip(&mut all) {
            rates.push(world.rate(kind));
        }
        hashes.push(rate_of(|_| {
            black_box(crypto::hmac(&Key::new([1; 32]), &[black_box(&kinds[0].bytes)]));
        }));
    }
    let (_, worst) = all.first().cloned().context("a kind")?;
    let mut outcome = Outcome::new("refusals", "requests with a wrong 34 refused a second", worst);
    outcome = outcome.against("hmac", hashes);
    for (name, rates) in all.into_iter().skip(1) {
        outcome = outcome.with(name, crate::outcome::median(&rates));
    }
    Ok(outcome)
}

fn rate_of(mut turn: impl FnMut(u32)) -> f64 {
    let start = std::time::Instant::now();
    for n in 0..TURNS {
        turn(n);
    }
    f64::from(TURNS) / start.elapsed().as_secs_f64()
}

/// A home agent with a registered mobile node, a store that always writes and a key distribution centre that always
/// answers.
/// A home agent without foreign agents.
pub(crate) fn configuration() -> Config {
    Config {
        nai: "ha@home.example".to_owned(),
        realm: REALM.to_owned(),
        address: HOME_AGENT,
        vendor: DOCUMENTATION_VENDOR,
        home_link: LinkId(0),
        home_prefix_length: 8,
        max_lifetime: u16::MAX,
        timestamp_window: 7,
        max_bindings: 10_000_000,
        max_simultaneous_bindings: 1,
        advertisement_interval: Duration::from_secs(1),
        minimal: true,
        gre: true,
        broadcasts: true,
        revocation: true,
        inform: true,
        keepalive: 110,
        home_addresses: None,
        limits: Limits::default(),
        neighbours: Vec::new(),
    }
}

/// When everything begins.
pub(crate) const fn start() -> Now {
    Now { mono: Instant::new(Duration::from_secs(1000)), unix: Duration::from_secs(UNIX) }
}

struct World {
    agent: HomeAgent,
    now: Now,
    sent: u64,
}

impl World {
    fn new() -> anyhow::Result<Self> {
        let neighbour = Neighbour {
            nai: "fa@visited.example".to_owned(),
            address: *AGENT.ip(),
            spi: Spi(1001),
            key: agent_key(),
            cipher: Cipher::Aes256Gcm,
            no_fs: true,
        };
        let config = Config { neighbours: vec![neighbour], ..configuration() };
        let subscribers = (0..=SUBSCRIBERS).map(subscriber).collect::<anyhow::Result<_>>()?;
        let realm_keys =
            vec![RealmKey { id: REALM_KEY, secret: realm_secret(), made: 0, ends: None, change: 1 }];
        let state = State { subscribers, realm_keys, ..State::default() };
        let now = start();
        Ok(Self { agent: HomeAgent::new(config, [3; 32], state, now), now, sent: 0 })
    }

    fn kinds(&mut self) -> anyhow::Result<Vec<Kind>> {
        let keys = MobileHome::of(&subscriber(0)?);
        let good = relayed(mobile_part(&keys, keys.one_time_spi(1), false)?, true)?;
        self.hand_in(AGENT, &good);
        ensure!(self.agent.bindings().count() == 1, "the honest registration is refused");
        let broken = |mut bytes: Vec<u8>| {
            if let Some(last) = bytes.last_mut() {
                *last ^= 1;
            }
            bytes
        };
        let unknown = mobile_part(&keys, Spi(99_999), false)?;
        let forged = broken(mobile_part(&keys, keys.one_time_spi(2), false)?);
        let kind = |name, from, bytes| Kind { name, from, bytes, counting: false };
        Ok(vec![
            kind("wrong 34", AGENT, broken(relayed(forged.clone(), true)?)),
            kind("garbage", STRANGER, Rng::from_seed([5; 32]).array::<400>().to_vec()),
            kind("truncated", AGENT, good[..good.len() * 2 / 3].to_vec()),
            kind("34 of no agent", STRANGER, good.clone()),
            kind("no 34, unknown index", STRANGER, unknown.clone()),
            kind("right 34, unknown index", AGENT, relayed(unknown, true)?),
            kind("no 34, wrong 32", STRANGER, forged.clone()),
            kind("right 34, wrong 32", AGENT, relayed(forged, true)?),
            kind("replay", AGENT, good),
            Kind {
                counting: true,
                ..kind("realm key, no 34", STRANGER, broken(mobile_part(&keys, REALM_KEY, true)?))
            },
            kind("realm key, right 34", AGENT, relayed(broken(mobile_part(&keys, REALM_KEY, true)?), true)?),
        ])
    }

    fn rate(&mut self, kind: &Kind) -> f64 {
        let mut bytes = kind.bytes.clone();
        rate_of(|n| {
            if kind.counting {
                bytes[20..24].copy_from_slice(&n.to_be_bytes());
            }
            self.hand_in(kind.from, &bytes);
        })
    }

    fn hand_in(&mut self, source: SocketAddrV4, payload: &[u8]) {
        self.now.mono = self.now.mono + GAP;
        let destination = SocketAddrV4::new(HOME_AGENT, PORT);
        self.agent.handle(Input::Datagram(Datagram::Udp { source, destination, payload }), self.now);
        loop {
            let answer = match self.agent.poll() {
                Output::Wait(_) => return,
                Output::Send(_) => {
                    self.sent += 1;
                    continue;
                }
                Output::Effect(Effect::Persist { ticket, .. }) => {
                    Request::Persisted { ticket, result: Ok(()) }
                }
                Output::Effect(Effect::AskKdc { ticket, .. }) => {
                    let key = |n| Key::new([n; 32]);
                    let keys = Keys { key1: key(1), with_agent: Some((key(2), key(3))), exchange: None };
                    Request::Keys { ticket, result: Ok(keys) }
                }
                Output::Effect(_) => continue,
            };
            self.agent.handle(Input::Request(answer), self.now);
        }
    }
}

fn agent_key() -> Key {
    Key::new([7; 32])
}

fn realm_secret() -> Key {
    Key::new([0xd0; 32])
}

fn subscriber(n: u32) -> anyhow::Result<Subscriber> {
    let [a, b, c, d] = n.to_be_bytes();
    let mut key0 = [1; 32];
    key0[..4].copy_from_slice(&[a, b, c, d]);
    Ok(Subscriber {
        nai: Nai::parse(&format!("traveller-{n}@{REALM}"))?,
        key0: Key::new(key0),
        spi: Spi(1000),
        one_time: true,
        generation: 0,
        retiring: None,
        plain: None,
        cipher: Cipher::Aes256Gcm,
        home_address: Ipv4Addr::new(10, 100 + b, c, d),
        home_prefix_length: 8,
        home_agent: HOME_AGENT,
        home_gateway: None,
        no_fs: true,
        state: SubscriberState::Active,
        max_lifetime: None,
        change: 1,
    })
}

/// What a mobile node sends, through 32.
fn mobile_part(keys: &MobileHome, spi: Spi, share: bool) -> anyhow::Result<Vec<u8>> {
    let mut rng = Rng::from_seed([9; 32]);
    let mut w = Writer::default();
    let care_of = *AGENT.ip();
    registration::Request {
        flags: Flags(Flags::REVERSE_TUNNEL),
        lifetime: 600,
        home_address: Ipv4Addr::UNSPECIFIED,
        home_agent: HOME_AGENT,
        care_of,
        identification: Identification::new(ntp_seconds(UNIX), 77),
    }
    .emit(&mut w);
    extension::put(&mut w, extension::MN_NAI, b"@home.example")?;
    let seal = (keys.cipher(), keys.request_key());
    let nai = SealedNai { index: 1, user: "traveller-0".to_owned() }.emit()?;
    let fixed = registration::Request::LEN;
    put_sealed(&mut w, fixed, NUMBERS, (Subtype::NAI, 0, spi), seal, &mut rng, &nai)?;
    put_sealed(&mut w, fixed, NUMBERS, (Subtype::IP, 0, spi), seal, &mut rng, &[0; 4])?;
    AgentHeard { challenge: &[5; 16], agent: "fa@visited.example" }.emit(&mut w, NUMBERS)?;
    if share {
        let secret = crypto::exchange::Secret::from_key(&Key::new([77; 32]));
        KeyShare { group: Group::X25519, value: &secret.public() }.emit(&mut w, NUMBERS)?;
    }
    extension::open_authentication(&mut w, MN_HA_AUTHENTICATION, spi, 32);
    let authenticator = keys.authenticate(Direction::ToHome, w.bytes());
    w.put(&authenticator);
    Ok(w.into_bytes())
}

/// What the foreign agent makes of it.
fn relayed(mobile: Vec<u8>, signed: bool) -> anyhow::Result<Vec<u8>> {
    let path =
        AgentPath::new("fa@visited.example", "ha@home.example", Spi(1001), Cipher::Aes256Gcm, agent_key());
    let mut w = Writer::after(mobile);
    let clear = |content, info| Protected { content, sealed: false, spi: Spi(0), info };
    clear(nai_owner::FOREIGN_AGENT, &b"fa@visited.example"[..]).emit(&mut w, NUMBERS, Subtype::NAI)?;
    clear(1, &AGENT.ip().octets()).emit(&mut w, NUMBERS, Subtype::IP)?;
    Handle { handle: 1, key2: Spi(10_000), key3: Spi(20_000) }.emit(&mut w, NUMBERS)?;
    if signed {
        extension::open_authentication(&mut w, FA_HA_AUTHENTICATION, path.spi(), 32);
        let authenticator = path.authenticate(Direction::ToHome, w.bytes());
        w.put(&authenticator);
    }
    Ok(w.into_bytes())
}
