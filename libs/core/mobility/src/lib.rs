//! Mobile node, foreign agent and home agent: what each answers, and when.
//!
//! Three [`sansio::Machine`]s (RFC 5944 sections 2 and 3, docs/wire.md). They take time, randomness and
//! bytes from outside and give back values: what to send, what to make durable, what to tunnel. They open
//! no socket, read no clock and know no operating system.
#![forbid(unsafe_code)]

pub mod admission;
mod budget;
pub mod changeover;
pub mod event;
mod figures;
pub mod foreign_agent;
pub mod home_agent;
pub mod mobile_node;
pub mod notice;
mod past;
pub mod revocation;
mod telling;
mod trace;

pub use event::{Event, EventKey, EventKind, Negotiated};
pub use trace::Trace;

/// Names a piece of work that a shell was asked to do, so that its answer finds back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Ticket(pub u64);
