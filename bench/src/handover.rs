//! Moves of a mobile node among its home and two foreign agents, with the real daemons in network namespaces on links
//! without delay: milliseconds from the link that comes up to the first packet that comes over it.

use std::{
    fmt::Write as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::{
    lab,
    outcome::{Outcome, median, quantile, say},
};

/// Moves of all runs together, at least.
const MOVES: u32 = 100;
/// Where the moves lead to, over and over; the node begins at the last.
const ROUND: [&str; 4] = ["visited-a", "visited-b", "home", "visited-b"];
/// How long the node stays anywhere.
const STAYS_MS: u32 = 700;
/// Echoes of one run of `ping` over each part of the path.
const ECHOES: &str = "200";
/// The name of the network that is up for `ping`.
const NETWORK: &str = "bench";
/// How long a network may take to come up.
const COMES_UP: Duration = Duration::from_secs(60);

pub(crate) fn run(runs: u32) -> anyhow::Result<Outcome> {
    let bed = Bed::new()?;
    let ping = lab::needs("ping", "iputils-ping");
    let (mut moves, mut registrations, mut pings) = (Vec::new(), Vec::new(), Vec::new());
    let mut failures = Vec::new();
    let each = MOVES.div_ceil(runs);
    for run in 1..=runs {
        let seen = bed.walk(each)?;
        say(&format!(
            "run {run} of {runs}: {each} moves, median {:.2} ms, registrations {:.2} ms",
            median(&seen.moves),
            median(&seen.registrations)
        ));
        moves.extend(seen.moves);
        registrations.extend(seen.registrations);
        failures.extend(seen.failures);
        if ping.is_ok() {
            pings.push(bed.ping()?);
        }
    }
    let registration = median(&registrations);
    let outcome = Outcome::new("handover", "ms from link up to first packet", moves.clone())
        .with("p99_ms", quantile(&moves, 0.99))
        .with("failures", failures.len())
        .with("failed", failures)
        .with("registration_ms", registration)
        .with("registration_p99_ms", quantile(&registrations, 0.99));
    Ok(match ping {
        Ok(()) => {
            let above = registration - median(&pings);
            outcome.with("registration_above_ping_ms", above).against("ping", pings)
        }
        Err(error) => outcome.without("ping", format!("{error:#}")),
    })
}

/// What one walk showed.
struct Seen {
    /// Milliseconds from link up to first packet.
    moves: Vec<f64>,
    /// Milliseconds from request to acceptance, of the moves to foreign agents.
    registrations: Vec<f64>,
    failures: Vec<String>,
}

/// The testbed's program, and a folder to work in.
struct Bed {
    program: PathBuf,
    folder: tempfile::TempDir,
}

impl Bed {
    fn new() -> anyhow::Result<Self> {
        let program = lab::build(&["testbed", "home-agent", "foreign-agent", "mobile-node", "kdc"])?;
        Ok(Self { program, folder: tempfile::Builder::new().prefix("sj").tempdir()? })
    }

    /// A scenario in which the node stays at each of these links in turn.
    fn scenario(&self, links: &[&str]) -> anyhow::Result<PathBuf> {
        let mut text = include_str!("handover.toml").to_owned();
        text.push_str("roam = [\n");
        for link in links {
            writeln!(text, "    {{ link = \"{link}\", stay_ms = {STAYS_MS} }},")?;
        }
        text.push_str("]\n");
        let path = self.folder.path().join("handover.toml");
        std::fs::write(&path, text)?;
        Ok(path)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// So many moves in a network of their own.
    fn walk(&self, moves: u32) -> anyhow::Result<Seen> {
        let last = ROUND[ROUND.len() - 1];
        let links: Vec<&str> =
            std::iter::once(&last).chain(ROUND.iter().cycle()).take(moves as usize + 1).copied().collect();
        let (scenario, report) = (self.scenario(&links)?, self.folder.path().join("report.json"));
        let mut command = self.command(&["run"]);
        command.arg(scenario).arg("--report").arg(&report);
        // A run that is not as it should be ends with a failure, and has its report all the same.
        let output = command.output().context("testbed run")?;
        let report = std::fs::read(&report).with_context(|| {
            format!("testbed run has no report: {}", String::from_utf8_lossy(&output.stderr).trim())
        })?;
        std::fs::remove_file(self.folder.path().join("report.json"))?;
        seen(&serde_json::from_slice(&report)?)
    }

    /// Milliseconds of an echo from the mobile node to its foreign agent and on to its home agent, in a network that
    /// is up for it.
    fn ping(&self) -> anyhow::Result<f64> {
        let scenario = self.scenario(&["visited-a", "home"])?;
        let mut up = Up {
            bed: self,
            child: self.command(&["up", "--name", NETWORK]).arg(scenario).stdout(Stdio::null()).spawn()?,
        };
        let start = Instant::now();
        while !self.registered()? {
            let ended = up.child.try_wait()?;
            ensure!(ended.is_none() && start.elapsed() < COMES_UP, "testbed up did not come up");
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(self.echo("mn", "10.21.1.1")? + self.echo("fa-a", "10.11.1.2")?)
    }

    /// Whether the network answers and the mobile node is where it ought to be.
    fn registered(&self) -> anyhow::Result<bool> {
        Ok(self
            .command(&["exec", "--name", NETWORK, "mn", "--", "true"])
            .stderr(Stdio::null())
            .status()?
            .success())
    }

    fn echo(&self, from: &str, to: &str) -> anyhow::Result<f64> {
        let arguments = ["exec", "--name", NETWORK, from, "--", "ping", "-n", "-c", ECHOES, "-i", "0.01", to];
        let output = self.command(&arguments).stdout(Stdio::piped()).output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        let times = echoes(&said);
        ensure!(!times.is_empty(), "nobody answered ping from {from} to {to}: {said}");
        Ok(median(&times))
    }
}

/// A network that is up until this is dropped.
struct Up<'a> {
    bed: &'a Bed,
    child: Child,
}

impl Drop for Up<'_> {
    fn drop(&mut self) {
        let down = self.bed.command(&["down", "--name", NETWORK]).stdout(Stdio::null()).status();
        if !down.is_ok_and(|status| status.success()) {
            say("testbed down failed");
            drop(self.child.kill());
        }
        drop(self.child.wait());
    }
}

/// The times that `ping` printed, in milliseconds.
fn echoes(said: &str) -> Vec<f64> {
    let time = |line: &str| line.split_once("time=")?.1.split(' ').next()?.parse().ok();
    said.lines().filter_map(time).collect()
}

/// The moves of a report.
fn seen(report: &Value) -> anyhow::Result<Seen> {
    let handovers = report["handovers"].as_array().context("no handovers in the report")?;
    let mut seen = Seen { moves: Vec::new(), registrations: Vec::new(), failures: Vec::new() };
    for line in handovers {
        match line["link_up_to_first_packet_ms"].as_f64() {
            Some(time) => seen.moves.push(time),
            None => seen.failures.push(format!("no packet on {} any more", line["to"])),
        }
        if line["to"] != "home" {
            seen.registrations.extend(line["registration_ms"].as_f64());
        }
    }
    let faults = report["faults"].as_array().context("no faults in the report")?;
    seen.failures.extend(faults.iter().filter_map(Value::as_str).map(str::to_owned));
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_move_without_a_packet_is_a_failure() {
        let report = json!({
            "handovers": [
                { "to": "visited-a", "link_up_to_first_packet_ms": 4.0, "registration_ms": 1.5 },
                { "to": "visited-b", "link_up_to_first_packet_ms": null, "registration_ms": null },
                { "to": "home", "link_up_to_first_packet_ms": 2.0, "registration_ms": 9.0 },
            ],
            "faults": ["the transfer broke"],
        });
        let seen = seen(&report).unwrap();
        assert_eq!((seen.moves, seen.registrations), (vec![4.0, 2.0], vec![1.5]));
        assert_eq!(seen.failures.len(), 2);
    }

    #[test]
    fn the_times_of_ping_are_read() {
        let said =
            "PING 10.1.1.1\n64 bytes from 10.1.1.1: icmp_seq=1 ttl=64 time=0.051 ms\n\n--- statistics ---\n";
        assert_eq!(echoes(said), [0.051]);
    }
}
