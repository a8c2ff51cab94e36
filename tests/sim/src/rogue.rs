//! What attackers are made of: messages in pieces, and the secrets that insiders hold.
//!
//! Everybody can take messages apart and put them together. An insider can also make authenticators anew: a rogue
//! foreign agent holds an association with the home agent of its own, as every foreign agent does.

use std::net::{Ipv4Addr, SocketAddrV4};

use crypto::Key;
use sa::{AgentPath, Direction, MobileHome};
use wire::{
    Writer, ip,
    mip::{
        PORT, Spi,
        extension::{self, FA_HA_AUTHENTICATION, MN_HA_AUTHENTICATION},
        ours::{DOCUMENTATION_VENDOR, Handle, Numbers, Protected, Subtype, ip_owner, nai_owner},
        part::Parts,
        registration::{REQUEST, Reply, Request},
        share::{Group, KeyShare},
    },
};

use crate::{
    network::Message,
    nodes::{self, HOME_AGENT, agent_nai, care_of},
};

/// Length of an authenticator.
const AUTHENTICATOR: usize = 32;
/// Numbering of everything in a simulated world.
pub const NUMBERS: Numbers = Numbers::Vendor(DOCUMENTATION_VENDOR);

/// One extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its type.
    pub kind: u8,
    /// Our sub-type, 0 if it is none of ours.
    pub subtype: u16,
    /// All of it, from its type on.
    pub bytes: Vec<u8>,
}

impl Piece {
    /// What follows our header.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.bytes.get(10..).unwrap_or_default()
    }
}

/// A registration message taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pieces {
    /// The fixed part.
    pub fixed: Vec<u8>,
    /// What follows it, in order.
    pub extensions: Vec<Piece>,
}

fn fixed_of(message: &[u8]) -> usize {
    if message.first() == Some(&REQUEST) { Request::LEN } else { Reply::LEN }
}

impl Pieces {
    /// Takes a message apart; `None` if it cannot be read.
    #[must_use]
    pub fn of(message: &[u8]) -> Option<Self> {
        let fixed = fixed_of(message);
        let found = extension::walk(message, fixed).ok()?;
        let extensions = found.iter().map(|e| Piece {
            kind: e.kind,
            subtype: wire::mip::ours::parse(e).ok().flatten().map_or(0, |ours| ours.subtype.0),
            bytes: message[e.offset..e.end()].to_vec(),
        });
        Some(Self { fixed: message[..fixed].to_vec(), extensions: extensions.collect() })
    }

    /// Puts it together again.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let rest = self.extensions.iter().flat_map(|piece| piece.bytes.iter().copied());
        self.fixed.iter().copied().chain(rest).collect()
    }

    /// Types and sub-types in order.
    #[must_use]
    pub fn form(&self) -> Vec<(u8, u16)> {
        self.extensions.iter().map(|piece| (piece.kind, piece.subtype)).collect()
    }

    /// Places of our extensions of this sub-type: in the mobile node's part, in the foreign agent's.
    #[must_use]
    pub fn places(&self, subtype: Subtype) -> Vec<usize> {
        let of = |(_, piece): &(usize, &Piece)| piece.subtype == subtype.0;
        self.extensions.iter().enumerate().filter(of).map(|(at, _)| at).collect()
    }

    /// Replaces one of our extensions by another body under the same sub-type.
    #[must_use]
    pub fn with_body(mut self, at: usize, body: &[u8]) -> Self {
        let piece = &mut self.extensions[at];
        let mut w = Writer::default();
        if wire::mip::ours::put(&mut w, NUMBERS, Subtype(piece.subtype), body).is_ok() {
            piece.bytes = w.into_bytes();
        }
        self
    }
}

/// The association of a foreign agent with the home agent: what makes a rogue one an insider.
#[must_use]
pub fn agent_path(agent: usize) -> AgentPath {
    let key = nodes::agent_key(agent);
    AgentPath::new(
        &agent_nai(agent),
        nodes::HOME_AGENT_NAI,
        nodes::agent_spi(agent),
        crypto::Cipher::Aes256Gcm,
        key,
    )
}

/// What a mobile node and its home agent hold: nobody else, until it is stolen.
#[must_use]
pub fn home_keys(node: usize) -> MobileHome {
    let (spi, key) = (nodes::spi(node), nodes::key0(node));
    MobileHome::new(&nodes::nai(node), nodes::REALM, spi, crypto::Cipher::Aes256Gcm, key)
}

/// The secrets of a world by name, as a thief finds them: KEY 0 of a mobile node, the key of a foreign agent with the
/// home agent, the realm's.
#[must_use]
pub fn stolen(node: usize, agent: usize) -> [Key; 3] {
    [nodes::key0(node), nodes::agent_key(agent), nodes::realm_secret()]
}

const fn direction(message: &[u8]) -> Direction {
    if let [REQUEST, ..] = message { Direction::ToHome } else { Direction::FromHome }
}

/// Makes 34, which stands last, anew with the association of this agent.
#[must_use]
pub fn signed_by_agent(agent: usize, mut message: Vec<u8>) -> Vec<u8> {
    let covered = message.len().saturating_sub(AUTHENTICATOR);
    let authenticator = agent_path(agent).authenticate(direction(&message), &message[..covered]);
    message.truncate(covered);
    message.extend_from_slice(&authenticator);
    message
}

/// Makes 32 anew with KEY 0 of this mobile node.
#[must_use]
pub fn signed_by_node(node: usize, mut message: Vec<u8>) -> Vec<u8> {
    let at = Parts::parse(&message, fixed_of(&message), DOCUMENTATION_VENDOR).map(|p| p.mobile_home.covered);
    if let Ok(at) = at {
        let authenticator = home_keys(node).authenticate(direction(&message), &message[..at]);
        message[at..at + AUTHENTICATOR].copy_from_slice(&authenticator);
    }
    message
}

/// From the fixed part through 32.
#[must_use]
pub fn mobile_part(message: &[u8]) -> Vec<u8> {
    let parts = Parts::parse(message, fixed_of(message), DOCUMENTATION_VENDOR);
    parts.map(|parts| parts.mobile_bytes().to_vec()).unwrap_or_default()
}

fn share_of(number: u32) -> [u8; 32] {
    let [.., last] = number.to_be_bytes();
    crypto::exchange::Secret::from_key(&Key::new([last | 1; 32])).public()
}

/// How a rogue foreign agent relays a mobile node's part, with all that it can lie about.
#[derive(Clone)]
pub struct Relay {
    /// Whose association makes 34; `None` sends none.
    pub signer: Option<usize>,
    /// The name it gives itself.
    pub name: String,
    /// Where it says that it is, and what it sends from.
    pub address: Ipv4Addr,
    /// Its handle.
    pub handle: Handle,
    /// Its key share.
    pub share: Option<[u8; 32]>,
}

impl Relay {
    /// As this agent would honestly do.
    #[must_use]
    pub fn of(agent: usize, number: u32) -> Self {
        Self {
            signer: Some(agent),
            name: agent_nai(agent),
            address: care_of(agent),
            handle: Handle { handle: number.into(), key2: Spi(70_000 + number), key3: Spi(80_000 + number) },
            // Nobody opens the reply to it.
            share: Some(share_of(number)),
        }
    }

    /// The message to the home agent.
    #[must_use]
    pub fn message(&self, mobile_part: Vec<u8>) -> Message {
        let mut w = Writer::after(mobile_part);
        let clear = |content, info| Protected { content, sealed: false, spi: Spi(0), info };
        let octets = self.address.octets();
        let written = clear(nai_owner::FOREIGN_AGENT, self.name.as_bytes())
            .emit(&mut w, NUMBERS, Subtype::NAI)
            .and_then(|()| clear(ip_owner::ROUTER, &octets).emit(&mut w, NUMBERS, Subtype::IP))
            .and_then(|()| self.handle.emit(&mut w, NUMBERS))
            .and_then(|()| match &self.share {
                Some(value) => KeyShare { group: Group::X25519, value }.emit(&mut w, NUMBERS),
                None => Ok(()),
            });
        debug_assert!(written.is_ok(), "names and bodies are short");
        if let Some(signer) = self.signer {
            let path = agent_path(signer);
            extension::open_authentication(&mut w, FA_HA_AUTHENTICATION, path.spi(), 32);
            let authenticator = path.authenticate(Direction::ToHome, w.bytes());
            w.put(&authenticator);
        }
        Message::Udp {
            source: SocketAddrV4::new(self.address, PORT),
            destination: SocketAddrV4::new(HOME_AGENT, PORT),
            payload: w.into_bytes(),
        }
    }
}

/// What somebody on a visited link answers to a request seen there: this payload, to its sender's port.
#[must_use]
pub fn answered_on_link(request: &Message, payload: &[u8]) -> Option<Message> {
    let Message::Link { place, from, to, packet } = request else {
        return None;
    };
    let udp = ip::parse_udp(packet).ok()?;
    let destination = SocketAddrV4::new(Ipv4Addr::BROADCAST, udp.source.port());
    let packet = ip::udp_packet(udp.destination, destination, 255, payload).ok()?;
    Some(Message::Link { place: *place, from: *to, to: *from, packet })
}

/// An unauthenticated denial, as every foreign agent may send it: the fixed part alone.
#[must_use]
pub fn hint(request: &[u8], code: u8) -> Vec<u8> {
    let Ok(asked) = Request::parse(request) else { return Vec::new() };
    let mut w = Writer::default();
    Reply {
        code: wire::mip::code::Code(code),
        lifetime: asked.lifetime,
        home_address: asked.home_address,
        home_agent: asked.home_agent,
        identification: asked.identification,
    }
    .emit(&mut w);
    w.into_bytes()
}

/// The same bytes back to whoever sent them.
#[must_use]
pub fn reflected(message: &Message) -> Message {
    match message {
        Message::Link { place, from, to, packet } => {
            let group = to[0] & 1 == 1;
            let back = ip::parse_udp(packet)
                .ok()
                .and_then(|udp| ip::udp_packet(udp.destination, udp.source, udp.ttl, udp.payload).ok());
            let other = if group { [2, 0, 0, 0, 9, 9] } else { *to };
            Message::Link {
                place: *place,
                from: other,
                to: *from,
                packet: back.unwrap_or_else(|| packet.clone()),
            }
        }
        Message::Udp { source, destination, payload } => {
            Message::Udp { source: *destination, destination: *source, payload: payload.clone() }
        }
    }
}

/// An advertisement with these bytes in place of those, wherever they stand; `None` if it is none or has none.
#[must_use]
pub fn advertisement_with(message: &Message, from: &[u8], to: &[u8]) -> Option<Message> {
    let Message::Link { place, from: sender, to: receiver, packet } = message else {
        return None;
    };
    let icmp = ip::parse_icmp(packet).ok()?;
    let mut bytes = icmp.message.to_vec();
    let at = bytes.windows(from.len()).position(|window| window == from)?;
    bytes.splice(at..at + from.len(), to.iter().copied());
    bytes[2..4].fill(0);
    let sum = wire::checksum::checksum(&bytes);
    bytes[2..4].copy_from_slice(&sum.to_be_bytes());
    let packet = ip::icmp_packet(icmp.source, icmp.destination, icmp.ttl, &bytes).ok()?;
    Some(Message::Link { place: *place, from: *sender, to: *receiver, packet })
}

/// Where 32 stands among the pieces.
#[must_use]
pub fn place_of_32(pieces: &Pieces) -> Option<usize> {
    pieces.extensions.iter().position(|piece| piece.kind == MN_HA_AUTHENTICATION)
}
