//! Security associations made by a registration.

use std::sync::Arc;

use crypto::Key;
use wire::mip::Spi;

use crate::Suite;

/// Between whom.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AssociationKind {
    /// KEY 1: mobile node and home agent.
    Key1,
    /// KEY 2: foreign agent and home agent.
    Key2,
    /// KEY 3: mobile node and foreign agent.
    Key3,
}

impl AssociationKind {
    /// "KEY 1", "KEY 2" or "KEY 3".
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Key1 => "KEY 1",
            Self::Key2 => "KEY 2",
            Self::Key3 => "KEY 3",
        }
    }

    /// The two ends in short: the label of their part of a seed.
    #[must_use]
    pub const fn pair(self) -> &'static str {
        match self {
            Self::Key1 => "mn-ha",
            Self::Key2 => "fa-ha",
            Self::Key3 => "mn-fa",
        }
    }

    /// 1, 2 or 3.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Key1 => 1,
            Self::Key2 => 2,
            Self::Key3 => 3,
        }
    }

    /// The kind of that number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Key1),
            2 => Some(Self::Key2),
            3 => Some(Self::Key3),
            _ => None,
        }
    }
}

/// One security association as its owner sees it.
pub struct Association {
    /// Between whom.
    pub kind: AssociationKind,
    /// Index of what the owner receives.
    pub inbound: Spi,
    /// Index of what the owner sends.
    pub outbound: Spi,
    /// Algorithms, and how the key was made.
    pub suite: Suite,
    /// The key.
    pub key: Key,
    /// The owner's name; names are shared, for many associations have the same.
    pub own: Arc<str>,
    /// The peer's name.
    pub peer: Arc<str>,
    /// When it was made.
    pub made: u64,
    /// When it ends.
    pub ends: u64,
    /// Something verified under it: the peer has it too. Until then nothing is sent under it while an older one
    /// is confirmed.
    pub confirmed: bool,
    /// Set once a newer one took its place: it only receives, until then.
    pub retires: Option<u64>,
}

impl Association {
    /// A second copy, on purpose and by name, because it holds a key.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self {
            kind: self.kind,
            inbound: self.inbound,
            outbound: self.outbound,
            suite: self.suite,
            key: self.key.duplicate(),
            own: self.own.clone(),
            peer: self.peer.clone(),
            made: self.made,
            ends: self.ends,
            confirmed: self.confirmed,
            retires: self.retires,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There are three for each of a million bindings: a suite must fit into what was padding.
    #[test]
    fn an_association_takes_112_octets() {
        assert_eq!(size_of::<Association>(), 112);
    }
}
