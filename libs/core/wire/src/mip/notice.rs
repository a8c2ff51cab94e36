//! Notices that a registration is to be renewed now, in a message of the experimental type (RFC 4064 section 3,
//! docs/wire.md section 14a): from the home agent to whoever ends its tunnel, and from a foreign agent to its visitor.

use std::net::Ipv4Addr;

use super::extension::{
    Authentication, FA_HA_AUTHENTICATION, MN_FA_AUTHENTICATION, MN_HA_AUTHENTICATION, walk,
};
use crate::{Error, Reader, Writer};

/// Message type of all experiments (RFC 4064 section 3).
pub const NOTICE: u8 = 255;
/// The only kind of notice.
const RENEW: u8 = 1;

/// The fixed part of a notice: the registration that it is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Notice {
    /// Enterprise number that tells our experiment from others'.
    pub vendor: u32,
    /// The home agent.
    pub home_agent: Ipv4Addr,
    /// The care-of address.
    pub care_of: Ipv4Addr,
}

/// A notice taken apart. Nothing is verified here.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The fixed part.
    pub notice: Notice,
    /// Type of what authenticates it: 34 between agents, 32 from a home agent, 33 from a foreign agent to a mobile
    /// node.
    pub kind: u8,
    /// That, behind which nothing stands.
    pub authentication: Authentication<'a>,
    bytes: &'a [u8],
}

impl Notice {
    /// Length of the fixed part in bytes.
    pub const LEN: usize = 16;

    /// Writes the fixed part.
    pub fn emit(&self, w: &mut Writer) {
        w.u8(NOTICE).u8(RENEW).u16(0).u32(self.vendor).ipv4(self.home_agent).ipv4(self.care_of);
    }
}

impl<'a> Message<'a> {
    /// Takes a whole message apart: the fixed part and one extension.
    ///
    /// # Errors
    /// [`Error::Truncated`] and [`Error::TooLong`]; [`Error::Value`] for another message, kind or extension, and for
    /// reserved bits that are not zero.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        if bytes.len() > super::MAX_MESSAGE {
            return Err(Error::TooLong);
        }
        let mut r = Reader::new(bytes);
        if (r.u8()?, r.u8()?, r.u16()?) != (NOTICE, RENEW, 0) {
            return Err(Error::Value("message type"));
        }
        let notice = Notice { vendor: r.u32()?, home_agent: r.ipv4()?, care_of: r.ipv4()? };
        let extensions = walk(bytes, Notice::LEN)?;
        let [only] = extensions.as_slice() else {
            return Err(Error::Value("extensions of a notice"));
        };
        if !matches!(only.kind, MN_HA_AUTHENTICATION | MN_FA_AUTHENTICATION | FA_HA_AUTHENTICATION) {
            return Err(Error::Value("extension of a notice"));
        }
        // Padding would make two spellings of one message.
        if only.offset != Notice::LEN || only.end() != bytes.len() {
            return Err(Error::Trailing);
        }
        Ok(Self { notice, kind: only.kind, authentication: only.authentication()?, bytes })
    }

    /// What the authenticator covers.
    #[must_use]
    pub fn covered(&self) -> &'a [u8] {
        self.bytes.get(..self.authentication.covered).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mip::{Spi, extension::open_authentication};

    fn notice() -> Notice {
        Notice {
            vendor: 32473,
            home_agent: Ipv4Addr::new(10, 11, 1, 2),
            care_of: Ipv4Addr::new(10, 51, 1, 2),
        }
    }

    fn message(kinds: &[u8]) -> Vec<u8> {
        let mut w = Writer::default();
        notice().emit(&mut w);
        for kind in kinds {
            open_authentication(&mut w, *kind, Spi(5000), 32);
            w.put(&[7; 32]);
        }
        w.into_bytes()
    }

    #[test]
    fn the_fixed_part_as_the_wire_page_draws_it() {
        let mut w = Writer::default();
        notice().emit(&mut w);
        assert_eq!(w.bytes(), [255, 1, 0, 0, 0, 0, 0x7e, 0xd9, 10, 11, 1, 2, 10, 51, 1, 2]);
        assert_eq!(w.bytes().len(), Notice::LEN);
    }

    #[test]
    fn a_notice_is_what_was_written() {
        for kind in [32, 33, 34] {
            let bytes = message(&[kind]);
            let found = Message::parse(&bytes).unwrap();
            assert_eq!((found.notice, found.kind, found.authentication.spi), (notice(), kind, Spi(5000)));
            assert_eq!(found.covered().len(), bytes.len() - 32);
            for cut in 0..bytes.len() {
                assert!(Message::parse(&bytes[..cut]).is_err(), "{cut}");
            }
        }
    }

    #[test]
    fn repeated_missing_padded_or_not_understood_is_refused() {
        for kinds in [&[][..], &[34, 34], &[32, 34], &[36], &[131], &[200]] {
            assert!(Message::parse(&message(kinds)).is_err(), "{kinds:?}");
        }
        let good = message(&[34]);
        for (at, value) in [(0, 7), (1, 0), (1, 2), (2, 1), (3, 1)] {
            let mut changed = good.clone();
            changed[at] = value;
            assert!(Message::parse(&changed).is_err(), "byte {at}");
        }
        assert!(matches!(Message::parse(&[&good[..], &[0]].concat()), Err(Error::Trailing)));
        let padded = [&good[..Notice::LEN], &[0], &good[Notice::LEN..]].concat();
        assert!(matches!(Message::parse(&padded), Err(Error::Trailing)));
    }
}
