//! Subscribers as the key distribution centre hands them over.

use std::net::Ipv4Addr;

use record::{Change, Nai, RealmKey, Subscriber, SubscriberState};
use sa::MobileHome;
use sansio::Now;
use wire::mip::Spi;

use super::{Effect, HomeAgent, Known, bind::Work};

impl HomeAgent {
    /// Inserts or replaces a subscriber in memory; a revoked one is forgotten.
    pub(super) fn learn(&mut self, subscriber: Subscriber) {
        let nai = subscriber.nai.clone();
        let before = self.forget(&nai);
        if subscriber.state == SubscriberState::Revoked {
            return;
        }
        self.by_spi.entry(subscriber.spi).or_default().push(nai.clone());
        let keys = MobileHome::of(&subscriber);
        let (seen, stored, sent) = before.map_or((None, None, None), |b| (b.seen, b.stored, b.sent));
        let known = Known { subscriber, keys, seen, stored, sent, repeat: None, refused: Vec::new() };
        self.known.insert(nai, known);
    }

    fn forget(&mut self, nai: &Nai) -> Option<Known> {
        let known = self.known.remove(nai)?;
        if let Some(names) = self.by_spi.get_mut(&known.subscriber.spi) {
            names.retain(|n| n != nai);
            if names.is_empty() {
                self.by_spi.remove(&known.subscriber.spi);
            }
        }
        Some(known)
    }

    /// Makes changed subscribers durable; they count from the commit on.
    pub(super) fn take_over(
        &mut self,
        changed: Vec<Subscriber>,
        mut realm_keys: Vec<RealmKey>,
        (cursor, complete): (u64, bool),
        now: Now,
    ) {
        let mut gone = Vec::new();
        if complete {
            let named = |nai: &Nai| changed.iter().any(|s| s.nai == *nai);
            gone.extend(self.known.values().map(|k| &k.subscriber).filter(|s| !named(&s.nai)).map(|s| {
                let mut subscriber = s.duplicate();
                subscriber.state = SubscriberState::Revoked;
                subscriber
            }));
        }
        let changed: Vec<_> = changed.into_iter().chain(gone).collect();
        let mut changes: Vec<_> = changed.iter().map(|s| Change::PutSubscriber(s.duplicate())).collect();
        for subscriber in &changed {
            // Even where no binding stands: one may be on its way to the store before this.
            changes.extend(self.ended_by(subscriber).map(Change::RemoveBinding));
        }
        if complete {
            let named = |id: Spi| realm_keys.iter().any(|key| key.id == id);
            let gone = self.realm_keys.values().filter(|key| !named(key.id));
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
        self.work.insert(ticket, Work::subscribers(changed, realm_keys, cursor));
        self.outbox.effect(Effect::Persist { ticket, changes });
    }

    /// The changes are durable.
    pub(super) fn taken_over(
        &mut self,
        changed: Vec<Subscriber>,
        realm_keys: Vec<RealmKey>,
        cursor: u64,
        now: Now,
    ) {
        for key in realm_keys {
            if key.ends.is_some_and(|ends| ends <= now.unix.as_secs()) {
                self.realm_keys.remove(&key.id);
            } else {
                self.realm_keys.insert(key.id, key);
            }
        }
        for subscriber in changed {
            if let Some(home_address) = self.ended_by(&subscriber) {
                self.unbind(home_address, None, "subscriber revoked");
            }
            self.learn(subscriber);
        }
        self.outbox.effect(Effect::Acknowledge(cursor));
        self.revision += 1;
    }

    /// The home address whose binding ends with this change: of a revoked subscriber, or of one that was
    /// revoked and enrolled again while we were away, which shows in another KEY 0, index or address.
    fn ended_by(&self, changed: &Subscriber) -> Option<Ipv4Addr> {
        let before = self.known.get(&changed.nai).map(|known| &known.subscriber);
        let same = |before: &Subscriber| {
            let kept = before.key0 == changed.key0 && before.spi == changed.spi;
            // After a rotation with an overlap the binding stands: it was made under the key before.
            let rotated = changed.retiring.as_ref().is_some_and(|old| old.key0 == before.key0);
            (kept || rotated) && before.home_address == changed.home_address
        };
        match changed.state {
            SubscriberState::Revoked => Some(before.unwrap_or(changed).home_address),
            SubscriberState::Active => before.filter(|b| !same(b)).map(|b| b.home_address),
        }
    }

    /// Ends the bindings that hold one of these indices inbound.
    pub(super) fn revoke_associations(&mut self, spis: &[Spi], now: Now) {
        for spi in spis {
            if let Some(home_address) = self.bindings.holder(*spi) {
                self.end(home_address, "its keys were revoked", now);
            }
        }
    }
}
