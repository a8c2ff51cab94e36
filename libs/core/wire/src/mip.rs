//! Mobile IPv4: messages of UDP port 434 (RFC 5944, RFC 3519) and our own extensions (docs/wire.md).

pub mod advertisement;
pub mod code;
pub mod extension;
pub mod notice;
pub mod ours;
pub mod part;
pub mod registration;
pub mod revocation;
pub mod share;
pub mod tunnel_data;

/// The UDP port of registration messages and tunnel data (RFC 5944 section 3.3).
pub const PORT: u16 = 434;

/// The longest registration message that is taken, in bytes (docs/wire.md).
pub const MAX_MESSAGE: usize = 4096;

/// A security parameter index. 0 to 255 are reserved (RFC 5944 section 3.5.1); those of mobile nodes are
/// above 511, because 256 to 511 name realm keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Spi(pub u32);

impl Spi {
    /// The lowest index that may name an association of two agents.
    pub const FIRST: Self = Self(256);
    /// The lowest index that may name a mobile node's association.
    pub const FIRST_MOBILE_NODE: Self = Self(512);

    /// True for the indices of realm keys, 256 to 511 (docs/wire.md).
    #[must_use]
    pub const fn names_realm_key(self) -> bool {
        self.0 >= Self::FIRST.0 && self.0 < Self::FIRST_MOBILE_NODE.0
    }
}

impl std::fmt::Display for Spi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
