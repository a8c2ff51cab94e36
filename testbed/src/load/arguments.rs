//! The command line of `testbed load`.

use std::path::PathBuf;

use clap::Args;
use crypto::group::Group;
use record::Mode;
use sa::negotiation::{Named, Policy};

use super::trace;

/// Mobile nodes, if nothing is said.
pub(super) const NODES: u32 = 1000;
/// Events a second of a random trace, if nothing is said.
pub(super) const TRACE_RATE: f64 = 10.0;

const EXAMPLES: &str = "\
Examples:
  testbed load                                     1,000 nodes, as fast as the home agent answers
  testbed load --nodes 10000 --rate 500 --json load.json
  testbed load --nodes 1200 --rate 500 --negotiate stateless:modp-2048 --negotiators 200 --negotiators-rate 100
                                                   are 1,000 nodes slower while 200 others exchange keys?
  testbed load --negotiate stateless:x25519 --negotiate-agents --renew --rate 14 --idle 20 --seconds 60
                                                   what do renewals cost, beside doing nothing?
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
    /// Associations for KEY 1 are negotiated with each registration, made in this way: stateful, semi-stateful, or stateless
    /// with a group, as in stateless:modp-2048. Every answer is checked, and in the end each key is compared with the home
    /// agent's. Public values are made before the first request
    #[arg(long, value_name = "MODE[:GROUP]", value_parser = negotiate)]
    pub(super) negotiate: Option<Negotiate>,
    /// Foreign agents offer the same for KEY 2
    #[arg(long, requires = "negotiate")]
    pub(super) negotiate_agents: bool,
    /// So many nodes negotiate, the last ones, and not all
    #[arg(long, value_name = "N", requires = "negotiate", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) negotiators: Option<u32>,
    /// These register at so many requests a second of their own, beside what the others do, and have figures of their own:
    /// phases with -beside behind their names
    #[arg(long, value_name = "R", requires = "negotiators", conflicts_with_all = ["trace", "kills"], value_parser = positive_rate)]
    pub(super) negotiators_rate: Option<f64>,
    /// Once all are registered, as fast as answers come, nodes register again where they are, in turn, at --rate, and do not
    /// move
    #[arg(long, conflicts_with_all = ["trace", "kills"])]
    pub(super) renew: bool,
    /// Before that nobody asks for anything for so many seconds: what the daemons use then is a phase of its own
    #[arg(long, value_name = "S", default_value_t = 0.0, conflicts_with_all = ["trace", "kills"], value_parser = seconds)]
    pub(super) idle: f64,
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

/// How associations are negotiated.
#[derive(Clone, Debug)]
pub(super) struct Negotiate {
    /// As it was written.
    pub(super) text: String,
    pub(super) policy: Policy,
    /// The name of the group, where keys are exchanged.
    pub(super) group: Option<&'static str>,
}

fn negotiate(text: &str) -> Result<Negotiate, String> {
    let (mode, group) = text.split_once(':').map_or((text, None), |(mode, group)| (mode, Some(group)));
    let known = Mode::from_name(mode);
    let mode = known.ok_or_else(|| format!("{mode:?} is none of stateful, semi-stateful and stateless"))?;
    let group: Option<Group> = match (mode, group) {
        (Mode::Stateless, Some(group)) => {
            let found = group.parse().map_err(|_| {
                let names: Vec<_> = Group::ALL.iter().map(|group| group.name()).collect();
                format!("{group:?} is no group; there are: {}", names.join(", "))
            })?;
            Some(found)
        }
        (Mode::Stateless, None) => return Err("stateless needs a group, as in stateless:modp-2048".into()),
        (_, Some(_)) => return Err(format!("{} takes no group", mode.name())),
        (_, None) => None,
    };
    let group = group.map(Group::name);
    let groups: Vec<&str> = group.into_iter().collect();
    let policy = Policy::named(&Named {
        modes: &[mode.name()],
        encryption: &["aes-256-gcm"],
        authentication: &["hmac-sha-256"],
        groups: &groups,
        own_group: None,
        others_groups: false,
        legacy_groups: false,
        lifetime: 0,
    });
    Ok(Negotiate { text: text.to_owned(), policy: policy.ok_or("not known")?, group })
}

fn positive_rate(text: &str) -> Result<f64, String> {
    rate(text).and_then(|rate| if rate > 0.0 { Ok(rate) } else { Err("more than 0 a second".into()) })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_and_perhaps_a_group_say_how_associations_are_negotiated() {
        for (text, mode, group) in [
            ("stateful", Mode::Stateful, None),
            ("semi-stateful", Mode::SemiStateful, None),
            ("stateless:modp-2048", Mode::Stateless, Some("modp-2048")),
        ] {
            let read = negotiate(text).unwrap();
            assert_eq!((read.policy.modes, read.group, read.text.as_str()), (vec![mode], group, text));
            assert_eq!(read.policy.methods.len(), usize::from(group.is_some()));
        }
        for (text, told) in [
            ("stateless", "stateless:modp-2048"),
            ("stateful:x25519", "takes no group"),
            ("stateless:modp-1", "x25519"),
            ("both", "semi-stateful"),
        ] {
            let error = negotiate(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
