//! A report as an SVG picture that stands by itself: the run over time, then each handover step by step.

mod axis;
mod run;
mod steps;
mod svg;

use self::svg::{Svg, width_of};
use super::{Handover, Report};

/// Of the whole picture, in pixels.
const WIDTH: f64 = 1120.0;
const MARGIN: f64 = 24.0;
/// Space at the right of the plots, for what stands behind a row.
const RIGHT: f64 = 250.0;

/// Colours for light and dark; the marks are told apart with any kind of sight.
const STYLE: &str = "
text { font: 12px system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2328; }
.title { font-size: 18px; font-weight: 600; } .head { font-size: 14px; font-weight: 600; }
.quiet { fill: #59636e; } .bad { fill: #b3261e; font-weight: 600; }
.end { text-anchor: end; } .middle { text-anchor: middle; }
.paper { fill: #ffffff; } .band { fill: #eef1f4; } .band2 { fill: #dfe5ea; }
.grid { stroke: #d1d9e0; stroke-width: 1; } .base { stroke: #818b98; stroke-width: 1; }
.discovery { fill: #56b4e9; } .registration { fill: #e69f00; } .tunnel { fill: #009e73; }
.dot { fill: #1f2328; stroke: #ffffff; stroke-width: 1.5; } .gone { fill: #d55e00; }
.link { fill: #8c959f; } .handover { fill: #d55e00; } .fault { fill: #b5509a; } .standstill { fill: #0072b2; }
.unexplained { fill: #b3261e; }
.outage { fill: #b5509a; fill-opacity: 0.25; }
.curve { fill: #0072b2; fill-opacity: 0.25; stroke: #0072b2; stroke-width: 1.2; stroke-linejoin: round; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; } .quiet { fill: #9ba7b4; } .bad { fill: #ff8a80; }
.paper { fill: #0f1419; } .band { fill: #1d242c; } .band2 { fill: #2b3540; }
.grid { stroke: #2f3843; } .base { stroke: #8a95a1; }
.dot { fill: #ffffff; stroke: #0f1419; } .unexplained { fill: #ff8a80; } .fault { fill: #dd8fc8; } .standstill { fill: #4aa3df; }
.outage { fill: #dd8fc8; } .curve { fill: #4aa3df; stroke: #4aa3df; } .link { fill: #7d8894; }
}
";

/// Draws a report.
pub(super) fn draw(report: &Report) -> String {
    let left = MARGIN + labels(report).map(|label| width_of(&label)).fold(60.0, f64::max) + 12.0;
    let mut svg = Svg::default();
    let mut y = MARGIN + 18.0;
    svg.text(MARGIN, y, "title", &report.topology.scenario);
    for line in summary(report) {
        y += 20.0;
        svg.text(MARGIN, y, "quiet", &line);
    }
    for fault in &report.faults {
        y += 20.0;
        svg.text(MARGIN, y, "bad", &format!("Fault: {fault}"));
    }
    let place = Place { left, right: WIDTH - RIGHT };
    y = run::draw(&mut svg, report, place, y + 40.0);
    y = steps::draw(&mut svg, report, place, y + 44.0);
    svg.finish(WIDTH, y + MARGIN, &title(report), &summary(report).join(" "), STYLE)
}

/// Where plots are, from left to right.
#[derive(Clone, Copy)]
struct Place {
    left: f64,
    right: f64,
}

fn title(report: &Report) -> String {
    format!("Handovers: {}", report.topology.scenario)
}

/// What stands before a handover's row.
fn name(line: &Handover) -> String {
    format!("{}: {} → {}", line.node, line.from, line.to)
}

/// Everything that needs room at the left.
fn labels(report: &Report) -> impl Iterator<Item = String> {
    let handovers = report.handovers.iter().map(name);
    let nodes = report.mobile_nodes.iter().map(|node| node.name.clone());
    handovers.chain(nodes).chain(report.scheduled_faults.iter().map(|fault| fault.target.clone()))
}

/// The whole run in a few sentences, for eyes and for those who hear the picture.
fn summary(report: &Report) -> Vec<String> {
    let (transfer, ping) = (&report.transfer, &report.ping);
    let count = report.handovers.len();
    let longest =
        report.handovers.iter().filter_map(|line| line.link_up_to_first_packet_ms).fold(0.0, f64::max);
    let hash = if transfer.sha256_match { "right" } else { "WRONG" };
    let mut lines = vec![
        format!(
            "{count} handover{}, at most {longest:.1} ms from carrier to the first packet. Transfer of {:.1} MB over {} connection{}, SHA-256 {hash}.",
            plural(count),
            transfer.bytes as f64 / 1e6,
            transfer.connections,
            plural(transfer.connections as usize),
        ),
        format!(
            "{} of {} probes arrived: {} lost in handovers, {} on emulated links, {} by scheduled faults, {} while the machine stood still, {} for no known reason.",
            ping.received,
            ping.sent,
            report
                .losses
                .iter()
                .filter(|loss| loss.cause == super::Cause::Handover)
                .map(|loss| loss.probes)
                .sum::<usize>(),
            ping.lost_on_links,
            ping.lost_by_faults,
            ping.lost_in_standstills,
            ping.lost_outside_handovers,
        ),
    ];
    lines.extend(links(report));
    lines
}

/// The emulated links, those with the same values together.
fn links(report: &Report) -> Vec<String> {
    let mut kinds: Vec<(String, Vec<&str>)> = Vec::new();
    for link in &report.emulated_links {
        // One that is only there to be cut is perfect otherwise.
        let perfect = [link.delay_ms, link.loss_percent, link.damage_percent] == [0.0; 3];
        if perfect && link.rate_mbit.is_none() {
            continue;
        }
        let mut values = format!("{} ms", link.delay_ms);
        if link.jitter_ms > 0.0 {
            values += &format!(" ± {} ms", link.jitter_ms);
        }
        values += &format!(", {} % loss", link.loss_percent);
        if link.damage_percent > 0.0 {
            values += &format!(", {} % damaged", link.damage_percent);
        }
        if let Some(rate) = link.rate_mbit {
            values += &format!(", {rate} Mbit/s");
        }
        match kinds.iter_mut().find(|(known, _)| *known == values) {
            Some((_, names)) => names.push(&link.link),
            None => kinds.push((values, vec![&link.link])),
        }
    }
    kinds.into_iter().map(|(values, names)| format!("Links of {values}: {}.", names.join(", "))).collect()
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Cause, Loss, MobileNode, Ping, ScheduledFault, Topology, Transfer};

    pub(super) fn report(handovers: usize) -> Report {
        let line = |number: usize| Handover {
            node: "mn".into(),
            from: "home".into(),
            to: "visited-a".into(),
            link_down_at_ms: 1000.0 * (number + 1) as f64,
            link_up_at_ms: 1000.0 * (number + 1) as f64 + 1.0,
            link_up_to_first_packet_ms: Some(40.0 + number as f64),
            discovery_ms: Some(10.0),
            registration_ms: Some(20.0),
            tunnel_ms: Some(5.0),
            packets_lost: 41,
            ..Handover::default()
        };
        let fault = |at_ms: f64, what: &str| ScheduledFault {
            at_ms,
            what: what.into(),
            target: "core-a".into(),
            done_ms: at_ms,
            error: None,
        };
        Report {
            negotiations: vec![],
            renewals: vec![],
            topology: Topology { scenario: "A & B <\u{1}>".into(), links: vec![], nodes: vec![] },
            mobile_nodes: vec![MobileNode {
                name: "mn".into(),
                nai: String::new(),
                home_address: String::new(),
                link_address: String::new(),
            }],
            handovers: (0..handovers).map(line).collect(),
            transfer: Transfer {
                bytes: 9_000_000,
                sha256_match: true,
                connections: 1,
                started_ms: -5.0,
                ended_ms: 1000.0 * (handovers + 1) as f64,
                error: None,
                curve: vec![(-5.0, 0), (500.0, 4_000_000), (900.0, 9_000_000)],
            },
            ping: Ping::default(),
            keys: vec![],
            captures: vec![],
            emulated_links: vec![],
            scheduled_faults: vec![fault(300.0, "cut"), fault(600.0, "restore")],
            reloads: vec![],
            standstills: vec![],
            losses: vec![Loss {
                node: "mn".into(),
                back: false,
                cause: Cause::Handover,
                from_ms: 990.0,
                to_ms: 1040.0,
                probes: 41,
            }],
            faults: vec!["something <bad>".into()],
        }
    }

    fn count(text: &str, part: &str) -> usize {
        text.matches(part).count()
    }

    #[test]
    fn one_handover_and_fifty_are_each_drawn_once() {
        for handovers in [1, 50] {
            let drawn = draw(&report(handovers));
            assert_eq!(count(&drawn, "class=\"registration\" data-row"), handovers);
            assert_eq!(count(&drawn, "mn: home → visited-a</text>"), handovers);
            assert_eq!(count(&drawn, "<svg"), 1);
            assert_eq!(count(&drawn, "<g"), count(&drawn, "</g>"));
            assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "every number is one");
        }
    }

    #[test]
    fn words_of_the_scenario_never_become_markup() {
        let drawn = draw(&report(1));
        assert!(drawn.contains("A &amp; B &lt;\u{fffd}&gt;"), "{drawn}");
        assert!(drawn.contains("something &lt;bad&gt;"));
    }

    #[test]
    fn it_says_in_words_what_it_shows() {
        let drawn = draw(&report(3));
        assert!(drawn.contains("role=\"img\"") && drawn.contains("aria-labelledby=\"title desc\""));
        assert!(drawn.contains("<desc id=\"desc\">3 handovers, at most 42.0 ms"), "{drawn}");
        assert!(drawn.contains("prefers-color-scheme: dark"));
    }

    #[test]
    fn a_report_of_a_run_without_anything_is_drawn_too() {
        let mut empty = report(0);
        empty.transfer.curve.clear();
        empty.losses.clear();
        empty.mobile_nodes.clear();
        empty.scheduled_faults.clear();
        let drawn = draw(&empty);
        assert!(drawn.contains("No node changed its link") && !drawn.contains("NaN"), "{drawn}");
    }
}
