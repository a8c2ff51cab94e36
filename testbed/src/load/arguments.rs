//! The command line of `testbed load`.

use std::path::PathBuf;

use clap::Args;

use super::trace;

/// Mobile nodes, if nothing is said.
pub(super) const NODES: u32 = 1000;
/// Events a second of a random trace, if nothing is said.
pub(super) const TRACE_RATE: f64 = 10.0;

const EXAMPLES: &str = "\
Examples:
  testbed load                                     1,000 nodes, as fast as the home agent answers
  testbed load --nodes 10000 --rate 500 --json load.json
  testbed load --nodes 200 --kills 50 --seed 7     is anything lost when daemons are killed?
  testbed load --write-trace day.trace --nodes 50 --seed 7 --duration 60
  testbed load --trace day.trace";

/// What to play, and where the figures go.
#[derive(Debug, Args)]
#[command(after_long_help = format!("{EXAMPLES}\n\nTraces:\n{}", trace::FORMAT))]
pub(crate) struct Arguments {
    /// Mobile nodes: 1 to 1000000; 1000 if nothing is said, or as many as the trace names
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) nodes: Option<u32>,
    /// Foreign agents: 1 to 200
    #[arg(long, value_name = "K", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=200))]
    pub(super) agents: u16,
    /// Requests a second, sent when they are due whatever became of those before; an answer's time counts from then.
    /// 0: as fast as answers come
    #[arg(long, value_name = "R", default_value_t = 0.0, value_parser = rate)]
    pub(super) rate: f64,
    /// Without a trace: how long nodes move about at random once all are registered; 0 for not at all
    #[arg(long, value_name = "S", default_value_t = 10.0, value_parser = seconds)]
    pub(super) seconds: f64,
    /// Most requests on their way at a time; without it as many as turn out to bring most, or with --rate any number
    #[arg(long, value_name = "N", value_parser = in_flight)]
    pub(super) in_flight: Option<usize>,
    /// Play what this file says
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rate", "seconds"])]
    pub(super) trace: Option<PathBuf>,
    /// Nodes and agents register without key shares: cheaper, and who steals their keys later opens what was recorded
    #[arg(long)]
    pub(super) no_shares: bool,
    /// Once all are registered, kill the home agent, the key distribution centre or both so many times while nodes move,
    /// start them again, and see that nothing acknowledged is lost; then all register once more. --seed gives the same
    /// moments again. Instead of --seconds
    #[arg(long, value_name = "N", conflicts_with_all = ["trace", "seconds", "rate"], value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(super) kills: Option<u64>,
    /// Check each answer, with every key in it, as it comes, and not after its phase, when that takes nothing from what
    /// is measured
    #[arg(long)]
    pub(super) check_at_once: bool,
    /// Of random moves and traces
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(super) seed: u64,
    /// Write a random trace to this file and do nothing else
    #[arg(long, value_name = "FILE", conflicts_with_all = ["trace", "json", "seconds"])]
    pub(super) write_trace: Option<PathBuf>,
    /// With --write-trace: how long it is in seconds
    #[arg(long, value_name = "D", default_value_t = 60.0, value_parser = seconds, requires = "write_trace")]
    pub(super) duration: f64,
    /// Write all figures to this file
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Where to make the folder of databases and logs: on a real disk, or commits cost nothing; by default the folder for
    /// temporary files
    #[arg(long, value_name = "DIR")]
    pub(super) directory: Option<PathBuf>,
    /// Keep configurations, databases and logs
    #[arg(long)]
    pub(super) keep: bool,
}

fn number(text: &str, most: f64, what: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| (0.0..=most).contains(number));
    number.ok_or_else(|| format!("{what}, 0 to {most}, as in 12.5"))
}

fn rate(text: &str) -> Result<f64, String> {
    number(text, 1e6, "requests a second")
}

fn seconds(text: &str) -> Result<f64, String> {
    number(text, 86_400.0, "seconds")
}

fn in_flight(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|n| (1..=1_000_000).contains(n))
        .ok_or_else(|| "a number from 1 to 1000000".into())
}
