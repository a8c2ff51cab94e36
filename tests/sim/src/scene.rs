//! A small world for one attack: real machines on links without weather, and somebody on every way who decides what
//! becomes of each message.

use std::{collections::BTreeMap, time::Duration};

use mobility::{
    foreign_agent, home_agent,
    mobile_node::{self, State},
};
use record::{Association, Binding, MobileNodeState};
use sansio::Input;

use crate::{
    check,
    network::Message,
    nodes::home_address,
    plan::{Action, Inform, Offer, Place, Plan, Policies, Weather},
    world::{Party, World},
};

/// What becomes of a message: how much later than by itself each of these arrives.
pub type Fate = Vec<(Duration, Message)>;

/// The world. Every third mobile node has a static index and sends no key shares.
pub struct Scene {
    world: World,
}

impl Scene {
    /// Starts a home agent, its key distribution centre, these foreign agents, and mobile nodes that are nowhere.
    #[must_use]
    pub fn new(mobile_nodes: usize, foreign_agents: usize) -> Self {
        Self::negotiating(mobile_nodes, foreign_agents, Policies::default())
    }

    /// The same, with what everybody allows for associations.
    #[must_use]
    pub fn negotiating(mobile_nodes: usize, foreign_agents: usize, policies: Policies) -> Self {
        let plan = Plan {
            mobile_nodes,
            foreign_agents,
            home_agents: 1,
            home: Offer::default(),
            offers: Vec::new(),
            wishes: Vec::new(),
            inform: Inform::Always,
            policies,
            lifetime: 600,
            simultaneous: 0,
            unnumbered: 0,
            weather: Weather { loss: 0, duplicates: 0, delay: Duration::ZERO },
            actions: Vec::new(),
            calm: Duration::ZERO,
            end: Duration::MAX,
        };
        let mut world = World::new(plan, 1, false);
        world.seen = Some(Vec::new());
        world.on_the_way = Some(Box::new(|message, _| vec![(Duration::ZERO, message.clone())]));
        world.start_all();
        Self { world }
    }

    /// Puts somebody on every way, in place of whoever stood there.
    pub fn on_the_way(&mut self, meets: impl FnMut(&Message, Duration) -> Fate + 'static) {
        self.world.on_the_way = Some(Box::new(meets));
    }

    /// Nobody touches a message any more.
    pub fn undisturbed(&mut self) {
        self.on_the_way(|message, _| vec![(Duration::ZERO, message.clone())]);
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration) {
        self.world.go_until(self.world.now + time);
    }

    /// Time since the world began.
    #[must_use]
    pub const fn now(&self) -> Duration {
        self.world.now
    }

    /// Does something to the world.
    pub fn act(&mut self, action: Action) {
        self.world.act(action);
    }

    /// Home agent and foreign agents read their configurations again, in which something else is allowed for associations.
    /// Mobile nodes offer what they always did.
    pub fn allow(&mut self, home: home_agent::Policies, foreign: foreign_agent::Policies) {
        self.world.plan.policies.home = home;
        self.world.plan.policies.foreign = foreign;
        for agent in 0..self.world.foreign_agents.len() as u64 {
            self.act(Action::Reload(0, agent));
        }
    }

    /// Steps the clock of the home agent by so many seconds; nobody tells it.
    pub const fn step_home_clock(&mut self, seconds: i64) {
        self.world.home_clock_offset += seconds;
    }

    /// Moves a mobile node.
    pub fn move_to(&mut self, node: usize, place: Place) {
        self.act(Action::Move(node, place));
    }

    /// An operator has a mobile node give its binding up.
    pub fn deregister(&mut self, node: usize) {
        self.world.mobile(node, Input::Request(mobile_node::Request::Deregister));
    }

    /// Stops a mobile node and starts it with another state file: none, if `state` is.
    pub fn restart(&mut self, node: usize, state: Option<MobileNodeState>) {
        self.world.mobile_nodes[node].machine = None;
        self.world.mobile_nodes[node].state =
            state.unwrap_or(MobileNodeState { lost: true, ..MobileNodeState::default() });
        self.world.model.forgets(node);
        self.world.start(Party::MobileNode(node));
    }

    /// A mobile node's state file.
    #[must_use]
    pub fn state_file(&self, node: usize) -> MobileNodeState {
        self.world.mobile_nodes[node].state
    }

    /// Hands a message to the network, whoever made it; nobody on the way meets it.
    pub fn send(&mut self, message: Message) {
        self.world.inject(message);
    }

    /// Everything that the machines sent, with the time, as they sent it.
    #[must_use]
    pub fn seen(&self) -> &[(Duration, Message)] {
        self.world.seen.as_deref().unwrap_or_default()
    }

    /// What a mobile node believes; detached if its daemon is down.
    #[must_use]
    pub fn state(&self, node: usize) -> State {
        self.world.mobile_nodes[node].machine.as_ref().map_or(State::Detached, |m| m.status().state)
    }

    /// Registrations that a mobile node saw accepted.
    #[must_use]
    pub fn registrations(&self, node: usize) -> u64 {
        self.world.mobile_nodes[node].machine.as_ref().map_or(0, |m| m.status().registrations)
    }

    /// Associations that a mobile node holds, those of the registration in force first.
    #[must_use]
    pub fn held(&self, node: usize) -> Vec<Association> {
        let machine = self.world.mobile_nodes[node].machine.iter();
        machine.flat_map(mobile_node::MobileNode::associations).map(Association::duplicate).collect()
    }

    /// The binding of a mobile node in the home agent's store.
    #[must_use]
    pub fn binding(&self, node: usize) -> Option<&Binding> {
        self.world.home_disk.bindings(home_address(node)).next()
    }

    /// True if the home agent's host tunnels for this mobile node.
    #[must_use]
    pub fn tunnelled(&self, node: usize) -> bool {
        self.world.home_agents.iter().any(|agent| agent.tunnels.contains_key(&home_address(node)))
    }

    /// True if this mobile node visits this foreign agent.
    #[must_use]
    pub fn visits(&self, node: usize, agent: usize) -> bool {
        self.world.foreign_agents[agent].visitors.contains_key(&home_address(node))
    }

    /// Associations that a foreign agent's store holds for this mobile node.
    #[must_use]
    pub fn held_by_agent(&self, node: usize, agent: usize) -> Vec<Association> {
        let visitors = self.world.foreign_agents[agent].disk.load().visitors;
        let visitor = visitors.into_iter().find(|v| v.home_address == home_address(node));
        visitor.map(|v| v.associations).unwrap_or_default()
    }

    /// Requests that wait at the home agent for keys or for its store.
    #[must_use]
    pub fn waiting_at_home(&self) -> usize {
        self.world.home_agents[0].machine.as_ref().map_or(0, home_agent::HomeAgent::pending)
    }

    /// How many entries each table of the home agent has that messages can make grow.
    #[must_use]
    pub fn footprint_at_home(&self) -> BTreeMap<&'static str, usize> {
        self.world.home_agents[0].machine.as_ref().map(home_agent::HomeAgent::footprint).unwrap_or_default()
    }

    /// The same of a foreign agent.
    #[must_use]
    pub fn footprint(&self, agent: usize) -> BTreeMap<&'static str, usize> {
        let machine = self.world.foreign_agents[agent].machine.as_ref();
        machine.map(foreign_agent::ForeignAgent::footprint).unwrap_or_default()
    }

    /// How often something happened at the home agent, by the name of its counter.
    #[must_use]
    pub fn counted_at_home(&self, what: &str) -> u64 {
        let machine = self.world.home_agents[0].machine.as_ref();
        machine.and_then(|m| m.counters().get(what).copied()).unwrap_or(0)
    }

    /// The same at a foreign agent.
    #[must_use]
    pub fn counted(&self, agent: usize, what: &str) -> u64 {
        let machine = self.world.foreign_agents[agent].machine.as_ref();
        machine.and_then(|m| m.counters().get(what).copied()).unwrap_or(0)
    }

    /// Requests that wait at a foreign agent for the home agent.
    #[must_use]
    pub fn waiting_at(&self, agent: usize) -> usize {
        self.world.foreign_agents[agent].machine.as_ref().map_or(0, foreign_agent::ForeignAgent::pending)
    }

    /// Whether everybody agrees on where this mobile node is, and holds the same keys.
    ///
    /// # Errors
    /// In words, what does not fit.
    pub fn agreed(&self, node: usize) -> Result<(), String> {
        match self.world.violation() {
            Some(words) => Err(words.to_owned()),
            None => check::at_rest(&self.world, node),
        }
    }

    /// What operators were told, in order; each once.
    pub fn answers(&mut self) -> Vec<Result<(), String>> {
        std::mem::take(&mut self.world.answers)
    }

    /// How often something happened at a mobile node, by the name of its counter.
    #[must_use]
    pub fn counted_at_node(&self, node: usize, what: &str) -> u64 {
        let machine = self.world.mobile_nodes[node].machine.as_ref();
        machine.and_then(|m| m.counters().get(what).copied()).unwrap_or(0)
    }

    /// The first broken promise of the reference model, in words.
    #[must_use]
    pub fn broken(&self) -> Option<&str> {
        self.world.violation()
    }
}
