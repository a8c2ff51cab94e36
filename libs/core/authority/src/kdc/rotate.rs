//! Rotation of KEY 0 (docs/wire.md, key schedule): both are accepted during an overlap.

use record::{RetiringKey, SubscriberState};

use super::{Answer, Kdc, Refusal, check};

/// The longest overlap, in seconds: 90 days.
const LONGEST: u32 = 90 * 86_400;

impl Kdc {
    /// Gives a subscriber a new KEY 0 under a new index. The one before is accepted for `overlap` seconds more; an
    /// overlap that still ran ends now, so that there are never more than two.
    pub(super) fn rotate(
        &mut self,
        nai: &str,
        overlap: u32,
        dry_run: bool,
        time: u64,
    ) -> Result<Answer, Refusal> {
        let nai = check::any_nai("the subscriber", nai)?;
        if overlap > LONGEST {
            return Err(Refusal::Overlap { asked: overlap, most: LONGEST });
        }
        let Some(known) = self.ledger.subscriber(nai.as_str()) else {
            return Err(Refusal::UnknownSubscriber(nai));
        };
        if known.state == SubscriberState::Revoked {
            return Err(Refusal::RevokedSubscriber(nai));
        }
        if dry_run {
            return Ok(Answer::WouldDo);
        }
        let mut subscriber = known.duplicate();
        subscriber.retiring = (overlap > 0).then(|| RetiringKey {
            key0: known.key0.duplicate(),
            spi: known.spi,
            generation: known.generation,
            ends: time.saturating_add(u64::from(overlap)),
        });
        subscriber.key0 = self.rng.key();
        subscriber.spi = self.fresh_spi();
        subscriber.generation = subscriber.generation.saturating_add(1);
        subscriber.change = self.ledger.next_change();
        self.ledger.put_subscriber(subscriber.duplicate());
        Ok(Answer::Rotated(subscriber))
    }
}
