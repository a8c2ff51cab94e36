//! Rules of the RFCs that no other test shows (docs/conformance.md).

use sansio::Transmit;
use wire::{
    ip,
    mip::advertisement::{
        ALL_ROUTERS, ALL_SYSTEMS, Advertisement, AgentFlags, CODE_MOBILE_ONLY, Solicitation,
    },
};

use super::*;

const ALL_SYSTEMS_LINK: LinkAddress = [1, 0, 0x5e, 0, 0, 1];
const LINK: LinkId = LinkId(0);
const FAR: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 53, 1, 2), 40_000);

/// A home agent that only advertises, and what it sent, with the time of each.
struct Beacon {
    agent: HomeAgent,
    now: Now,
    wait: Option<Instant>,
    sent: Vec<(Instant, LinkId, LinkAddress, Vec<u8>)>,
}

impl Beacon {
    fn new() -> Self {
        let state = State { subscribers: vec![subscriber()], ..State::default() };
        let agent = HomeAgent::new(config(), [3; 32], state, at(0));
        let mut beacon = Self { agent, now: at(0), wait: None, sent: Vec::new() };
        beacon.input(Input::Tick);
        beacon
    }

    fn input(&mut self, input: Input<'_, Request>) {
        self.agent.handle(input, self.now);
        loop {
            match self.agent.poll() {
                Output::Send(Transmit::Link { link, to, packet }) => {
                    self.sent.push((self.now.mono, link, to, packet));
                }
                Output::Send(Transmit::Udp { .. }) => panic!("a reply without a request"),
                Output::Effect(_) => {}
                Output::Wait(at) => return self.wait = at,
            }
        }
    }

    fn solicited(&mut self, link: LinkId) {
        let packet = ip::icmp_packet(Ipv4Addr::UNSPECIFIED, ALL_ROUTERS, 1, &Solicitation.to_vec()).unwrap();
        self.input(Input::Datagram(Datagram::Link { link, from: [2, 0, 0, 0, 0, 9], packet: &packet }));
    }

    /// Goes on to the moment that the agent wants to be woken at.
    fn next(&mut self) {
        self.now.mono = self.wait.unwrap();
        self.input(Input::Tick);
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now.mono + time;
        while self.wait.is_some_and(|at| at <= end) {
            self.next();
        }
        self.now.mono = end;
    }

    fn heard(&self) -> Vec<Advertisement> {
        let read = |(_, link, to, packet): &(Instant, LinkId, LinkAddress, Vec<u8>)| {
            assert_eq!((*link, *to), (LINK, ALL_SYSTEMS_LINK));
            let icmp = ip::parse_icmp(packet).unwrap();
            assert_eq!((icmp.source, icmp.destination, icmp.ttl), (HA, ALL_SYSTEMS, 1));
            Advertisement::parse(icmp.message).unwrap()
        };
        self.sent.iter().map(read).collect()
    }
}

#[test]
fn an_advertisement_says_home_agent_and_no_more() {
    let beacon = Beacon::new();
    let heard = beacon.heard().pop().unwrap();
    assert_eq!((heard.code, heard.routers.len(), heard.routers[0].address), (CODE_MOBILE_ONLY, 1, HA));
    assert_eq!(heard.prefix_lengths(), [24]);
    let agent = heard.agent().unwrap();
    assert!(agent.flags.has(AgentFlags::HOME_AGENT) && agent.care_of.is_empty());
    for flag in [AgentFlags::FOREIGN_AGENT, AgentFlags::BUSY, AgentFlags::REGISTRATION_REQUIRED] {
        assert!(!agent.flags.has(flag));
    }
}

#[test]
fn an_advertisement_holds_for_three_intervals() {
    for (interval, lifetime) in [(20, 3), (1000, 3), (1001, 4), (1500, 5), (2900, 9), (600_000, 1800)] {
        let config = Config { advertisement_interval: Duration::from_millis(interval), ..config() };
        let mut beacon = Beacon::new();
        beacon.sent.clear();
        beacon.agent = HomeAgent::new(config, [3; 32], State::default(), at(0));
        beacon.input(Input::Tick);
        assert_eq!(beacon.heard()[0].lifetime, lifetime, "{interval} ms");
    }
}

#[test]
fn advertisements_are_jittered_and_turn_to_256() {
    let mut beacon = Beacon::new();
    while beacon.sent.len() < 0x1_0000 + 3 {
        beacon.next();
    }
    let times: Vec<Instant> = beacon.sent.iter().map(|(at, ..)| *at).collect();
    let gaps: Vec<Duration> = times.windows(2).map(|w| w[1] - w[0]).collect();
    let second = Duration::from_secs(1);
    assert!(gaps.iter().all(|gap| *gap >= second * 7 / 8 && *gap <= second));
    assert!(gaps.iter().any(|gap| *gap != gaps[0]));
    let heard = beacon.heard();
    let number = |n: usize| heard[n].agent().unwrap().sequence;
    assert_eq!([0, 1, 2].map(number), [0, 1, 2]);
    assert_eq!([0xffff, 0x1_0000, 0x1_0001].map(number), [0xffff, 256, 257]);
}

#[test]
fn a_solicitation_brings_the_next_advertisement_forward() {
    let mut beacon = Beacon::new();
    beacon.pass(Duration::from_millis(300));
    assert_eq!(beacon.sent.len(), 1);
    beacon.solicited(LINK);
    assert_eq!(beacon.sent.len(), 2, "at once");
    let begun = beacon.now.mono;
    while beacon.now.mono - begun < Duration::from_millis(100) {
        beacon.solicited(LINK);
        beacon.pass(Duration::from_millis(1));
    }
    assert!(beacon.sent.len() <= 2 + 5, "{} in a tenth of a second", beacon.sent.len());
}

#[test]
fn a_home_agent_speaks_on_its_home_link_only() {
    let mut beacon = Beacon::new();
    beacon.pass(Duration::from_millis(300));
    beacon.solicited(LinkId(7));
    assert_eq!(beacon.heard().len(), 1, "nothing on another link, nor because of it");
}

#[test]
fn a_home_agent_that_nobody_asks_sends_no_reply() {
    let mut beacon = Beacon::new();
    let reply = registration::Reply {
        code: Code::ACCEPTED,
        lifetime: 600,
        home_address: HOME,
        home_agent: HA,
        identification: ask(0).identification,
    };
    let mut w = Writer::default();
    reply.emit(&mut w);
    let bytes = w.into_bytes();
    for payload in [&bytes[..], &[], &[1], &[4, 4, 0, 0, 0x45]] {
        let destination = SocketAddrV4::new(HA, 434);
        beacon.input(Input::Datagram(Datagram::Udp { source: FAR, destination, payload }));
    }
    beacon.pass(Duration::from_secs(100));
    assert!(beacon.heard().len() >= 100, "and goes on");
}

#[test]
fn a_request_without_32_is_met_with_silence() {
    let mut bench = bench();
    let mobile = ask(0).bytes();
    let without = &mobile[..mobile.len() - 38];
    bench.receive(FAR, without);
    bench.receive(SocketAddrV4::new(FA[0], 434), &relay(without.to_vec(), 0, handle(1), true));
    assert!(bench.nothing_changed());
}

#[test]
fn another_home_agent_field_is_denied_with_our_address() {
    for (seconds, field) in [(0, Ipv4Addr::new(10, 11, 1, 255)), (1, Ipv4Addr::new(10, 11, 1, 3))] {
        let mut bench = bench();
        bench.now = at(seconds);
        let reply = bench.through(0, Ask { home_agent: field, ..ask(seconds) }.bytes(), 1).unwrap();
        let reply = registration::Reply::parse(&reply).unwrap();
        assert_eq!((reply.code, reply.home_agent), (Code::HA_UNKNOWN_HOME_AGENT, HA));
    }
    let reply = bench().through(0, ask(0).bytes(), 1).unwrap();
    assert_eq!(registration::Reply::parse(&reply).unwrap().home_agent, HA, "our own is repeated");
}

#[test]
fn flag_b_is_no_reason_to_deny() {
    let asked = Ask { flags: Flags::BROADCAST | Flags::REVERSE_TUNNEL, ..ask(0) };
    assert!(code(&bench().through(0, asked.bytes(), 1).unwrap()).accepted());
}

#[test]
fn a_challenge_behind_32_is_no_reason_to_deny() {
    let mut w = Writer::after(ask(0).bytes());
    extension::put(&mut w, extension::MN_FA_CHALLENGE, &[5; 8]).unwrap();
    let reply = bench().through(0, w.into_bytes(), 1).unwrap();
    assert_eq!(code(&reply), Code::ACCEPTED);
    assert!(Parts::parse(&reply, 20, DOCUMENTATION_VENDOR).unwrap().foreign.challenge.is_none());
}

#[test]
fn a_reply_repeats_the_realm() {
    for request in [ask(0), Ask { flags: Flags::GRE, ..ask(0) }] {
        let reply = bench().through(0, request.bytes(), 1).unwrap();
        let parts = Parts::parse(&reply, 20, DOCUMENTATION_VENDOR).unwrap();
        assert_eq!(parts.mobile.clear_nai, Some(&b"@home.example"[..]));
    }
}

#[test]
fn a_binding_knows_its_reverse_tunnel() {
    for (flags, reverse) in [(0, false), (Flags::REVERSE_TUNNEL, true)] {
        let mut bench = bench();
        bench.through(0, Ask { flags, ..ask(0) }.bytes(), 1).unwrap();
        let binding = bench.agent.bindings().next().unwrap();
        assert_eq!((binding.reverse_tunnel, binding.tunnel), (reverse, Tunnel::IpInIp(FA[0])));
    }
}

#[test]
fn the_end_of_a_binding_makes_no_reply() {
    let mut bench = bench();
    bench.through(0, Ask { lifetime: 20, ..ask(0) }.bytes(), 1).unwrap();
    bench.now = at(21);
    bench.input(Input::Tick);
    assert_eq!((bench.agent.bindings().count(), bench.sent.len()), (0, 1));
}

#[test]
fn a_repeated_request_makes_no_lifetime_longer() {
    let mut bench = bench();
    let request = Ask { lifetime: 60, ..ask(0) }.bytes();
    bench.through(0, request.clone(), 1).unwrap();
    bench.now = at(20);
    bench.through(0, request.clone(), 1).unwrap();
    assert_eq!(bench.agent.lifetime_left(HOME, FA[0], bench.now), Some(40));
    bench.now = at(40);
    bench.through(0, request, 1);
    assert_eq!(bench.agent.lifetime_left(HOME, FA[0], bench.now), Some(20));
}

#[test]
fn a_deregistration_is_answered_once_to_its_sender() {
    let mut bench = bench();
    bench.through(0, ask(0).bytes(), 1).unwrap();
    bench.now = at(1);
    let home = Ask { flags: 0, lifetime: 0, home_address: HOME, care_of: HOME, heard: None, ..ask(1) };
    let source = SocketAddrV4::new(HOME, 5000);
    bench.receive(source, &home.bytes());
    let to: Vec<SocketAddrV4> = bench.sent[1..].iter().map(|(to, _)| *to).collect();
    assert_eq!(to, [source], "the foreign agent that is left hears nothing");
}

/// Drives a home agent through one request; what it sent, and what it told its operator.
fn sent_and_told(
    agent: &mut HomeAgent,
    source: SocketAddrV4,
    payload: &[u8],
    now: Now,
) -> (Vec<Transmit>, Vec<Event>) {
    let destination = SocketAddrV4::new(HA, 434);
    agent.handle(Input::Datagram(Datagram::Udp { source, destination, payload }), now);
    let (mut sent, mut told) = (Vec::new(), Vec::new());
    loop {
        match agent.poll() {
            Output::Effect(Effect::AskKdc { ticket, .. }) => {
                let key = |octet| Some(Key::new([octet; 32]));
                let keys = Keys { key1: key(10), key2: key(11), key3: key(12), ..Keys::default() };
                let result = Ok(keys);
                agent.handle(Input::Request(Request::Keys { ticket, result }), now);
            }
            Output::Effect(Effect::Exchange { ticket, exchanges }) => {
                let results = exchanges.finish();
                agent.handle(Input::Request(Request::Exchanged { ticket, results }), now);
            }
            Output::Effect(Effect::Persist { ticket, .. }) => {
                agent.handle(Input::Request(Request::Persisted { ticket, result: Ok(()) }), now);
            }
            Output::Effect(Effect::Notify(event)) => told.push(event),
            Output::Effect(
                Effect::Tunnel(_)
                | Effect::Acknowledge(_)
                | Effect::Refresh { .. }
                | Effect::Answered { .. }
                | Effect::Meter { .. },
            ) => {}
            Output::Send(transmit) => sent.push(transmit),
            Output::Wait(_) => return (sent, told),
        }
    }
}

fn agent() -> HomeAgent {
    let mut agent = bench().agent;
    while !matches!(agent.poll(), Output::Wait(_)) {}
    agent.handle(Input::Tick, at(0));
    while !matches!(agent.poll(), Output::Wait(_)) {}
    agent
}

#[test]
fn a_reply_comes_from_the_home_agents_address() {
    let request = relay(ask(0).bytes(), 0, handle(1), true);
    let (sent, _) = sent_and_told(&mut agent(), SocketAddrV4::new(FA[0], 434), &request, at(0));
    let [Transmit::Udp { source, destination, payload }] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!((*source, *destination), (SocketAddrV4::new(HA, 434), SocketAddrV4::new(FA[0], 434)));
    assert_eq!(registration::Reply::parse(payload).unwrap().home_agent, HA);
}

#[test]
fn a_denied_return_is_told_on_the_home_link_and_leaves_the_binding() {
    let mut agent = agent();
    let relayed = relay(ask(0).bytes(), 0, handle(1), true);
    sent_and_told(&mut agent, SocketAddrV4::new(FA[0], 434), &relayed, at(0));
    let home = Ask { flags: 0x04, lifetime: 0, home_address: HOME, care_of: HOME, heard: None, ..ask(0) };
    let home = Ask { identification: Identification::new(ntp_seconds(NOW) + 1, 78), ..home };
    let (sent, _) = sent_and_told(&mut agent, SocketAddrV4::new(HOME, 5000), &home.bytes(), at(0));
    let [Transmit::Link { link, to, packet }] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!((*link, *to), (LINK, [2, 0, 0, 0, 0, 9]), "past the routes, which lead into the tunnel");
    let udp = ip::parse_udp(packet).unwrap();
    assert_eq!((udp.destination, code(udp.payload)), (SocketAddrV4::new(HOME, 5000), Code::HA_BAD_REQUEST));
    assert_eq!(agent.bindings().next().unwrap().care_of, FA[0]);
}

#[test]
fn what_fails_is_told_to_the_operator() {
    let source = SocketAddrV4::new(FA[0], 434);
    let good = relay(ask(0).bytes(), 0, handle(1), true);
    let mut wrong_32 = good.clone();
    wrong_32[30] ^= 1;
    let early = Ask { identification: Identification::new(ntp_seconds(NOW - 60), 5), ..ask(0) };
    for (source, request, kind) in [
        (source, wrong_32, EventKind::Discarded),
        (source, relay(early.bytes(), 0, handle(1), true), EventKind::Denied),
        (source, relay(ask(0).bytes(), 0, handle(1), false), EventKind::Denied),
        (FAR, good, EventKind::Discarded),
    ] {
        let (_, told) = sent_and_told(&mut agent(), source, &request, at(0));
        assert_eq!(told.iter().map(|event| event.kind).collect::<Vec<_>>(), [kind]);
    }
}

fn udp(forced: bool, encapsulation: u8) -> Option<UdpTunnelRequest> {
    Some(UdpTunnelRequest { forced, through_foreign_agent: false, encapsulation })
}

#[test]
fn a_forced_udp_tunnel_is_granted_without_a_nat() {
    let mut bench = bench();
    let direct = SocketAddrV4::new(colocated(0).care_of, 40_000);
    bench.receive(direct, &Ask { udp: udp(true, 4), ..colocated(0) }.bytes());
    let reply = bench.sent.pop().unwrap().1;
    let parts = Parts::parse(&reply, 20, DOCUMENTATION_VENDOR).unwrap();
    assert!(parts.mobile.udp_reply.unwrap().tunnels());
    assert_eq!(
        bench.tunnels,
        [bound_to([BoundTunnel { tunnel: Tunnel::Udp(direct), broadcasts: false, served: false }])]
    );
}

#[test]
fn an_encapsulation_in_udp_that_is_not_supported_is_denied() {
    for encapsulation in [1, 6, 99, 255] {
        let mut bench = bench();
        bench.receive(FAR, &Ask { udp: udp(false, encapsulation), ..colocated(0) }.bytes());
        assert_eq!(code(&bench.sent[0].1), Code::HA_UDP_UNAVAILABLE, "{encapsulation}");
        assert!(bench.tunnels.is_empty());
    }
}

/// What 144 leaves to M and G has to be what they say (RFC 3519 section 4.1).
#[test]
fn minimal_and_gre_in_udp_are_denied_and_never_silently_replaced() {
    let co_located = Flags::DECAPSULATION | Flags::REVERSE_TUNNEL;
    for flag in [Flags::MINIMAL, Flags::GRE] {
        for (encapsulation, granted) in [(0, false), (4, true)] {
            let mut bench = bench();
            let asked = Ask { flags: co_located | flag, udp: udp(false, encapsulation), ..colocated(0) };
            bench.receive(FAR, &asked.bytes());
            let expected = if granted { Code::ACCEPTED } else { Code::HA_UDP_UNAVAILABLE };
            assert_eq!(code(&bench.sent[0].1), expected, "{flag:02x} {encapsulation}");
            assert_eq!(bench.tunnels.len(), usize::from(granted));
        }
        // An agent's 144 leaves it to the flags too.
        let state = State { subscribers: vec![subscriber()], ..State::default() };
        let mut bench = Bench::of(Config { minimal: true, gre: true, ..config() }, state, at(0));
        let mut w = Writer::after(Ask { flags: Flags::REVERSE_TUNNEL | flag, ..ask(0) }.bytes());
        udp(true, 0).unwrap().emit(&mut w);
        let reply = bench.through(0, w.into_bytes(), 1).unwrap();
        assert_eq!(code(&reply), Code::HA_UDP_UNAVAILABLE);
        // Where UDP turns out not to be needed the flags decide.
        let direct = SocketAddrV4::new(colocated(1).care_of, 40_000);
        bench.now = at(1);
        bench.receive(direct, &Ask { flags: co_located | flag, ..colocated(1) }.bytes());
        let kind = if flag == Flags::GRE { "gre" } else { "minimal" };
        assert_eq!(bench.agent.bindings().next().unwrap().tunnel.name(), kind);
    }
}

#[test]
fn a_udp_request_in_the_wrong_part_is_denied() {
    // A mobile node's without D, through an agent.
    let mut bench = bench();
    let reply = bench.through(0, Ask { udp: udp(false, 0), ..ask(0) }.bytes(), 1).unwrap();
    assert_eq!(code(&reply), Code::HA_BAD_REQUEST);
    // An agent's for a mobile node with D.
    bench.now = at(1);
    let mut w = Writer::after(Ask { udp: None, heard: Some(FA_NAI[0]), ..colocated(1) }.bytes());
    udp(true, 0).unwrap().emit(&mut w);
    let reply = bench.through(0, w.into_bytes(), 2).unwrap();
    assert_eq!(code(&reply), Code::HA_BAD_REQUEST);
    assert!(bench.tunnels.is_empty());
}
