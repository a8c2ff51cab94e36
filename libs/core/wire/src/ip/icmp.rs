//! ICMP messages (RFC 792): echo, destination unreachable with the next-hop MTU (RFC 1191 §4), time exceeded;
//! every other type as it stands.
//!
//! Router advertisements and solicitations are read by [`crate::mip::advertisement`] from the same bytes.

use super::Error;
use crate::checksum::checksum;

/// Bytes before the body of every message: type, code, checksum and four bytes whose use the type decides.
pub const HEADER_LEN: usize = 8;

/// Type of an echo reply.
pub const ECHO_REPLY: u8 = 0;
/// Type of a destination unreachable message.
pub const DESTINATION_UNREACHABLE: u8 = 3;
/// Type of an echo request.
pub const ECHO_REQUEST: u8 = 8;
/// Type of a router advertisement (RFC 1256 §3).
pub const ROUTER_ADVERTISEMENT: u8 = 9;
/// Type of a router solicitation (RFC 1256 §3).
pub const ROUTER_SOLICITATION: u8 = 10;
/// Type of a time exceeded message.
pub const TIME_EXCEEDED: u8 = 11;

/// Code of a destination unreachable message (RFC 792, RFC 1122 §3.2.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreachable(pub u8);

impl Unreachable {
    /// No route to the network.
    pub const NETWORK: Self = Self(0);
    /// The host does not answer.
    pub const HOST: Self = Self(1);
    /// The host does not know the protocol.
    pub const PROTOCOL: Self = Self(2);
    /// Nobody listens on the port.
    pub const PORT: Self = Self(3);
    /// The packet is too big for the next hop and may not be fragmented.
    pub const FRAGMENTATION_NEEDED: Self = Self(4);
    /// An administrator forbids it.
    pub const ADMINISTRATIVELY_PROHIBITED: Self = Self(13);
}

/// An ICMP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icmp<'a> {
    /// Echo request, type 8.
    EchoRequest {
        /// Tells one sender's series from another.
        identifier: u16,
        /// Place in the series.
        sequence: u16,
        /// Data that the reply repeats.
        data: &'a [u8],
    },
    /// Echo reply, type 0.
    EchoReply {
        /// As in the request.
        identifier: u16,
        /// As in the request.
        sequence: u16,
        /// As in the request.
        data: &'a [u8],
    },
    /// Destination unreachable, type 3.
    DestinationUnreachable {
        /// Why.
        code: Unreachable,
        /// MTU of the next hop in bytes with [`Unreachable::FRAGMENTATION_NEEDED`], else 0; old routers leave
        /// it 0 there too.
        mtu: u16,
        /// Header and first bytes of the packet that could not be delivered.
        original: &'a [u8],
    },
    /// Time exceeded, type 11.
    TimeExceeded {
        /// 0 in transit, 1 while waiting for fragments.
        code: u8,
        /// Header and first bytes of the packet that died.
        original: &'a [u8],
    },
    /// Any other type.
    Other {
        /// Type field; none of the types above.
        kind: u8,
        /// Code field.
        code: u8,
        /// The four bytes after the checksum.
        rest: [u8; 4],
        /// What follows.
        body: &'a [u8],
    },
}

impl<'a> Icmp<'a> {
    /// Reads a message that fills `bytes`, as the payload of an IPv4 packet does.
    ///
    /// Bits that a type leaves unused are ignored.
    ///
    /// # Errors
    /// [`Error::Truncated`] below eight bytes, [`Error::Checksum`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let (header, body) = bytes.split_first_chunk::<HEADER_LEN>().ok_or(Error::Truncated)?;
        if checksum(bytes) != 0 {
            return Err(Error::Checksum);
        }
        let &[kind, code, _, _, a, b, c, d] = header;
        let (first, second) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        Ok(match kind {
            ECHO_REQUEST => Self::EchoRequest { identifier: first, sequence: second, data: body },
            ECHO_REPLY => Self::EchoReply { identifier: first, sequence: second, data: body },
            DESTINATION_UNREACHABLE => {
                let code = Unreachable(code);
                let mtu = if code == Unreachable::FRAGMENTATION_NEEDED { second } else { 0 };
                Self::DestinationUnreachable { code, mtu, original: body }
            }
            TIME_EXCEEDED => Self::TimeExceeded { code, original: body },
            _ => Self::Other { kind, code, rest: [a, b, c, d], body },
        })
    }

    /// The message as bytes, checksum included; unused bits are zero.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let (kind, code, rest, body) = self.parts();
        let mut out = Vec::with_capacity(HEADER_LEN + body.len());
        out.extend([kind, code, 0, 0]);
        out.extend(rest);
        out.extend(body);
        let sum = checksum(&out);
        out[2..4].copy_from_slice(&sum.to_be_bytes());
        out
    }

    fn parts(&self) -> (u8, u8, [u8; 4], &'a [u8]) {
        match *self {
            Self::EchoRequest { identifier, sequence, data } => {
                (ECHO_REQUEST, 0, pair(identifier, sequence), data)
            }
            Self::EchoReply { identifier, sequence, data } => {
                (ECHO_REPLY, 0, pair(identifier, sequence), data)
            }
            Self::DestinationUnreachable { code, mtu, original } => {
                (DESTINATION_UNREACHABLE, code.0, pair(0, mtu), original)
            }
            Self::TimeExceeded { code, original } => (TIME_EXCEEDED, code, [0; 4], original),
            Self::Other { kind, code, rest, body } => (kind, code, rest, body),
        }
    }
}

const fn pair(first: u16, second: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (first.to_be_bytes(), second.to_be_bytes());
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Echo request 0x1234, number 1, data "ping".
    const VECTOR: [u8; 12] = [0x08, 0x00, 0x06, 0xfa, 0x12, 0x34, 0x00, 0x01, 0x70, 0x69, 0x6e, 0x67];
    const ECHO: Icmp<'_> = Icmp::EchoRequest { identifier: 0x1234, sequence: 1, data: b"ping" };

    fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
        bytes[2..4].fill(0);
        let sum = checksum(&bytes);
        bytes[2..4].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    #[test]
    fn parse() {
        assert_eq!(Icmp::parse(&VECTOR), Ok(ECHO));
    }

    #[test]
    fn emit() {
        assert_eq!(ECHO.to_vec(), VECTOR);
    }

    #[test]
    fn every_kind_survives_a_round_trip() {
        let (original, data) = (&[0x45; 28][..], &[7; 3][..]);
        let all = [
            Icmp::EchoReply { identifier: 1, sequence: 0xffff, data },
            Icmp::EchoRequest { identifier: 0xffff, sequence: 0, data: &[] },
            Icmp::DestinationUnreachable { code: Unreachable::FRAGMENTATION_NEEDED, mtu: 1480, original },
            Icmp::DestinationUnreachable { code: Unreachable::PORT, mtu: 0, original },
            Icmp::TimeExceeded { code: 0, original },
            Icmp::Other { kind: 5, code: 1, rest: [10, 0, 0, 1], body: original },
        ];
        for message in all {
            assert_eq!(Icmp::parse(&message.to_vec()), Ok(message));
        }
    }

    #[test]
    fn truncated_at_every_length() {
        for n in 0..HEADER_LEN {
            assert_eq!(Icmp::parse(&VECTOR[..n]), Err(Error::Truncated), "{n} bytes");
        }
        for n in HEADER_LEN..VECTOR.len() {
            assert_eq!(Icmp::parse(&VECTOR[..n]), Err(Error::Checksum), "{n} bytes");
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for bit in 0..VECTOR.len() * 8 {
            let mut bytes = VECTOR;
            bytes[bit / 8] ^= 0x80 >> (bit % 8);
            assert_eq!(Icmp::parse(&bytes), Err(Error::Checksum), "bit {bit}");
        }
    }

    #[test]
    fn a_next_hop_mtu_only_where_it_is_defined() {
        let port = with_checksum(vec![3, 3, 0, 0, 0, 0, 0x05, 0xdc]);
        let expected = Icmp::DestinationUnreachable { code: Unreachable::PORT, mtu: 0, original: &[] };
        assert_eq!(Icmp::parse(&port), Ok(expected));
    }

    /// The length of RFC 4884 stands in bits that RFC 792 leaves unused.
    #[test]
    fn unused_bits_are_ignored() {
        let bytes = with_checksum(vec![3, 4, 0, 0, 0, 32, 0x05, 0xb4, 0x45]);
        let Ok(Icmp::DestinationUnreachable { mtu, original, .. }) = Icmp::parse(&bytes) else {
            panic!("not read as destination unreachable");
        };
        assert_eq!((mtu, original), (1460, &[0x45][..]));
    }
}
