//! The labels of the key schedule (docs/wire.md, keys): what a derived key is for, and in which direction.

/// From whom to whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// Mobile node to home agent.
    MnHa,
    /// Home agent to mobile node.
    HaMn,
    /// Foreign agent to home agent.
    FaHa,
    /// Home agent to foreign agent.
    HaFa,
    /// Mobile node to foreign agent.
    MnFa,
    /// Foreign agent to mobile node.
    FaMn,
}

/// What a key is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Label {
    /// Authenticates messages of one direction.
    Auth(Way),
    /// Seals extensions of one direction.
    Seal(Way),
    /// Makes one-time security parameter indices.
    Spi,
    /// Seals a request that names its sender by the realm's key.
    SealRealm,
    /// Makes KEY 1 of an exchange.
    Key1,
    /// Makes KEY 2 of an exchange.
    Key2,
    /// Makes KEY 3 of an exchange.
    Key3,
}

impl Label {
    /// All that keys are derived with.
    pub const ALL: &'static [Self] = &[
        Self::Auth(Way::MnHa),
        Self::Auth(Way::HaMn),
        Self::Auth(Way::FaHa),
        Self::Auth(Way::HaFa),
        Self::Auth(Way::MnFa),
        Self::Auth(Way::FaMn),
        Self::Seal(Way::MnHa),
        Self::Seal(Way::HaMn),
        Self::Seal(Way::FaHa),
        Self::Seal(Way::HaFa),
        Self::Seal(Way::MnFa),
        Self::Seal(Way::FaMn),
        Self::Spi,
        Self::SealRealm,
        Self::Key1,
        Self::Key2,
        Self::Key3,
    ];

    /// The label as it goes into the derivation.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auth(Way::MnHa) => "auth mn>ha",
            Self::Auth(Way::HaMn) => "auth ha>mn",
            Self::Auth(Way::FaHa) => "auth fa>ha",
            Self::Auth(Way::HaFa) => "auth ha>fa",
            Self::Auth(Way::MnFa) => "auth mn>fa",
            Self::Auth(Way::FaMn) => "auth fa>mn",
            Self::Seal(Way::MnHa) => "seal mn>ha",
            Self::Seal(Way::HaMn) => "seal ha>mn",
            Self::Seal(Way::FaHa) => "seal fa>ha",
            Self::Seal(Way::HaFa) => "seal ha>fa",
            Self::Seal(Way::MnFa) => "seal mn>fa",
            Self::Seal(Way::FaMn) => "seal fa>mn",
            Self::Spi => "spi",
            Self::SealRealm => "seal realm",
            Self::Key1 => "key1",
            Self::Key2 => "key2",
            Self::Key3 => "key3",
        }
    }
}
