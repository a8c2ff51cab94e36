//! Changes that a core wants made durable, and the state that a start finds.

use std::net::Ipv4Addr;

use thiserror::Error;
use wire::mip::Spi;

use crate::{AuditEntry, Binding, Grant, HomeAgent, Nai, RealmKey, Revocation, Seen, Subscriber, Visitor};

/// One change. A list of them is committed as a whole or not at all.
pub enum Change {
    /// Inserts or replaces a subscriber.
    PutSubscriber(Subscriber),
    /// The home agent has all subscriber changes up to this number.
    SubscriberCursor(u64),
    /// Compare and set: the last identification that passed for this subscriber. The whole list is refused
    /// with [`CommitError::Conflict`] unless the stored one equals `previous`.
    Identification {
        /// Whose.
        nai: Nai,
        /// What is expected to stand, `None` for nothing.
        previous: Option<u64>,
        /// What shall stand.
        next: u64,
        /// Generation of KEY 0 that `index` belongs to.
        generation: u32,
        /// Highest index of a one-time security parameter index whose 32 verified.
        index: u64,
    },
    /// Inserts or replaces a key of the realm.
    PutRealmKey(RealmKey),
    /// Removes a key of the realm.
    RemoveRealmKey(Spi),
    /// Makes this the only binding of its home address, with its associations: all others of it are removed.
    PutBinding(Binding),
    /// Inserts or replaces the binding of its home address and care-of address, with its associations; others of that
    /// home address stay.
    AddBinding(Binding),
    /// Removes the binding of this home address and care-of address, with its associations.
    RemoveBinding {
        /// The home address.
        home_address: Ipv4Addr,
        /// The care-of address.
        care_of: Ipv4Addr,
    },
    /// Removes all bindings of a home address, with their associations.
    RemoveBindings(Ipv4Addr),
    /// Gives a home address to a subscriber that was enrolled without one, for as long as it is a subscriber. The whole
    /// list is refused with [`CommitError::Conflict`] if another one has that address, or this one another address.
    AssignAddress {
        /// Whose it is.
        nai: Nai,
        /// The address.
        home_address: Ipv4Addr,
    },
    /// Takes the assigned home address away from a subscriber.
    ReleaseAddress(Nai),
    /// Inserts or replaces the visitor of its home address, with its associations.
    PutVisitor(Visitor),
    /// Removes a visitor with its associations.
    RemoveVisitor(Ipv4Addr),
    /// Inserts or replaces a registration that was ended here, with its associations.
    PutRevocation(Revocation),
    /// The other end of that registration knows, or it would have ended by now.
    RemoveRevocation {
        /// Whose.
        home_address: Ipv4Addr,
        /// Its care-of address.
        care_of: Ipv4Addr,
    },
    /// Advertisement sequence numbers below this one may have been used on this link.
    ReserveSequence {
        /// Number of the link.
        link: u32,
        /// First number not reserved, 256 to 65536.
        below: u32,
    },
    /// Inserts or replaces a grant.
    PutGrant(Grant),
    /// Appends to the audit trail.
    Audit(AuditEntry),
    /// Inserts or replaces a home agent.
    PutHomeAgent(HomeAgent),
}

/// Why a list of changes was not committed; nothing of it was.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CommitError {
    /// A compare-and-set found another value.
    #[error("another change came first")]
    Conflict,
    /// The store cannot write now: full disk, locked, closed. The text is for the log.
    #[error("the store cannot write: {0}")]
    Unavailable(String),
}

/// Everything that a store holds, as a start finds it. Each daemon uses its own part.
#[derive(Default)]
pub struct State {
    /// Subscribers, in order of NAI.
    pub subscribers: Vec<Subscriber>,
    /// Highest subscriber change taken over.
    pub subscriber_cursor: u64,
    /// What was seen per subscriber, in order of NAI.
    pub seen: Vec<Seen>,
    /// Keys of the realm, in order of index.
    pub realm_keys: Vec<RealmKey>,
    /// Home addresses assigned to subscribers that were enrolled without one, in order of address.
    pub assigned: Vec<(Nai, Ipv4Addr)>,
    /// Bindings, in order of home address and care-of address.
    pub bindings: Vec<Binding>,
    /// Visitors, in order of home address.
    pub visitors: Vec<Visitor>,
    /// Registrations that were ended here and not acknowledged, in order of home and care-of address.
    pub revocations: Vec<Revocation>,
    /// Reserved advertisement sequence numbers: link and first number not reserved.
    pub sequences: Vec<(u32, u32)>,
    /// Grants issued lately, and those that were revoked and have not ended long ago; in order of number.
    pub grants: Vec<Grant>,
    /// The number of the newest grant of each subscriber that has one that has not ended long ago, in order of NAI.
    pub newest_grants: Vec<(Nai, u64)>,
    /// How many grants end when, in seconds since 1970; in order of time, those that have ended left out.
    pub grants_ending: Vec<(u64, u64)>,
    /// The longest time in seconds for which a grant runs that has not ended long ago.
    pub longest_grant: u64,
    /// Number of the last audit entry.
    pub last_audit: u64,
    /// Registered home agents, in order of name.
    pub home_agents: Vec<HomeAgent>,
}
