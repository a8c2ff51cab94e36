//! The parties of a world: machines with what an operating system would keep for them.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use crypto::{Cipher, Key, Rng, exchange::Secret};
use mobility::{foreign_agent, home_agent, mobile_node};
use record::{MobileNodeState, Nai, RealmKey, State, Subscriber, SubscriberState};
use sa::MobileHome;
use sansio::{LinkAddress, LinkId, Now};
use wire::mip::{
    Spi,
    ours::{DOCUMENTATION_VENDOR, Numbers},
};

use crate::{
    disk::Disk,
    plan::{Place, Plan},
};

pub(crate) const REALM: &str = "home.example";
pub(crate) const HOME_AGENT: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 2);
pub(crate) const HOME_AGENT_NAI: &str = "ha@home.example";
pub(crate) const LINK: LinkId = LinkId(0);
/// Public side of the NAT.
pub(crate) const NAT: Ipv4Addr = Ipv4Addr::new(10, 99, 1, 2);
const NAT_INSIDE: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 1);

/// The care-of address of a foreign agent.
#[must_use]
pub fn care_of(agent: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 51 + agent as u8, 1, 2)
}

/// The name of a foreign agent.
#[must_use]
pub fn agent_nai(agent: usize) -> String {
    format!("fa-{agent}@visited-{agent}.example")
}

/// The home address of a mobile node that is enrolled with one.
#[must_use]
pub fn home_address(node: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 11, 1, 50 + node as u8)
}

/// Home addresses that the home agent gives: as many as there may be nodes without one, and one that no host can have.
pub(crate) const POOL: (Ipv4Addr, Ipv4Addr) = (Ipv4Addr::new(10, 11, 1, 252), Ipv4Addr::new(10, 11, 1, 255));
/// Most bindings of one node.
pub(crate) const SIMULTANEOUS: usize = 3;

/// What a node is enrolled with.
fn enrolled_address(plan: &Plan, node: usize) -> Ipv4Addr {
    if plan.is_unnumbered(node) { Ipv4Addr::UNSPECIFIED } else { home_address(node) }
}

pub(crate) fn translated_address(node: usize) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 77, 10 + node as u8)
}

pub(crate) const HOME_AGENT_LINK: LinkAddress = [2, 0, 0, 0, 0, 1];

pub(crate) fn agent_link(agent: usize) -> LinkAddress {
    [2, 0, 0, 0, 1, agent as u8]
}

pub(crate) fn node_link(node: usize) -> LinkAddress {
    [2, 0, 0, 0, 2, node as u8]
}

pub(crate) fn nai(node: usize) -> Nai {
    Nai::parse(&format!("traveller-{node}@{REALM}")).unwrap_or_else(|e| unreachable!("{e}"))
}

/// Index of the association of a foreign agent with the home agent.
pub(crate) const fn agent_spi(agent: usize) -> Spi {
    Spi(600 + agent as u32)
}

pub(crate) fn agent_key(agent: usize) -> Key {
    Key::new([0xa0 + agent as u8; 32])
}

pub(crate) struct HomeAgent {
    pub(crate) machine: Option<home_agent::HomeAgent>,
    /// Its way to the store, which all home agents share.
    pub(crate) store_fails_until: Duration,
    /// It was handed all changes of subscribers up to this number.
    pub(crate) followed: u64,
    /// Home addresses that the host intercepts, and where their packets go: it outlives the process.
    pub(crate) tunnels: BTreeMap<Ipv4Addr, Vec<home_agent::BoundTunnel>>,
    /// Number of starts: answers to an earlier life are lost with it.
    pub(crate) life: u64,
}

pub(crate) struct ForeignAgent {
    pub(crate) machine: Option<foreign_agent::ForeignAgent>,
    pub(crate) disk: Disk,
    pub(crate) store_fails_until: Duration,
    pub(crate) visitors: BTreeMap<Ipv4Addr, LinkAddress>,
    pub(crate) life: u64,
}

pub(crate) struct MobileNode {
    pub(crate) machine: Option<mobile_node::MobileNode>,
    pub(crate) state: MobileNodeState,
    pub(crate) place: Place,
    pub(crate) clock_offset: i64,
    /// The local address and port that its host listens on, home or co-located.
    pub(crate) bound: Option<SocketAddrV4>,
    pub(crate) route: Option<mobile_node::Route>,
    /// Everything that its state file ever held.
    pub(crate) history: Vec<MobileNodeState>,
    pub(crate) life: u64,
}

pub(crate) fn key0(node: usize) -> Key {
    Key::new([0xc0 + node as u8; 32])
}

/// True for a node that names itself by a static index and sends no key shares: every third one.
const fn old_fashioned(node: usize) -> bool {
    node % 3 == 2
}

/// Id of the realm's key.
pub(crate) const REALM_KEY: Spi = Spi(300);

pub(crate) fn realm_secret() -> Key {
    Key::new([0xd0; 32])
}

/// The indices by which a node may name itself up to this number of one-time ones, the latest of those first.
pub(crate) fn names(node: usize, up_to: u64) -> impl Iterator<Item = Spi> {
    let keys = MobileHome::new(&nai(node), REALM, spi(node), Cipher::Aes256Gcm, key0(node));
    let fixed = if old_fashioned(node) { spi(node) } else { REALM_KEY };
    let one_time = if old_fashioned(node) { 0 } else { up_to };
    std::iter::once(fixed).chain((1..=one_time).rev().map(move |n| keys.one_time_spi(n)))
}

/// What the key distribution centre and the home agents' store begin with.
pub(crate) fn enrolled(plan: &Plan) -> Disk {
    let mut disk = Disk::default();
    disk.keep(RealmKey { id: REALM_KEY, secret: realm_secret(), made: 0, ends: None, change: 1 });
    for node in 0..plan.mobile_nodes {
        disk.enrol(Subscriber {
            nai: nai(node),
            key0: key0(node),
            spi: spi(node),
            one_time: !old_fashioned(node),
            generation: 0,
            retiring: None,
            plain: None,
            cipher: Cipher::Aes256Gcm,
            home_address: enrolled_address(plan, node),
            home_prefix_length: 24,
            home_agent: HOME_AGENT,
            home_gateway: None,
            no_fs: old_fashioned(node),
            state: SubscriberState::Active,
            max_lifetime: None,
            change: 2 + node as u64,
        });
    }
    disk
}

/// Two nodes share each index, so that candidates are tried.
pub(crate) const fn spi(node: usize) -> Spi {
    Spi(1000 + node as u32 / 2)
}

pub(crate) const fn home_agent() -> HomeAgent {
    HomeAgent {
        machine: None,
        store_fails_until: Duration::ZERO,
        followed: 0,
        tunnels: BTreeMap::new(),
        life: 0,
    }
}

impl HomeAgent {
    /// The configuration; `reload` counts how often it was written anew.
    pub(crate) fn config(plan: &Plan, reload: u64) -> home_agent::Config {
        let neighbours = (0..plan.foreign_agents).map(|agent| home_agent::Neighbour {
            nai: agent_nai(agent),
            address: care_of(agent),
            spi: agent_spi(agent),
            key: agent_key(agent),
            cipher: Cipher::Aes256Gcm,
            no_fs: false,
        });
        home_agent::Config {
            negotiation: plan.policies.home.clone(),
            max_octets: 0,
            nai: HOME_AGENT_NAI.to_owned(),
            realm: REALM.to_owned(),
            address: HOME_AGENT,
            vendor: DOCUMENTATION_VENDOR,
            home_link: LINK,
            home_prefix_length: 24,
            max_lifetime: u16::MAX,
            timestamp_window: 7,
            max_bindings: 100,
            max_simultaneous_bindings: SIMULTANEOUS,
            home_addresses: Some(home_agent::Pool { first: POOL.0, last: POOL.1, never: vec![] }),
            advertisement_interval: Duration::from_secs(2 - reload % 2),
            minimal: plan.home.minimal,
            gre: plan.home.gre,
            broadcasts: plan.home.broadcasts,
            // Which home agent a message reaches is chance, but only one has the keys of a revocation.
            revocation: plan.home_agents == 1,
            inform: true,
            keepalive: 110,
            limits: home_agent::Limits::default(),
            neighbours: if reload.is_multiple_of(2) {
                neighbours.collect()
            } else {
                neighbours.rev().collect()
            },
        }
    }

    pub(crate) fn start(&mut self, plan: &Plan, state: State, rng: &mut Rng, now: Now) {
        let config = Self::config(plan, 0);
        self.followed = state.subscriber_cursor;
        let machine = home_agent::HomeAgent::new(config, rng.array(), state, now);
        self.tunnels = machine.tunnels().collect();
        self.machine = Some(machine);
        self.life += 1;
    }
}

pub(crate) fn foreign_agent() -> ForeignAgent {
    ForeignAgent {
        machine: None,
        disk: Disk::default(),
        store_fails_until: Duration::ZERO,
        visitors: BTreeMap::new(),
        life: 0,
    }
}

impl ForeignAgent {
    /// The configuration; `reload` counts how often it was written anew.
    pub(crate) fn config(agent: usize, plan: &Plan, reload: u64) -> foreign_agent::Config {
        let offer = plan.offer(agent);
        foreign_agent::Config {
            negotiation: plan.policies.foreign.clone(),
            nai: agent_nai(agent),
            care_of: care_of(agent),
            vendor: DOCUMENTATION_VENDOR,
            links: vec![foreign_agent::Link {
                id: LINK,
                address: Ipv4Addr::new(10, 21 + agent as u8, 1, 1),
                prefix_length: 24,
            }],
            max_lifetime: u16::MAX,
            max_visitors: 10,
            max_pending: 100,
            limits: foreign_agent::Limits::default(),
            reverse_tunnel: foreign_agent::ReverseTunnel::Optional,
            registration_required: false,
            interval: Duration::from_secs(2 - reload % 2),
            advertisement_lifetime: 6,
            encapsulation: if offer.udp {
                foreign_agent::Encapsulation::Udp
            } else {
                foreign_agent::Encapsulation::IpInIp
            },
            minimal: offer.minimal,
            gre: offer.gre,
            encapsulating_delivery: offer.broadcasts,
            keepalive: Duration::from_secs(50),
            inform: plan.inform,
            home_agents: vec![foreign_agent::HomeAgent {
                nai: HOME_AGENT_NAI.to_owned(),
                address: HOME_AGENT,
                spi: agent_spi(agent),
                cipher: Cipher::Aes256Gcm,
                key: agent_key(agent),
                no_fs: false,
            }],
            plain_nodes: None,
        }
    }

    pub(crate) fn start(&mut self, agent: usize, plan: &Plan, rng: &mut Rng, now: Now) {
        let config = Self::config(agent, plan, 0);
        self.machine = Some(foreign_agent::ForeignAgent::new(config, rng.array(), self.disk.load(), now));
        self.visitors.clear();
        self.life += 1;
    }
}

pub(crate) const fn mobile_node() -> MobileNode {
    MobileNode {
        machine: None,
        state: MobileNodeState {
            last_seconds: 0,
            clock_offset: 0,
            registrations: 0,
            index: 0,
            confirmed: 0,
            lost: false,
            home_address: None,
        },
        place: Place::Nowhere,
        clock_offset: 0,
        bound: None,
        route: None,
        history: Vec::new(),
        life: 0,
    }
}

impl MobileNode {
    pub(crate) fn start(&mut self, node: usize, plan: &Plan, rng: &mut Rng, now: Now) {
        let wish = plan.wish(node);
        let config = mobile_node::Config {
            negotiation: plan.policies.mobile.clone(),
            nai: nai(node),
            home_realm: REALM.to_owned(),
            home_address: enrolled_address(plan, node),
            home_agent: HOME_AGENT,
            spi: spi(node),
            one_time: !old_fashioned(node),
            realm_keys: vec![(REALM_KEY, Secret::from_key(&realm_secret()).public())],
            no_fs: old_fashioned(node),
            cipher: Cipher::Aes256Gcm,
            key0: key0(node),
            numbers: Numbers::Vendor(DOCUMENTATION_VENDOR),
            lifetime: plan.lifetime,
            reverse_tunnel: true,
            simultaneous: plan.asks_for_both(node),
            encapsulation: wish.encapsulation,
            delivery: wish.delivery,
            broadcasts: wish.broadcasts,
            revocation: true,
            keepalive: Duration::from_secs(110),
        };
        self.machine = Some(mobile_node::MobileNode::new(config, rng.array(), self.state, now));
        self.bound = None;
        self.life += 1;
    }

    /// Its state file is as it was before its last `back` writings; gone and known to be, if there were fewer.
    pub(crate) fn roll_back(&mut self, back: usize) {
        let kept = self.history.len().checked_sub(back + 1).and_then(|at| self.history.get(at));
        self.state = kept.copied().unwrap_or(MobileNodeState { lost: true, ..MobileNodeState::default() });
    }

    /// What the host would tell a daemon about the link it is on.
    pub(crate) fn link_requests(&self, node: usize) -> Vec<mobile_node::Request> {
        let up = mobile_node::Request::LinkUp { link: LINK, address: node_link(node) };
        let address = mobile_node::Request::AddressAppeared {
            link: LINK,
            address: translated_address(node),
            prefix_length: 24,
            gateway: Some(NAT_INSIDE),
        };
        match self.place {
            Place::Nowhere => vec![],
            Place::Translated => vec![up, address],
            Place::Home | Place::Visited(_) => vec![up],
        }
    }
}
