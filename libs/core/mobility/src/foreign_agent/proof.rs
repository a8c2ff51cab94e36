//! What a mobile node and we prove to each other: 33 under KEY 3, and the challenge that the next request answers
//! (RFC 5944 section 3.7.2.1, RFC 4721 section 3.3, docs/wire.md).

use std::net::Ipv4Addr;

use record::{Association, AssociationKind, Change};
use sa::{Authenticator, End, PlainAssociation};
use sansio::Now;
use wire::{
    Writer,
    mip::{
        Spi,
        code::Code,
        extension::{self, MN_FA_AUTHENTICATION, MN_FA_CHALLENGE, open_authentication},
        part::Parts,
        registration::Request,
    },
};

use super::{ForeignAgent, Work, pending::Asker, visitors::Visiting};
use crate::changeover;

/// The sender of a request holds this visitor's KEY 3.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Proof {
    /// Home address of the visitor.
    pub(super) visitor: Ipv4Addr,
    /// Our inbound index of the association.
    index: Spi,
}

/// Octets of an authenticator under KEY 3.
const AUTHENTICATOR: u8 = 32;

/// What 33 of a reply is made with.
pub(super) enum Signature {
    /// Under an association that the operator typed in.
    Plain(PlainAssociation),
    /// Under a KEY 3.
    Key3(Authenticator),
}

impl Signature {
    fn under(association: &Association) -> Self {
        Self::Key3(Authenticator::sending(association, End::Second))
    }

    fn sign(&self, w: &mut Writer) {
        match self {
            Self::Plain(association) => association.sign(w, MN_FA_AUTHENTICATION),
            Self::Key3(key3) => {
                open_authentication(w, MN_FA_AUTHENTICATION, key3.spi(), AUTHENTICATOR);
                let authenticator = key3.authenticate(w.bytes());
                w.put(&authenticator);
            }
        }
    }

    /// Under the KEY 3 that we receive with this index.
    pub(super) fn of_new(visiting: &Visiting, inbound: Spi) -> Option<Self> {
        let associations = &visiting.record.associations;
        changeover::receiving(associations, AssociationKind::Key3, inbound).map(Self::under)
    }

    /// Under the newest KEY 3 that is confirmed.
    pub(super) fn of_confirmed(visiting: &Visiting) -> Option<Self> {
        changeover::confirmed(&visiting.record.associations, AssociationKind::Key3).map(Self::under)
    }
}

impl ForeignAgent {
    /// Whose KEY 3 the sender of a request has shown to hold; nobody's without 33.
    pub(super) fn prove(&self, request: &Request, parts: &Parts<'_>) -> Result<Option<Proof>, Code> {
        let Some(claim) = parts.foreign.mobile_foreign else {
            return Ok(None);
        };
        // It covers what stands before it, so nothing may come after it (RFC 5944 section 3.6.1.3).
        if claim.covered + claim.authenticator.len() != parts.bytes.len() {
            return Err(Code::FA_BAD_REQUEST);
        }
        let held = self.visitors.receiving(AssociationKind::Key3, claim.spi);
        let Some((visiting, association)) = held.filter(|(v, _)| v.record.home_agent == request.home_agent)
        else {
            return Err(Code::FA_MN_AUTHENTICATION);
        };
        let key3 = Authenticator::receiving(association, End::Second);
        if !key3.verify(parts.covered(&claim), claim.authenticator) {
            return Err(Code::FA_MN_AUTHENTICATION);
        }
        Ok(Some(Proof { visitor: visiting.record.home_address, index: claim.spi }))
    }

    /// The mobile node has this association, so older ones retire. Nothing waits for the store here: should this be
    /// lost, the next request confirms it again.
    pub(super) fn confirm(&mut self, proof: Proof, now: Now) {
        let key = (AssociationKind::Key3, proof.index);
        let changed = self.visitors.change(proof.visitor, |visiting| {
            visiting.changeover.confirm(&mut visiting.record.associations, key, now)
        });
        if changed == Some(true) {
            self.count("associations confirmed");
            self.visitors.unsaved(proof.visitor);
        }
    }

    /// Adds to what the home agent said the challenge that this station's next request may answer and 33, which shows
    /// who added it.
    pub(super) fn with_our_proof(
        &mut self,
        asker: &Asker,
        used: &[u8],
        answer: Vec<u8>,
        signature: Option<&Signature>,
    ) -> Vec<u8> {
        let station = asker.station;
        let Some(beacon) = self.beacons.get_mut(&station.link) else {
            return answer;
        };
        let challenge = beacon.challenges.next(station.address, used, &mut self.rng);
        let mut w = Writer::after(answer);
        // The challenge has a fixed length that fits.
        let _ = extension::put(&mut w, MN_FA_CHALLENGE, &challenge);
        if let Some(signature) = signature {
            signature.sign(&mut w);
        }
        w.into_bytes()
    }

    /// Erases the associations whose time is over.
    pub(super) fn erase_associations(&mut self, now: Now) {
        while let Some(home_address) = self.visitors.erase_next(now.mono) {
            self.visitors.unsaved(home_address);
        }
    }

    /// Writes visitors whose associations were confirmed or erased. One whose renewal is with the store comes after
    /// that, so that the later state stands last.
    pub(super) fn save_visitors(&mut self) {
        for home_address in self.visitors.take_unsaved() {
            if self.being_changed(home_address) {
                self.visitors.unsaved(home_address);
            } else if let Some(visiting) = self.visitors.find(home_address) {
                let change = Change::PutVisitor(visiting.record.duplicate());
                self.persist(vec![change], Work::Forget);
            }
        }
    }
}
