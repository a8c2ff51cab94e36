//! What emulated links did to the frames, and which probes they took: so that a report can tell a loss that the
//! scenario ordered from one that the handover cost.

use std::collections::{BTreeMap, BTreeSet};

use super::discipline::{Dropped, Passage};
use crate::traffic::probe;

/// Frames of one link, both directions together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// That nodes sent.
    pub(crate) frames: u64,
    pub(crate) lost: u64,
    /// Dropped because the queue was full.
    pub(crate) queue_full: u64,
    pub(crate) cut: u64,
    pub(crate) duplicated: u64,
    pub(crate) reordered: u64,
    pub(crate) damaged: u64,
    /// Never read, because the machine was too slow: no doing of the scenario.
    pub(crate) overrun: u64,
}

/// The whole account.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    links: BTreeMap<String, Counts>,
    /// By stream and number. One that was also carried by another way may have arrived.
    probes: BTreeSet<(u8, u64)>,
}

impl Ledger {
    pub(super) fn new<'a>(links: impl Iterator<Item = &'a str>) -> Self {
        let links = links.map(|link| (link.to_owned(), Counts::default())).collect();
        Self { links, probes: BTreeSet::new() }
    }

    /// By link.
    pub(crate) fn links(&self) -> impl Iterator<Item = (&str, &Counts)> {
        self.links.iter().map(|(link, counts)| (link.as_str(), counts))
    }

    /// Whether an emulated link dropped or damaged this probe of a stream.
    pub(crate) fn took(&self, stream: u8, number: u64) -> bool {
        self.probes.contains(&(stream, number))
    }

    /// One that dropped these probes.
    #[cfg(test)]
    pub(crate) fn of_probes(probes: &[(u8, u64)]) -> Self {
        Self { links: BTreeMap::new(), probes: probes.iter().copied().collect() }
    }

    pub(super) fn entered(&mut self, link: &str, frame: &[u8], fate: Result<Passage, Dropped>) {
        if let Some(counts) = self.links.get_mut(link) {
            counts.frames += 1;
        }
        match fate {
            Ok(passage) => self.passed(link, frame, passage),
            Err(reason) => self.dropped(link, frame, reason),
        }
    }

    fn passed(&mut self, link: &str, frame: &[u8], passage: Passage) {
        if let Some(counts) = self.links.get_mut(link) {
            counts.duplicated += u64::from(passage.duplicated);
            counts.reordered += u64::from(passage.reordered);
            counts.damaged += u64::from(passage.damaged);
        }
        // Whoever gets it drops it, if its checksums are worth anything.
        if passage.damaged {
            self.took_probe(frame);
        }
    }

    pub(super) fn dropped(&mut self, link: &str, frame: &[u8], reason: Dropped) {
        if let Some(counts) = self.links.get_mut(link) {
            match reason {
                Dropped::Loss => counts.lost += 1,
                Dropped::Queue => counts.queue_full += 1,
                Dropped::Cut => counts.cut += 1,
            }
        }
        self.took_probe(frame);
    }

    fn took_probe(&mut self, frame: &[u8]) {
        self.probes.extend(probe::marked(frame));
    }

    pub(super) fn overrun(&mut self, link: &str, frames: u64) {
        if let Some(counts) = self.links.get_mut(link) {
            counts.overrun += frames;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_probe_is_recognised_inside_its_tunnel() {
        let mut ledger = Ledger::new(["a"].into_iter());
        let frame = [&[0x45; 62][..], &probe::packet(3, 77)].concat();
        ledger.entered("a", &frame, Err(Dropped::Loss));
        ledger.entered("a", &[0; 90], Err(Dropped::Queue));
        ledger.entered("a", &frame, Ok(Passage { duplicated: true, ..Passage::default() }));
        let other = [&[0x45; 62][..], &probe::packet(3, 79)].concat();
        ledger.entered("a", &other, Ok(Passage { damaged: true, ..Passage::default() }));
        assert!(ledger.took(3, 77) && ledger.took(3, 79));
        assert!(!ledger.took(2, 77) && !ledger.took(3, 78));
        let (link, counts) = ledger.links().next().unwrap();
        let expected =
            Counts { frames: 4, lost: 1, queue_full: 1, duplicated: 1, damaged: 1, ..Counts::default() };
        assert_eq!((link, counts), ("a", &expected));
    }
}
