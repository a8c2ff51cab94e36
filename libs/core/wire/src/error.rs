//! What can be wrong with received bytes.

use thiserror::Error;

/// Why bytes are not the message they claim to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes end before the message does.
    #[error("the message ends too early")]
    Truncated,
    /// Bytes are left after the message.
    #[error("bytes are left over after the message")]
    Trailing,
    /// A length field disagrees with what it counts.
    #[error("a length field is wrong: {0}")]
    Length(&'static str),
    /// A field has a value that is not allowed there.
    #[error("a field has a value that is not allowed: {0}")]
    Value(&'static str),
    /// A checksum does not match.
    #[error("the checksum is wrong")]
    Checksum,
    /// An extension stands more than once, or where it may not stand.
    #[error("extension {0} is repeated or misplaced")]
    Misplaced(u8),
    /// An extension that may not be skipped is not known (RFC 5944 section 1.8).
    #[error("extension {0} is unknown and may not be skipped")]
    UnknownCritical(u8),
    /// More than the longest message that is taken (4096 bytes).
    #[error("the message is longer than 4096 bytes")]
    TooLong,
}
