//! Carries out what the core wants, in order, and brings it what happens.

use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    io::{Error, ErrorKind},
    net::Ipv4Addr,
    pin::Pin,
};

use ::admin::{EventLog, shown};
use forward::{Entry, Peer, Table};
use futures_util::{FutureExt as _, StreamExt as _, future::select_all, stream::FuturesOrdered};
use keystore::Store;
use mobility::foreign_agent::{Effect, ForeignAgent, Request, TunnelChange, Unreachable, VisitorTunnel};
use net::{
    clock::Clock,
    drive::{Applied, Event, Shell},
    link::{Frame, LinkSocket},
    netlink::{Change, Watch},
    plan, tunnel, udp,
};
use record::Tunnel;
use sansio::{LinkId, Transmit};
use tokio::sync::mpsc;

use crate::admin::Publisher;

/// Everything that a foreign agent touches.
pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    /// Names of the visited interfaces, by number of the link.
    pub(crate) interfaces: Vec<String>,
    pub(crate) links: Vec<LinkSocket>,
    pub(crate) port: udp::Port,
    /// Registrations are taken from the link: these keep the kernel from refusing them.
    #[expect(dead_code, reason = "held, not used")]
    pub(crate) silent: Vec<udp::Silent>,
    pub(crate) plan: plan::ForeignAgent,
    pub(crate) changes: Watch,
    pub(crate) tunnel: tunnel::Tunnel,
    pub(crate) table: Table,
    pub(crate) datagrams: mpsc::Receiver<udp::Received>,
    /// What ICMP says about relayed requests.
    pub(crate) refusals: mpsc::Receiver<tunnel::Refusal>,
    pub(crate) events: EventLog,
    pub(crate) publisher: Publisher,
    pub(crate) stop: Pin<Box<dyn Future<Output = ()>>>,
    /// Commits are answered in the order they were asked.
    pub(crate) commits: FuturesOrdered<Pin<Box<dyn Future<Output = Request>>>>,
    /// What sending found out about home agents.
    pub(crate) troubles: VecDeque<Request>,
    /// How visitors are reached, to be said again when an interface was away.
    pub(crate) deliveries: BTreeMap<Ipv4Addr, plan::foreign_agent::Visitor>,
    /// Which link is asked first next time, so that none starves the others.
    pub(crate) turn: usize,
}

impl Shell<ForeignAgent> for World {
    type Error = anyhow::Error;

    async fn next(&mut self) -> anyhow::Result<Event<Request>> {
        loop {
            if let Some(request) = self.troubles.pop_front() {
                return Ok(Event::Request(request));
            }
            let change = tokio::select! {
                () = &mut self.stop => return Ok(Event::Stop),
                Some(request) = self.commits.next(), if !self.commits.is_empty() => {
                    return Ok(Event::Request(request));
                }
                Some(datagram) = self.datagrams.recv() => return Ok(Event::Udp(datagram)),
                Some(refusal) = self.refusals.recv() => {
                    let kind = unreachable(Some(refusal.kind));
                    let home_agent = refusal.destination;
                    return Ok(Event::Request(Request::Unreachable { home_agent, kind }));
                }
                heard = hear(&self.links, self.turn) => {
                    let (link, frame) = heard?;
                    self.turn = self.turn.wrapping_add(1);
                    return Ok(Event::Link { link, frame });
                }
                change = self.changes.next() => change?,
            };
            self.link_changed(change).await;
        }
    }

    async fn send(&mut self, transmit: Transmit) -> anyhow::Result<()> {
        match transmit {
            Transmit::Link { link, to, packet } => {
                // What is lost here is what the link could have lost, while its cable is out for example.
                if let Some(socket) = self.links.get(link.0 as usize)
                    && let Err(error) = socket.send(to, &packet)
                {
                    tracing::debug!("not sent: {error}");
                }
            }
            Transmit::Udp { destination, payload, .. } => {
                if let Err(error) = self.port.send(destination, &payload) {
                    tracing::warn!("a request was not relayed: {error}");
                    let kind = error.errno().map(|number| Error::from_raw_os_error(number).kind());
                    let kind = unreachable(kind);
                    self.troubles.push_back(Request::Unreachable { home_agent: *destination.ip(), kind });
                }
            }
        }
        Ok(())
    }

    async fn apply(&mut self, effect: Effect) -> anyhow::Result<Applied<Request>> {
        match effect {
            Effect::Persist { ticket, changes } => {
                // Queued here, so that commits keep the order of the effects.
                let commit = self.store.commit(changes);
                self.commits
                    .push_back(Box::pin(async move { Request::Persisted { ticket, result: commit.await } }));
            }
            Effect::Tunnel(change) => self.change_tunnel(change).await,
            Effect::Notify(event) => self.notify(&event),
        }
        Ok(Applied::Done)
    }

    fn settled(&mut self, core: &ForeignAgent) {
        let counters = self.tunnel.counters();
        let counters = counters.entries().map(|(name, value)| (name.to_owned(), value)).collect();
        self.publisher.publish(core, counters, self.clock.now());
    }
}

/// The next packet from any of the links, asking the one with number `first` (modulo their count) first.
async fn hear(links: &[LinkSocket], first: usize) -> Result<(LinkId, Frame), net::Error> {
    let count = links.len().max(1);
    let order = (0..links.len()).map(|n| (first.wrapping_add(n)) % count);
    let waiting = order.map(|n| {
        let number = u32::try_from(n).unwrap_or(u32::MAX);
        async move { Ok((LinkId(number), links[n].receive().await?)) }.boxed_local()
    });
    select_all(waiting).await.0
}

impl World {
    async fn change_tunnel(&mut self, change: TunnelChange) {
        let done = match change {
            TunnelChange::VisitorAdded(visitor) => {
                tracing::debug!(home_address = %visitor.home_address, home_agent = %visitor.home_agent, "visitor");
                let Some(delivery) = delivery(&self.interfaces, &visitor) else {
                    return;
                };
                let done = self.plan.visitor_add(&delivery).await;
                self.deliveries.insert(visitor.home_address, delivery);
                // Only now: what comes out of the tunnel before the route stands would leave by the default route,
                // with the home address in the open.
                self.table.insert(entry(&visitor));
                self.tunnel.swap(self.table.clone());
                done
            }
            TunnelChange::VisitorRemoved { home_address } => {
                tracing::debug!(%home_address, "visitor gone");
                // The other way round, for the same reason.
                self.table.remove(home_address);
                self.tunnel.swap(self.table.clone());
                self.deliveries.remove(&home_address);
                self.plan.visitor_remove(home_address).await
            }
        };
        if let Err(error) = done {
            tracing::error!("a visitor's packets may not flow: {error}");
        }
    }

    /// The kernel forgets routes and neighbours of an interface that goes down or loses its address.
    async fn link_changed(&mut self, change: Change) {
        let index = match change {
            Change::LinkUp { index } | Change::AddressAdded { index, .. } => index,
            Change::LinkDown { index } => {
                if let Some(link) = self.links.iter().find(|link| link.index() == index) {
                    tracing::warn!("{} is down: its visitors cannot be reached", link.name());
                }
                return;
            }
            Change::AddressRemoved { .. } | Change::GatewayChanged { .. } => return,
        };
        let Some(link) = self.links.iter().find(|link| link.index() == index) else {
            return;
        };
        for delivery in self.deliveries.values().filter(|d| d.interface == link.name()) {
            if let Err(error) = self.plan.visitor_add(delivery).await {
                tracing::error!("a visitor's packets may not flow: {error}");
            }
        }
    }

    fn notify(&self, event: &mobility::Event) {
        use mobility::EventKind::{Denied, Discarded, VisitorAdded, VisitorRemoved};
        let word = event.kind.word();
        match event.kind {
            VisitorAdded | VisitorRemoved => tracing::info!(word, "{}", event.text),
            Denied | Discarded => tracing::warn!(word, "{}", event.text),
            _ => tracing::debug!(word, "{}", event.text),
        }
        self.events.push(shown::event(event, self.clock.now()));
    }
}

/// What a refused send, or ICMP, says of the way to a home agent.
const fn unreachable(kind: Option<ErrorKind>) -> Unreachable {
    match kind {
        Some(ErrorKind::NetworkUnreachable) => Unreachable::Network,
        Some(ErrorKind::HostUnreachable) => Unreachable::Host,
        Some(ErrorKind::ConnectionRefused) => Unreachable::Port,
        _ => Unreachable::Other,
    }
}

/// The tunnel of a visitor as the packet path needs it.
pub(crate) const fn entry(visitor: &VisitorTunnel) -> Entry {
    let local = visitor.care_of;
    let peer = match visitor.tunnel {
        Tunnel::IpInIp(remote) => Peer::IpInIp { local, remote },
        Tunnel::Minimal(remote) => Peer::Minimal { local, remote },
        Tunnel::Gre(remote) => Peer::Gre { local, remote },
        Tunnel::Udp(remote) => Peer::Udp { remote },
    };
    Entry::new(visitor.home_address, peer)
}

/// The way to a visitor on its link; `None` if the link has no number here.
pub(crate) fn delivery(
    interfaces: &[String],
    visitor: &VisitorTunnel,
) -> Option<plan::foreign_agent::Visitor> {
    Some(plan::foreign_agent::Visitor {
        home_address: visitor.home_address,
        interface: interfaces.get(visitor.link.0 as usize)?.clone(),
        link_address: visitor.link_address,
        reverse_tunnel: visitor.reverse_tunnel,
    })
}
