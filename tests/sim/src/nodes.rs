//! The parties of a world: machines with what an operating system would keep for them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use crypto::{Cipher, Key, Rng};
use mobility::{foreign_agent, home_agent, mobile_node};
use record::{MobileNodeState, Nai, Subscriber, SubscriberState};
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

pub(crate) fn care_of(agent: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 51 + agent as u8, 1, 2)
}

pub(crate) fn agent_nai(agent: usize) -> String {
    format!("fa-{agent}@visited-{agent}.example")
}

pub(crate) fn home_address(node: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 11, 1, 50 + node as u8)
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

fn agent_key(agent: usize) -> Key {
    Key::new([0xa0 + agent as u8; 32])
}

pub(crate) struct HomeAgent {
    pub(crate) machine: Option<home_agent::HomeAgent>,
    pub(crate) disk: Disk,
    pub(crate) store_fails_until: Duration,
    /// Home addresses that the host intercepts: it outlives the process.
    pub(crate) tunnels: BTreeSet<Ipv4Addr>,
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
}

pub(crate) fn key0(node: usize) -> Key {
    Key::new([0xc0 + node as u8; 32])
}

pub(crate) fn home_agent(plan: &Plan) -> HomeAgent {
    let mut disk = Disk::default();
    for node in 0..plan.mobile_nodes {
        disk.enrol(Subscriber {
            nai: nai(node),
            key0: key0(node),
            spi: spi(node),
            one_time: false,
            generation: 0,
            retiring: None,
            plain: None,
            cipher: Cipher::Aes256Gcm,
            home_address: home_address(node),
            home_prefix_length: 24,
            home_agent: HOME_AGENT,
            home_gateway: None,
            no_fs: true,
            state: SubscriberState::Active,
            max_lifetime: None,
            change: 1 + node as u64,
        });
    }
    let tunnels = BTreeSet::new();
    HomeAgent { machine: None, disk, store_fails_until: Duration::ZERO, tunnels, life: 0 }
}

/// Two nodes share each index, so that candidates are tried.
fn spi(node: usize) -> Spi {
    Spi(1000 + node as u32 / 2)
}

impl HomeAgent {
    pub(crate) fn start(&mut self, plan: &Plan, rng: &mut Rng, now: Now) {
        let neighbours = (0..plan.foreign_agents).map(|agent| home_agent::Neighbour {
            nai: agent_nai(agent),
            address: care_of(agent),
            spi: Spi(600 + agent as u32),
            key: agent_key(agent),
            cipher: Cipher::Aes256Gcm,
        });
        let config = home_agent::Config {
            nai: HOME_AGENT_NAI.to_owned(),
            realm: REALM.to_owned(),
            address: HOME_AGENT,
            vendor: DOCUMENTATION_VENDOR,
            home_link: LINK,
            home_prefix_length: 24,
            max_lifetime: u16::MAX,
            timestamp_window: 7,
            max_bindings: 100,
            advertisement_interval: Duration::from_secs(2),
            keepalive: 110,
            neighbours: neighbours.collect(),
        };
        let machine = home_agent::HomeAgent::new(config, rng.array(), self.disk.load(), now);
        self.tunnels = machine.bindings().map(|b| b.home_address).collect();
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
    pub(crate) fn start(&mut self, agent: usize, rng: &mut Rng, now: Now) {
        let config = foreign_agent::Config {
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
            reverse_tunnel: foreign_agent::ReverseTunnel::Optional,
            registration_required: false,
            interval: Duration::from_secs(2),
            advertisement_lifetime: 6,
            encapsulation: foreign_agent::Encapsulation::IpInIp,
            home_agents: vec![foreign_agent::HomeAgent {
                nai: HOME_AGENT_NAI.to_owned(),
                address: HOME_AGENT,
                spi: Spi(600 + agent as u32),
                cipher: Cipher::Aes256Gcm,
                key: agent_key(agent),
                no_fs: true,
            }],
        };
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
        },
        place: Place::Nowhere,
        clock_offset: 0,
        bound: None,
        route: None,
    }
}

impl MobileNode {
    pub(crate) fn start(&mut self, node: usize, plan: &Plan, rng: &mut Rng, now: Now) {
        let config = mobile_node::Config {
            nai: nai(node),
            home_realm: REALM.to_owned(),
            home_address: home_address(node),
            home_agent: HOME_AGENT,
            spi: spi(node),
            cipher: Cipher::Aes256Gcm,
            key0: key0(node),
            numbers: Numbers::Vendor(DOCUMENTATION_VENDOR),
            lifetime: plan.lifetime,
            reverse_tunnel: true,
            keepalive: Duration::from_secs(110),
        };
        self.machine = Some(mobile_node::MobileNode::new(config, rng.array(), self.state, now));
        self.bound = None;
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
