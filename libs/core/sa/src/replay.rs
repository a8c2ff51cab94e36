//! Replay protection by timestamps (RFC 5944 section 5.7.1).

use wire::mip::registration::{Identification, ntp_seconds};

/// What an identification says of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Replay {
    /// In the window and above the last one.
    Fresh,
    /// Not above the last one that passed: a replay, or late.
    NotAbove,
    /// The clock it was made by is off by this many seconds, more than the window (negative: behind).
    OutOfWindow(i64),
    /// Its high half is not the nonce that was given last (RFC 5944 section 5.7.2).
    OtherNonce,
}

/// Checks an identification against the last one that passed and the wall clock.
///
/// Both comparisons wrap, so the turn of the NTP era in 2036 needs no special case.
#[must_use]
pub fn check_identification(
    identification: Identification,
    last: Option<Identification>,
    unix_seconds: u64,
    window: u32,
) -> Replay {
    if let Some(last) = last
        && identification.0.wrapping_sub(last.0).cast_signed() <= 0
    {
        return Replay::NotAbove;
    }
    let off = identification.seconds().wrapping_sub(ntp_seconds(unix_seconds)).cast_signed();
    if off.unsigned_abs() > window { Replay::OutOfWindow(i64::from(off)) } else { Replay::Fresh }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn at(offset: i64) -> Identification {
        Identification::new(ntp_seconds(NOW.checked_add_signed(offset).unwrap()), 9)
    }

    #[test]
    fn inside_at_the_edge_of_and_beyond_the_window() {
        for (offset, expected) in [
            (0, Replay::Fresh),
            (7, Replay::Fresh),
            (-7, Replay::Fresh),
            (8, Replay::OutOfWindow(8)),
            (-8, Replay::OutOfWindow(-8)),
            (86_400, Replay::OutOfWindow(86_400)),
        ] {
            assert_eq!(check_identification(at(offset), None, NOW, 7), expected);
        }
    }

    #[test]
    fn only_what_is_above_the_last_one_passes() {
        let last = Some(at(0));
        assert_eq!(check_identification(at(0), last, NOW, 7), Replay::NotAbove);
        assert_eq!(check_identification(Identification(at(0).0 + 1), last, NOW, 7), Replay::Fresh);
        assert_eq!(check_identification(at(-1), last, NOW, 7), Replay::NotAbove);
    }

    #[test]
    fn the_ntp_era_turns_without_a_stop() {
        // 2036-02-07T06:28:16Z is NTP second 2^32.
        let turn = (1 << 32) - wire::mip::registration::NTP_TO_UNIX;
        let before = Identification::new(ntp_seconds(turn - 1), u32::MAX);
        let after = Identification::new(ntp_seconds(turn + 1), 0);
        assert_eq!(check_identification(after, Some(before), turn + 1, 7), Replay::Fresh);
        assert_eq!(check_identification(before, Some(after), turn + 1, 7), Replay::NotAbove);
    }
}
