//! Agent advertisement and agent solicitation: ICMP router discovery messages (RFC 1256) with the extensions
//! of RFC 5944 section 2.1, the challenge of RFC 4721 section 2 and the agent's name (RFC 3846, subtype 3 of
//! RFC 4857 section 8.2).
//!
//! Parsing and emitting only: which agent to believe and when to advertise is decided in `mobility`.

use std::{fmt, net::Ipv4Addr};

use crate::{
    Error, Reader, Writer,
    checksum::checksum,
    ip::icmp::{ROUTER_ADVERTISEMENT, ROUTER_SOLICITATION},
};

/// Time to live of advertisements and solicitations (RFC 5944 sections 2.1 and 2.2).
pub const TTL: u8 = 1;
/// All systems on the link: where advertisements go.
pub const ALL_SYSTEMS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
/// All routers on the link: where solicitations go.
pub const ALL_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 2);
/// All mobility agents on the link (RFC 5944 section 3.6.1.1).
pub const ALL_AGENTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 11);

/// The code of an agent that routes common traffic.
pub const CODE_ROUTER: u8 = 0;
/// The code of an agent that routes nothing but the traffic of its mobile nodes.
pub const CODE_MOBILE_ONLY: u8 = 16;

const PADDING: u8 = 0;
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

/// A router address with its rank (RFC 1256 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Router {
    /// An address of the sender on this link.
    pub address: Ipv4Addr,
    /// Higher is preferred.
    pub preference: i32,
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
                None => Self::Skipped {
                    kind,
                    data: data.to_vec(),
                },
            }),
        }
    }

    fn emit(&self, w: &mut Writer) -> Result<(), Error> {
        match self {
            Self::Padding(count) => {
                w.put(&vec![PADDING; *count]);
            }
            Self::MobilityAgent(agent) => agent.emit(w)?,
            Self::PrefixLengths(data) | Self::Challenge(data) | Self::Skipped { data, .. } => {
                w.u8(self.kind()).u8(length(data.len())?).put(data);
            }
            Self::AgentNai(name) => {
                w.u8(NAI_CARRYING)
                    .u8(length(name.len() + 1)?)
                    .u8(FOREIGN_AGENT_NAI)
                    .put(name.as_bytes());
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
        Ok(Self {
            sequence,
            lifetime,
            flags,
            care_of,
        })
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

/// A router advertisement, with extensions if an agent sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// [`CODE_ROUTER`] or [`CODE_MOBILE_ONLY`].
    pub code: u8,
    /// How long the advertisement holds, in seconds.
    pub lifetime: u16,
    /// Addresses of the sender on this link, at most 255.
    pub routers: Vec<Router>,
    /// Extensions in the order they stand in.
    pub extensions: Vec<Extension>,
}

impl Advertisement {
    /// Reads an ICMP message. Words of a router entry beyond the two of RFC 1256 are passed over.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Value`] with "message type" if it is another ICMP message.
    pub fn parse(message: &[u8]) -> Result<Self, Error> {
        let (mut r, code) = icmp(message, ROUTER_ADVERTISEMENT)?;
        if code != CODE_ROUTER && code != CODE_MOBILE_ONLY {
            return Err(Error::Value("code of the advertisement"));
        }
        let count = r.u8()?;
        let words = usize::from(r.u8()?);
        let lifetime = r.u16()?;
        if count > 0 && words < 2 {
            return Err(Error::Length("router entry"));
        }
        let routers = (0..count)
            .map(|_| router(&mut r, words))
            .collect::<Result<Vec<_>, _>>()?;
        let extensions = extensions(&mut r, routers.len())?;
        Ok(Self {
            code,
            lifetime,
            routers,
            extensions,
        })
    }

    /// The ICMP message, checksum included.
    ///
    /// # Errors
    /// [`Error::Length`] if an extension passes 255 bytes or there are more than 255 router addresses.
    pub fn to_vec(&self) -> Result<Vec<u8>, Error> {
        let count = u8::try_from(self.routers.len()).map_err(|_| Error::Length("router addresses"))?;
        let mut w = Writer::with_capacity(64);
        w.u8(ROUTER_ADVERTISEMENT)
            .u8(self.code)
            .u16(0)
            .u8(count)
            .u8(2)
            .u16(self.lifetime);
        for router in &self.routers {
            w.ipv4(router.address).put(&router.preference.to_be_bytes());
        }
        for extension in &self.extensions {
            extension.emit(&mut w)?;
        }
        Ok(with_checksum(w.into_bytes()))
    }

    /// Extension 16, if an agent sent this.
    #[must_use]
    pub fn agent(&self) -> Option<&MobilityAgent> {
        self.extensions.iter().find_map(|e| {
            if let Extension::MobilityAgent(a) = e {
                Some(a)
            } else {
                None
            }
        })
    }

    /// The prefix lengths of the router addresses, in their order; empty if they are not told.
    #[must_use]
    pub fn prefix_lengths(&self) -> &[u8] {
        self.extensions
            .iter()
            .find_map(|e| {
                if let Extension::PrefixLengths(l) = e {
                    Some(l.as_slice())
                } else {
                    None
                }
            })
            .unwrap_or_default()
    }

    /// The latest challenge of the agent.
    #[must_use]
    pub fn challenge(&self) -> Option<&[u8]> {
        self.extensions.iter().find_map(|e| {
            if let Extension::Challenge(c) = e {
                Some(c.as_slice())
            } else {
                None
            }
        })
    }

    /// The name of the agent; nothing is checked but that it is UTF-8 and not empty.
    #[must_use]
    pub fn agent_nai(&self) -> Option<&str> {
        self.extensions.iter().find_map(|e| {
            if let Extension::AgentNai(n) = e {
                Some(n.as_str())
            } else {
                None
            }
        })
    }
}

/// An agent solicitation: a router solicitation, sent with a time to live of 1 (RFC 5944 section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Solicitation;

impl Solicitation {
    /// Reads an ICMP message. Reserved bytes and extensions that may be skipped are passed over.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Value`] with "message type" if it is another ICMP message.
    pub fn parse(message: &[u8]) -> Result<Self, Error> {
        let (mut r, code) = icmp(message, ROUTER_SOLICITATION)?;
        if code != 0 {
            return Err(Error::Value("code of the solicitation"));
        }
        r.u32()?;
        while !r.is_empty() {
            match r.u8()? {
                PADDING => {}
                kind @ 1..=127 => return Err(Error::UnknownCritical(kind)),
                _ => {
                    let length = r.u8()?;
                    r.take(length.into())?;
                }
            }
        }
        Ok(Self)
    }

    /// The ICMP message, checksum included.
    #[must_use]
    pub fn to_vec(self) -> Vec<u8> {
        with_checksum(vec![ROUTER_SOLICITATION, 0, 0, 0, 0, 0, 0, 0])
    }
}

/// A reader behind the checksum of a message of type `kind`, and its code.
fn icmp(message: &[u8], kind: u8) -> Result<(Reader<'_>, u8), Error> {
    if message.len() > super::MAX_MESSAGE {
        return Err(Error::TooLong);
    }
    let mut r = Reader::new(message);
    if r.u8()? != kind {
        return Err(Error::Value("message type"));
    }
    let code = r.u8()?;
    r.u16()?;
    if r.remaining() < 4 {
        return Err(Error::Truncated);
    }
    if checksum(message) != 0 {
        return Err(Error::Checksum);
    }
    Ok((r, code))
}

fn router(r: &mut Reader<'_>, words: usize) -> Result<Router, Error> {
    let router = Router {
        address: r.ipv4()?,
        preference: i32::from_be_bytes(r.array()?),
    };
    r.take((words - 2) * 4)?;
    Ok(router)
}

fn extensions(r: &mut Reader<'_>, routers: usize) -> Result<Vec<Extension>, Error> {
    let mut all = Vec::new();
    while !r.is_empty() {
        let kind = r.u8()?;
        if kind == PADDING {
            if let Some(Extension::Padding(count)) = all.last_mut() {
                *count += 1;
            } else {
                all.push(Extension::Padding(1));
            }
            continue;
        }
        let length = r.u8()?;
        let extension = Extension::parse(kind, r.take(length.into())?, routers)?;
        let repeated = |e: &Extension| std::mem::discriminant(e) == std::mem::discriminant(&extension);
        if !matches!(extension, Extension::Skipped { .. }) && all.iter().any(repeated) {
            return Err(Error::Misplaced(kind));
        }
        all.push(extension);
    }
    Ok(all)
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

fn with_checksum(mut message: Vec<u8>) -> Vec<u8> {
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}
