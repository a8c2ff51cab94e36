//! Visitors whose registrations are to be renewed before their time (docs/wire.md section 14a): because an operator here or
//! their home agent wants it. They are told under KEY 3; one without that hears an advertisement as if we had started
//! anew, for which it does the same.

use std::net::{Ipv4Addr, SocketAddrV4};

use record::AssociationKind;
use sa::End;
use sansio::{LinkId, Now, Transmit};
use wire::{
    ip,
    mip::{
        PORT, Spi,
        notice::{Message, Notice},
    },
};

use super::{Effect, ForeignAgent, Station};
use crate::{Event, EventKind, Ticket, notice, notice::Due};

/// Time to live of a packet that shall stay on its link.
const TTL: u8 = 1;

impl ForeignAgent {
    /// The visitor that holds an association which receives under this index.
    fn visitor_of(&self, index: Spi) -> Option<Ipv4Addr> {
        let kinds = [AssociationKind::Key2, AssociationKind::Key3];
        let found = kinds.into_iter().find_map(|kind| self.visitors.receiving(kind, index));
        found.map(|(visiting, _)| visiting.record.home_address)
    }

    /// The operator wants the registration renewed that holds this index inbound.
    pub(super) fn renew_association(&mut self, index: Spi, ticket: Ticket, now: Now) {
        match self.visitor_of(index) {
            Some(home_address) => self.renewals.begin(home_address, Some(ticket), now),
            None => self.no_association(index, ticket),
        }
    }

    /// The operator wants the registration ended that holds this index inbound.
    pub(super) fn delete_association(&mut self, index: Spi, ticket: Ticket) {
        match self.visitor_of(index) {
            Some(home_address) => self.dismiss(home_address, ticket),
            None => self.no_association(index, ticket),
        }
    }

    fn no_association(&mut self, index: Spi, ticket: Ticket) {
        let result = Err(format!("no association receives under index {index} here"));
        self.outbox.effect(Effect::Answered { ticket, result });
    }

    /// A visitor was admitted or renewed: what was wanted of it is done.
    pub(super) fn renewed(&mut self, home_address: Ipv4Addr) {
        for ticket in self.renewals.end(home_address) {
            self.outbox.effect(Effect::Answered { ticket, result: Ok(()) });
        }
    }

    fn give_up(&mut self, tickets: Vec<Ticket>, why: &str) {
        for ticket in tickets {
            self.outbox.effect(Effect::Answered { ticket, result: Err(why.to_owned()) });
        }
    }

    /// A notice arrived from this address of a configured home agent.
    pub(super) fn noticed(&mut self, home_agent: Ipv4Addr, payload: &[u8], now: Now) {
        if let Err(why) = self.take_notice(home_agent, payload, now) {
            self.discard(why, now);
        }
    }

    fn take_notice(&mut self, home_agent: Ipv4Addr, payload: &[u8], now: Now) -> Result<(), &'static str> {
        let message = Message::parse(payload).map_err(|_| "notice: malformed")?;
        let named = self.visitors.receiving(AssociationKind::Key2, message.authentication.spi);
        let (visiting, key2) = named
            .filter(|(visiting, _)| visiting.record.home_agent == home_agent)
            .ok_or("notice: of no registration that we know")?;
        if !notice::verifies(key2, End::First, &message) {
            return Err("notice: wrong authentication");
        }
        let expected = Notice { vendor: self.config.vendor, home_agent, care_of: self.config.care_of };
        if message.notice != expected {
            return Err("notice: contradicts itself");
        }
        // An older one may stand as long as nothing came under its successor.
        let held = &visiting.record.associations;
        let newest = held.iter().rev().find(|a| a.kind == AssociationKind::Key2);
        if newest.is_none_or(|newest| newest.inbound != key2.inbound) {
            return Err("notice: under an association that was replaced");
        }
        let home_address = visiting.record.home_address;
        self.count("renewals that home agents asked for");
        self.renewals.begin(home_address, None, now);
        Ok(())
    }

    /// Tells those whose time it is.
    pub(super) fn renew_due(&mut self, now: Now) {
        if self.renewals.deadline().is_none_or(|at| at > now.mono) {
            return;
        }
        for due in self.renewals.due(now) {
            match due {
                Due::Tell(home_address, sent) => self.tell_to_renew(home_address, sent),
                Due::Over(home_address, tickets) => {
                    self.count("renewals that nobody made");
                    let text = format!("the visitor {home_address} did not renew its registration as asked");
                    self.notify(Event::new(EventKind::RenewalAsked, text));
                    self.give_up(tickets, "the mobile node was told and did not renew its registration");
                }
            }
        }
    }

    fn tell_to_renew(&mut self, home_address: Ipv4Addr, sent: u8) {
        let Some(visiting) = self.visitors.find(home_address) else {
            let tickets = self.renewals.end(home_address);
            return self.give_up(tickets, "the registration ended");
        };
        let record = &visiting.record;
        let station = Station { link: LinkId(record.link), address: record.link_address };
        if self.pendings.is_arriving(station) {
            // What comes of that is awaited.
            return;
        }
        let notice =
            Notice { vendor: self.config.vendor, home_agent: record.home_agent, care_of: record.care_of };
        let told = notice::turn(&record.associations, AssociationKind::Key3, sent)
            .map(|key3| notice::emit(key3, End::Second, &notice));
        self.count("renewals asked for");
        let Some(payload) = told else {
            return self.call_anew(station);
        };
        let Some(beacon) = self.beacons.get(&station.link) else {
            return;
        };
        // As replies to it: it may have no address on this link.
        let source = SocketAddrV4::new(beacon.link.address, PORT);
        let everybody = SocketAddrV4::new(Ipv4Addr::BROADCAST, PORT);
        if let Ok(packet) = ip::udp_packet(source, everybody, TTL, &payload) {
            self.outbox.send(Transmit::Link { link: station.link, to: station.address, packet });
        }
    }
}
