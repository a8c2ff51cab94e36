//! One fuzz target a parser.
//!
//! A target takes any bytes. It must not panic in the parser, and what the parser accepts has to come out
//! again byte for byte, except for bits that the standards say are ignored. The corpora in `corpus/NAME` are
//! replayed by `cargo test`, together with mutations of each file; `libfuzzer/` runs the same targets for as
//! long as one likes.

mod discovery;
mod notice;
mod ours;
mod packet;
mod registration;
mod revocation;

pub use discovery::{advertisement, solicitation, tunnel_data};
pub use notice::notice;
pub use ours::{
    agent_heard, association_info, cookie, cookie_reply, error_detail, handle, ip_info, key_share,
    negotiation, ours, protected, sealed_layer_2, sealed_nai,
};
pub use packet::{gre, icmp, icmp_packet, ipip, ipv4, minimal, udp, udp_packet};
pub use registration::{extensions, parts, registration_reply, registration_request};
pub use revocation::{revocation, revocation_support};

/// A fuzz target.
pub type Target = fn(&[u8]);

macro_rules! targets {
    ($($name:ident),* $(,)?) => {
        /// All targets by the name of their corpus.
        pub const TARGETS: &[(&str, Target)] = &[$((stringify!($name), $name as Target)),*];
    };
}

targets! {
    advertisement, agent_heard, association_info, cookie, cookie_reply, error_detail, extensions, gre, handle,
    icmp, icmp_packet, ip_info, ipip, ipv4, key_share, minimal, negotiation, notice, ours, parts, protected, registration_reply, registration_request, revocation,
    revocation_support, sealed_layer_2, sealed_nai, solicitation, tunnel_data, udp, udp_packet,
}
