//! Each handover on a row of its own: how long discovery, registration and tunnel took, from carrier on.

use super::{
    MARGIN, Place,
    axis::{Axis, label},
    name,
    svg::{Area, Svg, width_of},
};
use crate::report::{Handover, Report};

const ROW: f64 = 24.0;
const BAR: f64 = 14.0;

/// Draws from `y` on and hands back where it ends.
pub(super) fn draw(svg: &mut Svg, report: &Report, place: Place, mut y: f64) -> f64 {
    svg.text(MARGIN, y, "head", "Handovers, in milliseconds from carrier");
    if report.handovers.is_empty() {
        svg.text(MARGIN, y + ROW, "quiet", "No node changed its link.");
        return y + ROW;
    }
    y += ROW;
    legend(svg, place, y);
    y += 12.0;
    let longest = report.handovers.iter().map(last).fold(1.0, f64::max);
    let axis = Axis::round(0.0, longest, place.left, place.right);
    let bottom = y + report.handovers.len() as f64 * ROW;
    for mark in axis.marks() {
        svg.line((axis.at(mark), y), (axis.at(mark), bottom), "grid");
        svg.text(axis.at(mark), bottom + 16.0, "quiet middle", &label(mark));
    }
    svg.text(place.right + 30.0, bottom + 16.0, "quiet", "ms");
    for line in &report.handovers {
        row(svg, line, axis, y);
        y += ROW;
    }
    svg.line((place.left, bottom), (place.right, bottom), "base");
    bottom + 18.0
}

fn legend(svg: &mut Svg, place: Place, y: f64) {
    let mut x = place.left;
    for words in ["discovery", "registration", "tunnel"] {
        svg.block(Area { left: x, top: y - 10.0, right: x + 14.0, bottom: y }, words, words);
        svg.text(x + 20.0, y, "quiet", words);
        x += width_of(words) + 38.0;
    }
    svg.dot(x + 5.0, y - 4.5, "dot");
    svg.text(x + 16.0, y, "quiet", "first packet");
}

/// When the last thing happened.
fn last(line: &Handover) -> f64 {
    let steps = [line.discovery_ms, line.registration_ms, line.tunnel_ms];
    let all: f64 = steps.into_iter().flatten().sum();
    all.max(line.link_up_to_first_packet_ms.unwrap_or(0.0))
}

fn row(svg: &mut Svg, line: &Handover, axis: Axis, y: f64) {
    let top = y + (ROW - BAR) / 2.0;
    let middle = y + ROW / 2.0;
    let ms = |value: Option<f64>| value.map_or("unknown".to_owned(), |ms| format!("{ms:.1} ms"));
    svg.open(&format!(
        "{}: discovery {}, registration {}, tunnel {}, first packet {}, {} probes lost",
        name(line),
        ms(line.discovery_ms),
        ms(line.registration_ms),
        ms(line.tunnel_ms),
        ms(line.link_up_to_first_packet_ms),
        line.packets_lost,
    ));
    svg.text(axis.at(0.0) - 12.0, middle + 4.0, "end", &name(line));
    let mut from = 0.0;
    for (length, class) in
        [(line.discovery_ms, "discovery"), (line.registration_ms, "registration"), (line.tunnel_ms, "tunnel")]
    {
        let to = from + length.unwrap_or(0.0);
        svg.step(Area { left: axis.at(from), top, right: axis.at(to), bottom: top + BAR }, class);
        from = to;
    }
    let x = axis.at(axis.end()) + 12.0;
    match line.link_up_to_first_packet_ms {
        Some(first) => {
            svg.dot(axis.at(first), middle, "dot");
            let more = match line.packets_lost_on_links {
                0 => String::new(),
                probes => format!(" + {probes} on links"),
            };
            svg.text(x, middle + 4.0, "", &format!("{first:.1} ms, {} lost{more}", line.packets_lost));
        }
        None => svg.text(x, middle + 4.0, "bad", &format!("no packet came, {} lost", line.packets_lost)),
    }
    svg.close();
}
