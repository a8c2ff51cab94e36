//! Associations as RFC 5944 section 3.5.1 has them: a key used as it is, in both directions, with an algorithm that
//! both ends were told. For mobile nodes without our extensions, and for nothing else.

use crypto::{Key, legacy};
use wire::{
    Writer,
    mip::{
        Spi,
        extension::{Authentication, open_authentication},
        part::Parts,
    },
};

use crate::{Unverified, Verified};

/// How an authenticator is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// HMAC-SHA-256 with a key of 256 bits: 32 bytes.
    HmacSha256,
    /// HMAC-MD5 with a key of 128 bits (RFC 5944 section 5.1): 16 bytes. Weak.
    HmacMd5,
}

impl Algorithm {
    const fn length(self) -> u8 {
        match self {
            Self::HmacSha256 => 32,
            Self::HmacMd5 => 16,
        }
    }

    fn authenticate(self, key: &Key, covered: &[u8]) -> Vec<u8> {
        match self {
            Self::HmacSha256 => crypto::hmac(key, &[covered]).to_vec(),
            Self::HmacMd5 => legacy::hmac_md5(key, &[covered]).to_vec(),
        }
    }

    fn verify(self, key: &Key, covered: &[u8], authenticator: &[u8]) -> bool {
        match self {
            Self::HmacSha256 => crypto::verify_hmac(key, &[covered], authenticator),
            Self::HmacMd5 => legacy::verify_hmac_md5(key, &[covered], authenticator),
        }
    }
}

/// A mobility security association that an operator typed in at both ends.
pub struct PlainAssociation {
    spi: Spi,
    algorithm: Algorithm,
    key: Key,
}

impl PlainAssociation {
    /// With the key as HMAC takes it: one of fewer than 256 bits has zeros behind it.
    #[must_use]
    pub const fn new(spi: Spi, algorithm: Algorithm, key: Key) -> Self {
        Self { spi, algorithm, key }
    }

    /// Of an enrolled mobile node and its home agent: KEY 0, with HMAC-MD5 the first 128 bits of it.
    #[must_use]
    pub fn of_key0(spi: Spi, algorithm: Algorithm, key0: &Key) -> Self {
        let key = match algorithm {
            Algorithm::HmacSha256 => key0.duplicate(),
            Algorithm::HmacMd5 => key0.first_half(),
        };
        Self { spi, algorithm, key }
    }

    /// The security parameter index that names it.
    #[must_use]
    pub const fn spi(&self) -> Spi {
        self.spi
    }

    /// How its authenticators are made.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// A second copy, on purpose and by name, because it holds a key.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self { spi: self.spi, algorithm: self.algorithm, key: self.key.duplicate() }
    }

    /// Appends an authentication extension of type `kind` over everything written so far.
    pub fn sign(&self, w: &mut Writer, kind: u8) {
        open_authentication(w, kind, self.spi, self.algorithm.length());
        let authenticator = self.algorithm.authenticate(&self.key, w.bytes());
        w.put(&authenticator);
    }

    /// True if this authentication of a message names this association and is right.
    #[must_use]
    pub fn matches(&self, parts: &Parts<'_>, claim: &Authentication<'_>) -> bool {
        claim.spi == self.spi && self.algorithm.verify(&self.key, parts.covered(claim), claim.authenticator)
    }

    /// Checks 32 of a message; `None` if index or authenticator are wrong.
    #[must_use]
    pub fn verify<'m, 'a>(&self, message: &'m Unverified<Parts<'a>>) -> Option<Verified<&'m Parts<'a>>> {
        let parts = message.peek();
        self.matches(parts, &parts.mobile_home).then(|| message.vouch())
    }
}
