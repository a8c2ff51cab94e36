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
    to: SocketAddrV4,
    fixed: Acknowledgement,
    /// KEY 2 of the binding: all that may be used again.
    keys: Vec<Association>,
    /// Our index of the one that it came under.
    index: Spi,
}

impl HomeAgent {
    /// A revocation arrived.
    pub(super) fn revoked(&mut self, from: SocketAddrV4, payload: &[u8], now: Now) {
        if let Err(why) = self.take_revocation(from, payload, now) {
            self.discard(why, format!("discarded a {why}"));
        }
    }

    fn take_revocation(
        &mut self,
        from: SocketAddrV4,
        payload: &[u8],
        now: Now,
    ) -> Result<(), &'static str> {
        let agent = *from.ip();
        let fixed = Revocation::parse(payload).map_err(|_| "revocation: cut or too long")?;
        let message = Message::parse(payload, Revocation::LEN, self.config.vendor)
            .map_err(|_| "revocation: malformed")?;
        let index = message.authentication.spi;
        let binding = self.binding_under(agent, index);
        let key2 = binding
            .and_then(|b| changeover::receiving(&b.associations, AssociationKind::Key2, index))
            .or_else(|| self.revocations.past.find(agent, index))
            .or_else(|| self.revocations.tellings.crossing(agent, index).map(|(_, key2)| key2));
        let revoker = key2.and_then(|key2| Revoker::new(key2, End::Second));
        let revoker = revoker.ok_or("revocation: of no registration that we know")?;
        if !revoker.verifies(&message) {
            return Err("revocation: wrong authentication");
        }
        let coherent = !fixed.from_home
            && fixed.home_agent == self.config.address
            && fixed.care_of == agent
            && fixed.home_address.is_unspecified();
        let home_address = revoker.home_address(&message).filter(|_| coherent);
        let home_address = home_address.ok_or("revocation: contradicts itself")?;
        let answered = |inform| Acknowledgement {
            inform,
            home_address: fixed.home_address,
            identifier: fixed.identifier,
        };
        if binding.is_none() && let Some((ended, _)) = self.revocations.tellings.crossing(agent, index) {
            // Both ends ended it at the same time: the other one knows.
            let bytes = revoker.acknowledge(&answered(false));
            let keys = self.revocations.tellings.keys(ended).map(Association::duplicate).collect();
            self.revocations.tellings.cancel(ended);
            self.forget_telling(ended);
            self.count("revocations acknowledged");
            self.send_acknowledgement(from, bytes);
            self.revocations.past.remember(keys, agent, fixed.identifier, now);
            return Ok(());
        }
        let Some(binding) = binding else {
            // Removed already: only the acknowledgement was lost.
            let bytes = revoker.acknowledge(&answered(fixed.inform && self.config.inform));
            if !self.revocations.past.again(agent, index, fixed.identifier) {
                return Err("revocation: repeated");
            }
            self.count("revocations acknowledged again");
            self.send_acknowledgement(from, bytes);
            return Ok(());
        };
        if binding.home_address != home_address {
            return Err("revocation: contradicts itself");
        }
        let support = binding.revocation.ok_or("revocation: none was agreed on")?;
        let keys = binding.associations.iter().filter(|a| a.kind == AssociationKind::Key2);
        let keys = keys.map(Association::duplicate).collect();
        self.bindings.confirm(home_address, (AssociationKind::Key2, index), now);
        // Both times are the foreign agent's, so they compare; 32 bits go round (RFC 3543 section 3.5).
        if fixed.identifier.wrapping_sub(support.timestamp).cast_signed() <= 0 {
            return Err("revocation: not later than the registration");
        }
        if self.renewing(home_address) {
            return Err("revocation: while the binding changes");
        }
        let inform = fixed.inform && support.inform && self.config.inform;
        let answer = Answer { to: from, fixed: answered(inform), keys, index };
        let prepared = (Vec::new(), Sequel::answering(answer));
        match self.end_with(home_address, "its foreign agent revoked it", prepared) {
            true => Ok(()),
            false => Err("revocation: while the binding changes"),
        }
    }

    /// The binding through the foreign agent at this address that receives under this index.
    fn binding_under(&self, agent: Ipv4Addr, index: Spi) -> Option<&Binding> {
        let binding = &self.bindings.find(self.bindings.holder(index)?)?.binding;
        let name = binding.foreign_agent.as_ref()?;
        let path = self.paths.iter().find(|path| path.nai == *name)?;
        (path.address == agent && binding.care_of == agent).then_some(binding)
    }

    /// The store has forgotten a binding that its foreign agent revoked.
    pub(super) fn acknowledge(&mut self, answer: Answer, now: Now) {
        let Answer { to, fixed, keys, index } = answer;
        let key2 = changeover::receiving(&keys, AssociationKind::Key2, index);
        if let Some(revoker) = key2.and_then(|key2| Revoker::new(key2, End::Second)) {
            let bytes = revoker.acknowledge(&fixed);
            self.count("revocations acknowledged");
            self.send_acknowledgement(to, bytes);
        }
        self.revocations.past.remember(keys, *to.ip(), fixed.identifier, now);
    }

    fn send_acknowledgement(&mut self, destination: SocketAddrV4, payload: Vec<u8>) {
        let source = SocketAddrV4::new(self.config.address, PORT);
        self.outbox.send(Transmit::Udp { source, destination, payload });
    }

    /// An acknowledgement arrived.
    pub(super) fn acknowledged(&mut self, from: SocketAddrV4, payload: &[u8]) {
        let tellings = &mut self.revocations.tellings;
        match tellings.acknowledged(End::Second, *from.ip(), payload, self.config.vendor) {
            Ok(done) => {
                self.count("revocations acknowledged by the other end");
                self.forget_telling(done.ended);
            }
            Err(why) => self.discard(why, format!("discarded an {why}")),
        }
    }
}
