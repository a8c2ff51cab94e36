//! Network access identifiers.

use std::{borrow::Borrow, fmt, sync::Arc};

use thiserror::Error;

/// A network access identifier, `user@realm` (RFC 7542), 3 to 253 bytes of printable ASCII. Copies share them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nai(Arc<str>);

/// Why a text is no network access identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NaiError {
    /// Longer than 253 bytes.
    #[error("a network access identifier has at most 253 bytes")]
    TooLong,
    /// No `@`, or nothing on one side of it.
    #[error("a network access identifier looks like user@realm")]
    Form,
    /// A character outside letters, digits and a few marks.
    #[error("a network access identifier has letters, digits and . _ + - only, and one @")]
    Character,
}

impl Nai {
    /// The longest in bytes.
    pub const MAX: usize = 253;

    /// Checks a text.
    ///
    /// # Errors
    /// [`NaiError`] says what is wrong.
    pub fn parse(text: &str) -> Result<Self, NaiError> {
        Self::check(text)?;
        Ok(Self(text.into()))
    }

    /// Checks a text and keeps nothing of it.
    ///
    /// # Errors
    /// [`NaiError`] says what is wrong.
    pub fn check(text: &str) -> Result<(), NaiError> {
        if text.len() > Self::MAX {
            return Err(NaiError::TooLong);
        }
        let (user, realm) = text.split_once('@').ok_or(NaiError::Form)?;
        let part = |s: &str| s.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(&b));
        if user.is_empty() || realm.is_empty() {
            return Err(NaiError::Form);
        }
        if !part(user) || !part(realm) {
            return Err(NaiError::Character);
        }
        Ok(())
    }

    /// The whole identifier.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same bytes, shared.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// What stands before the `@`.
    #[must_use]
    pub fn user(&self) -> &str {
        self.0.split_once('@').map_or("", |(user, _)| user)
    }

    /// What stands after the `@`.
    #[must_use]
    pub fn realm(&self) -> &str {
        self.0.split_once('@').map_or("", |(_, realm)| realm)
    }
}

/// Maps by identifier may be asked with a text.
impl Borrow<str> for Nai {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Nai {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Nai {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Nai {
    type Err = NaiError;
    fn from_str(text: &str) -> Result<Self, NaiError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_refusals() {
        let nai = Nai::parse("traveller-one@home.example").unwrap();
        assert_eq!((nai.user(), nai.realm()), ("traveller-one", "home.example"));
        assert_eq!(Nai::parse("@realm"), Err(NaiError::Form));
        assert_eq!(Nai::parse("user"), Err(NaiError::Form));
        assert_eq!(Nai::parse("us er@realm"), Err(NaiError::Character));
        assert_eq!(Nai::parse("a@b@c"), Err(NaiError::Character));
        assert_eq!(Nai::parse(&format!("{}@b", "a".repeat(252))), Err(NaiError::TooLong));
    }
}
