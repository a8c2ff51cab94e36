//! The keys of the realm: a mobile node whose one-time indices are lost names itself by the public half of one
//! (docs/wire.md, one-time indices).

use crypto::exchange::Secret;
use record::RealmKey;
use wire::mip::Spi;

use super::{Answer, Kdc, RealmKeyView, Refusal};

/// The longest overlap, in seconds: two years. Mobile nodes learn new keys at their next enrolment or rotation.
const LONGEST: u32 = 730 * 86_400;
/// Valid keys at once: what an enrolment file carries.
const MOST: usize = 16;
/// Indices of realm keys: 256 to 511.
const FIRST: u32 = 256;
const INDICES: u64 = 256;

impl Kdc {
    /// Makes the first key; `None` if there is one without an end.
    pub(super) fn ensure_realm_key(&mut self, time: u64) -> Option<Answer> {
        if self.ledger.realm_keys().any(|key| key.ends.is_none()) {
            return None;
        }
        Some(self.make_realm_key(time))
    }

    /// Makes a new key; those before it end after `overlap` seconds, unless they end sooner anyway.
    pub(super) fn rotate_realm_key(
        &mut self,
        overlap: u32,
        dry_run: bool,
        time: u64,
    ) -> Result<Answer, Refusal> {
        if overlap > LONGEST {
            return Err(Refusal::Overlap { asked: overlap, most: LONGEST });
        }
        let valid = self.valid_keys(time).len();
        if valid >= MOST && overlap > 0 {
            return Err(Refusal::RealmKeys(valid));
        }
        if dry_run {
            return Ok(Answer::WouldDo);
        }
        let end = time.saturating_add(u64::from(overlap));
        let ending = self.ledger.realm_keys().filter(|key| key.ends.is_none_or(|ends| ends > end));
        for mut key in ending.map(RealmKey::duplicate).collect::<Vec<_>>() {
            key.ends = Some(end);
            key.change = self.ledger.next_change();
            self.ledger.put_realm_key(key);
        }
        let made = self.make_realm_key(time);
        if overlap == 0 {
            // Nobody has to wait for the next sweep.
            self.remove_ended_keys(time);
        }
        Ok(made)
    }

    fn make_realm_key(&mut self, time: u64) -> Answer {
        let key = RealmKey {
            id: self.fresh_key_id(),
            secret: self.rng.key(),
            made: time,
            ends: None,
            change: self.ledger.next_change(),
        };
        let view = view(&key);
        self.ledger.put_realm_key(key);
        Answer::RealmKey(view)
    }

    /// An index that no key has: there are far more indices than keys at once.
    fn fresh_key_id(&mut self) -> Spi {
        loop {
            let offset = u32::try_from(self.rng.below(INDICES)).unwrap_or_default();
            let id = Spi(FIRST + offset);
            if self.ledger.realm_key(id).is_none() {
                return id;
            }
        }
    }

    /// Removes keys that ended at `time` or before; returns their indices.
    pub(super) fn remove_ended_keys(&mut self, time: u64) -> Vec<Spi> {
        let ended = self.ledger.realm_keys().filter(|key| key.ends.is_some_and(|ends| ends <= time));
        let ended: Vec<Spi> = ended.map(|key| key.id).collect();
        for id in &ended {
            self.ledger.remove_realm_key(*id);
        }
        ended
    }

    fn valid_keys(&self, time: u64) -> Vec<RealmKeyView> {
        let valid = self.ledger.realm_keys().filter(|key| key.ends.is_none_or(|ends| ends > time));
        let mut keys: Vec<RealmKeyView> = valid.map(view).collect();
        // The newest is the one without an end; two of one second are told apart by that and by their change.
        keys.sort_by_key(|key| std::cmp::Reverse((key.ends.is_none(), key.made, key.change)));
        keys
    }

    pub(super) fn realm_keys(&self, time: u64) -> Answer {
        Answer::RealmKeys(self.valid_keys(time))
    }
}

fn view(key: &RealmKey) -> RealmKeyView {
    let public = Secret::from_key(&key.secret).public();
    RealmKeyView { id: key.id, public, made: key.made, ends: key.ends, change: key.change }
}
