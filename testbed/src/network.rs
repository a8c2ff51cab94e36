//! The network of a scenario: its nodes and links, the daemons in them, and moving mobile nodes about.

mod build;
mod roam;
mod status;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::Path,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};

pub(crate) use self::roam::Move;
use crate::{
    agent,
    binaries::Binaries,
    daemons::Daemon,
    directory::{Directory, write_private},
    netns::Namespace,
    scenario::Scenario,
    switch::{Port, Switch},
};

/// What a node is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    MobileNode,
    ForeignAgent,
    HomeAgent,
    Kdc,
    Router,
    Correspondent,
}

impl Role {
    /// The word of reports.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::MobileNode => "mobile-node",
            Self::ForeignAgent => "foreign-agent",
            Self::HomeAgent => "home-agent",
            Self::Kdc => "kdc",
            Self::Router => "router",
            Self::Correspondent => "correspondent",
        }
    }
}

/// One machine of the network.
pub(crate) struct Node {
    pub(crate) role: Role,
    pub(crate) namespace: Namespace,
    pub(crate) ports: Vec<Port>,
    /// The link it is on; for agents, the one that they serve. Changes when a mobile node moves.
    link: Mutex<String>,
    address: String,
    pub(crate) daemon: Option<Daemon>,
}

/// A network that runs.
pub(crate) struct Network {
    pub(crate) scenario: Scenario,
    pub(crate) directory: Directory,
    binaries: Binaries,
    pub(crate) switch: Switch,
    nodes: BTreeMap<String, Node>,
    order: Vec<String>,
}

impl Node {
    /// The link that it is on.
    pub(crate) fn link(&self) -> Result<MutexGuard<'_, String>> {
        self.link.lock().map_err(|_| anyhow!("a thread panicked"))
    }

    fn port(&self) -> Result<&Port> {
        self.ports.first().context("a node has at least one interface")
    }

    fn daemon(&self, name: &str) -> Result<&Daemon> {
        self.daemon.as_ref().with_context(|| format!("{name} runs no daemon"))
    }
}

impl Network {
    /// A node by name.
    pub(crate) fn node(&self, name: &str) -> Result<&Node> {
        self.nodes
            .get(name)
            .with_context(|| format!("there is no node {name}; nodes: {}", self.order.join(", ")))
    }

    /// Every node, in the order of the scenario.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.order.iter().filter_map(|name| Some((name.as_str(), self.nodes.get(name)?)))
    }

    /// Sends a signal to a node's daemon.
    pub(crate) fn kill(&self, name: &str, signal: i32) -> Result<()> {
        self.node(name)?.daemon(name)?.kill(signal)
    }

    /// Starts a node's daemon again; a mobile node is waited for until it is registered.
    pub(crate) fn start(&self, name: &str) -> Result<()> {
        self.start_daemon(name)?;
        if self.node(name)?.role == Role::MobileNode {
            self.await_attached(name)?;
        }
        Ok(())
    }

    /// Starts a node's daemon again and waits until it answers.
    pub(crate) fn start_daemon(&self, name: &str) -> Result<()> {
        let node = self.node(name)?;
        node.daemon(name)?.start(&node.namespace)
    }

    /// Gives an agent at work another table `negotiation` and lets it read its configuration again. Hands back what is
    /// different now.
    pub(crate) fn configure(&self, name: &str, negotiation: &toml::Table) -> Result<Vec<String>> {
        let daemon = self.node(name)?.daemon(name)?;
        let text = std::fs::read_to_string(daemon.config())?;
        let mut config: toml::Table = toml::from_str(&text).context("a configuration that we wrote")?;
        config.insert("negotiation".to_owned(), toml::Value::Table(negotiation.clone()));
        write_private(daemon.config(), &toml::to_string(&config)?)?;
        agent::reload(self.socket(name)?)
    }

    /// Environment for commands that run in a node: where `sojourn` is and whom it asks.
    pub(crate) fn environment(&self, name: &str) -> Result<Vec<(String, OsString)>> {
        let node = self.node(name)?;
        let mut variables = vec![("PATH".to_owned(), self.binaries.search_path())];
        if let Some(socket) = node.daemon.as_ref().and_then(Daemon::socket) {
            variables.push(("SOJOURN_SOCKET".into(), socket.into()));
        }
        let own = self.scenario.kdcs.iter().find(|kdc| kdc.name.get_ref() == name);
        if let Some(kdc) = own.or(self.scenario.kdcs.first()) {
            variables.push(("SOJOURN_KDC".into(), self.provision().profile(kdc)?.into()));
        }
        Ok(variables)
    }

    /// The Unix socket of a node's daemon.
    pub(crate) fn socket(&self, name: &str) -> Result<&Path> {
        self.node(name)?.daemon(name)?.socket().with_context(|| format!("{name} has no agent socket"))
    }
}

impl Network {
    /// Asks all daemons to end at once; those that do not are killed when the network is dropped.
    pub(crate) fn end(&self) {
        const GRACE: Duration = Duration::from_millis(1500);
        let daemons = || self.nodes.values().filter_map(|node| node.daemon.as_ref());
        daemons().for_each(Daemon::ask_to_end);
        let limit = std::time::Instant::now() + GRACE;
        for daemon in daemons() {
            let _ = daemon.wait_end(limit.saturating_duration_since(std::time::Instant::now()));
        }
    }
}

fn refuse<T>(message: String) -> Result<T> {
    bail!(message)
}
