//! The visitors of a foreign agent on its host: a tunnel is open to a visitor only while its way on the link stands.
//!
//! What came out of a tunnel without such a way would leave by the host's default route, with the home address for
//! everybody to see. So the route comes first and the table second, and the other way round when a visitor goes. A
//! way that cannot be made is tried again every second, and when something happened to its interface: the kernel
//! forgets routes and neighbours of an interface that goes down or loses its addresses.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    time::Duration,
};

use forward::{Entry, Side, Table};
use tokio::time::Instant;

use crate::{
    netlink::Change,
    plan::{ForeignAgent, foreign_agent::Visitor},
    tunnel::Tunnel,
};

/// Before a way that could not be made is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// All visitors, and the tunnel that they share.
pub struct Deliveries {
    plan: ForeignAgent,
    tunnel: Tunnel,
    table: Table,
    visitors: BTreeMap<Ipv4Addr, (Visitor, Entry)>,
    /// Their ways are to be made, again or for the first time.
    due: BTreeSet<Ipv4Addr>,
    /// The same, but it failed: not before [`Self::retry`].
    failed: BTreeSet<Ipv4Addr>,
    retry: Option<Instant>,
    /// What is wrong with these has been logged.
    reported: BTreeSet<Ipv4Addr>,
}

impl Deliveries {
    /// Opens the tunnel, whose table is still empty, to the `visitors` with which `plan` was started.
    #[must_use]
    pub fn new(plan: ForeignAgent, tunnel: Tunnel, visitors: Vec<(Visitor, Entry)>) -> Self {
        let table = Table::new(Side::Visited, visitors.iter().map(|(_, entry)| *entry));
        tunnel.swap(table.clone());
        let visitors = visitors.into_iter().map(|both| (both.0.home_address, both)).collect();
        let [due, failed, reported] = [const { BTreeSet::new() }; 3];
        Self { plan, tunnel, table, visitors, due, failed, retry: None, reported }
    }

    /// The tunnel that all visitors share.
    #[must_use]
    pub const fn tunnel(&self) -> &Tunnel {
        &self.tunnel
    }

    /// True while the tunnel is open to this visitor.
    #[must_use]
    pub fn is_open(&self, home_address: Ipv4Addr) -> bool {
        self.table.find(home_address).is_some()
    }

    /// Lets a visitor in, or changes what is known of it. If its way cannot be made, that is logged once and tried
    /// again.
    pub async fn add(&mut self, visitor: Visitor, entry: Entry) {
        let home_address = visitor.home_address;
        self.visitors.insert(home_address, (visitor, entry));
        self.due.insert(home_address);
        self.settle().await;
    }

    /// Forgets a visitor.
    pub async fn remove(&mut self, home_address: Ipv4Addr) {
        self.close(home_address);
        self.visitors.remove(&home_address);
        self.due.remove(&home_address);
        self.failed.remove(&home_address);
        self.reported.remove(&home_address);
        if let Err(error) = self.plan.visitor_remove(home_address).await {
            tracing::error!("what led to a visitor may still stand: {error}");
        }
    }

    /// Something happened to an interface: what it means for the visitors there is done by [`Self::settle`].
    pub fn interface_changed(&mut self, change: Change) {
        let (index, lost) = match change {
            Change::LinkUp { index } | Change::AddressAdded { index, .. } => (index, false),
            Change::LinkDown { index } | Change::AddressRemoved { index, .. } => (index, true),
            Change::GatewayChanged { .. } => return,
        };
        let Some(name) = self.plan.interface(index) else {
            return;
        };
        let here = self.visitors.values().filter(|(visitor, _)| visitor.interface == name);
        let here: Vec<Ipv4Addr> = here.map(|(visitor, _)| visitor.home_address).collect();
        for home_address in here {
            if lost {
                self.close(home_address);
            }
            self.failed.remove(&home_address);
            self.due.insert(home_address);
        }
    }

    /// Makes all ways that are due. Dropped before its end, it is called again.
    pub async fn settle(&mut self) {
        while let Some(home_address) = self.due.first().copied() {
            if let Some((visitor, entry)) = self.visitors.get(&home_address) {
                match self.plan.visitor_add(visitor).await {
                    Ok(()) => {
                        self.table.insert(*entry);
                        self.tunnel.swap(self.table.clone());
                        self.reported.remove(&home_address);
                    }
                    Err(error) => {
                        self.close(home_address);
                        self.failed.insert(home_address);
                        if self.reported.insert(home_address) {
                            tracing::error!("a visitor's packets cannot flow, trying again: {error}");
                        }
                    }
                }
            }
            self.due.remove(&home_address);
        }
        if !self.failed.is_empty() {
            self.retry.get_or_insert_with(|| Instant::now() + RETRY);
        }
    }

    /// Waits until ways that failed are due again: for ever if there are none.
    pub async fn retry(&mut self) {
        match self.retry {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
        self.retry = None;
        self.due.append(&mut self.failed);
    }

    /// Nothing comes out of the tunnel for this visitor any more.
    fn close(&mut self, home_address: Ipv4Addr) {
        if self.table.remove(home_address).is_some() {
            self.tunnel.swap(self.table.clone());
        }
    }
}
