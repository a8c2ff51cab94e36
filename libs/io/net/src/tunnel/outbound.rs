//! From the TUN device and from links into the tunnels.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4},
    ops::Range,
    os::fd::AsFd as _,
    sync::Arc,
};

use forward::{
    Entry, HEADROOM, Peer, Table, Verdict, decap, encap,
    icmp_error::{self, Bucket, Kind},
    mtu::{Fragments, Paths},
};
use nix::poll::{PollFd, PollFlags, PollTimeout};

use super::{
    SLOT, Shared,
    counters::Count,
    now,
    thread::{Bell, Wake},
    trouble::{self, Troubles},
};
use crate::{
    batch::{BATCH, Sender},
    link::data::DataSocket,
};

/// How many batches are taken before it looks whether somebody wants something of the thread.
const TURN: usize = 16;

/// The thread that reads the TUN device.
pub(super) struct Outbound {
    shared: Arc<Shared>,
}

/// The arrays of the thread, made inside it.
struct Work {
    /// One slot for each packet of a batch.
    memory: Vec<u8>,
    senders: Senders,
    /// Packets that the kernel refused for their size: inner and outer place, and their tunnel.
    refused: Vec<(Range<usize>, Range<usize>, Peer)>,
    /// The inner packet of each slot and its tunnel.
    slots: Vec<(Range<usize>, Option<Peer>)>,
    fragment: Vec<u8>,
    /// A packet of which copies are made.
    broadcast: Vec<u8>,
    bucket: Bucket,
    troubles: Troubles,
}

/// One for each kind of socket.
struct Senders {
    ipip: Sender,
    minimal: Sender,
    gre: Sender,
    udp: Sender,
}

impl Senders {
    fn new() -> Self {
        Self { ipip: Sender::new(), minimal: Sender::new(), gre: Sender::new(), udp: Sender::new() }
    }

    /// Adds a wrapped packet.
    fn push(&mut self, at: Range<usize>, peer: Peer) {
        let to = SocketAddrV4::new(peer.remote(), 0);
        match peer {
            Peer::IpInIp { .. } => self.ipip.push(at, to),
            Peer::Minimal { .. } => self.minimal.push(at, to),
            Peer::Gre { .. } => self.gre.push(at, to),
            Peer::Udp { remote } => self.udp.push(at, remote),
        }
    }

    /// Sends all; calls `failed` with the place of each packet that was refused.
    fn flush(&mut self, shared: &Shared, memory: &[u8], mut failed: impl FnMut(Range<usize>, &io::Error)) {
        let ports = shared.ports.load();
        let Self { ipip, minimal, gre, udp } = self;
        let raw = &shared.raw;
        for (sender, socket) in [
            (ipip, Some(raw.ipip().as_fd())),
            (minimal, raw.minimal().map(|socket| socket.as_fd())),
            (gre, raw.gre().map(|socket| socket.as_fd())),
            (udp, ports.first().map(|port| port.as_fd())),
        ] {
            match socket {
                Some(socket) => sender.flush(socket, memory, |at, _, error| failed(at, &error)),
                None => sender.refuse(|at| failed(at, &io::ErrorKind::Unsupported.into())),
            }
        }
    }
}

impl Outbound {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Runs until the other end of `wake` is closed.
    pub(super) fn run(self, wake: &Bell) {
        let mut work = Work {
            memory: vec![0; SLOT * BATCH],
            senders: Senders::new(),
            refused: Vec::with_capacity(BATCH),
            slots: Vec::with_capacity(BATCH),
            fragment: vec![0; SLOT],
            broadcast: vec![0; SLOT],
            bucket: Bucket::new(now()),
            troubles: Troubles::new(),
        };
        let shared = &*self.shared;
        let links = shared.visited.iter().chain(shared.home.as_ref().map(|(listener, _)| listener));
        let sources = [wake.as_fd(), shared.tun.as_fd()].into_iter().chain(links.map(|link| link.as_fd()));
        let mut ready: Vec<PollFd<'_>> =
            sources.map(|source| PollFd::new(source, PollFlags::POLLIN)).collect();
        loop {
            // Only a signal interrupts it, and then there is nothing to do.
            let _ = nix::poll::poll(&mut ready, PollTimeout::NONE);
            // Ports are looked up for each batch: to be awake is to have let the old ones go.
            if ready[0].any().unwrap_or(false) {
                match wake.read() {
                    Wake::Stop => return,
                    Wake::PortsChanged => wake.answer(),
                }
            }
            work.turn(|work| work.read(shared), shared);
            for link in &shared.visited {
                work.turn(|work| work.read_handed_over(shared, link), shared);
            }
            if let Some((home, _)) = &shared.home {
                work.turn(|work| work.read_broadcast(shared, home), shared);
            }
        }
    }
}

impl Work {
    /// Reads and sends as long as something waits, but not for ever.
    fn turn(&mut self, mut read: impl FnMut(&mut Self) -> bool, shared: &Shared) {
        for _ in 0..TURN {
            let waited = read(self);
            self.send(shared);
            if !waited {
                return;
            }
        }
    }

    /// Fills the slots with what waits in the device and judges it; false if nothing waited.
    fn read(&mut self, shared: &Shared) -> bool {
        let table = shared.table.load();
        let paths = shared.paths.load();
        self.slots.clear();
        for _ in 0..BATCH {
            if self.slots.len() == BATCH {
                break;
            }
            let at = self.slots.len() * SLOT + HEADROOM;
            let Ok(length) = shared.tun.read(&mut self.memory[at..at - HEADROOM + SLOT]) else {
                break;
            };
            let range = at..at + length;
            let verdict = table.outbound(&self.memory[range.clone()], &paths);
            let peer = self.judged(shared, range.clone(), verdict);
            self.slots.push((range.clone(), peer));
            if table.has_further(&self.memory[range.clone()]) {
                self.copy_further(shared, &table, &paths, range);
            }
        }
        !self.slots.is_empty()
    }

    /// Puts copies of the packet at `range` into slots, one for each further tunnel of its home address.
    fn copy_further(&mut self, shared: &Shared, table: &Table, paths: &Paths, range: Range<usize>) {
        let length = range.len();
        let mut packet = std::mem::take(&mut self.broadcast);
        packet[..length].copy_from_slice(&self.memory[range]);
        for verdict in table.further(&packet[..length], paths) {
            if self.slots.len() == BATCH {
                self.send(shared);
                self.slots.clear();
            }
            self.copy(shared, &packet[..length], verdict, Count::Duplicated);
        }
        self.broadcast = packet;
    }

    /// Fills the slots with what visitors on `link` hand over and judges it; false if nothing waited.
    fn read_handed_over(&mut self, shared: &Shared, link: &DataSocket) -> bool {
        let table = shared.table.load();
        let paths = shared.paths.load();
        self.slots.clear();
        for at in (0..BATCH).map(|slot| slot * SLOT + HEADROOM) {
            let slot = &mut self.memory[at..at - HEADROOM + SLOT];
            let Ok((length, station)) = link.read(slot) else {
                break;
            };
            let (range, verdict) = match decap::raw(&mut slot[..length]) {
                Ok((outer, inner)) => {
                    let verdict = table.delivered(station, outer, &mut slot[inner.clone()], &paths);
                    (at + inner.start..at + inner.end, verdict)
                }
                Err(reason) => (at..at + length, Verdict::Drop(reason)),
            };
            if matches!(verdict, Verdict::Encap(_) | Verdict::TooBig { .. }) {
                shared.tally.add(Count::HandedOver, 1);
            }
            let peer = self.judged(shared, range.clone(), verdict);
            self.slots.push((range, peer));
        }
        !self.slots.is_empty()
    }

    /// Reads one broadcast of the home link and sends the copies of it; false if none waited.
    fn read_broadcast(&mut self, shared: &Shared, home: &DataSocket) -> bool {
        let table = shared.table.load();
        let paths = shared.paths.load();
        self.slots.clear();
        let mut packet = std::mem::take(&mut self.broadcast);
        let read = home.read(&mut packet);
        if let Ok((length, _)) = read {
            for verdict in table.copies(&packet[..length], &paths) {
                if self.slots.len() == BATCH {
                    self.send(shared);
                    self.slots.clear();
                }
                self.copy(shared, &packet[..length], verdict, Count::Copied);
            }
        }
        self.broadcast = packet;
        read.is_ok()
    }

    /// Puts a copy of a packet into the next slot.
    fn copy(&mut self, shared: &Shared, packet: &[u8], verdict: Verdict, count: Count) {
        let at = self.slots.len() * SLOT + HEADROOM;
        let range = at..at + packet.len();
        // Longer ones do not come out of a socket that reads so much.
        let Some(slot) = self.memory[..at - HEADROOM + SLOT].get_mut(range.clone()) else {
            return;
        };
        slot.copy_from_slice(packet);
        let Verdict::Encap(entry) = verdict else {
            self.judged(shared, range, verdict);
            return;
        };
        if let Some(range) = encap::nest(&mut self.memory, range, &entry) {
            shared.tally.add(count, 1);
            self.slots.push((range, Some(entry.peer)));
        }
    }

    /// Does what `verdict` says of the packet at `range`; the tunnel that it takes, if it takes one.
    fn judged(&mut self, shared: &Shared, range: Range<usize>, verdict: Verdict) -> Option<Peer> {
        match verdict {
            Verdict::Encap(entry) => return Some(entry.peer),
            Verdict::TooBig { entry, mtu, dont_fragment } => {
                self.too_big(shared, range, &entry, mtu, dont_fragment);
            }
            Verdict::Expired { entry } => {
                if let Some(own) = shared.own_address(entry.peer) {
                    let inner = &self.memory[range];
                    send_error(shared, &mut self.bucket, Kind::TimeExceeded, own, inner);
                }
            }
            Verdict::Drop(reason) => shared.tally.drop(reason),
            Verdict::Deliver { .. } | Verdict::Flood { .. } | Verdict::SeenOnLink => {}
        }
        None
    }

    /// Wraps and sends what the last [`Self::read`] found.
    fn send(&mut self, shared: &Shared) {
        let (mut packets, mut octets) = (0, 0);
        for (range, peer) in &self.slots {
            let Some(peer) = *peer else { continue };
            packets += 1;
            octets += range.len() as u64;
            if let Some(outer) = encap::encap(&mut self.memory, range.clone(), peer) {
                self.senders.push(outer, peer);
            }
        }
        shared.tally.add(Count::PacketsOut, packets);
        shared.tally.add(Count::OctetsOut, octets);
        self.flush(shared);
        self.retry_refused(shared);
    }

    fn flush(&mut self, shared: &Shared) {
        let Self { memory, senders, refused, slots, .. } = self;
        let failed = |outer: Range<usize>, error: &io::Error| {
            shared.tally.add(Count::SendFailed, 1);
            tracing::trace!(%error, "packet not sent");
            // The outer bytes end where the inner packet does.
            let inner = slots.iter().find(|(range, _)| range.end == outer.end);
            if error.raw_os_error() == Some(libc::EMSGSIZE)
                && let Some((range, Some(peer))) = inner
            {
                refused.push((range.clone(), outer, *peer));
            }
        };
        senders.flush(shared, memory, failed);
    }

    /// Learns the MTU that the kernel had in mind and treats the packets as too big for it.
    fn retry_refused(&mut self, shared: &Shared) {
        if self.refused.is_empty() {
            return;
        }
        trouble::drain(shared, &mut self.troubles);
        let table = shared.table.load();
        let paths = shared.paths.load();
        let mut refused = std::mem::take(&mut self.refused);
        for (range, outer, peer) in refused.drain(..) {
            // This encapsulation has changed the packet: it has to come out again.
            if matches!(peer, Peer::Minimal { .. }) && decap::raw(&mut self.memory[outer]).is_err() {
                continue;
            }
            let verdict = table.again(peer.remote(), &self.memory[range.clone()], &paths);
            if let Verdict::TooBig { entry, mtu, dont_fragment } = verdict {
                self.too_big(shared, range, &entry, mtu, dont_fragment);
            }
        }
        self.refused = refused;
    }

    /// Tells the sender, or sends fragments in place of the packet (RFC 2003 §5.1, RFC 3519 §4.8).
    fn too_big(
        &mut self,
        shared: &Shared,
        range: Range<usize>,
        entry: &Entry,
        mtu: u16,
        dont_fragment: bool,
    ) {
        shared.tally.add(Count::TooBig, 1);
        if dont_fragment {
            let inner = &self.memory[range];
            if let Some(own) = shared.own_address(entry.peer) {
                send_error(shared, &mut self.bucket, Kind::TooBig { mtu }, own, inner);
            }
            return;
        }
        self.send_fragments(shared, range, entry, mtu);
    }

    /// The senders are empty when this is called: packets are added after all of a batch were judged.
    fn send_fragments(&mut self, shared: &Shared, range: Range<usize>, entry: &Entry, mtu: u16) {
        let Some(mut fragments) = Fragments::new(&self.memory[range], mtu) else {
            return;
        };
        while let Some(length) = fragments.next_into(&mut self.fragment[HEADROOM..]) {
            let inner = HEADROOM..HEADROOM + length;
            let wrapped = encap::nest(&mut self.fragment, inner, entry);
            let outer = wrapped.and_then(|inner| encap::encap(&mut self.fragment, inner, entry.peer));
            let Some(outer) = outer else { return };
            self.senders.push(outer, entry.peer);
            let failed = |_, _: &io::Error| shared.tally.add(Count::SendFailed, 1);
            self.senders.flush(shared, &self.fragment, failed);
            shared.tally.add(Count::Fragments, 1);
        }
    }
}

/// Sends an ICMP error about `inner` from `own`, unless there were too many.
pub(super) fn send_error(shared: &Shared, bucket: &mut Bucket, kind: Kind, own: Ipv4Addr, inner: &[u8]) {
    let mut message = [0; icmp_error::LONGEST];
    let Some(length) = icmp_error::build(&mut message, kind, own, inner) else {
        return;
    };
    if !bucket.take(now()) {
        return;
    }
    let destination = Ipv4Addr::new(message[16], message[17], message[18], message[19]);
    let to = nix::sys::socket::SockaddrIn::from(SocketAddrV4::new(destination, 0));
    let socket = std::os::fd::AsRawFd::as_raw_fd(&shared.raw.ipip().as_fd());
    let flags = nix::sys::socket::MsgFlags::MSG_DONTWAIT;
    match nix::sys::socket::sendto(socket, &message[..length], &to, flags) {
        Ok(_) => shared.tally.add(Count::Errors, 1),
        Err(error) => {
            shared.tally.add(Count::SendFailed, 1);
            tracing::trace!(%error, "ICMP error not sent");
        }
    }
}
