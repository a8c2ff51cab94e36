//! Extensions of registration messages: framing and the standard ones (RFC 5944 sections 1.8 to 1.11,
//! 3.5; RFC 2794, 3024, 3115, 3519, 4064, 4721).
//!
//! Types 0 to 127 may not be skipped when unknown, 128 to 255 may. A walk over a message never trusts a
//! length: each is checked against the bytes that are there.

use super::{Spi, revocation};
use crate::{Error, Reader, Writer};

/// Mobile–home authentication.
pub const MN_HA_AUTHENTICATION: u8 = 32;
/// Mobile–foreign authentication.
pub const MN_FA_AUTHENTICATION: u8 = 33;
/// Foreign–home authentication.
pub const FA_HA_AUTHENTICATION: u8 = 34;
/// Generalized authentication (RFC 4721 section 5).
pub const GENERALIZED_AUTHENTICATION: u8 = 36;
/// Critical vendor extension (RFC 3115), the carrier of ours.
pub const CRITICAL_VENDOR: u8 = 38;
/// UDP tunnel reply (RFC 3519).
pub const UDP_TUNNEL_REPLY: u8 = 44;
/// Experimental, not skippable (RFC 4064), the other carrier of ours.
pub const EXPERIMENTAL: u8 = 127;
/// Encapsulating delivery style (RFC 3024).
pub const DELIVERY_STYLE: u8 = 130;
/// Mobile node NAI (RFC 2794).
pub const MN_NAI: u8 = 131;
/// Mobile–foreign challenge (RFC 4721).
pub const MN_FA_CHALLENGE: u8 = 132;
/// UDP tunnel request (RFC 3519).
pub const UDP_TUNNEL_REQUEST: u8 = 144;

/// The most extensions that are taken in one message; more is malformed.
pub const MAX_EXTENSIONS: usize = 64;

/// One extension where it stands in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension<'a> {
    /// Type.
    pub kind: u8,
    /// Second byte of the long form (sub-type, or reserved in a vendor extension); 0 in the short one.
    pub subtype: u8,
    /// Where the type byte stands in the message.
    pub offset: usize,
    /// Bytes before the data: 2, or 4 in the long form.
    pub header: usize,
    /// Data after the header.
    pub data: &'a [u8],
}

/// True for the types that have a sub-type byte and a 16-bit length.
const fn long_form(kind: u8) -> bool {
    matches!(kind, GENERALIZED_AUTHENTICATION | 37 | 38 | 40..=43 | 48 | 127)
}

/// True for the types that this crate's users understand in registration messages.
#[must_use]
pub const fn known(kind: u8) -> bool {
    matches!(
        kind,
        MN_HA_AUTHENTICATION
            | MN_FA_AUTHENTICATION
            | FA_HA_AUTHENTICATION
            | GENERALIZED_AUTHENTICATION
            | CRITICAL_VENDOR
            | UDP_TUNNEL_REPLY
            | EXPERIMENTAL
            | DELIVERY_STYLE
            | MN_NAI
            | MN_FA_CHALLENGE
            | revocation::SUPPORT
            | UDP_TUNNEL_REQUEST
    )
}

impl<'a> Extension<'a> {
    /// Where the next extension begins.
    #[must_use]
    pub const fn end(&self) -> usize {
        self.offset + self.header + self.data.len()
    }

    /// This extension as an authentication extension.
    ///
    /// # Errors
    /// [`Error::Length`] without SPI or with an authenticator shorter than 16 bytes.
    pub fn authentication(&self) -> Result<Authentication<'a>, Error> {
        let mut r = Reader::new(self.data);
        let spi = Spi(r.u32()?);
        let authenticator = r.rest();
        if authenticator.len() < 16 {
            return Err(Error::Length("authenticator"));
        }
        Ok(Authentication { spi, authenticator, covered: self.offset + self.header + 4 })
    }
}

/// An authentication extension: 32, 33, 34 or 36.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authentication<'a> {
    /// Names the association.
    pub spi: Spi,
    /// The authenticator.
    pub authenticator: &'a [u8],
    /// How many bytes of the message, from its start through the SPI, the authenticator covers.
    pub covered: usize,
}

/// Takes all extensions after the fixed part of `fixed` bytes.
///
/// # Errors
/// As [`each`].
pub fn walk(message: &[u8], fixed: usize) -> Result<Vec<Extension<'_>>, Error> {
    each(message, fixed)?.collect()
}

/// Walks over the extensions after the fixed part of `fixed` bytes, without taking memory.
///
/// The walk yields [`Error::Truncated`] or [`Error::Length`] where the framing is wrong and
/// [`Error::UnknownCritical`] for an unknown type below 128, and ends there; it yields unknown ones above for the
/// caller to relay or ignore.
///
/// # Errors
/// [`Error::Truncated`] if the fixed part is not whole.
pub fn each(message: &[u8], fixed: usize) -> Result<Each<'_>, Error> {
    let mut reader = Reader::new(message);
    reader.take(fixed)?;
    Ok(Each { reader, found: 0, over: false })
}

/// A walk over extensions, from [`each`].
#[derive(Clone, Debug)]
pub struct Each<'a> {
    reader: Reader<'a>,
    found: usize,
    over: bool,
}

impl<'a> Each<'a> {
    fn step(&mut self) -> Result<Option<Extension<'a>>, Error> {
        let r = &mut self.reader;
        loop {
            if r.is_empty() {
                return Ok(None);
            }
            let offset = r.position();
            let kind = r.u8()?;
            if kind == 0 {
                continue;
            }
            let (subtype, length, header) = if long_form(kind) {
                (r.u8()?, usize::from(r.u16()?), 4)
            } else {
                (0, usize::from(r.u8()?), 2)
            };
            let data = r.take(length)?;
            if kind < 128 && !known(kind) {
                return Err(Error::UnknownCritical(kind));
            }
            if self.found == MAX_EXTENSIONS {
                return Err(Error::Length("number of extensions"));
            }
            self.found += 1;
            return Ok(Some(Extension { kind, subtype, offset, header, data }));
        }
    }
}

impl<'a> Iterator for Each<'a> {
    type Item = Result<Extension<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let step = self.step().transpose();
        self.over = !matches!(step, Some(Ok(_)));
        step
    }
}

/// Appends a short-form extension.
///
/// # Errors
/// [`Error::Length`] if `data` exceeds 255 bytes.
pub fn put(w: &mut Writer, kind: u8, data: &[u8]) -> Result<(), Error> {
    let length = u8::try_from(data.len()).map_err(|_| Error::Length("extension data"))?;
    w.u8(kind).u8(length).put(data);
    Ok(())
}

/// Appends type, length and SPI of an authentication extension with an authenticator of `length` bytes,
/// which the caller computes over everything written so far and appends.
pub fn open_authentication(w: &mut Writer, kind: u8, spi: Spi, length: u8) {
    w.u8(kind).u8(length.saturating_add(4)).u32(spi.0);
}

/// UDP tunnel request, type 144 (RFC 3519 section 3.1.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UdpTunnelRequest {
    /// F: UDP tunnelling even where no NAT is found.
    pub forced: bool,
    /// R: registration through a foreign agent with a co-located care-of address.
    pub through_foreign_agent: bool,
    /// 0 follows the flags of the request; else 4 (IP), 47 (GRE) or 55 (minimal).
    pub encapsulation: u8,
}

impl UdpTunnelRequest {
    /// Reads the data of extension 144. The two trailing reserved bytes must be zero (RFC 3519).
    ///
    /// # Errors
    /// [`Error::Length`] or [`Error::Value`].
    pub fn parse(data: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new(data);
        let (subtype, _reserved, flags, encapsulation) = (r.u8()?, r.u8()?, r.u8()?, r.u8()?);
        if subtype != 0 || r.u16()? != 0 {
            return Err(Error::Value("UDP tunnel request"));
        }
        r.finish()?;
        Ok(Self { forced: flags & 0x80 != 0, through_foreign_agent: flags & 0x40 != 0, encapsulation })
    }

    /// Appends extension 144.
    pub fn emit(&self, w: &mut Writer) {
        let flags = u8::from(self.forced) << 7 | u8::from(self.through_foreign_agent) << 6;
        w.u8(UDP_TUNNEL_REQUEST).u8(6).u8(0).u8(0).u8(flags).u8(self.encapsulation).u16(0);
    }
}

/// UDP tunnel reply, type 44 (RFC 3519 section 3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UdpTunnelReply {
    /// 0 to 63: UDP is used; 64 and above: not.
    pub code: u8,
    /// F: the home agent forces UDP.
    pub forced: bool,
    /// Seconds between keepalives; 0 leaves the mobile node's own choice.
    pub keepalive: u16,
}

impl UdpTunnelReply {
    /// Reads the data of extension 44.
    ///
    /// # Errors
    /// [`Error::Length`] or [`Error::Value`].
    pub fn parse(data: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new(data);
        let (subtype, code, flags, keepalive) = (r.u8()?, r.u8()?, r.u16()?, r.u16()?);
        if subtype != 0 {
            return Err(Error::Value("UDP tunnel reply"));
        }
        r.finish()?;
        Ok(Self { code, forced: flags & 0x8000 != 0, keepalive })
    }

    /// Appends extension 44.
    pub fn emit(&self, w: &mut Writer) {
        let flags = u16::from(self.forced) << 15;
        w.u8(UDP_TUNNEL_REPLY).u8(6).u8(0).u8(self.code).u16(flags).u16(self.keepalive);
    }

    /// True if UDP is used.
    #[must_use]
    pub const fn tunnels(&self) -> bool {
        self.code < 64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_short_long_and_padding() {
        let message = [9, 9, 131, 2, b'a', b'b', 0, 0, 38, 0, 0, 6, 0, 0, 0, 1, 0, 2, 200, 0];
        let found = walk(&message, 2).unwrap();
        let kinds: Vec<_> = found.iter().map(|e| (e.kind, e.offset, e.header, e.data.len())).collect();
        assert_eq!(kinds, [(131, 2, 2, 2), (38, 8, 4, 6), (200, 18, 2, 0)]);
        assert_eq!(found[1].end(), 18);
    }

    #[test]
    fn unknown_types_by_the_rule() {
        assert_eq!(walk(&[99, 0], 0), Err(Error::UnknownCritical(99)));
        assert_eq!(walk(&[250, 1, 7], 0).unwrap().len(), 1);
        assert_eq!(walk(&[250, 2, 7], 0), Err(Error::Truncated));
    }

    #[test]
    fn more_than_the_limit_is_malformed() {
        let many = [200, 0].repeat(MAX_EXTENSIONS + 1);
        assert_eq!(walk(&many, 0), Err(Error::Length("number of extensions")));
        assert_eq!(walk(&many[..MAX_EXTENSIONS * 2], 0).unwrap().len(), MAX_EXTENSIONS);
    }

    #[test]
    fn udp_tunnel_extensions_round_trip() {
        let request = UdpTunnelRequest { forced: true, through_foreign_agent: false, encapsulation: 4 };
        let mut w = Writer::default();
        request.emit(&mut w);
        assert_eq!(w.bytes(), [144, 6, 0, 0, 0x80, 4, 0, 0]);
        assert_eq!(UdpTunnelRequest::parse(&w.bytes()[2..]), Ok(request));
        assert_eq!(UdpTunnelRequest::parse(&[0, 0, 0, 0, 0, 1]), Err(Error::Value("UDP tunnel request")));
        let reply = UdpTunnelReply { code: 0, forced: false, keepalive: 110 };
        let mut w = Writer::default();
        reply.emit(&mut w);
        assert_eq!(UdpTunnelReply::parse(&w.bytes()[2..]), Ok(reply));
    }

    #[test]
    fn authentication_covers_through_the_spi() {
        let mut w = Writer::after(vec![1; 24]);
        open_authentication(&mut w, MN_HA_AUTHENTICATION, Spi(777), 32);
        w.put(&[5; 32]);
        let found = walk(w.bytes(), 24).unwrap();
        let authentication = found[0].authentication().unwrap();
        assert_eq!((authentication.spi, authentication.covered), (Spi(777), 30));
        assert_eq!(authentication.authenticator, [5; 32]);
    }
}
