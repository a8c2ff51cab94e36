//! IPv4 packets: which of them carry a message of Mobile IP.

use std::net::{Ipv4Addr, SocketAddrV4};

use wire::{
    ip::{
        self, Protocol,
        icmp::{ROUTER_ADVERTISEMENT, ROUTER_SOLICITATION},
        ipv4, udp,
    },
    mip::{PORT, tunnel_data::is_tunnel_data},
};

use super::{discovery, message, page::Page};

/// What an IPv4 packet carried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Carried {
    /// A message, which was drawn.
    Message,
    /// A packet in a UDP tunnel.
    TunnelData,
    /// Something that is not of Mobile IP.
    Else,
}

/// Draws bytes that somebody gave by hand: a payload of port 434, an ICMP message, or a whole IPv4 packet.
pub(super) fn draw_any(bytes: &[u8], page: &mut Page) {
    match bytes.first() {
        Some(&ROUTER_ADVERTISEMENT | &ROUTER_SOLICITATION) => discovery::draw(bytes, "", page),
        Some(0x45..=0x4f) => match draw_ipv4(bytes, "", page) {
            Carried::Message => {}
            Carried::TunnelData | Carried::Else => {
                page.message(format_args!("IPv4 packet, {} bytes", bytes.len()));
                page.fault(0, "no registration message, revocation or agent discovery in it");
            }
        },
        _ => message::draw(bytes, "", page),
    }
}

/// Draws the message that an IPv4 packet carries, if there is one. `from` says where the packet was found.
pub(super) fn draw_ipv4(packet: &[u8], from: &str, page: &mut Page) -> Carried {
    let Some(header) = Header::of(packet) else {
        return Carried::Else;
    };
    let carried = packet.get(header.length..).unwrap_or_default();
    match header.protocol {
        Protocol::UDP => draw_udp(&header, packet, carried, from, page),
        Protocol::ICMP if matches!(carried.first(), Some(&ROUTER_ADVERTISEMENT | &ROUTER_SOLICITATION)) => {
            let from = format!("{from}{} to {}, ", header.source, header.destination);
            match ip::parse_icmp(packet) {
                Ok(icmp) if discovery::is_plain_router(icmp.message) => return Carried::Else,
                Ok(icmp) => discovery::draw(icmp.message, &from, page),
                Err(error) => broken(&from, error, page),
            }
            Carried::Message
        }
        _ => Carried::Else,
    }
}

fn draw_udp(header: &Header, packet: &[u8], carried: &[u8], from: &str, page: &mut Page) -> Carried {
    let Some((udp, payload)) = carried.split_first_chunk::<{ udp::HEADER_LEN }>() else {
        return Carried::Else;
    };
    let word = |at: usize| u16::from_be_bytes([udp[at], udp[at + 1]]);
    let (source, destination, length) = (word(0), word(2), usize::from(word(4)));
    if source != PORT && destination != PORT {
        return Carried::Else;
    }
    if is_tunnel_data(payload) {
        return Carried::TunnelData;
    }
    let source = SocketAddrV4::new(header.source, source);
    let destination = SocketAddrV4::new(header.destination, destination);
    let from = format!("{from}{source} to {destination}, ");
    match ip::parse_udp(packet) {
        Ok(udp) => message::draw(udp.payload, &from, page),
        // Where a network card computes it, captures on the machine that sends have a wrong one.
        Err(ip::Error::Checksum) => {
            let end = length.saturating_sub(udp::HEADER_LEN).min(payload.len());
            message::draw(&payload[..end], &from, page);
            page.below(
                "checksum of the packet is wrong; right if it was captured before the network card made it",
            );
        }
        Err(error) => broken(&from, error, page),
    }
    Carried::Message
}

fn broken(from: &str, error: ip::Error, page: &mut Page) {
    page.message(format_args!("{from}not read"));
    page.fault(0, error);
}

/// What tells whether a packet matters, read without any check: a message that is broken must be told, not passed over.
struct Header {
    length: usize,
    protocol: Protocol,
    source: Ipv4Addr,
    destination: Ipv4Addr,
}

impl Header {
    /// Of an IPv4 packet, unless it is a later fragment.
    fn of(packet: &[u8]) -> Option<Self> {
        let fixed = packet.first_chunk::<{ ipv4::HEADER_LEN }>()?;
        let address = |at: usize| Ipv4Addr::new(fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]);
        let later = u16::from_be_bytes([fixed[6], fixed[7]]) & 0x1fff != 0;
        (fixed[0] >> 4 == 4 && !later).then(|| Self {
            length: usize::from(fixed[0] & 0x0f) * 4,
            protocol: Protocol(fixed[9]),
            source: address(12),
            destination: address(16),
        })
    }
}
