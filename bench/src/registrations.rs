//! Registrations a second at one home agent with a key distribution centre beside it, played by `testbed load`: every
//! reply carries three fresh keys, every binding and every grant is durable before it. Beside it what others do for one
//! user, none of which is durable or makes three keys.

mod echo;
mod kerberos;
mod radius;

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use crypto::{Rng, exchange::Secret};
use serde_json::Value;

use crate::{
    lab,
    outcome::{Outcome, median, say},
};

/// Mobile nodes.
const NODES: &str = "2000";
/// Seconds that one run of ours lasts, after all are registered.
const SECONDS: &str = "6";

/// Without key shares, beside Kerberos, RADIUS and a bare echo.
pub(crate) fn plain(runs: u32) -> anyhow::Result<Outcome> {
    let load = Load::new()?;
    let (kerberos, radius) = (kerberos::Kdc::start(), radius::Server::start());
    let (mut ours, mut p99) = (Vec::new(), Vec::new());
    let (mut echoes, mut tickets, mut accepts) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let rate = load.run(&["--no-shares"])?.rate;
        ours.push(rate);
        p99.push(load.run(&["--no-shares", "--rate", &format!("{:.0}", rate / 2.0)])?.p99_ms);
        echoes.push(echo::rate()?);
        if let Ok(kdc) = &kerberos {
            tickets.push(kdc.rate()?);
        }
        if let Ok(server) = &radius {
            accepts.push(server.rate()?);
        }
    }
    let outcome = Outcome::new("registrations", "registrations/s", ours)
        .with("p99_ms_at_half_of_that", median(&p99))
        .with("p99_ms_runs", p99)
        .against("echo", echoes);
    let outcome = match kerberos {
        Ok(_) => outcome.against("krb5kdc", tickets),
        Err(error) => outcome.without("krb5kdc", format!("{error:#}")),
    };
    Ok(match radius {
        Ok(_) => outcome.against("freeradius", accepts),
        Err(error) => outcome.without("freeradius", format!("{error:#}")),
    })
}

/// With key shares, beside the key exchanges alone on the same cores.
pub(crate) fn with_shares(runs: u32) -> anyhow::Result<Outcome> {
    let load = Load::new()?;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        ours.push(load.run(&[])?.rate);
        bare.push(exchanges()?);
    }
    Ok(Outcome::new("registrations-fs", "registrations/s", ours).against("x25519", bare))
}

/// One run of the load generator.
struct Played {
    rate: f64,
    p99_ms: f64,
}

/// The load generator's program and where it works.
struct Load {
    program: PathBuf,
    folder: tempfile::TempDir,
}

impl Load {
    fn new() -> anyhow::Result<Self> {
        let program = lab::build(&["testbed", "home-agent", "kdc"])?;
        Ok(Self { program, folder: tempfile::tempdir()? })
    }

    fn run(&self, arguments: &[&str]) -> anyhow::Result<Played> {
        let json = self.folder.path().join("load.json");
        let directory = self.folder.path().join("run");
        let mut command = Command::new(&self.program);
        command.args(["load", "--nodes", NODES, "--seconds", SECONDS]).args(arguments);
        command.arg("--json").arg(&json).arg("--directory").arg(&directory);
        let output = command.stdin(Stdio::null()).output().context("testbed load")?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "testbed load: {said}{}", String::from_utf8_lossy(&output.stderr));
        let figures: Value = serde_json::from_slice(&std::fs::read(&json)?)?;
        let count = |name: &str| figures[name].as_u64().with_context(|| format!("no {name} in its figures"));
        ensure!(
            count("verified")? == count("accepted")?,
            "an answer was not what a node and an agent accept"
        );
        ensure!(count("unreachable")? == 0, "some nodes could not be reached");
        let phases = figures["phases"].as_array().context("no phases in its figures")?;
        let moves =
            phases.iter().find(|phase| phase["name"] == "moves").context("no moves in its figures")?;
        let number = |name: &str| moves[name].as_f64().with_context(|| format!("no {name} in its figures"));
        let played = Played { rate: number("rate")?, p99_ms: number("p99_ms")? };
        say(&format!("{:.0} registrations/s, 99 of 100 within {:.1} ms", played.rate, played.p99_ms));
        Ok(played)
    }
}

/// What the exchanges of a registration alone allow: the home agent makes a share and completes it with the mobile
/// node's, the node completes it too. A foreign agent uses its share again, and a node could have made its own before.
fn exchanges() -> anyhow::Result<f64> {
    const LASTS: Duration = Duration::from_secs(2);
    let cores = std::thread::available_parallelism()?.get();
    let work = |seed| {
        let mut rng = Rng::from_seed([seed; 32]);
        let (node, start) = (Secret::new(&mut rng), Instant::now());
        let theirs = node.public();
        let mut done = 0_u32;
        while start.elapsed() < LASTS {
            let ours = Secret::new(&mut rng);
            std::hint::black_box((ours.agree(&theirs), node.agree(&ours.public())));
            done += 1;
        }
        f64::from(done) / start.elapsed().as_secs_f64()
    };
    let rates = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..cores).map(|n| scope.spawn(move || work(u8::try_from(n).unwrap_or(u8::MAX)))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(0.0)).sum()
    });
    Ok(rates)
}
