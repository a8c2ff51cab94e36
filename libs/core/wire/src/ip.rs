//! IPv4 and what we carry in it: UDP, ICMP and another IPv4 packet (RFC 791, 768, 792, 2003, 2004, 2784).
//!
//! Parsers take bytes from a link or a tunnel, tolerate what a link layer adds after the total length, copy
//! nothing and never panic. Nothing here reassembles fragments or decides where a packet goes.

mod error;
pub mod gre;
pub mod icmp;
pub mod ipip;
pub mod ipv4;
pub mod minimal;
mod packet;
pub mod udp;

pub use error::Error;
pub use icmp::Icmp;
pub use ipv4::{Ipv4Header, Ipv4Packet, Protocol};
pub use packet::{IcmpPacket, UdpPacket, icmp_packet, parse_icmp, parse_udp, udp_packet};
