//! What carries messages: links that lose, delay, duplicate and reorder, a NAT, routes, and an attacker who
//! keeps what he saw.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use sansio::{LinkAddress, Transmit};
use wire::{
    ip,
    mip::{
        PORT, registration,
        revocation::{ACKNOWLEDGEMENT, REVOCATION},
    },
};

use crate::{
    check,
    nodes::{HOME_AGENT, HOME_AGENT_LINK, NAT, agent_link, care_of, node_link, translated_address},
    plan::{Action, Place},
    world::{Happening, Party, Recorded, Way, World},
};

/// Messages kept for the attacker.
const CAPTURED: usize = 256;

/// How long a message takes where no weather is.
const TRANSIT: Duration = Duration::from_micros(500);

/// Who stands on every way: what becomes of a message at a time, and how much later than without him.
pub(crate) type OnTheWay = Box<dyn FnMut(&Message, Duration) -> Vec<(Duration, Message)>>;

/// A message under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A frame.
    Link {
        /// On which link.
        place: Place,
        /// Link address of its sender.
        from: LinkAddress,
        /// Link address that it is for.
        to: LinkAddress,
        /// The IP packet in it.
        packet: Vec<u8>,
    },
    /// A datagram that routers carry.
    Udp {
        /// Address and port of its sender.
        source: SocketAddrV4,
        /// Address and port that it is for.
        destination: SocketAddrV4,
        /// What UDP carries.
        payload: Vec<u8>,
    },
}

impl Message {
    /// Which way a registration message goes; `None` for anything else, and for what is said on the home link.
    #[must_use]
    pub fn way(&self) -> Option<Way> {
        match self {
            Self::Link { place: Place::Visited(_), packet, .. } => match ip::parse_udp(packet) {
                Ok(udp) if udp.destination.port() == PORT => Some(Way::FromMobileNode),
                Ok(_) => Some(Way::ToMobileNode),
                Err(_) => None,
            },
            Self::Link { .. } => None,
            Self::Udp { destination, .. } if *destination.ip() == HOME_AGENT => Some(Way::ToHomeAgent),
            Self::Udp { .. } => Some(Way::FromHomeAgent),
        }
    }

    /// What UDP carries; empty if it is no UDP.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        match self {
            Self::Link { packet, .. } => ip::parse_udp(packet).map(|udp| udp.payload).unwrap_or_default(),
            Self::Udp { payload, .. } => payload,
        }
    }

    /// The same message with something else in it; as it is if it is no UDP.
    #[must_use]
    pub fn carrying(&self, payload: Vec<u8>) -> Self {
        let mut other = self.clone();
        match &mut other {
            Self::Link { packet, .. } => {
                let again = ip::parse_udp(packet)
                    .map(|udp| ip::udp_packet(udp.source, udp.destination, udp.ttl, &payload));
                if let Ok(Ok(again)) = again {
                    *packet = again;
                }
            }
            Self::Udp { payload: carried, .. } => *carried = payload,
        }
        other
    }
}

impl World {
    pub(crate) fn attack(&mut self, action: Action) {
        if self.captured.is_empty() {
            return;
        }
        let pick = |n: u64, len: usize| (n % len as u64) as usize;
        let (Action::Replay(chosen)
        | Action::Forge(chosen, ..)
        | Action::Truncate(chosen, _)
        | Action::Divert(chosen, _)) = action
        else {
            return;
        };
        let mut message = self.captured[pick(chosen, self.captured.len())].clone();
        let bytes = match &mut message {
            Message::Link { packet, .. } => packet,
            Message::Udp { payload, .. } => payload,
        };
        match action {
            Action::Forge(_, place, bits) => {
                let at = pick(place, bytes.len());
                bytes[at] ^= bits;
            }
            Action::Truncate(_, length) => bytes.truncate(pick(length, bytes.len())),
            Action::Divert(_, n) => self.divert(&mut message, n),
            _ => {}
        }
        self.deliver(message);
    }

    /// The same bytes elsewhere: another link, or another agent.
    fn divert(&self, message: &mut Message, n: u64) {
        let agent = (n % self.foreign_agents.len() as u64) as usize;
        match message {
            Message::Link { place, .. } => *place = Place::Visited(agent),
            Message::Udp { destination, .. } if *destination.ip() == HOME_AGENT => {}
            Message::Udp { destination, .. } => {
                *destination = SocketAddrV4::new(care_of(agent), destination.port());
            }
        }
        if let Message::Udp { source, destination, .. } = message
            && *destination.ip() == HOME_AGENT
        {
            *source = SocketAddrV4::new(care_of(agent), source.port());
        }
    }

    fn place(&self, party: Party) -> Place {
        match party {
            Party::HomeAgent(_) => Place::Home,
            Party::ForeignAgent(a) => Place::Visited(a),
            Party::MobileNode(n) => self.mobile_nodes[n].place,
        }
    }

    /// Sends over the network, bad weather and all.
    pub(crate) fn transmit(&mut self, party: Party, transmit: Transmit) {
        let place = self.place(party);
        let message = match transmit {
            Transmit::Link { to, packet, .. } => {
                let from = match party {
                    Party::HomeAgent(_) => HOME_AGENT_LINK,
                    Party::ForeignAgent(a) => agent_link(a),
                    Party::MobileNode(n) => node_link(n),
                };
                Message::Link { place, from, to, packet }
            }
            Transmit::Udp { source, destination, payload } => {
                let source = self.translate(party, source);
                Message::Udp { source, destination, payload }
            }
        };
        self.digest(&message);
        let verdict = check::private(&message_bytes(&message), place != Place::Home || is_core(&message));
        self.verdict(verdict);
        self.capture(&message);
        self.record(&message);
        if let Some(seen) = &mut self.seen {
            seen.push((self.now, message.clone()));
        }
        if place == Place::Nowhere {
            return;
        }
        match self.on_the_way.take() {
            None => self.deliver(message),
            Some(mut meets) => {
                for (later, message) in meets(&message, self.now) {
                    self.route(message, self.now + TRANSIT + later);
                }
                self.on_the_way = Some(meets);
            }
        }
    }

    fn translate(&mut self, party: Party, source: SocketAddrV4) -> SocketAddrV4 {
        let Party::MobileNode(n) = party else {
            return source;
        };
        if *source.ip() != translated_address(n) {
            return source;
        }
        let next = 20_000 + self.nat.len() as u16;
        let port = *self.nat.entry(source).or_insert(next);
        SocketAddrV4::new(NAT, port)
    }

    fn digest(&mut self, message: &Message) {
        let bytes = message_bytes(message);
        self.sent = crypto::digest(&[&self.sent, &(self.now.as_nanos() as u64).to_be_bytes(), &bytes]);
        self.say(|| {
            let (label, bytes) = match message {
                Message::Link { place, packet, .. } => (format!("on {place:?}"), packet),
                Message::Udp { source, destination, payload } => {
                    (format!("{source} > {destination}"), payload)
                }
            };
            let mut line = format!("     {label} {} bytes ", bytes.len());
            let _ = write!(line, "{}", describe(message));
            line
        });
    }

    fn record(&mut self, message: &Message) {
        let Some(recorded) = &mut self.recorded else { return };
        let Some(way) = message.way() else { return };
        let (Message::Link { packet: bytes, .. } | Message::Udp { payload: bytes, .. }) = message;
        // What a node at home says there is no business of theirs on the way.
        if is_core(message) || matches!(message, Message::Link { .. }) {
            recorded.push(Recorded { way, bytes: bytes.clone() });
        }
    }

    fn capture(&mut self, message: &Message) {
        let worth = match message {
            Message::Link { packet, .. } => ip::parse_udp(packet).is_ok(),
            Message::Udp { .. } => true,
        };
        if worth {
            if self.captured.len() == CAPTURED {
                self.captured.pop_front();
            }
            self.captured.push_back(message.clone());
        }
    }

    fn deliver(&mut self, message: Message) {
        let calm = self.now >= self.plan.calm;
        let weather = self.plan.weather;
        let copies = if calm {
            1
        } else if self.rng.below(1000) < weather.loss {
            0
        } else if self.rng.below(1000) < weather.duplicates {
            2
        } else {
            1
        };
        for _ in 0..copies {
            let most = if calm { Duration::from_millis(1) } else { weather.delay };
            let delay = Duration::from_micros(20 + self.rng.below(most.as_micros() as u64 + 1));
            self.route(message.clone(), self.now + delay);
        }
    }

    pub(crate) fn route(&mut self, message: Message, at: Duration) {
        match message {
            Message::Link { place, from, to, packet } => {
                for party in self.parties_at(place) {
                    let own = match party {
                        Party::HomeAgent(_) => HOME_AGENT_LINK,
                        Party::ForeignAgent(a) => agent_link(a),
                        Party::MobileNode(n) => node_link(n),
                    };
                    if own != from && (to == own || to[0] & 1 == 1) {
                        self.at(at, Happening::Link { party, place, from, packet: packet.clone() });
                    }
                }
            }
            Message::Udp { source, destination, payload } => {
                let local = self.is_home(*source.ip()) && self.is_home(*destination.ip());
                if self.now < self.core_cut_until && !local {
                    return;
                }
                if let Some((party, destination)) = self.receiver(source, destination) {
                    self.at(at, Happening::Udp { party, source, destination, payload });
                }
            }
        }
    }

    fn is_home(&self, address: Ipv4Addr) -> bool {
        address.octets()[..3] == HOME_AGENT.octets()[..3]
    }

    /// Who gets a datagram, and at which of its own addresses.
    fn receiver(&mut self, source: SocketAddrV4, destination: SocketAddrV4) -> Option<(Party, SocketAddrV4)> {
        let ip = *destination.ip();
        if ip == HOME_AGENT {
            return Some((self.some_home_agent(source), destination));
        }
        if let Some(agent) = (0..self.foreign_agents.len()).find(|a| care_of(*a) == ip) {
            return Some((Party::ForeignAgent(agent), destination));
        }
        let inside = if ip == NAT {
            self.nat.iter().find(|(_, port)| **port == destination.port()).map(|(inside, _)| *inside)?
        } else if self.home_agents.iter().any(|agent| agent.tunnels.contains_key(&ip)) {
            // The home agent's own host would send it into the tunnel.
            return None;
        } else {
            destination
        };
        let place = if ip == NAT { Place::Translated } else { Place::Home };
        let node = self.mobile_nodes.iter().position(|n| n.bound == Some(inside) && n.place == place)?;
        Some((Party::MobileNode(node), inside))
    }

    fn parties_at(&self, place: Place) -> Vec<Party> {
        let agents = match place {
            Place::Home => (0..self.home_agents.len()).map(Party::HomeAgent).collect(),
            Place::Visited(a) => vec![Party::ForeignAgent(a)],
            Place::Translated | Place::Nowhere => vec![],
        };
        let nodes = self.mobile_nodes.iter().enumerate().filter(|(_, n)| n.place == place);
        agents.into_iter().chain(nodes.map(|(n, _)| Party::MobileNode(n))).collect()
    }

    /// The public side of a mobile node behind the NAT.
    pub(crate) fn translated(&self, node: usize) -> Option<SocketAddrV4> {
        let port = self.mobile_nodes[node].bound.and_then(|inside| self.nat.get(&inside))?;
        Some(SocketAddrV4::new(NAT, *port))
    }
}

fn message_bytes(message: &Message) -> Vec<u8> {
    match message {
        Message::Link { packet, .. } => packet.clone(),
        Message::Udp { payload, .. } => payload.clone(),
    }
}

fn is_core(message: &Message) -> bool {
    match message {
        Message::Link { .. } => false,
        Message::Udp { source, destination, .. } => {
            let home = |a: &SocketAddrV4| a.ip().octets()[..3] == HOME_AGENT.octets()[..3];
            !home(source) || !home(destination)
        }
    }
}

fn describe(message: &Message) -> String {
    let payload = match message {
        Message::Link { packet, .. } => match ip::parse_udp(packet) {
            Ok(udp) => udp.payload.to_vec(),
            Err(_) => return "ICMP".to_owned(),
        },
        Message::Udp { payload, .. } => payload.clone(),
    };
    if let Ok(r) = registration::Request::parse(&payload) {
        return format!(
            "request {:?} {} s to {} id {:016x}",
            r.flags, r.lifetime, r.care_of, r.identification.0
        );
    }
    match registration::Reply::parse(&payload) {
        Ok(r) => format!("reply {} {} s id {:016x}", r.code, r.lifetime, r.identification.0),
        Err(_) if payload.first() == Some(&REVOCATION) => "revocation".to_owned(),
        Err(_) if payload.first() == Some(&ACKNOWLEDGEMENT) => "acknowledgement of a revocation".to_owned(),
        Err(_) => "other".to_owned(),
    }
}
