//! A visitor at a foreign agent, and what a mobile node remembers.

use std::net::Ipv4Addr;

use crate::{Association, RevocationSupport, Tunnel};

/// A mobile node that is registered through this foreign agent (RFC 5944 section 3.7).
pub struct Visitor {
    /// Its home address.
    pub home_address: Ipv4Addr,
    /// Number of the visited link in the foreign agent's configuration.
    pub link: u32,
    /// Its link address.
    pub link_address: [u8; 6],
    /// Its home agent.
    pub home_agent: Ipv4Addr,
    /// The care-of address it registered.
    pub care_of: Ipv4Addr,
    /// The tunnel to its home agent.
    pub tunnel: Tunnel,
    /// T: its own packets go back through the tunnel.
    pub reverse_tunnel: bool,
    /// It hands its packets over encapsulated to the foreign agent (RFC 3024 section 2), so that broadcasts can go
    /// back too.
    pub encapsulating_delivery: bool,
    /// B: broadcasts of its home link come through the tunnel.
    pub broadcasts: bool,
    /// Revocation was agreed on with the home agent.
    pub revocation: Option<RevocationSupport>,
    /// Lifetime granted in seconds; 0xffff never ends.
    pub lifetime: u16,
    /// When it was granted.
    pub granted: u64,
    /// KEY 2 and KEY 3 as the foreign agent sees them.
    pub associations: Vec<Association>,
}

impl Visitor {
    /// When it ends, in seconds since 1970; `None` for an infinite lifetime.
    #[must_use]
    pub fn ends(&self) -> Option<u64> {
        (self.lifetime != u16::MAX).then(|| self.granted.saturating_add(u64::from(self.lifetime)))
    }

    /// A second copy, on purpose and by name, because it holds keys.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self {
            home_address: self.home_address,
            link: self.link,
            link_address: self.link_address,
            home_agent: self.home_agent,
            care_of: self.care_of,
            tunnel: self.tunnel,
            reverse_tunnel: self.reverse_tunnel,
            encapsulating_delivery: self.encapsulating_delivery,
            broadcasts: self.broadcasts,
            revocation: self.revocation,
            lifetime: self.lifetime,
            granted: self.granted,
            associations: self.associations.iter().map(Association::duplicate).collect(),
        }
    }
}

/// What a mobile node keeps over a restart.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MobileNodeState {
    /// NTP seconds of the last request sent.
    pub last_seconds: u32,
    /// Seconds that the home agent's clock is ahead of ours, learned from authenticated replies only.
    pub clock_offset: i64,
    /// Accepted registrations since enrolment.
    pub registrations: u64,
    /// Highest index of a one-time security parameter index that may have been used; 0 before the first.
    pub index: u64,
    /// Highest of them that an authenticated reply confirmed.
    pub confirmed: u64,
    /// The indices are not known, because what kept them was lost: the next request names the mobile node by the
    /// realm's public key.
    pub lost: bool,
    /// The home address that was assigned to a node that was enrolled without one.
    pub home_address: Option<Ipv4Addr>,
}
