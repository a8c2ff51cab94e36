//! Revocations by home agents (RFC 3543 section 4.2.2.2, docs/wire.md): a visitor whose home agent says so is removed,
//! then that is acknowledged. KEY 2 names the visitor and proves who asks; anything else is silence.

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use record::{Association, AssociationKind};
use sa::End;
use sansio::{Instant, Now, Transmit};
use wire::mip::{
    PORT, Spi,
    revocation::{Acknowledgement, Message, Revocation},
};

use super::{Effect, ForeignAgent, TunnelChange, Work};
use crate::revocation::Revoker;

/// How long a revocation that comes again is acknowledged again: its acknowledgement may have been lost.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Most that are remembered at a time.
const MOST: usize = 1024;

/// KEY 2 of a visitor that was revoked.
struct Past {
    key2: Association,
    home_agent: Ipv4Addr,
    until: Instant,
}

/// Those of the last minute, oldest first.
#[derive(Default)]
pub(super) struct Revoked {
    past: VecDeque<Past>,
}

impl Revoked {
    fn find(&self, home_agent: Ipv4Addr, index: Spi) -> Option<&Association> {
        let found = self.past.iter().find(|past| (past.home_agent, past.key2.inbound) == (home_agent, index));
        found.map(|past| &past.key2)
    }

    fn remember(&mut self, key2: Association, home_agent: Ipv4Addr, now: Now) {
        if self.past.len() >= MOST {
            self.past.pop_front();
        }
        self.past.push_back(Past { key2, home_agent, until: now.mono + REMEMBERED });
    }

    pub(super) fn erase(&mut self, now: Instant) {
        while self.past.front().is_some_and(|past| past.until <= now) {
            self.past.pop_front();
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.past.front().map(|past| past.until)
    }

    /// True if an index names one of them.
    pub(super) fn uses(&self, index: Spi) -> bool {
        self.past.iter().any(|past| past.key2.inbound == index)
    }
}

/// The answer to a revocation, for when the store has forgotten the visitor.
pub(super) struct Answer {
    to: SocketAddrV4,
    fixed: Acknowledgement,
    /// Our index of the KEY 2 that it came under.
    index: Spi,
}

impl ForeignAgent {
    /// A revocation arrived from this address of a configured home agent.
    pub(super) fn revoked(&mut self, from: SocketAddrV4, payload: &[u8], now: Now) {
        if let Err(why) = self.take_revocation(from, payload) {
            self.discard(why, now);
        }
    }

    fn take_revocation(&mut self, from: SocketAddrV4, payload: &[u8]) -> Result<(), &'static str> {
        let home_agent = *from.ip();
        let fixed = Revocation::parse(payload).map_err(|_| "revocation: cut or too long")?;
        let message = Message::parse(payload, Revocation::LEN, self.config.vendor)
            .map_err(|_| "revocation: malformed")?;
        let index = message.authentication.spi;
        let visiting = self.visitors.receiving(AssociationKind::Key2, index);
        let visiting = visiting.filter(|(v, _)| v.record.home_agent == home_agent);
        let known = visiting.map(|(_, key2)| key2).or_else(|| self.revoked.find(home_agent, index));
        let revoker = known.and_then(|key2| Revoker::new(key2, End::First));
        let revoker = revoker.ok_or("revocation: of no registration that we know")?;
        if !revoker.verifies(&message) {
            return Err("revocation: wrong authentication");
        }
        let ours = fixed.from_home
            && fixed.home_agent == home_agent
            && fixed.care_of == self.config.care_of
            && fixed.home_address.is_unspecified();
        let home_address = revoker.home_address(&message).filter(|_| ours);
        let home_address = home_address.ok_or("revocation: contradicts itself")?;
        let acknowledgement =
            Acknowledgement { inform: false, home_address: fixed.home_address, identifier: fixed.identifier };
        let answer = Answer { to: from, fixed: acknowledgement, index };
        let Some((visiting, _)) = visiting else {
            // Removed already: only the acknowledgement was lost.
            let bytes = revoker.acknowledge(&answer.fixed);
            self.count("revocations acknowledged again");
            self.send_acknowledgement(answer.to, bytes);
            return Ok(());
        };
        if visiting.record.home_address != home_address {
            return Err("revocation: contradicts itself");
        }
        // Both times are the home agent's, so they compare; 32 bits go round (RFC 3543 section 3.5).
        let registered = visiting.record.revocation.ok_or("revocation: none was agreed on")?;
        if fixed.identifier.wrapping_sub(registered).cast_signed() < 0 {
            return Err("revocation: older than the registration");
        }
        if self.being_changed(home_address) {
            return Err("revocation: while the visitor changes");
        }
        let work = Work::Revoke { home_address, answer: Box::new(answer) };
        self.persist(work.changes(), work);
        Ok(())
    }

    /// The store has forgotten a revoked visitor.
    pub(super) fn revocation_done(&mut self, home_address: Ipv4Addr, answer: &Answer, now: Now) {
        let Some(gone) = self.visitors.remove(home_address) else {
            return;
        };
        self.count("visitors revoked");
        self.outbox.effect(Effect::Tunnel(TunnelChange::VisitorRemoved { home_address }));
        self.notify_removed(&gone.record, "a visitor's home agent revoked its registration");
        let home_agent = gone.record.home_agent;
        let key2 = |a: &Association| (a.kind, a.inbound) == (AssociationKind::Key2, answer.index);
        let Some(key2) = gone.record.associations.into_iter().find(key2) else {
            return;
        };
        if let Some(revoker) = Revoker::new(&key2, End::First) {
            let bytes = revoker.acknowledge(&answer.fixed);
            self.send_acknowledgement(answer.to, bytes);
        }
        self.revoked.remember(key2, home_agent, now);
    }

    fn send_acknowledgement(&mut self, destination: SocketAddrV4, payload: Vec<u8>) {
        let source = SocketAddrV4::new(self.config.care_of, PORT);
        self.outbox.send(Transmit::Udp { source, destination, payload });
    }
}
