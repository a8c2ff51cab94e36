//! Building the network: cables and addresses first, then the daemons in the order in which they need each
//! other.

use std::{collections::BTreeMap, net::Ipv4Addr, path::Path, sync::Mutex};

use anyhow::{Context, Result};

use super::{Network, Node, Role};
use crate::{
    binaries::Binaries,
    daemons::Daemon,
    directory::Directory,
    netns::Namespace,
    provision::Provision,
    scenario::{Interface, Scenario},
    switch::{Port, Switch},
};

/// What the file says about a node, whatever its role.
struct Plan<'a> {
    name: &'a str,
    role: Role,
    interfaces: Vec<(&'a str, Ipv4Addr)>,
    /// The interface whose link and address stand for the node.
    serves: usize,
    gateway: Option<Ipv4Addr>,
    forwards: bool,
    masquerade: Option<&'a str>,
}

impl<'a> Plan<'a> {
    fn host(name: &'a str, role: Role, link: &'a str, address: Ipv4Addr, gateway: Option<Ipv4Addr>) -> Self {
        Self {
            name,
            role,
            interfaces: vec![(link, address)],
            serves: 0,
            gateway,
            forwards: false,
            masquerade: None,
        }
    }
}

fn place(interface: &Interface) -> (&str, Ipv4Addr) {
    (interface.link.get_ref(), *interface.address.get_ref())
}

impl Network {
    /// Builds everything and returns when every node is where its schedule begins, registered. `say` hears of
    /// each step.
    pub(crate) fn up(
        scenario: Scenario,
        directory: Directory,
        binaries: Binaries,
        captures: Option<&Path>,
        say: &dyn Fn(&str),
    ) -> Result<Self> {
        say(&format!("Links: {}", scenario.link_names().join(", ")));
        let switch = Switch::new(&scenario.link_names(), scenario.lines())?;
        if let Some(captures) = captures {
            switch.record(captures)?;
        }
        let mut network =
            Self { scenario, directory, binaries, switch, nodes: BTreeMap::new(), order: Vec::new() };
        network.wire()?;
        network.serve(say)?;
        Ok(network)
    }

    pub(super) fn provision(&self) -> Provision<'_> {
        Provision { scenario: &self.scenario, directory: &self.directory, binaries: &self.binaries }
    }

    /// Makes every node with its cables, addresses and routes.
    fn wire(&mut self) -> Result<()> {
        let mut made = Vec::new();
        for plan in plans(&self.scenario) {
            let node = self.fixed_node(&plan).with_context(|| format!("cannot make {}", plan.name))?;
            made.push((plan.name.to_owned(), node));
        }
        for mobile in &self.scenario.mobile_nodes {
            let name = mobile.name.get_ref();
            let node = self.mobile_node(name, mobile.first_link(), *mobile.home_address.get_ref());
            made.push((name.clone(), node.with_context(|| format!("cannot make {name}"))?));
        }
        for (name, node) in made {
            self.order.push(name.clone());
            self.nodes.insert(name, node);
        }
        Ok(())
    }

    fn fixed_node(&self, plan: &Plan<'_>) -> Result<Node> {
        let namespace = Namespace::new(plan.name)?;
        if plan.forwards {
            namespace.run(|inside| inside.forwarding())?;
        }
        let mut ports = Vec::new();
        for (number, (link, address)) in plan.interfaces.iter().copied().enumerate() {
            let port = self.switch.plug(&namespace, plan.name, number, link)?;
            let length = self.scenario.link(link)?.prefix.get_ref().length;
            let index = port.index;
            namespace.run(move |inside| inside.add_address(index, address, length))?;
            if plan.masquerade == Some(link) {
                namespace.run(move |inside| inside.masquerade(index))?;
            }
            ports.push(Port { address: Some(address), ..port });
        }
        if let Some(gateway) = plan.gateway {
            let index = self.way_to(plan, &ports, gateway)?;
            namespace.run(move |inside| inside.add_default(index, gateway))?;
        }
        let (link, address) = plan.interfaces.get(plan.serves).copied().context("a node has an interface")?;
        Ok(Node {
            role: plan.role,
            namespace,
            ports,
            link: Mutex::new(link.to_owned()),
            address: address.to_string(),
            daemon: None,
        })
    }

    /// The interface on whose link a gateway is.
    fn way_to(&self, plan: &Plan<'_>, ports: &[Port], gateway: Ipv4Addr) -> Result<u32> {
        for ((link, _), port) in plan.interfaces.iter().zip(ports) {
            if self.scenario.link(link)?.prefix.get_ref().has_host(gateway) {
                return Ok(port.index);
            }
        }
        super::refuse(format!("the gateway {gateway} is on no link of {}", plan.name))
    }

    fn mobile_node(&self, name: &str, link: &str, home_address: Ipv4Addr) -> Result<Node> {
        let namespace = Namespace::new(name)?;
        namespace.run(|inside| inside.sysctl_ipv4("accept_redirects", "0"))?;
        let port = self.switch.plug(&namespace, name, 0, link)?;
        Ok(Node {
            role: Role::MobileNode,
            namespace,
            ports: vec![port],
            link: Mutex::new(link.to_owned()),
            address: home_address.to_string(),
            daemon: None,
        })
    }

    /// Starts the daemons: key distribution, home agents, subscribers, foreign agents, mobile nodes.
    fn serve(&mut self, say: &dyn Fn(&str)) -> Result<()> {
        let mut daemons: Vec<(String, Daemon)> = Vec::new();
        for kdc in &self.scenario.kdcs {
            daemons.push((kdc.name.get_ref().clone(), self.provision().kdc(kdc)?));
        }
        self.launch(daemons, "Key distribution centre", say)?;
        let mut daemons = Vec::new();
        for agent in &self.scenario.home_agents {
            let node = self.node(self.scenario.kdc_of(agent.domain.get_ref())?.name.get_ref())?;
            daemons
                .push((agent.name.get_ref().clone(), self.provision().home_agent(agent, &node.namespace)?));
        }
        self.launch(daemons, "Home agent", say)?;
        let mut daemons = Vec::new();
        for agent in &self.scenario.foreign_agents {
            daemons.push((agent.name.get_ref().clone(), self.provision().foreign_agent(agent)?));
        }
        self.launch(daemons, "Foreign agent", say)?;
        let mut daemons = Vec::new();
        for mobile in &self.scenario.mobile_nodes {
            let home = self.scenario.home_agent_of(mobile)?;
            let node = self.node(self.scenario.kdc_of(home.domain.get_ref())?.name.get_ref())?;
            self.provision().enrol(mobile, &node.namespace)?;
            say(&format!("Enrolled {}", mobile.nai.get_ref()));
            daemons.push((mobile.name.get_ref().clone(), self.provision().mobile_node(mobile)?));
        }
        self.launch(daemons, "Mobile node", say)?;
        for mobile in &self.scenario.mobile_nodes {
            let name = mobile.name.get_ref();
            self.assign(name, mobile.first_link())?;
            let how = self.await_attached(name)?;
            say(&format!("{name} is on {}: {how}", mobile.first_link()));
        }
        Ok(())
    }

    fn launch(&mut self, daemons: Vec<(String, Daemon)>, what: &str, say: &dyn Fn(&str)) -> Result<()> {
        for (name, daemon) in daemons {
            let node = self.nodes.get_mut(&name).with_context(|| format!("there is no node {name}"))?;
            daemon.start(&node.namespace).with_context(|| format!("cannot start {name}"))?;
            say(&format!("{what} {name} answers ({} on {})", node.address, node.link()?));
            node.daemon = Some(daemon);
        }
        Ok(())
    }
}

fn plans(scenario: &Scenario) -> Vec<Plan<'_>> {
    let mut plans = Vec::new();
    for router in &scenario.routers {
        plans.push(Plan {
            name: router.name.get_ref(),
            role: Role::Router,
            interfaces: router.interfaces.iter().map(place).collect(),
            // A translating router serves the link behind it.
            serves: router
                .interfaces
                .iter()
                .position(|interface| {
                    router.masquerade.as_ref().is_some_and(|uplink| *uplink != interface.link)
                })
                .unwrap_or(0),
            gateway: router.gateway,
            forwards: true,
            masquerade: router.masquerade.as_ref().map(|link| link.get_ref().as_str()),
        });
    }
    for kdc in &scenario.kdcs {
        let (link, address) = (kdc.link.get_ref(), *kdc.address.get_ref());
        plans.push(Plan::host(kdc.name.get_ref(), Role::Kdc, link, address, kdc.gateway));
    }
    for agent in &scenario.home_agents {
        let (link, address) = (agent.link.get_ref(), *agent.address.get_ref());
        let host = Plan::host(agent.name.get_ref(), Role::HomeAgent, link, address, agent.gateway);
        plans.push(Plan { forwards: true, ..host });
    }
    for agent in &scenario.foreign_agents {
        plans.push(Plan {
            name: agent.name.get_ref(),
            role: Role::ForeignAgent,
            interfaces: vec![place(&agent.core), place(&agent.visited)],
            serves: 1,
            gateway: Some(agent.gateway),
            forwards: true,
            masquerade: None,
        });
    }
    for node in &scenario.correspondents {
        let (link, address) = (node.link.get_ref(), *node.address.get_ref());
        plans.push(Plan::host(node.name.get_ref(), Role::Correspondent, link, address, node.gateway));
    }
    plans
}
