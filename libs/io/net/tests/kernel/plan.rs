//! A mobile node goes from every state to every other, and the kernel holds what the state says.

use std::{io::Read as _, net::Ipv4Addr, sync::Arc};

use forward::{Side, Table};
use net::{
    link::{Hears, LinkSocket},
    netlink::{Neighbour, Netlink, Owner, Route, Rule, Selector},
    plan::{
        MARK, MobileNode, TABLE_CARE_OF,
        mobile_node::{CareOf, Home},
    },
    tunnel::{Config, Encapsulations, Links, Tunnel},
    udp::Port,
};

use crate::lab::{Host, PATIENCE, Switch};

const HOME: Home = Home {
    address: Ipv4Addr::new(10, 11, 1, 50),
    prefix_length: 24,
    gateway: Some(Ipv4Addr::new(10, 11, 1, 1)),
};
const CARE_OF: CareOf = CareOf {
    address: Ipv4Addr::new(192, 168, 77, 10),
    prefix_length: 24,
    gateway: Some(Ipv4Addr::new(192, 168, 77, 1)),
};
const AGENT: Ipv4Addr = Ipv4Addr::new(10, 21, 1, 1);
const AGENT_LINK: [u8; 6] = [2, 0, 0, 0, 0, 1];
const OWNER: Owner = Owner::MobileNode;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Detached,
    Home,
    ForeignAgent,
    Encapsulating,
    CareOf,
    CoLocated,
}

const STATES: [State; 6] = [
    State::Detached,
    State::Home,
    State::ForeignAgent,
    State::Encapsulating,
    State::CareOf,
    State::CoLocated,
];

struct Mobile {
    host: Host,
    _switch: Switch,
    _tunnel: Tunnel,
    plan: MobileNode,
    link: Arc<LinkSocket>,
    link_index: u32,
    tunnel_index: u32,
}

fn open_tunnel(host: &Host) -> Tunnel {
    host.act(|| async {
        let config = Config {
            device: "sojourn0".to_owned(),
            mark: Some(MARK),
            encapsulations: Encapsulations::default(),
            links: Links::None,
            offload: true,
            mss_clamp: true,
            ports: Vec::new(),
            table: Table::new(Side::Visited, []),
        };
        Tunnel::open(config).unwrap().0
    })
}

impl Mobile {
    fn new() -> Option<Self> {
        let switch = Switch::new(&["link"])?;
        let host = Host::new()?;
        switch.connect(&host, "eth0", "link");
        let tunnel = open_tunnel(&host);
        let plan = Self::start(&host);
        let link = host.act(|| async { Arc::new(LinkSocket::open("eth0", Hears::MobileNode).unwrap()) });
        let (link_index, tunnel_index) = (host.index("eth0"), host.index("sojourn0"));
        Some(Self { host, _switch: switch, _tunnel: tunnel, plan, link, link_index, tunnel_index })
    }

    fn start(host: &Host) -> MobileNode {
        host.act(|| async {
            let netlink = Netlink::connect().unwrap();
            MobileNode::start(netlink, &["eth0"], "sojourn0", HOME).await.unwrap()
        })
    }

    fn go(&self, state: State) {
        let (plan, link) = (self.plan.clone(), Arc::clone(&self.link));
        self.host.act(move || async move {
            match state {
                State::Detached => plan.detached().await,
                State::Home => plan.home(&link).await,
                State::ForeignAgent => plan.via_foreign_agent("eth0", AGENT, AGENT_LINK).await,
                State::Encapsulating => {
                    plan.via_foreign_agent_encapsulating("eth0", AGENT, AGENT_LINK, 1480).await
                }
                State::CareOf => plan.care_of("eth0", &CARE_OF).await,
                State::CoLocated => plan.co_located("eth0", &CARE_OF, 1468).await,
            }
            .unwrap();
        });
    }

    fn everything(default: &Route) -> Vec<Route> {
        let half =
            |first| Route { destination: Ipv4Addr::new(first, 0, 0, 0), prefix_length: 1, ..default.clone() };
        vec![half(0), half(128), default.clone().metric(1)]
    }

    fn expected_routes(&self, state: State) -> Vec<Route> {
        let default = Route::default_route(OWNER).source(HOME.address);
        let tunnel = default.clone().dev(self.tunnel_index);
        let link = default.clone().dev(self.link_index);
        let mut routes = match state {
            State::Detached | State::CareOf => Self::everything(&tunnel),
            State::Home => {
                let mut routes = Self::everything(&link.clone().via(HOME.gateway.unwrap()));
                routes.push(Route::to(OWNER, HOME.address, 24).dev(self.link_index).source(HOME.address));
                routes
            }
            State::ForeignAgent => {
                let mut routes = Self::everything(&link.clone().via(AGENT).onlink());
                // What is for many must not show the home address on the link.
                let many = [([224, 0, 0, 0], 4), ([255; 4], 32), ([10, 11, 1, 255], 32)];
                routes.extend(many.map(|(destination, prefix_length)| Route {
                    destination: destination.into(),
                    prefix_length,
                    ..tunnel.clone()
                }));
                routes
            }
            State::Encapsulating => Self::everything(&tunnel.mtu(1480)),
            State::CoLocated => Self::everything(&tunnel.mtu(1468)),
        };
        if matches!(state, State::Encapsulating | State::CoLocated) {
            let broadcast = Route::to(OWNER, HOME.broadcast().unwrap(), 32).dev(self.tunnel_index);
            routes.push(broadcast.source(HOME.address).broadcast());
        }
        if state == State::Encapsulating {
            routes.push(Route::default_route(OWNER).table(TABLE_CARE_OF).unreachable());
            routes.push(link.via(AGENT).onlink().table(TABLE_CARE_OF));
        }
        if matches!(state, State::CareOf | State::CoLocated) {
            let table = Route::default_route(OWNER).table(TABLE_CARE_OF);
            routes.push(table.clone().unreachable());
            let own = |route: Route| route.dev(self.link_index).source(CARE_OF.address);
            routes.push(own(table.via(CARE_OF.gateway.unwrap()).onlink()));
            routes.push(own(Route::to(OWNER, CARE_OF.address, 24).table(TABLE_CARE_OF)));
        }
        routes.sort();
        routes
    }

    fn check(&self, state: State) {
        let mut routes = self.host.routes(OWNER);
        routes.sort();
        assert_eq!(routes, self.expected_routes(state), "{state:?}");
        let index = self.link_index;
        let (rules, neighbours, arp) = self.host.act(move || async move {
            let netlink = Netlink::connect().unwrap();
            let rules = netlink.rules(OWNER).await.unwrap();
            let neighbours: Vec<Neighbour> =
                netlink.neighbours(index).await.unwrap().into_iter().filter(|one| one.ours).collect();
            let arp = net::sysctl::read("net/ipv4/conf/eth0/arp_ignore").unwrap();
            (rules, neighbours, arp)
        });
        let marked = matches!(state, State::Encapsulating | State::CareOf | State::CoLocated);
        let rule = Rule { selector: Selector::Mark(MARK), table: TABLE_CARE_OF, priority: 435, owner: OWNER };
        assert_eq!(rules, if marked { vec![rule] } else { vec![] }, "{state:?}");
        let fixed = Neighbour { address: AGENT, link_address: Some(AGENT_LINK), permanent: true, ours: true };
        let agent = matches!(state, State::ForeignAgent | State::Encapsulating);
        assert_eq!(neighbours, if agent { vec![fixed] } else { vec![] }, "{state:?}");
        assert_eq!(arp, if state == State::Home { "0" } else { "1" }, "{state:?}");
    }

    /// The address that a socket with this mark would send from, towards the correspondent.
    fn source(&self, mark: Option<u32>) -> Ipv4Addr {
        self.host.act(move || async move {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
            if let Some(mark) = mark {
                socket.set_mark(mark).unwrap();
            }
            let correspondent: std::net::SocketAddr = "10.99.1.90:7".parse().unwrap();
            socket.connect(&correspondent.into()).unwrap();
            *socket.local_addr().unwrap().as_socket_ipv4().unwrap().ip()
        })
    }
}

#[test]
fn every_state_leads_to_every_other() {
    let Some(mobile) = Mobile::new() else { return };
    mobile.host.address("eth0", "192.168.77.10", 24);
    for from in STATES {
        for to in STATES {
            mobile.go(from);
            mobile.check(from);
            mobile.go(to);
            mobile.check(to);
        }
    }
}

#[test]
fn our_packets_bear_the_home_address_and_marked_ones_the_care_of_address() {
    let Some(mobile) = Mobile::new() else { return };
    mobile.host.address("eth0", "192.168.77.10", 24);
    for state in STATES {
        mobile.go(state);
        assert_eq!(mobile.source(None), HOME.address, "{state:?}");
    }
    for state in [State::CareOf, State::CoLocated] {
        mobile.go(state);
        assert_eq!(mobile.source(Some(MARK)), CARE_OF.address, "{state:?}");
    }
}

/// A client for address configuration adds its default route whenever it likes, as if it were alone.
#[test]
fn a_default_route_of_somebody_else_is_in_nobodys_way() {
    let Some(mobile) = Mobile::new() else { return };
    for state in STATES {
        mobile.host.address("eth0", "192.168.77.10", 24);
        mobile.go(state);
        mobile.host.route("0.0.0.0", 0, "192.168.77.1");
        mobile.go(state);
        mobile.check(state);
        assert_eq!(mobile.source(None), HOME.address, "{state:?}");
        let index = mobile.link_index;
        let gateway =
            mobile.host.act(move || async move { Netlink::connect().unwrap().gateway(index).await.unwrap() });
        assert_eq!(gateway, CARE_OF.gateway, "{state:?}");
        mobile.host.no_address("eth0", "192.168.77.10", 24);
    }
}

/// When the last address goes the kernel silently forgets the routes of the interface.
#[test]
fn a_plan_applied_again_heals_what_the_kernel_forgot() {
    let Some(mobile) = Mobile::new() else { return };
    mobile.host.address("eth0", "192.168.77.10", 24);
    mobile.go(State::ForeignAgent);
    mobile.host.no_address("eth0", "192.168.77.10", 24);
    let left = mobile.host.routes(OWNER).len();
    assert!(left < mobile.expected_routes(State::ForeignAgent).len(), "otherwise this test proves nothing");
    mobile.go(State::ForeignAgent);
    mobile.check(State::ForeignAgent);
}

#[test]
fn a_restart_changes_no_route() {
    let Some(mobile) = Mobile::new() else { return };
    mobile.host.address("eth0", "192.168.77.10", 24);
    for state in STATES {
        mobile.go(state);
        let again = Mobile::start(&mobile.host);
        mobile.check(state);
        drop(again);
    }
}

#[test]
fn a_marked_port_is_bound_to_the_care_of_address() {
    let Some(mobile) = Mobile::new() else { return };
    mobile.host.address("eth0", "192.168.77.10", 24);
    mobile.go(State::CoLocated);
    let local = std::net::SocketAddrV4::new(CARE_OF.address, 0);
    let port = mobile.host.act(move || async move { Port::open(local, Some(MARK)).unwrap() });
    assert_eq!(*port.local().ip(), CARE_OF.address);
    assert_ne!(port.local().port(), 0);
}

/// When a node is moved from its home link, packets may leave before anybody noticed. They must not be preceded
/// by ARP, which would show the home address to the other link.
#[test]
fn a_sudden_move_causes_no_arp_with_the_home_address() {
    let Some(switch) = Switch::new(&["home", "visited"]) else { return };
    let (correspondent, bystander, mobile) =
        (Host::new().unwrap(), Host::new().unwrap(), Host::new().unwrap());
    switch.connect(&correspondent, "eth0", "home");
    switch.connect(&bystander, "eth0", "visited");
    let port = switch.connect(&mobile, "eth0", "home");
    correspondent.address("eth0", "10.11.1.90", 24);
    let _tunnel = open_tunnel(&mobile);
    let link = mobile.act(|| async {
        let netlink = Netlink::connect().unwrap();
        let plan = MobileNode::start(netlink, &["eth0"], "sojourn0", HOME).await.unwrap();
        let link = LinkSocket::open("eth0", Hears::MobileNode).unwrap();
        plan.home(&link).await.unwrap();
        Arc::new(link)
    });
    let (near, far) = (mobile.udp("10.11.1.50:5000"), correspondent.udp("10.11.1.90:5000"));
    near.send_to(b"at home", far.local_addr().unwrap()).unwrap();
    far.recv(&mut [0; 16]).unwrap();

    let heard = bystander.act(|| async { arp_socket() });
    switch.plug(&port, "visited");
    for _ in 0..50 {
        near.send_to(b"away", far.local_addr().unwrap()).unwrap();
    }
    // The last packet must not be lost as those may be.
    mobile.has_carrier("eth0");
    let last = Ipv4Addr::new(10, 99, 99, 99);
    drop(mobile.act(move || async move { link.gratuitous_arp(last).unwrap() }));
    let mut packet = [0; 64];
    loop {
        let length = (&heard).read(&mut packet).unwrap();
        assert!(length >= 28);
        let sender = Ipv4Addr::new(packet[14], packet[15], packet[16], packet[17]);
        assert_ne!(sender, HOME.address);
        if sender == last {
            break;
        }
    }
}

/// A socket that receives all ARP packets of the host.
pub(crate) fn arp_socket() -> socket2::Socket {
    let arp = socket2::Protocol::from(i32::from(0x0806_u16.to_be()));
    let socket = socket2::Socket::new(socket2::Domain::PACKET, socket2::Type::DGRAM, Some(arp)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}
