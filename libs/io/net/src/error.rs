//! What can go wrong between us and the kernel.

use std::io;

/// A call that the kernel refused, in words for the operator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such interface in this network namespace.
    #[error("there is no network interface {name:?} (see `ip link`)")]
    NoInterface {
        /// The name that was looked for.
        name: String,
    },
    /// The kernel refused an operation.
    #[error("cannot {what}: {source}")]
    System {
        /// The operation, as in "open a packet socket on eth0".
        what: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The netlink connection or a task behind it has ended.
    #[error("the netlink connection has ended")]
    Closed,
}

impl Error {
    /// The kernel's error number, if it was the kernel.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::System { source, .. } => source.raw_os_error(),
            Self::NoInterface { .. } | Self::Closed => None,
        }
    }
}

/// Adds what was attempted to an error of the kernel.
pub(crate) trait Attempt<T> {
    fn attempt<W: Into<String>>(self, what: impl FnOnce() -> W) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> Attempt<T> for Result<T, E> {
    fn attempt<W: Into<String>>(self, what: impl FnOnce() -> W) -> Result<T, Error> {
        self.map_err(|error| Error::System { what: what().into(), source: error.into() })
    }
}
