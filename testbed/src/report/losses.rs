//! Why each lost probe was lost. In this order: an emulated link dropped it and knows so; it was sent while a
//! handover was under way; while something was wrong that the scenario let go wrong; while the machine stood still;
//! or nobody knows.

use crate::{
    report::{Cause, Loss, figures::relative_ms},
    traffic::probe::Log,
    walk,
    walk::{Trouble, Walk},
};

/// Losses of one cause that are no further apart are told as one, in nanoseconds.
const TOGETHER: u64 = 20_000_000;
/// The way before a handover is judged by the packets of the last second.
const LATELY: u64 = 1_000_000_000;

/// A processor that is busy with pulling the cable holds packets up, in nanoseconds at most so long.
const HELD_UP: u64 = 10_000_000;

/// What a machine that stood still had in its queues goes on its way at once and fills others, for so many
/// nanoseconds.
const AFTERMATH: u64 = 100_000_000;

/// A probe that never came.
pub(super) struct Lost<'a> {
    pub(super) node: &'a str,
    /// The node sent it.
    pub(super) back: bool,
    /// Boot nanoseconds.
    pub(super) sent: u64,
    pub(super) cause: Cause,
}

/// The window in which a handover may lose packets, by time of sending: from the last packets that could not
/// arrive any more before the link went down, to the first that came on the new link.
pub(super) fn window(log: &Log, handover: &walk::Handover, on_the_way: u64) -> (u64, u64) {
    window_to(log, handover, handover.first_packet, on_the_way)
}

fn window_to(log: &Log, handover: &walk::Handover, first: Option<u64>, on_the_way: u64) -> (u64, u64) {
    let down = handover.moved.link_down;
    let slowest = log
        .arrivals
        .iter()
        .filter(|arrival| (down.saturating_sub(LATELY)..down).contains(&arrival.at))
        .filter_map(|arrival| Some(arrival.at.saturating_sub(*log.sent.get(arrival.number)?)))
        .max()
        .unwrap_or(0);
    let behind = all_behind(log, down).map_or(0, |sent| down.saturating_sub(sent)).min(HELD_UP);
    (down.saturating_sub(slowest.max(behind).min(on_the_way)), first.unwrap_or(handover.until))
}

/// When the first of those was sent that were all on their way as the link went down, slower than any before: no later one
/// came by it.
fn all_behind(log: &Log, down: u64) -> Option<u64> {
    let came = log.arrivals.iter().filter(|arrival| arrival.at < down);
    let next = came.map(|arrival| arrival.number + 1).max()?;
    log.sent.get(next).copied()
}

/// From what could not pass any more when it went wrong, to the first probe that was sent and came after it was
/// put right.
fn outage(log: &Log, begin: &Trouble, troubles: &[Trouble], on_the_way: u64) -> (u64, u64) {
    let end = troubles.iter().find(|other| {
        other.at >= begin.at && other.target == begin.target && Some(other.what) == begin.what.end()
    });
    let passed = end.and_then(|end| {
        let sent_after = |number: usize| log.sent.get(number).is_some_and(|sent| *sent >= end.done);
        log.arrivals.iter().find(|arrival| sent_after(arrival.number)).map(|arrival| arrival.at)
    });
    (begin.at.saturating_sub(on_the_way), passed.unwrap_or(u64::MAX))
}

/// Every lost probe with its cause.
pub(super) fn classify(walk: &Walk) -> Vec<Lost<'_>> {
    let mut lost = Vec::new();
    let to_nodes = walk.probes.iter().map(|(node, log)| (node, log, false));
    let back = walk.back.iter().map(|(node, log)| (node, log, true));
    for (node, log, back) in to_nodes.chain(back) {
        let handovers = walk.handovers.iter().filter(|handover| handover.node == *node);
        let handovers: Vec<_> = handovers
            .map(|handover| {
                let (down, plugged) = (handover.moved.link_down, handover.moved.plugged);
                let own = || log.first_after(&mut 0, down, plugged);
                let first = if back { own() } else { handover.first_packet };
                window_to(log, handover, first, walk.on_the_way)
            })
            .collect();
        let lasting = |trouble: &&Trouble| trouble.what.end().is_some();
        let outages = walk.troubles.iter().filter(lasting);
        let outages: Vec<_> =
            outages.map(|trouble| outage(log, trouble, &walk.troubles, walk.on_the_way)).collect();
        let standstills = walk.standstills.iter();
        let standstills: Vec<_> =
            standstills.map(|(from, to)| (from.saturating_sub(walk.on_the_way), to + AFTERMATH)).collect();
        let stream = walk.streams.iter().position(|name| name == node);
        let stream = stream.map(|number| if back { walk.streams.len() + number } else { number });
        let stream = stream.and_then(|number| u8::try_from(number).ok());
        let within = |windows: &[(u64, u64)], sent: u64| {
            windows.iter().any(|(from, to)| (*from..=*to).contains(&sent))
        };
        for (number, (sent, received)) in log.sent.iter().copied().zip(log.received()).enumerate() {
            if received.is_some() {
                continue;
            }
            let dropped = stream.is_some_and(|stream| walk.ledger.took(stream, number as u64));
            let cause = match () {
                () if dropped => Cause::Link,
                () if within(&handovers, sent) => Cause::Handover,
                () if within(&outages, sent) => Cause::Fault,
                () if within(&standstills, sent) => Cause::Standstill,
                () => Cause::Unexplained,
            };
            lost.push(Lost { node, back, sent, cause });
        }
    }
    lost
}

/// Neighbouring losses of one cause put together.
pub(super) fn in_order(walk: &Walk, lost: &[Lost<'_>]) -> Vec<Loss> {
    let mut losses: Vec<(u64, Loss)> = Vec::new();
    for probe in lost {
        let at_ms = relative_ms(walk.zero, probe.sent);
        let last = losses.iter_mut().rev().find(|(_, loss)| loss.cause == probe.cause);
        match last {
            Some((sent, loss))
                if (loss.node.as_str(), loss.back) == (probe.node, probe.back)
                    && probe.sent <= *sent + TOGETHER =>
            {
                *sent = probe.sent;
                loss.to_ms = at_ms;
                loss.probes += 1;
            }
            _ => {
                let node = probe.node.to_owned();
                let (back, cause) = (probe.back, probe.cause);
                let loss = Loss { node, back, cause, from_ms: at_ms, to_ms: at_ms, probes: 1 };
                losses.push((probe.sent, loss));
            }
        }
    }
    let mut losses: Vec<Loss> = losses.into_iter().map(|(_, loss)| loss).collect();
    losses.sort_by(|one, other| one.from_ms.total_cmp(&other.from_ms));
    losses
}
