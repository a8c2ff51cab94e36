//! What ICMP and the kernel itself said about packets that a socket sent.

use std::{
    io::IoSliceMut,
    net::Ipv4Addr,
    os::fd::{AsFd, AsRawFd},
};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg};

/// One message of an error queue.
#[derive(Debug)]
pub(crate) struct Trouble<'a> {
    /// Where the packet was going.
    pub(crate) remote: Ipv4Addr,
    pub(crate) cause: Cause,
    /// What the socket had sent, as far as it is quoted.
    pub(crate) quoted: &'a mut [u8],
}

/// Who is not content, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A router or host.
    Icmp { icmp_type: u8, code: u8, mtu: u16 },
    /// Our own kernel: larger than the interface or the known path takes.
    TooBig { mtu: u16 },
    /// Something else of our own kernel.
    Local,
}

/// Reads error queues.
pub(crate) struct Reader {
    buffer: Vec<u8>,
    control: Vec<u8>,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self {
            // The kernel quotes no more than the shortest MTU that all have to take.
            buffer: vec![0; 1024],
            control: nix::cmsg_space!(libc::sock_extended_err, libc::sockaddr_in, [u8; 64]),
        }
    }

    /// Takes the next message; none if there is no more.
    pub(crate) fn next(&mut self, socket: impl AsFd) -> Option<Trouble<'_>> {
        let fd = socket.as_fd().as_raw_fd();
        loop {
            let mut pieces = [IoSliceMut::new(&mut self.buffer)];
            let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
            let message = recvmsg::<SockaddrIn>(fd, &mut pieces, Some(&mut self.control), flags).ok()?;
            let remote = message.address.map(|address| address.ip());
            let cause = message.cmsgs().ok().and_then(|mut all| all.find_map(|one| cause(&one)));
            let length = message.bytes;
            // A message without a cause would be something that was not asked for.
            if let (Some(remote), Some(cause)) = (remote, cause) {
                return Some(Trouble { remote, cause, quoted: &mut self.buffer[..length] });
            }
        }
    }
}

fn cause(message: &ControlMessageOwned) -> Option<Cause> {
    let ControlMessageOwned::Ipv4RecvErr(error, _) = message else {
        return None;
    };
    let mtu = u16::try_from(error.ee_info).unwrap_or(u16::MAX);
    Some(match error.ee_origin {
        libc::SO_EE_ORIGIN_ICMP => Cause::Icmp { icmp_type: error.ee_type, code: error.ee_code, mtu },
        _ if error.ee_errno.cast_signed() == libc::EMSGSIZE => Cause::TooBig { mtu },
        _ => Cause::Local,
    })
}

/// Empties a queue that nobody wants to read: it shares its memory with what is to be received.
pub(crate) fn discard(socket: impl AsFd) {
    let mut reader = Reader::new();
    while reader.next(&socket).is_some() {}
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV4;

    use super::*;
    use crate::udp::Port;

    #[test]
    fn a_refused_datagram_is_reported_with_what_it_was() {
        let local = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
        let port = Port::open(local, None).unwrap();
        let gone = Port::open(local, None).unwrap().local();
        port.send(gone, b"tunnel data").unwrap();
        let mut reader = Reader::new();
        let trouble = reader.next(&port).unwrap();
        assert_eq!(trouble.remote, Ipv4Addr::LOCALHOST);
        assert_eq!(trouble.cause, Cause::Icmp { icmp_type: 3, code: 3, mtu: 0 });
        assert_eq!(trouble.quoted, b"tunnel data");
        assert!(reader.next(&port).is_none());
    }

    #[test]
    fn our_own_kernel_names_the_mtu() {
        let port = Port::open(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0), None).unwrap();
        let mtu: u16 = std::fs::read_to_string("/sys/class/net/lo/mtu")
            .ok()
            .and_then(|text| text.trim().parse::<u32>().ok())
            .map_or(u16::MAX, |mtu| u16::try_from(mtu).unwrap_or(u16::MAX));
        // The loopback takes 65,536 octets, more than any datagram has.
        if mtu == u16::MAX {
            let error = port.send(port.local(), &vec![0; 65_508]).unwrap_err();
            assert_eq!(error.errno(), Some(libc::EMSGSIZE));
        }
        discard(&port);
        assert!(Reader::new().next(&port).is_none());
    }
}
