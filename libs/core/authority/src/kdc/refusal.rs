//! Why an ask is refused, in words that a person can act on.

use std::net::Ipv4Addr;

use record::{Nai, NaiError};
use thiserror::Error;

/// Why something was refused; nothing changed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Refusal {
    /// Not a network access identifier.
    #[error("{what} {text:?} is refused: {why}")]
    Nai {
        /// Whose.
        what: &'static str,
        /// As given, cut if long.
        text: String,
        /// What is wrong.
        why: NaiError,
    },
    /// An agent's name is too long for the wire and for a certificate.
    #[error("{what} {0} has {1} bytes; the name of an agent has at most 64", what = .2)]
    AgentName(String, usize, &'static str),
    /// Of another realm.
    #[error("{nai} is not in this realm: {realm} (in lower case) is expected after the @")]
    Realm {
        /// The identifier.
        nai: Nai,
        /// Ours.
        realm: String,
    },
    /// An address is not what it should be.
    #[error("the {what} {text:?} is refused: {why}")]
    Address {
        /// Which address.
        what: &'static str,
        /// As given, cut if long.
        text: String,
        /// What is wrong.
        why: &'static str,
    },
    /// Prefix length outside 1 to 32.
    #[error("the home prefix length is {0}; it must be from 1 to 32")]
    PrefixLength(u32),
    /// No such cipher.
    #[error("the cipher is unknown; aes-256-gcm, aes-128-gcm and chacha20-poly1305 are known")]
    Cipher,
    /// Lifetime outside 1 to 65535 seconds, or a limit above it.
    #[error("the lifetime is {0} s; it must be from {1} to 65535 s")]
    Lifetime(u32, u32),
    /// Longer than this subscriber may have.
    #[error("the lifetime is {asked} s; {nai} may have {limit} s at most")]
    LifetimeOfSubscriber {
        /// Seconds asked for.
        asked: u32,
        /// Seconds allowed.
        limit: u16,
        /// Whose.
        nai: Nai,
    },
    /// A reason that does not fit the audit trail.
    #[error("the reason has {0} bytes; at most 200 are kept")]
    Reason(usize),
    /// Enrolled twice.
    #[error("{0} is enrolled already; revoke it first to enrol it anew with another key")]
    AlreadyEnrolled(Nai),
    /// Two subscribers with one home address.
    #[error("the home address {address} belongs to {owner}")]
    HomeAddressTaken {
        /// The address.
        address: Ipv4Addr,
        /// Who has it.
        owner: Nai,
    },
    /// Nobody of that name.
    #[error("{0} is not enrolled")]
    UnknownSubscriber(Nai),
    /// Revoked.
    #[error("{0} is revoked")]
    RevokedSubscriber(Nai),
    /// No such grant.
    #[error("there is no association {0}, or it ended long ago")]
    UnknownAssociation(u64),
    /// Revoked or ended.
    #[error("the association {id} is {how} already")]
    AssociationOver {
        /// Which.
        id: u64,
        /// "revoked" or "ended".
        how: &'static str,
    },
    /// Registered twice.
    #[error("the home agent {0} is registered already")]
    AlreadyRegistered(String),
    /// A home agent that nobody registered.
    #[error("{0} is not a registered home agent; an administrator can register it")]
    NotRegistered(String),
    /// Somebody else's subscriber.
    #[error("{nai} is not a subscriber of {home_agent}: its home agent is {owner}")]
    NotItsSubscriber {
        /// Whose.
        nai: Nai,
        /// Who asked.
        home_agent: String,
        /// Whose it is.
        owner: Ipv4Addr,
    },
    /// The foreign agent carries the home agent's name.
    #[error("{0} cannot be home agent and foreign agent of the same registration")]
    AgentOfItself(String),
    /// Not 16 octets.
    #[error("the request id has {0} octets; it must have 16 random ones")]
    RequestId(usize),
    /// The same number for something else.
    #[error("the request id was used before, for another request")]
    RequestReused,
    /// An index that may not stand there.
    #[error("the security parameter indexes of {key} are refused: {why}")]
    Spi {
        /// "KEY 1", "KEY 2" or "KEY 3".
        key: &'static str,
        /// What is wrong.
        why: &'static str,
    },
    /// An overlap longer than allowed.
    #[error("the overlap is {asked} s; it must be from 0 (the old key ends at once) to {most} s ({} days)", most / 86_400)]
    Overlap {
        /// Seconds asked for.
        asked: u32,
        /// Seconds allowed.
        most: u32,
    },
    /// As many keys of the realm as mobile nodes can be told.
    #[error(
        "the realm has {0} valid keys already; rotate again when one of them has ended, or with overlap 0"
    )]
    RealmKeys(usize),
    /// The store did not take it.
    #[error("nothing was changed, try again later: {0}")]
    Store(String),
}

/// What kind of refusal, for the status code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// What was asked makes no sense.
    Invalid,
    /// What it is about does not exist.
    NotFound,
    /// It exists already.
    Exists,
    /// Its state does not allow it.
    State,
    /// Not for this caller.
    Denied,
    /// Cannot be done now.
    Unavailable,
}

impl Refusal {
    /// Every word that [`word`](Self::word) gives.
    pub const WORDS: [&str; 25] = [
        "name",
        "agent name",
        "realm",
        "address",
        "prefix length",
        "cipher",
        "lifetime",
        "lifetime of the subscriber",
        "reason",
        "already enrolled",
        "home address taken",
        "unknown subscriber",
        "revoked subscriber",
        "unknown association",
        "association over",
        "already registered",
        "home agent not registered",
        "subscriber of another home agent",
        "agent of itself",
        "request id",
        "request id reused",
        "security parameter index",
        "overlap",
        "realm keys",
        "store",
    ];

    /// What was refused, in a few words that are the same for everybody: to be counted by.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Nai { .. } => "name",
            Self::AgentName(..) => "agent name",
            Self::Realm { .. } => "realm",
            Self::Address { .. } => "address",
            Self::PrefixLength(_) => "prefix length",
            Self::Cipher => "cipher",
            Self::Lifetime(..) => "lifetime",
            Self::LifetimeOfSubscriber { .. } => "lifetime of the subscriber",
            Self::Reason(_) => "reason",
            Self::AlreadyEnrolled(_) => "already enrolled",
            Self::HomeAddressTaken { .. } => "home address taken",
            Self::UnknownSubscriber(_) => "unknown subscriber",
            Self::RevokedSubscriber(_) => "revoked subscriber",
            Self::UnknownAssociation(_) => "unknown association",
            Self::AssociationOver { .. } => "association over",
            Self::AlreadyRegistered(_) => "already registered",
            Self::NotRegistered(_) => "home agent not registered",
            Self::NotItsSubscriber { .. } => "subscriber of another home agent",
            Self::AgentOfItself(_) => "agent of itself",
            Self::RequestId(_) => "request id",
            Self::RequestReused => "request id reused",
            Self::Spi { .. } => "security parameter index",
            Self::Overlap { .. } => "overlap",
            Self::RealmKeys(_) => "realm keys",
            Self::Store(_) => "store",
        }
    }

    /// The kind of refusal.
    #[must_use]
    pub const fn class(&self) -> Class {
        match self {
            Self::Nai { .. }
            | Self::AgentName(..)
            | Self::Realm { .. }
            | Self::Address { .. }
            | Self::PrefixLength(_)
            | Self::Cipher
            | Self::Lifetime(..)
            | Self::LifetimeOfSubscriber { .. }
            | Self::Reason(_)
            | Self::Overlap { .. }
            | Self::AgentOfItself(_)
            | Self::RequestId(_)
            | Self::RequestReused
            | Self::Spi { .. } => Class::Invalid,
            Self::UnknownSubscriber(_) | Self::UnknownAssociation(_) => Class::NotFound,
            Self::AlreadyEnrolled(_) | Self::HomeAddressTaken { .. } | Self::AlreadyRegistered(_) => {
                Class::Exists
            }
            Self::RevokedSubscriber(_) | Self::AssociationOver { .. } | Self::RealmKeys(_) => Class::State,
            Self::NotRegistered(_) | Self::NotItsSubscriber { .. } => Class::Denied,
            Self::Store(_) => Class::Unavailable,
        }
    }
}
