//! Subscribers as the key distribution centre hands them over.
//!
//! Changes go to the store one list at a time, in the order in which they came. A list that was refused is sent again
//! together with what came since: the number up to which all is durable never passes something that is not.

use std::{net::Ipv4Addr, time::Duration};

use record::{Change, Nai, RealmKey, Subscriber, SubscriberState};
use sansio::{Instant, Now};
use wire::mip::Spi;

use super::{
    Effect, HomeAgent, Known, Meter, bind::Work, bindings::id_of, counting::Counted, credential::Credential,
    revoke::Sequel, roster::Who,
};

/// When changes that the store refused are sent to it again.
const AGAIN: Duration = Duration::from_secs(1);

/// Changes of subscribers and realm keys, as they were handed over.
#[derive(Default)]
pub(super) struct Batch {
    /// New or changed ones.
    pub(super) changed: Vec<Subscriber>,
    /// New, changed or ended ones.
    pub(super) realm_keys: Vec<RealmKey>,
    /// All changes up to this number are included.
    pub(super) cursor: u64,
    /// What is not named does not exist any more.
    pub(super) complete: bool,
}

impl Batch {
    /// With what came later, which counts.
    fn then(mut self, later: Self) -> Self {
        if later.complete {
            return later;
        }
        self.changed.retain(|s| later.changed.iter().all(|l| l.nai != s.nai));
        self.realm_keys.retain(|k| later.realm_keys.iter().all(|l| l.id != k.id));
        self.changed.extend(later.changed);
        self.realm_keys.extend(later.realm_keys);
        Self { cursor: later.cursor, ..self }
    }
}

/// Changes on their way to the store.
#[derive(Default)]
pub(super) struct Following {
    committing: bool,
    waiting: Option<Batch>,
    again: Option<Instant>,
}

impl Following {
    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.again
    }

    /// True while something is on its way to the store.
    pub(super) const fn is_committing(&self) -> bool {
        self.committing
    }

    /// Home addresses of subscribers that wait for their turn.
    pub(super) fn coming(&self) -> impl Iterator<Item = Ipv4Addr> {
        let active = |s: &&Subscriber| s.state == SubscriberState::Active;
        self.waiting.iter().flat_map(|batch| &batch.changed).filter(active).map(|s| s.home_address)
    }
}

impl HomeAgent {
    /// Inserts or replaces a subscriber in memory; a revoked one is forgotten.
    pub(super) fn learn(&mut self, subscriber: Subscriber) {
        let nai = subscriber.nai.clone();
        let before = self.forget(&nai);
        if subscriber.state == SubscriberState::Revoked {
            return;
        }
        if !subscriber.home_address.is_unspecified() {
            self.addresses.enrolled(subscriber.home_address);
        }
        // Another way to keep replays out begins anew, under another KEY 0.
        let same_way = before.as_ref().is_none_or(|b| b.subscriber.plain == subscriber.plain);
        let comparable = same_way && before.as_ref().is_none_or(|b| b.comparable);
        let counted = before.as_ref().map_or_else(Counted::default, |before| before.counted);
        let (marks, before) = match before {
            Some(b) => ((b.seen.filter(|_| same_way), b.stored, b.sent, b.window), b.credentials),
            None => ((None, None, None, (subscriber.generation, 0)), Vec::new()),
        };
        let (seen, stored, sent, window) = marks;
        let mut credentials = Credential::all_of(&subscriber);
        for credential in &mut credentials {
            let same = before.iter().find(|b| b.generation == credential.generation);
            credential.set_highest(same.map_or(0, Credential::highest));
        }
        let number = self.names.enter(nai);
        credentials.iter().flat_map(Credential::indices).for_each(|spi| self.names.add(number, spi));
        let (repeat, refused, answers) = (None, Vec::new(), Meter::default());
        let known = Known {
            subscriber,
            number,
            credentials,
            seen,
            stored,
            sent,
            window,
            comparable,
            repeat,
            refused,
            answers,
            counted,
        };
        self.known.enter(known);
    }

    fn forget(&mut self, nai: &Nai) -> Option<Known> {
        let known = self.known.remove(nai)?;
        if !known.subscriber.home_address.is_unspecified() {
            self.addresses.free(known.subscriber.home_address);
        }
        let indices = known.credentials.iter().flat_map(Credential::indices);
        indices.for_each(|spi| self.names.remove(known.number, spi));
        self.names.leave(known.number);
        Some(known)
    }

    /// A request with the one-time index number `index` was authentic: the window moves up to it, never down.
    pub(super) fn move_window(&mut self, who: &Who, generation: u32, index: u64) {
        let Some(known) = self.known.of_mut(who) else {
            return;
        };
        let of_that_key = known.credentials.iter_mut().find(|c| c.generation == generation);
        if let Some(credential) = of_that_key {
            credential.move_up(index, |spi, enters| match enters {
                true => self.names.add(known.number, spi),
                false => self.names.remove(known.number, spi),
            });
        }
    }

    /// The same of whoever has that name.
    pub(super) fn move_window_of(&mut self, nai: &Nai, generation: u32, index: u64) {
        if let Some(number) = self.known.named(nai).map(|known| known.number) {
            self.move_window(&Who { nai: nai.clone(), number }, generation, index);
        }
    }

    /// Makes changed subscribers durable; they count from the commit on.
    pub(super) fn take_over(&mut self, batch: Batch, now: Now) {
        let before = self.following.waiting.take();
        self.following.waiting = Some(match before {
            Some(before) => before.then(batch),
            None => batch,
        });
        self.follow(now);
    }

    /// Sends what waits to the store, unless something is there already or was refused just now.
    pub(super) fn follow(&mut self, now: Now) {
        if self.following.committing || self.following.again.is_some_and(|again| again > now.mono) {
            return;
        }
        self.following.again = None;
        if let Some(batch) = self.following.waiting.take() {
            self.following.committing = true;
            self.commit_subscribers(batch, now);
        }
    }

    fn commit_subscribers(&mut self, batch: Batch, now: Now) {
        let Batch { changed, mut realm_keys, cursor, complete } = batch;
        let mut gone = Vec::new();
        if complete {
            let named = |nai: &Nai| changed.iter().any(|s| s.nai == *nai);
            gone.extend(self.known.iter().map(|k| &k.subscriber).filter(|s| !named(&s.nai)).map(|s| {
                let mut subscriber = s.duplicate();
                subscriber.state = SubscriberState::Revoked;
                subscriber
            }));
        }
        let changed: Vec<_> = changed.into_iter().chain(gone).collect();
        let mut changes: Vec<_> = changed.iter().map(|s| Change::PutSubscriber(s.duplicate())).collect();
        let mut sequel = Sequel::default();
        for home_address in changed.iter().filter_map(|subscriber| self.ended_by(subscriber)) {
            // Even where no binding stands: one may be on its way to the store before this.
            changes.push(Change::RemoveBindings(home_address));
            let (told, more) = self.ending(home_address, None, now);
            changes.extend(told);
            sequel.join(more);
        }
        for nai in changed.iter().flat_map(|subscriber| self.released_by(subscriber)) {
            changes.extend(self.addresses.of(&nai).map(Change::RemoveBindings));
            changes.push(Change::ReleaseAddress(nai));
        }
        if complete {
            let named = |id: Spi| realm_keys.iter().any(|key| key.id == id);
            let gone = self.realm.keys().filter(|key| !named(key.id));
            let gone: Vec<_> = gone.map(|key| RealmKey { ends: Some(0), ..key.duplicate() }).collect();
            realm_keys.extend(gone);
        }
        let unix = now.unix.as_secs();
        changes.extend(realm_keys.iter().map(|key| match key.ends {
            Some(ends) if ends <= unix => Change::RemoveRealmKey(key.id),
            _ => Change::PutRealmKey(key.duplicate()),
        }));
        changes.push(Change::SubscriberCursor(cursor));
        let ticket = self.ticket();
        self.work.insert(ticket, Work::subscribers(Batch { changed, realm_keys, cursor, complete }));
        self.then(ticket, sequel);
        self.outbox.effect(Effect::Persist { ticket, changes });
    }

    /// The store refused: the same again, with what came since.
    pub(super) fn not_taken_over(&mut self, batch: Batch, now: Now) {
        let later = self
            .following
            .waiting
            .take()
            .unwrap_or_else(|| Batch { cursor: batch.cursor, ..Batch::default() });
        self.following =
            Following { committing: false, waiting: Some(batch.then(later)), again: Some(now.mono + AGAIN) };
    }

    /// The changes are durable.
    pub(super) fn taken_over(&mut self, batch: Batch, now: Now) {
        let Batch { changed, realm_keys, cursor, .. } = batch;
        for key in realm_keys {
            if key.ends.is_some_and(|ends| ends <= now.unix.as_secs()) {
                self.realm.forget(key.id);
            } else {
                self.realm.learn(key);
            }
        }
        for subscriber in changed {
            if let Some(home_address) = self.ended_by(&subscriber) {
                self.unbind(home_address, None, None, "subscriber revoked");
            }
            for nai in self.released_by(&subscriber) {
                if let Some(home_address) = self.addresses.of(&nai) {
                    self.unbind(home_address, None, None, "its home address is another one's, or nobody's");
                }
                self.addresses.release(&nai);
            }
            self.learn(subscriber);
        }
        self.outbox.effect(Effect::Acknowledge(cursor));
        self.figures.visible();
        self.following.committing = false;
        self.follow(now);
    }

    /// The home address whose bindings end with this change: of a revoked subscriber, or of one that was
    /// revoked and enrolled again while we were away, which shows in another KEY 0, index or address.
    pub(super) fn ended_by(&self, changed: &Subscriber) -> Option<Ipv4Addr> {
        let before = self.known.named(&changed.nai).map(|known| &known.subscriber);
        let same = |before: &Subscriber| {
            let kept = before.key0 == changed.key0 && before.spi == changed.spi;
            // After a rotation with an overlap the binding stands: it was made under the key before.
            let rotated = changed.retiring.as_ref().is_some_and(|old| old.key0 == before.key0);
            (kept || rotated) && before.home_address == changed.home_address
        };
        let ended = match changed.state {
            SubscriberState::Revoked => Some(before.unwrap_or(changed)),
            SubscriberState::Active => before.filter(|b| !same(b)),
        };
        ended.map(|subscriber| self.home_address_of(subscriber)).filter(|a| !a.is_unspecified())
    }

    /// Ends the bindings that hold one of these indices inbound.
    pub(super) fn revoke_associations(&mut self, spis: &[Spi], now: Now) {
        for spi in spis {
            if let Some(id) = self.bindings.holder(*spi) {
                self.revoke(id, "its keys were revoked", now);
            }
        }
    }

    /// Ends the binding of a subscriber with this care-of address.
    pub(super) fn revoke_visit(&mut self, nai: &Nai, care_of: Ipv4Addr, now: Now) {
        let id = self.bindings.iter().find(|b| b.nai == *nai && b.care_of == care_of).map(id_of);
        if let Some(id) = id {
            self.revoke(id, "its keys were revoked", now);
        }
    }
}
