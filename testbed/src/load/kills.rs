//! `testbed load --kills N`: kills the home agent or the key distribution centre at random moments while nodes move,
//! starts it again, and compares what it has with what was acknowledged.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

use admin::client::channel;
use anyhow::{Context, Result, bail};
use crypto::Rng;
use futures_util::TryStreamExt as _;
use proto::kdc::{AuditEntry, AuditTrailRequest, ListAssociationsRequest, kdc_admin_client::KdcAdminClient};
use serde::Serialize;

use super::{
    enrol,
    lab::{Lab, agent_address, home_address, nai},
    ledger::{Ledger, Shown},
    player::own_care_of,
    trace::Place,
};
use crate::{agent, terminal};

/// The name of the phase.
pub(crate) const PHASE: &str = "kills";
/// Between the first answer after a kill and the next kill, in milliseconds at most.
const APART: u64 = 1200;
/// Within a round of the generator, in microseconds at most: while requests are on their way.
const WITHIN: u64 = 4000;
/// Answers that must have come since the last kill: traffic is back by itself.
const BACK: u64 = 20;
/// How long that may take: the waits of a node's requests, and some.
const PATIENCE: Duration = Duration::from_secs(40);
/// How long a home agent that runs may take to show what it has, and between two looks.
pub(super) const SHOWN: Duration = Duration::from_secs(10);
pub(super) const AGAIN: Duration = Duration::from_millis(100);
/// Replaced requests that are sent again after each kill of the home agent.
const REPLAYED: usize = 16;
/// Faults that are told in words.
const NAMED: usize = 20;

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victim {
    HomeAgent,
    Kdc,
    Both,
}

/// What came of it.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Outcome {
    /// Of the moments and of who is killed: `--seed` gives them again.
    pub(crate) seed: u64,
    pub(crate) home_agent: u64,
    pub(crate) kdc: u64,
    /// From a kill until the daemon answers again, in milliseconds.
    pub(crate) longest_start_ms: u64,
    /// From then until a request is accepted again, in milliseconds.
    pub(crate) longest_back_ms: u64,
    /// Acknowledged registrations that were looked for after kills of the home agent, those found several times counted
    /// as often.
    pub(crate) bindings_compared: u64,
    /// Keys that came with an answer, all of which the key distribution centre must know.
    pub(crate) grants_compared: u64,
    /// Entries of the audit trail in the end.
    pub(crate) audit_entries: u64,
    /// Replaced requests that were sent again.
    pub(crate) replayed: u64,
    /// What was lost, or came out of nowhere, in words; and how much of it.
    pub(crate) faults: Vec<String>,
    pub(crate) faults_counted: u64,
}

impl Outcome {
    /// A few lines.
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "Kills (seed {}): {} of the home agent, {} of the key distribution centre; up again after {} ms at most, \
             accepting again {} ms later at most\n  {} bindings, {} grants and {} audit entries compared, {} old requests \
             replayed: {} faults\n",
            self.seed,
            self.home_agent,
            self.kdc,
            self.longest_start_ms,
            self.longest_back_ms,
            self.bindings_compared,
            self.grants_compared,
            self.audit_entries,
            self.replayed,
            self.faults_counted,
        );
        for fault in &self.faults {
            let _ = writeln!(text, "  FAULT {fault}");
        }
        text
    }

    /// Adds a fault.
    pub(crate) fn add(&mut self, fault: String) {
        self.faults_counted += 1;
        if self.faults.len() < NAMED {
            self.faults.push(fault);
        }
    }
}

/// The kills of one run.
pub(crate) struct Kills {
    rng: Rng,
    left: u64,
    next: Option<Duration>,
    /// Acceptances counted when the last one was over, and when that was.
    since: (u64, Instant),
    back: bool,
    trail: Vec<AuditEntry>,
    pub(crate) outcome: Outcome,
}

impl Kills {
    /// So many, at moments that the seed gives.
    pub(crate) fn new(count: u64, seed: u64) -> Self {
        Self {
            rng: Rng::from_seed(super::seed(seed)),
            left: count,
            next: None,
            since: (0, Instant::now()),
            back: true,
            trail: Vec::new(),
            outcome: Outcome { seed, ..Outcome::default() },
        }
    }

    /// True once all are done and answers have come since the last.
    pub(crate) const fn over(&self) -> bool {
        self.left == 0 && self.back
    }

    /// Whether somebody is to be killed now; `accepted` counts acceptances of the phase.
    ///
    /// # Errors
    /// If nothing has been accepted for too long since the last kill.
    pub(crate) fn due(&mut self, now: Duration, accepted: u64) -> Result<Option<Victim>> {
        let (before, since) = self.since;
        if !self.back {
            if accepted > before && self.next.is_none() {
                let took = u64::try_from(since.elapsed().as_millis())?;
                self.outcome.longest_back_ms = self.outcome.longest_back_ms.max(took);
                self.next = Some(now + Duration::from_millis(self.rng.below(APART)));
            }
            if accepted < before + BACK {
                if since.elapsed() > PATIENCE {
                    bail!("{} acceptances in {} s after a kill", accepted - before, PATIENCE.as_secs());
                }
                return Ok(None);
            }
            self.back = true;
        }
        let at = *self.next.get_or_insert_with(|| now + Duration::from_millis(self.rng.below(APART)));
        if self.left == 0 || now < at {
            return Ok(None);
        }
        self.left -= 1;
        // Not only between two rounds of the generator.
        thread::sleep(Duration::from_micros(self.rng.below(WITHIN)));
        Ok(Some(match self.rng.below(5) {
            0 | 1 => Victim::HomeAgent,
            2 | 3 => Victim::Kdc,
            _ => Victim::Both,
        }))
    }

    /// Kills. What was answered before can be read from the sockets afterwards.
    pub(crate) fn strike(&mut self, lab: &Lab, victim: Victim) -> Result<()> {
        if victim != Victim::Kdc {
            self.outcome.home_agent += 1;
            lab.home_agent.kill(libc::SIGKILL)?;
        }
        if victim != Victim::HomeAgent {
            self.outcome.kdc += 1;
            lab.kdc.kill(libc::SIGKILL)?;
        }
        Ok(())
    }

    /// Starts again who was killed, and compares; nothing may have been sent since the kill.
    pub(crate) fn revive(&mut self, lab: &Lab, victim: Victim, ledger: &Ledger) -> Result<()> {
        let begun = Instant::now();
        if victim != Victim::HomeAgent {
            lab.kdc.start(&lab.home)?;
        }
        if victim != Victim::Kdc {
            lab.home_agent.start(&lab.home)?;
        }
        let took = u64::try_from(begun.elapsed().as_millis())?;
        self.outcome.longest_start_ms = self.outcome.longest_start_ms.max(took);
        if victim != Victim::Kdc {
            self.compare_bindings(lab, ledger, Duration::ZERO)?;
        }
        if victim != Victim::HomeAgent {
            self.compare_grants(lab, ledger)?;
        }
        Ok(())
    }

    /// The next kill waits until requests are accepted again; so many were so far.
    pub(crate) fn wait_for_more_than(&mut self, accepted: u64) {
        (self.since, self.back, self.next) = ((accepted, Instant::now()), false, None);
    }

    /// Requests that were replaced by later ones, to be sent again.
    pub(crate) fn replays(&mut self, ledger: &Ledger) -> Vec<(Option<u16>, Vec<u8>)> {
        let all: Vec<_> = ledger.replaced().map(|(_, old)| old).collect();
        let mut chosen = Vec::new();
        for _ in 0..REPLAYED.min(all.len()) {
            let at = self.rng.below(all.len() as u64) as usize;
            chosen.extend(all.get(at).map(|old| (*old).clone()));
        }
        self.outcome.replayed += chosen.len() as u64;
        chosen
    }

    /// What the home agent has must be what was acknowledged, or asked for later. One that was just started shows what
    /// it has; one that runs shows many bindings some time later.
    fn compare_bindings(&mut self, lab: &Lab, ledger: &Ledger, within: Duration) -> Result<()> {
        let limit = Instant::now() + within;
        let mut faults = differences(lab, ledger)?;
        while !faults.is_empty() && Instant::now() < limit {
            thread::sleep(AGAIN);
            faults = differences(lab, ledger)?;
        }
        self.outcome.bindings_compared += ledger.registered() as u64;
        faults.into_iter().for_each(|fault| self.outcome.add(fault));
        Ok(())
    }

    /// The last comparison, when nobody moves any more.
    pub(crate) fn compare_all(&mut self, lab: &Lab, ledger: &Ledger) -> Result<()> {
        self.compare_bindings(lab, ledger, SHOWN)?;
        self.compare_grants(lab, ledger)
    }

    /// Every key that came with an answer must be in the ledger of the key distribution centre, each with its entry in
    /// the audit trail, and the trail must be what it was, with more behind it and no gap.
    fn compare_grants(&mut self, lab: &Lab, ledger: &Ledger) -> Result<()> {
        let (issued, trail) = issued(lab)?;
        let known: BTreeSet<(u32, u32)> = issued.iter().map(|(_, key1)| *key1).collect();
        self.outcome.grants_compared = ledger.issued().len() as u64;
        self.outcome.audit_entries = trail.len() as u64;
        for lost in ledger.issued().difference(&known) {
            self.outcome.add(format!("the key distribution centre does not know KEY 1 {lost:?}"));
        }
        let numbers: BTreeMap<u64, &AuditEntry> = trail.iter().map(|entry| (entry.number, entry)).collect();
        for (id, key1) in &issued {
            if numbers.get(id).is_none_or(|entry| !entry.action.starts_with("issue keys")) {
                self.outcome.add(format!("KEY 1 {key1:?} has no entry {id} in the audit trail"));
            }
        }
        if trail.get(..self.trail.len()) != Some(&self.trail[..]) {
            self.outcome.add("entries of the audit trail are gone or others".to_owned());
        }
        if trail.windows(2).any(|pair| matches!(pair, [a, b] if b.number != a.number + 1)) {
            self.outcome.add("the audit trail has a gap".to_owned());
        }
        self.trail = trail;
        Ok(())
    }
}

/// In words.
fn differences(lab: &Lab, ledger: &Ledger) -> Result<Vec<String>> {
    let shown = shown(lab)?;
    let strangers = shown.keys().filter(|node| **node >= lab.nodes);
    let strangers = strangers.map(|node| format!("a binding of node {node}, which there is not"));
    let faults = (0..lab.nodes).filter_map(|node| {
        let fault = ledger.fault(node, shown.get(&node))?;
        Some(format!("{}: {fault}", nai(node)))
    });
    Ok(strangers.chain(faults).collect())
}

/// By node.
fn shown(lab: &Lab) -> Result<BTreeMap<u32, Shown>> {
    let (bindings, associations) = agent::bindings(lab.socket())?;
    let mut shown: BTreeMap<u32, Shown> = BTreeMap::new();
    let mut names = BTreeMap::new();
    for binding in bindings {
        let address: Ipv4Addr = binding.home_address.parse().context("a home address")?;
        let node = address.to_bits().wrapping_sub(home_address(0).to_bits());
        let care_of: Ipv4Addr = binding.care_of.parse().context("a care-of address")?;
        names.insert(nai(node), node);
        shown.insert(
            node,
            Shown { place: place(lab, node, care_of), lifetime: binding.lifetime_s, key1: BTreeSet::new() },
        );
    }
    for association in associations.iter().filter(|it| it.kind == "KEY 1") {
        let node = names.get(&association.peer_name).and_then(|node| shown.get_mut(node));
        if let Some(node) = node {
            node.key1.insert((association.outbound_spi, association.inbound_spi));
        }
    }
    Ok(shown)
}

fn place(lab: &Lab, node: u32, care_of: Ipv4Addr) -> Option<Place> {
    if care_of == own_care_of(node) {
        return Some(Place::Own);
    }
    (0..lab.agents).find(|number| agent_address(*number) == care_of).map(Place::Agent)
}

/// Number and KEY 1 of every issue of keys, and the audit trail.
type Issued = (Vec<(u64, (u32, u32))>, Vec<AuditEntry>);

fn issued(lab: &Lab) -> Result<Issued> {
    let profile = enrol::profile(lab)?;
    lab.home.run(move |inside| {
        inside.wait(async {
            let mut client = KdcAdminClient::new(channel(&profile)?);
            let all = ListAssociationsRequest { include_ended: true, ..ListAssociationsRequest::default() };
            let all: Vec<_> = client.list_associations(all).await?.into_inner().try_collect().await?;
            let key1 = |it: &proto::kdc::Association| {
                let spis = it.keys.iter().find(|key| key.kind == "KEY 1")?.spis?;
                Some((it.id, (spis.first, spis.second)))
            };
            let issued = all.iter().filter_map(key1).collect();
            let trail = AuditTrailRequest { since: 0, follow: false };
            let trail: Vec<_> = client.audit_trail(trail).await?.into_inner().try_collect().await?;
            Ok((issued, trail))
        })
    })
}

/// Says who is killed.
pub(crate) fn tell(victim: Victim, done: u64) {
    let who = match victim {
        Victim::HomeAgent => "the home agent",
        Victim::Kdc => "the key distribution centre",
        Victim::Both => "both daemons",
    };
    terminal::line(&format!("  kill {done}: {who}"));
}
