//! Revocations between agents under KEY 2, and by home agents to mobile nodes under KEY 1 (RFC 3543, docs/wire.md,
//! revocation): the home address is sealed, and the index of 34 or 32 names the visitor or binding. All roles make and
//! read them here.

use std::net::Ipv4Addr;

use crypto::Rng;
use record::{Association, AssociationKind};
use sa::{Authenticator, End, association_seal, put_sealed};
use wire::{
    Error, Writer,
    mip::{
        Spi,
        extension::{FA_HA_AUTHENTICATION, MN_HA_AUTHENTICATION, open_authentication},
        ours::{Numbers, Subtype, ip_owner, parse_ip},
        revocation::{Acknowledgement, Message, Revocation},
    },
};

/// Bytes of a SHA-256 authenticator.
const AUTHENTICATOR: u8 = 32;

/// KEY 2 or KEY 1 as one of its ends uses it for revocations.
pub struct Revoker<'a> {
    key: &'a Association,
    end: End,
}

impl<'a> Revoker<'a> {
    /// The end that holds this KEY 2 or KEY 1: the foreign agent or mobile node is the first, the home agent the
    /// second. `None` for another kind of association.
    #[must_use]
    pub fn new(key: &'a Association, end: End) -> Option<Self> {
        matches!(key.kind, AssociationKind::Key1 | AssociationKind::Key2).then_some(Self { key, end })
    }

    /// Type of the extension that authenticates.
    const fn extension(&self) -> u8 {
        match self.key.kind {
            AssociationKind::Key1 => MN_HA_AUTHENTICATION,
            AssociationKind::Key2 | AssociationKind::Key3 => FA_HA_AUTHENTICATION,
        }
    }

    /// The index that the receiver chose.
    const fn index(&self, sending: bool) -> Spi {
        if sending { self.key.outbound } else { self.key.inbound }
    }

    /// A whole revocation of this home address.
    ///
    /// # Errors
    /// Never in practice: all lengths are fixed.
    pub fn revoke(
        &self,
        fixed: &Revocation,
        home_address: Ipv4Addr,
        numbers: Numbers,
        rng: &mut Rng,
    ) -> Result<Vec<u8>, Error> {
        let mut w = Writer::default();
        fixed.emit(&mut w);
        let head = (Subtype::IP, ip_owner::HOST, self.index(true));
        let (key, plain) = (association_seal(self.key, self.end, true), home_address.octets());
        let cipher = self.key.suite.encryption;
        put_sealed(&mut w, Revocation::LEN, numbers, head, (cipher, &key), rng, &plain)?;
        Ok(self.signed(w))
    }

    /// A whole acknowledgement.
    #[must_use]
    pub fn acknowledge(&self, fixed: &Acknowledgement) -> Vec<u8> {
        let mut w = Writer::default();
        fixed.emit(&mut w);
        self.signed(w)
    }

    fn signed(&self, mut w: Writer) -> Vec<u8> {
        open_authentication(&mut w, self.extension(), self.index(true), AUTHENTICATOR);
        let authenticator = Authenticator::sending(self.key, self.end).authenticate(w.bytes());
        w.put(&authenticator);
        w.into_bytes()
    }

    /// True if the other end made this message.
    #[must_use]
    pub fn verifies(&self, message: &Message<'_>) -> bool {
        let claim = &message.authentication;
        let authenticator = Authenticator::receiving(self.key, self.end);
        let named = message.kind == self.extension() && claim.spi == authenticator.spi();
        named && authenticator.verify(message.covered(), claim.authenticator)
    }

    /// The home address in a revocation; `None` if it is missing, in clear or does not open.
    #[must_use]
    pub fn home_address(&self, message: &Message<'_>) -> Option<Ipv4Addr> {
        let held = message.ip.as_ref()?;
        let protected = &held.protected;
        if !protected.sealed || protected.content != ip_owner::HOST || protected.spi != self.index(false) {
            return None;
        }
        let (key, additional) = (association_seal(self.key, self.end, false), message.additional(held));
        let plain = crypto::aead::open(self.key.suite.encryption, &key, &additional, protected.info)?;
        parse_ip(&plain).ok()
    }
}

#[cfg(test)]
mod tests {
    use crypto::Key;
    use record::Suite;
    use wire::mip::ours::DOCUMENTATION_VENDOR as VENDOR;

    use super::*;

    const HOME_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 50);

    fn ends() -> [Association; 2] {
        ends_of(AssociationKind::Key2)
    }

    fn ends_of(kind: AssociationKind) -> [Association; 2] {
        let foreign = Association {
            kind,
            inbound: Spi(1000),
            outbound: Spi(2000),
            suite: Suite::default(),
            key: Key::new([1; 32]),
            own: "fa@visited.example".into(),
            peer: "ha@home.example".into(),
            made: 0,
            ends: 1,
            confirmed: false,
            retires: None,
        };
        let mut home = foreign.duplicate();
        (home.inbound, home.outbound) = (foreign.outbound, foreign.inbound);
        (home.own, home.peer) = (foreign.peer.clone(), foreign.own.clone());
        [foreign, home]
    }

    fn fixed(from_home: bool) -> Revocation {
        Revocation {
            from_home,
            inform: false,
            home_address: Ipv4Addr::UNSPECIFIED,
            home_agent: Ipv4Addr::new(10, 11, 1, 2),
            care_of: Ipv4Addr::new(10, 51, 1, 2),
            identifier: 7,
        }
    }

    #[test]
    fn each_end_reads_the_other_and_never_itself() {
        [AssociationKind::Key1, AssociationKind::Key2].into_iter().for_each(reads_the_other);
    }

    fn reads_the_other(kind: AssociationKind) {
        let [foreign, home] = ends_of(kind);
        let ends = [Revoker::new(&foreign, End::First).unwrap(), Revoker::new(&home, End::Second).unwrap()];
        for (from, to) in [(&ends[0], &ends[1]), (&ends[1], &ends[0])] {
            let mut rng = Rng::from_seed([1; 32]);
            let numbers = Numbers::Vendor(VENDOR);
            let bytes = from.revoke(&fixed(true), HOME_ADDRESS, numbers, &mut rng).unwrap();
            let message = Message::parse(&bytes, Revocation::LEN, VENDOR).unwrap();
            assert!(to.verifies(&message) && !from.verifies(&message));
            assert_eq!((to.home_address(&message), from.home_address(&message)), (Some(HOME_ADDRESS), None));
            let acknowledgement =
                Acknowledgement { inform: false, home_address: Ipv4Addr::UNSPECIFIED, identifier: 7 };
            let bytes = from.acknowledge(&acknowledgement);
            let message = Message::parse(&bytes, Acknowledgement::LEN, VENDOR).unwrap();
            assert!(to.verifies(&message) && !from.verifies(&message));
        }
    }

    #[test]
    fn every_byte_counts_and_no_other_key_serves() {
        let [mut foreign, home] = ends();
        let at_home = Revoker::new(&home, End::Second).unwrap();
        let mut rng = Rng::from_seed([1; 32]);
        let good = at_home.revoke(&fixed(true), HOME_ADDRESS, Numbers::Experimental, &mut rng).unwrap();
        let here = Revoker::new(&foreign, End::First).unwrap();
        for i in 0..good.len() {
            let mut changed = good.clone();
            changed[i] ^= 1;
            let right = Message::parse(&changed, Revocation::LEN, VENDOR).is_ok_and(|m| here.verifies(&m));
            assert!(!right, "byte {i}");
        }
        // The same key as another kind has other labels, and another extension carries it.
        foreign.kind = AssociationKind::Key1;
        let other = Revoker::new(&foreign, End::First).unwrap();
        let message = Message::parse(&good, Revocation::LEN, VENDOR).unwrap();
        assert!(!other.verifies(&message) && other.home_address(&message).is_none());
        foreign.kind = AssociationKind::Key3;
        assert!(Revoker::new(&foreign, End::First).is_none());
    }
}
