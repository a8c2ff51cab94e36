//! UDP sockets: the port of registrations and tunnel data, and ports that only keep silent.

use std::{
    io,
    net::{SocketAddr, SocketAddrV4},
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, OnceLock},
};

use socket2::{Domain, Protocol, SockAddr, SockFilter, Socket, Type};
use tokio::io::unix::AsyncFd;

use crate::{
    error::{Attempt, Error},
    error_queue, raw, sys,
};

/// The largest datagram that [`Port::receive`] returns whole, in octets.
const LONGEST: usize = 4096;

/// A datagram that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its sender.
    pub source: SocketAddrV4,
    /// The local address and port that it arrived at.
    pub destination: SocketAddrV4,
    /// UDP payload.
    pub payload: Vec<u8>,
}

/// A UDP socket bound to one address and port; clones share it.
///
/// What the tunnel sends by it is never fragmented outside of it, and ICMP errors are kept for the tunnel to read.
#[derive(Clone, Debug)]
pub struct Port {
    socket: Arc<Socket>,
    local: SocketAddrV4,
    /// Registered with the runtime at the first [`Port::receive`]; the data path reads the socket without it.
    events: Arc<OnceLock<AsyncFd<Arc<Socket>>>>,
}

impl Port {
    /// Binds `local`; port 0 lets the kernel choose one. `mark` chooses the routes of what is sent.
    ///
    /// # Errors
    /// The address is not on this host, or the port is taken.
    pub fn open(local: SocketAddrV4, mark: Option<u32>) -> Result<Self, Error> {
        Self::bind(local, mark, false)
    }

    /// Like [`Port::open`], for an address that may come later or be gone already.
    ///
    /// # Errors
    /// The port is taken.
    pub fn open_freebind(local: SocketAddrV4, mark: Option<u32>) -> Result<Self, Error> {
        Self::bind(local, mark, true)
    }

    fn bind(local: SocketAddrV4, mark: Option<u32>, freebind: bool) -> Result<Self, Error> {
        let (socket, local) = bound(local, mark, freebind).attempt(|| format!("open UDP port {local}"))?;
        Ok(Self { socket: Arc::new(socket), local, events: Arc::default() })
    }

    /// The address and port it is bound to.
    #[must_use]
    pub const fn local(&self) -> SocketAddrV4 {
        self.local
    }

    /// Lets the kernel put datagrams of one size from one sender together, or no more; [`crate::batch`] takes them apart.
    pub(crate) fn coalesce(&self, coalesce: bool) -> io::Result<()> {
        sys::set_option(&self.socket, libc::SOL_UDP, libc::UDP_GRO, coalesce.into())
    }

    /// True if the kernel cuts messages into datagrams.
    pub(crate) fn can_segment() -> bool {
        // No length for the socket as a whole: each message names its own.
        let ask = |socket: Socket| sys::set_option(&socket, libc::SOL_UDP, libc::UDP_SEGMENT, 0);
        Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).and_then(ask).is_ok()
    }

    /// Sends one datagram of control; never waits. One that is larger than ICMP says that the path takes goes in
    /// fragments, or as routers make it: anybody can forge that ICMP message, and a registration must not depend on it.
    ///
    /// # Errors
    /// No route, no room in the socket's buffer, or longer than a datagram can be.
    pub fn send(&self, destination: SocketAddrV4, payload: &[u8]) -> Result<(), Error> {
        let to = SockAddr::from(destination);
        // An ICMP error about an earlier datagram is reported once, in place of the next send.
        let first = self.socket.send_to(payload, &to);
        let result = match first {
            Err(error) if is_report(&error) => self.socket.send_to(payload, &to),
            result => result,
        };
        let result = match result {
            Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => self.send_fragmented(payload, &to),
            result => result,
        };
        result.map(drop).attempt(|| format!("send {} octets to {destination}", payload.len()))
    }

    /// Past the known path. A packet of the tunnel that another thread sends meanwhile may be fragmented, too: that is
    /// as if the path had not been known yet.
    fn send_fragmented(&self, payload: &[u8], to: &SockAddr) -> io::Result<usize> {
        let discover = |how| sys::set_option(&self.socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, how);
        discover(libc::IP_PMTUDISC_OMIT)?;
        let sent = self.socket.send_to(payload, to);
        discover(libc::IP_PMTUDISC_DO)?;
        sent
    }

    /// Waits for a datagram. Only for a port that no tunnel reads; may be dropped at any time.
    ///
    /// # Errors
    /// The socket broke.
    pub async fn receive(&self) -> Result<Received, Error> {
        let what = || format!("receive at UDP port {}", self.local);
        let events = self.events().attempt(what)?;
        let mut buffer = vec![0; LONGEST];
        loop {
            let mut ready = events.readable().await.attempt(what)?;
            let result = ready.try_io(|socket| {
                let (length, source) = nix::sys::socket::recvfrom::<nix::sys::socket::SockaddrIn>(
                    std::os::fd::AsRawFd::as_raw_fd(socket.get_ref()),
                    &mut buffer,
                )?;
                Ok((length, source))
            });
            match result {
                Ok(Ok((length, Some(source)))) => {
                    buffer.truncate(length);
                    let source = SocketAddrV4::from(source);
                    return Ok(Received { source, destination: self.local, payload: buffer });
                }
                Ok(Err(error)) if !is_report(&error) => return Err(error).attempt(what),
                // A report about something sent earlier: the queue shares the memory of what is received.
                Ok(Err(_)) => error_queue::discard(self),
                // Without a sender, or not ready after all.
                Ok(Ok((_, None))) | Err(_) => {}
            }
        }
    }

    fn events(&self) -> io::Result<&AsyncFd<Arc<Socket>>> {
        if let Some(events) = self.events.get() {
            return Ok(events);
        }
        let new = sys::events(Arc::clone(&self.socket))?;
        Ok(self.events.get_or_init(|| new))
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// True if an error of a send or receive is the report of an ICMP message about an earlier datagram.
pub(crate) fn is_report(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNREFUSED
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::ENOPROTOOPT
                | libc::EPROTO
                | libc::EMSGSIZE
        )
    )
}

fn bound(local: SocketAddrV4, mark: Option<u32>, freebind: bool) -> io::Result<(Socket, SocketAddrV4)> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if let Some(mark) = mark {
        socket.set_mark(mark)?;
    }
    if freebind {
        socket.set_freebind_v4(true)?;
    }
    raw::report_errors(&socket)?;
    raw::grow(&socket);
    socket.bind(&SocketAddr::V4(local).into())?;
    let local = socket.local_addr()?.as_socket_ipv4().unwrap_or(local);
    Ok((socket, local))
}

/// Holds a port so that the kernel answers nothing sent there with "port unreachable"; discards all of it.
#[derive(Debug)]
pub struct Silent {
    _socket: Socket,
}

impl Silent {
    /// Binds `local`.
    ///
    /// # Errors
    /// The address is not on this host, or the port is taken.
    pub fn open(local: SocketAddrV4) -> Result<Self, Error> {
        let open = || {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
            // A filter that accepts no octet: datagrams find a socket and take no memory.
            socket.attach_filter(&[SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, 0)])?;
            socket.bind(&SocketAddr::V4(local).into())?;
            Ok::<_, io::Error>(socket)
        };
        let socket = open().attempt(|| format!("hold UDP port {local}"))?;
        Ok(Self { _socket: socket })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn loopback() -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)
    }

    #[tokio::test]
    async fn a_datagram_arrives_with_both_addresses() {
        let (one, two) = (Port::open(loopback(), None).unwrap(), Port::open(loopback(), None).unwrap());
        one.send(two.local(), b"request").unwrap();
        let received = two.clone().receive().await.unwrap();
        let expected =
            Received { source: one.local(), destination: two.local(), payload: b"request".to_vec() };
        assert_eq!(received, expected);
    }

    #[tokio::test]
    async fn a_closed_port_at_the_other_end_breaks_nothing() {
        let port = Port::open(loopback(), None).unwrap();
        let gone = Port::open(loopback(), None).unwrap().local();
        for _ in 0..3 {
            port.send(gone, b"anybody there").unwrap();
        }
        let other = Port::open(loopback(), None).unwrap();
        other.send(port.local(), b"here").unwrap();
        assert_eq!(port.receive().await.unwrap().payload, b"here");
    }

    #[test]
    fn a_silent_port_is_taken_and_says_nothing() {
        let chosen = Port::open(loopback(), None).unwrap().local();
        let silent = Silent::open(chosen).unwrap();
        assert!(Port::open(chosen, None).is_err());
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(chosen).unwrap();
        // A refused datagram would be reported by the second send, as the loopback answers at once.
        for _ in 0..3 {
            assert_eq!(client.send(b"registration request").unwrap(), 20);
        }
        drop(silent);
        let refused = (0..3).any(|_| client.send(b"again").is_err());
        assert!(refused, "without the silent port the kernel would have answered");
    }

    #[test]
    fn an_address_of_somebody_else_is_named_in_the_error() {
        let local = "192.0.2.1:434".parse().unwrap();
        let error = Port::open(local, None).unwrap_err().to_string();
        assert!(error.contains("192.0.2.1:434"), "{error}");
    }
}
