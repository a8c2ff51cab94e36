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
    mss,
    mtu::{Fragments, Paths},
    segment::{self, LONGEST_HEAD, Left, Segments},
};
use nix::poll::{PollFd, PollFlags, PollTimeout};

use super::{
    Shared,
    counters::Count,
    now,
    thread::{Bell, Wake},
    trouble::{self, Troubles},
};
use crate::{
    batch::{Memory, Sender, Tag},
    link::data::DataSocket,
};

/// How many batches are taken before it looks whether somebody wants something of the thread.
const TURN: usize = 16;
/// Packets of a batch: as many as one message of UDP has segments.
const BATCH: usize = 64;
/// Octets for the packets of a batch: a few of the longest, no more than fits into the caches.
const MEMORY: usize = 320 * 1024;
/// Where packets may begin, in octets.
const ALIGNMENT: usize = 64;
/// The headers of segments that may wait, and octets of each with what comes before it.
const HEADS: usize = 256;
const HEAD: usize = HEADROOM + LONGEST_HEAD.next_multiple_of(ALIGNMENT);

/// The thread that reads the TUN device.
pub(super) struct Outbound {
    shared: Arc<Shared>,
}

/// The arrays of the thread, made inside it.
struct Work {
    /// The packets of a batch, one behind the other, each with room before it; behind `filled` nothing.
    memory: Vec<u8>,
    filled: usize,
    /// Octets that the longest packet needs, and what is before it.
    room: usize,
    packets: Vec<Waiting>,
    /// Headers of segments whose payload is still in its packet.
    heads: Vec<u8>,
    senders: Senders,
    /// Packets or segments that the kernel refused for their size.
    refused: Vec<Tag>,
    fragment: Vec<u8>,
    /// A packet of which copies are made.
    original: Vec<u8>,
    /// A packet that is being cut because its segments have different ways.
    whole: Vec<u8>,
    bucket: Bucket,
    troubles: Troubles,
}

/// A packet of a batch that goes into a tunnel.
struct Waiting {
    at: Range<usize>,
    /// The outer packet, of one that was wrapped where it is.
    outer: Range<usize>,
    peer: Peer,
    /// Segments to cut it into; the checksum of one that is not cut is complete.
    left: Left,
}

/// One for each kind of socket.
struct Senders {
    ipip: Sender,
    minimal: Sender,
    gre: Sender,
    udp: Sender,
}

impl Senders {
    fn new(segments: bool) -> Self {
        let udp = if segments { Sender::together() } else { Sender::new() };
        Self { ipip: Sender::new(), minimal: Sender::new(), gre: Sender::new(), udp }
    }

    /// Adds a wrapped packet.
    fn push(&mut self, head: Range<usize>, body: Range<usize>, peer: Peer, tag: Tag) {
        let to = SocketAddrV4::new(peer.remote(), 0);
        match peer {
            Peer::IpInIp { .. } => self.ipip.push(head, body, to, tag),
            Peer::Minimal { .. } => self.minimal.push(head, body, to, tag),
            Peer::Gre { .. } => self.gre.push(head, body, to, tag),
            Peer::Udp { remote } => self.udp.push(head, body, remote, tag),
        }
    }

    /// Sends all; calls `failed` with the tag of each packet that was refused.
    fn flush(&mut self, shared: &Shared, memory: Memory<'_>, mut failed: impl FnMut(Tag, &io::Error)) {
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
                Some(socket) => sender.flush(socket, memory, |tag, error| failed(tag, &error)),
                None => sender.refuse(|tag| failed(tag, &io::ErrorKind::Unsupported.into())),
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
        let slot = self.shared.slot();
        let mut work = Work {
            memory: vec![0; MEMORY.max(slot)],
            filled: 0,
            room: slot,
            packets: Vec::with_capacity(BATCH),
            heads: vec![0; HEAD * HEADS],
            senders: Senders::new(self.shared.segments),
            refused: Vec::with_capacity(BATCH),
            fragment: vec![0; slot],
            original: vec![0; slot],
            whole: vec![0; slot],
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

    /// Forgets the last batch.
    fn begin(&mut self) {
        self.packets.clear();
        self.filled = 0;
    }

    /// Where the next packet may begin; none if the batch is full.
    fn place(&self) -> Option<usize> {
        let room = self.packets.len() < BATCH && self.filled + self.room <= self.memory.len();
        room.then_some(self.filled + HEADROOM)
    }

    /// Where the next packet may begin, after what waits was sent if there was no room.
    fn make_place(&mut self, shared: &Shared) -> usize {
        if self.place().is_none() {
            self.send(shared);
            self.begin();
        }
        self.filled + HEADROOM
    }

    /// Adds a packet that goes into a tunnel.
    fn add(&mut self, at: Range<usize>, peer: Peer, left: Left) {
        self.filled = at.end.next_multiple_of(ALIGNMENT);
        self.packets.push(Waiting { at, outer: 0..0, peer, left });
    }

    /// Reads what waits in the device and judges it; false if nothing waited.
    fn read(&mut self, shared: &Shared) -> bool {
        let table = shared.table.load();
        let paths = shared.paths.load();
        self.begin();
        let mut waited = false;
        while let Some(at) = self.place() {
            let end = at - HEADROOM + self.room;
            match shared.tun.read(&mut self.memory[..end], at) {
                Ok((length, left)) => self.take(shared, &table, &paths, at..at + length, left),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    shared.tally.dropped(forward::Reason::Malformed);
                }
                Err(_) => break,
            }
            waited = true;
        }
        waited
    }

    /// Judges the packet at `at`, which the host handed over with this `left` to do.
    fn take(&mut self, shared: &Shared, table: &Table, paths: &Paths, at: Range<usize>, left: Left) {
        let packet = &self.memory[at.clone()];
        if let Some(segments) = Segments::new(packet, left) {
            let verdict = table.outbound_segments(packet, segments.longest(), paths);
            match verdict {
                Verdict::Encap(entry) if !table.has_further(packet) => {
                    shared.meters.count(entry.home_address, at.len());
                    self.add(at, entry.peer, left);
                }
                Verdict::Drop(reason) => shared.tally.dropped(reason),
                _ => self.take_apart(shared, table, paths, at, left),
            }
            return;
        }
        if left.segment.is_some()
            || left.checksum.is_some_and(|place| !segment::complete(&mut self.memory[at.clone()], place))
        {
            return shared.tally.dropped(forward::Reason::Malformed);
        }
        self.take_one(shared, table, paths, at);
    }

    /// Judges the packet at `at`, which is as it shall arrive.
    fn take_one(&mut self, shared: &Shared, table: &Table, paths: &Paths, at: Range<usize>) {
        let packet = &self.memory[at.clone()];
        let (verdict, further) = (table.outbound(packet, paths), table.has_further(packet));
        let judged = self.judged(shared, at.clone(), verdict);
        if further {
            self.copy_further(shared, table, paths, at, judged);
        } else if let Some(peer) = judged {
            self.add(at, peer, Left::default());
        }
    }

    /// Judges the segments of a packet each by itself: they do not fit, or have several ways.
    fn take_apart(&mut self, shared: &Shared, table: &Table, paths: &Paths, at: Range<usize>, left: Left) {
        let length = at.len();
        let mut whole = std::mem::take(&mut self.whole);
        whole[..length].copy_from_slice(&self.memory[at]);
        if let Some(segments) = Segments::new(&whole[..length], left) {
            for n in 0..segments.count() {
                let at = self.make_place(shared);
                let Some(length) = segments.write(n, &mut self.memory[at..]) else { break };
                self.take_one(shared, table, paths, at..at + length);
            }
        }
        self.whole = whole;
    }

    /// Adds the packet at `at` for its own tunnel, if it takes one, and copies of it, one for each further tunnel of
    /// its home address.
    fn copy_further(
        &mut self,
        shared: &Shared,
        table: &Table,
        paths: &Paths,
        at: Range<usize>,
        first: Option<Peer>,
    ) {
        let length = at.len();
        let mut packet = std::mem::take(&mut self.original);
        packet[..length].copy_from_slice(&self.memory[at.clone()]);
        if let Some(peer) = first {
            self.add(at, peer, Left::default());
        }
        for verdict in table.further(&packet[..length], paths) {
            self.copy(shared, &packet[..length], verdict, Count::Duplicated);
        }
        self.original = packet;
    }

    /// Reads what visitors on `link` hand over and judges it; false if nothing waited.
    fn read_handed_over(&mut self, shared: &Shared, link: &DataSocket) -> bool {
        let table = shared.table.load();
        let paths = shared.paths.load();
        self.begin();
        let mut waited = false;
        while let Some(at) = self.place() {
            let slot = &mut self.memory[at..at - HEADROOM + self.room];
            let Ok((length, station)) = link.read(slot) else {
                break;
            };
            waited = true;
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
            if let Some(peer) = self.judged(shared, range.clone(), verdict) {
                self.add(range, peer, Left::default());
            }
        }
        waited
    }

    /// Reads one broadcast of the home link and sends the copies of it; false if none waited.
    fn read_broadcast(&mut self, shared: &Shared, home: &DataSocket) -> bool {
        let table = shared.table.load();
        let paths = shared.paths.load();
        self.begin();
        let mut packet = std::mem::take(&mut self.original);
        let read = home.read(&mut packet);
        if let Ok((length, _)) = read {
            for verdict in table.copies(&packet[..length], &paths) {
                self.copy(shared, &packet[..length], verdict, Count::Copied);
            }
        }
        self.original = packet;
        read.is_ok()
    }

    /// Adds a copy of a packet.
    fn copy(&mut self, shared: &Shared, packet: &[u8], verdict: Verdict, count: Count) {
        let at = self.make_place(shared);
        let range = at..at + packet.len();
        // Longer ones do not come out of a socket that reads so much.
        let Some(slot) = self.memory.get_mut(range.clone()) else {
            return;
        };
        slot.copy_from_slice(packet);
        let Verdict::Encap(entry) = verdict else {
            self.judged(shared, range, verdict);
            return;
        };
        if let Some(range) = encap::nest(&mut self.memory, range, &entry) {
            shared.tally.add(count, 1);
            self.add(range, entry.peer, Left::default());
        }
    }

    /// Does what `verdict` says of the packet at `range`; the tunnel that it takes, if it takes one.
    fn judged(&mut self, shared: &Shared, range: Range<usize>, verdict: Verdict) -> Option<Peer> {
        match verdict {
            Verdict::Encap(entry) => {
                shared.meters.count(entry.home_address, range.len());
                let packet = &mut self.memory[range];
                if shared.mss_clamp && mss::opens(packet) {
                    mss::clamp(packet, shared.paths.load().inner_mtu(&entry));
                }
                return Some(entry.peer);
            }
            Verdict::TooBig { entry, mtu, dont_fragment } => {
                let memory = std::mem::take(&mut self.memory);
                self.too_big(shared, &memory[range], &entry, mtu, dont_fragment);
                self.memory = memory;
            }
            Verdict::Expired { entry } => {
                if let Some(own) = shared.own_address(entry.peer) {
                    let inner = &self.memory[range];
                    send_error(shared, &mut self.bucket, Kind::TimeExceeded, own, inner);
                }
            }
            Verdict::Drop(reason) => shared.tally.dropped(reason),
            Verdict::Deliver { .. } | Verdict::Flood { .. } | Verdict::SeenOnLink => {}
        }
        None
    }

    /// Wraps and sends the packets of the batch.
    fn send(&mut self, shared: &Shared) {
        let (mut packets, mut octets, mut cut, mut heads) = (0, 0, 0, 0);
        for n in 0..self.packets.len() {
            let Waiting { ref at, peer, left, .. } = self.packets[n];
            let at = at.clone();
            if left.segment.is_none() {
                packets += 1;
                octets += at.len();
                if let Some(outer) = encap::encap(&mut self.memory, at, peer) {
                    self.packets[n].outer = outer.clone();
                    self.senders.push(0..0, outer, peer, (n, 0));
                }
                continue;
            }
            let Some(count) = self.segments(n).map(|segments| segments.count()) else { continue };
            packets += count;
            cut += count;
            for segment in 0..count {
                if heads == HEADS {
                    self.flush(shared);
                    heads = 0;
                }
                octets += self.wrap_segment(n, segment, heads * HEAD).unwrap_or(0);
                heads += 1;
            }
        }
        shared.tally.add(Count::PacketsOut, packets as u64);
        shared.tally.add(Count::OctetsOut, octets as u64);
        shared.tally.add(Count::Cut, cut as u64);
        self.flush(shared);
        self.retry_refused(shared);
    }

    fn segments(&self, n: usize) -> Option<Segments<'_>> {
        let Waiting { at, left, .. } = self.packets.get(n)?;
        Segments::new(self.memory.get(at.clone())?, *left)
    }

    /// Writes the headers of a segment to `start` of the heads and adds it; its length, without those of the tunnel.
    fn wrap_segment(&mut self, n: usize, segment: usize, start: usize) -> Option<usize> {
        let Waiting { at, peer, left, .. } = self.packets.get(n)?;
        let segments = Segments::new(self.memory.get(at.clone())?, *left)?;
        let head = start + HEADROOM;
        let (length, payload) = segments.head(segment, &mut self.heads[head..start + HEAD])?;
        let octets = length + payload.len();
        let head = encap::encap_head(&mut self.heads, head..head + length, *peer)?;
        let body = at.start + payload.start..at.start + payload.end;
        self.senders.push(head, body, *peer, (n, segment));
        Some(octets)
    }

    fn flush(&mut self, shared: &Shared) {
        let Self { memory, heads, senders, refused, .. } = self;
        let failed = |tag, error: &io::Error| {
            shared.tally.add(Count::SendFailed, 1);
            tracing::trace!(%error, "packet not sent");
            if error.raw_os_error() == Some(libc::EMSGSIZE) {
                refused.push(tag);
            }
        };
        senders.flush(shared, Memory { heads, bodies: memory }, failed);
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
        let mut whole = std::mem::take(&mut self.whole);
        for tag in refused.drain(..) {
            let Some((length, peer)) = self.unwrap_refused(tag, &mut whole) else { continue };
            let packet = &whole[..length];
            let verdict = table.again(peer.remote(), packet, &paths);
            if let Verdict::TooBig { entry, mtu, dont_fragment } = verdict {
                self.too_big(shared, packet, &entry, mtu, dont_fragment);
            }
        }
        self.whole = whole;
        self.refused = refused;
    }

    /// Writes a packet or segment of the batch to `out` as it was before it was wrapped; its length and tunnel.
    fn unwrap_refused(&mut self, (n, segment): Tag, out: &mut [u8]) -> Option<(usize, Peer)> {
        let Waiting { at, outer, peer, left } = self.packets.get(n)?;
        if left.segment.is_some() {
            return Some((self.segments(n)?.write(segment, out)?, *peer));
        }
        let length = at.len();
        // This encapsulation has changed the packet: it has to come out again.
        if matches!(peer, Peer::Minimal { .. }) {
            decap::raw(self.memory.get_mut(outer.clone())?).ok()?;
        }
        out[..length].copy_from_slice(&self.memory[at.clone()]);
        Some((length, *peer))
    }

    /// Tells the sender, or sends fragments in place of the packet (RFC 2003 §5.1, RFC 3519 §4.8).
    fn too_big(&mut self, shared: &Shared, packet: &[u8], entry: &Entry, mtu: u16, dont_fragment: bool) {
        shared.tally.add(Count::TooBig, 1);
        if dont_fragment {
            if let Some(own) = shared.own_address(entry.peer) {
                send_error(shared, &mut self.bucket, Kind::TooBig { mtu }, own, packet);
            }
            return;
        }
        self.send_fragments(shared, packet, entry, mtu);
    }

    /// The senders are empty when this is called: packets are added after all of a batch were judged.
    fn send_fragments(&mut self, shared: &Shared, packet: &[u8], entry: &Entry, mtu: u16) {
        let Some(mut fragments) = Fragments::new(packet, mtu) else {
            return;
        };
        while let Some(length) = fragments.next_into(&mut self.fragment[HEADROOM..]) {
            let inner = HEADROOM..HEADROOM + length;
            let wrapped = encap::nest(&mut self.fragment, inner, entry);
            let outer = wrapped.and_then(|inner| encap::encap(&mut self.fragment, inner, entry.peer));
            let Some(outer) = outer else { return };
            self.senders.push(0..0, outer, entry.peer, (0, 0));
            let failed = |_, _: &io::Error| shared.tally.add(Count::SendFailed, 1);
            self.senders.flush(shared, Memory { heads: &[], bodies: &self.fragment }, failed);
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
