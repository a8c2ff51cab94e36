//! Key shares and cookies (docs/wire.md): sub-types 9 and 10.

use std::fmt;

use super::{
    code::registry,
    extension::{self, CRITICAL_VENDOR, EXPERIMENTAL},
    ours::{self, Numbers, Subtype},
    registration::Reply,
};
use crate::{Error, Reader, Writer};

/// A key exchange method, in IANA's IKEv2 numbers. Unknown values survive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Group(pub u16);

registry! {
    Group, "unknown group";
    /// First Oakley group (RFC 2409 section 6.1): values of 96 bytes. Legacy.
    MODP_768 = 1, "MODP-768";
    /// Second Oakley group (RFC 2409 section 6.2): values of 128 bytes. Legacy.
    MODP_1024 = 2, "MODP-1024";
    /// RFC 3526 section 3: values of 256 bytes.
    MODP_2048 = 14, "MODP-2048";
    /// RFC 3526 section 4: values of 384 bytes.
    MODP_3072 = 15, "MODP-3072";
    /// RFC 3526 section 5: values of 512 bytes.
    MODP_4096 = 16, "MODP-4096";
    /// RFC 3526 section 6: values of 768 bytes.
    MODP_6144 = 17, "MODP-6144";
    /// RFC 3526 section 7: values of 1024 bytes.
    MODP_8192 = 18, "MODP-8192";
    /// RFC 5903 section 3.1: values of 64 bytes.
    P_256 = 19, "P-256";
    /// RFC 5903 section 3.2: values of 96 bytes.
    P_384 = 20, "P-384";
    /// X25519 (RFC 8031): values of 32 bytes.
    X25519 = 31, "X25519";
    /// X25519 and ML-KEM-768 in one value, of the private range: 1216 bytes from who asks, 1120 from who answers.
    X25519_ML_KEM_768 = 1055, "X25519 with ML-KEM-768";
}

/// Its name, or its number.
impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if Self::NAMED.contains(self) { f.write_str(self.meaning()) } else { write!(f, "group {}", self.0) }
    }
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
    fn groups_are_shown_by_name_where_they_have_one() {
        let shown = [1, 14, 19, 31, 1055, 4711].map(|group| Group(group).to_string());
        assert_eq!(
            shown,
            ["MODP-768", "MODP-2048", "P-256", "X25519", "X25519 with ML-KEM-768", "group 4711"]
        );
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
