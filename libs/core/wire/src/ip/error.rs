use super::Protocol;

/// Why bytes are not the packet that was asked for, or a packet cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Fewer bytes than a header, or a length field inside it, asks for.
    #[error("packet is cut short")]
    Truncated,
    /// The version field is not 4.
    #[error("IP version {0} is not 4")]
    Version(u8),
    /// A length field that contradicts itself: a header longer than the whole, or shorter than its minimum.
    #[error("length fields of the packet contradict each other")]
    Length,
    /// The checksum of the IPv4 header, of UDP or of ICMP is wrong.
    #[error("checksum of the packet is wrong")]
    Checksum,
    /// Another protocol than the one asked for.
    #[error("packet carries IP protocol {}", .0.0)]
    OtherProtocol(Protocol),
    /// A fragment where only whole packets are read.
    #[error("packet is a fragment")]
    Fragment,
    /// More bytes than the 65,535 that the total length of an IPv4 packet can tell.
    #[error("packet would be longer than 65535 bytes")]
    TooLong,
}
