//! What happens to the interfaces, in the words of the core.

use std::{
    collections::{BTreeMap, VecDeque},
    net::Ipv4Addr,
};

use daemon::config::Prefix;
use mobility::mobile_node::Request;
use net::{
    clock::Clock,
    link::LinkSocket,
    netlink::{Change, Netlink, Watch},
};
use sansio::{LinkAddress, LinkId, Now};
use tokio::sync::mpsc;

/// A change, when it happened, and the interface's link address if it came up.
pub(crate) type Happened = (Change, Now, Option<LinkAddress>);

/// Reports changes as they happen, beside the event loop, so that a slow change of routes delays no clock.
pub(crate) async fn watch(
    netlink: Netlink,
    mut watch: Watch,
    names: BTreeMap<u32, String>,
    happened: mpsc::Sender<anyhow::Result<Happened>>,
) {
    loop {
        let change = watch.next().await;
        let now = Clock.now();
        let report = match change {
            Ok(change) => Ok((change, now, link_address(&netlink, &names, change).await)),
            Err(error) => Err(error.into()),
        };
        let broken = report.is_err();
        if happened.send(report).await.is_err() || broken {
            return;
        }
    }
}

/// The link address may be another one whenever the link comes up.
async fn link_address(
    netlink: &Netlink,
    names: &BTreeMap<u32, String>,
    change: Change,
) -> Option<LinkAddress> {
    let Change::LinkUp { index } = change else {
        return None;
    };
    Some(netlink.link(names.get(&index)?).await.ok()?.address)
}

/// An interface as the core knows it.
pub(crate) struct Interface {
    id: LinkId,
    name: String,
    /// The link address when its socket was opened.
    own: LinkAddress,
    addresses: BTreeMap<Ipv4Addr, u8>,
    gateway: Option<Ipv4Addr>,
}

/// The interfaces by index.
pub(crate) struct Interfaces(BTreeMap<u32, Interface>);

impl Interfaces {
    /// Interfaces with nothing known of them.
    pub(crate) fn new<'a>(sockets: impl IntoIterator<Item = (&'a LinkId, &'a LinkSocket)>) -> Self {
        let sockets = sockets.into_iter();
        Self(sockets.map(|(id, s)| (s.index(), Interface::new(*id, s.name(), s.address()))).collect())
    }

    /// The name of the interface that changed.
    pub(crate) fn name(&self, change: Change) -> String {
        self.0.get(&index(change)).map_or_else(String::new, |interface| interface.name.clone())
    }

    /// What the core has to be told of a change.
    pub(crate) fn requests(&mut self, change: Change, up: Option<LinkAddress>) -> VecDeque<Request> {
        let Some(interface) = self.0.get_mut(&index(change)) else {
            return VecDeque::new();
        };
        let link = interface.id;
        match change {
            Change::LinkUp { .. } => [Request::LinkUp { link, address: up.unwrap_or(interface.own) }].into(),
            Change::LinkDown { .. } => [Request::LinkDown { link }].into(),
            Change::AddressAdded { address, prefix_length, .. } => {
                interface.addresses.insert(address, prefix_length);
                [interface.appeared(address, prefix_length)].into()
            }
            Change::AddressRemoved { address, .. } => {
                interface.addresses.remove(&address);
                [Request::AddressGone { link, address }].into()
            }
            Change::GatewayChanged { gateway, .. } => {
                interface.gateway = gateway;
                interface.addresses.iter().map(|(a, length)| interface.appeared(*a, *length)).collect()
            }
        }
    }
}

/// The index of the interface that changed.
const fn index(change: Change) -> u32 {
    match change {
        Change::LinkUp { index }
        | Change::LinkDown { index }
        | Change::AddressAdded { index, .. }
        | Change::AddressRemoved { index, .. }
        | Change::GatewayChanged { index, .. } => index,
    }
}

impl Interface {
    fn new(id: LinkId, name: &str, own: LinkAddress) -> Self {
        Self { id, name: name.to_owned(), own, addresses: BTreeMap::new(), gateway: None }
    }

    /// The gateway of an interface serves the addresses of its own network only.
    fn appeared(&self, address: Ipv4Addr, prefix_length: u8) -> Request {
        let network = Prefix::of(address, prefix_length);
        let gateway = self.gateway.filter(|gateway| network.is_some_and(|n| n.contains(*gateway)));
        Request::AddressAppeared { link: self.id, address, prefix_length, gateway }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 10);
    const OTHER: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 9);

    fn appeared(address: Ipv4Addr, gateway: Option<Ipv4Addr>) -> Request {
        Request::AddressAppeared { link: LinkId(0), address, prefix_length: 24, gateway }
    }

    #[test]
    fn a_gateway_that_comes_later_belongs_to_the_addresses_of_its_network() {
        let mut interfaces = Interfaces([(3, Interface::new(LinkId(0), "eth0", [2; 6]))].into());
        let added = |address| Change::AddressAdded { index: 3, address, prefix_length: 24 };
        assert_eq!(interfaces.requests(added(ADDRESS), None), [appeared(ADDRESS, None)]);
        assert_eq!(interfaces.requests(added(OTHER), None), [appeared(OTHER, None)]);
        let gateway = Some(Ipv4Addr::new(192, 168, 77, 1));
        let changed = interfaces.requests(Change::GatewayChanged { index: 3, gateway }, None);
        assert_eq!(changed, [appeared(OTHER, None), appeared(ADDRESS, gateway)]);
        assert!(interfaces.requests(Change::LinkDown { index: 4 }, None).is_empty());
    }

    #[test]
    fn a_link_comes_up_with_the_link_address_of_that_moment() {
        let mut interfaces = Interfaces([(3, Interface::new(LinkId(7), "eth0", [2; 6]))].into());
        let up = Change::LinkUp { index: 3 };
        let with = |address| Request::LinkUp { link: LinkId(7), address };
        assert_eq!(interfaces.requests(up, Some([4; 6])), [with([4; 6])]);
        assert_eq!(interfaces.requests(up, None), [with([2; 6])]);
    }
}
