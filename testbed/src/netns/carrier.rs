//! Hearing from the kernel that an interface lost or got its carrier, as every program of its namespace does.
//!
//! The kernel tells it from a work queue: usually within a millisecond, on an overloaded machine much later. A
//! carrier that comes back before its loss was told is never reported as gone, and old neighbours stay.

use std::{
    os::fd::{AsRawFd, OwnedFd},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::{
    errno::Errno,
    sys::{
        socket::{
            AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt,
            socket, sockopt,
        },
        time::{TimeVal, TimeValLike},
    },
};

use super::Inside;
use crate::clock;

/// Group of RTMGRP_LINK in a netlink address.
const LINKS: u32 = 1;
const PATIENCE: Duration = Duration::from_secs(20);
const NETLINK_HEADER: usize = 16;

/// An ear for one interface, from before a change on.
pub(crate) struct CarrierWatch {
    socket: OwnedFd,
    index: u32,
}

impl Inside {
    /// Listens from now on.
    pub(crate) fn watch_carrier(&self, index: u32) -> Result<CarrierWatch> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, LINKS))?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::milliseconds(100))?;
        Ok(CarrierWatch { socket, index })
    }
}

impl CarrierWatch {
    /// Waits until the kernel says that the carrier is there or gone; hands back when it did (boot nanoseconds).
    pub(crate) fn wait(&self, there: bool) -> Result<u64> {
        let limit = Instant::now() + PATIENCE;
        let mut buffer = [0_u8; 1 << 15];
        loop {
            match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(length) => {
                    let now = clock::boot_ns();
                    if carrier(buffer.get(..length).unwrap_or_default(), self.index) == Some(there) {
                        return Ok(now);
                    }
                }
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(error) => return Err(error).context("cannot hear of the carrier"),
            }
            if Instant::now() > limit {
                bail!("the kernel does not tell of the carrier; the machine is overloaded");
            }
        }
    }
}

/// The last word of a datagram about the carrier of an interface.
fn carrier(mut datagram: &[u8], index: u32) -> Option<bool> {
    let mut last = None;
    while let Some((header, _)) = datagram.split_first_chunk::<NETLINK_HEADER>() {
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let kind = u16::from_ne_bytes([header[4], header[5]]);
        let body = datagram.get(NETLINK_HEADER..length)?;
        if kind == libc::RTM_NEWLINK
            && let Some(link) = body.first_chunk::<12>()
            && u32::from_ne_bytes([link[4], link[5], link[6], link[7]]) == index
        {
            let flags = u32::from_ne_bytes([link[8], link[9], link[10], link[11]]);
            last = Some(flags & libc::IFF_LOWER_UP.cast_unsigned() != 0);
        }
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, index: u32, flags: u32) -> Vec<u8> {
        let mut out = 32_u32.to_ne_bytes().to_vec();
        out.extend(kind.to_ne_bytes());
        // The rest of the netlink header, then family, padding and type of the interface.
        out.extend([0; 10 + 4]);
        out.extend(index.to_ne_bytes());
        out.extend(flags.to_ne_bytes());
        out.extend([0; 4]);
        out
    }

    #[test]
    fn the_last_message_about_the_interface_counts() {
        let link = libc::RTM_NEWLINK;
        let up = 0x1_0000;
        let datagram = [message(link, 5, up), message(link, 7, 0), message(link, 5, 0)].concat();
        assert_eq!(carrier(&datagram, 5), Some(false));
        assert_eq!(carrier(&message(link, 7, up), 7), Some(true));
        assert_eq!(carrier(&message(link, 7, up), 8), None);
        assert_eq!(carrier(&message(link + 1, 7, up), 7), None);
    }
}
