//! The result of a run as a picture in text: one bar per handover, a table, and the verdict.

mod tree;

use std::fmt::Write as _;

pub(crate) use self::tree::draw as network;
use crate::report::{Handover, Report};

/// The kernel tells of a carrier within a millisecond, unless it gets no processor time (milliseconds).
const OVERLOADED: f64 = 50.0;
/// Columns of a bar.
const WIDTH: usize = 48;

/// Draws a report.
pub(crate) fn draw(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = bars(&mut out, report);
    let _ = table(&mut out, report);
    let _ = summary(&mut out, report);
    out
}

fn bars(out: &mut String, report: &Report) -> std::fmt::Result {
    let scale = nice(report.handovers.iter().map(end).fold(1.0, f64::max));
    writeln!(
        out,
        "\nHandovers, from carrier at the mobile node: ░ discovery  ▒ registration  ▓ tunnel  ● first packet\n"
    )?;
    let half = (scale / 2.0).to_string();
    let right = format!("{scale:.0} ms");
    let gap = WIDTH / 2;
    let width = names(report);
    writeln!(out, "  {:<width$} 0{:>gap$}{:>gap$}", "", half, right)?;
    for line in &report.handovers {
        let name = name(line);
        let first = line.link_up_to_first_packet_ms.map_or("never".into(), |ms| format!("{ms:.1} ms"));
        writeln!(out, "  {name:<width$} {} {first:>9}, {} lost", bar(line, scale), line.packets_lost)?;
    }
    Ok(())
}

fn name(line: &Handover) -> String {
    format!("{}: {} → {}", line.node, line.from, line.to)
}

/// The width of the column of names.
fn names(report: &Report) -> usize {
    report.handovers.iter().map(|line| name(line).chars().count()).max().unwrap_or(0)
}

/// Where the last thing of a handover happened.
fn end(line: &Handover) -> f64 {
    let steps = line.discovery_ms.unwrap_or(0.0)
        + line.registration_ms.unwrap_or(0.0)
        + line.tunnel_ms.unwrap_or(0.0);
    steps.max(line.link_up_to_first_packet_ms.unwrap_or(0.0))
}

fn bar(line: &Handover, scale: f64) -> String {
    let column = |ms: f64| ((ms / scale * WIDTH as f64).round() as usize).min(WIDTH);
    let mut cells = vec!['·'; WIDTH + 1];
    let mut from = 0.0;
    for (length, mark) in [(line.discovery_ms, '░'), (line.registration_ms, '▒'), (line.tunnel_ms, '▓')]
    {
        let to = from + length.unwrap_or(0.0);
        for cell in cells.iter_mut().take(column(to)).skip(column(from)) {
            *cell = mark;
        }
        from = to;
    }
    if let Some(first) = line.link_up_to_first_packet_ms
        && let Some(cell) = cells.get_mut(column(first))
    {
        *cell = '●';
    }
    cells.into_iter().collect()
}

/// The next of 1, 2, 5, 10, 20, 50, … that is not below.
fn nice(value: f64) -> f64 {
    let mut power = 1.0;
    loop {
        for step in [1.0, 2.0, 5.0] {
            if power * step >= value {
                return power * step;
            }
        }
        power *= 10.0;
    }
}

fn table(out: &mut String, report: &Report) -> std::fmt::Result {
    let ms = |value: Option<f64>| value.map_or("-".into(), |ms| format!("{ms:.1}"));
    let width = names(report);
    writeln!(
        out,
        "\n  {:<width$} {:<15} {:>9} {:>12} {:>7} {:>12} {:>5}   transfer before → after",
        "move", "care-of", "discovery", "registration", "tunnel", "first packet", "lost"
    )?;
    for line in &report.handovers {
        writeln!(
            out,
            "  {:<width$} {:<15} {:>9} {:>12} {:>7} {:>12} {:>5}   {} → {}",
            name(line),
            if line.care_of.is_empty() { "at home" } else { &line.care_of },
            ms(line.discovery_ms),
            ms(line.registration_ms),
            ms(line.tunnel_ms),
            ms(line.link_up_to_first_packet_ms),
            line.packets_lost,
            megabytes(line.transfer_bytes_before),
            megabytes(line.transfer_bytes_after),
        )?;
    }
    Ok(())
}

fn megabytes(bytes: u64) -> String {
    if bytes < 10_000_000 {
        return format!("{:.1} MB", bytes as f64 / 1e6);
    }
    format!("{} MB", bytes / 1_000_000)
}

/// What the emulated links took, as they were told to.
fn links(out: &mut String, report: &Report) -> std::fmt::Result {
    if report.emulated_links.is_empty() {
        return Ok(());
    }
    let ping = &report.ping;
    writeln!(
        out,
        "             {} more lost on emulated links and {} by the scenario's faults, as ordered",
        ping.lost_on_links, ping.lost_by_faults
    )?;
    for link in &report.emulated_links {
        writeln!(
            out,
            "  emulated   {}: {} ms, {} % loss: {} of {} frames lost, {} in full queues, {} by cuts; {} damaged",
            link.link,
            link.delay_ms,
            link.loss_percent,
            link.lost,
            link.frames,
            link.queue_full,
            link.cut,
            link.damaged
        )?;
    }
    Ok(())
}

fn summary(out: &mut String, report: &Report) -> std::fmt::Result {
    let transfer = &report.transfer;
    let hash = if transfer.sha256_match { "SHA-256 right" } else { "SHA-256 WRONG" };
    let seconds = (transfer.ended_ms - transfer.started_ms) / 1000.0;
    writeln!(
        out,
        "\n  transfer   {} over {} connection{} in {seconds:.1} s, {hash}",
        megabytes(transfer.bytes),
        transfer.connections,
        if transfer.connections == 1 { "" } else { "s" },
    )?;
    let ping = &report.ping;
    writeln!(
        out,
        "  probes     {} of {} arrived, longest gap {:.1} ms, {} lost outside handovers",
        ping.received, ping.sent, ping.longest_gap_ms, ping.lost_outside_handovers
    )?;
    if !report.standstills.is_empty() {
        writeln!(
            out,
            "  machine    stood still {} times, {:.0} ms at most; {} probes were lost then",
            report.standstills.len(),
            report.standstills.iter().map(|still| still.to_ms - still.from_ms).fold(0.0, f64::max),
            ping.lost_in_standstills
        )?;
    }
    links(out, report)?;
    for fault in &report.scheduled_faults {
        writeln!(out, "  scheduled  {:.3} s: {} {}", fault.at_ms / 1000.0, fault.what, fault.target)?;
    }
    for keys in &report.keys {
        let agent = if keys.agent.is_empty() { "co-located" } else { &keys.agent };
        writeln!(
            out,
            "  keys       {} at {} ({agent}): {}",
            keys.node,
            keys.care_of,
            keys.fingerprints.join(" ")
        )?;
    }
    for capture in &report.captures {
        writeln!(out, "  capture    {}", capture.path)?;
    }
    let carrier = report.handovers.iter().map(|line| line.carrier_ms).fold(0.0, f64::max);
    if carrier > OVERLOADED {
        writeln!(
            out,
            "  busy       the kernel took {carrier:.0} ms to tell of a carrier: the machine is short of processors"
        )?;
    }
    writeln!(out)?;
    for fault in &report.faults {
        writeln!(out, "  FAULT      {fault}")?;
    }
    if report.faults.is_empty() {
        writeln!(out, "  Nothing was lost that should not be.")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_shows_each_step_in_its_place() {
        let line = Handover {
            discovery_ms: Some(10.0),
            registration_ms: Some(20.0),
            tunnel_ms: Some(0.0),
            link_up_to_first_packet_ms: Some(40.0),
            ..Handover::default()
        };
        let bar: Vec<char> = bar(&line, 48.0).chars().collect();
        assert_eq!(bar.iter().filter(|cell| **cell == '░').count(), 10);
        assert_eq!(bar.iter().filter(|cell| **cell == '▒').count(), 20);
        assert_eq!(bar.iter().position(|cell| *cell == '●'), Some(40));
    }

    #[test]
    fn the_scale_is_a_round_number() {
        assert_eq!(nice(0.3), 1.0);
        assert_eq!(nice(37.0), 50.0);
        assert_eq!(nice(120.0), 200.0);
    }
}
