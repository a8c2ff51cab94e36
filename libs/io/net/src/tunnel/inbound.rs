//! From the tunnels to the TUN device, and from the UDP ports to control.

use std::{
    io,
    net::SocketAddrV4,
    ops::Range,
    os::fd::{AsFd as _, BorrowedFd},
    sync::Arc,
    time::Duration,
};

use forward::{
    Duplicates, Outer, Reason, Table, Verdict,
    coalesce::{Runs, Whole},
    decap,
    encap::TUNNEL_DATA,
    glued::Sizes,
    mss,
    mtu::Paths,
};
use nix::poll::{PollFd, PollFlags, PollTimeout};

use super::{
    LONG_SLOT, Shared,
    counters::Count,
    now,
    thread::{Bell, Wake},
    trouble::{self, Troubles},
};
use crate::{
    batch::{Arrived, Receiver},
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
    hands: Hands,
    troubles: Troubles,
    swept: Duration,
}

/// What packets go through on their way to the host.
struct Hands {
    /// What came lately, while packets may come through several tunnels.
    duplicates: Option<Duplicates>,
    /// What is being put together, where the host takes that.
    runs: Option<Runs>,
    /// What the kernel has put together inside other tunnels than those over UDP.
    sizes: Sizes,
}

/// What was known when a batch of packets came.
struct Known {
    table: Arc<Table>,
    paths: Arc<Paths>,
}

impl Inbound {
    pub(super) const fn new(shared: Arc<Shared>, control: intake::Sender) -> Self {
        Self { shared, control }
    }

    /// Runs until the other end of `wake` is closed.
    pub(super) fn run(self, wake: &Bell) {
        let device = self.shared.tun.offload();
        let runs = device.headers.then(|| Runs::new(device.datagrams));
        let mut work = Work {
            // The kernel puts together whatever we want.
            receiver: Receiver::new(LONG_SLOT),
            hands: Hands { duplicates: None, runs, sizes: Sizes::default() },
            troubles: Troubles::new(),
            swept: now(),
        };
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
            let Work { receiver, hands, .. } = work;
            for raw in fixed[1..].iter().filter(|raw| happened(raw)) {
                self.turn(receiver, hands, raw.as_fd(), |hands, known, memory, arrived| {
                    self.take_raw(hands, known, memory, arrived.at);
                });
            }
            for (socket, port) in of_ports.iter().zip(ports.iter()) {
                if happened(socket) {
                    self.turn(receiver, hands, socket.as_fd(), |hands, known, memory, arrived| {
                        for at in arrived.datagrams() {
                            self.take_udp(hands, known, memory, port, at, arrived.source);
                        }
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
        hands: &mut Hands,
        socket: BorrowedFd<'_>,
        mut take: impl FnMut(&mut Hands, &Known, &mut [u8], Arrived),
    ) {
        for _ in 0..TURN {
            // An error here is a report that the error queue explains, or says that nothing is left.
            let Ok(count) = receiver.receive(socket) else {
                return;
            };
            let known = Known { table: self.shared.table.load_full(), paths: self.shared.paths.load_full() };
            for n in 0..count {
                match receiver.arrived(n) {
                    Some(arrived) => take(hands, &known, receiver.memory(), arrived),
                    None => self.shared.tally.add(Count::TooLong, 1),
                }
            }
            // The memory is needed anew, and nobody knows whether more comes.
            if let Some(runs) = &mut hands.runs {
                let memory = &*receiver.memory();
                runs.finish(|whole| self.hand_in_whole(memory, &whole));
            }
        }
    }

    fn take_raw(&self, hands: &mut Hands, known: &Known, memory: &mut [u8], at: Range<usize>) {
        match decap::raw(&mut memory[at.clone()]) {
            Ok((outer, inner)) => {
                self.deliver(hands, known, memory, outer, at.start + inner.start..at.start + inner.end);
            }
            Err(reason) => self.shared.tally.dropped(reason),
        }
    }

    fn take_udp(
        &self,
        hands: &mut Hands,
        known: &Known,
        memory: &mut [u8],
        port: &Port,
        at: Range<usize>,
        source: SocketAddrV4,
    ) {
        let payload = &memory[at.clone()];
        if payload.first() == Some(&TUNNEL_DATA) {
            match decap::udp(payload) {
                Ok(inner) => {
                    let inner = at.start + inner.start..at.start + inner.end;
                    self.deliver(hands, known, memory, Outer::Udp { source }, inner);
                }
                Err(reason) => self.shared.tally.dropped(reason),
            }
            return;
        }
        let received = Received { source, destination: port.local(), payload: payload.to_vec() };
        if !self.control.send(received) {
            self.shared.tally.add(Count::ControlOverflow, 1);
        }
    }

    fn deliver(
        &self,
        hands: &mut Hands,
        known: &Known,
        memory: &mut [u8],
        outer: Outer,
        inner: Range<usize>,
    ) {
        let (tally, start) = (&self.shared.tally, inner.start);
        let Some(inner) = memory.get_mut(inner) else {
            return tally.dropped(Reason::Malformed);
        };
        let table = &known.table;
        match table.inbound(outer, inner) {
            Verdict::Deliver { length } => {
                let inner = &mut inner[..length];
                // Only at a mobile node's own end of several tunnels, and forgotten when it is the end of one again.
                let several = table.brings_duplicates();
                let seen = several.then(|| hands.duplicates.get_or_insert_default());
                if seen.is_some_and(|seen| !seen.pass(outer, inner, now())) {
                    return tally.add(Count::DuplicateDropped, 1);
                }
                if !several {
                    hands.duplicates = None;
                }
                // At a home agent what comes out of a tunnel is from the home address that it belongs to.
                if let Some(source) = inner.get(12..16).and_then(|octets| <[u8; 4]>::try_from(octets).ok()) {
                    self.shared.meters.count(source.into(), length);
                }
                if self.shared.mss_clamp
                    && mss::opens(inner)
                    && let Some(mtu) = table.mtu_of_inbound(inner, &known.paths)
                {
                    mss::clamp(inner, mtu);
                }
                let left = match outer {
                    Outer::Udp { .. } => None,
                    _ => hands.sizes.left(inner),
                };
                if let Some(left) = left {
                    let inner = &memory[start..start + length];
                    if let Some(runs) = &mut hands.runs {
                        runs.let_pass(inner, |whole| self.hand_in_whole(memory, &whole));
                    }
                    return self.handed(self.shared.tun.write_left(inner, left), (1, length as u64));
                }
                match &mut hands.runs {
                    Some(runs) => {
                        let at = start..start + length;
                        runs.take(memory, at, |whole| self.hand_in_whole(memory, &whole));
                    }
                    None => self.hand_in(inner),
                }
            }
            Verdict::Flood { length } => self.flood(&inner[..length]),
            Verdict::Drop(reason) => tally.dropped(reason),
            Verdict::SeenOnLink | Verdict::Encap(_) | Verdict::TooBig { .. } | Verdict::Expired { .. } => {}
        }
    }

    /// Gives a packet to the host.
    fn hand_in(&self, packet: &[u8]) {
        self.handed(self.shared.tun.write(packet), (1, packet.len() as u64));
    }

    /// Gives what was put together to the host.
    fn hand_in_whole(&self, memory: &[u8], whole: &Whole<'_>) {
        let result = self.shared.tun.write_whole(whole, memory);
        match whole {
            // The packets are still there as they came.
            Whole::Long { head, pieces, .. } if result.is_err() => {
                for piece in *pieces {
                    let packet = memory.get(piece.start.saturating_sub(head.len())..piece.end);
                    self.hand_in(packet.unwrap_or_default());
                }
            }
            _ => {
                let (packets, octets) = whole.amount();
                if packets > 1 {
                    self.shared.tally.add(Count::Together, packets);
                }
                self.handed(result, (packets, octets));
            }
        }
    }

    fn handed(&self, result: io::Result<()>, (packets, octets): (u64, u64)) {
        let tally = &self.shared.tally;
        match result {
            Ok(()) => {
                tally.add(Count::PacketsIn, packets);
                tally.add(Count::OctetsIn, octets);
            }
            Err(error) => {
                tally.add(Count::DeliveryFailed, packets);
                tracing::trace!(%error, "packet not delivered");
            }
        }
    }

    /// Gives a packet to the host and to all hosts of the home link.
    fn flood(&self, packet: &[u8]) {
        let tally = &self.shared.tally;
        let Some((_, home)) = &self.shared.home else {
            return tally.dropped(Reason::Destination);
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
    /// Forgets path MTUs that were learned long ago, and how long segments were.
    fn sweep(&mut self, shared: &Shared) {
        let now = now();
        if now < self.swept + SWEEP {
            return;
        }
        self.swept = now;
        self.hands.sizes.forget();
        if shared.paths.load().is_empty() {
            return;
        }
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
