//! The two clocks of a run. All times in reports are differences of `boot_ns`, which never jumps.

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds of CLOCK_BOOTTIME, the clock that the daemons' events carry too.
pub(crate) fn boot_ns() -> u64 {
    read(ClockId::CLOCK_BOOTTIME)
}

/// Nanoseconds since 1970, the clock of the kernel's packet times.
pub(crate) fn unix_ns() -> u64 {
    read(ClockId::CLOCK_REALTIME)
}

/// Milliseconds from one boot time to a later one; 0 if it is not later.
pub(crate) fn ms(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64 / 1e6
}

fn read(clock: ClockId) -> u64 {
    clock_gettime(clock)
        .map_or(0, |time| time.tv_sec().cast_unsigned() * 1_000_000_000 + time.tv_nsec().cast_unsigned())
}
