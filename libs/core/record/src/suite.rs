//! What an association protects with, and how its key was made.

use crypto::{Cipher, Integrity};
use wire::mip::share::Group;

/// How the key of an association is made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Mode {
    /// The key distribution centre makes it.
    #[default]
    Stateful,
    /// Both ends make it of a seed that the key distribution centre made.
    SemiStateful,
    /// Both ends make it by a key exchange; nobody else knows it.
    Stateless,
}

impl Mode {
    /// All of them with their names in configuration files and reports.
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::Stateful, "stateful"), (Self::SemiStateful, "semi-stateful"), (Self::Stateless, "stateless")];

    /// The name in configuration files and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stateful => "stateful",
            Self::SemiStateful => "semi-stateful",
            Self::Stateless => "stateless",
        }
    }

    /// The mode of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, n)| *n == name).map(|(mode, _)| *mode)
    }

    /// Its number in the store.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Stateful => 1,
            Self::SemiStateful => 2,
            Self::Stateless => 3,
        }
    }

    /// The mode of that number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Stateful),
            2 => Some(Self::SemiStateful),
            3 => Some(Self::Stateless),
            _ => None,
        }
    }
}

/// Algorithms of an association and the way its key was made; the default is what stands where nothing was negotiated.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Suite {
    /// Seals.
    pub encryption: Cipher,
    /// Authenticates.
    pub integrity: Integrity,
    /// How the key was made.
    pub mode: Mode,
    /// By which group, if by a key exchange; else 0. A group of the peers' own is 65535.
    pub group: Group,
}

impl Suite {
    /// Stands for a group that one of the peers brought along.
    pub const OWN_GROUP: Group = Group(u16::MAX);
}

impl Default for Suite {
    fn default() -> Self {
        Self {
            encryption: Cipher::default(),
            integrity: Integrity::default(),
            mode: Mode::default(),
            group: Group(0),
        }
    }
}
