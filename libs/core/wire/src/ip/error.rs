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
    /// The checksum of the IPv4 header, of a tunnel header, of UDP or of ICMP is wrong.
    #[error("checksum of the packet is wrong")]
    Checksum,
    /// Another protocol than the one asked for.
    #[error("packet carries IP protocol {}", .0.0)]
    OtherProtocol(Protocol),
    /// Another protocol type than IPv4 in a GRE header.
    #[error("tunnel carries protocol type {0:#06x}, not IPv4")]
    EtherType(u16),
    /// A GRE header of another version, or with fields that RFC 2784 took away.
    #[error("tunnel header is of a version or has fields that are not supported")]
    TunnelHeader,
    /// A fragment where only whole packets are read.
    #[error("packet is a fragment")]
    Fragment,
    /// More bytes than the 65,535 that the total length of an IPv4 packet can tell.
    #[error("packet would be longer than 65535 bytes")]
    TooLong,
}
