//! The association of mobile node and home agent under KEY 0.

use crypto::{Cipher, Key, kdf};
use record::{Nai, Subscriber};
use wire::mip::{Spi, part::Parts};

use crate::{
    Direction, Exchange, Label, Transcript, Unverified, Verified, Way,
    schedule::{derive_answer, derive_from as derive},
};

/// What KEY 0 gives, derived once: keys to authenticate and to seal, in both directions.
pub struct MobileHome {
    spi: Spi,
    cipher: Cipher,
    context: Vec<u8>,
    key0: Key,
    root: kdf::Root,
    to_home: Key,
    from_home: Key,
    seal_request: Key,
    indices: Key,
}

impl MobileHome {
    /// Derives from KEY 0. The context is the mobile node's name and its home realm.
    #[must_use]
    pub fn new(nai: &Nai, home_realm: &str, spi: Spi, cipher: Cipher, key0: Key) -> Self {
        let mut context = Vec::new();
        kdf::length_prefixed(&mut context, nai.as_str().as_bytes());
        kdf::length_prefixed(&mut context, home_realm.as_bytes());
        let root = kdf::Root::of(&key0);
        Self {
            to_home: derive(&root, Label::Auth(Way::MnHa), &context),
            from_home: derive(&root, Label::Auth(Way::HaMn), &context),
            seal_request: derive(&root, Label::Seal(Way::MnHa), &context),
            indices: derive(&root, Label::Spi, &context),
            spi,
            cipher,
            context,
            key0,
            root,
        }
    }

    /// The association of an enrolled subscriber.
    #[must_use]
    pub fn of(subscriber: &Subscriber) -> Self {
        let realm = subscriber.nai.realm().to_owned();
        Self::new(&subscriber.nai, &realm, subscriber.spi, subscriber.cipher, subscriber.key0.duplicate())
    }

    /// The static security parameter index that names it.
    #[must_use]
    pub const fn spi(&self) -> Spi {
        self.spi
    }

    /// The one-time security parameter index number `n`: the first 32 bits above 511 of the pseudo-random stream
    /// that KEY 0 gives for `n`.
    #[must_use]
    pub fn one_time_spi(&self, n: u64) -> Spi {
        // The first word of the first block serves but once in eight million times.
        let blocks = (0..=u8::MAX).map(|block| crypto::hmac(&self.indices, &[&n.to_be_bytes(), &[block]]));
        let words = blocks.flat_map(|block| {
            let word = |i: usize| u32::from_be_bytes([block[i], block[i + 1], block[i + 2], block[i + 3]]);
            [0, 4, 8, 12, 16, 20, 24, 28].map(word)
        });
        words.map(Spi).find(|spi| *spi >= Spi::FIRST_MOBILE_NODE).unwrap_or(Spi::FIRST_MOBILE_NODE)
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

    /// The authenticator of 32 over `covered`.
    #[must_use]
    pub fn authenticate(&self, direction: Direction, covered: &[u8]) -> [u8; 32] {
        crypto::hmac(self.auth(direction), &[covered])
    }

    /// Checks 32 of a message that came in `direction` under the index `spi`; `None` if index or authenticator are
    /// wrong.
    #[must_use]
    pub fn verify<'m, 'a>(
        &self,
        direction: Direction,
        spi: Spi,
        message: &'m Unverified<Parts<'a>>,
    ) -> Option<Verified<&'m Parts<'a>>> {
        let parts = message.peek();
        let claim = &parts.mobile_home;
        let covered = parts.covered(claim);
        if claim.spi == spi && crypto::verify_hmac(self.auth(direction), &[covered], claim.authenticator) {
            Some(message.vouch())
        } else {
            None
        }
    }

    /// The key that seals identity and addresses in a request.
    #[must_use]
    pub const fn request_key(&self) -> &Key {
        &self.seal_request
    }

    /// The key that seals what the reply to the request with transcript T1 says to the mobile node, after this
    /// exchange of key shares. Denials and deregistrations have none.
    #[must_use]
    pub fn reply_key(&self, t1: &Transcript, exchange: Option<&Exchange>) -> Key {
        derive_answer((&self.key0, &self.root), Label::Seal(Way::HaMn), &self.context, t1, exchange)
    }

    /// KEY 1 of an exchange of public values in the request with transcript T1 and its reply.
    #[must_use]
    pub fn stateless_key(&self, t1: &Transcript, shared: &Key) -> Key {
        let context = [self.context.as_slice(), &t1.0].concat();
        Key::new(kdf::derive(&self.key0, Some(shared.expose()), Label::Key1.name(), &context))
    }
}
