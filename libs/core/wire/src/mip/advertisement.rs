//! Agent advertisement and agent solicitation: ICMP router discovery messages (RFC 1256) with the extensions
//! of RFC 5944 section 2.1, the challenge of RFC 4721 section 2 and the agent's name (RFC 3846, subtype 3 of
//! RFC 4857 section 8.2).
//!
//! Parsing and emitting only: which agent to believe and when to advertise is decided in `mobility`.

use std::net::Ipv4Addr;

use crate::{Error, Reader, Writer, checksum::checksum, ip::icmp::ROUTER_ADVERTISEMENT};

mod extension;
mod solicitation;

pub use extension::{AgentFlags, Extension, MIN_CHALLENGE, MobilityAgent};
pub use solicitation::Solicitation;

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

/// A router address with its rank (RFC 1256 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Router {
    /// An address of the sender on this link.
    pub address: Ipv4Addr,
    /// Higher is preferred.
    pub preference: i32,
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
        let routers = (0..count).map(|_| router(&mut r, words)).collect::<Result<Vec<_>, _>>()?;
        let extensions = extension::all(&mut r, routers.len())?;
        Ok(Self { code, lifetime, routers, extensions })
    }

    /// The ICMP message, checksum included.
    ///
    /// # Errors
    /// [`Error::Length`] if an extension passes 255 bytes or there are more than 255 router addresses.
    pub fn to_vec(&self) -> Result<Vec<u8>, Error> {
        let count = u8::try_from(self.routers.len()).map_err(|_| Error::Length("router addresses"))?;
        let mut w = Writer::with_capacity(64);
        w.u8(ROUTER_ADVERTISEMENT).u8(self.code).u16(0).u8(count).u8(2).u16(self.lifetime);
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
        self.extensions.iter().find_map(|e| if let Extension::MobilityAgent(a) = e { Some(a) } else { None })
    }

    /// The prefix lengths of the router addresses, in their order; empty if they are not told.
    #[must_use]
    pub fn prefix_lengths(&self) -> &[u8] {
        self.extensions
            .iter()
            .find_map(|e| if let Extension::PrefixLengths(l) = e { Some(l.as_slice()) } else { None })
            .unwrap_or_default()
    }

    /// The latest challenge of the agent.
    #[must_use]
    pub fn challenge(&self) -> Option<&[u8]> {
        self.extensions
            .iter()
            .find_map(|e| if let Extension::Challenge(c) = e { Some(c.as_slice()) } else { None })
    }

    /// The name of the agent; nothing is checked but that it is UTF-8 and not empty.
    #[must_use]
    pub fn agent_nai(&self) -> Option<&str> {
        self.extensions.iter().find_map(
            |e| {
                if let Extension::AgentNai(n) = e { Some(n.as_str()) } else { None }
            },
        )
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
    let router = Router { address: r.ipv4()?, preference: i32::from_be_bytes(r.array()?) };
    r.take((words - 2) * 4)?;
    Ok(router)
}

fn with_checksum(mut message: Vec<u8>) -> Vec<u8> {
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A foreign agent: one router address, sequence 7, lifetime 600, flags F and T, one care-of address,
    /// prefix length 24, a challenge of eight bytes, a name. Written by hand from the layouts.
    const VECTOR: &[u8] = &[
        9, 0, 0xc8, 0xba, 1, 2, 0, 3, // type, code, checksum, 1 entry of 2 words, lifetime 3
        10, 21, 1, 1, 0, 0, 0, 0, // router address and preference
        16, 10, 0, 7, 2, 0x58, 0x11, 0, 10, 51, 1, 2, // mobility agent
        19, 1, 24, // prefix lengths
        24, 8, 1, 2, 3, 4, 5, 6, 7, 8, // challenge
        136, 5, 3, b'f', b'a', b'@', b'v', // name
    ];

    fn example() -> Advertisement {
        Advertisement {
            code: CODE_ROUTER,
            lifetime: 3,
            routers: vec![Router { address: Ipv4Addr::new(10, 21, 1, 1), preference: 0 }],
            extensions: vec![
                Extension::MobilityAgent(MobilityAgent {
                    sequence: 7,
                    lifetime: 600,
                    flags: AgentFlags(AgentFlags::FOREIGN_AGENT | AgentFlags::REVERSE_TUNNEL),
                    care_of: vec![Ipv4Addr::new(10, 51, 1, 2)],
                }),
                Extension::PrefixLengths(vec![24]),
                Extension::Challenge((1..=8).collect()),
                Extension::AgentNai("fa@v".into()),
            ],
        }
    }

    /// The vector with bytes appended or changed, and the checksum made right.
    fn changed(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut bytes = VECTOR.to_vec();
        change(&mut bytes);
        bytes[2..4].fill(0);
        with_checksum(bytes)
    }

    fn with_extension(bytes: &[u8]) -> Result<Advertisement, Error> {
        Advertisement::parse(&changed(|b| b.extend(bytes)))
    }

    #[test]
    fn parse() {
        let advertisement = Advertisement::parse(VECTOR).unwrap();
        assert_eq!(advertisement, example());
        assert_eq!(advertisement.agent().unwrap().sequence, 7);
        assert_eq!(advertisement.prefix_lengths(), [24]);
        assert_eq!(advertisement.challenge(), Some(&[1, 2, 3, 4, 5, 6, 7, 8][..]));
        assert_eq!(advertisement.agent_nai(), Some("fa@v"));
    }

    #[test]
    fn emit() {
        assert_eq!(example().to_vec().unwrap(), VECTOR);
    }

    #[test]
    fn a_plain_router_advertisement_has_no_agent() {
        let plain = Advertisement { extensions: Vec::new(), ..example() };
        let parsed = Advertisement::parse(&plain.to_vec().unwrap()).unwrap();
        assert_eq!(parsed, plain);
        assert_eq!(parsed.agent(), None);
        assert_eq!((parsed.prefix_lengths(), parsed.challenge(), parsed.agent_nai()), (&[][..], None, None));
    }

    #[test]
    fn truncated_at_every_length() {
        for n in 0..VECTOR.len() {
            let error = Advertisement::parse(&VECTOR[..n]).unwrap_err();
            let expected = if n == 0 || (1..8).contains(&n) { Error::Truncated } else { Error::Checksum };
            assert_eq!(error, expected, "{n} bytes");
        }
        // The same with checksums that match: only a cut between extensions is a message.
        let between = [16, 28, 31, 41];
        for n in (8..VECTOR.len()).filter(|n| !between.contains(n)) {
            let cut = Advertisement::parse(&changed(|b| b.truncate(n)));
            assert_eq!(cut, Err(Error::Truncated), "{n} bytes");
        }
        for n in between {
            assert!(Advertisement::parse(&changed(|b| b.truncate(n))).is_ok(), "{n} bytes");
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for bit in 0..VECTOR.len() * 8 {
            let mut bytes = VECTOR.to_vec();
            bytes[bit / 8] ^= 0x80 >> (bit % 8);
            assert!(Advertisement::parse(&bytes).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn unknown_extensions_by_the_rule() {
        assert_eq!(with_extension(&[25, 2, 1, 2]), Err(Error::UnknownCritical(25)));
        assert_eq!(with_extension(&[127, 0]), Err(Error::UnknownCritical(127)));
        let skipped = with_extension(&[128, 2, 1, 2]).unwrap();
        assert_eq!(skipped.extensions.last(), Some(&Extension::Skipped { kind: 128, data: vec![1, 2] }));
        assert_eq!(with_extension(&[128, 3, 1, 2]), Err(Error::Truncated));
    }

    #[test]
    fn other_names_of_the_nai_extension_are_skipped_and_kept() {
        for data in [&[136, 3, 1, b'h', b'a'][..], &[136, 1, 3], &[136, 0], &[136, 3, 3, 0xff, 0xfe]] {
            let message = changed(|b| {
                b.truncate(41);
                b.extend(data);
            });
            let parsed = Advertisement::parse(&message).unwrap();
            assert_eq!(parsed.agent_nai(), None);
            assert_eq!(parsed.to_vec().unwrap(), message);
        }
    }

    #[test]
    fn padding_and_skipped_extensions_are_kept() {
        let message = changed(|b| b.extend([0, 0, 0, 200, 1, 7, 200, 1, 7, 0]));
        let parsed = Advertisement::parse(&message).unwrap();
        assert_eq!(parsed.extensions.len(), 8);
        assert_eq!(parsed.to_vec().unwrap(), message);
    }

    #[test]
    fn a_repeated_extension_is_refused() {
        for (kind, bytes) in [
            (16, &[16, 10, 0, 7, 2, 0x58, 0x11, 0, 10, 51, 1, 2][..]),
            (19, &[19, 1, 24]),
            (24, &[24, 4, 9, 9, 9, 9]),
            (136, &[136, 2, 3, b'x']),
        ] {
            assert_eq!(with_extension(bytes), Err(Error::Misplaced(kind)));
        }
    }

    #[test]
    fn care_of_addresses_fill_the_extension() {
        let with = |agent: &[u8]| {
            Advertisement::parse(&changed(|b| {
                b.truncate(16);
                b.extend(agent);
            }))
        };
        assert!(with(&[16, 6, 0, 0, 0, 9, 0x20, 0]).is_ok());
        assert_eq!(
            with(&[16, 6, 0, 0, 0, 9, 0x10, 0]),
            Err(Error::Value("foreign agent without a care-of address"))
        );
        assert_eq!(
            with(&[16, 7, 0, 0, 0, 9, 0x20, 0, 1]),
            Err(Error::Length("mobility agent advertisement"))
        );
        assert_eq!(with(&[16, 5, 0, 0, 0, 9, 0x20]), Err(Error::Truncated));
    }

    #[test]
    fn values_that_cannot_be() {
        assert_eq!(Advertisement::parse(&changed(|b| b[30] = 33)), Err(Error::Value("prefix length")));
        let two_lengths = changed(|b| {
            b.truncate(28);
            b.extend([19, 2, 24, 24]);
        });
        assert_eq!(Advertisement::parse(&two_lengths), Err(Error::Length("prefix lengths")));
        let short_challenge = changed(|b| {
            b.truncate(31);
            b.extend([24, 3, 1, 2, 3]);
        });
        assert_eq!(Advertisement::parse(&short_challenge), Err(Error::Length("challenge")));
        assert_eq!(
            Advertisement::parse(&changed(|b| b[1] = 1)),
            Err(Error::Value("code of the advertisement"))
        );
        assert_eq!(Advertisement::parse(&changed(|b| b[5] = 1)), Err(Error::Length("router entry")));
        assert_eq!(Advertisement::parse(&changed(|b| b[0] = 10)), Err(Error::Value("message type")));
    }

    #[test]
    fn long_router_entries_are_read() {
        let long = changed(|b| {
            b[5] = 3;
            b.splice(16..16, [1, 2, 3, 4]);
        });
        assert_eq!(Advertisement::parse(&long), Ok(example()));
    }

    #[test]
    fn more_than_a_message_may_hold() {
        assert_eq!(Advertisement::parse(&changed(|b| b.resize(4097, 0))), Err(Error::TooLong));
        let care_of = vec![Ipv4Addr::LOCALHOST; 63];
        let agent = MobilityAgent { care_of, ..example().agent().unwrap().clone() };
        let long = Advertisement { extensions: vec![Extension::MobilityAgent(agent)], ..example() };
        assert_eq!(long.to_vec(), Err(Error::Length("extension of an advertisement")));
        let many = Advertisement { routers: vec![example().routers[0]; 256], ..example() };
        assert_eq!(many.to_vec(), Err(Error::Length("router addresses")));
    }
}
