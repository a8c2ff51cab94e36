//! Carries out what the core wants, in order, and brings it what happens.

use std::{
    collections::BTreeMap,
    future::Future,
    net::{Ipv4Addr, SocketAddrV4},
    pin::Pin,
};

use ::admin::{AgentRequest, EventLog, Look};
use daemon::{beside, reload::Reloads};
use forward::{Broadcasts, Entry, Peer, Table};
use futures_util::{
    StreamExt as _,
    stream::{FuturesOrdered, FuturesUnordered},
};
use keystore::Store;
use mobility::{
    Ticket,
    home_agent::{BoundTunnel, Effect, Exchanged, Exchanges, HomeAgent, Request, Served, TunnelChange},
};
use net::{
    clock::Clock,
    drive::{Applied, Event, Shell},
    link::LinkSocket,
    plan, tunnel, udp,
};
use record::Tunnel;
use sansio::Transmit;
use tokio::sync::{mpsc, oneshot};
use wire::mip::Spi;

use crate::{
    admin::Publisher,
    config::{Config, HOME_LINK},
    kdc::line::Line,
};

type Answer = Pin<Box<dyn Future<Output = Request>>>;

/// Everything that a home agent touches.
pub(crate) struct World {
    pub(crate) address: Ipv4Addr,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) line: Line,
    pub(crate) port: udp::Port,
    pub(crate) link: LinkSocket,
    pub(crate) plan: plan::home_agent::HomeAgent,
    pub(crate) tunnel: tunnel::Tunnel,
    pub(crate) table: Table,
    /// The table is not yet what packets go by.
    pub(crate) table_changed: bool,
    /// Messages that wait for what was done before them.
    pub(crate) outgoing: Vec<(SocketAddrV4, Vec<u8>)>,
    pub(crate) datagrams: net::intake::Receiver,
    pub(crate) requests: mpsc::Receiver<Request>,
    /// What went through tunnels for long enough.
    pub(crate) crossings: tunnel::Crossings,
    pub(crate) acknowledge: mpsc::UnboundedSender<u64>,
    pub(crate) asked: mpsc::Receiver<AgentRequest>,
    pub(crate) looks: mpsc::Receiver<Look>,
    /// Operators that wait for an answer.
    pub(crate) waiting: BTreeMap<Ticket, oneshot::Sender<Result<(), String>>>,
    pub(crate) last_asked: Ticket,
    pub(crate) events: EventLog,
    pub(crate) publisher: Publisher,
    pub(crate) reloads: Reloads<Config>,
    pub(crate) stop: Pin<Box<dyn Future<Output = ()>>>,
    /// Commits are answered in the order they were asked.
    pub(crate) commits: FuturesOrdered<Answer>,
    pub(crate) reads: FuturesUnordered<Answer>,
}

/// On threads beside this one, unless it takes no time. Exchanges do not wait for tests of primes.
async fn worked_at(exchanges: Exchanges) -> Exchanged {
    if exchanges.tests_a_group() {
        beside::one_by_one(move || exchanges.finish()).await
    } else if exchanges.is_heavy() {
        beside::beside(move || exchanges.finish()).await
    } else {
        exchanges.finish()
    }
}

impl Shell<HomeAgent> for World {
    type Error = anyhow::Error;

    async fn next(&mut self) -> anyhow::Result<Event<Request>> {
        tokio::select! {
            biased;
            () = &mut self.stop => Ok(Event::Stop),
            Some(asked) = self.asked.recv() => Ok(Event::Request(self.operator(asked))),
            Some(look) = self.looks.recv() => {
                self.publisher.look(look);
                Ok(Event::Look)
            }
            Some((home_address, crossed)) = self.crossings.recv() => {
                let served = match crossed {
                    tunnel::Crossed::Most => Served::Enough,
                    tunnel::Crossed::All => Served::All,
                };
                Ok(Event::Request(Request::Served { home_address, served }))
            }
            config = self.reloads.next(Config::core) => Ok(Event::Request(Request::Configure(Box::new(config)))),
            Some(request) = self.commits.next(), if !self.commits.is_empty() => Ok(Event::Request(request)),
            Some(request) = self.line.answer() => Ok(Event::Request(request)),
            Some(request) = self.reads.next(), if !self.reads.is_empty() => Ok(Event::Request(request)),
            Some(request) = self.requests.recv() => Ok(Event::Request(request)),
            frame = self.link.receive() => Ok(Event::Link { link: HOME_LINK, frame: frame? }),
            Some(datagram) = self.datagrams.recv() => Ok(Event::Udp(datagram)),
        }
    }

    async fn send(&mut self, transmit: Transmit) -> anyhow::Result<()> {
        match transmit {
            Transmit::Link { to, packet, .. } => sent(self.link.send(to, &packet)),
            Transmit::Udp { destination, payload, .. } => self.outgoing.push((destination, payload)),
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
            Effect::Refresh { nai } => {
                let held = self.store.held(nai.clone());
                self.reads.push(Box::pin(async move {
                    let held = held.await.unwrap_or_else(|error| {
                        tracing::error!(
                            "a subscriber cannot register, what is held of it cannot be read: {error}"
                        );
                        keystore::Held { seen: None, bindings: Vec::new(), assigned: None }
                    });
                    let keystore::Held { seen, bindings, assigned } = held;
                    Request::Refreshed { nai, seen, bindings, assigned }
                }));
            }
            Effect::Exchange { ticket, exchanges } => {
                self.reads.push(Box::pin(async move {
                    let results = worked_at(exchanges).await;
                    Request::Exchanged { ticket, results }
                }));
            }
            Effect::AskKdc { ticket, request, share } => {
                tracing::debug!(word = "keys_asked", trace = %request.trace, "asked for keys");
                self.line.ask(ticket, request, share);
            }
            Effect::Tunnel(change) => self.change_tunnel(change).await,
            Effect::Meter { home_address, most, all } => self.tunnel.meter(home_address, most, all),
            Effect::Answered { ticket, result } => {
                if let Some(waiting) = self.waiting.remove(&ticket) {
                    // Whoever asked may have gone away meanwhile.
                    let _ = waiting.send(result);
                }
            }
            Effect::Acknowledge(number) => {
                // The line to the key distribution centre is gone only when the process stops.
                let _ = self.acknowledge.send(number);
            }
            Effect::Notify(event) => self.notify(event),
        }
        Ok(Applied::Done)
    }

    fn settled(&mut self, core: &HomeAgent) {
        self.line.flush();
        // Whoever is told of a tunnel may use it at once.
        if std::mem::take(&mut self.table_changed) {
            self.tunnel.swap(self.table.clone());
        }
        for (destination, payload) in self.outgoing.drain(..) {
            sent(self.port.send(destination, &payload));
        }
        self.reloads.applied();
        self.publisher.publish(core, &self.tunnel, self.clock);
    }
}

impl World {
    /// What an operator asks of the core; he waits for its answer.
    fn operator(&mut self, asked: AgentRequest) -> Request {
        self.last_asked.0 += 1;
        let ticket = self.last_asked;
        let (request, answer) = match asked {
            AgentRequest::Revoke(home_address, answer) => {
                (Request::RevokeBinding { home_address, ticket }, answer)
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
        let done = match change {
            TunnelChange::Bind { home_address, tunnels } => {
                let entries = entries(self.address, home_address, &tunnels);
                self.table.set(home_address, &entries);
                self.table_changed = true;
                self.plan.bind(&self.link, &caught(home_address, &entries)).await
            }
            TunnelChange::Unbind { home_address, returned } => {
                let done = self.plan.unbind(&self.link, home_address, returned).await;
                self.table.remove(home_address);
                self.tunnel.unmeter(home_address);
                self.table_changed = true;
                done
            }
        };
        if let Err(error) = done {
            tracing::error!(
                "packets of a mobile node are lost until it registers again, its tunnel could not be changed: {error}"
            );
        }
    }

    fn notify(&self, event: mobility::Event) {
        use mobility::EventKind::{
            BindingAdded, BindingRemoved, Denied, Discarded, RenewalAsked, WeakAlgorithm,
        };
        let (word, trace) = (event.kind.word(), event.trace.map(tracing::field::display));
        let agent = event.agent.as_deref().unwrap_or("no agent");
        match event.kind {
            BindingAdded | BindingRemoved => tracing::info!(word, trace, "{}", event.text),
            Denied => tracing::warn!(word, trace, agent, "{}", event.text),
            Discarded | RenewalAsked | WeakAlgorithm => tracing::warn!(word, trace, "{}", event.text),
            _ => tracing::debug!(word, trace, "{}", event.text),
        }
        self.events.tell(event, self.clock.now());
    }
}

/// A reply or advertisement that is lost here is one that the network could have lost.
fn sent(result: Result<(), net::Error>) {
    if let Err(error) = result {
        tracing::warn!("a reply or an advertisement was not sent, mobile nodes ask again: {error}");
    }
}

/// The tunnels of a home address as the packet path needs them. A foreign agent learns whom a broadcast is for by a wrapping
/// of its own, a co-located mobile node needs none (RFC 5944 section 4.3).
pub(crate) fn entries(local: Ipv4Addr, home_address: Ipv4Addr, tunnels: &[BoundTunnel]) -> Vec<Entry> {
    let entry = |bound: &BoundTunnel| {
        let peer = match bound.tunnel {
            Tunnel::IpInIp(remote) => Peer::IpInIp { local, remote },
            Tunnel::Minimal(remote) => Peer::Minimal { local, remote },
            Tunnel::Gre(remote) => Peer::Gre { local, remote },
            Tunnel::Udp(remote) => Peer::Udp { remote },
        };
        let broadcasts = match (bound.broadcasts, bound.served) {
            (false, _) => Broadcasts::No,
            (true, false) => Broadcasts::Plain,
            (true, true) => Broadcasts::Nested { home_agent: local },
        };
        Entry::new(home_address, peer).with_broadcasts(broadcasts)
    };
    tunnels.iter().map(entry).collect()
}

/// What the kernel is told of a home address: the host sends it nothing that does not fit into all of its tunnels.
pub(crate) fn caught(home_address: Ipv4Addr, entries: &[Entry]) -> plan::home_agent::Binding {
    let mtu = entries.iter().map(|entry| entry.mtu).min().unwrap_or(forward::IPIP_MTU);
    plan::home_agent::Binding { home_address, mtu }
}
