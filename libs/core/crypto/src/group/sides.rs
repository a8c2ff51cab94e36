//! The two sides of an exchange.

use super::{Method, Refused, Shared, private::Private};
use crate::Rng;

/// What an initiator offers: a public value, and its private half, which is wiped on drop.
pub struct Offer {
    method: Method,
    private: Private,
    value: Vec<u8>,
}

impl Offer {
    /// A fresh one. Modulo a prime this is half of the work of an exchange: see [`super::Group::is_heavy`].
    #[must_use]
    pub fn new(rng: &mut Rng, method: impl Into<Method>) -> Self {
        let method = method.into();
        let private = Private::draw(rng, &method);
        Self { value: private.offer(), private, method }
    }

    /// What it is made with.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// The public value.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// Finishes the exchange with the value that answers: the other half of the work.
    ///
    /// # Errors
    /// [`Refused`] if that value does not serve. A ciphertext of ML-KEM-768 that was made for another key, or changed on
    /// its way, is never refused but gives a secret that nobody else has (FIPS 203 section 6.3).
    pub fn complete(&self, answer: &[u8]) -> Result<Shared, Refused> {
        let secret = self.private.complete(answer)?;
        Ok(Shared::new(&self.method, secret, &self.value, answer))
    }

    /// Finishes the exchange with the value of another initiator, as its responder: for two who both offered, of whom one
    /// has to be the responder.
    ///
    /// # Errors
    /// [`Refused`] if that value does not serve. One of X25519 with ML-KEM-768 never does: to answer it takes a value
    /// that is made for it.
    pub fn respond(&self, offered: &[u8]) -> Result<Shared, Refused> {
        let secret = self.private.complete(offered)?;
        Ok(Shared::new(&self.method, secret, offered, &self.value))
    }

    /// A second copy, on purpose and by name, because it holds a secret.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self { method: self.method.clone(), private: self.private.duplicate(), value: self.value.clone() }
    }
}

/// A responder's exchange of which the work is still to be done: with what is in here, wherever there is time for it.
pub struct Unfinished {
    method: Method,
    private: Private,
    offered: Vec<u8>,
}

impl Unfinished {
    /// Takes an offered value, which a fresh one will answer. There is no exponentiation in this.
    ///
    /// # Errors
    /// [`Refused`] if the form of the value is wrong: its length, its range, no point of the curve, a low order.
    pub fn begin(rng: &mut Rng, method: impl Into<Method>, offered: &[u8]) -> Result<Self, Refused> {
        let method = method.into();
        let private = Private::draw(rng, &method);
        private.check(offered)?;
        Ok(Self { method, private, offered: offered.to_vec() })
    }

    /// What it is made with.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// Does the work. The same comes of it each time.
    ///
    /// # Errors
    /// [`Refused::Subgroup`] if the value is not one that the generator makes.
    pub fn finish(&self) -> Result<Answer, Refused> {
        let (value, secret) = self.private.answer(&self.offered)?;
        Ok(Answer { shared: Shared::new(&self.method, secret, &self.offered, &value), value })
    }

    /// A second copy, on purpose and by name, because it holds a secret. Both finish to the same.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self { method: self.method.clone(), private: self.private.duplicate(), offered: self.offered.clone() }
    }
}

/// A responder's finished exchange: the secret, and the value that answers.
pub struct Answer {
    shared: Shared,
    value: Vec<u8>,
}

impl Answer {
    /// The secret of both.
    #[must_use]
    pub const fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The value that answers.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// The secret, and the value that answers.
    #[must_use]
    pub fn into_parts(self) -> (Shared, Vec<u8>) {
        (self.shared, self.value)
    }
}
