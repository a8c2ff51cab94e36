//! Home agent: packets for bound home addresses come here and go into the tunnel (RFC 5944 §4.2, §4.6).

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sansio::LinkAddress;

use super::configure_agent;
use crate::{
    error::Error,
    link::{Announcement, LinkSocket},
    netlink::{Netlink, Owner, Route},
    sysctl,
};

/// A home address whose packets we catch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The home address.
    pub home_address: Ipv4Addr,
    /// The largest packet for all its tunnels in octets, as in the tunnels' entries.
    pub mtu: u16,
}

/// A home agent's host, prepared.
#[derive(Clone, Debug)]
pub struct HomeAgent {
    netlink: Netlink,
    /// Index of the interface on the home link.
    home: u32,
    /// Index of the TUN device.
    tunnel: u32,
    /// The home addresses that are caught, with the largest packet of each, and what the neighbours were told last.
    caught: Arc<Mutex<BTreeMap<Ipv4Addr, Caught>>>,
    /// What the neighbours are being told of mobile nodes that are back.
    returned: Arc<Mutex<BTreeMap<Ipv4Addr, Announcement>>>,
}

/// A home address that is caught.
#[derive(Debug)]
struct Caught {
    mtu: u16,
    /// Its repetitions end with it; none after a restart.
    _told: Option<Announcement>,
}

impl HomeAgent {
    /// Prepares the host and makes routes and ARP proxies exactly those of `bindings`. No ARP is sent: after a
    /// restart the neighbours know us still.
    ///
    /// # Errors
    /// The kernel refused, or one of the interfaces does not exist.
    pub async fn start(
        netlink: Netlink,
        home_interface: &str,
        device: &str,
        bindings: &[Binding],
    ) -> Result<Self, Error> {
        configure_agent(&[home_interface, device])?;
        // By default a proxy waits for most of a second whether the owner answers himself.
        sysctl::set(&format!("net/ipv4/neigh/{home_interface}/proxy_delay"), "0")?;
        let home = netlink.link(home_interface).await?.index;
        let tunnel = netlink.link(device).await?.index;
        let caught = bindings.iter().map(|b| (b.home_address, Caught { mtu: b.mtu, _told: None })).collect();
        let (caught, returned) = (Arc::new(Mutex::new(caught)), Arc::default());
        let plan = Self { netlink, home, tunnel, caught, returned };
        let routes: Vec<Route> = bindings.iter().map(|binding| plan.route(binding)).collect();
        plan.netlink.settle_routes(Owner::HomeAgent, &routes).await?;
        plan.settle_proxies(bindings).await?;
        Ok(plan)
    }

    /// Catches the packets of a home address. The neighbours on the home link learn at once. Nothing is done for one
    /// that is caught already, with the same largest packet: a mobile node that goes from one visited network to the
    /// next changes nothing at home. Of one with another largest packet only the route is another one.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn bind(&self, link: &LinkSocket, binding: &Binding) -> Result<(), Error> {
        let Binding { home_address, mtu } = *binding;
        let caught = locked(&self.caught).get(&home_address).map(|caught| caught.mtu);
        if caught == Some(mtu) {
            return Ok(());
        }
        if caught.is_some() {
            self.netlink.replace_route(&self.route(binding)).await?;
            if let Some(caught) = locked(&self.caught).get_mut(&home_address) {
                caught.mtu = mtu;
            }
            return Ok(());
        }
        drop(locked(&self.returned).remove(&home_address));
        // A proxy answers only for what is routed elsewhere: the route comes first.
        self.netlink.replace_route(&self.route(binding)).await?;
        self.netlink.add_proxy(self.home, home_address).await?;
        let told = Some(link.gratuitous_arp(home_address)?);
        locked(&self.caught).insert(home_address, Caught { mtu, _told: told });
        Ok(())
    }

    /// Lets a home address go; call it before the reply is sent, which would go into the tunnel.
    ///
    /// `returned` is the link address of the mobile node if it is on the home link again: the neighbours are told
    /// in its name (RFC 5944 §4.6). Without it nothing is sent.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn unbind(
        &self,
        link: &LinkSocket,
        home_address: Ipv4Addr,
        returned: Option<LinkAddress>,
    ) -> Result<(), Error> {
        locked(&self.caught).remove(&home_address);
        self.netlink.del_proxy(self.home, home_address).await?;
        self.netlink.del_route(&Route::to(Owner::HomeAgent, home_address, 32).dev(self.tunnel)).await?;
        if let Some(owner) = returned {
            // Our own reply need not ask for what the request said.
            self.netlink.learn_neighbour(self.home, home_address, owner).await?;
            let told = link.gratuitous_arp_for(home_address, owner)?;
            let mut returned = locked(&self.returned);
            returned.retain(|_, told| !told.is_over());
            returned.insert(home_address, told);
        }
        Ok(())
    }

    fn route(&self, binding: &Binding) -> Route {
        Route::to(Owner::HomeAgent, binding.home_address, 32).dev(self.tunnel).mtu(binding.mtu)
    }

    async fn settle_proxies(&self, bindings: &[Binding]) -> Result<(), Error> {
        let present: BTreeSet<_> = self.netlink.proxies(self.home).await?.into_iter().collect();
        for binding in bindings {
            if !present.contains(&binding.home_address) {
                self.netlink.add_proxy(self.home, binding.home_address).await?;
            }
        }
        let caught: BTreeSet<_> = bindings.iter().map(|binding| binding.home_address).collect();
        for address in present {
            if !caught.contains(&address) {
                self.netlink.del_proxy(self.home, address).await?;
            }
        }
        Ok(())
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
