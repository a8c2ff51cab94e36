//! Ten thousand worlds, and those that once were broken, by name.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

/// Worlds in the test command; `SOJOURN_SEEDS` takes another number for long runs.
const WORLDS: u64 = 10_000;

/// How much happened.
#[derive(Default)]
struct Happened {
    registrations: AtomicU64,
    revocations: AtomicU64,
}

fn check(seed: u64, happened: &Happened) -> Result<(), String> {
    let outcome = sim::run(seed, false);
    match outcome.violation {
        None => {
            happened.registrations.fetch_add(outcome.registrations, Ordering::Relaxed);
            happened.revocations.fetch_add(outcome.revocations, Ordering::Relaxed);
            Ok(())
        }
        Some(words) => Err(format!("broken {words}\nreplay it with: cargo run -p sim -- --seed {seed}")),
    }
}

#[test]
fn ten_thousand_worlds_keep_every_promise() {
    let worlds = std::env::var("SOJOURN_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(WORLDS);
    let (next, happened) = (AtomicU64::new(0), Happened::default());
    let work = || {
        while let seed = next.fetch_add(1, Ordering::Relaxed)
            && seed < worlds
        {
            if let Err(words) = check(seed, &happened) {
                panic!("{words}");
            }
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
    let (registrations, revocations) =
        (happened.registrations.into_inner(), happened.revocations.into_inner());
    assert!(registrations > worlds * 2, "{registrations} registrations in {worlds} worlds");
    assert!(revocations > worlds / 2, "{revocations} revocations in {worlds} worlds");
}

/// In world 8878 a node deregisters at home, goes back to where it was and registers while the first is being committed:
/// the agent there was told of the end of what had been renewed.
#[test]
fn who_is_back_before_its_leave_is_committed_is_not_revoked() {
    assert_eq!(sim::run(8878, false).violation.map(|broken| broken.to_string()), None);
}

#[test]
fn a_seed_always_gives_the_same_world() {
    for seed in 0..20 {
        let (a, b) = (sim::run(seed, true), sim::run(seed, true));
        assert_eq!(a.digest, b.digest);
        assert_eq!(a.trace, b.trace);
    }
}
