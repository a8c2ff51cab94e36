//! Carries out what the core wants, in order, and brings it what happens.

use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    net::{Ipv4Addr, SocketAddrV4},
    pin::Pin,
};

use ::admin::{AgentRequest, EventLog, shown};
use daemon::reload::Reloads;
use forward::{Broadcasts, Entry, Peer, Side, Table};
use futures_util::future::select_all;
use mobility::{
    EventKind, Ticket,
    mobile_node::{CareOf, Delivery, Effect, MobileNode, Request, Route},
};
use net::{
    clock::Clock,
    drive::{Applied, Event, Shell},
    link::{Frame, LinkSocket},
    netlink::Change,
    plan::{self, MARK},
    tunnel, udp,
};
use record::MobileNodeState;
use sansio::{LinkId, Now, Transmit};
use tokio::sync::{mpsc, oneshot, watch};
use wire::mip::{PORT, Spi};

use crate::{
    admin::Publisher,
    config::Config,
    links::{Happened, Interfaces},
    state::Written,
};

/// Everything that a mobile node touches.
pub(crate) struct World {
    pub(crate) home: plan::mobile_node::Home,
    pub(crate) home_agent: Ipv4Addr,
    pub(crate) plan: plan::mobile_node::MobileNode,
    pub(crate) tunnel: tunnel::Tunnel,
    pub(crate) sockets: BTreeMap<LinkId, LinkSocket>,
    pub(crate) interfaces: Interfaces,
    pub(crate) changes: mpsc::Receiver<anyhow::Result<Happened>>,
    pub(crate) datagrams: net::intake::Receiver,
    pub(crate) asked: mpsc::Receiver<AgentRequest>,
    pub(crate) states: watch::Sender<(Ticket, MobileNodeState)>,
    pub(crate) written: mpsc::Receiver<Written>,
    pub(crate) events: EventLog,
    pub(crate) publisher: Publisher,
    pub(crate) reloads: Reloads<Config>,
    pub(crate) stop: Pin<Box<dyn Future<Output = ()>>>,
    pub(crate) now: Present,
}

/// What goes on at the moment.
#[derive(Default)]
pub(crate) struct Present {
    /// What the core has still to be told of the last change.
    requests: VecDeque<Request>,
    /// When the change happened that the core is just being told of, and to which interface.
    happened: Option<(Now, String)>,
    /// The way that packets take.
    route: Option<Route>,
    /// The kernel dropped routes when an address went: they have to be set again.
    repair: bool,
    /// The port at the home or care-of address.
    port: Option<udp::Port>,
    /// Port 434 at the care-of address, where the home agent revokes unless a NAT stands between.
    revocations: Option<udp::Port>,
    /// Who waits for a deregistration.
    waiting: Vec<oneshot::Sender<Result<(), String>>>,
    /// Who waits for a renewal.
    renewing: Vec<oneshot::Sender<Result<(), String>>>,
    /// Requests since the last answer of the home agent.
    unanswered: u32,
}

impl Shell<MobileNode> for World {
    type Error = anyhow::Error;

    async fn next(&mut self) -> anyhow::Result<Event<Request>> {
        if self.now.repair {
            // Dropped half way it is done again: every plan may be carried out twice.
            self.repair().await;
            self.now.repair = false;
        }
        loop {
            if let Some(request) = self.now.requests.pop_front() {
                return Ok(Event::Request(request));
            }
            self.now.happened = None;
            tokio::select! {
                biased;
                () = &mut self.stop => return Ok(Event::Stop),
                Some(happened) = self.changes.recv() => self.take(happened?),
                (link, frame) = frames(&self.sockets) => return Ok(Event::Link { link, frame: frame? }),
                Some((ticket, result)) = self.written.recv() => {
                    return Ok(Event::Request(Request::Persisted { ticket, result }));
                }
                Some(datagram) = self.datagrams.recv() => return Ok(Event::Udp(datagram)),
                Some(received) = received(self.now.revocations.as_ref()) => return Ok(Event::Udp(received)),
                preferences = self.reloads.next(Config::preferences) => {
                    return Ok(Event::Request(Request::Configure(Box::new(preferences))));
                }
                Some(asked) = self.asked.recv() => return Ok(Event::Request(self.operator(asked))),
            }
        }
    }

    async fn send(&mut self, transmit: Transmit) -> anyhow::Result<()> {
        let sent = match &transmit {
            Transmit::Link { link, to, packet } => self.sockets.get(link).map(|s| s.send(*to, packet)),
            Transmit::Udp { source, destination, payload } => {
                let mut ports = self.now.port.iter().chain(&self.now.revocations);
                let port = ports.find(|p| p.local() == *source);
                port.map(|p| p.send(*destination, payload))
            }
        };
        match sent {
            Some(Ok(())) => {}
            // The core asks again: a lost request is one that the network could have lost.
            Some(Err(error)) => tracing::warn!("a message was not sent and is sent again later: {error}"),
            None => tracing::warn!("a message was not sent and is sent again later: its socket is not open"),
        }
        Ok(())
    }

    async fn apply(&mut self, effect: Effect) -> anyhow::Result<Applied<Request>> {
        match effect {
            Effect::HomeAddress(address) => {
                self.home.address = address;
                if let Err(error) = self.plan.set_home_address(address).await {
                    return Ok(Applied::Refused(Request::RouteFailed { reason: format!("{error:#}") }));
                }
            }
            Effect::Route(route) => {
                self.now.route = Some(route);
                if let Err(error) = self.install(route).await {
                    return Ok(Applied::Refused(Request::RouteFailed { reason: format!("{error:#}") }));
                }
            }
            Effect::Persist { ticket, state } => {
                self.states.send_replace((ticket, state));
            }
            Effect::Notify(event) => self.notify(&event),
            Effect::Deregistered(result) => answer(&mut self.now.waiting, &result),
            Effect::Renewed(result) => answer(&mut self.now.renewing, &result),
        }
        Ok(Applied::Done)
    }

    fn settled(&mut self, core: &MobileNode) {
        self.reloads.applied();
        let counters = self.tunnel.counters();
        let counters = counters.entries().map(|(name, value)| (name.to_owned(), value));
        self.publisher.publish(core, counters, Clock.now());
    }
}

/// Tells all who wait.
fn answer(waiting: &mut Vec<oneshot::Sender<Result<(), String>>>, result: &Result<(), String>) {
    for waiting in waiting.drain(..) {
        // Whoever asked may have gone away meanwhile.
        let _ = waiting.send(result.clone());
    }
}

/// The next packet from any link.
async fn frames(sockets: &BTreeMap<LinkId, LinkSocket>) -> (LinkId, Result<Frame, net::Error>) {
    let all = sockets.iter().map(|(link, socket)| Box::pin(async move { (*link, socket.receive().await) }));
    select_all(all).await.0
}

/// What arrives at a port that may not be there; without one nothing ever does.
async fn received(port: Option<&udp::Port>) -> Option<udp::Received> {
    match port?.receive().await {
        Ok(received) => Some(received),
        Err(error) => {
            tracing::warn!("revocations do not reach us before the next move: {error}");
            // A port that broke tells nothing more.
            std::future::pending().await
        }
    }
}

impl World {
    /// What an operator asks of the core; he waits for its answer.
    fn operator(&mut self, asked: AgentRequest) -> Request {
        match asked {
            AgentRequest::Deregister(answer) => {
                self.now.waiting.push(answer);
                Request::Deregister
            }
            AgentRequest::Renew(index, answer) => {
                self.now.renewing.push(answer);
                Request::Renew(Spi(index))
            }
            AgentRequest::Delete(index, answer) => {
                self.now.waiting.push(answer);
                Request::Delete(Spi(index))
            }
            // The service asks it of home agents and foreign agents only; nobody has this index.
            AgentRequest::Revoke(_, answer) => {
                self.now.waiting.push(answer);
                Request::Delete(Spi(0))
            }
        }
    }

    fn take(&mut self, (change, now, address): Happened) {
        self.now.happened = Some((now, self.interfaces.name(change)));
        self.now.repair |= matches!(change, Change::AddressRemoved { .. });
        self.now.requests = self.interfaces.requests(change, address);
    }

    async fn repair(&mut self) {
        let Some(route) = self.now.route else { return };
        if let Err(error) = self.settle(route).await {
            tracing::debug!("routes not repaired, the core will change them: {error:#}");
        }
    }

    /// Opens the port, fills the tunnel's table and sets the routes.
    async fn install(&mut self, route: Route) -> anyhow::Result<()> {
        match route {
            Route::Home { port, .. } => self.open(SocketAddrV4::new(self.home.address, port), None)?,
            Route::CareOf { care_of, port, .. } | Route::CoLocated { care_of, port, .. } => {
                self.open(SocketAddrV4::new(care_of.address, port), Some(MARK))?;
            }
            Route::Detached | Route::ViaForeignAgent { .. } => {
                (self.now.port, self.now.revocations) = (None, None);
                self.tunnel.set_ports(Vec::new());
            }
        }
        // First the table: a packet that finds the new way finds its tunnel too.
        let mut table = Table::new(Side::Visited, []);
        table.set(self.home.address, &self.entries(route));
        self.tunnel.swap(match self.home.broadcast() {
            Some(broadcast) => table.with_broadcast(broadcast),
            None => table,
        });
        self.settle(route).await
    }

    /// The tunnel of our own that a way takes: to the home agent, or to a foreign agent that wants our packets
    /// encapsulated and brings broadcasts in a wrapping by the home agent.
    fn entry(&self, route: Route) -> Option<Entry> {
        let (peer, broadcasts) = match route {
            Route::CoLocated { peer, broadcasts, .. } => (peer, broadcasts.then_some(Broadcasts::Plain)),
            Route::ViaForeignAgent { agent, delivery: Delivery::Encapsulating, broadcasts, .. } => {
                let nested = Broadcasts::Nested { home_agent: self.home_agent };
                let peer = Peer::IpInIp { local: self.home.address, remote: agent };
                (peer, broadcasts.then_some(nested))
            }
            Route::Detached | Route::Home { .. } | Route::CareOf { .. } | Route::ViaForeignAgent { .. } => {
                return None;
            }
        };
        Some(Entry::new(self.home.address, peer).with_broadcasts(broadcasts.unwrap_or(Broadcasts::No)))
    }

    /// The tunnels of a route; the first is the one that is sent by.
    fn entries(&self, route: Route) -> Vec<Entry> {
        let previous = match route {
            Route::CoLocated { previous, .. } => previous,
            Route::Detached | Route::Home { .. } | Route::CareOf { .. } | Route::ViaForeignAgent { .. } => {
                None
            }
        };
        let previous = previous.map(|peer| Entry::new(self.home.address, peer));
        self.entry(route).into_iter().chain(previous).collect()
    }

    fn open(&mut self, local: SocketAddrV4, mark: Option<u32>) -> anyhow::Result<()> {
        if self.now.port.as_ref().is_some_and(|p| p.local() == local) {
            return Ok(());
        }
        // An address that goes at this moment is no failure: we are told so next.
        let port = udp::Port::open_freebind(local, mark)?;
        // Only with an address of our own, which is what the mark says.
        self.now.revocations = None;
        self.now.revocations = mark.and_then(|_| {
            let port = udp::Port::open_freebind(SocketAddrV4::new(*local.ip(), PORT), mark);
            port.inspect_err(|error| {
                tracing::warn!("revocations do not reach us before the next move: {error}");
            })
            .ok()
        });
        self.tunnel.set_ports(vec![port.clone()]);
        self.now.port = Some(port);
        Ok(())
    }

    async fn settle(&self, route: Route) -> anyhow::Result<()> {
        let socket = |link: &LinkId| {
            self.sockets.get(link).ok_or_else(|| anyhow::anyhow!("link {} has no interface", link.0))
        };
        match route {
            Route::Detached => self.plan.detached().await?,
            Route::Home { link, .. } => self.plan.home(socket(&link)?).await?,
            Route::CareOf { link, care_of, .. } => {
                self.plan.care_of(socket(&link)?.name(), &planned(care_of)).await?;
            }
            Route::ViaForeignAgent { link, agent, agent_link, .. } => {
                let name = socket(&link)?.name();
                match self.entry(route) {
                    None => self.plan.via_foreign_agent(name, agent, agent_link).await?,
                    Some(Entry { mtu, .. }) => {
                        self.plan.via_foreign_agent_encapsulating(name, agent, agent_link, mtu).await?;
                    }
                }
            }
            Route::CoLocated { link, care_of, peer, .. } => {
                let mtu = Entry::new(self.home.address, peer).mtu;
                self.plan.co_located(socket(&link)?.name(), &planned(care_of), mtu).await?;
            }
        }
        Ok(())
    }

    fn notify(&mut self, event: &mobility::Event) {
        use EventKind::{AddressAppeared, AddressGone, LinkDown, LinkUp};
        self.log(event);
        let told = match &self.now.happened {
            Some((then, interface))
                if matches!(event.kind, AddressAppeared | AddressGone | LinkDown | LinkUp) =>
            {
                // It is told later than it happened if routes were being changed meanwhile.
                let mut event = shown::event(event, *then);
                event.text.push_str(&format!(" ({interface})"));
                event
            }
            _ => shown::event(event, Clock.now()),
        };
        self.events.push(told);
    }

    fn log(&mut self, event: &mobility::Event) {
        let (word, trace) = (event.kind.word(), event.trace.map(tracing::field::display));
        match event.kind {
            EventKind::RequestSent => {
                self.now.unanswered += 1;
                if self.now.unanswered > 2 {
                    tracing::warn!(word, trace, "{}", event.text);
                } else {
                    tracing::debug!(word, trace, "{}", event.text);
                }
            }
            EventKind::Denied | EventKind::Discarded => tracing::warn!(word, trace, "{}", event.text),
            EventKind::RouteInstalled => tracing::debug!(word, trace, "{}", event.text),
            EventKind::LinkUp | EventKind::LinkDown | EventKind::AddressAppeared | EventKind::AddressGone => {
                let interface = self.now.happened.as_ref().map(|(_, name)| name.as_str());
                tracing::info!(word, trace, interface, "{}", event.text);
            }
            _ => tracing::info!(word, trace, "{}", event.text),
        }
        if matches!(event.kind, EventKind::Registered | EventKind::Deregistered | EventKind::LinkUp) {
            self.now.unanswered = 0;
        }
    }
}

const fn planned(care_of: CareOf) -> plan::mobile_node::CareOf {
    let CareOf { address, prefix_length, gateway } = care_of;
    plan::mobile_node::CareOf { address, prefix_length, gateway }
}
