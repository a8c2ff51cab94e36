//! A scenario: which network to build and how its mobile nodes roam. The format is described in
//! `testbed/scenarios/README.md`.

mod check;
mod crowd;
mod emulation;
mod faults;
mod prefix;
mod reloads;

use std::{collections::BTreeMap, fs, net::Ipv4Addr, path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use toml::Spanned;

pub(crate) use self::{
    emulation::{EveryLink, Values},
    faults::{Fault, What},
    prefix::Prefix,
    reloads::Reload,
};
use crate::emulation::{Impairment, Line};

/// The scenario of `testbed demo`: the first of testbed/scenarios by name.
pub(crate) const DEMO: (&str, &str) = ("10-walk.toml", include_str!("../scenarios/10-walk.toml"));

/// What a schedule allows for each move beside the stays.
const PER_MOVE: Duration = Duration::from_millis(150);

/// A whole scenario file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// One line for people.
    pub(crate) title: String,
    #[serde(default)]
    pub(crate) registration: Registration,
    /// Daemons exchange packets with the kernel many in one.
    #[serde(default = "yes")]
    pub(crate) offload: bool,
    pub(crate) traffic: Option<Traffic>,
    pub(crate) domains: Vec<Domain>,
    pub(crate) links: Vec<Link>,
    #[serde(default)]
    pub(crate) routers: Vec<Router>,
    pub(crate) kdcs: Vec<Kdc>,
    pub(crate) home_agents: Vec<HomeAgent>,
    #[serde(default)]
    pub(crate) foreign_agents: Vec<ForeignAgent>,
    #[serde(default)]
    pub(crate) correspondents: Vec<Correspondent>,
    pub(crate) mobile_nodes: Vec<MobileNode>,
    /// What goes wrong on purpose.
    #[serde(default)]
    pub(crate) faults: Vec<Fault>,
    /// What agents are configured anew with.
    #[serde(default)]
    pub(crate) reloads: Vec<Reload>,
}

const fn yes() -> bool {
    true
}

/// Lifetimes that the daemons are configured with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Registration {
    /// Seconds; at least 300, so that no renewal falls into a test.
    pub(crate) lifetime_s: Spanned<u16>,
}

impl Default for Registration {
    fn default() -> Self {
        Self { lifetime_s: Spanned::new(0..0, 600) }
    }
}

/// What a correspondent sends to a mobile node's home address while it roams.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Traffic {
    pub(crate) from: Spanned<String>,
    pub(crate) to: Spanned<String>,
    /// Size of the one transfer, in units of 1,000,000 bytes; over emulated links at most so much.
    pub(crate) transfer_mb: Spanned<u32>,
    #[serde(default = "thousand")]
    pub(crate) probes_per_second: Spanned<u32>,
    /// As many go from every mobile node to the correspondent.
    #[serde(default)]
    pub(crate) probes_back: bool,
}

fn thousand() -> Spanned<u32> {
    Spanned::new(0..0, 1000)
}

/// An administrative domain; home domains are those that have a home agent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Domain {
    pub(crate) name: Spanned<String>,
}

/// What a link is to a mobile node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Home,
    Visited,
    Core,
}

impl Kind {
    /// The word of reports.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::Visited => "visited",
            Self::Core => "core",
        }
    }
}

/// An Ethernet segment.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Link {
    pub(crate) name: Spanned<String>,
    pub(crate) kind: Kind,
    pub(crate) prefix: Spanned<Prefix>,
    delay_ms: Option<Spanned<f64>>,
    jitter_ms: Option<Spanned<f64>>,
    loss_percent: Option<Spanned<f64>>,
    duplicate_percent: Option<Spanned<f64>>,
    reorder_percent: Option<Spanned<f64>>,
    damage_percent: Option<Spanned<f64>>,
    rate_mbit: Option<Spanned<f64>>,
    queue_packets: Option<Spanned<u32>>,
    /// Of the dice.
    #[serde(default)]
    seed: u64,
    /// What the command line says about every link.
    #[serde(skip)]
    every: Values,
}

impl Link {
    /// How bad it is, if the file or the command line says anything of it.
    pub(crate) fn values(&self) -> Values {
        let mut values = Values {
            delay_ms: self.delay_ms.clone(),
            jitter_ms: self.jitter_ms.clone(),
            loss_percent: self.loss_percent.clone(),
            duplicate_percent: self.duplicate_percent.clone(),
            reorder_percent: self.reorder_percent.clone(),
            damage_percent: self.damage_percent.clone(),
            rate_mbit: self.rate_mbit.clone(),
            queue_packets: self.queue_packets.clone(),
        };
        values.replace(self.every.clone());
        values
    }
}

/// A node's place on a link.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Interface {
    pub(crate) link: Spanned<String>,
    pub(crate) address: Spanned<Ipv4Addr>,
}

/// A router; with `masquerade`, one that translates addresses on the way out by that link.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Router {
    pub(crate) name: Spanned<String>,
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) gateway: Option<Ipv4Addr>,
    pub(crate) masquerade: Option<Spanned<String>>,
}

/// A key distribution centre.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kdc {
    pub(crate) name: Spanned<String>,
    pub(crate) domain: Spanned<String>,
    pub(crate) link: Spanned<String>,
    pub(crate) address: Spanned<Ipv4Addr>,
    pub(crate) gateway: Option<Ipv4Addr>,
    #[serde(default = "kdc_port")]
    pub(crate) port: u16,
}

fn kdc_port() -> u16 {
    7443
}

/// A home agent; its name in the network is `name@domain`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HomeAgent {
    pub(crate) name: Spanned<String>,
    pub(crate) domain: Spanned<String>,
    pub(crate) link: Spanned<String>,
    pub(crate) address: Spanned<Ipv4Addr>,
    pub(crate) gateway: Option<Ipv4Addr>,
    /// The table `negotiation` of its configuration.
    #[serde(default)]
    pub(crate) negotiation: toml::Table,
}

/// Tunnel that a foreign agent asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Encapsulation {
    #[default]
    Ipip,
    Udp,
}

/// Whether a foreign agent insists on the reverse tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ReverseTunnel {
    #[default]
    Optional,
    Required,
}

/// A foreign agent; its name in the network is `name@domain`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForeignAgent {
    pub(crate) name: Spanned<String>,
    pub(crate) domain: Spanned<String>,
    /// Towards the home agents; the address is the care-of address.
    pub(crate) core: Interface,
    /// Towards its visitors.
    pub(crate) visited: Interface,
    pub(crate) gateway: Ipv4Addr,
    /// The table `negotiation` of its configuration.
    #[serde(default)]
    pub(crate) negotiation: toml::Table,
    #[serde(default)]
    pub(crate) encapsulation: Encapsulation,
    #[serde(default)]
    pub(crate) reverse_tunnel: ReverseTunnel,
    #[serde(default = "offered")]
    pub(crate) minimal: bool,
    #[serde(default = "offered")]
    pub(crate) gre: bool,
    #[serde(default = "offered")]
    pub(crate) encapsulating_delivery: bool,
}

fn offered() -> bool {
    true
}

/// Tunnel that a mobile node asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Wish {
    #[default]
    Ipip,
    Minimal,
    Gre,
}

impl Wish {
    /// The word of configurations.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ipip => "ipip",
            Self::Minimal => "minimal",
            Self::Gre => "gre",
        }
    }
}

/// How a mobile node hands its packets to foreign agents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Delivery {
    #[default]
    Direct,
    Encapsulating,
}

impl Delivery {
    /// The word of configurations.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Encapsulating => "encapsulating",
        }
    }
}

/// A node that mobile nodes talk to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Correspondent {
    pub(crate) name: Spanned<String>,
    pub(crate) link: Spanned<String>,
    pub(crate) address: Spanned<Ipv4Addr>,
    pub(crate) gateway: Option<Ipv4Addr>,
}

/// A node that roams; in the file, with `random`, as many as `count` says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MobileNode {
    pub(crate) name: Spanned<String>,
    pub(crate) nai: Spanned<String>,
    pub(crate) home_agent: Spanned<String>,
    pub(crate) home_address: Spanned<Ipv4Addr>,
    /// It is enrolled without it: its home agent gives it out.
    #[serde(default)]
    pub(crate) unnumbered: bool,
    /// It asks for simultaneous bindings.
    #[serde(default)]
    pub(crate) simultaneous: bool,
    #[serde(default)]
    pub(crate) encapsulation: Wish,
    #[serde(default)]
    pub(crate) delivery: Delivery,
    /// It wants broadcasts and multicasts of its home link.
    #[serde(default)]
    pub(crate) broadcasts: bool,
    /// The table `negotiation` of its configuration.
    #[serde(default)]
    pub(crate) negotiation: toml::Table,
    /// By link: what a DHCP server there would hand out.
    #[serde(default)]
    pub(crate) assigned: BTreeMap<Spanned<String>, Assigned>,
    #[serde(default)]
    pub(crate) roam: Vec<Step>,
    count: Option<Spanned<u32>>,
    random: Option<crowd::Random>,
}

/// An address handed to a mobile node.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Assigned {
    pub(crate) address: Ipv4Addr,
    pub(crate) gateway: Ipv4Addr,
}

/// A stay on a link.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    pub(crate) link: Spanned<String>,
    pub(crate) stay_ms: u32,
}

impl Step {
    /// How long the node stays, from carrier-up on.
    pub(crate) fn stay(&self) -> Duration {
        Duration::from_millis(self.stay_ms.into())
    }
}

impl Scenario {
    /// Reads a scenario file.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Reads a scenario; errors name the file and the line.
    pub(crate) fn parse(file: &str, text: &str) -> Result<Self> {
        let mut scenario: Self = match toml::from_str(text) {
            Ok(scenario) => scenario,
            Err(error) => {
                let line = error.span().map_or(1, |span| line_of(text, span.start));
                bail!("{file}:{line}: {}", error.message());
            }
        };
        let sound = crowd::expand(&mut scenario).and_then(|()| check::scenario(&scenario));
        if let Err(fault) = sound {
            bail!("{file}:{}: {}", line_of(text, fault.at), fault.message);
        }
        Ok(scenario)
    }

    /// Makes every link as bad as a command line says.
    pub(crate) fn worsen(mut self, every: &EveryLink) -> Result<Self> {
        self.offload &= !every.no_offload;
        for link in &mut self.links {
            link.every = every.values();
            link.seed = every.seed.unwrap_or(link.seed);
            if let Err(fault) = link.values().check(&Impairment::default()) {
                // The keys of the file are the options of the command line, but for their dashes.
                bail!("--{}", fault.message.replace('_', "-"));
            }
        }
        Ok(self)
    }

    /// The links that are emulated: those that are bad from the beginning, and those that become so.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let becomes = |link: &Link| self.faults.iter().any(|fault| fault.link.as_ref() == Some(&link.name));
        let emulated = self.links.iter().filter(|link| !link.values().is_empty() || becomes(link));
        let line = |link: &Link| Line {
            link: link.name.get_ref().clone(),
            impairment: link.values().over(&Impairment::default()),
            seed: link.seed,
        };
        emulated.map(line).collect()
    }

    /// How bad a link is in the beginning.
    pub(crate) fn impairment(&self, link: &str) -> Impairment {
        let found = self.links.iter().find(|known| known.name.get_ref() == link);
        found.map_or_else(Impairment::default, |link| link.values().over(&Impairment::default()))
    }

    /// How long a packet is on its way at most when nothing is wrong.
    pub(crate) fn longest_way(&self) -> Duration {
        /// When nothing is emulated; machines are slow now and then.
        const MACHINE: Duration = Duration::from_millis(50);
        /// Links on the way: the correspondent's, twice the home agent's, two between and the visited one.
        const LINKS: u32 = 6;
        const FRAME_BITS: u64 = 1514 * 8;
        let slowness = |impairment: &Impairment| {
            let queue = impairment.queue as u64 * FRAME_BITS * 1_000_000_000;
            let waiting = impairment.rate.map_or(0, |rate| queue / rate.max(1));
            Duration::from_nanos(impairment.delay + impairment.jitter + waiting)
        };
        let begin = self.lines().into_iter().map(|line| line.impairment);
        let later = self.faults.iter().filter_map(|fault| {
            let values = fault.values.as_ref()?;
            Some(values.get_ref().over(&self.impairment(fault.target())))
        });
        MACHINE + LINKS * begin.chain(later).map(|impairment| slowness(&impairment)).max().unwrap_or_default()
    }

    /// Every node that runs a daemon.
    pub(crate) fn daemon_names(&self) -> impl Iterator<Item = String> {
        let kdcs = self.kdcs.iter().map(|node| &node.name);
        let homes = self.home_agents.iter().map(|node| &node.name);
        let foreign = self.foreign_agents.iter().map(|node| &node.name);
        let mobiles = self.mobile_nodes.iter().map(|node| &node.name);
        kdcs.chain(homes).chain(foreign).chain(mobiles).map(|name| name.get_ref().clone())
    }

    /// How long the longest schedule takes.
    pub(crate) fn longest(&self) -> Duration {
        self.mobile_nodes.iter().map(MobileNode::planned).max().unwrap_or_default()
    }

    /// A link by name.
    pub(crate) fn link(&self, name: &str) -> Result<&Link> {
        self.links
            .iter()
            .find(|link| link.name.get_ref() == name)
            .with_context(|| format!("there is no link {name}; links: {}", self.link_names().join(", ")))
    }

    /// Every link, in the order of the file.
    pub(crate) fn link_names(&self) -> Vec<String> {
        self.links.iter().map(|link| link.name.get_ref().clone()).collect()
    }

    /// The foreign agent that serves a link.
    pub(crate) fn agent_on(&self, link: &str) -> Option<&ForeignAgent> {
        self.foreign_agents.iter().find(|agent| agent.visited.link.get_ref() == link)
    }

    /// The home agent of a mobile node.
    pub(crate) fn home_agent_of(&self, node: &MobileNode) -> Result<&HomeAgent> {
        self.home_agents
            .iter()
            .find(|agent| agent.name == node.home_agent)
            .with_context(|| format!("there is no home agent {}", node.home_agent.get_ref()))
    }

    /// The key distribution centre of a domain.
    pub(crate) fn kdc_of(&self, domain: &str) -> Result<&Kdc> {
        self.kdcs
            .iter()
            .find(|kdc| kdc.domain.get_ref() == domain)
            .with_context(|| format!("there is no kdc in {domain}"))
    }

    /// A correspondent by name.
    pub(crate) fn correspondent(&self, name: &str) -> Result<&Correspondent> {
        let found = self.correspondents.iter().find(|node| node.name.get_ref() == name);
        found.with_context(|| format!("there is no correspondent {name}"))
    }

    /// A mobile node by name.
    pub(crate) fn mobile_node(&self, name: &str) -> Result<&MobileNode> {
        self.mobile_nodes.iter().find(|node| node.name.get_ref() == name).with_context(|| {
            let names: Vec<_> = self.mobile_nodes.iter().map(|node| node.name.get_ref().as_str()).collect();
            format!("there is no mobile node {name}; mobile nodes: {}", names.join(", "))
        })
    }
}

impl HomeAgent {
    /// The agent's network access identifier.
    pub(crate) fn nai(&self) -> String {
        format!("{}@{}", self.name.get_ref(), self.domain.get_ref())
    }
}

impl ForeignAgent {
    /// The agent's network access identifier.
    pub(crate) fn nai(&self) -> String {
        format!("{}@{}", self.name.get_ref(), self.domain.get_ref())
    }
}

impl MobileNode {
    /// What a DHCP server on this link would hand out.
    pub(crate) fn assigned_on(&self, link: &str) -> Option<Assigned> {
        self.assigned.iter().find(|(name, _)| name.get_ref() == link).map(|(_, assigned)| *assigned)
    }

    /// How long its schedule takes.
    fn planned(&self) -> Duration {
        let moves = u32::try_from(self.roam.len().saturating_sub(1)).unwrap_or(u32::MAX);
        self.roam.iter().map(Step::stay).sum::<Duration>() + PER_MOVE * moves
    }

    /// Where the node begins.
    pub(crate) fn first_link(&self) -> &str {
        self.roam.first().map_or("", |step| step.link.get_ref())
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_in_the_folder_is_sound() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let mut files: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
            .collect();
        files.sort();
        for file in &files {
            Scenario::load(file).unwrap();
        }
        assert!(files[0].ends_with(DEMO.0), "the demo is the first by name");
    }

    #[test]
    fn errors_name_the_line() {
        let broken = |from: &str, to: &str| {
            assert!(DEMO.1.contains(from), "{from}");
            let text = DEMO.1.replacen(from, to, 1);
            let error = format!("{:#}", Scenario::parse("x.toml", &text).unwrap_err());
            let line: usize = error.split(':').nth(1).unwrap().parse().unwrap();
            (line, error)
        };
        let line_of_text = |part: &str| line_of(DEMO.1, DEMO.1.find(part).unwrap());

        let (line, error) = broken("kind = \"core\"", "kind = \"cord\"");
        assert!(error.contains("cord") && error.contains("visited"), "{error}");
        assert_eq!(line, line_of_text("kind = \"core\""));

        let (_, error) = broken("transfer_mb", "transfer_gb");
        assert!(error.contains("transfer_gb") && error.contains("transfer_mb"), "{error}");

        let (line, error) = broken("home_agent = \"ha\"", "home_agent = \"hb\"");
        assert_eq!(line, line_of_text("home_agent = \"ha\""));
        assert!(error.contains("hb"), "{error}");

        let (_, error) = broken("traveller-one@", "short@");
        assert!(error.contains("at least 8"), "{error}");
        let (_, error) = broken("home_address = \"10.11.1.50\"", "home_address = \"10.11.0.50\"");
        assert!(error.contains("10.11.1.0/24") || error.contains("zero"), "{error}");
        let (_, error) = broken("lifetime_s = 600", "lifetime_s = 60");
        assert!(error.contains("300"), "{error}");
    }

    /// The demo with lines added to its first link and to its end.
    fn worse(link: &str, faults: &str) -> Result<Scenario> {
        let prefix = "prefix = \"10.11.1.0/24\"\n";
        assert!(DEMO.1.contains(prefix));
        Scenario::parse("x.toml", &(DEMO.1.replacen(prefix, &format!("{prefix}{link}\n"), 1) + faults))
    }

    #[test]
    fn a_link_with_values_is_emulated_and_no_other() {
        assert!(worse("", "").unwrap().lines().is_empty(), "the demo's links are the kernel's");
        let keys = "delay_ms = 50\njitter_ms = 1.5\nloss_percent = 2\nduplicate_percent = 0.1\n\
                    reorder_percent = 1\ndamage_percent = 0.5\nrate_mbit = 10\nqueue_packets = 20\nseed = 7";
        let lines = worse(keys, "").unwrap().lines();
        let impairment = Impairment {
            delay: 50_000_000,
            jitter: 1_500_000,
            loss_percent: 2.0,
            duplicate_percent: 0.1,
            reorder_percent: 1.0,
            damage_percent: 0.5,
            rate: Some(10_000_000),
            queue: 20,
        };
        assert_eq!(lines.len(), 1);
        assert_eq!((lines[0].link.as_str(), lines[0].seed), ("home", 7));
        assert_eq!(lines[0].impairment, impairment);
    }

    #[test]
    fn values_that_make_no_sense_are_refused_with_what_is_allowed() {
        for (keys, words) in [
            ("delay_ms = -1", "delay_ms = -1: 0 to 10000"),
            ("delay_ms = nan", "0 to 10000"),
            ("delay_ms = 5\njitter_ms = 6", "jitter_ms = 6: at most delay_ms, which is 5"),
            ("loss_percent = 101", "loss_percent = 101: 0 to 100"),
            ("reorder_percent = 5", "needs a delay_ms"),
            ("rate_mbit = 0", "rate_mbit = 0: 0.001 to 10000"),
            ("queue_packets = 5", "needs a rate_mbit"),
            ("rate_mbit = 1\nqueue_packets = 0", "queue_packets = 0: 1 to 100000"),
            ("seed = -1", "-1"),
            ("delay = 5", "delay_ms"),
        ] {
            let error = format!("{:#}", worse(keys, "").unwrap_err());
            assert!(error.starts_with("x.toml:") && error.contains(words), "{keys}: {error}");
        }
    }

    #[test]
    fn faults_are_checked_in_the_order_of_their_times() {
        let entry = |at: &str, rest: &str| format!("[[faults]]\nat_s = {at}\n{rest}\n");
        let kill = |at, what| entry(at, &format!("what = \"{what}\"\nnode = \"fa-a\""));
        let cut = |at, what| entry(at, &format!("what = \"{what}\"\nlink = \"core-a\""));
        let good = [cut("12", "restore"), cut("11.5", "cut"), kill("7", "kill"), kill("8", "start")].concat();
        let scenario = worse("", &good).unwrap();
        assert_eq!(scenario.lines().len(), 1, "a link that will be cut is emulated");
        let order: Vec<&str> =
            scenario.faults_in_time().iter().map(|fault| fault.what.get_ref().word()).collect();
        assert_eq!(order, ["kill", "start", "cut", "restore"]);

        for (faults, words) in [
            (kill("1", "start"), "at that time it is running"),
            (kill("1", "stop") + &kill("2", "start"), "at that time it is stopped"),
            (kill("1", "kill") + &kill("2", "kill"), "at that time it is killed"),
            (cut("1", "restore"), "at that time it is whole"),
            (cut("1", "kill"), "kill needs a `node`"),
            (kill("1", "cut"), "cut needs a `link`"),
            (kill("-1", "kill"), "0 to 39"),
            (kill("50", "kill"), "0 to 39"),
            (kill("1", "explode"), "explode"),
            (entry("1", "what = \"kill\"\nnode = \"router\""), "ha, fa-a, fa-b, mn"),
            (entry("1", "what = \"cut\"\nlink = \"moon\""), "visited-c"),
            (entry("1", "what = \"impair\"\nlink = \"home\""), "needs `values`"),
            (entry("1", "what = \"impair\"\nlink = \"home\"\nvalues = {}"), "nothing would change"),
            (
                entry("1", "what = \"impair\"\nlink = \"home\"\nvalues = { loss_percent = 200 }"),
                "loss_percent = 200: 0 to 100",
            ),
            (entry("1", "what = \"impair\"\nlink = \"home\"\nvalues = { loss = 200 }"), "loss_percent"),
            (cut("1", "cut") + "node = \"ha\"\n", "takes a `link` and nothing else"),
            (cut("1", "cut") + "values = { delay_ms = 1 }\n", "takes no `values`"),
        ] {
            let error = format!("{:#}", worse("", &faults).unwrap_err());
            assert!(error.starts_with("x.toml:") && error.contains(words), "{faults}: {error}");
        }
    }

    #[test]
    fn only_agents_are_configured_anew_and_within_the_schedule() {
        let entry = |at: &str, node: &str, modes: &str| {
            format!("[[reloads]]\nat_s = {at}\nnode = \"{node}\"\n[reloads.negotiation{modes}\n")
        };
        let mobile_nodes = ".mobile_nodes]\nmodes = [\"stateless\"]";
        let scenario = worse("", &(entry("9", "fa-a", mobile_nodes) + &entry("3", "ha", mobile_nodes)));
        let scenario = scenario.unwrap();
        let order: Vec<&str> =
            scenario.reloads_in_time().iter().map(|reload| reload.node.get_ref().as_str()).collect();
        assert_eq!(order, ["ha", "fa-a"]);
        for (entry, words) in [
            (entry("50", "ha", mobile_nodes), "0 to 39"),
            (entry("-1", "ha", mobile_nodes), "0 to 39"),
            (entry("1", "mn", mobile_nodes), "there are: ha, fa-a, fa-b"),
            (entry("1", "router", mobile_nodes), "there are: ha, fa-a, fa-b"),
            (entry("1", "ha", "]"), "nothing would change"),
        ] {
            let error = format!("{:#}", worse("", &entry).unwrap_err());
            assert!(error.starts_with("x.toml:") && error.contains(words), "{entry}: {error}");
        }
    }
}
