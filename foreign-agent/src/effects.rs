//! Carries out what the core wants, in order, and brings it what happens.

use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    io::{Error, ErrorKind},
    net::Ipv4Addr,
    pin::Pin,
};

use ::admin::{AgentRequest, EventLog};
use daemon::{beside::beside, reload::Reloads};
use forward::{Delivery, Entry, Peer, Station};
use futures_util::{
    FutureExt as _, StreamExt as _,
    future::select_all,
    stream::{FuturesOrdered, FuturesUnordered},
};
use keystore::Store;
use mobility::{
    Ticket,
    foreign_agent::{Effect, ForeignAgent, Request, TunnelChange, Unreachable, VisitorTunnel},
};
use net::{
    clock::Clock,
    deliveries::Deliveries,
    drive::{Applied, Event, Shell},
    link::{Frame, LinkSocket},
    netlink::{Change, Watch},
    plan, tunnel, udp,
};
use record::Tunnel;
use sansio::{LinkId, Transmit};
use tokio::sync::{mpsc, oneshot};
use wire::mip::Spi;

use crate::{admin::Publisher, config::Config};

/// Everything that a foreign agent touches.
pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) visited: Visited,
    pub(crate) links: Vec<LinkSocket>,
    pub(crate) port: udp::Port,
    /// Registrations are taken from the link: these keep the kernel from refusing them.
    #[expect(dead_code, reason = "held, not used")]
    pub(crate) silent: Vec<udp::Silent>,
    pub(crate) changes: Watch,
    pub(crate) datagrams: net::intake::Receiver,
    pub(crate) asked: mpsc::Receiver<AgentRequest>,
    /// Operators that wait for an answer.
    pub(crate) waiting: BTreeMap<Ticket, oneshot::Sender<Result<(), String>>>,
    pub(crate) last_asked: Ticket,
    /// What ICMP says about relayed requests.
    pub(crate) refusals: mpsc::Receiver<tunnel::Refusal>,
    pub(crate) events: EventLog,
    pub(crate) publisher: Publisher,
    pub(crate) reloads: Reloads<Config>,
    pub(crate) stop: Pin<Box<dyn Future<Output = ()>>>,
    /// Commits are answered in the order they were asked.
    pub(crate) commits: FuturesOrdered<Pin<Box<dyn Future<Output = Request>>>>,
    /// Exchanges that are worked at, answered as they are done.
    pub(crate) exchanges: FuturesUnordered<Pin<Box<dyn Future<Output = Request>>>>,
    /// What sending found out about home agents.
    pub(crate) troubles: VecDeque<Request>,
    /// How visitors are reached, and the tunnel.
    pub(crate) deliveries: Deliveries,
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
            self.deliveries.settle().await;
            let change = tokio::select! {
                () = &mut self.stop => return Ok(Event::Stop),
                Some(request) = self.commits.next(), if !self.commits.is_empty() => {
                    return Ok(Event::Request(request));
                }
                Some(request) = self.exchanges.next(), if !self.exchanges.is_empty() => {
                    return Ok(Event::Request(request));
                }
                Some(datagram) = self.datagrams.recv() => return Ok(Event::Udp(datagram)),
                Some(asked) = self.asked.recv() => return Ok(Event::Request(self.operator(asked))),
                config = self.reloads.next(Config::core) => {
                    return Ok(Event::Request(Request::Configure(Box::new(config))));
                }
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
                () = self.deliveries.retry() => continue,
            };
            self.link_changed(change);
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
                    tracing::warn!("a request was not relayed, its mobile node is told: {error}");
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
            Effect::Exchange { ticket, exchanges } => {
                self.exchanges.push(Box::pin(async move {
                    let results = beside(move || exchanges.finish()).await;
                    Request::Exchanged { ticket, results }
                }));
            }
            Effect::Answered { ticket, result } => {
                if let Some(waiting) = self.waiting.remove(&ticket) {
                    // Whoever asked may have gone away meanwhile.
                    let _ = waiting.send(result);
                }
            }
            Effect::Tunnel(change) => self.change_tunnel(change).await,
            Effect::Notify(event) => self.notify(event),
        }
        Ok(Applied::Done)
    }

    fn settled(&mut self, core: &ForeignAgent) {
        self.reloads.applied();
        let counters = self.deliveries.tunnel().counters();
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
    /// What an operator asks of the core; he waits for its answer.
    fn operator(&mut self, asked: AgentRequest) -> Request {
        self.last_asked.0 += 1;
        let ticket = self.last_asked;
        let (request, answer) = match asked {
            AgentRequest::Revoke(home_address, answer) => {
                (Request::RevokeVisitor { home_address, ticket }, answer)
            }
            AgentRequest::Renew(index, answer) => {
                (Request::RenewAssociation { index: Spi(index), ticket }, answer)
            }
            AgentRequest::Delete(index, answer) => {
                (Request::DeleteAssociation { index: Spi(index), ticket }, answer)
            }
            // The service asks it of mobile nodes only; an index that nobody has is refused with a reason.
            AgentRequest::Deregister(answer) => {
                (Request::DeleteAssociation { index: Spi(0), ticket }, answer)
            }
        };
        self.waiting.insert(ticket, answer);
        request
    }

    async fn change_tunnel(&mut self, change: TunnelChange) {
        match change {
            TunnelChange::VisitorAdded(visitor) => {
                tracing::debug!(home_address = %visitor.home_address, home_agent = %visitor.home_agent, "visitor");
                if let Some((delivery, entry)) = self.visited.visitor(&visitor) {
                    self.deliveries.add(delivery, entry).await;
                }
            }
            TunnelChange::VisitorRemoved { home_address } => {
                tracing::debug!(%home_address, "visitor gone");
                self.deliveries.remove(home_address).await;
            }
        }
    }

    fn link_changed(&mut self, change: Change) {
        if let Change::LinkDown { index } = change
            && let Some(link) = self.links.iter().find(|link| link.index() == index)
        {
            tracing::warn!("{} is down: its visitors cannot be reached", link.name());
        }
        self.deliveries.interface_changed(change);
    }

    fn notify(&self, event: mobility::Event) {
        use mobility::EventKind::{Denied, Discarded, RenewalAsked, VisitorAdded, VisitorRemoved};
        let (word, trace) = (event.kind.word(), event.trace.map(tracing::field::display));
        match event.kind {
            VisitorAdded | VisitorRemoved => tracing::info!(word, trace, "{}", event.text),
            Denied | Discarded | RenewalAsked => tracing::warn!(word, trace, "{}", event.text),
            _ => tracing::debug!(word, trace, "{}", event.text),
        }
        self.events.tell(event, self.clock.now());
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

/// The visited links, in the order of their numbers: name and index of the interface, and our address there.
#[derive(Default)]
pub(crate) struct Visited(pub(crate) Vec<(String, u32, Ipv4Addr)>);

impl Visited {
    /// The way to a visitor on its link, and its tunnel; `None` if the link has no number here.
    pub(crate) fn visitor(&self, visitor: &VisitorTunnel) -> Option<(plan::foreign_agent::Visitor, Entry)> {
        let (interface, index, agent) = self.0.get(visitor.link.0 as usize)?;
        let delivery = plan::foreign_agent::Visitor {
            home_address: visitor.home_address,
            interface: interface.clone(),
            link_address: visitor.link_address,
            // What is not handed over encapsulated takes the ordinary routes then (RFC 3024 section 5.2.1).
            reverse_tunnel: visitor.reverse_tunnel && !visitor.encapsulating_delivery,
        };
        let local = visitor.care_of;
        let peer = match visitor.tunnel {
            Tunnel::IpInIp(remote) => Peer::IpInIp { local, remote },
            Tunnel::Minimal(remote) => Peer::Minimal { local, remote },
            Tunnel::Gre(remote) => Peer::Gre { local, remote },
            Tunnel::Udp(remote) => Peer::Udp { remote },
        };
        let entry = Entry::new(visitor.home_address, peer);
        let station = Station { interface: *index, link_address: visitor.link_address };
        let entry = if visitor.encapsulating_delivery {
            entry.with_delivery(Delivery { station, agent: *agent })
        } else {
            entry
        };
        Some((delivery, entry))
    }
}
