//! The wall clock of a real home agent steps, while it runs and while it is down: who is registered stays so, a node
//! finds its way back with one denial, and no lifetime grows.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::Path,
    process::Command,
    thread,
};

use netns_tests::{Testbed, text, told::Told};

const DAY: i64 = 86_400;
const YEAR: i64 = 365 * DAY;
const HOME: &str = "10.11.1.50";

/// A network whose home agent's clock the test turns.
struct Net {
    testbed: Testbed,
    shift: File,
}

impl Net {
    fn up() -> Self {
        let testbed = Testbed::new().unwrap();
        let library = testbed.results().join("shift.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("clock/shift.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).args([&library, &source]);
        assert!(compiler.status().unwrap().success());
        let file = testbed.results().join("shift");
        fs::write(&file, 0_i64.to_ne_bytes()).unwrap();
        let shift = File::options().write(true).open(&file).unwrap();
        let mut up = testbed.command(&["up".as_ref(), Testbed::scenarios().join("10-walk.toml").as_os_str()]);
        up.env("LD_PRELOAD", library).env("CLOCK_SHIFT", file).env("CLOCK_SHIFT_OF", "home-agent");
        let said = testbed.output(&mut up).unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        Self { testbed, shift }
    }

    /// Sets the clock so many seconds off the machine's.
    fn turn(&self, seconds: i64) {
        self.shift.write_all_at(&seconds.to_ne_bytes(), 0).unwrap();
    }

    fn go(&self, to: &str) {
        self.testbed.run(&["move", "mn", "--to", to]).unwrap();
        self.stands_at(to);
    }

    /// Bound where it is, and reached.
    fn stands_at(&self, link: &str) {
        let node = self.testbed.node("mn").unwrap();
        assert_eq!((text(&node["state"]), text(&node["link"])), ("registered", link));
        assert_eq!(self.testbed.bindings("ha").unwrap(), [text(&node["care_of"])]);
        self.reached();
    }

    fn reached(&self) {
        let reach = env!("CARGO_BIN_EXE_netns-reach");
        self.testbed.run(&["exec", "cn", "--", reach, HOME, "10"]).unwrap();
    }

    /// How often the node was denied, each time with 133, identification mismatch.
    fn mismatches(&self) -> u64 {
        let counters = self.testbed.sojourn("ha", &["ha", "counters"]).unwrap().remove(0);
        let node = &counters["peers"][0];
        let denied = node["denied"].as_u64().unwrap();
        assert_eq!(node["denied_code"].as_u64().unwrap(), if denied == 0 { 0 } else { 133 }, "{counters}");
        denied
    }

    fn left(&self) -> u64 {
        let row = self.testbed.sojourn("ha", &["ha", "bindings"]).unwrap().remove(0);
        row["lifetime_left_s"].as_u64().unwrap()
    }

    /// The keys that the home agent holds, by name.
    fn keys(&self) -> BTreeSet<String> {
        let rows = self.testbed.sojourn("ha", &["ha", "associations"]).unwrap();
        rows.iter().map(|row| text(&row["fingerprint"]).to_owned()).collect()
    }

    fn start_again(&self) {
        self.testbed.run(&["kill", "ha"]).unwrap();
        self.testbed.run(&["start", "ha"]).unwrap();
    }
}

#[test]
fn a_clock_that_steps_ahead_costs_one_denial_and_back_again_no_binding() {
    let net = Net::up();
    net.go("visited-a");
    for (step, to) in [(8, "visited-b"), (DAY, "visited-a"), (YEAR, "visited-b")] {
        let denied = net.mismatches();
        net.turn(step);
        net.go(to);
        assert_eq!(net.mismatches(), denied + 1, "{step} s ahead");
    }
    // Set back: what was accepted stays the measure, and the binding stands.
    let bound = net.testbed.bindings("ha").unwrap();
    net.turn(0);
    let mut told = Told::by(&net.testbed, "mn", "mn");
    thread::scope(|scope| {
        let arrived = scope.spawn(|| net.testbed.run(&["move", "mn", "--to", "visited-a"]));
        told.wait_for("s behind a request that it accepted");
        assert_eq!(net.testbed.bindings("ha").unwrap(), bound);
        assert!(!arrived.is_finished());
        net.turn(YEAR);
        arrived.join().unwrap().unwrap();
    });
    net.stands_at("visited-a");
    net.testbed.run(&["down"]).unwrap();
}

#[test]
fn a_home_agent_that_starts_with_another_clock_lengthens_no_binding() {
    let net = Net::up();
    net.go("visited-a");
    let lifetime = net.left();
    net.turn(-YEAR);
    net.start_again();
    assert!(net.left() <= lifetime);
    net.stands_at("visited-a");
    // A year later by its clock, whatever it held is over; the node comes back when it moves, or when its time has come.
    let held = net.keys();
    net.turn(YEAR);
    net.start_again();
    Told::by(&net.testbed, "ha", "ha").wait_for("its lifetime is over");
    assert!(!held.is_empty() && held.is_disjoint(&net.keys()));
    net.go("visited-b");
    net.testbed.run(&["down"]).unwrap();
}
