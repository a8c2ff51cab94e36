//! The home agents of a world: their effects, the store that they share, and the key distribution centre.

use std::{net::SocketAddrV4, time::Duration};

use mobility::{Ticket, home_agent};
use record::{AssociationKind, Change, CommitError, Nai};
use sansio::{Input, Machine, Output, Transmit};
use wire::{ip, mip::registration};

use crate::{
    network::Message,
    nodes::nai,
    world::{Happening, Party, World},
};

/// How long word from the store about another home agent's doing takes at worst.
const LONG_WORD: Duration = Duration::from_secs(20);
/// When a home agent asks again that could not reach the key distribution centre.
const AGAIN: Duration = Duration::from_secs(1);

impl World {
    pub(crate) fn home(&mut self, agent: usize, input: Input<'_, home_agent::Request>) {
        let party = Party::HomeAgent(agent);
        let now = self.clock(party);
        let Some(machine) = &mut self.home_agents[agent].machine else {
            return;
        };
        machine.handle(input, now);
        loop {
            let Some(machine) = &mut self.home_agents[agent].machine else {
                return;
            };
            match machine.poll() {
                Output::Send(transmit) => self.home_sends(agent, transmit),
                Output::Effect(effect) => self.home_effect(agent, effect),
                Output::Wait(deadline) => return self.schedule(party, deadline),
            }
        }
    }

    fn home_effect(&mut self, agent: usize, effect: home_agent::Effect) {
        let life = self.home_agents[agent].life;
        match effect {
            home_agent::Effect::Persist { ticket, changes } => {
                self.write(Party::HomeAgent(agent), life, ticket, changes);
            }
            home_agent::Effect::Exchange { ticket, exchanges } => {
                let request = home_agent::Request::Exchanged { ticket, results: exchanges.finish() };
                let delay = Duration::from_micros(300 + self.rng.below(3_000));
                self.at(self.now + delay, Happening::Home { agent, life, request });
            }
            home_agent::Effect::AskKdc { ticket, request, .. } => self.ask_centre(agent, ticket, &request),
            home_agent::Effect::Tunnel(home_agent::TunnelChange::Bind { home_address, tunnels }) => {
                self.home_agents[agent].tunnels.insert(home_address, tunnels);
            }
            home_agent::Effect::Tunnel(home_agent::TunnelChange::Unbind { home_address, .. }) => {
                self.home_agents[agent].tunnels.remove(&home_address);
            }
            home_agent::Effect::Acknowledge(cursor) => {
                let verdict = self.model.followed(&self.home_disk, cursor);
                self.verdict(verdict);
            }
            home_agent::Effect::Refresh { nai } => self.notice(agent, nai),
            home_agent::Effect::Answered { result, .. } => self.answers.push(result),
            home_agent::Effect::Meter { .. } => {}
            home_agent::Effect::Notify(event) => {
                self.say(|| format!("HA{agent}  {}: {}", event.kind.word(), event.text));
            }
        }
    }

    fn home_sends(&mut self, agent: usize, transmit: Transmit) {
        let payload = match &transmit {
            Transmit::Link { packet, .. } => ip::parse_udp(packet).map(|udp| udp.payload).unwrap_or_default(),
            Transmit::Udp { payload, .. } => payload,
        };
        if let Ok(reply) = registration::Reply::parse(payload)
            && reply.code.accepted()
            && let Some(node) = self.model.author(reply.identification.0)
        {
            let id = reply.identification.0;
            let verdict = self.model.acknowledged(&self.home_disk, node, id, reply.lifetime);
            self.verdict(verdict);
        }
        self.transmit(Party::HomeAgent(agent), transmit);
    }

    fn ask_centre(&mut self, agent: usize, ticket: Ticket, request: &home_agent::KeyRequest) {
        let life = self.home_agents[agent].life;
        if self.now < self.kdc_away_until {
            let result = Err(home_agent::KdcError::Unavailable("away".into()));
            let request = home_agent::Request::Keys { ticket, result };
            let at = self.now + Duration::from_secs(3);
            return self.at(at, Happening::Home { agent, life, request });
        }
        let now = self.clock(Party::HomeAgent(agent));
        let node = (0..self.mobile_nodes.len()).find(|n| nai(*n) == request.nai);
        let result = match (node, self.centre.issue(request, now)) {
            (Some(node), Ok(issued)) => {
                let through = request.foreign_agent.clone();
                let made = [
                    (AssociationKind::Key1, &issued.key1),
                    (AssociationKind::Key2, &issued.key2),
                    (AssociationKind::Key3, &issued.key3),
                ];
                for (kind, key) in made.into_iter().filter_map(|(kind, key)| Some((kind, key.as_ref()?))) {
                    let verdict = self.model.issue(node, through.as_deref().map(str::to_owned), kind, key);
                    self.verdict(verdict);
                }
                Ok(home_agent::Keys {
                    key1: issued.key1,
                    key2: issued.key2,
                    key3: issued.key3,
                    seed: issued.seed,
                    exchange: None,
                })
            }
            (_, Err(refusal)) => Err(home_agent::KdcError::Refused(refusal.to_string())),
            (None, Ok(_)) => Err(home_agent::KdcError::Refused("nobody".into())),
        };
        let delay = Duration::from_micros(300 + self.rng.below(3_000));
        let request = home_agent::Request::Keys { ticket, result };
        self.at(self.now + delay, Happening::Home { agent, life, request });
    }

    /// An administrator rotates or revokes; every home agent hears of it, each in its time.
    pub(crate) fn subscriber_changes(&mut self, node: usize, revoked: bool) {
        // Its KEY 0 of the beginning serves beside the next one, not beside the one after that.
        if !revoked && self.model.is_changed(node) {
            return;
        }
        let (now, name) = (self.clock(Party::HomeAgent(0)), nai(node));
        let change = match revoked {
            true => self.centre.revoke(name.as_str(), now),
            false => self.centre.rotate(name.as_str(), now),
        };
        let Some(change) = change else { return };
        self.model.changes(node, change, revoked);
        for agent in 0..self.home_agents.len() {
            let at = self.now + Duration::from_micros(500 + self.rng.below(500_000));
            let life = self.home_agents[agent].life;
            self.at(at, Happening::Follow { agent, life });
        }
    }

    pub(crate) fn follow(&mut self, agent: usize, life: u64) {
        if life != self.home_agents[agent].life || !self.alive(Party::HomeAgent(agent)) {
            return;
        }
        if self.now < self.kdc_away_until {
            return self.at(self.now + AGAIN, Happening::Follow { agent, life });
        }
        let now = self.clock(Party::HomeAgent(agent));
        if let Some((request, cursor)) = self.centre.changes(self.home_agents[agent].followed, now) {
            self.home_agents[agent].followed = cursor;
            self.home(agent, Input::Request(request));
        }
    }

    /// What the store holds of a subscriber will be read.
    fn notice(&mut self, agent: usize, nai: Nai) {
        let life = self.home_agents[agent].life;
        // Word from the store may take long, so that a binding elsewhere ends or is made before it comes.
        let long = self.now + 2 * LONG_WORD < self.plan.end && self.rng.below(4) == 0;
        let most = if long { LONG_WORD.as_micros() as u64 } else { 5_000 };
        let at = self.now + Duration::from_micros(200 + self.rng.below(most));
        self.at(at, Happening::Read { agent, life, nai });
    }

    pub(crate) fn read(&mut self, agent: usize, life: u64, nai: Nai) {
        if life != self.home_agents[agent].life {
            return;
        }
        if self.now < self.home_agents[agent].store_fails_until {
            return self.notice(agent, nai);
        }
        self.hand_over(agent, nai);
    }

    /// A home agent is told what the store holds of a subscriber.
    pub(crate) fn hand_over(&mut self, agent: usize, nai: Nai) {
        let seen = self.home_disk.seen(&nai).cloned();
        let (bindings, assigned) = (self.home_disk.bindings_of(&nai), self.home_disk.assigned(&nai));
        self.home(agent, Input::Request(home_agent::Request::Refreshed { nai, seen, bindings, assigned }));
    }

    pub(crate) fn apply_home(&mut self, agent: usize, changes: Vec<Change>) -> Result<(), CommitError> {
        let unix = self.clock(Party::HomeAgent(agent)).unix.as_secs();
        self.home_disk.accepts(&changes)?;
        let assigned = self.model.assigns(&changes);
        self.verdict(assigned);
        let verdict = self.model.home_commits(&self.home_disk, &changes, unix);
        let mut touched: Vec<Nai> = Vec::new();
        let mut cursor = None;
        for change in &changes {
            match change {
                Change::Identification { nai, .. } => touched.push(nai.clone()),
                Change::PutSubscriber(subscriber) => touched.push(subscriber.nai.clone()),
                Change::SubscriberCursor(number) => cursor = Some(*number),
                _ => {}
            }
        }
        self.home_disk.commit(agent, changes)?;
        self.verdict(verdict);
        if let Some(cursor) = cursor {
            let verdict = self.model.followed(&self.home_disk, cursor);
            self.verdict(verdict);
        }
        // A store for several tells the others what one of them changed.
        for other in (0..self.home_agents.len()).filter(|other| *other != agent) {
            for nai in &touched {
                self.notice(other, nai.clone());
            }
        }
        Ok(())
    }

    /// Which home agent a datagram to their address reaches: one that runs, mostly the same for one sender.
    pub(crate) fn some_home_agent(&mut self, source: SocketAddrV4) -> Party {
        let running: Vec<usize> =
            (0..self.home_agents.len()).filter(|h| self.alive(Party::HomeAgent(*h))).collect();
        match running.len() {
            0 | 1 => Party::HomeAgent(running.first().copied().unwrap_or_default()),
            n => {
                let flow = usize::from(source.ip().octets()[3]) + usize::from(source.port());
                let strays = if self.rng.below(4) == 0 { self.rng.below(n as u64) as usize } else { 0 };
                Party::HomeAgent(running[(flow + strays) % n])
            }
        }
    }

    /// Hands a message to the network as if its sender had sent it.
    pub(crate) fn inject(&mut self, message: Message) {
        self.route(message, self.now);
    }
}
