//! The data path: packets between the TUN device and the tunnels, in two threads of their own.
//!
//! It shares with control nothing but the [`Table`], the set of UDP ports and the path MTUs, each swapped
//! whole; no lock is taken and nothing is allocated for a packet. What happens to a packet is decided by the
//! pure functions of `forward`.
//!
//! UDP ports carry registrations and tunnel data alike: what begins with the octet 4 is data (RFC 3519 §3.3),
//! all else goes to control through a bounded channel.

mod counters;
mod inbound;
mod outbound;
mod thread;
mod trouble;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use forward::{Table, mtu::Paths};
use tokio::sync::mpsc;

pub use counters::Counters;

use crate::{error::Error, raw::RawSocket, sys, tun::Tun, udp};
use counters::Tally;
use thread::Thread;

/// Datagrams that wait for control before further ones are dropped; a mobile node repeats its requests.
const CONTROL_QUEUE: usize = 4096;
/// Octets of room for one packet and its headroom. Longer packets come from nobody who knows our MTU.
const SLOT: usize = 9 * 1024 + 256;

/// What a tunnel needs to begin.
#[derive(Debug)]
pub struct Config {
    /// Name of the TUN device, at most 15 octets.
    pub device: String,
    /// Mark of the socket that sends IP in IP packets, which chooses their routes.
    pub mark: Option<u32>,
    /// The UDP ports; the first is the local end of tunnels over UDP.
    pub ports: Vec<udp::Port>,
    /// Where packets go.
    pub table: Table,
}

/// What control and the two threads share.
struct Shared {
    tun: Tun,
    raw: RawSocket,
    table: ArcSwap<Table>,
    ports: ArcSwap<Vec<udp::Port>>,
    paths: ArcSwap<Paths>,
    tally: Tally,
}

impl Shared {
    /// The outer address that we have in the tunnel to a peer; errors that we make come from it.
    fn own_address(&self, peer: forward::Peer) -> Option<std::net::Ipv4Addr> {
        match peer {
            forward::Peer::IpInIp { local, .. } => Some(local),
            forward::Peer::Udp { .. } => self.ports.load().first().map(|port| *port.local().ip()),
        }
    }
}

/// Time for rate limits and path MTUs.
fn now() -> Duration {
    sys::clock(libc::CLOCK_BOOTTIME)
}

/// A running data path. Dropped, it stops its threads and leaves the device with all routes into it, so that
/// nothing leaves the host untunnelled.
pub struct Tunnel {
    shared: Arc<Shared>,
    threads: Vec<Thread>,
}

impl Tunnel {
    /// Makes or takes up the device and starts the threads. The receiver gives the datagrams for control.
    ///
    /// # Errors
    /// TUN devices or raw sockets are not permitted, or another process holds the device.
    pub fn open(config: Config) -> Result<(Self, mpsc::Receiver<udp::Received>), Error> {
        // First the socket: from now on the kernel answers no tunnelled packet in our place.
        let raw = RawSocket::open(config.mark)?;
        let tun = Tun::open(&config.device, forward::IPIP_MTU)?;
        let shared = Arc::new(Shared {
            tun,
            raw,
            table: ArcSwap::from_pointee(config.table),
            ports: ArcSwap::from_pointee(config.ports),
            paths: ArcSwap::from_pointee(Paths::default()),
            tally: Tally::default(),
        });
        let (control, datagrams) = mpsc::channel(CONTROL_QUEUE);
        let inbound = inbound::Inbound::new(Arc::clone(&shared), control);
        let outbound = outbound::Outbound::new(Arc::clone(&shared));
        let threads = vec![
            Thread::spawn("tunnel-in", move |bell| inbound.run(&bell))?,
            Thread::spawn("tunnel-out", move |bell| outbound.run(&bell))?,
        ];
        Ok((Self { shared, threads }, datagrams))
    }

    /// Puts another table in place of the present one.
    pub fn swap(&self, table: Table) {
        self.shared.table.store(Arc::new(table));
    }

    /// Puts other UDP ports in place of the present ones, which are closed when this returns unless somebody
    /// else keeps them.
    pub fn set_ports(&self, ports: Vec<udp::Port>) {
        self.shared.ports.store(Arc::new(ports));
        self.threads.iter().for_each(Thread::ring);
    }

    /// What was carried and dropped since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.tally.read()
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
