//! The foreign agent's key shares (docs/wire.md): one for each home agent, so that no two of them can tell by it that
//! they serve the same minute of the same agent.
//!
//! A share serves the requests of a minute and is erased, so that nobody who takes this host later reads the keys of
//! that minute from what he recorded.

use std::{collections::VecDeque, time::Duration};

use crypto::Rng;
use sa::Offer;
use sansio::Instant;

use super::pending::WAIT;

/// How long a share is kept from its first use.
const KEPT: Duration = Duration::from_secs(60);

/// How long it is offered: the reply to the last request with it must still open.
const OFFERED: Duration = Duration::from_secs(KEPT.as_secs() - WAIT.as_secs());

/// A share in use.
struct Share {
    offer: Offer,
    first: Instant,
}

/// The shares that one home agent was offered, latest last.
#[derive(Default)]
pub(super) struct Shares {
    live: VecDeque<Share>,
}

impl Shares {
    /// Public value of the share to offer now.
    pub(super) fn offer(&mut self, rng: &mut Rng, now: Instant) -> [u8; 32] {
        self.erase(now);
        if let Some(latest) = self.live.back()
            && now.saturating_since(latest.first) < OFFERED
        {
            return *latest.offer.value();
        }
        let offer = Offer::new(rng);
        let value = *offer.value();
        self.live.push_back(Share { offer, first: now });
        value
    }

    /// The share with this public value, unless it was erased.
    pub(super) fn find(&self, value: &[u8; 32]) -> Option<&Offer> {
        self.live.iter().map(|share| &share.offer).find(|offer| offer.value() == value)
    }

    /// Erases what is a minute old.
    pub(super) fn erase(&mut self, now: Instant) {
        while self.live.front().is_some_and(|share| now.saturating_since(share.first) >= KEPT) {
            self.live.pop_front();
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.live.front().map(|share| share.first + KEPT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::new(Duration::from_millis(ms))
    }

    #[test]
    fn a_share_serves_53_seconds_and_is_erased_after_60() {
        let mut rng = Rng::from_seed([1; 32]);
        let mut shares = Shares::default();
        assert_eq!(shares.deadline(), None);
        let first = shares.offer(&mut rng, at(1000));
        assert_eq!(shares.offer(&mut rng, at(53_999)), first);
        let second = shares.offer(&mut rng, at(54_000));
        assert_ne!(second, first);
        assert_eq!(shares.deadline(), Some(at(61_000)));
        shares.erase(at(60_999));
        assert!(shares.find(&first).is_some() && shares.find(&second).is_some());
        shares.erase(at(61_000));
        assert!(shares.find(&first).is_none() && shares.find(&second).is_some());
        shares.erase(at(114_000));
        assert_eq!((shares.live.len(), shares.deadline()), (0, None));
    }

    #[test]
    fn a_wakeup_that_comes_late_offers_nothing_old() {
        let mut rng = Rng::from_seed([1; 32]);
        let mut shares = Shares::default();
        let first = shares.offer(&mut rng, at(0));
        assert_ne!(shares.offer(&mut rng, at(1_000_000)), first);
        assert!(shares.find(&first).is_none());
    }
}
