//! The mobile node (RFC 5944 sections 2.4 and 3.6, docs/wire.md).
//!
//! It looks for agents, notices that it has moved, and registers where it is: at home, through a foreign
//! agent, or with an address of its own. Its identity leaves it sealed, or not at all, except on the home
//! link. Whatever is not authenticated by the home agent can make it wait or look elsewhere, never weaken
//! what it sends.
//!
//! It never sets a clock, never routes and never opens a socket: it emits [`Effect`]s and datagrams. Of what it
//! keeps over a restart only the number of a one-time index must be on disk before a request shows it. A lost last
//! timestamp is at worst repeated, the home agent then answers code 133 under authentication, and the next one is
//! right.

mod clock;
mod delivery;
mod discovery;
mod keepalive;
mod links;
mod movement;
mod naming;
mod negotiate;
mod register;
mod renewals;
mod reply;
mod request;
mod revoked;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    net::Ipv4Addr,
    time::Duration,
};

use crypto::{Cipher, Key, Rng};
use record::{Association, MobileNodeState, Nai};
use sa::{MobileHome, Offer};
use sansio::{Datagram, Input, Instant, LinkAddress, LinkId, Machine, Now, Outbox, Output, earliest};
use wire::mip::{Spi, ours::Numbers};

pub use self::negotiate::Policies;
use self::{
    clock::Timestamps,
    links::Link,
    movement::{Attachment, Away, Target},
    naming::Names,
};
use crate::{Event, EventKind, Ticket};

/// What a mobile node is told at start: its enrolment and its owner's wishes.
pub struct Config {
    /// Its name.
    pub nai: Nai,
    /// Its home realm.
    pub home_realm: String,
    /// Its home address; 0.0.0.0 to have one assigned by the home agent.
    pub home_address: Ipv4Addr,
    /// Its home agent.
    pub home_agent: Ipv4Addr,
    /// Static index of the association with the home agent, in use unless [`one_time`](Self::one_time) is set.
    pub spi: Spi,
    /// Every registration is named by another index, derived from KEY 0.
    pub one_time: bool,
    /// Indices (256 to 511) and public X25519 keys of the home realm, newest first: by them the node names itself when
    /// its one-time indices are lost. One of low order is passed over.
    pub realm_keys: Vec<(Spi, [u8; 32])>,
    /// Without key shares: whoever learns KEY 0 later reads the keys of recorded registrations.
    pub no_fs: bool,
    /// Cipher of what is sealed under that association.
    pub cipher: Cipher,
    /// KEY 0.
    pub key0: Key,
    /// Numbers that carry our extensions.
    pub numbers: Numbers,
    /// Seconds of lifetime to ask for.
    pub lifetime: u16,
    /// T: ask for a reverse tunnel through foreign agents too. With a co-located care-of address it always is.
    pub reverse_tunnel: bool,
    /// S: after a move from one place away from home to another, packets are to come to both (RFC 5944 section 3.6.1.2).
    pub simultaneous: bool,
    /// How packets are to be tunnelled where it is offered; elsewhere, and over UDP, as IP in IP.
    pub encapsulation: Encapsulation,
    /// How packets are handed to foreign agents that give a reverse tunnel.
    pub delivery: Delivery,
    /// B: broadcasts and multicasts of the home link are wanted, and sent there. Through foreign agents that needs
    /// [`Delivery::Encapsulating`], which is then asked for (RFC 3024 section 5.3); of those that do not offer it no
    /// broadcasts are wanted.
    pub broadcasts: bool,
    /// With an address of its own it wants to know when its home agent ends a registration before its time (RFC 3543).
    pub revocation: bool,
    /// Longest time between keepalives in a UDP tunnel (RFC 3519 section 4.9: 110 s).
    pub keepalive: Duration,
    /// What is offered for associations.
    pub negotiation: Policies,
}

/// What its owner may wish otherwise while it runs: from the next request on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preferences {
    /// As [`Config::lifetime`].
    pub lifetime: u16,
    /// As [`Config::reverse_tunnel`].
    pub reverse_tunnel: bool,
    /// As [`Config::simultaneous`].
    pub simultaneous: bool,
    /// As [`Config::delivery`].
    pub delivery: Delivery,
    /// As [`Config::broadcasts`].
    pub broadcasts: bool,
    /// As [`Config::revocation`].
    pub revocation: bool,
    /// As [`Config::keepalive`].
    pub keepalive: Duration,
    /// As [`Config::negotiation`].
    pub negotiation: Policies,
}

impl Config {
    fn prefer(&mut self, preferences: Preferences) {
        let Preferences {
            lifetime,
            reverse_tunnel,
            simultaneous,
            delivery,
            broadcasts,
            revocation,
            keepalive,
            negotiation,
        } = preferences;
        self.lifetime = lifetime;
        self.reverse_tunnel = reverse_tunnel;
        self.simultaneous = simultaneous;
        self.delivery = delivery;
        self.broadcasts = broadcasts;
        self.revocation = revocation;
        self.keepalive = keepalive;
        self.negotiation = negotiation;
    }
}

/// A tunnel that may be wished for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Encapsulation {
    /// IP in IP (RFC 2003).
    #[default]
    IpInIp,
    /// Minimal encapsulation (RFC 2004), flag M.
    Minimal,
    /// GRE (RFC 2784), flag G.
    Gre,
}

/// How packets are handed to a foreign agent (RFC 3024 section 5).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Delivery {
    /// As they are.
    #[default]
    Direct,
    /// In IP in IP packets from the home address to the agent.
    Encapsulating,
}

/// What the shell reports or asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A link is up, or came up anew: whatever was known of it is forgotten.
    LinkUp {
        /// Which.
        link: LinkId,
        /// Our address on it.
        address: LinkAddress,
    },
    /// A link is down.
    LinkDown {
        /// Which.
        link: LinkId,
    },
    /// An address that is not the home address is on an interface, or its gateway is known now.
    AddressAppeared {
        /// On which link.
        link: LinkId,
        /// The address.
        address: Ipv4Addr,
        /// Bits of its prefix.
        prefix_length: u8,
        /// The gateway, as soon as it is known.
        gateway: Option<Ipv4Addr>,
    },
    /// The address went.
    AddressGone {
        /// From which link.
        link: LinkId,
        /// The address.
        address: Ipv4Addr,
    },
    /// The last [`Effect::Route`] could not be carried out, and nothing that came after it was.
    RouteFailed {
        /// Why, for the log.
        reason: String,
    },
    /// Its owner wishes something else; the registration that stands is left alone.
    Configure(Box<Preferences>),
    /// Give the binding up; answered by [`Effect::Deregistered`].
    Deregister,
    /// Renew the registration whose association receives under this index; answered by [`Effect::Renewed`].
    Renew(Spi),
    /// Give the binding up whose association receives under this index; answered by [`Effect::Deregistered`].
    Delete(Spi),
    /// The state of that [`Effect::Persist`] is on disk, and survives a crash of the host; or it could not be written.
    /// A state that a newer one overtook needs no answer.
    Persisted {
        /// Which.
        ticket: Ticket,
        /// Or why not, for the log.
        result: Result<(), String>,
    },
}

/// A co-located care-of address with what is needed to use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CareOf {
    /// The address.
    pub address: Ipv4Addr,
    /// Bits of its prefix.
    pub prefix_length: u8,
    /// Its gateway.
    pub gateway: Option<Ipv4Addr>,
}

/// Which way the packets of the home address go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// No way: packets are parked, nobody is told of the home address.
    Detached,
    /// On the home link, as any host (RFC 5944 section 4.2.1); gratuitous ARP follows section 4.6.
    Home {
        /// The home link.
        link: LinkId,
        /// UDP port at the home address that the deregistration is sent from.
        port: u16,
    },
    /// Not yet: only registration messages may leave, from this care-of address.
    CareOf {
        /// Its link.
        link: LinkId,
        /// The address.
        care_of: CareOf,
        /// UDP port at the care-of address of registration messages, and later of the tunnel.
        port: u16,
    },
    /// Through a foreign agent.
    ViaForeignAgent {
        /// Its link.
        link: LinkId,
        /// The agent's address there.
        agent: Ipv4Addr,
        /// The agent's link address.
        agent_link: LinkAddress,
        /// The care-of address that is registered.
        care_of: Ipv4Addr,
        /// How packets are handed to the agent.
        delivery: Delivery,
        /// Broadcasts of the home link come, and may be sent.
        broadcasts: bool,
    },
    /// Through a tunnel of our own to the home agent.
    CoLocated {
        /// Its link.
        link: LinkId,
        /// The care-of address.
        care_of: CareOf,
        /// UDP port at the care-of address.
        port: u16,
        /// The far end of the tunnel.
        peer: forward::Peer,
        /// The tunnel at the place before, which still brings a copy of every packet; nothing is sent by it.
        previous: Option<forward::Peer>,
        /// Broadcasts of the home link come, and may be sent.
        broadcasts: bool,
    },
}

/// What a mobile node wants done.
#[derive(Debug)]
pub enum Effect {
    /// The home address is this from now on; routes that follow are for it.
    HomeAddress(Ipv4Addr),
    /// Change routes, neighbours and the tunnel.
    Route(Route),
    /// Keep this over a restart; answered by [`Request::Persisted`]. The last one given counts: a shell may pass over
    /// those that it overtook. Requests may wait for the answer.
    Persist {
        /// Names it in the answer.
        ticket: Ticket,
        /// What to keep.
        state: MobileNodeState,
    },
    /// Tell the operator.
    Notify(Event),
    /// The answer to [`Request::Deregister`]; the text says why not.
    Deregistered(Result<(), String>),
    /// The answer to [`Request::Renew`], once a registration was accepted; the text says why not.
    Renewed(Result<(), String>),
}

/// Where a mobile node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No link, or the binding was given up on purpose.
    Detached,
    /// No agent and no address is known yet.
    Discovering,
    /// A registration is asked for.
    Registering,
    /// Registered away from home.
    Registered,
    /// At home, and the home agent knows it.
    AtHome,
}

impl State {
    /// The words an operator sees.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Detached => "detached",
            Self::Discovering => "discovering",
            Self::Registering => "registering",
            Self::Registered => "registered",
            Self::AtHome => "at home",
        }
    }
}

/// What an operator may know of a mobile node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status<'a> {
    /// Where it stands.
    pub state: State,
    /// NAI of the foreign agent.
    pub agent: Option<&'a str>,
    /// The care-of address, registered or asked for.
    pub care_of: Option<Ipv4Addr>,
    /// "ipip", "minimal", "gre" or "udp" with a co-located care-of address.
    pub encapsulation: Option<&'static str>,
    /// When the registration ends; `None` without one and for an infinite lifetime.
    pub ends: Option<Instant>,
    /// Accepted registrations since enrolment.
    pub registrations: u64,
    /// Seconds that the home agent's clock is ahead of ours.
    pub clock_offset: i64,
}

/// How long the routes of the last process stand if nothing is heard.
const START_GRACE: Duration = Duration::from_secs(3);
/// Before a disk that failed is tried again.
const RETRY_DISK: Duration = Duration::from_secs(1);

/// The machine.
pub struct MobileNode {
    config: Config,
    keys: MobileHome,
    rng: Rng,
    outbox: Outbox<Effect>,
    links: BTreeMap<LinkId, Link>,
    attachment: Option<Attachment>,
    /// Targets that failed lately, and until when others are preferred.
    avoided: BTreeMap<Target, Instant>,
    /// No request before this (RFC 5944 section 3.6.3), unless the link layer says that we moved.
    not_before: Instant,
    clock: Timestamps,
    names: Names,
    /// Enrolled or assigned; 0.0.0.0 as long as there is none.
    home_address: Ipv4Addr,
    /// The home agent does not grant the assigned address any more: the next request asks for any.
    ask_any: bool,
    /// The last registration away from home, whose binding may stand still.
    away: Option<Away>,
    /// What is due waits until its index is on disk.
    waiting: bool,
    /// The disk took nothing: not asked again before this.
    disk_retry: Option<Instant>,
    registrations: u64,
    /// The last [`Effect::Route`]; `None` until the first, while the routes of the last process may stand.
    route: Option<Route>,
    /// When the registration that `route` stands for ends.
    route_ends: Option<Instant>,
    started: Instant,
    /// Routes could not be changed: nothing is begun before this.
    hold: Option<Instant>,
    /// The home agent refused the encapsulation that is wished for: it is not asked for before this.
    refused_until: Option<Instant>,
    /// The binding was given up on purpose: quiet until a link comes up.
    dormant: bool,
    /// Someone waits for [`Effect::Deregistered`].
    asked_to_deregister: bool,
    /// Someone waits for [`Effect::Renewed`].
    asked_to_renew: bool,
    /// Identifies our keepalives.
    echo: (u16, u16),
    counters: BTreeMap<String, u64>,
    revision: u64,
}

impl MobileNode {
    /// Starts with what the last process left. Links and addresses are reported by the first requests.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32], state: MobileNodeState, now: Now) -> Self {
        let keys = MobileHome::new(
            &config.nai,
            &config.home_realm,
            config.spi,
            config.cipher,
            config.key0.duplicate(),
        );
        let mut rng = Rng::from_seed(seed);
        let echo = (rng.u32() as u16, 0);
        let trial = Offer::new(&mut rng);
        let serves = |public: &[u8; 32]| trial.realm_key(public, &config.home_realm).is_some();
        let realm_keys = config.realm_keys.iter().copied().filter(|(_, public)| serves(public)).collect();
        let names = Names::new(config.one_time, realm_keys, &state);
        let home_address = match config.home_address {
            Ipv4Addr::UNSPECIFIED => state.home_address.unwrap_or(Ipv4Addr::UNSPECIFIED),
            enrolled => enrolled,
        };
        let mut node = Self {
            keys,
            rng,
            outbox: Outbox::default(),
            links: BTreeMap::new(),
            attachment: None,
            avoided: BTreeMap::new(),
            not_before: now.mono,
            clock: Timestamps::new(state.last_seconds, state.clock_offset, now),
            names,
            home_address,
            ask_any: false,
            away: None,
            waiting: false,
            disk_retry: None,
            registrations: state.registrations,
            route: None,
            route_ends: None,
            started: now.mono,
            hold: None,
            refused_until: None,
            dormant: false,
            asked_to_deregister: false,
            asked_to_renew: false,
            echo,
            counters: BTreeMap::new(),
            revision: 0,
            config,
        };
        node.reserve_due(now);
        node
    }

    /// Where it stands.
    #[must_use]
    pub fn status(&self) -> Status<'_> {
        let attachment = self.attachment.as_ref();
        let registration = attachment.and_then(|a| a.registration.as_ref());
        let state = match attachment {
            Some(a) if a.target.is_home() && a.settled() => State::AtHome,
            Some(_) if registration.is_some() => State::Registered,
            Some(_) => State::Registering,
            None if !self.dormant && self.links.values().any(|l| l.up.is_some()) => State::Discovering,
            None => State::Detached,
        };
        Status {
            state,
            agent: attachment.and_then(Attachment::agent_name),
            care_of: attachment.and_then(Attachment::care_of),
            encapsulation: registration.and_then(|r| r.peer).map(forward::Peer::name),
            ends: registration.and_then(|r| r.ends),
            registrations: self.registrations,
            clock_offset: self.clock.offset(),
        }
    }

    /// KEY 1, and KEY 3 through a foreign agent, of the registration in force; then those of the one before that are
    /// still received with.
    pub fn associations(&self) -> impl Iterator<Item = &Association> {
        let attachment = self.attachment.iter();
        let present =
            attachment.clone().filter_map(|a| a.registration.as_ref()).flat_map(|r| &r.associations);
        present.chain(attachment.flat_map(|a| a.retiring.iter().map(|(association, _)| association)))
    }

    /// What should survive a restart.
    #[must_use]
    pub fn state(&self) -> MobileNodeState {
        let mut state = MobileNodeState {
            last_seconds: self.clock.last(),
            clock_offset: self.clock.offset(),
            registrations: self.registrations,
            home_address: self.assigned().filter(|address| !address.is_unspecified()),
            ..MobileNodeState::default()
        };
        self.names.keep(&mut state);
        state
    }

    /// Its home address, enrolled or assigned; 0.0.0.0 as long as it has none.
    #[must_use]
    pub const fn home_address(&self) -> Ipv4Addr {
        self.home_address
    }

    /// The home address of a node that was enrolled without one.
    fn assigned(&self) -> Option<Ipv4Addr> {
        self.config.home_address.is_unspecified().then_some(self.home_address)
    }

    /// Counters by name.
    #[must_use]
    pub const fn counters(&self) -> &BTreeMap<String, u64> {
        &self.counters
    }

    /// Rises with everything that an operator could see.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// The configuration.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    fn count(&mut self, what: impl Into<String>) {
        *self.counters.entry(what.into()).or_default() += 1;
        self.revision += 1;
    }

    fn notify(&mut self, event: Event) {
        self.revision += 1;
        self.outbox.effect(Effect::Notify(event));
    }

    fn persist(&mut self) {
        self.revision += 1;
        let (ticket, state) = (self.names.writing(), self.state());
        self.outbox.effect(Effect::Persist { ticket, state });
    }

    fn persisted(&mut self, ticket: Ticket, result: Result<(), String>, now: Now) {
        self.names.written(ticket, result.is_ok());
        self.disk_retry = None;
        if let Err(reason) = result {
            self.disk_retry = Some(now.mono + RETRY_DISK);
            self.discard("state not kept", format!("the state could not be kept, trying again: {reason}"));
        }
    }

    /// Puts the next one-time index on disk.
    fn reserve_due(&mut self, now: Now) {
        if self.names.wants_disk() && self.disk_retry.is_none_or(|at| at <= now.mono) {
            self.persist();
        }
    }

    /// Silence on the wire, a line for the operator.
    fn discard(&mut self, counter: &'static str, text: impl Into<String>) {
        self.count(counter);
        self.notify(Event::new(EventKind::Discarded, text));
    }

    fn set_route(&mut self, route: Route, ends: Option<Instant>) {
        self.route_ends = ends;
        if self.route != Some(route) {
            self.route = Some(route);
            self.outbox.effect(Effect::Route(route));
        }
    }

    /// Everything that time or the last input made due.
    fn advance(&mut self, now: Now) {
        self.hold = self.hold.filter(|hold| *hold > now.mono);
        self.refused_until = self.refused_until.filter(|until| *until > now.mono);
        self.expire_agents(now);
        self.expire_route(now);
        self.expire_retired(now);
        self.reconsider(now);
        self.register_due(now);
        self.reserve_due(now);
        self.keepalive_due(now);
        self.solicit_due(now);
    }

    fn expire_route(&mut self, now: Now) {
        if self.untouched() && self.started + START_GRACE <= now.mono {
            self.set_route(Route::Detached, None);
        }
        if self.route_ends.is_some_and(|ends| ends <= now.mono) {
            self.registration_over(now);
            let route = self.bare_route();
            self.set_route(route, None);
        }
    }

    /// True while the routes of the last process may stand and nothing was found yet.
    const fn untouched(&self) -> bool {
        self.route.is_none() && self.attachment.is_none() && self.hold.is_none()
    }

    fn deadline(&self) -> Option<Instant> {
        let start = self.untouched().then(|| self.started + START_GRACE);
        let links = self.links.values().filter_map(Link::deadline).min();
        let attached = self.attachment.as_ref().and_then(|a| a.deadline(self.not_before, self.waiting));
        let avoided = self.avoided.values().copied().min();
        let disk = self.disk_retry.filter(|_| self.names.wants_disk());
        [start, self.hold, self.route_ends, links, attached, avoided, disk].into_iter().fold(None, earliest)
    }
}

impl Machine for MobileNode {
    type Request = Request;
    type Effect = Effect;

    fn handle(&mut self, input: Input<'_, Request>, now: Now) {
        if self.clock.watch(now) {
            self.count("clock jumped");
        }
        match input {
            Input::Datagram(Datagram::Link { link, from, packet }) => {
                self.take_packet(link, from, packet, now);
            }
            Input::Datagram(Datagram::Udp { source, destination, payload }) => {
                self.take_datagram(source, destination, payload, now);
            }
            Input::Request(request) => self.take_request(request, now),
            Input::Tick => {}
        }
        self.advance(now);
    }

    fn poll(&mut self) -> Output<Effect> {
        let deadline = self.deadline();
        self.outbox.poll(deadline)
    }
}

/// The last requests whose replies are still taken.
type Sent = VecDeque<request::Sent>;
