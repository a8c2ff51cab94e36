//! The foreign agent (RFC 5944 section 3.7, RFC 3024, RFC 4721, docs/wire.md).
//!
//! It advertises itself on its links, relays registration requests to home agents that it was configured
//! with, and keeps a visitor for every registration that such a home agent accepted. A request is found again
//! by the handle that was added to it, never by an identity: the foreign agent learns none but the home
//! address it has to deliver to.
//!
//! It never changes a byte that the mobile node or the home agent authenticated for the other, never believes
//! a reply without a right 34, and never opens a store or a socket: it emits [`Effect`]s and takes their
//! answers as [`Request`]s.

mod advertise;
mod challenge;
mod configure;
mod counting;
mod dismiss;
mod exchange;
mod grant;
mod inform;
mod keepalive;
mod limit;
mod negotiate;
mod offer;
mod pending;
mod plain;
mod proof;
mod relay;
mod renewals;
mod reply;
mod request;
mod revoke;
mod sequence;
mod shares;
mod visitors;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use crypto::{Cipher, Key, Rng};
use record::{Change, CommitError, State, Tunnel};
use sa::{AgentPath, PlainAssociation};
use sansio::{Datagram, Input, Instant, LinkAddress, LinkId, Machine, Now, Outbox, Output, earliest};
use wire::mip::Spi;

use self::{
    advertise::Beacon,
    counting::Figures,
    dismiss::Dismissals,
    exchange::{Values, Waiting},
    inform::Informed,
    keepalive::Keepalive,
    limit::{Budget, Gate},
    negotiate::Talks,
    pending::Pendings,
    reply::Work,
    shares::Shares,
    visitors::Visitors,
};
pub use self::{
    counting::{Counted, Registrations},
    exchange::{Exchanged, Exchanges},
    limit::Limits,
    negotiate::Policies,
    plain::PlainNode,
    visitors::Visit,
};
use crate::{Event, Ticket, notice::Renewals, past::Past};

/// Notices of refused requests and discarded messages that are given in a burst, and how fast more may follow.
const NOTICES: (u32, Duration) = (20, Duration::from_millis(200));

/// A link that mobile nodes may visit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// Number of the link; visitors and sequence numbers are stored under it.
    pub id: LinkId,
    /// Our address there.
    pub address: Ipv4Addr,
    /// Bits of its prefix, at most 32.
    pub prefix_length: u8,
}

/// A home agent that this foreign agent was configured with.
pub struct HomeAgent {
    /// Its name, at most 64 bytes.
    pub nai: String,
    /// Its address in registrations and tunnels.
    pub address: Ipv4Addr,
    /// Index of the association.
    pub spi: Spi,
    /// Cipher of what is sealed under it.
    pub cipher: Cipher,
    /// Key of the association.
    pub key: Key,
    /// No key share is offered, none expected: without forward secrecy.
    pub no_fs: bool,
}

/// Whether mobile nodes get a reverse tunnel (RFC 3024).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ReverseTunnel {
    /// Never: flag T is answered with code 74.
    Off,
    /// If they ask.
    #[default]
    Optional,
    /// Always: without flag T the answer is code 75.
    Required,
}

/// How the home agent is asked to tunnel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Encapsulation {
    /// IP in IP (RFC 2003).
    #[default]
    IpInIp,
    /// UDP (RFC 3519), asked with flag F whether or not a NAT is on the way. It carries IP in IP only.
    Udp,
}

/// Whether a mobile node is told that its registration ended before its time (RFC 3543 sections 3.2 and 4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Inform {
    /// Yes.
    #[default]
    Always,
    /// No: it finds out.
    Never,
    /// As its home agent wants, where that agrees to decide; else yes.
    HomeAgentDecides,
}

/// What a foreign agent is told at start.
pub struct Config {
    /// Its name, at most 64 bytes.
    pub nai: String,
    /// The care-of address that it offers; also where its messages to home agents come from.
    pub care_of: Ipv4Addr,
    /// Enterprise number that carries our extensions.
    pub vendor: u32,
    /// The links it serves.
    pub links: Vec<Link>,
    /// Longest lifetime that may be asked for, in seconds.
    pub max_lifetime: u16,
    /// Most visitors kept.
    pub max_visitors: usize,
    /// Most requests that may wait for their home agents at a time.
    pub max_pending: usize,
    /// How much of it may be used by whom.
    pub limits: Limits,
    /// Whether mobile nodes get a reverse tunnel.
    pub reverse_tunnel: ReverseTunnel,
    /// Flag R: mobile nodes with a co-located care-of address have to register through us.
    pub registration_required: bool,
    /// Longest time between two advertisements; they are sent after 90 to 100 per cent of it.
    pub interval: Duration,
    /// How long an advertisement holds, in seconds.
    pub advertisement_lifetime: u16,
    /// How home agents are asked to tunnel.
    pub encapsulation: Encapsulation,
    /// Minimal encapsulation for who asks for it (flag M); never over UDP.
    pub minimal: bool,
    /// GRE for who asks for it (flag G); never over UDP.
    pub gre: bool,
    /// Mobile nodes may hand their packets over encapsulated (RFC 3024 section 5.2).
    pub encapsulating_delivery: bool,
    /// Longest time between keepalives in a UDP tunnel (RFC 3519 section 4.9: 110 s).
    pub keepalive: Duration,
    /// Whether visitors whose registration was revoked are told.
    pub inform: Inform,
    /// What is allowed for associations that are negotiated.
    pub negotiation: Policies,
    /// Home agents whose mobile nodes may visit.
    pub home_agents: Vec<HomeAgent>,
    /// Mobile nodes without our extensions may visit too; those named here share an association with us. `None`:
    /// they may not.
    pub plain_nodes: Option<Vec<PlainNode>>,
}

/// How a home agent proved unreachable (RFC 5944 section 3.7.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unreachable {
    /// No route to its network: code 80.
    Network,
    /// The host does not answer: code 81.
    Host,
    /// Nothing listens on its port: code 82.
    Port,
    /// Another reason: code 88.
    Other,
}

/// What the shell answers or reports.
pub enum Request {
    /// The store answers an [`Effect::Persist`]. Answers come in the order of the effects.
    Persisted {
        /// Of which.
        ticket: Ticket,
        /// Committed, or nothing of it was.
        result: Result<(), CommitError>,
    },
    /// An [`Effect::Exchange`] was done.
    Exchanged {
        /// Of which.
        ticket: Ticket,
        /// What came of it.
        results: Exchanged,
    },
    /// A relayed request could not be delivered.
    Unreachable {
        /// To whom.
        home_agent: Ipv4Addr,
        /// Why.
        kind: Unreachable,
    },
    /// A new configuration: what may change while it runs counts from now on, visitors stay.
    Configure(Box<Config>),
    /// The operator sends a visitor away before its time; answered by [`Effect::Answered`]. Its home agent is told if it
    /// agreed to revocations.
    RevokeVisitor {
        /// Its home address.
        home_address: Ipv4Addr,
        /// Names the answer.
        ticket: Ticket,
    },
    /// The operator wants the registration renewed whose association receives under this index; answered by
    /// [`Effect::Answered`] once it was, or once it is clear that it will not be.
    RenewAssociation {
        /// The index.
        index: Spi,
        /// Names the answer.
        ticket: Ticket,
    },
    /// The operator ends the registration whose association receives under this index, with all its associations;
    /// answered by [`Effect::Answered`].
    DeleteAssociation {
        /// The index.
        index: Spi,
        /// Names the answer.
        ticket: Ticket,
    },
}

/// What the data path needs to know of a visitor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VisitorTunnel {
    /// Its home address.
    pub home_address: Ipv4Addr,
    /// The link it is on.
    pub link: LinkId,
    /// Its link address there.
    pub link_address: LinkAddress,
    /// Its home agent.
    pub home_agent: Ipv4Addr,
    /// Our end of the tunnel.
    pub care_of: Ipv4Addr,
    /// How packets travel between us and its home agent.
    pub tunnel: Tunnel,
    /// Whether its own packets go back through the tunnel.
    pub reverse_tunnel: bool,
    /// Only those that it hands over encapsulated do; the others take the ordinary routes (RFC 3024 section 5.2.1).
    pub encapsulating_delivery: bool,
}

/// A change of tunnels and of deliveries on the visited links.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TunnelChange {
    /// Deliver to this visitor; replaces what stands for its home address.
    VisitorAdded(VisitorTunnel),
    /// Deliver no longer.
    VisitorRemoved {
        /// Its home address.
        home_address: Ipv4Addr,
    },
}

/// What a foreign agent wants done.
pub enum Effect {
    /// Make these changes durable, and answer with [`Request::Persisted`].
    Persist {
        /// Names the answer.
        ticket: Ticket,
        /// All of them or none.
        changes: Vec<Change>,
    },
    /// Work at exchanges, beside everything else, and answer with [`Request::Exchanged`].
    Exchange {
        /// Names the answer.
        ticket: Ticket,
        /// Which.
        exchanges: Exchanges,
    },
    /// Answers an operator: what he wanted is done for good, or why it is not.
    Answered {
        /// Of which.
        ticket: Ticket,
        /// The text is for the operator.
        result: Result<(), String>,
    },
    /// Change the data path.
    Tunnel(TunnelChange),
    /// Tell the operator.
    Notify(Event),
}

/// A mobile node as it is known before anything was authenticated: by link and link address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
struct Station {
    link: LinkId,
    address: LinkAddress,
}

/// A configured home agent.
struct Home {
    nai: String,
    /// It was taken out of the configuration: its visitors stay until they end, and nobody new comes.
    retired: bool,
    path: AgentPath,
    no_fs: bool,
    shares: Shares,
    /// While visitors have UDP tunnels to it.
    keepalive: Option<Keepalive>,
}

impl Home {
    fn of(foreign_agent: &str, home: HomeAgent) -> Self {
        let path = AgentPath::new(foreign_agent, &home.nai, home.spi, home.cipher, home.key);
        let shares = Shares::default();
        Self { nai: home.nai, retired: false, path, no_fs: home.no_fs, shares, keepalive: None }
    }
}

/// The foreign agent: a [`Machine`].
pub struct ForeignAgent {
    /// As given, without the home agents and the associations of mobile nodes.
    config: Config,
    /// Associations by home address, where nodes without our extensions are served.
    plain_nodes: Option<BTreeMap<Ipv4Addr, PlainAssociation>>,
    homes: BTreeMap<Ipv4Addr, Home>,
    beacons: BTreeMap<LinkId, Beacon>,
    pendings: Pendings,
    visitors: Visitors,
    /// Of revocations by home agents.
    past: Past,
    talks: Talks,
    values: Values,
    waiting: Waiting,
    dismissals: Dismissals,
    informed: Informed,
    /// By home address.
    renewals: Renewals<Ipv4Addr>,
    work: BTreeMap<Ticket, Work>,
    last_ticket: Ticket,
    gate: Gate,
    notices: Budget,
    figures: Figures,
    rng: Rng,
    outbox: Outbox<Effect>,
}

impl ForeignAgent {
    /// A foreign agent with the visitors and reserved sequence numbers that its store holds. Visitors that
    /// ended, or that no longer fit the configuration, are dropped. Asks for the first sequence numbers.
    #[must_use]
    pub fn new(mut config: Config, seed: [u8; 32], state: State, now: Now) -> Self {
        let homes = std::mem::take(&mut config.home_agents);
        let homes = homes.into_iter().map(|home| (home.address, Home::of(&config.nai, home))).collect();
        let mut rng = Rng::from_seed(seed);
        let plain_nodes = plain::associated(config.plain_nodes.take());
        let mut agent = Self {
            plain_nodes,
            homes,
            beacons: BTreeMap::new(),
            pendings: Pendings::default(),
            visitors: Visitors::default(),
            past: Past::default(),
            talks: Talks::default(),
            values: Values::default(),
            waiting: Waiting::default(),
            dismissals: Dismissals::restored(state.revocations, now),
            informed: Informed::default(),
            renewals: Renewals::default(),
            work: BTreeMap::new(),
            last_ticket: Ticket::default(),
            gate: Gate::new([rng.array(), rng.array(), rng.array()]),
            notices: Budget::new(NOTICES.0, NOTICES.1, now.mono),
            figures: Figures::default(),
            rng,
            outbox: Outbox::default(),
            config,
        };
        agent.restore_visitors(state.visitors, now);
        agent.start_beacons(&state.sequences, now);
        agent
    }

    /// The visitors, in order of home address.
    pub fn visitors(&self) -> impl Iterator<Item = Visit<'_>> {
        self.visitors.iter()
    }

    /// What the data path must hold now, in order of home address.
    pub fn tunnels(&self) -> impl Iterator<Item = VisitorTunnel> {
        self.visitors.tunnels()
    }

    /// How many requests wait for their home agents.
    #[must_use]
    pub const fn pending(&self) -> usize {
        self.pendings.open()
    }

    /// The configuration, without the home agents, the associations of mobile nodes, and their keys.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Emits changes to be made durable; `work` goes on when they are.
    fn persist(&mut self, changes: Vec<Change>, work: Work) {
        let ticket = self.ticket();
        self.work.insert(ticket, work);
        self.outbox.effect(Effect::Persist { ticket, changes });
    }

    fn ticket(&mut self) -> Ticket {
        self.last_ticket.0 += 1;
        self.last_ticket
    }

    fn tick(&mut self, now: Now) {
        self.advertise_due(now);
        self.time_out_requests(now);
        self.expire_visitors(now);
        self.erase(now);
        self.save_visitors();
        self.send_revocations(now);
        self.keepalives_due(now);
        self.inform_due(now);
        self.renew_due(now);
    }

    /// Erases the secrets whose time is over.
    fn erase(&mut self, now: Now) {
        for home in self.homes.values_mut() {
            home.shares.erase(now.mono);
        }
        self.values.erase(now.mono);
        self.past.erase(now.mono);
        self.erase_associations(now);
    }

    fn deadline(&self) -> Option<Instant> {
        let beacons = self.beacons.values().map(|beacon| beacon.due).min();
        let shares = self.homes.values().filter_map(|home| home.shares.deadline()).min();
        let kept = earliest(self.visitors.deadline(), earliest(shares, self.past.deadline()));
        let kept = earliest(kept, earliest(self.dismissals.deadline(), self.informed.deadline()));
        let kept = earliest(kept, self.renewals.deadline());
        let kept = earliest(kept, earliest(self.keepalive_deadline(), self.values.deadline()));
        earliest(beacons, earliest(self.pendings.deadline(), kept))
    }
}

impl Machine for ForeignAgent {
    type Request = Request;
    type Effect = Effect;

    fn handle(&mut self, input: Input<'_, Request>, now: Now) {
        self.figures.now(now.mono);
        // A late wake-up lengthens no key's life.
        self.erase(now);
        match input {
            Input::Datagram(Datagram::Link { link, from, packet }) => {
                self.take_packet(link, from, packet, now);
            }
            Input::Datagram(Datagram::Udp { source, destination, payload }) => {
                self.take_datagram(source, destination, payload, now);
            }
            Input::Request(Request::Persisted { ticket, result }) => self.persisted(ticket, result, now),
            Input::Request(Request::Exchanged { ticket, results }) => self.exchanged(ticket, results, now),
            Input::Request(Request::Unreachable { home_agent, kind }) => {
                self.unreachable(home_agent, kind, now);
            }
            Input::Request(Request::Configure(config)) => self.configure(*config, now),
            Input::Request(Request::RevokeVisitor { home_address, ticket }) => {
                self.dismiss(home_address, ticket);
            }
            Input::Request(Request::RenewAssociation { index, ticket }) => {
                self.renew_association(index, ticket, now);
            }
            Input::Request(Request::DeleteAssociation { index, ticket }) => {
                self.delete_association(index, ticket);
            }
            Input::Tick => {}
        }
        self.tick(now);
    }

    fn poll(&mut self) -> Output<Effect> {
        if self.outbox.is_empty() { Output::Wait(self.deadline()) } else { self.outbox.poll(None) }
    }
}
