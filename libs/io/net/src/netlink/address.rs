//! IPv4 addresses of interfaces.

use std::net::{IpAddr, Ipv4Addr};

use rtnetlink::packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
};

use super::{Existing, Netlink, unless};
use crate::error::{Attempt, Error};

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// The address.
    pub address: Ipv4Addr,
    /// Bits of the prefix of the link it is on.
    pub prefix_length: u8,
}

impl Netlink {
    /// The IPv4 addresses of an interface.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn addresses(&self, index: u32) -> Result<Vec<Address>, Error> {
        let all = self.all_addresses().await?;
        Ok(all.into_iter().filter(|(at, _)| *at == index).map(|(_, address)| address).collect())
    }

    /// The IPv4 addresses of all interfaces, each with the interface's index.
    pub(super) async fn all_addresses(&self) -> Result<Vec<(u32, Address)>, Error> {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        let dump = self.dump(RouteNetlinkMessage::GetAddress(message)).await;
        let messages = dump.attempt(|| "list the addresses")?;
        Ok(messages
            .iter()
            .filter_map(|message| match message {
                RouteNetlinkMessage::NewAddress(message) => read(message),
                _ => None,
            })
            .collect())
    }

    /// Gives an interface an address; no error if it has it already.
    ///
    /// # Errors
    /// There is no such interface, or no such prefix length.
    pub async fn add_address(&self, index: u32, address: Ipv4Addr, prefix_length: u8) -> Result<(), Error> {
        let message = RouteNetlinkMessage::NewAddress(write(index, address, prefix_length));
        let result = unless(self.make(message, Existing::Refuse).await, &[libc::EEXIST]);
        result.attempt(|| format!("add address {address}/{prefix_length} to interface {index}"))
    }

    /// Takes an address from an interface; no error if it does not have it.
    ///
    /// # Errors
    /// There is no such interface.
    pub async fn del_address(&self, index: u32, address: Ipv4Addr, prefix_length: u8) -> Result<(), Error> {
        let message = RouteNetlinkMessage::DelAddress(write(index, address, prefix_length));
        let result = unless(self.order(message, 0).await, &[libc::EADDRNOTAVAIL]);
        result.attempt(|| format!("remove address {address}/{prefix_length} from interface {index}"))
    }
}

fn write(index: u32, address: Ipv4Addr, prefix_length: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = prefix_length;
    message.header.index = index;
    message.attributes.push(AddressAttribute::Local(address.into()));
    message.attributes.push(AddressAttribute::Address(address.into()));
    if prefix_length < 31 {
        let hosts = u32::MAX >> prefix_length;
        let broadcast = Ipv4Addr::from(u32::from(address) | hosts);
        message.attributes.push(AddressAttribute::Broadcast(broadcast));
    }
    message
}

/// What an address message says: the interface's index and the address.
pub(super) fn read(message: &AddressMessage) -> Option<(u32, Address)> {
    let mut found = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(IpAddr::V4(address)) => found = Some(*address),
            // On a point-to-point interface this is the other end: the local one counts.
            AddressAttribute::Address(IpAddr::V4(address)) if found.is_none() => found = Some(*address),
            _ => {}
        }
    }
    let address = Address { address: found?, prefix_length: message.header.prefix_len };
    Some((message.header.index, address))
}
