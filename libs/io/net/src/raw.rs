//! The raw socket of IP in IP (protocol 4), which also sends the ICMP errors that we make.
//!
//! While it is open the kernel answers no tunnelled packet with "protocol unreachable".

use std::os::fd::{AsFd, BorrowedFd};

use socket2::{Domain, Protocol, Socket, Type};

use crate::{
    error::{Attempt, Error},
    sys,
};

/// Octets that the kernel keeps for us between two visits.
pub(crate) const RECEIVE_BUFFER: usize = 4 << 20;

/// A raw socket that gives and takes whole IP packets.
#[derive(Debug)]
pub(crate) struct RawSocket(Socket);

impl RawSocket {
    /// Opens it; `mark` chooses the routes of what it sends.
    pub(crate) fn open(mark: Option<u32>) -> Result<Self, Error> {
        Self::prepare(mark).map(Self).attempt(|| "open a raw socket for IP in IP")
    }

    fn prepare(mark: Option<u32>) -> std::io::Result<Socket> {
        let protocol = Protocol::from(libc::IPPROTO_IPIP);
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(protocol))?;
        socket.set_nonblocking(true)?;
        socket.set_header_included_v4(true)?;
        if let Some(mark) = mark {
            socket.set_mark(mark)?;
        }
        report_errors(&socket)?;
        grow(&socket);
        Ok(socket)
    }
}

impl AsFd for RawSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Never fragments, and queues what ICMP says about what was sent.
///
/// By default the kernel keeps "packet too big" to itself and drops without a word what does not fit.
pub(crate) fn report_errors(socket: &Socket) -> std::io::Result<()> {
    sys::set_option(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DO)?;
    sys::set_option(socket, libc::IPPROTO_IP, libc::IP_RECVERR, 1)
}

/// Asks for large buffers; how large they become is the host's decision.
pub(crate) fn grow(socket: &Socket) {
    let size = RECEIVE_BUFFER as libc::c_int;
    for (force, ask) in [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)] {
        if sys::set_option(socket, libc::SOL_SOCKET, force, size).is_err() {
            let _ = sys::set_option(socket, libc::SOL_SOCKET, ask, size);
        }
    }
}
