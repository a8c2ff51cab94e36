//! The packet path as pure functions: which way for a packet, and how it is wrapped and unwrapped.
//!
//! [`Table`] says where the packets of a home address go; [`encap`] and [`decap`] add and take away the outer
//! headers of IP in IP (RFC 2003), minimal encapsulation (RFC 2004), GRE (RFC 2784) and UDP tunnel data (RFC 3519
//! §3.3) in buffers of the caller that have [`HEADROOM`]; [`mtu`] cuts what does not fit; [`icmp_error`] tells the
//! sender; [`Duplicates`] takes out what came twice because a mobile node is bound at several places; [`segment`] and
//! [`coalesce`] are what hosts leave to network cards, [`glued`] is what kernels put together on the way, and [`mss`] keeps streams from packets that do not fit. We never
//! fragment outer packets. Nothing here allocates for a packet, reads a clock or knows a socket.

#![forbid(unsafe_code)]

pub mod coalesce;
pub mod decap;
pub mod duplicates;
pub mod encap;
pub mod glued;
mod header;
pub mod icmp_error;
pub mod mss;
pub mod mtu;
pub mod segment;
mod table;
pub mod udp_checksum;
mod verdict;

pub use duplicates::Duplicates;
pub use encap::HEADROOM;
pub use table::{
    Broadcasts, Delivery, Entry, GRE_MTU, IPIP_MTU, MINIMAL_MTU, Peer, Side, Station, Table, UDP_MTU,
};
pub use verdict::{Outer, Reason, Verdict};

#[cfg(test)]
mod testing;
