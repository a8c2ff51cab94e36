//! The extensions of an advertisement, in the order they stand in (RFC 5944 sections 1.8 and 2.1).

use std::{fmt, net::Ipv4Addr};

use crate::{Error, Reader, Writer};

pub(super) const PADDING: u8 = 0;
const MOBILITY_AGENT: u8 = 16;
const PREFIX_LENGTHS: u8 = 19;
const CHALLENGE: u8 = 24;
const NAI_CARRYING: u8 = 136;
const FOREIGN_AGENT_NAI: u8 = 3;

/// The shortest challenge, in bytes.
pub const MIN_CHALLENGE: usize = 4;

/// The flags of a mobility agent, most significant bit first: R B H F M G r T U X I and five reserved ones.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct AgentFlags(pub u16);

impl AgentFlags {
    /// R: registration through a foreign agent is required even with a co-located care-of address.
    pub const REGISTRATION_REQUIRED: u16 = 0x8000;
    /// B: busy, takes no further mobile nodes.
    pub const BUSY: u16 = 0x4000;
    /// H: home agent on this link.
    pub const HOME_AGENT: u16 = 0x2000;
    /// F: foreign agent on this link.
    pub const FOREIGN_AGENT: u16 = 0x1000;
    /// M: receives minimal encapsulation.
    pub const MINIMAL: u16 = 0x0800;
    /// G: receives GRE encapsulation.
    pub const GRE: u16 = 0x0400;
    /// T: reverse tunnelling.
    pub const REVERSE_TUNNEL: u16 = 0x0100;
    /// U: UDP tunnelling; only from agents behind a NAT (RFC 3519 section 3.4).
    pub const UDP_TUNNEL: u16 = 0x0080;
    /// X: registration revocation (RFC 3543).
    pub const REVOCATION: u16 = 0x0040;
    /// I: regional registration (RFC 4857).
    pub const REGIONAL: u16 = 0x0020;

    /// True if every bit of `mask` is set.
    #[must_use]
    pub const fn has(self, mask: u16) -> bool {
        self.0 & mask == mask
    }
}

impl fmt::Debug for AgentFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in "RBHFMGrTUXI.....".chars().enumerate() {
            let set = self.0 & (0x8000 >> i) != 0;
            write!(f, "{}", if set { name } else { '-' })?;
        }
        Ok(())
    }
}

/// What makes a router advertisement an agent advertisement: extension 16 (RFC 5944 section 2.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MobilityAgent {
    /// Advertisements sent since the agent started; after 0xffff it goes on at 256.
    pub sequence: u16,
    /// Longest registration lifetime granted, in seconds; 0xffff is infinity.
    pub lifetime: u16,
    /// What the agent offers; reserved bits are kept as received and have no meaning.
    pub flags: AgentFlags,
    /// Care-of addresses offered, at least one from a foreign agent.
    pub care_of: Vec<Ipv4Addr>,
}

/// An extension of an advertisement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extension {
    /// This many padding bytes in a row.
    Padding(usize),
    /// Type 16.
    MobilityAgent(MobilityAgent),
    /// Type 19: the prefix length of each router address, in bits.
    PrefixLengths(Vec<u8>),
    /// Type 24: the latest challenge, at least four bytes.
    Challenge(Vec<u8>),
    /// Type 136, subtype 3: the name of the agent, not empty. One that is no UTF-8 is skipped.
    AgentNai(String),
    /// Any other that may be skipped: types 128 to 255.
    Skipped {
        /// Type field.
        kind: u8,
        /// Its data.
        data: Vec<u8>,
    },
}

impl Extension {
    const fn kind(&self) -> u8 {
        match self {
            Self::Padding(_) => PADDING,
            Self::MobilityAgent(_) => MOBILITY_AGENT,
            Self::PrefixLengths(_) => PREFIX_LENGTHS,
            Self::Challenge(_) => CHALLENGE,
            Self::AgentNai(_) => NAI_CARRYING,
            Self::Skipped { kind, .. } => *kind,
        }
    }

    /// Reads the data of an extension in an advertisement with this many router addresses.
    fn parse(kind: u8, data: &[u8], routers: usize) -> Result<Self, Error> {
        match kind {
            MOBILITY_AGENT => MobilityAgent::parse(data).map(Self::MobilityAgent),
            PREFIX_LENGTHS if data.len() != routers => Err(Error::Length("prefix lengths")),
            PREFIX_LENGTHS if data.iter().any(|&length| length > 32) => Err(Error::Value("prefix length")),
            PREFIX_LENGTHS => Ok(Self::PrefixLengths(data.to_vec())),
            CHALLENGE if data.len() < MIN_CHALLENGE => Err(Error::Length("challenge")),
            CHALLENGE => Ok(Self::Challenge(data.to_vec())),
            0..=127 => Err(Error::UnknownCritical(kind)),
            128..=255 => Ok(match agent_name(kind, data) {
                Some(name) => Self::AgentNai(name.to_owned()),
                None => Self::Skipped { kind, data: data.to_vec() },
            }),
        }
    }

    pub(super) fn emit(&self, w: &mut Writer) -> Result<(), Error> {
        match self {
            Self::Padding(count) => {
                w.put(&vec![PADDING; *count]);
            }
            Self::MobilityAgent(agent) => agent.emit(w)?,
            Self::PrefixLengths(data) | Self::Challenge(data) | Self::Skipped { data, .. } => {
                w.u8(self.kind()).u8(length(data.len())?).put(data);
            }
            Self::AgentNai(name) => {
                w.u8(NAI_CARRYING).u8(length(name.len() + 1)?).u8(FOREIGN_AGENT_NAI).put(name.as_bytes());
            }
        }
        Ok(())
    }
}

impl MobilityAgent {
    fn parse(data: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new(data);
        let sequence = r.u16()?;
        let lifetime = r.u16()?;
        let flags = AgentFlags(r.u16()?);
        let (addresses, rest) = r.rest().as_chunks::<4>();
        if !rest.is_empty() {
            return Err(Error::Length("mobility agent advertisement"));
        }
        if flags.has(AgentFlags::FOREIGN_AGENT) && addresses.is_empty() {
            return Err(Error::Value("foreign agent without a care-of address"));
        }
        let care_of = addresses.iter().copied().map(Ipv4Addr::from).collect();
        Ok(Self { sequence, lifetime, flags, care_of })
    }

    fn emit(&self, w: &mut Writer) -> Result<(), Error> {
        w.u8(MOBILITY_AGENT).u8(length(6 + 4 * self.care_of.len())?);
        w.u16(self.sequence).u16(self.lifetime).u16(self.flags.0);
        for address in &self.care_of {
            w.ipv4(*address);
        }
        Ok(())
    }
}

/// Reads all extensions to the end, of an advertisement with this many router addresses.
pub(super) fn all(r: &mut Reader<'_>, routers: usize) -> Result<Vec<Extension>, Error> {
    let mut found = Vec::new();
    while !r.is_empty() {
        let kind = r.u8()?;
        if kind == PADDING {
            if let Some(Extension::Padding(count)) = found.last_mut() {
                *count += 1;
            } else {
                found.push(Extension::Padding(1));
            }
            continue;
        }
        let length = r.u8()?;
        let extension = Extension::parse(kind, r.take(length.into())?, routers)?;
        let repeated = |e: &Extension| std::mem::discriminant(e) == std::mem::discriminant(&extension);
        if !matches!(extension, Extension::Skipped { .. }) && found.iter().any(repeated) {
            return Err(Error::Misplaced(kind));
        }
        found.push(extension);
    }
    Ok(found)
}

/// The name in a NAI-carrying extension of a foreign agent.
fn agent_name(kind: u8, data: &[u8]) -> Option<&str> {
    let (&subtype, name) = data.split_first()?;
    let ours = kind == NAI_CARRYING && subtype == FOREIGN_AGENT_NAI && !name.is_empty();
    ours.then(|| std::str::from_utf8(name).ok()).flatten()
}

fn length(bytes: usize) -> Result<u8, Error> {
    u8::try_from(bytes).map_err(|_| Error::Length("extension of an advertisement"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_in_the_order_of_the_rfc() {
        let flags = AgentFlags(AgentFlags::REGISTRATION_REQUIRED | AgentFlags::GRE | AgentFlags::REGIONAL);
        assert_eq!(format!("{flags:?}"), "R----G----I-----");
        assert!(flags.has(AgentFlags::GRE) && !flags.has(AgentFlags::GRE | AgentFlags::BUSY));
    }
}
