//! What programs that watch a key distribution centre see: metrics, and whether it is ready.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use admin::{
    health::Check,
    http::Seen,
    metrics::{
        Histogram, Labelled, Page,
        store::{self, Commits},
    },
};
use authority::{Answer, Kdc, Refusal};

use crate::{desk::Desk, watchers::Watchers};

/// What the desk counts. Only its task writes.
#[derive(Default)]
pub(crate) struct Figures {
    asked: AtomicU64,
    answered: AtomicU64,
    issued: AtomicU64,
    /// Questions for keys, and others, in the order of [`Refusal::WORDS`].
    no_keys: [AtomicU64; Refusal::WORDS.len()],
    refused: [AtomicU64; Refusal::WORDS.len()],
    held: [AtomicU64; 3],
}

impl Figures {
    pub(crate) fn asked(&self, count: usize) {
        self.asked.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// An answer to a question `for_keys`, or to another.
    pub(crate) fn answered(&self, for_keys: bool, answer: &Result<Answer, Refusal>) {
        let one = |count: &AtomicU64| {
            count.fetch_add(1, Ordering::Relaxed);
        };
        one(&self.answered);
        match answer {
            Ok(Answer::Issued(_)) => one(&self.issued),
            Ok(_) => {}
            Err(refusal) => {
                let place = Refusal::WORDS.iter().position(|word| *word == refusal.word());
                let counts = if for_keys { &self.no_keys } else { &self.refused };
                if let Some(count) = place.and_then(|place| counts.get(place)) {
                    one(count);
                }
            }
        }
    }

    /// How much the machine holds now.
    pub(crate) fn holds(&self, kdc: &Kdc) {
        for (place, count) in self.held.iter().zip(kdc.held()) {
            place.store(count, Ordering::Relaxed);
        }
    }

    fn add(&self, page: &mut Page) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let [subscribers, home_agents, grants] = &self.held;
        page.gauge("subscribers", "Subscribers, revoked ones too", read(subscribers));
        page.gauge("home_agents", "Home agents that are registered", read(home_agents));
        page.gauge("grants", "Associations that keys were issued for, until they end", read(grants));
        page.counter("asks", "Questions and orders of everybody", read(&self.asked));
        let waiting = read(&self.asked).saturating_sub(read(&self.answered));
        page.gauge("asks_in_flight", "Those without an answer yet", waiting);
        page.counter("keys_issued", "Registrations that keys were issued for", read(&self.issued));
        let by_reason = |counts: &'_ [AtomicU64]| {
            let counts = Refusal::WORDS.iter().zip(counts).map(|(word, count)| (*word, read(count)));
            Labelled::by("reason", counts.filter(|(_, count)| *count > 0).collect::<Vec<_>>())
        };
        page.counters("keys_refused", "Registrations that no keys were issued for", by_reason(&self.no_keys));
        page.counters("orders_refused", "Everything else that was refused", by_reason(&self.refused));
    }
}

/// Out of what the desk and the store count.
pub(crate) fn seen(desk: Desk, watchers: Watchers, figures: Arc<keystore::Figures>) -> Seen {
    let (working, committed) = (desk.clone(), Arc::clone(&figures));
    Seen {
        checks: Box::new(move || {
            let gone =
                (!working.works()).then(|| "it stopped after an error of the store: restart".to_owned());
            vec![Check::new("desk", gone), Check::store(&commits(&committed))]
        }),
        metrics: Box::new(move |page| {
            page.named("sojourn_kdc");
            desk.figures().add(page);
            let connected = watchers.connected() as u64;
            page.gauge("home_agents_connected", "Home agents that follow its changes now", connected);
            store::add(page, commits(&figures));
        }),
    }
}

/// What the store counts, as it is shown.
fn commits(figures: &keystore::Figures) -> Commits {
    let shown =
        |spread: keystore::Spreading, unit| Histogram::of(spread.buckets, spread.above, spread.sum, unit);
    let (failed, trouble) = figures.failures();
    Commits { seconds: shown(figures.micros(), 1e-6), lists: shown(figures.lists(), 1.0), failed, trouble }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_what_was_asked_and_why_it_was_refused() {
        let figures = Figures::default();
        figures.asked(3);
        figures.answered(true, &Err(Refusal::RequestReused));
        figures.answered(false, &Err(Refusal::Store("the disk is full".to_owned())));
        let mut page = Page::default();
        figures.add(&mut page);
        let text = page.text();
        for line in [
            "asks_total 3",
            "asks_in_flight 1",
            "keys_issued_total 0",
            "keys_refused_total{reason=\"request_id_reused\"} 1",
            "orders_refused_total{reason=\"store\"} 1",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is missing in:\n{text}");
        }
        let known = |word: &&str| Refusal::WORDS.iter().filter(|it| it == &word).count() == 1;
        assert!(Refusal::WORDS.iter().all(known), "two refusals have one word");
    }
}
