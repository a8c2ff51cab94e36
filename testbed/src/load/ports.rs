//! The sockets of the generator: one for each foreign agent and one for nodes with addresses of their own, all
//! connected to the home agent, read and written many datagrams at a time.

use std::{
    io::{IoSlice, IoSliceMut},
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::{AsFd, AsRawFd},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg},
};
use socket2::{Domain, Protocol, Socket, Type};
use wire::mip::PORT;

/// Datagrams with one system call.
const BATCH: usize = 64;
/// Octets of the longest datagram that counts.
const SLOT: usize = 2048;
/// What a socket may keep for us, in octets, if the system allows so much.
const BUFFER: usize = 8 << 20;

/// All sockets; the last one is that of nodes with addresses of their own.
pub(crate) struct Ports {
    ports: Vec<Port>,
    memory: Vec<u8>,
    inbound: MultiHeaders<SockaddrIn>,
    outbound: MultiHeaders<SockaddrIn>,
}

struct Port {
    socket: Socket,
    waiting: Vec<Vec<u8>>,
}

impl Ports {
    /// Takes over sockets of [`sockets`].
    pub(crate) fn new(sockets: Vec<Socket>) -> Self {
        Self {
            ports: sockets.into_iter().map(|socket| Port { socket, waiting: Vec::new() }).collect(),
            memory: vec![0; BATCH * SLOT],
            inbound: MultiHeaders::preallocate(BATCH, None),
            outbound: MultiHeaders::preallocate(BATCH, None),
        }
    }

    /// Adds a datagram to what the next [`Self::flush`] sends.
    pub(crate) fn push(&mut self, from: Option<u16>, bytes: Vec<u8>) {
        let last = self.ports.len().saturating_sub(1);
        let at = from.map_or(last, usize::from);
        if let Some(port) = self.ports.get_mut(at) {
            port.waiting.push(bytes);
        }
    }

    /// Sends what waits, as far as the sockets take it; what is left goes with the next one.
    pub(crate) fn flush(&mut self) -> Result<()> {
        let Self { ports, outbound, .. } = self;
        for port in ports {
            let mut done = 0;
            while done < port.waiting.len() {
                let chunk = port.waiting.iter().skip(done).take(BATCH);
                let slices: Vec<_> = chunk.map(|bytes| [IoSlice::new(bytes)]).collect();
                let nowhere = vec![None; slices.len()];
                let flags = MsgFlags::MSG_DONTWAIT;
                match sendmmsg(port.socket.as_raw_fd(), outbound, &slices, &nowhere, [], flags) {
                    Ok(sent) => done += sent.count(),
                    Err(Errno::EAGAIN | Errno::ENOBUFS) => break,
                    // The home agent was not there a moment ago: said once, in place of sending.
                    Err(Errno::ECONNREFUSED | Errno::EINTR) => {}
                    Err(error) => bail!("cannot send requests: {}", error.desc()),
                }
            }
            port.waiting.drain(..done);
        }
        Ok(())
    }

    /// Waits for something to read, or for room if something could not be sent.
    pub(crate) fn wait(&self, longest: Duration) -> Result<Vec<usize>> {
        let interest = |port: &Port| match port.waiting.is_empty() {
            true => PollFlags::POLLIN,
            false => PollFlags::POLLIN | PollFlags::POLLOUT,
        };
        let mut fds: Vec<_> =
            self.ports.iter().map(|port| PollFd::new(port.socket.as_fd(), interest(port))).collect();
        let longest = PollTimeout::try_from(longest.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, longest) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => bail!("cannot wait for replies: {}", error.desc()),
        }
        let readable = |fd: &PollFd<'_>| {
            let flags = fd.revents().unwrap_or(PollFlags::empty());
            flags.intersects(PollFlags::POLLIN | PollFlags::POLLERR)
        };
        Ok(fds.iter().enumerate().filter(|(_, fd)| readable(fd)).map(|(at, _)| at).collect())
    }

    /// Reads what waits at one socket, a few batches at most; `each` gets the agent and the datagram.
    pub(crate) fn receive(&mut self, at: usize, mut each: impl FnMut(Option<u16>, &[u8])) -> Result<()> {
        let last = self.ports.len().saturating_sub(1);
        let agent = u16::try_from(at).ok().filter(|_| at < last);
        let Some(port) = self.ports.get(at) else { return Ok(()) };
        for _ in 0..4 {
            let mut slices: Vec<_> =
                self.memory.chunks_exact_mut(SLOT).map(|slot| [IoSliceMut::new(slot)]).collect();
            let flags = MsgFlags::MSG_DONTWAIT;
            let lengths: Vec<usize> =
                match recvmmsg(port.socket.as_raw_fd(), &mut self.inbound, &mut slices, flags, None) {
                    Ok(received) => received.map(|message| message.bytes).collect(),
                    Err(Errno::EAGAIN) => return Ok(()),
                    Err(Errno::ECONNREFUSED | Errno::EINTR) => continue,
                    Err(error) => bail!("cannot receive replies: {}", error.desc()),
                };
            for (slot, length) in self.memory.chunks_exact(SLOT).zip(&lengths) {
                each(agent, slot.get(..*length).unwrap_or_default());
            }
            if lengths.len() < BATCH {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Sends one datagram at once, in place of a node with an address of its own.
    pub(crate) fn send_own(&self, bytes: &[u8]) -> Result<()> {
        let port = self.ports.last().context("there is no port")?;
        port.socket.send(bytes).map(drop).context("cannot send through a UDP tunnel")
    }

    /// The socket of nodes with addresses of their own.
    pub(crate) fn own(&self) -> Result<&Socket> {
        Ok(&self.ports.last().context("there is no port")?.socket)
    }
}

/// Binds the agents' addresses at the port of registrations, and `own` at any, in the namespace of the caller.
pub(crate) fn sockets(agents: &[Ipv4Addr], own: Ipv4Addr, home_agent: Ipv4Addr) -> Result<Vec<Socket>> {
    let agents = agents.iter().map(|agent| SocketAddrV4::new(*agent, PORT));
    let all = agents.chain([SocketAddrV4::new(own, 0)]);
    all.map(|local| {
        bound(local, SocketAddrV4::new(home_agent, PORT))
            .with_context(|| format!("cannot open the UDP port {local}"))
    })
    .collect()
}

fn bound(local: SocketAddrV4, home_agent: SocketAddrV4) -> Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    // The system may give less, and then more is lost and sent again.
    let _ = socket.set_recv_buffer_size(BUFFER);
    let _ = socket.set_send_buffer_size(BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&local.into())?;
    socket.connect(&home_agent.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn every_datagram_goes_out_of_its_own_socket_and_answers_come_back_to_it() {
        let local = Ipv4Addr::new(127, 0, 0, 9);
        let server = UdpSocket::bind((local, 0)).unwrap();
        let to = match server.local_addr().unwrap() {
            std::net::SocketAddr::V4(to) => to,
            std::net::SocketAddr::V6(_) => unreachable!("bound to IPv4"),
        };
        let socket = |last| bound(SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, last), 0), to).unwrap();
        let mut ports = Ports::new(vec![socket(11), socket(12)]);
        for n in 0..100 {
            ports.push((n % 2 == 0).then_some(0), vec![n; 5]);
        }
        ports.flush().unwrap();
        let mut buffer = [0; 16];
        for _ in 0..100 {
            let (length, from) = server.recv_from(&mut buffer).unwrap();
            assert_eq!(from.ip().to_string(), if buffer[0] % 2 == 0 { "127.0.0.11" } else { "127.0.0.12" });
            server.send_to(&buffer[..length], from).unwrap();
        }
        let mut back = Vec::new();
        while back.len() < 100 {
            for at in ports.wait(Duration::from_secs(5)).unwrap() {
                ports.receive(at, |agent, bytes| back.push((agent, bytes.to_vec()))).unwrap();
            }
        }
        back.sort_by_key(|(_, bytes)| bytes[0]);
        for (n, (agent, bytes)) in back.into_iter().enumerate() {
            assert_eq!(bytes, vec![u8::try_from(n).unwrap(); 5]);
            assert_eq!(agent, (n % 2 == 0).then_some(0));
        }
    }
}
