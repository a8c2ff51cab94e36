//! The foreign agent against a scripted mobile node, home agent and store.

mod advertisements;
mod configuring;
mod conformance;
mod encapsulations;
mod exchanges;
mod keepalives;
mod limits;
mod plain;
mod proof;
mod replies;
mod requests;
mod restart;
mod revocations;
mod script;
mod shares;

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use crypto::{Cipher, Key};
use record::{Association, Change, CommitError, State};
use sansio::{Datagram, Input, Instant, LinkAddress, LinkId, Machine, Now, Output, Transmit};
use wire::{
    ip,
    mip::{PORT, Spi, advertisement::Advertisement, code::Code, registration::Reply},
};

use self::script::{HomeAgentScript, Mobile};
use super::*;
use crate::EventKind;

const NAI: &str = "fa-a@visited-a.example";
const HOME_NAI: &str = "ha@home.example";
const CARE_OF: Ipv4Addr = Ipv4Addr::new(10, 51, 1, 2);
const HOME_AGENT: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 2);
const OTHER_HOME_AGENT: Ipv4Addr = Ipv4Addr::new(10, 99, 1, 2);
const HOME_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 50);
const LINK: LinkId = LinkId(0);
const LINK_B: LinkId = LinkId(1);
const ON_LINK: Ipv4Addr = Ipv4Addr::new(10, 21, 1, 1);
const ON_LINK_B: Ipv4Addr = Ipv4Addr::new(10, 22, 1, 1);
const STATION: LinkAddress = [2, 0, 0, 0, 0, 0x50];
const VENDOR: u32 = 32473;
const UNIX: u64 = 1_800_000_000;

fn home_agent(nai: &str, address: Ipv4Addr, spi: u32, key: u8) -> HomeAgent {
    HomeAgent {
        nai: nai.into(),
        address,
        spi: Spi(spi),
        cipher: Cipher::Aes256Gcm,
        key: Key::new([key; 32]),
        no_fs: false,
    }
}

fn config() -> Config {
    Config {
        negotiation: Policies::default(),
        nai: NAI.into(),
        care_of: CARE_OF,
        vendor: VENDOR,
        links: vec![
            Link { id: LINK, address: ON_LINK, prefix_length: 24 },
            Link { id: LINK_B, address: ON_LINK_B, prefix_length: 24 },
        ],
        max_lifetime: 600,
        max_visitors: 10,
        max_pending: 10,
        limits: Limits::default(),
        reverse_tunnel: ReverseTunnel::Optional,
        registration_required: false,
        interval: Duration::from_secs(1),
        advertisement_lifetime: 3,
        encapsulation: Encapsulation::IpInIp,
        minimal: true,
        gre: true,
        encapsulating_delivery: true,
        keepalive: Duration::from_secs(110),
        inform: Inform::Always,
        home_agents: vec![
            home_agent(HOME_NAI, HOME_AGENT, 1001, 8),
            home_agent("ha@other.example", OTHER_HOME_AGENT, 1002, 9),
        ],
        plain_nodes: None,
    }
}

/// What the agent did, in the order it came.
#[derive(Clone, PartialEq, Debug)]
enum Did {
    Send(Transmit),
    Persist(usize),
    Tunnel(TunnelChange),
    Revoked(Result<(), String>),
    Notify(Event),
}

/// How the store answers.
#[derive(Clone, Copy, PartialEq, Debug)]
enum StoreMode {
    Works,
    Fails,
    /// Keeps quiet until `release`.
    Holds,
}

struct World {
    agent: ForeignAgent,
    now: Now,
    did: Vec<Did>,
    store: State,
    mode: StoreMode,
    held: Vec<(Ticket, Vec<Change>)>,
    /// Exchanges that nobody works at until `work`.
    exchanges: Option<Vec<(Ticket, Exchanges)>>,
    wait: Option<Instant>,
}

impl World {
    fn new() -> Self {
        Self::with(config())
    }

    fn with(config: Config) -> Self {
        Self::start(config, State::default(), StoreMode::Works)
    }

    fn start(config: Config, store: State, mode: StoreMode) -> Self {
        let now = Now { mono: Instant::new(Duration::from_secs(1000)), unix: Duration::from_secs(UNIX) };
        Self::start_at(config, store, mode, now)
    }

    fn start_at(config: Config, store: State, mode: StoreMode, now: Now) -> Self {
        let mut world = Self {
            agent: ForeignAgent::new(config, [1; 32], duplicate(&store), now),
            now,
            did: Vec::new(),
            store,
            mode,
            held: Vec::new(),
            exchanges: None,
            wait: None,
        };
        world.drain();
        world.input(Input::Tick);
        world
    }

    /// The same store under a new process, `seconds` later.
    fn restarted(self, config: Config, seconds: u64) -> Self {
        let now = Now {
            mono: Instant::new(Duration::from_secs(5)),
            unix: self.now.unix + Duration::from_secs(seconds),
        };
        Self::start_at(config, self.store, StoreMode::Works, now)
    }

    fn input(&mut self, input: Input<'_, Request>) {
        self.agent.handle(input, self.now);
        self.drain();
    }

    fn drain(&mut self) {
        let (mut answers, mut done) = (Vec::new(), Vec::new());
        loop {
            match self.agent.poll() {
                Output::Send(transmit) => self.did.push(Did::Send(transmit)),
                Output::Effect(Effect::Tunnel(change)) => self.did.push(Did::Tunnel(change)),
                Output::Effect(Effect::Answered { result, .. }) => self.did.push(Did::Revoked(result)),
                Output::Effect(Effect::Notify(event)) => self.did.push(Did::Notify(event)),
                Output::Effect(Effect::Exchange { ticket, exchanges }) => match &mut self.exchanges {
                    Some(held) => held.push((ticket, exchanges)),
                    None => done.push((ticket, exchanges.finish())),
                },
                Output::Effect(Effect::Persist { ticket, changes }) => {
                    self.did.push(Did::Persist(changes.len()));
                    match self.mode {
                        StoreMode::Holds => self.held.push((ticket, changes)),
                        StoreMode::Fails => {
                            answers.push((ticket, Err(CommitError::Unavailable("disk full".into()))));
                        }
                        StoreMode::Works => {
                            apply(&mut self.store, changes);
                            answers.push((ticket, Ok(())));
                        }
                    }
                }
                Output::Wait(at) => {
                    self.wait = at;
                    break;
                }
            }
        }
        for (ticket, result) in answers {
            self.input(Input::Request(Request::Persisted { ticket, result }));
        }
        for (ticket, results) in done {
            self.input(Input::Request(Request::Exchanged { ticket, results }));
        }
    }

    /// Works at the exchanges that were held, the last one first, and holds no more.
    fn work(&mut self) {
        for (ticket, exchanges) in self.exchanges.take().into_iter().flatten().rev() {
            let results = exchanges.finish();
            self.input(Input::Request(Request::Exchanged { ticket, results }));
        }
    }

    /// The store answers what it held.
    fn release(&mut self) {
        self.mode = StoreMode::Works;
        for (ticket, changes) in std::mem::take(&mut self.held) {
            apply(&mut self.store, changes);
            self.input(Input::Request(Request::Persisted { ticket, result: Ok(()) }));
        }
    }

    /// Lets time pass, waking the agent exactly when it wants to be woken.
    fn pass(&mut self, time: Duration) {
        let end = self.now.mono + time;
        while let Some(at) = self.wait
            && at <= end
        {
            let step = at - self.now.mono;
            self.now.mono = self.now.mono + step;
            self.now.unix += step;
            self.input(Input::Tick);
            assert!(self.wait.is_none_or(|next| next > self.now.mono), "the agent would spin");
        }
        self.now.unix += end - self.now.mono;
        self.now.mono = end;
    }

    fn packet(&mut self, link: LinkId, from: LinkAddress, packet: &[u8]) {
        self.input(Input::Datagram(Datagram::Link { link, from, packet }));
    }

    fn reply(&mut self, source: Ipv4Addr, payload: &[u8]) {
        self.input(Input::Datagram(Datagram::Udp {
            source: SocketAddrV4::new(source, PORT),
            destination: SocketAddrV4::new(CARE_OF, PORT),
            payload,
        }));
    }

    /// Takes what was done since the last look.
    fn did(&mut self) -> Vec<Did> {
        std::mem::take(&mut self.did)
    }

    /// Takes the datagrams sent to home agents.
    fn relayed(&mut self) -> Vec<(Ipv4Addr, Vec<u8>)> {
        let sent = |did| match did {
            Did::Send(Transmit::Udp { source, destination, payload }) => {
                assert_eq!(source, SocketAddrV4::new(CARE_OF, PORT));
                assert_eq!(destination.port(), PORT);
                Some((*destination.ip(), payload))
            }
            _ => None,
        };
        self.did().into_iter().filter_map(sent).collect()
    }

    /// Takes the datagrams sent to this port.
    fn relayed_to(&mut self, port: u16) -> Vec<Vec<u8>> {
        let sent = |did| match did {
            Did::Send(Transmit::Udp { destination, payload, .. }) if destination.port() == port => {
                Some(payload)
            }
            _ => None,
        };
        self.did().into_iter().filter_map(sent).collect()
    }

    /// The last challenge advertised on a link.
    fn challenge(&self, link: LinkId) -> Vec<u8> {
        self.advertised(link).last().unwrap().0.challenge().unwrap().to_vec()
    }

    /// The advertisements since the last look, with the link address that each went to.
    fn advertised(&self, on: LinkId) -> Vec<(Advertisement, LinkAddress)> {
        let heard = |did: &Did| match did {
            Did::Send(Transmit::Link { link, to, packet }) if *link == on => {
                let icmp = ip::parse_icmp(packet).ok()?;
                assert_eq!((icmp.ttl, icmp.destination), (1, Ipv4Addr::new(224, 0, 0, 1)));
                Some((Advertisement::parse(icmp.message).unwrap(), *to))
            }
            _ => None,
        };
        self.did.iter().filter_map(heard).collect()
    }

    /// Takes the replies sent to mobile nodes: link, link address, port, bytes.
    fn replies(&mut self) -> Vec<(LinkId, LinkAddress, u16, Vec<u8>)> {
        let sent = |did| match did {
            Did::Send(Transmit::Link { link, to, packet }) => {
                let udp = ip::parse_udp(&packet).ok()?;
                let ours = if link == LINK { ON_LINK } else { ON_LINK_B };
                assert_eq!(udp.source, SocketAddrV4::new(ours, PORT));
                assert_eq!(*udp.destination.ip(), Ipv4Addr::BROADCAST);
                Some((link, to, udp.destination.port(), udp.payload.to_vec()))
            }
            _ => None,
        };
        self.did().into_iter().filter_map(sent).collect()
    }

    /// Takes the codes of the replies sent to mobile nodes.
    fn codes(&mut self) -> Vec<Code> {
        let code = |(_, _, _, bytes): (LinkId, LinkAddress, u16, Vec<u8>)| Reply::parse(&bytes).unwrap().code;
        self.replies().into_iter().map(code).collect()
    }

    fn visitors(&self) -> Vec<Ipv4Addr> {
        self.agent.visitors().map(|v| v.record.home_address).collect()
    }

    fn counter(&self, name: &str) -> u64 {
        self.agent.counters().get(name).copied().unwrap_or_default()
    }

    /// A registration from request to relayed reply. The mobile node does not take its KEY 3 into use.
    fn register(&mut self, mobile: &mut Mobile) -> Vec<u8> {
        let request = mobile.request(&self.challenge(LINK));
        self.did();
        self.packet(LINK, mobile.station, &mobile.packet(&request));
        let (to, relayed) = self.relayed().pop().expect("relayed");
        self.accept(to, &relayed).0
    }

    /// The home agent accepts, and the mobile node is told: what, and KEY 3 as it sees it.
    fn accept(&mut self, to: Ipv4Addr, relayed: &[u8]) -> (Vec<u8>, Association) {
        let mut script = HomeAgentScript::of(to);
        let reply = script.reply(relayed);
        self.reply(to, &reply);
        let told = self.replies().pop().expect("a reply").3;
        assert!(Reply::parse(&told).unwrap().code.accepted());
        // Later registrations need a challenge that is not spent.
        self.pass(Duration::from_secs(1));
        (told, script.key3.expect("KEY 3"))
    }
}

fn apply(store: &mut State, changes: Vec<Change>) {
    for change in changes {
        match change {
            Change::PutVisitor(visitor) => {
                store.visitors.retain(|v| v.home_address != visitor.home_address);
                store.visitors.push(visitor);
            }
            Change::RemoveVisitor(address) => store.visitors.retain(|v| v.home_address != address),
            Change::PutRevocation(record) => store.revocations.push(record),
            Change::RemoveRevocation { home_address, care_of } => {
                store.revocations.retain(|r| (r.home_address, r.care_of) != (home_address, care_of));
            }
            Change::ReserveSequence { link, below } => {
                store.sequences.retain(|(id, _)| *id != link);
                store.sequences.push((link, below));
            }
            _ => panic!("a change that is no foreign agent's"),
        }
    }
}

fn duplicate(store: &State) -> State {
    State {
        visitors: store.visitors.iter().map(record::Visitor::duplicate).collect(),
        revocations: store.revocations.iter().map(record::Revocation::duplicate).collect(),
        sequences: store.sequences.clone(),
        ..State::default()
    }
}
