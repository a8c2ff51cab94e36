//! Foreign agent: packets from the visited links go into the tunnel, those from the tunnel to the visitors
//! (RFC 5944 §3.7.2, RFC 3024 §4).

use std::net::Ipv4Addr;

use sansio::LinkAddress;

use super::{TABLE_VISITORS, configure_agent};
use crate::{
    error::Error,
    netlink::{Netlink, Owner, Route, Rule, Selector, TABLE_MAIN},
};

/// Priority of the rule for a visited link.
const PRIORITY_LINK: u32 = 434;
/// Priority of the rule for a visitor without reverse tunnel: before that of its link.
const PRIORITY_VISITOR: u32 = 433;

/// A mobile node on a visited link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitor {
    /// Its home address.
    pub home_address: Ipv4Addr,
    /// The name of the interface that it is at.
    pub interface: String,
    /// Its link address.
    pub link_address: LinkAddress,
    /// True if its packets go through the tunnel; otherwise they take the ordinary routes.
    pub reverse_tunnel: bool,
}

/// A foreign agent's host, prepared.
#[derive(Clone, Debug)]
pub struct ForeignAgent {
    netlink: Netlink,
    /// Name and index of each visited interface.
    links: Vec<(String, u32)>,
}

impl ForeignAgent {
    /// Prepares the host and makes routes, neighbours and rules exactly those of `visitors`. `mtu` is the largest
    /// packet for the tunnels in octets.
    ///
    /// # Errors
    /// The kernel refused, or one of the interfaces does not exist.
    pub async fn start(
        netlink: Netlink,
        visited_interfaces: &[&str],
        device: &str,
        mtu: u16,
        visitors: &[Visitor],
    ) -> Result<Self, Error> {
        configure_agent(visited_interfaces)?;
        configure_agent(&[device])?;
        let tunnel = netlink.link(device).await?.index;
        let mut links = Vec::new();
        for name in visited_interfaces {
            links.push(((*name).to_owned(), netlink.link(name).await?.index));
        }
        let plan = Self { netlink, links };
        // Neighbours before routes before rules: each step finds the next one's ground laid.
        for (name, index) in &plan.links {
            let here = visitors.iter().filter(|visitor| visitor.interface == *name);
            let mut addresses = Vec::new();
            for visitor in here {
                plan.netlink.replace_neighbour(*index, visitor.home_address, visitor.link_address).await?;
                addresses.push(visitor.home_address);
            }
            plan.netlink.release_neighbours(*index, &addresses).await?;
        }
        plan.netlink.settle_routes(Owner::ForeignAgent, &plan.routes(tunnel, mtu, visitors)?).await?;
        plan.netlink.settle_rules(Owner::ForeignAgent, &plan.rules(visitors)).await?;
        Ok(plan)
    }

    /// Lets a visitor in, or changes what is known of it.
    ///
    /// # Errors
    /// The kernel refused, or the interface is none of those given at the start.
    pub async fn visitor_add(&self, visitor: &Visitor) -> Result<(), Error> {
        let index = self.index(&visitor.interface)?;
        let home = visitor.home_address;
        self.netlink.replace_neighbour(index, home, visitor.link_address).await?;
        self.netlink.replace_route(&Self::route(home, index)).await?;
        for (name, other) in &self.links {
            if *other != index {
                self.netlink.del_neighbour(*other, home).await?;
            }
            let direct = Self::direct(home, name);
            if *other == index && !visitor.reverse_tunnel {
                self.netlink.add_rule(&direct).await?;
            } else {
                self.netlink.del_rule(&direct).await?;
            }
        }
        Ok(())
    }

    /// Forgets a visitor; no error if it is not known.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn visitor_remove(&self, home_address: Ipv4Addr) -> Result<(), Error> {
        for (name, index) in &self.links {
            self.netlink.del_route(&Self::route(home_address, *index)).await?;
            self.netlink.del_neighbour(*index, home_address).await?;
            self.netlink.del_rule(&Self::direct(home_address, name)).await?;
        }
        Ok(())
    }

    /// The name of a visited interface by its index.
    pub(crate) fn interface(&self, index: u32) -> Option<&str> {
        self.links.iter().find(|(_, known)| *known == index).map(|(name, _)| name.as_str())
    }

    fn index(&self, interface: &str) -> Result<u32, Error> {
        let found = self.links.iter().find(|(name, _)| name == interface).map(|(_, index)| *index);
        found.ok_or_else(|| Error::NoInterface { name: interface.to_owned() })
    }

    fn route(home_address: Ipv4Addr, index: u32) -> Route {
        Route::to(Owner::ForeignAgent, home_address, 32).dev(index)
    }

    fn routes(&self, tunnel: u32, mtu: u16, visitors: &[Visitor]) -> Result<Vec<Route>, Error> {
        let default = Route::default_route(Owner::ForeignAgent).table(TABLE_VISITORS);
        // Should the device ever be missing, nothing may fall through to the ordinary routes.
        let mut routes = vec![default.clone().unreachable(), default.dev(tunnel).mtu(mtu)];
        for visitor in visitors {
            routes.push(Self::route(visitor.home_address, self.index(&visitor.interface)?));
        }
        Ok(routes)
    }

    fn rules(&self, visitors: &[Visitor]) -> Vec<Rule> {
        let of_links = self.links.iter().map(|(name, _)| Rule {
            selector: Selector::Interface(name.clone()),
            table: TABLE_VISITORS,
            priority: PRIORITY_LINK,
            owner: Owner::ForeignAgent,
        });
        let direct = visitors.iter().filter(|visitor| !visitor.reverse_tunnel);
        let direct = direct.map(|visitor| Self::direct(visitor.home_address, &visitor.interface));
        of_links.chain(direct).collect()
    }

    /// The rule of a visitor whose packets take the ordinary routes.
    fn direct(home_address: Ipv4Addr, interface: &str) -> Rule {
        Rule {
            selector: Selector::HostOn(home_address, interface.to_owned()),
            table: TABLE_MAIN,
            priority: PRIORITY_VISITOR,
            owner: Owner::ForeignAgent,
        }
    }
}
