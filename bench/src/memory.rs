//! What the home agent's core takes for a million bindings with their associations, and for the windows of security
//! parameter indices of a million subscribers; and how long it takes to find whom an index names.

use std::{
    hint::black_box,
    net::Ipv4Addr,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, ensure};
use crypto::{Cipher, Key, Rng};
use mobility::home_agent::{HomeAgent, Names};
use record::{Association, AssociationKind, Binding, Nai, State, Suite, Tunnel};
use sa::MobileHome;
use wire::mip::Spi;

use crate::{
    outcome::{Outcome, median},
    requests::{self, UNIX},
};

/// Bindings and subscribers.
pub(crate) const MANY: u32 = 1_000_000;
/// Indices of one subscriber: two below the highest that was seen, itself, and thirteen above it.
const WINDOW: u64 = 16;
/// Lookups that are timed.
const LOOKUPS: u32 = 20_000;

/// What is measured in a process of its own: memory that another part gave back would hide what this one takes.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Part {
    Bindings,
    Windows,
}

pub(crate) fn run(runs: u32) -> anyhow::Result<Outcome> {
    let (mut bindings, mut windows, mut resolved) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs.min(3) {
        bindings.push(measured("bindings")?["median"].as_f64().context("octets")?);
        let of_windows = measured("windows")?;
        windows.push(of_windows["median"].as_f64().context("octets")?);
        resolved.push(of_windows["resolve_median_ns"].as_f64().context("nanoseconds")?);
    }
    let limit = vec![f64::from(u32::try_from(size_of::<Association>() * 2)?); bindings.len()];
    Ok(Outcome::new("memory", "octets a binding", bindings)
        .against("associations", limit)
        .with("octets_a_window", median(&windows))
        .with("window_runs", windows)
        .with("resolve_median_ns", median(&resolved)))
}

/// What this program finds of one part when it is started anew.
fn measured(part: &str) -> anyhow::Result<serde_json::Value> {
    let own = std::env::current_exe().context("this program")?;
    let output = Command::new(own)
        .args(["memory-part", part])
        // What is given back to the allocator goes back to the kernel at once and is not counted.
        .env("MIMALLOC_PURGE_DELAY", "0")
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "memory-part {part} ended with {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// One part, in this process.
pub(crate) fn part(part: Part) -> anyhow::Result<Outcome> {
    match part {
        Part::Bindings => Ok(Outcome::new("memory-part", "octets a binding", vec![of_bindings()?])),
        Part::Windows => {
            let (octets, nanoseconds) = of_windows()?;
            let outcome = Outcome::new("memory-part", "octets a window", vec![octets]);
            Ok(outcome.with("resolve_median_ns", nanoseconds))
        }
    }
}

/// Octets that the process has in memory.
fn resident() -> anyhow::Result<f64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: f64 = statm.split(' ').nth(1).context("resident pages")?.parse()?;
    Ok(pages * 4096.0)
}

/// Binding `n` of a million, through one of a hundred agents.
pub(crate) fn binding(n: u32, names: &[std::sync::Arc<str>], rng: &mut Rng) -> anyhow::Result<Binding> {
    let nai = Nai::parse(&format!("traveller-{n}@home.example"))?;
    let agent = &names[1 + n as usize % (names.len() - 1)];
    let mut association = |kind, peer: &std::sync::Arc<str>| Association {
        kind,
        inbound: Spi(rng.u32().max(512)),
        outbound: Spi(rng.u32().max(512)),
        suite: Suite::default(),
        key: rng.key(),
        own: names[0].clone(),
        peer: peer.clone(),
        made: UNIX,
        ends: UNIX + 1800,
        confirmed: false,
        retires: None,
    };
    let associations =
        vec![association(AssociationKind::Key1, &nai.shared()), association(AssociationKind::Key2, agent)];
    let care_of = Ipv4Addr::from_bits(0x0a33_0002 + (n % 100) * 256);
    Ok(Binding {
        home_address: Ipv4Addr::from_bits(0x0b00_0000 + n),
        care_of,
        tunnel: Tunnel::IpInIp(care_of),
        reverse_tunnel: true,
        broadcasts: false,
        revocation: None,
        foreign_agent: Some(agent.clone()),
        lifetime: 1800,
        granted: UNIX,
        associations,
        nai,
    })
}

/// The home agent and its hundred foreign agents.
pub(crate) fn names() -> Vec<std::sync::Arc<str>> {
    let agents = (0..100).map(|n| format!("fa-{n}@visited.example").into());
    std::iter::once("ha@home.example".into()).chain(agents).collect()
}

fn of_bindings() -> anyhow::Result<f64> {
    let (names, mut rng) = (names(), Rng::from_seed([1; 32]));
    let before = resident()?;
    let bindings = (0..MANY).map(|n| binding(n, &names, &mut rng)).collect::<Result<Vec<_>, _>>()?;
    let state = State { bindings, ..State::default() };
    let core = HomeAgent::new(requests::configuration(), [1; 32], state, requests::start());
    let octets = (resident()? - before) / f64::from(MANY);
    black_box(core.bindings_held());
    Ok(octets)
}

/// Octets of one window, and the median time of finding whom an index names and which number it has.
fn of_windows() -> anyhow::Result<(f64, f64)> {
    let mut rng = Rng::from_seed([1; 32]);
    // The indices themselves are random; those of a few subscribers are real, so that numbers can be told.
    let real: Vec<_> = (0..1000_u32).map(|n| credential(n, &mut rng)).collect::<Result<_, _>>()?;
    let before = resident()?;
    let mut names = Names::default();
    for n in 0..MANY {
        let nai = Nai::parse(&format!("traveller-{n}@home.example"))?;
        let number = names.enter(nai);
        for index in 1..=WINDOW {
            let spi = match real.get(n as usize) {
                Some(real) => real.one_time_spi(index),
                None => Spi(rng.u32().max(512)),
            };
            names.add(number, spi);
        }
    }
    let octets = (resident()? - before) / f64::from(MANY);
    let mut times = Vec::with_capacity(LOOKUPS as usize);
    for _ in 0..LOOKUPS {
        let real = &real[rng.u32() as usize % real.len()];
        let spi = real.one_time_spi(4);
        let start = Instant::now();
        let found = names.candidates(spi).take(4).any(|_| real.one_time_spi(4) == spi);
        times.push(start.elapsed().as_secs_f64() * 1e9);
        ensure!(found, "an index was lost");
    }
    Ok((octets, median(&times)))
}

fn credential(n: u32, rng: &mut Rng) -> anyhow::Result<MobileHome> {
    let nai = Nai::parse(&format!("traveller-{n}@home.example"))?;
    let key0 = Key::new(rng.array());
    Ok(MobileHome::new(&nai, "home.example", Spi(1000), Cipher::Aes256Gcm, key0))
}
