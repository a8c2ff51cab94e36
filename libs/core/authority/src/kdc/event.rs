//! What happens at a key distribution centre, for who watches it. Unlike the audit trail it is not kept.

use std::{fmt, sync::Arc};

use super::{Answer, Way};

/// Kinds of events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventKind {
    /// A mobile node was made known.
    SubscriberEnrolled,
    /// It got a new KEY 0.
    SubscriberRotated,
    /// It was ended.
    SubscriberRevoked,
    /// Its KEY 0 before the last rotation has ended.
    OverlapEnded,
    /// Keys were issued for a registration.
    AssociationIssued,
    /// An association was ended before its time.
    AssociationRevoked,
    /// A home agent was made known.
    HomeAgentRegistered,
    /// The realm got a new key.
    RealmKeyMade,
    /// A key of the realm has ended.
    RealmKeyEnded,
}

impl EventKind {
    /// The word that programs read.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::SubscriberEnrolled => "subscriber-enrolled",
            Self::SubscriberRotated => "subscriber-rotated",
            Self::SubscriberRevoked => "subscriber-revoked",
            Self::OverlapEnded => "overlap-ended",
            Self::AssociationIssued => "association-issued",
            Self::AssociationRevoked => "association-revoked",
            Self::HomeAgentRegistered => "home-agent-registered",
            Self::RealmKeyMade => "realm-key-made",
            Self::RealmKeyEnded => "realm-key-ended",
        }
    }
}

/// Something that happened, and is durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// What.
    pub kind: EventKind,
    /// To whom: a NAI or a number.
    pub subject: Arc<str>,
    /// More, for a person; no secret.
    pub detail: Detail,
}

/// What more there is to say; [`fmt::Display`] says it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Detail {
    /// In these words.
    Text(String),
    /// Keys were issued.
    Issued {
        /// Number of the grant.
        id: u64,
        /// Of the registration.
        way: Way,
    },
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Issued { id, way } => write!(f, "association {id} {way}"),
        }
    }
}

/// The event of an audited change; issues of keys make their own.
pub(super) const fn kind_of(done: &Answer) -> Option<EventKind> {
    match done {
        Answer::Enrolled(_) => Some(EventKind::SubscriberEnrolled),
        Answer::Rotated(_) => Some(EventKind::SubscriberRotated),
        Answer::Revoked { whole: true, .. } => Some(EventKind::SubscriberRevoked),
        Answer::Revoked { whole: false, .. } => Some(EventKind::AssociationRevoked),
        Answer::Registered => Some(EventKind::HomeAgentRegistered),
        Answer::RealmKey(_) => Some(EventKind::RealmKeyMade),
        Answer::WouldDo
        | Answer::Issued(_)
        | Answer::Noted
        | Answer::Changes(_)
        | Answer::Subscribers(_)
        | Answer::Subscriber { .. }
        | Answer::Grants(_)
        | Answer::HomeAgents(_)
        | Answer::RealmKeys(_) => None,
    }
}
