//! Keys on their way in a reply: the contents of security association extensions (docs/wire.md, SA info).

use std::sync::Arc;

use crypto::{Cipher, Key, Rng, Sealer};
use record::{Association, AssociationKind};
use wire::{
    Error, Reader, Writer,
    mip::{
        Spi,
        ours::{AssociationInfo, Mode, Numbers, Subtype, association_between},
        part::{Held, Parts},
    },
};

use crate::{schedule::put_sealed_where_it_stands, sealed_plain};

/// The algorithms of an association, in IANA's IKEv2 numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Suite {
    /// 2: encryption.
    pub protocol: u8,
    /// Transform.
    pub transform: u16,
    /// Key bits.
    pub key_bits: u16,
}

/// The one suite until associations are negotiated: AES-GCM with a 16-byte tag and 256 key bits; every
/// key is the root of an HKDF-SHA-256 schedule.
pub const SUITE: Suite = Suite { protocol: 2, transform: 20, key_bits: 256 };

/// Lifetime in seconds of an association whose registration never ends.
pub const LIFETIME_FOREVER: u32 = u32::MAX;

/// One key as its receiver is told of it.
pub struct KeyInfo {
    /// KEY 1, 2 or 3.
    pub kind: AssociationKind,
    /// Index of what the receiver receives.
    pub inbound: Spi,
    /// Index of what the receiver sends.
    pub outbound: Spi,
    /// Seconds it lives.
    pub lifetime: u32,
    /// The key.
    pub key: Key,
    /// The receiver's name.
    pub own: Arc<str>,
    /// The peer's name.
    pub peer: Arc<str>,
}

impl KeyInfo {
    /// A second copy, on purpose and by name, because it holds a key.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self {
            kind: self.kind,
            inbound: self.inbound,
            outbound: self.outbound,
            lifetime: self.lifetime,
            key: self.key.duplicate(),
            own: self.own.clone(),
            peer: self.peer.clone(),
        }
    }

    /// The association that it makes at `now` (seconds since 1970).
    #[must_use]
    pub fn into_association(self, now: u64) -> Association {
        Association {
            kind: self.kind,
            inbound: self.inbound,
            outbound: self.outbound,
            key: self.key,
            own: self.own,
            peer: self.peer,
            made: now,
            ends: now.saturating_add(u64::from(self.lifetime)),
            confirmed: false,
            retires: None,
        }
    }
}

/// The content-type of the extension that carries a kind of key.
const fn content(kind: AssociationKind) -> u8 {
    match kind {
        AssociationKind::Key1 => association_between::MN_HA,
        AssociationKind::Key2 => association_between::FA_HA,
        AssociationKind::Key3 => association_between::MN_FA,
    }
}

/// Seals a key for its receiver and appends it as an extension. `fixed` bytes of the message are additional
/// data, as in [`put_sealed`](crate::put_sealed).
///
/// # Errors
/// [`Error::Length`] if a name does not fit.
pub fn put_key(
    w: &mut Writer,
    fixed: usize,
    numbers: Numbers,
    spi: Spi,
    (cipher, key): (Cipher, &Key),
    rng: &mut Rng,
    info: &KeyInfo,
) -> Result<(), Error> {
    put_key_with(w, fixed, numbers, spi, &Sealer::new(cipher, key), rng, info)
}

/// [`put_key`] for a message of which more is sealed under the same key.
///
/// # Errors
/// As there.
pub fn put_key_with(
    w: &mut Writer,
    fixed: usize,
    numbers: Numbers,
    spi: Spi,
    sealer: &Sealer,
    rng: &mut Rng,
    info: &KeyInfo,
) -> Result<(), Error> {
    let (slot, entry) = ((Subtype::ASSOCIATION, content(info.kind), spi), entry(info));
    let write = |w: &mut Writer| entry.emit(w);
    put_sealed_where_it_stands(w, fixed, numbers, slot, sealer, rng, (entry.len(), write))
}

/// Opens a security association extension that was sealed for us; the opened text is wiped.
///
/// # Errors
/// [`Error::Value`] if it does not open, and what [`open_keys`] finds.
pub fn take_key(parts: &Parts<'_>, held: &Held<'_>, cipher: Cipher, key: &Key) -> Result<KeyInfo, Error> {
    let mut plain = sealed_plain(parts, held, cipher, key).ok_or(Error::Value("seal of a key"))?;
    let info = open_keys(held.protected.content, &plain);
    crypto::wipe(&mut plain);
    info
}

/// Content-type and information of the extension that carries this key. The information holds the key:
/// seal it, then wipe it.
///
/// # Errors
/// [`Error::Length`] if a name does not fit.
pub fn key_extension(info: &KeyInfo) -> Result<(u8, Vec<u8>), Error> {
    let entry = entry(info);
    let mut w = Writer::with_capacity(entry.len());
    entry.emit(&mut w)?;
    Ok((content(info.kind), w.into_bytes()))
}

fn entry(info: &KeyInfo) -> AssociationInfo<'_> {
    AssociationInfo {
        mode: Mode::KEY,
        inbound: info.inbound,
        outbound: info.outbound,
        protocol: SUITE.protocol,
        transform: SUITE.transform,
        key_bits: SUITE.key_bits,
        lifetime: info.lifetime,
        key: info.key.expose(),
        own: &info.own,
        peer: &info.peer,
    }
}

/// Reads opened information of an extension with this content-type: exactly one entry of the one suite.
///
/// # Errors
/// [`Error::Value`] for another mode, suite or content-type, and what the parser finds.
pub fn open_keys(content_type: u8, plain: &[u8]) -> Result<KeyInfo, Error> {
    let mut r = Reader::new(plain);
    let entry = AssociationInfo::parse(&mut r)?;
    r.finish()?;
    let suite = Suite { protocol: entry.protocol, transform: entry.transform, key_bits: entry.key_bits };
    if entry.mode != Mode::KEY || suite != SUITE {
        return Err(Error::Value("suite of a security association"));
    }
    let kind = match content_type {
        association_between::MN_FA => AssociationKind::Key3,
        association_between::FA_HA => AssociationKind::Key2,
        association_between::MN_HA => AssociationKind::Key1,
        _ => return Err(Error::Value("content-type of a security association")),
    };
    Ok(KeyInfo {
        kind,
        inbound: entry.inbound,
        outbound: entry.outbound,
        lifetime: entry.lifetime,
        key: Key::from_slice(entry.key).ok_or(Error::Length("key"))?,
        own: entry.own.into(),
        peer: entry.peer.into(),
    })
}

/// A name for one visit: 13 base32 characters of 64 random bits, `@`, the home realm. The foreign agent
/// learns it in place of the mobile node's identity.
#[must_use]
pub fn visit_name(rng: &mut Rng, home_realm: &str) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let bits = rng.u64();
    let digit = |i: u32| char::from(ALPHABET[(bits.rotate_left(5 * (i + 1)) & 31) as usize]);
    let mut name = String::with_capacity(14 + home_realm.len());
    name.extend((0..13).map(digit));
    name.push('@');
    name.push_str(home_realm);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> KeyInfo {
        KeyInfo {
            kind: AssociationKind::Key3,
            inbound: Spi(5000),
            outbound: Spi(5001),
            lifetime: 600,
            key: Key::new([4; 32]),
            own: "abc@home.example".into(),
            peer: "fa@visited.example".into(),
        }
    }

    #[test]
    fn round_trip_and_refusals() {
        let (content_type, plain) = key_extension(&info()).unwrap();
        let back = open_keys(content_type, &plain).unwrap();
        assert_eq!((back.kind, back.inbound, back.outbound), (AssociationKind::Key3, Spi(5000), Spi(5001)));
        assert!(back.key == Key::new([4; 32]) && back.own == info().own && back.peer == info().peer);
        assert!(open_keys(9, &plain).is_err());
        let mut mode = plain.clone();
        mode[0] = 2;
        assert!(open_keys(content_type, &mode).is_err());
        let twice = plain.repeat(2);
        assert!(open_keys(content_type, &twice).is_err());
    }

    #[test]
    fn visit_names_have_64_bits_and_the_realm() {
        let mut rng = Rng::from_seed([1; 32]);
        let (a, b) = (visit_name(&mut rng, "home.example"), visit_name(&mut rng, "home.example"));
        assert_ne!(a, b);
        assert_eq!(a.len(), 13 + 1 + 12);
    }
}
