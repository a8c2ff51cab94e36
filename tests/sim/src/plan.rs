//! What happens in a world, drawn from its seed before it begins.

use std::time::Duration;

use crypto::Rng;
pub use mobility::foreign_agent::Inform;
use mobility::{
    foreign_agent, home_agent,
    mobile_node::{self, Delivery, Encapsulation},
};
use record::Mode;
use sa::negotiation::Policy;

/// Where a mobile node can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The home link.
    Home,
    /// The link of this foreign agent.
    Visited(usize),
    /// A network without an agent, behind a NAT.
    Translated,
    /// Nowhere.
    Nowhere,
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// This mobile node moves there.
    Move(usize, Place),
    /// This home agent crashes and starts again after this time.
    CrashHomeAgent(usize, Duration),
    /// This foreign agent crashes and starts again after this time; `true` if its store is lost.
    CrashForeignAgent(usize, Duration, bool),
    /// This mobile node's daemon crashes and starts again after this time.
    CrashMobileNode(usize, Duration),
    /// The same, and its state file is rolled back by so many writings meanwhile, or lost if there were fewer.
    RollBack(usize, Duration, usize),
    /// The key distribution centre is away for this time, and starts again.
    KdcAway(Duration),
    /// This home agent cannot write to its store for this time.
    HomeStoreFails(usize, Duration),
    /// This mobile node is given another KEY 0, once; the one that it has is accepted beside it for longer than the
    /// world lasts.
    Rotate(usize),
    /// This mobile node is a subscriber no more.
    Revoke(usize),
    /// This foreign agent's store refuses for this time.
    ForeignStoreFails(usize, Duration),
    /// Nothing passes between the agents for this time.
    CutCore(Duration),
    /// This mobile node's clock jumps by so many seconds: inside the home agent's window, or far out of it. A jump
    /// of just about the window while a request of before is seconds late cannot be told from an honest one by
    /// timestamps.
    ClockJump(usize, i64),
    /// The operator of this foreign agent sends this mobile node away.
    RevokeVisitor(usize, usize),
    /// The operator of the home agent ends the binding of this mobile node.
    RevokeBinding(usize),
    /// Somebody wants the registration of this mobile node renewed: the operator of that foreign agent, of the home agent,
    /// or its owner.
    Renew(usize, Renewer),
    /// So many octets went through the tunnels of this mobile node that its registration has to be renewed.
    Served(usize),
    /// A home agent and a foreign agent, which the numbers pick, read their configurations again: with other intervals
    /// and limits that are as wide as before.
    Reload(u64, u64),
    /// Somebody sends a captured message again; the number picks one.
    Replay(u64),
    /// Somebody sends a captured message with a byte changed; the numbers pick message, place and bits.
    Forge(u64, u64, u8),
    /// Somebody sends a captured message cut short; the numbers pick message and length.
    Truncate(u64, u64),
    /// Somebody sends a message captured on one link or path elsewhere; the numbers pick both.
    Divert(u64, u64),
}

/// Who wants a registration renewed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Renewer {
    /// The operator of the home agent.
    HomeAgent,
    /// The operator of this foreign agent.
    ForeignAgent(usize),
    /// The owner of the mobile node.
    MobileNode,
}

/// How bad the links are.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Lost, in thousandths.
    pub loss: u64,
    /// Delivered twice, in thousandths.
    pub duplicates: u64,
    /// Delay is drawn up to this, which reorders.
    pub delay: Duration,
}

/// What an agent offers beside IP in IP and direct delivery.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// Minimal encapsulation.
    pub minimal: bool,
    /// GRE.
    pub gre: bool,
    /// At a foreign agent encapsulating delivery, at the home agent broadcasts.
    pub broadcasts: bool,
    /// A foreign agent asks for UDP.
    pub udp: bool,
}

impl Default for Offer {
    fn default() -> Self {
        Self { minimal: true, gre: true, broadcasts: true, udp: false }
    }
}

impl Offer {
    fn draw(rng: &mut Rng) -> Self {
        let mut mostly = || rng.below(4) != 0;
        Self { minimal: mostly(), gre: mostly(), broadcasts: mostly(), udp: !mostly() }
    }

    /// True if it gives this encapsulation.
    pub(crate) const fn gives(&self, encapsulation: Encapsulation) -> bool {
        match encapsulation {
            Encapsulation::IpInIp => true,
            Encapsulation::Minimal => self.minimal,
            Encapsulation::Gre => self.gre,
        }
    }
}

/// What a mobile node asks for where it is offered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish {
    /// Its tunnel.
    pub encapsulation: Encapsulation,
    /// How it hands packets to foreign agents.
    pub delivery: Delivery,
    /// Broadcasts of the home link.
    pub broadcasts: bool,
}

impl Wish {
    fn draw(rng: &mut Rng) -> Self {
        Self {
            encapsulation: [Encapsulation::IpInIp, Encapsulation::Minimal, Encapsulation::Gre]
                [rng.below(3) as usize],
            delivery: [Delivery::Direct, Delivery::Encapsulating][rng.below(2) as usize],
            broadcasts: rng.below(2) == 0,
        }
    }
}

/// A whole world.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Mobile nodes.
    pub mobile_nodes: usize,
    /// Foreign agents.
    pub foreign_agents: usize,
    /// Home agents with one address and one store: each datagram reaches one of them.
    pub home_agents: usize,
    /// What the home agent offers.
    pub home: Offer,
    /// What each foreign agent offers; those that are not listed offer all.
    pub offers: Vec<Offer>,
    /// What each mobile node asks for; those that are not listed ask for nothing.
    pub wishes: Vec<Wish>,
    /// What everybody allows for associations.
    pub policies: Policies,
    /// Lifetime asked for, in seconds.
    pub lifetime: u16,
    /// Which mobile nodes ask for simultaneous bindings after a move: a bit each, that of the first one lowest.
    pub simultaneous: u8,
    /// Which are enrolled without a home address: a bit each.
    pub unnumbered: u8,
    /// Links until [`calm`](Self::calm).
    pub weather: Weather,
    /// Whether foreign agents tell nodes whose registration was revoked.
    pub inform: Inform,
    /// What happens, by time.
    pub actions: Vec<(Duration, Action)>,
    /// From here on nothing bad happens any more.
    pub calm: Duration,
    /// The end; what must have healed by then is checked.
    pub end: Duration,
}

/// What everybody allows for associations; by default nobody offers anything.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Policies {
    /// The home agents.
    pub home: home_agent::Policies,
    /// Every foreign agent.
    pub foreign: foreign_agent::Policies,
    /// Every mobile node.
    pub mobile: mobile_node::Policies,
}

impl Policies {
    /// Of two worlds in three nobody offers anything.
    fn draw(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        bytes[8] = 2;
        let rng = &mut Rng::from_seed(bytes);
        if rng.below(3) > 0 {
            return Self::default();
        }
        // All modes in any order, so that there is always something in common.
        let mut policy = || {
            let mut modes = Mode::ALL.map(|(mode, _)| mode).to_vec();
            let turn = rng.below(3) as usize;
            modes.rotate_left(turn);
            if rng.below(2) == 0 {
                modes.swap(0, 1);
            }
            Policy { modes, ..Policy::default() }
        };
        let (home, agents, foreign) = (policy(), policy(), policy());
        let mobile = mobile_node::Policies {
            home_agent: Some(policy()),
            foreign_agents: Some(policy()),
            serving_managers: None,
        };
        let home_agents = Some(policy());
        Self {
            home: home_agent::Policies { mobile_nodes: home, foreign_agents: agents },
            foreign: foreign_agent::Policies { mobile_nodes: foreign, serving_manager: false, home_agents },
            mobile,
        }
    }

    /// True if somebody offers or insists on something: then keys may be made that the key distribution centre knows
    /// nothing of.
    #[must_use]
    pub fn negotiate(&self) -> bool {
        *self != Self::default()
    }
}

impl Plan {
    /// Draws a world.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        bytes[8] = 1;
        let rng = &mut Rng::from_seed(bytes);
        let mobile_nodes = 1 + rng.below(3) as usize;
        let foreign_agents = 1 + rng.below(3) as usize;
        let home_agents = if rng.below(4) == 0 { 2 } else { 1 };
        let calm = Duration::from_secs(20 + rng.below(40));
        let weather = Weather {
            loss: [0, 20, 100, 300][rng.below(4) as usize],
            duplicates: [0, 50, 200][rng.below(3) as usize],
            delay: Duration::from_micros([100, 5_000, 80_000, 1_500_000][rng.below(4) as usize]),
        };
        let count = 4 + rng.below(24);
        let mut actions: Vec<_> = (0..count)
            .map(|_| {
                let at = Duration::from_millis(rng.below(calm.as_millis() as u64));
                (at, Self::action(rng, mobile_nodes, foreign_agents, home_agents))
            })
            .collect();
        actions.sort_by_key(|(at, _)| *at);
        // Every node ends somewhere in the calm.
        for node in 0..mobile_nodes {
            actions.push((calm, Action::Move(node, Self::place(rng, foreign_agents))));
        }
        let lifetime = [40, 600, u16::MAX][rng.below(3) as usize];
        let (simultaneous, unnumbered) = (rng.below(256) as u8, rng.below(256) as u8);
        // A pool that two home agents give from is for stores to come.
        let unnumbered = if home_agents == 1 { unnumbered } else { 0 };
        Self {
            mobile_nodes,
            foreign_agents,
            home_agents,
            home: Offer::draw(rng),
            offers: (0..foreign_agents).map(|_| Offer::draw(rng)).collect(),
            wishes: (0..mobile_nodes).map(|_| Wish::draw(rng)).collect(),
            policies: Policies::draw(seed),
            lifetime,
            simultaneous,
            unnumbered,
            weather,
            inform: [Inform::Always, Inform::Always, Inform::HomeAgentDecides][rng.below(3) as usize],
            actions,
            calm,
            end: calm + Duration::from_secs(150),
        }
    }

    /// True if this mobile node asks for simultaneous bindings after a move.
    #[must_use]
    pub const fn asks_for_both(&self, node: usize) -> bool {
        self.simultaneous >> (node % 8) & 1 == 1
    }

    /// True if this mobile node is enrolled without a home address.
    #[must_use]
    pub const fn is_unnumbered(&self, node: usize) -> bool {
        self.unnumbered >> (node % 8) & 1 == 1
    }

    /// What this foreign agent offers.
    pub(crate) fn offer(&self, agent: usize) -> Offer {
        self.offers.get(agent).copied().unwrap_or_default()
    }

    /// What this mobile node asks for.
    pub(crate) fn wish(&self, node: usize) -> Wish {
        self.wishes.get(node).copied().unwrap_or_default()
    }

    /// True if nobody changes, cuts or leads astray what is not authenticated.
    pub(crate) fn untouched(&self) -> bool {
        let touches =
            |action: &Action| matches!(action, Action::Forge(..) | Action::Truncate(..) | Action::Divert(..));
        !self.actions.iter().any(|(_, action)| touches(action))
    }

    fn place(rng: &mut Rng, foreign_agents: usize) -> Place {
        match rng.below(8) {
            0 | 1 => Place::Home,
            2 => Place::Translated,
            _ => Place::Visited(rng.below(foreign_agents as u64) as usize),
        }
    }

    fn action(rng: &mut Rng, mobile_nodes: usize, foreign_agents: usize, home_agents: usize) -> Action {
        let node = rng.below(mobile_nodes as u64) as usize;
        let agent = rng.below(foreign_agents as u64) as usize;
        let home_agent = rng.below(home_agents as u64) as usize;
        let some = Duration::from_millis(1 + rng.below(8_000));
        match rng.below(34) {
            0..=8 => Action::Move(node, Self::place(rng, foreign_agents)),
            9 => Action::Move(node, Place::Nowhere),
            10 => Action::CrashHomeAgent(home_agent, some),
            11 => Action::CrashForeignAgent(agent, some, rng.below(3) == 0),
            12 => Action::CrashMobileNode(node, some),
            13 => Action::KdcAway(some),
            14 => Action::HomeStoreFails(home_agent, some),
            15 => Action::ForeignStoreFails(agent, some),
            16 => Action::CutCore(some),
            17 => Action::ClockJump(node, [-86_400, -30, -3, 3, 30, 86_400][rng.below(6) as usize]),
            18..=20 => Action::Replay(rng.u64()),
            21 | 22 => Action::Forge(rng.u64(), rng.u64(), 1 << rng.below(8)),
            23 => Action::Truncate(rng.u64(), rng.u64()),
            24 => Action::Reload(rng.u64(), rng.u64()),
            27 | 28 => Action::Rotate(node),
            // Seldom: a world of strangers would show nothing else.
            29 if rng.below(8) == 0 => Action::Revoke(node),
            29 => Action::CrashHomeAgent(home_agent, some),
            30 | 31 => Action::RevokeVisitor(agent, node),
            32 | 33 => Action::RevokeBinding(node),
            25 => match agent {
                0 => Action::Renew(node, Renewer::HomeAgent),
                1 => Action::Renew(node, Renewer::MobileNode),
                _ => Action::Renew(node, Renewer::ForeignAgent(agent)),
            },
            26 => Action::RollBack(node, some, rng.below(30) as usize),
            _ => Action::Divert(rng.u64(), rng.u64()),
        }
    }
}
