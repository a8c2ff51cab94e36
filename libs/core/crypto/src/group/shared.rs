//! What an exchange ends with: a secret of both, or a refusal.

use zeroize::Zeroizing;

use super::Method;
use crate::{Key, kdf};

/// Bytes that are wiped on drop.
pub(super) type Bytes = Zeroizing<Vec<u8>>;

/// Why a public value of a peer does not serve.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// It has another length than every value of its group has.
    #[error("the public value has {is} bytes, and those of this group have {must_be}")]
    Length {
        /// Bytes that came.
        is: usize,
        /// Bytes that must be.
        must_be: usize,
    },
    /// 0, 1, p − 1, p or above.
    #[error("the public value is not one of 2 to p - 2")]
    Range,
    /// The generator makes only half of all values, and this is one of the others.
    #[error("the public value is not in the subgroup that the generator makes")]
    Subgroup,
    /// No point of the curve.
    #[error("the public value is no point of the curve")]
    Curve,
    /// Of low order: it would give everybody the same secret (RFC 7748 section 6.1).
    #[error("the public value is of low order")]
    LowOrder,
    /// A number in the ML-KEM key is not below 3329 (FIPS 203 section 7.2).
    #[error("the encapsulation key is malformed")]
    EncapsulationKey,
}

/// The secret of both, wiped on drop and never shown.
pub struct Shared {
    secret: Bytes,
    key: Key,
}

impl Shared {
    /// From the secret and what passed by.
    pub(super) fn new(method: &Method, secret: Bytes, offer: &[u8], answer: &[u8]) -> Self {
        let mut context = Vec::new();
        match method {
            Method::Known(group) => context.extend_from_slice(&group.number().to_be_bytes()),
            Method::User(group) => {
                context.extend_from_slice(&[0, 0]);
                kdf::length_prefixed(&mut context, group.prime());
                kdf::length_prefixed(&mut context, group.generator());
            }
        }
        kdf::length_prefixed(&mut context, offer);
        kdf::length_prefixed(&mut context, answer);
        Self { key: kdf::extract(&secret, "group", &context), secret }
    }

    /// The secret as the group gives it, of full length, with leading zeros.
    ///
    /// Modulo a prime it is the number, as long as the prime (RFC 2631 section 2.1.2); on P-256 and P-384 the x of the
    /// point (RFC 5903 section 7); of X25519 with ML-KEM-768 the secret of X25519 and then that of ML-KEM-768.
    #[must_use]
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// 32 bytes of it for the key schedule, HKDF with SHA-256 (RFC 5869):
    /// Expand(Extract(32 zero bytes, secret), "sojourn-1" ‖ lp("group") ‖ lp(context), 32), where context is the group's
    /// number in 16 bits ‖ lp(initiator's value) ‖ lp(responder's value), and lp(x) the length of x in 16 bits and x.
    /// A group that a peer defined has the number 0, followed by lp(prime) ‖ lp(generator).
    ///
    /// So two sides have the same key only if they mean the same group and saw the same values, whatever the group:
    /// neither X25519 nor ML-KEM promises that by itself.
    #[must_use]
    pub const fn key(&self) -> &Key {
        &self.key
    }

    /// A second copy, on purpose and by name.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self { secret: self.secret.clone(), key: self.key.duplicate() }
    }
}
