//! Keeping a NAT's mapping alive: an ICMP echo inside the UDP tunnel (RFC 3519 section 4.9).
//!
//! All tunnels to one home agent run between the same two ports, so one echo keeps all of them: there is another
//! packet to that home agent within every interval. It bears a visitor's home address, because the home agent takes
//! nothing else out of a tunnel; the answer ends at that visitor, and nothing is concluded from it.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use record::Tunnel;
use sansio::{Instant, Now, Transmit};
use wire::{
    ip::{self, Icmp, Protocol},
    mip::{PORT, tunnel_data::TunnelData},
};

use super::ForeignAgent;

/// No keepalives closer than this, whatever a reply asks for (RFC 3519 section 4.10).
const LEAST: Duration = Duration::from_secs(10);
/// Time to live of the echo inside the tunnel.
const TTL: u8 = 64;

/// The keepalives of the UDP tunnels to one home agent.
pub(super) struct Keepalive {
    every: Duration,
    next: Instant,
    identifier: u16,
    sequence: u16,
}

impl ForeignAgent {
    /// The time between two keepalives if a home agent wants so many seconds; 0 leaves it to us.
    pub(super) fn keepalive_interval(&self, wanted: u16) -> Duration {
        let own = self.config.keepalive;
        let every = if wanted == 0 { own } else { own.min(Duration::from_secs(wanted.into())) };
        every.max(LEAST)
    }

    /// A visitor has a UDP tunnel to this home agent, which wants a keepalive every so many seconds; the next one
    /// goes out at `first` at the latest.
    pub(super) fn keep_alive(&mut self, home_agent: Ipv4Addr, wanted: u16, first: Instant) {
        let (every, identifier) = (self.keepalive_interval(wanted), self.rng.u32() as u16);
        let Some(home) = self.homes.get_mut(&home_agent) else {
            return;
        };
        let keepalive =
            home.keepalive.get_or_insert(Keepalive { every, next: first, identifier, sequence: 0 });
        keepalive.every = every;
        keepalive.next = keepalive.next.min(first);
    }

    /// No pause is longer than the configured one from now on.
    pub(super) fn keep_alive_within_limit(&mut self, now: Now) {
        let most = self.keepalive_interval(0);
        for keepalive in self.homes.values_mut().filter_map(|home| home.keepalive.as_mut()) {
            keepalive.every = keepalive.every.min(most);
            keepalive.next = keepalive.next.min(now.mono + keepalive.every);
        }
    }

    pub(super) fn keepalives_due(&mut self, now: Now) {
        let is_due = |keepalive: &Keepalive| keepalive.next <= now.mono;
        let due = self.homes.iter().filter(|(_, home)| home.keepalive.as_ref().is_some_and(is_due));
        let due: Vec<Ipv4Addr> = due.map(|(address, _)| *address).collect();
        for home_agent in due {
            let from = self.newest_over_udp(home_agent);
            let Some(home) = self.homes.get_mut(&home_agent) else {
                continue;
            };
            match (from, &mut home.keepalive) {
                (Some(home_address), Some(keepalive)) => {
                    keepalive.next = now.mono + keepalive.every;
                    keepalive.sequence = keepalive.sequence.wrapping_add(1);
                    let (identifier, sequence) = (keepalive.identifier, keepalive.sequence);
                    let echo = Icmp::EchoRequest { identifier, sequence, data: &[] };
                    self.send_keepalive(home_address, home_agent, &echo.to_vec());
                }
                _ => home.keepalive = None,
            }
        }
    }

    /// The home address of the visitor with a UDP tunnel to this home agent that registered last: its binding is the
    /// surest to stand.
    fn newest_over_udp(&self, home_agent: Ipv4Addr) -> Option<Ipv4Addr> {
        let visitors = self.visitors.iter().map(|visit| visit.record);
        let of_home = visitors.filter(|record| record.home_agent == home_agent);
        let over_udp = of_home.filter(|record| matches!(record.tunnel, Tunnel::Udp(_)));
        over_udp.max_by_key(|record| record.granted).map(|record| record.home_address)
    }

    fn send_keepalive(&mut self, home_address: Ipv4Addr, home_agent: Ipv4Addr, echo: &[u8]) {
        let Ok(packet) = ip::icmp_packet(home_address, home_agent, TTL, echo) else {
            return;
        };
        let payload = TunnelData { next_header: Protocol::IP_IN_IP, packet: &packet }.to_vec();
        self.count("keepalives");
        self.outbox.send(Transmit::Udp {
            source: SocketAddrV4::new(self.config.care_of, PORT),
            destination: SocketAddrV4::new(home_agent, PORT),
            payload,
        });
    }

    pub(super) fn keepalive_deadline(&self) -> Option<Instant> {
        self.homes.values().filter_map(|home| home.keepalive.as_ref()).map(|keepalive| keepalive.next).min()
    }
}
