//! How many requests to have on their way when the home agent sets the pace: more as long as that brings more, less
//! after a loss.

use std::time::Duration;

/// To begin with.
const FIRST: usize = 256;
const LEAST: usize = 32;
const MOST: usize = 4096;
/// Between two looks.
const LOOK: Duration = Duration::from_millis(400);
/// What counts as more.
const BETTER: f64 = 1.05;

/// The window of one phase.
#[derive(Debug)]
pub(crate) struct Window {
    size: usize,
    fixed: bool,
    looked: Duration,
    accepted: u64,
    again: u64,
    best: f64,
    settled: bool,
}

impl Window {
    /// So many, or as it turns out.
    pub(crate) fn new(fixed: Option<usize>, now: Duration) -> Self {
        Self {
            size: fixed.unwrap_or(FIRST),
            fixed: fixed.is_some(),
            looked: now,
            accepted: 0,
            again: 0,
            best: 0.0,
            settled: false,
        }
    }

    /// The window now.
    pub(crate) const fn size(&self) -> usize {
        self.size
    }

    /// Learns how many were accepted and sent again so far.
    pub(crate) fn look(&mut self, now: Duration, accepted: u64, again: u64) {
        if self.fixed || now < self.looked + LOOK {
            return;
        }
        let rate = (accepted - self.accepted) as f64 / now.saturating_sub(self.looked).as_secs_f64();
        if again > self.again {
            self.size = (self.size / 2).max(LEAST);
            self.settled = true;
        } else if !self.settled {
            if rate > self.best * BETTER {
                self.size = (self.size * 2).min(MOST);
            } else {
                // The last doubling brought nothing but waiting.
                self.size = (self.size / 2).max(LEAST);
                self.settled = true;
            }
        }
        self.best = self.best.max(rate);
        (self.looked, self.accepted, self.again) = (now, accepted, again);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(looks: u32) -> Duration {
        LOOK * looks
    }

    #[test]
    fn it_grows_while_that_helps_and_goes_one_step_back() {
        let mut window = Window::new(None, at(0));
        window.look(at(1), 1000, 0);
        assert_eq!(window.size(), 512);
        window.look(at(2), 3000, 0);
        assert_eq!(window.size(), 1024);
        window.look(at(3), 5000, 0);
        assert_eq!(window.size(), 512, "2,000 more as before");
        window.look(at(4), 9000, 0);
        assert_eq!(window.size(), 512);
    }

    #[test]
    fn a_loss_halves_it_and_a_fixed_one_stays() {
        let mut window = Window::new(None, at(0));
        window.look(at(1), 1000, 3);
        assert_eq!(window.size(), 128);
        let mut fixed = Window::new(Some(7), at(0));
        fixed.look(at(1), 1000, 3);
        assert_eq!(fixed.size(), 7);
    }
}
