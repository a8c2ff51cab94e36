//! Many packets with one system call.
//!
//! The arrays that the kernel wants are made once and filled anew for each call; nothing is allocated for a
//! packet.

use std::{
    io, iter, mem,
    net::{Ipv4Addr, SocketAddrV4},
    ops::Range,
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
};

use nix::poll::{PollFd, PollFlags, PollTimeout};

use crate::sys;

/// How many packets one call takes at most.
pub(crate) const BATCH: usize = 32;
/// How long a full socket buffer may hold up a packet before it is dropped, in milliseconds.
const PATIENCE: u16 = 20;

const UNSPECIFIED: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);

/// The arrays of `sendmmsg` and `recvmmsg`.
struct Arrays {
    headers: Vec<libc::mmsghdr>,
    pieces: Vec<libc::iovec>,
    addresses: Vec<libc::sockaddr_in>,
}

impl Arrays {
    fn new() -> Self {
        // SAFETY: all three are plain data for which all zeros is valid: null pointers with length zero.
        let (header, piece) = unsafe { (mem::zeroed::<libc::mmsghdr>(), mem::zeroed::<libc::iovec>()) };
        Self {
            headers: vec![header; BATCH],
            pieces: vec![piece; BATCH],
            addresses: vec![sys::to_kernel(UNSPECIFIED); BATCH],
        }
    }

    /// Points message `at` to `length` octets at `memory` and to its place for an address.
    fn point(&mut self, at: usize, memory: *mut u8, length: usize) {
        self.pieces[at] = libc::iovec { iov_base: memory.cast(), iov_len: length };
        let piece = &raw mut self.pieces[at];
        let address = &raw mut self.addresses[at];
        let header = &mut self.headers[at].msg_hdr;
        header.msg_iov = piece;
        header.msg_iovlen = 1;
        header.msg_name = address.cast();
        header.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        header.msg_control = ptr::null_mut();
        header.msg_controllen = 0;
        header.msg_flags = 0;
    }
}

/// Packets of one socket on their way out.
pub(crate) struct Sender {
    arrays: Arrays,
    messages: Vec<(Range<usize>, SocketAddrV4)>,
}

impl Sender {
    pub(crate) fn new() -> Self {
        Self { arrays: Arrays::new(), messages: Vec::with_capacity(BATCH) }
    }

    /// Adds what stands at `at` in the memory that will be given to [`Self::flush`]; at most [`BATCH`].
    pub(crate) fn push(&mut self, at: Range<usize>, to: SocketAddrV4) {
        debug_assert!(self.messages.len() < BATCH, "flushed in time");
        self.messages.push((at, to));
    }

    /// Forgets what was added; calls `failed` with the place of each packet.
    pub(crate) fn refuse(&mut self, mut failed: impl FnMut(Range<usize>)) {
        self.messages.drain(..).for_each(|(at, _)| failed(at));
    }

    /// Sends all; calls `failed` with the place and address of each packet that the kernel refused.
    pub(crate) fn flush(
        &mut self,
        socket: BorrowedFd<'_>,
        memory: &[u8],
        mut failed: impl FnMut(Range<usize>, SocketAddrV4, io::Error),
    ) {
        let messages = mem::take(&mut self.messages);
        let mut done = 0;
        // A socket reports an ICMP error about an earlier packet in place of the next send, once.
        let mut second_try = false;
        while done < messages.len() {
            match self.transmit(socket, memory, &messages[done..]) {
                Ok(sent) => {
                    done += sent;
                    second_try = false;
                }
                Err(_) if !second_try => second_try = true,
                Err(error) => {
                    let (at, to) = messages[done].clone();
                    failed(at, to, error);
                    done += 1;
                    second_try = false;
                }
            }
        }
        self.messages = messages;
        self.messages.clear();
    }

    /// One system call; at least one message was sent if it succeeds. Waits a little for a full buffer.
    fn transmit(
        &mut self,
        socket: BorrowedFd<'_>,
        memory: &[u8],
        messages: &[(Range<usize>, SocketAddrV4)],
    ) -> io::Result<usize> {
        for (at, (range, to)) in messages.iter().enumerate() {
            let piece = &memory[range.clone()];
            self.arrays.addresses[at] = sys::to_kernel(*to);
            self.arrays.point(at, piece.as_ptr().cast_mut(), piece.len());
        }
        let headers = self.arrays.headers.as_mut_ptr();
        let count = messages.len() as libc::c_uint;
        // SAFETY: the first `count` headers point to pieces of `memory` and to addresses, all of which outlive
        // the call; the kernel reads the packets and does not write to them.
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

/// Packets of one socket on their way in.
pub(crate) struct Receiver {
    arrays: Arrays,
    memory: Vec<u8>,
    slot: usize,
}

impl Receiver {
    /// With room for [`BATCH`] packets of `slot` octets.
    pub(crate) fn new(slot: usize) -> Self {
        Self { arrays: Arrays::new(), memory: vec![0; slot * BATCH], slot }
    }

    /// Takes what waits and returns how many; `WouldBlock` if nothing does.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        for (at, slot) in self.memory.chunks_exact_mut(self.slot).enumerate() {
            self.arrays.point(at, slot.as_mut_ptr(), slot.len());
        }
        let headers = self.arrays.headers.as_mut_ptr();
        let count = BATCH as libc::c_uint;
        // SAFETY: all headers point to separate slots of `memory` and to addresses, which outlive the call and
        // which nobody else refers to; no timeout is given.
        let received = unsafe {
            libc::recvmmsg(socket.as_raw_fd(), headers, count, libc::MSG_DONTWAIT, ptr::null_mut())
        };
        usize::try_from(received).map_err(|_| io::Error::last_os_error())
    }

    /// The first `count` packets of the last [`Self::receive`]; none in place of one that was too long.
    pub(crate) fn packets(
        &mut self,
        count: usize,
    ) -> impl Iterator<Item = (Option<&mut [u8]>, SocketAddrV4)> {
        let slots = self.memory.chunks_exact_mut(self.slot);
        iter::zip(iter::zip(&self.arrays.headers, &self.arrays.addresses), slots).take(count).map(
            |((header, address), slot)| {
                let whole = header.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
                let packet = slot.get_mut(..header.msg_len as usize).filter(|_| whole);
                (packet, sys::from_kernel(address))
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use std::{net::UdpSocket, os::fd::AsFd};

    use super::*;

    fn pair() -> (UdpSocket, UdpSocket, SocketAddrV4) {
        let (one, two) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let std::net::SocketAddr::V4(to) = two.local_addr().unwrap() else { unreachable!("bound to IPv4") };
        (one, two, to)
    }

    #[test]
    fn a_batch_goes_out_and_comes_in_in_order() {
        let (one, two, to) = pair();
        let memory: Vec<u8> = (0..100).collect();
        let mut sender = Sender::new();
        for at in 0..BATCH {
            sender.push(at..at + 5, to);
        }
        sender.flush(one.as_fd(), &memory, |_, _, error| panic!("{error}"));
        let mut receiver = Receiver::new(16);
        assert_eq!(receiver.receive(two.as_fd()).unwrap(), BATCH);
        let from = one.local_addr().unwrap();
        for (at, (packet, source)) in receiver.packets(BATCH).enumerate() {
            assert_eq!(packet.unwrap(), &memory[at..at + 5]);
            assert_eq!(std::net::SocketAddr::V4(source), from);
        }
        let empty = receiver.receive(two.as_fd()).unwrap_err();
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_refused_packet_does_not_hold_up_the_others() {
        let (one, two, to) = pair();
        let memory = vec![7; 70_000];
        let mut sender = Sender::new();
        sender.push(0..3, to);
        sender.push(0..70_000, to);
        sender.push(0..4, to);
        let mut refused = Vec::new();
        sender.flush(one.as_fd(), &memory, |at, _, error| {
            refused.push((at, error.raw_os_error()));
        });
        assert_eq!(refused, [(0..70_000, Some(libc::EMSGSIZE))]);
        let mut receiver = Receiver::new(16);
        let count = receiver.receive(two.as_fd()).unwrap();
        let lengths: Vec<_> = receiver.packets(count).map(|(packet, _)| packet.unwrap().len()).collect();
        assert_eq!(lengths, [3, 4]);
    }

    #[test]
    fn a_packet_that_is_too_long_is_not_handed_out_in_part() {
        let (one, two, to) = pair();
        one.send_to(&[1; 17], to).unwrap();
        one.send_to(&[2; 16], to).unwrap();
        let mut receiver = Receiver::new(16);
        let count = receiver.receive(two.as_fd()).unwrap();
        let packets: Vec<_> = receiver.packets(count).map(|(packet, _)| packet.map(|p| p.len())).collect();
        assert_eq!(packets, [None, Some(16)]);
    }
}
