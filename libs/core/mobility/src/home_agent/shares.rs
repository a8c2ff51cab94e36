//! Key shares of requests, answered (docs/wire.md, forward secrecy).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sa::{Exchange, ShareError, Unfinished, answer};
use sansio::{Instant, Now};
use wire::mip::{
    code::{Code, DetailCode},
    part::Parts,
    share::{Group, KeyShare},
};

use super::{
    HomeAgent,
    intake::{Asked, Denial},
};

/// A foreign agent may use one share for so long; then both sides erase what came of it.
const REUSED: Duration = Duration::from_secs(60);
/// Shares of one foreign agent kept at a time: it has one, and a new one after each restart.
const KEPT: usize = 16;

/// Exchanges with foreign agents that may be used again.
#[derive(Default)]
pub(super) struct Reused {
    by_share: BTreeMap<(usize, [u8; 32]), (Arc<Exchange>, Instant)>,
}

impl Reused {
    /// When the first is to be erased.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.by_share.values().map(|(_, until)| *until).min()
    }

    pub(super) fn erase(&mut self, now: Now) {
        self.by_share.retain(|_, (_, until)| *until > now.mono);
    }

    /// How many are kept: at most 16 for each foreign agent.
    pub(super) fn len(&self) -> usize {
        self.by_share.len()
    }

    fn make_room(&mut self, path: usize) {
        let own = || self.by_share.iter().filter(|((of, _), _)| *of == path);
        if own().count() >= KEPT
            && let Some(oldest) = own().min_by_key(|(_, (_, until))| *until).map(|(key, _)| *key)
        {
            self.by_share.remove(&oldest);
        }
    }
}

pub(super) const fn refused(error: ShareError) -> Denial {
    let detail = match error {
        ShareError::Missing => DetailCode::SHARE_MISSING,
        ShareError::Refused => DetailCode::SHARE_REFUSED,
    };
    (Code::HA_UNSPECIFIED, Some(detail))
}

impl HomeAgent {
    /// Begins to answer the shares of a request that is to be accepted. One that is missing is refused, unless that
    /// subscriber or neighbour may leave it out.
    pub(super) fn exchange(&mut self, asked: &mut Asked, parts: &Parts<'_>, now: Now) -> Result<(), Denial> {
        let no_fs = self.known.of(&asked.who).is_some_and(|known| known.subscriber.no_fs);
        asked.unfinished = match (parts.mobile.key_share, no_fs) {
            (None, true) => None,
            (share, _) => Some(Unfinished::begin(&mut self.rng, share).map_err(refused)?),
        };
        if let Some(agent) = asked.serving_agent() {
            let path = agent.path;
            asked.agent_exchange =
                self.agent_exchange(path, parts.foreign.key_share, now).map_err(refused)?;
        }
        Ok(())
    }

    /// The exchange with a foreign agent that offers this share: the same one as long as it uses the same share.
    pub(super) fn agent_exchange(
        &mut self,
        path: usize,
        share: Option<KeyShare<'_>>,
        now: Now,
    ) -> Result<Option<Arc<Exchange>>, ShareError> {
        if share.is_none() && self.paths.get(path).is_some_and(|p| p.no_fs) {
            return Ok(None);
        }
        self.reused.erase(now);
        let value = share
            .filter(|share| share.group == Group::X25519)
            .and_then(|share| <[u8; 32]>::try_from(share.value).ok());
        if let Some((exchange, _)) = value.and_then(|value| self.reused.by_share.get(&(path, value))) {
            return Ok(Some(Arc::clone(exchange)));
        }
        let exchange = Arc::new(answer(&mut self.rng, share)?);
        if let Some(value) = value {
            self.reused.make_room(path);
            self.reused.by_share.insert((path, value), (Arc::clone(&exchange), now.mono + REUSED));
        }
        Ok(Some(exchange))
    }
}
