//! Revocation of registrations (RFC 3543): what was agreed on, and what the other end does not know yet.

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::Association;

/// What both ends of a registration agreed on (RFC 3543 section 3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RevocationSupport {
    /// The other end's timestamp in its extension 137: its revocations of this registration are later.
    pub timestamp: u32,
    /// The home agent decides whether the mobile node is told.
    pub inform: bool,
}

/// A registration that was ended here, of which the other end has to be told until it acknowledges.
pub struct Revocation {
    /// Whose.
    pub home_address: Ipv4Addr,
    /// Its care-of address; no two of a home address have the same one.
    pub care_of: Ipv4Addr,
    /// Its home agent.
    pub home_agent: Ipv4Addr,
    /// Who is told, and at which port.
    pub peer: SocketAddrV4,
    /// Flag I of what is sent.
    pub inform: bool,
    /// When the registration would have ended; `None` never. Nobody is told later than that.
    pub ends: Option<u64>,
    /// KEY 2, or KEY 1 if the mobile node itself is told: all that may be known there, oldest first.
    pub associations: Vec<Association>,
}

impl Revocation {
    /// A second copy, on purpose and by name, because it holds keys.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self { associations: self.associations.iter().map(Association::duplicate).collect(), ..*self }
    }
}
