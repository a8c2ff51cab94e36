//! Key shares, one-time indices and the way back by the realm's key.

use record::{RealmKey, RetiringKey, Seen};
use sa::Offer;
use wire::mip::{registration::Identification, share::Cookie};

use super::*;

const REALM: Spi = Spi(300);

fn realm_secret() -> Key {
    Key::new([90; 32])
}

/// A subscriber that keeps every rule: one-time indices, key shares.
fn private() -> Subscriber {
    Subscriber { one_time: true, no_fs: false, ..subscriber() }
}

fn realm_key() -> RealmKey {
    RealmKey { id: REALM, secret: realm_secret(), made: 0, ends: None, change: 1 }
}

/// A home agent whose neighbours and subscriber have to send shares.
fn strict(highest: u64) -> Bench {
    strict_at(at(0), highest)
}

fn strict_at(now: Now, highest: u64) -> Bench {
    let mut config = config();
    config.neighbours.iter_mut().for_each(|n| n.no_fs = false);
    let seen = Seen { nai: nai(), identification: 0, generation: 0, index: highest };
    let state = State {
        subscribers: vec![private()],
        realm_keys: vec![realm_key()],
        seen: if highest > 0 { vec![seen] } else { vec![] },
        ..State::default()
    };
    // The identification 0 lies before every other one by the rule of wrapping numbers only in this half.
    let state = State {
        seen: state.seen.into_iter().map(|s| Seen { identification: before(now), ..s }).collect(),
        ..state
    };
    Bench::of(config, state, now)
}

fn before(now: Now) -> u64 {
    Identification::new(ntp_seconds(now.unix.as_secs() - 1000), 1).0
}

fn offer(seed: u8) -> Offer {
    Offer::new(&mut Rng::from_seed([seed; 32]))
}

/// A request under the one-time index number `n`, with a share.
fn one_time(n: u64, seconds: u64, offer: &Offer) -> Ask {
    let spi = keys().one_time_spi(n);
    Ask { spi, index: n, share: Some((31, offer.value().to_vec())), ..ask(seconds) }
}

/// A request that names its sender by the realm's key.
fn by_realm_key(n: u64, seconds: u64, offer: &Offer) -> Ask {
    let public = crypto::exchange::Secret::from_key(&realm_secret()).public();
    let seal = offer.realm_key(&public, "home.example").unwrap();
    Ask { spi: REALM, seal: Some(*seal.expose()), ..one_time(n, seconds, offer) }.with_realm_index(n)
}

impl Ask {
    fn with_realm_index(self, n: u64) -> Self {
        Self { index: n, ..self }
    }
}

impl Bench {
    /// Through a foreign agent that offers a share of its own.
    fn shared(&mut self, mobile: Vec<u8>, n: u32, agent: &Offer) -> Option<Vec<u8>> {
        let before = self.sent.len();
        let request = relay_with(mobile, 0, handle(n), true, Some(agent.value()));
        self.receive(SocketAddrV4::new(FA[0], 434), &request);
        self.sent.get(before).map(|(_, bytes)| bytes.clone())
    }

    fn count_of(&self, name: &str) -> u64 {
        self.agent.counters().get(name).copied().unwrap_or_default()
    }
}

fn parts(reply: &[u8]) -> Parts<'_> {
    Parts::parse(reply, 20, DOCUMENTATION_VENDOR).unwrap()
}

/// The number that a reply to a request under a realm key tells to go on from.
fn told(mobile: &[u8], reply: &[u8], offer: &Offer) -> Option<u64> {
    let asked = Parts::parse(mobile, 24, DOCUMENTATION_VENDOR).unwrap();
    let parts = parts(reply);
    let exchange = parts.mobile.key_share.map(|share| offer.complete(Some(share)).unwrap());
    let key = keys().reply_key(&Transcript::of_mobile(&asked), exchange.as_ref());
    let held = parts.mobile.nai?;
    assert_eq!(held.protected.spi, parts.mobile_home.spi);
    let plain = sealed_plain(&parts, &held, Cipher::Aes256Gcm, &key).unwrap();
    let name = SealedNai::parse(&plain).unwrap();
    assert_eq!(name.user, "traveller-one");
    Some(name.index)
}

#[test]
fn both_shares_are_answered_and_needed_to_open_the_reply() {
    let mut bench = strict(0);
    let (mobile, agent) = (offer(1), offer(2));
    let request = relay_with(one_time(1, 0, &mobile).bytes(), 0, handle(1), true, Some(agent.value()));
    bench.receive(SocketAddrV4::new(FA[0], 434), &request);
    let reply = bench.sent[0].1.clone();
    assert_eq!(code(&reply), Code::ACCEPTED);
    let asked = Parts::parse(&request, 24, DOCUMENTATION_VENDOR).unwrap();
    let parts = parts(&reply);
    assert_eq!(parts.mobile_home.spi, keys().one_time_spi(1), "the reply bears the index of the request");
    let to_mobile = mobile.complete(parts.mobile.key_share).unwrap();
    let to_agent = agent.complete(parts.foreign.key_share).unwrap();
    assert_ne!(to_mobile.answer(), to_agent.answer());
    let (t1, t2) = (Transcript::of_mobile(&asked), Transcript::of_agent(&asked));
    let opens = |held, key: &Key| take_key(&parts, held, Cipher::Aes256Gcm, key).is_ok();
    for held in &parts.mobile.associations {
        assert!(opens(held, &keys().reply_key(&t1, Some(&to_mobile))));
        // Whoever learns KEY 0 later has the recording and this key, and nothing more.
        assert!(!opens(held, &keys().reply_key(&t1, None)));
        assert!(!opens(held, &keys().reply_key(&t1, Some(&to_agent))));
    }
    for held in &parts.foreign.associations {
        assert!(opens(held, &path(0).reply_key(&t2, Some(&to_agent))));
        assert!(!opens(held, &path(0).reply_key(&t2, None)));
    }
}

#[test]
fn shares_that_do_not_serve_are_denied_with_the_reason() {
    let good = offer(1);
    let with = |share| Ask { share, ..one_time(1, 0, &good) };
    let cases = [
        (with(None), DetailCode::SHARE_MISSING),
        (with(Some((19, good.value().to_vec()))), DetailCode::SHARE_REFUSED),
        (with(Some((31, vec![0; 32]))), DetailCode::SHARE_REFUSED),
        (with(Some((31, good.value()[..31].to_vec()))), DetailCode::SHARE_REFUSED),
        (with(Some((31, [good.value().as_slice(), &[0]].concat()))), DetailCode::SHARE_REFUSED),
    ];
    for (ask, detail) in cases {
        let mut bench = strict(0);
        let mobile = ask.bytes();
        let reply = bench.shared(mobile.clone(), 1, &offer(2)).unwrap();
        assert_eq!(code(&reply), Code::HA_UNSPECIFIED);
        assert_eq!(detail_of(&mobile, &reply), detail);
        assert!(parts(&reply).mobile.key_share.is_none() && parts(&reply).foreign.key_share.is_none());
        assert!(bench.tunnels.is_empty() && bench.asked.is_empty(), "no key was asked for");
    }
    // The agent's own share.
    for (share, detail) in [(None, DetailCode::SHARE_MISSING), (Some([0_u8; 32]), DetailCode::SHARE_REFUSED)]
    {
        let mut bench = strict(0);
        let mobile = with(Some((31, good.value().to_vec()))).bytes();
        let request = relay_with(mobile.clone(), 0, handle(1), true, share.as_ref().map(|s| s.as_slice()));
        bench.receive(SocketAddrV4::new(FA[0], 434), &request);
        assert_eq!(detail_of(&mobile, &bench.sent[0].1), detail);
        assert!(bench.tunnels.is_empty() && bench.asked.is_empty());
    }
}

pub(super) fn detail_of(mobile: &[u8], reply: &[u8]) -> DetailCode {
    let asked = Parts::parse(mobile, 24, DOCUMENTATION_VENDOR).unwrap();
    let parts = parts(reply);
    let key = keys().reply_key(&Transcript::of_mobile(&asked), None);
    let plain = sealed_plain(&parts, &parts.mobile.error_detail.unwrap(), Cipher::Aes256Gcm, &key).unwrap();
    ErrorDetail::parse(&plain).unwrap().code
}

#[test]
fn an_agents_share_is_answered_alike_for_a_minute_and_then_anew() {
    let mut bench = strict(0);
    let agent = offer(2);
    let mut answers = Vec::new();
    for (n, seconds) in [(1, 0), (2, 59), (3, 60)] {
        bench.now = at(seconds);
        let reply =
            bench.shared(one_time(n, seconds, &offer(10 + n as u8)).bytes(), n as u32, &agent).unwrap();
        let parts = parts(&reply);
        answers.push((
            parts.foreign.key_share.unwrap().value.to_vec(),
            parts.mobile.key_share.unwrap().value.to_vec(),
        ));
    }
    assert_eq!(answers[0].0, answers[1].0);
    assert_ne!(answers[1].0, answers[2].0, "both sides erase after 60 s");
    assert_ne!(answers[0].1, answers[1].1, "a mobile node's share is answered freshly each time");
}

#[test]
fn a_repeat_is_opened_by_the_same_exchange() {
    let mut bench = strict(0);
    let (mobile, agent) = (one_time(1, 0, &offer(1)).bytes(), offer(2));
    let first = bench.shared(mobile.clone(), 1, &agent).unwrap();
    let second = bench.shared(mobile, 1, &agent).unwrap();
    assert_eq!(parts(&first).mobile_bytes(), parts(&second).mobile_bytes());
    assert_eq!(parts(&first).foreign.key_share.unwrap(), parts(&second).foreign.key_share.unwrap());
    assert_eq!(bench.asked.len(), 1);
}

#[test]
fn indices_inside_the_window_name_and_others_are_silence() {
    // Highest seen 20: 18 to 33 name.
    for (n, named) in [(17, false), (18, true), (20, true), (21, true), (33, true), (34, false)] {
        let mut bench = strict(20);
        let reply = bench.shared(one_time(n, 0, &offer(1)).bytes(), 1, &offer(2));
        assert_eq!(reply.is_some_and(|r| code(&r) == Code::ACCEPTED), named, "{n}");
        if !named {
            assert!(bench.nothing_changed() && bench.count_of("not authenticated") == 1);
        }
    }
    // At enrolment 1 to 13, and never 0.
    for (n, named) in [(0, false), (1, true), (13, true), (14, false)] {
        let mut bench = strict(0);
        assert_eq!(bench.shared(one_time(n, 0, &offer(1)).bytes(), 1, &offer(2)).is_some(), named, "{n}");
    }
}

#[test]
fn the_window_moves_with_what_is_authentic_and_never_back() {
    let mut bench = strict(0);
    let try_at = |bench: &mut Bench, n, seconds| {
        bench.now = at(seconds);
        bench.shared(one_time(n, seconds, &offer(1)).bytes(), seconds as u32 + 1, &offer(2)).is_some()
    };
    assert!(try_at(&mut bench, 13, 0));
    assert!(!try_at(&mut bench, 10, 1), "three below");
    assert!(try_at(&mut bench, 11, 2));
    assert!(try_at(&mut bench, 26, 3), "the lower one did not move it back");
    // A forged 32 under a right index moves nothing.
    let mut forged = one_time(39, 4, &offer(1)).bytes();
    *forged.last_mut().unwrap() ^= 1;
    bench.now = at(4);
    assert!(bench.shared(forged, 9, &offer(2)).is_none());
    assert!(!try_at(&mut bench, 40, 5));
    let index = bench.committed.iter().rev().find_map(|c| match c {
        Change::Identification { index, generation, .. } => Some((*index, *generation)),
        _ => None,
    });
    assert_eq!(index, Some((26, 0)), "it is durable with the identification");
}

#[test]
fn the_static_index_names_nobody_who_has_one_time_indices() {
    let mut bench = strict(0);
    let ask = Ask { spi: SPI, ..one_time(1, 0, &offer(1)) };
    assert!(bench.shared(ask.bytes(), 1, &offer(2)).is_none());
    assert!(bench.nothing_changed());
}

#[test]
fn the_realm_key_leads_back_whatever_index_was_lost() {
    for (highest, named, after) in [(0, 0, 1), (20, 7, 21), (20, 400, 401), (20, u64::MAX, 21)] {
        let mut bench = strict(highest);
        let mobile = offer(1);
        let request = by_realm_key(named, 0, &mobile).bytes();
        let reply = bench.shared(request.clone(), 1, &offer(2)).unwrap();
        assert_eq!(code(&reply), Code::ACCEPTED);
        assert_eq!(parts(&reply).mobile_home.spi, REALM);
        assert_eq!(told(&request, &reply, &mobile), Some(after), "{highest} {named}");
        // And the next request goes on from there.
        bench.now = at(1);
        let next = bench.shared(one_time(after + 1, 1, &offer(3)).bytes(), 2, &offer(2)).unwrap();
        assert_eq!(code(&next), Code::ACCEPTED);
    }
}

#[test]
fn a_repeated_request_by_realm_key_moves_nothing() {
    let mut bench = strict(20);
    let (mobile, agent) = (offer(1), offer(2));
    let request = by_realm_key(0, 0, &mobile).bytes();
    for _ in 0..3 {
        let reply = bench.shared(request.clone(), 1, &agent).unwrap();
        assert_eq!(told(&request, &reply, &mobile), Some(21));
    }
    // Nor does a replay after the answer is forgotten; it is told the time once, and then nothing.
    bench.now = at(100);
    let reply = bench.shared(request.clone(), 1, &agent).unwrap();
    assert_eq!((code(&reply), told(&request, &reply, &mobile)), (Code::HA_IDENTIFICATION, Some(21)));
    assert!(bench.shared(request, 1, &agent).is_none());
}

#[test]
fn a_realm_key_is_opened_only_behind_a_valid_34() {
    let request = by_realm_key(0, 0, &offer(1)).bytes();
    let mut bench = strict(0);
    bench.receive(
        SocketAddrV4::new(FA[0], 434),
        &relay_with(request.clone(), 0, handle(1), false, Some(offer(2).value())),
    );
    let mut wrong = relay_with(request, 0, handle(1), true, Some(offer(2).value()));
    *wrong.last_mut().unwrap() ^= 1;
    bench.receive(SocketAddrV4::new(FA[0], 434), &wrong);
    assert!(bench.nothing_changed());
    assert_eq!(bench.count_of("realm key without proof"), 2);
}

#[test]
fn a_realm_key_request_of_somebody_else_is_silence() {
    // Sealed right, for a subscriber that is not there; and under another KEY 0.
    let mut bench = strict(0);
    let stranger = Ask { user: "nobody", ..by_realm_key(0, 0, &offer(1)) };
    assert!(bench.shared(stranger.bytes(), 1, &offer(2)).is_none());
    let mut forged = by_realm_key(0, 0, &offer(1)).bytes();
    *forged.last_mut().unwrap() ^= 1;
    assert!(bench.shared(forged, 1, &offer(2)).is_none());
    let mut unknown = by_realm_key(0, 0, &offer(1));
    unknown.spi = Spi(301);
    assert!(bench.shared(unknown.bytes(), 1, &offer(2)).is_none());
    let shareless = Ask { share: None, ..by_realm_key(0, 0, &offer(1)) };
    assert!(bench.shared(shareless.bytes(), 1, &offer(2)).is_none());
    assert!(bench.nothing_changed());
    assert_eq!(bench.count_of("not authenticated"), 4);
}

#[test]
fn requests_by_realm_key_are_counted_for_each_agent() {
    let mut bench = strict(0);
    for n in 0..25 {
        let stranger = Ask { user: "nobody", ..by_realm_key(0, 0, &offer(n)) };
        bench.shared(stranger.bytes(), 1, &offer(2));
    }
    assert_eq!(bench.count_of("realm key too often"), 5);
}

#[test]
fn a_co_located_node_shows_by_a_cookie_that_it_receives() {
    let source = SocketAddrV4::new(Ipv4Addr::new(10, 53, 1, 2), 40_000);
    let mobile = offer(1);
    let ask = Ask {
        flags: Flags::REVERSE_TUNNEL | Flags::DECAPSULATION,
        heard: None,
        udp: colocated(0).udp,
        care_of: colocated(0).care_of,
        ..by_realm_key(0, 0, &mobile)
    };
    let request = ask.bytes();
    let with = |cookie: Cookie| {
        let mut w = Writer::after(request.clone());
        cookie.emit(&mut w, NUMBERS).unwrap();
        w.into_bytes()
    };
    let mut bench = strict(0);
    bench.receive(source, &request);
    let asked_for = bench.sent[0].1.clone();
    assert!(asked_for.len() < request.len() && bench.asked.is_empty() && bench.committed.is_empty());
    let (cookie, numbers) = Cookie::alone_in(&asked_for, DOCUMENTATION_VENDOR).unwrap();
    assert_eq!(numbers, NUMBERS);
    // From elsewhere, and with any byte changed, it is asked for again.
    let elsewhere = SocketAddrV4::new(*source.ip(), 40_001);
    bench.receive(elsewhere, &with(cookie));
    for i in 0..16 {
        let mut changed = cookie;
        changed.0[i] ^= 1;
        bench.receive(source, &with(changed));
    }
    assert_eq!(bench.count_of("cookies"), 18);
    assert!(bench.asked.is_empty() && bench.committed.is_empty());
    let before = bench.sent.len();
    bench.receive(source, &with(cookie));
    let reply = bench.sent[before].1.clone();
    assert_eq!((code(&reply), told(&request, &reply, &mobile)), (Code::ACCEPTED, Some(1)));
}

#[test]
fn cookies_grow_old() {
    let source = SocketAddrV4::new(Ipv4Addr::new(10, 53, 1, 2), 40_000);
    let good_after = |seconds: u64| {
        let mut bench = strict(0);
        let ask = |seconds| Ask { heard: None, ..by_realm_key(0, seconds, &offer(1)) };
        bench.receive(source, &ask(0).bytes());
        let (cookie, _) = Cookie::alone_in(&bench.sent[0].1, DOCUMENTATION_VENDOR).unwrap();
        bench.now = at(seconds);
        let mut w = Writer::after(ask(0).bytes());
        cookie.emit(&mut w, NUMBERS).unwrap();
        let before = bench.count_of("cookies");
        bench.receive(source, &w.into_bytes());
        bench.count_of("cookies") == before
    };
    assert!(good_after(0) && good_after(29) && good_after(59));
    assert!(!good_after(61));
}

#[test]
fn key_0_before_a_rotation_counts_until_its_overlap_is_over() {
    let rotated = || Subscriber {
        key0: Key::new([2; 32]),
        spi: Spi(9999),
        generation: 1,
        retiring: Some(RetiringKey { key0: Key::new([1; 32]), spi: SPI, generation: 0, ends: NOW + 100 }),
        ..private()
    };
    for (seconds, counts) in [(0, true), (99, true), (100, false)] {
        let mut bench = Bench::with(State { subscribers: vec![rotated()], ..State::default() }, at(seconds));
        let reply = bench.through(0, one_time(1, seconds, &offer(1)).bytes(), 1);
        assert_eq!(reply.is_some_and(|r| code(&r) == Code::ACCEPTED), counts, "{seconds}");
        if counts {
            let generation = bench.committed.iter().find_map(|c| match c {
                Change::Identification { generation, .. } => Some(*generation),
                _ => None,
            });
            assert_eq!(generation, Some(0));
        }
    }
    // A rotation that keeps the old key for an overlap keeps the binding, one that does not ends it.
    for (change, stands) in [(rotated(), true), (Subscriber { retiring: None, ..rotated() }, false)] {
        let mut bench = strict(0);
        bench.shared(one_time(1, 0, &offer(1)).bytes(), 1, &offer(2)).unwrap();
        bench.input(Input::Request(Request::Subscribers {
            changed: vec![change],
            realm_keys: vec![],
            cursor: 9,
            complete: false,
        }));
        assert_eq!(bench.agent.bindings().count() == 1, stands);
    }
}

#[test]
fn realm_keys_come_and_go_with_the_subscribers() {
    let mut bench = strict(0);
    let newer = RealmKey { id: Spi(301), secret: Key::new([91; 32]), ends: None, made: 1, change: 2 };
    let hand_over = |bench: &mut Bench, realm_keys, complete| {
        let changed = vec![private()];
        bench.input(Input::Request(Request::Subscribers { changed, realm_keys, cursor: 2, complete }));
        bench.agent.realm_keys().map(|key| key.id.0).collect::<Vec<_>>()
    };
    assert_eq!(hand_over(&mut bench, vec![newer], false), [300, 301]);
    let ended = RealmKey { ends: Some(NOW), ..realm_key() };
    assert_eq!(hand_over(&mut bench, vec![ended], false), [301]);
    assert_eq!(hand_over(&mut bench, vec![realm_key()], true), [300], "what is not named any more is gone");
    assert!(bench.committed.iter().any(|c| matches!(c, Change::RemoveRealmKey(Spi(301)))));
}
