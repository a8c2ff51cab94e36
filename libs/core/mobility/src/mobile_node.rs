//! The mobile node (RFC 5944 sections 2.4 and 3.6, docs/wire.md).
//!
//! It looks for agents, notices that it has moved, and registers where it is: at home, through a foreign
//! agent, or with an address of its own. Its identity leaves it sealed, or not at all, except on the home
//! link. Whatever is not authenticated by the home agent can make it wait or look elsewhere, never weaken
//! what it sends.
//!
//! It never sets a clock, never routes and never opens a socket: it emits [`Effect`]s and datagrams. What it
//! keeps over a restart need not be on disk before a request leaves: a lost last timestamp is at worst
//! repeated, the home agent then answers code 133 under authentication, and the next one is right.

mod clock;
mod discovery;
mod keepalive;
mod links;
mod movement;
mod register;
mod reply;
mod request;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    net::Ipv4Addr,
    time::Duration,
};

use crypto::{Cipher, Key, Rng};
use record::{Association, MobileNodeState, Nai};
use sa::MobileHome;
use sansio::{Datagram, Input, Instant, LinkAddress, LinkId, Machine, Now, Outbox, Output, earliest};
use wire::mip::{Spi, ours::Numbers};

use self::{
    clock::Timestamps,
    links::Link,
    movement::{Attachment, Target},
};
use crate::{Event, EventKind};

/// What a mobile node is told at start: its enrolment and its owner's wishes.
pub struct Config {
    /// Its name.
    pub nai: Nai,
    /// Its home realm.
    pub home_realm: String,
    /// Its home address.
    pub home_address: Ipv4Addr,
    /// Its home agent.
    pub home_agent: Ipv4Addr,
    /// Index of the association with the home agent.
    pub spi: Spi,
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
    /// Longest time between keepalives in a UDP tunnel (RFC 3519 section 4.9: 110 s).
    pub keepalive: Duration,
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
    /// The last [`Effect::Route`] could not be carried out.
    RouteFailed {
        /// Why, for the log.
        reason: String,
    },
    /// Give the binding up; answered by [`Effect::Deregistered`].
    Deregister,
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
    },
}

/// What a mobile node wants done.
#[derive(Debug)]
pub enum Effect {
    /// Change routes, neighbours and the tunnel.
    Route(Route),
    /// Keep this over a restart. Nothing waits for it; the last one given counts.
    Persist(MobileNodeState),
    /// Tell the operator.
    Notify(Event),
    /// The answer to [`Request::Deregister`]; the text says why not.
    Deregistered(Result<(), String>),
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
    /// "ipip" or "udp" with a co-located care-of address.
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
    registrations: u64,
    /// The last [`Effect::Route`]; `None` until the first, while the routes of the last process may stand.
    route: Option<Route>,
    /// When the registration that `route` stands for ends.
    route_ends: Option<Instant>,
    started: Instant,
    /// Routes could not be changed: nothing is begun before this.
    hold: Option<Instant>,
    /// The binding was given up on purpose: quiet until a link comes up.
    dormant: bool,
    /// Someone waits for [`Effect::Deregistered`].
    asked_to_deregister: bool,
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
        Self {
            keys,
            rng,
            outbox: Outbox::default(),
            links: BTreeMap::new(),
            attachment: None,
            avoided: BTreeMap::new(),
            not_before: now.mono,
            clock: Timestamps::new(state.last_seconds, state.clock_offset, now),
            registrations: state.registrations,
            route: None,
            route_ends: None,
            started: now.mono,
            hold: None,
            dormant: false,
            asked_to_deregister: false,
            echo,
            counters: BTreeMap::new(),
            revision: 0,
            config,
        }
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

    /// KEY 1, and KEY 3 through a foreign agent, of the registration in force.
    pub fn associations(&self) -> impl Iterator<Item = &Association> {
        self.attachment.iter().filter_map(|a| a.registration.as_ref()).flat_map(|r| &r.associations)
    }

    /// What should survive a restart.
    #[must_use]
    pub fn state(&self) -> MobileNodeState {
        MobileNodeState {
            last_seconds: self.clock.last(),
            clock_offset: self.clock.offset(),
            registrations: self.registrations,
            ..MobileNodeState::default()
        }
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
        let state = self.state();
        self.outbox.effect(Effect::Persist(state));
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
        self.expire_agents(now);
        self.expire_route(now);
        self.reconsider(now);
        self.register_due(now);
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
        let attached = self.attachment.as_ref().and_then(|a| a.deadline(self.not_before));
        let avoided = self.avoided.values().copied().min();
        [start, self.hold, self.route_ends, links, attached, avoided].into_iter().fold(None, earliest)
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
