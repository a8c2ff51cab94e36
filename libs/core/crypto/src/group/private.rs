//! The private half of an exchange, of whatever kind the group is.

use p256::NistP256;
use p384::NistP384;
use zeroize::Zeroizing;

use super::{
    Group, Method, curve, hybrid, modp,
    shared::{Bytes, Refused},
};
use crate::{
    Rng,
    exchange::{PUBLIC, Secret, is_of_low_order},
};

/// A private value, wiped on drop.
pub(super) enum Private {
    Modp(modp::Private),
    P256(curve::Private<NistP256>),
    P384(curve::Private<NistP384>),
    X25519(Secret),
    Hybrid(hybrid::Private),
}

/// A value of X25519, if it has its length and is of no low order.
pub(super) fn x25519_value(theirs: &[u8]) -> Result<[u8; PUBLIC], Refused> {
    let value = theirs.try_into().map_err(|_| Refused::Length { is: theirs.len(), must_be: PUBLIC })?;
    if is_of_low_order(&value) { Err(Refused::LowOrder) } else { Ok(value) }
}

/// The secret of X25519.
pub(super) fn x25519(secret: &Secret, theirs: &[u8]) -> Result<Bytes, Refused> {
    let shared = secret.agree(&x25519_value(theirs)?).ok_or(Refused::LowOrder)?;
    Ok(Zeroizing::new(shared.expose().to_vec()))
}

impl Private {
    /// Draws one: no work yet.
    pub(super) fn draw(rng: &mut Rng, method: &Method) -> Self {
        match method {
            Method::Known(Group::P256) => Self::P256(curve::Private::draw(rng)),
            Method::Known(Group::P384) => Self::P384(curve::Private::draw(rng)),
            Method::Known(Group::X25519MlKem768) => Self::Hybrid(hybrid::Private::draw(rng)),
            method => match method.modp() {
                Some(group) => Self::Modp(modp::Private::draw(rng, group)),
                None => Self::X25519(Secret::new(rng)),
            },
        }
    }

    /// A second copy, on purpose and by name.
    pub(super) fn duplicate(&self) -> Self {
        match self {
            Self::Modp(private) => Self::Modp(private.duplicate()),
            Self::P256(private) => Self::P256(private.duplicate()),
            Self::P384(private) => Self::P384(private.duplicate()),
            Self::X25519(secret) => Self::X25519(secret.duplicate()),
            Self::Hybrid(private) => Self::Hybrid(private.duplicate()),
        }
    }

    /// The value to offer.
    pub(super) fn offer(&self) -> Vec<u8> {
        match self {
            Self::Modp(private) => private.public(),
            Self::P256(private) => private.public(),
            Self::P384(private) => private.public(),
            Self::X25519(secret) => secret.public().to_vec(),
            Self::Hybrid(private) => private.offer(),
        }
    }

    /// Refuses an offered value by its form, at next to no cost.
    pub(super) fn check(&self, offered: &[u8]) -> Result<(), Refused> {
        match self {
            Self::Modp(private) => private.check(offered),
            Self::P256(_) => curve::value::<NistP256>(offered).map(drop),
            Self::P384(_) => curve::value::<NistP384>(offered).map(drop),
            Self::X25519(_) => x25519_value(offered).map(drop),
            Self::Hybrid(_) => hybrid::check(offered),
        }
    }

    /// The value that answers an offered one, and the secret.
    pub(super) fn answer(&self, offered: &[u8]) -> Result<(Vec<u8>, Bytes), Refused> {
        match self {
            Self::Hybrid(private) => private.answer(offered),
            // The others are the same on both sides. The secret first: it is what may be refused.
            _ => self.complete(offered).map(|secret| (self.offer(), secret)),
        }
    }

    /// The secret, with the value that answered the offer.
    pub(super) fn complete(&self, answer: &[u8]) -> Result<Bytes, Refused> {
        match self {
            Self::Modp(private) => private.agree(answer),
            Self::P256(private) => private.agree(answer),
            Self::P384(private) => private.agree(answer),
            Self::X25519(secret) => x25519(secret, answer),
            Self::Hybrid(private) => private.complete(answer),
        }
    }
}
