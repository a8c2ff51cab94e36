//! Clocks of real daemons that are a year off and that step: `libfaketime` lies to one of them about the wall clock, as a
//! file says that can change while it runs. Durations go by another clock, about which it does not lie.
#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};

use netns_tests::{Testbed, text, told::Told};

/// Where Debian and Fedora have it.
const LIBRARIES: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
];

/// A network in which the wall clock of one program can be set.
struct Lied {
    testbed: Testbed,
    file: PathBuf,
}

impl Lied {
    /// Nothing, said aloud, where the library is missing.
    fn to(program: &str, what: &str) -> Option<Self> {
        let Some(library) = LIBRARIES.into_iter().find(|file| Path::new(file).exists()) else {
            eprintln!("SKIPPED: {what} (libfaketime is not installed)");
            return None;
        };
        let testbed = Testbed::new().unwrap();
        let lied = Self { file: testbed.results().join("clock"), testbed };
        lied.clock("+0");
        let scenario = Testbed::scenarios().join("10-walk.toml");
        let mut up = lied.testbed.command(&["up".as_ref(), scenario.as_os_str()]);
        up.env("LD_PRELOAD", library).env("FAKETIME_ONLY_CMDS", program);
        up.env("FAKETIME_TIMESTAMP_FILE", &lied.file).env("FAKETIME_NO_CACHE", "1");
        up.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        let output = up.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        Some(lied)
    }

    /// So far off from now on.
    fn clock(&self, off: &str) {
        let new = self.file.with_extension("new");
        fs::write(&new, off).unwrap();
        // Whole at any moment.
        fs::rename(new, &self.file).unwrap();
    }

    fn denied_for_time(&self) -> u64 {
        let status = self.testbed.sojourn("ha", &["ha", "status"]).unwrap().remove(0);
        status["counters"]["code 133"].as_u64().unwrap_or(0)
    }

    fn arrives(&self, to: &str) {
        self.testbed.run(&["move", "mn", "--to", to]).unwrap();
        let node = self.testbed.node("mn").unwrap();
        assert_eq!(self.testbed.bindings("ha").unwrap(), [text(&node["care_of"])]);
    }
}

#[test]
fn a_mobile_node_a_year_off_is_told_the_time_and_registers_by_itself() {
    let Some(lied) = Lied::to("mobile-node", "a mobile node whose clock is a year off") else { return };
    for (number, (off, to)) in
        [("+365d", "visited-a"), ("-365d", "visited-b"), ("+0", "visited-a")].into_iter().enumerate()
    {
        let before = lied.denied_for_time();
        lied.clock(off);
        lied.arrives(to);
        assert!(lied.denied_for_time() > before, "{number}: {off}");
    }
    // It keeps to what it learned.
    let before = lied.denied_for_time();
    lied.arrives("visited-b");
    assert_eq!(lied.denied_for_time(), before);
    lied.testbed.run(&["down"]).unwrap();
}

#[test]
fn a_home_agent_whose_clock_steps_keeps_what_it_has_and_takes_nothing_old() {
    let Some(lied) = Lied::to("home-agent", "a home agent whose clock steps") else { return };
    lied.arrives("visited-a");
    lied.clock("+1h");
    lied.arrives("visited-b");
    let before = lied.testbed.bindings("ha").unwrap();
    // To it, what it accepted an hour from now is still the newest.
    lied.clock("+0");
    let mut told = Told::by(&lied.testbed, "ha", "ha");
    let last = lied.testbed.sojourn("ha", &["ha", "events"]).unwrap();
    let last = last.iter().map(|event| event["number"].as_u64().unwrap()).max().unwrap();
    thread::scope(|scope| {
        let arrived = scope.spawn(|| lied.testbed.run(&["move", "mn", "--to", "visited-a"]));
        told.wait_for_after(last, "code 133");
        assert_eq!(lied.testbed.bindings("ha").unwrap(), before);
        assert!(!arrived.is_finished());
        lied.clock("+1h");
        arrived.join().unwrap().unwrap();
    });
    assert_ne!(lied.testbed.bindings("ha").unwrap(), before);
    lied.testbed.run(&["down"]).unwrap();
}
