//! What happened lately: a ring of numbered events that watchers follow.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{Stream, stream};
use proto::agent::Event;
use sansio::Now;
use tokio::sync::watch;

use crate::shown;

/// Events kept for watchers that come later.
pub const KEPT_EVENTS: usize = 4096;

/// Events copied at a time, so that a watcher holds the lock for microseconds only.
const BATCH: usize = 64;

/// The newest [`KEPT_EVENTS`] events; clones share them.
#[derive(Clone, Debug)]
pub struct EventLog {
    ring: Arc<Mutex<Ring>>,
    newest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Ring {
    /// Number of the newest event, 0 before the first.
    newest: u64,
    events: VecDeque<Kept>,
}

/// An event as it came: most are never looked at.
#[derive(Clone, Debug)]
enum Kept {
    Shown(Arc<Event>),
    Told(Arc<mobility::Event>, Now),
}

impl Kept {
    fn show(&self, number: u64) -> Arc<Event> {
        match self {
            Self::Shown(event) => Arc::clone(event),
            Self::Told(event, now) => Arc::new(Event { number, ..shown::event(event, *now) }),
        }
    }
}

impl Default for EventLog {
    fn default() -> Self {
        Self { ring: Arc::default(), newest: watch::Sender::new(0) }
    }
}

impl EventLog {
    /// Adds an event, gives it the next number and returns that. Cheap: never waits for a watcher.
    pub fn push(&self, event: Event) -> u64 {
        self.keep(|number| Kept::Shown(Arc::new(Event { number, ..event })))
    }

    /// Adds an event of a core. It is put into words for operators only if one watches.
    pub fn tell(&self, event: mobility::Event, now: Now) -> u64 {
        self.keep(|_| Kept::Told(Arc::new(event), now))
    }

    fn keep(&self, kept: impl FnOnce(u64) -> Kept) -> u64 {
        let number = {
            let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
            ring.newest += 1;
            if ring.events.len() == KEPT_EVENTS {
                ring.events.pop_front();
            }
            let kept = kept(ring.newest);
            ring.events.push_back(kept);
            ring.newest
        };
        self.newest.send_replace(number);
        number
    }

    /// At most [`BATCH`] events with numbers above `after`, oldest first.
    fn batch(&self, after: u64) -> Vec<Arc<Event>> {
        let (first, kept) = {
            let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
            // Numbers have no gaps, so the position follows from the number.
            let oldest = ring.newest - ring.events.len() as u64;
            let skip =
                usize::try_from(after.saturating_sub(oldest)).unwrap_or(usize::MAX).min(ring.events.len());
            let kept: Vec<Kept> = ring.events.iter().skip(skip).take(BATCH).cloned().collect();
            (oldest + skip as u64 + 1, kept)
        };
        kept.iter().zip(first..).map(|(kept, number)| kept.show(number)).collect()
    }

    /// Events with numbers above `after` that are still kept, then, unless `kept_only`, those to come.
    ///
    /// A number that was not given out yet comes from an earlier life of the process: then all are sent. A
    /// watcher slower than [`KEPT_EVENTS`] behind misses some and sees it by the numbers.
    pub(crate) fn watch(&self, after: u64, kept_only: bool) -> impl Stream<Item = Arc<Event>> + use<> {
        let newest = self.newest.subscribe();
        let after = if after > *newest.borrow() { 0 } else { after };
        let watcher = Watcher { log: self.clone(), newest, after, kept_only, ready: VecDeque::new() };
        stream::unfold(watcher, |mut watcher| async move {
            let event = watcher.next().await?;
            Some((event, watcher))
        })
    }
}

struct Watcher {
    log: EventLog,
    newest: watch::Receiver<u64>,
    after: u64,
    kept_only: bool,
    ready: VecDeque<Arc<Event>>,
}

impl Watcher {
    async fn next(&mut self) -> Option<Arc<Event>> {
        if self.ready.is_empty() {
            if !self.kept_only {
                let after = self.after;
                self.newest.wait_for(|newest| *newest > after).await.ok()?;
            }
            self.ready = self.log.batch(self.after).into();
        }
        let event = self.ready.pop_front()?;
        self.after = event.number;
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, StreamExt as _};

    use super::*;

    #[test]
    fn what_a_core_tells_is_put_into_words_when_somebody_looks() {
        let log = log(2);
        let now = Now { mono: sansio::Instant::default(), unix: std::time::Duration::from_secs(7) };
        let told = mobility::Event::new(mobility::EventKind::BindingAdded, "somebody is somewhere");
        assert_eq!(log.tell(told, now), 3);
        assert_eq!(log.push(Event::default()), 4);
        let seen = log.batch(1);
        assert_eq!(seen.iter().map(|event| event.number).collect::<Vec<_>>(), [2, 3, 4]);
        assert_eq!((seen[1].text.as_str(), seen[1].unix_ns), ("somebody is somewhere", 7_000_000_000));
        assert!(log.batch(9).is_empty());
    }

    fn log(events: u64) -> EventLog {
        let log = EventLog::default();
        for n in 1..=events {
            assert_eq!(log.push(Event { unix_ns: n, ..Event::default() }), n);
        }
        log
    }

    async fn kept(log: &EventLog, after: u64) -> Vec<u64> {
        log.watch(after, true).map(|event| event.number).collect().await
    }

    #[tokio::test]
    async fn kept_events_come_in_order_from_the_number_on() {
        let log = log(200);
        assert_eq!(kept(&log, 0).await, (1..=200).collect::<Vec<_>>());
        assert_eq!(kept(&log, 150).await, (151..=200).collect::<Vec<_>>());
        assert_eq!(kept(&log, 200).await, Vec::<u64>::new());
    }

    #[tokio::test]
    async fn a_number_from_an_earlier_life_gives_everything() {
        assert_eq!(kept(&log(3), 1000).await, [1, 2, 3]);
    }

    #[tokio::test]
    async fn the_oldest_are_forgotten() {
        let log = log(KEPT_EVENTS as u64 + 10);
        let numbers = kept(&log, 0).await;
        assert_eq!((numbers[0], numbers.len()), (11, KEPT_EVENTS));
        assert_eq!(kept(&log, 5).await[0], 11);
    }

    #[tokio::test]
    async fn a_watcher_waits_for_what_comes() {
        let log = log(1);
        let mut events = Box::pin(log.watch(0, false));
        assert_eq!(events.next().await.unwrap().number, 1);
        assert!(events.next().now_or_never().is_none());
        log.push(Event { kind: "denied".to_owned(), ..Event::default() });
        let next = events.next().await.unwrap();
        assert_eq!((next.number, next.kind.as_str()), (2, "denied"));
    }

    #[tokio::test]
    async fn a_slow_watcher_sees_the_gap() {
        let log = log(1);
        let mut events = Box::pin(log.watch(0, false));
        assert_eq!(events.next().await.unwrap().number, 1);
        for _ in 0..KEPT_EVENTS + 5 {
            log.push(Event::default());
        }
        assert_eq!(events.next().await.unwrap().number, 7);
    }
}
