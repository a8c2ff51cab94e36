//! The run over time: where each node was, what was lost and why, what the transfer carried, what went wrong.

use std::collections::BTreeMap;

use super::{
    MARGIN, Place,
    axis::{Axis, label},
    svg::{Area, Svg, width_of},
};
use crate::report::{Cause, MobileNode, Report, ScheduledFault};

const BAND: f64 = 22.0;
const TICKS: f64 = 20.0;
const GAP: f64 = 10.0;
const CURVE: f64 = 90.0;
/// Characters that fit behind a row.
const MOST_WORDS: usize = 33;
/// The transfer is averaged over so many milliseconds at least, and over so many parts of the run at most.
const WINDOW_MS: f64 = 200.0;
const WINDOWS: f64 = 400.0;
const CAUSES: [(Cause, &str, &str); 5] = [
    (Cause::Link, "link", "lost on an emulated link"),
    (Cause::Handover, "handover", "lost in a handover"),
    (Cause::Fault, "fault", "lost by a scheduled fault"),
    (Cause::Standstill, "standstill", "lost while the machine stood still"),
    (Cause::Unexplained, "unexplained", "lost for no known reason"),
];

/// Draws from `y` on and hands back where it ends.
pub(super) fn draw(svg: &mut Svg, report: &Report, place: Place, mut y: f64) -> f64 {
    svg.text(MARGIN, y, "head", "The run");
    legend(svg, report, place, y);
    y += 16.0;
    let axis = Axis::new(0.0, end(report) / 1000.0, place.left, place.right);
    let top = y;
    let bottom = top + height(report);
    for mark in axis.marks() {
        svg.line((axis.at(mark), top), (axis.at(mark), bottom), "grid");
    }
    for node in &report.mobile_nodes {
        y = lane(svg, report, node, axis, y);
    }
    for (target, faults) in targets(report) {
        y = outages(svg, target, &faults, axis, y);
    }
    y = curve(svg, report, axis, y);
    svg.line((place.left, y), (place.right, y), "base");
    for mark in axis.marks() {
        svg.text(axis.at(mark), y + 16.0, "quiet middle", &label(mark));
    }
    svg.text(place.right + 12.0, y + 16.0, "quiet", "seconds since the schedule began");
    y + 18.0
}

/// Milliseconds to the last thing that happened.
fn end(report: &Report) -> f64 {
    let handovers = report.handovers.iter().map(|line| line.link_up_at_ms);
    let faults = report.scheduled_faults.iter().map(|fault| fault.done_ms);
    let losses = report.losses.iter().map(|loss| loss.to_ms);
    handovers.chain(faults).chain(losses).fold(report.transfer.ended_ms.max(1.0), f64::max)
}

fn height(report: &Report) -> f64 {
    let lanes = report.mobile_nodes.len() as f64 * (BAND + TICKS + GAP);
    lanes + targets(report).len() as f64 * (BAND + GAP) + CURVE
}

fn legend(svg: &mut Svg, report: &Report, place: Place, y: f64) {
    let mut x = place.left;
    for (cause, class, words) in CAUSES {
        // Causes that did not occur need no explanation, but for the one that everybody expects.
        if cause == Cause::Handover || report.losses.iter().any(|loss| loss.cause == cause) {
            svg.block(Area { left: x, top: y - 10.0, right: x + 4.0, bottom: y + 2.0 }, class, words);
            svg.text(x + 10.0, y, "quiet", words);
            x += width_of(words) + 26.0;
        }
    }
}

/// Where a node was, and its lost probes below.
fn lane(svg: &mut Svg, report: &Report, node: &MobileNode, axis: Axis, y: f64) -> f64 {
    svg.text(axis.at(0.0) - 12.0, y + BAND - 7.0, "end", &node.name);
    let moves: Vec<_> = report.handovers.iter().filter(|line| line.node == node.name).collect();
    let mut stays = Vec::new();
    let mut since = 0.0;
    for line in &moves {
        stays.push((since, line.link_down_at_ms, line.from.as_str()));
        since = line.link_up_at_ms;
    }
    stays.extend(moves.last().map(|line| (since, end(report), line.to.as_str())));
    for (number, (from, to, link)) in stays.into_iter().enumerate() {
        let (left, right) = (axis.at(from / 1000.0), axis.at(to / 1000.0));
        let class = if number % 2 == 0 { "band" } else { "band2" };
        let words = format!("{} on {link} from {:.3} to {:.3} s", node.name, from / 1000.0, to / 1000.0);
        svg.block(Area { left, top: y, right, bottom: y + BAND }, class, &words);
        if width_of(link) + 8.0 < right - left {
            svg.text(left.midpoint(right), y + BAND - 7.0, "middle", link);
        }
    }
    for line in moves {
        let until = line.link_up_at_ms + line.link_up_to_first_packet_ms.unwrap_or(0.0);
        let (left, right) = (axis.at(line.link_down_at_ms / 1000.0), axis.at(until / 1000.0));
        let area = Area { left, top: y, right: right.max(left + 2.0), bottom: y + BAND };
        svg.block(
            area,
            "gone",
            &format!("{}, {:.1} ms without packets", super::name(line), until - line.link_down_at_ms),
        );
    }
    ticks(svg, report, node, axis, y + BAND + 2.0);
    y + BAND + TICKS + GAP
}

/// One tick for everything that was lost within a pixel for one cause; each cause has its own height.
fn ticks(svg: &mut Svg, report: &Report, node: &MobileNode, axis: Axis, y: f64) {
    let mut pixels: BTreeMap<(usize, i64, i64), usize> = BTreeMap::new();
    for loss in report.losses.iter().filter(|loss| loss.node == node.name) {
        let row = CAUSES.iter().position(|(cause, ..)| *cause == loss.cause).unwrap_or(0);
        let at = |ms: f64| axis.at(ms / 1000.0).round() as i64;
        *pixels.entry((row, at(loss.from_ms), at(loss.to_ms))).or_default() += loss.probes;
    }
    for ((row, from, to), probes) in pixels {
        let Some((_, class, words)) = CAUSES.get(row) else { continue };
        let top = if *class == "link" { y + TICKS / 2.0 } else { y };
        let (left, right) = (from as f64 - 0.6, (to as f64 + 0.6).max(from as f64 + 0.9));
        let words = format!("{probes} probe{} {words}", super::plural(probes));
        svg.block(Area { left, top, right, bottom: y + TICKS - 2.0 }, class, &words);
    }
}

/// By link or node: what was done to it.
fn targets(report: &Report) -> BTreeMap<&str, Vec<&ScheduledFault>> {
    let mut targets: BTreeMap<&str, Vec<&ScheduledFault>> = BTreeMap::new();
    for fault in &report.scheduled_faults {
        targets.entry(&fault.target).or_default().push(fault);
    }
    targets
}

/// A row of what was done to one link or node, with its outages filled.
fn outages(svg: &mut Svg, target: &str, faults: &[&ScheduledFault], axis: Axis, y: f64) -> f64 {
    svg.text(axis.at(0.0) - 12.0, y + BAND - 7.0, "end", target);
    let mut told = Vec::new();
    for (number, fault) in faults.iter().enumerate() {
        let (left, seconds) = (axis.at(fault.at_ms / 1000.0), fault.at_ms / 1000.0);
        let next = faults.get(number + 1).map_or(axis.end(), |next| next.at_ms / 1000.0);
        if ["cut", "kill", "stop"].contains(&fault.what.as_str()) {
            let area = Area { left, top: y, right: axis.at(next), bottom: y + BAND };
            svg.block(area, "outage", &format!("{} {target} at {seconds:.3} s", fault.what));
        }
        let words = format!("{} {target} at {seconds:.3} s", fault.what);
        svg.block(Area { left: left - 1.0, top: y, right: left + 1.0, bottom: y + BAND }, "fault", &words);
        told.push(format!("{} {}", fault.what, label((seconds * 10.0).round() / 10.0)));
    }
    let mut words = told.join(", ");
    if words.chars().count() > MOST_WORDS {
        words = words.chars().take(MOST_WORDS).chain(['…']).collect();
    }
    svg.text(axis.at(axis.end()) + 12.0, y + BAND - 7.0, "", &words);
    y + BAND + GAP
}

/// What the transfer carried, in megabits per second.
fn curve(svg: &mut Svg, report: &Report, axis: Axis, y: f64) -> f64 {
    let rates = rates(&report.transfer.curve, (end(report) / WINDOWS).max(WINDOW_MS));
    let most = rates.iter().map(|(_, rate)| *rate).fold(0.0, f64::max);
    let vertical = Axis::round(0.0, most.max(0.1), y + CURVE, y + 8.0);
    let (left, bottom) = (axis.at(0.0), y + CURVE);
    svg.text(left - 12.0, y + CURVE / 2.0, "end", "transfer");
    svg.text(left - 12.0, y + CURVE / 2.0 + 15.0, "end quiet", "Mbit/s");
    let right = axis.at(axis.end());
    for mark in [0.0, vertical.end() / 2.0, vertical.end()] {
        svg.line((left, vertical.at(mark)), (right, vertical.at(mark)), "grid");
        svg.text(right + 12.0, vertical.at(mark) + 4.0, "quiet", &label(mark));
    }
    let mut points: Vec<(f64, f64)> =
        rates.iter().map(|(at, rate)| (axis.at(at / 1000.0), vertical.at(*rate))).collect();
    if let (Some((first, _)), Some((last, _))) = (points.first().copied(), points.last().copied()) {
        points.insert(0, (first, bottom));
        points.push((last, bottom));
        svg.shape(&points, "curve");
    }
    bottom
}

/// Times in milliseconds with the rate of the window that ended then, in megabits per second.
fn rates(curve: &[(f64, u64)], window_ms: f64) -> Vec<(f64, f64)> {
    let mut rates = Vec::new();
    let Some((mut since, mut before)) = curve.first().copied() else {
        return rates;
    };
    rates.push((since, 0.0));
    for (at, bytes) in curve.iter().copied() {
        let span = at - since;
        if span >= window_ms {
            let rate = bytes.saturating_sub(before) as f64 * 8.0 / 1000.0 / span;
            // A window is a step of the curve, so that silence looks like silence.
            rates.push((since, rate));
            rates.push((at, rate));
            (since, before) = (at, bytes);
        }
    }
    rates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_windows() {
        let curve = [(0.0, 0), (100.0, 1000), (200.0, 25_000), (300.0, 25_000), (400.0, 25_000)];
        assert_eq!(rates(&curve, 200.0), [(0.0, 0.0), (0.0, 1.0), (200.0, 1.0), (200.0, 0.0), (400.0, 0.0)]);
        assert_eq!(rates(&[], 200.0), []);
    }

    #[test]
    fn losses_within_a_pixel_are_one_tick() {
        let mut report = super::super::tests::report(1);
        let loss = |at: f64| crate::report::Loss {
            node: "mn".into(),
            back: false,
            cause: Cause::Link,
            from_ms: at,
            to_ms: at,
            probes: 1,
        };
        report.losses = (0..10_000).map(|number| loss(f64::from(number) / 10.0)).collect();
        let mut svg = Svg::default();
        draw(&mut svg, &report, Place { left: 0.0, right: 500.0 }, 0.0);
        let drawn = svg.finish(1.0, 1.0, "", "", "");
        let ticks = drawn.matches("class=\"link\"").count();
        assert!((200..=600).contains(&ticks), "{ticks}");
    }
}
