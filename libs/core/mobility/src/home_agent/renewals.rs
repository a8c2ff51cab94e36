//! Registrations that are to be renewed before their time (docs/wire.md section 14a): because an operator wants it, or
//! because so many octets went through the tunnel that its associations have served long enough.

use std::net::{Ipv4Addr, SocketAddrV4};

use record::{AssociationKind, Binding, Tunnel};
use sa::End;
use sansio::{Now, Transmit};
use wire::mip::{PORT, Spi, notice::Notice};

use super::{Effect, HomeAgent, bindings::BindingId};
use crate::{Event, EventKind, Ticket, notice, notice::Due};

/// How much of what a registration's associations may serve has gone through its tunnel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Served {
    /// Enough to renew them.
    Enough,
    /// All.
    All,
}

/// The association that leads to whoever has to renew this binding, and where that is told.
fn teller(binding: &Binding) -> (AssociationKind, SocketAddrV4) {
    match (&binding.foreign_agent, binding.tunnel) {
        (Some(_), _) => (AssociationKind::Key2, SocketAddrV4::new(binding.care_of, PORT)),
        // Behind a NAT nothing else reaches the mobile node.
        (None, Tunnel::Udp(peer)) => (AssociationKind::Key1, peer),
        (None, _) => (AssociationKind::Key1, SocketAddrV4::new(binding.care_of, PORT)),
    }
}

impl HomeAgent {
    /// The operator wants the registration renewed that holds this index inbound.
    pub(super) fn renew_association(&mut self, index: Spi, ticket: Ticket, now: Now) {
        match self.bindings.holder(index) {
            Some((home_address, _)) => self.renewals.begin(home_address, Some(ticket), now),
            None => self.no_association(index, ticket),
        }
    }

    /// The operator wants the registration ended that holds this index inbound.
    pub(super) fn delete_association(&mut self, index: Spi, ticket: Ticket, now: Now) {
        match self.bindings.holder(index) {
            Some((home_address, _)) => self.revoke_binding(home_address, ticket, now),
            None => self.no_association(index, ticket),
        }
    }

    fn no_association(&mut self, index: Spi, ticket: Ticket) {
        let result = Err(format!("no association receives under index {index} here"));
        self.outbox.effect(Effect::Answered { ticket, result });
    }

    /// Has the octets of a home address counted anew, if they are limited. Of many that began together not all are to be
    /// renewed together.
    pub(super) fn meter(&mut self, home_address: Ipv4Addr) {
        let all = self.config.max_octets;
        if all > 0 {
            let jitter = self.rng.below(all / 100 * 8 + 1);
            let most = all / 5 * 4 - jitter.min(all / 5);
            self.outbox.effect(Effect::Meter { home_address, most, all });
        }
    }

    /// What the packet path counted.
    pub(super) fn served(&mut self, home_address: Ipv4Addr, served: Served, now: Now) {
        let bound: Vec<BindingId> = self.bindings.of(home_address).map(super::bindings::id_of).collect();
        if bound.is_empty() {
            return;
        }
        match served {
            Served::Enough => {
                self.count("renewals asked for by octets");
                self.renewals.begin(home_address, None, now);
            }
            Served::All => {
                self.count("bindings ended by octets");
                for id in bound {
                    self.revoke(id, "its associations have served as many octets as they may", now);
                }
            }
        }
    }

    /// A registration was accepted: what was wanted of it is done.
    pub(super) fn renewed(&mut self, home_address: Ipv4Addr) {
        for ticket in self.renewals.end(home_address) {
            self.outbox.effect(Effect::Answered { ticket, result: Ok(()) });
        }
    }

    /// A home address has no binding any more.
    pub(super) fn not_renewed(&mut self, home_address: Ipv4Addr) {
        let tickets = self.renewals.end(home_address);
        self.give_up(tickets, "the registration ended");
    }

    fn give_up(&mut self, tickets: Vec<Ticket>, why: &str) {
        for ticket in tickets {
            self.outbox.effect(Effect::Answered { ticket, result: Err(why.to_owned()) });
        }
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
                    let text = format!("the registration of {home_address} was not renewed as asked");
                    self.notify(Event::new(EventKind::RenewalAsked, text));
                    self.give_up(tickets, "the mobile node was told and did not renew its registration");
                }
            }
        }
    }

    fn tell_to_renew(&mut self, home_address: Ipv4Addr, sent: u8) {
        let notice =
            |care_of| Notice { vendor: self.config.vendor, home_agent: self.config.address, care_of };
        let messages: Vec<_> = self
            .bindings
            .of(home_address)
            .filter_map(|binding| {
                let (kind, to) = teller(binding);
                let key = notice::turn(&binding.associations, kind, sent)?;
                Some((to, notice::emit(key, End::Second, &notice(binding.care_of))))
            })
            .collect();
        if messages.is_empty() {
            let tickets = self.renewals.end(home_address);
            return self.give_up(tickets, "it has no association under which that could be said");
        }
        let source = SocketAddrV4::new(self.config.address, PORT);
        for (destination, payload) in messages {
            self.count("renewals asked for");
            self.outbox.send(Transmit::Udp { source, destination, payload });
        }
    }
}
