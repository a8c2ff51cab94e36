//! 100,000 forged, replayed and truncated requests a second at a home agent and at a foreign agent, and strangers'
//! advertisements, solicitations and ICMP errors: a node that is what it says registers meanwhile, memory and logs stay
//! small, and everything that was turned away has been counted by reason.
//!
//! The rate is what is offered; what the machine managed is printed. No speed is asserted beyond that an honest node is
//! not kept out.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Lines},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Stdio},
    time::{Duration, Instant},
};

use netns_tests::{Testbed, dice::Dice, text};
use serde_json::Value;

/// Datagrams a second that are offered, and at least so many must have gone out of those in all.
const RATE: u64 = 100_000;
const LEAST: u64 = 20_000;
/// Moves of the honest node, before a flood and during it.
const MOVES: usize = 8;
/// Most that a daemon's memory may grow by, and be, in MiB.
const GROWTH: u64 = 48;
const MEMORY: u64 = 160;
/// A registration under a flood takes at most so many times as long as before, or this long: one request that was lost
/// and sent again.
const FACTOR: u32 = 20;
const ONE_LOST: Duration = Duration::from_millis(2_500);
/// Lines a second in the log about what was discarded (docs/limits.md), and some for all else.
const LINES: usize = 20;

/// Honest `mn1`, and `mn2`, whose daemon is dead and whose host is an attacker's.
struct Net {
    testbed: Testbed,
    file: PathBuf,
}

const AGENT_A: &str = "10.21.1.1";
const HOME_AGENT: &str = "10.11.1.2";

impl Net {
    fn up() -> Self {
        let testbed = Testbed::new().unwrap();
        let whole = fs::read_to_string(Testbed::scenarios().join("90-fifty-nodes.toml")).unwrap();
        let two = whole.replace("count = 50", "count = 2");
        assert_ne!(two, whole);
        let file = testbed.results().join("two.toml");
        fs::write(&file, two).unwrap();
        testbed.run(&["up".as_ref(), file.as_os_str()]).unwrap();
        testbed.run(&["move", "mn2", "--to", "visited-a"]).unwrap();
        testbed.run(&["kill", "mn2"]).unwrap();
        let file = testbed.results().join("samples");
        fs::write(&file, "").unwrap();
        Self { testbed, file }
    }

    /// How long each of the moves took, there and back, until the node was registered.
    fn moves(&self, count: usize) -> Vec<Duration> {
        let one = |number: usize| {
            let begun = Instant::now();
            let to = if number.is_multiple_of(2) { "visited-b" } else { "visited-a" };
            self.testbed.run(&["move", "mn1", "--to", to]).unwrap();
            begun.elapsed()
        };
        (0..count).map(one).collect()
    }

    /// Keeps the requests that arrive at a node while the honest one moves, and says how long the moves took.
    fn overheard(&self, at: &str, address: &str) -> Vec<Duration> {
        // An even number of moves reaches each foreign agent half as often.
        let wanted = (MOVES / 2).to_string();
        let (mut child, mut lines) = self.start(at, env!("CARGO_BIN_EXE_netns-hear"), &[address, &wanted]);
        assert_eq!(lines.next().unwrap().unwrap(), "ready");
        let took = self.moves(MOVES);
        let samples: Vec<String> = lines.map(Result::unwrap).collect();
        child.wait().unwrap();
        assert!(samples.len() >= MOVES / 2, "{samples:?}");
        fs::write(&self.file, samples.join("\n")).unwrap();
        took
    }

    fn start(&self, node: &str, program: &str, words: &[&str]) -> (Child, Lines<BufReader<ChildStdout>>) {
        let words = [&["exec", node, "--", program], words].concat();
        let mut child = self.testbed.command(&words).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (child, lines)
    }

    /// Floods from a node for so many seconds, does something meanwhile, and says how many datagrams went out.
    fn flooded<T>(
        &self,
        from: &str,
        what: &str,
        to: &str,
        seconds: u64,
        during: impl FnOnce() -> T,
    ) -> (T, u64) {
        let dice = Dice::thrown();
        let numbers = [RATE, seconds, dice.seed].map(|number| number.to_string());
        let words =
            [&[what, to][..], &numbers.each_ref().map(String::as_str), &[self.file.to_str().unwrap()]]
                .concat();
        let (mut child, lines) = self.start(from, env!("CARGO_BIN_EXE_netns-flood"), &words);
        let done = during();
        let said: String = lines.map(Result::unwrap).collect();
        assert!(child.wait().unwrap().success(), "seed {}: {said}", dice.seed);
        let said: Value = serde_json::from_str(&said).unwrap();
        let sent = said["sent"].as_u64().unwrap();
        let rate = sent as f64 / said["seconds"].as_f64().unwrap();
        println!("{what} at {to}: {sent} sent, {rate:.0} a second, seed {}", dice.seed);
        assert!(sent >= LEAST, "{sent} of {what}");
        (done, sent)
    }

    fn counters(&self, node: &str, role: &str) -> BTreeMap<String, u64> {
        let status = self.testbed.sojourn(node, &[role, "status"]).unwrap().remove(0);
        let counters = status["counters"].as_object().unwrap();
        counters.iter().map(|(name, count)| (name.clone(), count.as_u64().unwrap())).collect()
    }

    /// The log of a node's daemon.
    fn log(&self, node: &str, program: &str) -> PathBuf {
        self.testbed.folder(node).join(program).with_extension("log")
    }

    /// Resident memory of the daemon of a node, in MiB.
    fn memory(&self, node: &str) -> u64 {
        let process = self.testbed.process(node).unwrap();
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    }
}

fn lines(log: &Path) -> usize {
    fs::read_to_string(log).unwrap().lines().count()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// What was counted under each reason since.
fn since(after: &BTreeMap<String, u64>, before: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let new = after.iter().map(|(name, count)| (name.clone(), count - before.get(name).unwrap_or(&0)));
    new.filter(|(_, count)| *count > 0).collect()
}

/// A flood of requests at the daemon of a node, and an honest node beside it.
fn requests_at(net: &Net, (node, role, program): (&str, &str, &str), from: &str, address: &str) {
    net.moves(2);
    let before_times = net.overheard(node, address);
    let (counted, memory) = (net.counters(node, role), net.memory(node));
    let log = net.log(node, program);
    let (logged, begun) = (lines(&log), Instant::now());
    let (during_times, sent) = net.flooded(from, "requests", address, 6, || net.moves(MOVES));
    let took = begun.elapsed();
    let (before, during) = (median(before_times), median(during_times));
    let ratio = during.as_secs_f64() / before.as_secs_f64();
    println!("a registration before: {before:?}, during: {during:?}, ratio {ratio:.2}");
    assert!(during < (before * FACTOR).max(ONE_LOST), "{before:?} and {during:?}");

    let after = net.memory(node);
    println!("memory before: {memory} MiB, after: {after} MiB");
    assert!(after <= MEMORY && after <= memory + GROWTH, "{memory} and {after} MiB");
    let reasons = since(&net.counters(node, role), &counted);
    println!("{reasons:?}");
    // Malformed, unauthenticated and replayed ones are told apart.
    assert!(reasons.len() >= 4, "{reasons:?}");
    assert!(reasons.values().sum::<u64>() >= LEAST / 10, "{sent} sent: {reasons:?}");
    let new = lines(&log) - logged;
    let most = (took.as_secs() as usize + 2) * LINES * 2 + 200;
    println!("{new} lines logged in {took:?}");
    assert!(new <= most, "{new} lines in {took:?}");
    net.testbed.run(&["exec", "cn", "--", env!("CARGO_BIN_EXE_netns-reach"), "10.11.1.50", "10"]).unwrap();
}

#[test]
fn a_flood_of_requests_at_the_home_agent_keeps_no_honest_node_out() {
    let net = Net::up();
    requests_at(&net, ("ha", "ha", "home-agent"), "cn", HOME_AGENT);
    net.testbed.run(&["down"]).unwrap();
}

#[test]
fn a_flood_of_requests_at_a_foreign_agent_keeps_no_honest_node_out() {
    let net = Net::up();
    requests_at(&net, ("fa-a", "fa", "foreign-agent"), "mn2", AGENT_A);
    net.testbed.run(&["down"]).unwrap();
}

/// Whoever opens registrations at a foreign agent that the home agent never answers, each from a station of its own and
/// with the challenge of the moment, fills what waits there and no more; the honest register, and it empties by itself.
#[test]
fn a_peer_that_opens_registrations_by_halves_keeps_no_honest_node_out() {
    let net = Net::up();
    net.moves(2);
    let before_times = net.overheard("fa-a", AGENT_A);
    let memory = net.memory("fa-a");
    let (taken, refused) = (net.counters("fa-a", "fa"), net.counters("ha", "ha"));
    let dice = Dice::thrown();
    let words = [AGENT_A, "2000", "8", &dice.seed.to_string(), net.file.to_str().unwrap()];
    let (mut child, lines) = net.start("mn2", env!("CARGO_BIN_EXE_netns-halves"), &words);
    let during_times = net.moves(MOVES);
    let said: String = lines.map(Result::unwrap).collect();
    assert!(child.wait().unwrap().success(), "seed {}: {said}", dice.seed);
    let (before, during) = (median(before_times), median(during_times));
    let after = net.memory("fa-a");
    println!("{said} of seed {}; a registration before: {before:?}, during: {during:?}", dice.seed);
    println!("memory before: {memory} MiB, after: {after} MiB");
    assert!(during < (before * FACTOR).max(ONE_LOST), "{before:?} and {during:?}");
    assert!(after <= MEMORY && after <= memory + GROWTH, "{memory} and {after} MiB");
    // They were halves: the foreign agent let them pass, and the home agent, which believes none, answered none.
    let relayed = since(&net.counters("ha", "ha"), &refused);
    let taken = since(&net.counters("fa-a", "fa"), &taken);
    println!("at the foreign agent: {taken:?}\nat the home agent: {relayed:?}");
    assert!(relayed.values().sum::<u64>() >= 100, "{relayed:?}");
    let counters = || net.testbed.sojourn("fa-a", &["fa", "counters"]).unwrap().remove(0);
    let peak = counters()["pending_peak"].as_u64().unwrap();
    assert!((10..=1_000).contains(&peak), "{}", counters());
    let begun = Instant::now();
    while counters()["pending"].as_u64().unwrap() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", counters());
    }
    net.moves(2);
    net.testbed.run(&["down"]).unwrap();
}

#[test]
fn advertisements_solicitations_and_icmp_of_strangers_move_nobody() {
    let net = Net::up();
    net.testbed.run(&["move", "mn1", "--to", "visited-a"]).unwrap();
    let node = net.testbed.node("mn1").unwrap();
    let home = text(&node["address"]).to_owned();
    let memory = ["mn1", "fa-a"].map(|node| net.memory(node));
    // To everybody on the link, to the agent and to the node.
    for (what, to) in [
        ("advertisements", "255.255.255.255"),
        ("solicitations", AGENT_A),
        ("icmp", AGENT_A),
        ("icmp", &home),
    ] {
        let logs = [net.log("mn1", "mobile-node"), net.log("fa-a", "foreign-agent")];
        let logged = logs.each_ref().map(|log| lines(log));
        let ((), _) = net.flooded("mn2", what, to, 3, || {
            net.testbed.run(&["exec", "cn", "--", env!("CARGO_BIN_EXE_netns-reach"), &home, "20"]).unwrap();
        });
        let now = net.testbed.node("mn1").unwrap();
        assert_eq!((&now["state"], &now["care_of"]), (&node["state"], &node["care_of"]), "{what} at {to}");
        for (log, logged) in logs.iter().zip(logged) {
            let new = lines(log) - logged;
            assert!(new < 400, "{what} at {to}: {new} lines in {}", log.display());
        }
        net.testbed.run(&["exec", "cn", "--", env!("CARGO_BIN_EXE_netns-reach"), &home, "10"]).unwrap();
    }
    for (node, before) in ["mn1", "fa-a"].into_iter().zip(memory) {
        let after = net.memory(node);
        println!("memory of {node} before: {before} MiB, after: {after} MiB");
        assert!(after <= MEMORY && after <= before + GROWTH, "{node}: {before} and {after} MiB");
    }
    net.moves(2);
    net.testbed.run(&["down"]).unwrap();
}
