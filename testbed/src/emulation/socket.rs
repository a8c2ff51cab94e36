//! The packet socket by which an emulated link reads what one port sends, and hands it what is for it.

use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, recv, send, setsockopt, sockopt},
};
use socket2::{Domain, Socket, Type};

use crate::netns::Inside;

/// Asked for, in bytes.
const BUFFER: usize = 8 << 20;

/// Opens a socket for an interface of the namespace, which may be down still.
pub(crate) fn port_socket(_inside: &Inside, index: u32) -> Result<OwnedFd> {
    const EVERYTHING: u16 = (libc::ETH_P_ALL as u16).to_be();
    // Without a protocol it hears nothing until it is bound to its interface.
    let socket = Socket::new(Domain::PACKET, Type::RAW, None).context("cannot open a packet socket")?;
    socket.set_nonblocking(true)?;
    // Beyond the system's limit as root of the machine; up to it for others.
    if setsockopt(&socket, sockopt::RcvBufForce, &BUFFER).is_err() {
        socket.set_recv_buffer_size(BUFFER)?;
    }
    let ours: libc::c_int = 1;
    option(&socket, libc::PACKET_IGNORE_OUTGOING, &ours)
        .context("the kernel is too old for emulated links: it needs Linux 4.20")?;
    // SAFETY: an all-zero link-layer address is valid.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = EVERYTHING;
    address.sll_ifindex = index.cast_signed();
    // SAFETY: the address is a whole sockaddr_ll and lives until the call returns.
    let result = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    Errno::result(result).context("cannot bind a packet socket to a port")?;
    Ok(socket.into())
}

/// The next frame that came in; nothing if there is none, or the port is down.
pub(super) fn read<'a>(socket: &OwnedFd, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    loop {
        match recv(socket.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(length) => return buffer.get(..length),
            // A port that went down says so once; what it heard before is still there.
            Err(Errno::EINTR | Errno::ENETDOWN) => {}
            Err(_) => return None,
        }
    }
}

/// Hands a frame to the node. A port that is down, or full, takes none.
pub(super) fn write(socket: &OwnedFd, frame: &[u8]) {
    let _ = send(socket.as_raw_fd(), frame, MsgFlags::MSG_DONTWAIT);
}

/// How many frames the socket had no room for since the last time.
pub(super) fn overrun(socket: &OwnedFd) -> u64 {
    let mut counters = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
    let mut size = size_of::<libc::tpacket_stats>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `size` bytes, which is the size of the structure.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut counters).cast(),
            &raw mut size,
        )
    };
    if result == 0 { counters.tp_drops.into() } else { 0 }
}

fn option(socket: &Socket, name: libc::c_int, value: &libc::c_int) -> Result<()> {
    // SAFETY: the value is an int, of which the kernel reads the given size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            name,
            std::ptr::from_ref(value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    Errno::result(result)?;
    Ok(())
}
