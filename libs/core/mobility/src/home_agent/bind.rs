//! From keys to a committed binding: the second half of a registration.

use std::{net::Ipv4Addr, time::Duration};

use record::{Association, Binding, Change, CommitError, Nai, Seen};
use sansio::{Instant, LinkAddress, Now, Transmit};
use wire::mip::{
    code::{Code, DetailCode},
    registration::Identification,
};

use super::{
    Effect, HomeAgent, KdcError, Keys, TunnelChange,
    answer::{KeyInfos, Repeat, Reply},
    bindings::Bound,
    intake::Asked,
    subscribers::Batch,
};
use crate::{Event, EventKey, EventKind, Ticket};

/// How long keys are waited for before the request is given up; the mobile node has asked anew by then.
const KEY_TIMEOUT: Duration = Duration::from_secs(10);

/// When a binding that could not be removed is looked at again.
pub(super) const AGAIN: Duration = Duration::from_secs(1);

/// What to do once the store has answered.
pub(super) enum Step {
    /// Keys are awaited.
    Keys(Box<Asked>),
    /// The binding is being committed.
    Bind { binding: Box<Binding>, event: Event },
    /// The removal of a binding is being committed, for a deregistration or at its end.
    Unbind { home_address: Ipv4Addr, returned: Option<LinkAddress>, why: &'static str },
    /// Only the identification is being committed.
    Record,
    /// Subscribers are being committed.
    Subscribers(Batch),
}

/// A piece of work in progress.
pub(super) struct Work {
    pub(super) deadline: Option<Instant>,
    step: Step,
    /// Whose, and with which identification.
    pub(super) of: Option<(Nai, Identification)>,
    reply: Option<(Transmit, Repeat)>,
}

impl Work {
    pub(super) const fn subscribers(batch: Batch) -> Self {
        Self { deadline: None, step: Step::Subscribers(batch), of: None, reply: None }
    }

    /// The removal of a binding that nobody asked for by a request.
    pub(super) const fn ending(home_address: Ipv4Addr, why: &'static str) -> Self {
        let step = Step::Unbind { home_address, returned: None, why };
        Self { deadline: None, step, of: None, reply: None }
    }

    /// Something that nothing follows from.
    pub(super) const fn unwaited() -> Self {
        Self { deadline: None, step: Step::Record, of: None, reply: None }
    }

    pub(super) fn awaiting(asked: Asked, now: Now) -> Self {
        let of = Some((asked.nai.clone(), asked.identification));
        Self { deadline: Some(now.mono + KEY_TIMEOUT), step: Step::Keys(Box::new(asked)), of, reply: None }
    }
}

impl HomeAgent {
    /// Keys, or none, for a request that waits for them.
    pub(super) fn keys(&mut self, ticket: Ticket, result: Result<Keys, KdcError>, now: Now) {
        let Some(Work { step: Step::Keys(asked), .. }) = self.work.remove(&ticket) else {
            return;
        };
        match result {
            Ok(keys) => self.bind(*asked, Some(keys), now),
            Err(KdcError::Unavailable(why)) => {
                self.count("key distribution centre unavailable");
                self.notify(Event::new(EventKind::Denied, format!("no keys: {why}")));
                self.deny(&asked, Code::HA_UNSPECIFIED, Some(DetailCode::KDC_UNAVAILABLE), now);
            }
            Err(KdcError::Refused(why)) => {
                self.notify(Event::new(
                    EventKind::Denied,
                    format!("the key distribution centre refuses: {why}"),
                ));
                self.deny(&asked, Code::HA_PROHIBITED, None, now);
            }
        }
    }

    /// Binds with keys, or without for a node without our extensions.
    pub(super) fn bind(&mut self, asked: Asked, keys: Option<Keys>, now: Now) {
        let unix = now.unix.as_secs();
        if self.is_revoked(&asked) {
            return self
                .discard("revoked meanwhile", "its foreign agent revoked a registration before it began");
        }
        let infos = keys.map_or_else(|| Some(KeyInfos::default()), |k| asked.key_infos(k, &self.config.nai));
        let Some(infos) = infos else {
            self.discard("key distribution centre broken", "the key distribution centre gave too few keys");
            return;
        };
        let reply = Reply {
            code: if asked.simultaneous { Code::ACCEPTED_NO_SIMULTANEOUS } else { Code::ACCEPTED },
            lifetime: asked.lifetime,
            detail: None,
            keys: infos.for_reply(),
        };
        let Some((transmit, repeat)) = self.reply(&asked, reply, now) else {
            return;
        };
        let key3 = infos.fingerprint_of_key3();
        let new: Vec<Association> =
            infos.at_home_agent.into_iter().map(|info| info.into_association(unix)).collect();
        let mut event = Event::new(EventKind::BindingAdded, "");
        event.keys = new.iter().map(EventKey::of).chain(key3).collect();
        let binding = Binding {
            nai: asked.nai.clone(),
            home_address: asked.home_address,
            care_of: asked.care_of,
            tunnel: asked.tunnel,
            reverse_tunnel: asked.reverse_tunnel,
            broadcasts: asked.broadcasts,
            revocation: Self::supported(&asked),
            foreign_agent: asked.serving_agent().map(|a| a.nai.clone()),
            lifetime: asked.lifetime,
            granted: unix,
            associations: self.change_over(&asked, new, now),
        };
        let (told, sequel) = self.replacing(&binding, now);
        let changes = std::iter::once(Change::PutBinding(binding.duplicate())).chain(told).collect();
        let step = Step::Bind { binding: Box::new(binding), event };
        if let Some(ticket) = self.commit(&asked, changes, step, Some((transmit, repeat))) {
            self.then(ticket, sequel);
        }
    }

    /// Answers a request that is denied: the identification is recorded all the same.
    pub(super) fn deny(&mut self, asked: &Asked, code: Code, detail: Option<DetailCode>, now: Now) {
        self.count(format!("code {}", code.0));
        let why = detail.map_or_else(|| code.to_string(), |d| format!("{code} ({})", d.meaning()));
        let mut event = Event::new(EventKind::Denied, why);
        event.code = Some(code.0);
        event.agent = asked.agent.as_ref().map(|a| a.nai.clone());
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
        // Also one that is on its way to the store, and one of another home agent.
        let elsewhere = self.elsewhere.get(&asked.home_address).copied();
        let current = self.standing_bindings(asked.home_address).next().map(|b| b.care_of).or(elsewhere);
        let all = asked.care_of.is_unspecified() || asked.care_of == asked.home_address;
        let (changes, step) = if current.is_some_and(|c| all || c == asked.care_of) {
            let step = Step::Unbind {
                home_address: asked.home_address,
                returned: asked.returned,
                why: "deregistered",
            };
            (vec![Change::RemoveBinding(asked.home_address)], step)
        } else {
            (Vec::new(), Step::Record)
        };
        let (told, sequel) = self.leaving(asked, now);
        let changes = changes.into_iter().chain(told).collect();
        if let Some(ticket) = self.commit(asked, changes, step, Some(reply)) {
            self.then(ticket, sequel);
        }
    }

    /// Sends changes to the store with the compare-and-set on (subscriber, last identification).
    fn commit(
        &mut self,
        asked: &Asked,
        mut changes: Vec<Change>,
        step: Step,
        reply: Option<(Transmit, Repeat)>,
    ) -> Option<Ticket> {
        let (nai, identification) = (&asked.nai, asked.recorded());
        let known = self.known.get_mut(nai)?;
        let late = |s: Identification| identification.0.wrapping_sub(s.0).cast_signed() <= 0;
        if known.comparable && !known.has_nonces() && known.sent.is_some_and(late) {
            // A later request of the same mobile node overtook this one while its keys were made.
            self.count("overtaken");
            return None;
        }
        let previous = known.sent.replace(identification).map(|i| i.0);
        known.window = (asked.generation, asked.index);
        known.comparable = true;
        changes.insert(
            0,
            Change::Identification {
                nai: nai.clone(),
                previous,
                next: identification.0,
                generation: asked.generation,
                index: asked.index,
            },
        );
        let ticket = self.ticket();
        let of = Some((nai.clone(), identification));
        self.work.insert(ticket, Work { deadline: None, step, of, reply });
        self.outbox.effect(Effect::Persist { ticket, changes });
        Some(ticket)
    }

    /// The store has answered.
    pub(super) fn persisted(&mut self, ticket: Ticket, result: Result<(), CommitError>, now: Now) {
        let Some(work) = self.work.remove(&ticket) else {
            return;
        };
        if let Err(error) = result {
            self.not_persisted(work, &error, now);
            self.failed(ticket, &error.to_string());
            return;
        }
        if let Some((nai, identification)) = &work.of
            && let Some(known) = self.known.get_mut(nai)
        {
            known.stored = Some(*identification);
        }
        match work.step {
            Step::Keys(_) | Step::Record => {}
            Step::Bind { binding, event } => self.bound(*binding, event, now),
            Step::Unbind { home_address, returned, why } => self.unbind(home_address, returned, why),
            Step::Subscribers(batch) => self.taken_over(batch, now),
        }
        if let Some((transmit, repeat)) = work.reply {
            if let Some(known) = work.of.and_then(|(nai, _)| self.known.get_mut(&nai)) {
                known.repeat = Some(repeat);
            }
            self.outbox.send(transmit);
        }
        self.succeeded(ticket, now);
    }

    /// No tunnel, no reply: the mobile node asks again. What the store holds is what it held.
    fn not_persisted(&mut self, work: Work, error: &CommitError, now: Now) {
        if let Some((nai, identification)) = &work.of
            && let Some(known) = self.known.get_mut(nai)
            && known.sent == Some(*identification)
        {
            known.sent = known.stored;
        }
        let mut whose = work.of.map(|(nai, _)| nai);
        match work.step {
            Step::Unbind { home_address, .. } if whose.is_none() => {
                self.bindings.look_again(home_address, now.mono + AGAIN);
                whose = self.bindings.find(home_address).map(|bound| bound.binding.nai.clone());
            }
            Step::Subscribers(batch) => self.not_taken_over(batch, now),
            _ => {}
        }
        if *error == CommitError::Conflict
            && let Some(nai) = whose
            && let Some(known) = self.known.get(&nai)
        {
            let home_address = known.subscriber.home_address;
            self.outbox.effect(Effect::Refresh { nai, home_address });
        }
        self.discard("not committed", format!("nothing was answered: {error}"));
    }

    /// Another home agent on the same store was quicker. What it wrote counts: replays are measured against it, and a
    /// binding that it made is its to serve, so ours of that mobile node is taken down.
    pub(super) fn refreshed(&mut self, nai: &Nai, seen: Option<Seen>, binding: Option<Binding>, now: Now) {
        let window = self.config.timestamp_window;
        // Whoever was quicker has left what he saw: without it the store could not be read, and nothing is known.
        let (Some(known), Some(seen)) = (self.known.get_mut(nai), seen) else {
            return;
        };
        let home_address = known.subscriber.home_address;
        let stored = Identification(seen.identification);
        let above = |s: Identification| stored.0.wrapping_sub(s.0).cast_signed() > 0;
        known.stored = Some(stored);
        known.sent = Some(stored);
        known.window = (seen.generation, seen.index);
        known.comparable = known.compares(&seen, now.unix.as_secs(), window);
        if known.comparable && (known.has_nonces() || known.seen.is_none_or(above)) {
            known.seen = Some(stored);
        }
        self.move_window(nai, seen.generation, seen.index);
        let ours = self.bindings.find(home_address).map(|bound| &bound.binding);
        let same = |ours: &Binding| {
            binding.as_ref().is_some_and(|b| {
                let spis = |b: &Binding| b.associations.iter().map(|a| a.inbound).collect::<Vec<_>>();
                (b.care_of, b.granted) == (ours.care_of, ours.granted) && spis(b) == spis(ours)
            })
        };
        let kept = ours.is_some_and(same);
        let replaced = ours.is_some() && !kept;
        match binding.filter(|_| !kept) {
            Some(theirs) => self.elsewhere.insert(home_address, theirs.care_of),
            None => self.elsewhere.remove(&home_address),
        };
        if replaced {
            self.unbind(home_address, None, "another home agent serves it, or ended it");
        }
    }

    fn bound(&mut self, binding: Binding, mut event: Event, now: Now) {
        let home_address = binding.home_address;
        event.home_address = Some(home_address);
        event.care_of = Some(binding.care_of);
        event.agent.clone_from(&binding.foreign_agent);
        event.lifetime = Some(binding.lifetime);
        event.encapsulation = Some(binding.tunnel.name());
        event.code = Some(0);
        let through = binding.foreign_agent.as_deref().unwrap_or("a co-located care-of address");
        event.text = format!("{} is at {} through {through}", binding.nai, binding.care_of);
        self.outbox.effect(Effect::Tunnel(TunnelChange::Bind {
            home_address,
            tunnel: binding.tunnel,
            broadcasts: binding.broadcasts,
            served: binding.foreign_agent.is_some(),
        }));
        self.elsewhere.remove(&home_address);
        self.unwanted(home_address);
        self.bindings.insert(Bound::granted(binding, now));
        self.count("code 0");
        self.notify(event);
    }

    /// Takes a binding down: what was committed is done.
    pub(super) fn unbind(&mut self, home_address: Ipv4Addr, returned: Option<LinkAddress>, why: &str) {
        self.unwanted(home_address);
        let Some(binding) = self.bindings.remove(home_address) else {
            return;
        };
        // What was granted is not granted any more: the same request again would be told so.
        if let Some(known) = self.known.get_mut(&binding.nai) {
            known.repeat = None;
        }
        self.outbox.effect(Effect::Tunnel(TunnelChange::Unbind { home_address, returned }));
        let mut event = Event::new(EventKind::BindingRemoved, format!("{}: {why}", binding.nai));
        event.home_address = Some(home_address);
        event.care_of = Some(binding.care_of);
        event.agent = binding.foreign_agent;
        self.notify(event);
    }

    /// Removes a binding by our own will: commit first, then take it down. Not while a new one of the same
    /// home address is on its way to the store, which would be removed in its place: then it is looked at again.
    fn end(&mut self, home_address: Ipv4Addr, why: &'static str, now: Now) {
        if self.renewing(home_address) {
            return self.bindings.look_again(home_address, now.mono + AGAIN);
        }
        self.end_with(home_address, why, Default::default());
    }

    /// Bindings that are on their way to the store.
    fn arriving(&self) -> impl Iterator<Item = &Binding> {
        self.work.values().filter_map(|work| match &work.step {
            Step::Bind { binding, .. } => Some(&**binding),
            _ => None,
        })
    }

    /// True if a new binding of this home address is on its way to the store.
    pub(super) fn renewing(&self, home_address: Ipv4Addr) -> bool {
        self.arriving().any(|binding| binding.home_address == home_address)
    }

    /// Where new bindings are on their way to: home address and care-of address.
    pub(super) fn arriving_at(&self) -> Vec<(Ipv4Addr, Ipv4Addr)> {
        self.arriving().map(|binding| (binding.home_address, binding.care_of)).collect()
    }

    /// What the store holds of a home address once it has done all that it was given, except for what is being
    /// removed.
    pub(super) fn standing_bindings(&self, home_address: Ipv4Addr) -> impl Iterator<Item = &Binding> {
        let arriving = self.arriving().filter(|b| b.home_address == home_address).last();
        let ending = self.bindings.is_ending(home_address);
        let bound = self.bindings.find(home_address).filter(|_| !ending).map(|bound| &bound.binding);
        arriving.or(bound).into_iter()
    }

    /// Refuses the changes beside it if another home agent has heard of the mobile node since: what stands at its home
    /// address may be that one's binding.
    pub(super) fn guard(&self, home_address: Ipv4Addr) -> Option<Change> {
        let nai = &self.bindings.find(home_address)?.binding.nai;
        let known = self.known.get(nai)?;
        let sent = known.sent?.0;
        let (generation, index) = known.window;
        Some(Change::Identification { nai: nai.clone(), previous: Some(sent), next: sent, generation, index })
    }

    /// True if this request of the subscriber still waits for keys or for its commit.
    pub(super) fn in_progress(&self, nai: &Nai, identification: Identification) -> bool {
        self.work.values().any(|w| w.of.as_ref().is_some_and(|(n, i)| n == nai && *i == identification))
    }

    /// Ends bindings whose lifetime is over and gives up requests whose keys never came.
    pub(super) fn expire(&mut self, now: Now) {
        self.bindings.erase(now.mono);
        for home_address in self.bindings.take_due(now.mono) {
            let ends = self.bindings.find(home_address).and_then(|bound| bound.ends);
            match self.wanted(home_address) {
                _ if ends.is_some_and(|ends| ends <= now.mono) => {
                    self.end(home_address, "its lifetime is over", now);
                }
                Some(why) => self.revoke(home_address, why, now),
                None => self.bindings.stays(home_address),
            }
        }
        let late: Vec<_> = self
            .work
            .iter()
            .filter(|(_, w)| w.deadline.is_some_and(|d| d <= now.mono))
            .map(|(t, _)| *t)
            .collect();
        for ticket in late {
            self.keys(ticket, Err(KdcError::Unavailable("it did not answer in time".into())), now);
        }
    }
}
