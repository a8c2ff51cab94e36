//! Key shares and cookies (docs/wire.md): sub-types 9 and 10.

use super::{
    extension::{self, CRITICAL_VENDOR, EXPERIMENTAL},
    ours::{self, Numbers, Subtype},
    registration::Reply,
};
use crate::{Error, Reader, Writer};

/// A key exchange method, in IANA's IKEv2 numbers. Unknown values survive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Group(pub u16);

impl Group {
    /// X25519 (RFC 8031): values of 32 bytes.
    pub const X25519: Self = Self(31);
}

/// A key share (sub-type 9): the public half of a fresh exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyShare<'a> {
    /// The method.
    pub group: Group,
    /// The public value, at least one byte.
    pub value: &'a [u8],
}

impl<'a> KeyShare<'a> {
    /// Reads the body. Group and value are judged by who answers.
    ///
    /// # Errors
    /// [`Error::Truncated`] without a value.
    pub fn parse(body: &'a [u8]) -> Result<Self, Error> {
        let mut r = Reader::new(body);
        let group = Group(r.u16()?);
        match r.rest() {
            [] => Err(Error::Truncated),
            value => Ok(Self { group, value }),
        }
    }

    /// Appends the extension.
    ///
    /// # Errors
    /// [`Error::Length`] if the value does not fit.
    pub fn emit(&self, w: &mut Writer, numbers: Numbers) -> Result<(), Error> {
        let mut body = Writer::with_capacity(2 + self.value.len());
        body.u16(self.group.0).put(self.value);
        ours::put(w, numbers, Subtype::KEY_SHARE, body.bytes())
    }
}

/// A cookie (sub-type 10): proves that its sender receives at the address it sends from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cookie(pub [u8; 16]);

impl Cookie {
    /// Reads the body.
    ///
    /// # Errors
    /// [`Error::Length`] unless it has 16 bytes.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        body.try_into().map(Self).map_err(|_| Error::Length("cookie"))
    }

    /// Appends the extension.
    ///
    /// # Errors
    /// Never in practice: the body always fits.
    pub fn emit(&self, w: &mut Writer, numbers: Numbers) -> Result<(), Error> {
        ours::put(w, numbers, Subtype::COOKIE, &self.0)
    }

    /// The cookie of a reply that has nothing else behind its fixed part; `None` for every other message. Such a
    /// reply is not authenticated: it only asks for the same request again, with the cookie.
    #[must_use]
    pub fn alone_in(reply: &[u8], vendor: u32) -> Option<(Self, Numbers)> {
        let extensions = extension::walk(reply, Reply::LEN).ok()?;
        let [only] = extensions.as_slice() else {
            return None;
        };
        if !matches!(only.kind, CRITICAL_VENDOR | EXPERIMENTAL) {
            return None;
        }
        let ours = ours::parse(only).ok()??;
        let known = matches!(ours.numbers, Numbers::Experimental) || ours.numbers == Numbers::Vendor(vendor);
        if !known || ours.subtype != Subtype::COOKIE {
            return None;
        }
        Some((Self::parse(ours.body).ok()?, ours.numbers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mip::ours::DOCUMENTATION_VENDOR as VENDOR;

    #[test]
    fn shares_keep_groups_they_do_not_know() {
        let share = KeyShare { group: Group(35), value: &[7; 40] };
        let mut w = Writer::default();
        share.emit(&mut w, Numbers::Vendor(VENDOR)).unwrap();
        let extensions = extension::walk(w.bytes(), 0).unwrap();
        let ours = ours::parse(&extensions[0]).unwrap().unwrap();
        assert_eq!(ours.subtype, Subtype::KEY_SHARE);
        assert_eq!(KeyShare::parse(ours.body), Ok(share));
        assert!(KeyShare::parse(&[0, 31]).is_err() && KeyShare::parse(&[0]).is_err());
    }

    #[test]
    fn a_cookie_stands_alone_or_is_none() {
        let numbers = Numbers::Vendor(VENDOR);
        let reply = |build: &dyn Fn(&mut Writer)| {
            let mut w = Writer::after(vec![0; Reply::LEN]);
            build(&mut w);
            w.into_bytes()
        };
        let cookie = Cookie([3; 16]);
        let alone = reply(&|w| cookie.emit(w, numbers).unwrap());
        assert_eq!(Cookie::alone_in(&alone, VENDOR), Some((cookie, numbers)));
        assert_eq!(Cookie::alone_in(&alone, VENDOR + 1), None);
        for cut in 0..alone.len() {
            assert_eq!(Cookie::alone_in(&alone[..cut], VENDOR), None);
        }
        let twice = reply(&|w| (0..2).for_each(|_| cookie.emit(w, numbers).unwrap()));
        let short = reply(&|w| ours::put(w, numbers, Subtype::COOKIE, &[3; 15]).unwrap());
        let other = reply(&|w| ours::put(w, numbers, Subtype::HANDLE, &[3; 16]).unwrap());
        for wrong in [twice, short, other, reply(&|_| {})] {
            assert_eq!(Cookie::alone_in(&wrong, VENDOR), None);
        }
    }
}
