//! The network as a daemon sees it: sockets, TUN device, netlink, clocks, and the loop that drives a core.
//!
//! [`plan`] says what each role wants of the kernel, [`tunnel`] carries data beside it in threads of its own,
//! [`drive()`] runs a [`sansio::Machine`]. This crate decides nothing about registrations: it carries out.
//!
//! Everything acts on the network namespace of the thread that calls it and needs the capabilities to
//! administer it (`CAP_NET_ADMIN`, `CAP_NET_RAW`).

mod batch;
pub mod clock;
pub mod deliveries;
pub mod drive;
mod error;
mod error_queue;
pub mod intake;
pub mod link;
pub mod netlink;
pub mod plan;
mod raw;
mod sys;
pub mod sysctl;
mod tun;
pub mod tunnel;
pub mod udp;

pub use drive::drive;
pub use error::Error;
