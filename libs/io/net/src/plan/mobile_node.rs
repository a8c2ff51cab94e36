//! Mobile node: which way its packets take at home, through a foreign agent, and with an address of its own.
//!
//! The home address stands on the loopback interface, whatever link the node is on, and every packet that the
//! node sends of its own accord bears it. Until a way is known packets go into the tunnel, where they are
//! dropped without a word: applications see an outage, which they survive, and no error, which they may not.
//!
//! Away from home neither ARP nor anything else that the kernel sends of itself shows the home address
//! (RFC 5944 §4.6).

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
};

use sansio::LinkAddress;

use super::{MARK, TABLE_CARE_OF, accept_any_way, configure, keep_routes_without_carrier};
use crate::{
    error::Error,
    link::{Announcement, LinkSocket},
    netlink::{Address, Netlink, Owner, Route, Rule, Selector},
    sysctl,
};

/// Priority of the rule for marked packets.
const PRIORITY: u32 = 435;
/// Metric of the default route that is there to be seen; the halves do the work.
const VISIBLE: u32 = 1;
const OWNER: Owner = Owner::MobileNode;
/// The rule for marked packets.
const MARKED: Rule =
    Rule { selector: Selector::Mark(MARK), table: TABLE_CARE_OF, priority: PRIORITY, owner: OWNER };

/// Where a mobile node is at home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home {
    /// The home address; 0.0.0.0 as long as there is none, and then the node is away from home.
    pub address: Ipv4Addr,
    /// Bits of the home link's prefix.
    pub prefix_length: u8,
    /// The router of the home link, if it has one.
    pub gateway: Option<Ipv4Addr>,
}

impl Home {
    /// The broadcast address of the home link; none for prefixes of 31 and 32 bits, which have none.
    #[must_use]
    pub const fn broadcast(&self) -> Option<Ipv4Addr> {
        match self.prefix_length {
            0..31 => Some(Ipv4Addr::from_bits(self.address.to_bits() | (u32::MAX >> self.prefix_length))),
            _ => None,
        }
    }
}

/// An address that somebody gave the node on a visited link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CareOf {
    /// The co-located care-of address.
    pub address: Ipv4Addr,
    /// Bits of the link's prefix.
    pub prefix_length: u8,
    /// The router of the link, if it has one.
    pub gateway: Option<Ipv4Addr>,
}

/// A mobile node's host, prepared.
#[derive(Clone, Debug)]
pub struct MobileNode {
    netlink: Netlink,
    home: Home,
    /// Name and index of each interface.
    links: Vec<(String, u32)>,
    /// Index of the TUN device.
    tunnel: u32,
    /// What the neighbours at home are being told.
    told: Arc<Mutex<Option<Announcement>>>,
}

/// What a state consists of.
#[derive(Default)]
struct State {
    routes: Vec<Route>,
    rules: Vec<Rule>,
    /// The one neighbour with a fixed link address, on the interface with this index.
    neighbour: Option<(u32, Ipv4Addr, LinkAddress)>,
    /// The interface that answers ARP for the home address.
    answers: Option<u32>,
}

impl MobileNode {
    /// Prepares the host. Routes are left as they are: after a restart traffic goes on.
    ///
    /// # Errors
    /// The kernel refused, or one of the interfaces does not exist.
    pub async fn start(
        netlink: Netlink,
        interfaces: &[&str],
        device: &str,
        home: Home,
    ) -> Result<Self, Error> {
        accept_any_way(interfaces)?;
        accept_any_way(&[device])?;
        keep_routes_without_carrier(&[device])?;
        configure(&["all"], "accept_redirects", "0")?;
        configure(interfaces, "accept_redirects", "0")?;
        // Of these the larger of `all` and the interface's counts.
        configure(&["all"], "arp_ignore", "0")?;
        configure(&["all"], "arp_announce", "0")?;
        for interface in interfaces {
            // When the link changes the kernel would forget its neighbours and ask for them by ARP, with the home
            // address, on a link that we know nothing of yet. We forget them ourselves, with their routes.
            sysctl::set_if_present(&format!("net/ipv4/conf/{interface}/arp_evict_nocarrier"), "0")?;
        }
        let mut links = Vec::new();
        for name in interfaces {
            links.push(((*name).to_owned(), netlink.link(name).await?.index));
        }
        let tunnel = netlink.link(device).await?.index;
        let plan = Self { netlink, home, links, tunnel, told: Arc::default() };
        plan.place_home_address().await?;
        Ok(plan)
    }

    /// The home address is another one from now on. Routes stay as they are until the next of the methods below.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn set_home_address(&mut self, address: Ipv4Addr) -> Result<(), Error> {
        let before = std::mem::replace(&mut self.home.address, address);
        self.place_home_address().await?;
        if before != address && !before.is_unspecified() {
            let loopback = self.netlink.link("lo").await?;
            self.netlink.del_address(loopback.index, before, 32).await?;
        }
        Ok(())
    }

    /// No way is known: the node is silent, and its packets go nowhere.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn detached(&self) -> Result<(), Error> {
        let state = State { routes: self.everything(self.parked()), ..State::default() };
        self.settle(&state).await?;
        // Neighbours of the old link would fail one by one, each with an error for some application.
        for (_, index) in &self.links {
            self.netlink.flush_neighbours(*index).await?;
        }
        Ok(())
    }

    /// The node is on its home link: it speaks for itself. Call it before the deregistration is sent.
    ///
    /// # Errors
    /// The kernel refused, or the link is down.
    pub async fn home(&self, link: &LinkSocket) -> Result<(), Error> {
        let Home { address, prefix_length, gateway } = self.home;
        let index = link.index();
        let mut routes = vec![Route::to(OWNER, address, prefix_length).dev(index).source(address)];
        let default = Route::default_route(OWNER).dev(index).source(address);
        routes.extend(gateway.into_iter().flat_map(|gateway| self.everything(default.clone().via(gateway))));
        self.settle(&State { routes, answers: Some(index), ..State::default() }).await?;
        self.tell(Some(link.gratuitous_arp(address)?));
        Ok(())
    }

    /// Ends what the neighbours were told before, and goes on with this. Away from home nothing may be told.
    fn tell(&self, now: Option<Announcement>) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// The node is registered through a foreign agent, its only neighbour.
    ///
    /// # Errors
    /// The kernel refused, or the link is down.
    pub async fn via_foreign_agent(
        &self,
        interface: &str,
        agent: Ipv4Addr,
        agent_link: LinkAddress,
    ) -> Result<(), Error> {
        let index = self.index(interface)?;
        let mut routes = self.everything(self.via(agent, index));
        // What is for many would go to the link itself, from the home address (RFC 5944 §4.4). The agent takes it
        // only encapsulated (RFC 3024 §5.3): in the tunnel device it ends.
        let groups = [(Ipv4Addr::new(224, 0, 0, 0), 4), (Ipv4Addr::BROADCAST, 32)];
        for (destination, prefix_length) in
            groups.into_iter().chain(self.home.broadcast().map(|address| (address, 32)))
        {
            routes.push(Route { destination, prefix_length, ..self.parked() });
        }
        let neighbour = Some((index, agent, agent_link));
        self.settle(&State { routes, neighbour, ..State::default() }).await
    }

    /// The same with the encapsulating delivery style (RFC 3024 §5.2): packets go into the tunnel, whose other end
    /// is the agent, and sockets with [`super::MARK`] reach the agent. `mtu` is the largest packet for the tunnel.
    ///
    /// # Errors
    /// The kernel refused, or the link is down.
    pub async fn via_foreign_agent_encapsulating(
        &self,
        interface: &str,
        agent: Ipv4Addr,
        agent_link: LinkAddress,
        mtu: u16,
    ) -> Result<(), Error> {
        let index = self.index(interface)?;
        let way = self.via(agent, index).table(TABLE_CARE_OF);
        let mut routes = vec![Route::default_route(OWNER).table(TABLE_CARE_OF).unreachable(), way];
        routes.extend(self.tunnelled(mtu));
        let neighbour = Some((index, agent, agent_link));
        self.settle(&State { routes, rules: vec![MARKED], neighbour, ..State::default() }).await
    }

    /// The node has a care-of address of its own but no registration: sockets with [`super::MARK`] reach the
    /// network by it, all else waits.
    ///
    /// # Errors
    /// The kernel refused, or the link is down.
    pub async fn care_of(&self, interface: &str, care_of: &CareOf) -> Result<(), Error> {
        self.settle(&self.by_care_of(interface, care_of, self.everything(self.parked()))?).await
    }

    /// The node is registered with a care-of address of its own; `mtu` is the largest packet for the tunnel.
    ///
    /// # Errors
    /// The kernel refused, or the link is down.
    pub async fn co_located(&self, interface: &str, care_of: &CareOf, mtu: u16) -> Result<(), Error> {
        self.settle(&self.by_care_of(interface, care_of, self.tunnelled(mtu))?).await
    }

    /// The care-of address is gone, and with it the way.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn co_located_gone(&self) -> Result<(), Error> {
        self.detached().await
    }

    fn by_care_of(&self, interface: &str, care_of: &CareOf, all: Vec<Route>) -> Result<State, Error> {
        let index = self.index(interface)?;
        let mut routes = self.care_of_table(index, care_of);
        routes.extend(all);
        Ok(State { routes, rules: vec![MARKED], ..State::default() })
    }

    /// A default route through an agent on the link.
    fn via(&self, agent: Ipv4Addr, index: u32) -> Route {
        Route::default_route(OWNER).via(agent).dev(index).onlink().source(self.home.address)
    }

    /// Everything goes into the tunnel; broadcasts of the home link go in, and are taken when they come out.
    fn tunnelled(&self, mtu: u16) -> Vec<Route> {
        let mut routes = self.everything(self.parked().mtu(mtu));
        let Home { address, .. } = self.home;
        routes.extend(
            self.home.broadcast().map(|broadcast| {
                Route::to(OWNER, broadcast, 32).dev(self.tunnel).source(address).broadcast()
            }),
        );
        routes
    }

    /// The ways of marked packets: the link, its router, and nothing else.
    fn care_of_table(&self, index: u32, care_of: &CareOf) -> Vec<Route> {
        let CareOf { address, prefix_length, gateway } = *care_of;
        let default = Route::default_route(OWNER).table(TABLE_CARE_OF);
        let link = Route::to(OWNER, address, prefix_length).dev(index).source(address).table(TABLE_CARE_OF);
        let mut routes = vec![link, default.clone().unreachable()];
        routes.extend(gateway.map(|gateway| default.via(gateway).dev(index).onlink().source(address)));
        routes
    }

    /// A default route into the tunnel.
    fn parked(&self) -> Route {
        Route::default_route(OWNER).dev(self.tunnel).source(self.home.address)
    }

    /// Routes that take every packet as `default` would, whatever other default routes there are.
    ///
    /// The default route of an address configuration client often has metric 0, which none is below, and the
    /// client fails or takes our place if we have it too. Two halves of the address space are more specific than
    /// any default route and in nobody's way.
    fn everything(&self, default: Route) -> Vec<Route> {
        let half = |first: u8| Route {
            destination: Ipv4Addr::new(first, 0, 0, 0),
            prefix_length: 1,
            ..default.clone()
        };
        vec![half(0), half(128), default.clone().metric(VISIBLE)]
    }

    fn index(&self, interface: &str) -> Result<u32, Error> {
        let found = self.links.iter().find(|(name, _)| name == interface).map(|(_, index)| *index);
        found.ok_or_else(|| Error::NoInterface { name: interface.to_owned() })
    }

    async fn place_home_address(&self) -> Result<(), Error> {
        if self.home.address.is_unspecified() {
            return self.settle_arp(None);
        }
        let loopback = self.netlink.link("lo").await?;
        let wanted = Address { address: self.home.address, prefix_length: 32 };
        if self.netlink.addresses(loopback.index).await?.contains(&wanted) {
            return Ok(());
        }
        // Before the address is there, so that not one question is answered on a link that is not home.
        self.settle_arp(None)?;
        self.netlink.set_up(loopback.index).await?;
        self.netlink.add_address(loopback.index, wanted.address, wanted.prefix_length).await
    }

    async fn settle(&self, state: &State) -> Result<(), Error> {
        self.tell(None);
        self.settle_arp(state.answers)?;
        if let Some((index, address, link_address)) = state.neighbour {
            self.netlink.replace_neighbour(index, address, link_address).await?;
        }
        // Where marked packets go is known before any packet is marked to go there.
        self.netlink.settle_routes(OWNER, &state.routes).await?;
        self.netlink.settle_rules(OWNER, &state.rules).await?;
        for (_, index) in &self.links {
            let keep = state.neighbour.filter(|(at, _, _)| at == index).map(|(_, address, _)| address);
            self.netlink.release_neighbours(*index, keep.as_slice()).await?;
        }
        Ok(())
    }

    /// Answers ARP for the home address on one interface at most, and asks with it there only.
    fn settle_arp(&self, answers: Option<u32>) -> Result<(), Error> {
        for (name, index) in &self.links {
            let at_home = answers == Some(*index);
            configure(&[name], "arp_ignore", if at_home { "0" } else { "1" })?;
            configure(&[name], "arp_announce", if at_home { "0" } else { "2" })?;
        }
        Ok(())
    }
}
