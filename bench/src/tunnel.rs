//! The tunnel between two hosts on a wire, beside what the kernel and others do there.
//!
//! Host `a`, a router that is nothing but the kernel's forwarding, host `b`; frames on the wires have 1,500 octets. The
//! tunnel is that of the daemons, [`net::tunnel`], with an entry at each end in place of a registration.

mod plain;
mod traffic;
mod wireguard;

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::Context as _;
use forward::{Entry, Peer, Side, Table};
use net::{
    tunnel::{Config, Encapsulations, Links, Tunnel},
    udp::Port,
};

use crate::{
    lab::{self, Host},
    outcome::Outcome,
};

/// The hosts outside the tunnel.
const A: Ipv4Addr = Ipv4Addr::new(10, 77, 1, 2);
const B: Ipv4Addr = Ipv4Addr::new(10, 77, 2, 2);
/// Inside: somebody at home, and the mobile node.
const AT_HOME: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
const MOBILE: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);
/// Inside the tunnel that is compared with.
const PLAIN: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 98, 0, 1), Ipv4Addr::new(10, 98, 0, 2)];
const WIREGUARD: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 97, 0, 1), Ipv4Addr::new(10, 97, 0, 2)];
/// The port of tunnels (RFC 3519 §3.2), and that of the one that is compared with.
const PORT: u16 = 434;
const PLAIN_PORT: u16 = 435;
/// Octets of small packets.
const SMALL: usize = 200;

/// The hosts, and the tunnel between them.
struct World {
    a: Host,
    b: Host,
    _router: Host,
    tunnels: Vec<(Tunnel, net::intake::Receiver)>,
}

impl World {
    fn new() -> anyhow::Result<Self> {
        lab::become_root()?;
        lab::needs("ip", "iproute2")?;
        lab::needs("ethtool", "ethtool").context("frames of real size need it")?;
        let (a, router, b) = (Host::new()?, Host::new()?, Host::new()?);
        a.wire(["eth0", "10.77.1.2/24"], &router, ["eth0", "10.77.1.1/24"])?;
        router.wire(["eth1", "10.77.2.1/24"], &b, ["eth0", "10.77.2.2/24"])?;
        a.ip(&["route add default via 10.77.1.1"])?;
        b.ip(&["route add default via 10.77.2.1"])?;
        Ok(Self { a, b, _router: router, tunnels: Vec::new() })
    }

    /// With a tunnel whose ends have these peers: the far end as each sees it.
    fn with_tunnel(mut self, peers: [Peer; 2], offload: bool) -> anyhow::Result<Self> {
        let sides =
            [(&self.a, A, Side::HomeAgent, AT_HOME, MOBILE), (&self.b, B, Side::Visited, MOBILE, AT_HOME)];
        for ((host, outside, side, own, far), peer) in sides.into_iter().zip(peers) {
            let entry = Entry::new(MOBILE, peer);
            let opened = host.act(move || {
                let config = Config {
                    device: "sojourn0".to_owned(),
                    mark: None,
                    encapsulations: Encapsulations::default(),
                    links: Links::None,
                    ports: vec![Port::open(SocketAddrV4::new(outside, PORT), None)?],
                    table: Table::new(side, [entry]),
                    offload,
                    mss_clamp: true,
                };
                Ok(Tunnel::open(config)?)
            })?;
            let mtu = entry.mtu;
            host.ip(&[
                &format!("address add {own}/32 dev sojourn0"),
                &format!("route add {far}/32 dev sojourn0 src {own} mtu {mtu}"),
            ])?;
            self.tunnels.push(opened);
        }
        Ok(self)
    }

    fn with_udp_tunnel(self, offload: bool) -> anyhow::Result<Self> {
        self.with_tunnel([B, A].map(|far| Peer::Udp { remote: SocketAddrV4::new(far, PORT) }), offload)
    }

    fn stream(&self, at: Ipv4Addr) -> anyhow::Result<f64> {
        traffic::stream(&self.a, &self.b, at)
    }

    fn small(&self, at: Ipv4Addr) -> anyhow::Result<f64> {
        traffic::datagrams(&self.a, &self.b, at, SMALL)
    }

    /// What the two ends counted as lost or refused.
    fn trouble(&self) -> Vec<(&'static str, u64)> {
        let all = self.tunnels.iter().flat_map(|(tunnel, _)| tunnel.counters().entries().collect::<Vec<_>>());
        let bad = |name: &str| name.contains("drop") || name.contains("refused") || name.contains("too long");
        all.filter(|(name, count)| *count > 0 && bad(name)).collect()
    }
}

/// One TCP stream through a tunnel over UDP.
pub(crate) fn udp(runs: u32, offload: bool) -> anyhow::Result<Outcome> {
    let world = World::new()?.with_udp_tunnel(offload)?;
    let wireguard = wireguard::Pair::start([
        (&world.a, &A.to_string(), &WIREGUARD[0].to_string()),
        (&world.b, &B.to_string(), &WIREGUARD[1].to_string()),
    ]);
    let [mut ours, mut forward, mut others] = [const { Vec::new() }; 3];
    for _ in 0..runs {
        ours.push(world.stream(MOBILE)?);
        forward.push(world.stream(B)?);
        if wireguard.is_ok() {
            others.push(world.stream(WIREGUARD[1])?);
        }
    }
    let outcome = Outcome::new("tunnel", "Mbit/s", ours).against("forward", forward);
    let outcome = outcome.with("lost", world.trouble());
    Ok(match wireguard {
        Ok(_) => outcome.against("wireguard-go", others),
        Err(error) => outcome.without("wireguard-go", format!("{error:#}")),
    })
}

/// One TCP stream through a tunnel of IP in IP.
pub(crate) fn ipip(runs: u32, offload: bool) -> anyhow::Result<Outcome> {
    let peers = [Peer::IpInIp { local: A, remote: B }, Peer::IpInIp { local: B, remote: A }];
    let world = World::new()?.with_tunnel(peers, offload)?;
    let [mut ours, mut forward] = [const { Vec::new() }; 2];
    for _ in 0..runs {
        ours.push(world.stream(MOBILE)?);
        forward.push(world.stream(B)?);
    }
    let outcome = Outcome::new("tunnel-ipip", "Mbit/s", ours).against("forward", forward);
    Ok(outcome.with("lost", world.trouble()))
}

/// Small datagrams through a tunnel over UDP.
pub(crate) fn small(runs: u32, offload: bool) -> anyhow::Result<Outcome> {
    let world = World::new()?.with_udp_tunnel(offload)?;
    let ends = [(&world.a, A, B, PLAIN[0], PLAIN[1]), (&world.b, B, A, PLAIN[1], PLAIN[0])];
    for (host, local, remote, own, far) in ends {
        let [local, remote] = [local, remote].map(|address| SocketAddrV4::new(address, PLAIN_PORT));
        plain::start(host, "loop0", local, remote)?;
        host.ip(&[
            &format!("address add {own}/32 dev loop0"),
            &format!("route add {far}/32 dev loop0 src {own}"),
        ])?;
    }
    let [mut ours, mut plain, mut forward] = [const { Vec::new() }; 3];
    for _ in 0..runs {
        ours.push(world.small(MOBILE)?);
        plain.push(world.small(PLAIN[1])?);
        forward.push(world.small(B)?);
    }
    let outcome = Outcome::new("tunnel-small", "packets/s", ours).against("loop", plain);
    Ok(outcome.against("forward", forward).with("lost", world.trouble()))
}
