//! Interfaces.

use rtnetlink::packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkFlags, LinkMessage},
};
use sansio::LinkAddress;

use super::Netlink;
use crate::error::{Attempt, Error};

/// An interface as it was when it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its index, which stays while the interface lives.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its link address; zeros if it has none of 48 bits.
    pub address: LinkAddress,
    /// The largest packet in octets.
    pub mtu: u32,
    /// Whether the administrator wants it up.
    pub up: bool,
    /// Whether it is up, something is at the other end, and the kernel sends on it: that begins a little later
    /// than the carrier itself, and what is sent before is lost without an error.
    pub carrier: bool,
}

impl Netlink {
    /// The interface called `name`.
    ///
    /// # Errors
    /// There is none.
    pub async fn link(&self, name: &str) -> Result<Link, Error> {
        let missing = || Error::NoInterface { name: name.to_owned() };
        let index = nix::net::if_::if_nametoindex(name).map_err(|_| missing())?;
        let dump = self.dump(RouteNetlinkMessage::GetLink(LinkMessage::default())).await;
        let links = dump.attempt(|| "list the interfaces")?;
        let links = links.into_iter().filter_map(|message| match message {
            RouteNetlinkMessage::NewLink(link) => Some(read(&link)),
            _ => None,
        });
        links.into_iter().find(|link| link.index == index).ok_or_else(missing)
    }

    /// Brings an interface up.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn set_up(&self, index: u32) -> Result<(), Error> {
        self.set_flag(index, LinkFlags::Up).await.attempt(|| format!("bring interface {index} up"))
    }

    /// Takes an interface down; the kernel then forgets its routes and neighbours.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn set_down(&self, index: u32) -> Result<(), Error> {
        self.set_flag(index, LinkFlags::empty()).await.attempt(|| format!("take interface {index} down"))
    }

    /// Sets the largest packet of an interface, in octets.
    ///
    /// # Errors
    /// The interface does not take this size.
    pub async fn set_mtu(&self, index: u32, mtu: u32) -> Result<(), Error> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes.push(LinkAttribute::Mtu(mtu));
        let result = self.order(RouteNetlinkMessage::SetLink(message), 0).await;
        result.attempt(|| format!("set the MTU of interface {index} to {mtu}"))
    }

    async fn set_flag(&self, index: u32, flags: LinkFlags) -> std::io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = flags;
        message.header.change_mask = LinkFlags::Up;
        self.order(RouteNetlinkMessage::SetLink(message), 0).await
    }
}

/// What a link message says.
pub(super) fn read(message: &LinkMessage) -> Link {
    let flags = message.header.flags;
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        address: [0; 6],
        mtu: 0,
        up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::Up | LinkFlags::LowerUp | LinkFlags::Running),
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(address) => {
                link.address = address.as_slice().try_into().unwrap_or_default();
            }
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            _ => {}
        }
    }
    link
}
