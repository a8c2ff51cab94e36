//! Routes.

use std::{collections::BTreeSet, net::Ipv4Addr};

use rtnetlink::packet_route::{
    AddressFamily, RouteNetlinkMessage,
    route::{
        RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteProtocol,
        RouteScope, RouteType,
    },
};

use super::{Existing, Netlink, unless};
use crate::error::{Attempt, Error};

/// The table that is asked when no rule says otherwise.
pub const TABLE_MAIN: u32 = RouteHeader::RT_TABLE_MAIN as u32;

/// The table of the host's own addresses, which is asked before all others.
const TABLE_LOCAL: u32 = libc::RT_TABLE_LOCAL as u32;

/// Who made a route, by its protocol number. Each role owns its own, so that two can share a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// A home agent of ours: 143.
    HomeAgent,
    /// A foreign agent of ours: 144.
    ForeignAgent,
    /// A mobile node of ours: 145.
    MobileNode,
    /// Somebody else.
    Other(u8),
}

impl Owner {
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::HomeAgent => 143,
            Self::ForeignAgent => 144,
            Self::MobileNode => 145,
            Self::Other(number) => number,
        }
    }

    pub(super) const fn from_number(number: u8) -> Self {
        match number {
            143 => Self::HomeAgent,
            144 => Self::ForeignAgent,
            145 => Self::MobileNode,
            number => Self::Other(number),
        }
    }
}

/// What happens to a packet that takes a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RouteKind {
    /// It goes on.
    Unicast,
    /// It is discarded and its sender told.
    Unreachable,
    /// It is for all hosts of a link, this one included.
    Broadcast,
    /// Something that we neither make nor look at (local, multicast and so on).
    Other(u8),
}

/// An IPv4 route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// Network address.
    pub destination: Ipv4Addr,
    /// Bits of the destination; 0 is the default route.
    pub prefix_length: u8,
    /// The next router; none for hosts of the link itself.
    pub via: Option<Ipv4Addr>,
    /// The interface's index.
    pub index: Option<u32>,
    /// The source address of our own packets.
    pub source: Option<Ipv4Addr>,
    /// The table.
    pub table: u32,
    /// Of several routes to a destination the one with the lowest metric counts.
    pub metric: u32,
    /// The largest packet, in octets, where it is less than the interface's.
    pub mtu: Option<u16>,
    /// The next router is on the link, though no address says so.
    pub onlink: bool,
    /// What happens to the packet.
    pub kind: RouteKind,
    /// Who made it.
    pub owner: Owner,
}

impl Route {
    /// A route in the main table to `destination`.
    #[must_use]
    pub const fn to(owner: Owner, destination: Ipv4Addr, prefix_length: u8) -> Self {
        Self {
            destination: network(destination, prefix_length),
            prefix_length,
            via: None,
            index: None,
            source: None,
            table: TABLE_MAIN,
            metric: 0,
            mtu: None,
            onlink: false,
            kind: RouteKind::Unicast,
            owner,
        }
    }

    /// A default route in the main table.
    #[must_use]
    pub const fn default_route(owner: Owner) -> Self {
        Self::to(owner, Ipv4Addr::UNSPECIFIED, 0)
    }

    /// Sets the interface.
    #[must_use]
    pub const fn dev(mut self, index: u32) -> Self {
        self.index = Some(index);
        self
    }

    /// Sets the next router.
    #[must_use]
    pub const fn via(mut self, router: Ipv4Addr) -> Self {
        self.via = Some(router);
        self
    }

    /// Says that the next router is on the link whatever the addresses say.
    #[must_use]
    pub const fn onlink(mut self) -> Self {
        self.onlink = true;
        self
    }

    /// Sets the source address of our own packets.
    #[must_use]
    pub const fn source(mut self, address: Ipv4Addr) -> Self {
        self.source = if address.is_unspecified() { None } else { Some(address) };
        self
    }

    /// Sets the table.
    #[must_use]
    pub const fn table(mut self, table: u32) -> Self {
        self.table = table;
        self
    }

    /// Sets the metric.
    #[must_use]
    pub const fn metric(mut self, metric: u32) -> Self {
        self.metric = metric;
        self
    }

    /// Sets the largest packet in octets.
    #[must_use]
    pub const fn mtu(mut self, mtu: u16) -> Self {
        self.mtu = Some(mtu);
        self
    }

    /// Makes it the last resort that refuses packets.
    #[must_use]
    pub const fn unreachable(mut self) -> Self {
        self.kind = RouteKind::Unreachable;
        self.metric = LAST_RESORT;
        self
    }

    /// Makes it the route of a broadcast address.
    #[must_use]
    pub const fn broadcast(mut self) -> Self {
        self.kind = RouteKind::Broadcast;
        self.table = TABLE_LOCAL;
        self
    }

    const fn is_default(&self) -> bool {
        self.prefix_length == 0
    }
}

/// Metric of the routes that stand behind all others.
const LAST_RESORT: u32 = 1_000_000;

const fn network(address: Ipv4Addr, prefix_length: u8) -> Ipv4Addr {
    let mask = match prefix_length {
        0 => 0,
        length => u32::MAX << (32 - length as u32),
    };
    Ipv4Addr::from_bits(address.to_bits() & mask)
}

impl Netlink {
    /// Makes a route, in place of one with the same destination, table and metric.
    ///
    /// # Errors
    /// The kernel refused it, for instance because the next router is not on the link.
    pub async fn replace_route(&self, route: &Route) -> Result<(), Error> {
        let message = RouteNetlinkMessage::NewRoute(write(route));
        self.make(message, Existing::Replace).await.attempt(|| format!("set {}", describe(route)))
    }

    /// Makes a route before all with the same destination, table and metric, which stay.
    ///
    /// # Errors
    /// The kernel refused it, for instance because the next router is not on the link.
    pub async fn prepend_route(&self, route: &Route) -> Result<(), Error> {
        let message = RouteNetlinkMessage::NewRoute(write(route));
        let result = unless(self.make(message, Existing::Precede).await, &[libc::EEXIST]);
        result.attempt(|| format!("add {}", describe(route)))
    }

    /// Deletes a route; no error if it is gone.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn del_route(&self, route: &Route) -> Result<(), Error> {
        self.delete(route, write(route)).await
    }

    /// Deletes this very route and not one like it with another MTU.
    async fn del_route_exactly(&self, route: &Route) -> Result<(), Error> {
        let mut message = write(route);
        if route.mtu.is_none() {
            // Without a metric the kernel takes the first route that agrees in all else.
            message.attributes.push(RouteAttribute::Metrics(vec![RouteMetric::Mtu(0)]));
        }
        self.delete(route, message).await
    }

    async fn delete(&self, route: &Route, message: RouteMessage) -> Result<(), Error> {
        let result = self.order(RouteNetlinkMessage::DelRoute(message), 0).await;
        unless(result, &[libc::ESRCH, libc::ENODEV]).attempt(|| format!("delete {}", describe(route)))
    }

    /// All IPv4 routes, or those of one table, that carry packets or refuse them.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn routes(&self, table: Option<u32>) -> Result<Vec<Route>, Error> {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        let dump = self.dump(RouteNetlinkMessage::GetRoute(message)).await;
        let messages = dump.attempt(|| "list the routes")?;
        let routes = messages.iter().filter_map(|message| match message {
            RouteNetlinkMessage::NewRoute(message) => read(message),
            _ => None,
        });
        let wanted = |route: &Route| {
            !matches!(route.kind, RouteKind::Other(_)) && table.is_none_or(|table| route.table == table)
        };
        Ok(routes.filter(wanted).collect())
    }

    /// The next router of the best default route through an interface that is not ours.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn gateway(&self, index: u32) -> Result<Option<Ipv4Addr>, Error> {
        let routes = self.routes(Some(TABLE_MAIN)).await?;
        let foreign = routes
            .iter()
            .filter(|route| route.is_default() && route.index == Some(index) && is_foreign(route.owner));
        Ok(foreign.min_by_key(|route| route.metric).and_then(|route| route.via))
    }

    /// Makes the routes of `owner` exactly `wanted`: first adds what is missing, then deletes the rest.
    ///
    /// # Errors
    /// The kernel refused one of them.
    pub(crate) async fn settle_routes(&self, owner: Owner, wanted: &[Route]) -> Result<(), Error> {
        let present: BTreeSet<Route> =
            self.routes(None).await?.into_iter().filter(|route| route.owner == owner).collect();
        for route in wanted.iter().filter(|route| !present.contains(route)) {
            self.prepend_route(route).await?;
        }
        for route in present.iter().filter(|route| !wanted.contains(route)) {
            self.del_route_exactly(route).await?;
        }
        Ok(())
    }
}

/// True if none of our roles made it.
pub(super) const fn is_foreign(owner: Owner) -> bool {
    matches!(owner, Owner::Other(_))
}

fn describe(route: &Route) -> String {
    let mut out = format!("route {}/{}", route.destination, route.prefix_length);
    if let Some(via) = route.via {
        out += &format!(" via {via}");
    }
    if let Some(index) = route.index {
        out += &format!(" on interface {index}");
    }
    out + &format!(" in table {}", route.table)
}

fn write(route: &Route) -> RouteMessage {
    let mut message = RouteMessage::default();
    let header = &mut message.header;
    header.address_family = AddressFamily::Inet;
    header.destination_prefix_length = route.prefix_length;
    header.protocol = RouteProtocol::from(route.owner.number());
    header.kind = match route.kind {
        RouteKind::Unicast => RouteType::Unicast,
        RouteKind::Unreachable => RouteType::Unreachable,
        RouteKind::Broadcast => RouteType::Broadcast,
        RouteKind::Other(kind) => RouteType::from(kind),
    };
    header.scope = match route {
        Route { kind: RouteKind::Unicast | RouteKind::Broadcast, via: None, .. } => RouteScope::Link,
        _ => RouteScope::Universe,
    };
    if route.onlink {
        header.flags = RouteFlags::Onlink;
    }
    let attributes = &mut message.attributes;
    match u8::try_from(route.table) {
        Ok(table) => header.table = table,
        Err(_) => attributes.push(RouteAttribute::Table(route.table)),
    }
    if !route.is_default() {
        attributes.push(RouteAttribute::Destination(RouteAddress::Inet(route.destination)));
    }
    attributes.extend(route.via.map(|via| RouteAttribute::Gateway(RouteAddress::Inet(via))));
    attributes.extend(route.index.map(RouteAttribute::Oif));
    attributes.extend(route.source.map(|source| RouteAttribute::PrefSource(RouteAddress::Inet(source))));
    if route.metric != 0 {
        attributes.push(RouteAttribute::Priority(route.metric));
    }
    attributes.extend(route.mtu.map(|mtu| RouteAttribute::Metrics(vec![RouteMetric::Mtu(mtu.into())])));
    message
}

/// What a route message says; none for a route with several next hops or another family.
pub(super) fn read(message: &RouteMessage) -> Option<Route> {
    let header = &message.header;
    if header.address_family != AddressFamily::Inet {
        return None;
    }
    let owner = Owner::from_number(header.protocol.into());
    let mut route = Route::to(owner, Ipv4Addr::UNSPECIFIED, 0);
    route.prefix_length = header.destination_prefix_length;
    route.table = header.table.into();
    route.onlink = header.flags.contains(RouteFlags::Onlink);
    route.kind = match header.kind {
        RouteType::Unicast => RouteKind::Unicast,
        RouteType::Unreachable => RouteKind::Unreachable,
        RouteType::Broadcast => RouteKind::Broadcast,
        kind => RouteKind::Other(kind.into()),
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(address)) => route.destination = *address,
            RouteAttribute::Gateway(RouteAddress::Inet(address)) => route.via = Some(*address),
            RouteAttribute::PrefSource(RouteAddress::Inet(address)) => route.source = Some(*address),
            RouteAttribute::Oif(index) => route.index = Some(*index),
            RouteAttribute::Priority(metric) => route.metric = *metric,
            RouteAttribute::Table(table) => route.table = *table,
            RouteAttribute::Metrics(metrics) => route.mtu = mtu_of(metrics),
            RouteAttribute::MultiPath(_) => return None,
            _ => {}
        }
    }
    Some(route)
}

fn mtu_of(metrics: &[RouteMetric]) -> Option<u16> {
    metrics.iter().find_map(|metric| match metric {
        RouteMetric::Mtu(mtu) => u16::try_from(*mtu).ok(),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let owner = Owner::MobileNode;
        for route in [
            Route::default_route(owner)
                .dev(3)
                .via(address("10.21.1.1"))
                .onlink()
                .source(address("10.11.1.50")),
            Route::to(owner, address("10.11.1.50"), 32).dev(7).mtu(1468),
            Route::to(owner, address("10.11.1.50"), 24).dev(2).table(434),
            Route::default_route(owner).table(434).unreachable(),
            Route::to(owner, address("10.11.1.255"), 32).dev(7).source(address("10.11.1.50")).broadcast(),
        ] {
            assert_eq!(read(&write(&route)), Some(route));
        }
    }

    #[test]
    fn the_destination_is_the_network() {
        let route = Route::to(Owner::MobileNode, address("10.11.1.50"), 24);
        assert_eq!(route.destination, address("10.11.1.0"));
        assert_eq!(Route::default_route(Owner::MobileNode).destination, address("0.0.0.0"));
    }

    #[test]
    fn owners_have_their_own_numbers() {
        for number in 0..=255 {
            assert_eq!(Owner::from_number(number).number(), number);
        }
    }
}
