//! Agent advertisements on the home link (RFC 5944 section 2.3).

use std::{net::Ipv4Addr, time::Duration};

use sansio::{Instant, LinkAddress, Now, Transmit};
use wire::{
    ip,
    mip::advertisement::{
        ALL_SYSTEMS, Advertisement, AgentFlags, CODE_MOBILE_ONLY, Extension, MobilityAgent, Router,
        Solicitation, TTL,
    },
};

use super::HomeAgent;

/// Link address of 224.0.0.1 (RFC 1112 section 6.4).
const ALL_SYSTEMS_LINK: LinkAddress = [0x01, 0x00, 0x5e, 0x00, 0x00, 0x01];

/// Answers to solicitations keep at least this distance, so that a flood of them is no flood of ours.
const ANSWER_SPACING: Duration = Duration::from_millis(20);

/// When the next advertisement is due, and its number.
pub(super) struct Advertiser {
    next: Instant,
    last: Option<Instant>,
    sequence: u16,
}

impl Advertiser {
    pub(super) const fn new(now: Now) -> Self {
        Self { next: now.mono, last: None, sequence: 0 }
    }

    pub(super) const fn next(&self) -> Instant {
        self.next
    }

    /// The next one comes within this time.
    pub(super) fn within(&mut self, interval: Duration, now: Now) {
        self.next = self.next.min(now.mono + interval);
    }
}

impl HomeAgent {
    /// Takes what arrived on the home link: only a solicitation matters.
    pub(super) fn take_solicitation(&mut self, _from: LinkAddress, packet: &[u8], now: Now) {
        let Ok(icmp) = ip::parse_icmp(packet) else { return };
        if Solicitation::parse(icmp.message).is_err() {
            return;
        }
        let soonest = self.advertiser.last.map_or(now.mono, |last| last + ANSWER_SPACING);
        self.advertiser.next = self.advertiser.next.min(soonest.max(now.mono));
    }

    /// Advertises if it is time.
    pub(super) fn advertise(&mut self, now: Now) {
        if now.mono < self.advertiser.next {
            return;
        }
        let advertisement = self.advertisement();
        let message = advertisement.to_vec().ok();
        let packet = message.and_then(|m| ip::icmp_packet(self.config.address, ALL_SYSTEMS, TTL, &m).ok());
        if let Some(packet) = packet {
            let link = self.config.home_link;
            self.outbox.send(Transmit::Link { link, to: ALL_SYSTEMS_LINK, packet });
        }
        // RFC 5944 section 2.3.2: after 0xffff comes 256, so that a number below 256 always means a restart.
        let sequence = self.advertiser.sequence;
        self.advertiser.sequence = if sequence == u16::MAX { 256 } else { sequence + 1 };
        self.advertiser.last = Some(now.mono);
        let interval = self.config.advertisement_interval;
        let jitter = self.rng.below(interval.as_micros() as u64 / 8 + 1);
        self.advertiser.next = now.mono + interval.saturating_sub(Duration::from_micros(jitter));
    }

    fn advertisement(&self) -> Advertisement {
        // At least three intervals, also of broken seconds (RFC 5944 section 2.1).
        let three = self.config.advertisement_interval.as_millis() * 3;
        let lifetime = three.div_ceil(1000).clamp(3, 9000) as u16;
        let agent = MobilityAgent {
            sequence: self.advertiser.sequence,
            lifetime: self.config.max_lifetime,
            flags: AgentFlags(AgentFlags::HOME_AGENT | AgentFlags::REVERSE_TUNNEL | AgentFlags::UDP_TUNNEL),
            care_of: Vec::<Ipv4Addr>::new(),
        };
        Advertisement {
            code: CODE_MOBILE_ONLY,
            lifetime,
            routers: vec![Router { address: self.config.address, preference: 0 }],
            extensions: vec![
                Extension::MobilityAgent(agent),
                Extension::PrefixLengths(vec![self.config.home_prefix_length]),
                Extension::AgentNai(self.config.nai.clone()),
            ],
        }
    }
}
