//! Hosts and links for tests: network namespaces that live as long as a thread, joined by bridges.

use std::{
    fs::File,
    future::Future,
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    os::fd::AsRawFd as _,
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::Duration,
};

use futures_util::TryStreamExt as _;
use net::netlink::{Netlink, Owner, Route};
use rtnetlink::{
    LinkBridge, LinkUnspec, LinkVeth,
    packet_route::link::{BridgePortState, InfoBridgePort, InfoPortData, LinkAttribute, LinkInfo},
};
use tokio::runtime::Runtime;

/// How long a test waits for what has to come, before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce(&Runtime) + Send>;

/// One host: a thread in a network namespace of its own.
pub(crate) struct Host {
    jobs: mpsc::Sender<Job>,
    namespace: File,
}

impl Host {
    /// A new host without a link; none if that is not permitted.
    pub(crate) fn new() -> Option<Self> {
        let (jobs, work) = mpsc::channel::<Job>();
        let (report, born) = mpsc::channel();
        std::thread::spawn(move || {
            if let Err(error) = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET) {
                report.send(Err(error)).unwrap();
                return;
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            report.send(Ok(File::open("/proc/thread-self/ns/net").unwrap())).unwrap();
            for job in work {
                job(&runtime);
            }
        });
        match born.recv().unwrap() {
            Ok(namespace) => {
                let host = Self { jobs, namespace };
                host.act(|| async {
                    let netlink = Netlink::connect().unwrap();
                    let loopback = netlink.link("lo").await.unwrap();
                    netlink.set_up(loopback.index).await.unwrap();
                });
                Some(host)
            }
            Err(error) => {
                println!("SKIPPED: no network namespaces here ({error}); run this test as root");
                None
            }
        }
    }

    /// Runs something on the host and waits for its result.
    pub(crate) fn act<T, F, J>(&self, job: J) -> T
    where
        T: Send + 'static,
        F: Future<Output = T>,
        J: FnOnce() -> F + Send + 'static,
    {
        let (report, result) = mpsc::channel();
        let job = move |runtime: &Runtime| {
            let result = runtime.block_on(async { tokio::time::timeout(PATIENCE, job()).await });
            let _ = report.send(result.expect("it took too long"));
        };
        self.jobs.send(Box::new(job)).expect("the host lives");
        result.recv().expect("what was run on the host panicked")
    }

    /// Waits until the host's kernel sends on an interface.
    pub(crate) fn has_carrier(&self, interface: &'static str) {
        self.act(move || async move {
            let netlink = Netlink::connect().unwrap();
            while !netlink.link(interface).await.unwrap().carrier {}
        });
    }

    /// A UDP socket of the host.
    pub(crate) fn udp(&self, local: &str) -> UdpSocket {
        let local: SocketAddrV4 = local.parse().unwrap();
        let socket = self.act(move || async move { UdpSocket::bind(local).unwrap() });
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    /// Gives an interface an address.
    pub(crate) fn address(&self, interface: &'static str, address: &str, prefix_length: u8) {
        let address: Ipv4Addr = address.parse().unwrap();
        self.act(move || async move {
            let netlink = Netlink::connect().unwrap();
            let link = netlink.link(interface).await.unwrap();
            netlink.add_address(link.index, address, prefix_length).await.unwrap();
        });
    }

    /// Takes an address from an interface.
    pub(crate) fn no_address(&self, interface: &'static str, address: &str, prefix_length: u8) {
        let address: Ipv4Addr = address.parse().unwrap();
        self.act(move || async move {
            let netlink = Netlink::connect().unwrap();
            let link = netlink.link(interface).await.unwrap();
            netlink.del_address(link.index, address, prefix_length).await.unwrap();
        });
    }

    /// Adds a route as a client for address configuration would: it fails if there is one with this key.
    pub(crate) fn route(&self, destination: &str, prefix_length: u8, via: &str) {
        let (destination, via): (Ipv4Addr, Ipv4Addr) = (destination.parse().unwrap(), via.parse().unwrap());
        self.act(move || async move {
            let (connection, handle, _) = rtnetlink::new_connection().unwrap();
            tokio::spawn(connection);
            let route = rtnetlink::RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(destination, prefix_length)
                .gateway(via)
                .build();
            handle.route().add(route).execute().await.unwrap();
        });
    }

    /// The routes that a role made.
    pub(crate) fn routes(&self, owner: Owner) -> Vec<Route> {
        self.act(move || async move {
            let routes = Netlink::connect().unwrap().routes(None).await.unwrap();
            routes.into_iter().filter(|route| route.owner == owner).collect()
        })
    }

    /// The index of an interface.
    pub(crate) fn index(&self, interface: &'static str) -> u32 {
        self.act(move || async move { Netlink::connect().unwrap().link(interface).await.unwrap().index })
    }

    /// Lets the host forward packets.
    pub(crate) fn forward(&self) {
        self.act(|| async {
            for (parameter, value) in
                [("ip_forward", "1"), ("conf/all/rp_filter", "0"), ("conf/all/send_redirects", "0")]
            {
                net::sysctl::set(&format!("net/ipv4/{parameter}"), value).unwrap();
            }
        });
    }
}

/// Links: bridges in a namespace of their own.
pub(crate) struct Switch(Host);

static PORTS: AtomicU32 = AtomicU32::new(0);

impl Switch {
    /// A switch with these links; none if that is not permitted.
    pub(crate) fn new(links: &'static [&'static str]) -> Option<Self> {
        let host = Host::new()?;
        host.act(move || async move {
            // Where bridges are filtered as routers are, packets without valid checksums would be dropped.
            net::sysctl::set_if_present("net/bridge/bridge-nf-call-iptables", "0").unwrap();
            let (connection, handle, _) = rtnetlink::new_connection().unwrap();
            tokio::spawn(connection);
            for link in links {
                handle.link().add(LinkBridge::new(link).build()).execute().await.unwrap();
            }
        });
        Some(Self(host))
    }

    /// Gives `host` an interface on `link`, with a fixed link address; returns the port of the switch.
    pub(crate) fn connect(&self, host: &Host, interface: &'static str, link: &'static str) -> String {
        let number = PORTS.fetch_add(1, Ordering::Relaxed);
        let (port, far) = (format!("p{number}"), format!("f{number}"));
        let namespace = host.namespace.as_raw_fd();
        let from_here = self.0.act(move || async move {
            let (connection, handle, _) = rtnetlink::new_connection().unwrap();
            tokio::spawn(connection);
            handle.link().add(LinkVeth::new(&port, &far).build()).execute().await.unwrap();
            let netlink = Netlink::connect().unwrap();
            let index = netlink.link(&far).await.unwrap().index;
            let away = LinkUnspec::new_with_index(index).name(interface).setns_by_fd(namespace).build();
            handle.link().set(away).execute().await.unwrap();
            port
        });
        self.attach(&from_here, link);
        host.act(move || async move {
            let netlink = Netlink::connect().unwrap();
            let link = netlink.link(interface).await.unwrap();
            netlink.set_up(link.index).await.unwrap();
        });
        self.forwards(&from_here);
        host.has_carrier(interface);
        from_here
    }

    /// Moves a port to another link: down, over, up; and waits until packets pass.
    pub(crate) fn plug(&self, port: &str, link: &'static str) {
        self.attach(port, link);
        self.forwards(port);
    }

    /// Waits until the bridge, which learns of a carrier a little later than the cable, lets packets pass.
    fn forwards(&self, port: &str) {
        let port = port.to_owned();
        self.0.act(move || async move {
            let (connection, handle, _) = rtnetlink::new_connection().unwrap();
            tokio::spawn(connection);
            let forwarding = InfoBridgePort::State(BridgePortState::Forwarding);
            loop {
                let mut found = handle.link().get().match_name(port.clone()).execute();
                let link = found.try_next().await.unwrap().unwrap();
                let passes = link.attributes.iter().any(|attribute| match attribute {
                    LinkAttribute::LinkInfo(infos) => infos.iter().any(|info| match info {
                        LinkInfo::PortData(InfoPortData::BridgePort(data)) => data.contains(&forwarding),
                        _ => false,
                    }),
                    _ => false,
                });
                if passes {
                    return;
                }
            }
        });
    }

    fn attach(&self, port: &str, link: &'static str) {
        let port = port.to_owned();
        self.0.act(move || async move {
            let (connection, handle, _) = rtnetlink::new_connection().unwrap();
            tokio::spawn(connection);
            let netlink = Netlink::connect().unwrap();
            let bridge = netlink.link(link).await.unwrap().index;
            let index = netlink.link(&port).await.unwrap().index;
            netlink.set_down(index).await.unwrap();
            let over = LinkUnspec::new_with_index(index).controller(bridge).build();
            handle.link().set(over).execute().await.unwrap();
            netlink.set_up(index).await.unwrap();
        });
    }

    /// Pulls a port out.
    pub(crate) fn unplug(&self, port: &str) {
        let port = port.to_owned();
        self.0.act(move || async move {
            let netlink = Netlink::connect().unwrap();
            let index = netlink.link(&port).await.unwrap().index;
            netlink.set_down(index).await.unwrap();
        });
    }

    /// Makes a link narrow: no longer packet passes the interface of `host` on it.
    pub(crate) fn narrow(host: &Host, interface: &'static str, mtu: u32) {
        host.act(move || async move {
            let netlink = Netlink::connect().unwrap();
            let link = netlink.link(interface).await.unwrap();
            netlink.set_mtu(link.index, mtu).await.unwrap();
        });
    }
}
