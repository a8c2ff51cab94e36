//! Writes what an operator would write: the daemons' configuration files and keys, the key distribution
//! centre's installation, certificates and enrolments.

use std::{
    fmt::Write as _,
    net::SocketAddrV4,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{
    binaries::Binaries,
    daemons::{Answers, Daemon},
    directory::{Directory, write_private},
    netns::Namespace,
    scenario::{Encapsulation, ForeignAgent, HomeAgent, Kdc, MobileNode, ReverseTunnel, Scenario},
};

/// The first security parameter index between a foreign and a home agent.
const FIRST_SPI: usize = 1001;
/// Apart from each other, the foreign agents' ranges of indexes.
const SPIS_PER_AGENT: usize = 100;

/// Writes for one network.
pub(crate) struct Provision<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) directory: &'a Directory,
    pub(crate) binaries: &'a Binaries,
}

impl Provision<'_> {
    /// Installs a key distribution centre: `kdc init`.
    pub(crate) fn kdc(&self, kdc: &Kdc) -> Result<Daemon> {
        let name = kdc.name.get_ref();
        let installation = self.installation(kdc)?;
        let listen = SocketAddrV4::new(*kdc.address.get_ref(), kdc.port);
        self.run("kdc", |command| {
            command.arg("init").arg("--directory").arg(&installation);
            command.args(["--realm", kdc.domain.get_ref(), "--listen", &listen.to_string()]);
            command.args(["--server-name", &format!("{name}.{}", kdc.domain.get_ref())]);
        })?;
        let config = installation.join("kdc.toml");
        // It stands there, as a proposal.
        let text = std::fs::read_to_string(&config)?;
        std::fs::write(&config, text.replace("# metrics = ", "metrics = "))?;
        Ok(Daemon::new(&self.binaries.program("kdc"), &config, Answers::Tcp(listen)))
    }

    /// The profile with which `sojourn` administers a key distribution centre.
    pub(crate) fn profile(&self, kdc: &Kdc) -> Result<PathBuf> {
        Ok(self.installation(kdc)?.join("admin.toml"))
    }

    /// Gives a home agent its certificate, registers it, and writes its configuration.
    pub(crate) fn home_agent(&self, agent: &HomeAgent, at: &Namespace) -> Result<Daemon> {
        let name = agent.name.get_ref();
        let directory = self.directory.node(name)?;
        let kdc = self.scenario.kdc_of(agent.domain.get_ref())?;
        let installation = self.installation(kdc)?;
        let nai = agent.nai();
        self.run("kdc", |command| {
            command.arg("certificate").arg("--directory").arg(&installation);
            command.args(["--role", "home-agent", "--name", &nai, "--out"]).arg(&directory);
        })?;
        self.administer(kdc, at, |command| {
            command.args(["register-home-agent", &nai, "--address", &agent.address.get_ref().to_string()]);
        })?;
        let prefix = self.scenario.link(agent.link.get_ref())?.prefix.get_ref();
        let lifetime = self.scenario.registration.lifetime_s.get_ref();
        let given =
            self.scenario.mobile_nodes.iter().filter(|it| it.unnumbered && it.home_agent == agent.name);
        // What a scenario says is what the home agent gives: it has nothing else.
        let given: Vec<_> = given.map(|it| *it.home_address.get_ref()).collect();
        let home_addresses = match (given.iter().min(), given.iter().max()) {
            (Some(first), Some(last)) => format!("home_addresses = \"{first}-{last}\"\n"),
            _ => String::new(),
        };
        let mut text = format!(
            "nai = \"{nai}\"\nrealm = \"{realm}\"\naddress = \"{address}\"\nstate = \"ha.db\"\nstate_key = \"ha.kek\"\ntestbed = true\nmetrics = \"127.0.0.1:9434\"\n\n\
             [home_link]\ninterface = \"eth0\"\nprefix = \"{prefix}\"\n\n\
             [registration]\nmax_lifetime = {lifetime}\n{home_addresses}\n\
             [tunnel]\ndevice = \"sojourn0\"\noffload = {offload}\n\n\
             [admin]\nsocket = \"ha.sock\"\n\n\
             [kdc]\nendpoint = \"https://{kdc_address}:{kdc_port}\"\nserver_name = \"{kdc_name}.{realm}\"\nca = \"ca.pem\"\n\
             certificate = \"{nai}.pem\"\nkey = \"{nai}.key\"\n",
            offload = self.scenario.offload,
            realm = agent.domain.get_ref(),
            address = agent.address.get_ref(),
            kdc_address = kdc.address.get_ref(),
            kdc_port = kdc.port,
            kdc_name = kdc.name.get_ref(),
        );
        for visited in &self.scenario.foreign_agents {
            let spi = self.association(agent, visited)?;
            let key = format!("{}.key", visited.name.get_ref());
            write!(
                text,
                "\n[[foreign_agents]]\nnai = \"{}\"\naddress = \"{}\"\nspi = {spi}\nkey = \"{key}\"\npath = \"static\"\ncipher = \"aes-256-gcm\"\n",
                visited.nai(),
                visited.core.address.get_ref(),
            )?;
        }
        text += &negotiation(&agent.negotiation)?;
        self.daemon("home-agent", &directory, &text, "ha.sock")
    }

    /// Writes a foreign agent's configuration.
    pub(crate) fn foreign_agent(&self, agent: &ForeignAgent) -> Result<Daemon> {
        let directory = self.directory.node(agent.name.get_ref())?;
        let prefix = self.scenario.link(agent.visited.link.get_ref())?.prefix.get_ref();
        let encapsulation = match agent.encapsulation {
            Encapsulation::Ipip => "ipip",
            Encapsulation::Udp => "udp",
        };
        let reverse_tunnel = match agent.reverse_tunnel {
            ReverseTunnel::Optional => "optional",
            ReverseTunnel::Required => "required",
        };
        let mut text = format!(
            "nai = \"{nai}\"\ncare_of = \"{care_of}\"\nstate = \"fa.db\"\nstate_key = \"fa.kek\"\ntestbed = true\nmetrics = \"127.0.0.1:9435\"\n\n\
             [[links]]\ninterface = \"eth1\"\naddress = \"{address}\"\nprefix_length = {length}\n\n\
             [registration]\nmax_lifetime = {lifetime}\nreverse_tunnel = \"{reverse_tunnel}\"\n\n\
             [tunnel]\ndevice = \"sojourn0\"\nencapsulation = \"{encapsulation}\"\nminimal = {minimal}\ngre = {gre}\n\
             encapsulating_delivery = {encapsulating_delivery}\noffload = {offload}\n\n\
             [admin]\nsocket = \"fa.sock\"\n",
            offload = self.scenario.offload,
            minimal = agent.minimal,
            gre = agent.gre,
            encapsulating_delivery = agent.encapsulating_delivery,
            nai = agent.nai(),
            care_of = agent.core.address.get_ref(),
            address = agent.visited.address.get_ref(),
            length = prefix.length,
            lifetime = self.scenario.registration.lifetime_s.get_ref(),
        );
        for home in &self.scenario.home_agents {
            let spi = self.association(home, agent)?;
            let key = format!("{}.key", home.name.get_ref());
            write!(
                text,
                "\n[[home_agents]]\nnai = \"{}\"\naddress = \"{}\"\nspi = {spi}\nkey = \"{key}\"\npath = \"static\"\ncipher = \"aes-256-gcm\"\n",
                home.nai(),
                home.address.get_ref(),
            )?;
        }
        text += &negotiation(&agent.negotiation)?;
        self.daemon("foreign-agent", &directory, &text, "fa.sock")
    }

    /// Writes a mobile node's configuration. Its enrolment comes from [`Provision::enrol`].
    pub(crate) fn mobile_node(&self, node: &MobileNode) -> Result<Daemon> {
        let directory = self.directory.node(node.name.get_ref())?;
        let mut text = format!(
            "enrolment = \"mn.enrolment.toml\"\nstate = \"mn.state\"\ntestbed = true\nmetrics = \"127.0.0.1:9436\"\n\n\
             [[links]]\ninterface = \"eth0\"\n\n\
             [registration]\nlifetime = {}\nreverse_tunnel = true\nsimultaneous = {}\n\
             encapsulation = \"{}\"\ndelivery = \"{}\"\nbroadcasts = {}\n\n\
             [tunnel]\ndevice = \"sojourn0\"\noffload = {}\n\n[admin]\nsocket = \"mn.sock\"\n",
            self.scenario.registration.lifetime_s.get_ref(),
            node.simultaneous,
            node.encapsulation.word(),
            node.delivery.word(),
            node.broadcasts,
            self.scenario.offload,
        );
        text += &negotiation(&node.negotiation)?;
        self.daemon("mobile-node", &directory, &text, "mn.sock")
    }

    /// Makes a mobile node known to its realm and takes its enrolment file: `sojourn kdc enrol`.
    pub(crate) fn enrol(&self, node: &MobileNode, at: &Namespace) -> Result<()> {
        let home = self.scenario.home_agent_of(node)?;
        let kdc = self.scenario.kdc_of(home.domain.get_ref())?;
        let prefix = self.scenario.link(home.link.get_ref())?.prefix.get_ref();
        let file = self.directory.node(node.name.get_ref())?.join("mn.enrolment.toml");
        self.administer(kdc, at, |command| {
            command.args(["enrol", node.nai.get_ref()]);
            if !node.unnumbered {
                command.args(["--home-address", &node.home_address.get_ref().to_string()]);
            }
            command.args(["--home-prefix", &prefix.length.to_string()]);
            command.args(["--home-agent", &home.address.get_ref().to_string()]);
            if let Some(gateway) = home.gateway {
                command.args(["--home-gateway", &gateway.to_string()]);
            }
            command.arg("--out").arg(file);
        })?;
        Ok(())
    }

    /// Runs `sojourn kdc …` with the administrator's profile, in a namespace from which the centre is reached.
    fn administer(&self, kdc: &Kdc, at: &Namespace, arguments: impl FnOnce(&mut Command)) -> Result<String> {
        let mut command = Command::new(self.binaries.program("sojourn"));
        command.stdin(Stdio::null()).arg("kdc").env("SOJOURN_KDC", self.profile(kdc)?);
        arguments(&mut command);
        at.run(move |_| finish(command))
    }

    fn installation(&self, kdc: &Kdc) -> Result<PathBuf> {
        Ok(self.directory.node(kdc.name.get_ref())?.join("kdc"))
    }

    fn daemon(&self, program: &str, directory: &Path, text: &str, socket: &str) -> Result<Daemon> {
        let config = directory.join(program).with_extension("toml");
        write_private(&config, text)?;
        Ok(Daemon::new(&self.binaries.program(program), &config, Answers::Agent(directory.join(socket))))
    }

    /// The key between a foreign and a home agent: made once, written to both. Hands back its index.
    fn association(&self, home: &HomeAgent, visited: &ForeignAgent) -> Result<usize> {
        let at = |found: Option<usize>| found.context("an agent is not in its own scenario");
        let row = at(self.scenario.foreign_agents.iter().position(|agent| agent.name == visited.name))?;
        let column = at(self.scenario.home_agents.iter().position(|agent| agent.name == home.name))?;
        let (home, visited) = (home.name.get_ref(), visited.name.get_ref());
        let ours = self.directory.node(home)?.join(format!("{visited}.key"));
        let theirs = self.directory.node(visited)?.join(format!("{home}.key"));
        if !ours.exists() {
            let mut key = [0_u8; 32];
            getrandom::fill(&mut key).context("no randomness for a key")?;
            let mut text = String::new();
            for octet in key {
                write!(text, "{octet:02x}")?;
            }
            text.push('\n');
            write_private(&ours, &text)?;
            write_private(&theirs, &text)?;
        }
        Ok(FIRST_SPI + row * SPIS_PER_AGENT + column)
    }

    /// Runs one of the programs to its end; what it says is shown only if it fails.
    pub(crate) fn run(&self, program: &str, arguments: impl FnOnce(&mut Command)) -> Result<String> {
        let mut command = Command::new(self.binaries.program(program));
        command.stdin(Stdio::null());
        arguments(&mut command);
        finish(command)
    }
}

/// Runs a command and hands back what it printed.
pub(crate) fn finish(mut command: Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command.output().with_context(|| format!("cannot run {shown}"))?;
    if !output.status.success() {
        let said = [output.stderr, output.stdout].concat();
        bail!("{shown} failed ({}):\n{}", output.status, String::from_utf8_lossy(&said).trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
/// What a scenario says of negotiations goes into the configuration as it is.
fn negotiation(table: &toml::Table) -> Result<String> {
    if table.is_empty() {
        return Ok(String::new());
    }
    let whole = toml::Table::from_iter([("negotiation".to_owned(), toml::Value::Table(table.clone()))]);
    Ok(format!("\n{}", toml::to_string(&whole).context("negotiation of the scenario")?))
}
