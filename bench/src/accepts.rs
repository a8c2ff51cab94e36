//! What the home agent's core spends on a registration that it accepts, from the request to the sealed reply. No socket,
//! no store and no key distribution centre is in it: keys and the word that all is durable are there at once.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use anyhow::ensure;
use crypto::Key;
use mobility::home_agent::{Config, Effect, HomeAgent, Keys, Request};
use record::State;
use sansio::{Datagram, Input, Machine as _, Now, Output, Transmit};
use wire::mip::{
    PORT,
    registration::{Identification, ntp_seconds},
};

use crate::{
    outcome::Outcome,
    requests::{Agent, HOME_AGENT, Node, configuration, start, subscriber},
};

/// Mobile nodes, each of which registers once in a round, every time with the next foreign agent.
const NODES: u32 = 2000;
const AGENTS: u8 = 4;
/// Rounds of one run.
const ROUNDS: u64 = 5;
/// Requests that wait at a time: for keys, then for the store.
const TOGETHER: usize = 100;
/// Virtual time between two requests.
const GAP: Duration = Duration::from_micros(100);
/// Authenticators over about a whole message each that no implementation could do without: 32 and 34 of the request, T1
/// and T2, 32 and 34 of the reply.
const AUTHENTICATORS: u32 = 6;

pub(crate) fn run(runs: u32) -> anyhow::Result<Outcome> {
    let mut world = World::new()?;
    // The first round finds no bindings.
    world.round(1)?;
    let (mut ours, mut hashes, mut number) = (Vec::new(), Vec::new(), 2);
    for _ in 0..runs {
        let mut took = Duration::ZERO;
        for _ in 0..ROUNDS {
            took += world.round(number)?;
            number += 1;
        }
        ours.push(nanoseconds(took, u32::try_from(ROUNDS)? * NODES));
        let (message, key) = (vec![7; 400], Key::new([1; 32]));
        let start = Instant::now();
        for _ in 0..NODES * AUTHENTICATORS {
            black_box(crypto::hmac(&key, &[black_box(&message)]));
        }
        hashes.push(nanoseconds(start.elapsed(), NODES));
    }
    Ok(Outcome::new("accepts", "nanoseconds a registration", ours).against("hmac", hashes))
}

fn nanoseconds(took: Duration, count: u32) -> f64 {
    took.as_secs_f64() * 1e9 / f64::from(count)
}

/// A home agent with its subscribers.
struct World {
    core: HomeAgent,
    agents: Vec<Agent>,
    nodes: Vec<Node>,
    now: Now,
}

/// What came out of the core.
#[derive(Default)]
struct Outputs {
    requests: Vec<Request>,
    sent: usize,
    /// What a shell hands on: to give it up is not the core's work.
    others: Vec<Effect>,
}

impl World {
    fn new() -> anyhow::Result<Self> {
        let agents: Vec<Agent> = (0..AGENTS).map(Agent::new).collect();
        let config = Config { neighbours: agents.iter().map(Agent::neighbour).collect(), ..configuration() };
        let subscribers = (0..NODES).map(subscriber).collect::<anyhow::Result<_>>()?;
        let nodes = (0..NODES).map(Node::new).collect::<anyhow::Result<_>>()?;
        let now = start();
        let core = HomeAgent::new(config, [3; 32], State { subscribers, ..State::default() }, now);
        Ok(Self { core, agents, nodes, now })
    }

    /// Every node registers once. The time that the core took.
    fn round(&mut self, number: u64) -> anyhow::Result<Duration> {
        let mut took = Duration::ZERO;
        for first in (0..self.nodes.len()).step_by(TOGETHER) {
            let mut requests = Vec::new();
            for n in first..(first + TOGETHER).min(self.nodes.len()) {
                let (node, agent) = (&self.nodes[n], &self.agents[(n + number as usize) % self.agents.len()]);
                // Above every one before.
                let low = u32::try_from(number)?;
                let identification = Identification::new(ntp_seconds(self.now.unix.as_secs()), low);
                let mobile = node.request(node.index(number), agent, identification, false)?;
                requests.push((agent.address, agent.relayed(mobile, n as u64)?));
            }
            let (mut done, begun) = (Outputs::default(), Instant::now());
            for (source, payload) in &requests {
                self.pass_time();
                let destination = std::net::SocketAddrV4::new(HOME_AGENT, PORT);
                let datagram = Datagram::Udp { source: *source, destination, payload };
                self.core.handle(Input::Datagram(datagram), self.now);
                self.take(&mut done);
            }
            // First all keys, then what they made durable.
            while !done.requests.is_empty() {
                for request in std::mem::take(&mut done.requests) {
                    self.core.handle(Input::Request(request), self.now);
                    self.take(&mut done);
                }
            }
            took += begun.elapsed();
            ensure!(done.sent == requests.len(), "{} replies to {} requests", done.sent, requests.len());
        }
        ensure!(self.core.bindings_held() == self.nodes.len(), "{} bindings", self.core.bindings_held());
        Ok(took)
    }

    fn pass_time(&mut self) {
        self.now.mono = self.now.mono + GAP;
        self.now.unix += GAP;
    }

    fn take(&mut self, outputs: &mut Outputs) {
        loop {
            match self.core.poll() {
                Output::Wait(_) => return,
                // What goes to the home link is an advertisement.
                Output::Send(transmit) => {
                    outputs.sent += usize::from(matches!(transmit, Transmit::Udp { .. }));
                }
                Output::Effect(effect) => {
                    match &effect {
                        Effect::Persist { ticket, .. } => {
                            let (ticket, result) = (*ticket, Ok(()));
                            outputs.requests.push(Request::Persisted { ticket, result });
                        }
                        Effect::AskKdc { ticket, .. } => {
                            let key = |n| Some(Key::new([n; 32]));
                            let keys = Keys { key1: key(1), key2: key(2), key3: key(3), ..Keys::default() };
                            outputs.requests.push(Request::Keys { ticket: *ticket, result: Ok(keys) });
                        }
                        _ => {}
                    }
                    outputs.others.push(effect);
                }
            }
        }
    }
}
