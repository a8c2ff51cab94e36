//! Revocation of registrations (RFC 3543 sections 3.2 to 3.4): extension 137, and the messages of type 7 and 15 with
//! what our nodes put behind their fixed parts (docs/wire.md): an address that is sealed, and 34, or 32 to and from a
//! mobile node.

use std::net::Ipv4Addr;

use super::{
    extension::{self, Authentication, FA_HA_AUTHENTICATION, MN_FA_AUTHENTICATION, MN_HA_AUTHENTICATION},
    ours::{self, Numbers, Protected, Subtype},
    part::Held,
};
use crate::{Error, Reader, Writer};

/// Message type of a registration revocation.
pub const REVOCATION: u8 = 7;
/// Message type of its acknowledgement.
pub const ACKNOWLEDGEMENT: u8 = 15;
/// Revocation support extension.
pub const SUPPORT: u8 = 137;

/// A: from the home agent.
const FLAG_A: u16 = 0x8000;
/// I: inform the mobile node.
const FLAG_I: u16 = 0x4000;

/// Revocation support, type 137: its sender takes revocations of this registration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Support {
    /// I: whether the mobile node is informed is left to the home agent.
    pub inform: bool,
    /// The sender's clock in seconds, modulo 2^32.
    pub timestamp: u32,
}

impl Support {
    /// Reads the data of extension 137; bytes beyond the six of today are passed over (RFC 3543 section 3.2).
    ///
    /// # Errors
    /// [`Error::Truncated`].
    pub fn parse(data: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new(data);
        Ok(Self { inform: r.u16()? & 0x8000 != 0, timestamp: r.u32()? })
    }

    /// Appends extension 137.
    pub fn emit(&self, w: &mut Writer) {
        w.u8(SUPPORT).u8(6).u16(u16::from(self.inform) << 15).u32(self.timestamp);
    }
}

/// The fixed part of a revocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Revocation {
    /// A: the home agent sent it. Else it could be reflected.
    pub from_home: bool,
    /// I.
    pub inform: bool,
    /// Home address; 0.0.0.0 when it is sealed.
    pub home_address: Ipv4Addr,
    /// The home agent.
    pub home_agent: Ipv4Addr,
    /// The foreign agent, or a co-located care-of address.
    pub care_of: Ipv4Addr,
    /// The sender's clock, the one of its 137.
    pub identifier: u32,
}

impl Revocation {
    /// Length of the fixed part in bytes.
    pub const LEN: usize = 20;

    /// Reads the fixed part from the front of a message. Reserved bits are ignored.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::TooLong`], or [`Error::Value`] if it is another message.
    pub fn parse(message: &[u8]) -> Result<Self, Error> {
        let (mut r, flags) = open(message, REVOCATION)?;
        Ok(Self {
            from_home: flags & FLAG_A != 0,
            inform: flags & FLAG_I != 0,
            home_address: r.ipv4()?,
            home_agent: r.ipv4()?,
            care_of: r.ipv4()?,
            identifier: r.u32()?,
        })
    }

    /// Writes the fixed part.
    pub fn emit(&self, w: &mut Writer) {
        let flags = if self.from_home { FLAG_A } else { 0 } | if self.inform { FLAG_I } else { 0 };
        w.u8(REVOCATION).u8(0).u16(flags).ipv4(self.home_address).ipv4(self.home_agent);
        w.ipv4(self.care_of).u32(self.identifier);
    }
}

/// The fixed part of an acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Acknowledgement {
    /// I: the mobile node was, or is to be, informed.
    pub inform: bool,
    /// As in the revocation.
    pub home_address: Ipv4Addr,
    /// As in the revocation.
    pub identifier: u32,
}

impl Acknowledgement {
    /// Length of the fixed part in bytes.
    pub const LEN: usize = 12;

    /// Reads the fixed part from the front of a message. Reserved bits are ignored.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::TooLong`], or [`Error::Value`] if it is another message.
    pub fn parse(message: &[u8]) -> Result<Self, Error> {
        let (mut r, flags) = open(message, ACKNOWLEDGEMENT)?;
        // Here I is the first of the two bytes' bits.
        Ok(Self { inform: flags & 0x8000 != 0, home_address: r.ipv4()?, identifier: r.u32()? })
    }

    /// Writes the fixed part.
    pub fn emit(&self, w: &mut Writer) {
        w.u8(ACKNOWLEDGEMENT).u8(0).u16(u16::from(self.inform) << 15);
        w.ipv4(self.home_address).u32(self.identifier);
    }
}

fn open(message: &[u8], kind: u8) -> Result<(Reader<'_>, u16), Error> {
    if message.len() > super::MAX_MESSAGE {
        return Err(Error::TooLong);
    }
    let mut r = Reader::new(message);
    if r.u8()? != kind {
        return Err(Error::Value("message type"));
    }
    let (_reserved, flags) = (r.u8()?, r.u16()?);
    Ok((r, flags))
}

/// A revocation or acknowledgement taken apart. Nothing is verified here.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// The whole message.
    pub bytes: &'a [u8],
    /// Bytes of its fixed part: 20 or 12.
    pub fixed: usize,
    /// Sub-type 2: the home address.
    pub ip: Option<Held<'a>>,
    /// Type of what authenticates it: 34 between agents, 32 between the home agent and a mobile node.
    pub kind: u8,
    /// 34 or 32, behind which nothing stands.
    pub authentication: Authentication<'a>,
}

impl<'a> Message<'a> {
    /// Takes apart what follows the fixed part of `fixed` bytes. `vendor` is the enterprise number that carries our
    /// extensions. Types from 128 on are passed over.
    ///
    /// # Errors
    /// Where framing, order or repetition is wrong; [`Error::Value`] without 34 and 32 or for an extension that is
    /// not understood.
    pub fn parse(bytes: &'a [u8], fixed: usize, vendor: u32) -> Result<Self, Error> {
        let extensions = extension::walk(bytes, fixed)?;
        let unsigned = Error::Value("no authentication by an agent or mobile node");
        let (last, others) = extensions.split_last().ok_or(unsigned)?;
        if !matches!(last.kind, FA_HA_AUTHENTICATION | MN_HA_AUTHENTICATION) {
            return Err(unsigned);
        }
        if last.end() != bytes.len() {
            return Err(Error::Trailing);
        }
        let mut ip = None;
        for e in others {
            if matches!(e.kind, MN_HA_AUTHENTICATION | MN_FA_AUTHENTICATION | FA_HA_AUTHENTICATION) {
                return Err(Error::Misplaced(e.kind));
            }
            let Some(ours) = ours::parse(e)? else {
                if e.kind < 128 {
                    return Err(Error::UnknownCritical(e.kind));
                }
                continue;
            };
            let numbered =
                matches!(ours.numbers, Numbers::Experimental) || ours.numbers == Numbers::Vendor(vendor);
            if !numbered || ours.subtype != Subtype::IP {
                return Err(Error::Value("extension of a revocation"));
            }
            let protected = Protected::parse(ours.body)?;
            let held = Held { extension: *e, numbers: ours.numbers, protected };
            if ip.replace(held).is_some() {
                return Err(Error::Misplaced(e.kind));
            }
        }
        Ok(Self { bytes, fixed, ip, kind: last.kind, authentication: last.authentication()? })
    }

    /// What 34 or 32 covers.
    #[must_use]
    pub fn covered(&self) -> &'a [u8] {
        self.bytes.get(..self.authentication.covered).unwrap_or_default()
    }

    /// Additional data of a sealed extension: the fixed part and the extension's header through the SPI.
    #[must_use]
    pub fn additional(&self, held: &Held<'_>) -> Vec<u8> {
        let from = held.extension.offset;
        let header = from..from + held.numbers.protected_header();
        [&self.bytes[..self.fixed], self.bytes.get(header).unwrap_or_default()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mip::{
        Spi,
        ours::{DOCUMENTATION_VENDOR as VENDOR, ip_owner},
    };

    const HOME_AGENT: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 2);
    const CARE_OF: Ipv4Addr = Ipv4Addr::new(10, 51, 1, 2);

    fn revocation() -> Revocation {
        Revocation {
            from_home: true,
            inform: false,
            home_address: Ipv4Addr::UNSPECIFIED,
            home_agent: HOME_AGENT,
            care_of: CARE_OF,
            identifier: 0xeeaa_0001,
        }
    }

    fn authentication(w: &mut Writer, kind: u8) {
        extension::open_authentication(w, kind, Spi(5000), 32);
        w.put(&[7; 32]);
    }

    fn ip(w: &mut Writer) {
        let sealed = Protected { content: ip_owner::HOST, sealed: true, spi: Spi(5000), info: &[9; 32] };
        sealed.emit(w, Numbers::Vendor(VENDOR), Subtype::IP).unwrap();
    }

    fn message(build: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut w = Writer::default();
        revocation().emit(&mut w);
        build(&mut w);
        w.into_bytes()
    }

    #[test]
    fn the_fixed_parts_as_the_standard_draws_them() {
        let mut w = Writer::default();
        revocation().emit(&mut w);
        let expected = [7, 0, 0x80, 0, 0, 0, 0, 0, 10, 11, 1, 2, 10, 51, 1, 2, 0xee, 0xaa, 0, 1];
        assert_eq!(w.bytes(), expected);
        assert_eq!(Revocation::parse(&expected), Ok(revocation()));
        let mut reserved = expected;
        (reserved[1], reserved[3]) = (0xff, 0xff);
        assert_eq!(Revocation::parse(&reserved), Ok(revocation()), "reserved bits are ignored");
        let ours = Revocation { from_home: false, inform: true, ..revocation() };
        let mut w = Writer::default();
        ours.emit(&mut w);
        assert_eq!((w.bytes()[2], Revocation::parse(w.bytes())), (0x40, Ok(ours)));
        let acknowledgement = Acknowledgement { inform: true, home_address: CARE_OF, identifier: 9 };
        let mut w = Writer::default();
        acknowledgement.emit(&mut w);
        assert_eq!(w.bytes(), [15, 0, 0x80, 0, 10, 51, 1, 2, 0, 0, 0, 9]);
        assert_eq!(Acknowledgement::parse(w.bytes()), Ok(acknowledgement));
        for end in 0..expected.len() {
            assert_eq!(Revocation::parse(&expected[..end]), Err(Error::Truncated));
        }
        assert!(Acknowledgement::parse(&expected).is_err() && Revocation::parse(w.bytes()).is_err());
        assert!(Acknowledgement::parse(&w.bytes()[..11]).is_err());
    }

    #[test]
    fn support_may_grow_and_not_shrink() {
        let support = Support { inform: true, timestamp: 0x0102_0304 };
        let mut w = Writer::default();
        support.emit(&mut w);
        assert_eq!(w.bytes(), [137, 6, 0x80, 0, 1, 2, 3, 4]);
        assert_eq!(Support::parse(&w.bytes()[2..]), Ok(support));
        assert_eq!(Support::parse(&[0x80, 0, 1, 2, 3, 4, 5, 6]), Ok(support));
        assert_eq!(Support::parse(&[0x80, 0, 1, 2, 3]), Err(Error::Truncated));
    }

    #[test]
    fn a_message_ends_with_34_and_holds_one_address() {
        let bytes = message(|w| {
            ip(w);
            authentication(w, 34);
        });
        let found = Message::parse(&bytes, Revocation::LEN, VENDOR).unwrap();
        let held = found.ip.unwrap();
        assert_eq!((held.protected.spi, found.authentication.spi), (Spi(5000), Spi(5000)));
        assert_eq!(found.covered().len(), bytes.len() - 32);
        assert_eq!(found.additional(&held), bytes[..Revocation::LEN + 16]);
        for kind in [34, 32] {
            let bytes = message(|w| authentication(w, kind));
            let found = Message::parse(&bytes, 20, VENDOR).unwrap();
            assert!(found.ip.is_none() && found.kind == kind);
        }
        assert!(Message::parse(&message(|w| authentication(w, 33)), 20, VENDOR).is_err());
        for cut in Revocation::LEN..bytes.len() {
            assert!(Message::parse(&bytes[..cut], Revocation::LEN, VENDOR).is_err(), "{cut}");
        }
    }

    #[test]
    fn repeated_misplaced_or_not_understood_is_refused() {
        let ours = |w: &mut Writer, vendor: u32, subtype: u16| {
            ours::put(w, Numbers::Vendor(vendor), Subtype(subtype), &[0; 16]).unwrap();
        };
        let wrong: [&dyn Fn(&mut Writer); 8] = [
            &|_| {},
            &|w| (0..2).for_each(|_| ip(w)),
            &|w| authentication(w, 32),
            &|w| authentication(w, 33),
            &|w| authentication(w, 34),
            &|w| ours(w, VENDOR, 1),
            &|w| ours(w, VENDOR + 1, 2),
            &|w| extension::put(w, extension::UDP_TUNNEL_REPLY, &[0; 6]).unwrap(),
        ];
        for (i, build) in wrong.iter().enumerate() {
            let bytes = message(|w| {
                build(w);
                if i > 0 {
                    authentication(w, 34);
                }
            });
            assert!(Message::parse(&bytes, Revocation::LEN, VENDOR).is_err(), "{i}");
        }
        let padded = message(|w| {
            authentication(w, 34);
            w.u8(0);
        });
        assert_eq!(Message::parse(&padded, Revocation::LEN, VENDOR).err(), Some(Error::Trailing));
        let skipped = message(|w| {
            extension::put(w, 250, &[]).unwrap();
            authentication(w, 34);
        });
        assert!(Message::parse(&skipped, Revocation::LEN, VENDOR).is_ok());
    }
}
