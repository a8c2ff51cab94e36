//! Moving a mobile node from link to link, and knowing when it has arrived.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::Network;
use crate::{
    agent,
    daemons::State,
    scenario::{Assigned, MobileNode},
};

/// How long a registration may take before it is an error.
const REGISTERED: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(5);
/// The kernel's answer to a DHCP client comes about this long after carrier.
const DHCP: Duration = Duration::from_micros(1500);

/// A finished change of links; times in boot nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Move {
    pub(crate) from: String,
    pub(crate) to: String,
    /// Just before the old link lost its carrier.
    pub(crate) link_down: u64,
    /// Just before the switch brought the new one up.
    pub(crate) plugged: u64,
    /// When the node's kernel told of the carrier.
    pub(crate) link_up: u64,
}

/// Where a mobile node registers when it is on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    AtHome,
    ForeignAgent { nai: String },
    CoLocated { care_of: String },
}

impl Network {
    /// Moves a mobile node's cable to another link, and does there what a DHCP client would do.
    pub(crate) fn move_to(&self, name: &str, to: &str) -> Result<Move> {
        let mobile = self.scenario.mobile_node(name)?;
        let node = self.node(name)?;
        self.arrivals(mobile, to)?;
        let port = node.port()?;
        let mut link = node.link()?;
        let from = link.clone();
        if from == to {
            bail!("{name} is already on {to}");
        }
        let link_down = self.switch.unplug(&node.namespace, port)?;
        if let Some(assigned) = mobile.assigned_on(&from) {
            let (index, length) = (port.index, self.prefix_length(&from)?);
            node.namespace.run(move |inside| {
                inside.remove_dhcp_default(index, assigned.gateway)?;
                inside.remove_address(index, assigned.address, length)
            })?;
        }
        let plugged = self.switch.replug(&node.namespace, port, to)?;
        to.clone_into(&mut link);
        drop(link);
        self.assign(name, to)?;
        Ok(Move { from, to: to.to_owned(), link_down, plugged: plugged.at, link_up: plugged.carrier })
    }

    /// Gives a mobile node the address that a DHCP server on its link would hand out, if there is one.
    pub(super) fn assign(&self, name: &str, link: &str) -> Result<()> {
        let Some(Assigned { address, gateway }) = self.scenario.mobile_node(name)?.assigned_on(link) else {
            return Ok(());
        };
        let node = self.node(name)?;
        let (index, length) = (node.port()?.index, self.prefix_length(link)?);
        thread::sleep(DHCP);
        node.namespace.run(move |inside| {
            inside.add_address(index, address, length)?;
            inside.add_dhcp_default(index, gateway)
        })
    }

    /// Waits until a mobile node's daemon says that it is registered from the link that it is on, and says how.
    pub(crate) fn await_attached(&self, name: &str) -> Result<String> {
        let mobile = self.scenario.mobile_node(name)?;
        let node = self.node(name)?;
        let link = node.link()?.clone();
        let arrivals = self.arrivals(mobile, &link)?;
        let daemon = node.daemon(name)?;
        let socket = daemon.socket().context("a mobile node has an agent socket")?;
        let limit = Instant::now() + REGISTERED;
        loop {
            let said = match agent::status(socket) {
                Ok(status) => status.mobile_node.unwrap_or_default(),
                Err(error) => match daemon.state()? {
                    State::Stopped(how) => {
                        bail!("{name} does not run ({how}); log: {}", daemon.log().display())
                    }
                    State::Running if Instant::now() > limit => return Err(error),
                    State::Running => continue,
                },
            };
            if arrivals.iter().any(|arrival| arrival.agrees(&said)) {
                let care_of = if said.care_of.is_empty() { said.home_address } else { said.care_of };
                return Ok(format!("{} ({care_of})", said.state));
            }
            if Instant::now() > limit {
                bail!(
                    "{name} is not registered from {link} after {} s: it says `{}`, agent `{}`, care-of address `{}`; log: {}",
                    REGISTERED.as_secs(),
                    said.state,
                    said.agent,
                    said.care_of,
                    daemon.log().display()
                );
            }
            thread::sleep(STEP);
        }
    }

    /// The ways in which a mobile node can register from a link.
    fn arrivals(&self, mobile: &MobileNode, link: &str) -> Result<Vec<Arrival>> {
        self.scenario.link(link)?;
        let mut arrivals = Vec::new();
        if self.scenario.home_agent_of(mobile)?.link.get_ref() == link {
            arrivals.push(Arrival::AtHome);
        }
        if let Some(agent) = self.scenario.agent_on(link) {
            arrivals.push(Arrival::ForeignAgent { nai: agent.nai() });
        }
        if let Some(assigned) = mobile.assigned_on(link) {
            arrivals.push(Arrival::CoLocated { care_of: assigned.address.to_string() });
        }
        if arrivals.is_empty() {
            bail!(
                "{} cannot register on {link}: it is not its home, no foreign agent serves it and no address is assigned there",
                mobile.name.get_ref()
            );
        }
        Ok(arrivals)
    }

    fn prefix_length(&self, link: &str) -> Result<u8> {
        Ok(self.scenario.link(link)?.prefix.get_ref().length)
    }
}

impl Arrival {
    fn agrees(&self, said: &proto::agent::MobileNode) -> bool {
        match self {
            Self::AtHome => said.state == "at home",
            Self::ForeignAgent { nai } => said.state == "registered" && said.agent == *nai,
            Self::CoLocated { care_of } => {
                said.state == "registered" && said.agent.is_empty() && said.care_of == *care_of
            }
        }
    }
}
