//! Row 8: yesterday's capture and today's secrets.
//!
//! The thief has every byte of every link, and afterwards KEY 0, the key between the agents and the realm's key. He tries
//! every derivation that the key schedule offers, on every sealed extension, with every value he has in every place.

use std::collections::BTreeSet;

use crypto::{Cipher, Key, Rng, aead, exchange::Secret, kdf};
use record::AssociationKind;
use sa::{Direction, Transcript, open_keys, put_sealed};
use sim::{
    agent_nai,
    rogue::{self, NUMBERS},
};
use wire::{
    Writer, ip,
    mip::{
        PORT, Spi,
        advertisement::Advertisement,
        extension,
        ours::{AgentHeard, DOCUMENTATION_VENDOR, SealedLayer2, SealedNai, Subtype},
        part::{Held, Parts},
        registration::{Identification, REQUEST, Reply, Request, ntp_seconds},
        share::{Group, KeyShare},
    },
};

use super::*;

const LABELS: [&str; 14] = [
    "seal mn>ha",
    "seal ha>mn",
    "seal realm",
    "seal ha>fa",
    "auth mn>ha",
    "auth ha>mn",
    "auth fa>ha",
    "auth ha>fa",
    "spi",
    "seal mn>fa",
    "seal fa>mn",
    "seal fa>ha",
    "data mn>ha",
    "data ha>mn",
];

fn lp(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    kdf::length_prefixed(&mut out, bytes);
    out
}

fn parts(message: &[u8]) -> Option<Parts<'_>> {
    let fixed = if message.first() == Some(&REQUEST) { Request::LEN } else { Reply::LEN };
    Parts::parse(message, fixed, DOCUMENTATION_VENDOR).ok()
}

/// What the thief has.
struct Thief {
    /// Registration messages of one session.
    recorded: Vec<Vec<u8>>,
    /// Symmetric keys that may be a root.
    roots: Vec<Key>,
    /// Secrets of exchanges.
    exchanges: Vec<Key>,
}

/// What he found.
#[derive(Default)]
struct Found {
    /// Everything that he derived, by fingerprint.
    derived: BTreeSet<String>,
    /// KEY 1 to 3 that he opened, by fingerprint.
    keys: BTreeSet<String>,
    /// User parts of names that he opened.
    names: BTreeSet<String>,
}

impl Thief {
    fn recording(scene: &Scene, node: usize, agent: usize) -> Self {
        let messages = WAYS.iter().flat_map(|way| went(scene, *way));
        Self {
            recorded: messages.map(|m| m.payload().to_vec()).collect(),
            roots: rogue::stolen(node, agent).into_iter().chain([Key::new([0; 32])]).collect(),
            exchanges: rogue::stolen(node, agent).into(),
        }
    }

    /// Key shares on all links.
    fn shares(&self) -> BTreeSet<Vec<u8>> {
        let parts = self.recorded.iter().filter_map(|m| parts(m));
        parts
            .flat_map(|p| [p.mobile.key_share, p.foreign.key_share])
            .flatten()
            .map(|share| share.value.to_vec())
            .collect()
    }

    fn contexts(&self, names: [&[u8]; 3]) -> Vec<Vec<u8>> {
        let [nai, realm, agent] = names;
        let shares = self.shares();
        let mh = [lp(nai), lp(realm)].concat();
        let fh = [lp(agent), lp(b"ha@home.example")].concat();
        let mut answers: Vec<Vec<u8>> = vec![lp(&[])];
        answers.extend(shares.iter().map(|value| lp(value)));
        let mut all = vec![mh.clone(), fh.clone(), Vec::new()];
        all.extend(shares.iter().map(|value| [lp(realm), lp(value)].concat()));
        for message in self.recorded.iter().filter(|m| m.first() == Some(&REQUEST)) {
            let Some(parts) = parts(message) else { continue };
            for transcript in [Transcript::of_mobile(&parts), Transcript::of_agent(&parts)] {
                for answer in &answers {
                    for context in [&mh, &fh] {
                        all.push([&context[..], &transcript.0, answer].concat());
                    }
                }
            }
        }
        all.sort();
        all.dedup();
        all
    }

    /// Secrets that he can agree on with what he has, and none.
    fn agreed(&self) -> Vec<Option<Key>> {
        let mut all = vec![None];
        for value in self.shares() {
            let value: [u8; 32] = value.try_into().unwrap();
            all.push(Some(Key::new(value)));
            all.extend(self.exchanges.iter().map(|own| Secret::from_key(own).agree(&value)));
        }
        all
    }

    fn search(&self, names: [&[u8]; 3]) -> Found {
        let mut found = Found::default();
        let (contexts, agreed) = (self.contexts(names), self.agreed());
        let messages: Vec<_> = self.recorded.iter().filter_map(|m| parts(m)).collect();
        for root in &self.roots {
            for label in LABELS {
                for context in &contexts {
                    for shared in &agreed {
                        let key =
                            Key::new(kdf::derive(root, shared.as_ref().map(Key::expose), label, context));
                        if found.derived.insert(key.fingerprint_hex()) && label.starts_with("seal") {
                            messages.iter().for_each(|parts| found.open(parts, &key));
                        }
                    }
                }
            }
        }
        // Without any derivation, too.
        for key in self.roots.iter().chain(agreed.iter().flatten()) {
            found.derived.insert(key.fingerprint_hex());
            messages.iter().for_each(|parts| found.open(parts, key));
        }
        found
    }
}

impl Found {
    fn open(&mut self, parts: &Parts<'_>, key: &Key) {
        for part in [&parts.mobile, &parts.foreign] {
            let plain = |held: &Held<'_>| {
                let additional = parts.additional(held);
                aead::open(Cipher::Aes256Gcm, key, &additional, held.protected.info)
            };
            for held in &part.associations {
                if let Some(plain) = plain(held) {
                    let info = open_keys(held.protected.content, &plain).unwrap();
                    self.keys.extend(info.key().map(Key::fingerprint_hex));
                }
            }
            if let Some(nai) = part.nai.as_ref().filter(|held| held.protected.sealed).and_then(plain) {
                self.names.insert(SealedNai::parse(&nai).unwrap().user);
            }
        }
    }

    fn has(&self, key: &str) -> bool {
        self.keys.contains(key) || self.derived.contains(key)
    }
}

/// KEY 1, 2 and 3 of a registration through agent 0, from their owners.
fn session(scene: &Scene, node: usize) -> Vec<(AssociationKind, String)> {
    let held = scene.held(node).into_iter().chain(scene.held_by_agent(node, 0));
    let mut all: Vec<_> = held.map(|a| (a.kind, a.key.fingerprint_hex())).collect();
    all.sort();
    all.dedup();
    all
}

fn names(node: usize) -> (String, String) {
    (format!("traveller-{node}@home.example"), agent_nai(0))
}

#[test]
fn row_8_yesterdays_capture_and_todays_secrets_give_no_key() {
    let mut scene = registered(1);
    // A renewal and a farewell are on it too.
    scene.pass(seconds(520));
    let keys = session(&scene, 0);
    let kinds: BTreeSet<_> = keys.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds.len(), 3, "KEY 1, 2 and 3");
    let (nai, agent) = names(0);
    let found = Thief::recording(&scene, 0, 0).search([nai.as_bytes(), b"home.example", agent.as_bytes()]);
    for (kind, key) in &keys {
        assert!(!found.has(key), "{} was derived from what was stolen", kind.name());
    }
    assert!(found.keys.is_empty());
    assert!(found.derived.len() > 10_000, "{} derivations", found.derived.len());
    // What the thief does read: who it was. Identities are sealed by what he stole.
    assert_eq!(found.names, BTreeSet::from(["traveller-0".to_owned()]));
}

/// The control: a node that is excused from shares has its keys in the capture for whoever finds KEY 0 later.
#[test]
fn row_8_without_forward_secrecy_the_same_search_finds_the_keys() {
    let mut scene = Scene::new(3, 1);
    scene.move_to(2, VISIT);
    scene.pass(seconds(3));
    assert_registered(&scene, 2);
    let (nai, agent) = names(2);
    let found = Thief::recording(&scene, 2, 0).search([nai.as_bytes(), b"home.example", agent.as_bytes()]);
    for (kind, key) in session(&scene, 2) {
        // KEY 2 is told to the agent alone, under the agents' own exchange.
        assert_eq!(found.has(&key), kind != AssociationKind::Key2, "{}", kind.name());
    }
}

/// A request made by hand, so that the secret of its share is known, in answer to an advertisement.
fn by_hand(secret: &Secret, advertised: &Advertisement, now: Duration) -> Vec<u8> {
    let (keys, mut rng) = (rogue::home_keys(0), Rng::from_seed([5; 32]));
    let spi: Spi = keys.one_time_spi(1);
    let mut w = Writer::default();
    let unix = 1_800_000_000 + now.as_secs();
    Request {
        flags: wire::mip::registration::Flags(2),
        lifetime: 600,
        home_address: [0, 0, 0, 0].into(),
        home_agent: [10, 11, 1, 2].into(),
        care_of: sim::care_of(0),
        identification: Identification::new(ntp_seconds(unix), 0x1234_5678),
    }
    .emit(&mut w);
    extension::put(&mut w, extension::MN_NAI, b"@home.example").unwrap();
    let seal = (Cipher::Aes256Gcm, keys.request_key());
    let user = SealedNai { index: 1, user: "traveller-0".into() }.emit().unwrap();
    let layer_2 = SealedLayer2 { kind: 0, address: vec![2, 0, 0, 0, 2, 0] }.emit().unwrap();
    let home = sim::home_address(0).octets();
    for (subtype, plain) in [(Subtype::NAI, &user[..]), (Subtype::IP, &home), (Subtype::LAYER_2, &layer_2)] {
        put_sealed(&mut w, Request::LEN, NUMBERS, (subtype, 0, spi), seal, &mut rng, plain).unwrap();
    }
    let heard =
        AgentHeard { challenge: advertised.challenge().unwrap(), agent: advertised.agent_nai().unwrap() };
    heard.emit(&mut w, NUMBERS).unwrap();
    KeyShare { group: Group::X25519, value: &secret.public() }.emit(&mut w, NUMBERS).unwrap();
    extension::open_authentication(&mut w, extension::MN_HA_AUTHENTICATION, spi, 32);
    let authenticator = keys.authenticate(Direction::ToHome, w.bytes());
    w.put(&authenticator);
    w.into_bytes()
}

/// The control of the control: the secret of the share, which was erased, is what the search lacks, and nothing else.
#[test]
fn row_8_with_the_secret_that_was_erased_the_same_search_finds_the_keys() {
    let mut scene = scene(1);
    scene.pass(seconds(3));
    let secret = Secret::from_key(&Key::new([0x5e; 32]));
    let heard = scene.seen().iter().rev().find_map(|(_, message)| match message {
        Message::Link { place: Place::Visited(0), from, packet, .. } => {
            let icmp = ip::parse_icmp(packet).ok()?;
            Some((*from, icmp.source, Advertisement::parse(icmp.message).ok()?))
        }
        _ => None,
    });
    let (agent_link, address, advertised) = heard.unwrap();
    let request = by_hand(&secret, &advertised, scene.now());
    let source = std::net::SocketAddrV4::new([0, 0, 0, 0].into(), 50_000);
    let packet = ip::udp_packet(source, std::net::SocketAddrV4::new(address, PORT), 255, &request).unwrap();
    scene.send(Message::Link { place: VISIT, from: [2, 0, 0, 0, 2, 0], to: agent_link, packet });
    scene.pass(millis(500));
    assert_eq!(codes(&scene, Way::ToMobileNode), [0]);

    let (nai, agent) = names(0);
    let names: [&[u8]; 3] = [nai.as_bytes(), b"home.example", agent.as_bytes()];
    let mut thief = Thief::recording(&scene, 0, 0);
    let keys: Vec<_> =
        scene.binding(0).unwrap().associations.iter().map(|a| (a.kind, a.key.fingerprint_hex())).collect();
    let without = thief.search(names);
    assert!(keys.iter().all(|(_, key)| !without.has(key)) && without.keys.is_empty());
    thief.exchanges.push(Key::new([0x5e; 32]));
    let with = thief.search(names);
    assert_eq!(with.keys.len(), 2, "KEY 1 and KEY 3, as the mobile node reads them");
    for (kind, key) in &keys {
        assert_eq!(with.has(key), *kind == AssociationKind::Key1, "{}", kind.name());
    }
}
