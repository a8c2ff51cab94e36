//! Data that the packet path takes from a link past the host's routing: what visitors hand over encapsulated (RFC
//! 3024 §5.2), and broadcasts of a home link (RFC 5944 §4.3). A filter in the kernel lets nothing else through.

use std::{
    io,
    net::Ipv4Addr,
    os::fd::{AsFd, BorrowedFd},
};

use forward::Station;
use socket2::{Domain, SockFilter, Socket, Type};

use super::{BROADCAST, IPV4, filter, multicast};
use crate::{
    error::{Attempt, Error},
    raw, sys,
};

/// All protocols; only with this does a socket see what its own host sends.
const EVERYTHING: u16 = 0x0003;

/// A packet socket for whole IPv4 packets, read without waiting.
#[derive(Debug)]
pub(crate) struct DataSocket {
    socket: Socket,
    index: u32,
}

impl DataSocket {
    /// For IP in IP packets to one of `agents`, which are this host's addresses on the link and beyond.
    pub(crate) fn handed_over(interface: &str, agents: &[Ipv4Addr]) -> Result<Self, Error> {
        Self::open(interface, &filter::handed_over(agents), IPV4, false)
    }

    /// For what is sent to all or many hosts of the link, by this host as well. `broadcast` is the link's own
    /// broadcast address; with `local_control` also 224.0.0.0/24.
    pub(crate) fn broadcasts(
        interface: &str,
        broadcast: Ipv4Addr,
        local_control: bool,
    ) -> Result<Self, Error> {
        Self::open(interface, &filter::broadcasts(broadcast, local_control), EVERYTHING, true)
    }

    fn open(interface: &str, filter: &[SockFilter], protocol: u16, groups: bool) -> Result<Self, Error> {
        let index = nix::net::if_::if_nametoindex(interface)
            .map_err(|_| Error::NoInterface { name: interface.to_owned() })?;
        let prepare = || {
            // Protocol 0 receives nothing: not a packet passes before the filter is there.
            let socket = Socket::new(Domain::PACKET, Type::DGRAM, None)?;
            socket.set_nonblocking(true)?;
            socket.attach_filter(filter)?;
            sys::set_option(&socket, libc::SOL_PACKET, libc::PACKET_AUXDATA, 1)?;
            if groups {
                sys::join_all_groups(&socket, index)?;
            } else {
                sys::set_option(&socket, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)?;
            }
            raw::grow(&socket);
            sys::bind_link(&socket, index, protocol)?;
            Ok::<_, io::Error>(socket)
        };
        let socket = prepare().attempt(|| format!("open a packet socket for data on {interface}"))?;
        Ok(Self { socket, index })
    }

    /// Reads one packet, link padding included: its length and who sent it. The length is 0 for one that is longer
    /// than `buffer`.
    ///
    /// # Errors
    /// `WouldBlock` if none waits.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<(usize, Station)> {
        let frame = match sys::receive_frame(&self.socket, buffer) {
            // Said once when the interface goes down.
            Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => {
                sys::receive_frame(&self.socket, buffer)?
            }
            result => result?,
        };
        let packet = buffer.get_mut(..frame.length).unwrap_or_default();
        if frame.without_checksum {
            forward::udp_checksum::fill_in(packet);
        }
        Ok((packet.len(), Station { interface: self.index, link_address: frame.from }))
    }
}

impl AsFd for DataSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Sends to all or many hosts of a link. Not the socket that listens there: it would not hear what it sends, and other
/// mobile nodes are to get it.
#[derive(Debug)]
pub(crate) struct GroupSender {
    socket: Socket,
    index: u32,
}

impl GroupSender {
    /// Opens it on the link of `listener`.
    pub(crate) fn beside(listener: &DataSocket) -> Result<Self, Error> {
        let open = || {
            let socket = Socket::new(Domain::PACKET, Type::DGRAM, None)?;
            socket.set_nonblocking(true)?;
            Ok::<_, io::Error>(socket)
        };
        let socket = open().attempt(|| "open a packet socket for broadcasts")?;
        Ok(Self { socket, index: listener.index })
    }

    /// Sends a packet to all hosts of the link, or to the multicast group that it is for.
    ///
    /// # Errors
    /// The interface is down, or the packet is longer than its MTU.
    pub(crate) fn send(&self, packet: &[u8]) -> io::Result<()> {
        let destination = packet.get(16..).and_then(|rest| rest.first_chunk::<4>());
        let group = destination.map(|octets| Ipv4Addr::from(*octets)).filter(Ipv4Addr::is_multicast);
        sys::send_link(&self.socket, self.index, IPV4, group.map_or(BROADCAST, multicast), packet)
    }
}
