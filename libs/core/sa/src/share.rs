//! Key shares (docs/wire.md): a fresh exchange in every registration, so that whoever steals KEY 0 and the FA–HA key
//! later reads no key from what he recorded. And the realm's key, by which a mobile node names itself when its
//! one-time indices are lost.

use crypto::{
    Key, Rng,
    exchange::{Secret, is_of_low_order},
    kdf,
};
use wire::{
    Error, Writer,
    mip::{
        ours::Numbers,
        share::{Group, KeyShare},
    },
};

use crate::Label;

/// Why a key share does not serve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ShareError {
    /// None is there.
    Missing,
    /// Of another group, of a wrong length, or of low order.
    Refused,
}

/// A finished exchange: the secret, and the share that answered.
pub struct Exchange {
    shared: Key,
    answer: [u8; 32],
}

impl Exchange {
    /// The secret of both.
    #[must_use]
    pub const fn shared(&self) -> &Key {
        &self.shared
    }

    /// Value of the answering share.
    #[must_use]
    pub const fn answer(&self) -> &[u8] {
        &self.answer
    }

    /// A second copy, on purpose and by name, because it holds a secret.
    #[must_use]
    pub const fn duplicate(&self) -> Self {
        Self { shared: self.shared.duplicate(), answer: self.answer }
    }

    /// Appends the share that answers.
    ///
    /// # Errors
    /// Never in practice: the body always fits.
    pub fn emit(&self, w: &mut Writer, numbers: Numbers) -> Result<(), Error> {
        KeyShare { group: Group::X25519, value: &self.answer }.emit(w, numbers)
    }
}

fn value_of(share: Option<KeyShare<'_>>) -> Result<[u8; 32], ShareError> {
    let share = share.ok_or(ShareError::Missing)?;
    match share.value.try_into() {
        Ok(value) if share.group == Group::X25519 && !is_of_low_order(&value) => Ok(value),
        _ => Err(ShareError::Refused),
    }
}

/// Answers a share with a fresh one.
///
/// # Errors
/// [`ShareError`] if there is none, or it does not serve.
pub fn answer(rng: &mut Rng, offered: Option<KeyShare<'_>>) -> Result<Exchange, ShareError> {
    Unfinished::begin(rng, offered)?.finish()
}

/// An exchange of which the work is still to be done: with what is in here, wherever there is time for it.
pub struct Unfinished {
    secret: Secret,
    theirs: [u8; 32],
}

impl Unfinished {
    /// Takes a share that a fresh one will answer.
    ///
    /// # Errors
    /// [`ShareError`] if there is none, or its form is wrong.
    pub fn begin(rng: &mut Rng, offered: Option<KeyShare<'_>>) -> Result<Self, ShareError> {
        Ok(Self { theirs: value_of(offered)?, secret: Secret::new(rng) })
    }

    /// A second copy, on purpose and by name, because it holds a secret. Both finish to the same.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self { secret: self.secret.duplicate(), theirs: self.theirs }
    }

    /// Does the work: two multiplications on the curve.
    ///
    /// # Errors
    /// [`ShareError::Refused`] if the share is of low order.
    pub fn finish(&self) -> Result<Exchange, ShareError> {
        let shared = self.secret.agree(&self.theirs).ok_or(ShareError::Refused)?;
        Ok(Exchange { shared, answer: self.secret.public() })
    }
}

/// The share that a request offers, with its private half, which is wiped on drop.
pub struct Offer {
    secret: Secret,
    value: [u8; 32],
}

impl From<Secret> for Offer {
    fn from(secret: Secret) -> Self {
        Self { value: secret.public(), secret }
    }
}

impl Offer {
    /// A fresh one.
    #[must_use]
    pub fn new(rng: &mut Rng) -> Self {
        Self::from(Secret::new(rng))
    }

    /// The public value.
    #[must_use]
    pub const fn value(&self) -> &[u8; 32] {
        &self.value
    }

    /// Appends the share.
    ///
    /// # Errors
    /// Never in practice: the body always fits.
    pub fn emit(&self, w: &mut Writer, numbers: Numbers) -> Result<(), Error> {
        KeyShare { group: Group::X25519, value: &self.value }.emit(w, numbers)
    }

    /// Finishes the exchange with the share of the reply.
    ///
    /// # Errors
    /// [`ShareError`] if there is none, or it does not serve.
    pub fn complete(&self, answer: Option<KeyShare<'_>>) -> Result<Exchange, ShareError> {
        let answer = value_of(answer)?;
        let shared = self.secret.agree(&answer).ok_or(ShareError::Refused)?;
        Ok(Exchange { shared, answer })
    }

    /// The key that seals a request which names its sender by the realm's public key; `None` if that is of low
    /// order.
    #[must_use]
    pub fn realm_key(&self, realm_public: &[u8; 32], home_realm: &str) -> Option<Key> {
        let shared = self.secret.agree(realm_public)?;
        Some(realm_seal(&shared, home_realm, &self.value))
    }
}

/// The same key as [`Offer::realm_key`] gives, at the home agent: from the realm's private key and the share of the
/// request.
///
/// # Errors
/// [`ShareError`] if there is no share, or it does not serve.
pub fn realm_key_at_home(
    realm_secret: &Key,
    offered: Option<KeyShare<'_>>,
    home_realm: &str,
) -> Result<Key, ShareError> {
    let theirs = value_of(offered)?;
    let shared = Secret::from_key(realm_secret).agree(&theirs).ok_or(ShareError::Refused)?;
    Ok(realm_seal(&shared, home_realm, &theirs))
}

fn realm_seal(shared: &Key, home_realm: &str, share: &[u8; 32]) -> Key {
    let mut context = Vec::new();
    kdf::length_prefixed(&mut context, home_realm.as_bytes());
    kdf::length_prefixed(&mut context, share);
    Key::new(kdf::derive(&Key::new([0; 32]), Some(shared.expose()), Label::SealRealm.name(), &context))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rng(seed: u8) -> Rng {
        Rng::from_seed([seed; 32])
    }

    fn share(value: &[u8]) -> KeyShare<'_> {
        KeyShare { group: Group::X25519, value }
    }

    #[test]
    fn both_sides_agree_and_others_do_not() {
        let offer = Offer::new(&mut rng(1));
        let home = answer(&mut rng(2), Some(share(offer.value()))).unwrap();
        let mobile = offer.complete(Some(share(home.answer()))).unwrap();
        assert!(mobile.shared() == home.shared());
        let other = Offer::new(&mut rng(3)).complete(Some(share(home.answer()))).unwrap();
        assert!(other.shared() != home.shared());
    }

    #[test]
    fn what_does_not_serve_is_refused() {
        let offer = Offer::new(&mut rng(1));
        let value = *offer.value();
        for (offered, error) in [
            (None, ShareError::Missing),
            (Some(share(&[0; 32])), ShareError::Refused),
            (Some(share(&value[..31])), ShareError::Refused),
            (Some(share(&[7; 33])), ShareError::Refused),
            (Some(KeyShare { group: Group(19), value: &value }), ShareError::Refused),
        ] {
            assert_eq!(answer(&mut rng(2), offered).err(), Some(error));
            assert_eq!(offer.complete(offered).err(), Some(error));
            assert_eq!(realm_key_at_home(&Key::new([5; 32]), offered, "home.example").err(), Some(error));
        }
    }

    #[test]
    fn the_realm_key_opens_what_was_sealed_to_it() {
        let realm = Key::new([5; 32]);
        let public = Secret::from_key(&realm).public();
        let offer = Offer::new(&mut rng(1));
        let mobile = offer.realm_key(&public, "home.example").unwrap();
        let at_home =
            |secret: &Key, realm: &str| realm_key_at_home(secret, Some(share(offer.value())), realm).unwrap();
        assert!(mobile == at_home(&realm, "home.example"));
        assert!(mobile != at_home(&realm, "home.exampld"));
        assert!(mobile != at_home(&Key::new([6; 32]), "home.example"));
        assert!(offer.realm_key(&[0; 32], "home.example").is_none());
    }
}
