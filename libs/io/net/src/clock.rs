//! The host's two clocks, and an alarm that survives a suspend.
//!
//! Monotonic time is `CLOCK_BOOTTIME`: a lifetime goes on while the host sleeps, at its peer as well.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use sansio::{Instant, Now};
use tokio::io::unix::AsyncFd;

use crate::{
    error::{Attempt, Error},
    sys,
};

/// The clocks of this host.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock;

impl Clock {
    /// Both clocks now.
    #[must_use]
    pub fn now(self) -> Now {
        Now { mono: Instant::new(sys::clock(libc::CLOCK_BOOTTIME)), unix: sys::clock(libc::CLOCK_REALTIME) }
    }
}

/// A timer on the clock of [`Now::mono`].
#[derive(Debug)]
pub struct Alarm {
    timer: AsyncFd<OwnedFd>,
}

impl Alarm {
    /// A timer that is not set. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// The process has no descriptor left.
    pub fn new() -> Result<Self, Error> {
        let timer = sys::boot_timer().and_then(sys::events).attempt(|| "make a timer")?;
        Ok(Self { timer })
    }

    /// Returns when `deadline` has come, at once if it is past, never if there is none.
    ///
    /// May be dropped and called anew at any time.
    pub async fn until(&mut self, deadline: Option<Instant>) {
        let Some(deadline) = deadline else {
            return std::future::pending().await;
        };
        // Arming clears an expiry of the past. It cannot fail for a time that is representable.
        if sys::arm_timer(self.timer.as_fd(), deadline.since_start()).is_err() {
            return;
        }
        while Clock.now().mono < deadline {
            let Ok(mut ready) = self.timer.readable().await else {
                return;
            };
            // The descriptor stays readable until it is read: an expiry of an older setting ends here.
            let _ = ready.try_io(|timer| drain(timer.get_ref()));
        }
    }
}

fn drain(timer: &OwnedFd) -> io::Result<()> {
    let mut expirations = [0; 8];
    nix::unistd::read(timer, &mut expirations)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn an_alarm_never_rings_early_and_serves_again() {
        let mut alarm = Alarm::new().unwrap();
        for milliseconds in [3, 0, 2] {
            let deadline = Clock.now().mono + Duration::from_millis(milliseconds);
            alarm.until(Some(deadline)).await;
            assert!(Clock.now().mono >= deadline);
        }
    }

    #[tokio::test]
    async fn a_dropped_wait_leaves_no_trace() {
        let mut alarm = Alarm::new().unwrap();
        let soon = Clock.now().mono + Duration::from_millis(1);
        {
            let wait = alarm.until(Some(soon));
            tokio::pin!(wait);
            assert!(futures_util::poll!(wait.as_mut()).is_pending());
        }
        let later = Clock.now().mono + Duration::from_millis(5);
        alarm.until(Some(later)).await;
        assert!(Clock.now().mono >= later);
    }

    #[test]
    fn both_clocks_run() {
        let first = Clock.now();
        assert!(first.unix > Duration::from_secs(1_500_000_000));
        assert!(Clock.now().mono >= first.mono);
    }
}
