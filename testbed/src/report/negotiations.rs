//! What the home agents told of negotiations and renewals.

use std::collections::{BTreeMap, BTreeSet};

use super::{Negotiation, Renewal, figures::relative_ms};
use crate::{scenario::Scenario, walk::Walk};

/// The name of the mobile node with this home address.
pub(super) fn node(scenario: &Scenario, home_address: &str) -> String {
    let mut nodes = scenario.mobile_nodes.iter();
    let found = nodes.find(|node| node.home_address.get_ref().to_string() == home_address);
    found.map_or_else(|| home_address.to_owned(), |node| node.name.get_ref().clone())
}

/// The name of the foreign agent with this NAI.
pub(super) fn agent(scenario: &Scenario, nai: &str) -> String {
    let found = scenario.foreign_agents.iter().find(|agent| agent.nai() == nai);
    found.map_or_else(|| nai.to_owned(), |agent| agent.name.get_ref().clone())
}

/// Bindings that were made or renewed, each once, in order of time.
fn bound<'a>(scenario: &'a Scenario, walk: &'a Walk) -> impl Iterator<Item = &'a proto::agent::Event> {
    let homes = scenario.home_agents.iter().filter_map(|agent| walk.events.get(agent.name.get_ref()));
    let mut seen = BTreeSet::new();
    homes.flatten().filter(move |event| event.kind == "binding_added" && seen.insert(event.trace.clone()))
}

/// What was negotiated.
pub(super) fn made(scenario: &Scenario, walk: &Walk) -> Vec<Negotiation> {
    let of_event = |event: &proto::agent::Event| {
        let (node, agent) = (node(scenario, &event.home_address), agent(scenario, &event.agent));
        let one = |of: &proto::agent::Negotiation| Negotiation {
            node: node.clone(),
            agent: agent.clone(),
            care_of: event.care_of.clone(),
            at_ms: relative_ms(walk.zero, event.boot_ns),
            association: of.association.clone(),
            offered: of.offered.clone(),
            agreed: of.agreed.clone(),
            rounds: of.rounds,
            mode: of.mode.clone(),
        };
        event.negotiations.iter().map(one).collect::<Vec<_>>()
    };
    bound(scenario, walk).flat_map(of_event).collect()
}

/// Registrations at the place of the one before.
pub(super) fn renewals(scenario: &Scenario, walk: &Walk) -> Vec<Renewal> {
    let mut last = BTreeMap::new();
    let mut renewals = Vec::new();
    for event in bound(scenario, walk) {
        let before = last.insert(event.home_address.clone(), event.care_of.clone());
        if before.as_ref() == Some(&event.care_of) {
            renewals.push(Renewal {
                node: node(scenario, &event.home_address),
                care_of: event.care_of.clone(),
                at_ms: relative_ms(walk.zero, event.boot_ns),
            });
        }
    }
    renewals
}
