//! One world from its first event to its last.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use crypto::Rng;
use mobility::{Ticket, foreign_agent, home_agent, mobile_node};
use record::{Change, CommitError, MobileNodeState, Nai};
use sansio::{Datagram, Input, Instant, LinkAddress, Machine, Now, Output, Transmit};
use wire::{ip, mip::Spi};

use crate::{
    centre::Centre,
    check,
    disk::Disk,
    model::{Model, Verdict},
    network::{Message, OnTheWay},
    nodes::{self, ForeignAgent, HomeAgent, LINK, MobileNode, translated_address},
    plan::{Action, Place, Plan, Renewer},
};

/// Seconds since 1970 at which every world begins.
const EPOCH: u64 = 1_800_000_000;
/// Events at one and the same moment before a machine is taken to spin.
const SPIN: u32 = 20_000;

/// What became of a world.
#[derive(Debug)]
pub struct Outcome {
    /// The first broken promise, with its time; `None` if all held.
    pub violation: Option<String>,
    /// Readable lines, if asked for.
    pub trace: Vec<String>,
    /// Registrations that mobile nodes saw accepted.
    pub registrations: u64,
    /// Registrations that an agent ended before their time, and told the other one of.
    pub revocations: u64,
    /// A digest of everything that was sent, to compare two runs of one seed.
    pub digest: [u8; 32],
}

/// Which way a recorded message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// From a mobile node, on a visited link.
    FromMobileNode,
    /// To a mobile node, on a visited link.
    ToMobileNode,
    /// From a foreign agent to the home agent.
    ToHomeAgent,
    /// From the home agent to a foreign agent.
    FromHomeAgent,
}

/// A registration message as somebody on the way sees it: on a visited link the whole IP packet, between the agents
/// the payload of UDP.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Which way it went.
    pub way: Way,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A party.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Party {
    HomeAgent(usize),
    ForeignAgent(usize),
    MobileNode(usize),
}

/// What can happen.
pub(crate) enum Happening {
    Act(Action),
    Tick(Party),
    Link {
        party: Party,
        place: Place,
        from: LinkAddress,
        packet: Vec<u8>,
    },
    Udp {
        party: Party,
        source: SocketAddrV4,
        destination: SocketAddrV4,
        payload: Vec<u8>,
    },
    Commit {
        party: Party,
        life: u64,
        ticket: Ticket,
        changes: Vec<Change>,
    },
    Foreign {
        agent: usize,
        life: u64,
        request: foreign_agent::Request,
    },
    Home {
        agent: usize,
        life: u64,
        request: home_agent::Request,
    },
    /// A home agent reads what its store holds of a subscriber.
    Read {
        agent: usize,
        life: u64,
        nai: Nai,
    },
    /// A home agent asks the key distribution centre what changed.
    Follow {
        agent: usize,
        life: u64,
    },
    Keep {
        node: usize,
        life: u64,
        ticket: Ticket,
        state: MobileNodeState,
    },
    Mobile(usize, mobile_node::Request),
    Start(Party),
}

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) rng: Rng,
    pub(crate) now: Duration,
    /// By how many seconds the home agents' clocks are off.
    pub(crate) home_clock_offset: i64,
    queue: BTreeMap<(Duration, u64), Happening>,
    order: u64,
    wakes: BTreeMap<Party, Instant>,
    pub(crate) home_agents: Vec<HomeAgent>,
    /// All home agents share it.
    pub(crate) home_disk: Disk,
    pub(crate) centre: Centre,
    pub(crate) foreign_agents: Vec<ForeignAgent>,
    pub(crate) mobile_nodes: Vec<MobileNode>,
    pub(crate) kdc_away_until: Duration,
    pub(crate) core_cut_until: Duration,
    pub(crate) nat: BTreeMap<SocketAddrV4, u16>,
    pub(crate) captured: VecDeque<Message>,
    pub(crate) model: Model,
    trace: Option<Vec<String>>,
    violation: Option<String>,
    healed_before: Option<Verdict>,
    pub(crate) sent: [u8; 32],
    pub(crate) recorded: Option<Vec<Recorded>>,
    /// Who decides what becomes of each message, instead of the weather.
    pub(crate) on_the_way: Option<OnTheWay>,
    /// Everything that was sent, if it is kept.
    pub(crate) seen: Option<Vec<(Duration, Message)>>,
    /// What operators were told.
    pub(crate) answers: Vec<Result<(), String>>,
}

/// Runs the world of a plan and hands back every registration message that passed off the home link, and the first
/// broken promise.
#[must_use]
pub fn record(plan: Plan, seed: u64) -> (Vec<Recorded>, Option<String>) {
    let mut world = World::new(plan, seed, false);
    world.recorded = Some(Vec::new());
    world.begin();
    world.go();
    (world.recorded.unwrap_or_default(), world.violation)
}

/// Runs the world of a seed; `traced` keeps readable lines.
#[must_use]
pub fn run(seed: u64, traced: bool) -> Outcome {
    run_plan(Plan::draw(seed), seed, traced)
}

fn run_plan(plan: Plan, seed: u64, traced: bool) -> Outcome {
    let mut world = World::new(plan, seed, traced);
    world.begin();
    world.go();
    let registrations = world.mobile_nodes.iter().map(|n| n.state.registrations).sum();
    Outcome {
        violation: world.violation,
        trace: world.trace.unwrap_or_default(),
        registrations,
        revocations: world.model.revocations,
        digest: world.sent,
    }
}

impl World {
    pub(crate) fn new(plan: Plan, seed: u64, traced: bool) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        let mut rng = Rng::from_seed(bytes);
        Self {
            centre: Centre::new(nodes::enrolled(&plan), &mut rng),
            rng,
            now: Duration::ZERO,
            queue: BTreeMap::new(),
            order: 0,
            wakes: BTreeMap::new(),
            home_agents: (0..plan.home_agents).map(|_| nodes::home_agent()).collect(),
            home_disk: nodes::enrolled(&plan),
            foreign_agents: (0..plan.foreign_agents).map(|_| nodes::foreign_agent()).collect(),
            mobile_nodes: (0..plan.mobile_nodes).map(|_| nodes::mobile_node()).collect(),
            kdc_away_until: Duration::ZERO,
            core_cut_until: Duration::ZERO,
            nat: BTreeMap::new(),
            captured: VecDeque::new(),
            model: Model::of(&plan),
            trace: traced.then(Vec::new),
            violation: None,
            healed_before: None,
            sent: [0; 32],
            recorded: None,
            on_the_way: None,
            home_clock_offset: 0,
            seen: None,
            answers: Vec::new(),
            plan,
        }
    }

    pub(crate) fn start_all(&mut self) {
        (0..self.home_agents.len()).for_each(|h| self.start(Party::HomeAgent(h)));
        (0..self.foreign_agents.len()).for_each(|a| self.start(Party::ForeignAgent(a)));
        (0..self.mobile_nodes.len()).for_each(|n| self.start(Party::MobileNode(n)));
    }

    fn begin(&mut self) {
        self.start_all();
        for node in 0..self.mobile_nodes.len() {
            self.at(Duration::ZERO, Happening::Act(Action::Move(node, Place::Home)));
        }
        for (at, action) in self.plan.actions.clone() {
            self.at(at, Happening::Act(action));
        }
    }

    fn go(&mut self) {
        let (mut last, mut same) = (Duration::ZERO, 0);
        while let Some(((at, _), happening)) = self.queue.pop_first() {
            if at > self.plan.end || self.violation.is_some() {
                break;
            }
            same = if at == last { same + 1 } else { 0 };
            last = at;
            self.now = at;
            if same > SPIN {
                self.verdict(Err("a machine asks to be called again and again at one moment".into()));
                break;
            }
            if at + Duration::from_secs(1) > self.plan.end && self.healed_before.is_none() {
                self.healed_before = Some(check::healed(self));
            }
            self.happen(happening);
        }
        if self.violation.is_none() {
            // A renewal may be on its way at the very end, but not at both moments.
            let healed = check::healed(self);
            let before = self.healed_before.take();
            self.verdict(before.map_or(healed.clone(), |before| before.or(healed)));
        }
    }

    /// Everything that happens up to this time.
    pub(crate) fn go_until(&mut self, until: Duration) {
        while let Some(first) = self.queue.first_entry().filter(|first| first.key().0 <= until) {
            let ((at, _), happening) = first.remove_entry();
            self.now = at;
            self.happen(happening);
        }
        self.now = until;
    }

    pub(crate) fn violation(&self) -> Option<&str> {
        self.violation.as_deref()
    }

    pub(crate) fn at(&mut self, at: Duration, happening: Happening) {
        self.order += 1;
        self.queue.insert((at, self.order), happening);
    }

    pub(crate) fn say(&mut self, line: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>10.6}  {}", now.as_secs_f64(), line()));
        }
    }

    pub(crate) fn verdict(&mut self, verdict: Verdict) {
        if let Err(words) = verdict
            && self.violation.is_none()
        {
            self.say(|| format!("BROKEN: {words}"));
            self.violation = Some(format!("at {:.6} s: {words}", self.now.as_secs_f64()));
        }
    }

    /// The home address of a mobile node that operators may revoke: where one home agent serves, and it has one.
    fn revocable(&self, node: usize) -> Option<Ipv4Addr> {
        self.model.home(node).filter(|_| self.home_agents.len() == 1)
    }

    /// An index that somebody holds of the registration of a mobile node.
    fn held_index(&self, node: usize, whose: Renewer) -> Option<Spi> {
        let home_address = self.revocable(node)?;
        match whose {
            Renewer::HomeAgent => {
                let machine = self.home_agents[0].machine.as_ref()?;
                let binding = machine.bindings().find(|b| b.home_address == home_address)?;
                binding.associations.last().map(|a| a.inbound)
            }
            Renewer::ForeignAgent(agent) => {
                let machine = self.foreign_agents[agent].machine.as_ref()?;
                let visit = machine.visitors().find(|visit| visit.record.home_address == home_address)?;
                visit.record.associations.last().map(|a| a.inbound)
            }
            Renewer::MobileNode => {
                let machine = self.mobile_nodes[node].machine.as_ref()?;
                machine.associations().next().map(|a| a.inbound)
            }
        }
    }

    /// Somebody wants a registration renewed; nothing happens if he holds no index of it.
    fn renew(&mut self, node: usize, whose: Renewer) {
        let Some(index) = self.held_index(node, whose) else { return };
        let ticket = Ticket::default();
        match whose {
            Renewer::HomeAgent => {
                self.home(0, Input::Request(home_agent::Request::RenewAssociation { index, ticket }));
            }
            Renewer::ForeignAgent(agent) => {
                let request = foreign_agent::Request::RenewAssociation { index, ticket };
                self.foreign(agent, Input::Request(request));
            }
            Renewer::MobileNode => self.mobile(node, Input::Request(mobile_node::Request::Renew(index))),
        }
    }

    /// Seconds since 1970 at the agents.
    pub(crate) fn unix(&self) -> u64 {
        self.clock(Party::HomeAgent(0)).unix.as_secs()
    }

    pub(crate) fn clock(&self, party: Party) -> Now {
        let offset = match party {
            Party::MobileNode(n) => self.mobile_nodes[n].clock_offset,
            Party::HomeAgent(_) => self.home_clock_offset,
            Party::ForeignAgent(_) => 0,
        };
        let unix = Duration::from_secs(EPOCH.saturating_add_signed(offset)) + self.now;
        Now { mono: Instant::new(self.now), unix }
    }

    pub(crate) fn start(&mut self, party: Party) {
        let now = self.clock(party);
        match party {
            Party::HomeAgent(h) => {
                let state = self.home_disk.load_as(h);
                self.home_agents[h].start(&self.plan, state, &mut self.rng, now);
                let life = self.home_agents[h].life;
                self.at(self.now, Happening::Follow { agent: h, life });
                if self.home_agents.len() > 1 {
                    // Before anything else it is told of what the others serve.
                    for node in 0..self.mobile_nodes.len() {
                        self.hand_over(h, nodes::nai(node));
                    }
                }
            }
            Party::ForeignAgent(a) => self.foreign_agents[a].start(a, &self.plan, &mut self.rng, now),
            Party::MobileNode(n) => {
                self.mobile_nodes[n].start(n, &self.plan, &mut self.rng, now);
                for request in self.mobile_nodes[n].link_requests(n) {
                    self.at(self.now, Happening::Mobile(n, request));
                }
            }
        }
        self.say(|| format!("{party:?} starts"));
        self.tick(party);
    }

    fn tick(&mut self, party: Party) {
        match party {
            Party::HomeAgent(h) => self.home(h, Input::Tick),
            Party::ForeignAgent(a) => self.foreign(a, Input::Tick),
            Party::MobileNode(n) => self.mobile(n, Input::Tick),
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Act(action) => self.act(action),
            Happening::Start(party) => {
                if !self.alive(party) {
                    self.start(party);
                }
            }
            Happening::Tick(party) => {
                if self.wakes.get(&party).is_some_and(|w| w.since_start() <= self.now) {
                    self.wakes.remove(&party);
                    self.tick(party);
                }
            }
            Happening::Link { party, place, from, packet } => {
                let datagram = Datagram::Link { link: LINK, from, packet: &packet };
                match party {
                    Party::HomeAgent(h) => self.home(h, Input::Datagram(datagram)),
                    Party::ForeignAgent(a) => self.foreign(a, Input::Datagram(datagram)),
                    Party::MobileNode(n) if self.mobile_nodes[n].place == place => {
                        // What is addressed to the host's own address goes up its IP stack as well.
                        if let Ok(udp) = ip::parse_udp(&packet)
                            && self.mobile_nodes[n].bound == Some(udp.destination)
                        {
                            let (source, destination, payload) = (udp.source, udp.destination, udp.payload);
                            self.mobile(n, Input::Datagram(Datagram::Udp { source, destination, payload }));
                        } else {
                            self.mobile(n, Input::Datagram(datagram));
                        }
                    }
                    Party::MobileNode(_) => {}
                }
            }
            Happening::Udp { party, source, destination, payload } => {
                let datagram = Datagram::Udp { source, destination, payload: &payload };
                match party {
                    Party::HomeAgent(h) => self.home(h, Input::Datagram(datagram)),
                    Party::ForeignAgent(a) => self.foreign(a, Input::Datagram(datagram)),
                    Party::MobileNode(n) => self.mobile(n, Input::Datagram(datagram)),
                }
            }
            Happening::Commit { party, life, ticket, changes } => self.commit(party, life, ticket, changes),
            Happening::Foreign { agent, life, request } => {
                if life == self.foreign_agents[agent].life {
                    self.foreign(agent, Input::Request(request));
                }
            }
            Happening::Home { agent, life, request } => {
                if life == self.home_agents[agent].life {
                    self.home(agent, Input::Request(request));
                }
            }
            Happening::Read { agent, life, nai } => self.read(agent, life, nai),
            Happening::Follow { agent, life } => self.follow(agent, life),
            Happening::Keep { node, life, ticket, state } => {
                let mobile = &mut self.mobile_nodes[node];
                // What a crash overtook is not written.
                if life == mobile.life && mobile.machine.is_some() {
                    mobile.state = state;
                    mobile.history.push(state);
                    let done = mobile_node::Request::Persisted { ticket, result: Ok(()) };
                    self.mobile(node, Input::Request(done));
                }
            }
            Happening::Mobile(n, request) => self.mobile(n, Input::Request(request)),
        }
    }

    pub(crate) fn alive(&self, party: Party) -> bool {
        match party {
            Party::HomeAgent(h) => self.home_agents[h].machine.is_some(),
            Party::ForeignAgent(a) => self.foreign_agents[a].machine.is_some(),
            Party::MobileNode(n) => self.mobile_nodes[n].machine.is_some(),
        }
    }

    pub(crate) fn act(&mut self, action: Action) {
        self.say(|| format!("-- {action:?}"));
        let until = |d: Duration| self.now + d;
        match action {
            Action::Move(node, place) => self.move_to(node, place),
            Action::CrashHomeAgent(h, d) => {
                let at = until(d);
                self.home_agents[h].machine = None;
                self.at(at, Happening::Start(Party::HomeAgent(h)));
            }
            Action::CrashForeignAgent(agent, d, lost) => {
                let at = until(d);
                self.foreign_agents[agent].machine = None;
                if lost {
                    self.foreign_agents[agent].disk.lose();
                }
                self.at(at, Happening::Start(Party::ForeignAgent(agent)));
            }
            Action::CrashMobileNode(node, d) => {
                let at = until(d);
                self.mobile_nodes[node].machine = None;
                self.at(at, Happening::Start(Party::MobileNode(node)));
            }
            Action::RollBack(node, d, back) => {
                let at = until(d);
                self.mobile_nodes[node].machine = None;
                self.mobile_nodes[node].roll_back(back);
                self.model.forgets(node);
                self.at(at, Happening::Start(Party::MobileNode(node)));
            }
            Action::KdcAway(d) => {
                self.kdc_away_until = until(d);
                self.centre.restart(&mut self.rng);
            }
            Action::HomeStoreFails(h, d) => self.home_agents[h].store_fails_until = until(d),
            Action::Rotate(node) => self.subscriber_changes(node, false),
            Action::Revoke(node) => self.subscriber_changes(node, true),
            Action::ForeignStoreFails(agent, d) => self.foreign_agents[agent].store_fails_until = until(d),
            Action::CutCore(d) => self.core_cut_until = until(d),
            Action::ClockJump(node, seconds) => self.mobile_nodes[node].clock_offset += seconds,
            Action::RevokeVisitor(agent, node) => {
                if let Some(home_address) = self.revocable(node) {
                    let ticket = Ticket::default();
                    let request = foreign_agent::Request::RevokeVisitor { home_address, ticket };
                    self.foreign(agent, Input::Request(request));
                }
            }
            Action::RevokeBinding(node) => {
                if let Some(home_address) = self.revocable(node) {
                    let ticket = Ticket::default();
                    self.home(0, Input::Request(home_agent::Request::RevokeBinding { home_address, ticket }));
                }
            }
            Action::Renew(node, whose) => self.renew(node, whose),
            Action::Served(node) => {
                if let Some(home_address) = self.revocable(node) {
                    let served = home_agent::Served::Enough;
                    let request = home_agent::Request::Served { home_address, served };
                    self.home(0, Input::Request(request));
                }
            }
            Action::Reload(home, foreign) => self.reload(home, foreign),
            Action::Replay(_) | Action::Forge(..) | Action::Truncate(..) | Action::Divert(..) => {
                self.attack(action);
            }
        }
    }

    fn reload(&mut self, home: u64, foreign: u64) {
        let agent = (home % self.home_agents.len() as u64) as usize;
        let config = Box::new(HomeAgent::config(&self.plan, home));
        self.home(agent, Input::Request(home_agent::Request::Configure(config)));
        let agent = (foreign % self.foreign_agents.len() as u64) as usize;
        let config = Box::new(ForeignAgent::config(agent, &self.plan, foreign));
        self.foreign(agent, Input::Request(foreign_agent::Request::Configure(config)));
    }

    fn move_to(&mut self, node: usize, place: Place) {
        let before = self.mobile_nodes[node].place;
        if before != Place::Nowhere {
            self.mobile_nodes[node].place = Place::Nowhere;
            if before == Place::Translated {
                let address = translated_address(node);
                self.mobile(node, Input::Request(mobile_node::Request::AddressGone { link: LINK, address }));
            }
            self.mobile(node, Input::Request(mobile_node::Request::LinkDown { link: LINK }));
        }
        self.mobile_nodes[node].place = place;
        for request in self.mobile_nodes[node].link_requests(node) {
            self.mobile(node, Input::Request(request));
        }
    }

    pub(crate) fn schedule(&mut self, party: Party, deadline: Option<Instant>) {
        let Some(deadline) = deadline else { return };
        let at = deadline.since_start().max(self.now);
        if self.wakes.get(&party).is_none_or(|w| w.since_start() > at) {
            self.wakes.insert(party, Instant::new(at));
            self.at(at, Happening::Tick(party));
        }
    }

    fn foreign(&mut self, agent: usize, input: Input<'_, foreign_agent::Request>) {
        let party = Party::ForeignAgent(agent);
        let now = self.clock(party);
        let Some(machine) = &mut self.foreign_agents[agent].machine else {
            return;
        };
        machine.handle(input, now);
        loop {
            let Some(machine) = &mut self.foreign_agents[agent].machine else {
                return;
            };
            match machine.poll() {
                Output::Send(transmit) => self.transmit(party, transmit),
                Output::Effect(foreign_agent::Effect::Persist { ticket, changes }) => {
                    self.write(party, self.foreign_agents[agent].life, ticket, changes);
                }
                Output::Effect(foreign_agent::Effect::Exchange { ticket, exchanges }) => {
                    let request = foreign_agent::Request::Exchanged { ticket, results: exchanges.finish() };
                    let life = self.foreign_agents[agent].life;
                    let delay = Duration::from_micros(300 + self.rng.below(3_000));
                    self.at(self.now + delay, Happening::Foreign { agent, life, request });
                }
                Output::Effect(foreign_agent::Effect::Answered { result, .. }) => self.answers.push(result),
                Output::Effect(foreign_agent::Effect::Tunnel(change)) => self.visitor(agent, change),
                Output::Effect(foreign_agent::Effect::Notify(event)) => {
                    self.say(|| format!("FA{agent}  {}: {}", event.kind.word(), event.text));
                }
                Output::Wait(deadline) => return self.schedule(party, deadline),
            }
        }
    }

    fn visitor(&mut self, agent: usize, change: foreign_agent::TunnelChange) {
        let visitors = &mut self.foreign_agents[agent].visitors;
        match change {
            foreign_agent::TunnelChange::VisitorAdded(v) => {
                visitors.insert(v.home_address, v.link_address);
            }
            foreign_agent::TunnelChange::VisitorRemoved { home_address } => {
                visitors.remove(&home_address);
            }
        }
    }

    pub(crate) fn mobile(&mut self, node: usize, input: Input<'_, mobile_node::Request>) {
        let party = Party::MobileNode(node);
        let now = self.clock(party);
        let Some(machine) = &mut self.mobile_nodes[node].machine else {
            return;
        };
        machine.handle(input, now);
        loop {
            let Some(machine) = &mut self.mobile_nodes[node].machine else {
                return;
            };
            match machine.poll() {
                Output::Send(transmit) => self.mobile_sends(node, transmit),
                Output::Effect(effect) => self.mobile_effect(node, effect),
                Output::Wait(deadline) => return self.schedule(party, deadline),
            }
        }
    }

    fn mobile_sends(&mut self, node: usize, transmit: Transmit) {
        let place = self.mobile_nodes[node].place;
        let durable = self.mobile_nodes[node].state.index;
        let verdict = match &transmit {
            Transmit::Link { packet, .. } => match ip::parse_udp(packet) {
                Ok(udp) => self.model.request(node, udp.payload, place, durable),
                Err(_) => Ok(()),
            },
            Transmit::Udp { payload, .. } => self.model.request(node, payload, place, durable),
        };
        self.verdict(verdict);
        self.transmit(Party::MobileNode(node), transmit);
    }

    fn mobile_effect(&mut self, node: usize, effect: mobile_node::Effect) {
        match effect {
            mobile_node::Effect::Route(route) => {
                let machine = self.mobile_nodes[node].machine.as_ref();
                self.mobile_nodes[node].bound = match route {
                    mobile_node::Route::Home { port, .. } => {
                        machine.map(|machine| SocketAddrV4::new(machine.home_address(), port))
                    }
                    mobile_node::Route::CareOf { care_of, port, .. }
                    | mobile_node::Route::CoLocated { care_of, port, .. } => {
                        Some(SocketAddrV4::new(care_of.address, port))
                    }
                    mobile_node::Route::Detached | mobile_node::Route::ViaForeignAgent { .. } => None,
                };
                self.mobile_nodes[node].route = Some(route);
                self.say(|| format!("MN{node}  route {route:?}"));
            }
            mobile_node::Effect::Persist { ticket, state } => {
                let (at, life) = (self.now + Duration::from_millis(3), self.mobile_nodes[node].life);
                self.at(at, Happening::Keep { node, life, ticket, state });
            }
            mobile_node::Effect::Notify(event) => {
                for key in &event.keys {
                    let verdict =
                        self.model.held(node, event.agent.as_deref(), key.kind, &key.fingerprint.to_string());
                    self.verdict(verdict);
                }
                self.say(|| format!("MN{node}  {}: {}", event.kind.word(), event.text));
            }
            mobile_node::Effect::Renewed(result) => self.answers.push(result),
            mobile_node::Effect::Deregistered(_) | mobile_node::Effect::HomeAddress(_) => {}
        }
    }

    pub(crate) fn write(&mut self, party: Party, life: u64, ticket: Ticket, changes: Vec<Change>) {
        // A group commit answers in the order it was asked, so the delay is one and the same for all.
        let at = self.now + Duration::from_millis(4);
        self.at(at, Happening::Commit { party, life, ticket, changes });
    }

    fn commit(&mut self, party: Party, life: u64, ticket: Ticket, changes: Vec<Change>) {
        let (of, fails) = match party {
            Party::HomeAgent(h) => (self.home_agents[h].life, self.home_agents[h].store_fails_until),
            Party::ForeignAgent(a) => (self.foreign_agents[a].life, self.foreign_agents[a].store_fails_until),
            Party::MobileNode(_) => return,
        };
        let alive = self.alive(party);
        // After a crash nobody knows whether the last transaction was written; after a restart it is settled.
        let lost = life != of || !alive && self.rng.below(2) == 0;
        if lost {
            return;
        }
        let result = if self.now < fails {
            Err(CommitError::Unavailable("no space left".into()))
        } else {
            self.apply(party, changes)
        };
        if !alive {
            return;
        }
        match party {
            Party::HomeAgent(h) => {
                self.home(h, Input::Request(home_agent::Request::Persisted { ticket, result }));
            }
            Party::ForeignAgent(a) => {
                self.foreign(a, Input::Request(foreign_agent::Request::Persisted { ticket, result }));
            }
            Party::MobileNode(_) => {}
        }
    }

    fn apply(&mut self, party: Party, changes: Vec<Change>) -> Result<(), CommitError> {
        match party {
            Party::HomeAgent(h) => self.apply_home(h, changes),
            Party::ForeignAgent(agent) => {
                let unix = self.unix();
                let verdict =
                    self.model.foreign_commits(agent, &self.foreign_agents[agent].disk, &changes, unix);
                self.verdict(verdict);
                self.foreign_agents[agent].disk.commit(0, changes)
            }
            Party::MobileNode(_) => Ok(()),
        }
    }
}
