//! One side of a key exchange.

use crypto::{
    Key, Rng,
    exchange::{self, Secret},
};
use wire::mip::share::Group;

use super::Method;

/// The private half of an exchange, wiped on drop, and its public value.
pub struct Half {
    secret: Secret,
}

impl Half {
    /// A fresh one; `None` for a method that is not known here.
    #[must_use]
    pub fn new(method: &Method, rng: &mut Rng) -> Option<Self> {
        (*method == Method::Known(Group::X25519)).then(|| Self { secret: Secret::new(rng) })
    }

    /// The public value.
    #[must_use]
    pub fn value(&self) -> Vec<u8> {
        self.secret.public().to_vec()
    }

    /// The secret of both; `None` for a value that does not serve.
    #[must_use]
    pub fn agree(&self, theirs: &[u8]) -> Option<Key> {
        let theirs: [u8; exchange::PUBLIC] = theirs.try_into().ok()?;
        self.secret.agree(&theirs)
    }

    /// A second copy, on purpose and by name, because it holds a secret.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self { secret: self.secret.duplicate() }
    }
}
