//! A correspondent, a mobile node, and agents between them that are nothing but plans and tunnels.

use std::{
    ffi::c_int,
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket},
    os::fd::AsRawFd as _,
    time::{Duration, Instant},
};

use forward::{Broadcasts, Delivery, Entry, Peer, Side, Station, Table};
use net::{
    link::{Hears, LinkSocket},
    netlink::Netlink,
    plan::{
        ForeignAgent, HomeAgent, MARK, MobileNode, foreign_agent::Visitor, home_agent::Binding,
        mobile_node::CareOf, mobile_node::Home,
    },
    tunnel::{Config, Encapsulations, Links, Tunnel},
    udp::Port,
};

use crate::lab::{Host, PATIENCE, Switch};

pub(crate) const HOME_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 50);
pub(crate) const HOME_AGENT: Ipv4Addr = Ipv4Addr::new(10, 50, 1, 2);
pub(crate) const FOREIGN_AGENT: Ipv4Addr = Ipv4Addr::new(10, 51, 1, 2);
pub(crate) const CARE_OF: Ipv4Addr = Ipv4Addr::new(10, 51, 1, 77);
/// The foreign agent on the visited link.
pub(crate) const VISITED_AGENT: Ipv4Addr = Ipv4Addr::new(10, 21, 1, 1);
/// Of the home link.
pub(crate) const BROADCAST: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 255);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encapsulation {
    IpInIp,
    Minimal,
    Gre,
    Udp,
}

impl Encapsulation {
    pub(crate) fn mtu(self) -> u16 {
        match self {
            Self::IpInIp => 1480,
            Self::Minimal => 1488,
            Self::Gre => 1476,
            Self::Udp => 1468,
        }
    }

    pub(crate) fn peer(self, local: Ipv4Addr, remote: Ipv4Addr) -> Peer {
        match self {
            Self::IpInIp => Peer::IpInIp { local, remote },
            Self::Minimal => Peer::Minimal { local, remote },
            Self::Gre => Peer::Gre { local, remote },
            Self::Udp => Peer::Udp { remote: SocketAddrV4::new(remote, 434) },
        }
    }
}

pub(crate) const ALL: [Encapsulation; 4] =
    [Encapsulation::IpInIp, Encapsulation::Minimal, Encapsulation::Gre, Encapsulation::Udp];

pub(crate) type Control = net::intake::Receiver;

/// `correspondent`, home link, `home_agent`, core link, `router`, far link, `foreign_agent`, visited link; the
/// mobile node can be plugged into each.
pub(crate) struct World {
    pub(crate) switch: Switch,
    pub(crate) correspondent: Host,
    pub(crate) home_agent: Host,
    pub(crate) router: Host,
    pub(crate) foreign_agent: Host,
    pub(crate) mobile: Host,
    pub(crate) mobile_port: String,
}

impl World {
    pub(crate) fn new() -> Option<Self> {
        let switch = Switch::new(&["home", "core", "far", "visited"])?;
        let [correspondent, home_agent, router, foreign_agent, mobile] =
            std::array::from_fn(|_| Host::new().unwrap());
        switch.connect(&correspondent, "eth0", "home");
        switch.connect(&home_agent, "eth0", "home");
        switch.connect(&home_agent, "eth1", "core");
        switch.connect(&router, "eth0", "core");
        switch.connect(&router, "eth1", "far");
        switch.connect(&foreign_agent, "eth0", "far");
        switch.connect(&foreign_agent, "eth1", "visited");
        let mobile_port = switch.connect(&mobile, "eth0", "visited");
        correspondent.address("eth0", "10.11.1.90", 24);
        home_agent.address("eth0", "10.11.1.2", 24);
        home_agent.address("eth1", "10.50.1.2", 24);
        home_agent.route("10.51.1.0", 24, "10.50.1.1");
        router.address("eth0", "10.50.1.1", 24);
        router.address("eth1", "10.51.1.1", 24);
        router.forward();
        // So that a packet that leaves untunnelled would arrive.
        router.route("10.11.1.0", 24, "10.50.1.2");
        foreign_agent.address("eth0", "10.51.1.2", 24);
        foreign_agent.address("eth1", "10.21.1.1", 24);
        foreign_agent.route("0.0.0.0", 0, "10.51.1.1");
        Some(Self { switch, correspondent, home_agent, router, foreign_agent, mobile, mobile_port })
    }

    /// The home agent with one binding, to `remote`.
    pub(crate) fn bind(&self, encapsulation: Encapsulation, remote: Ipv4Addr) -> (Tunnel, Control) {
        self.bind_as(encapsulation, remote, Broadcasts::No)
    }

    /// The same for a mobile node that gets broadcasts of the home link like that.
    pub(crate) fn bind_as(
        &self,
        encapsulation: Encapsulation,
        remote: Ipv4Addr,
        broadcasts: Broadcasts,
    ) -> (Tunnel, Control) {
        let peer = encapsulation.peer(HOME_AGENT, remote);
        let table = Table::new(Side::HomeAgent, [entry(peer).with_broadcasts(broadcasts)]);
        let links = match broadcasts {
            Broadcasts::No => Links::None,
            _ => Links::Home { interface: "eth0".to_owned(), broadcast: BROADCAST, local_control: false },
        };
        let opened = open_with(&self.home_agent, HOME_AGENT, None, table.with_broadcast(BROADCAST), links);
        let mtu = encapsulation.mtu();
        self.home_agent.act(move || async move {
            let netlink = Netlink::connect().unwrap();
            let plan = HomeAgent::start(netlink, "eth0", "sojourn0", &[]).await.unwrap();
            let link = LinkSocket::open("eth0", Hears::HomeAgent).unwrap();
            plan.bind(&link, &Binding { home_address: HOME_ADDRESS, mtu }).await.unwrap();
        });
        opened
    }

    /// The foreign agent with the mobile node as its visitor that encapsulates, and gets broadcasts; and the tunnel
    /// of the mobile node.
    pub(crate) fn visit_encapsulating(&self, encapsulation: Encapsulation) -> [(Tunnel, Control); 2] {
        let (agent_link, link_address) =
            (link_address(&self.foreign_agent, "eth1"), link_address(&self.mobile, "eth0"));
        let station = Station { interface: self.foreign_agent.index("eth1"), link_address };
        let peer = encapsulation.peer(FOREIGN_AGENT, HOME_AGENT);
        let visitor = entry(peer).with_delivery(Delivery { station, agent: VISITED_AGENT });
        let links = Links::Visited {
            interfaces: vec!["eth1".to_owned()],
            addresses: vec![VISITED_AGENT, FOREIGN_AGENT],
        };
        let table = Table::new(Side::Visited, [visitor]);
        let at_agent = open_with(&self.foreign_agent, FOREIGN_AGENT, None, table, links);
        let visitor = Visitor {
            home_address: HOME_ADDRESS,
            interface: "eth1".to_owned(),
            link_address,
            reverse_tunnel: false,
        };
        let mtu = encapsulation.mtu();
        self.foreign_agent.act(move || async move {
            let netlink = Netlink::connect().unwrap();
            let plan = ForeignAgent::start(netlink, &["eth1"], "sojourn0", mtu, &[]).await.unwrap();
            plan.visitor_add(&visitor).await.unwrap();
        });
        let to_agent = entry(Peer::IpInIp { local: HOME_ADDRESS, remote: VISITED_AGENT });
        let to_agent = to_agent.with_broadcasts(Broadcasts::Nested { home_agent: HOME_AGENT });
        let table = Table::new(Side::Visited, [to_agent]).with_broadcast(BROADCAST);
        let at_node = open_with(&self.mobile, HOME_ADDRESS, Some(MARK), table, Links::None);
        self.mobile.act(move || async move {
            let plan = prepare_mobile_node().await;
            let way = plan.via_foreign_agent_encapsulating("eth0", VISITED_AGENT, agent_link, to_agent.mtu);
            way.await.unwrap();
        });
        [at_agent, at_node]
    }

    /// The foreign agent with the mobile node as its visitor.
    pub(crate) fn visit(&self, encapsulation: Encapsulation) -> (Tunnel, Control) {
        let peer = encapsulation.peer(FOREIGN_AGENT, HOME_AGENT);
        let opened = open(&self.foreign_agent, FOREIGN_AGENT, None, Side::Visited, peer);
        let (agent_link, mobile_link) =
            (link_address(&self.foreign_agent, "eth1"), link_address(&self.mobile, "eth0"));
        let visitor = Visitor {
            home_address: HOME_ADDRESS,
            interface: "eth1".to_owned(),
            link_address: mobile_link,
            reverse_tunnel: true,
        };
        self.foreign_agent.act(move || async move {
            let netlink = Netlink::connect().unwrap();
            let mtu = encapsulation.mtu();
            let plan = ForeignAgent::start(netlink, &["eth1"], "sojourn0", mtu, &[]).await.unwrap();
            plan.visitor_add(&visitor).await.unwrap();
        });
        self.mobile.act(move || async move {
            let plan = prepare_mobile_node().await;
            plan.via_foreign_agent("eth0", VISITED_AGENT, agent_link).await.unwrap();
        });
        opened
    }

    /// The mobile node with an address of its own on the far link.
    pub(crate) fn co_locate(&self, encapsulation: Encapsulation) -> (Tunnel, Control) {
        self.co_locate_as(encapsulation, Broadcasts::No)
    }

    /// The same with these broadcasts of the home link.
    pub(crate) fn co_locate_as(
        &self,
        encapsulation: Encapsulation,
        broadcasts: Broadcasts,
    ) -> (Tunnel, Control) {
        self.switch.plug(&self.mobile_port, "far");
        self.mobile.has_carrier("eth0");
        self.mobile.address("eth0", "10.51.1.77", 24);
        let peer = encapsulation.peer(CARE_OF, HOME_AGENT);
        let table = Table::new(Side::Visited, [entry(peer).with_broadcasts(broadcasts)]);
        let table = table.with_broadcast(BROADCAST);
        let opened = open_with(&self.mobile, CARE_OF, Some(MARK), table, Links::None);
        self.mobile.act(move || async move {
            let plan = prepare_mobile_node().await;
            let gateway = Some(Ipv4Addr::new(10, 51, 1, 1));
            let care_of = CareOf { address: CARE_OF, prefix_length: 24, gateway };
            plan.co_located("eth0", &care_of, encapsulation.mtu()).await.unwrap();
        });
        opened
    }
}

pub(crate) fn entry(peer: Peer) -> Entry {
    Entry::new(HOME_ADDRESS, peer)
}

pub(crate) fn open(
    host: &Host,
    local: Ipv4Addr,
    mark: Option<u32>,
    side: Side,
    peer: Peer,
) -> (Tunnel, Control) {
    open_with(host, local, mark, Table::new(side, [entry(peer)]), Links::None)
}

pub(crate) fn open_with(
    host: &Host,
    local: Ipv4Addr,
    mark: Option<u32>,
    table: Table,
    links: Links,
) -> (Tunnel, Control) {
    // As a daemon does: only what it needs is open.
    let needs = |name| table.entries().any(|entry| entry.peer.name() == name);
    let encapsulations = Encapsulations { minimal: needs("minimal"), gre: needs("gre") };
    host.act(move || async move {
        let config = Config {
            device: "sojourn0".to_owned(),
            mark,
            encapsulations,
            links,
            ports: vec![Port::open_freebind(SocketAddrV4::new(local, 434), mark).unwrap()],
            table,
        };
        Tunnel::open(config).unwrap()
    })
}

pub(crate) async fn prepare_mobile_node() -> MobileNode {
    let netlink = Netlink::connect().unwrap();
    // Through a foreign agent the device only parks what has no way; nobody needs to hold it.
    if netlink.link("sojourn0").await.is_err() {
        let table = Table::new(Side::Visited, []);
        let config = Config {
            device: "sojourn0".to_owned(),
            mark: None,
            encapsulations: Encapsulations::default(),
            links: Links::None,
            ports: vec![],
            table,
        };
        drop(Tunnel::open(config).unwrap());
    }
    let home = Home { address: HOME_ADDRESS, prefix_length: 24, gateway: None };
    MobileNode::start(netlink, &["eth0"], "sojourn0", home).await.unwrap()
}

pub(crate) fn link_address(host: &Host, interface: &'static str) -> [u8; 6] {
    host.act(move || async move { Netlink::connect().unwrap().link(interface).await.unwrap().address })
}

/// Sends there and back until it arrives: the first packets may wait for ARP.
pub(crate) fn echo(from: &UdpSocket, to: &UdpSocket, octets: usize) {
    let message: Vec<u8> = (0..octets).map(|n| n as u8).collect();
    let mut buffer = vec![0; 65_536];
    from.send_to(&message, to.local_addr().unwrap()).unwrap();
    let (length, source) = to.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], message);
    assert_eq!(source, from.local_addr().unwrap());
    to.send_to(&message, source).unwrap();
    let (length, source) = from.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], message);
    assert_eq!(source, to.local_addr().unwrap());
}

/// Carries `octets` both ways over one connection.
pub(crate) fn transfer(world: &World, octets: usize) {
    let listener = world.mobile.act(|| async { TcpListener::bind((HOME_ADDRESS, 7000)).unwrap() });
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut received = vec![0; octets];
        stream.read_exact(&mut received).unwrap();
        stream.write_all(&received).unwrap();
    });
    let mut stream = world.correspondent.act(|| async { TcpStream::connect((HOME_ADDRESS, 7000)).unwrap() });
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let sent: Vec<u8> = (0..octets).map(|n| (n * 7 + n / 256) as u8).collect();
    stream.write_all(&sent).unwrap();
    let mut received = vec![0; octets];
    stream.read_exact(&mut received).unwrap();
    assert!(received == sent, "the transfer came back changed");
    server.join().unwrap();
}

pub(crate) fn ends(world: &World) -> (UdpSocket, UdpSocket) {
    (world.correspondent.udp("10.11.1.90:5000"), world.mobile.udp("10.11.1.50:5000"))
}

pub(crate) fn set(socket: &UdpSocket, option: c_int, value: c_int) {
    let length = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: pointer and length describe `value`, which outlives the call.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_IP, option, (&raw const value).cast(), length)
    };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

pub(crate) fn wait_for(mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < PATIENCE, "it never became so");
    }
}

/// Lets a sender that forbids fragments learn that the path takes `expected` octets, and not less.
pub(crate) fn learns_mtu(from: &UdpSocket, to: &UdpSocket, expected: c_int) {
    set(from, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DO);
    from.connect(to.local_addr().unwrap()).unwrap();
    let payload = |mtu: c_int| vec![0; usize::try_from(mtu).unwrap() - 28];
    let start = Instant::now();
    loop {
        let known = mtu(from);
        assert!(known >= expected, "{known} octets are less than the path takes");
        assert!(start.elapsed() < PATIENCE, "nobody said that {known} octets are too many");
        // What was just learned is an error of the socket as well, once for each packet that was too big.
        if from.send(&payload(known)).is_ok() && known == expected {
            break;
        }
    }
    let mut buffer = [0; 2048];
    to.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    // The receiver may have sent too much before, and hear of it only now; and a datagram may be lost.
    let received = loop {
        match to.recv(&mut buffer) {
            Ok(received) => break received,
            Err(error) => assert!(start.elapsed() < PATIENCE * 2, "nothing arrived: {error}"),
        }
        let _ = from.send(&payload(expected));
    };
    to.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(received + 28, usize::try_from(expected).unwrap());
    // What came more than once is not left for who receives next.
    to.set_nonblocking(true).unwrap();
    while to.recv(&mut buffer).is_ok() {}
    to.set_nonblocking(false).unwrap();
}

fn mtu(socket: &UdpSocket) -> c_int {
    let mut value: c_int = 0;
    let mut length = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: pointer and length describe `value`, which outlives the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_MTU,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    value
}
