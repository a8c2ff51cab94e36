//! Agent solicitation (RFC 5944 section 2.2): asks the agents on a link to advertise at once.

use super::{extension::PADDING, icmp, with_checksum};
use crate::{Error, ip::icmp::ROUTER_SOLICITATION};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solicitation() {
        let bytes = Solicitation.to_vec();
        assert_eq!(bytes, [10, 0, 0xf5, 0xff, 0, 0, 0, 0]);
        assert_eq!(Solicitation::parse(&bytes), Ok(Solicitation));
        for n in 0..bytes.len() {
            assert_eq!(Solicitation::parse(&bytes[..n]), Err(Error::Truncated), "{n} bytes");
        }
    }

    #[test]
    fn solicitation_with_more_behind() {
        let parse =
            |tail: &[u8]| Solicitation::parse(&with_checksum([&[10, 0, 0, 0, 1, 2, 3, 4], tail].concat()));
        assert!(parse(&[0, 0, 140, 1, 7]).is_ok());
        assert_eq!(parse(&[16, 0]), Err(Error::UnknownCritical(16)));
        assert_eq!(parse(&[140, 2, 7]), Err(Error::Truncated));
        let code = with_checksum(vec![10, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Solicitation::parse(&code), Err(Error::Value("code of the solicitation")));
        assert_eq!(Solicitation::parse(&with_checksum(vec![9; 8])), Err(Error::Value("message type")));
    }
}
