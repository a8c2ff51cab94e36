//! The live view: once a second how it goes.

use std::{io::IsTerminal, time::Duration};

use indicatif::ProgressBar;

use super::histogram::{Histogram, Quantiles};
use crate::terminal;

const SECOND: Duration = Duration::from_secs(1);

/// Counters of a phase so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) sent: u64,
    pub(crate) accepted: u64,
    pub(crate) denied: u64,
    pub(crate) retransmissions: u64,
}

/// A line that changes where a person looks on, and one line a second elsewhere.
pub(crate) struct Live {
    bar: Option<ProgressBar>,
    next: Duration,
    shown: Duration,
    before: Counters,
}

impl Live {
    /// Begins with a phase.
    pub(crate) fn new(now: Duration) -> Self {
        let bar = std::io::stdout().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_draw_target(indicatif::ProgressDrawTarget::stdout());
            bar
        });
        Self { bar, next: now + SECOND, shown: now, before: Counters::default() }
    }

    /// When the next line is due.
    pub(crate) const fn due(&self) -> Duration {
        self.next
    }

    /// Shows the second that has passed.
    pub(crate) fn show(&mut self, now: Duration, counters: Counters, on_their_way: usize, took: &Histogram) {
        let seconds = now.saturating_sub(self.shown).as_secs_f64().max(0.001);
        let each = |now: u64, before: u64| (now.saturating_sub(before) as f64 / seconds).round();
        let Quantiles { p50_ms, p99_ms, .. } = took.quantiles();
        let text = format!(
            "  {:6.0} sent/s  {:6.0} accepted/s  {:4.0} denied/s  {:4.0} again/s  {on_their_way:5} in flight  p50 {p50_ms:7.2} ms  p99 {p99_ms:7.2} ms",
            each(counters.sent, self.before.sent),
            each(counters.accepted, self.before.accepted),
            each(counters.denied, self.before.denied),
            each(counters.retransmissions, self.before.retransmissions),
        );
        match &self.bar {
            Some(bar) => {
                bar.set_message(text);
                bar.tick();
            }
            None => terminal::line(&text),
        }
        (self.before, self.shown, self.next) = (counters, now, now + SECOND);
    }

    /// Takes the line away.
    pub(crate) fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
