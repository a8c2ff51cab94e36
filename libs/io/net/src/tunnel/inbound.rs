//! From the tunnels to the TUN device, and from the UDP ports to control.

use std::{
    net::SocketAddrV4,
    ops::Range,
    os::fd::{AsFd as _, BorrowedFd},
    sync::Arc,
    time::Duration,
};

use forward::{Duplicates, Outer, Reason, Table, Verdict, decap, encap::TUNNEL_DATA, mtu::Paths};
use nix::poll::{PollFd, PollFlags, PollTimeout};

use super::{
    SLOT, Shared,
    counters::Count,
    now,
    thread::{Bell, Wake},
    trouble::{self, Troubles},
};
use crate::{
    batch::Receiver,
    intake,
    udp::{Port, Received},
};

/// How often outdated path MTUs are looked for.
const SWEEP: Duration = Duration::from_secs(10);
/// How many batches one socket may take before the others have their turn.
const TURN: usize = 8;

/// The thread that reads the network.
pub(super) struct Inbound {
    shared: Arc<Shared>,
    control: intake::Sender,
}

/// The arrays of the thread, made inside it.
struct Work {
    receiver: Receiver,
    /// What came lately, while packets may come through several tunnels.
    duplicates: Option<Duplicates>,
    troubles: Troubles,
    swept: Duration,
}

impl Inbound {
    pub(super) const fn new(shared: Arc<Shared>, control: intake::Sender) -> Self {
        Self { shared, control }
    }

    /// Runs until the other end of `wake` is closed.
    pub(super) fn run(self, wake: &Bell) {
        let mut work =
            Work { receiver: Receiver::new(SLOT), duplicates: None, troubles: Troubles::new(), swept: now() };
        while self.serve(wake, &mut work) == Wake::PortsChanged {
            // `serve` has let the old ports go.
            wake.answer();
        }
    }

    /// Serves the present ports until they change or the end comes.
    fn serve(&self, wake: &Bell, work: &mut Work) -> Wake {
        let ports = self.shared.ports.load_full();
        let fixed = std::iter::once(wake.as_fd()).chain(self.shared.raw.iter().map(|raw| raw.as_fd()));
        let fixed: Vec<BorrowedFd<'_>> = fixed.collect();
        let sockets = fixed.iter().copied().chain(ports.iter().map(|port| port.as_fd()));
        let mut ready: Vec<PollFd<'_>> =
            sockets.map(|socket| PollFd::new(socket, PollFlags::POLLIN)).collect();
        loop {
            // Only a signal interrupts it, and then there is nothing to do.
            let _ = nix::poll::poll(&mut ready, PollTimeout::try_from(SWEEP).unwrap_or(PollTimeout::NONE));
            let (fixed, of_ports) = ready.split_at(fixed.len());
            if happened(&fixed[0]) {
                return wake.read();
            }
            let in_error = |socket: &PollFd<'_>| {
                socket.revents().unwrap_or(PollFlags::empty()).contains(PollFlags::POLLERR)
            };
            if ready.iter().any(in_error) {
                trouble::drain(&self.shared, &mut work.troubles);
            }
            for raw in fixed[1..].iter().filter(|raw| happened(raw)) {
                let Work { receiver, duplicates, .. } = work;
                self.turn(receiver, raw.as_fd(), |packet, _| self.take_raw(packet, duplicates));
            }
            for (socket, port) in of_ports.iter().zip(ports.iter()) {
                if happened(socket) {
                    let Work { receiver, duplicates, .. } = work;
                    self.turn(receiver, socket.as_fd(), |payload, source| {
                        self.take_udp(port, payload, source, duplicates);
                    });
                }
            }
            work.sweep(&self.shared);
        }
    }

    /// Takes what waits at one socket, but not for ever.
    fn turn(
        &self,
        receiver: &mut Receiver,
        socket: BorrowedFd<'_>,
        mut take: impl FnMut(&mut [u8], SocketAddrV4),
    ) {
        for _ in 0..TURN {
            // An error here is a report that the error queue explains, or says that nothing is left.
            let Ok(count) = receiver.receive(socket) else {
                return;
            };
            for (packet, source) in receiver.packets(count) {
                match packet {
                    Some(packet) => take(packet, source),
                    None => self.shared.tally.add(Count::TooLong, 1),
                }
            }
        }
    }

    fn take_raw(&self, packet: &mut [u8], duplicates: &mut Option<Duplicates>) {
        match decap::raw(packet) {
            Ok((outer, inner)) => self.deliver(outer, packet, inner, duplicates),
            Err(reason) => self.shared.tally.drop(reason),
        }
    }

    fn take_udp(
        &self,
        port: &Port,
        payload: &[u8],
        source: SocketAddrV4,
        duplicates: &mut Option<Duplicates>,
    ) {
        if payload.first() == Some(&TUNNEL_DATA) {
            match decap::udp(payload) {
                Ok(inner) => self.deliver(Outer::Udp { source }, payload, inner, duplicates),
                Err(reason) => self.shared.tally.drop(reason),
            }
            return;
        }
        let received = Received { source, destination: port.local(), payload: payload.to_vec() };
        if !self.control.send(received) {
            self.shared.tally.add(Count::ControlOverflow, 1);
        }
    }

    fn deliver(&self, outer: Outer, packet: &[u8], inner: Range<usize>, duplicates: &mut Option<Duplicates>) {
        let tally = &self.shared.tally;
        let Some(inner) = packet.get(inner) else {
            return tally.drop(Reason::Malformed);
        };
        let table = self.shared.table.load();
        match Table::inbound(&table, outer, inner) {
            Verdict::Deliver { length } => {
                // Only at a mobile node's own end of several tunnels, and forgotten when it is the end of one again.
                let several = table.brings_duplicates();
                let seen = several.then(|| duplicates.get_or_insert_default());
                if seen.is_some_and(|seen| !seen.pass(outer, &inner[..length], now())) {
                    return tally.add(Count::DuplicateDropped, 1);
                }
                if !several {
                    *duplicates = None;
                }
                self.hand_in(&inner[..length]);
            }
            Verdict::Flood { length } => self.flood(&inner[..length]),
            Verdict::Drop(reason) => tally.drop(reason),
            Verdict::SeenOnLink | Verdict::Encap(_) | Verdict::TooBig { .. } | Verdict::Expired { .. } => {}
        }
    }

    /// Gives a packet to the host.
    fn hand_in(&self, packet: &[u8]) {
        let tally = &self.shared.tally;
        match self.shared.tun.write(packet) {
            Ok(()) => {
                tally.add(Count::PacketsIn, 1);
                tally.add(Count::OctetsIn, packet.len() as u64);
            }
            Err(error) => {
                tally.add(Count::DeliveryFailed, 1);
                tracing::trace!(%error, "packet not delivered");
            }
        }
    }

    /// Gives a packet to the host and to all hosts of the home link.
    fn flood(&self, packet: &[u8]) {
        let tally = &self.shared.tally;
        let Some((_, home)) = &self.shared.home else {
            return tally.drop(Reason::Destination);
        };
        self.hand_in(packet);
        match home.send(packet) {
            Ok(()) => tally.add(Count::Flooded, 1),
            Err(error) => {
                tally.add(Count::DeliveryFailed, 1);
                tracing::trace!(%error, "broadcast not put on the home link");
            }
        }
    }
}

impl Work {
    /// Forgets path MTUs that were learned long ago.
    fn sweep(&mut self, shared: &Shared) {
        if shared.paths.load().is_empty() {
            return;
        }
        let now = now();
        if now < self.swept + SWEEP {
            return;
        }
        self.swept = now;
        shared.paths.rcu(|paths| {
            let mut paths = Paths::clone(paths);
            paths.expire(now);
            paths
        });
    }
}

fn happened(socket: &PollFd<'_>) -> bool {
    socket.any().unwrap_or(false)
}
