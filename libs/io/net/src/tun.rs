//! The TUN device, through which the host and the tunnel exchange inner packets.
//!
//! It is persistent: when the process dies the device and all routes into it stay, so that nothing leaves
//! the host untunnelled, and the next process takes it up again.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::OpenOptionsExt as _,
    },
};

use crate::{
    error::{Attempt, Error},
    sys, sysctl,
};

/// Packets that wait in the device while the process is busy: a burst of the default 500 is soon lost.
const QUEUE: u16 = 5000;

/// An open TUN device; whole IP packets, one a read or write.
#[derive(Debug)]
pub(crate) struct Tun {
    file: File,
    name: String,
}

impl Tun {
    /// Makes the device `name` or takes up the one that is there; persistent, up, with inner MTU `mtu`.
    pub(crate) fn open(name: &str, mtu: u16) -> Result<Self, Error> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open("/dev/net/tun")
            .attempt(|| "open /dev/net/tun")?;
        sys::attach_tun(file.as_fd(), name).attempt(|| format!("make or take up the TUN device {name}"))?;
        sys::persist_tun(file.as_fd(), true).attempt(|| format!("make {name} persistent"))?;
        // Before it comes up: it would emit IPv6 of its own.
        sysctl::set_if_present(&format!("net/ipv6/conf/{name}/disable_ipv6"), "1")?;
        sys::configure_interface(name, mtu, QUEUE).attempt(|| format!("bring {name} up"))?;
        Ok(Self { file, name: name.to_owned() })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Reads one packet; `WouldBlock` if none waits.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.file).read(buffer)
    }

    /// Hands one packet to the host.
    pub(crate) fn write(&self, packet: &[u8]) -> io::Result<()> {
        (&self.file).write(packet).map(drop)
    }

    /// Lets the device go when it is closed.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        sys::persist_tun(self.file.as_fd(), false).attempt(|| format!("remove {}", self.name))
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
