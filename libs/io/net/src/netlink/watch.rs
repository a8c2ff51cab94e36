//! What happens to chosen interfaces, as it happens: carrier, addresses, and the router behind them.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::Ipv4Addr,
};

use futures_util::{Stream, StreamExt as _};
use rtnetlink::{
    MulticastGroup,
    packet_core::{NetlinkMessage, NetlinkPayload},
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        link::{LinkAttribute, LinkMessage},
    },
    sys::SocketAddr,
};

use super::{Address, Netlink, TABLE_MAIN, address, link, route};
use crate::error::{Attempt, Error};

/// Something that happened to a watched interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The interface is up and something is at its other end.
    LinkUp {
        /// The interface.
        index: u32,
    },
    /// It no longer is.
    LinkDown {
        /// The interface.
        index: u32,
    },
    /// The interface got an address, from whomever.
    AddressAdded {
        /// The interface.
        index: u32,
        /// The address.
        address: Ipv4Addr,
        /// Bits of the link's prefix.
        prefix_length: u8,
    },
    /// The interface lost an address. If it was the last one, the kernel forgot all routes and neighbours on
    /// the interface without a word.
    AddressRemoved {
        /// The interface.
        index: u32,
        /// The address.
        address: Ipv4Addr,
    },
    /// The best default route through the interface that is not ours leads to another router, or to none.
    GatewayChanged {
        /// The interface.
        index: u32,
        /// The router.
        gateway: Option<Ipv4Addr>,
    },
}

type Events = std::pin::Pin<Box<dyn Stream<Item = (NetlinkMessage<RouteNetlinkMessage>, SocketAddr)> + Send>>;

/// What was last reported of one interface.
#[derive(Debug, Default)]
struct Known {
    carrier: bool,
    /// How often the carrier came up since the interface was made.
    times_up: u32,
    addresses: BTreeSet<Address>,
    gateway: Option<Ipv4Addr>,
}

/// Reports changes of some interfaces.
pub struct Watch {
    netlink: Netlink,
    events: Events,
    known: BTreeMap<u32, Known>,
    /// Found but not yet reported.
    changes: VecDeque<Change>,
    /// Messages were lost: everything has to be looked at anew.
    stale: bool,
}

impl Watch {
    /// Begins to watch the interfaces with these names. The first changes describe the state found: carrier,
    /// then addresses and router of each. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// One of the interfaces does not exist, or netlink sockets are not permitted.
    pub async fn open(interfaces: &[&str]) -> Result<Self, Error> {
        let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv4Route];
        let (connection, _, events) = rtnetlink::new_multicast_connection(&groups)
            .attempt(|| "open a netlink socket for notifications")?;
        tokio::spawn(connection);
        let netlink = Netlink::connect()?;
        let mut watch = Self {
            netlink,
            events: Box::pin(events),
            known: BTreeMap::new(),
            changes: VecDeque::new(),
            stale: true,
        };
        for name in interfaces {
            let found = watch.netlink.link(name).await?;
            watch.known.insert(found.index, Known::default());
            if !found.carrier {
                watch.changes.push_back(Change::LinkDown { index: found.index });
            }
        }
        Ok(watch)
    }

    /// The next change. May be dropped at any time: no change is lost.
    ///
    /// # Errors
    /// The netlink connection ended.
    pub async fn next(&mut self) -> Result<Change, Error> {
        loop {
            if let Some(change) = self.changes.pop_front() {
                return Ok(change);
            }
            if self.stale {
                self.look().await?;
                self.stale = false;
                continue;
            }
            let Some((message, _)) = self.events.next().await else {
                return Err(Error::Closed);
            };
            match message.payload {
                NetlinkPayload::InnerMessage(message) => self.hear(&message),
                // The kernel had more to say than we could take: look at everything anew.
                NetlinkPayload::Overrun(_) => self.stale = true,
                _ => {}
            }
        }
    }

    /// Compares everything with what was reported.
    async fn look(&mut self) -> Result<(), Error> {
        let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let links = self.netlink.dump(request).await.attempt(|| "list the interfaces")?;
        let addresses = self.netlink.all_addresses().await?;
        let routes = self.netlink.routes(Some(TABLE_MAIN)).await?;
        links.iter().for_each(|message| self.hear(message));
        let indices: Vec<u32> = self.known.keys().copied().collect();
        for index in indices {
            let here = addresses.iter().filter(|(at, _)| *at == index).map(|(_, address)| *address);
            self.settle_addresses(index, here.collect());
            let defaults = routes.iter().filter(|route| {
                route.prefix_length == 0 && route.index == Some(index) && route::is_foreign(route.owner)
            });
            let gateway = defaults.min_by_key(|route| route.metric).and_then(|route| route.via);
            self.settle_gateway(index, gateway);
        }
        Ok(())
    }

    fn hear(&mut self, message: &RouteNetlinkMessage) {
        match message {
            RouteNetlinkMessage::NewLink(message) => self.hear_link(message),
            RouteNetlinkMessage::DelLink(message)
                if message.header.interface_family == AddressFamily::Unspec =>
            {
                self.settle_carrier(message.header.index, false, None);
            }
            RouteNetlinkMessage::NewAddress(message) => {
                if let Some((index, address)) = address::read(message) {
                    self.hear_address(index, address, true);
                }
            }
            RouteNetlinkMessage::DelAddress(message) => {
                if let Some((index, address)) = address::read(message) {
                    self.hear_address(index, address, false);
                }
            }
            RouteNetlinkMessage::NewRoute(message) => self.hear_route(message, true),
            RouteNetlinkMessage::DelRoute(message) => self.hear_route(message, false),
            _ => {}
        }
    }

    fn hear_link(&mut self, message: &LinkMessage) {
        // Bridges speak of their ports with messages of the same kind.
        if message.header.interface_family != AddressFamily::Unspec {
            return;
        }
        let link = link::read(message);
        let times_up = message.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::CarrierUpCount(count) => Some(*count),
            _ => None,
        });
        self.settle_carrier(link.index, link.carrier, times_up);
    }

    fn settle_carrier(&mut self, index: u32, carrier: bool, times_up: Option<u32>) {
        let Some(known) = self.known.get_mut(&index) else {
            return;
        };
        let times_up = times_up.unwrap_or(known.times_up);
        // Away and back between two messages: perhaps another link, so everything has to be checked.
        let flapped = known.carrier && carrier && times_up != known.times_up;
        if flapped || (known.carrier && !carrier) {
            self.changes.push_back(Change::LinkDown { index });
        }
        if flapped || (!known.carrier && carrier) {
            self.changes.push_back(Change::LinkUp { index });
        }
        known.carrier = carrier;
        known.times_up = times_up;
    }

    fn hear_address(&mut self, index: u32, address: Address, present: bool) {
        let Some(known) = self.known.get(&index) else {
            return;
        };
        let mut addresses = known.addresses.clone();
        if present {
            addresses.insert(address);
        } else {
            addresses.remove(&address);
        }
        self.settle_addresses(index, addresses);
    }

    fn settle_addresses(&mut self, index: u32, now: BTreeSet<Address>) {
        let Some(known) = self.known.get_mut(&index) else {
            return;
        };
        for gone in known.addresses.difference(&now) {
            self.changes.push_back(Change::AddressRemoved { index, address: gone.address });
        }
        for Address { address, prefix_length } in now.difference(&known.addresses).copied() {
            self.changes.push_back(Change::AddressAdded { index, address, prefix_length });
        }
        let none_left = now.is_empty() && !known.addresses.is_empty();
        known.addresses = now;
        // With the last address the routes went, and no message says so.
        if none_left {
            self.settle_gateway(index, None);
        }
    }

    fn hear_route(&mut self, message: &rtnetlink::packet_route::route::RouteMessage, present: bool) {
        let Some(route) = route::read(message) else { return };
        if route.prefix_length != 0 || route.table != TABLE_MAIN || !route::is_foreign(route.owner) {
            return;
        }
        let Some(index) = route.index else { return };
        let Some(known) = self.known.get(&index) else {
            return;
        };
        if present {
            self.settle_gateway(index, route.via);
        } else if known.gateway == route.via {
            self.settle_gateway(index, None);
        }
    }

    fn settle_gateway(&mut self, index: u32, gateway: Option<Ipv4Addr>) {
        let Some(known) = self.known.get_mut(&index) else {
            return;
        };
        if known.gateway != gateway {
            known.gateway = gateway;
            self.changes.push_back(Change::GatewayChanged { index, gateway });
        }
    }
}
