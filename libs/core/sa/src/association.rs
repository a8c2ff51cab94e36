//! What KEY 1, KEY 2 and KEY 3 give (docs/wire.md, key schedule): keys of their own for each direction and each index.

use crypto::{Integrity, Key, kdf};
use record::{Association, AssociationKind};
use wire::mip::Spi;

use crate::{Label, Way, schedule::derive};

/// Which end of an association somebody is: the first of mobile node – home agent, foreign agent – home agent and
/// mobile node – foreign agent, or the second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The mobile node, or the foreign agent in KEY 2.
    First,
    /// The home agent, or the foreign agent in KEY 3.
    Second,
}

/// Authenticates one direction of an association, with the algorithm that was agreed on.
pub struct Authenticator {
    spi: Spi,
    integrity: Integrity,
    key: Key,
}

impl Authenticator {
    /// Of what this end sends.
    #[must_use]
    pub fn sending(association: &Association, end: End) -> Self {
        Self {
            spi: association.outbound,
            integrity: association.suite.integrity,
            key: association_auth(association, end, true),
        }
    }

    /// Of what this end receives.
    #[must_use]
    pub fn receiving(association: &Association, end: End) -> Self {
        Self {
            spi: association.inbound,
            integrity: association.suite.integrity,
            key: association_auth(association, end, false),
        }
    }

    /// The index that names it on the wire.
    #[must_use]
    pub const fn spi(&self) -> Spi {
        self.spi
    }

    /// The authenticator over `covered`.
    #[must_use]
    pub fn authenticate(&self, covered: &[u8]) -> [u8; 32] {
        self.integrity.authenticate(&self.key, &[covered])
    }

    /// True if `authenticator` is that over `covered`, compared in constant time.
    #[must_use]
    pub fn verify(&self, covered: &[u8], authenticator: &[u8]) -> bool {
        self.integrity.verify(&self.key, &[covered], authenticator)
    }
}

/// The key that authenticates what an end of an association sends (`sending`) or receives.
#[must_use]
pub fn association_auth(association: &Association, end: End, sending: bool) -> Key {
    of_association(association, end, sending, Label::Auth)
}

/// The key that seals what an end of an association sends (`sending`) or receives.
#[must_use]
pub fn association_seal(association: &Association, end: End, sending: bool) -> Key {
    of_association(association, end, sending, Label::Seal)
}

fn of_association(association: &Association, end: End, sending: bool, label: fn(Way) -> Label) -> Key {
    let from_first = (end == End::First) == sending;
    let way = match (association.kind, from_first) {
        (AssociationKind::Key1, true) => Way::MnHa,
        (AssociationKind::Key1, false) => Way::HaMn,
        (AssociationKind::Key2, true) => Way::FaHa,
        (AssociationKind::Key2, false) => Way::HaFa,
        (AssociationKind::Key3, true) => Way::MnFa,
        (AssociationKind::Key3, false) => Way::FaMn,
    };
    let (own, peer) = (association.own.as_bytes(), association.peer.as_bytes());
    let names = if end == End::First { [own, peer] } else { [peer, own] };
    let mut context = Vec::with_capacity(own.len() + peer.len() + 8);
    for name in names {
        kdf::length_prefixed(&mut context, name);
    }
    // The receiver of a direction chose its index.
    let spi = if sending { association.outbound } else { association.inbound };
    context.extend_from_slice(&spi.0.to_be_bytes());
    derive(&association.key, label(way), &context)
}

#[cfg(test)]
mod tests {
    use record::Suite;

    use super::*;

    fn views(kind: AssociationKind) -> (Association, Association) {
        let first = Association {
            kind,
            inbound: Spi(1000),
            outbound: Spi(2000),
            suite: Suite::default(),
            key: Key::new([1; 32]),
            own: "first@home.example".into(),
            peer: "second@visited.example".into(),
            made: 0,
            ends: 1,
            confirmed: false,
            retires: None,
        };
        let mut second = first.duplicate();
        (second.inbound, second.outbound) = (first.outbound, first.inbound);
        second.own.clone_from(&first.peer);
        second.peer.clone_from(&first.own);
        (first, second)
    }

    #[test]
    fn what_one_end_sends_the_other_receives_and_nothing_is_reflected() {
        let mut seen = Vec::new();
        for kind in [AssociationKind::Key1, AssociationKind::Key2, AssociationKind::Key3] {
            let (first, second) = views(kind);
            let there = association_auth(&first, End::First, true);
            let back = association_auth(&first, End::First, false);
            assert!(there == association_auth(&second, End::Second, false));
            assert!(back == association_auth(&second, End::Second, true));
            assert!(there != back);
            seen.extend([there, back]);
        }
        for (i, key) in seen.iter().enumerate() {
            assert!(seen[..i].iter().all(|other| other != key), "each kind and direction has its own");
        }
    }

    #[test]
    fn every_part_of_an_association_changes_the_key() {
        let (base, _) = views(AssociationKind::Key3);
        let key = association_auth(&base, End::First, true);
        let changes: [fn(&mut Association); 4] = [
            |a| a.key = Key::new([2; 32]),
            |a| a.own = format!("{}x", a.own).into(),
            |a| a.peer = format!("{}x", a.peer).into(),
            |a| a.outbound = Spi(2001),
        ];
        for change in changes {
            let mut changed = base.duplicate();
            change(&mut changed);
            assert!(association_auth(&changed, End::First, true) != key);
        }
    }
}
