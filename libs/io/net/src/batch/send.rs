//! Many packets out with one system call.

use std::{
    io, mem,
    net::SocketAddrV4,
    ops::Range,
    os::fd::{AsRawFd as _, BorrowedFd},
    ptr, slice,
};

use nix::poll::{PollFd, PollFlags, PollTimeout};

use crate::sys;

/// How long a full socket buffer may hold up a packet before it is dropped, in milliseconds.
const PATIENCE: u16 = 20;
/// Messages of one call.
const MESSAGES: usize = 64;
/// Datagrams that the kernel makes of one message at most (its `UDP_MAX_SEGMENTS`).
const SEGMENTS: usize = 64;
/// Octets of all datagrams of one message at most: what one UDP datagram may have.
const LONGEST: usize = 65_507;

/// A packet on its way out.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    /// Its beginning, in one memory; may be empty.
    head: Range<usize>,
    /// Its rest, in another.
    body: Range<usize>,
    to: SocketAddrV4,
    tag: Tag,
}

impl Outgoing {
    fn length(&self) -> usize {
        self.head.len() + self.body.len()
    }
}

/// What names a packet whose sending failed: the caller's numbers.
pub(crate) type Tag = (usize, usize);

/// The two memories that packets stand in: beginnings and rests.
#[derive(Clone, Copy)]
pub(crate) struct Memory<'a> {
    pub(crate) heads: &'a [u8],
    pub(crate) bodies: &'a [u8],
}

/// Packets of one socket on their way out.
pub(crate) struct Sender {
    packets: Vec<Outgoing>,
    /// Neighbours of one length to one port go as one message that the kernel cuts.
    pub(super) together: bool,
    /// Which of the packets make a message.
    groups: Vec<Range<usize>>,
    headers: Vec<libc::mmsghdr>,
    pieces: Vec<libc::iovec>,
    addresses: Vec<libc::sockaddr_in>,
    controls: Vec<Control>,
}

/// The control message that names the length of datagrams, in words so that it is aligned.
type Control = [u64; 3];

impl Sender {
    /// For one packet a message.
    pub(crate) fn new() -> Self {
        Self {
            packets: Vec::new(),
            together: false,
            groups: Vec::new(),
            headers: Vec::new(),
            pieces: Vec::new(),
            addresses: Vec::new(),
            controls: Vec::new(),
        }
    }

    /// For a UDP socket whose kernel cuts messages into datagrams.
    pub(crate) fn together() -> Self {
        Self { together: true, ..Self::new() }
    }

    /// Adds a packet that stands in the memories that will be given to [`Self::flush`].
    pub(crate) fn push(&mut self, head: Range<usize>, body: Range<usize>, to: SocketAddrV4, tag: Tag) {
        self.packets.push(Outgoing { head, body, to, tag });
    }

    /// Forgets what was added; calls `failed` with the tag of each packet.
    pub(crate) fn refuse(&mut self, mut failed: impl FnMut(Tag)) {
        self.packets.drain(..).for_each(|packet| failed(packet.tag));
    }

    /// Sends all; calls `failed` with the tag of each packet that the kernel refused.
    pub(crate) fn flush(
        &mut self,
        socket: BorrowedFd<'_>,
        memory: Memory<'_>,
        mut failed: impl FnMut(Tag, io::Error),
    ) {
        let packets = mem::take(&mut self.packets);
        let mut groups = mem::take(&mut self.groups);
        group(&packets, self.together, &mut groups);
        let mut done = 0;
        // A socket reports an ICMP error about an earlier packet in place of the next send, once.
        let mut second_try = false;
        while done < groups.len() {
            let some = &groups[done..groups.len().min(done + MESSAGES)];
            match self.transmit(socket, memory, &packets, some) {
                Ok(sent) => done += sent,
                Err(_) if !second_try => {
                    second_try = true;
                    continue;
                }
                Err(error) => {
                    self.give_up(socket, memory, &packets[groups[done].clone()], error, &mut failed);
                    done += 1;
                }
            }
            second_try = false;
        }
        self.packets = packets;
        self.packets.clear();
        self.groups = groups;
    }

    /// Sends the packets of a message that was refused each by itself: one may be too long for its path, and another
    /// not, or the interface can cut none.
    fn give_up(
        &mut self,
        socket: BorrowedFd<'_>,
        memory: Memory<'_>,
        packets: &[Outgoing],
        error: io::Error,
        failed: &mut impl FnMut(Tag, io::Error),
    ) {
        let full = error.kind() == io::ErrorKind::WouldBlock;
        if let [packet] = packets {
            return failed(packet.tag, error);
        }
        if error.raw_os_error() == Some(libc::EIO) {
            tracing::info!("the interface cannot cut messages into datagrams: they are sent one by one");
            self.together = false;
        }
        for (n, packet) in packets.iter().enumerate() {
            let one = n..n + 1;
            let attempt = |sender: &mut Self| sender.transmit(socket, memory, packets, slice::from_ref(&one));
            let result = if full { Err(io::ErrorKind::WouldBlock.into()) } else { attempt(self) };
            let result = if result.is_err() && !full { attempt(self) } else { result };
            if let Err(error) = result {
                failed(packet.tag, error);
            }
        }
    }

    /// One system call for these groups of packets; returns how many of them were sent, at least one. Waits a little
    /// for a full buffer.
    fn transmit(
        &mut self,
        socket: BorrowedFd<'_>,
        memory: Memory<'_>,
        packets: &[Outgoing],
        groups: &[Range<usize>],
    ) -> io::Result<usize> {
        self.pieces.clear();
        self.addresses.clear();
        self.controls.clear();
        self.headers.clear();
        for group in groups {
            for packet in &packets[group.clone()] {
                for piece in [&memory.heads[packet.head.clone()], &memory.bodies[packet.body.clone()]] {
                    if !piece.is_empty() {
                        let iov_base = piece.as_ptr().cast_mut().cast();
                        self.pieces.push(libc::iovec { iov_base, iov_len: piece.len() });
                    }
                }
            }
            let first = &packets[group.start];
            self.addresses.push(sys::to_kernel(first.to));
            self.controls.push(control(first.length()));
        }
        // Only now does nothing move any more.
        let (pieces, addresses) = (self.pieces.as_mut_ptr(), self.addresses.as_mut_ptr());
        let controls = self.controls.as_mut_ptr();
        let mut piece = 0;
        for (n, group) in groups.iter().enumerate() {
            let some = |packet: &Outgoing| {
                usize::from(!packet.head.is_empty()) + usize::from(!packet.body.is_empty())
            };
            let count = packets[group.clone()].iter().map(some).sum();
            let mut header = sys::empty_message();
            header.msg_hdr.msg_name = addresses.wrapping_add(n).cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            header.msg_hdr.msg_iov = pieces.wrapping_add(piece);
            header.msg_hdr.msg_iovlen = count;
            piece += count;
            if group.len() > 1 {
                header.msg_hdr.msg_control = controls.wrapping_add(n).cast();
                header.msg_hdr.msg_controllen = size_of::<Control>();
            }
            self.headers.push(header);
        }
        let (headers, count) = (self.headers.as_mut_ptr(), self.headers.len() as libc::c_uint);
        // SAFETY: the headers point to pieces of `memory`, to addresses and to control messages, all of which outlive the
        // call; the kernel reads the packets and does not write to them.
        let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers, count, libc::MSG_NOSIGNAL) };
        usize::try_from(sent).map_err(|_| {
            let error = io::Error::last_os_error();
            if error.kind() == io::ErrorKind::WouldBlock {
                let mut room = [PollFd::new(socket, PollFlags::POLLOUT)];
                let _ = nix::poll::poll(&mut room, PollTimeout::from(PATIENCE));
            }
            error
        })
    }
}

/// Finds the packets that may go as one message: neighbours to one port and of one length, the last may be shorter.
pub(super) fn group(packets: &[Outgoing], together: bool, groups: &mut Vec<Range<usize>>) {
    groups.clear();
    let mut octets = 0;
    for (n, packet) in packets.iter().enumerate() {
        let length = packet.length();
        let fits = groups.last().is_some_and(|group| {
            let (first, last) = (&packets[group.start], &packets[group.end - 1]);
            together
                && first.to == packet.to
                && first.length() == last.length()
                && (1..=first.length()).contains(&length)
                && group.len() < SEGMENTS
                && octets + length <= LONGEST
        });
        match groups.last_mut().filter(|_| fits) {
            Some(group) => {
                group.end = n + 1;
                octets += length;
            }
            None => {
                groups.push(n..n + 1);
                octets = length;
            }
        }
    }
}

/// The control message for datagrams of `length` octets.
fn control(length: usize) -> Control {
    let mut out: Control = [0; 3];
    // SAFETY: CMSG_LEN only computes.
    let cmsg_len = unsafe { libc::CMSG_LEN(size_of::<u16>() as libc::c_uint) } as usize;
    let header = libc::cmsghdr { cmsg_len, cmsg_level: libc::SOL_UDP, cmsg_type: libc::UDP_SEGMENT };
    // Longer packets go alone, without it.
    let length = length as u16;
    const { assert!(size_of::<libc::cmsghdr>() + size_of::<u16>() <= size_of::<Control>()) };
    // SAFETY: `out` has room for the header and two octets behind it, as was just asserted, and is aligned for both.
    unsafe {
        ptr::from_mut(&mut out).cast::<libc::cmsghdr>().write(header);
        ptr::from_mut(&mut out).cast::<libc::cmsghdr>().add(1).cast::<u16>().write(length);
    }
    out
}

#[cfg(test)]
pub(super) fn outgoing(head: Range<usize>, body: Range<usize>, to: SocketAddrV4) -> Outgoing {
    Outgoing { head, body, to, tag: (0, 0) }
}
