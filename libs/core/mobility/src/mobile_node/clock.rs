//! Timestamps for identifications (RFC 5944 section 5.7.1), by a clock that may be wrong or jump.

use std::time::Duration;

use sansio::Now;
use wire::mip::registration::ntp_seconds;

/// A step of the wall clock against the monotonic one that counts as a jump.
const JUMP: Duration = Duration::from_millis(1500);

/// How far ahead of its own time the home agent could have taken a timestamp (RFC 5944 section 5.7.1).
const WINDOW: u32 = 7;

/// Seconds of the home agent's clock, as far as they are known.
pub(super) struct Timestamps {
    /// NTP seconds of the last request; 0 before the first.
    last: u32,
    /// The highest that the home agent answered with anything but a mismatch.
    confirmed: u32,
    /// Seconds that the home agent is ahead.
    offset: i64,
    /// The home agent said that wall clock and offset together are right.
    trusted: bool,
    previous: Now,
}

/// True if `a` is later than `b`, over the turn of the NTP era too.
const fn later(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).cast_signed() > 0
}

impl Timestamps {
    pub(super) const fn new(last: u32, offset: i64, now: Now) -> Self {
        Self { last, confirmed: 0, offset, trusted: false, previous: now }
    }

    pub(super) const fn last(&self) -> u32 {
        self.last
    }

    pub(super) const fn offset(&self) -> i64 {
        self.offset
    }

    /// Looks at both clocks. Once the home agent vouched for our time, a jump of the wall clock is taken out
    /// again; before that, it is as likely a correction. True if there was a jump.
    pub(super) fn watch(&mut self, now: Now) -> bool {
        let expected = self.previous.unix + now.mono.saturating_since(self.previous.mono);
        self.previous = now;
        let jumped = now.unix.abs_diff(expected) >= JUMP;
        if jumped && self.trusted {
            let seconds = |d: Duration| d.as_secs().cast_signed();
            self.offset += seconds(expected) - seconds(now.unix);
        }
        jumped
    }

    fn home_now(&self, now: Now) -> u32 {
        ntp_seconds(now.unix.as_secs().wrapping_add_signed(self.offset))
    }

    /// Seconds for the next request: above all sent before.
    pub(super) fn next(&mut self, now: Now) -> u32 {
        let home = self.home_now(now);
        self.last = if self.last == 0 || later(home, self.last) { home } else { self.last.wrapping_add(1) };
        self.last
    }

    /// The home agent took `seconds`: accepted or denied, but not for its time.
    pub(super) fn confirm(&mut self, seconds: u32) {
        self.trusted = true;
        if self.confirmed == 0 || later(seconds, self.confirmed) {
            self.confirmed = seconds;
        }
    }

    /// The home agent's own time, from an authenticated code 133.
    ///
    /// Timestamps that ran ahead of its window cannot have been taken by it, so they are given up: a clock
    /// that was once a day ahead does not shut us out for a day.
    pub(super) fn learn(&mut self, home: u32, now: Now) {
        self.trusted = true;
        let ours = ntp_seconds(now.unix.as_secs());
        self.offset = i64::from(home.wrapping_sub(ours).cast_signed());
        if later(self.last, home.wrapping_add(WINDOW)) {
            let above = self.confirmed != 0 && later(self.confirmed, home);
            self.last = if above { self.confirmed } else { home };
        }
    }
}

#[cfg(test)]
mod tests {
    use sansio::Instant;

    use super::*;

    fn at(mono: u64, unix: u64) -> Now {
        Now { mono: Instant::new(Duration::from_secs(mono)), unix: Duration::from_secs(unix) }
    }

    const T: u64 = 1_800_000_000;

    #[test]
    fn seconds_rise_even_when_time_does_not() {
        let mut clock = Timestamps::new(0, 0, at(0, T));
        let first = clock.next(at(0, T));
        assert_eq!(first, ntp_seconds(T));
        assert_eq!(clock.next(at(0, T)), first + 1);
        assert_eq!(clock.next(at(1, T + 1)), first + 2);
        assert_eq!(clock.next(at(9, T + 9)), first + 9);
    }

    #[test]
    fn a_restart_goes_on_above_the_last() {
        let last = ntp_seconds(T) + 5;
        let mut clock = Timestamps::new(last, 0, at(0, T));
        assert_eq!(clock.next(at(0, T)), last + 1);
    }

    #[test]
    fn a_day_behind_and_a_day_ahead_are_both_repaired() {
        for wrong in [T - 86_400, T + 86_400] {
            let mut clock = Timestamps::new(0, 0, at(0, wrong));
            assert_eq!(clock.next(at(0, wrong)), ntp_seconds(wrong));
            clock.learn(ntp_seconds(T), at(0, wrong));
            let next = clock.next(at(0, wrong));
            assert!(next.wrapping_sub(ntp_seconds(T)) <= 1, "{wrong}");
        }
    }

    #[test]
    fn what_the_home_agent_took_is_never_repeated() {
        let mut clock = Timestamps::new(0, 0, at(0, T));
        let taken = clock.next(at(0, T)) + 3;
        clock.confirm(taken);
        clock.last = taken + 100;
        clock.learn(ntp_seconds(T), at(0, T));
        assert_eq!(clock.next(at(0, T)), taken + 1);
    }

    #[test]
    fn a_jump_is_taken_out_once_the_time_was_right() {
        let mut clock = Timestamps::new(0, 0, at(0, T));
        assert!(clock.watch(at(1, T + 3601)));
        assert_eq!(clock.offset(), 0);
        clock.confirm(1);
        assert!(clock.watch(at(2, T + 2)));
        assert_eq!(clock.offset(), 3600);
        assert!(!clock.watch(at(3, T + 3)));
        assert_eq!(clock.home_now(at(3, T + 3)), ntp_seconds(T + 3603));
    }

    #[test]
    fn the_era_turns() {
        let turn = (1_u64 << 32) - wire::mip::registration::NTP_TO_UNIX;
        let mut clock = Timestamps::new(0, 0, at(0, turn - 1));
        assert_eq!(clock.next(at(0, turn - 1)), u32::MAX);
        assert_eq!(clock.next(at(2, turn + 1)), 1);
    }
}
