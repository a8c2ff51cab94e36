//! Revocations by home agents (RFC 3543 section 4.2.2.2, docs/wire.md): a visitor whose home agent says so is removed,
//! then that is acknowledged. KEY 2 names the visitor and proves who asks; anything else is silence.

use std::net::{Ipv4Addr, SocketAddrV4};

use record::AssociationKind;
use sa::End;
use sansio::{LinkId, Now, Transmit};
use wire::mip::{
    PORT, Spi,
    revocation::{Acknowledgement, Message, Revocation},
};

use super::{Effect, ForeignAgent, Inform, Station, TunnelChange, Work};
use crate::{changeover, revocation::Revoker, telling};

/// The answer to a revocation, for when the store has forgotten the visitor.
pub(super) struct Answer {
    to: SocketAddrV4,
    fixed: Acknowledgement,
    /// Our index of the KEY 2 that it came under.
    index: Spi,
    /// The mobile node is told.
    inform: bool,
}

impl ForeignAgent {
    /// A revocation arrived from this address of a configured home agent.
    pub(super) fn revoked(&mut self, from: SocketAddrV4, payload: &[u8], now: Now) {
        if let Err(why) = self.take_revocation(from, payload, now) {
            self.discard(why, now);
        }
    }

    fn take_revocation(
        &mut self,
        from: SocketAddrV4,
        payload: &[u8],
        now: Now,
    ) -> Result<(), &'static str> {
        let home_agent = *from.ip();
        let fixed = Revocation::parse(payload).map_err(|_| "revocation: cut or too long")?;
        let message = Message::parse(payload, Revocation::LEN, self.config.vendor)
            .map_err(|_| "revocation: malformed")?;
        let index = message.authentication.spi;
        let visiting = self.visitors.receiving(AssociationKind::Key2, index);
        let visiting = visiting.filter(|(v, _)| v.record.home_agent == home_agent);
        let known = visiting.map(|(_, key2)| key2).or_else(|| self.past.find(home_agent, index));
        let known = known.or_else(|| self.dismissals.crossing(home_agent, index).map(|(_, key2)| key2));
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
        // I is the home agent's to set where that was agreed on; the answer has it only where it was asked with.
        let support = visiting.and_then(|(v, _)| v.record.revocation);
        let inform = match support {
            Some(support) if support.inform => fixed.inform,
            _ => self.config.inform != Inform::Never,
        };
        let (home_address_field, identifier) = (fixed.home_address, fixed.identifier);
        let acknowledgement = Acknowledgement {
            inform: inform && fixed.inform,
            home_address: home_address_field,
            identifier,
        };
        let answer = Answer { to: from, fixed: acknowledgement, index, inform };
        if visiting.is_none() && let Some((ended, _)) = self.dismissals.crossing(home_agent, index) {
            // Both ends ended it at the same time: the other one knows.
            let bytes = revoker.acknowledge(&answer.fixed);
            let keys = self.dismissals.keys(ended);
            self.dismissals.cancel(ended);
            self.persist(vec![telling::removal(ended)], Work::Forget);
            self.send_acknowledgement(answer.to, bytes);
            self.past.remember(keys, home_agent, identifier, now);
            return Ok(());
        }
        let Some((visiting, _)) = visiting else {
            // Removed already: only the acknowledgement was lost.
            let bytes = revoker.acknowledge(&answer.fixed);
            if !self.past.again(home_agent, index, identifier) {
                return Err("revocation: repeated");
            }
            self.count("revocations acknowledged again");
            self.send_acknowledgement(answer.to, bytes);
            return Ok(());
        };
        if visiting.record.home_address != home_address {
            return Err("revocation: contradicts itself");
        }
        // Both times are the home agent's, so they compare; 32 bits go round (RFC 3543 section 3.5).
        let registered = support.ok_or("revocation: none was agreed on")?.timestamp;
        if identifier.wrapping_sub(registered).cast_signed() <= 0 {
            return Err("revocation: not later than the registration");
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
        let station = Station { link: LinkId(gone.record.link), address: gone.record.link_address };
        let home_agent = gone.record.home_agent;
        let mut keys = gone.record.associations;
        keys.retain(|a| a.kind == AssociationKind::Key2);
        let key2 = changeover::receiving(&keys, AssociationKind::Key2, answer.index);
        if let Some(revoker) = key2.and_then(|key2| Revoker::new(key2, End::First)) {
            let bytes = revoker.acknowledge(&answer.fixed);
            self.send_acknowledgement(answer.to, bytes);
        }
        self.past.remember(keys, home_agent, answer.fixed.identifier, now);
        if answer.inform {
            self.inform(station, now);
        }
    }

    fn send_acknowledgement(&mut self, destination: SocketAddrV4, payload: Vec<u8>) {
        let source = SocketAddrV4::new(self.config.care_of, PORT);
        self.outbox.send(Transmit::Udp { source, destination, payload });
    }
}
