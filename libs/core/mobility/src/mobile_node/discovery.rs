//! Agents: solicitation, advertisements, and when an agent counts as lost (RFC 5944 sections 2.2 to 2.4).

use std::{net::Ipv4Addr, time::Duration};

use sansio::{Instant, LinkAddress, LinkId, Now, Transmit};
use wire::{
    ip::{self, icmp::ROUTER_ADVERTISEMENT},
    mip::{
        advertisement::{ALL_ROUTERS, Advertisement, AgentFlags, Solicitation, TTL},
        ours::MAX_AGENT_NAME,
    },
};

use super::MobileNode;
use crate::{Event, EventKind};

/// Link address of 224.0.0.2 (RFC 1112 section 6.4).
const ALL_ROUTERS_LINK: LinkAddress = [0x01, 0x00, 0x5e, 0x00, 0x00, 0x02];
/// The first three solicitations keep this distance (RFC 5944 section 2.4).
const SOLICIT_FIRST: Duration = Duration::from_secs(1);
/// How many solicitations go out at that rate.
const SOLICIT_QUICK: u32 = 3;
/// The longest time between solicitations; the RFC wants at least a minute.
const SOLICIT_SLOWEST: Duration = Duration::from_secs(64);
/// Agents kept for one link: a flood of invented ones costs no more memory than this.
const MOST_AGENTS: usize = 16;

/// An agent as its last advertisement described it.
#[derive(Clone, Debug)]
pub(super) struct Agent {
    pub(super) address: Ipv4Addr,
    pub(super) link_address: LinkAddress,
    pub(super) name: Option<String>,
    pub(super) challenge: Option<Vec<u8>>,
    pub(super) care_of: Vec<Ipv4Addr>,
    pub(super) flags: AgentFlags,
    pub(super) sequence: u16,
    /// Longest registration lifetime that it takes.
    pub(super) lifetime: u16,
    /// Network and bits, if it told.
    pub(super) prefix: Option<(u32, u8)>,
    /// Heard without a gap since.
    pub(super) heard: Instant,
    pub(super) expires: Instant,
}

/// The network part of an address.
pub(super) fn network(address: Ipv4Addr, bits: u8) -> (u32, u8) {
    let mask = u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0);
    (u32::from(address) & mask, bits)
}

pub(super) fn host(address: Ipv4Addr) -> bool {
    !(address.is_unspecified() || address.is_multicast() || address.is_broadcast() || address.is_loopback())
}

impl Agent {
    fn of(source: Ipv4Addr, from: LinkAddress, advertisement: &Advertisement, now: Now) -> Option<Self> {
        let agent = advertisement.agent()?;
        let router = advertisement.routers.first();
        let bits = advertisement.prefix_lengths().first();
        Some(Self {
            address: source,
            link_address: from,
            name: advertisement.agent_nai().map(str::to_owned),
            challenge: advertisement.challenge().map(<[u8]>::to_vec),
            care_of: agent.care_of.iter().copied().filter(|a| host(*a)).collect(),
            flags: agent.flags,
            sequence: agent.sequence,
            lifetime: agent.lifetime,
            prefix: router.zip(bits).map(|(r, b)| network(r.address, *b)),
            heard: now.mono,
            expires: now.mono + Duration::from_secs(advertisement.lifetime.into()),
        })
    }

    /// True if a sealed registration can be made through it.
    pub(super) fn usable(&self, reverse_tunnel: bool) -> bool {
        let name = self.name.as_ref().is_some_and(|n| n.len() <= MAX_AGENT_NAME);
        let challenge = self.challenge.as_ref().is_some_and(|c| c.len() <= 32);
        let flags = AgentFlags::FOREIGN_AGENT | if reverse_tunnel { AgentFlags::REVERSE_TUNNEL } else { 0 };
        name && challenge && self.flags.has(flags) && !self.care_of.is_empty() && self.lifetime > 0
    }

    /// True if the advertisement `next` comes from the same agent in the same place.
    pub(super) fn continues_as(&self, next: &Self) -> bool {
        self.link_address == next.link_address
            && self.name == next.name
            && self.care_of.first().is_none_or(|c| next.care_of.contains(c))
    }

    /// True if `next` shows that the agent began to count anew (RFC 5944 section 2.4.4).
    pub(super) const fn restarted_before(&self, next: &Self) -> bool {
        next.sequence < self.sequence && next.sequence < 256
    }

    /// How logs call it.
    pub(super) fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.address.to_string())
    }
}

/// When to solicit on a link.
#[derive(Default)]
pub(super) struct Solicit {
    pub(super) next: Option<Instant>,
    sent: u32,
    last: Option<Instant>,
    /// One is wanted out of turn.
    wanted: bool,
}

impl Solicit {
    /// The link just came up.
    pub(super) const fn at_once(now: Now) -> Self {
        Self { next: Some(now.mono), sent: 0, last: None, wanted: false }
    }

    /// Not more often than once a second.
    fn soonest(&self, now: Now) -> Instant {
        self.last.map_or(now.mono, |last| (last + SOLICIT_FIRST).max(now.mono))
    }

    /// Time after the `sent`-th solicitation, before it is randomised.
    fn gap(&self) -> Duration {
        let doublings = self.sent.saturating_sub(SOLICIT_QUICK - 1).min(6);
        (SOLICIT_FIRST * (1 << doublings)).min(SOLICIT_SLOWEST)
    }
}

impl MobileNode {
    /// Takes a packet from a link: an advertisement or a registration reply.
    pub(super) fn take_packet(&mut self, link: LinkId, from: LinkAddress, packet: &[u8], now: Now) {
        if self.links.get(&link).is_none_or(|l| l.up.is_none()) {
            return;
        }
        if let Ok(icmp) = ip::parse_icmp(packet) {
            if icmp.kind() != Some(ROUTER_ADVERTISEMENT) {
                return;
            }
            let Ok(advertisement) = Advertisement::parse(icmp.message) else {
                self.count("malformed advertisement");
                return;
            };
            if !host(icmp.source) || icmp.source == self.home_address {
                self.count("malformed advertisement");
                return;
            }
            if let Some(agent) = Agent::of(icmp.source, from, &advertisement, now) {
                self.hear(link, agent, advertisement.lifetime == 0, now);
            }
        } else if let Ok(udp) = ip::parse_udp(packet) {
            self.take_link_reply(link, &udp, now);
        }
    }

    fn hear(&mut self, id: LinkId, mut agent: Agent, leaving: bool, now: Now) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        if leaving {
            link.agents.remove(&agent.address);
            return;
        }
        let known = link.agents.get(&agent.address);
        let new = known.is_none_or(|k| !k.continues_as(&agent));
        if let Some(known) = known.filter(|_| !new) {
            agent.heard = known.heard;
        }
        let home = agent.address == self.config.home_agent && agent.flags.has(AgentFlags::HOME_AGENT);
        if known.is_none() && link.agents.len() >= MOST_AGENTS && !home {
            return;
        }
        link.agents.insert(agent.address, agent.clone());
        if new {
            let mut event = Event::new(EventKind::AgentHeard, format!("{} is heard", agent.label()));
            event.agent.clone_from(&agent.name);
            event.care_of = agent.care_of.first().copied();
            self.notify(event);
        }
        self.heard_while_attached(id, &agent, new, now);
    }

    /// Forgets agents whose advertisements are over (RFC 5944 section 2.4.2.1).
    pub(super) fn expire_agents(&mut self, now: Now) {
        for link in self.links.values_mut() {
            link.agents.retain(|_, agent| agent.expires > now.mono);
        }
        self.notice_loss();
    }

    /// Solicits once, out of turn, unless that happened a moment ago.
    pub(super) fn solicit_soon(&mut self, id: LinkId, now: Now) {
        if let Some(link) = self.links.get_mut(&id) {
            let soonest = link.solicit.soonest(now);
            link.solicit.next = Some(link.solicit.next.map_or(soonest, |next| next.min(soonest)));
            link.solicit.wanted = true;
        }
    }

    /// Solicits on every link where nothing is known that helps (RFC 5944 section 2.4).
    pub(super) fn solicit_due(&mut self, now: Now) {
        let searching: Vec<_> = self.links.keys().map(|id| (*id, self.searching(*id))).collect();
        let settled = self.attachment.as_ref().is_some_and(super::Attachment::settled);
        for (id, searching) in searching {
            let Some(link) = self.links.get_mut(&id) else {
                continue;
            };
            let solicit = &mut link.solicit;
            if !searching && !solicit.wanted {
                solicit.next = None;
                if settled {
                    solicit.sent = 0;
                }
                continue;
            }
            let next = solicit.next.unwrap_or_else(|| solicit.soonest(now));
            solicit.next = Some(next);
            if next > now.mono {
                continue;
            }
            solicit.sent += 1;
            solicit.last = Some(now.mono);
            solicit.wanted = false;
            let gap = solicit.gap();
            // Randomised upwards only: the rate of the first three is an upper bound.
            let jitter = self.rng.below(gap.as_micros() as u64 / 5 + 1);
            solicit.next = searching.then(|| now.mono + gap + Duration::from_micros(jitter));
            self.send_solicitation(id);
        }
    }

    fn send_solicitation(&mut self, link: LinkId) {
        self.count("solicitations");
        let message = Solicitation.to_vec();
        if let Ok(packet) = ip::icmp_packet(Ipv4Addr::UNSPECIFIED, ALL_ROUTERS, TTL, &message) {
            self.outbox.send(Transmit::Link { link, to: ALL_ROUTERS_LINK, packet });
        }
    }

    /// True if nothing is known on this link that helps, and nothing works elsewhere.
    fn searching(&self, id: LinkId) -> bool {
        let Some(link) = self.links.get(&id).filter(|l| l.up.is_some()) else {
            return false;
        };
        let works = self.attachment.as_ref().is_some_and(|a| a.settled() && !a.lost);
        let helps = link.agents.values().any(|a| self.is_home(a) || a.usable(self.config.reverse_tunnel));
        !self.dormant && !works && !helps
    }

    /// True if this is our home agent on our home link.
    pub(super) fn is_home(&self, agent: &Agent) -> bool {
        agent.address == self.config.home_agent && agent.flags.has(AgentFlags::HOME_AGENT)
    }
}
