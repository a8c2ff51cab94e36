//! What `testbed status` tells of every node.

use anyhow::Result;
use serde::Serialize;

use super::{Network, Node, Role};
use crate::{agent, daemons::State};

/// The whole network.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    pub(crate) scenario: String,
    pub(crate) nodes: Vec<NodeStatus>,
}

/// One node.
#[derive(Debug, Default, Serialize)]
pub(crate) struct NodeStatus {
    pub(crate) name: String,
    pub(crate) role: &'static str,
    /// On `link`; for a mobile node its home address.
    pub(crate) address: String,
    /// For agents the one that they serve.
    pub(crate) link: String,
    /// `running` or `stopped` for a daemon, `up` without one; a mobile node's own word while it runs.
    pub(crate) state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) care_of: Option<String>,
    /// Mobile node: the node of this list that it is registered with or through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) agent: Option<String>,
    /// Mobile node: accepted registrations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) registrations: Option<u64>,
}

impl Network {
    /// Asks every node.
    pub(crate) fn status(&self) -> Result<Status> {
        let nodes = self.nodes().map(|(name, node)| self.node_status(name, node)).collect::<Result<_>>()?;
        Ok(Status { scenario: self.scenario.title.clone(), nodes })
    }

    fn node_status(&self, name: &str, node: &Node) -> Result<NodeStatus> {
        let mut status = NodeStatus {
            name: name.to_owned(),
            role: node.role.word(),
            address: node.address.clone(),
            link: node.link()?.clone(),
            ..NodeStatus::default()
        };
        status.state = match node.daemon.as_ref().map(crate::daemons::Daemon::state).transpose()? {
            None => "up".into(),
            Some(State::Running) => "running".into(),
            Some(State::Stopped(_)) => "stopped".into(),
        };
        if let Some(agent) = self.scenario.foreign_agents.iter().find(|agent| agent.name.get_ref() == name) {
            status.care_of = Some(agent.core.address.get_ref().to_string());
        }
        if node.role == Role::MobileNode && status.state == "running" {
            self.ask_mobile_node(name, node, &mut status)?;
        }
        Ok(status)
    }

    fn ask_mobile_node(&self, name: &str, node: &Node, status: &mut NodeStatus) -> Result<()> {
        let Ok(answer) = agent::status(node.daemon(name)?.socket().unwrap_or(std::path::Path::new("")))
        else {
            status.state = "does not answer".into();
            return Ok(());
        };
        let said = answer.mobile_node.unwrap_or_default();
        let through = self.scenario.foreign_agents.iter().find(|agent| agent.nai() == said.agent);
        let home = &self.scenario.mobile_node(name)?.home_agent;
        status.agent = match (said.state.as_str(), through) {
            (_, Some(agent)) => Some(agent.name.get_ref().clone()),
            ("registered" | "at home", None) => Some(home.get_ref().clone()),
            _ => None,
        };
        status.care_of = Some(said.care_of);
        status.state = said.state;
        status.registrations = Some(said.registrations);
        Ok(())
    }
}
