//! Who may say this: keys, sealing, authentication and replay protection of registration messages.
//!
//! Only this crate makes a [`Verified`] value, and every change of a binding or a visitor takes one:
//! nobody can forget to authenticate. The key schedule is that of docs/wire.md.
#![forbid(unsafe_code)]

mod agents;
mod association;
mod issue;
mod label;
mod mobile;
pub mod negotiation;
mod nonce;
mod plain;
mod proof;
mod replay;
mod schedule;
mod share;

pub use agents::AgentPath;
pub use association::{Authenticator, End, association_auth, association_seal};
pub use issue::{
    KeyInfo, LIFETIME_FOREVER, Material, Own, key_extension, open_keys, put_key, put_key_with, take_key,
    visit_name,
};
pub use label::{Label, Way};
pub use mobile::MobileHome;
pub use nonce::{Nonces, check_nonce};
pub use plain::{Algorithm, PlainAssociation};
pub use proof::{Unverified, Verified};
pub use replay::{Replay, check_identification};
pub use schedule::{Direction, Transcript, put_sealed, put_sealed_with, sealed_plain, sealed_plain_with};
pub use share::{Exchange, Offer, ShareError, Unfinished, answer, realm_key_at_home};
