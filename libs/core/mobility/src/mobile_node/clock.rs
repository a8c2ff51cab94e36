//! Timestamps for identifications (RFC 5944 section 5.7.1), by a clock that may be wrong or jump.

use std::time::Duration;

use crypto::Rng;
use sansio::Now;
use wire::mip::registration::{Identification, ntp_seconds};

/// A step of the wall clock against the monotonic one that counts as a jump.
const JUMP: Duration = Duration::from_millis(1500);

/// How far ahead of its own time the home agent could have taken a timestamp (RFC 5944 section 5.7.1).
const WINDOW: u32 = 7;

/// Low halves that must be left above the last one for another request in the same second. Fewer would make the next
/// easy to guess.
const LEFT: u32 = 1 << 16;

/// Seconds of the home agent's clock, as far as they are known.
pub(super) struct Timestamps {
    /// Of the last request; 0 before the first.
    last: Identification,
    /// The highest that the home agent answered with anything but a mismatch.
    confirmed: Option<Identification>,
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

/// The highest identification of a second.
fn end_of(seconds: u32) -> Identification {
    Identification::new(seconds, u32::MAX)
}

impl Timestamps {
    /// With the seconds of the last request before a restart, 0 if there was none. Its low half was not kept: nothing
    /// in that second is above it.
    pub(super) fn new(last: u32, offset: i64, now: Now) -> Self {
        let last = if last == 0 { Identification(0) } else { end_of(last) };
        Self { last, confirmed: None, offset, trusted: false, previous: now }
    }

    /// Seconds of the last request.
    pub(super) const fn last(&self) -> u32 {
        self.last.seconds()
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

    /// The next request's: above all sent before.
    ///
    /// A node that moves more than once a second stays in its second for as long as low halves are left there. If each
    /// request took a second for itself, it would be out of the home agent's window after a few moves.
    pub(super) fn next(&mut self, now: Now, rng: &mut Rng) -> Identification {
        let (home, last) = (self.home_now(now), self.last.seconds());
        let left = u32::MAX - self.last.low();
        self.last = if self.last.0 == 0 || later(home, last) {
            Identification::new(home, rng.u32())
        } else if left >= LEFT {
            let above = u32::try_from(rng.below(u64::from(left))).unwrap_or_default();
            Identification::new(last, self.last.low() + 1 + above)
        } else {
            Identification::new(last.wrapping_add(1), rng.u32())
        };
        self.last
    }

    /// The home agent took that one: accepted or denied, but not for its time.
    pub(super) fn confirm(&mut self, taken: Identification) {
        self.trusted = true;
        if self.confirmed.is_none_or(|before| taken.0.wrapping_sub(before.0).cast_signed() > 0) {
            self.confirmed = Some(taken);
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
        if later(self.last.seconds(), home.wrapping_add(WINDOW)) {
            let above = self.confirmed.filter(|taken| later(taken.seconds(), home));
            self.last = above.unwrap_or(end_of(home));
        }
    }

    /// Seconds by which the home agent's clock has fallen behind what it took from us; nothing goes through until it has
    /// made up for them, for identifications only rise.
    pub(super) fn fallen_behind(&self, home: u32) -> Option<u32> {
        let last = self.last.seconds();
        later(last, home.wrapping_add(WINDOW)).then(|| last.wrapping_sub(home))
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

    fn rng() -> Rng {
        Rng::from_seed([7; 32])
    }

    #[test]
    fn identifications_rise_even_when_time_does_not() {
        let (mut clock, mut rng) = (Timestamps::new(0, 0, at(0, T)), rng());
        let mut before = clock.next(at(0, T), &mut rng);
        assert_eq!(before.seconds(), ntp_seconds(T));
        for _ in 0..1000 {
            let next = clock.next(at(0, T), &mut rng);
            assert!(next.0 > before.0);
            before = next;
        }
        let ahead = before.seconds();
        assert!(ahead > ntp_seconds(T));
        assert!(clock.next(at(1, T + 1), &mut rng).0 > before.0);
        let later = T + u64::from(ahead - ntp_seconds(T)) + 2;
        assert_eq!(clock.next(at(9, later), &mut rng).seconds(), ntp_seconds(later));
    }

    #[test]
    fn three_moves_a_second_for_an_hour_stay_in_the_window() {
        let (mut clock, mut rng) = (Timestamps::new(0, 0, at(0, T)), rng());
        for second in 0..3600 {
            for _ in 0..3 {
                let next = clock.next(at(second, T + second), &mut rng);
                assert!(next.seconds().wrapping_sub(ntp_seconds(T + second)) <= 1);
                clock.confirm(next);
            }
        }
    }

    #[test]
    fn a_restart_goes_on_above_the_last() {
        let last = ntp_seconds(T) + 5;
        let mut clock = Timestamps::new(last, 0, at(0, T));
        assert_eq!(clock.next(at(0, T), &mut rng()).seconds(), last + 1);
    }

    #[test]
    fn a_day_behind_and_a_day_ahead_are_both_repaired() {
        for wrong in [T - 86_400, T + 86_400] {
            let (mut clock, mut rng) = (Timestamps::new(0, 0, at(0, wrong)), rng());
            assert_eq!(clock.next(at(0, wrong), &mut rng).seconds(), ntp_seconds(wrong));
            clock.learn(ntp_seconds(T), at(0, wrong));
            let next = clock.next(at(0, wrong), &mut rng).seconds();
            assert!(next.wrapping_sub(ntp_seconds(T)) <= 1, "{wrong}");
        }
    }

    #[test]
    fn what_the_home_agent_took_is_never_repeated() {
        let (mut clock, mut rng) = (Timestamps::new(0, 0, at(0, T)), rng());
        let first = clock.next(at(0, T), &mut rng);
        let taken = Identification::new(first.seconds() + 3, 1 << 31);
        clock.confirm(taken);
        clock.last = Identification::new(taken.seconds() + 100, 0);
        clock.learn(ntp_seconds(T), at(0, T));
        let next = clock.next(at(0, T), &mut rng);
        assert!(next.0 > taken.0);
        assert_eq!(next.seconds(), taken.seconds());
    }

    #[test]
    fn a_home_agent_whose_clock_went_back_is_told_from_one_that_is_elsewhere() {
        let (mut clock, mut rng) = (Timestamps::new(0, 0, at(0, T)), rng());
        let home = ntp_seconds(T);
        let taken = clock.next(at(0, T), &mut rng);
        clock.learn(home - 1000, at(0, T));
        assert_eq!(clock.fallen_behind(home - 1000), None, "what it did not take, it may have anew");
        clock.confirm(taken);
        clock.last = taken;
        clock.learn(home - 1000, at(0, T));
        assert_eq!(clock.fallen_behind(home - 1000), Some(1000));
        clock.learn(home - WINDOW, at(0, T));
        assert_eq!(clock.fallen_behind(home - WINDOW), None, "within its window");
        clock.learn(home + 1000, at(0, T));
        assert_eq!(clock.fallen_behind(home + 1000), None);
    }

    #[test]
    fn a_jump_is_taken_out_once_the_time_was_right() {
        let mut clock = Timestamps::new(0, 0, at(0, T));
        assert!(clock.watch(at(1, T + 3601)));
        assert_eq!(clock.offset(), 0);
        clock.confirm(Identification::new(1, 0));
        assert!(clock.watch(at(2, T + 2)));
        assert_eq!(clock.offset(), 3600);
        assert!(!clock.watch(at(3, T + 3)));
        assert_eq!(clock.home_now(at(3, T + 3)), ntp_seconds(T + 3603));
    }

    #[test]
    fn the_era_turns() {
        let turn = (1_u64 << 32) - wire::mip::registration::NTP_TO_UNIX;
        let mut clock = Timestamps::new(0, 0, at(0, turn - 1));
        let mut rng = rng();
        assert_eq!(clock.next(at(0, turn - 1), &mut rng).seconds(), u32::MAX);
        assert_eq!(clock.next(at(2, turn + 1), &mut rng).seconds(), 1);
    }
}
