//! What is sent on: requests with our part to home agents, replies without it to mobile nodes.

use std::net::{Ipv4Addr, SocketAddrV4};

use sa::{Direction, negotiation::Offered};
use sansio::{Now, Transmit};
use wire::{
    Error, Writer, ip,
    mip::{
        MAX_MESSAGE, PORT,
        code::Code,
        extension::{FA_HA_AUTHENTICATION, UdpTunnelRequest, open_authentication},
        ours::{self, Handle, Protected, Subtype, ip_owner, nai_owner},
        registration::{Identification, Reply, ntp_seconds},
        revocation::Support,
        share::{Group, KeyShare},
    },
};

use super::{
    Encapsulation, ForeignAgent, Home, Inform,
    pending::{Asker, Purpose, counter},
    request::Admitted,
};
use crate::{Event, EventKind};

/// Time to live of packets to mobile nodes: they are on the link.
const TTL: u8 = 255;

/// Bytes of a SHA-256 authenticator.
const AUTHENTICATOR: u8 = 32;

impl ForeignAgent {
    /// The mobile node's bytes through 32, unchanged, and our part: with 34 and the key share, except for
    /// deregistrations (RFC 5944 section 3.5.4) and for mobile nodes that decapsulate themselves.
    pub(super) fn with_our_part(
        &self,
        home: &Home,
        asked: &Admitted<'_>,
        handle: Handle,
        (share, offered): (Option<[u8; 32]>, Option<&Offered>),
        now: Now,
    ) -> Result<Vec<u8>, Error> {
        let Admitted { purpose, mobile, numbers, .. } = *asked;
        let mut w = Writer::with_capacity(mobile.len() + 256);
        w.put(mobile).put(&asked.behind);
        plain(nai_owner::FOREIGN_AGENT, self.config.nai.as_bytes()).emit(&mut w, numbers, Subtype::NAI)?;
        if purpose == Purpose::Visit {
            let care_of = self.config.care_of.octets();
            plain(ip_owner::ROUTER, &care_of).emit(&mut w, numbers, Subtype::IP)?;
        }
        handle.emit(&mut w, numbers)?;
        if let Some(value) = &share {
            KeyShare { group: Group::X25519, value }.emit(&mut w, numbers)?;
        }
        if let Some(offered) = offered {
            ours::put(&mut w, numbers, Subtype::NEGOTIATION, offered.body())?;
        }
        if purpose == Purpose::Visit {
            if asked.clear.is_none() {
                // The home agent may revoke this registration by KEY 2.
                let timestamp = ntp_seconds(now.unix.as_secs());
                let inform = self.config.inform == Inform::HomeAgentDecides;
                Support { inform, timestamp }.emit(&mut w);
            }
            if self.config.encapsulation == Encapsulation::Udp {
                let asked = UdpTunnelRequest { forced: true, through_foreign_agent: false, encapsulation: 0 };
                asked.emit(&mut w);
            }
            open_authentication(&mut w, FA_HA_AUTHENTICATION, home.path.spi(), AUTHENTICATOR);
            let authenticator = home.path.authenticate(Direction::ToHome, w.bytes());
            w.put(&authenticator);
        }
        if w.len() > MAX_MESSAGE {
            return Err(Error::TooLong);
        }
        Ok(w.into_bytes())
    }

    pub(super) fn send_home(&mut self, home_agent: Ipv4Addr, payload: Vec<u8>) {
        self.outbox.send(Transmit::Udp {
            source: SocketAddrV4::new(self.config.care_of, PORT),
            destination: SocketAddrV4::new(home_agent, PORT),
            payload,
        });
    }

    /// Sends a reply to the recorded link address (RFC 5944 section 3.7.2.3). By IP it goes to the home
    /// address if that stands there in clear, else to everybody.
    pub(super) fn send_to_station(&mut self, asker: &Asker, home_address: Ipv4Addr, reply: &[u8]) {
        let Some(beacon) = self.beacons.get(&asker.station.link) else {
            return;
        };
        let to = if home_address.is_unspecified() { Ipv4Addr::BROADCAST } else { home_address };
        let source = SocketAddrV4::new(beacon.link.address, PORT);
        // Replies are bounded by the size that a receiver takes, far below that of a datagram.
        if let Ok(packet) = ip::udp_packet(source, SocketAddrV4::new(to, asker.port), TTL, reply) {
            self.outbox.send(Transmit::Link { link: asker.station.link, to: asker.station.address, packet });
        }
    }

    /// Refuses a request with a code of our own, unauthenticated, at most once a second for each station.
    pub(super) fn refuse(&mut self, asker: &Asker, code: Code, now: Now) {
        if !self.gate.refuses(asker.station, now.mono) {
            return self.count("refusals suppressed");
        }
        self.count(counter(code));
        let request = &asker.request;
        let reply = Reply {
            code,
            lifetime: if code == Code::FA_LIFETIME { self.config.max_lifetime } else { request.lifetime },
            home_address: request.home_address,
            home_agent: request.home_agent,
            identification: Identification(request.identification.0),
        };
        let mut w = Writer::with_capacity(Reply::LEN);
        reply.emit(&mut w);
        let refused = |agent: &Self| {
            let text = format!("refused a request on link {}: {code}", asker.station.link.0);
            let mut event = Event::new(EventKind::Denied, text).of(request.identification);
            event.code = Some(code.0);
            event.agent = agent.homes.get(&request.home_agent).map(|home| home.nai.clone());
            event
        };
        self.notice(refused, now);
        let answer = match self.plain_signature(asker) {
            Some(signature) => self.with_our_proof(asker, &[], w.into_bytes(), Some(&signature)),
            None => w.into_bytes(),
        };
        self.send_to_station(asker, request.home_address, &answer);
    }
}

/// Information in clear.
const fn plain(content: u8, info: &[u8]) -> Protected<'_> {
    Protected { content, sealed: false, spi: wire::mip::Spi(0), info }
}
