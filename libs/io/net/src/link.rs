//! Whole IPv4 packets on one link, past the host's routing: advertisements, solicitations, and registrations
//! between a mobile node and a foreign agent (RFC 5944 §2.1, §3.7).
//!
//! The kernel's IP stack refuses some of these packets (source 0.0.0.0) and does not say which link address
//! the others came from. A filter in the kernel lets through only what the role listens to, so that bulk
//! data never wakes the daemon. Also here: gratuitous ARP (RFC 5944 §4.6).

pub(crate) mod data;
mod filter;

use std::{io, net::Ipv4Addr, sync::Arc, time::Duration};

use sansio::LinkAddress;
use socket2::{Domain, Socket, Type};
use tokio::{io::unix::AsyncFd, task::AbortHandle};

pub use filter::Hears;

use crate::{
    error::{Attempt, Error},
    sys,
};

/// The link address of all hosts of a link.
pub const BROADCAST: LinkAddress = [0xff; 6];

const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
/// Octets of the longest packet that is received.
const LONGEST: usize = 4160;

/// When a gratuitous ARP is sent again, after the first time: ARP is not reliable (RFC 5944 §4.6).
const AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];

/// The link address of an IPv4 multicast group (RFC 1112 §6.4).
#[must_use]
pub const fn multicast(group: Ipv4Addr) -> LinkAddress {
    let [_, b, c, d] = group.octets();
    [0x01, 0x00, 0x5e, b & 0x7f, c, d]
}

/// What arrived on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Link address of the sender.
    pub from: LinkAddress,
    /// The packet from its version octet on; link padding may follow its total length.
    pub packet: Vec<u8>,
}

/// A packet socket on one interface.
#[derive(Debug)]
pub struct LinkSocket {
    socket: Arc<AsyncFd<Socket>>,
    name: String,
    index: u32,
    address: LinkAddress,
}

/// The repetitions of a gratuitous ARP; dropping it ends them, which must be done before it becomes untrue.
#[must_use = "the repetitions end when this is dropped"]
#[derive(Debug)]
pub struct Announcement(AbortHandle);

impl Announcement {
    /// True once the last repetition was sent.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.is_finished()
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl LinkSocket {
    /// Opens it on `interface`, to hear what the role needs. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// There is no such interface, it is no Ethernet, or packet sockets are not permitted.
    pub fn open(interface: &str, hears: Hears) -> Result<Self, Error> {
        let index = nix::net::if_::if_nametoindex(interface)
            .map_err(|_| Error::NoInterface { name: interface.to_owned() })?;
        let what = || format!("open a packet socket on {interface}");
        let address = address_of(interface).attempt(|| format!("read the link address of {interface}"))?;
        let socket = prepare(index, hears).attempt(what)?;
        let socket = Arc::new(sys::events(socket).attempt(what)?);
        Ok(Self { socket, name: interface.to_owned(), index, address })
    }

    /// The interface's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The interface's index.
    #[must_use]
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// The interface's own link address when the socket was opened.
    #[must_use]
    pub const fn address(&self) -> LinkAddress {
        self.address
    }

    /// Waits for a packet from somebody else; goes on when the link goes down and comes back. May be dropped
    /// at any time.
    ///
    /// # Errors
    /// The socket broke.
    pub async fn receive(&self) -> Result<Frame, Error> {
        let what = || format!("receive on {}", self.name);
        let mut buffer = vec![0; LONGEST];
        loop {
            let mut ready = self.socket.readable().await.attempt(what)?;
            match ready.try_io(|socket| sys::receive_link(socket.get_ref(), &mut buffer)) {
                Ok(Ok(Some((length, from)))) if length <= LONGEST => {
                    buffer.truncate(length);
                    return Ok(Frame { from, packet: buffer });
                }
                // For somebody else, flooded by a switch; or longer than any message of ours.
                Ok(Ok(_)) => {}
                // Said once when the interface goes down.
                Ok(Err(error)) if error.raw_os_error() == Some(libc::ENETDOWN) => {}
                Ok(Err(error)) => return Err(error).attempt(what),
                // Not ready after all.
                Err(_) => {}
            }
        }
    }

    /// Sends an IPv4 packet to a link address.
    ///
    /// # Errors
    /// The interface is down, or the packet is longer than its MTU.
    pub fn send(&self, to: LinkAddress, packet: &[u8]) -> Result<(), Error> {
        self.transmit(IPV4, to, packet)
    }

    /// Tells all hosts of the link that `address` is at this interface.
    ///
    /// # Errors
    /// The interface is down.
    pub fn gratuitous_arp(&self, address: Ipv4Addr) -> Result<Announcement, Error> {
        self.gratuitous_arp_for(address, self.address)
    }

    /// Tells all hosts of the link that `address` is at the link address `owner`: now, and twice more while what
    /// it hands back lives. Call it inside a tokio runtime.
    ///
    /// As request and as reply, since some hosts heed only one of them (RFC 5944 §4.6).
    ///
    /// # Errors
    /// The interface is down.
    pub fn gratuitous_arp_for(&self, address: Ipv4Addr, owner: LinkAddress) -> Result<Announcement, Error> {
        const REQUEST: u8 = 1;
        const REPLY: u8 = 2;
        let packets = [REQUEST, REPLY].map(|operation| arp(operation, owner, address));
        for packet in &packets {
            self.transmit(ARP, BROADCAST, packet)?;
        }
        let (socket, index) = (Arc::clone(&self.socket), self.index);
        let repetitions = tokio::spawn(async move {
            for pause in AGAIN {
                tokio::time::sleep(pause).await;
                for packet in &packets {
                    // A link that went down meanwhile needs no repetition.
                    let _ = sys::send_link(socket.get_ref(), index, ARP, BROADCAST, packet);
                }
            }
        });
        Ok(Announcement(repetitions.abort_handle()))
    }

    fn transmit(&self, protocol: u16, to: LinkAddress, payload: &[u8]) -> Result<(), Error> {
        sys::send_link(self.socket.get_ref(), self.index, protocol, to, payload)
            .attempt(|| format!("send {} octets on {}", payload.len(), self.name))
    }
}

fn prepare(index: u32, hears: Hears) -> io::Result<Socket> {
    // Protocol 0 receives nothing: not a packet passes before the filter is there.
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    socket.attach_filter(&filter::program(hears))?;
    sys::set_option(&socket, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)?;
    for group in hears.groups() {
        sys::join_link(&socket, index, multicast(*group))?;
    }
    sys::bind_link(&socket, index, IPV4)?;
    Ok(socket)
}

fn address_of(interface: &str) -> io::Result<LinkAddress> {
    for found in nix::ifaddrs::getifaddrs()? {
        let link = found.address.as_ref().and_then(|address| address.as_link_addr());
        if found.interface_name == interface
            && let Some(address) = link.and_then(nix::sys::socket::LinkAddr::addr)
        {
            return Ok(address);
        }
    }
    Err(io::Error::new(io::ErrorKind::Unsupported, "it has no 48-bit link address"))
}

/// A gratuitous ARP packet: sender and target protocol address are the same (RFC 826).
fn arp(operation: u8, owner: LinkAddress, address: Ipv4Addr) -> [u8; 28] {
    let mut out = [0; 28];
    // Ethernet, IPv4, lengths 6 and 4.
    out[..8].copy_from_slice(&[0, 1, 8, 0, 6, 4, 0, operation]);
    out[8..14].copy_from_slice(&owner);
    out[14..18].copy_from_slice(&address.octets());
    out[18..24].copy_from_slice(&owner);
    out[24..28].copy_from_slice(&address.octets());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_map_to_link_addresses() {
        assert_eq!(multicast(Ipv4Addr::new(224, 0, 0, 11)), [1, 0, 0x5e, 0, 0, 11]);
        assert_eq!(multicast(Ipv4Addr::new(239, 255, 1, 2)), [1, 0, 0x5e, 0x7f, 1, 2]);
    }

    #[test]
    fn gratuitous_arp_to_the_octet() {
        let packet = arp(2, [2, 0, 0, 0, 0, 7], Ipv4Addr::new(10, 11, 1, 50));
        let expected =
            [0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 7, 10, 11, 1, 50, 2, 0, 0, 0, 0, 7, 10, 11, 1, 50];
        assert_eq!(packet, expected);
    }

    #[tokio::test]
    async fn an_unknown_interface_is_named_in_the_error() {
        let error = LinkSocket::open("no-such-link", Hears::MobileNode).unwrap_err();
        assert!(error.to_string().contains("no-such-link"), "{error}");
    }
}
