//! What the home agent's core spends on requests that it refuses, by kind. No socket is in it: the limit of one core,
//! not of a host.

use std::{
    hint::black_box,
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use crypto::{Key, Rng};
use mobility::home_agent::{Config, Effect, HomeAgent, Keys, Request};
use record::{RealmKey, State};
use sansio::{Datagram, Input, Machine as _, Now, Output};
use wire::mip::{
    PORT, Spi,
    registration::{Identification, ntp_seconds},
};

use crate::{
    outcome::Outcome,
    requests::{Agent, HOME_AGENT, Node, UNIX, configuration, start, subscriber},
};

/// Requests of one run of one kind.
const TURNS: u32 = 100_000;
/// Subscribers beside the one that is attacked.
const SUBSCRIBERS: u32 = 10_000;
/// Virtual time between two requests.
const GAP: Duration = Duration::from_micros(10);

const STRANGER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 7), 40_000);
const REALM_KEY: Spi = Spi(300);

/// A kind of request that is refused.
struct Kind {
    name: &'static str,
    from: SocketAddrV4,
    bytes: Vec<u8>,
    /// The identification counts up, so that none is the same.
    counting: bool,
}

pub(crate) fn run(runs: u32) -> anyhow::Result<Outcome> {
    let visited = Agent::new(0);
    let mut world = World::new(&visited)?;
    let kinds = world.kinds(&visited)?;
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
struct World {
    agent: HomeAgent,
    now: Now,
    sent: u64,
}

impl World {
    fn new(visited: &Agent) -> anyhow::Result<Self> {
        let config = Config { neighbours: vec![visited.neighbour()], ..configuration() };
        let subscribers = (0..=SUBSCRIBERS).map(subscriber).collect::<anyhow::Result<_>>()?;
        let realm_keys =
            vec![RealmKey { id: REALM_KEY, secret: realm_secret(), made: 0, ends: None, change: 1 }];
        let state = State { subscribers, realm_keys, ..State::default() };
        let now = start();
        Ok(Self { agent: HomeAgent::new(config, [3; 32], state, now), now, sent: 0 })
    }

    fn kinds(&mut self, visited: &Agent) -> anyhow::Result<Vec<Kind>> {
        let node = Node::new(0)?;
        let request = |spi, share| {
            let identification = Identification::new(ntp_seconds(UNIX), 77);
            node.request(spi, visited, identification, share)
        };
        let (agent, relayed) = (visited.address, |mobile| visited.relayed(mobile, 1));
        let good = relayed(request(node.index(1), false)?)?;
        self.hand_in(agent, &good);
        ensure!(self.agent.bindings().count() == 1, "the honest registration is refused");
        let broken = |mut bytes: Vec<u8>| {
            if let Some(last) = bytes.last_mut() {
                *last ^= 1;
            }
            bytes
        };
        let unknown = request(Spi(99_999), false)?;
        let forged = broken(request(node.index(2), false)?);
        let by_realm_key = broken(request(REALM_KEY, true)?);
        let kind = |name, from, bytes| Kind { name, from, bytes, counting: false };
        Ok(vec![
            kind("wrong 34", agent, broken(relayed(forged.clone())?)),
            kind("garbage", STRANGER, Rng::from_seed([5; 32]).array::<400>().to_vec()),
            kind("truncated", agent, good[..good.len() * 2 / 3].to_vec()),
            kind("34 of no agent", STRANGER, good.clone()),
            kind("no 34, unknown index", STRANGER, unknown.clone()),
            kind("right 34, unknown index", agent, relayed(unknown)?),
            kind("no 34, wrong 32", STRANGER, forged.clone()),
            kind("right 34, wrong 32", agent, relayed(forged)?),
            kind("replay", agent, good),
            Kind { counting: true, ..kind("realm key, no 34", STRANGER, by_realm_key.clone()) },
            kind("realm key, right 34", agent, relayed(by_realm_key)?),
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
                    let key = |n| Some(Key::new([n; 32]));
                    let keys = Keys { key1: key(1), key2: key(2), key3: key(3), ..Keys::default() };
                    Request::Keys { ticket, result: Ok(keys) }
                }
                Output::Effect(_) => continue,
            };
            self.agent.handle(Input::Request(answer), self.now);
        }
    }
}

fn realm_secret() -> Key {
    Key::new([0xd0; 32])
}
