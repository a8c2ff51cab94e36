//! What agents are configured anew with while the mobile nodes roam, and when.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::{
    Scenario,
    check::{Check, fault},
};

/// One entry of `[[reloads]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reload {
    /// Seconds since the schedule began.
    pub(crate) at_s: Spanned<f64>,
    /// A home agent or a foreign agent.
    pub(crate) node: Spanned<String>,
    /// The table `negotiation` of its configuration, in place of the one before.
    pub(crate) negotiation: Spanned<toml::Table>,
}

impl Reload {
    /// Time since the schedule began.
    pub(crate) fn at(&self) -> Duration {
        Duration::from_secs_f64(*self.at_s.get_ref())
    }
}

impl Scenario {
    /// What is configured anew, in order of time.
    pub(crate) fn reloads_in_time(&self) -> Vec<&Reload> {
        let mut reloads: Vec<&Reload> = self.reloads.iter().collect();
        reloads.sort_by_key(|reload| reload.at());
        reloads
    }
}

/// Checks every entry. What the tables say only the daemons know, and a refusal of theirs is a fault of the run.
pub(super) fn check(scenario: &Scenario, longest: Duration) -> Check {
    let homes = scenario.home_agents.iter().map(|agent| agent.name.get_ref());
    let foreign = scenario.foreign_agents.iter().map(|agent| agent.name.get_ref());
    let agents: Vec<&str> = homes.chain(foreign).map(String::as_str).collect();
    for Reload { at_s, node, negotiation } in &scenario.reloads {
        let (at, last) = (*at_s.get_ref(), longest.as_secs_f64());
        if !(0.0..=last).contains(&at) {
            let message =
                format!("at_s = {at}: 0 to {last:.1}, when the last node has finished its schedule");
            return fault(at_s, message);
        }
        if !agents.contains(&node.get_ref().as_str()) {
            let message = format!(
                "`{}` is no agent that takes over another `negotiation` while it runs; there are: {}",
                node.get_ref(),
                agents.join(", ")
            );
            return fault(node, message);
        }
        if negotiation.get_ref().is_empty() {
            return fault(negotiation, "`negotiation` is empty: nothing would change".into());
        }
    }
    Ok(())
}
