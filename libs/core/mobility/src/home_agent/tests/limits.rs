//! How much of a home agent may be used by whom, and what strangers leave behind: nothing.

use wire::mip::share::Cookie;

use super::*;
use crate::admission::{Rate, Watermark};

const FAR: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 168, 77, 10), 5000);
const SOURCE: [SocketAddrV4; 2] = [SocketAddrV4::new(FA[0], 434), SocketAddrV4::new(FA[1], 434)];

/// One of many.
pub(super) fn another(n: u8) -> Subscriber {
    Subscriber {
        nai: Nai::parse(&format!("traveller-{n}@home.example")).unwrap(),
        key0: Key::new([n; 32]),
        spi: Spi(5000 + u32::from(n)),
        home_address: Ipv4Addr::new(10, 11, 1, 100 + n),
        ..subscriber()
    }
}

/// What one of many sends.
pub(super) fn by(n: u8, ask: Ask) -> Vec<u8> {
    let of = another(n);
    let user = String::leak(of.nai.user().to_owned());
    Ask { user, wanted: of.home_address, spi: of.spi, ..ask }.bytes_by(&MobileHome::of(&of))
}

/// A home agent of a hundred subscribers whose key distribution centre says nothing until it is told to.
struct Crowd {
    agent: HomeAgent,
    now: Now,
    asked: Vec<Ticket>,
    sent: Vec<Vec<u8>>,
    notices: usize,
}

impl Crowd {
    fn new(limits: Limits) -> Self {
        let subscribers = (1..=100).map(another).collect();
        let config = Config { limits, max_bindings: 1000, ..config() };
        let agent = HomeAgent::new(config, [3; 32], State { subscribers, ..State::default() }, at(0));
        Self { agent, now: at(0), asked: vec![], sent: vec![], notices: 0 }
    }

    fn handle(&mut self, input: Input<'_, Request>) {
        self.agent.handle(input, self.now);
        let mut committed = Vec::new();
        loop {
            match self.agent.poll() {
                Output::Wait(_) => break,
                Output::Send(Transmit::Udp { payload, .. }) => self.sent.push(payload),
                Output::Effect(Effect::Persist { ticket, .. }) => committed.push(ticket),
                Output::Effect(Effect::AskKdc { ticket, .. }) => self.asked.push(ticket),
                Output::Effect(Effect::Notify(_)) => self.notices += 1,
                Output::Send(_) | Output::Effect(_) => {}
            }
        }
        for ticket in committed {
            self.handle(Input::Request(Request::Persisted { ticket, result: Ok(()) }));
        }
    }

    fn receive(&mut self, source: SocketAddrV4, payload: &[u8]) -> Option<Vec<u8>> {
        let before = self.sent.len();
        let destination = SocketAddrV4::new(HA, 434);
        self.handle(Input::Datagram(Datagram::Udp { source, destination, payload }));
        self.sent.get(before).cloned()
    }

    /// Through an agent.
    fn through(&mut self, agent: usize, n: u8) -> Option<Code> {
        let ask = Ask { care_of: FA[agent], heard: Some(FA_NAI[agent]), ..self.ask() };
        let message = relay(by(n, ask), agent, handle(n.into()), true);
        self.receive(SOURCE[agent], &message).map(|reply| code(&reply))
    }

    /// By itself.
    fn alone(&mut self, n: u8, source: SocketAddrV4) -> Option<Code> {
        let ask = Ask { care_of: *source.ip(), ..colocated(self.seconds()) };
        self.receive(source, &by(n, ask)).map(|reply| code(&reply))
    }

    fn ask(&self) -> Ask {
        ask(self.seconds())
    }

    fn seconds(&self) -> u64 {
        self.now.unix.as_secs() - NOW
    }

    /// All keys that were asked for come.
    fn keys_come(&mut self) {
        for ticket in std::mem::take(&mut self.asked) {
            let key = |n| Key::new([n; 32]);
            let keys = Keys { key1: Some(key(1)), key2: Some(key(2)), key3: Some(key(3)), ..Keys::default() };
            self.handle(Input::Request(Request::Keys { ticket, result: Ok(keys) }));
        }
    }

    fn count(&self, name: &str) -> u64 {
        self.agent.counters().get(name).copied().unwrap_or(0)
    }
}

const ROOM: Option<Code> = Some(Code::HA_RESOURCES);

#[test]
fn what_waits_is_bounded_in_all_by_agent_and_by_address() {
    let limits = Limits { pending: 12, pending_agent: 5, pending_source: 3, ..Limits::default() };
    let mut crowd = Crowd::new(limits);
    let answers: Vec<_> = (1..=8).map(|n| crowd.through(0, n)).collect();
    assert_eq!(answers, [None, None, None, None, None, ROOM, ROOM, ROOM]);
    assert_eq!(crowd.through(1, 11), None, "another agent has its own share");
    let answers: Vec<_> = (21..=25).map(|n| crowd.alone(n, FAR)).collect();
    assert_eq!(answers, [None, None, None, ROOM, ROOM]);
    let other = |n| SocketAddrV4::new(Ipv4Addr::new(192, 168, 77, n), 5000);
    assert_eq!((31..=35).filter(|n| crowd.alone(*n, other(*n)).is_none()).count(), 3);
    assert_eq!((crowd.agent.pending(), crowd.count("turned away: pending")), (12, 2));
    assert_eq!(crowd.count("turned away: pending of one agent"), 3);
    assert_eq!(crowd.count("turned away: pending of one address"), 2);
    // Whoever was turned away is served with the very same bytes once there is room: nothing was kept of it.
    crowd.keys_come();
    assert_eq!((crowd.agent.pending(), crowd.agent.registrations(crowd.now).most_pending), (0, 12));
    assert_eq!(crowd.through(0, 6), None);
    crowd.keys_come();
    assert_eq!(crowd.agent.bindings().count(), 13);
}

#[test]
fn one_node_has_four_requests_waiting_at_most() {
    let mut crowd = Crowd::new(Limits::default());
    let answers = (0..6).map(|low| {
        let identification = Identification::new(ntp_seconds(NOW), low);
        let message = relay(by(1, Ask { identification, ..ask(0) }), 0, handle(low), true);
        crowd.receive(SOURCE[0], &message).map(|reply| code(&reply))
    });
    assert_eq!(answers.collect::<Vec<_>>(), [None, None, None, None, ROOM, ROOM]);
    assert_eq!(crowd.through(0, 2), None);
}

#[test]
fn keys_that_never_come_make_room_again() {
    let mut crowd = Crowd::new(Limits { pending: 2, ..Limits::default() });
    assert_eq!((1..=3).map(|n| crowd.through(0, n)).collect::<Vec<_>>(), [None, None, ROOM]);
    crowd.now = at(11);
    crowd.handle(Input::Tick);
    assert_eq!((crowd.agent.pending(), crowd.agent.footprint()["pending"]), (0, 0));
    assert_eq!(crowd.through(0, 3), None);
}

#[test]
fn rates_hold_for_agents_addresses_and_all() {
    let mut crowd = Crowd::new(Limits { rate_agent: Rate(4), ..Limits::default() });
    let served = |crowd: &mut Crowd, agent, from: u8| {
        (from..from + 10).filter(|n| crowd.through(agent, *n).is_none()).count()
    };
    assert_eq!((served(&mut crowd, 0, 1), served(&mut crowd, 1, 11)), (4, 4));
    crowd.now = at(1);
    assert_eq!(served(&mut crowd, 0, 21), 4);
    assert_eq!(crowd.count("turned away: rate of one agent"), 18);
    let mut crowd = Crowd::new(Limits { rate_source: Rate(2), ..Limits::default() });
    assert_eq!((1..=10).filter(|n| crowd.alone(*n, FAR).is_none()).count(), 2);
    assert_eq!(served(&mut crowd, 0, 11), 10, "agents are another matter");
    let mut crowd = Crowd::new(Limits { rate: Rate(6), ..Limits::default() });
    assert_eq!(served(&mut crowd, 0, 1) + served(&mut crowd, 1, 11), 6);
    crowd.keys_come();
    // Who leaves makes room, and is never turned away for his rate.
    let leave =
        by(1, Ask { lifetime: 0, identification: Identification::new(ntp_seconds(NOW), 99), ..ask(0) });
    let left = crowd.receive(SOURCE[0], &relay(leave, 0, handle(99), true)).unwrap();
    assert_eq!((code(&left), crowd.agent.bindings().count()), (Code::ACCEPTED, 5));
}

#[test]
fn by_default_twenty_thousand_a_second_through_one_agent_are_served() {
    let mut crowd = Crowd::new(Limits::default());
    for n in 0..2000_u64 {
        crowd.now.mono = crowd.now.mono + Duration::from_micros(50);
        let low = u32::try_from(n).unwrap();
        let one = (n % 100) as u8 + 1;
        let identification = Identification::new(ntp_seconds(NOW), low);
        let message = relay(by(one, Ask { identification, ..ask(0) }), 0, handle(low), true);
        assert!(crowd.receive(SOURCE[0], &message).is_none(), "{n}");
        crowd.keys_come();
    }
    assert_eq!(crowd.count("registrations accepted"), 2000);
}

#[test]
fn bindings_through_one_agent_are_bounded_and_may_be_renewed() {
    let mut crowd = Crowd::new(Limits { bindings_agent: 3, ..Limits::default() });
    assert_eq!((1..=5).map(|n| crowd.through(0, n)).collect::<Vec<_>>(), [None; 5], "keys are asked for");
    crowd.keys_come();
    crowd.now = at(1);
    let answers: Vec<_> = (6..=7).map(|n| crowd.through(0, n)).collect();
    assert_eq!(answers, [ROOM, ROOM]);
    assert_eq!((crowd.through(0, 1), crowd.through(1, 8)), (None, None), "a renewal, and another agent");
}

#[test]
fn where_nothing_is_proved_a_cookie_is_asked_for_and_the_honest_get_through() {
    let mut crowd = Crowd::new(Limits { failures_source: Rate(10), ..Limits::default() });
    let mut forged = by(1, Ask { care_of: *FAR.ip(), ..colocated(0) });
    *forged.last_mut().unwrap() ^= 1;
    for _ in 0..100 {
        crowd.receive(FAR, &forged);
    }
    assert!(crowd.sent.len() <= 50 && crowd.sent.iter().all(|sent| sent.len() < forged.len()));
    assert_eq!(crowd.count("not authenticated"), 10, "the rest was not looked at");
    // A node at that address, or whose address was forged, sends the same again with the cookie.
    let honest = by(2, Ask { care_of: *FAR.ip(), ..colocated(0) });
    crowd.now.mono = crowd.now.mono + Duration::from_millis(40);
    let asked_for = crowd.receive(FAR, &honest).unwrap();
    let (cookie, _) = Cookie::alone_in(&asked_for, DOCUMENTATION_VENDOR).unwrap();
    let mut w = Writer::after(honest);
    cookie.emit(&mut w, NUMBERS).unwrap();
    assert_eq!(crowd.receive(FAR, w.bytes()), None);
    crowd.keys_come();
    assert_eq!(crowd.agent.bindings().count(), 1);
    // Nobody else has to, agents least of all.
    let elsewhere = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 7), 5000);
    assert_eq!((crowd.alone(3, elsewhere), crowd.through(0, 4)), (None, None));
    assert_eq!(crowd.agent.pending(), 2);
    // Nor anybody there a while later.
    crowd.now = at(2);
    assert_eq!(crowd.alone(5, FAR), None);
    assert_eq!(crowd.agent.pending(), 3);
}

#[test]
fn under_load_whoever_comes_without_an_agent_needs_a_cookie() {
    let under_load = Watermark { pending: 4, failures: 0 };
    let mut crowd = Crowd::new(Limits { under_load, ..Limits::default() });
    (1..=4).for_each(|n| assert_eq!(crowd.through(0, n), None));
    assert_eq!(crowd.alone(11, FAR), Some(Code::HA_UNSPECIFIED));
    assert!(crowd.agent.under_load() && Cookie::alone_in(&crowd.sent[0], DOCUMENTATION_VENDOR).is_some());
    assert_eq!(crowd.agent.pending(), 4);
    assert_eq!(crowd.through(0, 5), None, "an agent vouches for this one");
    crowd.keys_come();
    assert_eq!(crowd.alone(12, FAR), None);
    assert!(!crowd.agent.under_load());
    assert_eq!(crowd.count("changes of load"), 2);
    // The same by requests that prove nothing, whatever address they seem to come from.
    let under_load = Watermark { pending: 0, failures: 1000 };
    let mut crowd = Crowd::new(Limits { under_load, ..Limits::default() });
    let mut message = by(1, Ask { care_of: *FAR.ip(), ..colocated(0) });
    *message.last_mut().unwrap() ^= 1;
    for n in 0..2000_u32 {
        crowd.receive(SocketAddrV4::new(Ipv4Addr::from_bits(0xc633_0000 + n), 5000), &message);
    }
    assert!(crowd.agent.under_load());
    let looked_at = crowd.count("not authenticated");
    assert_eq!((looked_at, crowd.count("cookies")), (1000, 1000), "from the thousandth on");
    crowd.now = at(2);
    assert_eq!(crowd.alone(12, FAR), None);
    assert!(!crowd.agent.under_load());
}

#[test]
fn a_wrong_34_is_looked_behind_only_so_often() {
    let mut crowd = Crowd::new(Limits::default());
    for n in 0..200_u32 {
        let identification = Identification::new(ntp_seconds(NOW), n);
        let mut message = relay(by(1, Ask { identification, ..ask(0) }), 0, handle(n), true);
        *message.last_mut().unwrap() ^= 1;
        crowd.receive(SOURCE[0], &message);
    }
    assert_eq!(crowd.count("34 is wrong too often"), 150);
    assert_eq!((crowd.count("code 132"), crowd.sent.len()), (50, 50));
    assert_eq!(crowd.through(0, 2), None, "the agent itself is heard as ever");
}

#[test]
fn what_came_before_is_answered_only_so_often() {
    let mut crowd = Crowd::new(Limits::default());
    assert_eq!(crowd.through(0, 1), None);
    crowd.keys_come();
    let sent = crowd.sent.len();
    let answered = (0..100).filter(|_| crowd.through(0, 1).is_some()).count();
    assert_eq!((answered, crowd.sent.len() - sent), (5, 5));
    assert_eq!(crowd.count("repeated too often"), 95);
    // Nor are ever other requests of long ago.
    crowd.now = at(60);
    for n in 0..100 {
        let identification = Identification::new(ntp_seconds(NOW), n);
        let message = relay(by(1, Ask { identification, ..ask(0) }), 0, handle(n), true);
        crowd.receive(SOURCE[0], &message);
    }
    assert_eq!(crowd.count("code 133"), 5);
    assert!(crowd.agent.footprint()["refused transcripts"] <= 8);
}

#[test]
fn strangers_leave_nothing_behind_and_fill_no_log() {
    let mut crowd = Crowd::new(Limits::default());
    assert_eq!(crowd.through(0, 1), None);
    crowd.keys_come();
    crowd.now = at(1);
    let good = relay(by(2, ask(1)), 0, handle(2), true);
    let mut rng = Rng::from_seed([8; 32]);
    let (before, notices) = (crowd.agent.footprint(), crowd.notices);
    for n in 0..30_000_u32 {
        let mut message = good.clone();
        match n % 6 {
            0 => message.truncate((n as usize / 6) % good.len()),
            1 => rng.fill(&mut message),
            2 => message[40..60].copy_from_slice(&rng.array::<20>()),
            3 => *message.last_mut().unwrap() ^= 1,
            4 => message[20..24].copy_from_slice(&n.to_be_bytes()),
            _ => message[0] = [7, 15][n as usize % 2],
        }
        let from = SocketAddrV4::new(Ipv4Addr::from_bits(rng.u32()), 434);
        crowd.receive(if n % 2 == 0 { SOURCE[0] } else { from }, &message);
        crowd.now.mono = crowd.now.mono + Duration::from_micros(10);
    }
    let mut after = crowd.agent.footprint();
    assert!(after["counters"] < 30 && after["nodes counted"] <= 2, "{after:?}");
    after.insert("counters", before["counters"]);
    // Wrong 34 over a right 32 was answered with code 132: that is the one node more.
    after.insert("nodes counted", before["nodes counted"]);
    after.insert("repeats", before["repeats"]);
    assert_eq!(after, before);
    assert!(crowd.notices - notices < 20 * 2 + 60, "{}", crowd.notices - notices);
    assert_eq!(crowd.through(0, 3), None);
}

#[test]
fn figures_tell_of_nodes_of_minutes_and_of_keys() {
    let mut crowd = Crowd::new(Limits::default());
    assert_eq!((crowd.through(0, 1), crowd.through(0, 2)), (None, None));
    crowd.now.mono = crowd.now.mono + Duration::from_millis(30);
    crowd.keys_come();
    let bad =
        by(1, Ask { home_agent: FA[1], identification: Identification::new(ntp_seconds(NOW), 78), ..ask(0) });
    crowd.receive(SOURCE[0], &relay(bad, 0, handle(9), true));
    let nodes: Vec<_> =
        crowd.agent.nodes().map(|(nai, counted)| (nai.as_str().to_owned(), *counted)).collect();
    let accepted = Counted { accepted: 1, accepted_at: NOW, ..Counted::default() };
    let denied = Counted { denied: 1, denied_at: NOW, denied_code: 136, ..accepted };
    let name = |n: u8| another(n).nai.as_str().to_owned();
    assert_eq!(nodes, [(name(1), denied), (name(2), accepted)]);
    let figures = crowd.agent.registrations(crowd.now);
    assert_eq!((figures.minute, figures.most_in_a_minute, figures.keys), (2, 2, 2));
    assert_eq!(
        (figures.keys_mean, figures.keys_longest),
        (Duration::from_millis(30), Duration::from_millis(30))
    );
    assert_eq!((crowd.count("registrations accepted"), crowd.count("code 136")), (2, 1));
    assert_eq!(crowd.agent.registrations(at(70)).minute, 0);
    // Who is no subscriber any more is not counted either.
    let changed = vec![Subscriber { state: SubscriberState::Revoked, change: 2, ..another(1) }];
    let request = Request::Subscribers { changed, realm_keys: vec![], cursor: 2, complete: false };
    crowd.handle(Input::Request(request));
    assert_eq!(crowd.agent.nodes().count(), 1);
}
