//! What happens here, for whoever watches: the last few thousand events, in memory only.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use authority::Detail;
use proto::kdc::Event;
use tokio::sync::watch;

/// Events that are remembered.
const KEPT: usize = 4096;

/// The log; cheap to clone.
#[derive(Clone)]
pub(crate) struct Events(Arc<Shared>);

struct Shared {
    ring: Mutex<VecDeque<Kept>>,
    last: watch::Sender<u64>,
}

/// An event as it is remembered. It becomes text when somebody looks: most are never looked at.
struct Kept {
    number: u64,
    unix_ms: u64,
    kind: &'static str,
    subject: Arc<str>,
    detail: Detail,
}

impl Kept {
    fn shown(&self) -> Event {
        Event {
            number: self.number,
            unix_ms: self.unix_ms,
            kind: self.kind.to_owned(),
            subject: self.subject.to_string(),
            detail: self.detail.to_string(),
        }
    }
}

impl Default for Events {
    fn default() -> Self {
        Self(Arc::new(Shared { ring: Mutex::default(), last: watch::Sender::new(0) }))
    }
}

impl Events {
    fn ring(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.0.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what happened just now at the line to somebody.
    pub(crate) fn push(&self, kind: &'static str, subject: &str, detail: &str) {
        self.add(kind, subject.into(), Detail::Text(detail.to_owned()));
    }

    /// Adds what the machine says has happened.
    pub(crate) fn tell(&self, event: authority::Event) {
        self.add(event.kind.word(), event.subject, event.detail);
    }

    fn add(&self, kind: &'static str, subject: Arc<str>, detail: Detail) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let mut ring = self.ring();
        let number = *self.0.last.borrow() + 1;
        if ring.len() == KEPT {
            ring.pop_front();
        }
        ring.push_back(Kept { number, unix_ms, kind, subject, detail });
        // Under the lock, so that numbers rise in the order of the ring.
        self.0.last.send_replace(number);
    }

    /// Remembered events after number `since`, at most `limit`; a number not reached yet counts as 0.
    pub(crate) fn after(&self, since: u64, limit: usize) -> Vec<Event> {
        let ring = self.ring();
        let since = if since > *self.0.last.borrow() { 0 } else { since };
        ring.iter().filter(|event| event.number > since).take(limit).map(Kept::shown).collect()
    }

    /// The number of the last event.
    pub(crate) fn last(&self) -> watch::Receiver<u64> {
        self.0.last.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten_and_numbers_go_on() {
        let events = Events::default();
        for n in 0..KEPT + 10 {
            events.push("refused", &n.to_string(), "");
        }
        let numbers: Vec<_> = events.after(0, usize::MAX).iter().map(|event| event.number).collect();
        assert_eq!((numbers.len(), numbers[0], numbers[KEPT - 1]), (KEPT, 11, KEPT as u64 + 10));
        assert_eq!(events.after(KEPT as u64 + 9, 5).len(), 1);
        assert!(events.after(KEPT as u64 + 10, 5).is_empty());
        assert_eq!(events.after(u64::MAX, 5)[0].number, 11, "a number from another start");
    }
}
