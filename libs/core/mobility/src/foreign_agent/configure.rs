//! A new configuration while visitors stay. It counts for what is asked from now on; no visitor, no key of one and no
//! request that waits is touched.

use std::mem;

use crypto::{Cipher, Key};
use sansio::Now;
use wire::mip::Spi;

use super::{Config, ForeignAgent, Home, HomeAgent, plain};

impl ForeignAgent {
    /// Takes over what may change while it runs: limits, lifetimes, reverse tunnels, who is told of revocations,
    /// advertisements, keepalives, home agents and nodes without our extensions. Addresses, links and encapsulations
    /// stay as they were at the start.
    ///
    /// Nobody comes any more from a home agent that is gone. Visitors from it stay until they end.
    pub(super) fn configure(&mut self, mut config: Config, now: Now) {
        self.take_homes(mem::take(&mut config.home_agents));
        self.plain_nodes = plain::associated(config.plain_nodes.take());
        let before = &mut self.config;
        self.config = Config {
            nai: mem::take(&mut before.nai),
            links: mem::take(&mut before.links),
            care_of: before.care_of,
            vendor: before.vendor,
            encapsulation: before.encapsulation,
            minimal: before.minimal,
            gre: before.gre,
            encapsulating_delivery: before.encapsulating_delivery,
            ..config
        };
        let policies = &self.config.negotiation;
        let policies: Vec<_> = policies.home_agents.iter().chain([&policies.mobile_nodes]).collect();
        self.values.keep(&policies);
        self.reschedule_beacons(now);
        self.keep_alive_within_limit(now);
        self.count("configured");
    }

    /// One that stays keeps the shares it was offered and its keepalives.
    fn take_homes(&mut self, homes: Vec<HomeAgent>) {
        let mut before = mem::take(&mut self.homes);
        for home in homes {
            let address = home.address;
            let mut home = Home::of(&self.config.nai, home);
            if let Some(old) = before.remove(&address) {
                (home.shares, home.keepalive) = (old.shares, old.keepalive);
            }
            self.homes.insert(address, home);
        }
        let visited: Vec<_> = self.visitors.iter().map(|visit| visit.record.home_agent).collect();
        for (address, old) in before.into_iter().filter(|(address, _)| visited.contains(address)) {
            // Only so that its visitors' tunnel is kept open: its key is erased for one that nobody has.
            let key = Key::new(self.rng.array());
            let nobody = HomeAgent {
                nai: old.nai,
                address,
                spi: Spi(0),
                cipher: Cipher::Aes256Gcm,
                key,
                no_fs: old.no_fs,
            };
            let keepalive = old.keepalive;
            let home = Home { retired: true, keepalive, ..Home::of(&self.config.nai, nobody) };
            self.homes.insert(address, home);
        }
    }
}
