//! What every daemon shows of itself: what an agent answers on its Unix socket over gRPC, the TLS that a key distribution
//! centre is reached by, who a caller is by his certificate, and the client ends of both; metrics and health over HTTP.
//!
//! An operator's query never reaches a core: it is answered from the newest [`AgentSnapshot`] and from the
//! [`EventLog`]. Only a deregistration goes to the core, as a value over a channel.

mod agent;
mod caller;
pub mod client;
mod events;
mod files;
pub mod health;
pub mod http;
pub mod metrics;
mod services;
pub mod shown;
mod snapshot;
pub mod tls;
pub mod unix;

pub use agent::{Agent, AgentRequest, Look, Reload, reload};
pub use caller::{Caller, Role, caller};
pub use events::{EventLog, KEPT_EVENTS};
pub use files::FileError;
pub use snapshot::AgentSnapshot;
