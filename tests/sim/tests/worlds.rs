//! Ten thousand worlds, and those that once were broken, by name.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

/// Worlds in the test command; `SOJOURN_SEEDS` takes another number for long runs.
const WORLDS: u64 = 10_000;

fn check(seed: u64) -> Result<u64, String> {
    let outcome = sim::run(seed, false);
    match outcome.violation {
        None => Ok(outcome.registrations),
        Some(words) => Err(format!("broken {words}\nreplay it with: cargo run -p sim -- --seed {seed}")),
    }
}

#[test]
fn ten_thousand_worlds_keep_every_promise() {
    let worlds = std::env::var("SOJOURN_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(WORLDS);
    let (next, registrations) = (AtomicU64::new(0), AtomicU64::new(0));
    let work = || {
        while let seed = next.fetch_add(1, Ordering::Relaxed)
            && seed < worlds
        {
            match check(seed) {
                Ok(count) => registrations.fetch_add(count, Ordering::Relaxed),
                Err(words) => panic!("{words}"),
            };
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for thread in running {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
    // A simulation in which nothing happens would keep every promise.
    let registrations = registrations.into_inner();
    assert!(registrations > worlds * 2, "{registrations} registrations in {worlds} worlds");
}

#[test]
fn a_seed_always_gives_the_same_world() {
    for seed in 0..20 {
        let (a, b) = (sim::run(seed, true), sim::run(seed, true));
        assert_eq!(a.digest, b.digest);
        assert_eq!(a.trace, b.trace);
    }
}
