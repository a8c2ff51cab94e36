//! Times at which this machine's processors themselves did not run, as on a host that gives them to somebody else.
//! Then queues fill and overflow, and no daemon had a hand in it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Result, anyhow};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

use crate::clock;

/// Each processor is asked this often whether it runs.
const EVERY: Duration = Duration::from_millis(4);
/// Nanoseconds: a thread ahead of all others waits for this long only on a processor that stands still.
const SHORTEST: u64 = 20_000_000;

/// From when to when, in boot nanoseconds.
pub(crate) type Standstill = (u64, u64);

/// A thread on each processor, ahead of everything else there, that notices when it was not let run.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<Standstill>>>,
}

impl Watch {
    /// Starts to watch every processor that this process may use.
    pub(crate) fn start() -> Result<Self> {
        let ours = sched_getaffinity(Pid::from_raw(0))?;
        let mut watch = Self { stop: Arc::default(), threads: Vec::new() };
        for processor in (0..CpuSet::count()).filter(|number| ours.is_set(*number).unwrap_or(false)) {
            let stop = Arc::clone(&watch.stop);
            let thread = thread::Builder::new().name("standstill".into());
            watch.threads.push(thread.spawn(move || {
                // Without the priority, as for a user who is not root, other work may hold the thread up; then
                // nothing that it says is worth telling.
                if go_ahead_of_others(processor) { watch_one(&stop) } else { Vec::new() }
            })?);
        }
        Ok(watch)
    }

    /// Stops, and hands over every standstill in order of time.
    pub(crate) fn finish(mut self) -> Result<Vec<Standstill>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for thread in self.threads.drain(..) {
            all.extend(thread.join().map_err(|_| anyhow!("a thread that watches a processor panicked"))?);
        }
        all.sort_unstable();
        Ok(all)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Binds this thread to a processor, before all threads that have no deadline; whether that was allowed.
fn go_ahead_of_others(processor: usize) -> bool {
    let mut only = CpuSet::new();
    if only.set(processor).is_err() || sched_setaffinity(Pid::from_raw(0), &only).is_err() {
        return false;
    }
    let priority = libc::sched_param { sched_priority: 1 };
    // SAFETY: the call reads the one structure, which outlives it, and concerns this thread alone.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const priority) == 0 }
}

fn watch_one(stop: &AtomicBool) -> Vec<Standstill> {
    let mut seen = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let due = clock::boot_ns() + u64::try_from(EVERY.as_nanos()).unwrap_or(0);
        thread::sleep(EVERY);
        seen.extend(between(due, clock::boot_ns()));
    }
    seen
}

/// A standstill, if a thread that was due then ran only now.
fn between(due: u64, now: u64) -> Option<Standstill> {
    (now.saturating_sub(due) >= SHORTEST).then_some((due, now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_ran_late_stood_still_for_as_long() {
        assert_eq!(between(1_000, 1_000 + SHORTEST - 1), None);
        assert_eq!(between(1_000, 1_000 + SHORTEST), Some((1_000, 1_000 + SHORTEST)));
        assert_eq!(between(1_000, 500), None);
    }

    #[test]
    fn every_processor_is_watched_until_the_end() {
        let watch = Watch::start().unwrap();
        let processors = sched_getaffinity(Pid::from_raw(0)).unwrap();
        let ours = (0..CpuSet::count()).filter(|number| processors.is_set(*number).unwrap()).count();
        assert_eq!(watch.threads.len(), ours);
        let begun = clock::boot_ns();
        let seen = watch.finish().unwrap();
        for (from, to) in seen {
            assert!(from < to && to <= clock::boot_ns() && from + 1_000_000_000 > begun);
        }
    }
}
