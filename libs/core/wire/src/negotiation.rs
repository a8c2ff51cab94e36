//! Negotiation (docs/wire.md, negotiation): what two nodes propose to each other for a security association, as payloads
//! inside payloads. The shapes are those of figures 17 to 24 of the seed, with the widths that it leaves open decided.
//!
//! Every length and count is checked against what it counts, and nothing is guessed: what disagrees is malformed.

pub mod algorithm;
mod draw;
mod exchange;
mod proposal;
mod transform;

pub use draw::Drawing;
pub use exchange::KeyExchange;
pub use proposal::Proposal;
pub use transform::{Attribute, Transform};

use crate::{Error, Reader, Writer, mip::code::registry};

/// Most trees in one extension: one of each kind.
pub const MAX_TREES: usize = 4;
/// Most proposals in a tree.
pub const MAX_PROPOSALS: usize = 32;
/// Most transforms in a proposal.
pub const MAX_TRANSFORMS: usize = 32;
/// Most key exchanges in a proposal.
pub const MAX_EXCHANGES: usize = 16;

/// Which payload it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Payload(pub u8);

registry! {
    Payload, "unknown payload";
    /// Security association: a whole tree.
    ASSOCIATION = 1, "security association";
    /// Proposal: one protocol, with alternatives.
    PROPOSAL = 2, "proposal";
    /// Transform: one algorithm.
    TRANSFORM = 3, "transform";
    /// Key exchange: one way to a key.
    KEY_EXCHANGE = 4, "key exchange";
}

/// Between whom an association is negotiated: the sub-type of its payload.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Between(pub u8);

registry! {
    Between, "unknown kind of association";
    /// Mobile node and home agent: KEY 1.
    MN_HA = 1, "MN-HA";
    /// Mobile node and foreign agent: KEY 3.
    MN_FA = 2, "MN-FA";
    /// Home agent and foreign agent: KEY 2.
    HA_FA = 3, "HA-FA";
    /// Mobile node and serving mobility manager: KEY 3 with a foreign agent in that role.
    MN_SMM = 4, "MN-SMM";
}

/// What kind of algorithm a proposal is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Protocol(pub u8);

registry! {
    Protocol, "unknown protocol";
    /// Authentication: transforms are IKEv2's integrity algorithms.
    AUTHENTICATION = 1, "authentication";
    /// Encryption: transforms are IKEv2's encryption algorithms.
    ENCRYPTION = 2, "encryption";
    /// Pseudo-random function: transforms are IKEv2's pseudo-random functions.
    PRF = 3, "prf";
}

/// The body of the extension.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Negotiation<'a> {
    /// 1 for the first request and its reply, and one more for each request that answers a counter-proposal.
    pub round: u8,
    /// SHA-256 of all earlier bodies of the same part, in order; zeros if there is none.
    pub digest: [u8; 32],
    /// The trees, not read yet.
    trees: &'a [u8],
    /// All of it, as later digests cover it.
    body: &'a [u8],
}

impl<'a> Negotiation<'a> {
    /// Bytes before the trees: 34.
    pub const HEAD: usize = 34;

    /// Reads the head of a body. The trees are read by [`Self::trees`], once it is known who sent them.
    ///
    /// # Errors
    /// [`Error::Truncated`] for less than a head, [`Error::Value`] for round 0 or a reserved byte that is set.
    pub fn parse(body: &'a [u8]) -> Result<Self, Error> {
        let mut r = Reader::new(body);
        let (round, reserved) = (r.u8()?, r.u8()?);
        let digest = r.array()?;
        if round == 0 {
            return Err(Error::Value("round of a negotiation"));
        }
        if reserved != 0 {
            return Err(Error::Value("reserved byte of a negotiation"));
        }
        Ok(Self { round, digest, trees: r.rest(), body })
    }

    /// The body that it was read from.
    #[must_use]
    pub const fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The trees: at least one, each kind at most once.
    ///
    /// # Errors
    /// Whatever is wrong with any of them.
    pub fn trees(&self) -> Result<Vec<Tree<'a>>, Error> {
        let mut r = Reader::new(self.trees);
        let mut trees: Vec<Tree<'a>> = Vec::with_capacity(1);
        loop {
            let tree = Tree::parse(&mut r)?;
            if trees.iter().any(|other| other.between == tree.between) {
                return Err(Error::Value("two trees for one kind of association"));
            }
            trees.push(tree);
            if r.is_empty() {
                return Ok(trees);
            }
        }
    }

    /// The body of an extension with these trees.
    ///
    /// # Errors
    /// [`Error::Length`] if one of them does not fit its length field.
    pub fn emit(round: u8, digest: &[u8; 32], trees: &[Tree<'_>]) -> Result<Vec<u8>, Error> {
        let mut w = Writer::with_capacity(256);
        w.u8(round).u8(0).put(digest);
        trees.iter().try_for_each(|tree| tree.emit(&mut w))?;
        Ok(w.into_bytes())
    }
}

/// A security association payload with all that stands in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tree<'a> {
    /// Between whom.
    pub between: Between,
    /// One after the other with the same number belong together, all or nothing; numbers rise from one alternative to
    /// the next, in the sender's order of preference. None is a refusal.
    pub proposals: Vec<Proposal<'a>>,
}

impl<'a> Tree<'a> {
    /// Reads the next tree.
    ///
    /// # Errors
    /// [`Error`] for what is cut, counted wrongly, repeated, out of order or unknown.
    pub fn parse(r: &mut Reader<'a>) -> Result<Self, Error> {
        let (between, mut data) = open(r, Payload::ASSOCIATION)?;
        let between = Between(between);
        if !Between::NAMED.contains(&between) {
            return Err(Error::Value("sub-type of a security association payload"));
        }
        let mut proposals: Vec<Proposal<'a>> = Vec::new();
        while !data.is_empty() {
            if proposals.len() == MAX_PROPOSALS {
                return Err(Error::Length("number of proposals"));
            }
            let proposal = Proposal::parse(&mut data)?;
            let (number, protocol) = (proposal.number, proposal.protocol_number);
            let fits = proposals.last().map_or(number > 0 && protocol == 1, |last| {
                if last.number == number {
                    last.protocol_number.checked_add(1) == Some(protocol)
                } else {
                    number > last.number && protocol == 1
                }
            });
            if !fits {
                return Err(Error::Value("order of proposals"));
            }
            proposals.push(proposal);
        }
        Ok(Self { between, proposals })
    }

    /// Appends the payload.
    ///
    /// # Errors
    /// [`Error::Length`] if it does not fit its length field.
    pub fn emit(&self, w: &mut Writer) -> Result<(), Error> {
        put(w, Payload::ASSOCIATION, self.between.0, |w| self.proposals.iter().try_for_each(|p| p.emit(w)))
    }

    /// The alternatives: proposals with one number.
    pub fn alternatives(&self) -> impl Iterator<Item = &[Proposal<'a>]> {
        self.proposals.chunk_by(|a, b| a.number == b.number)
    }
}

/// Opens the next payload, which must be of this type: its sub-type, and what is in it.
fn open<'a>(r: &mut Reader<'a>, expected: Payload) -> Result<(u8, Reader<'a>), Error> {
    let (payload, subtype, length) = (Payload(r.u8()?), r.u8()?, usize::from(r.u16()?));
    if payload != expected {
        return Err(Error::Value("type of a payload"));
    }
    let data = length.checked_sub(HEAD).ok_or(Error::Length("payload"))?;
    let data = r.take(data).map_err(|_| Error::Length("payload"))?;
    Ok((subtype, Reader::new(data)))
}

/// Opens the next payload, which must be of this type and has no sub-types.
fn open_plain<'a>(r: &mut Reader<'a>, expected: Payload) -> Result<Reader<'a>, Error> {
    match open(r, expected)? {
        (0, data) => Ok(data),
        _ => Err(Error::Value("sub-type of a payload")),
    }
}

/// Bytes of a payload's own head: type, sub-type, length.
const HEAD: usize = 4;

/// Appends a payload with whatever `write` puts into it.
fn put(
    w: &mut Writer,
    payload: Payload,
    subtype: u8,
    write: impl FnOnce(&mut Writer) -> Result<(), Error>,
) -> Result<(), Error> {
    let from = w.len();
    w.u8(payload.0).u8(subtype).u16(0);
    write(w)?;
    let length = u16::try_from(w.len() - from).map_err(|_| Error::Length("payload"))?;
    w.bytes_mut()[from + 2..from + HEAD].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

#[cfg(test)]
mod tests;
