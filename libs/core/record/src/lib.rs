//! What survives a restart: plain values without behaviour, and the changes that leave a core.
//!
//! One type per fact. SQL rows and gRPC messages are converted at the edge and nowhere else. Times are
//! seconds since 1970-01-01 unless a name says otherwise.
#![forbid(unsafe_code)]

mod association;
mod binding;
mod change;
mod grant;
mod name;
mod revocation;
mod subscriber;
mod suite;
mod visitor;

pub use association::{Association, AssociationKind};
pub use binding::{Binding, Tunnel};
pub use change::{Change, CommitError, State};
pub use grant::{AuditEntry, Grant, GrantKey, HomeAgent};
pub use name::{Nai, NaiError};
pub use revocation::{Revocation, RevocationSupport};
pub use subscriber::{Plain, RealmKey, RetiringKey, Seen, Subscriber, SubscriberState};
pub use suite::{Mode, Suite};
pub use visitor::{MobileNodeState, Visitor};
