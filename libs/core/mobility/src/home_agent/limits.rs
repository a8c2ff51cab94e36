//! How much of a home agent may be used by whom (docs/limits.md): what is turned away, and who has to show first that
//! it receives where it says it is.
//!
//! Nothing that a stranger sends grows a table: before 32 has verified only meters of fixed size are touched.

use std::net::{Ipv4Addr, SocketAddrV4};

use crypto::Rng;
use sansio::Now;
use wire::mip::{code::Code, part::Parts, registration::Request};

use super::{HomeAgent, intake::Asked, pending::Origin};
use crate::{
    Event, EventKind,
    admission::{Load, Meter, Rate, Sieve, Watermark},
};

/// Most requests of one mobile node that may wait for keys or for the store. It sends one a second.
const PENDING_OF_ONE: usize = 4;
/// Requests with a wrong 34 of one agent's address whose 32 is looked at, so that code 132 can be answered.
const WRONG_34: Rate = Rate(50);
/// Cookies asked for at one address, and in all: strangers choose where they go.
const COOKIES: Rate = Rate(50);
const ALL_COOKIES: Rate = Rate(20_000);
/// Answers to one mobile node's requests that came before or out of their time.
pub(super) const ANSWERS: Rate = Rate(5);
/// Denials for want of room, in all; the rest is silence.
const TURNED_AWAY: Rate = Rate(1000);

/// How much may be used by whom. Rates count requests whose 32 verified, failures all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests that wait for keys or for the store, in all: code 130 beyond.
    pub pending: usize,
    /// Of those relayed by one foreign agent.
    pub pending_agent: usize,
    /// Of those that no agent relayed, from one address.
    pub pending_source: usize,
    /// Bindings through one foreign agent: code 130 beyond.
    pub bindings_agent: usize,
    /// Registrations a second in all: code 130 beyond.
    pub rate: Rate,
    /// Relayed by one foreign agent.
    pub rate_agent: Rate,
    /// That no agent relayed, from one address.
    pub rate_source: Rate,
    /// Requests a second from one address that prove nothing; beyond, those from there need a cookie.
    pub failures_source: Rate,
    /// When every request that no agent vouches for needs a cookie.
    pub under_load: Watermark,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pending: 20_000,
            pending_agent: 10_000,
            pending_source: 1000,
            bindings_agent: usize::MAX,
            rate: Rate::UNLIMITED,
            rate_agent: Rate::UNLIMITED,
            rate_source: Rate::UNLIMITED,
            failures_source: Rate(100),
            under_load: Watermark { pending: 15_000, failures: 20_000 },
        }
    }
}

/// What was used of one foreign agent's share.
#[derive(Clone, Copy, Default)]
struct AgentMeters {
    registrations: Meter,
    wrong: Meter,
}

/// What was used of each share. Its size is fixed by the number of foreign agents.
pub(super) struct Gate {
    agents: Vec<AgentMeters>,
    registrations: Meter,
    registrations_by_source: Sieve,
    failures: Sieve,
    cookies: Sieve,
    all_cookies: Meter,
    turned_away: Meter,
    load: Load,
    /// Cookies are asked for of everybody.
    high: bool,
}

impl Gate {
    pub(super) fn new(rng: &mut Rng, agents: usize) -> Self {
        Self {
            agents: vec![AgentMeters::default(); agents],
            registrations: Meter::default(),
            registrations_by_source: Sieve::new(rng.array()),
            failures: Sieve::new(rng.array()),
            cookies: Sieve::new(rng.array()),
            all_cookies: Meter::default(),
            turned_away: Meter::default(),
            load: Load::default(),
            high: false,
        }
    }

    /// So many numbers of foreign agents were given; none is taken back.
    pub(super) fn serves(&mut self, agents: usize) {
        self.agents.resize_with(agents, AgentMeters::default);
    }

    /// True if a cookie may be asked for at this address.
    pub(super) fn asks_for_cookie(&mut self, source: Ipv4Addr, now: Now) -> bool {
        self.cookies.take(&source, COOKIES, now.mono) && self.all_cookies.take(ALL_COOKIES, now.mono)
    }

    /// True if a request with a wrong 34 from the address of this agent is worth another look.
    pub(super) fn looks_behind_34(&mut self, path: usize, now: Now) -> bool {
        self.agents.get_mut(path).is_some_and(|agent| agent.wrong.take(WRONG_34, now.mono))
    }
}

impl HomeAgent {
    /// True while requests that no agent vouches for need a cookie.
    #[must_use]
    pub const fn under_load(&self) -> bool {
        self.gate.high
    }

    /// A request proved nothing: it came from nobody we know, or 32 or 34 is wrong.
    pub(super) fn proved_nothing(&mut self, source: SocketAddrV4, relayed: bool, now: Now) {
        self.gate.load.failed(now.mono);
        if !relayed {
            // Only this address may have to show itself for it.
            self.gate.failures.take(source.ip(), self.config.limits.failures_source, now.mono);
        }
    }

    /// True if a request that no agent relayed is to be looked at: nothing is amiss, or it brings a cookie. Else one is
    /// asked for, if that may be.
    pub(super) fn shows_itself(
        &mut self,
        fixed: Request,
        parts: &Parts<'_>,
        source: SocketAddrV4,
        now: Now,
    ) -> bool {
        let limits = &self.config.limits;
        let (high, changed) = self.gate.load.is_high(self.work.asked(), limits.under_load, now.mono);
        self.gate.high = high;
        let failing = !self.gate.failures.has_one(source.ip(), limits.failures_source, now.mono);
        if changed {
            let words = if high { "requests without an agent need a cookie" } else { "over" };
            self.count("changes of load");
            self.notify(Event::new(EventKind::Discarded, format!("under load: {words}")));
        }
        // Nodes without our extensions know no cookies.
        if !high && !failing || self.cookie_is_right(fixed, parts, source, now) || self.is_plain(parts, now) {
            return true;
        }
        self.proved_nothing(source, false, now);
        self.ask_for_cookie(fixed, parts, source, now);
        false
    }

    /// Whether there is room for what an authentic request asks. What is turned away here counts as not having come:
    /// nothing is recorded of it.
    pub(super) fn check_room(&mut self, asked: &Asked, now: Now) -> Result<(), &'static str> {
        let (limits, origin) = (&self.config.limits, Origin::of(asked));
        let (most, counter) = match origin.agent {
            Some(_) => (limits.pending_agent, "turned away: pending of one agent"),
            None => (limits.pending_source, "turned away: pending of one address"),
        };
        if self.work.asked() >= limits.pending {
            return Err("turned away: pending");
        }
        if self.work.from(origin) >= most {
            return Err(counter);
        }
        if self.work.of(&asked.who).count() >= PENDING_OF_ONE {
            return Err("turned away: pending of one node");
        }
        if asked.lifetime == 0 {
            // It makes room.
            return Ok(());
        }
        let gate = &mut self.gate;
        let (there, counter) = match origin.agent.and_then(|path| gate.agents.get_mut(path)) {
            Some(agent) => {
                (agent.registrations.take(limits.rate_agent, now.mono), "turned away: rate of one agent")
            }
            None => (
                gate.registrations_by_source.take(&origin.source, limits.rate_source, now.mono),
                "turned away: rate of one address",
            ),
        };
        if !there {
            return Err(counter);
        }
        if gate.registrations.take(limits.rate, now.mono) { Ok(()) } else { Err("turned away: rate") }
    }

    /// Denies for want of room, without a word in the store; in silence if there are too many.
    pub(super) fn turn_away(&mut self, asked: &Asked, why: &'static str, now: Now) {
        self.discard(why, why);
        if self.gate.turned_away.take(TURNED_AWAY, now.mono) {
            self.deny_again(asked, Code::HA_RESOURCES, now);
        }
    }
}
