//! Visitors that the operator sends away (RFC 3543 section 4.2.3.1, docs/wire.md): removed here first, then their home
//! agent is told, again and again until it acknowledges. Whom to tell is in the store, so no restart forgets it.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddrV4},
};

use record::{Association, AssociationKind, Change, Revocation};
use sa::End;
use sansio::{Instant, LinkId, Now, Transmit};
use wire::mip::{PORT, Spi, ours::Numbers};

use super::{Effect, ForeignAgent, Inform, Station, TunnelChange, Work, visitors::Visiting};
use crate::{
    Ticket,
    telling::{self, Ended, Tellings},
};

/// Home agents that have not acknowledged yet.
#[derive(Default)]
pub(super) struct Dismissals {
    tellings: Tellings,
    /// Where those visitors are, as long as that is known: not after a restart.
    stations: BTreeMap<Ended, Station>,
}

impl Dismissals {
    /// Those that a start found.
    pub(super) fn restored(records: Vec<Revocation>, now: Now) -> Self {
        Self { tellings: Tellings::restored(records, now), stations: BTreeMap::new() }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.tellings.deadline()
    }

    /// The mobile node registered again: what would still be sent would hit that.
    pub(super) fn cancel(&mut self, ended: Ended) {
        self.stations.remove(&ended);
        self.tellings.cancel(ended);
    }

    /// What makes that durable, if there is something to cancel.
    pub(super) fn cancelling(&self, ended: Ended) -> Option<Change> {
        self.tellings.is_open(ended).then(|| telling::removal(ended))
    }

    /// The key under which a home agent may speak of what it is told of, and which visitor that was.
    pub(super) fn crossing(&self, home_agent: Ipv4Addr, index: Spi) -> Option<(Ended, &Association)> {
        self.tellings.crossing(home_agent, index)
    }

    /// The keys under which one of them is told of.
    pub(super) fn keys(&self, ended: Ended) -> Vec<Association> {
        self.tellings.keys(ended).map(Association::duplicate).collect()
    }

    /// True if an index names an association that an acknowledgement may come under.
    pub(super) fn uses(&self, index: Spi) -> bool {
        self.tellings.uses(index)
    }
}

impl ForeignAgent {
    /// The operator sends a visitor away.
    pub(super) fn dismiss(&mut self, home_address: Ipv4Addr, ticket: Ticket) {
        let refused = match self.visitors.find(home_address) {
            None => Some(format!("{home_address} is no visitor")),
            Some(_) if self.being_changed(home_address) => {
                Some(format!("the registration of {home_address} is changing at this moment: try again"))
            }
            Some(_) => None,
        };
        if let Some(why) = refused {
            return self.outbox.effect(Effect::Answered { ticket, result: Err(why) });
        }
        let record = self.visitors.find(home_address).and_then(dismissal).map(Box::new);
        let work = Work::Dismiss { home_address, record, ticket };
        self.persist(work.changes(), work);
    }

    /// The store has not forgotten it.
    pub(super) fn not_dismissed(&mut self, ticket: Ticket, why: &str) {
        let result = Err(format!("the visitor stays: {why}"));
        self.outbox.effect(Effect::Answered { ticket, result });
    }

    /// The store has forgotten it.
    pub(super) fn dismissed(
        &mut self,
        home_address: Ipv4Addr,
        record: Option<Revocation>,
        ticket: Ticket,
        now: Now,
    ) {
        let Some(gone) = self.visitors.remove(home_address) else {
            return;
        };
        self.count("visitors dismissed");
        self.outbox.effect(Effect::Tunnel(TunnelChange::VisitorRemoved { home_address }));
        self.notify_removed(&gone.record, "a visitor was sent away by the operator");
        let station = Station { link: LinkId(gone.record.link), address: gone.record.link_address };
        // If the home agent decides it is asked first.
        if !record.as_ref().is_some_and(|record| record.inform) && self.config.inform != Inform::Never {
            self.inform(station, now);
        }
        if let Some(record) = record {
            self.dismissals.stations.insert((record.home_address, record.care_of), station);
            self.dismissals.tellings.begin(record, now);
        }
        self.outbox.effect(Effect::Answered { ticket, result: Ok(()) });
    }

    /// Tells the home agents whose time it is. One whose mobile node is registering again waits for what comes of that.
    pub(super) fn send_revocations(&mut self, now: Now) {
        if self.dismissals.deadline().is_none_or(|at| at > now.mono) {
            return;
        }
        let arriving = &self.pendings;
        let Dismissals { tellings, stations } = &mut self.dismissals;
        let held = |ended| stations.get(&ended).is_some_and(|station| arriving.is_arriving(*station));
        let numbers = Numbers::Vendor(self.config.vendor);
        let due = tellings.due(End::First, numbers, &mut self.rng, held, now);
        let source = SocketAddrV4::new(self.config.care_of, PORT);
        for (destination, payload) in due.messages {
            self.count("revocations sent");
            self.outbox.send(Transmit::Udp { source, destination, payload });
        }
        for ended in due.over {
            self.count("revocations not acknowledged");
            self.told(ended, self.config.inform == Inform::HomeAgentDecides, now);
        }
    }

    /// A home agent acknowledges a revocation.
    pub(super) fn acknowledged(&mut self, home_agent: Ipv4Addr, payload: &[u8], now: Now) {
        let tellings = &mut self.dismissals.tellings;
        match tellings.acknowledged(End::First, home_agent, payload, self.config.vendor) {
            Ok(done) => {
                self.count("revocations acknowledged by home agents");
                self.told(done.ended, done.inform, now);
            }
            Err(why) => self.discard(why, now),
        }
    }

    /// Nobody has to be told of this one any longer, except perhaps the mobile node.
    fn told(&mut self, ended: Ended, inform: bool, now: Now) {
        if let Some(station) = self.dismissals.stations.remove(&ended).filter(|_| inform) {
            self.inform(station, now);
        }
        self.persist(vec![telling::removal(ended)], Work::Forget);
    }
}

/// What tells its home agent that a visitor is sent away; `None` if that did not agree to revocations.
fn dismissal(visiting: &Visiting) -> Option<Revocation> {
    let record = &visiting.record;
    let support = record.revocation?;
    let key2 = record.associations.iter().filter(|a| a.kind == AssociationKind::Key2);
    Some(Revocation {
        home_address: record.home_address,
        care_of: record.care_of,
        home_agent: record.home_agent,
        peer: SocketAddrV4::new(record.home_agent, PORT),
        inform: support.inform,
        ends: record.ends(),
        associations: key2.map(Association::duplicate).collect(),
    })
}
