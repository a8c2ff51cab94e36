//! The raw sockets of the encapsulations that are IP protocols: IP in IP (4), minimal encapsulation (55) and GRE
//! (47). That of IP in IP also sends the ICMP errors that we make.
//!
//! While one is open the kernel answers no packet of its protocol with "protocol unreachable".

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
    /// Opens it for an IP protocol; `mark` chooses the routes of what it sends.
    fn open(protocol: i32, mark: Option<u32>) -> Result<Self, Error> {
        let what = || format!("open a raw socket for IP protocol {protocol}");
        Self::prepare(protocol, mark).map(Self).attempt(what)
    }

    fn prepare(protocol: i32, mark: Option<u32>) -> std::io::Result<Socket> {
        let protocol = Protocol::from(protocol);
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

/// Protocol number of minimal encapsulation (RFC 2004 §3).
const MINIMAL: i32 = 55;

/// The raw sockets of a tunnel.
#[derive(Debug)]
pub(crate) struct RawSockets {
    ipip: RawSocket,
    minimal: Option<RawSocket>,
    gre: Option<RawSocket>,
}

impl RawSockets {
    /// Opens that of IP in IP and those that are wanted.
    pub(crate) fn open(minimal: bool, gre: bool, mark: Option<u32>) -> Result<Self, Error> {
        Ok(Self {
            ipip: RawSocket::open(libc::IPPROTO_IPIP, mark)?,
            minimal: minimal.then(|| RawSocket::open(MINIMAL, mark)).transpose()?,
            gre: gre.then(|| RawSocket::open(libc::IPPROTO_GRE, mark)).transpose()?,
        })
    }

    /// The socket of IP in IP.
    pub(crate) const fn ipip(&self) -> &RawSocket {
        &self.ipip
    }

    /// The socket of minimal encapsulation.
    pub(crate) const fn minimal(&self) -> Option<&RawSocket> {
        self.minimal.as_ref()
    }

    /// The socket of GRE.
    pub(crate) const fn gre(&self) -> Option<&RawSocket> {
        self.gre.as_ref()
    }

    /// All that are open.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &RawSocket> {
        [Some(&self.ipip), self.minimal.as_ref(), self.gre.as_ref()].into_iter().flatten()
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
