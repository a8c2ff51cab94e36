//! What each role wants of the kernel: parameters, addresses, routes, neighbours, ARP.
//!
//! Every function can be repeated and leads from any earlier state, that of a killed process included, to the
//! state that it names. What we made is found again by its owner (see [`crate::netlink::Owner`]) and what is
//! no longer wanted is deleted after what is wanted was added, so that no packet finds a gap.

pub mod foreign_agent;
pub mod home_agent;
pub mod mobile_node;

pub use foreign_agent::ForeignAgent;
pub use home_agent::HomeAgent;
pub use mobile_node::MobileNode;

use crate::{error::Error, sysctl};

/// The mark of sockets whose packets go by the care-of address and never into the tunnel.
pub const MARK: u32 = 434;
/// The table of a foreign agent for packets from visitors.
pub const TABLE_VISITORS: u32 = 434;
/// The table of a mobile node for marked packets.
pub const TABLE_CARE_OF: u32 = 435;

/// Sets one parameter of IPv4 for each of `interfaces`.
fn configure(interfaces: &[&str], parameter: &str, value: &str) -> Result<(), Error> {
    interfaces
        .iter()
        .try_for_each(|interface| sysctl::set(&format!("net/ipv4/conf/{interface}/{parameter}"), value))
}

/// Takes packets whatever way the answers would take: tunnelled ones come from elsewhere than their source
/// says. Of this parameter the larger of `all` and the interface's counts.
fn accept_any_way(interfaces: &[&str]) -> Result<(), Error> {
    configure(&["all"], "rp_filter", "0")?;
    configure(interfaces, "rp_filter", "0")
}

/// Keeps routes in force while nobody holds the TUN device: a packet must rather be lost than leave untunnelled.
fn keep_routes_without_carrier(interfaces: &[&str]) -> Result<(), Error> {
    configure(&["all"], "ignore_routes_with_linkdown", "0")?;
    configure(interfaces, "ignore_routes_with_linkdown", "0")
}

/// Makes a host an agent: it forwards, takes packets any way, and tells nobody of a better way.
fn configure_agent(interfaces: &[&str]) -> Result<(), Error> {
    sysctl::set("net/ipv4/ip_forward", "1")?;
    accept_any_way(interfaces)?;
    keep_routes_without_carrier(interfaces)?;
    configure(interfaces, "forwarding", "1")?;
    configure(&["all"], "send_redirects", "0")?;
    configure(interfaces, "send_redirects", "0")
}
