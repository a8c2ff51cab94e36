//! The data path: packets between the TUN device and the tunnels, in two threads of their own.
//!
//! It shares with control nothing but the [`Table`], the set of UDP ports and the path MTUs, each swapped
//! whole; no lock is taken and nothing is allocated for a packet. What happens to a packet is decided by the
//! pure functions of `forward`.
//!
//! Packets come from the TUN device, and two kinds come from links: what visitors hand over encapsulated to a foreign
//! agent, whose link addresses have to be looked at (RFC 3024 §5.2), and broadcasts of a home link, which no route
//! leads into the device (RFC 5944 §4.3).
//!
//! With offloads the host hands over packets of up to 64 KiB, which leave in segments, and gets back what came in
//! segments as one ([`forward::segment`], [`forward::coalesce`]); over UDP the kernel does the same with datagrams.
//! Judged is each packet as if it had come alone.
//!
//! UDP ports carry registrations and tunnel data alike: what begins with the octet 4 is data (RFC 3519 §3.3),
//! all else goes to control through a bounded [`intake`].

mod counters;
mod inbound;
mod meters;
mod outbound;
mod thread;
mod trouble;

use std::{io::ErrorKind, net::Ipv4Addr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use forward::{Table, mtu::Paths};
use tokio::sync::mpsc;

pub use counters::Counters;
pub use meters::{Crossed, Crossings};

use crate::{
    error::Error,
    intake,
    link::data::{DataSocket, GroupSender},
    raw::RawSockets,
    sys,
    tun::{self, Tun},
    udp,
};
use counters::Tally;
use meters::Meters;
use thread::Thread;

/// Datagrams of known senders, and of strangers, that wait for control before some are lost; a mobile node repeats its
/// requests.
const CONTROL_QUEUE: usize = 4096;
/// Refusals that wait for control; one for each home agent says it all.
const REFUSALS: usize = 64;
/// Octets of room for one packet and its headroom. Longer packets come from nobody who knows our MTU.
const SLOT: usize = 9 * 1024 + 256;
/// The same where packets come together: the longest of all, and places that do not all share one part of the caches.
const LONG_SLOT: usize = 64 * 1024 + 320;

/// The encapsulations that are taken beside IP in IP and UDP. Of those that are not the kernel says "protocol
/// unreachable", and packets for such peers are counted as sends that were refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Encapsulations {
    /// Minimal encapsulation (RFC 2004).
    pub minimal: bool,
    /// Generic routing encapsulation (RFC 2784).
    pub gre: bool,
}

/// What is taken from links past the TUN device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Links {
    /// Nothing.
    #[default]
    None,
    /// At a foreign agent: packets that visitors hand over encapsulated, see [`forward::Delivery`].
    Visited {
        /// The visited interfaces.
        interfaces: Vec<String>,
        /// The addresses of this host that such packets may be sent to: those on the links, and the care-of address.
        addresses: Vec<Ipv4Addr>,
    },
    /// At a home agent: broadcasts and multicasts of the home link, for mobile nodes that have
    /// [`forward::Broadcasts`], and what mobile nodes send there.
    Home {
        /// The interface on the home link.
        interface: String,
        /// The broadcast address of the link.
        broadcast: Ipv4Addr,
        /// True to pass on 224.0.0.0/24 and group management too, which otherwise end at the link.
        local_control: bool,
    },
}

/// What a tunnel needs to begin.
#[derive(Debug)]
pub struct Config {
    /// Name of the TUN device, at most 15 octets.
    pub device: String,
    /// Mark of the raw sockets, which chooses the routes of what they send.
    pub mark: Option<u32>,
    /// The encapsulations beside IP in IP and UDP.
    pub encapsulations: Encapsulations,
    /// The links that packets are taken from.
    pub links: Links,
    /// The UDP ports; the first is the local end of tunnels over UDP.
    pub ports: Vec<udp::Port>,
    /// Where packets go.
    pub table: Table,
    /// Packets come from the host and from UDP ports many in one, and go there so.
    pub offload: bool,
    /// Segment sizes that TCP connections announce are lowered to what the tunnel takes.
    pub mss_clamp: bool,
}

/// A home link, to listen and to speak.
type HomeLink = (DataSocket, GroupSender);

impl Links {
    fn open(&self) -> Result<(Vec<DataSocket>, Option<HomeLink>), Error> {
        match self {
            Self::None => Ok((Vec::new(), None)),
            Self::Visited { interfaces, addresses } => {
                let open = |interface: &String| DataSocket::handed_over(interface, addresses);
                Ok((interfaces.iter().map(open).collect::<Result<_, _>>()?, None))
            }
            Self::Home { interface, broadcast, local_control } => {
                let listener = DataSocket::broadcasts(interface, *broadcast, *local_control)?;
                let sender = GroupSender::beside(&listener)?;
                Ok((Vec::new(), Some((listener, sender))))
            }
        }
    }
}

/// The network would not carry a message of control, as far as ICMP can be believed: anybody can send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Where the message was going.
    pub destination: Ipv4Addr,
    /// No way to the network or the host, nobody at the port, or something else.
    pub kind: ErrorKind,
}

/// What control and the two threads share.
struct Shared {
    tun: Tun,
    raw: RawSockets,
    /// Where visitors hand packets over.
    visited: Vec<DataSocket>,
    /// The home link.
    home: Option<HomeLink>,
    table: ArcSwap<Table>,
    offload: bool,
    /// The kernel cuts messages of UDP sockets into datagrams.
    segments: bool,
    mss_clamp: bool,
    ports: ArcSwap<Vec<udp::Port>>,
    paths: ArcSwap<Paths>,
    tally: Arc<Tally>,
    meters: Meters,
    refusals: mpsc::Sender<Refusal>,
}

impl Shared {
    /// Octets of room for one packet.
    const fn slot(&self) -> usize {
        if self.offload { LONG_SLOT } else { SLOT }
    }

    /// The outer address that we have in the tunnel to a peer; errors that we make come from it.
    fn own_address(&self, peer: forward::Peer) -> Option<Ipv4Addr> {
        peer.local().or_else(|| self.ports.load().first().map(|port| *port.local().ip()))
    }
}

/// Time for rate limits and path MTUs.
fn now() -> Duration {
    sys::clock(libc::CLOCK_BOOTTIME)
}

/// Lets the kernel put datagrams together at the ports, and says in one line what it does not have.
fn take_together(ports: &[udp::Port], segments: bool, device: tun::Offload) {
    let together = ports.iter().all(|port| port.coalesce(true).is_ok());
    let missing: Vec<&str> = [
        (device.headers, "headers of virtio-net on TUN devices"),
        (device.streams, "checksums and TCP segments left to TUN devices"),
        (device.datagrams, "UDP segments left to TUN devices"),
        (segments, "sending UDP in segments (UDP_SEGMENT)"),
        (together, "receiving UDP in segments (UDP_GRO)"),
    ]
    .into_iter()
    .filter_map(|(there, what)| (!there).then_some(what))
    .collect();
    if !missing.is_empty() {
        tracing::info!("the kernel lacks {}; the tunnel does without", missing.join(", "));
    }
}

/// A running data path. Dropped, it stops its threads and leaves the device with all routes into it, so that
/// nothing leaves the host untunnelled.
pub struct Tunnel {
    shared: Arc<Shared>,
    threads: Vec<Thread>,
    refusals: Option<mpsc::Receiver<Refusal>>,
    crossings: Option<Crossings>,
}

impl Tunnel {
    /// Makes or takes up the device and starts the threads. The receiver gives the datagrams for control.
    ///
    /// # Errors
    /// TUN devices or raw sockets are not permitted, or another process holds the device.
    pub fn open(config: Config) -> Result<(Self, intake::Receiver), Error> {
        // First the sockets: from now on the kernel answers no tunnelled packet in our place.
        let Encapsulations { minimal, gre } = config.encapsulations;
        let raw = RawSockets::open(minimal, gre, config.mark)?;
        let (visited, home) = config.links.open()?;
        let mtu = if minimal { forward::MINIMAL_MTU } else { forward::IPIP_MTU };
        let tun = Tun::open(&config.device, mtu, config.offload)?;
        let segments = config.offload && udp::Port::can_segment();
        if config.offload {
            take_together(&config.ports, segments, tun.offload());
        }
        let (refused, refusals) = mpsc::channel(REFUSALS);
        let (meters, crossings) = Meters::new();
        let shared = Arc::new(Shared {
            tun,
            raw,
            visited,
            home,
            table: ArcSwap::from_pointee(config.table),
            offload: config.offload,
            segments,
            mss_clamp: config.mss_clamp,
            ports: ArcSwap::from_pointee(config.ports),
            paths: ArcSwap::from_pointee(Paths::default()),
            tally: Arc::default(),
            meters,
            refusals: refused,
        });
        let (control, datagrams) = intake::intake(CONTROL_QUEUE);
        let inbound = inbound::Inbound::new(Arc::clone(&shared), control);
        let outbound = outbound::Outbound::new(Arc::clone(&shared));
        let threads = vec![
            Thread::spawn("tunnel-in", move |bell| inbound.run(&bell))?,
            Thread::spawn("tunnel-out", move |bell| outbound.run(&bell))?,
        ];
        Ok((Self { shared, threads, refusals: Some(refusals), crossings: Some(crossings) }, datagrams))
    }

    /// Puts another table in place of the present one.
    pub fn swap(&self, table: Table) {
        self.shared.table.store(Arc::new(table));
    }

    /// Puts other UDP ports in place of the present ones, which are closed when this returns unless somebody
    /// else keeps them.
    pub fn set_ports(&self, ports: Vec<udp::Port>) {
        if self.shared.offload {
            ports.iter().for_each(|port| drop(port.coalesce(true)));
        }
        let before = self.shared.ports.swap(Arc::new(ports));
        self.threads.iter().for_each(Thread::ring);
        // Whoever keeps one reads its datagrams one by one.
        let kept = |port: &udp::Port| self.shared.ports.load().iter().any(|now| now.local() == port.local());
        before.iter().filter(|port| !kept(port)).for_each(|port| drop(port.coalesce(false)));
    }

    /// What ICMP says about messages that control sent from the ports; whoever asks first gets it.
    pub const fn refusals(&mut self) -> Option<mpsc::Receiver<Refusal>> {
        self.refusals.take()
    }

    /// Counts the octets of packets of this home address from 0, in both directions and without what wraps them, and tells
    /// through [`crossings`](Self::crossings) once `most` and once `all` octets have gone.
    pub fn meter(&self, home_address: Ipv4Addr, most: u64, all: u64) {
        self.shared.meters.begin(home_address, most, all);
    }

    /// Counts no longer for this home address.
    pub fn unmeter(&self, home_address: Ipv4Addr) {
        self.shared.meters.end(home_address);
    }

    /// What tells of metered home addresses; `None` if it was taken before.
    pub const fn crossings(&mut self) -> Option<Crossings> {
        self.crossings.take()
    }

    /// What was carried and dropped since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.tally.read()
    }

    /// A way to read the same at any time, from any thread.
    pub fn watch_counters(&self) -> impl Fn() -> Counters + Send + Sync + 'static + use<> {
        let tally = Arc::clone(&self.shared.tally);
        move || tally.read()
    }

    /// The name of the TUN device.
    #[must_use]
    pub fn device(&self) -> &str {
        self.shared.tun.name()
    }

    /// Stops, and deletes the device with all routes into it.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn remove(self) -> Result<(), Error> {
        self.shared.tun.remove()
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.threads.iter_mut().for_each(Thread::stop);
        self.threads.iter_mut().for_each(Thread::join);
    }
}
