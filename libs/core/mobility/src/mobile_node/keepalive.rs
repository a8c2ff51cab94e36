//! Keeping a NAT's mapping alive: an ICMP echo inside the UDP tunnel (RFC 3519 section 4.9).
//!
//! The home agent's host answers it, so the NAT sees traffic both ways. The answer arrives inside the tunnel
//! and ends at this host; nothing is concluded from it.

use std::net::SocketAddrV4;

use sansio::{Now, Transmit};
use wire::{
    ip::{self, Icmp, Protocol},
    mip::{PORT, tunnel_data::TunnelData},
};

use super::{MobileNode, movement::Place};

/// Time to live of the echo inside the tunnel.
const TTL: u8 = 64;

impl MobileNode {
    pub(super) fn keepalive_due(&mut self, now: Now) {
        let Some(a) = &mut self.attachment else { return };
        let Place::CoLocated { care_of, port } = &a.place else {
            return;
        };
        let source = SocketAddrV4::new(care_of.address, *port);
        let Some((every, next)) = a.registration.as_mut().and_then(|r| r.keepalive.as_mut()) else {
            return;
        };
        if *next > now.mono {
            return;
        }
        *next = now.mono + *every;
        self.echo.1 = self.echo.1.wrapping_add(1);
        let echo = Icmp::EchoRequest { identifier: self.echo.0, sequence: self.echo.1, data: &[] };
        let (home, agent) = (self.home_address, self.config.home_agent);
        let Ok(packet) = ip::icmp_packet(home, agent, TTL, &echo.to_vec()) else {
            return;
        };
        let payload = TunnelData { next_header: Protocol::IP_IN_IP, packet: &packet }.to_vec();
        self.count("keepalives");
        let destination = SocketAddrV4::new(agent, PORT);
        self.outbox.send(Transmit::Udp { source, destination, payload });
    }
}
