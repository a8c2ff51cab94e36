//! The two parts of a registration message: what the mobile node's authentication covers, and what
//! follows it (RFC 5944 section 3.6.1.3, docs/wire.md).
//!
//! Receivers take any order within a part and each extension at most once, except security associations. Taking
//! a message apart takes no memory.
//! Nothing may follow the foreign–home authentication. Nothing is verified here.

use std::cmp::Ordering;

use arrayvec::ArrayVec;

use super::{
    extension::{
        self, Authentication, Extension, FA_HA_AUTHENTICATION, GENERALIZED_AUTHENTICATION,
        MN_FA_AUTHENTICATION, UdpTunnelReply, UdpTunnelRequest,
    },
    ours::{self, AgentHeard, Handle, Numbers, Protected, Subtype},
    registration::Request,
    revocation::{self, Support},
    share::{Cookie, KeyShare},
};
use crate::{Error, negotiation::Negotiation};

/// Most associations in one part: three keys, and as many again as may come.
pub const MAX_ASSOCIATIONS: usize = 8;
/// Sub-type of 36: mobile–AAA authentication (RFC 4721 section 6).
pub const MOBILE_AAA: u8 = 1;

/// A protected extension with its place, which sealing needs.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// Where it stands.
    pub extension: Extension<'a>,
    /// The numbering it came in.
    pub numbers: Numbers,
    /// Its content.
    pub protected: Protected<'a>,
}

/// The extensions of one part.
#[derive(Clone, Debug, Default)]
pub struct Part<'a> {
    /// Numbering of our extensions; `None` if there is none.
    pub numbers: Option<Numbers>,
    /// 131: `@home-realm`, or a NAI in clear from a node without our extensions.
    pub clear_nai: Option<&'a [u8]>,
    /// Sub-type 1.
    pub nai: Option<Held<'a>>,
    /// Sub-type 2.
    pub ip: Option<Held<'a>>,
    /// Sub-type 3.
    pub layer_2: Option<Held<'a>>,
    /// Sub-type 4, at most [`MAX_ASSOCIATIONS`].
    pub associations: ArrayVec<Held<'a>, MAX_ASSOCIATIONS>,
    /// Sub-type 5; its trees are not read yet.
    pub negotiation: Option<Negotiation<'a>>,
    /// Sub-type 6.
    pub agent_heard: Option<AgentHeard<'a>>,
    /// Sub-type 7.
    pub error_detail: Option<Held<'a>>,
    /// Sub-type 8.
    pub handle: Option<Handle>,
    /// Sub-type 9.
    pub key_share: Option<KeyShare<'a>>,
    /// Sub-type 10.
    pub cookie: Option<Cookie>,
    /// The first of the sub-types that are unknown.
    pub not_understood: Option<Subtype>,
    /// True if a critical vendor extension of another vendor stands here.
    pub foreign_vendor: bool,
    /// 144.
    pub udp_request: Option<UdpTunnelRequest>,
    /// 44.
    pub udp_reply: Option<UdpTunnelReply>,
    /// 130: encapsulating delivery style.
    pub delivery_style: bool,
    /// 132.
    pub challenge: Option<&'a [u8]>,
    /// 137.
    pub revocation: Option<Support>,
    /// 33.
    pub mobile_foreign: Option<Authentication<'a>>,
    /// 36 with sub-type 1: mobile–AAA authentication.
    pub mobile_aaa: Option<Authentication<'a>>,
}

/// A registration message taken apart.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    /// The whole message.
    pub bytes: &'a [u8],
    /// Bytes of its fixed part: 24 or 20.
    pub fixed: usize,
    /// Between the fixed part and 32.
    pub mobile: Part<'a>,
    /// 32.
    pub mobile_home: Authentication<'a>,
    /// Where 32 ends.
    pub mobile_end: usize,
    /// Between 32 and 34, or the end.
    pub foreign: Part<'a>,
    /// 34.
    pub foreign_home: Option<Authentication<'a>>,
}

fn once<T>(slot: &mut Option<T>, value: T, kind: u8) -> Result<(), Error> {
    if slot.replace(value).is_some() { Err(Error::Misplaced(kind)) } else { Ok(()) }
}

impl<'a> Part<'a> {
    fn take(&mut self, e: &Extension<'a>, vendor: u32) -> Result<(), Error> {
        let kind = e.kind;
        match kind {
            extension::MN_NAI => once(&mut self.clear_nai, e.data, kind),
            // One whose reserved bytes or sub-type are not known is skipped (RFC 3519 section 3.1).
            extension::UDP_TUNNEL_REQUEST => match UdpTunnelRequest::parse(e.data) {
                Ok(request) => once(&mut self.udp_request, request, kind),
                Err(Error::Value(_)) => Ok(()),
                Err(error) => Err(error),
            },
            extension::UDP_TUNNEL_REPLY => once(&mut self.udp_reply, UdpTunnelReply::parse(e.data)?, kind),
            extension::MN_FA_CHALLENGE => once(&mut self.challenge, e.data, kind),
            revocation::SUPPORT => once(&mut self.revocation, Support::parse(e.data)?, kind),
            MN_FA_AUTHENTICATION => once(&mut self.mobile_foreign, e.authentication()?, kind),
            GENERALIZED_AUTHENTICATION if e.subtype == MOBILE_AAA => {
                once(&mut self.mobile_aaa, e.authentication()?, kind)
            }
            GENERALIZED_AUTHENTICATION => Err(Error::UnknownCritical(kind)),
            extension::DELIVERY_STYLE => {
                if !e.data.is_empty() {
                    return Err(Error::Value("delivery style with data"));
                }
                let repeated = std::mem::replace(&mut self.delivery_style, true);
                if repeated { Err(Error::Misplaced(kind)) } else { Ok(()) }
            }
            _ => match ours::parse(e)? {
                Some(ours)
                    if ours.numbers == Numbers::Experimental || ours.numbers == Numbers::Vendor(vendor) =>
                {
                    self.take_ours(e, &ours)
                }
                Some(_) => {
                    self.foreign_vendor = true;
                    Ok(())
                }
                // Types from 128 on that are not known here are skipped.
                None => Ok(()),
            },
        }
    }

    fn take_ours(&mut self, e: &Extension<'a>, ours: &ours::Ours<'a>) -> Result<(), Error> {
        if self.numbers.replace(ours.numbers).is_some_and(|n| n != ours.numbers) {
            return Err(Error::Value("two numberings in one part"));
        }
        let held = || {
            Protected::parse(ours.body).map(|protected| Held {
                extension: *e,
                numbers: ours.numbers,
                protected,
            })
        };
        match ours.subtype {
            Subtype::NAI => once(&mut self.nai, held()?, e.kind),
            Subtype::IP => once(&mut self.ip, held()?, e.kind),
            Subtype::LAYER_2 => once(&mut self.layer_2, held()?, e.kind),
            Subtype::ERROR_DETAIL => once(&mut self.error_detail, held()?, e.kind),
            Subtype::NEGOTIATION => once(&mut self.negotiation, Negotiation::parse(ours.body)?, e.kind),
            Subtype::AGENT_HEARD => once(&mut self.agent_heard, AgentHeard::parse(ours.body)?, e.kind),
            Subtype::HANDLE => once(&mut self.handle, Handle::parse(ours.body)?, e.kind),
            Subtype::KEY_SHARE => once(&mut self.key_share, KeyShare::parse(ours.body)?, e.kind),
            Subtype::COOKIE => once(&mut self.cookie, Cookie::parse(ours.body)?, e.kind),
            Subtype::ASSOCIATION => {
                self.associations.try_push(held()?).map_err(|_| Error::Length("number of associations"))
            }
            other => {
                self.not_understood.get_or_insert(other);
                Ok(())
            }
        }
    }

    /// True if every extension of this part was understood.
    #[must_use]
    pub fn understood(&self) -> bool {
        self.not_understood.is_none() && !self.foreign_vendor
    }
}

impl<'a> Parts<'a> {
    /// Takes a message with a fixed part of `fixed` bytes apart. `vendor` is the enterprise number that
    /// carries our extensions.
    ///
    /// # Errors
    /// Where framing, order or repetition is wrong; [`Error::Value`] if 32 is missing.
    pub fn parse(bytes: &'a [u8], fixed: usize, vendor: u32) -> Result<Self, Error> {
        let mut mobile_home = None;
        let mut last = None;
        // Framing first, of the whole: what is cut or not known is refused for that, whatever stands before it.
        for e in extension::each(bytes, fixed)? {
            let e = e?;
            if mobile_home.is_none() && e.kind == extension::MN_HA_AUTHENTICATION {
                mobile_home = Some(e);
            }
            last = Some(e);
        }
        let mobile_home = mobile_home.ok_or(Error::Value("no mobile-home authentication"))?;
        let (mut mobile, mut foreign, mut foreign_home) = (Part::default(), Part::default(), None);
        for e in extension::each(bytes, fixed)?.flatten() {
            match e.offset.cmp(&mobile_home.offset) {
                Ordering::Less => {
                    if matches!(
                        e.kind,
                        FA_HA_AUTHENTICATION | MN_FA_AUTHENTICATION | GENERALIZED_AUTHENTICATION
                    ) {
                        return Err(Error::Misplaced(e.kind));
                    }
                    mobile.take(&e, vendor)?;
                }
                Ordering::Equal => {}
                Ordering::Greater => {
                    // No reply has one (RFC 4721 section 6).
                    let replied = e.kind == GENERALIZED_AUTHENTICATION && fixed != Request::LEN;
                    if foreign_home.is_some() || e.kind == extension::MN_HA_AUTHENTICATION || replied {
                        return Err(Error::Misplaced(e.kind));
                    }
                    if e.kind == FA_HA_AUTHENTICATION {
                        foreign_home = Some(e.authentication()?);
                    } else {
                        foreign.take(&e, vendor)?;
                    }
                }
            }
        }
        // Padding is no extension, but behind 34 nothing would authenticate it.
        if foreign_home.is_some() && last.is_some_and(|e| e.end() != bytes.len()) {
            return Err(Error::Trailing);
        }
        let mobile_end = mobile_home.end();
        let mobile_home = mobile_home.authentication()?;
        Ok(Self { bytes, fixed, mobile, mobile_home, mobile_end, foreign, foreign_home })
    }

    /// Everything through 32, the authenticator included.
    #[must_use]
    pub fn mobile_bytes(&self) -> &'a [u8] {
        &self.bytes[..self.mobile_end]
    }

    /// What an authentication extension of this message covers.
    #[must_use]
    pub fn covered(&self, authentication: &Authentication<'_>) -> &'a [u8] {
        self.bytes.get(..authentication.covered).unwrap_or_default()
    }

    /// Additional data of a sealed extension: the fixed part and the extension's header through the SPI.
    #[must_use]
    pub fn additional(&self, held: &Held<'_>) -> Vec<u8> {
        self.additional_parts(held).concat()
    }

    /// The same where it stands: one after the other.
    #[must_use]
    pub fn additional_parts(&self, held: &Held<'_>) -> [&'a [u8]; 2] {
        let from = held.extension.offset;
        let header = from..from + held.numbers.protected_header();
        [&self.bytes[..self.fixed], self.bytes.get(header).unwrap_or_default()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Writer,
        mip::{Spi, ours::DOCUMENTATION_VENDOR as VENDOR},
    };

    fn message(build: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut w = Writer::after(vec![0; 20]);
        build(&mut w);
        w.into_bytes()
    }

    fn auth(w: &mut Writer, kind: u8) {
        extension::open_authentication(w, kind, Spi(1000), 32);
        w.put(&[0; 32]);
    }

    fn handle(w: &mut Writer) {
        let handle = Handle { handle: 1, key2: Spi(300), key3: Spi(301) };
        handle.emit(w, Numbers::Vendor(VENDOR)).unwrap();
    }

    #[test]
    fn parts_are_split_at_32_and_end_at_34() {
        let bytes = message(|w| {
            extension::put(w, extension::MN_NAI, b"@home.example").unwrap();
            auth(w, 32);
            handle(w);
            auth(w, 34);
        });
        let parts = Parts::parse(&bytes, 20, VENDOR).unwrap();
        assert_eq!(parts.mobile.clear_nai, Some(&b"@home.example"[..]));
        assert!(parts.mobile.handle.is_none() && parts.foreign.handle.is_some());
        assert_eq!(parts.covered(&parts.mobile_home).len(), parts.mobile_end - 32);
        assert_eq!(parts.foreign_home.unwrap().covered, bytes.len() - 32);
    }

    #[test]
    fn repeated_misplaced_or_missing_is_refused() {
        for wrong in [
            message(handle),
            message(|w| {
                auth(w, 32);
                handle(w);
                handle(w);
            }),
            message(|w| {
                auth(w, 32);
                auth(w, 32);
            }),
            message(|w| {
                auth(w, 34);
                auth(w, 32);
            }),
            message(|w| {
                auth(w, 32);
                auth(w, 34);
                handle(w);
            }),
            message(|w| {
                auth(w, 33);
                auth(w, 32);
            }),
        ] {
            assert!(Parts::parse(&wrong, 20, VENDOR).is_err());
        }
    }

    #[test]
    fn another_vendor_is_not_ours() {
        let bytes = message(|w| {
            let handle = Handle { handle: 1, key2: Spi(300), key3: Spi(301) };
            handle.emit(w, Numbers::Vendor(VENDOR + 1)).unwrap();
            auth(w, 32);
        });
        let parts = Parts::parse(&bytes, 20, VENDOR).unwrap();
        assert!(parts.mobile.foreign_vendor && !parts.mobile.understood() && parts.mobile.handle.is_none());
    }
}
