//! One side of a key exchange.

use crypto::{
    Key, Rng,
    group::{self, Offer, Unfinished},
};

use super::Method;

/// How a method that has a number is worked with; `None` for one that is not known here.
fn known(method: &Method) -> Option<group::Group> {
    match method {
        Method::Known(group) => group::Group::from_number(group.0),
        Method::Own { .. } => None,
    }
}

/// The private half of an exchange, wiped on drop, and its public value.
pub struct Half(Offer);

impl Half {
    /// A fresh one; `None` for a method that is not known here.
    #[must_use]
    pub fn new(method: &Method, rng: &mut Rng) -> Option<Self> {
        known(method).map(|group| Self(Offer::new(rng, group)))
    }

    /// The public value.
    #[must_use]
    pub fn value(&self) -> Vec<u8> {
        self.0.value().to_vec()
    }

    /// The secret of both, as the one who began; `None` for a value that does not serve.
    #[must_use]
    pub fn complete(&self, theirs: &[u8]) -> Option<Key> {
        self.0.complete(theirs).ok().map(|shared| shared.key().duplicate())
    }

    /// The secret of both, as the other one.
    #[must_use]
    pub fn respond(&self, theirs: &[u8]) -> Option<Key> {
        self.0.respond(theirs).ok().map(|shared| shared.key().duplicate())
    }

    /// A second copy, on purpose and by name, because it holds a secret.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(self.0.duplicate())
    }
}

/// Begins to answer a value, without the work of it; `None` for a method that is not known here or a value of a wrong
/// form.
#[must_use]
pub fn begin(method: &Method, offered: &[u8], rng: &mut Rng) -> Option<Unfinished> {
    Unfinished::begin(rng, known(method)?, offered).ok()
}
