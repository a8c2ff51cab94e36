//! What negotiated associations take from the home agent, played by `testbed load`: exchanges in group 14 beside
//! registrations that negotiate nothing, and renewals.

use crate::{
    load::Load,
    outcome::{Outcome, median, say},
    registrations::{NODES, SECONDS, moves},
};

/// Registrations a second whose KEY 1 is exchanged in group 14, and how many nodes make them.
const EXCHANGES: &str = "100";
const EXCHANGING: u32 = 400;

/// Of the registrations that the home agent answers when it does nothing else, such a share is asked for.
const OFFERED: f64 = 0.5;

/// Associations that are renewed in an hour.
const AN_HOUR: f64 = 100_000.0;
/// Of one registration through a foreign agent: KEY 1, KEY 2 and KEY 3. The home agent chooses what all three are made by,
/// numbers them and tells their ends; the first two end at it.
const RENEWED: f64 = 3.0;
/// Mobile nodes whose registrations live for 600 s, as by default, and so are renewed after 456 s in the mean: as many as
/// that rate keeps.
const RENEWING: &str = "4200";
/// Seconds without and with renewals of each run.
const IDLE: &str = "20";
const RENEWALS: &str = "60";

/// How long plain registrations wait beside exchanges, and without them.
pub(crate) fn stateless_beside(runs: u32) -> anyhow::Result<Outcome> {
    let load = Load::new()?;
    let most = moves(&load, &["--no-shares"])?.0;
    let rate = format!("{:.0}", most * OFFERED);
    let nodes = (NODES.parse::<u32>()? + EXCHANGING).to_string();
    let exchanging = EXCHANGING.to_string();
    let (mut beside, mut alone, mut exchanges, mut theirs) = (vec![], vec![], vec![], vec![]);
    for _ in 0..runs {
        alone.push(moves(&load, &["--no-shares", "--rate", &rate])?.1);
        let played = load.run(&[
            "--nodes",
            &nodes,
            "--seconds",
            SECONDS,
            "--no-shares",
            "--rate",
            &rate,
            "--negotiate",
            "stateless:modp-2048",
            "--negotiators",
            &exchanging,
            "--negotiators-rate",
            EXCHANGES,
        ])?;
        beside.push(played.of("moves", "p99_ms")?);
        exchanges.push(played.of("moves-beside", "rate")?);
        theirs.push(played.of("moves-beside", "p99_ms")?);
        say(&format!(
            "99 of 100 within {:.1} ms beside exchanges",
            beside.last().copied().unwrap_or_default()
        ));
    }
    Ok(Outcome::new("stateless-beside", "ms within which 99 of 100 registrations are answered", beside)
        .against("alone", alone)
        .with("registrations_a_second", rate.parse::<f64>()?)
        .with("exchanges_a_second", median(&exchanges))
        .with("exchanges_p99_ms", median(&theirs)))
}

/// What of one core the home agent uses in one phase.
fn percent(played: &crate::load::Played, phase: &str) -> anyhow::Result<f64> {
    Ok(played.of(phase, "home_agent/cpu_s")? / played.of(phase, "lasted_s")? * 100.0)
}

/// What 100,000 renewals an hour take from the home agent.
pub(crate) fn renewals(runs: u32) -> anyhow::Result<Outcome> {
    let load = Load::new()?;
    let rate = format!("{:.4}", AN_HOUR / 3600.0 / RENEWED);
    let (mut ours, mut idle, mut stateful, mut renewed) = (vec![], vec![], vec![], vec![]);
    for _ in 0..runs {
        for policy in ["stateless:x25519", "stateful"] {
            let played = load.run(&[
                "--nodes",
                RENEWING,
                "--negotiate",
                policy,
                "--negotiate-agents",
                "--renew",
                "--rate",
                &rate,
                "--idle",
                IDLE,
                "--seconds",
                RENEWALS,
            ])?;
            let (busy, quiet) = (percent(&played, "renewals")?, percent(&played, "idle")?);
            say(&format!("{policy}: {busy:.2} % of one core, idle {quiet:.2} %"));
            if policy == "stateful" {
                stateful.push(busy);
            } else {
                ours.push(busy);
                let made = played.of("renewals", "accepted")? * RENEWED;
                renewed.push(made / played.of("renewals", "lasted_s")? * 3600.0);
            }
            idle.push(quiet);
        }
    }
    Ok(Outcome::new("renewals", "percent of one core", ours)
        .against("idle", idle)
        .with("stateful_percent", median(&stateful))
        .with("stateful_runs", stateful)
        .with("associations_an_hour", median(&renewed)))
}
