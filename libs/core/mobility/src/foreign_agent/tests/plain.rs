//! Mobile nodes without our extensions at a foreign agent that serves them.

use sa::{AgentPath, Algorithm, Direction, PlainAssociation, Unverified};
use wire::{
    Writer,
    mip::{
        extension::{self, put},
        ours::Numbers,
        part::Parts,
        registration::{Flags, Identification, Request as Fixed},
    },
};

use super::{script::Mobile, *};

const NODE: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 60);
const NODE_NAI: &[u8] = b"plain@home.example";
const NODE_STATION: LinkAddress = [2, 0, 0, 0, 0, 0x60];
const NODE_SPI: Spi = Spi(6000);

fn association(algorithm: Algorithm) -> PlainAssociation {
    PlainAssociation::new(Spi(700), algorithm, Key::new([0x33; 32]))
}

/// One that serves them, and shares an association with the node at [`NODE`] if `shared`.
fn serving(shared: Option<Algorithm>) -> Config {
    let node = |algorithm| {
        let md5 = algorithm == Algorithm::HmacMd5;
        PlainNode { home_address: NODE, spi: Spi(700), key: Key::new([0x33; 32]), md5 }
    };
    Config { plain_nodes: Some(shared.map(node).into_iter().collect()), ..config() }
}

/// What stands behind 32, in order.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Behind {
    Challenge,
    /// 36, which nobody here can check.
    Infrastructure,
    /// 33.
    Proof(Algorithm),
    /// A byte of padding.
    Padding,
}
use Behind::{Challenge, Infrastructure, Padding, Proof};

/// A mobile node as RFC 5944 has it.
struct Node {
    fixed: Fixed,
    nai: Option<&'static [u8]>,
    behind: Vec<Behind>,
    low: u32,
}

impl Node {
    fn new(behind: &[Behind]) -> Self {
        let fixed = Fixed {
            flags: Flags(Flags::REVERSE_TUNNEL),
            lifetime: 600,
            home_address: NODE,
            home_agent: HOME_AGENT,
            care_of: CARE_OF,
            identification: Identification(0),
        };
        Self { fixed, nai: None, behind: behind.to_vec(), low: 0 }
    }

    fn request(&mut self, challenge: &[u8]) -> Vec<u8> {
        // A nonce in the high half: it may rise or fall.
        self.low += 1;
        let high = u32::MAX.wrapping_mul(self.low).wrapping_add(0x8000_0000 * (self.low % 2));
        self.fixed.identification = Identification::new(high, self.low);
        let mut w = Writer::default();
        self.fixed.emit(&mut w);
        if let Some(nai) = self.nai {
            put(&mut w, extension::MN_NAI, nai).unwrap();
        }
        home_association().sign(&mut w, extension::MN_HA_AUTHENTICATION);
        for piece in &self.behind {
            match piece {
                Challenge => put(&mut w, extension::MN_FA_CHALLENGE, challenge).unwrap(),
                Infrastructure => {
                    w.put(&[36, 1, 0, 20, 0, 0, 3, 0]).put(&[9; 16]);
                }
                Proof(algorithm) => association(*algorithm).sign(&mut w, extension::MN_FA_AUTHENTICATION),
                Padding => {
                    w.u8(0);
                }
            }
        }
        w.into_bytes()
    }
}

fn home_association() -> PlainAssociation {
    PlainAssociation::of_key0(NODE_SPI, Algorithm::HmacSha256, &Key::new([0x60; 32]))
}

/// A home agent that says `code` to a request in clear, and what a test wants changed.
struct Home {
    code: Code,
    home_address: Ipv4Addr,
    nai: Option<&'static [u8]>,
    challenge: Option<Vec<u8>>,
    low: Option<u32>,
}

impl Home {
    fn accepting() -> Self {
        Self { code: Code::ACCEPTED, home_address: NODE, nai: None, challenge: None, low: None }
    }

    fn reply(&self, relayed: &[u8]) -> Vec<u8> {
        let fixed = Fixed::parse(relayed).unwrap();
        let parts = Parts::parse(relayed, Fixed::LEN, VENDOR).unwrap();
        let low = self.low.unwrap_or(fixed.identification.low());
        let mut w = Writer::default();
        let reply = Reply {
            code: self.code,
            lifetime: fixed.lifetime,
            home_address: self.home_address,
            home_agent: HOME_AGENT,
            identification: Identification::new(0x7777_0000 + low, low),
        };
        reply.emit(&mut w);
        if let Some(nai) = self.nai {
            put(&mut w, extension::MN_NAI, nai).unwrap();
        }
        home_association().sign(&mut w, extension::MN_HA_AUTHENTICATION);
        parts.foreign.handle.unwrap().emit(&mut w, Numbers::Vendor(VENDOR)).unwrap();
        if let Some(challenge) = &self.challenge {
            put(&mut w, extension::MN_FA_CHALLENGE, challenge).unwrap();
        }
        extension::open_authentication(&mut w, extension::FA_HA_AUTHENTICATION, Spi(1001), 32);
        let authenticator = path().authenticate(Direction::FromHome, w.bytes());
        w.put(&authenticator);
        w.into_bytes()
    }
}

fn path() -> AgentPath {
    AgentPath::new(NAI, HOME_NAI, Spi(1001), Cipher::Aes256Gcm, Key::new([8; 32]))
}

impl World {
    /// Hands in a request of the node; what was relayed, or the codes that came back.
    fn ask(&mut self, request: &[u8]) -> Result<Vec<u8>, Vec<u8>> {
        self.did();
        let source = SocketAddrV4::new(NODE, 40_000);
        let packet = ip::udp_packet(source, SocketAddrV4::new(ON_LINK, PORT), 255, request).unwrap();
        self.packet(LINK, NODE_STATION, &packet);
        let did = self.did();
        let relayed = did.iter().find_map(|did| match did {
            Did::Send(Transmit::Udp { payload, .. }) => Some(payload.clone()),
            _ => None,
        });
        let codes = did.iter().filter_map(told).map(|reply| Reply::parse(&reply).unwrap().code.0);
        relayed.ok_or_else(|| codes.collect())
    }

    /// The home agent answers: what the node is told.
    fn answer(&mut self, home: &Home, relayed: &[u8]) -> Option<Vec<u8>> {
        self.did();
        self.reply(HOME_AGENT, &home.reply(relayed));
        let told = self.did().iter().find_map(told);
        self.pass(Duration::from_secs(1));
        told
    }

    /// One registration, or the end of one.
    fn serve(&mut self, node: &mut Node) -> Vec<u8> {
        let request = node.request(&self.challenge(LINK));
        let relayed = self.ask(&request).expect("relayed");
        let nai = node.nai;
        self.answer(&Home { nai, ..Home::accepting() }, &relayed).expect("told")
    }
}

/// A reply to the node, which goes to its home address by IP if that is known.
fn told(did: &Did) -> Option<Vec<u8>> {
    let Did::Send(Transmit::Link { to, packet, .. }) = did else {
        return None;
    };
    let udp = ip::parse_udp(packet).ok()?;
    assert_eq!((*to, udp.destination.port()), (NODE_STATION, 40_000));
    let home_address = Reply::parse(udp.payload).unwrap().home_address;
    let expected = if home_address.is_unspecified() { Ipv4Addr::BROADCAST } else { home_address };
    assert_eq!(*udp.destination.ip(), expected);
    Some(udp.payload.to_vec())
}

#[test]
fn by_default_they_are_not_served() {
    let mut world = World::new();
    let mut node = Node::new(&[Challenge, Infrastructure]);
    let challenge = world.challenge(LINK);
    let request = node.request(&challenge);
    assert_eq!(world.ask(&request), Err(vec![]), "36 is not known there");
    node.behind = vec![Challenge];
    let request = node.request(&challenge);
    assert_eq!(world.ask(&request), Err(vec![105]));
}

#[test]
fn a_request_in_clear_is_relayed_and_makes_a_visitor_without_keys() {
    let mut world = World::with(serving(None));
    let mut node = Node::new(&[Challenge, Infrastructure]);
    let challenge = world.challenge(LINK);
    let request = node.request(&challenge);
    let relayed = world.ask(&request).unwrap();
    // 36 covers 132, so both are relayed as they are, before our part (RFC 4721 section 3.2).
    assert_eq!(relayed[..request.len()], request);
    let parts = Parts::parse(&relayed, Fixed::LEN, VENDOR).unwrap();
    assert!(parts.foreign.handle.is_some() && parts.foreign.nai.is_some() && parts.foreign.ip.is_some());
    assert!(parts.foreign.key_share.is_none() && parts.foreign.revocation.is_none());
    assert!(path().verify(Direction::ToHome, &Unverified::new(parts)).is_some());

    let home = Home { challenge: Some(challenge.clone()), ..Home::accepting() };
    let told = world.answer(&home, &relayed).unwrap();
    let parts = Parts::parse(&told, Reply::LEN, VENDOR).unwrap();
    assert!(home_association().matches(&parts, &parts.mobile_home), "not a byte of it changed");
    assert!(parts.foreign.challenge.is_some_and(|next| next != challenge) && parts.foreign_home.is_none());
    assert!(parts.foreign.mobile_foreign.is_none() && parts.foreign.numbers.is_none());
    let visit = world.agent.visitors().next().unwrap();
    assert_eq!((visit.record.home_address, visit.record.link_address), (NODE, NODE_STATION));
    assert!(visit.record.associations.is_empty() && visit.record.revocation.is_none());

    // It renews, whatever its identifications are, survives a restart of ours, and leaves.
    for _ in 0..4 {
        world.serve(&mut node);
        assert_eq!(world.agent.visitors().next().unwrap().record.granted, world.now.unix.as_secs() - 1);
    }
    let mut world = world.restarted(serving(None), 5);
    assert_eq!(world.visitors(), [NODE]);
    node.fixed.lifetime = 0;
    world.serve(&mut node);
    assert!(world.visitors().is_empty());
}

#[test]
fn challenges_as_rfc_4721_has_them() {
    let proof = Proof(Algorithm::HmacSha256);
    for (behind, expected) in [
        (vec![], Err(vec![105])),
        (vec![Infrastructure], Err(vec![105])),
        (vec![Challenge], Err(vec![])),
        (vec![Challenge, Infrastructure], Ok(())),
        (vec![Infrastructure, Challenge], Err(vec![70])),
        (vec![Challenge, Infrastructure, Infrastructure], Err(vec![70])),
        // Nobody shares an association with it.
        (vec![Challenge, proof], Err(vec![67])),
        (vec![Challenge, Infrastructure, proof], Err(vec![67])),
    ] {
        let mut world = World::with(serving(None));
        let request = Node::new(&behind).request(&world.challenge(LINK));
        assert_eq!(world.ask(&request).map(|_| ()), expected, "{behind:?}");
    }
    let mut world = World::with(serving(None));
    let mut node = Node::new(&[Challenge, Infrastructure]);
    let request = node.request(&[7; 16]);
    assert_eq!(world.ask(&request), Err(vec![104]));
    world.pass(Duration::from_secs(1));
    let challenge = world.challenge(LINK);
    let relayed = world.ask(&node.request(&challenge)).unwrap();
    world.answer(&Home::accepting(), &relayed).unwrap();
    let request = node.request(&challenge);
    assert_eq!(world.ask(&request), Err(vec![106]));
}

#[test]
fn with_an_association_33_is_demanded_and_given() {
    for algorithm in [Algorithm::HmacSha256, Algorithm::HmacMd5] {
        let proof = Proof(algorithm);
        let other = match algorithm {
            Algorithm::HmacSha256 => Algorithm::HmacMd5,
            Algorithm::HmacMd5 => Algorithm::HmacSha256,
        };
        for (behind, expected) in [
            (vec![Challenge, proof], Ok(())),
            (vec![Challenge, Infrastructure, proof], Ok(())),
            (vec![Challenge], Err(vec![67])),
            (vec![Challenge, Infrastructure], Err(vec![67])),
            (vec![Challenge, Proof(other)], Err(vec![67])),
            (vec![proof], Err(vec![105])),
            (vec![proof, Challenge], Err(vec![70])),
            (vec![Challenge, proof, Infrastructure], Err(vec![70])),
            (vec![Challenge, proof, Padding], Err(vec![70])),
            (vec![Challenge, proof, proof], Err(vec![70])),
        ] {
            let mut world = World::with(serving(Some(algorithm)));
            let request = Node::new(&behind).request(&world.challenge(LINK));
            assert_eq!(world.ask(&request).map(|_| ()), expected, "{behind:?}");
        }
        let mut world = World::with(serving(Some(algorithm)));
        let mut node = Node::new(&[Challenge, proof]);
        let told = world.serve(&mut node);
        let parts = Parts::parse(&told, Reply::LEN, VENDOR).unwrap();
        let claim = parts.foreign.mobile_foreign.unwrap();
        assert!(association(algorithm).matches(&parts, &claim) && parts.foreign.challenge.is_some());
        assert_eq!(claim.covered + claim.authenticator.len(), told.len());
        // What only 33 needed is not relayed.
        let request = node.request(&world.challenge(LINK));
        let relayed = world.ask(&request).unwrap();
        let parts = Parts::parse(&relayed, Fixed::LEN, VENDOR).unwrap();
        assert!(parts.foreign.challenge.is_none() && parts.foreign.mobile_foreign.is_none());
    }
}

#[test]
fn every_byte_of_a_proved_request_counts() {
    let shared = Some(Algorithm::HmacMd5);
    let mut node = Node::new(&[Challenge, Proof(Algorithm::HmacMd5)]);
    let challenge = World::with(serving(shared)).challenge(LINK);
    let good = node.request(&challenge);
    for i in 0..good.len() {
        for bit in [1, 0x80] {
            let mut world = World::with(serving(shared));
            let mut bytes = good.clone();
            bytes[i] ^= bit;
            assert!(world.ask(&bytes).is_err() && world.agent.pending() == 0, "byte {i}");
        }
    }
    for n in 0..good.len() {
        let mut world = World::with(serving(shared));
        assert!(world.ask(&good[..n]).is_err(), "cut at {n}");
    }
    let mut world = World::with(serving(shared));
    assert!(world.ask(&good).is_ok());
}

#[test]
fn our_own_denials_are_proved_to_whom_we_share_an_association_with() {
    let mut world = World::with(serving(Some(Algorithm::HmacMd5)));
    let mut node = Node::new(&[Challenge, Proof(Algorithm::HmacMd5)]);
    node.fixed.lifetime = 601;
    let request = node.request(&world.challenge(LINK));
    world.did();
    let source = SocketAddrV4::new(NODE, 40_000);
    let packet = ip::udp_packet(source, SocketAddrV4::new(ON_LINK, PORT), 255, &request).unwrap();
    world.packet(LINK, NODE_STATION, &packet);
    let denial = world.did().iter().find_map(told).unwrap();
    assert_eq!(Reply::parse(&denial).unwrap().code, Code::FA_LIFETIME);
    let found = extension::walk(&denial, Reply::LEN).unwrap();
    let kinds: Vec<u8> = found.iter().map(|e| e.kind).collect();
    assert_eq!(kinds, [extension::MN_FA_CHALLENGE, extension::MN_FA_AUTHENTICATION]);
    let claim = found[1].authentication().unwrap();
    let expected = crypto::legacy::hmac_md5(&Key::new([0x33; 32]), &[&denial[..claim.covered]]);
    assert_eq!((claim.spi, claim.authenticator), (Spi(700), &expected[..]));
}

#[test]
fn replies_must_fit_and_denials_change_nothing() {
    let mut node = Node::new(&[Challenge, Infrastructure]);
    let other = Ipv4Addr::new(10, 11, 1, 61);
    let silent = [
        Home { home_address: other, ..Home::accepting() },
        Home { challenge: Some(vec![1; 16]), ..Home::accepting() },
        Home { low: Some(99), ..Home::accepting() },
    ];
    for home in silent {
        let mut world = World::with(serving(None));
        let request = node.request(&world.challenge(LINK));
        let relayed = world.ask(&request).unwrap();
        world.did();
        world.reply(HOME_AGENT, &home.reply(&relayed));
        assert!(world.did().iter().find_map(told).is_none() && world.agent.pending() == 1);
        // Each byte of a good one counts too.
        let good = Home::accepting().reply(&relayed);
        for i in 0..good.len() {
            let mut bytes = good.clone();
            bytes[i] ^= 1;
            world.reply(HOME_AGENT, &bytes);
            assert!(world.visitors().is_empty() && world.agent.pending() == 1, "byte {i}");
        }
        world.reply(HOME_AGENT, &good);
        assert_eq!(world.visitors(), [NODE]);
        world.did();
        world.reply(HOME_AGENT, &good);
        assert!(world.did().iter().find_map(told).is_none(), "repeated");
    }
    let mut world = World::with(serving(None));
    let request = node.request(&world.challenge(LINK));
    let relayed = world.ask(&request).unwrap();
    let home = Home { code: Code::HA_IDENTIFICATION, ..Home::accepting() };
    let told = world.answer(&home, &relayed).unwrap();
    assert_eq!(Reply::parse(&told).unwrap().code, Code::HA_IDENTIFICATION);
    assert!(world.visitors().is_empty());
}

#[test]
fn a_name_does_for_an_address() {
    let mut world = World::with(serving(None));
    let mut node = Node::new(&[Challenge, Infrastructure]);
    node.fixed.home_address = Ipv4Addr::UNSPECIFIED;
    let request = node.request(&world.challenge(LINK));
    assert_eq!(world.ask(&request), Err(vec![96]), "nobody could tell whose it is");
    world.pass(Duration::from_secs(1));
    node.nai = Some(NODE_NAI);
    for (home, expected) in [
        (Home::accepting(), Code::FA_MISSING_NAI),
        (Home { nai: Some(b"x@home.example"), ..Home::accepting() }, Code::FA_MISSING_NAI),
        (
            Home { nai: Some(NODE_NAI), home_address: Ipv4Addr::UNSPECIFIED, ..Home::accepting() },
            Code::FA_MISSING_HOME_ADDRESS,
        ),
        (Home { nai: Some(NODE_NAI), ..Home::accepting() }, Code::ACCEPTED),
    ] {
        let request = node.request(&world.challenge(LINK));
        let relayed = world.ask(&request).unwrap();
        let told = world.answer(&home, &relayed).unwrap();
        assert_eq!(Reply::parse(&told).unwrap().code, expected);
    }
    assert_eq!(world.visitors(), [NODE]);
}

#[test]
fn a_name_does_not_lead_past_the_33_of_its_address() {
    let mut world = World::with(serving(Some(Algorithm::HmacSha256)));
    let mut node = Node::new(&[Challenge, Infrastructure]);
    (node.fixed.home_address, node.nai) = (Ipv4Addr::UNSPECIFIED, Some(NODE_NAI));
    let request = node.request(&world.challenge(LINK));
    let relayed = world.ask(&request).unwrap();
    let told = world.answer(&Home { nai: Some(NODE_NAI), ..Home::accepting() }, &relayed).unwrap();
    assert_eq!(Reply::parse(&told).unwrap().code, Code::FA_MN_AUTHENTICATION);
    assert!(world.visitors().is_empty());
}

#[test]
fn one_in_clear_moves_no_visitor_that_has_keys() {
    let mut world = World::with(serving(None));
    let mut mobile = Mobile::new();
    world.register(&mut mobile);
    assert_eq!(world.visitors(), [HOME_ADDRESS]);
    // A home agent that let somebody leave in clear does not end it.
    let mut node = Node::new(&[Challenge, Infrastructure]);
    (node.fixed.home_address, node.fixed.lifetime) = (HOME_ADDRESS, 0);
    let request = node.request(&world.challenge(LINK));
    let relayed = world.ask(&request).unwrap();
    world.answer(&Home { home_address: HOME_ADDRESS, ..Home::accepting() }, &relayed).unwrap();
    assert_eq!(world.visitors(), [HOME_ADDRESS]);
    assert!(!world.agent.visitors().next().unwrap().record.associations.is_empty());
}

#[test]
fn a_late_reply_to_an_earlier_request_brings_no_visitor_back() {
    let mut world = World::with(serving(None));
    let mut node = Node::new(&[Challenge, Infrastructure]);
    let challenge = world.challenge(LINK);
    let arriving = world.ask(&node.request(&challenge)).unwrap();
    world.pass(Duration::from_millis(100));
    node.fixed.lifetime = 0;
    let leaving = world.ask(&node.request(&challenge)).unwrap();
    world.answer(&Home::accepting(), &leaving).unwrap();
    world.answer(&Home::accepting(), &arriving).unwrap();
    assert!(world.visitors().is_empty());
}

#[test]
fn a_request_again_while_it_waits_is_relayed_again() {
    let mut world = World::with(serving(None));
    let mut node = Node::new(&[Challenge, Infrastructure]);
    // With nonces an unanswered request is sent again unchanged (RFC 5944 section 3.6.3).
    let request = node.request(&world.challenge(LINK));
    let first = world.ask(&request).unwrap();
    assert_eq!(world.ask(&request).unwrap(), first);
    assert_eq!(world.agent.pending(), 1);
}
