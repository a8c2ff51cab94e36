//! Visitors that the operator sends away (RFC 3543 section 4.2.3.1, docs/wire.md): removed here first, then their home
//! agent is told, again and again until it acknowledges.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    time::Duration,
};

use record::{Association, AssociationKind};
use sa::End;
use sansio::{Instant, Now};
use wire::mip::{
    ours::Numbers,
    registration::ntp_seconds,
    revocation::{Acknowledgement, Message, Revocation},
};

use super::{Effect, ForeignAgent, TunnelChange, Work};
use crate::{changeover, revocation::Revoker};

/// Times between one revocation and the next: doubled from here (RFC 5944 section 3.6.3).
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// How often a home agent is told: for 17 minutes.
const TRIES: usize = 10;

/// A home agent that has not acknowledged yet.
struct Dismissal {
    home_agent: Ipv4Addr,
    care_of: Ipv4Addr,
    key2: Association,
    /// Of what was sent so far.
    identifiers: BTreeSet<u32>,
    next: Instant,
    wait: Duration,
    tries: usize,
    /// When the registration would have ended: there is nothing to revoke then.
    ends: Option<Instant>,
}

/// Revocations on their way, by home address.
#[derive(Default)]
pub(super) struct Dismissals {
    open: BTreeMap<Ipv4Addr, Dismissal>,
}

impl Dismissals {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.open.values().map(|dismissal| dismissal.next).min()
    }

    /// The mobile node registered again: what would still be sent would hit that.
    pub(super) fn cancel(&mut self, home_address: Ipv4Addr) {
        self.open.remove(&home_address);
    }

    /// True if an index names an association that an acknowledgement may come under.
    pub(super) fn uses(&self, index: wire::mip::Spi) -> bool {
        self.open.values().any(|dismissal| dismissal.key2.inbound == index)
    }
}

impl ForeignAgent {
    /// The operator sends a visitor away. Nobody there: nothing happens.
    pub(super) fn dismiss(&mut self, home_address: Ipv4Addr) {
        if self.visitors.find(home_address).is_some() {
            let work = Work::Dismiss { home_address };
            self.persist(work.changes(), work);
        }
    }

    /// The store has forgotten it.
    pub(super) fn dismissed(&mut self, home_address: Ipv4Addr, now: Now) {
        let Some(gone) = self.visitors.remove(home_address) else {
            return;
        };
        self.count("visitors dismissed");
        self.outbox.effect(Effect::Tunnel(TunnelChange::VisitorRemoved { home_address }));
        self.notify_removed(&gone.record, "a visitor was sent away by the operator");
        let key2 = changeover::sending(&gone.record.associations, AssociationKind::Key2);
        if let Some(key2) = key2.filter(|_| gone.record.revocation.is_some()) {
            let dismissal = Dismissal {
                home_agent: gone.record.home_agent,
                care_of: gone.record.care_of,
                key2: key2.duplicate(),
                identifiers: BTreeSet::new(),
                next: now.mono,
                wait: FIRST_WAIT,
                tries: 0,
                ends: gone.ends,
            };
            self.dismissals.open.insert(home_address, dismissal);
        }
    }

    /// Tells the home agents whose time it is.
    pub(super) fn send_revocations(&mut self, now: Now) {
        let over = |d: &Dismissal| d.tries >= TRIES || d.ends.is_some_and(|at| at <= now.mono);
        let due = |d: &Dismissal| d.next <= now.mono;
        let before = self.dismissals.open.len();
        self.dismissals.open.retain(|_, d| !(due(d) && over(d)));
        for _ in self.dismissals.open.len()..before {
            self.count("revocations not acknowledged");
        }
        let mut messages = Vec::new();
        for (home_address, dismissal) in self.dismissals.open.iter_mut().filter(|(_, d)| due(d)) {
            // The clock of our 137, anew each time (RFC 3543 section 4.2.3.1).
            let identifier = ntp_seconds(now.unix.as_secs());
            let fixed = Revocation {
                from_home: false,
                inform: false,
                home_address: Ipv4Addr::UNSPECIFIED,
                home_agent: dismissal.home_agent,
                care_of: dismissal.care_of,
                identifier,
            };
            let numbers = Numbers::Vendor(self.config.vendor);
            let message = Revoker::new(&dismissal.key2, End::First)
                .and_then(|revoker| revoker.revoke(&fixed, *home_address, numbers, &mut self.rng).ok());
            messages.extend(message.map(|message| (dismissal.home_agent, message)));
            dismissal.identifiers.insert(identifier);
            dismissal.tries += 1;
            dismissal.next = now.mono + dismissal.wait;
            dismissal.wait *= 2;
        }
        for (home_agent, message) in messages {
            self.count("revocations sent");
            self.send_home(home_agent, message);
        }
    }

    /// A home agent acknowledges a revocation.
    pub(super) fn acknowledged(&mut self, home_agent: Ipv4Addr, payload: &[u8], now: Now) {
        match self.find_acknowledged(home_agent, payload) {
            Ok(home_address) => {
                self.dismissals.open.remove(&home_address);
                self.count("revocations acknowledged by home agents");
            }
            Err(why) => self.discard(why, now),
        }
    }

    fn find_acknowledged(&self, home_agent: Ipv4Addr, payload: &[u8]) -> Result<Ipv4Addr, &'static str> {
        let fixed = Acknowledgement::parse(payload).map_err(|_| "acknowledgement: cut or too long")?;
        let message = Message::parse(payload, Acknowledgement::LEN, self.config.vendor)
            .map_err(|_| "acknowledgement: malformed")?;
        let index = message.authentication.spi;
        let mut open = self.dismissals.open.iter();
        let found = open.find(|(_, d)| (d.home_agent, d.key2.inbound) == (home_agent, index));
        let (home_address, dismissal) = found.ok_or("acknowledgement: of nothing that was sent")?;
        let right = Revoker::new(&dismissal.key2, End::First).is_some_and(|r| r.verifies(&message));
        if !right {
            return Err("acknowledgement: wrong authentication");
        }
        if !fixed.home_address.is_unspecified() || !dismissal.identifiers.contains(&fixed.identifier) {
            return Err("acknowledgement: of nothing that was sent");
        }
        Ok(*home_address)
    }
}
