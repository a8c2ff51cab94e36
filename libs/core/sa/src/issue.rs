//! Keys on their way in a reply: the contents of security association extensions (docs/wire.md, SA info).

use std::sync::Arc;

use crypto::{Cipher, Key, Rng, Sealer};
use record::{Association, AssociationKind, Mode, Suite};
use wire::{
    Error, Reader, Writer,
    mip::{
        Spi,
        ours::{self, AssociationInfo, Numbers, Subtype, association_between},
        part::{Held, Parts},
    },
    negotiation::Protocol,
};

use crate::{
    negotiation::{Ends, numbers, prf_key},
    schedule::put_sealed_where_it_stands,
    sealed_plain,
};

/// Lifetime in seconds of an association whose registration never ends.
pub const LIFETIME_FOREVER: u32 = u32::MAX;

/// What its receiver is told of a key.
pub enum Material {
    /// The key itself: stateful.
    Key(Key),
    /// The seed of the pair, of which both make the key: semi-stateful.
    Seed(Key),
    /// Nothing: both make it of their exchange, stateless.
    Exchanged,
}

impl Material {
    /// A second copy, on purpose and by name, because it may hold a key.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        match self {
            Self::Key(key) => Self::Key(key.duplicate()),
            Self::Seed(seed) => Self::Seed(seed.duplicate()),
            Self::Exchanged => Self::Exchanged,
        }
    }

    const fn mode(&self) -> Mode {
        match self {
            Self::Key(_) => Mode::Stateful,
            Self::Seed(_) => Mode::SemiStateful,
            Self::Exchanged => Mode::Stateless,
        }
    }

    fn octets(&self) -> &[u8] {
        match self {
            Self::Key(key) | Self::Seed(key) => key.expose(),
            Self::Exchanged => &[],
        }
    }
}

/// One association as its receiver is told of it.
pub struct KeyInfo {
    /// KEY 1, 2 or 3.
    pub kind: AssociationKind,
    /// Index of what the receiver receives.
    pub inbound: Spi,
    /// Index of what the receiver sends.
    pub outbound: Spi,
    /// Seconds it lives.
    pub lifetime: u32,
    /// What seals under it.
    pub encryption: Cipher,
    /// The key, or what it is made of.
    pub material: Material,
    /// The receiver's name.
    pub own: Arc<str>,
    /// The peer's name.
    pub peer: Arc<str>,
}

/// What the receiver of a [`KeyInfo`] adds to it.
pub enum Own<'a> {
    /// Nothing.
    Nothing,
    /// Who it believes the two ends to be.
    Ends(Ends<'a>),
    /// The key of its exchange.
    Exchanged(Key),
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
            encryption: self.encryption,
            material: self.material.duplicate(),
            own: self.own.clone(),
            peer: self.peer.clone(),
        }
    }

    /// The key, where it is told itself.
    #[must_use]
    pub const fn key(&self) -> Option<&Key> {
        match &self.material {
            Material::Key(key) => Some(key),
            Material::Seed(_) | Material::Exchanged => None,
        }
    }

    /// The association that it makes at `now` (seconds since 1970) with this suite, which was agreed on; `None` if it
    /// is of another one, or what the receiver adds does not belong to it.
    #[must_use]
    pub fn into_association(self, suite: Suite, own: Own<'_>, now: u64) -> Option<Association> {
        if self.encryption != suite.encryption || self.material.mode() != suite.mode {
            return None;
        }
        let key = match (self.material, own) {
            (Material::Key(key), Own::Nothing) | (Material::Exchanged, Own::Exchanged(key)) => key,
            (Material::Seed(seed), Own::Ends(ends)) => prf_key(&seed, &ends),
            _ => return None,
        };
        Some(Association {
            kind: self.kind,
            inbound: self.inbound,
            outbound: self.outbound,
            suite,
            key,
            own: self.own,
            peer: self.peer,
            made: now,
            ends: now.saturating_add(u64::from(self.lifetime)),
            confirmed: false,
            retires: None,
        })
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
    let transform = numbers::of_cipher(0, info.encryption);
    AssociationInfo {
        mode: match info.material {
            Material::Key(_) => ours::Mode::KEY,
            Material::Seed(_) => ours::Mode::SEED,
            Material::Exchanged => ours::Mode::PUBLIC,
        },
        inbound: info.inbound,
        outbound: info.outbound,
        protocol: Protocol::ENCRYPTION.0,
        transform: transform.id,
        key_bits: if info.encryption == Cipher::Aes128Gcm { 128 } else { 256 },
        lifetime: info.lifetime,
        key: info.material.octets(),
        own: &info.own,
        peer: &info.peer,
    }
}

/// Reads opened information of an extension with this content-type: exactly one entry.
///
/// # Errors
/// [`Error::Value`] for another mode, cipher or content-type, [`Error::Length`] for a key that does not belong to its
/// mode, and what the parser finds.
pub fn open_keys(content_type: u8, plain: &[u8]) -> Result<KeyInfo, Error> {
    let mut r = Reader::new(plain);
    let entry = AssociationInfo::parse(&mut r)?;
    r.finish()?;
    let named = (entry.protocol, entry.transform, entry.key_bits);
    let is = |cipher: &Cipher| {
        let bits = if *cipher == Cipher::Aes128Gcm { 128 } else { 256 };
        named == (Protocol::ENCRYPTION.0, numbers::of_cipher(0, *cipher).id, bits)
    };
    let encryption = Cipher::ALL.into_iter().map(|(cipher, _)| cipher).find(is);
    let encryption = encryption.ok_or(Error::Value("suite of a security association"))?;
    let key = || Key::from_slice(entry.key).ok_or(Error::Length("key"));
    let material = match entry.mode {
        ours::Mode::KEY => Material::Key(key()?),
        ours::Mode::SEED => Material::Seed(key()?),
        ours::Mode::PUBLIC if entry.key.is_empty() => Material::Exchanged,
        ours::Mode::PUBLIC => return Err(Error::Length("key")),
        _ => return Err(Error::Value("mode of a security association")),
    };
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
        encryption,
        material,
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

    fn info(encryption: Cipher, material: Material) -> KeyInfo {
        KeyInfo {
            kind: AssociationKind::Key3,
            inbound: Spi(5000),
            outbound: Spi(5001),
            lifetime: 600,
            encryption,
            material,
            own: "abc@home.example".into(),
            peer: "fa@visited.example".into(),
        }
    }

    fn materials() -> [Material; 3] {
        [Material::Key(Key::new([4; 32])), Material::Seed(Key::new([5; 32])), Material::Exchanged]
    }

    #[test]
    fn round_trip_and_refusals() {
        for (cipher, _) in Cipher::ALL {
            for material in materials() {
                let info = info(cipher, material);
                let (content_type, plain) = key_extension(&info).unwrap();
                let back = open_keys(content_type, &plain).unwrap();
                assert_eq!(
                    (back.kind, back.inbound, back.outbound, back.encryption),
                    (AssociationKind::Key3, Spi(5000), Spi(5001), cipher)
                );
                assert_eq!(back.material.mode(), info.material.mode());
                assert!(back.material.octets() == info.material.octets());
                assert!(back.own == info.own && back.peer == info.peer);
                assert!(open_keys(9, &plain).is_err());
                for mode in [0, 4, 255] {
                    let mut wrong = plain.clone();
                    wrong[0] = mode;
                    assert!(open_keys(content_type, &wrong).is_err(), "mode {mode}");
                }
                let twice = plain.repeat(2);
                assert!(open_keys(content_type, &twice).is_err());
            }
        }
        let (content_type, keyed) =
            key_extension(&info(Cipher::Aes256Gcm, materials().into_iter().next().unwrap())).unwrap();
        let mut public = keyed;
        public[0] = 3;
        assert!(open_keys(content_type, &public).is_err(), "a key where both ends make one");
        let (content_type, mut key) = key_extension(&info(Cipher::Aes256Gcm, Material::Exchanged)).unwrap();
        key[0] = 1;
        assert!(open_keys(content_type, &key).is_err(), "no key where one is told");
    }

    #[test]
    fn an_association_is_made_only_of_what_was_agreed_on() {
        let ends = Ends {
            initiator: "abc@home.example",
            responder: "fa@visited.example",
            initiator_address: [10, 11, 1, 50].into(),
            responder_address: [10, 51, 1, 2].into(),
        };
        let owns = || [Own::Nothing, Own::Ends(ends), Own::Exchanged(Key::new([6; 32]))];
        for (mode, _) in Mode::ALL {
            let suite = Suite { mode, ..Suite::default() };
            for (m, material) in materials().into_iter().enumerate() {
                for (o, own) in owns().into_iter().enumerate() {
                    let info = info(Cipher::Aes256Gcm, material.duplicate());
                    let fits = material.mode() == mode && m == o;
                    let made = info.into_association(suite, own, 1000);
                    assert_eq!(made.is_some(), fits, "{mode:?} {m} {o}");
                    if let Some(made) = made {
                        assert_eq!((made.suite, made.made, made.ends), (suite, 1000, 1600));
                        let key = match mode {
                            Mode::Stateful => Key::new([4; 32]),
                            Mode::SemiStateful => prf_key(&Key::new([5; 32]), &ends),
                            Mode::Stateless => Key::new([6; 32]),
                        };
                        assert!(made.key == key);
                    }
                }
            }
        }
        let other = info(Cipher::Aes128Gcm, Material::Key(Key::new([4; 32])));
        assert!(other.into_association(Suite::default(), Own::Nothing, 0).is_none(), "another cipher");
    }

    #[test]
    fn visit_names_have_64_bits_and_the_realm() {
        let mut rng = Rng::from_seed([1; 32]);
        let (a, b) = (visit_name(&mut rng, "home.example"), visit_name(&mut rng, "home.example"));
        assert_ne!(a, b);
        assert_eq!(a.len(), 13 + 1 + 12);
    }
}
