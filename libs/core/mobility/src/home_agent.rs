//! The home agent (RFC 5944 section 3.8, docs/wire.md).
//!
//! A registration request is checked cheapest first: form, 34, candidates by security parameter index, 32,
//! identification, seals, policy. Then the key distribution centre makes KEY 1 to KEY 3, the binding is
//! committed, the tunnel stands, and only then the reply goes out. Until a 32 verified, nothing is answered.
//!
//! It never routes, never opens a store and never talks to the key distribution centre itself: it emits
//! [`Effect`]s and takes their answers as [`Request`]s.

mod addresses;
mod advertise;
mod answer;
mod bind;
mod bindings;
mod configure;
mod counting;
mod credential;
mod intake;
mod limits;
mod names;
mod negotiate;
mod pending;
mod plain;
mod realm;
mod renewals;
mod revoke;
mod revoked;
mod roster;
mod shares;
mod subscribers;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, net::Ipv4Addr, sync::Arc, time::Duration};

use crypto::{Cipher, Key, Rng};
use record::{AssociationKind, Binding, Change, CommitError, Nai, RealmKey, Seen, State, Subscriber, Tunnel};
pub use sa::Unfinished;

pub use self::negotiate::{Exchanged, Exchanges, Policies};
use sa::{AgentPath, Exchange};
use sansio::{Datagram, Input, Instant, LinkAddress, LinkId, Machine, Now, Outbox, Output, earliest};
use wire::mip::{Spi, registration::Identification};

pub use self::names::Names;
use self::{
    addresses::Addresses,
    advertise::Advertiser,
    bindings::{Bindings, Bound},
    configure::Paths,
    counting::Figures,
    limits::Gate,
    negotiate::{Groups, Talks},
    pending::Pending,
    plain::PlainNodes,
    realm::Realm,
    revoke::Revocations,
    roster::{Known, Roster},
    shares::Reused,
    subscribers::{Batch, Following},
};
pub use self::{
    counting::{Counted, Registrations},
    limits::Limits,
    renewals::Served,
};
use crate::{Event, Ticket, Trace, admission::Meter, notice::Renewals, telling::Tellings};

/// A foreign agent that this home agent was configured with.
pub struct Neighbour {
    /// Its name, at most 64 bytes.
    pub nai: String,
    /// Source of what it relays, and the care-of address that it offers.
    pub address: Ipv4Addr,
    /// Index of the association.
    pub spi: Spi,
    /// Key of the association.
    pub key: Key,
    /// Cipher of what is sealed under it.
    pub cipher: Cipher,
    /// It may leave its key share out: whoever learns this association's key later reads the keys of its visitors
    /// from a recording.
    pub no_fs: bool,
}

/// What a home agent is told at start.
pub struct Config {
    /// Its name, at most 64 bytes.
    pub nai: String,
    /// The realm whose mobile nodes it serves.
    pub realm: String,
    /// Its address in registrations and tunnels.
    pub address: Ipv4Addr,
    /// Enterprise number that carries our extensions.
    pub vendor: u32,
    /// The home link.
    pub home_link: LinkId,
    /// Bits of the home link's prefix.
    pub home_prefix_length: u8,
    /// Longest lifetime granted, in seconds.
    pub max_lifetime: u16,
    /// How far a mobile node's clock may be off, in seconds (RFC 5944 section 5.7.1: 7).
    pub timestamp_window: u32,
    /// Most bindings kept.
    pub max_bindings: usize,
    /// Most bindings that one mobile node may have at a time; with 1 each takes the place of the one before, whatever
    /// is asked for (RFC 5944 section 3.8.2.2).
    pub max_simultaneous_bindings: usize,
    /// Time between advertisements on the home link.
    pub advertisement_interval: Duration,
    /// Minimal encapsulation (RFC 2004) is granted to who asks for it.
    pub minimal: bool,
    /// GRE (RFC 2784) is granted to who asks for it.
    pub gre: bool,
    /// Broadcasts of the home link go to who asks for them.
    pub broadcasts: bool,
    /// Registrations that end before their time are told to the agents and co-located nodes that agree to it, and
    /// foreign agents may end them too (RFC 3543).
    pub revocation: bool,
    /// Foreign agents that leave it to us shall tell a mobile node whose registration ended (RFC 3543 section 3.3,
    /// flag I).
    pub inform: bool,
    /// Seconds between keepalives that a mobile node behind a NAT is told to send (RFC 3519: 110).
    pub keepalive: u16,
    /// What subscribers that were enrolled without a home address get one from; `None` turns them away.
    pub home_addresses: Option<Pool>,
    /// How much of it may be used by whom.
    pub limits: Limits,
    /// What is allowed for associations that are negotiated.
    pub negotiation: Policies,
    /// Octets of a mobile node's packets, both ways, after which its registration ends with its associations. At four
    /// fifths of it is asked to renew them. 0: any number.
    pub max_octets: u64,
    /// Foreign agents.
    pub neighbours: Vec<Neighbour>,
}

/// Home addresses to give. The home agent's own, and those of the home link's prefix that no host can have, are never
/// given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The first.
    pub first: Ipv4Addr,
    /// The last.
    pub last: Ipv4Addr,
    /// Others that are never given, such as that of the home link's router.
    pub never: Vec<Ipv4Addr>,
}

/// Keys of one registration, fresh from the key distribution centre.
#[derive(Default)]
pub struct Keys {
    /// KEY 1, if it was asked for.
    pub key1: Option<Key>,
    /// KEY 2, if it was asked for.
    pub key2: Option<Key>,
    /// KEY 3, if it was asked for.
    pub key3: Option<Key>,
    /// What those are made of for which that was asked.
    pub seed: Option<Key>,
    /// The exchange of [`Effect::AskKdc`], if whoever asked finished it meanwhile.
    pub exchange: Option<Exchange>,
}

/// Why the key distribution centre gave no keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KdcError {
    /// It cannot be reached, or cannot write. The text is for the log.
    Unavailable(String),
    /// It refuses. The text is for the log.
    Refused(String),
}

/// What the shell asks or answers.
pub enum Request {
    /// The store answers a [`Effect::Persist`].
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
    /// The key distribution centre answers a [`Effect::AskKdc`].
    Keys {
        /// Of which.
        ticket: Ticket,
        /// Keys, or why not.
        result: Result<Keys, KdcError>,
    },
    /// The key distribution centre hands over changed subscribers.
    Subscribers {
        /// New or changed ones; a revoked one loses its binding.
        changed: Vec<Subscriber>,
        /// New or changed keys of the realm; one whose end is past is removed.
        realm_keys: Vec<RealmKey>,
        /// All changes up to this number are included.
        cursor: u64,
        /// This is everything there is: subscribers and realm keys not named do not exist any more.
        complete: bool,
    },
    /// What the store holds of a subscriber: answers [`Effect::Refresh`], and comes by itself whenever another home
    /// agent on the same store changed something of his.
    Refreshed {
        /// Whose.
        nai: Nai,
        /// What was seen of him.
        seen: Option<Seen>,
        /// His bindings.
        bindings: Vec<Binding>,
        /// The home address that was assigned to him.
        assigned: Option<Ipv4Addr>,
    },
    /// An administrator revoked the keys that were issued with one of these indices inbound at the home agent.
    AssociationsRevoked(Vec<Spi>),
    /// An administrator revoked keys that were issued for this subscriber at this care-of address, none of which ends here.
    VisitRevoked {
        /// Whose.
        nai: Nai,
        /// Where.
        care_of: Ipv4Addr,
    },
    /// A new configuration: what may change while it runs counts from now on, bindings stay.
    Configure(Box<Config>),
    /// The operator ends the binding of a home address; answered by [`Effect::Answered`].
    RevokeBinding {
        /// Of which home address.
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
    /// So many octets went through the tunnels of a home address since its last registration ([`Effect::Meter`]).
    Served {
        /// Which home address.
        home_address: Ipv4Addr,
        /// How much of what they may.
        served: Served,
    },
}

/// What to ask of the key distribution centre.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRequest {
    /// A number of the question, so that asking twice gives the same keys.
    pub request: [u8; 16],
    /// The registration that it is for, in everybody's log.
    pub trace: Trace,
    /// For whom.
    pub nai: Nai,
    /// Through which foreign agent.
    pub foreign_agent: Option<Arc<str>>,
    /// At which care-of address.
    pub care_of: Ipv4Addr,
    /// Seconds the keys live.
    pub lifetime: u16,
    /// KEY 1: index inbound at the mobile node, at the home agent. None of the three is asked for if its ends make it
    /// without anybody's help.
    pub key1: Option<(Spi, Spi)>,
    /// KEY 2: inbound at the foreign agent, at the home agent.
    pub key2: Option<(Spi, Spi)>,
    /// KEY 3: inbound at the mobile node, at the foreign agent.
    pub key3: Option<(Spi, Spi)>,
    /// Which of them their ends make of a seed.
    pub seeded: Vec<AssociationKind>,
}

/// One way to a mobile node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundTunnel {
    /// Where to.
    pub tunnel: Tunnel,
    /// Broadcasts of the home link go there too, inside a packet to the home address if a foreign agent unwraps
    /// them (RFC 5944 section 4.3).
    pub broadcasts: bool,
    /// The tunnel ends at a foreign agent.
    pub served: bool,
}

impl BoundTunnel {
    fn of(binding: &Binding) -> Self {
        let served = binding.foreign_agent.is_some();
        Self { tunnel: binding.tunnel, broadcasts: binding.broadcasts, served }
    }
}

/// A change of tunnels and of what the home link is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TunnelChange {
    /// Intercept packets for the home address and tunnel a copy to each of these, and to no others any more.
    Bind {
        /// Home address.
        home_address: Ipv4Addr,
        /// Where to: at least one.
        tunnels: Vec<BoundTunnel>,
    },
    /// Stop that. `returned` is the mobile node's link address if it is back on the home link.
    Unbind {
        /// Home address.
        home_address: Ipv4Addr,
        /// Link address of the mobile node at home.
        returned: Option<LinkAddress>,
    },
}

/// What a home agent wants done.
pub enum Effect {
    /// Commit these changes as a whole and answer [`Request::Persisted`].
    Persist {
        /// Names the answer.
        ticket: Ticket,
        /// All or nothing.
        changes: Vec<Change>,
    },
    /// Another home agent on the same store was quicker: read what it holds of this subscriber and answer
    /// [`Request::Refreshed`].
    Refresh {
        /// Whose.
        nai: Nai,
    },
    /// Work at exchanges and answer [`Request::Exchanged`].
    Exchange {
        /// Comes back with the answer.
        ticket: Ticket,
        /// Which.
        exchanges: Exchanges,
    },
    /// Ask for keys and answer [`Request::Keys`].
    AskKdc {
        /// Names the answer.
        ticket: Ticket,
        /// The question.
        request: KeyRequest,
        /// The exchange with the mobile node, which may be finished on another thread until the answer comes; else it
        /// is finished then.
        share: Option<Unfinished>,
    },
    /// Change tunnels, proxies and routes.
    Tunnel(TunnelChange),
    /// Count the octets through the tunnels of this home address anew, and say when they reach what associations may
    /// serve: [`Request::Served`].
    Meter {
        /// Which home address.
        home_address: Ipv4Addr,
        /// At so many its associations are renewed: [`Served::Enough`].
        most: u64,
        /// At so many they end: [`Served::All`].
        all: u64,
    },
    /// Answers an operator: what he wanted is done for good, or why it is not.
    Answered {
        /// Of which.
        ticket: Ticket,
        /// The text is for the operator.
        result: Result<(), String>,
    },
    /// Tell the key distribution centre that all subscriber changes up to this number are durable here.
    Acknowledge(u64),
    /// Tell the operator.
    Notify(Event),
}

struct Path {
    nai: Arc<str>,
    address: Ipv4Addr,
    keys: AgentPath,
    no_fs: bool,
}

/// The machine.
pub struct HomeAgent {
    config: Config,
    /// Our name, as it stands in associations.
    name: Arc<str>,
    rng: Rng,
    outbox: Outbox<Effect>,
    paths: Paths,
    known: Roster,
    names: Names,
    realm: Realm,
    plain_nodes: PlainNodes,
    reused: Reused,
    talks: Talks,
    groups: Groups,
    following: Following,
    bindings: Bindings,
    revocations: Revocations,
    /// By home address.
    renewals: Renewals<Ipv4Addr>,
    addresses: Addresses,
    /// Home addresses that other home agents on the same store serve.
    elsewhere: BTreeSet<Ipv4Addr>,
    work: Pending,
    last_ticket: u64,
    advertiser: Advertiser,
    gate: Gate,
    figures: Figures,
}

/// Subscribers tried for one index.
const CANDIDATES: usize = 4;

impl HomeAgent {
    /// Starts with what the store held. The shell installs the tunnels of [`bindings`](Self::bindings)
    /// before it hands in the first input.
    #[must_use]
    pub fn new(mut config: Config, seed: [u8; 32], state: State, now: Now) -> Self {
        let paths = Paths::new(std::mem::take(&mut config.neighbours), &config.nai);
        let mut rng = Rng::from_seed(seed);
        let mut agent = Self {
            advertiser: Advertiser::new(now),
            addresses: Addresses::new(&config),
            name: config.nai.as_str().into(),
            config,
            realm: Realm::new(Vec::new(), &mut rng, now),
            plain_nodes: PlainNodes::default(),
            gate: Gate::new(&mut rng, paths.len()),
            figures: Figures::default(),
            rng,
            outbox: Outbox::default(),
            paths,
            known: Roster::default(),
            names: Names::default(),
            reused: Reused::default(),
            talks: Talks::default(),
            groups: Groups::default(),
            following: Following::default(),
            bindings: Bindings::default(),
            revocations: Revocations::default(),
            renewals: Renewals::default(),
            elsewhere: BTreeSet::new(),
            work: Pending::default(),
            last_ticket: 0,
        };
        agent.restore(state, now);
        agent
    }

    fn restore(&mut self, state: State, now: Now) {
        for key in state.realm_keys {
            self.realm.learn(key);
        }
        for (nai, home_address) in state.assigned {
            self.addresses.restore(nai, home_address);
        }
        for subscriber in state.subscribers {
            self.learn(subscriber);
        }
        let window = self.config.timestamp_window;
        for seen in state.seen {
            if let Some(known) = self.known.named_mut(&seen.nai) {
                known.stored = Some(Identification(seen.identification));
                known.sent = known.stored;
                known.comparable = known.compares(&seen, now.unix.as_secs(), window);
                known.seen = known.stored.filter(|_| known.comparable);
                known.window = (seen.generation, seen.index);
            }
            self.move_window_of(&seen.nai, seen.generation, seen.index);
        }
        let restored = state.bindings.into_iter().map(|binding| Bound::restored(binding, now));
        self.bindings = Bindings::restored(restored);
        let addresses: BTreeSet<_> = match self.config.max_octets {
            0 => BTreeSet::new(),
            _ => self.bindings.iter().map(|binding| binding.home_address).collect(),
        };
        for home_address in addresses {
            self.meter(home_address);
        }
        self.revocations.tellings = Tellings::restored(state.revocations, now);
    }

    /// The bindings, in order of home address and care-of address.
    pub fn bindings(&self) -> impl Iterator<Item = &Binding> {
        self.bindings.iter()
    }

    /// How many bindings there are.
    #[must_use]
    pub fn bindings_held(&self) -> usize {
        self.bindings.len()
    }

    /// The tunnels of each home address that is bound, in order of home address.
    pub fn tunnels(&self) -> impl Iterator<Item = (Ipv4Addr, Vec<BoundTunnel>)> {
        let bound: BTreeSet<_> = self.bindings.iter().map(|b| b.home_address).collect();
        bound.into_iter().map(|home_address| (home_address, self.bindings.tunnels(home_address)))
    }

    /// Seconds until a binding ends; `None` if it never does or is not there.
    #[must_use]
    pub fn lifetime_left(&self, home_address: Ipv4Addr, care_of: Ipv4Addr, now: Now) -> Option<u64> {
        let ends = self.bindings.find((home_address, care_of))?.ends?;
        Some(ends.saturating_since(now.mono).as_secs())
    }

    /// How many subscribers may register here.
    #[must_use]
    pub fn subscribers(&self) -> usize {
        self.known.len()
    }

    /// Requests whose keys or commit are awaited.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.work.len()
    }

    /// The configuration.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    fn ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        Ticket(self.last_ticket)
    }

    /// Keys of the realm that mobile nodes may name themselves by, in order of index.
    pub fn realm_keys(&self) -> impl Iterator<Item = &RealmKey> {
        self.realm.keys()
    }

    fn deadline(&self) -> Option<Instant> {
        let first = earliest(self.bindings.next_due(), self.work.deadline());
        let first = earliest(first, earliest(self.revocations.deadline(), self.renewals.deadline()));
        let first = earliest(earliest(first, self.reused.deadline()), self.following.deadline());
        earliest(first, Some(self.advertiser.next()))
    }
}

impl Machine for HomeAgent {
    type Request = Request;
    type Effect = Effect;

    fn handle(&mut self, input: Input<'_, Request>, now: Now) {
        self.figures.now(now.mono);
        match input {
            Input::Datagram(Datagram::Udp { source, payload, .. }) => self.take_message(source, payload, now),
            Input::Datagram(Datagram::Link { link, from, packet }) => {
                if link == self.config.home_link {
                    self.take_solicitation(from, packet, now);
                }
            }
            Input::Request(Request::Persisted { ticket, result }) => self.persisted(ticket, result, now),
            Input::Request(Request::Exchanged { ticket, results }) => self.exchanged(ticket, results, now),
            Input::Request(Request::Keys { ticket, result }) => self.keys(ticket, result, now),
            Input::Request(Request::Subscribers { changed, realm_keys, cursor, complete }) => {
                self.take_over(Batch { changed, realm_keys, cursor, complete }, now);
            }
            Input::Request(Request::Refreshed { nai, seen, bindings, assigned }) => {
                self.refreshed(&nai, seen, (&bindings, assigned), now);
            }
            Input::Request(Request::AssociationsRevoked(spis)) => self.revoke_associations(&spis, now),
            Input::Request(Request::VisitRevoked { nai, care_of }) => self.revoke_visit(&nai, care_of, now),
            Input::Request(Request::Configure(config)) => self.configure(*config, now),
            Input::Request(Request::RevokeBinding { home_address, ticket }) => {
                self.revoke_binding(home_address, ticket, now);
            }
            Input::Request(Request::RenewAssociation { index, ticket }) => {
                self.renew_association(index, ticket, now);
            }
            Input::Request(Request::DeleteAssociation { index, ticket }) => {
                self.delete_association(index, ticket, now);
            }
            Input::Request(Request::Served { home_address, served }) => {
                self.served(home_address, served, now);
            }
            Input::Tick => {}
        }
        self.advertise(now);
        self.expire(now);
        self.follow(now);
        self.tell_due(now);
        self.renew_due(now);
        self.reused.erase(now);
    }

    fn poll(&mut self) -> Output<Effect> {
        // The deadline is looked for once all is handed out.
        let deadline = if self.outbox.is_empty() { self.deadline() } else { None };
        self.outbox.poll(deadline)
    }
}
