//! Values that have, or have not yet, been authenticated.

/// A value that arrived and that nobody vouches for. It may be looked at to find who could.
#[derive(Debug)]
pub struct Unverified<T>(T);

impl<T> Unverified<T> {
    /// Marks what arrived.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// Looks at it, to find the association that its security parameter index names.
    pub const fn peek(&self) -> &T {
        &self.0
    }

    /// Only the verifiers of this crate vouch.
    pub(crate) const fn vouch(&self) -> Verified<&T> {
        Verified(&self.0)
    }
}

/// A value whose authenticator was checked under the right key.
#[derive(Clone, Copy, Debug)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// The value.
    pub const fn value(&self) -> &T {
        &self.0
    }
}

impl<T> std::ops::Deref for Verified<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}
