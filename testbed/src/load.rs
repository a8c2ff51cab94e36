//! `testbed load`: many mobile nodes from one process against one home agent, with live rates, a histogram, and a check
//! in the end that everybody can be reached.

mod arguments;
mod engine;
mod enrol;
mod figures;
mod histogram;
mod kills;
mod lab;
mod ledger;
mod live;
mod player;
mod ports;
mod probe;
mod run;
mod trace;
mod usage;
mod window;

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

pub(crate) use self::arguments::Arguments;
use self::{
    engine::{Engine, Pace, Source},
    figures::Figures,
    kills::Kills,
    lab::Lab,
    player::{HeldKey, Negotiating},
    probe::Probe,
    run::{Beside, Runner},
    trace::{Event, Place, Random, What},
};
use crate::{agent, binaries::Binaries, directory::Directory, interrupt, privilege, terminal};

/// The daemons that are needed.
const DAEMONS: [&str; 2] = ["home-agent", "kdc"];

/// Answers that are kept to be checked after their phase, of about 1,700 octets each.
const KEPT: usize = 100_000;

/// Runs; success means that nothing was wrong and everybody could be reached.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if let Some(file) = &arguments.write_trace {
        return write_trace(arguments, file);
    }
    let events = arguments.trace.as_deref().map(trace::read).transpose()?;
    let size = Size::of(arguments, events.as_deref())?;
    negotiators(arguments, size.nodes)?;
    if let Some(file) = &arguments.json {
        // Figures that cannot be written are better known before the run than after it.
        fs::File::create(file).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let binaries = Binaries::find_some(|name| DAEMONS.contains(&name))?;
    let base = arguments.directory.clone().unwrap_or_else(base);
    privilege::become_root()?;
    let directory = Directory::fresh(&base)?;
    interrupt::guard((!arguments.keep).then(|| directory.path().to_owned()))?;
    let outcome = play(arguments, size, events, directory.clone(), &binaries);
    let good = matches!(&outcome, Ok(figures) if figures.good());
    if good && !arguments.keep {
        directory.remove()?;
    } else {
        terminal::line(&format!("  logs       {}/nodes", directory.path().display()));
    }
    let figures = outcome?;
    terminal::text(&figures.verdict());
    if let Some(file) = &arguments.json {
        fs::write(file, serde_json::to_string_pretty(&figures)? + "\n")
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The folder of databases, if nothing is said: not in memory where that can be helped, because what a commit costs is
/// a part of what is measured. Must be asked before a user namespace makes everybody root.
fn base() -> PathBuf {
    std::env::temp_dir().join(format!("sojourn-load-{}", nix::unistd::geteuid()))
}

fn write_trace(arguments: &Arguments, file: &std::path::Path) -> Result<ExitCode> {
    let random = Random {
        nodes: arguments.nodes.unwrap_or(arguments::NODES),
        agents: arguments.agents,
        seed: arguments.seed,
        seconds: arguments.duration,
        rate: if arguments.rate > 0.0 { arguments.rate } else { arguments::TRACE_RATE },
    };
    fs::write(file, random.write()).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// How many nodes and agents there are.
#[derive(Clone, Copy)]
struct Size {
    nodes: u32,
    agents: u16,
}

impl Size {
    /// As the arguments say; a trace may not name others.
    fn of(arguments: &Arguments, events: Option<&[Event]>) -> Result<Self> {
        let agents = arguments.agents;
        let Some(events) = events else {
            return Ok(Self { nodes: arguments.nodes.unwrap_or(arguments::NODES), agents });
        };
        let highest = events.iter().map(|event| event.node).max().unwrap_or(0);
        let nodes = arguments.nodes.unwrap_or(highest + 1);
        if highest >= nodes {
            bail!("the trace names node {highest}, and there are {nodes}, 0 to {}: raise --nodes", nodes - 1);
        }
        let named = events.iter().filter_map(|event| match event.what {
            What::Register(Place::Agent(agent)) | What::Move(Place::Agent(agent)) => Some(agent),
            _ => None,
        });
        if let Some(agent) = named.max().filter(|agent| *agent >= agents) {
            bail!(
                "the trace names foreign agent {agent}, and there are {agents}, 0 to {}: raise --agents",
                agents - 1
            );
        }
        Ok(Self { nodes, agents })
    }
}

fn play(
    arguments: &Arguments,
    Size { nodes, agents }: Size,
    events: Option<Vec<Event>>,
    directory: Directory,
    binaries: &Binaries,
) -> Result<Figures> {
    let shares = !arguments.no_shares;
    let negotiators = negotiators(arguments, nodes)?;
    let first = nodes - negotiators;
    let group = arguments.negotiate.as_ref().and_then(|negotiate| negotiate.group);
    let (lab, mut player) = Lab::new(directory, binaries, agents, shares, nodes, group)?;
    let begun = Instant::now();
    terminal::line(&format!("Enrolling {nodes} mobile nodes"));
    let enrolled = enrol::enrol(&lab, nodes, shares)?;
    let enrolment_s = begun.elapsed().as_secs_f64();
    lab.start_home_agent()?;
    let probe = Probe::open(&lab, agents)?;
    enrol::await_takeover(&lab, &enrolled)?;
    let takeover_s = begun.elapsed().as_secs_f64() - enrolment_s;
    terminal::line(&format!(
        "  {enrolment_s:.1} s, and {takeover_s:.1} s until the home agent knew them all"
    ));
    for (node, enrolled) in (0..).zip(enrolled) {
        player.enrol(&lab::nai(node), lab::home_address(node), enrolled.key0)?;
    }
    let at_once = arguments.check_at_once || arguments.kills.is_some();
    player.keep(if at_once { 0 } else { KEPT });
    if let Some(negotiate) = &arguments.negotiate {
        let policy = negotiate.policy.clone();
        if !player.negotiate(Negotiating { policy, first, agents: arguments.negotiate_agents }) {
            bail!("{}: not known here", negotiate.text);
        }
    }
    let alone = if arguments.negotiators_rate.is_some() { first } else { nodes };
    let beside = (alone < nodes).then(|| Beside::new(alone, nodes - alone, agents, seed(!arguments.seed)));
    let engine = Engine::new(alone, agents, seed(arguments.seed));
    let mut runner = Runner::new(&lab, player, engine, beside, agents, arguments.in_flight)?;
    let at = |rate: f64| if rate > 0.0 { Pace::Rate(rate) } else { Pace::Answers };
    let paces = [at(arguments.rate), at(arguments.negotiators_rate.unwrap_or(0.0))];
    let mut figures = Figures {
        nodes,
        agents,
        wanted_rate: arguments.rate,
        shares,
        checked_at_once: at_once,
        negotiated: arguments.negotiate.as_ref().map(|negotiate| negotiate.text.clone()),
        negotiators,
        negotiating_agents: arguments.negotiate_agents,
        enrolment_s,
        takeover_s,
        ..Figures::default()
    };
    let mut phase = |runner: &mut Runner<'_>, name: &'static str, source: &dyn Fn(Duration) -> Source| {
        terminal::line(&format!("Phase {name}"));
        // Whoever only renews is there as fast as can be before any rate counts, and so are those beside.
        let paces = match name {
            "register" if arguments.renew => [Pace::Answers; 2],
            "register" => [paces[0], Pace::Answers],
            _ => paces,
        };
        for phase in runner.phase(name, source, paces)? {
            terminal::text(&phase.text());
            figures.add(phase);
        }
        anyhow::Ok(())
    };
    match (events, arguments.kills) {
        (Some(events), _) => phase(&mut runner, "trace", &|_| Source::Trace(events.clone().into()))?,
        (None, Some(count)) => {
            runner.begin_record();
            phase(&mut runner, "register", &|_| Source::Everyone)?;
            runner.begin_kills(Kills::new(count, arguments.seed));
            phase(&mut runner, kills::PHASE, &|_| Source::Moves { until: Duration::MAX })?;
            let outcome = runner.end_kills()?;
            phase(&mut runner, "again", &|_| Source::Everyone)?;
            figures.judge_kills(outcome);
        }
        (None, None) => {
            phase(&mut runner, "register", &|_| Source::Everyone)?;
            let [idle, seconds] = [arguments.idle, arguments.seconds].map(Duration::from_secs_f64);
            if !idle.is_zero() {
                phase(&mut runner, "idle", &|now| Source::Nothing { until: now + idle })?;
            }
            if !seconds.is_zero() && arguments.renew {
                phase(&mut runner, "renewals", &|now| Source::Renewals { until: now + seconds })?;
            } else if !seconds.is_zero() {
                phase(&mut runner, "moves", &|now| Source::Moves { until: now + seconds })?;
            }
        }
    }
    figures.bindings = lab.bindings()?;
    let visits = runner.visits();
    terminal::line(&format!("Asking for {} nodes", visits.len()));
    let unreachable = probe.run(runner.ports(), &visits)?;
    figures.registered = visits.len() as u64;
    figures.unreachable = unreachable.len() as u64;
    (figures.keys_compared, figures.keys_wrong) = compare(&lab, &runner)?;
    figures.unreachable_nodes = unreachable.into_iter().map(lab::nai).collect();
    lab.end();
    Ok(figures)
}

/// How many nodes negotiate.
fn negotiators(arguments: &Arguments, nodes: u32) -> Result<u32> {
    let all = if arguments.negotiate.is_some() { nodes } else { 0 };
    let wanted = arguments.negotiators.unwrap_or(all);
    // Somebody is there beside whom they register.
    let most = if arguments.negotiators_rate.is_some() { nodes.saturating_sub(1) } else { nodes };
    if wanted > most {
        bail!("--negotiators {wanted}: at most {most} of {nodes} nodes; raise --nodes");
    }
    Ok(wanted)
}

/// Looks for every key that was negotiated at the home agent: how many there are, and how many it does not have so. What
/// it shows of many bindings is some time old, so it is asked again.
fn compare(lab: &Lab, runner: &Runner<'_>) -> Result<(u64, u64)> {
    let made: Vec<_> = runner.negotiated().collect();
    let limit = Instant::now() + kills::SHOWN;
    loop {
        let associations = if made.is_empty() { Vec::new() } else { agent::bindings(lab.socket())?.1 };
        let theirs: BTreeSet<_> = associations
            .iter()
            .map(|it| (it.kind.as_str(), it.outbound_spi, it.inbound_spi, it.fingerprint.as_str()))
            .collect();
        let is_theirs = |ours: &&&HeldKey| {
            let of = (ours.kind.name(), ours.inbound, ours.outbound, ours.fingerprint.as_str());
            theirs.contains(&of)
        };
        let wrong = made.len() - made.iter().filter(is_theirs).count();
        if wrong == 0 || Instant::now() >= limit {
            return Ok((made.len() as u64, wrong as u64));
        }
        thread::sleep(kills::AGAIN);
    }
}

/// A seed of the generator from a number.
fn seed(number: u64) -> [u8; 32] {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number.to_be_bytes());
    seed
}
