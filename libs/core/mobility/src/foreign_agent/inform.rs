//! Telling mobile nodes that they are not registered any more (RFC 3543 section 4.1): an advertisement to their link
//! address alone whose sequence number is 0, as if the agent had started anew. It proves nothing, so a mobile node does
//! not more for it than register again.

use std::{collections::BTreeMap, time::Duration};

use sansio::{Instant, Now};

use super::{ForeignAgent, Station};

/// How often one is told, as the link may lose it,
const TIMES: u8 = 3;
/// and how long after the last time.
const SPACING: Duration = Duration::from_secs(1);

/// Stations that are told.
#[derive(Default)]
pub(super) struct Informed {
    open: BTreeMap<Station, (Instant, u8)>,
}

impl Informed {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.open.values().map(|(at, _)| *at).min()
    }
}

impl ForeignAgent {
    /// Tells a station from now on, until it registers.
    pub(super) fn inform(&mut self, station: Station, now: Now) {
        self.informed.open.insert(station, (now.mono, TIMES));
    }

    /// Tells those whose time it is. One that is registering, or has, knows.
    pub(super) fn inform_due(&mut self, now: Now) {
        let due = |at: Instant| at <= now.mono;
        let stations: Vec<_> = self.informed.open.iter().filter(|(_, (at, _))| due(*at)).collect();
        let stations: Vec<_> = stations.into_iter().map(|(station, (_, left))| (*station, *left)).collect();
        for (station, left) in stations {
            let knows = self.visitors.knows(station) || self.pendings.is_arriving(station);
            if knows || left == 0 {
                self.informed.open.remove(&station);
                continue;
            }
            self.informed.open.insert(station, (now.mono + SPACING, left - 1));
            self.count("mobile nodes told that they are not registered");
            self.call_anew(station);
        }
    }

    /// Advertises to one station alone as if we had started anew.
    pub(super) fn call_anew(&mut self, station: Station) {
        if let Some(beacon) = self.beacons.get_mut(&station.link) {
            let challenge = beacon.challenges.solicited(station.address, &mut self.rng);
            self.advertise(station.link, station.address, 0, challenge);
        }
    }
}
