//! A home agent whose disk takes its time, or loses the end of what was written when the power went.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::print_stdout, missing_docs)]

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use netns_tests::{Testbed, dice::Dice, text};

const LINKS: [&str; 2] = ["visited-a", "visited-b"];

fn up() -> Testbed {
    let testbed = Testbed::new().unwrap();
    testbed.run(&["up".as_ref(), Testbed::scenarios().join("10-walk.toml").as_os_str()]).unwrap();
    testbed
}

/// Makes each `fdatasync` of a process take so much longer, as long as this lives.
struct Slow(Child);

impl Slow {
    fn disk(process: u32, time: Duration) -> Option<Self> {
        let inject = format!("inject=fsync,fdatasync:delay_enter={}", time.as_micros());
        let mut command = Command::new("strace");
        command.args(["-f", "-e", "trace=fsync,fdatasync", "-e", &inject, "-p", &process.to_string()]);
        let mut tracer = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().ok()?;
        let mut lines = BufReader::new(tracer.stderr.take()?).lines();
        // It says so once it holds the process.
        let attached = lines.by_ref().map_while(Result::ok).any(|line| line.contains("attached"));
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let slow = Self(tracer);
        attached.then_some(slow)
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        // Without its consent the tracer leaves the process stopped.
        let number = nix::unistd::Pid::from_raw(self.0.id().cast_signed());
        let _ = nix::sys::signal::kill(number, nix::sys::signal::Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

#[test]
fn a_slow_disk_makes_answers_late_and_loses_none() {
    let testbed = up();
    testbed.run(&["move", "mn", "--to", "visited-b"]).unwrap();
    for (number, time) in [300, 1500].map(Duration::from_millis).into_iter().enumerate() {
        let Some(slow) = Slow::disk(testbed.process("ha").unwrap(), time) else {
            eprintln!("SKIPPED: a slow disk under the home agent (strace is not installed or may not trace)");
            return;
        };
        let begun = Instant::now();
        testbed.run(&["move", "mn", "--to", LINKS[number]]).unwrap();
        // What is not on the disk is not acknowledged.
        assert!(begun.elapsed() >= time, "{:?}", begun.elapsed());
        drop(slow);
        let node = testbed.node("mn").unwrap();
        assert_eq!(testbed.bindings("ha").unwrap(), [text(&node["care_of"])]);
    }
    testbed.run(&["down"]).unwrap();
}

/// The files of the store, the write-ahead log among them.
fn keep(from: &Path, to: &Path) {
    for file in ["ha.db", "ha.db-wal"] {
        fs::copy(from.join(file), to.join(file)).unwrap();
    }
    // Only an index of the log, which SQLite makes again.
    let _ = fs::remove_file(to.join("ha.db-shm"));
}

/// What a disk may have of the end of a log when the power goes: less, other octets, or more that means nothing.
fn tear(log: &Path, dice: &mut Dice) -> String {
    let mut octets = fs::read(log).unwrap();
    let length = octets.len() as u64;
    let begin = length - dice.below(length.min(40_000)) - 1;
    let what = match dice.below(3) {
        0 => {
            octets.truncate(begin as usize);
            format!("cut to {begin} of {length} octets")
        }
        1 => {
            let end = (begin + 1 + dice.below(5_000)).min(length);
            octets[begin as usize..end as usize].fill_with(|| dice.below(256) as u8);
            format!("octets {begin} to {end} of {length} are others")
        }
        _ => {
            octets[begin as usize..].fill(0);
            format!("zeros from {begin} of {length} on")
        }
    };
    fs::write(log, octets).unwrap();
    what
}

#[test]
fn the_end_of_a_log_that_was_torn_off_takes_only_itself_away() {
    let mut dice = Dice::thrown();
    println!("SOJOURN_SEED={}", dice.seed);
    let testbed = up();
    let mut acknowledged = BTreeSet::new();
    for number in 0..6 {
        testbed.run(&["move", "mn", "--to", LINKS[number % 2]]).unwrap();
        acknowledged.extend(testbed.bindings("ha").unwrap());
    }
    let last = testbed.bindings("ha").unwrap();
    testbed.run(&["kill", "ha"]).unwrap();
    let (folder, kept) = (testbed.folder("ha"), tempfile::tempdir().unwrap());
    keep(&folder, kept.path());
    for _ in 0..8 {
        keep(kept.path(), &folder);
        let how = tear(&folder.join("ha.db-wal"), &mut dice);
        // It must serve with what it had at some moment, whole: never with a part of a change.
        testbed.run(&["start", "ha"]).unwrap_or_else(|error| panic!("seed {}, {how}: {error:#}", dice.seed));
        let bindings = testbed.bindings("ha").unwrap();
        assert!(bindings.len() <= 1, "seed {}, {how}: {bindings:?}", dice.seed);
        assert!(
            bindings.iter().all(|it| acknowledged.contains(it)),
            "seed {}, {how}: {bindings:?}",
            dice.seed
        );
        testbed.run(&["kill", "ha"]).unwrap();
    }
    keep(kept.path(), &folder);
    testbed.run(&["start", "ha"]).unwrap();
    assert_eq!(
        testbed.bindings("ha").unwrap(),
        last,
        "with all of the log there is all that was acknowledged"
    );
    testbed.run(&["move", "mn", "--to", "visited-a"]).unwrap();
    testbed.run(&["down"]).unwrap();
}

#[test]
fn a_store_of_noise_is_refused_by_name_and_left_as_it_is() {
    let testbed = up();
    testbed.run(&["move", "mn", "--to", "visited-a"]).unwrap();
    let bindings = testbed.bindings("ha").unwrap();
    testbed.run(&["kill", "ha"]).unwrap();
    let (folder, kept) = (testbed.folder("ha"), tempfile::tempdir().unwrap());
    keep(&folder, kept.path());
    fs::remove_file(folder.join("ha.db-wal")).unwrap();
    let noise: Vec<u8> = (0..20_000_u32).map(|number| (number * 7 % 251) as u8).collect();
    fs::write(folder.join("ha.db"), &noise).unwrap();
    let refused = testbed.attempt(&["start", "ha"]).unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("ha.db"), "{said}");
    assert_eq!(fs::read(folder.join("ha.db")).unwrap(), noise);
    keep(kept.path(), &folder);
    testbed.run(&["start", "ha"]).unwrap();
    assert_eq!(testbed.bindings("ha").unwrap(), bindings);
    testbed.run(&["down"]).unwrap();
}
