//! From keys to a committed binding: the second half of a registration.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::Arc,
    time::Duration,
};

use record::{Association, AssociationKind, Binding, Change, CommitError, Nai, Seen};
use sa::{KeyInfo, negotiation::Ends};
use sansio::{Instant, LinkAddress, Now, Transmit};
use wire::mip::{
    code::{Code, DetailCode},
    registration::Identification,
};

use super::{
    Effect, HomeAgent, KdcError, Keys, TunnelChange,
    answer::{KeyInfos, Repeat, Reply},
    bindings::{BindingId, Bound, id_of},
    intake::Asked,
    pending::Origin,
    roster::Who,
    shares::refused,
    subscribers::Batch,
};
use crate::{Event, EventKey, EventKind, Ticket};

/// How long keys are waited for before the request is given up; the mobile node has asked anew by then.
const KEY_TIMEOUT: Duration = Duration::from_secs(10);

/// When a binding that could not be removed is looked at again.
pub(super) const AGAIN: Duration = Duration::from_secs(1);

/// What to do once the store has answered.
pub(super) enum Step {
    /// Exchanges are worked at.
    Exchange(Box<Asked>),
    /// Keys are awaited.
    Keys(Box<Asked>),
    /// The binding is being committed, beside others of its home address or in their place.
    Bind { binding: Box<Binding>, beside: bool, event: Event },
    /// The removal of a binding is being committed, for a deregistration or at its end; of all those of the home
    /// address if no care-of address is named.
    Unbind {
        home_address: Ipv4Addr,
        care_of: Option<Ipv4Addr>,
        returned: Option<LinkAddress>,
        why: &'static str,
    },
    /// Only the identification is being committed.
    Record,
    /// Subscribers are being committed.
    Subscribers(Batch),
}

/// A piece of work in progress.
pub(super) struct Work {
    pub(super) deadline: Option<Instant>,
    pub(super) step: Step,
    /// Whose, and with which identification.
    pub(super) of: Option<(Who, Identification)>,
    reply: Option<(Transmit, Repeat)>,
    /// Where the request came from that it is for.
    pub(super) origin: Option<Origin>,
}

impl Work {
    pub(super) const fn subscribers(batch: Batch) -> Self {
        Self { deadline: None, step: Step::Subscribers(batch), of: None, reply: None, origin: None }
    }

    /// The removal that nobody asked for by a request, of a binding, or of all those of a home address.
    pub(super) const fn ending(home_address: Ipv4Addr, care_of: Option<Ipv4Addr>, why: &'static str) -> Self {
        let step = Step::Unbind { home_address, care_of, returned: None, why };
        Self { deadline: None, step, of: None, reply: None, origin: None }
    }

    /// Something that nothing follows from.
    pub(super) const fn unwaited() -> Self {
        Self { deadline: None, step: Step::Record, of: None, reply: None, origin: None }
    }

    pub(super) fn exchanging(asked: Asked, now: Now) -> Self {
        let of = Some((asked.who.clone(), asked.identification));
        let origin = Some(Origin::of(&asked));
        let (deadline, step) = (Some(now.mono + KEY_TIMEOUT), Step::Exchange(Box::new(asked)));
        Self { deadline, step, of, reply: None, origin }
    }

    pub(super) fn awaiting(asked: Asked, now: Now) -> Self {
        let of = Some((asked.who.clone(), asked.identification));
        let origin = Some(Origin::of(&asked));
        let (deadline, step) = (Some(now.mono + KEY_TIMEOUT), Step::Keys(Box::new(asked)));
        Self { deadline, step, of, reply: None, origin }
    }
}

impl HomeAgent {
    /// Keys, or none, for a request that waits for them.
    pub(super) fn keys(&mut self, ticket: Ticket, result: Result<Keys, KdcError>, now: Now) {
        let Some(Work { step: Step::Keys(mut asked), deadline, .. }) = self.work.remove(ticket) else {
            return;
        };
        if result.is_ok() {
            self.figures.keys_came(deadline, KEY_TIMEOUT, now.mono);
        }
        match result {
            Ok(mut keys) => {
                if let Some(unfinished) = asked.unfinished.take() {
                    match keys.exchange.take().map_or_else(|| unfinished.finish(), Ok) {
                        Ok(exchange) => asked.exchange = Some(exchange),
                        Err(error) => {
                            let (code, detail) = refused(error);
                            return self.deny(&asked, code, detail, now);
                        }
                    }
                }
                self.bind(*asked, Some(keys), now);
            }
            Err(KdcError::Unavailable(why)) => {
                self.count("key distribution centre unavailable");
                let event = Event::new(EventKind::Denied, format!("no keys: {why}"));
                self.notify(event.of(asked.identification));
                self.deny(&asked, Code::HA_UNSPECIFIED, Some(DetailCode::KDC_UNAVAILABLE), now);
            }
            Err(KdcError::Refused(why)) => {
                let why = format!("the key distribution centre refuses: {why}");
                self.notify(Event::new(EventKind::Denied, why).of(asked.identification));
                self.deny(&asked, Code::HA_PROHIBITED, None, now);
            }
        }
    }

    /// All ends make their keys by themselves.
    pub(super) fn without_keys(&mut self, mut asked: Asked, now: Now) {
        match asked.unfinished.take().map(|unfinished| unfinished.finish()).transpose() {
            Ok(exchange) => {
                asked.exchange = exchange;
                self.bind(asked, Some(Keys::default()), now);
            }
            Err(error) => {
                let (code, detail) = refused(error);
                self.deny(&asked, code, detail, now);
            }
        }
    }

    /// Binds with keys, or without for a node without our extensions.
    pub(super) fn bind(&mut self, mut asked: Asked, keys: Option<Keys>, now: Now) {
        let unix = now.unix.as_secs();
        if self.is_revoked(&asked) {
            return self
                .discard("revoked meanwhile", "its foreign agent revoked a registration before it began");
        }
        let infos = keys.map_or_else(|| Some(KeyInfos::default()), |k| asked.key_infos(k, &self.name));
        let Some(infos) = infos else {
            self.discard("key distribution centre broken", "the key distribution centre gave too few keys");
            return;
        };
        if !self.still_has(&asked.who.nai, asked.home_address) {
            return self
                .discard("overtaken", "its subscriber, or his home address, changed while keys were made");
        }
        // Another registration may have come first while the keys were made.
        if self.too_many(&asked) {
            return self.deny(&asked, Code::HA_TOO_MANY_BINDINGS, None, now);
        }
        let beside = self.keeps_others(&asked);
        let key3 = infos.fingerprint_of_key3();
        let (for_reply, ours) = infos.split();
        let Some(new) = self.own_associations(&asked, ours, unix) else {
            return self
                .discard("key distribution centre broken", "keys that do not belong to what was agreed on");
        };
        asked.agreed.replies = Self::answers(&asked);
        let reply = Reply {
            code: if asked.simultaneous && !beside { Code::ACCEPTED_NO_SIMULTANEOUS } else { Code::ACCEPTED },
            lifetime: asked.lifetime,
            detail: None,
            keys: Some(for_reply),
        };
        let Some((transmit, repeat)) = self.reply(&asked, reply, now) else {
            return;
        };
        let mut event = Event::new(EventKind::BindingAdded, "").of(asked.identification);
        event.keys = Vec::with_capacity(3);
        event.keys.extend(new.iter().map(EventKey::of).chain(key3));
        event.negotiations = Self::negotiated(&asked);
        self.tell_legacy(&asked);
        let standing: Vec<_> = self.standing_bindings(asked.home_address).collect();
        let binding = Binding {
            nai: asked.who.nai.clone(),
            home_address: asked.home_address,
            care_of: asked.care_of,
            tunnel: asked.tunnel,
            reverse_tunnel: asked.reverse_tunnel,
            broadcasts: asked.broadcasts,
            revocation: Self::supported(&asked),
            foreign_agent: asked.serving_agent().map(|a| a.nai.clone()),
            lifetime: asked.lifetime,
            granted: unix,
            associations: self.change_over(&asked, &standing, new, now),
        };
        let (told, sequel) = self.replacing(&binding, &standing, beside, now);
        let change = if beside { Change::AddBinding } else { Change::PutBinding };
        let mut changes = self.addresses.to_commit(&asked.who.nai);
        // The copy, which takes no more than it needs, is the one that stays.
        let step = Step::Bind { binding: Box::new(binding.duplicate()), beside, event };
        changes.push(change(binding));
        changes.extend(told);
        if let Some(ticket) = self.commit(&asked, changes, step, Some((transmit, repeat))) {
            self.then(ticket, sequel);
        }
    }

    /// KEY 1 and KEY 2 as we keep them.
    fn own_associations(&self, asked: &Asked, infos: Vec<KeyInfo>, unix: u64) -> Option<Vec<Association>> {
        let made = |info: KeyInfo| {
            let kind = info.kind;
            let peer = Arc::clone(&info.peer);
            let initiator_address =
                if kind == AssociationKind::Key1 { asked.home_address } else { asked.care_of };
            let ends = Ends {
                initiator: &peer,
                responder: &self.name,
                initiator_address,
                responder_address: self.config.address,
            };
            let own = self.own_part(asked, kind, ends)?;
            info.into_association(asked.agreed.suite(kind), own, unix)
        };
        infos.into_iter().map(made).collect()
    }

    /// True if other bindings of this mobile node stay beside the one that it asks for (RFC 5944 section 3.8.2.2).
    pub(super) const fn keeps_others(&self, asked: &Asked) -> bool {
        asked.simultaneous && self.config.max_simultaneous_bindings > 1
    }

    /// True if that would be more than it may have.
    pub(super) fn too_many(&self, asked: &Asked) -> bool {
        if !self.keeps_others(asked) {
            return false;
        }
        let mut standing = self.standing(asked.home_address);
        standing.insert(asked.care_of);
        standing.len() > self.config.max_simultaneous_bindings
    }

    /// Care-of addresses at which a home address is bound once all that was sent to the store is committed.
    fn standing(&self, home_address: Ipv4Addr) -> BTreeSet<Ipv4Addr> {
        self.standing_bindings(home_address).map(|binding| binding.care_of).collect()
    }

    /// Answers a request that is denied: the identification is recorded all the same.
    pub(super) fn deny(&mut self, asked: &Asked, code: Code, detail: Option<DetailCode>, now: Now) {
        self.count_denial(&asked.who, code, now);
        let why = detail.map_or_else(|| code.to_string(), |d| format!("{code} ({})", d.meaning()));
        let mut event = Event::new(EventKind::Denied, why).of(asked.identification);
        event.code = Some(code.0);
        event.agent = asked.agent.as_ref().map(|a| a.nai.to_string());
        event.home_address = Some(asked.home_address);
        self.notify(event);
        let reply = Reply { code, lifetime: 0, detail, keys: None };
        let Some(reply) = self.reply(asked, reply, now) else {
            return;
        };
        self.commit(asked, Vec::new(), Step::Record, Some(reply));
    }

    /// Accepts a deregistration.
    pub(super) fn deregister(&mut self, asked: &Asked, now: Now) {
        let reply = Reply { code: Code::ACCEPTED, lifetime: 0, detail: None, keys: None };
        let Some(reply) = self.reply(asked, reply, now) else {
            return;
        };
        let (home_address, care_of) = (asked.home_address, asked.care_of);
        let all = care_of.is_unspecified() || care_of == home_address;
        let care_of = (!all).then_some(care_of);
        // Even where no binding stands: one may be on its way to the store, or another home agent's.
        let change = match care_of {
            Some(care_of) => Change::RemoveBinding { home_address, care_of },
            None => Change::RemoveBindings(home_address),
        };
        let step = Step::Unbind { home_address, care_of, returned: asked.returned, why: "deregistered" };
        let (told, sequel) = self.leaving(asked, now);
        let changes = std::iter::once(change).chain(told).collect();
        if let Some(ticket) = self.commit(asked, changes, step, Some(reply)) {
            self.then(ticket, sequel);
        }
    }

    /// Sends changes to the store with the compare-and-set on (subscriber, last identification).
    fn commit(
        &mut self,
        asked: &Asked,
        changes: Vec<Change>,
        step: Step,
        reply: Option<(Transmit, Repeat)>,
    ) -> Option<Ticket> {
        let (who, identification) = (&asked.who, asked.recorded());
        let known = self.known.of_mut(who)?;
        let late = |s: Identification| identification.0.wrapping_sub(s.0).cast_signed() <= 0;
        if known.comparable && !known.has_nonces() && known.sent.is_some_and(late) {
            // A later request of the same mobile node overtook this one while its keys were made.
            self.count("overtaken");
            return None;
        }
        let previous = known.sent.replace(identification).map(|i| i.0);
        known.window = (asked.generation, asked.index);
        known.comparable = true;
        let mut all = Vec::with_capacity(1 + changes.len());
        all.push(Change::Identification {
            nai: who.nai.clone(),
            previous,
            next: identification.0,
            generation: asked.generation,
            index: asked.index,
        });
        all.extend(changes);
        let ticket = self.ticket();
        let of = Some((who.clone(), identification));
        let origin = Some(Origin::of(asked));
        self.work.insert(ticket, Work { deadline: None, step, of, reply, origin });
        self.outbox.effect(Effect::Persist { ticket, changes: all });
        Some(ticket)
    }

    /// The store has answered.
    pub(super) fn persisted(&mut self, ticket: Ticket, result: Result<(), CommitError>, now: Now) {
        let Some(work) = self.work.remove(ticket) else {
            return;
        };
        if let Err(error) = result {
            self.not_persisted(work, &error, now);
            self.failed(ticket, &error.to_string());
            return;
        }
        if let Some((who, identification)) = &work.of
            && let Some(known) = self.known.of_mut(who)
        {
            known.stored = Some(*identification);
            if work.reply.is_some() && matches!(work.step, Step::Bind { .. } | Step::Unbind { .. }) {
                known.accepted(now);
            }
        }
        if work.of.is_some() && work.reply.is_some() {
            match &work.step {
                Step::Bind { .. } => {
                    self.figures.registered(now);
                    self.count("registrations accepted");
                }
                Step::Unbind { .. } => self.count("deregistrations accepted"),
                Step::Exchange(_) | Step::Keys(_) | Step::Record | Step::Subscribers(_) => {}
            }
        }
        match work.step {
            Step::Exchange(_) | Step::Keys(_) | Step::Record => {}
            Step::Bind { binding, beside, event } => self.bound(*binding, beside, event, now),
            Step::Unbind { home_address, care_of, returned, why } => {
                self.unbind(home_address, care_of, returned, why);
            }
            Step::Subscribers(batch) => self.taken_over(batch, now),
        }
        if let Some((transmit, repeat)) = work.reply {
            if let Some(known) = work.of.and_then(|(who, _)| self.known.of_mut(&who)) {
                known.repeat = Some(repeat);
            }
            self.outbox.send(transmit);
        }
        self.succeeded(ticket, now);
    }

    /// No tunnel, no reply: the mobile node asks again. What the store holds is what it held.
    fn not_persisted(&mut self, work: Work, error: &CommitError, now: Now) {
        if let Some((who, identification)) = &work.of
            && let Some(known) = self.known.of_mut(who)
            && known.sent == Some(*identification)
        {
            known.sent = known.stored;
        }
        let mut whose = work.of.map(|(who, _)| who.nai);
        match work.step {
            Step::Unbind { home_address, care_of, .. } if whose.is_none() => {
                let meant = |b: &&Binding| care_of.is_none_or(|care_of| care_of == b.care_of);
                let bindings = self.bindings.of(home_address).filter(meant);
                let ended: Vec<_> = bindings.map(|b| (id_of(b), b.nai.clone())).collect();
                for (id, nai) in ended {
                    self.bindings.look_again(id, now.mono + AGAIN);
                    whose = Some(nai);
                }
            }
            Step::Subscribers(batch) => self.not_taken_over(batch, now),
            _ => {}
        }
        if *error == CommitError::Conflict
            && let Some(nai) = whose
            && let Some(known) = self.known.named(&nai)
        {
            let nai = known.subscriber.nai.clone();
            self.outbox.effect(Effect::Refresh { nai });
        }
        self.count("not committed");
        self.notify(Event::new(EventKind::Discarded, format!("nothing was answered: {error}")));
    }

    /// Another home agent on the same store was quicker. What it wrote counts: replays are measured against it, and a
    /// binding that it made is its to serve, so ours of that mobile node is taken down.
    pub(super) fn refreshed(
        &mut self,
        nai: &Nai,
        seen: Option<Seen>,
        (bindings, assigned): (&[Binding], Option<Ipv4Addr>),
        now: Now,
    ) {
        let window = self.config.timestamp_window;
        // Whoever was quicker has left what he saw: without it the store could not be read, and nothing is known.
        let (Some(known), Some(seen)) = (self.known.named_mut(nai), seen) else {
            return;
        };
        let stored = Identification(seen.identification);
        let above = |s: Identification| stored.0.wrapping_sub(s.0).cast_signed() > 0;
        known.stored = Some(stored);
        known.sent = Some(stored);
        known.window = (seen.generation, seen.index);
        known.comparable = known.compares(&seen, now.unix.as_secs(), window);
        if known.comparable && (known.has_nonces() || known.seen.is_none_or(above)) {
            known.seen = Some(stored);
        }
        let home_address = self.known.named(nai).map(|known| self.home_address_of(&known.subscriber));
        self.move_window_of(nai, seen.generation, seen.index);
        self.addresses.refresh(nai, assigned);
        let Some(home_address) = home_address else { return };
        self.compare(home_address, bindings, now);
    }

    /// Makes ours what the store says. One home agent at a time answers ARP for a home address: where another one has
    /// added a binding to ours, who has not the newest ends its own.
    fn compare(&mut self, home_address: Ipv4Addr, stored: &[Binding], now: Now) {
        let why = "another home agent serves it, or ended it";
        let told = |b: &Binding| {
            (b.granted, b.care_of, b.associations.iter().map(|a| a.inbound).collect::<Vec<_>>())
        };
        let held: BTreeSet<_> = stored.iter().map(told).collect();
        let ours: BTreeSet<_> = self.bindings.of(home_address).map(told).collect();
        let newest_is_ours = held.last().is_none_or(|newest| ours.contains(newest));
        for (_, care_of, _) in ours.difference(&held) {
            self.unbind(home_address, Some(*care_of), None, why);
        }
        if held.is_subset(&ours) {
            self.elsewhere.remove(&home_address);
            return;
        }
        self.elsewhere.insert(home_address);
        for (_, care_of, _) in ours.intersection(&held).filter(|_| !newest_is_ours) {
            self.end((home_address, *care_of), why, now);
        }
    }

    fn bound(&mut self, binding: Binding, beside: bool, mut event: Event, now: Now) {
        let home_address = binding.home_address;
        self.addresses.committed(&binding.nai);
        event.home_address = Some(home_address);
        event.care_of = Some(binding.care_of);
        event.agent = binding.foreign_agent.as_deref().map(str::to_owned);
        event.lifetime = Some(binding.lifetime);
        event.encapsulation = Some(binding.tunnel.name());
        event.code = Some(0);
        let through = binding.foreign_agent.as_deref().unwrap_or("a co-located care-of address");
        event.text = format!("{} is at {} through {through}", binding.nai, binding.care_of);
        self.unwanted(id_of(&binding));
        for left in self.replace(binding, beside, now) {
            self.unwanted(id_of(&left));
            event.text.push_str(&format!(", no longer at {}", left.care_of));
        }
        let others = beside.then(|| self.bindings.of(home_address)).into_iter().flatten();
        for other in others.filter(|b| Some(b.care_of) != event.care_of) {
            event.text.push_str(&format!(", still at {}", other.care_of));
        }
        self.count("code 0");
        self.notify(event);
        self.renewed(home_address);
        self.meter(home_address);
    }

    /// Puts a binding that was committed in the place of others, or beside them if the mobile node asked for that.
    /// Hands back those at other care-of addresses that ended so: the mobile node moved.
    fn replace(&mut self, binding: Binding, beside: bool, now: Now) -> Vec<Binding> {
        let (home_address, care_of) = id_of(&binding);
        if !beside {
            self.elsewhere.remove(&home_address);
        }
        let mut left = self.bindings.replace(Bound::granted(binding, now), beside);
        left.retain(|before| before.care_of != care_of);
        self.retunnel(home_address, None);
        left
    }

    /// Tells where packets of a home address go now.
    fn retunnel(&mut self, home_address: Ipv4Addr, returned: Option<LinkAddress>) {
        let tunnels = self.bindings.tunnels(home_address);
        let change = if tunnels.is_empty() {
            TunnelChange::Unbind { home_address, returned }
        } else {
            TunnelChange::Bind { home_address, tunnels }
        };
        self.outbox.effect(Effect::Tunnel(change));
    }

    /// Takes a binding down, or all of a home address if no care-of address is named: what was committed is done.
    pub(super) fn unbind(
        &mut self,
        home_address: Ipv4Addr,
        care_of: Option<Ipv4Addr>,
        returned: Option<LinkAddress>,
        why: &str,
    ) {
        let gone = match care_of {
            Some(care_of) => self.bindings.remove((home_address, care_of)).into_iter().collect(),
            None => self.bindings.remove_all(home_address),
        };
        if gone.is_empty() {
            return;
        }
        self.retunnel(home_address, returned);
        for binding in gone {
            self.unwanted(id_of(&binding));
            // What was granted is not granted any more: the same request again would be told so.
            if let Some(known) = self.known.named_mut(&binding.nai) {
                known.repeat = None;
            }
            let mut event = Event::new(EventKind::BindingRemoved, format!("{}: {why}", binding.nai));
            event.home_address = Some(home_address);
            event.care_of = Some(binding.care_of);
            event.agent = binding.foreign_agent.as_deref().map(str::to_owned);
            self.notify(event);
        }
        if self.bindings.of(home_address).next().is_none() {
            self.not_renewed(home_address);
        }
    }

    /// Removes a binding by our own will: commit first, then take it down. Not while a new one with the same
    /// care-of address is on its way to the store, which would be removed in its place: then it is looked at again.
    fn end(&mut self, id: BindingId, why: &'static str, now: Now) {
        if self.renewing(id) {
            return self.bindings.look_again(id, now.mono + AGAIN);
        }
        self.end_with(id, why, Default::default());
    }

    /// True if a new binding with these addresses is on its way to the store.
    pub(super) fn renewing(&self, id: BindingId) -> bool {
        self.work
            .at(id.0)
            .any(|work| matches!(&work.step, Step::Bind { binding, .. } if id_of(binding) == id))
    }

    /// Where new bindings are on their way to.
    pub(super) fn arriving_at(&self) -> impl Iterator<Item = BindingId> {
        self.work.values().filter_map(|work| match &work.step {
            Step::Bind { binding, .. } => Some(id_of(binding)),
            _ => None,
        })
    }

    /// What the store holds of a home address once it has done all that it was given.
    pub(super) fn standing_bindings(&self, home_address: Ipv4Addr) -> impl Iterator<Item = &Binding> {
        // Mostly the store has done it all.
        let done = self.work.at(home_address).next().is_none();
        let now = done.then(|| self.bindings.of(home_address));
        let then = (!done).then(|| self.bindings_to_stand(home_address));
        now.into_iter().flatten().chain(then.into_iter().flatten())
    }

    fn bindings_to_stand(&self, home_address: Ipv4Addr) -> impl Iterator<Item = &Binding> {
        let mut standing: BTreeMap<_, _> =
            self.bindings.of(home_address).map(|binding| (binding.care_of, binding)).collect();
        for work in self.work.at(home_address) {
            match &work.step {
                Step::Bind { binding, beside, .. } if binding.home_address == home_address => {
                    if !beside {
                        standing.clear();
                    }
                    standing.insert(binding.care_of, binding);
                }
                Step::Unbind { home_address: of, care_of, .. } if *of == home_address => {
                    standing.retain(|standing, _| care_of.is_some_and(|care_of| care_of != *standing));
                }
                Step::Bind { .. }
                | Step::Unbind { .. }
                | Step::Exchange(_)
                | Step::Keys(_)
                | Step::Record
                | Step::Subscribers(_) => {}
            }
        }
        standing.into_values()
    }

    /// Refuses the changes beside it if another home agent has heard of the mobile node since: what stands at its home
    /// address may be that one's binding.
    pub(super) fn guard(&self, id: BindingId) -> Option<Change> {
        let nai = &self.bindings.find(id)?.binding.nai;
        let known = self.known.named(nai)?;
        let sent = known.sent?.0;
        let (generation, index) = known.window;
        Some(Change::Identification { nai: nai.clone(), previous: Some(sent), next: sent, generation, index })
    }

    /// True if this request of the subscriber still waits for keys or for its commit.
    pub(super) fn in_progress(&self, who: &Who, identification: Identification) -> bool {
        self.work.of(who).any(|waiting| waiting == identification)
    }

    /// Ends bindings whose lifetime is over and gives up requests whose keys never came.
    pub(super) fn expire(&mut self, now: Now) {
        self.bindings.erase(now.mono);
        for id in self.bindings.take_due(now.mono) {
            let ends = self.bindings.find(id).and_then(|bound| bound.ends);
            match self.wanted(id) {
                _ if ends.is_some_and(|ends| ends <= now.mono) => self.end(id, "its lifetime is over", now),
                Some(why) => self.revoke(id, why, now),
                None => self.bindings.stays(id),
            }
        }
        while let Some(ticket) = self.work.late(now.mono) {
            self.keys(ticket, Err(KdcError::Unavailable("it did not answer in time".into())), now);
        }
    }
}
