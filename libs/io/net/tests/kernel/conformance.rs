//! Rules of RFC 5944 that no other test shows (docs/conformance.md).

use std::{
    io::{ErrorKind, Read as _},
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use forward::{Side, Table};
use net::{
    link::{Hears, LinkSocket},
    netlink::Netlink,
    plan::{HomeAgent, MobileNode, home_agent::Binding, mobile_node::Home},
    sysctl,
    tunnel::{Config, Encapsulations, Links, Refusal, Tunnel},
    udp::Port,
};
use tokio::sync::mpsc;

use crate::{
    lab::{Host, Switch},
    plan::arp_socket,
};

const HOME: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 50);
/// Bytes of ARP over Ethernet (RFC 826): link and IP address of the sender, IP address of the target.
const SENDER: (std::ops::Range<usize>, std::ops::Range<usize>) = (8..14, 14..18);
const TARGET: std::ops::Range<usize> = 24..28;

fn open_tunnel(host: &Host, side: Side) -> Tunnel {
    host.act(move || async move {
        let table = Table::new(side, []);
        let config = Config {
            device: "sojourn0".to_owned(),
            mark: None,
            ports: Vec::new(),
            table,
            encapsulations: Encapsulations::default(),
            links: Links::None,
            offload: true,
            mss_clamp: true,
        };
        Tunnel::open(config).unwrap().0
    })
}

/// Section 4.2.1.
#[test]
fn redirects_are_not_taken() {
    let Some(switch) = Switch::new(&["visited"]) else { return };
    let mobile = Host::new().unwrap();
    switch.connect(&mobile, "eth0", "visited");
    let _tunnel = open_tunnel(&mobile, Side::Visited);
    let taken = mobile.act(|| async {
        let all = "net/ipv4/conf/all/accept_redirects";
        let here = "net/ipv4/conf/eth0/accept_redirects";
        for parameter in [all, here] {
            sysctl::set(parameter, "1").unwrap();
        }
        let home = Home { address: HOME, prefix_length: 24, gateway: None };
        let netlink = Netlink::connect().unwrap();
        MobileNode::start(netlink, &["eth0"], "sojourn0", home).await.unwrap();
        [all, here].map(|parameter| sysctl::read(parameter).unwrap())
    });
    assert_eq!(taken, ["0", "0"]);
}

/// Section 4.6.
#[test]
fn a_first_binding_is_told_to_the_home_link() {
    let Some(switch) = Switch::new(&["home"]) else { return };
    let (agent, bystander) = (Host::new().unwrap(), Host::new().unwrap());
    switch.connect(&agent, "eth0", "home");
    switch.connect(&bystander, "eth0", "home");
    agent.address("eth0", "10.11.1.2", 24);
    let _tunnel = open_tunnel(&agent, Side::HomeAgent);
    let heard = bystander.act(|| async { arp_socket() });
    let own = agent.act(|| async {
        let netlink = Netlink::connect().unwrap();
        let plan = HomeAgent::start(netlink, "eth0", "sojourn0", &[]).await.unwrap();
        let link = LinkSocket::open("eth0", Hears::HomeAgent).unwrap();
        plan.bind(&link, &Binding { home_address: HOME, mtu: 1480 }).await.unwrap();
        link.address()
    });
    let mut packet = [0; 64];
    loop {
        assert!((&heard).read(&mut packet).unwrap() >= TARGET.end);
        if packet[SENDER.1] == HOME.octets() {
            break;
        }
    }
    assert_eq!((&packet[SENDER.0], &packet[TARGET]), (&own[..], &HOME.octets()[..]));
}

/// Section 3.7.2.3: what the agent learns of a home agent that cannot be reached.
#[test]
fn what_icmp_says_of_a_message_of_control_reaches_control() {
    let Some(switch) = Switch::new(&["far"]) else { return };
    let (agent, router) = (Host::new().unwrap(), Host::new().unwrap());
    switch.connect(&agent, "eth0", "far");
    switch.connect(&router, "eth0", "far");
    agent.address("eth0", "10.51.1.2", 24);
    router.address("eth0", "10.51.1.1", 24);
    router.forward();
    agent.route("0.0.0.0", 0, "10.51.1.1");
    let nobody_listens = Ipv4Addr::new(10, 51, 1, 1);
    let no_way = Ipv4Addr::new(10, 50, 1, 2);
    agent.act(move || async move {
        let port = Port::open(SocketAddrV4::new(Ipv4Addr::new(10, 51, 1, 2), 434), None).unwrap();
        let config = Config {
            device: "sojourn0".to_owned(),
            mark: None,
            ports: vec![port.clone()],
            table: Table::new(Side::Visited, []),
            encapsulations: Encapsulations::default(),
            links: Links::None,
            offload: true,
            mss_clamp: true,
        };
        let (mut tunnel, _datagrams) = Tunnel::open(config).unwrap();
        let mut refusals = tunnel.refusals().unwrap();
        assert!(tunnel.refusals().is_none());
        for (destination, kind) in
            [(nobody_listens, ErrorKind::ConnectionRefused), (no_way, ErrorKind::NetworkUnreachable)]
        {
            assert_eq!(refusal(&port, &mut refusals, destination).await, Refusal { destination, kind });
            while refusals.try_recv().is_ok() {}
        }
        // What travels in the tunnel is not control's.
        port.send(SocketAddrV4::new(nobody_listens, 434), &[4, 4, 0, 0]).unwrap();
        assert_eq!(refusal(&port, &mut refusals, no_way).await.destination, no_way);
    });
}

/// The first refusal of what is sent there. Routers limit how often they say so: asked again, as mobile nodes do.
async fn refusal(port: &Port, refusals: &mut mpsc::Receiver<Refusal>, destination: Ipv4Addr) -> Refusal {
    loop {
        port.send(SocketAddrV4::new(destination, 434), &[1, 2, 3]).unwrap();
        if let Ok(refusal) = tokio::time::timeout(Duration::from_secs(1), refusals.recv()).await {
            return refusal.unwrap();
        }
    }
}
