//! Revocation from home (RFC 3543 sections 4.2.1 and 4.2.2.1, docs/wire.md): what is agreed on at a registration, and who
//! is told of one that ends before its time. The end of a binding and the keys to tell of it are one commit, so no
//! restart forgets whom to tell.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddrV4},
};

use record::{Association, AssociationKind, Binding, Change, Revocation, RevocationSupport};
use sa::End;
use sansio::{Instant, Now, Transmit, earliest};
use wire::mip::{
    PORT, Spi, code::Code, ours::Numbers, part::Parts, registration::ntp_seconds, revocation::Support,
};

use super::{
    Effect, HomeAgent,
    bind::Work,
    bindings::{BindingId, id_of},
    intake::{Asked, Denial, denial},
    revoked::Answer,
};
use crate::{
    Ticket,
    changeover::Changeover,
    past::Past,
    telling::{self, Ended, Tellings},
};

/// What follows once a commit has succeeded, besides what the commit is for.
#[derive(Default)]
pub(super) struct Sequel {
    /// Who is told of what was ended.
    tell: Vec<Revocation>,
    /// What is not told any longer, for the mobile node is back there.
    cancel: Option<Ended>,
    /// A foreign agent waits for this.
    answer: Option<Answer>,
    /// An operator waits for this.
    operator: Option<Ticket>,
}

impl Sequel {
    pub(super) fn answering(answer: Answer) -> Self {
        Self { answer: Some(answer), ..Self::default() }
    }

    /// True if nothing follows.
    const fn is_nothing(&self) -> bool {
        let Self { tell, cancel, answer, operator } = self;
        tell.is_empty() && cancel.is_none() && answer.is_none() && operator.is_none()
    }

    /// Tells of what another one tells of, too.
    pub(super) fn join(&mut self, other: Self) {
        self.tell.extend(other.tell);
    }
}

/// All that concerns revocations.
#[derive(Default)]
pub(super) struct Revocations {
    pub(super) tellings: Tellings,
    pub(super) past: Past,
    sequels: BTreeMap<Ticket, Sequel>,
    /// Bindings that are to end before their time, and why: the store refused, or a registration was on its way.
    wanted: BTreeMap<BindingId, &'static str>,
}

impl Revocations {
    pub(super) fn deadline(&self) -> Option<Instant> {
        earliest(self.tellings.deadline(), self.past.deadline())
    }

    /// What will be told of this registration once its end is committed.
    fn coming(&self, ended: Ended) -> impl Iterator<Item = &Revocation> {
        let tell = self.sequels.values().flat_map(|sequel| &sequel.tell);
        tell.filter(move |of| (of.home_address, of.care_of) == ended)
    }

    /// True if an index names a key of a binding that is gone.
    pub(super) fn uses(&self, index: Spi) -> bool {
        self.tellings.uses(index) || self.past.uses(index)
    }
}

/// What tells the other end of this binding that it is over; `None` if that agreed to nothing, or ends by itself now.
fn revocation(binding: &Binding, home_agent: Ipv4Addr, inform: bool, now: Now) -> Option<Revocation> {
    let support = binding.revocation?;
    if binding.ends().is_some_and(|ends| ends <= now.unix.as_secs()) {
        return None;
    }
    let (kind, peer) = match (&binding.foreign_agent, binding.tunnel) {
        (Some(_), _) => (AssociationKind::Key2, SocketAddrV4::new(binding.care_of, PORT)),
        // Behind a NAT nothing else reaches the mobile node.
        (None, record::Tunnel::Udp(peer)) => (AssociationKind::Key1, peer),
        (None, _) => (AssociationKind::Key1, SocketAddrV4::new(binding.care_of, PORT)),
    };
    let associations = binding.associations.iter().filter(|a| a.kind == kind);
    Some(Revocation {
        home_address: binding.home_address,
        care_of: binding.care_of,
        home_agent,
        peer,
        // Whoever has an address of its own is told by this very message (RFC 3543 section 3.3).
        inform: binding.foreign_agent.is_none() || inform && support.inform,
        ends: binding.ends(),
        associations: associations.map(Association::duplicate).collect(),
    })
}

impl HomeAgent {
    /// What is agreed on for this registration. 137 counts only under 34 or, of a node that is its own end of the
    /// tunnel and came by itself, under 32.
    pub(super) fn check_revocation(
        &self,
        asked: &mut Asked,
        parts: &Parts<'_>,
        relayed: bool,
    ) -> Result<(), Denial> {
        if parts.foreign.revocation.is_some() && asked.agent.is_some() && !relayed {
            return Err(denial(Code::HA_FA_AUTHENTICATION));
        }
        let offered = match (&asked.agent, asked.co_located) {
            // Without keys nobody could revoke.
            _ if asked.clear.is_some() => None,
            (Some(_), false) => parts.foreign.revocation,
            (None, true) => parts.mobile.revocation,
            // RFC 3543 section 4.3.2: who relays for a node with its own address is not known well enough.
            (Some(_), true) | (None, false) => None,
        };
        asked.revocation = offered.filter(|_| self.config.revocation && asked.lifetime > 0);
        Ok(())
    }

    /// Our 137 in the acceptance of a request that offered it.
    pub(super) fn support(&self, asked: &Asked, now: Now) -> Option<Support> {
        let offered = asked.revocation?;
        let inform = offered.inform && asked.agent.is_some();
        Some(Support { inform, timestamp: ntp_seconds(now.unix.as_secs()) })
    }

    /// What a binding remembers of that.
    pub(super) fn supported(asked: &Asked) -> Option<RevocationSupport> {
        let Support { inform, timestamp } = asked.revocation?;
        Some(RevocationSupport { timestamp, inform: inform && asked.agent.is_some() })
    }

    /// True if the foreign agent has revoked this registration while its keys were made.
    pub(super) fn is_revoked(&self, asked: &Asked) -> bool {
        let past = &self.revocations.past;
        let agent = *asked.source.ip();
        asked.revocation.is_some_and(|offered| past.covers(asked.home_address, agent, offered.timestamp))
    }

    /// The associations of a new binding: those that may still be in use, oldest first, then the new ones (docs/wire.md,
    /// change-over).
    pub(super) fn change_over(
        &self,
        asked: &Asked,
        standing: &[&Binding],
        new: Vec<Association>,
        now: Now,
    ) -> Vec<Association> {
        let ended = (asked.home_address, asked.care_of);
        // Those that stay beside it keep theirs.
        let beside = self.keeps_others(asked);
        let room = standing.iter().map(|binding| binding.associations.len()).sum::<usize>() + new.len();
        let mut list: Vec<Association> = Vec::with_capacity(room);
        list.extend(self.revocations.tellings.keys(ended).map(Association::duplicate));
        let coming = self.revocations.coming(ended).flat_map(|of| &of.associations);
        list.extend(coming.map(Association::duplicate));
        for binding in standing {
            let same = binding.care_of == asked.care_of;
            let kept = |a: &&Association| same || !beside && a.kind == AssociationKind::Key1;
            list.extend(binding.associations.iter().filter(kept).map(Association::duplicate));
        }
        let served = asked.serving_agent().is_some();
        list.retain(|a| served || a.kind == AssociationKind::Key1);
        list.sort_by_key(|a| a.made);
        let mut changeover = Changeover::of(&list, now).at_home();
        changeover.erase(&mut list, now.mono);
        changeover.add(&mut list, new, now);
        list
    }

    /// Prepares to tell who served this mobile node until now: every other binding that the new one replaces and that
    /// ended at an agent; none if they stay beside it. A node with its own address knows that it moved.
    pub(super) fn replacing(
        &self,
        new: &Binding,
        standing: &[&Binding],
        beside: bool,
        now: Now,
    ) -> (Vec<Change>, Sequel) {
        let before = standing.iter().filter(|_| !beside);
        let left = before.filter(|b| b.care_of != new.care_of && b.foreign_agent.is_some());
        // It has moved: nobody there is to be told.
        let tell: Vec<_> = left.filter_map(|b| revocation(b, self.config.address, false, now)).collect();
        let ended = (new.home_address, new.care_of);
        // It is back where its end is being told, or will be as soon as that is committed.
        let told =
            self.revocations.tellings.is_open(ended) || self.revocations.coming(ended).next().is_some();
        let cancel = told.then_some(ended);
        let mut changes: Vec<_> = cancel.map(telling::removal).into_iter().collect();
        changes.extend(tell.iter().map(|record| Change::PutRevocation(record.duplicate())));
        (changes, Sequel { tell, cancel, ..Sequel::default() })
    }

    /// Prepares to tell whoever serves a mobile node that deregistered. `through` is the agent that knows by itself.
    pub(super) fn leaving(&self, asked: &Asked, now: Now) -> (Vec<Change>, Sequel) {
        let through = asked.agent.as_ref().map(|agent| &agent.nai);
        let all = asked.care_of.is_unspecified() || asked.care_of == asked.home_address;
        let before = self.standing_bindings(asked.home_address).filter(|b| all || b.care_of == asked.care_of);
        let unaware = before.filter(|b| b.foreign_agent.is_some() && b.foreign_agent.as_ref() != through);
        let tell: Vec<_> = unaware.filter_map(|b| revocation(b, self.config.address, false, now)).collect();
        let changes = tell.iter().map(|record| Change::PutRevocation(record.duplicate())).collect();
        (changes, Sequel { tell, ..Sequel::default() })
    }

    /// Prepares to tell the other end of the binding with that care-of address, or of all bindings of a home address, the
    /// mobile node included where the configuration says so.
    pub(super) fn ending(
        &self,
        home_address: Ipv4Addr,
        care_of: Option<Ipv4Addr>,
        now: Now,
    ) -> (Vec<Change>, Sequel) {
        let inform = self.config.inform;
        let before = self.standing_bindings(home_address);
        let before = before.filter(|b| care_of.is_none_or(|care_of| care_of == b.care_of));
        let tell: Vec<_> = before.filter_map(|b| revocation(b, self.config.address, inform, now)).collect();
        let changes = tell.iter().map(|record| Change::PutRevocation(record.duplicate())).collect();
        (changes, Sequel { tell, ..Sequel::default() })
    }

    /// What follows if the commit with this ticket succeeds.
    pub(super) fn then(&mut self, ticket: Ticket, sequel: Sequel) {
        if !sequel.is_nothing() {
            self.revocations.sequels.insert(ticket, sequel);
        }
    }

    /// It did: who waits is answered, and who has to be told is told.
    pub(super) fn succeeded(&mut self, ticket: Ticket, now: Now) {
        let Some(sequel) = self.revocations.sequels.remove(&ticket) else {
            return;
        };
        if let Some(ended) = sequel.cancel {
            self.revocations.tellings.cancel(ended);
        }
        for record in sequel.tell {
            self.count("revocations begun");
            self.revocations.tellings.begin(record, now);
        }
        if let Some(answer) = sequel.answer {
            self.acknowledge(answer, now);
        }
        if let Some(ticket) = sequel.operator {
            self.outbox.effect(Effect::Answered { ticket, result: Ok(()) });
        }
    }

    /// It did not: nothing changed, nobody is told.
    pub(super) fn failed(&mut self, ticket: Ticket, why: &str) {
        let sequel = self.revocations.sequels.remove(&ticket);
        if let Some(ticket) = sequel.and_then(|sequel| sequel.operator) {
            let result = Err(format!("the binding stands: {why}"));
            self.outbox.effect(Effect::Answered { ticket, result });
        }
    }

    /// The operator ends the bindings of a home address.
    pub(super) fn revoke_binding(&mut self, home_address: Ipv4Addr, ticket: Ticket, now: Now) {
        let refused = if self.bindings.of(home_address).next().is_none() {
            Some(format!("{home_address} has no binding"))
        } else if self.arriving_at().any(|(arriving, _)| arriving == home_address) {
            Some(format!("the binding of {home_address} is being renewed at this moment: try again"))
        } else {
            None
        };
        if let Some(why) = refused {
            return self.outbox.effect(Effect::Answered { ticket, result: Err(why) });
        }
        let (changes, sequel) = self.ending(home_address, None, now);
        let sequel = Sequel { operator: Some(ticket), ..sequel };
        let ids: Vec<_> = self.bindings.of(home_address).map(id_of).collect();
        let mut begun = false;
        for id in &ids {
            begun |= self.bindings.begin_ending(*id);
        }
        if !begun {
            let result = Err(format!("the binding of {home_address} is ending already"));
            return self.outbox.effect(Effect::Answered { ticket, result });
        }
        let guard = ids.first().and_then(|id| self.guard(*id));
        let remove = Change::RemoveBindings(home_address);
        let changes = guard.into_iter().chain([remove]).chain(changes).collect();
        let work = Work::ending(home_address, None, "revoked by the operator");
        self.persist_ending(work, changes, sequel);
    }

    /// Ends a binding before its time, as soon as that can be done.
    pub(super) fn revoke(&mut self, id: BindingId, why: &'static str, now: Now) {
        if self.bindings.find(id).is_none() {
            return;
        }
        if self.renewing(id) {
            self.revocations.wanted.insert(id, why);
            return self.bindings.look_again(id, now.mono + super::bind::AGAIN);
        }
        let prepared = self.ending(id.0, Some(id.1), now);
        if self.end_with(id, why, prepared) {
            self.revocations.wanted.insert(id, why);
        }
    }

    /// Why a binding is to end before its time, if it is.
    pub(super) fn wanted(&self, id: BindingId) -> Option<&'static str> {
        self.revocations.wanted.get(&id).copied()
    }

    /// It was replaced, or it is gone.
    pub(super) fn unwanted(&mut self, id: BindingId) {
        self.revocations.wanted.remove(&id);
    }

    /// Commits the end of a binding; false if that is being done already.
    pub(super) fn end_with(
        &mut self,
        id: BindingId,
        why: &'static str,
        (changes, sequel): (Vec<Change>, Sequel),
    ) -> bool {
        if !self.bindings.begin_ending(id) {
            return false;
        }
        let (home_address, care_of) = id;
        let remove = Change::RemoveBinding { home_address, care_of };
        let changes = self.guard(id).into_iter().chain([remove]).chain(changes).collect();
        self.persist_ending(Work::ending(home_address, Some(care_of), why), changes, sequel);
        true
    }

    fn persist_ending(&mut self, work: Work, changes: Vec<Change>, sequel: Sequel) {
        let ticket = self.ticket();
        self.work.insert(ticket, work);
        self.then(ticket, sequel);
        self.outbox.effect(Effect::Persist { ticket, changes });
    }

    /// Sends what is due.
    pub(super) fn tell_due(&mut self, now: Now) {
        self.revocations.past.erase(now.mono);
        if self.revocations.tellings.deadline().is_none_or(|at| at > now.mono) {
            return;
        }
        let numbers = Numbers::Vendor(self.config.vendor);
        let held: Vec<_> = self.arriving_at().collect();
        let tellings = &mut self.revocations.tellings;
        let due = tellings.due(End::Second, numbers, &mut self.rng, |ended| held.contains(&ended), now);
        let source = SocketAddrV4::new(self.config.address, PORT);
        for (destination, payload) in due.messages {
            self.count("revocations sent");
            self.outbox.send(Transmit::Udp { source, destination, payload });
        }
        for ended in due.over {
            self.count("revocations not acknowledged");
            self.forget_telling(ended);
        }
    }

    /// The store need not keep this one any more. Nobody waits for that: a start finds at worst that it is over.
    pub(super) fn forget_telling(&mut self, ended: Ended) {
        let ticket = self.ticket();
        self.work.insert(ticket, Work::unwaited());
        self.outbox.effect(Effect::Persist { ticket, changes: vec![telling::removal(ended)] });
    }
}
