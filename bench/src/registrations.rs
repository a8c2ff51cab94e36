//! Registrations a second at one home agent with a key distribution centre beside it, played by `testbed load`: every
//! reply carries three fresh keys, every binding and every grant is durable before it. Beside it what others do for one
//! user, none of which is durable or makes three keys.

mod echo;
mod kerberos;
mod radius;

use std::time::{Duration, Instant};

use crypto::{Rng, exchange::Secret};

use crate::{
    load::Load,
    outcome::{Outcome, median, say},
};

/// Mobile nodes.
pub(crate) const NODES: &str = "2000";
/// Seconds that one run of ours lasts, after all are registered.
pub(crate) const SECONDS: &str = "6";

/// Without key shares, beside Kerberos, RADIUS and a bare echo.
pub(crate) fn plain(runs: u32) -> anyhow::Result<Outcome> {
    let load = Load::new()?;
    let (kerberos, radius) = (kerberos::Kdc::start(), radius::Server::start());
    let (mut ours, mut p99) = (Vec::new(), Vec::new());
    let (mut echoes, mut tickets, mut accepts) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let (rate, _) = moves(&load, &["--no-shares"])?;
        ours.push(rate);
        p99.push(moves(&load, &["--no-shares", "--rate", &format!("{:.0}", rate / 2.0)])?.1);
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
        ours.push(moves(&load, &[])?.0);
        bare.push(exchanges()?);
    }
    Ok(Outcome::new("registrations-fs", "registrations/s", ours).against("x25519", bare))
}

/// One run of the load generator while nodes move: registrations a second, and within how many milliseconds 99 of 100 of
/// them were answered.
pub(crate) fn moves(load: &Load, arguments: &[&str]) -> anyhow::Result<(f64, f64)> {
    let played = load.run(&[&["--nodes", NODES, "--seconds", SECONDS], arguments].concat())?;
    let (rate, p99_ms) = (played.of("moves", "rate")?, played.of("moves", "p99_ms")?);
    say(&format!("{rate:.0} registrations/s, 99 of 100 within {p99_ms:.1} ms"));
    Ok((rate, p99_ms))
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
