//! Tunnel data: packets in UDP on the port of registrations (RFC 3519 section 3.3).
//!
//! Four bytes stand between the UDP header and the packet carried. Whether the next header fits the binding
//! is the tunnel's decision, not made here.

use super::registration::TUNNEL_DATA;
use crate::{Error, ip::Protocol};

/// Bytes before the packet carried.
pub const HEADER_LEN: usize = 4;

/// Whether a UDP payload of port 434 is tunnel data rather than a registration message.
#[must_use]
pub const fn is_tunnel_data(payload: &[u8]) -> bool {
    matches!(payload.first(), Some(&TUNNEL_DATA))
}

/// The four bytes in front of a packet of the kind `next_header`.
#[must_use]
pub const fn header(next_header: Protocol) -> [u8; HEADER_LEN] {
    [TUNNEL_DATA, next_header.0, 0, 0]
}

/// A tunnel data message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelData<'a> {
    /// What the message carries: [`Protocol::IP_IN_IP`] for an IPv4 packet.
    pub next_header: Protocol,
    /// The packet carried, not looked into.
    pub packet: &'a [u8],
}

impl<'a> TunnelData<'a> {
    /// Reads a UDP payload. The two reserved bytes are ignored.
    ///
    /// # Errors
    /// [`Error::Truncated`] below four bytes, [`Error::Value`] if the type is not 4.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Error> {
        let (&[kind, next_header, _, _], packet) =
            payload.split_first_chunk::<HEADER_LEN>().ok_or(Error::Truncated)?;
        if kind != TUNNEL_DATA {
            return Err(Error::Value("message type"));
        }
        Ok(Self { next_header: Protocol(next_header), packet })
    }

    /// The message as bytes, reserved ones zero.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        [&header(self.next_header), self.packet].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VECTOR: [u8; 7] = [4, 4, 0, 0, 0x45, 0x00, 0x00];

    #[test]
    fn parse() {
        let data = TunnelData::parse(&VECTOR).unwrap();
        assert_eq!(data, TunnelData { next_header: Protocol::IP_IN_IP, packet: &[0x45, 0, 0] });
        assert!(is_tunnel_data(&VECTOR) && !is_tunnel_data(&[1]) && !is_tunnel_data(&[]));
    }

    #[test]
    fn emit() {
        let data = TunnelData { next_header: Protocol::IP_IN_IP, packet: &[0x45, 0, 0] };
        assert_eq!(data.to_vec(), VECTOR);
        assert_eq!(header(Protocol::GRE), [4, 47, 0, 0]);
    }

    #[test]
    fn truncated_at_every_length() {
        for n in 0..HEADER_LEN {
            assert_eq!(TunnelData::parse(&VECTOR[..n]), Err(Error::Truncated), "{n} bytes");
        }
        assert_eq!(TunnelData::parse(&VECTOR[..4]).unwrap().packet, &[]);
    }

    #[test]
    fn unknown() {
        assert_eq!(TunnelData::parse(&[1, 4, 0, 0]), Err(Error::Value("message type")));
        assert_eq!(TunnelData::parse(&[4, 99, 0, 0]).unwrap().next_header, Protocol(99));
    }

    #[test]
    fn reserved_bytes_are_ignored() {
        assert!(TunnelData::parse(&[4, 4, 0xff, 0xff, 0x45]).is_ok());
    }
}
