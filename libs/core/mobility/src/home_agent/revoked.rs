//! Revocations by foreign agents and acknowledgements of ours (RFC 3543 section 4.2.3.2, docs/wire.md): a binding whose
//! foreign agent says so is removed, then that is acknowledged. Whatever is not right is silence and a counter.

use std::net::{Ipv4Addr, SocketAddrV4};

use record::{Association, AssociationKind, Binding};
use sa::End;
use sansio::{Now, Transmit};
use wire::mip::{
    PORT, Spi,
    revocation::{Acknowledgement, Message, Revocation},
};

use super::{HomeAgent, revoke::Sequel};
use crate::{changeover, revocation::Revoker};

/// The answer to a revocation, for when the store has forgotten the binding.
pub(super) struct Answer {
    /// Home address of the binding.
    whose: Ipv4Addr,
    to: SocketAddrV4,
    fixed: Acknowledgement,
    /// KEY 2 of the binding: all that may be used again.
    keys: Vec<Association>,
    /// The KEY 2 that it came under.
    key2: Association,
}

impl HomeAgent {
    /// A revocation arrived.
    pub(super) fn revoked(&mut self, from: SocketAddrV4, payload: &[u8], now: Now) {
        if let Err(why) = self.take_revocation(from, payload, now) {
            self.discard(why, format_args!("discarded a {why}"));
        }
    }

    fn take_revocation(&mut self, from: SocketAddrV4, payload: &[u8], now: Now) -> Result<(), &'static str> {
        let agent = *from.ip();
        let fixed = Revocation::parse(payload).map_err(|_| "revocation: cut or too long")?;
        let message = Message::parse(payload, Revocation::LEN, self.config.vendor)
            .map_err(|_| "revocation: malformed")?;
        let index = message.authentication.spi;
        let (whose, key2) =
            self.key2_of(agent, index).ok_or("revocation: of no registration that we know")?;
        let key2 = key2.duplicate();
        let revoker = Revoker::new(&key2, End::Second).ok_or("revocation: malformed")?;
        if !revoker.verifies(&message) {
            return Err("revocation: wrong authentication");
        }
        let ours = !fixed.from_home
            && fixed.home_agent == self.config.address
            && fixed.care_of == agent
            && fixed.home_address.is_unspecified();
        if !ours || revoker.home_address(&message) != Some(whose) {
            return Err("revocation: contradicts itself");
        }
        // A key of an earlier registration of the same mobile node serves too, as at the foreign agent.
        let binding = self.binding_at(whose, agent);
        let support = binding.and_then(|binding| binding.revocation);
        let asked = fixed.inform && support.is_none_or(|support| support.inform);
        let answered = Acknowledgement {
            inform: asked && self.config.inform,
            home_address: fixed.home_address,
            identifier: fixed.identifier,
        };
        let keys = binding.into_iter().flat_map(|b| &b.associations);
        let keys = keys.filter(|a| a.kind == AssociationKind::Key2).map(Association::duplicate).collect();
        let answer = Answer { whose, to: from, fixed: answered, keys, key2: key2.duplicate() };
        if binding.is_none() {
            return self.acknowledge_again(answer, now);
        }
        self.bindings.confirm((whose, agent), (AssociationKind::Key2, index), now);
        // Both times are the foreign agent's, so they compare; 32 bits go round (RFC 3543 section 3.5).
        let registered = support.ok_or("revocation: none was agreed on")?.timestamp;
        if fixed.identifier.wrapping_sub(registered).cast_signed() <= 0 {
            return Err("revocation: not later than the registration");
        }
        let changing = "revocation: while the binding changes";
        if self.renewing((whose, agent)) {
            return Err(changing);
        }
        let prepared = (Vec::new(), Sequel::answering(answer));
        self.end_with((whose, agent), "its foreign agent revoked it", prepared).then_some(()).ok_or(changing)
    }

    /// The KEY 2 that the foreign agent at this address names by our index, and whose: of a binding, or of one that
    /// went lately.
    fn key2_of(&self, agent: Ipv4Addr, index: Spi) -> Option<(Ipv4Addr, &Association)> {
        let holder =
            self.bindings.holder(index).and_then(|(home_address, _)| self.binding_at(home_address, agent));
        let bound = holder.and_then(|binding| {
            let key2 = changeover::receiving(&binding.associations, AssociationKind::Key2, index)?;
            Some((binding.home_address, key2))
        });
        let revocations = &self.revocations;
        let crossing = || revocations.tellings.crossing(agent, index).map(|(ended, key2)| (ended.0, key2));
        bound.or_else(crossing).or_else(|| revocations.past.find(agent, index))
    }

    /// The binding of a home address through the foreign agent at this address.
    fn binding_at(&self, home_address: Ipv4Addr, agent: Ipv4Addr) -> Option<&Binding> {
        let binding = &self.bindings.find((home_address, agent))?.binding;
        let name = binding.foreign_agent.as_ref()?;
        let path = self.paths.iter().find(|path| path.nai == *name)?;
        (path.address == agent).then_some(binding)
    }

    /// There is no such binding any more: an acknowledgement was lost, or both ends ended it at the same time.
    fn acknowledge_again(&mut self, answer: Answer, now: Now) -> Result<(), &'static str> {
        let (agent, index) = (*answer.to.ip(), answer.key2.inbound);
        if let Some((ended, _)) = self.revocations.tellings.crossing(agent, index) {
            // So the foreign agent need not be told.
            let keys = self.revocations.tellings.keys(ended).map(Association::duplicate).collect();
            self.revocations.tellings.cancel(ended);
            self.forget_telling(ended);
            self.acknowledge(Answer { keys, ..answer }, now);
            return Ok(());
        }
        if !self.revocations.past.again(agent, index, answer.fixed.identifier) {
            return Err("revocation: repeated");
        }
        self.count("revocations acknowledged again");
        self.send_acknowledgement(&answer);
        Ok(())
    }

    /// The store has forgotten a binding that its foreign agent revoked.
    pub(super) fn acknowledge(&mut self, answer: Answer, now: Now) {
        self.count("revocations acknowledged");
        self.send_acknowledgement(&answer);
        let Answer { whose, to, fixed, keys, .. } = answer;
        self.revocations.past.remember(whose, keys, *to.ip(), fixed.identifier, now);
    }

    fn send_acknowledgement(&mut self, answer: &Answer) {
        if let Some(revoker) = Revoker::new(&answer.key2, End::Second) {
            let payload = revoker.acknowledge(&answer.fixed);
            let source = SocketAddrV4::new(self.config.address, PORT);
            self.outbox.send(Transmit::Udp { source, destination: answer.to, payload });
        }
    }

    /// An acknowledgement arrived.
    pub(super) fn acknowledged(&mut self, from: SocketAddrV4, payload: &[u8]) {
        let tellings = &mut self.revocations.tellings;
        match tellings.acknowledged(End::Second, *from.ip(), payload, self.config.vendor) {
            Ok(done) => {
                self.count("revocations acknowledged by the other end");
                self.forget_telling(done.ended);
            }
            Err(why) => self.discard(why, format_args!("discarded an {why}")),
        }
    }
}
