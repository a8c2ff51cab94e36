//! One run of a scenario's schedule with traffic: what happened, as raw times. The report is made of it.

mod reload;
mod trouble;

use std::{
    collections::BTreeMap,
    net::SocketAddrV4,
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use proto::agent::Event;

pub(crate) use self::{reload::Reloaded, trouble::Trouble};
use crate::{
    agent::Watch,
    clock,
    emulation::Ledger,
    network::{Move, Network, Role},
    scenario::{MobileNode, Traffic},
    standstill::{self, Standstill},
    timeline::{Moment, Timeline},
    traffic::{
        BACK_PORT, PROBE_PORT,
        probe::{Log, Probe},
        transfer::{Amount, Outcome, Progress, Transfer},
    },
};

/// A handover without a packet after this long is given up.
const FIRST_PACKET: Duration = Duration::from_secs(10);

/// Everything that was seen; times in boot nanoseconds.
pub(crate) struct Walk {
    /// When the schedule began.
    pub(crate) zero: u64,
    /// In order of time.
    pub(crate) handovers: Vec<Handover>,
    /// By mobile node.
    pub(crate) probes: BTreeMap<String, Log>,
    /// By mobile node: what it sent itself, where the scenario wants that.
    pub(crate) back: BTreeMap<String, Log>,
    pub(crate) transfer: Outcome,
    /// By node: mobile nodes and home agents.
    pub(crate) events: BTreeMap<String, Vec<Event>>,
    /// What the scenario let go wrong, in order of time.
    pub(crate) troubles: Vec<Trouble>,
    /// What agents were configured anew with, in order of time.
    pub(crate) reloads: Vec<Reloaded>,
    pub(crate) ledger: Ledger,
    /// The streams of probes, in the order of the scenario's mobile nodes; those that they send are numbered after these.
    pub(crate) streams: Vec<String>,
    /// How long a packet is on its way at most when nothing is wrong (nanoseconds).
    pub(crate) on_the_way: u64,
    /// When processors of this machine did not run, in order of time.
    pub(crate) standstills: Vec<Standstill>,
}

/// One change of links and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Handover {
    pub(crate) node: String,
    pub(crate) moved: Move,
    /// When the first probe sent and received after the move came.
    pub(crate) first_packet: Option<u64>,
    /// When the stay on the new link ended.
    pub(crate) until: u64,
    /// Received by the transfer when the old link went, and at the end of the stay.
    pub(crate) bytes_before: u64,
    pub(crate) bytes_after: u64,
}

/// Walks the schedule of every mobile node.
pub(crate) fn walk(network: &Network, timeline: &Timeline) -> Result<Walk> {
    let scenario = &network.scenario;
    let traffic =
        scenario.traffic.as_ref().context("the scenario has no [traffic]: there is nothing to measure")?;
    let watches = watch(network, timeline)?;
    let probes = start_probes(network, traffic, Way::ToNodes)?;
    let back = if traffic.probes_back { start_probes(network, traffic, Way::Back)? } else { BTreeMap::new() };
    let transfer = start_transfer(network, traffic)?;
    let processors = standstill::Watch::start()?;
    let progress = transfer.progress();
    let zero = clock::boot_ns();
    timeline.begin(zero, Arc::clone(&progress));

    let (mut handovers, troubles, reloads) = roam_all(network, &probes, &progress, zero, timeline)?;
    handovers.sort_by_key(|handover| handover.moved.link_down);
    let outcome = transfer.finish();
    let finish = |probes: BTreeMap<String, Probe>| {
        probes.into_iter().map(|(name, probe)| Ok((name, probe.finish()?))).collect::<Result<_>>()
    };
    let (probes, back) = (finish(probes)?, finish(back)?);
    let events = watches.into_iter().map(|(name, watch)| (name, watch.events())).collect();
    Ok(Walk {
        zero,
        handovers,
        probes,
        back,
        transfer: outcome,
        events,
        troubles,
        reloads,
        ledger: network.switch.ledger()?,
        streams: scenario.mobile_nodes.iter().map(|mobile| mobile.name.get_ref().clone()).collect(),
        on_the_way: u64::try_from(scenario.longest_way().as_nanos())?,
        standstills: processors.finish()?,
    })
}

fn watch(network: &Network, timeline: &Timeline) -> Result<BTreeMap<String, Watch>> {
    let mut watches = BTreeMap::new();
    for (name, node) in network.nodes() {
        if matches!(node.role, Role::MobileNode | Role::HomeAgent) {
            let watch = Watch::start(name, network.socket(name)?, Some(timeline.listener()))?;
            watches.insert(name.to_owned(), watch);
        }
    }
    Ok(watches)
}

/// From the correspondent to the mobile nodes, or from them to it.
#[derive(Clone, Copy)]
enum Way {
    ToNodes,
    Back,
}

/// Starts the probes to every mobile node, or from it, and waits until they arrive.
fn start_probes(network: &Network, traffic: &Traffic, way: Way) -> Result<BTreeMap<String, Probe>> {
    let correspondent = network.scenario.correspondent(traffic.from.get_ref())?;
    let mobiles = &network.scenario.mobile_nodes;
    let mut probes = BTreeMap::new();
    for (number, mobile) in mobiles.iter().enumerate() {
        let names = [traffic.from.get_ref(), mobile.name.get_ref()];
        let port = u16::try_from(number).ok().and_then(|number| BACK_PORT.checked_add(number));
        let ([from, to], target, stream) = match way {
            Way::ToNodes => (names, SocketAddrV4::new(*mobile.home_address.get_ref(), PROBE_PORT), number),
            Way::Back => {
                let port = port.context("more mobile nodes than ports")?;
                let target = SocketAddrV4::new(*correspondent.address.get_ref(), port);
                ([names[1], names[0]], target, mobiles.len() + number)
            }
        };
        let stream = u8::try_from(stream).context("more streams of probes than can be told apart")?;
        let (source, sink) = (&network.node(from)?.namespace, &network.node(to)?.namespace);
        let probe = Probe::start(source, sink, target, *traffic.probes_per_second.get_ref(), stream)?;
        if probe.first_after(0, 0, FIRST_PACKET)?.is_none() {
            bail!("no probe of {from} reaches {to} at {}", target.ip());
        }
        probes.insert(mobile.name.get_ref().clone(), probe);
    }
    Ok(probes)
}

/// Starts the one transfer, and waits for its first bytes.
pub(crate) fn start_transfer(network: &Network, traffic: &Traffic) -> Result<Transfer> {
    let mobile = network.scenario.mobile_node(traffic.to.get_ref())?;
    let bytes = u64::from(*traffic.transfer_mb.get_ref()) * 1_000_000;
    let perfect = network.scenario.lines().is_empty();
    let transfer = Transfer::start(
        &network.node(traffic.from.get_ref())?.namespace,
        &network.node(traffic.to.get_ref())?.namespace,
        *mobile.home_address.get_ref(),
        if perfect { Amount::Exactly(bytes) } else { Amount::AtMost(bytes) },
        network.scenario.longest(),
    )?;
    Ok(transfer)
}

fn roam_all(
    network: &Network,
    probes: &BTreeMap<String, Probe>,
    progress: &Progress,
    zero: u64,
    timeline: &Timeline,
) -> Result<(Vec<Handover>, Vec<Trouble>, Vec<Reloaded>)> {
    thread::scope(|scope| {
        let troubles = scope.spawn(|| trouble::make(network, zero, timeline));
        let reloads = scope.spawn(|| reload::make(network, zero, timeline));
        let mut walkers = Vec::new();
        for mobile in &network.scenario.mobile_nodes {
            let probe = probes.get(mobile.name.get_ref()).context("a mobile node has a probe")?;
            let walker = Walker { network, mobile, probe, progress, timeline };
            walkers.push(scope.spawn(move || walker.roam(zero)));
        }
        let mut handovers = Vec::new();
        for walker in walkers {
            handovers.extend(walker.join().map_err(|_| anyhow!("a walking thread panicked"))??);
        }
        let troubles = troubles.join().map_err(|_| anyhow!("the thread of the faults panicked"))?;
        let reloads = reloads.join().map_err(|_| anyhow!("the thread of the reloads panicked"))?;
        Ok((handovers, troubles, reloads))
    })
}

struct Walker<'a> {
    network: &'a Network,
    mobile: &'a MobileNode,
    probe: &'a Probe,
    progress: &'a Progress,
    timeline: &'a Timeline,
}

impl Walker<'_> {
    fn roam(&self, zero: u64) -> Result<Vec<Handover>> {
        let mut handovers: Vec<Handover> = Vec::new();
        let mut arrived = zero;
        let mut steps = self.mobile.roam.iter().peekable();
        while let Some(step) = steps.next() {
            sleep_until(arrived + u64::try_from(step.stay().as_nanos())?);
            if let Some(last) = handovers.last_mut() {
                (last.until, last.bytes_after) = (clock::boot_ns(), self.received());
            }
            if let Some(next) = steps.peek() {
                let handover = self.change(next.link.get_ref())?;
                arrived = handover.moved.link_up;
                handovers.push(handover);
            }
        }
        Ok(handovers)
    }

    fn change(&self, to: &str) -> Result<Handover> {
        let name = self.mobile.name.get_ref();
        let bytes_before = self.received();
        let moved = self.network.move_to(name, to)?;
        self.timeline.tell(moved.link_down, Moment::Moved { node: name.clone(), moved: moved.clone() });
        let first_packet = self.probe.first_after(moved.link_down, moved.plugged, FIRST_PACKET)?;
        let at = first_packet.unwrap_or_else(clock::boot_ns);
        self.timeline.tell(at, Moment::FirstPacket { node: name.clone(), came: first_packet.is_some() });
        Ok(Handover {
            node: name.clone(),
            moved,
            first_packet,
            until: u64::MAX,
            bytes_before,
            bytes_after: 0,
        })
    }

    fn received(&self) -> u64 {
        self.progress.received.load(Ordering::Relaxed)
    }
}

fn sleep_until(boot_ns: u64) {
    thread::sleep(Duration::from_nanos(boot_ns.saturating_sub(clock::boot_ns())));
}
