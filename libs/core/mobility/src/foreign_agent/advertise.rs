//! Agent advertisements, regular ones and answers to solicitations (RFC 5944 sections 2.1 and 2.3).

use std::{net::Ipv4Addr, time::Duration};

use record::{Change, CommitError};
use sansio::{Instant, LinkAddress, LinkId, Now, Transmit};
use wire::{
    ip,
    mip::advertisement::{
        ALL_SYSTEMS, Advertisement, AgentFlags, CODE_MOBILE_ONLY, Extension, MobilityAgent, Router,
        Solicitation, TTL,
    },
};

use super::{
    Encapsulation, ForeignAgent, Link, ReverseTunnel, Station, Work, challenge::Challenge,
    challenge::Challenges, limit::Budget, sequence::Sequence,
};

/// The link address of [`ALL_SYSTEMS`] (RFC 1112 section 6.4).
const ALL_SYSTEMS_LINK: LinkAddress = [0x01, 0x00, 0x5e, 0, 0, 1];

/// Answers to solicitations on one link in a burst, and how fast more may follow.
const ANSWERS: (u32, Duration) = (20, Duration::from_millis(100));

/// How long a challenge is good at least; the window is longer where advertisements come faster.
const CHALLENGE_TIME: Duration = Duration::from_secs(2);
/// Challenges that are good at a time (RFC 4721 section 9).
const CHALLENGE_WINDOW: usize = 2;

/// What is advertised on one link.
#[derive(Debug)]
pub(super) struct Beacon {
    pub(super) link: Link,
    pub(super) challenges: Challenges,
    /// When the next regular advertisement goes out.
    pub(super) due: Instant,
    sequence: Sequence,
    answers: Budget,
}

impl ForeignAgent {
    /// Prepares all links; visitors were restored before.
    pub(super) fn start_beacons(&mut self, reserved: &[(u32, u32)], now: Now) {
        let window = self.challenge_window();
        for link in self.config.links.clone() {
            let stored = reserved.iter().find(|(id, _)| *id == link.id.0).map(|(_, below)| *below);
            let beacon = Beacon {
                link,
                challenges: Challenges::new(window),
                due: now.mono,
                sequence: Sequence::new(stored, self.visitors.any_on(link.id)),
                answers: Budget::new(ANSWERS.0, ANSWERS.1, now.mono),
            };
            self.beacons.insert(link.id, beacon);
            self.reserve_sequence(link.id);
        }
    }

    /// Regular advertisements whose challenges count.
    fn challenge_window(&self) -> usize {
        let per_window = CHALLENGE_TIME.as_millis().div_ceil(self.config.interval.as_millis().max(1));
        usize::try_from(per_window).unwrap_or(usize::MAX).max(CHALLENGE_WINDOW)
    }

    /// The interval has changed.
    pub(super) fn reschedule_beacons(&mut self, now: Now) {
        let (window, latest) = (self.challenge_window(), now.mono + self.config.interval);
        for beacon in self.beacons.values_mut() {
            beacon.challenges.resize(window);
            beacon.due = beacon.due.min(latest);
        }
    }

    /// Asks the store for the next block of sequence numbers of a link when it is time.
    fn reserve_sequence(&mut self, id: LinkId) {
        let Some(below) = self.beacons.get_mut(&id).and_then(|b| b.sequence.ask()) else {
            return;
        };
        let change = Change::ReserveSequence { link: id.0, below };
        self.persist(vec![change], Work::Sequence { link: id, below });
    }

    /// The store answered; the first advertisement of a link goes out as soon as it has a number.
    pub(super) fn sequence_reserved(
        &mut self,
        id: LinkId,
        below: u32,
        result: &Result<(), CommitError>,
        now: Now,
    ) {
        let Some(beacon) = self.beacons.get_mut(&id) else {
            return;
        };
        if result.is_ok() {
            beacon.sequence.reserved(below);
            if !beacon.sequence.begun() {
                beacon.due = now.mono;
            }
        } else {
            beacon.sequence.refused();
            self.count("sequence numbers not reserved");
        }
    }

    pub(super) fn advertise_due(&mut self, now: Now) {
        let due: Vec<LinkId> = self
            .beacons
            .values()
            .filter(|beacon| beacon.due <= now.mono)
            .map(|beacon| beacon.link.id)
            .collect();
        for id in due {
            let wait = self.jittered_interval();
            let Some(beacon) = self.beacons.get_mut(&id) else {
                continue;
            };
            beacon.due = now.mono + wait;
            if let Some(sequence) = beacon.sequence.take() {
                let challenge = beacon.challenges.regular(&mut self.rng);
                self.advertise(id, ALL_SYSTEMS_LINK, sequence, challenge);
            }
            self.reserve_sequence(id);
        }
    }

    /// Somewhat less than the interval, so that agents on one link do not fall into step.
    fn jittered_interval(&mut self) -> Duration {
        let interval = self.config.interval.max(Duration::from_millis(10));
        let tenth = u64::try_from(interval.as_micros() / 10).unwrap_or(u64::MAX);
        interval.saturating_sub(Duration::from_micros(self.rng.below(tenth)))
    }

    /// Answers a solicitation to the link address that it came from; its IP source is 0.0.0.0, so the
    /// answer goes to all systems by IP.
    pub(super) fn solicited(&mut self, id: LinkId, from: LinkAddress, message: &[u8], now: Now) {
        if Solicitation::parse(message).is_err() {
            return self.count("solicitation: malformed");
        }
        let Some(beacon) = self.beacons.get_mut(&id) else {
            return;
        };
        let station = Station { link: id, address: from };
        // One station leaves the others their share of what the link is answered.
        if !self.gate.answers_solicitation(station, now.mono) || !beacon.answers.take(now.mono) {
            return self.count("solicitation: too many");
        }
        let Some(sequence) = beacon.sequence.take() else {
            return;
        };
        let challenge = beacon.challenges.solicited(from, &mut self.rng);
        self.count("solicitations answered");
        self.advertise(id, from, sequence, challenge);
        self.reserve_sequence(id);
    }

    pub(super) fn advertise(&mut self, id: LinkId, to: LinkAddress, sequence: u16, challenge: Challenge) {
        let Some(link) = self.beacons.get(&id).map(|beacon| beacon.link) else {
            return;
        };
        let advertisement = self.advertisement(&link, sequence, challenge);
        let packet = advertisement
            .to_vec()
            .ok()
            .and_then(|message| ip::icmp_packet(link.address, ALL_SYSTEMS, TTL, &message).ok());
        // Fails only with a name that the configuration must have refused.
        if let Some(packet) = packet {
            self.count("advertisements");
            self.outbox.send(Transmit::Link { link: id, to, packet });
        }
    }

    fn advertisement(&self, link: &Link, sequence: u16, challenge: Challenge) -> Advertisement {
        Advertisement {
            code: CODE_MOBILE_ONLY,
            lifetime: self.config.advertisement_lifetime,
            routers: vec![Router { address: link.address, preference: 0 }],
            extensions: vec![
                Extension::MobilityAgent(MobilityAgent {
                    sequence,
                    lifetime: self.config.max_lifetime,
                    flags: self.flags(),
                    care_of: vec![self.config.care_of],
                }),
                Extension::PrefixLengths(vec![link.prefix_length]),
                Extension::Challenge(challenge.to_vec()),
                Extension::AgentNai(self.config.nai.clone()),
            ],
        }
    }

    fn flags(&self) -> AgentFlags {
        let config = &self.config;
        let chosen = [
            (config.registration_required, AgentFlags::REGISTRATION_REQUIRED),
            (self.visitors.len() >= config.max_visitors, AgentFlags::BUSY),
            (config.reverse_tunnel != ReverseTunnel::Off, AgentFlags::REVERSE_TUNNEL),
            (self.offers_minimal(), AgentFlags::MINIMAL),
            (self.offers_gre(), AgentFlags::GRE),
            (config.encapsulation == Encapsulation::Udp, AgentFlags::UDP_TUNNEL),
        ];
        let set = chosen.iter().filter(|(set, _)| *set).map(|(_, flag)| flag);
        AgentFlags(set.fold(AgentFlags::FOREIGN_AGENT | AgentFlags::REVOCATION, |flags, flag| flags | flag))
    }

    /// True if an address is one of ours or on one of our links.
    pub(super) fn is_local(&self, address: Ipv4Addr) -> bool {
        address == self.config.care_of
            || self.config.links.iter().any(|link| {
                let mask = u32::MAX.checked_shl(32 - u32::from(link.prefix_length.min(32))).unwrap_or(0);
                (address.to_bits() ^ link.address.to_bits()) & mask == 0
            })
    }
}
