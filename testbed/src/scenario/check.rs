//! Whether a scenario makes sense, with the place in the file where it does not.

use std::{collections::BTreeMap, net::Ipv4Addr};

use toml::Spanned;

use super::{
    Correspondent, ForeignAgent, HomeAgent, Kdc, Kind, Link, MobileNode, Router, Scenario, faults, reloads,
};
use crate::emulation::Impairment;

/// What is wrong, and at which byte of the file.
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) message: String,
}

pub(super) type Check = Result<(), Fault>;

pub(super) fn fault<T>(at: &Spanned<T>, message: String) -> Check {
    Err(Fault { at: at.span().start, message })
}

/// Checks everything that the types do not.
pub(super) fn scenario(scenario: &Scenario) -> Check {
    let lifetime = &scenario.registration.lifetime_s;
    if *lifetime.get_ref() < 300 {
        return fault(lifetime, format!("lifetime_s = {}: at least 300", lifetime.get_ref()));
    }
    let mut places = Places { scenario, names: BTreeMap::new(), addresses: BTreeMap::new() };
    scenario.domains.iter().try_for_each(|domain| places.unique(&domain.name, "a domain"))?;
    scenario.links.iter().try_for_each(|link| places.link(link))?;
    scenario.routers.iter().try_for_each(|router| places.router(router))?;
    scenario.kdcs.iter().try_for_each(|kdc| places.kdc(kdc))?;
    scenario.home_agents.iter().try_for_each(|agent| places.home_agent(agent))?;
    scenario.foreign_agents.iter().try_for_each(|agent| places.foreign_agent(agent))?;
    scenario.correspondents.iter().try_for_each(|node| places.correspondent(node))?;
    scenario.mobile_nodes.iter().try_for_each(|node| places.mobile_node(node))?;
    places.traffic()?;
    faults::check(scenario, scenario.longest())?;
    reloads::check(scenario, scenario.longest())
}

struct Places<'a> {
    scenario: &'a Scenario,
    names: BTreeMap<&'a str, &'static str>,
    addresses: BTreeMap<Ipv4Addr, &'a str>,
}

impl<'a> Places<'a> {
    fn unique(&mut self, name: &'a Spanned<String>, what: &'static str) -> Check {
        match self.names.insert(name.get_ref(), what) {
            Some(other) => fault(name, format!("{} is already the name of {other}", name.get_ref())),
            None => Ok(()),
        }
    }

    /// Interface names have 15 bytes at most, and a node's are its name, a dot and up to two digits.
    fn short(&mut self, name: &'a Spanned<String>, what: &'static str) -> Check {
        let text = name.get_ref();
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if text.is_empty() || text.len() > 12 || !text.chars().all(plain) {
            return fault(name, format!("`{text}`: names are 1 to 12 of a-z, 0-9 and -"));
        }
        self.unique(name, what)
    }

    fn link(&mut self, link: &'a Link) -> Check {
        self.short(&link.name, "a link")?;
        link.values().check(&Impairment::default())
    }

    fn known_link(&self, name: &Spanned<String>) -> Result<&'a Link, Fault> {
        let known = self.scenario.links.iter().find(|link| link.name.get_ref() == name.get_ref());
        known.ok_or_else(|| Fault {
            at: name.span().start,
            message: format!(
                "`{}` is no link; links: {}",
                name.get_ref(),
                self.scenario.link_names().join(", ")
            ),
        })
    }

    fn domain(&self, name: &Spanned<String>) -> Check {
        if self.scenario.domains.iter().any(|domain| domain.name.get_ref() == name.get_ref()) {
            return Ok(());
        }
        fault(name, format!("`{}` is no domain of this file", name.get_ref()))
    }

    fn on_link(&mut self, owner: &'a str, link: &Spanned<String>, address: &Spanned<Ipv4Addr>) -> Check {
        let prefix = *self.known_link(link)?.prefix.get_ref();
        if !prefix.has_host(*address.get_ref()) {
            return fault(address, format!("{} is no host of {prefix}", address.get_ref()));
        }
        match self.addresses.insert(*address.get_ref(), owner) {
            Some(other) => fault(address, format!("{} already has {}", other, address.get_ref())),
            None => Ok(()),
        }
    }

    fn router(&mut self, router: &'a Router) -> Check {
        self.short(&router.name, "a router")?;
        for interface in &router.interfaces {
            self.on_link(router.name.get_ref(), &interface.link, &interface.address)?;
        }
        match &router.masquerade {
            Some(link) if !router.interfaces.iter().any(|interface| interface.link == *link) => fault(
                link,
                format!("{} has no interface on {} to masquerade", router.name.get_ref(), link.get_ref()),
            ),
            _ => Ok(()),
        }
    }

    fn kdc(&mut self, kdc: &'a Kdc) -> Check {
        self.short(&kdc.name, "a kdc")?;
        self.domain(&kdc.domain)?;
        self.on_link(kdc.name.get_ref(), &kdc.link, &kdc.address)
    }

    fn home_agent(&mut self, agent: &'a HomeAgent) -> Check {
        self.short(&agent.name, "a home agent")?;
        self.domain(&agent.domain)?;
        if self.known_link(&agent.link)?.kind != Kind::Home {
            return fault(&agent.link, format!("{} is not of kind home", agent.link.get_ref()));
        }
        if !self.scenario.kdcs.iter().any(|kdc| kdc.domain == agent.domain) {
            return fault(&agent.domain, format!("{} has a home agent and no kdc", agent.domain.get_ref()));
        }
        self.on_link(agent.name.get_ref(), &agent.link, &agent.address)
    }

    fn foreign_agent(&mut self, agent: &'a ForeignAgent) -> Check {
        self.short(&agent.name, "a foreign agent")?;
        self.domain(&agent.domain)?;
        if self.known_link(&agent.visited.link)?.kind != Kind::Visited {
            let link = &agent.visited.link;
            return fault(link, format!("{} is not of kind visited", link.get_ref()));
        }
        self.on_link(agent.name.get_ref(), &agent.core.link, &agent.core.address)?;
        self.on_link(agent.name.get_ref(), &agent.visited.link, &agent.visited.address)
    }

    fn correspondent(&mut self, node: &'a Correspondent) -> Check {
        self.short(&node.name, "a correspondent")?;
        self.on_link(node.name.get_ref(), &node.link, &node.address)
    }

    /// The two rules on names and addresses keep a search for them in captures free of chance hits.
    fn mobile_node(&mut self, node: &'a MobileNode) -> Check {
        self.short(&node.name, "a mobile node")?;
        let agents = &self.scenario.home_agents;
        let Some(agent) = agents.iter().find(|agent| agent.name.get_ref() == node.home_agent.get_ref())
        else {
            return fault(&node.home_agent, format!("`{}` is no home agent", node.home_agent.get_ref()));
        };
        let Some((user, realm)) = node.nai.get_ref().split_once('@') else {
            return fault(&node.nai, format!("`{}` has no @", node.nai.get_ref()));
        };
        if user.len() < 8 {
            return fault(&node.nai, format!("`{user}`: the user part has at least 8 characters"));
        }
        if realm != agent.domain.get_ref() {
            return fault(&node.nai, format!("{} is in {}", agent.name.get_ref(), agent.domain.get_ref()));
        }
        if node.home_address.get_ref().octets().contains(&0) {
            return fault(&node.home_address, "a home address has no zero octet".into());
        }
        self.on_link(node.name.get_ref(), &agent.link, &node.home_address)?;
        for (link, assigned) in &node.assigned {
            let prefix = *self.known_link(link)?.prefix.get_ref();
            for address in [assigned.address, assigned.gateway] {
                if !prefix.has_host(address) {
                    return fault(link, format!("{address} is no host of {prefix}"));
                }
            }
        }
        self.roam(node, agent)
    }

    fn roam(&self, node: &MobileNode, home: &HomeAgent) -> Check {
        if node.roam.is_empty() {
            return fault(&node.name, format!("{} needs at least one roam step", node.name.get_ref()));
        }
        let mut before = None;
        for step in &node.roam {
            let link = self.known_link(&step.link)?;
            let name = link.name.get_ref();
            let served = link.name.get_ref() == home.link.get_ref()
                || self.scenario.agent_on(name).is_some()
                || node.assigned_on(name).is_some();
            if !served {
                let message = format!(
                    "{} cannot register on {name}: no agent serves it and no address is assigned there",
                    node.name.get_ref()
                );
                return fault(&step.link, message);
            }
            if before == Some(name) {
                return fault(&step.link, format!("{} is already on {name}", node.name.get_ref()));
            }
            before = Some(name);
        }
        Ok(())
    }

    fn traffic(&self) -> Check {
        let Some(traffic) = &self.scenario.traffic else {
            return Ok(());
        };
        if !self.scenario.correspondents.iter().any(|node| node.name.get_ref() == traffic.from.get_ref()) {
            return fault(&traffic.from, format!("`{}` is no correspondent", traffic.from.get_ref()));
        }
        if !self.scenario.mobile_nodes.iter().any(|node| node.name.get_ref() == traffic.to.get_ref()) {
            return fault(&traffic.to, format!("`{}` is no mobile node", traffic.to.get_ref()));
        }
        if *traffic.transfer_mb.get_ref() == 0 {
            return fault(&traffic.transfer_mb, "the transfer has at least 1 MB".into());
        }
        if !(1..=10_000).contains(traffic.probes_per_second.get_ref()) {
            return fault(&traffic.probes_per_second, "1 to 10000 probes a second".into());
        }
        Ok(())
    }
}
