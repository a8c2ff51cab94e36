//! Many packets with one system call.
//!
//! The arrays that the kernel wants are made once and filled anew for each call; nothing is allocated for a
//! packet.

mod send;

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4},
    ops::Range,
    os::fd::{AsRawFd as _, BorrowedFd},
    ptr,
};

pub(crate) use send::{Memory, Sender, Tag};

use crate::sys;

/// How many messages one call takes at most.
pub(crate) const BATCH: usize = 32;

const UNSPECIFIED: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);

/// A message that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrived {
    /// Where it is.
    pub(crate) at: Range<usize>,
    pub(crate) source: SocketAddrV4,
    /// Octets of each datagram that the kernel has put together in it, the last may have fewer; never 0.
    pub(crate) size: usize,
}

impl Arrived {
    /// The places of its datagrams.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (end, size) = (self.at.end, self.size);
        // Also an empty one is one.
        let count = self.at.len().div_ceil(size).max(1);
        let start = self.at.start;
        (0..count).map(move |n| start + n * size..end.min(start + (n + 1) * size))
    }
}

/// Packets of one socket on their way in.
pub(crate) struct Receiver {
    headers: Vec<libc::mmsghdr>,
    pieces: Vec<libc::iovec>,
    addresses: Vec<libc::sockaddr_in>,
    controls: Vec<Control>,
    memory: Vec<u8>,
    slot: usize,
}

/// Room for what the kernel tells of a message, in words so that it is aligned.
type Control = [u64; 8];

impl Receiver {
    /// With room for [`BATCH`] messages of `slot` octets.
    pub(crate) fn new(slot: usize) -> Self {
        let piece = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        Self {
            headers: vec![sys::empty_message(); BATCH],
            pieces: vec![piece; BATCH],
            addresses: vec![sys::to_kernel(UNSPECIFIED); BATCH],
            controls: vec![[0; 8]; BATCH],
            memory: vec![0; slot * BATCH],
            slot,
        }
    }

    /// Takes what waits and returns how many; `WouldBlock` if nothing does.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let (memory, pieces) = (self.memory.as_mut_ptr(), self.pieces.as_mut_ptr());
        let (addresses, controls) = (self.addresses.as_mut_ptr(), self.controls.as_mut_ptr());
        for (at, header) in self.headers.iter_mut().enumerate() {
            let slot = memory.wrapping_add(at * self.slot);
            // SAFETY: there are as many of each as there are headers.
            unsafe { pieces.add(at).write(libc::iovec { iov_base: slot.cast(), iov_len: self.slot }) };
            let header = &mut header.msg_hdr;
            header.msg_iov = pieces.wrapping_add(at);
            header.msg_iovlen = 1;
            header.msg_name = addresses.wrapping_add(at).cast();
            header.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            header.msg_control = controls.wrapping_add(at).cast();
            header.msg_controllen = size_of::<Control>();
            header.msg_flags = 0;
        }
        let headers = self.headers.as_mut_ptr();
        let count = BATCH as libc::c_uint;
        // SAFETY: all headers point to separate slots of `memory`, to addresses and to control buffers, which outlive
        // the call and which nobody else refers to; no timeout is given.
        let received = unsafe {
            libc::recvmmsg(socket.as_raw_fd(), headers, count, libc::MSG_DONTWAIT, ptr::null_mut())
        };
        usize::try_from(received).map_err(|_| io::Error::last_os_error())
    }

    /// Message `n` of the last [`Self::receive`]; none in place of one that was too long.
    pub(crate) fn arrived(&self, n: usize) -> Option<Arrived> {
        let header = self.headers.get(n)?;
        if header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
            return None;
        }
        let (start, length) = (n * self.slot, header.msg_len as usize);
        let size = sys::datagram_size(&header.msg_hdr).filter(|size| *size > 0).unwrap_or(length.max(1));
        Some(Arrived { at: start..start + length, source: sys::from_kernel(&self.addresses[n]), size })
    }

    /// Where the messages are.
    pub(crate) fn memory(&mut self) -> &mut [u8] {
        &mut self.memory
    }
}

#[cfg(test)]
mod tests;
