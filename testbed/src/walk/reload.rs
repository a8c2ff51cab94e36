//! Configuring agents anew with what the scenario says, when it says.

use super::sleep_until;
use crate::{
    clock,
    network::Network,
    timeline::{Moment, Timeline},
};

/// An agent read its configuration again; times in boot nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Reloaded {
    pub(crate) node: String,
    /// Just before it was told to.
    pub(crate) at: u64,
    /// When it said that all counts from then on.
    pub(crate) done: u64,
    /// What was different then, or why it was refused.
    pub(crate) changes: Result<Vec<String>, String>,
}

/// Configures every agent at its time.
pub(super) fn make(network: &Network, zero: u64, timeline: &Timeline) -> Vec<Reloaded> {
    let mut made = Vec::new();
    for reload in network.scenario.reloads_in_time() {
        sleep_until(zero.saturating_add(u64::try_from(reload.at().as_nanos()).unwrap_or(u64::MAX)));
        let (at, node) = (clock::boot_ns(), reload.node.get_ref());
        let changes = network.configure(node, reload.negotiation.get_ref());
        let changes = changes.map_err(|error| format!("{error:#}"));
        let told = match &changes {
            Ok(changes) => format!("{node} is configured anew: {}", changes.join("; ")),
            Err(error) => format!("{node} refuses its new configuration: {error}"),
        };
        timeline.tell(at, Moment::Reloaded(told));
        made.push(Reloaded { node: node.clone(), at, done: clock::boot_ns(), changes });
    }
    made
}
