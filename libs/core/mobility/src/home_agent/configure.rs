//! A new configuration while bindings stand. It counts for what is asked from now on; no binding, no key and nothing
//! of what was seen is touched.

use sa::AgentPath;
use sansio::Now;

use super::{
    Config, HomeAgent, Neighbour, Path,
    bind::{Step, Work},
};

/// The foreign agents by number. Work in progress names them so: a number stays its agent's, and one that was taken
/// out is not given again.
#[derive(Default)]
pub(super) struct Paths(Vec<Option<Path>>);

impl Paths {
    pub(super) fn new(neighbours: Vec<Neighbour>, home_agent: &str) -> Self {
        Self(neighbours.into_iter().map(|neighbour| Some(Path::to(neighbour, home_agent))).collect())
    }

    /// How many numbers were given.
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, number: usize) -> Option<&Path> {
        self.0.get(number)?.as_ref()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().flatten()
    }

    /// The number of the first for which this holds.
    pub(super) fn position(&self, holds: impl Fn(&Path) -> bool) -> Option<usize> {
        self.0.iter().position(|path| path.as_ref().is_some_and(&holds))
    }

    /// Makes these the foreign agents, each under the number that it had. Hands back the numbers of those that are
    /// gone, whose keys are erased.
    fn replace(&mut self, neighbours: Vec<Neighbour>, home_agent: &str) -> Vec<usize> {
        let mut before = std::mem::take(&mut self.0);
        self.0.resize_with(before.len(), || None);
        for neighbour in neighbours {
            let path = Some(Path::to(neighbour, home_agent));
            let same = |old: &Option<Path>| old.as_ref().map(|p| &p.nai) == path.as_ref().map(|p| &p.nai);
            match before.iter().position(same) {
                Some(number) => {
                    before[number] = None;
                    self.0[number] = path;
                }
                None => self.0.push(path),
            }
        }
        let gone = before.into_iter().enumerate().filter_map(|(number, old)| old.map(|_| number));
        gone.collect()
    }
}

impl Path {
    fn to(neighbour: Neighbour, home_agent: &str) -> Self {
        let Neighbour { nai, address, spi, key, cipher, no_fs } = neighbour;
        Self { keys: AgentPath::new(&nai, home_agent, spi, cipher, key), nai: nai.into(), address, no_fs }
    }
}

impl HomeAgent {
    /// Takes over what may change while it runs: limits, lifetimes, the window of timestamps, the home addresses to
    /// give, the wish to revoke, the interval of advertisements, what may be negotiated and the foreign agents. All else
    /// stays as it was at the start.
    ///
    /// What a foreign agent that is gone had relayed is not answered any more. Bindings through it stand until they
    /// end: its mobile nodes are not to blame.
    pub(super) fn configure(&mut self, config: Config, now: Now) {
        let gone = self.paths.replace(config.neighbours, &self.config.nai);
        self.gate.serves(self.paths.len());
        let relayed = |work: &Work| match &work.step {
            Step::Exchange(asked) | Step::Keys(asked) => {
                asked.agent.as_ref().is_some_and(|agent| gone.contains(&agent.path))
            }
            _ => false,
        };
        for ticket in self.work.tickets_of(relayed) {
            self.work.remove(ticket);
        }
        self.config.limits = config.limits;
        self.config.max_lifetime = config.max_lifetime;
        self.config.timestamp_window = config.timestamp_window;
        self.config.max_bindings = config.max_bindings;
        self.config.max_simultaneous_bindings = config.max_simultaneous_bindings;
        self.config.revocation = config.revocation;
        self.config.inform = config.inform;
        self.config.keepalive = config.keepalive;
        self.config.negotiation = config.negotiation;
        self.config.home_addresses = config.home_addresses;
        self.addresses.give_from(&self.config);
        self.config.advertisement_interval = config.advertisement_interval;
        self.advertiser.within(config.advertisement_interval, now);
        self.count("configured");
    }
}
