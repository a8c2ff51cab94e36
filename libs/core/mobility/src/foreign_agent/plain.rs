//! Mobile nodes without our extensions, where the operator serves them (RFC 5944 section 3.7, RFC 2794 section 3, RFC
//! 4721, docs/wire.md): the home address stands in clear, 132 behind 32 answers the challenge, and 33 or 36 behind it
//! proves who answers.
//!
//! They get no KEY 3: 33 is made with an association that the operator typed in on both sides, or there is none.

use std::{collections::BTreeMap, net::Ipv4Addr};

use crypto::Key;
use sa::{Algorithm, PlainAssociation, Verified};
use sansio::Now;
use wire::mip::{
    Spi,
    code::Code,
    extension::{self, Extension, GENERALIZED_AUTHENTICATION, MN_FA_AUTHENTICATION, MN_FA_CHALLENGE},
    part::Parts,
    registration::{Reply, Request},
};

use super::{
    ForeignAgent,
    challenge::Spender,
    pending::{Asker, Pending},
    proof::Signature,
    request::Refusal,
    visitors::Visiting,
};

/// A mobile node that shares an association with us (RFC 5944 section 3.5.3).
pub struct PlainNode {
    /// Its home address.
    pub home_address: Ipv4Addr,
    /// Index of 33 in both directions.
    pub spi: Spi,
    /// Key of 128 to 256 bits, with zeros behind it.
    pub key: Key,
    /// HMAC-MD5 instead of HMAC-SHA-256. Weak.
    pub md5: bool,
}

/// The associations of nodes without our extensions, by home address, where such nodes are served.
pub(super) fn associated(nodes: Option<Vec<PlainNode>>) -> Option<BTreeMap<Ipv4Addr, PlainAssociation>> {
    nodes.map(|nodes| nodes.into_iter().map(PlainNode::associated).collect())
}

impl PlainNode {
    fn associated(self) -> (Ipv4Addr, PlainAssociation) {
        let algorithm = if self.md5 { Algorithm::HmacMd5 } else { Algorithm::HmacSha256 };
        (self.home_address, PlainAssociation::new(self.spi, algorithm, self.key))
    }
}

/// What its home agent and we have to remember of a request in clear.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Clear {
    /// 131 of the request.
    nai: Option<Vec<u8>>,
    /// 132 was left in the relayed request for the sake of 36: the reply repeats it.
    challenge: Option<Vec<u8>>,
}

/// What the checks of such a request found.
pub(super) struct Answered<'a> {
    pub(super) challenge: &'a [u8],
    pub(super) spender: Spender,
    pub(super) clear: Clear,
    /// 132 and 36, where 36 stands: they are relayed as they are (RFC 4721 section 3.2).
    pub(super) behind: Vec<u8>,
}

impl ForeignAgent {
    /// True for a request that this agent serves without our extensions.
    pub(super) fn serves_plainly(&self, parts: &Parts<'_>) -> bool {
        self.plain_nodes.is_some() && parts.mobile.numbers.is_none()
    }

    /// Who answers which challenge, and how it proves that.
    pub(super) fn check_plain<'a>(
        &self,
        request: &Request,
        parts: &Parts<'a>,
    ) -> Result<Answered<'a>, Refusal> {
        let nai = parts.mobile.clear_nai;
        if request.home_address.is_unspecified() && nai.is_none() {
            return Err(Code::FA_HOME_ADDRESS.into());
        }
        let behind = behind_32(parts);
        let place = |kind: u8| behind.iter().position(|e| e.kind == kind);
        let (Some(challenge), Some(at)) = (parts.foreign.challenge, place(MN_FA_CHALLENGE)) else {
            return Err(Code::FA_MISSING_CHALLENGE.into());
        };
        let (aaa, proof) = (place(GENERALIZED_AUTHENTICATION), place(MN_FA_AUTHENTICATION));
        // 132, then 36, then 33, and nothing that 33 does not cover (RFC 4721 section 3.1).
        let last = proof.is_none_or(|proof| proof + 1 == behind.len() && ends(parts, &behind[proof]));
        if !last || aaa.is_some_and(|aaa| aaa < at) {
            return Err(Code::FA_BAD_REQUEST.into());
        }
        if let Some(association) = self.plain_association(request.home_address) {
            let claim = parts.foreign.mobile_foreign;
            if !claim.is_some_and(|claim| association.matches(parts, &claim)) {
                return Err(Code::FA_MN_AUTHENTICATION.into());
            }
        } else if proof.is_some() {
            return Err(Code::FA_MN_AUTHENTICATION.into());
        } else if aaa.is_none() {
            return Err(Refusal::Silence("request: a challenge that nothing proves"));
        }
        let of = |e: &Extension<'a>| parts.bytes[e.offset..e.end()].to_vec();
        let relayed = aaa.map(|aaa| [of(&behind[at]), of(&behind[aaa])].concat());
        let clear =
            Clear { nai: nai.map(<[u8]>::to_vec), challenge: aaa.is_some().then(|| challenge.to_vec()) };
        let spender = Spender::Node(parts.mobile_home.spi, request.home_address);
        Ok(Answered { challenge, spender, clear, behind: relayed.unwrap_or_default() })
    }

    /// What 33 of an answer to this station is made with, if its node shares an association with us.
    pub(super) fn plain_signature(&self, asker: &Asker) -> Option<Signature> {
        self.plain_association(asker.request.home_address).map(|a| Signature::Plain(a.duplicate()))
    }

    fn plain_association(&self, home_address: Ipv4Addr) -> Option<&PlainAssociation> {
        self.plain_nodes.as_ref()?.get(&home_address)
    }

    /// The visitor that an accepted registration in clear makes: what it grants stands in its fixed part.
    pub(super) fn visit_plainly(
        &self,
        pending: &Pending,
        clear: &Clear,
        reply: &Reply,
        message: Verified<&Parts<'_>>,
        now: Now,
    ) -> Result<Visiting, Code> {
        let part = &message.foreign;
        if !part.associations.is_empty() || part.ip.is_some() {
            return Err(Code::FA_BAD_REPLY);
        }
        let wanted = pending.asker.request.home_address;
        if clear.nai.is_some() && message.mobile.clear_nai != clear.nai.as_deref() {
            return Err(Code::FA_MISSING_NAI);
        }
        if reply.home_address.is_unspecified() {
            return Err(Code::FA_MISSING_HOME_ADDRESS);
        }
        if wanted.is_unspecified() && self.plain_association(reply.home_address).is_some() {
            // By its name alone it passed by the 33 that its home address asks for.
            return Err(Code::FA_MN_AUTHENTICATION);
        }
        let mut visiting = self.visitor(pending, reply, reply.home_address, &message, Vec::new(), now)?;
        // Without KEY 2 nothing could be revoked; and identifications may be nonces, which tell nothing of the order.
        (visiting.record.revocation, visiting.identification) = (None, None);
        Ok(visiting)
    }

    /// The visitor that an accepted deregistration in clear means, if we still have it.
    pub(super) fn leaving_plainly(&self, pending: &Pending, reply: &Reply) -> Option<Ipv4Addr> {
        let care_of = pending.asker.request.care_of;
        let home_address = reply.home_address;
        let ours = [self.config.care_of, home_address, Ipv4Addr::UNSPECIFIED].contains(&care_of);
        let visiting = self.visitors.find(home_address).filter(|_| ours)?;
        let same = visiting.record.home_agent == pending.home_agent();
        // One with keys is no such visitor: it proves itself by them.
        (same && visiting.record.associations.is_empty()).then_some(home_address)
    }
}

impl Clear {
    /// False for a reply to somebody else, or to another challenge.
    pub(super) fn fits(&self, request: &Request, reply: &Reply, parts: &Parts<'_>) -> bool {
        let wanted = request.home_address;
        let same = wanted == reply.home_address || wanted.is_unspecified();
        let challenged = parts.foreign.challenge;
        same && challenged.is_none_or(|challenge| self.challenge.as_deref() == Some(challenge))
    }
}

/// The extensions behind 32.
fn behind_32<'a>(parts: &Parts<'a>) -> Vec<Extension<'a>> {
    let all = extension::walk(parts.bytes, parts.fixed).unwrap_or_default();
    all.into_iter().filter(|e| e.offset >= parts.mobile_end).collect()
}

/// True if the message ends with this extension.
const fn ends(parts: &Parts<'_>, e: &Extension<'_>) -> bool {
    e.end() == parts.bytes.len()
}
