//! Who may say this: keys, sealing, authentication and replay protection of registration messages.
//!
//! Only this crate makes a [`Verified`] value, and every change of a binding or a visitor takes one:
//! nobody can forget to authenticate. The key schedule is that of docs/wire.md; key shares, one-time
//! indices and realm keys are not in use yet.
#![forbid(unsafe_code)]

mod agents;
mod issue;
mod mobile;
mod proof;
mod replay;
mod schedule;

pub use agents::AgentPath;
pub use issue::{
    KeyInfo, LIFETIME_FOREVER, SUITE, Suite, key_extension, open_keys, put_key, take_key, visit_name,
};
pub use mobile::MobileHome;
pub use proof::{Unverified, Verified};
pub use replay::{Replay, check_identification};
pub use schedule::{Direction, Transcript, put_sealed, sealed_plain};
