//! Revocations by the home agent, with a co-located care-of address (RFC 3543 section 4.2.2.3, docs/wire.md): the
//! registration is over, that is acknowledged, and the node registers again. Whatever is not right is silence and a
//! counter. A mobile node sends no revocations: it deregisters.

use std::net::{Ipv4Addr, SocketAddrV4};

use record::{Association, AssociationKind};
use sa::End;
use sansio::{Now, Transmit};
use wire::mip::revocation::{Acknowledgement, Message, Revocation};

use super::{
    MobileNode,
    movement::{Attachment, Place},
    register::{Attempt, Purpose},
    request::vendor,
};
use crate::{Event, EventKind, revocation::Revoker};

impl Attachment {
    /// KEY 1 that receives under this index, of this registration or the one before.
    fn key1(&self, index: wire::mip::Spi) -> Option<&Association> {
        let present = self.registration.iter().flat_map(|r| &r.associations);
        let mut held = present.chain(self.retiring.iter().map(|(association, _)| association));
        held.find(|a| (a.kind, a.inbound) == (AssociationKind::Key1, index))
    }
}

impl MobileNode {
    /// A revocation arrived at one of our ports.
    pub(super) fn revoked(&mut self, from: SocketAddrV4, at: SocketAddrV4, payload: &[u8], now: Now) {
        if let Err(why) = self.take_revocation(from, at, payload, now) {
            self.discard(why, format!("discarded a {why}"));
        }
    }

    fn take_revocation(
        &mut self,
        from: SocketAddrV4,
        at: SocketAddrV4,
        payload: &[u8],
        now: Now,
    ) -> Result<(), &'static str> {
        let nothing = "revocation: of no registration that we know";
        let fixed = Revocation::parse(payload).map_err(|_| "revocation: cut or too long")?;
        let message = Message::parse(payload, Revocation::LEN, vendor(self.config.numbers))
            .map_err(|_| "revocation: malformed")?;
        let index = message.authentication.spi;
        let home_agent = self.config.home_agent;
        let a = self.attachment.as_ref().ok_or(nothing)?;
        let Place::CoLocated { care_of, .. } = &a.place else {
            return Err(nothing);
        };
        let past = || a.past.find(home_agent, index).map(|(_, key1)| key1);
        let key1 = a.key1(index).or_else(past).ok_or(nothing)?.duplicate();
        let revoker = Revoker::new(&key1, End::First).ok_or(nothing)?;
        if !revoker.verifies(&message) {
            return Err("revocation: wrong authentication");
        }
        let coherent = fixed.from_home
            && fixed.home_agent == home_agent
            && *from.ip() == home_agent
            && fixed.care_of == care_of.address
            && *at.ip() == care_of.address
            && fixed.home_address.is_unspecified();
        if !coherent || revoker.home_address(&message) != Some(self.config.home_address) {
            return Err("revocation: contradicts itself");
        }
        // We are the one to be told, and are told herewith.
        let answer = Acknowledgement {
            inform: fixed.inform,
            home_address: Ipv4Addr::UNSPECIFIED,
            identifier: fixed.identifier,
        };
        let acknowledgement =
            Transmit::Udp { source: at, destination: from, payload: revoker.acknowledge(&answer) };
        match a.registration.as_ref().map(|registration| registration.revocable) {
            Some(agreed) => {
                let registered = agreed.ok_or("revocation: none was agreed on")?;
                // Both times are the home agent's, so they compare; 32 bits go round (RFC 3543 section 3.5).
                if fixed.identifier.wrapping_sub(registered).cast_signed() <= 0 {
                    return Err("revocation: not later than the registration");
                }
                self.outbox.send(acknowledgement);
                self.lose_registration(fixed.identifier, now);
            }
            None => {
                let Some(a) = &mut self.attachment else { return Err(nothing) };
                if !a.past.again(home_agent, index, fixed.identifier) {
                    return Err("revocation: repeated");
                }
                self.count("revocations acknowledged again");
                self.outbox.send(acknowledgement);
            }
        }
        Ok(())
    }

    /// The home agent ended the registration: it is asked for a new one, and says what it thinks of that.
    fn lose_registration(&mut self, identifier: u32, now: Now) {
        let home_agent = self.config.home_agent;
        let Some(a) = &mut self.attachment else { return };
        let Some(registration) = a.registration.take() else {
            return;
        };
        let retiring = std::mem::take(&mut a.retiring).into_iter().map(|(association, _)| association);
        let mut keys: Vec<_> = retiring.chain(registration.associations).collect();
        keys.retain(|key| key.kind == AssociationKind::Key1);
        a.past.remember(self.config.home_address, keys, home_agent, identifier, now);
        if a.attempt.as_ref().is_none_or(|attempt| attempt.purpose != Purpose::Deregister) {
            a.attempt = Some(Attempt::new(Purpose::Register, false, now));
        }
        let text = format!("the home agent ended the registration with {}", a.label());
        self.count("revocations acknowledged");
        self.notify(Event::new(EventKind::Moved, text));
        let route = self.bare_route();
        self.set_route(route, None);
    }
}
