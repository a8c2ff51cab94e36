//! Requests that wait for their home agents, and for a while the answers they got (RFC 5944 section 3.7.1).
//!
//! They are keyed by their random handle alone. A repeat is recognised by its bytes and its sender.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    time::Duration,
};

use sansio::Instant;
use wire::mip::{Spi, code::Code, ours::Handle, registration::Request};

use super::{Station, challenge::Spender, plain::Clear};

/// How long a request waits for its home agent (RFC 5944 section 3.7.1).
pub(super) const WAIT: Duration = Duration::from_secs(7);

/// Requests of one station that may wait at a time.
pub(super) const PER_STATION: usize = 5;

/// Who sent a request, and its fixed part: what a reply to it needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker {
    pub(super) station: Station,
    /// UDP source port.
    pub(super) port: u16,
    pub(super) request: Request,
}

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// A visitor with our care-of address.
    Visit,
    /// The end of one.
    Leave,
    /// A binding to the mobile node's own care-of address: nothing for us to keep.
    CoLocated,
}

/// How far a request got.
#[derive(Debug)]
pub(super) enum Progress {
    /// The home agent has not answered.
    Waiting,
    /// It accepted, and the store has not answered.
    Committing,
    /// This was relayed to the mobile node.
    Answered(Vec<u8>),
}

/// One relayed request.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) asker: Asker,
    pub(super) purpose: Purpose,
    /// 130: packets will be handed over encapsulated. A repeat changes nothing of it, since 32 does not cover it.
    pub(super) encapsulating: bool,
    /// SHA-256 of the mobile node's bytes through 32.
    pub(super) digest: [u8; 32],
    pub(super) spender: Spender,
    pub(super) challenge: Vec<u8>,
    /// Home address of the visitor that it proved to be by 33.
    pub(super) visitor: Option<Ipv4Addr>,
    /// Of a request without our extensions.
    pub(super) clear: Option<Clear>,
    /// Public value of the key share in our part.
    pub(super) share: Option<[u8; 32]>,
    pub(super) handle: Handle,
    /// As it was sent to the home agent, our part included.
    pub(super) relayed: Vec<u8>,
    pub(super) deadline: Instant,
    pub(super) progress: Progress,
    /// A later request of the same mobile node was accepted meanwhile.
    pub(super) overtaken: bool,
    /// The mobile node was told already why there is no answer, or must not be told.
    pub(super) told: bool,
}

impl Pending {
    pub(super) const fn home_agent(&self) -> Ipv4Addr {
        self.asker.request.home_agent
    }

    const fn is_open(&self) -> bool {
        !matches!(self.progress, Progress::Answered(_))
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Pendings {
    by_handle: BTreeMap<u64, Pending>,
    by_bytes: BTreeMap<(Station, [u8; 32]), u64>,
    deadlines: BTreeSet<(Instant, u64)>,
    open: usize,
}

impl Pendings {
    /// How many wait for an answer.
    pub(super) const fn open(&self) -> usize {
        self.open
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    pub(super) fn insert(&mut self, pending: Pending) {
        let handle = pending.handle.handle;
        self.by_bytes.insert((pending.asker.station, pending.digest), handle);
        self.deadlines.insert((pending.deadline, handle));
        self.open += 1;
        self.by_handle.insert(handle, pending);
    }

    pub(super) fn remove(&mut self, handle: u64) -> Option<Pending> {
        let pending = self.by_handle.remove(&handle)?;
        self.by_bytes.remove(&(pending.asker.station, pending.digest));
        self.deadlines.remove(&(pending.deadline, handle));
        self.open -= usize::from(pending.is_open());
        Some(pending)
    }

    pub(super) fn find(&self, handle: u64) -> Option<&Pending> {
        self.by_handle.get(&handle)
    }

    pub(super) fn find_mut(&mut self, handle: u64) -> Option<&mut Pending> {
        self.by_handle.get_mut(&handle)
    }

    /// The request of this station with these very bytes.
    pub(super) fn repeated(&mut self, station: Station, digest: [u8; 32]) -> Option<&mut Pending> {
        let handle = self.by_bytes.get(&(station, digest))?;
        self.by_handle.get_mut(handle)
    }

    /// How many of this station wait for an answer.
    pub(super) fn open_of(&self, station: Station) -> usize {
        self.by_bytes
            .range((station, [0; 32])..=(station, [0xff; 32]))
            .filter(|(_, handle)| self.by_handle.get(handle).is_some_and(Pending::is_open))
            .count()
    }

    /// Stations that wait for an answer to something other than a deregistration.
    pub(super) fn arriving(&self) -> BTreeSet<Station> {
        self.by_handle
            .values()
            .filter(|pending| pending.is_open() && pending.purpose == Purpose::Visit)
            .map(|pending| pending.asker.station)
            .collect()
    }

    /// True if an index was promised to a home agent.
    pub(super) fn uses(&self, spi: Spi) -> bool {
        self.by_handle.values().any(|pending| pending.handle.key2 == spi || pending.handle.key3 == spi)
    }

    /// The request with this handle was accepted: earlier ones of the same visitor, or from the same station under
    /// the same index at the same home agent, whose replies may still come, have nothing to say any more. The index
    /// alone would not do: several mobile nodes may have the same.
    pub(super) fn overtake(&mut self, handle: u64) {
        let Some(accepted) = self.by_handle.get(&handle) else {
            return;
        };
        let who = (accepted.asker.station, accepted.home_agent(), accepted.spender);
        let visitor = accepted.visitor;
        let at = accepted.asker.request.identification.0;
        // Without our extensions an identification may be a nonce: then the order in which they came counts.
        let came = accepted.clear.is_some().then_some(accepted.deadline);
        for pending in self.by_handle.values_mut() {
            let same = (pending.asker.station, pending.home_agent(), pending.spender) == who
                || visitor.is_some() && pending.visitor == visitor;
            let identification = pending.asker.request.identification.0;
            let earlier = match came {
                Some(came) => pending.deadline < came,
                None => identification.wrapping_sub(at).cast_signed() < 0,
            };
            pending.overtaken |= same && earlier;
        }
    }

    /// Remembers what was relayed, until the deadline, for a repeat of the request. At most `limit` answers
    /// are remembered.
    pub(super) fn answered(&mut self, handle: u64, answer: Vec<u8>, limit: usize) {
        if self.by_handle.len() - self.open >= limit {
            self.remove(handle);
            return;
        }
        if let Some(pending) = self.by_handle.get_mut(&handle) {
            self.open -= usize::from(pending.is_open());
            pending.progress = Progress::Answered(answer);
        }
    }

    /// Removes the first one whose time is over; one that the store is asked about waits for its answer.
    pub(super) fn over(&mut self, now: Instant) -> Option<Pending> {
        let (at, handle) = self.deadlines.first().copied()?;
        if at > now {
            return None;
        }
        if let Some(pending) = self.by_handle.get_mut(&handle)
            && matches!(pending.progress, Progress::Committing)
        {
            self.deadlines.remove(&(at, handle));
            pending.deadline = now + Duration::from_secs(1);
            self.deadlines.insert((pending.deadline, handle));
            return self.over(now);
        }
        self.remove(handle)
    }

    /// Those of a home agent that wait and were not told anything; marks them told.
    pub(super) fn tell(&mut self, home_agent: Ipv4Addr) -> Vec<Asker> {
        let waiting = |pending: &&mut Pending| {
            pending.home_agent() == home_agent
                && !pending.told
                && matches!(pending.progress, Progress::Waiting)
        };
        let found = self.by_handle.values_mut().filter(waiting);
        found
            .map(|pending| {
                pending.told = true;
                pending.asker
            })
            .collect()
    }
}

/// The name under which a refusal of our own is counted.
pub(super) const fn counter(code: Code) -> &'static str {
    match code {
        Code::FA_PROHIBITED => "code 65",
        Code::FA_RESOURCES => "code 66",
        Code::FA_MN_AUTHENTICATION => "code 67",
        Code::FA_LIFETIME => "code 69",
        Code::FA_BAD_REQUEST => "code 70",
        Code::FA_BAD_REPLY => "code 71",
        Code::FA_ENCAPSULATION => "code 72",
        Code::FA_REVERSE_UNAVAILABLE => "code 74",
        Code::FA_REVERSE_MANDATORY => "code 75",
        Code::FA_TOO_DISTANT => "code 76",
        Code::FA_CARE_OF => "code 77",
        Code::FA_TIMEOUT => "code 78",
        Code::FA_DELIVERY_STYLE => "code 79",
        Code::FA_HOME_NETWORK => "code 80",
        Code::FA_HOME_AGENT_HOST => "code 81",
        Code::FA_HOME_AGENT_PORT => "code 82",
        Code::FA_HOME_AGENT_UNREACHABLE => "code 88",
        Code::FA_HOME_ADDRESS => "code 96",
        Code::FA_MISSING_NAI => "code 97",
        Code::FA_MISSING_HOME_AGENT => "code 98",
        Code::FA_MISSING_HOME_ADDRESS => "code 99",
        Code::FA_VENDOR_FROM_MN => "code 100",
        Code::FA_VENDOR_FROM_HA => "code 101",
        Code::FA_UNKNOWN_CHALLENGE => "code 104",
        Code::FA_MISSING_CHALLENGE => "code 105",
        Code::FA_STALE_CHALLENGE => "code 106",
        Code::FA_INVALID_HOME_AGENT => "code 194",
        _ => "other code",
    }
}
