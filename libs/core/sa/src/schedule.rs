//! Labels, contexts, transcripts and the additional data of sealing (docs/wire.md, key schedule).

use arrayvec::ArrayVec;
use crypto::{Cipher, Key, Rng, Sealer, aead, kdf};
use wire::{
    Error, Writer,
    mip::{
        Spi,
        ours::{self, Numbers, Subtype},
        part::{Held, Parts},
    },
};

use crate::{Exchange, Label};

/// From whom to whom a key serves: each direction has keys of its own, so nothing can be reflected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Towards the home agent.
    ToHome,
    /// From the home agent.
    FromHome,
}

/// SHA-256 of a request from its fixed part through an authentication extension, which ties a reply to the
/// very request it answers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Transcript(pub [u8; 32]);

impl Transcript {
    /// T1 of a request: through 32.
    #[must_use]
    pub fn of_mobile(parts: &Parts<'_>) -> Self {
        Self(crypto::digest(&[parts.mobile_bytes()]))
    }

    /// T2 of a request: through 34, or to its end without one.
    #[must_use]
    pub fn of_agent(parts: &Parts<'_>) -> Self {
        Self(crypto::digest(&[parts.bytes]))
    }
}

/// The key that answers a request: from names, transcript, and the exchange of key shares, if there was one.
pub(crate) fn derive_answer(
    (key, root): (&Key, &kdf::Root),
    label: Label,
    names: &[u8],
    transcript: &Transcript,
    exchange: Option<&Exchange>,
) -> Key {
    let Some(exchange) = exchange else {
        // The answering share has a length even where there is none.
        return Key::new(root.derive(label.name(), [names, &transcript.0, &[0, 0]]));
    };
    let mut context = Vec::with_capacity(names.len() + 66);
    context.extend_from_slice(names);
    context.extend_from_slice(&transcript.0);
    kdf::length_prefixed(&mut context, exchange.answer());
    Key::new(kdf::derive(key, Some(exchange.shared().expose()), label.name(), &context))
}

/// [`derive`] from a key that is derived from often.
pub(crate) fn derive_from(root: &kdf::Root, label: Label, context: &[u8]) -> Key {
    Key::new(root.derive(label.name(), [context]))
}

pub(crate) fn derive(key: &Key, label: Label, context: &[u8]) -> Key {
    Key::new(kdf::derive(key, None, label.name(), context))
}

/// Seals `plain` as one of our extensions and appends it. The message written so far must begin with its
/// fixed part of `fixed` bytes, because that is additional data.
///
/// # Errors
/// [`Error::Length`] if the information does not fit.
pub fn put_sealed(
    w: &mut Writer,
    fixed: usize,
    numbers: Numbers,
    slot: (Subtype, u8, Spi),
    (cipher, key): (Cipher, &Key),
    rng: &mut Rng,
    plain: &[u8],
) -> Result<(), Error> {
    put_sealed_with(w, fixed, numbers, slot, &Sealer::new(cipher, key), rng, plain)
}

/// [`put_sealed`] for a message of which more is sealed under the same key.
///
/// # Errors
/// As there.
pub fn put_sealed_with(
    w: &mut Writer,
    fixed: usize,
    numbers: Numbers,
    slot: (Subtype, u8, Spi),
    sealer: &Sealer,
    rng: &mut Rng,
    plain: &[u8],
) -> Result<(), Error> {
    put_sealed_where_it_stands(
        w,
        fixed,
        numbers,
        slot,
        sealer,
        rng,
        (plain.len(), |w: &mut Writer| {
            w.put(plain);
            Ok(())
        }),
    )
}

/// [`put_sealed_with`] for information of a known length that is written straight into the message, and nowhere else
/// before it is sealed.
pub(crate) fn put_sealed_where_it_stands(
    w: &mut Writer,
    fixed: usize,
    numbers: Numbers,
    (subtype, content, spi): (Subtype, u8, Spi),
    sealer: &Sealer,
    rng: &mut Rng,
    (length, write): (usize, impl FnOnce(&mut Writer) -> Result<(), Error>),
) -> Result<(), Error> {
    let from = w.len();
    ours::open_protected(w, numbers, subtype, content, Some(spi), length + aead::NONCE + aead::TAG)?;
    let head = w.bytes().get(..fixed).ok_or(Error::Truncated)?;
    let additional = additional(head, &w.bytes()[from..]).ok_or(Error::Length("fixed part"))?;
    let nonce = aead::nonce(rng);
    // Room for all of it: what grew meanwhile would leave the plain text behind.
    w.reserve(aead::NONCE + length + aead::TAG);
    w.put(&nonce);
    let at = w.len();
    let written = write(w);
    let plain = &mut w.bytes_mut()[at..];
    if written.is_err() || plain.len() != length {
        crypto::wipe(plain);
        return written.and(Err(Error::Length("sealed information")));
    }
    let tag = sealer.seal_in_place(nonce, &additional, plain);
    w.put(&tag.ok_or(Error::Length("sealed information"))?);
    Ok(())
}

/// Longest fixed part, and our longest header through the SPI.
const ADDITIONAL: usize = 64;

fn additional(fixed: &[u8], header: &[u8]) -> Option<ArrayVec<u8, ADDITIONAL>> {
    let mut additional = ArrayVec::new();
    additional.try_extend_from_slice(fixed).ok()?;
    additional.try_extend_from_slice(header).ok()?;
    Some(additional)
}

/// Opens a sealed extension; `None` if it is not sealed, was changed, or the key is wrong. The plain text
/// may hold keys: the caller wipes it.
#[must_use]
pub fn sealed_plain(parts: &Parts<'_>, held: &Held<'_>, cipher: Cipher, key: &Key) -> Option<Vec<u8>> {
    sealed_plain_with(parts, held, &Sealer::new(cipher, key))
}

/// [`sealed_plain`] for a message of which more is sealed under the same key.
#[must_use]
pub fn sealed_plain_with(parts: &Parts<'_>, held: &Held<'_>, sealer: &Sealer) -> Option<Vec<u8>> {
    if !held.protected.sealed {
        return None;
    }
    let [fixed, header] = parts.additional_parts(held);
    sealer.open(&additional(fixed, header)?, held.protected.info)
}
