//! Revocations by home agents (RFC 3543 section 4.2.2.2, docs/wire.md): a visitor whose home agent says so is removed,
//! then that is acknowledged. KEY 2 names the visitor and proves who asks; anything else is silence.

use std::net::{Ipv4Addr, SocketAddrV4};

use record::{Association, AssociationKind};
use sa::End;
use sansio::{LinkId, Now, Transmit};
use wire::mip::{
    PORT, Spi,
    revocation::{Acknowledgement, Message, Revocation},
};

use super::{Effect, ForeignAgent, Inform, Station, TunnelChange, Work};
use crate::{revocation::Revoker, telling};

/// The answer to a revocation, for when the store has forgotten the visitor.
pub(super) struct Answer {
    to: SocketAddrV4,
    fixed: Acknowledgement,
    /// The KEY 2 that it came under.
    key2: Association,
    /// The mobile node is told.
    inform: bool,
}

impl Answer {
    /// True if what it answers is later than this time of the home agent's.
    pub(super) const fn is_later_than(&self, timestamp: u32) -> bool {
        self.fixed.identifier.wrapping_sub(timestamp).cast_signed() > 0
    }
}

impl ForeignAgent {
    /// A revocation arrived from this address of a configured home agent.
    pub(super) fn revoked(&mut self, from: SocketAddrV4, payload: &[u8], now: Now) {
        if let Err(why) = self.take_revocation(from, payload, now) {
            self.discard(why, now);
        }
    }

    fn take_revocation(&mut self, from: SocketAddrV4, payload: &[u8], now: Now) -> Result<(), &'static str> {
        let home_agent = *from.ip();
        let fixed = Revocation::parse(payload).map_err(|_| "revocation: cut or too long")?;
        let message = Message::parse(payload, Revocation::LEN, self.config.vendor)
            .map_err(|_| "revocation: malformed")?;
        let index = message.authentication.spi;
        let (whose, key2) =
            self.key2_of(home_agent, index).ok_or("revocation: of no registration that we know")?;
        let key2 = key2.duplicate();
        let revoker = Revoker::new(&key2, End::First).ok_or("revocation: malformed")?;
        if !revoker.verifies(&message) {
            return Err("revocation: wrong authentication");
        }
        let ours = fixed.from_home
            && fixed.home_agent == home_agent
            && fixed.care_of == self.config.care_of
            && fixed.home_address.is_unspecified();
        if !ours || revoker.home_address(&message) != Some(whose) {
            return Err("revocation: contradicts itself");
        }
        // A key of an earlier registration of the same mobile node serves too: its home agent cannot know which one of
        // its replies arrived here.
        let visiting = self.visitors.find(whose).filter(|v| v.record.home_agent == home_agent);
        let support = visiting.and_then(|visiting| visiting.record.revocation);
        // I is the home agent's to set where that was agreed on; the answer has it only where it was asked with.
        let inform = match support {
            Some(support) if support.inform => fixed.inform,
            _ => self.config.inform != Inform::Never,
        };
        let answered = Acknowledgement {
            inform: inform && fixed.inform,
            home_address: fixed.home_address,
            identifier: fixed.identifier,
        };
        let answer = Answer { to: from, fixed: answered, key2: key2.duplicate(), inform };
        if visiting.is_none() {
            return self.acknowledge_again(home_agent, &answer, now);
        }
        // Both times are the home agent's, so they compare; 32 bits go round (RFC 3543 section 3.5).
        if !answer.is_later_than(support.ok_or("revocation: none was agreed on")?.timestamp) {
            return Err("revocation: not later than the registration");
        }
        if self.being_changed(whose) {
            return Err("revocation: while the visitor changes");
        }
        let work = Work::Revoke { home_address: whose, answer: Box::new(answer) };
        self.persist(work.changes(), work);
        Ok(())
    }

    /// The KEY 2 that a home agent names by our index, and whose: of a visitor, or of one that went lately.
    fn key2_of(&self, home_agent: Ipv4Addr, index: Spi) -> Option<(Ipv4Addr, &Association)> {
        let visiting = self.visitors.receiving(AssociationKind::Key2, index);
        let visiting = visiting.filter(|(v, _)| v.record.home_agent == home_agent);
        let known = visiting.map(|(v, key2)| (v.record.home_address, key2));
        let crossing = || self.dismissals.crossing(home_agent, index).map(|(ended, key2)| (ended.0, key2));
        known.or_else(crossing).or_else(|| self.past.find(home_agent, index))
    }

    /// There is no such visitor any more: an acknowledgement was lost, or both ends ended it at the same time.
    fn acknowledge_again(
        &mut self,
        home_agent: Ipv4Addr,
        answer: &Answer,
        now: Now,
    ) -> Result<(), &'static str> {
        let (index, identifier) = (answer.key2.inbound, answer.fixed.identifier);
        if let Some((ended, _)) = self.dismissals.crossing(home_agent, index) {
            // So the home agent need not be told.
            let keys = self.dismissals.keys(ended);
            self.dismissals.cancel(ended);
            self.persist(vec![telling::removal(ended)], Work::Forget);
            self.past.remember(ended.0, keys, home_agent, identifier, now);
        } else if !self.past.again(home_agent, index, identifier) {
            return Err("revocation: repeated");
        }
        self.count("revocations acknowledged again");
        self.acknowledge(answer);
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
        let station = Station { link: LinkId(gone.record.link), address: gone.record.link_address };
        let home_agent = gone.record.home_agent;
        let mut keys = gone.record.associations;
        keys.retain(|a| a.kind == AssociationKind::Key2);
        self.acknowledge(answer);
        self.past.remember(home_address, keys, home_agent, answer.fixed.identifier, now);
        if answer.inform {
            self.inform(station, now);
        }
    }

    fn acknowledge(&mut self, answer: &Answer) {
        if let Some(revoker) = Revoker::new(&answer.key2, End::First) {
            let payload = revoker.acknowledge(&answer.fixed);
            let source = SocketAddrV4::new(self.config.care_of, PORT);
            self.outbox.send(Transmit::Udp { source, destination: answer.to, payload });
        }
    }
}
