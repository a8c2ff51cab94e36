//! Requests that wait for their home agents, and for a while the answers they got (RFC 5944 section 3.7.1).
//!
//! They are keyed by their random handle alone. A repeat is recognised by its bytes and its sender.

use sa::negotiation::Offered;
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
    /// It accepted, and exchanges are worked at.
    Exchanging,
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
    /// What our part offered.
    pub(super) offered: Option<Offered>,
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

/// All of them: at most as many as may wait, and as many answers again.
#[derive(Debug, Default)]
pub(super) struct Pendings {
    by_handle: BTreeMap<u64, Pending>,
    by_bytes: BTreeMap<(Station, [u8; 32]), u64>,
    deadlines: BTreeSet<(Instant, u64)>,
    /// Those without an answer of who did not prove to be a visitor; they may be displaced.
    strangers: BTreeSet<(Instant, u64)>,
    /// Indices that were promised to home agents.
    indices: BTreeSet<Spi>,
    /// Without an answer, by station, and those of them that would visit.
    by_station: BTreeMap<Station, (usize, usize)>,
    /// Without an answer, by home agent.
    by_home: BTreeMap<Ipv4Addr, usize>,
    open: usize,
    most: usize,
}

impl Pendings {
    /// How many wait for an answer.
    pub(super) const fn open(&self) -> usize {
        self.open
    }

    /// Most of those at a time.
    pub(super) const fn most(&self) -> usize {
        self.most
    }

    /// With the answers that are remembered.
    pub(super) fn len(&self) -> usize {
        self.by_handle.len()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    pub(super) fn insert(&mut self, pending: Pending) {
        let handle = pending.handle.handle;
        self.by_bytes.insert((pending.asker.station, pending.digest), handle);
        self.deadlines.insert((pending.deadline, handle));
        self.indices.extend([pending.handle.key2, pending.handle.key3]);
        if pending.visitor.is_none() {
            self.strangers.insert((pending.deadline, handle));
        }
        let of_station = self.by_station.entry(pending.asker.station).or_default();
        of_station.0 += 1;
        of_station.1 += usize::from(pending.purpose == Purpose::Visit);
        *self.by_home.entry(pending.home_agent()).or_default() += 1;
        self.open += 1;
        self.most = self.most.max(self.open);
        self.by_handle.insert(handle, pending);
    }

    /// One that waited waits no more.
    fn closed(&mut self, station: Station, home_agent: Ipv4Addr, purpose: Purpose) {
        self.open -= 1;
        if let Some(of_station) = self.by_station.get_mut(&station) {
            of_station.0 -= 1;
            of_station.1 -= usize::from(purpose == Purpose::Visit);
            if of_station.0 == 0 {
                self.by_station.remove(&station);
            }
        }
        if let Some(of_home) = self.by_home.get_mut(&home_agent) {
            *of_home -= 1;
            if *of_home == 0 {
                self.by_home.remove(&home_agent);
            }
        }
    }

    pub(super) fn remove(&mut self, handle: u64) -> Option<Pending> {
        let pending = self.by_handle.remove(&handle)?;
        self.by_bytes.remove(&(pending.asker.station, pending.digest));
        self.deadlines.remove(&(pending.deadline, handle));
        self.strangers.remove(&(pending.deadline, handle));
        self.indices.remove(&pending.handle.key2);
        self.indices.remove(&pending.handle.key3);
        if pending.is_open() {
            self.closed(pending.asker.station, pending.home_agent(), pending.purpose);
        }
        Some(pending)
    }

    /// Removes the stranger's request that has waited longest, if it has waited that long; one that its home agent
    /// accepted stays.
    pub(super) fn displace(&mut self, now: Instant, patience: Duration) -> Option<Pending> {
        let waits = |handle: &u64| {
            self.by_handle.get(handle).is_some_and(|pending| matches!(pending.progress, Progress::Waiting))
        };
        let (deadline, handle) = self.strangers.iter().find(|(_, handle)| waits(handle)).copied()?;
        let waited = WAIT.saturating_sub(deadline.saturating_since(now));
        if waited >= patience { self.remove(handle) } else { None }
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
        self.by_station.get(&station).map_or(0, |(open, _)| *open)
    }

    /// How many wait for this home agent.
    pub(super) fn open_at(&self, home_agent: Ipv4Addr) -> usize {
        self.by_home.get(&home_agent).copied().unwrap_or(0)
    }

    /// Stations that wait for an answer to something other than a deregistration.
    pub(super) fn arriving(&self) -> impl Iterator<Item = Station> {
        self.by_station.iter().filter(|(_, (_, visits))| *visits > 0).map(|(station, _)| *station)
    }

    /// How many those are at most.
    pub(super) fn stations_arriving(&self) -> usize {
        self.by_station.len()
    }

    /// True if this station is one of them.
    pub(super) fn is_arriving(&self, station: Station) -> bool {
        self.by_station.get(&station).is_some_and(|(_, visits)| *visits > 0)
    }

    /// True if an index was promised to a home agent.
    pub(super) fn uses(&self, spi: Spi) -> bool {
        self.indices.contains(&spi)
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
        let Some(pending) = self.by_handle.get_mut(&handle) else {
            return;
        };
        let was_open = pending.is_open();
        pending.progress = Progress::Answered(answer);
        self.strangers.remove(&(pending.deadline, handle));
        if was_open {
            let (station, home_agent, purpose) =
                (pending.asker.station, pending.home_agent(), pending.purpose);
            self.closed(station, home_agent, purpose);
        }
    }

    /// Removes the first one whose time is over; one that is worked at, or that the store is asked about, waits for the
    /// answer.
    pub(super) fn over(&mut self, now: Instant) -> Option<Pending> {
        let (at, handle) = self.deadlines.first().copied()?;
        if at > now {
            return None;
        }
        if let Some(pending) = self.by_handle.get_mut(&handle)
            && matches!(pending.progress, Progress::Exchanging | Progress::Committing)
        {
            self.deadlines.remove(&(at, handle));
            let stranger = self.strangers.remove(&(at, handle));
            pending.deadline = now + Duration::from_secs(1);
            self.deadlines.insert((pending.deadline, handle));
            if stranger {
                self.strangers.insert((pending.deadline, handle));
            }
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
