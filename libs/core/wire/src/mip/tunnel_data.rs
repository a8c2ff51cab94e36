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
        let (&[kind, next_header, _, _], packet) = payload
            .split_first_chunk::<HEADER_LEN>()
            .ok_or(Error::Truncated)?;
        if kind != TUNNEL_DATA {
            return Err(Error::Value("message type"));
        }
        Ok(Self {
            next_header: Protocol(next_header),
            packet,
        })
    }

    /// The message as bytes, reserved ones zero.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        [&header(self.next_header), self.packet].concat()
    }
}
