//! What happened, for logs, for the operator and for reports.

use std::net::Ipv4Addr;

use crypto::Fingerprint;
use record::{Association, AssociationKind, Mode};
use wire::mip::{Spi, registration::Identification};

use crate::Trace;

/// What kind of thing happened.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum EventKind {
    /// A link came up.
    LinkUp,
    /// A link went down.
    LinkDown,
    /// A new agent, or one again after a move, was heard.
    AgentHeard,
    /// A co-located care-of address appeared on an interface.
    AddressAppeared,
    /// It went.
    AddressGone,
    /// Movement was detected.
    Moved,
    /// A registration request was sent.
    RequestSent,
    /// Foreign agent: a request was relayed to its home agent.
    RequestRelayed,
    /// A registration was accepted.
    Registered,
    /// A deregistration was accepted.
    Deregistered,
    /// A request was denied.
    Denied,
    /// Routes and tunnels of a mobile node stand.
    RouteInstalled,
    /// Home agent: a binding was made or renewed.
    BindingAdded,
    /// Home agent: a binding was removed or ended.
    BindingRemoved,
    /// Foreign agent: a visitor was added or renewed.
    VisitorAdded,
    /// Foreign agent: a visitor was removed or ended.
    VisitorRemoved,
    /// A message was discarded in silence.
    Discarded,
    /// A weak algorithm is in use, by policy.
    WeakAlgorithm,
    /// Somebody wants a registration renewed before its time.
    RenewalAsked,
}

impl EventKind {
    /// The word for it in logs and in the operator's schema.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::LinkUp => "link_up",
            Self::LinkDown => "link_down",
            Self::AgentHeard => "agent_heard",
            Self::AddressAppeared => "address_appeared",
            Self::AddressGone => "address_gone",
            Self::Moved => "moved",
            Self::RequestSent => "request_sent",
            Self::RequestRelayed => "request_relayed",
            Self::Registered => "registered",
            Self::Deregistered => "deregistered",
            Self::Denied => "denied",
            Self::RouteInstalled => "route_installed",
            Self::BindingAdded => "binding_added",
            Self::BindingRemoved => "binding_removed",
            Self::VisitorAdded => "visitor_added",
            Self::VisitorRemoved => "visitor_removed",
            Self::Discarded => "discarded",
            Self::WeakAlgorithm => "weak_algorithm",
            Self::RenewalAsked => "renewal_asked",
        }
    }
}

/// A key that a registration made, by name only.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventKey {
    /// KEY 1, 2 or 3.
    pub kind: AssociationKind,
    /// The two indices.
    pub spis: [Spi; 2],
    /// It reveals nothing of the key.
    pub fingerprint: Fingerprint,
}

impl EventKey {
    /// Names the key of an association.
    #[must_use]
    pub fn of(association: &Association) -> Self {
        Self {
            kind: association.kind,
            spis: [association.inbound, association.outbound],
            fingerprint: association.key.fingerprint(),
        }
    }
}

/// What was agreed on for one association, in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Negotiated {
    /// Between whom: "MN-HA", "MN-FA", "MN-SMM" or "HA-FA".
    pub association: &'static str,
    /// What was offered last, in order of preference.
    pub offered: String,
    /// Algorithms of it.
    pub agreed: String,
    /// Rounds that it took.
    pub rounds: u8,
    /// How its key is made.
    pub mode: Mode,
}

/// Something that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// What.
    pub kind: EventKind,
    /// Of which registration.
    pub trace: Option<Trace>,
    /// NAI of the agent concerned.
    pub agent: Option<String>,
    /// Care-of address.
    pub care_of: Option<Ipv4Addr>,
    /// Home address.
    pub home_address: Option<Ipv4Addr>,
    /// Reply code.
    pub code: Option<u8>,
    /// Lifetime in seconds.
    pub lifetime: Option<u16>,
    /// "ipip" or "udp".
    pub encapsulation: Option<&'static str>,
    /// Keys made.
    pub keys: Vec<EventKey>,
    /// Associations negotiated.
    pub negotiations: Vec<Negotiated>,
    /// A sentence for a person, without secrets.
    pub text: String,
}

impl Event {
    /// An event with nothing but a kind and a sentence.
    #[must_use]
    pub fn new(kind: EventKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            trace: None,
            agent: None,
            care_of: None,
            home_address: None,
            code: None,
            lifetime: None,
            encapsulation: None,
            keys: Vec::new(),
            negotiations: Vec::new(),
            text: text.into(),
        }
    }

    /// The same as part of the registration with this identification.
    #[must_use]
    pub fn of(mut self, identification: Identification) -> Self {
        self.trace = Some(Trace::of(identification));
        self
    }
}
