//! Interfaces, addresses and routes of a namespace, by netlink.

use std::{
    fmt,
    net::Ipv4Addr,
    os::fd::{AsRawFd, BorrowedFd, RawFd},
};

use anyhow::{Context, Result, bail};
use rtnetlink::{
    AddressMessageBuilder, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
    packet_route::route::RouteProtocol,
};

use super::Inside;

/// A link (Ethernet) address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mac(pub(crate) [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl Inside {
    /// Index of an interface by name.
    pub(crate) fn index(&self, name: &str) -> Result<u32> {
        nix::net::if_::if_nametoindex(name).with_context(|| format!("no interface {name}"))
    }

    /// Makes a bridge without spanning tree or multicast snooping, and brings it up.
    pub(crate) fn bridge(&self, name: &str) -> Result<u32> {
        let message = LinkBridge::new(name).mcast_snooping(false).up().build();
        self.wait(self.netlink.link().add(message).execute()).with_context(|| {
            format!("cannot make the bridge {name} (is the kernel's bridge module there?)")
        })?;
        self.index(name)
    }

    /// Makes a pair of virtual Ethernet interfaces; hands back both indexes.
    pub(crate) fn veth(&self, name: &str, peer: &str) -> Result<(u32, u32)> {
        let message = LinkVeth::new(name, peer).build();
        self.wait(self.netlink.link().add(message).execute())
            .with_context(|| format!("cannot make the interfaces {name} and {peer}"))?;
        Ok((self.index(name)?, self.index(peer)?))
    }

    /// Moves an interface into another namespace.
    pub(crate) fn give_away(&self, index: u32, namespace: RawFd) -> Result<()> {
        self.set(LinkUnspec::new_with_index(index).setns_by_fd(namespace))
            .context("cannot move an interface into another namespace")
    }

    /// Names an interface and gives it a link address, while it is down.
    pub(crate) fn dress(&self, index: u32, name: &str, mac: Mac) -> Result<()> {
        let message = LinkUnspec::new_with_index(index).name(name).address(mac.0.to_vec());
        self.set(message).with_context(|| format!("cannot name an interface {name}"))?;
        self.plain_frames(name)
    }

    /// Brings an interface up.
    pub(crate) fn up(&self, index: u32) -> Result<()> {
        self.set(LinkUnspec::new_with_index(index).up()).context("cannot bring an interface up")
    }

    /// Brings an interface down.
    pub(crate) fn down(&self, index: u32) -> Result<()> {
        self.set(LinkUnspec::new_with_index(index).down()).context("cannot bring an interface down")
    }

    /// Makes an interface a port of a bridge.
    pub(crate) fn enslave(&self, index: u32, bridge: u32) -> Result<()> {
        self.set(LinkUnspec::new_with_index(index).controller(bridge)).context("cannot plug into a bridge")
    }

    /// Adds an address.
    pub(crate) fn add_address(&self, index: u32, address: Ipv4Addr, prefix: u8) -> Result<()> {
        self.wait(self.netlink.address().add(index, address.into(), prefix).execute())
            .with_context(|| format!("cannot add the address {address}/{prefix}"))
    }

    /// Takes an address away; one that is not there is no error.
    pub(crate) fn remove_address(&self, index: u32, address: Ipv4Addr, prefix: u8) -> Result<()> {
        let message = AddressMessageBuilder::<Ipv4Addr>::new().index(index).address(address, prefix).build();
        forgive(self.wait(self.netlink.address().del(message).execute()), libc::EADDRNOTAVAIL)
            .with_context(|| format!("cannot take the address {address}/{prefix} away"))
    }

    /// Adds a default route through a gateway, marked as one that an administrator made.
    pub(crate) fn add_default(&self, index: u32, gateway: Ipv4Addr) -> Result<()> {
        let message = default_route(index, gateway).build();
        self.wait(self.netlink.route().add(message).execute())
            .with_context(|| format!("cannot add a default route through {gateway}"))
    }

    /// Adds a default route as a DHCP client does: another one that is already there stays.
    pub(crate) fn add_dhcp_default(&self, index: u32, gateway: Ipv4Addr) -> Result<()> {
        let message = default_route(index, gateway).protocol(RouteProtocol::Dhcp).build();
        forgive(self.wait(self.netlink.route().add(message).execute()), libc::EEXIST)
            .with_context(|| format!("cannot add a default route through {gateway}"))
    }

    /// Takes the default route of a DHCP client away, if it is still there.
    pub(crate) fn remove_dhcp_default(&self, index: u32, gateway: Ipv4Addr) -> Result<()> {
        let message = default_route(index, gateway).protocol(RouteProtocol::Dhcp).build();
        forgive(self.wait(self.netlink.route().del(message).execute()), libc::ESRCH)
            .with_context(|| format!("cannot take the default route through {gateway} away"))
    }

    fn set(&self, message: LinkMessageBuilder<LinkUnspec>) -> Result<()> {
        Ok(self.wait(self.netlink.link().set(message.build()).execute())?)
    }

    /// Makes the kernel compute checksums before a frame leaves, which ends segmentation offload too: then
    /// captures show frames as they would be on a cable.
    fn plain_frames(&self, name: &str) -> Result<()> {
        const SIOCETHTOOL: libc::Ioctl = 0x8946;
        const ETHTOOL_STXCSUM: u32 = 0x17;
        #[repr(C)]
        struct Value {
            command: u32,
            data: u32,
        }
        let mut value = Value { command: ETHTOOL_STXCSUM, data: 0 };
        let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
        // SAFETY: an all-zero ifreq is a valid value of that C structure.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        if name.len() >= request.ifr_name.len() {
            bail!("the interface name {name} is too long");
        }
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = from.cast_signed();
        }
        request.ifr_ifru.ifru_data = (&raw mut value).cast();
        // SAFETY: the request and the value it points to live until the call returns; the kernel writes no
        // more than the eight bytes of an ethtool_value.
        let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
        nix::errno::Errno::result(result).with_context(|| format!("cannot turn offloads of {name} off"))?;
        Ok(())
    }
}

fn default_route(index: u32, gateway: Ipv4Addr) -> RouteMessageBuilder<Ipv4Addr> {
    RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).output_interface(index)
}

/// Takes one errno of the kernel as success.
fn forgive(result: Result<(), rtnetlink::Error>, errno: i32) -> Result<()> {
    match result {
        Err(rtnetlink::Error::NetlinkError(message)) if message.raw_code() == -errno => Ok(()),
        other => Ok(other?),
    }
}

/// A raw descriptor for a closure that outlives the borrow: the namespace must be kept meanwhile.
pub(crate) fn raw(fd: BorrowedFd<'_>) -> RawFd {
    fd.as_raw_fd()
}
