//! From the TUN device into the tunnels.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4},
    ops::Range,
    os::fd::AsFd as _,
    sync::Arc,
};

use forward::{
    Entry, HEADROOM, Peer, Verdict, encap,
    icmp_error::{self, Bucket, Kind},
    mtu::Fragments,
};
use nix::poll::{PollFd, PollFlags, PollTimeout};

use super::{
    SLOT, Shared,
    counters::Count,
    now,
    thread::{Bell, Wake},
    trouble::{self, Troubles},
};
use crate::batch::{BATCH, Sender};

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
    raw: Sender,
    udp: Sender,
    /// Packets that the kernel refused for their size, with their tunnel.
    refused: Vec<(Range<usize>, Peer)>,
    /// The inner packet of each slot and its tunnel.
    slots: Vec<(Range<usize>, Option<Peer>)>,
    fragment: Vec<u8>,
    bucket: Bucket,
    troubles: Troubles,
}

impl Outbound {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Runs until the other end of `wake` is closed.
    pub(super) fn run(self, wake: &Bell) {
        let mut work = Work {
            memory: vec![0; SLOT * BATCH],
            raw: Sender::new(),
            udp: Sender::new(),
            refused: Vec::with_capacity(BATCH),
            slots: Vec::with_capacity(BATCH),
            fragment: vec![0; SLOT],
            bucket: Bucket::new(now()),
            troubles: Troubles::new(),
        };
        loop {
            let mut ready = [
                PollFd::new(wake.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.shared.tun.as_fd(), PollFlags::POLLIN),
            ];
            // Only a signal interrupts it, and then there is nothing to do.
            let _ = nix::poll::poll(&mut ready, PollTimeout::NONE);
            // Ports are looked up for each batch: to be awake is to have let the old ones go.
            if ready[0].any().unwrap_or(false) {
                match wake.read() {
                    Wake::Stop => return,
                    Wake::PortsChanged => wake.answer(),
                }
            }
            for _ in 0..TURN {
                if !work.read(&self.shared) {
                    break;
                }
                work.send(&self.shared);
            }
        }
    }
}

impl Work {
    /// Fills the slots with what waits and judges it; false if nothing waited.
    fn read(&mut self, shared: &Shared) -> bool {
        let table = shared.table.load();
        let paths = shared.paths.load();
        self.slots.clear();
        for at in (0..BATCH).map(|slot| slot * SLOT + HEADROOM) {
            let Ok(length) = shared.tun.read(&mut self.memory[at..at - HEADROOM + SLOT]) else {
                break;
            };
            let range = at..at + length;
            let peer = match table.outbound(&self.memory[range.clone()], &paths) {
                Verdict::Encap(entry) => Some(entry.peer),
                Verdict::TooBig { entry, mtu, dont_fragment } => {
                    self.too_big(shared, range.clone(), &entry, mtu, dont_fragment);
                    None
                }
                Verdict::Drop(reason) => {
                    shared.tally.drop(reason);
                    None
                }
                Verdict::Deliver { .. } => None,
            };
            self.slots.push((range, peer));
        }
        !self.slots.is_empty()
    }

    /// Wraps and sends what the last [`Self::read`] found.
    fn send(&mut self, shared: &Shared) {
        let (mut packets, mut octets) = (0, 0);
        for (range, peer) in &self.slots {
            let Some(peer) = *peer else { continue };
            packets += 1;
            octets += range.len() as u64;
            if let Some(outer) = encap::encap(&mut self.memory, range.clone(), peer) {
                match peer {
                    Peer::IpInIp { remote, .. } => self.raw.push(outer, SocketAddrV4::new(remote, 0)),
                    Peer::Udp { remote } => self.udp.push(outer, remote),
                }
            }
        }
        shared.tally.add(Count::PacketsOut, packets);
        shared.tally.add(Count::OctetsOut, octets);
        self.flush(shared);
        self.retry_refused(shared);
    }

    fn flush(&mut self, shared: &Shared) {
        let Self { memory, raw, udp, refused, slots, .. } = self;
        let mut failed = |outer: Range<usize>, error: &io::Error| {
            shared.tally.add(Count::SendFailed, 1);
            tracing::trace!(%error, "packet not sent");
            // The outer bytes end where the inner packet does.
            let inner = slots.iter().find(|(range, _)| range.end == outer.end);
            if error.raw_os_error() == Some(libc::EMSGSIZE)
                && let Some((range, Some(peer))) = inner
            {
                refused.push((range.clone(), *peer));
            }
        };
        raw.flush(shared.raw.as_fd(), memory, |at, _, error| failed(at, &error));
        let ports = shared.ports.load();
        match ports.first() {
            Some(port) => udp.flush(port.as_fd(), memory, |at, _, error| failed(at, &error)),
            None => udp.clear(),
        }
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
        for (range, _) in refused.drain(..) {
            let verdict = table.outbound(&self.memory[range.clone()], &paths);
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
        self.send_fragments(shared, range, entry.peer, mtu);
    }

    /// The senders are empty when this is called: packets are added after all of a batch were judged.
    fn send_fragments(&mut self, shared: &Shared, range: Range<usize>, peer: Peer, mtu: u16) {
        let Some(mut fragments) = Fragments::new(&self.memory[range], mtu) else {
            return;
        };
        let ports = shared.ports.load();
        while let Some(length) = fragments.next_into(&mut self.fragment[HEADROOM..]) {
            let inner = HEADROOM..HEADROOM + length;
            let Some(outer) = encap::encap(&mut self.fragment, inner, peer) else {
                return;
            };
            let failed = |_, _, _| shared.tally.add(Count::SendFailed, 1);
            match peer {
                Peer::IpInIp { remote, .. } => {
                    self.raw.push(outer, SocketAddrV4::new(remote, 0));
                    self.raw.flush(shared.raw.as_fd(), &self.fragment, failed);
                }
                Peer::Udp { remote } => {
                    let Some(port) = ports.first() else { return };
                    self.udp.push(outer, remote);
                    self.udp.flush(port.as_fd(), &self.fragment, failed);
                }
            }
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
    let socket = std::os::fd::AsRawFd::as_raw_fd(&shared.raw.as_fd());
    let flags = nix::sys::socket::MsgFlags::MSG_DONTWAIT;
    match nix::sys::socket::sendto(socket, &message[..length], &to, flags) {
        Ok(_) => shared.tally.add(Count::Errors, 1),
        Err(error) => {
            shared.tally.add(Count::SendFailed, 1);
            tracing::trace!(%error, "ICMP error not sent");
        }
    }
}
