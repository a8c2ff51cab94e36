//! What a run found: as JSON for programs, and in a few lines for people.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use serde::Serialize;
use wire::mip::code::Code;

use super::{
    engine::Tally,
    histogram::{Bucket, Quantiles},
    kills,
    usage::Usage,
};

/// How many unreachable nodes are named at the terminal.
const NAMED: usize = 20;

/// A whole run.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Figures {
    pub(crate) nodes: u32,
    pub(crate) agents: u16,
    /// Requests a second that were wanted; 0: as fast as answers come.
    pub(crate) wanted_rate: f64,
    pub(crate) shares: bool,
    /// How associations were negotiated, as on the command line; by how many nodes, and whether their agents did too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) negotiated: Option<String>,
    pub(crate) negotiators: u32,
    pub(crate) negotiating_agents: bool,
    /// Keys of these nodes and their agents that were looked for at the home agent in the end, and how many of them it
    /// does not have so.
    pub(crate) keys_compared: u64,
    pub(crate) keys_wrong: u64,
    /// Answers were checked as they came, and not after their phase.
    pub(crate) checked_at_once: bool,
    /// Seconds that enrolling all nodes took, and that the home agent then took to take them over.
    pub(crate) enrolment_s: f64,
    pub(crate) takeover_s: f64,
    pub(crate) phases: Vec<Phase>,
    /// All phases together.
    pub(crate) sent: u64,
    pub(crate) accepted: u64,
    pub(crate) denied: u64,
    pub(crate) verified: u64,
    pub(crate) wrong: u64,
    pub(crate) retransmissions: u64,
    pub(crate) timeouts: u64,
    /// By reply code.
    pub(crate) codes: BTreeMap<u8, u64>,
    /// That the home agent has in the end.
    pub(crate) bindings: u64,
    /// Nodes that should be registered in the end; all of them were asked for.
    pub(crate) registered: u64,
    /// Those of them that did not answer.
    pub(crate) unreachable: u64,
    pub(crate) unreachable_nodes: Vec<String>,
    /// With `--kills`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kills: Option<kills::Outcome>,
}

/// One part of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Phase {
    /// `register`, `idle`, `moves`, `renewals`, `trace`, `kills` or `again`; with `-beside` behind it of those that register
    /// beside the others.
    pub(crate) name: &'static str,
    /// How long the processors were looked at.
    pub(crate) lasted_s: f64,
    /// From its begin to its last answer.
    pub(crate) seconds: f64,
    /// Accepted registrations a second in that time.
    pub(crate) rate: f64,
    pub(crate) sent: u64,
    pub(crate) accepted: u64,
    pub(crate) denied: u64,
    /// Acceptances in which everything was right: authenticators, names, addresses and keys, all fresh.
    pub(crate) verified: u64,
    pub(crate) codes: BTreeMap<u8, u64>,
    pub(crate) retransmissions: u64,
    pub(crate) timeouts: u64,
    pub(crate) late: u64,
    pub(crate) deferred: u64,
    /// Answers with something wrong, by what.
    pub(crate) wrong: BTreeMap<&'static str, u64>,
    #[serde(flatten)]
    pub(crate) took: Quantiles,
    pub(crate) histogram: Vec<Bucket>,
    /// Most requests on their way at a time, at the end of the phase.
    pub(crate) window: usize,
    /// Of the daemons and the generator, for all that happened meanwhile.
    pub(crate) home_agent: Usage,
    pub(crate) kdc: Usage,
    pub(crate) generator: Usage,
    /// The histogram as text.
    #[serde(skip)]
    pub(crate) drawn: String,
}

impl Phase {
    /// Of what came of it; it began at `begun` and was over so much later.
    pub(crate) fn of(
        name: &'static str,
        tally: Tally,
        (begun, lasted): (Duration, Duration),
        window: usize,
        [home_agent, kdc, generator]: [Usage; 3],
    ) -> Self {
        let seconds = tally.last_answer.saturating_sub(begun).as_secs_f64();
        let (accepted, denied) = (tally.accepted(), tally.denied());
        Self {
            name,
            lasted_s: lasted.as_secs_f64(),
            seconds,
            rate: if seconds > 0.0 { accepted as f64 / seconds } else { 0.0 },
            sent: tally.sent,
            accepted,
            denied,
            verified: tally.verified,
            retransmissions: tally.retransmissions,
            timeouts: tally.timeouts,
            late: tally.late,
            deferred: tally.deferred,
            took: tally.took.quantiles(),
            histogram: tally.took.buckets(),
            drawn: tally.took.draw(),
            codes: tally.codes,
            wrong: tally.wrong,
            window,
            home_agent,
            kdc,
            generator,
        }
    }

    /// A few lines and the histogram.
    pub(crate) fn text(&self) -> String {
        let Quantiles { p50_ms, p90_ms, p99_ms, max_ms } = self.took;
        let mut text = format!(
            "{}: {} accepted in {:.2} s, {:.0} a second; p50 {p50_ms:.2} ms, p90 {p90_ms:.2} ms, p99 {p99_ms:.2} ms, longest {max_ms:.2} ms\n",
            self.name, self.accepted, self.seconds, self.rate
        );
        let _ = writeln!(
            text,
            "  {} datagrams, {} of them again, {} without an answer, {} answers late, {} deferred",
            self.sent, self.retransmissions, self.timeouts, self.late, self.deferred
        );
        for (code, count) in self.codes.iter().filter(|(code, _)| !Code(**code).accepted()) {
            let _ = writeln!(text, "  denied {count}: {}", Code(*code));
        }
        for (why, count) in &self.wrong {
            let _ = writeln!(text, "  WRONG {count}: {why}");
        }
        let used = [("home agent", self.home_agent), ("KDC", self.kdc), ("generator", self.generator)];
        let used = used
            .map(|(who, usage)| format!("{who} {:.2} s, {} MB", usage.cpu_s, usage.rss_bytes / 1_000_000));
        let _ = writeln!(text, "  processor time and memory: {}", used.join("; "));
        text + &self.drawn
    }
}

impl Figures {
    /// True if nothing was wrong and everybody could be reached.
    pub(crate) fn good(&self) -> bool {
        let lost = self.kills.as_ref().map_or(0, |kills| kills.faults_counted);
        lost == 0
            && self.unreachable == 0
            && self.wrong == 0
            && self.keys_wrong == 0
            && self.verified == self.accepted
            && self.timeouts == 0
    }

    /// Adds what came of kills. Meanwhile a request may stay without an answer, because each of its waits met a kill, and
    /// may be denied for want of keys, but for no other reason; the phase after it asks everybody again.
    pub(crate) fn judge_kills(&mut self, outcome: Option<kills::Outcome>) {
        let Some(mut outcome) = outcome else { return };
        let (during, others): (Vec<_>, Vec<_>) =
            self.phases.iter().partition(|phase| phase.name == kills::PHASE);
        self.timeouts = others.iter().map(|phase| phase.timeouts).sum();
        let denials = |phases: &[&Phase]| -> BTreeMap<u8, u64> {
            let all = phases.iter().flat_map(|phase| phase.codes.iter().map(|(code, count)| (*code, *count)));
            all.filter(|(code, _)| !Code(*code).accepted()).collect()
        };
        for (code, count) in
            denials(&during).into_iter().filter(|(code, _)| Code(*code) != Code::HA_UNSPECIFIED)
        {
            outcome.add(format!("denied {count} times while daemons were killed: {}", Code(code)));
        }
        for (code, count) in denials(&others) {
            outcome.add(format!("denied {count} times before or after: {}", Code(code)));
        }
        self.kills = Some(outcome);
    }

    /// Adds a phase.
    pub(crate) fn add(&mut self, phase: Phase) {
        self.sent += phase.sent;
        self.accepted += phase.accepted;
        self.denied += phase.denied;
        self.verified += phase.verified;
        self.wrong += phase.wrong.values().sum::<u64>();
        self.retransmissions += phase.retransmissions;
        self.timeouts += phase.timeouts;
        for (code, count) in &phase.codes {
            *self.codes.entry(*code).or_default() += count;
        }
        self.phases.push(phase);
    }

    /// What stands in the end.
    pub(crate) fn verdict(&self) -> String {
        let mut text = format!(
            "{} nodes registered, {} bindings at the home agent, {} unreachable\n",
            self.registered, self.bindings, self.unreachable
        );
        if let Some(policy) = &self.negotiated {
            let _ = writeln!(
                text,
                "{} nodes negotiated, {policy}: {} keys compared with the home agent's, {} WRONG",
                self.negotiators, self.keys_compared, self.keys_wrong
            );
        }
        if let Some(kills) = &self.kills {
            text += &kills.text();
        }
        if !self.unreachable_nodes.is_empty() {
            let named: Vec<_> = self.unreachable_nodes.iter().take(NAMED).map(String::as_str).collect();
            let more = self.unreachable_nodes.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let _ = writeln!(text, "UNREACHABLE: {}{more}", named.join(", "));
        }
        text
    }
}
