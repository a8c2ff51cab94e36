//! A mobility binding at the home agent (RFC 5944 section 3.8).

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    sync::Arc,
};

use crate::{Association, Nai, RevocationSupport};

/// How packets for a mobile node are tunnelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tunnel {
    /// IP in IP (RFC 2003) to this address.
    IpInIp(Ipv4Addr),
    /// Minimal encapsulation (RFC 2004) to this address.
    Minimal(Ipv4Addr),
    /// GRE (RFC 2784) to this address.
    Gre(Ipv4Addr),
    /// UDP (RFC 3519) to this address and port.
    Udp(SocketAddrV4),
}

impl Tunnel {
    /// "ipip", "minimal", "gre" or "udp".
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IpInIp(_) => "ipip",
            Self::Minimal(_) => "minimal",
            Self::Gre(_) => "gre",
            Self::Udp(_) => "udp",
        }
    }
}

/// Where a mobile node is.
pub struct Binding {
    /// Whose it is.
    pub nai: Nai,
    /// Its home address.
    pub home_address: Ipv4Addr,
    /// Its care-of address.
    pub care_of: Ipv4Addr,
    /// How to reach it there.
    pub tunnel: Tunnel,
    /// T: the mobile node's own packets come back through the tunnel.
    pub reverse_tunnel: bool,
    /// B: broadcasts of the home link go through the tunnel too.
    pub broadcasts: bool,
    /// Revocation was agreed on with the foreign agent, or with a mobile node that has an address of its own.
    pub revocation: Option<RevocationSupport>,
    /// NAI of the foreign agent, `None` with a co-located care-of address.
    pub foreign_agent: Option<Arc<str>>,
    /// Lifetime granted in seconds; 0xffff never ends.
    pub lifetime: u16,
    /// When it was granted.
    pub granted: u64,
    /// The keys made for it, as the home agent sees them: KEY 1, and KEY 2 through a foreign agent; oldest first.
    pub associations: Vec<Association>,
}

impl Binding {
    /// When it ends, in seconds since 1970; `None` for an infinite lifetime.
    #[must_use]
    pub fn ends(&self) -> Option<u64> {
        (self.lifetime != u16::MAX).then(|| self.granted.saturating_add(u64::from(self.lifetime)))
    }

    /// A second copy, on purpose and by name, because it holds keys.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self {
            nai: self.nai.clone(),
            home_address: self.home_address,
            care_of: self.care_of,
            tunnel: self.tunnel,
            reverse_tunnel: self.reverse_tunnel,
            broadcasts: self.broadcasts,
            revocation: self.revocation,
            foreign_agent: self.foreign_agent.clone(),
            lifetime: self.lifetime,
            granted: self.granted,
            associations: self.associations.iter().map(Association::duplicate).collect(),
        }
    }
}
