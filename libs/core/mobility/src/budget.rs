//! How often a thing may be done that strangers can cause.

use std::time::Duration;

use sansio::Instant;

/// So many at once, then one in every interval.
#[derive(Debug)]
pub(crate) struct Budget {
    burst: u32,
    left: u32,
    every: Duration,
    /// Up to when `left` was filled again.
    filled: Instant,
}

impl Budget {
    /// `burst` at once, then one in `every`, which is longer than zero.
    pub(crate) const fn new(burst: u32, every: Duration, now: Instant) -> Self {
        Self { burst, left: burst, every, filled: now }
    }

    /// Takes one; false if there is none left.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        while self.left < self.burst && now.saturating_since(self.filled) >= self.every {
            self.left += 1;
            self.filled = self.filled + self.every;
        }
        if self.left == self.burst {
            self.filled = now;
        }
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        true
    }
}
