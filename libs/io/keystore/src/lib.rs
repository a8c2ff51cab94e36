//! The durable store of every daemon: one SQLite file with sealed secrets and group commit.
//!
//! A [`Store`] is loaded once at start and then takes lists of [`record::Change`]. A list is committed as a
//! whole or not at all, and what was acknowledged survives the death of the process and of the machine:
//! the log of the database is flushed to disk before the answer. Flushing is slow, so one writer takes
//! every list that waits, commits them in one transaction with one flush, and answers them together.
//!
//! Keys never reach the file in clear. Each is sealed with AES-256-GCM under a key of its own row, derived
//! from the key-encryption key, and bound to its table, column and row, so that a sealed key that was moved
//! elsewhere does not open. The columns that queries need stay readable.
//!
//! A store in use can be copied as of one moment ([`Store::snapshot`]); one that is not in use can be replaced by
//! such a copy ([`restore`]) and brought under another key-encryption key ([`reseal`]).
//!
//! What it never does: decide anything. What a change means, and whether it may happen, is known in the
//! cores; here only the compare-and-set of the last identification can refuse a list.
#![forbid(unsafe_code)]

mod error;
mod figures;
mod grant;
mod load;
mod open;
mod packed;
mod query;
mod reseal;
mod restore;
mod revocation;
mod row;
mod schema;
mod seal;
mod snapshot;
mod store;
mod write;
mod writer;

pub use error::{OpenError, ReadError};
pub use figures::{Figures, Spreading};
pub use load::Held;
pub use query::GrantFilter;
pub use reseal::{ResealError, Resealed, reseal};
pub use restore::{RestoreError, Restored, restore};
pub use snapshot::Snapshot;
pub use store::Store;
