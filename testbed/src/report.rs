//! The report of a run: numbers for programs, and what must not have happened.

mod drawing;
mod figures;
mod losses;
mod negotiations;
mod verdict;

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::{network::Network, scenario::Scenario, switch::CaptureFile, walk::Walk};

/// Everything that a run shows, as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) topology: Topology,
    pub(crate) mobile_nodes: Vec<MobileNode>,
    pub(crate) handovers: Vec<Handover>,
    pub(crate) transfer: Transfer,
    pub(crate) ping: Ping,
    pub(crate) keys: Vec<Keys>,
    /// Security associations that were negotiated, in order of time.
    #[serde(default)]
    pub(crate) negotiations: Vec<Negotiation>,
    /// Registrations that renewed one at the same place.
    #[serde(default)]
    pub(crate) renewals: Vec<Renewal>,
    pub(crate) captures: Vec<Capture>,
    /// Links that were emulated, and what they did.
    #[serde(default)]
    pub(crate) emulated_links: Vec<EmulatedLink>,
    /// What the scenario let go wrong, in order of time.
    #[serde(default)]
    pub(crate) scheduled_faults: Vec<ScheduledFault>,
    /// What agents were configured anew with, in order of time.
    #[serde(default)]
    pub(crate) reloads: Vec<Reload>,
    /// When processors of this machine did not run for 20 ms and more, in order of time.
    #[serde(default)]
    pub(crate) standstills: Vec<Standstill>,
    /// Every loss of probes with its cause, in order of time.
    #[serde(default)]
    pub(crate) losses: Vec<Loss>,
    /// What should not have happened; empty after a good run.
    pub(crate) faults: Vec<String>,
}

/// A security association that was negotiated inside a registration.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Negotiation {
    pub(crate) node: String,
    /// Empty with an address of its own.
    pub(crate) agent: String,
    pub(crate) care_of: String,
    /// When the registration was accepted, since the schedule began.
    #[serde(default)]
    pub(crate) at_ms: f64,
    /// "MN-HA", "MN-FA", "MN-SMM" or "HA-FA".
    pub(crate) association: String,
    pub(crate) offered: String,
    pub(crate) agreed: String,
    pub(crate) rounds: u32,
    /// "stateless", "stateful" or "semi-stateful".
    pub(crate) mode: String,
}

/// A registration that took the place of one at the same place, with new keys.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Renewal {
    pub(crate) node: String,
    pub(crate) care_of: String,
    /// Since the schedule began.
    pub(crate) at_ms: f64,
}

/// Links and the nodes on them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Topology {
    pub(crate) scenario: String,
    pub(crate) links: Vec<Link>,
    pub(crate) nodes: Vec<Node>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Link {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) prefix: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) role: String,
    pub(crate) interfaces: Vec<Interface>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Interface {
    pub(crate) name: String,
    pub(crate) link: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<String>,
    pub(crate) link_address: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MobileNode {
    pub(crate) name: String,
    pub(crate) nai: String,
    pub(crate) home_address: String,
    pub(crate) link_address: String,
}

/// One change of links. Times in milliseconds; `*_at_ms` since the schedule began.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Handover {
    pub(crate) node: String,
    pub(crate) from: String,
    pub(crate) to: String,
    /// Empty at home.
    pub(crate) care_of: String,
    pub(crate) link_down_at_ms: f64,
    pub(crate) link_up_at_ms: f64,
    /// From the switch's bringing its end up to the mobile node's kernel telling of a carrier: not the doing of
    /// any daemon, and long only on a machine that is short of processors.
    pub(crate) carrier_ms: f64,
    /// From carrier at the mobile node to the first probe that came after it.
    pub(crate) link_up_to_first_packet_ms: Option<f64>,
    /// From carrier to the first registration request.
    pub(crate) discovery_ms: Option<f64>,
    /// From that request to the accepted reply.
    pub(crate) registration_ms: Option<f64>,
    /// From that reply to routes and tunnel in place; 0 if they were before.
    pub(crate) tunnel_ms: Option<f64>,
    /// Probes that the handover cost: lost between the two links and by no emulated one.
    pub(crate) packets_lost: usize,
    /// Probes of the same time that an emulated link dropped, as the scenario says.
    #[serde(default)]
    pub(crate) packets_lost_on_links: usize,
    pub(crate) transfer_bytes_before: u64,
    pub(crate) transfer_bytes_after: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Transfer {
    pub(crate) bytes: u64,
    pub(crate) sha256_match: bool,
    pub(crate) connections: u32,
    pub(crate) started_ms: f64,
    pub(crate) ended_ms: f64,
    pub(crate) error: Option<String>,
    /// Milliseconds since the schedule began, and bytes received until then.
    #[serde(default)]
    pub(crate) curve: Vec<(f64, u64)>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Ping {
    pub(crate) sent: usize,
    pub(crate) received: usize,
    pub(crate) longest_gap_ms: f64,
    /// Dropped or damaged by emulated links, as the scenario says.
    #[serde(default)]
    pub(crate) lost_on_links: usize,
    /// Lost while something was wrong that the scenario let go wrong.
    #[serde(default)]
    pub(crate) lost_by_faults: usize,
    /// Lost while, or right after, a processor of this machine did not run.
    #[serde(default)]
    pub(crate) lost_in_standstills: usize,
    /// Lost although no handover was under way, by no emulated link, no fault of the scenario and no standstill.
    pub(crate) lost_outside_handovers: usize,
}

/// An emulated link: its values in the beginning, and what became of the frames that nodes sent on it, over all
/// its directions.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct EmulatedLink {
    pub(crate) link: String,
    pub(crate) delay_ms: f64,
    pub(crate) jitter_ms: f64,
    pub(crate) loss_percent: f64,
    pub(crate) duplicate_percent: f64,
    pub(crate) reorder_percent: f64,
    #[serde(default)]
    pub(crate) damage_percent: f64,
    pub(crate) rate_mbit: Option<f64>,
    pub(crate) queue_packets: usize,
    pub(crate) seed: u64,
    pub(crate) frames: u64,
    pub(crate) lost: u64,
    pub(crate) queue_full: u64,
    pub(crate) cut: u64,
    pub(crate) duplicated: u64,
    pub(crate) reordered: u64,
    #[serde(default)]
    pub(crate) damaged: u64,
    /// Never read, because the machine was too slow.
    pub(crate) overrun: u64,
}

/// One entry of the scenario's faults, as it was made.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ScheduledFault {
    pub(crate) at_ms: f64,
    /// `cut`, `restore`, `impair`, `kill`, `start`, `stop` or `continue`.
    pub(crate) what: String,
    /// A link or a node.
    pub(crate) target: String,
    pub(crate) done_ms: f64,
    pub(crate) error: Option<String>,
}

/// An agent read its configuration again while the mobile nodes roamed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Reload {
    pub(crate) at_ms: f64,
    pub(crate) node: String,
    /// From then on it counts.
    pub(crate) done_ms: f64,
    /// What was different then, one sentence each.
    pub(crate) changes: Vec<String>,
    pub(crate) error: Option<String>,
}

/// A processor of this machine was taken away: by a host that had other work for it, or in the depths of the kernel.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Standstill {
    pub(crate) from_ms: f64,
    pub(crate) to_ms: f64,
}

/// Why a probe was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Cause {
    /// Dropped or damaged by an emulated link.
    Link,
    Handover,
    /// Something of the scenario's faults was in force.
    Fault,
    /// A processor of this machine stood still, and queues overflowed.
    Standstill,
    Unexplained,
}

/// Probes lost one after the other for one cause.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Loss {
    pub(crate) node: String,
    /// The node sent them, in place of the correspondent.
    #[serde(default)]
    pub(crate) back: bool,
    pub(crate) cause: Cause,
    /// When the first and the last of them were sent.
    pub(crate) from_ms: f64,
    pub(crate) to_ms: f64,
    pub(crate) probes: usize,
}

/// The keys of one accepted registration.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Keys {
    /// The mobile node.
    pub(crate) node: String,
    /// The foreign agent; empty with a co-located care-of address.
    pub(crate) agent: String,
    pub(crate) care_of: String,
    /// When the registration was accepted, since the schedule began.
    #[serde(default)]
    pub(crate) at_ms: f64,
    pub(crate) spis: Vec<u32>,
    /// One per key: three through a foreign agent, one without.
    pub(crate) fingerprints: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Capture {
    pub(crate) link: String,
    pub(crate) kind: String,
    pub(crate) path: String,
}

impl Report {
    /// Works out what a walk showed.
    pub(crate) fn new(
        network: &Network,
        walk: &Walk,
        captures: &[CaptureFile],
        missing_frames: u32,
    ) -> Result<Self> {
        let scenario = &network.scenario;
        let lost = losses::classify(walk);
        let mut report = Self {
            topology: topology(network)?,
            mobile_nodes: mobile_nodes(network)?,
            handovers: figures::handovers(walk, &lost),
            transfer: figures::transfer(walk),
            ping: figures::ping(walk, &lost),
            keys: figures::keys(scenario, walk),
            negotiations: negotiations::made(scenario, walk),
            renewals: negotiations::renewals(scenario, walk),
            captures: captures.iter().map(|file| capture(scenario, file)).collect::<Result<_>>()?,
            emulated_links: figures::emulated_links(scenario, walk),
            scheduled_faults: figures::scheduled_faults(walk),
            reloads: figures::reloads(walk),
            standstills: figures::standstills(walk),
            losses: losses::in_order(walk, &lost),
            faults: Vec::new(),
        };
        report.faults = verdict::faults(&report, missing_frames);
        Ok(report)
    }

    /// Reads a report that [`Report::write`] wrote.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is no report of `testbed demo --report`", path.display()))
    }

    /// The timelines as an SVG picture.
    pub(crate) fn draw(&self) -> String {
        drawing::draw(self)
    }

    /// Writes the report as JSON.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// What is linked to what.
pub(crate) fn topology(network: &Network) -> Result<Topology> {
    let scenario = &network.scenario;
    let links = scenario.links.iter().map(|link| Link {
        name: link.name.get_ref().clone(),
        kind: link.kind.word().to_owned(),
        prefix: link.prefix.get_ref().to_string(),
    });
    let nodes = network.nodes().map(|(name, node)| {
        let interfaces = node.ports.iter().map(|port| Interface {
            name: port.interface.clone(),
            link: port.first_link.clone(),
            address: port.address.map(|address| address.to_string()),
            link_address: port.link_address.clone(),
        });
        Node { name: name.to_owned(), role: node.role.word().to_owned(), interfaces: interfaces.collect() }
    });
    Ok(Topology { scenario: scenario.title.clone(), links: links.collect(), nodes: nodes.collect() })
}

fn mobile_nodes(network: &Network) -> Result<Vec<MobileNode>> {
    let describe = |mobile: &crate::scenario::MobileNode| {
        let name = mobile.name.get_ref();
        let port = network.node(name)?.ports.first().context("a mobile node has an interface")?;
        Ok(MobileNode {
            name: name.clone(),
            nai: mobile.nai.get_ref().clone(),
            home_address: mobile.home_address.get_ref().to_string(),
            link_address: port.link_address.clone(),
        })
    };
    network.scenario.mobile_nodes.iter().map(describe).collect()
}

fn capture(scenario: &Scenario, file: &CaptureFile) -> Result<Capture> {
    Ok(Capture {
        link: file.link.clone(),
        kind: scenario.link(&file.link)?.kind.word().to_owned(),
        path: std::path::absolute(&file.path)?.display().to_string(),
    })
}
