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
    /// Octets of it in the store.
    pub const LEN: usize = 5;

    /// As it stands in the store: encryption, integrity, mode, group.
    #[must_use]
    pub fn octets(&self) -> [u8; Self::LEN] {
        let encryption = match self.encryption {
            Cipher::Aes256Gcm => 1,
            Cipher::Aes128Gcm => 2,
            Cipher::ChaCha20Poly1305 => 3,
        };
        let integrity = match self.integrity {
            Integrity::HmacSha256 => 1,
            Integrity::HmacSha512 => 2,
        };
        let [high, low] = self.group.0.to_be_bytes();
        [encryption, integrity, self.mode.number(), high, low]
    }

    /// The suite of these octets.
    #[must_use]
    pub const fn from_octets([encryption, integrity, mode, high, low]: [u8; Self::LEN]) -> Option<Self> {
        let encryption = match encryption {
            1 => Cipher::Aes256Gcm,
            2 => Cipher::Aes128Gcm,
            3 => Cipher::ChaCha20Poly1305,
            _ => return None,
        };
        let integrity = match integrity {
            1 => Integrity::HmacSha256,
            2 => Integrity::HmacSha512,
            _ => return None,
        };
        let Some(mode) = Mode::from_number(mode) else {
            return None;
        };
        Some(Self { encryption, integrity, mode, group: Group(u16::from_be_bytes([high, low])) })
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_tell_every_suite_apart() {
        assert_eq!(Suite::default().octets(), [1, 1, 1, 0, 0], "what the store had before there were suites");
        let mut seen = std::collections::BTreeSet::new();
        for (encryption, _) in Cipher::ALL {
            for (integrity, _) in Integrity::ALL {
                for (mode, name) in Mode::ALL {
                    assert_eq!((mode.name(), Mode::from_name(name)), (name, Some(mode)));
                    for group in [Group(0), Group::X25519, Suite::OWN_GROUP] {
                        let suite = Suite { encryption, integrity, mode, group };
                        assert_eq!(Suite::from_octets(suite.octets()), Some(suite));
                        assert!(seen.insert(suite.octets()));
                    }
                }
            }
        }
        for wrong in [
            [0, 1, 1, 0, 0],
            [4, 1, 1, 0, 0],
            [1, 0, 1, 0, 0],
            [1, 3, 1, 0, 0],
            [1, 1, 0, 0, 0],
            [1, 1, 4, 0, 0],
        ] {
            assert_eq!(Suite::from_octets(wrong), None);
        }
    }
}
