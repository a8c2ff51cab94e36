//! Mobile nodes without our extensions: RFC 5944 as written, for those whose record says so, and for nobody else.

use record::Plain;
use sa::{Algorithm, PlainAssociation};

use super::*;

const NODE: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 60);
const AWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 60);
const NODE_SPI: Spi = Spi(0x1770);
const TIMESTAMPS: Plain = Plain { nonces: false, md5: false };
const NONCES: Plain = Plain { nonces: true, md5: false };
const MD5: Plain = Plain { nonces: false, md5: true };
const CLEAR_NAI: &str = "plain@home.example";

fn plain_subscriber(plain: Plain) -> Subscriber {
    Subscriber {
        nai: Nai::parse(CLEAR_NAI).unwrap(),
        key0: Key::new([0x60; 32]),
        spi: NODE_SPI,
        plain: Some(plain),
        home_address: NODE,
        ..subscriber()
    }
}

/// A home agent with one subscriber of each sort.
fn plain_bench(plain: Plain) -> Bench {
    let subscribers = vec![subscriber(), plain_subscriber(plain)];
    Bench::with(State { subscribers, ..State::default() }, at(0))
}

fn association(algorithm: Algorithm) -> PlainAssociation {
    PlainAssociation::of_key0(NODE_SPI, algorithm, &Key::new([0x60; 32]))
}

/// A request as RFC 5944 has it.
#[derive(Clone)]
struct Wish {
    flags: u8,
    lifetime: u16,
    home_address: Ipv4Addr,
    home_agent: Ipv4Addr,
    care_of: Ipv4Addr,
    identification: Identification,
    nai: Option<&'static str>,
    /// Stands before 32 too.
    more: Vec<u8>,
    algorithm: Algorithm,
}

fn wish(seconds: u64) -> Wish {
    Wish {
        flags: Flags::DECAPSULATION | Flags::REVERSE_TUNNEL,
        lifetime: 600,
        home_address: NODE,
        home_agent: HA,
        care_of: AWAY,
        identification: Identification::new(ntp_seconds(NOW + seconds), 60),
        nai: None,
        more: Vec::new(),
        algorithm: Algorithm::HmacSha256,
    }
}

fn through_agent(seconds: u64) -> Wish {
    Wish { flags: Flags::REVERSE_TUNNEL, care_of: FA[0], ..wish(seconds) }
}

fn with_nonce(high: u32, low: u32) -> Wish {
    Wish { identification: Identification::new(high, low), ..wish(0) }
}

impl Wish {
    fn bytes(&self) -> Vec<u8> {
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
        if let Some(nai) = self.nai {
            extension::put(&mut w, extension::MN_NAI, nai.as_bytes()).unwrap();
        }
        w.put(&self.more);
        association(self.algorithm).sign(&mut w, extension::MN_HA_AUTHENTICATION);
        w.into_bytes()
    }
}

/// The fixed part of a reply, whose 32 must be right and which must hold nothing of ours.
fn answer(reply: &[u8], algorithm: Algorithm) -> registration::Reply {
    let parts = Unverified::new(Parts::parse(reply, 20, DOCUMENTATION_VENDOR).unwrap());
    assert!(association(algorithm).verify(&parts).is_some(), "32 of a reply");
    assert!(parts.peek().mobile.numbers.is_none() && parts.peek().foreign.associations.is_empty());
    registration::Reply::parse(reply).unwrap()
}

impl Bench {
    /// From where it is, without an agent.
    fn direct(&mut self, request: &[u8]) -> Option<Vec<u8>> {
        self.from(AWAY, request)
    }

    fn from(&mut self, source: Ipv4Addr, request: &[u8]) -> Option<Vec<u8>> {
        let before = self.sent.len();
        self.receive(SocketAddrV4::new(source, 5000), request);
        self.sent.get(before).map(|(_, bytes)| bytes.clone())
    }

    fn counter(&self, name: &str) -> u64 {
        self.agent.counters().get(name).copied().unwrap_or_default()
    }

    /// What a store would hold after all that was committed.
    fn stored(&mut self, plain: Plain) -> State {
        let mut state = State { subscribers: vec![plain_subscriber(plain)], ..State::default() };
        for change in self.committed.drain(..) {
            match change {
                Change::Identification { nai, next, generation, index, .. } => {
                    state.seen = vec![Seen { nai, identification: next, generation, index }];
                }
                Change::PutBinding(binding) => state.bindings = vec![binding],
                Change::RemoveBindings(_) | Change::RemoveBinding { .. } => state.bindings.clear(),
                Change::AssignAddress { nai, home_address } => state.assigned.push((nai, home_address)),
                _ => {}
            }
        }
        state
    }
}

#[test]
fn bound_without_keys_and_answered_in_clear() {
    for (plain, algorithm) in [(TIMESTAMPS, Algorithm::HmacSha256), (MD5, Algorithm::HmacMd5)] {
        let mut bench = plain_bench(plain);
        let request = Wish { algorithm, ..wish(0) };
        let reply = bench.direct(&request.bytes()).unwrap();
        let fixed = answer(&reply, algorithm);
        assert_eq!((fixed.code, fixed.lifetime), (Code::ACCEPTED, 300));
        assert_eq!((fixed.home_address, fixed.home_agent), (NODE, HA));
        assert_eq!(fixed.identification, request.identification);
        assert_eq!(bench.order, ["commit", "tunnel", "send"]);
        assert!(bench.asked.is_empty(), "no keys are made");
        let binding = bench.agent.bindings().next().unwrap();
        assert_eq!((binding.home_address, binding.care_of), (NODE, AWAY));
        assert!(binding.associations.is_empty() && binding.foreign_agent.is_none());

        bench.now = at(1);
        let leaving = Wish { lifetime: 0, algorithm, ..wish(1) };
        let fixed = answer(&bench.direct(&leaving.bytes()).unwrap(), algorithm);
        assert_eq!((fixed.code, fixed.lifetime), (Code::ACCEPTED, 0));
        assert_eq!(bench.agent.bindings().count(), 0);
    }
}

#[test]
fn served_through_an_agent_whose_34_counts() {
    let mut bench = plain_bench(TIMESTAMPS);
    let reply = bench.through(0, through_agent(0).bytes(), 1).unwrap();
    assert_eq!(answer(&reply, Algorithm::HmacSha256).code, Code::ACCEPTED);
    let parts = Unverified::new(Parts::parse(&reply, 20, DOCUMENTATION_VENDOR).unwrap());
    assert!(path(0).verify(Direction::FromHome, &parts).is_some());
    assert_eq!(parts.peek().foreign.handle, Some(handle(1)));
    assert!(parts.peek().foreign.ip.is_none() && parts.peek().foreign.key_share.is_none());
    assert_eq!(bench.agent.bindings().next().unwrap().foreign_agent.as_deref(), Some(FA_NAI[0]));

    // Without its 34, or under another agent's name, nothing is bound.
    bench.now = at(1);
    let source = SocketAddrV4::new(FA[0], 434);
    bench.receive(source, &relay(through_agent(1).bytes(), 0, handle(2), false));
    assert_eq!(code(&bench.sent.last().unwrap().1), Code::HA_FA_AUTHENTICATION);
    bench.now = at(2);
    let mut named = relay(through_agent(2).bytes(), 1, handle(3), false);
    let mut w = Writer::after(std::mem::take(&mut named));
    extension::open_authentication(&mut w, extension::FA_HA_AUTHENTICATION, path(0).spi(), 32);
    let authenticator = path(0).authenticate(Direction::ToHome, w.bytes());
    w.put(&authenticator);
    bench.receive(source, w.bytes());
    assert_eq!(code(&bench.sent.last().unwrap().1), Code::HA_FA_AUTHENTICATION);
    assert_eq!(bench.tunnels.len(), 1);
}

#[test]
fn a_challenge_left_for_the_infrastructure_comes_back_under_34() {
    let mut bench = plain_bench(TIMESTAMPS);
    let mut w = Writer::after(through_agent(0).bytes());
    extension::put(&mut w, extension::MN_FA_CHALLENGE, &[7; 16]).unwrap();
    // 36 covers what stands before it, for somebody who knows its key: nobody here.
    w.put(&[36, 1, 0, 20, 0, 0, 3, 0]).put(&[9; 16]);
    let reply = bench.through(0, w.into_bytes(), 1).unwrap();
    assert_eq!(answer(&reply, Algorithm::HmacSha256).code, Code::ACCEPTED);
    let parts = Unverified::new(Parts::parse(&reply, 20, DOCUMENTATION_VENDOR).unwrap());
    assert!(path(0).verify(Direction::FromHome, &parts).is_some());
    assert_eq!(parts.peek().foreign.challenge, Some(&[7; 16][..]));
    // A node with our extensions has no 36.
    let mut w = Writer::after(ask(0).bytes());
    w.put(&[36, 1, 0, 20, 0, 0, 3, 0]).put(&[9; 16]);
    assert!(bench.through(0, w.into_bytes(), 2).is_none());
}

#[test]
fn every_changed_byte_is_answered_with_131_or_not_at_all() {
    let good = wish(0).bytes();
    for i in 0..good.len() {
        for bit in [1, 0x80] {
            let mut bench = plain_bench(TIMESTAMPS);
            let mut bytes = good.clone();
            bytes[i] ^= bit;
            let reply = bench.direct(&bytes);
            // The index names nobody any more, the framing is broken, or the authenticator is wrong.
            if let Some(reply) = reply {
                assert_eq!(
                    answer(&reply, Algorithm::HmacSha256).code,
                    Code::HA_MN_AUTHENTICATION,
                    "byte {i}"
                );
            } else {
                assert!(i < 2 || (24..30).contains(&i), "byte {i} met silence");
            }
            assert!(bench.committed.is_empty() && bench.tunnels.is_empty(), "byte {i}");
        }
    }
    for n in 0..good.len() {
        let mut bench = plain_bench(TIMESTAMPS);
        assert!(bench.direct(&good[..n]).is_none() && bench.nothing_changed(), "cut at {n}");
    }
    for e in extension::walk(&Wish { nai: Some(CLEAR_NAI), ..wish(0) }.bytes(), 24).unwrap() {
        let mut bench = plain_bench(TIMESTAMPS);
        let mut bytes = Wish { nai: Some(CLEAR_NAI), ..wish(0) }.bytes();
        let piece = bytes[e.offset..e.end()].to_vec();
        bytes.splice(24..24, piece);
        bench.direct(&bytes);
        assert!(bench.committed.is_empty() && bench.tunnels.is_empty(), "{} repeated", e.kind);
    }
}

#[test]
fn a_wrong_32_is_told_only_where_the_agent_is_authentic_and_not_without_end() {
    let mut wrong = through_agent(0).bytes();
    *wrong.last_mut().unwrap() ^= 1;
    let mut bench = plain_bench(TIMESTAMPS);
    let reply = bench.through(0, wrong.clone(), 1).unwrap();
    assert_eq!(answer(&reply, Algorithm::HmacSha256).code, Code::HA_MN_AUTHENTICATION);
    bench.receive(SocketAddrV4::new(FA[0], 434), &relay(wrong, 0, handle(2), false));
    assert_eq!(bench.sent.len(), 1, "an agent that proved nothing learns nothing");
    let mut direct = wish(0).bytes();
    *direct.last_mut().unwrap() ^= 1;
    for _ in 0..100 {
        bench.direct(&direct);
    }
    assert_eq!(bench.sent.len(), 1 + 20);
    // Who has no association at all is met with silence.
    let mut nobody = wish(0).bytes();
    nobody[29] ^= 0x40;
    let mut bench = plain_bench(TIMESTAMPS);
    assert!(bench.direct(&nobody).is_none());
    // Nothing of that hinders the node itself.
    assert_eq!(code(&bench.direct(&wish(0).bytes()).unwrap()), Code::ACCEPTED);
}

#[test]
fn a_subscriber_with_our_extensions_cannot_be_registered_in_clear() {
    let key0 = subscriber().key0;
    for algorithm in [Algorithm::HmacSha256, Algorithm::HmacMd5] {
        for home_address in [HOME, Ipv4Addr::UNSPECIFIED] {
            let mut bench = plain_bench(MD5);
            let mut w = Writer::default();
            let fixed = registration::Request::parse(&Wish { home_address, ..wish(0) }.bytes()).unwrap();
            fixed.emit(&mut w);
            extension::put(&mut w, extension::MN_NAI, nai().as_str().as_bytes()).unwrap();
            PlainAssociation::of_key0(SPI, algorithm, &key0).sign(&mut w, extension::MN_HA_AUTHENTICATION);
            assert!(bench.direct(w.bytes()).is_none() && bench.nothing_changed(), "{algorithm:?}");
        }
    }
}

#[test]
fn a_subscriber_without_them_is_not_served_sealed() {
    // Sealed as ours are, with its own KEY 0.
    let keys = MobileHome::of(&plain_subscriber(TIMESTAMPS));
    let mut bench = plain_bench(TIMESTAMPS);
    let mut bytes = Ask { spi: NODE_SPI, ..colocated(0) }.bytes();
    let covered = bytes.len() - 32;
    let authenticator = keys.authenticate(Direction::ToHome, &bytes[..covered]);
    bytes[covered..].copy_from_slice(&authenticator);
    let reply = bench.direct(&bytes).unwrap();
    assert_eq!(answer(&reply, Algorithm::HmacSha256).code, Code::HA_MN_AUTHENTICATION);
    assert!(bench.tunnels.is_empty() && bench.committed.is_empty());
    // In clear, with one of our extensions on top.
    let mut w = Writer::default();
    AgentHeard { challenge: &[5; 8], agent: FA_NAI[0] }.emit(&mut w, NUMBERS).unwrap();
    let reply = bench.direct(&Wish { more: w.into_bytes(), ..wish(0) }.bytes()).unwrap();
    assert_eq!(answer(&reply, Algorithm::HmacSha256).code, Code::HA_BAD_REQUEST);
    assert!(bench.tunnels.is_empty());
}

#[test]
fn md5_serves_only_whose_record_says_so_and_is_told_once() {
    for (plain, algorithm) in [(TIMESTAMPS, Algorithm::HmacMd5), (MD5, Algorithm::HmacSha256)] {
        let mut bench = plain_bench(plain);
        let reply = bench.direct(&Wish { algorithm, ..wish(0) }.bytes()).unwrap();
        assert_eq!(code(&reply), Code::HA_MN_AUTHENTICATION);
        assert!(bench.committed.is_empty() && bench.counter("HMAC-MD5 used") == 0);
    }
    let mut bench = plain_bench(MD5);
    let mut told = 0;
    for n in 0..3 {
        bench.now = at(n);
        let request = Wish { algorithm: Algorithm::HmacMd5, ..wish(n) }.bytes();
        let source = SocketAddrV4::new(AWAY, 5000);
        let destination = SocketAddrV4::new(HA, 434);
        let datagram = Datagram::Udp { source, destination, payload: &request };
        bench.agent.handle(Input::Datagram(datagram), bench.now);
        loop {
            match bench.agent.poll() {
                Output::Wait(_) => break,
                Output::Effect(Effect::Notify(event)) if event.kind == EventKind::WeakAlgorithm => {
                    assert!(event.text.contains(CLEAR_NAI));
                    told += 1;
                }
                Output::Effect(Effect::Persist { ticket, .. }) => {
                    let result = Ok(());
                    bench.agent.handle(Input::Request(Request::Persisted { ticket, result }), bench.now);
                }
                _ => {}
            }
        }
    }
    assert_eq!((told, bench.counter("HMAC-MD5 used")), (1, 3));
    // Half of a longer authenticator is none.
    let mut bench = plain_bench(TIMESTAMPS);
    let whole = wish(0).bytes();
    let mut half = whole[..whole.len() - 16].to_vec();
    half[25] = 20;
    assert_eq!(code(&bench.direct(&half).unwrap()), Code::HA_MN_AUTHENTICATION);
}

#[test]
fn nonces_are_given_used_once_and_asked_for_again() {
    let mut bench = plain_bench(NONCES);
    // It knows none yet.
    let first = answer(&bench.direct(&with_nonce(0, 1).bytes()).unwrap(), Algorithm::HmacSha256);
    assert_eq!((first.code, first.identification.low()), (Code::HA_IDENTIFICATION, 1));
    assert!(bench.committed.is_empty(), "asking changes nothing");
    let given = first.identification.seconds();
    let used = with_nonce(given, 2).bytes();
    let second = answer(&bench.direct(&used).unwrap(), Algorithm::HmacSha256);
    assert_eq!((second.code, second.identification.low()), (Code::ACCEPTED, 2));
    let next = second.identification.seconds();
    assert_ne!(next, given);

    // The same again is answered as before; with another low half it is a nonce that was used.
    let again = answer(&bench.direct(&used).unwrap(), Algorithm::HmacSha256);
    assert_eq!(again, second);
    let moved = Wish { care_of: Ipv4Addr::new(192, 168, 77, 61), ..with_nonce(given, 3) };
    let stale = answer(&bench.direct(&moved.bytes()).unwrap(), Algorithm::HmacSha256);
    assert_eq!((stale.code, stale.identification.seconds()), (Code::HA_IDENTIFICATION, next));
    // The mobile node's half does not do for the home agent's.
    let swapped = answer(&bench.direct(&with_nonce(3, next).bytes()).unwrap(), Algorithm::HmacSha256);
    assert_eq!(swapped.code, Code::HA_IDENTIFICATION);
    assert_eq!(bench.agent.bindings().next().unwrap().care_of, AWAY);

    // Denials too use one up.
    let denied = Wish { flags: Flags::GRE | Flags::DECAPSULATION, ..with_nonce(next, 4) };
    let denied = answer(&bench.direct(&denied.bytes()).unwrap(), Algorithm::HmacSha256);
    assert_eq!(denied.code, Code::HA_ENCAPSULATION);
    let leaving = Wish { lifetime: 0, ..with_nonce(denied.identification.seconds(), 5) };
    assert_eq!(code(&bench.direct(&leaving.bytes()).unwrap()), Code::ACCEPTED);
    assert_eq!(bench.agent.bindings().count(), 0);
}

#[test]
fn a_replay_with_a_nonce_never_passes_not_even_after_a_restart() {
    let mut bench = plain_bench(NONCES);
    let mut given = answer(&bench.direct(&with_nonce(0, 0).bytes()).unwrap(), Algorithm::HmacSha256)
        .identification
        .seconds();
    let mut recorded = Vec::new();
    for n in 1..20 {
        bench.now = at(n);
        let request = with_nonce(given, n as u32).bytes();
        given = answer(&bench.direct(&request).unwrap(), Algorithm::HmacSha256).identification.seconds();
        recorded.push(request);
    }
    let mut restarted = Bench::with(bench.stored(NONCES), at(60));
    assert_eq!(restarted.agent.bindings().count(), 1);
    for (n, request) in (0..).zip(&recorded) {
        restarted.now = at(60 + n);
        let fixed = answer(&restarted.direct(request).unwrap(), Algorithm::HmacSha256);
        assert_eq!((fixed.code, fixed.identification.seconds()), (Code::HA_IDENTIFICATION, given));
    }
    assert!(restarted.committed.is_empty() && restarted.tunnels.is_empty());
    assert_eq!(code(&restarted.direct(&with_nonce(given, 99).bytes()).unwrap()), Code::ACCEPTED);
}

#[test]
fn a_nonce_that_was_not_committed_is_not_lost() {
    let mut bench = plain_bench(NONCES);
    let first = answer(&bench.direct(&with_nonce(0, 1).bytes()).unwrap(), Algorithm::HmacSha256);
    let request = with_nonce(first.identification.seconds(), 2).bytes();
    bench.store = false;
    assert!(bench.direct(&request).is_none() && bench.tunnels.is_empty());
    // It asks again with what it has, is told the nonce that counts now, and is served.
    bench.store = true;
    let told = answer(&bench.direct(&request).unwrap(), Algorithm::HmacSha256);
    assert_eq!(told.code, Code::HA_IDENTIFICATION);
    let again = with_nonce(told.identification.seconds(), 3).bytes();
    assert_eq!(code(&bench.direct(&again).unwrap()), Code::ACCEPTED);
}

#[test]
fn a_quicker_home_agent_gives_the_nonce_that_counts() {
    let mut bench = plain_bench(NONCES);
    let first = answer(&bench.direct(&with_nonce(0, 1).bytes()).unwrap(), Algorithm::HmacSha256);
    bench.quicker = true;
    assert!(bench.direct(&with_nonce(first.identification.seconds(), 2).bytes()).is_none());
    assert_eq!(bench.refreshes, [Nai::parse(CLEAR_NAI).unwrap()]);
    bench.quicker = false;
    let theirs = Identification::new(5, 9).0;
    let seen = Seen { nai: Nai::parse(CLEAR_NAI).unwrap(), identification: theirs, generation: 0, index: 0 };
    let nai = seen.nai.clone();
    bench.input(Input::Request(Request::Refreshed {
        nai,
        seen: Some(seen),
        bindings: vec![],
        assigned: None,
    }));
    assert_eq!(code(&bench.direct(&with_nonce(5, 3).bytes()).unwrap()), Code::ACCEPTED);
    let previous = bench.committed.iter().find_map(|c| match c {
        Change::Identification { previous, .. } => Some(*previous),
        _ => None,
    });
    assert_eq!(previous, Some(Some(theirs)));
}

#[test]
fn a_node_enrolled_anew_with_timestamps_is_not_held_to_its_nonces() {
    // A nonce may stand above every time; a time counts under whatever KEY 0.
    let far = ntp_seconds(NOW).wrapping_add(0x4000_0000);
    for (high, generation, expected) in [
        (far, 0, Code::ACCEPTED),
        (ntp_seconds(NOW + 1), 0, Code::HA_IDENTIFICATION),
        (far, 1, Code::HA_IDENTIFICATION),
    ] {
        let identification = Identification::new(high, 1).0;
        let seen = Seen { nai: Nai::parse(CLEAR_NAI).unwrap(), identification, generation, index: 0 };
        let subscriber = Subscriber { generation: 1, ..plain_subscriber(TIMESTAMPS) };
        let state = State { subscribers: vec![subscriber], seen: vec![seen], ..State::default() };
        let mut bench = Bench::with(state, at(0));
        assert_eq!(code(&bench.direct(&wish(0).bytes()).unwrap()), expected, "{high} {generation}");
    }
}

#[test]
fn timestamps_are_checked_as_for_everybody() {
    let mut bench = plain_bench(TIMESTAMPS);
    let early = Wish { identification: Identification::new(ntp_seconds(NOW - 86_400), 5), ..wish(0) }.bytes();
    let fixed = answer(&bench.direct(&early).unwrap(), Algorithm::HmacSha256);
    assert_eq!(fixed.code, Code::HA_IDENTIFICATION);
    assert_eq!(fixed.identification, Identification::new(ntp_seconds(NOW), 5));
    assert!(bench.direct(&early).is_none(), "the same request is answered once");
    let first = wish(0).bytes();
    assert_eq!(code(&bench.direct(&first).unwrap()), Code::ACCEPTED);
    bench.now = at(1);
    let moved = Wish { care_of: Ipv4Addr::new(192, 168, 77, 61), ..wish(1) }.bytes();
    let there = Ipv4Addr::new(192, 168, 77, 61);
    assert_eq!(code(&bench.from(there, &moved).unwrap()), Code::ACCEPTED);
    assert_eq!(code(&bench.direct(&first).unwrap()), Code::HA_IDENTIFICATION);
    assert_eq!(bench.agent.bindings().next().unwrap().care_of, there);
}

#[test]
fn denials_of_what_is_asked_in_clear() {
    let base = wish(0);
    let other = Ipv4Addr::new(10, 11, 1, 61);
    for (request, expected) in [
        (Wish { home_address: other, ..base.clone() }, Code::HA_PROHIBITED),
        (Wish { nai: Some("other@home.example"), ..base.clone() }, Code::HA_PROHIBITED),
        (Wish { home_address: Ipv4Addr::UNSPECIFIED, ..base.clone() }, Code::HA_BAD_REQUEST),
        (Wish { flags: base.flags | 0x04, ..base.clone() }, Code::HA_BAD_REQUEST),
        (Wish { home_agent: Ipv4Addr::new(10, 11, 1, 255), ..base.clone() }, Code::HA_UNKNOWN_HOME_AGENT),
        (Wish { flags: Flags::REVERSE_TUNNEL, ..base.clone() }, Code::HA_FA_AUTHENTICATION),
        (Wish { flags: base.flags | Flags::GRE, ..base.clone() }, Code::HA_ENCAPSULATION),
    ] {
        let mut bench = plain_bench(TIMESTAMPS);
        let fixed = answer(&bench.direct(&request.bytes()).unwrap(), Algorithm::HmacSha256);
        assert_eq!((fixed.code, fixed.home_agent), (expected, HA));
        assert_eq!(bench.committed.len(), 1, "the identification is recorded");
        assert!(bench.tunnels.is_empty() && bench.agent.bindings().count() == 0);
    }
}

#[test]
fn a_name_does_for_an_address_and_comes_back() {
    let mut bench = plain_bench(TIMESTAMPS);
    let request = Wish { home_address: Ipv4Addr::UNSPECIFIED, nai: Some(CLEAR_NAI), ..wish(0) };
    let reply = bench.direct(&request.bytes()).unwrap();
    let fixed = answer(&reply, Algorithm::HmacSha256);
    assert_eq!((fixed.code, fixed.home_address), (Code::ACCEPTED, NODE));
    let parts = Parts::parse(&reply, 20, DOCUMENTATION_VENDOR).unwrap();
    assert_eq!(parts.mobile.clear_nai, Some(CLEAR_NAI.as_bytes()));
}

#[test]
fn a_node_back_home_is_answered_on_the_link_whatever_is_bound() {
    let mut bench = plain_bench(TIMESTAMPS);
    bench.direct(&wish(0).bytes()).unwrap();
    bench.now = at(1);
    let leaving = Wish { flags: 0, lifetime: 0, care_of: NODE, ..wish(1) }.bytes();
    let destination = SocketAddrV4::new(HA, 434);
    let source = SocketAddrV4::new(NODE, 5000);
    let datagram = Datagram::Udp { source, destination, payload: &leaving };
    bench.agent.handle(Input::Datagram(datagram), bench.now);
    let mut frames = Vec::new();
    loop {
        match bench.agent.poll() {
            Output::Wait(_) => break,
            Output::Effect(Effect::Persist { ticket, .. }) => {
                let result = Ok(());
                bench.agent.handle(Input::Request(Request::Persisted { ticket, result }), bench.now);
            }
            Output::Send(Transmit::Link { link, to, packet }) if wire::ip::parse_udp(&packet).is_ok() => {
                let udp = wire::ip::parse_udp(&packet).unwrap();
                assert_eq!((link, to, *udp.destination.ip()), (LinkId(0), [0xff; 6], NODE));
                frames.push(udp.payload.to_vec());
            }
            Output::Send(Transmit::Udp { .. }) => panic!("into the tunnel"),
            _ => {}
        }
    }
    assert_eq!(answer(&frames[0], Algorithm::HmacSha256).code, Code::ACCEPTED);
    assert_eq!(bench.agent.bindings().count(), 0);
}

#[test]
fn an_older_key_counts_during_its_overlap() {
    let retiring =
        record::RetiringKey { key0: Key::new([0x60; 32]), spi: NODE_SPI, generation: 0, ends: NOW + 10 };
    let rotated = Subscriber {
        key0: Key::new([0x61; 32]),
        spi: Spi(0x1300),
        generation: 1,
        retiring: Some(retiring),
        ..plain_subscriber(TIMESTAMPS)
    };
    let state = State { subscribers: vec![rotated], ..State::default() };
    let mut bench = Bench::with(state, at(0));
    assert_eq!(code(&bench.direct(&wish(0).bytes()).unwrap()), Code::ACCEPTED);
    bench.now = at(10);
    assert!(bench.direct(&wish(10).bytes()).is_none());
}

/// Who was enrolled without a home address is given one, by its name alone (RFC 2794 section 1).
#[test]
fn a_node_that_names_itself_is_given_a_home_address() {
    let given = Ipv4Addr::new(10, 11, 1, 200);
    let pool = Pool { first: given, last: given, never: vec![] };
    let unnumbered = Subscriber { home_address: Ipv4Addr::UNSPECIFIED, ..plain_subscriber(TIMESTAMPS) };
    let state = State { subscribers: vec![unnumbered], ..State::default() };
    let mut bench = Bench::of(Config { home_addresses: Some(pool), ..config() }, state, at(0));
    let ask = |seconds, home_address| Wish { home_address, nai: Some(CLEAR_NAI), ..wish(seconds) }.bytes();
    let reply = bench.direct(&ask(0, Ipv4Addr::UNSPECIFIED)).unwrap();
    let fixed = answer(&reply, Algorithm::HmacSha256);
    assert_eq!((fixed.code, fixed.home_address), (Code::ACCEPTED, given));
    assert_eq!(bench.agent.bindings().next().unwrap().home_address, given);
    bench.now = at(1);
    let fixed = answer(&bench.direct(&ask(1, given)).unwrap(), Algorithm::HmacSha256);
    assert_eq!((fixed.code, fixed.home_address), (Code::ACCEPTED, given));
    bench.now = at(2);
    let fixed = answer(&bench.direct(&ask(2, HOME)).unwrap(), Algorithm::HmacSha256);
    assert_eq!(fixed.code, Code::HA_PROHIBITED);
    assert_eq!(stored(&bench.committed).assigned.len(), 1);
}
