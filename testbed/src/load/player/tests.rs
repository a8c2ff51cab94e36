//! The player against a home agent that is no more than the functions of `sa`, so that it can also answer wrongly.

use crypto::group::Verdicts;
use record::Mode;
use sa::{
    Material, answer,
    negotiation::{Choice, Method, Policy, Rounds, Terms, begin as negotiation_begin, choose, prf_key},
    put_key,
};
use wire::{
    mip::{ours::nai_owner::MOBILE_NODE, share::Group},
    negotiation::{Negotiation, Tree},
};

use super::*;

const HOME: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const AGENT: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 10);
const NODE: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 0);
const NAI: &str = "mn000000@load.example";
const HOME_NAI: &str = "ha@load.example";
const AGENT_NAI: &str = "fa0@visited.example";
const NOW: Duration = Duration::from_secs(5);
const UNIX: u64 = 1_800_000_000;

fn key(octet: u8) -> Key {
    Key::new([octet; 32])
}

fn player(shares: bool) -> Player {
    let home =
        Home { realm: "load.example".into(), agent: HOME_NAI.into(), address: HOME, lifetime: 600, shares };
    let agents = vec![
        Agent::new(AGENT_NAI.into(), AGENT, HOME_NAI, 1001, key(2)),
        Agent::new("fa1@visited.example".into(), Ipv4Addr::new(10, 200, 0, 11), HOME_NAI, 1002, key(3)),
    ];
    let mut player = Player::new(home, agents, [1; 32]);
    player.enrol(NAI, NODE, key(1)).unwrap();
    player
}

/// What a reply says, right unless it is changed.
struct Answer {
    code: Code,
    lifetime: u16,
    address: Ipv4Addr,
    keys: [u8; 3],
    /// Of KEY 3 as the agent gets it, if not the node's.
    agents_key3: u8,
    own: &'static str,
    agent: &'static str,
    auth_key: u8,
    agent_key: u8,
    shares: bool,
    low: u32,
    /// Of the answer to each offer: as the home agent would, none, or one that refuses.
    agrees: Agrees,
}

#[derive(Clone, Copy, PartialEq)]
enum Agrees {
    Yes,
    Silent,
    Refuses,
}

impl Default for Answer {
    fn default() -> Self {
        Self {
            code: Code::ACCEPTED,
            lifetime: 600,
            address: NODE,
            keys: [11, 12, 13],
            agents_key3: 13,
            own: NAI,
            agent: AGENT_NAI,
            auth_key: 1,
            agent_key: 2,
            shares: true,
            low: 0,
            agrees: Agrees::Yes,
        }
    }
}

impl Answer {
    /// The reply to a request.
    fn to(&self, request: &[u8]) -> Vec<u8> {
        let mut rng = Rng::from_seed([9; 32]);
        let fixed = Request::parse(request).unwrap();
        let parts = Parts::parse(request, Request::LEN, VENDOR).unwrap();
        let message = Unverified::new(parts.clone());
        let spi = parts.mobile_home.spi;
        let home = MobileHome::new(&Nai::parse(NAI).unwrap(), "load.example", spi, Cipher::Aes256Gcm, key(1));
        home.verify(Direction::ToHome, spi, &message).expect("32 of the request is right");
        let name = parts.mobile.nai.as_ref().expect("a sealed name");
        assert_eq!(name.protected.content, MOBILE_NODE);
        let plain = sealed_plain(&parts, name, Cipher::Aes256Gcm, home.request_key()).unwrap();
        let index = SealedNai::parse(&plain).unwrap().index;
        assert_eq!(home.one_time_spi(index), spi);
        let path = AgentPath::new(AGENT_NAI, HOME_NAI, Spi(1001), Cipher::Aes256Gcm, key(2));
        let mut w = Writer::default();
        let reply = Reply {
            code: self.code,
            lifetime: self.lifetime,
            home_address: fixed.home_address,
            home_agent: HOME,
            identification: Identification(fixed.identification.0.wrapping_add(self.low.into())),
        };
        reply.emit(&mut w);
        extension::put(&mut w, MN_NAI, b"@load.example").unwrap();
        let grants = self.code.accepted() && fixed.lifetime > 0;
        let handle = parts.foreign.handle;
        let t1 = Transcript::of_mobile(&parts);
        let agreed1 = self.agrees_to(parts.mobile.negotiation, |shared| home.stateless_key(&t1, shared));
        if grants {
            let exchange = self.shares.then(|| answer(&mut rng, parts.mobile.key_share).unwrap());
            let seal = home.reply_key(&Transcript::of_mobile(&parts), exchange.as_ref());
            if let Some(handle) = handle {
                let key3 =
                    info(AssociationKind::Key3, self.keys[2], "visit@load.example", self.agent, handle.key3);
                put(&mut w, spi, &seal, &mut rng, &key3);
            }
            let key1 = info(AssociationKind::Key1, self.keys[0], self.own, HOME_NAI, Spi(900));
            let key1 = agreed1.as_ref().map_or(key1.duplicate(), |agreed| agreed.tell(&key1));
            put(&mut w, spi, &seal, &mut rng, &key1);
            if let Some(Agreed { body: Some(body), .. }) = &agreed1 {
                ours::put(&mut w, NUMBERS, Subtype::NEGOTIATION, body).unwrap();
            }
            let ip = (Subtype::IP, ip_owner::HOST, spi);
            let by = (Cipher::Aes256Gcm, &seal);
            put_sealed(&mut w, Reply::LEN, NUMBERS, ip, by, &mut rng, &self.address.octets()).unwrap();
            if let Some(exchange) = exchange {
                exchange.emit(&mut w, NUMBERS).unwrap();
            }
            if parts.mobile.udp_request.is_some() {
                extension::put(&mut w, 44, &[0, 0, 0, 0, 0, 110]).unwrap();
            }
        }
        open_authentication(&mut w, MN_HA_AUTHENTICATION, spi, 32);
        let nai = Nai::parse(NAI).unwrap();
        let signer = MobileHome::new(&nai, "load.example", spi, Cipher::Aes256Gcm, key(self.auth_key));
        let authenticator = signer.authenticate(Direction::FromHome, w.bytes());
        w.put(&authenticator);
        if let Some(handle) = handle {
            handle.emit(&mut w, NUMBERS).unwrap();
            if grants {
                path.verify(Direction::ToHome, &message).expect("34 of the request is right");
                let exchange = self.shares.then(|| answer(&mut rng, parts.foreign.key_share).unwrap());
                let seal = path.reply_key(&Transcript::of_agent(&parts), exchange.as_ref());
                let key2 = info(AssociationKind::Key2, self.keys[1], AGENT_NAI, HOME_NAI, Spi(901));
                let key2 = KeyInfo { inbound: handle.key2, ..key2 };
                let t2 = Transcript::of_agent(&parts);
                let agreed2 =
                    self.agrees_to(parts.foreign.negotiation, |shared| path.stateless_key(&t2, shared));
                let key2 = agreed2.as_ref().map_or(key2.duplicate(), |agreed| agreed.tell(&key2));
                if let Some(Agreed { body: Some(body), .. }) = &agreed2 {
                    ours::put(&mut w, NUMBERS, Subtype::NEGOTIATION, body).unwrap();
                }
                put(&mut w, Spi(1001), &seal, &mut rng, &key2);
                let key3 =
                    info(AssociationKind::Key3, self.agents_key3, AGENT_NAI, "visit@load.example", Spi(902));
                let key3 = KeyInfo { inbound: handle.key3, ..key3 };
                put(&mut w, Spi(1001), &seal, &mut rng, &key3);
                let ip = (Subtype::IP, ip_owner::HOST, Spi(1001));
                let by = (Cipher::Aes256Gcm, &seal);
                put_sealed(&mut w, Reply::LEN, NUMBERS, ip, by, &mut rng, &self.address.octets()).unwrap();
                if let Some(exchange) = exchange {
                    exchange.emit(&mut w, NUMBERS).unwrap();
                }
            }
            open_authentication(&mut w, FA_HA_AUTHENTICATION, Spi(1001), 32);
            let signer =
                AgentPath::new(AGENT_NAI, HOME_NAI, Spi(1001), Cipher::Aes256Gcm, key(self.agent_key));
            let authenticator = signer.authenticate(Direction::FromHome, w.bytes());
            w.put(&authenticator);
        }
        w.into_bytes()
    }

    /// What a home agent says to an offer that it agrees to, if there is one.
    fn agrees_to(
        &self,
        offer: Option<Negotiation<'_>>,
        stateless: impl FnOnce(&Key) -> Key,
    ) -> Option<Agreed> {
        let offer = offer?;
        let mut rng = Rng::from_seed([8; 32]);
        let trees = offer.trees().unwrap();
        let [tree] = trees.as_slice() else { panic!("one tree") };
        let Choice::Chosen(chosen) = choose(tree, &[&Terms::from(&Policy::default())]) else {
            panic!("something that is allowed, with a value")
        };
        let exchanged = chosen.exchange.as_ref().map(|(method, value)| {
            let policy = Policy::default();
            let work = negotiation_begin(method, value, &policy, &Verdicts::new(1), &mut rng).unwrap();
            work.finish().answer.unwrap().into_parts()
        });
        let value = exchanged.as_ref().map_or(&[][..], |(_, value)| value);
        let answer = match self.agrees {
            Agrees::Refuses => Tree { between: tree.between, proposals: Vec::new() },
            Agrees::Yes | Agrees::Silent => chosen.answer(tree, value),
        };
        let digest = Rounds::default().digest_after(offer.body());
        let body = Negotiation::emit(1, &digest, &[answer]).unwrap();
        let key = exchanged.as_ref().map(|(shared, _)| stateless(shared.key()));
        let body = (self.agrees != Agrees::Silent).then_some(body);
        Some(Agreed { suite: chosen.suite, body, key })
    }
}

/// An answer to an offer, and what the home agent has of it.
struct Agreed {
    suite: Suite,
    body: Option<Vec<u8>>,
    /// Where it is exchanged.
    key: Option<Key>,
}

impl Agreed {
    /// What the other end is told of the association in place of this.
    fn tell(&self, info: &KeyInfo) -> KeyInfo {
        let key = || info.key().unwrap().duplicate();
        let material = match self.suite.mode {
            Mode::Stateful => Material::Key(key()),
            Mode::SemiStateful => Material::Seed(key()),
            Mode::Stateless => Material::Exchanged,
        };
        KeyInfo { material, ..info.duplicate() }
    }
}

fn info(kind: AssociationKind, octet: u8, own: &str, peer: &str, outbound: Spi) -> KeyInfo {
    let (own, peer) = (own.into(), peer.into());
    let (encryption, material) = (Cipher::Aes256Gcm, Material::Key(key(octet)));
    KeyInfo { kind, inbound: Spi(700), outbound, lifetime: 600, encryption, material, own, peer }
}

fn put(w: &mut Writer, spi: Spi, seal: &Key, rng: &mut Rng, info: &KeyInfo) {
    put_key(w, Reply::LEN, NUMBERS, spi, (Cipher::Aes256Gcm, seal), rng, info).unwrap();
}

fn ask(player: &mut Player, ask: Ask) -> Datagram {
    player.request(0, ask, NOW, UNIX).unwrap()
}

const THERE: Ask = Ask::Register(Place::Agent(0));

#[test]
fn a_right_answer_through_an_agent_is_verified_once() {
    for shares in [true, false] {
        let mut player = player(shares);
        let asked = ask(&mut player, THERE);
        assert_eq!(asked.from, Some(0));
        let reply = Answer { shares, ..Answer::default() }.to(&asked.bytes);
        let verified = Heard::Verified { node: 0, name: asked.name, code: Code::ACCEPTED };
        assert_eq!(player.reply(Some(0), &reply), verified);
        assert_eq!(player.reply(Some(0), &reply), Heard::Late, "the same again");
    }
}

#[test]
fn a_right_answer_to_a_node_with_an_address_of_its_own() {
    let mut player = player(true);
    let asked = ask(&mut player, Ask::Register(Place::Own));
    assert_eq!(asked.from, None);
    let reply = Answer::default().to(&asked.bytes);
    assert!(matches!(player.reply(None, &reply), Heard::Verified { .. }));
    let left = ask(&mut player, Ask::Leave(Place::Own));
    let reply = Answer { lifetime: 0, ..Answer::default() }.to(&left.bytes);
    assert!(matches!(player.reply(None, &reply), Heard::Verified { .. }));
    let home = ask(&mut player, Ask::Return);
    let reply = Answer { lifetime: 0, ..Answer::default() }.to(&home.bytes);
    assert!(matches!(player.reply(None, &reply), Heard::Verified { .. }));
}

#[test]
fn a_denial_needs_its_authenticators_too() {
    let mut player = player(true);
    let asked = ask(&mut player, THERE);
    let denial =
        |auth_key| Answer { code: Code::HA_RESOURCES, auth_key, ..Answer::default() }.to(&asked.bytes);
    assert_eq!(player.reply(Some(0), &denial(5)), Heard::Wrong("32 is wrong"));
    let verified = Heard::Verified { node: 0, name: asked.name, code: Code::HA_RESOURCES };
    assert_eq!(player.reply(Some(0), &denial(1)), verified);
}

#[test]
fn nothing_wrong_is_counted_as_right() {
    let elsewhere = Ipv4Addr::new(10, 0, 9, 9);
    let cases: [(Answer, &str); 11] = [
        (Answer { auth_key: 4, ..Answer::default() }, "32 is wrong"),
        (Answer { agent_key: 4, ..Answer::default() }, "34 is missing or wrong"),
        (Answer { lifetime: 601, ..Answer::default() }, "a lifetime that was not asked for"),
        (Answer { lifetime: 0, ..Answer::default() }, "a lifetime that was not asked for"),
        (
            Answer { address: elsewhere, ..Answer::default() },
            "the home address does not open or is another one",
        ),
        (Answer { keys: [11, 11, 13], ..Answer::default() }, "a key twice"),
        (Answer { agents_key3: 14, ..Answer::default() }, "two different KEY 3"),
        (Answer { own: "mn000001@load.example", ..Answer::default() }, "names of other nodes"),
        (Answer { agent: "fa1@visited.example", ..Answer::default() }, "names of other nodes"),
        (Answer { shares: false, ..Answer::default() }, "no key share for the node"),
        (Answer { code: Code(1), agent_key: 9, ..Answer::default() }, "34 is missing or wrong"),
    ];
    for (answer, why) in cases {
        let mut player = player(true);
        let asked = ask(&mut player, THERE);
        assert_eq!(player.reply(Some(0), &answer.to(&asked.bytes)), Heard::Wrong(why));
        // What was wrong does not end the wait for what is right.
        assert!(matches!(player.reply(Some(0), &Answer::default().to(&asked.bytes)), Heard::Verified { .. }));
    }
}

#[test]
fn what_is_kept_is_checked_as_strictly_later() {
    let mut player = player(true);
    player.keep(3);
    let answers = [
        Answer::default(),
        Answer { keys: [21, 22, 23], agents_key3: 23, auth_key: 7, ..Answer::default() },
        Answer { code: Code::HA_RESOURCES, ..Answer::default() },
    ];
    for answer in answers {
        let asked = ask(&mut player, THERE);
        let kept = Heard::Kept { node: 0, name: asked.name, code: answer.code };
        assert_eq!(player.reply(Some(0), &answer.to(&asked.bytes)), kept);
    }
    let asked = ask(&mut player, THERE);
    let fourth = Answer { auth_key: 7, ..Answer::default() }.to(&asked.bytes);
    assert_eq!(player.reply(Some(0), &fourth), Heard::Wrong("32 is wrong"), "no more are kept");
    assert_eq!(player.verify_kept(), [(0, Ok(true)), (0, Err("32 is wrong")), (0, Ok(false))]);
    assert!(player.verify_kept().is_empty());
}

#[test]
fn every_octet_of_a_reply_counts() {
    let mut player = player(true);
    let asked = ask(&mut player, THERE);
    let reply = Answer::default().to(&asked.bytes);
    for at in 0..reply.len() {
        let mut changed = reply.clone();
        changed[at] ^= 0x10;
        let heard = player.reply(Some(0), &changed);
        assert!(matches!(heard, Heard::Wrong(_) | Heard::Late), "octet {at}: {heard:?}");
        assert!(!matches!(player.reply(Some(0), &reply[..at]), Heard::Verified { .. }), "cut at {at}");
    }
    assert_eq!(player.reply(Some(1), &reply), Heard::Wrong("it came to another agent"));
    assert!(matches!(player.reply(Some(0), &reply), Heard::Verified { .. }));
}

#[test]
fn keys_of_the_registration_before_are_not_fresh() {
    let mut player = player(true);
    let first = ask(&mut player, THERE);
    assert!(matches!(player.reply(Some(0), &Answer::default().to(&first.bytes)), Heard::Verified { .. }));
    let second = ask(&mut player, THERE);
    let old = Answer { keys: [21, 22, 11], agents_key3: 11, ..Answer::default() };
    assert_eq!(player.reply(Some(0), &old.to(&second.bytes)), Heard::Wrong("a key twice"));
    let new = Answer { keys: [21, 22, 23], agents_key3: 23, ..Answer::default() };
    assert!(matches!(player.reply(Some(0), &new.to(&second.bytes)), Heard::Verified { .. }));
}

#[test]
fn indices_rise_with_answers_and_moves_and_never_beyond_what_the_home_agent_knows() {
    let mut player = player(false);
    let index = |datagram: &Datagram| {
        let parts = Parts::parse(&datagram.bytes, Request::LEN, VENDOR).unwrap();
        let keys =
            MobileHome::new(&Nai::parse(NAI).unwrap(), "load.example", Spi(0), Cipher::Aes256Gcm, key(1));
        (0..40).find(|n| keys.one_time_spi(*n) == parts.mobile_home.spi).unwrap()
    };
    let first = ask(&mut player, THERE);
    let again = ask(&mut player, THERE);
    assert_eq!((index(&first), index(&again)), (1, 1));
    let moved = ask(&mut player, Ask::Register(Place::Agent(1)));
    assert_eq!(index(&moved), 2);
    let back = ask(&mut player, THERE);
    assert_eq!(index(&back), 3);
    let reply = Answer { shares: false, ..Answer::default() }.to(&back.bytes);
    assert!(matches!(player.reply(Some(0), &reply), Heard::Verified { .. }));
    let mut highest = 0;
    for turn in 0..40 {
        let place = Place::Agent(turn % 2);
        highest = index(&ask(&mut player, Ask::Register(place))).max(highest);
    }
    assert_eq!(highest, 3 + AHEAD);
}

#[test]
fn an_answer_to_what_was_forgotten_is_late() {
    let mut player = player(false);
    let asked = ask(&mut player, THERE);
    player.forget(asked.name);
    let reply = Answer { shares: false, ..Answer::default() }.to(&asked.bytes);
    assert_eq!(player.reply(Some(0), &reply), Heard::Late);
    assert_eq!(player.reply(None, b"\x03"), Heard::Wrong("no registration reply"));
}

#[test]
fn identifications_only_rise_even_if_the_clock_does_not() {
    let mut player = player(false);
    let identification = |player: &mut Player, unix| {
        let datagram = player.request(0, THERE, NOW, unix).unwrap();
        Request::parse(&datagram.bytes).unwrap().identification
    };
    let times = [UNIX, UNIX, UNIX - 5, UNIX + 1, UNIX];
    let found = times.map(|unix| identification(&mut player, unix));
    assert!(found.is_sorted_by(|a, b| a < b), "{found:?}");
}

/// A player whose only node negotiates, as its agents do.
fn negotiating(mode: Mode) -> Player {
    let methods = vec![Method::Known(Group(19))];
    let policy = Policy { modes: vec![mode], methods, ..Policy::default() };
    let mut player = player(true);
    assert!(player.negotiate(Negotiating { policy, first: 0, agents: true }));
    player
}

#[test]
fn what_is_negotiated_is_made_as_the_home_agent_makes_it() {
    for (mode, name) in Mode::ALL {
        let mut player = negotiating(mode);
        let asked = ask(&mut player, THERE);
        let parts = Parts::parse(&asked.bytes, Request::LEN, VENDOR).unwrap();
        assert!(parts.mobile.negotiation.is_some() && parts.foreign.negotiation.is_some(), "{name}");
        let answer = Answer::default();
        let reply = answer.to(&asked.bytes);
        let verified = Heard::Verified { node: 0, name: asked.name, code: Code::ACCEPTED };
        assert_eq!(player.reply(Some(0), &reply), verified, "{name}");
        let home =
            MobileHome::new(&Nai::parse(NAI).unwrap(), "load.example", Spi(0), Cipher::Aes256Gcm, key(1));
        let path = AgentPath::new(AGENT_NAI, HOME_NAI, Spi(1001), Cipher::Aes256Gcm, key(2));
        let (t1, t2) = (Transcript::of_mobile(&parts), Transcript::of_agent(&parts));
        let exchanged1 = answer.agrees_to(parts.mobile.negotiation, |shared| home.stateless_key(&t1, shared));
        let exchanged2 =
            answer.agrees_to(parts.foreign.negotiation, |shared| path.stateless_key(&t2, shared));
        let ends = |initiator, initiator_address| Ends {
            initiator,
            responder: HOME_NAI,
            initiator_address,
            responder_address: HOME,
        };
        let theirs = |told: u8, exchanged: Option<Agreed>, ends: Ends<'_>| match mode {
            Mode::Stateful => key(told),
            Mode::SemiStateful => prf_key(&key(told), &ends),
            Mode::Stateless => exchanged.unwrap().key.unwrap(),
        };
        let expected = [
            theirs(answer.keys[0], exchanged1, ends(NAI, NODE)),
            theirs(answer.keys[1], exchanged2, ends(AGENT_NAI, AGENT)),
        ];
        let made: Vec<_> = player.negotiated().map(|held| (held.kind, held.fingerprint.clone())).collect();
        let kinds = [AssociationKind::Key1, AssociationKind::Key2];
        let expected: Vec<_> = kinds.into_iter().zip(expected.map(|key| key.fingerprint_hex())).collect();
        assert_eq!(made, expected, "{name}");
        // Who leaves has none any more.
        let left = ask(&mut player, Ask::Leave(Place::Own));
        let reply = Answer { lifetime: 0, ..Answer::default() }.to(&left.bytes);
        assert!(matches!(player.reply(None, &reply), Heard::Verified { .. }));
        assert_eq!(player.negotiated().count(), 0);
    }
}

#[test]
fn an_offer_needs_an_agreement() {
    for (mode, _) in Mode::ALL {
        let mut player = negotiating(mode);
        let asked = ask(&mut player, THERE);
        let answers = |agrees| Answer { agrees, ..Answer::default() }.to(&asked.bytes);
        let silent = player.reply(Some(0), &answers(Agrees::Silent));
        assert_eq!(silent, Heard::Wrong("no answer to what was offered"));
        assert_eq!(player.reply(Some(0), &answers(Agrees::Refuses)), Heard::Wrong("an offer was refused"));
        assert!(matches!(player.reply(Some(0), &answers(Agrees::Yes)), Heard::Verified { .. }));
    }
    // Nodes before the first one that negotiates offer nothing.
    let mut player = negotiating(Mode::Stateless);
    let policy = Policy { modes: vec![Mode::SemiStateful], ..Policy::default() };
    assert!(player.negotiate(Negotiating { policy, first: 1, agents: true }));
    let asked = ask(&mut player, THERE);
    let parts = Parts::parse(&asked.bytes, Request::LEN, VENDOR).unwrap();
    assert!(parts.mobile.negotiation.is_none() && parts.foreign.negotiation.is_none());
}
