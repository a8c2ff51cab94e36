//! Telling the other end that a registration was ended here (RFC 3543 sections 4.2.2.1 and 4.2.3.1): again and again,
//! slower each time, with a new time each, until it acknowledges or the registration would have ended anyway.
//!
//! Nobody knows which of several keys the other end holds while none is confirmed: its last reply may have been lost.
//! So they take turns, the one to send under every other time.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use crypto::Rng;
use record::{Association, Change, Revocation};
use sa::End;
use sansio::{Instant, Now};
use wire::mip::{
    Spi,
    ours::Numbers,
    registration::ntp_seconds,
    revocation::{self, Acknowledgement, Message},
};

use crate::{changeover, revocation::Revoker};

/// Time from the first message to the second, doubled from then on (RFC 5944 section 3.6.3).
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// No longer than this: an agent that was away is soon told.
const LONGEST_WAIT: Duration = Duration::from_secs(64);

/// How long a registration without an end is told of.
const ENDLESS: Duration = Duration::from_secs(24 * 60 * 60);

/// Names an ended registration: home address and care-of address.
pub(crate) type Ended = (Ipv4Addr, Ipv4Addr);

/// One that is told of.
struct Telling {
    record: Revocation,
    /// Of what was sent so far.
    identifiers: BTreeSet<u32>,
    next: Instant,
    wait: Duration,
    ends: Instant,
    /// How many messages were sent: whose turn it is among the keys.
    sent: usize,
}

impl Telling {
    fn new(record: Revocation, now: Now) -> Self {
        let unix = now.unix.as_secs();
        let left = record.ends.map_or(ENDLESS, |ends| Duration::from_secs(ends.saturating_sub(unix)));
        // The other end ignores what is not later than the registration, in whole seconds.
        let begins = record.associations.iter().map(|a| a.made).max();
        let wait = if begins == Some(unix) { FIRST_WAIT } else { Duration::ZERO };
        Self {
            record,
            identifiers: BTreeSet::new(),
            next: now.mono + wait,
            wait: FIRST_WAIT,
            ends: now.mono + left,
            sent: 0,
        }
    }

    /// The key of the next message: every other time the one to send under, between that the others, newest first.
    fn key(&self) -> Option<&Association> {
        let associations = &self.record.associations;
        let first = changeover::sending(associations, associations.first()?.kind)?;
        let others: Vec<_> = associations.iter().rev().filter(|a| a.inbound != first.inbound).collect();
        match (self.sent % 2, others.len()) {
            (0, _) | (_, 0) => Some(first),
            (_, count) => others.get(self.sent / 2 % count).copied(),
        }
    }
}

/// What an acknowledgement ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Acknowledged {
    /// Of which registration.
    pub(crate) ended: Ended,
    /// Flag I: from a home agent, tell the mobile node; from a foreign agent, it was told.
    pub(crate) inform: bool,
}

/// Messages that are due, and what is not told any longer.
#[derive(Default)]
pub(crate) struct Due {
    /// To whom, and what.
    pub(crate) messages: Vec<(SocketAddrV4, Vec<u8>)>,
    /// Nobody acknowledged.
    pub(crate) over: Vec<Ended>,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Tellings {
    open: BTreeMap<Ended, Telling>,
}

impl Tellings {
    /// Those that a start found.
    #[must_use]
    pub(crate) fn restored(records: Vec<Revocation>, now: Now) -> Self {
        let mut tellings = Self::default();
        for record in records {
            tellings.begin(record, now);
        }
        tellings
    }

    /// Begins to tell of a registration whose end is durable. Without a key nobody can be told.
    pub(crate) fn begin(&mut self, record: Revocation, now: Now) {
        if !record.associations.is_empty() {
            self.open.insert((record.home_address, record.care_of), Telling::new(record, now));
        }
    }

    /// The mobile node registered there again: what would still be sent would hit that. True if there was something.
    pub(crate) fn cancel(&mut self, ended: Ended) -> bool {
        self.open.remove(&ended).is_some()
    }

    /// True if this one is told of.
    #[must_use]
    pub(crate) fn is_open(&self, ended: Ended) -> bool {
        self.open.contains_key(&ended)
    }

    /// The key under which this end may speak of what is told of, because it ended that itself, and which one that is.
    pub(crate) fn crossing(&self, from: Ipv4Addr, index: Spi) -> Option<(Ended, &Association)> {
        let of_peer = self.open.iter().filter(|(_, telling)| *telling.record.peer.ip() == from);
        let held = of_peer.flat_map(|(ended, t)| t.record.associations.iter().map(|a| (*ended, a)));
        held.into_iter().find(|(_, a)| a.inbound == index)
    }

    /// The keys that one of them is told under.
    pub(crate) fn keys(&self, ended: Ended) -> impl Iterator<Item = &Association> {
        self.open.get(&ended).into_iter().flat_map(|telling| &telling.record.associations)
    }

    /// When the next message is due.
    #[must_use]
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.open.values().map(|telling| telling.next.min(telling.ends)).min()
    }

    /// True if an index names an association that an acknowledgement may come under.
    #[must_use]
    pub(crate) fn uses(&self, index: Spi) -> bool {
        self.open.values().flat_map(|t| &t.record.associations).any(|a| a.inbound == index)
    }

    /// What is due now, from this end. Those that `held` names wait: a new registration of theirs is on its way.
    pub(crate) fn due(
        &mut self,
        end: End,
        numbers: Numbers,
        rng: &mut Rng,
        held: impl Fn(Ended) -> bool,
        now: Now,
    ) -> Due {
        let mut due = Due::default();
        for (ended, telling) in &mut self.open {
            if telling.ends <= now.mono {
                due.over.push(*ended);
            } else if telling.next <= now.mono {
                if held(*ended) {
                    telling.next = now.mono + FIRST_WAIT;
                    continue;
                }
                due.messages.extend(telling.message(end, numbers, rng, now));
                telling.next = now.mono + telling.wait;
                telling.wait = (telling.wait * 2).min(LONGEST_WAIT);
            }
        }
        for ended in &due.over {
            self.open.remove(ended);
        }
        due
    }

    /// Takes an acknowledgement that came from this address.
    ///
    /// # Errors
    /// Why it is discarded, in the words of a counter.
    pub(crate) fn acknowledged(
        &mut self,
        end: End,
        from: Ipv4Addr,
        payload: &[u8],
        vendor: u32,
    ) -> Result<Acknowledged, &'static str> {
        let fixed = Acknowledgement::parse(payload).map_err(|_| "acknowledgement: cut or too long")?;
        let message = Message::parse(payload, Acknowledgement::LEN, vendor)
            .map_err(|_| "acknowledgement: malformed")?;
        let nothing = "acknowledgement: of nothing that was sent";
        let index = message.authentication.spi;
        let mut open = self.open.values().filter(|t| *t.record.peer.ip() == from);
        let found = open.find_map(|t| Some((t, t.record.associations.iter().find(|a| a.inbound == index)?)));
        let (telling, key) = found.ok_or(nothing)?;
        if !Revoker::new(key, end).is_some_and(|revoker| revoker.verifies(&message)) {
            return Err("acknowledgement: wrong authentication");
        }
        if !fixed.home_address.is_unspecified() || !telling.identifiers.contains(&fixed.identifier) {
            return Err(nothing);
        }
        let ended = (telling.record.home_address, telling.record.care_of);
        // I counts only where it was asked with (RFC 3543 section 3.4).
        let inform = fixed.inform && telling.record.inform;
        self.open.remove(&ended);
        Ok(Acknowledged { ended, inform })
    }
}

impl Telling {
    fn message(
        &mut self,
        end: End,
        numbers: Numbers,
        rng: &mut Rng,
        now: Now,
    ) -> Option<(SocketAddrV4, Vec<u8>)> {
        let identifier = ntp_seconds(now.unix.as_secs());
        let fixed = revocation::Revocation {
            from_home: end == End::Second,
            inform: self.record.inform,
            home_address: Ipv4Addr::UNSPECIFIED,
            home_agent: self.record.home_agent,
            care_of: self.record.care_of,
            identifier,
        };
        let revoker = Revoker::new(self.key()?, end)?;
        let bytes = revoker.revoke(&fixed, self.record.home_address, numbers, rng).ok()?;
        self.identifiers.insert(identifier);
        self.sent += 1;
        Some((self.record.peer, bytes))
    }
}

/// The end of such a record in the store.
#[must_use]
pub(crate) const fn removal((home_address, care_of): Ended) -> Change {
    Change::RemoveRevocation { home_address, care_of }
}
