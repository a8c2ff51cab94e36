//! Metrics of home agent, foreign agent and mobile node, out of the snapshots that they publish for their operator.

use proto::agent::{CountersReply, MobileNode, Role, StatusReply};

use super::{Labelled, Page};
use crate::AgentSnapshot;

/// What the packet path counts, by name.
pub type Packets = Vec<(&'static str, u64)>;

const DROPPED: &str = "tunnel drop: ";
/// States of a mobile node, as the operator sees them.
const STATES: [&str; 5] = ["detached", "discovering", "registering", "registered", "at home"];

/// Adds all of them. `packets` are read at this moment; they are in the snapshot too, as of when it was made.
pub fn add(page: &mut Page, snapshot: &AgentSnapshot, packets: &Packets) {
    let status = snapshot.status_at(snapshot.age_s());
    // A name of the packet path is none of the core.
    let own = |name: &str| packets.iter().all(|(taken, _)| *taken != name);
    let mut counted: Vec<_> = status.counters.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    counted.retain(|(name, _)| own(name));
    counted.sort_unstable();
    let mut counted = Counted(counted);
    let counters = snapshot.counters.clone().unwrap_or_default();
    let seconds = snapshot.answer_time.as_secs_f64();
    match status.role() {
        Role::HomeAgent => home_agent(page, &status, &counters, seconds, &mut counted),
        Role::ForeignAgent => {
            let answers = Answers {
                count: snapshot.peers.iter().map(|peer| peer.accepted + peer.denied).sum(),
                seconds,
                longest: snapshot.peers.iter().map(|peer| peer.longest_us).max().unwrap_or(0),
            };
            foreign_agent(page, &status, &counters, &answers, &mut counted);
        }
        Role::MobileNode => {
            mobile_node(page, &status.mobile_node.clone().unwrap_or_default(), &mut counted);
        }
        // Nothing is known before the first snapshot.
        Role::Unspecified => return,
    }
    page.counters("events", "What else happened, in the words of the log", Labelled::by("event", counted.0));
    tunnel(page, packets);
}

/// Counters that have not found their metric yet.
struct Counted<'a>(Vec<(&'a str, u64)>);

impl<'a> Counted<'a> {
    /// One of them; 0 if it never happened.
    fn take(&mut self, name: &str) -> u64 {
        let place = self.0.iter().position(|(known, _)| *known == name);
        place.map_or(0, |place| self.0.remove(place).1)
    }

    /// Those of reply codes.
    fn codes(&mut self) -> Labelled<'a> {
        let code = |name: &'a str| name.strip_prefix("code ");
        let codes = self.0.iter().filter_map(|(name, count)| Some((code(name)?, *count))).collect::<Vec<_>>();
        self.0.retain(|(name, _)| code(name).is_none());
        Labelled::by("code", codes)
    }
}

fn home_agent(
    page: &mut Page,
    status: &StatusReply,
    counters: &CountersReply,
    seconds: f64,
    counted: &mut Counted<'_>,
) {
    page.named("sojourn_home_agent");
    page.gauge("bindings", "Bindings now", status.bindings);
    waiting(page, counters);
    page.gauge(
        "under_load",
        "1 while requests without a foreign agent need a cookie",
        counters.under_load.into(),
    );
    let help = "Registrations accepted, renewals too";
    page.counter("registrations_accepted", help, counted.take("registrations accepted"));
    let help = "Deregistrations accepted";
    page.counter("deregistrations_accepted", help, counted.take("deregistrations accepted"));
    page.counters("replies", "Replies by reply code (RFC 5944 section 3.4)", counted.codes());
    page.counter("kdc_answers", "Answers of the key distribution centre with keys", counters.kdc_answers);
    page.counter_of_seconds("kdc_wait", "Time that these took together", seconds);
    page.gauge_of_seconds("kdc_longest_wait", "Time that the slowest took", micros(counters.kdc_longest_us));
    let help = "Registrations that failed because the key distribution centre was not there";
    page.counter("kdc_unavailable", help, counted.take("key distribution centre unavailable"));
}

/// Of all home agents.
struct Answers {
    count: u64,
    seconds: f64,
    /// In microseconds.
    longest: u64,
}

fn foreign_agent(
    page: &mut Page,
    status: &StatusReply,
    counters: &CountersReply,
    answers: &Answers,
    counted: &mut Counted<'_>,
) {
    page.named("sojourn_foreign_agent");
    page.gauge("visitors", "Visitors now", status.visitors);
    waiting(page, counters);
    page.counter("requests_relayed", "Requests relayed to home agents", counted.take("requests relayed"));
    page.counter("replies_relayed", "Replies relayed to mobile nodes", counted.take("replies relayed"));
    page.counter("requests_timed_out", "Requests no home agent answered", counted.take("requests timed out"));
    page.counters("refusals", "Requests refused here by reply code (RFC 5944 section 3.4)", counted.codes());
    let help = "Requests that home agents denied";
    page.counter("home_agent_denials", help, counted.take("denied by home agents"));
    page.counter("home_agent_answers", "Answers of home agents", answers.count);
    page.counter_of_seconds("home_agent_wait", "Time that these took together", answers.seconds);
    page.gauge_of_seconds("home_agent_longest_wait", "Time that the slowest took", micros(answers.longest));
}

fn waiting(page: &mut Page, counters: &CountersReply) {
    page.gauge("pending_requests", "Requests that wait now", counters.pending);
    page.gauge("most_pending_requests", "Most that waited at a time", counters.pending_peak);
    let help = "Most registrations in any minute";
    page.gauge("most_registrations_in_a_minute", help, counters.registrations_peak);
}

fn mobile_node(page: &mut Page, node: &MobileNode, counted: &mut Counted<'_>) {
    page.named("sojourn_mobile_node");
    let states = STATES.map(|state| (state, u64::from(state == node.state)));
    page.gauges("state", "1 at the state that it is in", Labelled::by("state", states));
    let help = "Time until the registration ends; 0 without one";
    page.gauge_of_seconds("lifetime_left", help, f64::from(node.lifetime_left_s));
    #[expect(clippy::cast_precision_loss, reason = "seconds of millions of years fit")]
    let offset = node.clock_offset_s as f64;
    page.gauge_of_seconds("clock_offset", "How far the home agent's clock is ahead", offset);
    page.counter("requests", "Registration requests sent", counted.take("requests"));
    let help = "Registrations accepted";
    page.counter("registrations_accepted", help, counted.take("registrations accepted"));
    page.counters("denials", "Denials by reply code (RFC 5944 section 3.4)", counted.codes());
}

fn tunnel(page: &mut Page, packets: &Packets) {
    let value = |name: &str| packets.iter().find(|(known, _)| *known == name).map_or(0, |(_, value)| *value);
    page.named("sojourn_tunnel");
    let ways = [("in", value("tunnel packets in")), ("out", value("tunnel packets out"))];
    page.counters("packets", "Packets carried", Labelled::by("direction", ways));
    let ways = [("in", value("tunnel octets in")), ("out", value("tunnel octets out"))];
    page.counter_of_bytes(
        "carried",
        "Octets carried, without outer headers",
        Labelled::by("direction", ways),
    );
    let dropped = packets.iter().filter_map(|(name, count)| Some((name.strip_prefix(DROPPED)?, *count)));
    page.counters("dropped_packets", "Packets dropped", Labelled::by("reason", dropped));
    let carried = ["tunnel packets in", "tunnel packets out", "tunnel octets in", "tunnel octets out"];
    let others = packets.iter().filter(|(name, _)| !name.starts_with(DROPPED) && !carried.contains(name));
    let others = others.map(|(name, count)| (name.strip_prefix("tunnel ").unwrap_or(name), *count));
    page.counters("events", "What else happened to packets", Labelled::by("event", others));
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of years fit")]
fn micros(micros: u64) -> f64 {
    micros as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proto::agent::PeerCounters;

    use super::*;

    fn text(snapshot: &AgentSnapshot) -> String {
        let packets =
            vec![("tunnel packets in", 5), ("tunnel drop: no tunnel", 2), ("tunnel packets too big", 1)];
        let mut page = Page::default();
        add(&mut page, snapshot, &packets);
        page.text()
    }

    fn snapshot(role: Role, counters: &[(&str, u64)]) -> AgentSnapshot {
        AgentSnapshot::new(StatusReply {
            role: role.into(),
            nai: "someone@home.example".to_owned(),
            bindings: 3,
            visitors: 4,
            counters: counters.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
            mobile_node: Some(MobileNode {
                state: "at home".to_owned(),
                home_address: "10.11.1.50".to_owned(),
                ..MobileNode::default()
            }),
            ..StatusReply::default()
        })
    }

    #[test]
    fn a_home_agent_tells_codes_times_and_packets_once_and_nobodys_name() {
        let counters =
            [("code 133", 2), ("registrations accepted", 9), ("repeated", 1), ("tunnel packets in", 4)];
        let peer = PeerCounters { nai: "someone@home.example".to_owned(), ..PeerCounters::default() };
        let snapshot = AgentSnapshot {
            counters: Some(CountersReply { pending: 6, kdc_answers: 8, ..CountersReply::default() }),
            peers: [peer].into(),
            answer_time: Duration::from_millis(1250),
            ..snapshot(Role::HomeAgent, &counters)
        };
        let text = text(&snapshot);
        for line in [
            "sojourn_home_agent_bindings 3",
            "sojourn_home_agent_pending_requests 6",
            "sojourn_home_agent_replies_total{code=\"133\"} 2",
            "sojourn_home_agent_registrations_accepted_total 9",
            "sojourn_home_agent_deregistrations_accepted_total 0",
            "sojourn_home_agent_kdc_wait_seconds_total 1.25",
            "sojourn_home_agent_events_total{event=\"repeated\"} 1",
            "sojourn_tunnel_packets_total{direction=\"in\"} 5",
            "sojourn_tunnel_dropped_packets_total{reason=\"no_tunnel\"} 2",
            "sojourn_tunnel_events_total{event=\"packets_too_big\"} 1",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is missing in:\n{text}");
        }
        assert!(!text.contains("event=\"tunnel"), "{text}");
        assert!(!text.contains("someone") && !text.contains("10.11."), "{text}");
    }

    #[test]
    fn a_mobile_node_tells_its_state() {
        let text = text(&snapshot(Role::MobileNode, &[("requests", 3)]));
        assert!(text.contains("sojourn_mobile_node_state{state=\"at_home\"} 1"), "{text}");
        assert!(text.contains("sojourn_mobile_node_state{state=\"registered\"} 0"), "{text}");
        assert!(text.contains("sojourn_mobile_node_requests_total 3"), "{text}");
        assert!(!text.contains("10.11.1.50"), "{text}");
    }

    #[test]
    fn nothing_is_told_before_the_first_snapshot() {
        assert_eq!(text(&AgentSnapshot::default()), "# EOF\n");
    }
}
