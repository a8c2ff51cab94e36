//! A home agent before a scripted mobile node and foreign agent.

use std::net::{Ipv4Addr, SocketAddrV4};

use record::{AssociationKind, SubscriberState};
use sa::{AgentPath, Direction, MobileHome, Transcript, Unverified, put_sealed, sealed_plain, take_key};
use sansio::Transmit;
use wire::{
    Writer,
    mip::{
        code::{Code, DetailCode},
        extension::{self, UdpTunnelRequest},
        ours::{
            self, AgentHeard, DOCUMENTATION_VENDOR, ErrorDetail, Handle, Numbers, Protected, SealedLayer2,
            SealedNai, Subtype, nai_owner,
        },
        part::Parts,
        registration::{self, Flags, ntp_seconds},
    },
};

use super::*;

const NOW: u64 = 1_800_000_000;
const HA: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 2);
const HOME: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 50);
const FA: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 51, 1, 2), Ipv4Addr::new(10, 52, 1, 2)];
const FA_NAI: [&str; 2] = ["fa-a@visited-a.example", "fa-b@visited-b.example"];
const NUMBERS: Numbers = Numbers::Vendor(DOCUMENTATION_VENDOR);
const SPI: Spi = Spi(4711);

fn nai() -> Nai {
    Nai::parse("traveller-one@home.example").unwrap()
}

fn subscriber() -> Subscriber {
    Subscriber {
        nai: nai(),
        key0: Key::new([1; 32]),
        spi: SPI,
        cipher: Cipher::Aes256Gcm,
        home_address: HOME,
        home_prefix_length: 24,
        home_agent: HA,
        home_gateway: None,
        no_fs: true,
        state: SubscriberState::Active,
        max_lifetime: None,
        change: 1,
    }
}

fn keys() -> MobileHome {
    MobileHome::of(&subscriber())
}

fn path(agent: usize) -> AgentPath {
    let key = Key::new([7 + agent as u8; 32]);
    AgentPath::new(
        FA_NAI[agent],
        "ha@home.example",
        Spi(1001 + agent as u32),
        Cipher::Aes256Gcm,
        key,
    )
}

fn at(seconds: u64) -> Now {
    Now {
        mono: Instant::new(Duration::from_secs(1000 + seconds)),
        unix: Duration::from_secs(NOW + seconds),
    }
}

/// A request as a mobile node would build it, with everything that a test may bend.
#[derive(Clone)]
struct Ask {
    flags: u8,
    lifetime: u16,
    home_agent: Ipv4Addr,
    home_address: Ipv4Addr,
    care_of: Ipv4Addr,
    identification: Identification,
    user: &'static str,
    wanted: Ipv4Addr,
    heard: Option<&'static str>,
    udp: Option<UdpTunnelRequest>,
    spi: Spi,
}

fn ask(seconds: u64) -> Ask {
    Ask {
        flags: Flags::REVERSE_TUNNEL,
        lifetime: 600,
        home_agent: HA,
        home_address: Ipv4Addr::UNSPECIFIED,
        care_of: FA[0],
        identification: Identification::new(ntp_seconds(NOW + seconds), 77),
        user: "traveller-one",
        wanted: HOME,
        heard: Some(FA_NAI[0]),
        udp: None,
        spi: SPI,
    }
}

fn colocated(seconds: u64) -> Ask {
    Ask {
        flags: Flags::REVERSE_TUNNEL | Flags::DECAPSULATION,
        care_of: Ipv4Addr::new(192, 168, 77, 10),
        heard: None,
        udp: Some(UdpTunnelRequest {
            forced: false,
            through_foreign_agent: false,
            encapsulation: 0,
        }),
        ..ask(seconds)
    }
}

impl Ask {
    /// The mobile node's part, through 32.
    fn bytes(&self) -> Vec<u8> {
        let (keys, mut rng) = (keys(), Rng::from_seed([9; 32]));
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
        extension::put(&mut w, extension::MN_NAI, b"@home.example").unwrap();
        let key = (keys.cipher(), keys.request_key());
        let nai = SealedNai {
            index: 0,
            user: self.user.into(),
        }
        .emit()
        .unwrap();
        let layer_2 = SealedLayer2 {
            kind: 0,
            address: vec![2, 0, 0, 0, 0, 9],
        }
        .emit()
        .unwrap();
        put_sealed(
            &mut w,
            24,
            NUMBERS,
            (Subtype::NAI, 0, self.spi),
            key,
            &mut rng,
            &nai,
        )
        .unwrap();
        put_sealed(
            &mut w,
            24,
            NUMBERS,
            (Subtype::IP, 0, self.spi),
            key,
            &mut rng,
            &self.wanted.octets(),
        )
        .unwrap();
        put_sealed(
            &mut w,
            24,
            NUMBERS,
            (Subtype::LAYER_2, 0, self.spi),
            key,
            &mut rng,
            &layer_2,
        )
        .unwrap();
        if let Some(agent) = self.heard {
            AgentHeard {
                challenge: &[5; 8],
                agent,
            }
            .emit(&mut w, NUMBERS)
            .unwrap();
        }
        if let Some(udp) = self.udp {
            udp.emit(&mut w);
        }
        extension::open_authentication(&mut w, extension::MN_HA_AUTHENTICATION, self.spi, 32);
        let authenticator = keys.authenticate(Direction::ToHome, w.bytes());
        w.put(&authenticator);
        w.into_bytes()
    }
}

fn handle(n: u32) -> Handle {
    Handle {
        handle: u64::from(n),
        key2: Spi(10_000 + n),
        key3: Spi(20_000 + n),
    }
}

/// What a foreign agent makes of a mobile node's part.
fn relay(mobile: Vec<u8>, agent: usize, handle: Handle, signed: bool) -> Vec<u8> {
    let mut w = Writer::after(mobile);
    let name = Protected {
        content: nai_owner::FOREIGN_AGENT,
        sealed: false,
        spi: Spi(0),
        info: FA_NAI[agent].as_bytes(),
    };
    name.emit(&mut w, NUMBERS, Subtype::NAI).unwrap();
    let router = Protected {
        content: 1,
        sealed: false,
        spi: Spi(0),
        info: &FA[agent].octets(),
    };
    router.emit(&mut w, NUMBERS, Subtype::IP).unwrap();
    handle.emit(&mut w, NUMBERS).unwrap();
    if signed {
        extension::open_authentication(&mut w, extension::FA_HA_AUTHENTICATION, path(agent).spi(), 32);
        let authenticator = path(agent).authenticate(Direction::ToHome, w.bytes());
        w.put(&authenticator);
    }
    w.into_bytes()
}

/// A home agent with a store that can refuse and a key distribution centre that can be away.
struct Bench {
    agent: HomeAgent,
    now: Now,
    store: bool,
    kdc: Result<(), KdcError>,
    asked: Vec<KeyRequest>,
    committed: Vec<Change>,
    sent: Vec<(SocketAddrV4, Vec<u8>)>,
    tunnels: Vec<TunnelChange>,
    order: Vec<&'static str>,
}

fn config() -> Config {
    let neighbour = |i: usize| Neighbour {
        nai: FA_NAI[i].into(),
        address: FA[i],
        spi: Spi(1001 + i as u32),
        key: Key::new([7 + i as u8; 32]),
        cipher: Cipher::Aes256Gcm,
    };
    Config {
        nai: "ha@home.example".into(),
        realm: "home.example".into(),
        address: HA,
        vendor: DOCUMENTATION_VENDOR,
        home_link: LinkId(0),
        home_prefix_length: 24,
        max_lifetime: 300,
        timestamp_window: 7,
        max_bindings: 10,
        advertisement_interval: Duration::from_secs(1),
        keepalive: 110,
        neighbours: vec![neighbour(0), neighbour(1)],
    }
}

fn bench() -> Bench {
    Bench::with(
        State {
            subscribers: vec![subscriber()],
            ..State::default()
        },
        at(0),
    )
}

impl Bench {
    fn with(state: State, now: Now) -> Self {
        Self {
            agent: HomeAgent::new(config(), [3; 32], state, now),
            now,
            store: true,
            kdc: Ok(()),
            asked: vec![],
            committed: vec![],
            sent: vec![],
            tunnels: vec![],
            order: vec![],
        }
    }

    fn input(&mut self, input: Input<'_, Request>) {
        self.agent.handle(input, self.now);
        let mut answers = Vec::new();
        loop {
            match self.agent.poll() {
                Output::Wait(_) => break,
                Output::Send(Transmit::Link { packet, .. }) => {
                    if let Ok(udp) = wire::ip::parse_udp(&packet) {
                        self.order.push("send");
                        self.sent.push((udp.destination, udp.payload.to_vec()));
                    }
                }
                Output::Effect(Effect::Acknowledge(_)) => {}
                Output::Send(Transmit::Udp {
                    destination, payload, ..
                }) => {
                    self.order.push("send");
                    self.sent.push((destination, payload));
                }
                Output::Effect(Effect::Persist { ticket, changes }) => {
                    let result = if self.store {
                        Ok(())
                    } else {
                        Err(CommitError::Unavailable("full".into()))
                    };
                    if self.store {
                        self.order.push("commit");
                        self.committed.extend(changes);
                    }
                    answers.push(Request::Persisted { ticket, result });
                }
                Output::Effect(Effect::AskKdc { ticket, request }) => {
                    let through = request.foreign_agent.is_some();
                    self.asked.push(request);
                    let n = self.asked.len() as u8;
                    let keys = || Keys {
                        key1: Key::new([100 + n; 32]),
                        with_agent: through.then(|| (Key::new([150 + n; 32]), Key::new([200 + n; 32]))),
                    };
                    answers.push(Request::Keys {
                        ticket,
                        result: self.kdc.clone().map(|()| keys()),
                    });
                }
                Output::Effect(Effect::Tunnel(change)) => {
                    self.order.push("tunnel");
                    self.tunnels.push(change);
                }
                Output::Effect(Effect::Notify(_)) => {}
            }
        }
        for answer in answers {
            self.input(Input::Request(answer));
        }
    }

    fn receive(&mut self, source: SocketAddrV4, payload: &[u8]) {
        let destination = SocketAddrV4::new(HA, 434);
        self.input(Input::Datagram(Datagram::Udp {
            source,
            destination,
            payload,
        }));
    }

    /// Through a foreign agent; the reply, if any.
    fn through(&mut self, agent: usize, mobile: Vec<u8>, n: u32) -> Option<Vec<u8>> {
        let before = self.sent.len();
        self.receive(
            SocketAddrV4::new(FA[agent], 434),
            &relay(mobile, agent, handle(n), true),
        );
        self.sent.get(before).map(|(_, bytes)| bytes.clone())
    }

    fn nothing_changed(&self) -> bool {
        self.sent.is_empty() && self.committed.is_empty() && self.tunnels.is_empty() && self.asked.is_empty()
    }
}

fn code(reply: &[u8]) -> Code {
    registration::Reply::parse(reply).unwrap().code
}

#[test]
fn accepted_in_the_order_commit_tunnel_send_with_all_keys() {
    let mut bench = bench();
    let request = relay(ask(0).bytes(), 0, handle(1), true);
    bench.receive(SocketAddrV4::new(FA[0], 434), &request);
    assert_eq!(bench.order, ["commit", "tunnel", "send"]);
    let (to, reply) = &bench.sent[0];
    assert_eq!(*to, SocketAddrV4::new(FA[0], 434));
    let fixed = registration::Reply::parse(reply).unwrap();
    assert_eq!((fixed.code, fixed.lifetime), (Code::ACCEPTED, 300));
    assert_eq!(fixed.home_address, Ipv4Addr::UNSPECIFIED);
    assert_eq!(fixed.identification, ask(0).identification);

    let asked = Parts::parse(&request, 24, DOCUMENTATION_VENDOR).unwrap();
    let parts = Parts::parse(reply, 20, DOCUMENTATION_VENDOR).unwrap();
    let unverified = Unverified::new(parts.clone());
    assert!(keys().verify(Direction::FromHome, &unverified).is_some());
    assert!(
        keys().verify(Direction::ToHome, &unverified).is_none(),
        "a reply cannot be reflected"
    );
    assert!(path(0).verify(Direction::FromHome, &unverified).is_some());
    let (mobile, foreign) = (
        keys().reply_key(&Transcript::of_mobile(&asked)),
        path(0).reply_key(&Transcript::of_agent(&asked)),
    );
    let take = |held, key| take_key(&parts, held, Cipher::Aes256Gcm, key).unwrap();
    let to_mobile: Vec<_> = parts
        .mobile
        .associations
        .iter()
        .map(|h| take(h, &mobile))
        .collect();
    let to_agent: Vec<_> = parts
        .foreign
        .associations
        .iter()
        .map(|h| take(h, &foreign))
        .collect();
    let kinds = |infos: &[sa::KeyInfo]| infos.iter().map(|i| i.kind).collect::<Vec<_>>();
    assert_eq!(kinds(&to_mobile), [AssociationKind::Key3, AssociationKind::Key1]);
    assert_eq!(kinds(&to_agent), [AssociationKind::Key2, AssociationKind::Key3]);
    let (mn3, fa3) = (&to_mobile[0], &to_agent[1]);
    assert!(mn3.key == fa3.key && mn3.key != to_mobile[1].key && mn3.key != to_agent[0].key);
    assert_eq!((mn3.inbound, mn3.outbound), (fa3.outbound, fa3.inbound));
    assert_eq!(fa3.inbound, handle(1).key3);
    assert_eq!(to_agent[0].inbound, handle(1).key2);
    assert_eq!((mn3.peer.as_str(), fa3.own.as_str()), (FA_NAI[0], FA_NAI[0]));
    assert_eq!(mn3.own, fa3.peer);
    assert!(
        !fa3.peer.contains("traveller"),
        "the foreign agent learns a visit name"
    );
    let granted = sealed_plain(&parts, &parts.foreign.ip.unwrap(), Cipher::Aes256Gcm, &foreign).unwrap();
    assert_eq!(granted, HOME.octets());
    assert!(!reply.windows(13).any(|w| w == b"traveller-one"));
}

#[test]
fn every_changed_byte_of_a_request_is_met_with_silence() {
    let good = relay(ask(0).bytes(), 0, handle(1), true);
    for i in 0..good.len() {
        for bit in [1, 0x80] {
            let mut bench = bench();
            let mut bytes = good.clone();
            bytes[i] ^= bit;
            bench.receive(SocketAddrV4::new(FA[0], 434), &bytes);
            // Changes behind 32 leave it verified: the agent failed, which the mobile node may learn.
            let mobile_end = ask(0).bytes().len();
            if i < mobile_end {
                assert!(bench.nothing_changed(), "byte {i}");
            } else {
                assert!(bench.tunnels.is_empty() && bench.asked.is_empty(), "byte {i}");
                assert!(
                    bench
                        .sent
                        .iter()
                        .all(|(_, r)| code(r) == Code::HA_FA_AUTHENTICATION),
                    "byte {i}"
                );
            }
        }
    }
}

#[test]
fn every_cut_of_a_request_changes_nothing() {
    let good = relay(ask(0).bytes(), 0, handle(1), true);
    for n in 0..good.len() {
        let mut bench = bench();
        bench.receive(SocketAddrV4::new(FA[0], 434), &good[..n]);
        assert!(bench.tunnels.is_empty() && bench.asked.is_empty(), "cut at {n}");
        assert!(
            bench
                .sent
                .iter()
                .all(|(_, r)| code(r) == Code::HA_FA_AUTHENTICATION),
            "cut at {n}"
        );
    }
}

#[test]
fn repeated_and_moved_extensions_are_refused() {
    let mobile = ask(0).bytes();
    let good = relay(mobile.clone(), 0, handle(1), true);
    let parts = extension::walk(&good, 24).unwrap();
    for e in &parts {
        let piece = &good[e.offset..e.end()];
        for place in parts.iter().map(|p| p.offset).chain([good.len()]) {
            let mut bytes = good.clone();
            bytes.splice(place..place, piece.iter().copied());
            let mut bench = bench();
            bench.receive(SocketAddrV4::new(FA[0], 434), &bytes);
            assert!(
                bench.tunnels.is_empty() && bench.asked.is_empty(),
                "{} again at {place}",
                e.kind
            );
        }
    }
}

#[test]
fn replays_inside_at_the_edge_of_and_beyond_the_window_never_move_a_binding() {
    let mut bench = bench();
    let first = ask(0).bytes();
    assert_eq!(code(&bench.through(0, first.clone(), 1).unwrap()), Code::ACCEPTED);
    bench.now = at(1);
    let second = Ask {
        care_of: FA[1],
        heard: Some(FA_NAI[1]),
        ..ask(1)
    }
    .bytes();
    assert_eq!(code(&bench.through(1, second, 2).unwrap()), Code::ACCEPTED);
    let (tunnels, commits) = (bench.tunnels.len(), bench.committed.len());
    for (n, later) in [2, 7, 8, 100].into_iter().enumerate() {
        bench.now = at(later);
        let reply = bench.through(0, first.clone(), 10 + n as u32);
        assert!(
            reply.is_none_or(|r| code(&r) == Code::HA_IDENTIFICATION),
            "{later} s later"
        );
    }
    assert_eq!((bench.tunnels.len(), bench.committed.len()), (tunnels, commits));
    assert_eq!(bench.agent.bindings().next().unwrap().care_of, FA[1]);
}

#[test]
fn a_replay_after_a_restart_is_refused() {
    let mut bench = bench();
    let first = ask(0).bytes();
    bench.through(0, first.clone(), 1).unwrap();
    let mut state = State {
        subscribers: vec![subscriber()],
        ..State::default()
    };
    for change in bench.committed.drain(..) {
        match change {
            Change::Identification { nai, next, .. } => state.identifications.push((nai, next)),
            Change::PutBinding(binding) => state.bindings.push(binding),
            _ => {}
        }
    }
    let mut restarted = Bench::with(state, at(2));
    assert_eq!(restarted.agent.bindings().count(), 1);
    let reply = restarted.through(0, first, 9).unwrap();
    assert_eq!(code(&reply), Code::HA_IDENTIFICATION);
    assert!(restarted.committed.is_empty() && restarted.tunnels.is_empty());
}

#[test]
fn a_wrong_clock_is_told_the_time_once() {
    let mut bench = bench();
    let early = Ask {
        identification: Identification::new(ntp_seconds(NOW - 86_400), 5),
        ..ask(0)
    }
    .bytes();
    let reply = bench.through(0, early.clone(), 1).unwrap();
    let fixed = registration::Reply::parse(&reply).unwrap();
    assert_eq!(fixed.code, Code::HA_IDENTIFICATION);
    assert_eq!(fixed.identification, Identification::new(ntp_seconds(NOW), 5));
    assert!(bench.committed.is_empty());
    assert!(
        bench.through(0, early, 2).is_none(),
        "the same request is answered once"
    );
}

#[test]
fn the_same_request_again_gets_the_same_keys() {
    let mut bench = bench();
    let mobile = ask(0).bytes();
    let first = bench.through(0, mobile.clone(), 1).unwrap();
    let again = bench.through(0, mobile.clone(), 1).unwrap();
    let mobile_part = |r: &[u8]| {
        Parts::parse(r, 20, DOCUMENTATION_VENDOR)
            .unwrap()
            .mobile_bytes()
            .to_vec()
    };
    assert_eq!(mobile_part(&first), mobile_part(&again));
    assert_eq!(bench.asked.len(), 1);
    assert!(
        bench.through(0, mobile.clone(), 3).is_none(),
        "other indices: silence"
    );
    let elsewhere = bench.through(1, mobile.clone(), 4).unwrap();
    assert_eq!(code(&elsewhere), Code::HA_PROHIBITED);
    bench.now = at(31);
    let late = bench.through(0, mobile, 1).unwrap();
    assert_eq!(code(&late), Code::HA_IDENTIFICATION);
    assert_eq!(bench.asked.len(), 1);
}

#[test]
fn denials_have_the_defined_codes_and_record_the_identification() {
    let base = ask(0);
    let cases = [
        (
            Ask {
                flags: Flags::GRE,
                ..base.clone()
            },
            Code::HA_ENCAPSULATION,
        ),
        (
            Ask {
                flags: Flags::MINIMAL,
                ..base.clone()
            },
            Code::HA_ENCAPSULATION,
        ),
        (
            Ask {
                flags: 0x04,
                ..base.clone()
            },
            Code::HA_BAD_REQUEST,
        ),
        (
            Ask {
                home_agent: Ipv4Addr::new(10, 11, 1, 3),
                ..base.clone()
            },
            Code::HA_UNKNOWN_HOME_AGENT,
        ),
        (
            Ask {
                user: "somebody-else",
                ..base.clone()
            },
            Code::HA_BAD_REQUEST,
        ),
        (
            Ask {
                wanted: Ipv4Addr::new(10, 11, 1, 51),
                ..base.clone()
            },
            Code::HA_PROHIBITED,
        ),
        (
            Ask {
                home_address: Ipv4Addr::new(10, 11, 1, 51),
                ..base.clone()
            },
            Code::HA_PROHIBITED,
        ),
        (
            Ask {
                care_of: FA[1],
                ..base.clone()
            },
            Code::HA_PROHIBITED,
        ),
        (
            Ask {
                heard: Some(FA_NAI[1]),
                ..base.clone()
            },
            Code::HA_FA_AUTHENTICATION,
        ),
        (
            Ask {
                heard: None,
                ..base.clone()
            },
            Code::HA_FA_AUTHENTICATION,
        ),
    ];
    for (case, (request, expected)) in cases.into_iter().enumerate() {
        let mut bench = bench();
        let reply = bench.through(0, request.bytes(), 1).unwrap();
        assert_eq!(code(&reply), expected, "case {case}");
        let parts = Unverified::new(Parts::parse(&reply, 20, DOCUMENTATION_VENDOR).unwrap());
        assert!(keys().verify(Direction::FromHome, &parts).is_some());
        assert!(path(0).verify(Direction::FromHome, &parts).is_some());
        assert!(parts.peek().mobile.associations.is_empty() && parts.peek().foreign.associations.is_empty());
        assert_eq!(bench.committed.len(), 1, "case {case}");
        assert!(matches!(bench.committed[0], Change::Identification { .. }));
        assert!(bench.tunnels.is_empty() && bench.agent.bindings().count() == 0);
    }
}

#[test]
fn the_agent_must_prove_itself() {
    let mut bench = bench();
    let source = SocketAddrV4::new(FA[0], 434);
    bench.receive(source, &relay(ask(0).bytes(), 0, handle(1), false));
    assert_eq!(code(&bench.sent[0].1), Code::HA_FA_AUTHENTICATION);
    // Relayed by a host that is no configured agent, with or without 34.
    let elsewhere = SocketAddrV4::new(Ipv4Addr::new(10, 99, 9, 9), 434);
    bench.receive(elsewhere, &relay(ask(1).bytes(), 0, handle(2), true));
    bench.receive(elsewhere, &relay(ask(2).bytes(), 0, handle(3), false));
    assert_eq!(bench.sent.len(), 1);
    assert!(bench.tunnels.is_empty());
    // Another agent relays what named the first.
    bench.now = at(3);
    let reply = bench.through(1, ask(3).bytes(), 4).unwrap();
    let parts = Parts::parse(&reply, 20, DOCUMENTATION_VENDOR).unwrap();
    assert_eq!(code(&reply), Code::HA_FA_AUTHENTICATION);
    let relayed = relay(ask(3).bytes(), 1, handle(4), true);
    let t1 = Transcript::of_mobile(&Parts::parse(&relayed, 24, DOCUMENTATION_VENDOR).unwrap());
    let held = parts.mobile.error_detail.unwrap();
    let detail = sealed_plain(&parts, &held, Cipher::Aes256Gcm, &keys().reply_key(&t1)).unwrap();
    assert_eq!(
        ErrorDetail::parse(&detail).unwrap().code,
        DetailCode::AGENT_MISMATCH
    );
}

#[test]
fn unknown_indices_and_revoked_subscribers_are_met_with_silence() {
    let mut bench = bench();
    assert!(
        bench
            .through(
                0,
                Ask {
                    spi: Spi(4712),
                    ..ask(0)
                }
                .bytes(),
                1
            )
            .is_none()
    );
    assert!(bench.nothing_changed());
    bench.through(0, ask(0).bytes(), 1).unwrap();
    let revoked = Subscriber {
        state: SubscriberState::Revoked,
        ..subscriber()
    };
    bench.input(Input::Request(Request::Subscribers {
        changed: vec![revoked],
        cursor: 5,
        complete: false,
    }));
    assert_eq!(bench.agent.bindings().count(), 0);
    assert!(matches!(bench.tunnels.last(), Some(TunnelChange::Unbind { .. })));
    bench.now = at(5);
    assert!(bench.through(0, ask(5).bytes(), 2).is_none());
}

#[test]
fn four_subscribers_may_share_an_index() {
    let other = |n: u8| Subscriber {
        nai: Nai::parse(&format!("a-neighbour-{n}@home.example")).unwrap(),
        key0: Key::new([50 + n; 32]),
        home_address: Ipv4Addr::new(10, 11, 1, 60 + n),
        ..subscriber()
    };
    let subscribers = vec![other(1), other(2), other(3), subscriber()];
    let mut bench = Bench::with(
        State {
            subscribers,
            ..State::default()
        },
        at(0),
    );
    assert_eq!(
        code(&bench.through(0, ask(0).bytes(), 1).unwrap()),
        Code::ACCEPTED
    );
    assert_eq!(bench.agent.bindings().next().unwrap().nai, nai());
}

#[test]
fn without_keys_the_mobile_node_learns_why() {
    let mut bench = bench();
    bench.kdc = Err(KdcError::Unavailable("down".into()));
    let relayed = relay(ask(0).bytes(), 0, handle(1), true);
    let reply = bench.through(0, ask(0).bytes(), 1).unwrap();
    assert_eq!(code(&reply), Code::HA_UNSPECIFIED);
    let parts = Parts::parse(&reply, 20, DOCUMENTATION_VENDOR).unwrap();
    let t1 = Transcript::of_mobile(&Parts::parse(&relayed, 24, DOCUMENTATION_VENDOR).unwrap());
    let held = parts.mobile.error_detail.unwrap();
    let detail = sealed_plain(&parts, &held, Cipher::Aes256Gcm, &keys().reply_key(&t1)).unwrap();
    assert_eq!(
        ErrorDetail::parse(&detail).unwrap().code,
        DetailCode::KDC_UNAVAILABLE
    );
    assert!(bench.tunnels.is_empty());
    bench.kdc = Ok(());
    bench.now = at(1);
    assert_eq!(
        code(&bench.through(0, ask(1).bytes(), 2).unwrap()),
        Code::ACCEPTED
    );
}

#[test]
fn a_store_that_refuses_means_no_tunnel_and_no_reply() {
    let mut bench = bench();
    bench.store = false;
    assert!(bench.through(0, ask(0).bytes(), 1).is_none());
    assert!(bench.tunnels.is_empty() && bench.agent.bindings().count() == 0);
    bench.store = true;
    bench.now = at(1);
    assert_eq!(
        code(&bench.through(0, ask(1).bytes(), 2).unwrap()),
        Code::ACCEPTED
    );
    let previous = bench.committed.iter().find_map(|c| match c {
        Change::Identification { previous, .. } => Some(*previous),
        _ => None,
    });
    assert_eq!(
        previous,
        Some(None),
        "the compare-and-set stands on what the store really holds"
    );
}

#[test]
fn a_nat_is_found_by_source_and_care_of() {
    let mut bench = bench();
    let public = SocketAddrV4::new(Ipv4Addr::new(10, 53, 1, 2), 40_000);
    bench.receive(public, &colocated(0).bytes());
    let (to, reply) = bench.sent.pop().unwrap();
    assert_eq!((to, code(&reply)), (public, Code::ACCEPTED));
    let parts = Parts::parse(&reply, 20, DOCUMENTATION_VENDOR).unwrap();
    let udp = parts.mobile.udp_reply.unwrap();
    assert!(udp.tunnels() && udp.keepalive == 110);
    assert_eq!(parts.mobile.associations.len(), 1);
    assert!(parts.foreign_home.is_none() && parts.foreign.associations.is_empty());
    let bind = TunnelChange::Bind {
        home_address: HOME,
        tunnel: Tunnel::Udp(public),
    };
    assert_eq!(bench.tunnels, [bind]);
    // Without a NAT and without force: not.
    bench.now = at(1);
    let direct = SocketAddrV4::new(colocated(1).care_of, 40_000);
    bench.receive(direct, &colocated(1).bytes());
    let reply = bench.sent.pop().unwrap().1;
    let parts = Parts::parse(&reply, 20, DOCUMENTATION_VENDOR).unwrap();
    assert_eq!(parts.mobile.udp_reply.unwrap().code, 64);
    assert!(matches!(
        bench.tunnels.last(),
        Some(TunnelChange::Bind {
            tunnel: Tunnel::IpInIp(_),
            ..
        })
    ));
    // Behind a NAT without asking for UDP it cannot be reached.
    bench.now = at(2);
    bench.receive(
        public,
        &Ask {
            udp: None,
            ..colocated(2)
        }
        .bytes(),
    );
    assert_eq!(code(&bench.sent.pop().unwrap().1), Code::HA_PROHIBITED);
}

#[test]
fn deregistration_at_home_names_the_link_address_that_is_back() {
    let mut bench = bench();
    bench.through(0, ask(0).bytes(), 1).unwrap();
    bench.now = at(1);
    bench.order.clear();
    let home = Ask {
        flags: 0,
        lifetime: 0,
        home_address: HOME,
        care_of: HOME,
        heard: None,
        ..ask(1)
    };
    bench.receive(SocketAddrV4::new(HOME, 5000), &home.bytes());
    assert_eq!(bench.order, ["commit", "tunnel", "send"]);
    let unbind = TunnelChange::Unbind {
        home_address: HOME,
        returned: Some([2, 0, 0, 0, 0, 9]),
    };
    assert_eq!(bench.tunnels.last(), Some(&unbind));
    let reply = registration::Reply::parse(&bench.sent.last().unwrap().1).unwrap();
    assert_eq!(
        (reply.code, reply.lifetime, reply.home_address),
        (Code::ACCEPTED, 0, HOME)
    );
    assert_eq!(bench.agent.bindings().count(), 0);
}

#[test]
fn deregistration_through_an_agent_needs_no_34_and_is_answered_with_one() {
    let mut bench = bench();
    bench.through(0, ask(0).bytes(), 1).unwrap();
    bench.now = at(1);
    let away = Ask {
        lifetime: 0,
        ..ask(1)
    };
    bench.receive(
        SocketAddrV4::new(FA[0], 434),
        &relay(away.bytes(), 0, handle(2), false),
    );
    let reply = bench.sent.pop().unwrap().1;
    assert_eq!(code(&reply), Code::ACCEPTED);
    let parts = Unverified::new(Parts::parse(&reply, 20, DOCUMENTATION_VENDOR).unwrap());
    assert!(path(0).verify(Direction::FromHome, &parts).is_some());
    assert!(parts.peek().foreign.associations.is_empty());
    assert!(matches!(
        bench.tunnels.last(),
        Some(TunnelChange::Unbind { returned: None, .. })
    ));
    // One that names another care-of address leaves a later binding alone.
    bench.now = at(2);
    bench.through(0, ask(2).bytes(), 3).unwrap();
    bench.now = at(3);
    let other = Ask {
        lifetime: 0,
        care_of: FA[1],
        heard: Some(FA_NAI[1]),
        ..ask(3)
    };
    bench.receive(
        SocketAddrV4::new(FA[1], 434),
        &relay(other.bytes(), 1, handle(4), false),
    );
    assert_eq!(code(&bench.sent.pop().unwrap().1), Code::ACCEPTED);
    assert_eq!(bench.agent.bindings().count(), 1);
}

#[test]
fn limits_and_lifetimes() {
    let mut bench = bench();
    bench.agent.config.max_bindings = 0;
    assert_eq!(
        code(&bench.through(0, ask(0).bytes(), 1).unwrap()),
        Code::HA_RESOURCES
    );
    bench.agent.config.max_bindings = 1;
    bench.now = at(1);
    let short = Ask {
        lifetime: 20,
        ..ask(1)
    };
    let reply = bench.through(0, short.bytes(), 2).unwrap();
    assert_eq!(registration::Reply::parse(&reply).unwrap().lifetime, 20);
    bench.now = at(20);
    bench.input(Input::Tick);
    assert_eq!(bench.agent.bindings().count(), 1);
    bench.now = at(21);
    bench.input(Input::Tick);
    assert_eq!(bench.agent.bindings().count(), 0);
    assert!(matches!(
        bench.committed.last(),
        Some(Change::RemoveBinding(HOME))
    ));
}

#[test]
fn a_simultaneous_binding_is_accepted_as_the_only_one() {
    let mut bench = bench();
    let wish = Ask {
        flags: Flags::SIMULTANEOUS | Flags::REVERSE_TUNNEL,
        ..ask(0)
    };
    assert_eq!(
        code(&bench.through(0, wish.bytes(), 1).unwrap()),
        Code::ACCEPTED_NO_SIMULTANEOUS
    );
}

#[test]
fn a_vendor_extension_that_is_not_understood_is_named_by_its_part() {
    let mut bench = bench();
    let mobile = ask(0).bytes();
    let mut w = Writer::after(mobile);
    ours::put(&mut w, NUMBERS, Subtype::KEY_SHARE, &[0; 34]).unwrap();
    let reply = bench.through(0, w.into_bytes(), 1).unwrap();
    assert_eq!(code(&reply), Code::HA_VENDOR_FROM_FA);
}

#[test]
fn a_later_request_overtakes_one_whose_keys_are_late() {
    let mut agent = HomeAgent::new(
        config(),
        [3; 32],
        State {
            subscribers: vec![subscriber()],
            ..State::default()
        },
        at(0),
    );
    let mut tickets = Vec::new();
    let mut put = |agent: &mut HomeAgent, input: Input<'_, Request>, now| {
        agent.handle(input, now);
        let mut sent = 0;
        loop {
            match agent.poll() {
                Output::Effect(Effect::AskKdc { ticket, .. }) => tickets.push(ticket),
                Output::Effect(Effect::Persist { ticket, .. }) => {
                    agent.handle(
                        Input::Request(Request::Persisted {
                            ticket,
                            result: Ok(()),
                        }),
                        now,
                    );
                }
                Output::Send(Transmit::Udp { .. }) => sent += 1,
                Output::Wait(_) => return (tickets.clone(), sent),
                _ => {}
            }
        }
    };
    let one = relay(ask(0).bytes(), 0, handle(1), true);
    let two = relay(
        Ask {
            care_of: FA[1],
            heard: Some(FA_NAI[1]),
            ..ask(1)
        }
        .bytes(),
        1,
        handle(2),
        true,
    );
    let destination = SocketAddrV4::new(HA, 434);
    for (payload, from) in [(&one, FA[0]), (&two, FA[1])] {
        let source = SocketAddrV4::new(from, 434);
        put(
            &mut agent,
            Input::Datagram(Datagram::Udp {
                source,
                destination,
                payload,
            }),
            at(1),
        );
    }
    let keys = |n| {
        Ok(Keys {
            key1: Key::new([n; 32]),
            with_agent: Some((Key::new([n + 1; 32]), Key::new([n + 2; 32]))),
        })
    };
    let (tickets, _) = put(&mut agent, Input::Tick, at(1));
    let answer = |ticket, n| {
        Input::Request(Request::Keys {
            ticket,
            result: keys(n),
        })
    };
    assert_eq!(put(&mut agent, answer(tickets[1], 10), at(2)).1, 1);
    assert_eq!(put(&mut agent, answer(tickets[0], 20), at(2)).1, 0);
    assert_eq!(agent.bindings().next().unwrap().care_of, FA[1]);
}

#[test]
fn a_co_located_address_through_an_agent_gets_key_1_alone() {
    let mut bench = bench();
    let own = Ask { udp: None, heard: Some(FA_NAI[0]), ..colocated(0) };
    bench.receive(SocketAddrV4::new(FA[0], 434), &relay(own.bytes(), 0, handle(1), false));
    let reply = bench.sent.pop().unwrap().1;
    assert_eq!(code(&reply), Code::ACCEPTED);
    let parts = Unverified::new(Parts::parse(&reply, 20, DOCUMENTATION_VENDOR).unwrap());
    assert!(path(0).verify(Direction::FromHome, &parts).is_some());
    let parts = parts.peek();
    assert_eq!(parts.mobile.associations.len(), 1);
    assert!(parts.foreign.associations.is_empty() && parts.foreign.ip.is_none());
    assert_eq!(bench.asked[0].foreign_agent, None);
    let tunnel = Tunnel::IpInIp(colocated(0).care_of);
    assert_eq!(bench.tunnels, [TunnelChange::Bind { home_address: HOME, tunnel }]);
}
