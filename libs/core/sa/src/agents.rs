//! The association of a foreign agent and a home agent that both were configured with.

use crypto::{Cipher, Key, kdf};
use wire::mip::{Spi, part::Parts};

use crate::{
    Direction, Exchange, Label, Transcript, Unverified, Verified, Way,
    schedule::{derive_answer, derive_from as derive},
};

/// What the FA–HA association gives, derived once.
pub struct AgentPath {
    spi: Spi,
    cipher: Cipher,
    context: Vec<u8>,
    key: Key,
    root: kdf::Root,
    to_home: Key,
    from_home: Key,
}

impl AgentPath {
    /// Derives from the configured key. The context is the two names, foreign agent first.
    #[must_use]
    pub fn new(foreign_agent: &str, home_agent: &str, spi: Spi, cipher: Cipher, key: Key) -> Self {
        let mut context = Vec::new();
        kdf::length_prefixed(&mut context, foreign_agent.as_bytes());
        kdf::length_prefixed(&mut context, home_agent.as_bytes());
        let root = kdf::Root::of(&key);
        Self {
            to_home: derive(&root, Label::Auth(Way::FaHa), &context),
            from_home: derive(&root, Label::Auth(Way::HaFa), &context),
            spi,
            cipher,
            context,
            key,
            root,
        }
    }

    /// The security parameter index that names it.
    #[must_use]
    pub const fn spi(&self) -> Spi {
        self.spi
    }

    /// The cipher of what it seals.
    #[must_use]
    pub const fn cipher(&self) -> Cipher {
        self.cipher
    }

    const fn auth(&self, direction: Direction) -> &Key {
        match direction {
            Direction::ToHome => &self.to_home,
            Direction::FromHome => &self.from_home,
        }
    }

    /// The authenticator of 34 over `covered`.
    #[must_use]
    pub fn authenticate(&self, direction: Direction, covered: &[u8]) -> [u8; 32] {
        crypto::hmac(self.auth(direction), &[covered])
    }

    /// True if 34 of this message, which came in `direction`, is right.
    #[must_use]
    pub fn matches(&self, direction: Direction, parts: &Parts<'_>) -> bool {
        parts.foreign_home.is_some_and(|claim| {
            let covered = parts.covered(&claim);
            claim.spi == self.spi
                && crypto::verify_hmac(self.auth(direction), &[covered], claim.authenticator)
        })
    }

    /// Checks 34 of a message that came in `direction`; `None` if it is missing, names another association or
    /// is wrong.
    #[must_use]
    pub fn verify<'m, 'a>(
        &self,
        direction: Direction,
        message: &'m Unverified<Parts<'a>>,
    ) -> Option<Verified<&'m Parts<'a>>> {
        if self.matches(direction, message.peek()) { Some(message.vouch()) } else { None }
    }

    /// The key that seals what the reply to the request with transcript T2 says to the foreign agent, after this
    /// exchange of key shares.
    #[must_use]
    pub fn reply_key(&self, t2: &Transcript, exchange: Option<&Exchange>) -> Key {
        derive_answer((&self.key, &self.root), Label::Seal(Way::HaFa), &self.context, t2, exchange)
    }

    /// KEY 2 of an exchange of public values in the request with transcript T2 and its reply.
    #[must_use]
    pub fn stateless_key(&self, t2: &Transcript, shared: &Key) -> Key {
        let context = [self.context.as_slice(), &t2.0].concat();
        Key::new(kdf::derive(&self.key, Some(shared.expose()), Label::Key2.name(), &context))
    }
}
