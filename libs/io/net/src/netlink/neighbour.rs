//! Neighbours: which link address an IPv4 address has, and for which addresses we answer ARP.

use std::net::Ipv4Addr;

use rtnetlink::packet_route::{
    AddressFamily, RouteNetlinkMessage,
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState},
    route::RouteProtocol,
};
use sansio::LinkAddress;

use super::{Existing, Netlink, unless};
use crate::error::{Attempt, Error};

/// Marks the proxies and the fixed neighbours that we made.
const OURS: u8 = 143;

/// A neighbour on one interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its IPv4 address.
    pub address: Ipv4Addr,
    /// Its link address, if it is known.
    pub link_address: Option<LinkAddress>,
    /// True if the entry stays until somebody deletes it.
    pub permanent: bool,
    /// True if we made it.
    pub ours: bool,
}

impl Netlink {
    /// Fixes the link address of a neighbour: no ARP is sent for it and none changes it.
    ///
    /// # Errors
    /// There is no such interface.
    pub async fn replace_neighbour(
        &self,
        index: u32,
        address: Ipv4Addr,
        link_address: LinkAddress,
    ) -> Result<(), Error> {
        self.set_neighbour(index, address, link_address, NeighbourState::Permanent).await
    }

    /// Notes the link address of a neighbour as if ARP had just found it.
    ///
    /// # Errors
    /// There is no such interface.
    pub async fn learn_neighbour(
        &self,
        index: u32,
        address: Ipv4Addr,
        link_address: LinkAddress,
    ) -> Result<(), Error> {
        self.set_neighbour(index, address, link_address, NeighbourState::Reachable).await
    }

    async fn set_neighbour(
        &self,
        index: u32,
        address: Ipv4Addr,
        link_address: LinkAddress,
        state: NeighbourState,
    ) -> Result<(), Error> {
        let mut message = about(index, address);
        message.header.state = state;
        message.attributes.push(NeighbourAttribute::LinkLayerAddress(link_address.to_vec()));
        // Entries learned by ARP keep the number that they were made with: one that was fixed becomes another.
        message.attributes.push(if state == NeighbourState::Permanent { ours() } else { nobodys() });
        let result = self.make(RouteNetlinkMessage::NewNeighbour(message), Existing::Replace).await;
        result.attempt(|| format!("set neighbour {address} on interface {index}"))
    }

    /// Forgets a neighbour; no error if it is not known.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn del_neighbour(&self, index: u32, address: Ipv4Addr) -> Result<(), Error> {
        let message = RouteNetlinkMessage::DelNeighbour(about(index, address));
        let result = unless(self.order(message, 0).await, &[libc::ENOENT, libc::ENODEV]);
        result.attempt(|| format!("forget neighbour {address} on interface {index}"))
    }

    /// The IPv4 neighbours on an interface.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn neighbours(&self, index: u32) -> Result<Vec<Neighbour>, Error> {
        let messages = self.neighbour_messages(NeighbourFlags::empty()).await?;
        let here = messages.iter().filter(|message| message.header.ifindex == index);
        Ok(here.filter_map(read).collect())
    }

    /// Forgets all neighbours on an interface, fixed ones included.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn flush_neighbours(&self, index: u32) -> Result<(), Error> {
        for neighbour in self.neighbours(index).await? {
            // Multicast groups are no neighbours that could be stale.
            if !neighbour.address.is_multicast() {
                self.del_neighbour(index, neighbour.address).await?;
            }
        }
        Ok(())
    }

    /// Forgets the neighbours on an interface that we fixed, but not those in `keep`.
    ///
    /// # Errors
    /// The kernel refused.
    pub(crate) async fn release_neighbours(&self, index: u32, keep: &[Ipv4Addr]) -> Result<(), Error> {
        for neighbour in self.neighbours(index).await? {
            if neighbour.ours && !keep.contains(&neighbour.address) {
                self.del_neighbour(index, neighbour.address).await?;
            }
        }
        Ok(())
    }

    /// Answers ARP for an address that is elsewhere; no error if we do already.
    ///
    /// # Errors
    /// There is no such interface.
    pub async fn add_proxy(&self, index: u32, address: Ipv4Addr) -> Result<(), Error> {
        let mut message = about(index, address);
        message.header.flags = NeighbourFlags::Proxy;
        message.attributes.push(ours());
        let result = self.make(RouteNetlinkMessage::NewNeighbour(message), Existing::Replace).await;
        result.attempt(|| format!("answer ARP for {address} on interface {index}"))
    }

    /// Stops answering ARP for an address; no error if we do not.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn del_proxy(&self, index: u32, address: Ipv4Addr) -> Result<(), Error> {
        let mut message = about(index, address);
        message.header.flags = NeighbourFlags::Proxy;
        let result = self.order(RouteNetlinkMessage::DelNeighbour(message), 0).await;
        unless(result, &[libc::ENOENT, libc::ENODEV])
            .attempt(|| format!("stop answering ARP for {address} on interface {index}"))
    }

    /// The addresses that we answer ARP for on an interface, those that an administrator added left out.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn proxies(&self, index: u32) -> Result<Vec<Ipv4Addr>, Error> {
        let messages = self.neighbour_messages(NeighbourFlags::Proxy).await?;
        let here = messages.iter().filter(|message| message.header.ifindex == index);
        let ours = here.filter_map(read).filter(|neighbour| neighbour.ours);
        Ok(ours.map(|neighbour| neighbour.address).collect())
    }

    async fn neighbour_messages(&self, flags: NeighbourFlags) -> Result<Vec<NeighbourMessage>, Error> {
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.flags = flags;
        let dump = self.dump(RouteNetlinkMessage::GetNeighbour(message)).await;
        let messages = dump.attempt(|| "list the neighbours")?;
        Ok(messages
            .into_iter()
            .filter_map(|message| match message {
                RouteNetlinkMessage::NewNeighbour(message) => Some(message),
                _ => None,
            })
            .collect())
    }
}

fn about(index: u32, address: Ipv4Addr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.ifindex = index;
    message.attributes.push(NeighbourAttribute::Destination(NeighbourAddress::Inet(address)));
    message
}

fn ours() -> NeighbourAttribute {
    NeighbourAttribute::Protocol(RouteProtocol::from(OURS))
}

fn nobodys() -> NeighbourAttribute {
    NeighbourAttribute::Protocol(RouteProtocol::Unspec)
}

fn read(message: &NeighbourMessage) -> Option<Neighbour> {
    let mut address = None;
    let mut link_address = None;
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(found)) => address = Some(*found),
            NeighbourAttribute::LinkLayerAddress(found) => {
                link_address = found.as_slice().try_into().ok();
            }
            _ => {}
        }
    }
    let permanent = message.header.state == NeighbourState::Permanent;
    let ours = message.attributes.contains(&ours());
    Some(Neighbour { address: address?, link_address, permanent, ours })
}
