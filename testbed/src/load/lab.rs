//! The network of a load run: a home agent with its key distribution centre in one namespace, the generator in a second,
//! a correspondent in a third, and a cable from the first to each of the others.
//!
//! ```text
//! generator: 10.200.0.10 + n foreign agents, 10.200.0.9 nodes with addresses of their own
//!     | 10.200.0.0/24
//! home agent: 10.200.0.1, and 10.0.0.2 on the home link, 10.0.0.0/12
//!     | 10.0.0.0/12
//! correspondent: 10.0.0.3; it sends what it has for mobile nodes to the home agent as its router
//! ```

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddrV4},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use crypto::Key;

use super::player::{Agent, Home, Player};
use crate::{
    agent,
    binaries::Binaries,
    daemons::{Answers, Daemon, State},
    directory::{Directory, write_private},
    netns::{Namespace, raw},
    provision::finish,
};

pub(super) const REALM: &str = "load.example";
pub(super) const HOME_AGENT: &str = "ha@load.example";
/// Of the home link; its hosts hold a million nodes.
pub(super) const HOME_PREFIX: u8 = 12;
pub(super) const HOME_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
pub(super) const CORRESPONDENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 3);
/// So that its kernel asks the home agent alone for link addresses, and not for a million nodes.
const CORRESPONDENT_PREFIX: u8 = 29;
const FIRST_NODE: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 0);
const ACCESS: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 1);
const ACCESS_PREFIX: u8 = 24;
const OWN: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 9);
const FIRST_AGENT: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 10);
const FIRST_SPI: u32 = 1001;
const KDC: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7443);
const KDC_NAME: &str = "kdc.load.example";
/// Seconds that a registration lasts: longer than a run.
const LIFETIME: u16 = 36_000;

/// The network, and the daemons in it.
pub(crate) struct Lab {
    directory: Directory,
    pub(super) home: Namespace,
    pub(super) access: Namespace,
    pub(super) outside: Namespace,
    pub(super) kdc: Daemon,
    pub(super) home_agent: Daemon,
    socket: PathBuf,
    pub(super) nodes: u32,
    pub(super) agents: u16,
}

/// The address of an agent of the generator.
pub(super) fn agent_address(number: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(FIRST_AGENT.to_bits() + u32::from(number))
}

/// The address of the generator for nodes with addresses of their own.
pub(super) const fn own_address() -> Ipv4Addr {
    OWN
}

/// The address at which everybody can reach a node.
pub(super) fn home_address(node: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(FIRST_NODE.to_bits() + node)
}

/// A node's name.
pub(super) fn nai(node: u32) -> String {
    format!("mn{node:06}@{REALM}")
}

fn agents_nai(number: u16) -> String {
    format!("fa{number}@visited.example")
}

fn random() -> Result<[u8; 32]> {
    let mut octets = [0; 32];
    getrandom::fill(&mut octets).context("no randomness for a key")?;
    Ok(octets)
}

impl Lab {
    /// Wires the namespaces and starts the key distribution centre. The home agent comes later; with a `group` it allows
    /// that alone for stateless keys.
    pub(crate) fn new(
        directory: Directory,
        binaries: &Binaries,
        agents: u16,
        shares: bool,
        nodes: u32,
        group: Option<&str>,
    ) -> Result<(Self, Player)> {
        let (home, access, outside) =
            (Namespace::new("home")?, Namespace::new("access")?, Namespace::new("outside")?);
        home.run(|inside| inside.forwarding())?;
        cable(
            &home,
            ("access", ACCESS, ACCESS_PREFIX),
            &access,
            ("agents", ACCESS_PREFIX, { (0..agents).map(agent_address).chain([OWN]).collect() }),
        )?;
        cable(
            &home,
            ("home", HOME_ADDRESS, HOME_PREFIX),
            &outside,
            ("lan", CORRESPONDENT_PREFIX, vec![CORRESPONDENT]),
        )?;
        access.run(|inside| inside.add_default(inside.index("agents")?, ACCESS))?;
        outside.run(|inside| inside.add_default(inside.index("lan")?, HOME_ADDRESS))?;
        let (at_kdc, at_home) = (directory.node("kdc")?.join("kdc"), directory.node("ha")?);
        run(binaries, |command| {
            command.arg("init").arg("--directory").arg(&at_kdc).args(["--realm", REALM]);
            command.args(["--listen", &KDC.to_string(), "--server-name", KDC_NAME]);
            command.args(["--home-agent", HOME_AGENT]);
        })?;
        run(binaries, |command| {
            command.arg("certificate").arg("--directory").arg(&at_kdc);
            command.args(["--role", "home-agent", "--name", HOME_AGENT, "--out"]).arg(&at_home);
        })?;
        let (text, played) = configuration(&directory, agents, shares, nodes, group)?;
        let config = at_home.join("home-agent.toml");
        write_private(&config, &text)?;
        let socket = at_home.join("ha.sock");
        let home_agent =
            Daemon::new(&binaries.program("home-agent"), &config, Answers::Agent(socket.clone()));
        let kdc = Daemon::new(&binaries.program("kdc"), &at_kdc.join("kdc.toml"), Answers::Tcp(KDC));
        kdc.start(&home)?;
        let home_of_all = Home {
            realm: REALM.to_owned(),
            agent: HOME_AGENT.to_owned(),
            address: HOME_ADDRESS,
            lifetime: LIFETIME,
            shares,
        };
        let player = Player::new(home_of_all, played, random()?);
        Ok((Self { directory, home, access, outside, kdc, home_agent, socket, nodes, agents }, player))
    }

    /// The administrator's folder of the key distribution centre.
    pub(super) fn administration(&self) -> Result<PathBuf> {
        Ok(self.directory.node("kdc")?.join("kdc"))
    }

    /// Starts the home agent.
    pub(super) fn start_home_agent(&self) -> Result<()> {
        self.home_agent.start(&self.home)
    }

    /// The home agent's socket for the operator.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Bindings that the home agent has.
    pub(super) fn bindings(&self) -> Result<u64> {
        Ok(agent::status(&self.socket)?.bindings)
    }

    /// Fails with how it ended if one of the daemons does not run any more.
    pub(super) fn check(&self) -> Result<()> {
        for (name, daemon) in [("home agent", &self.home_agent), ("key distribution centre", &self.kdc)] {
            if let State::Stopped(how) = daemon.state()? {
                bail!("the {name} does not run any more ({how}); its log: {}", daemon.log().display());
            }
        }
        Ok(())
    }

    /// Lets both daemons end and waits a moment for it.
    pub(crate) fn end(&self) {
        for daemon in [&self.home_agent, &self.kdc] {
            daemon.ask_to_end();
            let _ = daemon.wait_end(Duration::from_secs(2));
        }
    }
}

/// A cable between two namespaces, up at both ends, with its addresses.
fn cable(
    one: &Namespace,
    (name, address, prefix): (&'static str, Ipv4Addr, u8),
    other: &Namespace,
    (others_name, others_prefix, addresses): (&'static str, u8, Vec<Ipv4Addr>),
) -> Result<()> {
    let to = raw(other.fd());
    one.run(move |inside| {
        let (here, there) = inside.veth(name, others_name)?;
        inside.give_away(there, to)?;
        inside.up(here)?;
        inside.add_address(here, address, prefix)
    })?;
    other.run(move |inside| {
        let index = inside.index(others_name)?;
        inside.up(index)?;
        addresses.iter().try_for_each(|address| inside.add_address(index, *address, others_prefix))
    })
}

fn run(binaries: &Binaries, arguments: impl FnOnce(&mut Command)) -> Result<()> {
    let mut command = Command::new(binaries.program("kdc"));
    command.stdin(Stdio::null());
    arguments(&mut command);
    finish(command).map(drop)
}

/// The home agent's configuration, and the foreign agents that it knows.
fn configuration(
    directory: &Directory,
    agents: u16,
    shares: bool,
    nodes: u32,
    group: Option<&str>,
) -> Result<(String, Vec<Agent>)> {
    let mut text = format!(
        "nai = \"{HOME_AGENT}\"\nrealm = \"{REALM}\"\naddress = \"{HOME_ADDRESS}\"\nstate = \"ha.db\"\nstate_key = \"ha.kek\"\ntestbed = true\n\n\
         [home_link]\ninterface = \"home\"\nprefix = \"10.0.0.0/{HOME_PREFIX}\"\n\n\
         [registration]\nmax_lifetime = {LIFETIME}\nmax_bindings = {}\n\n\
         [tunnel]\ndevice = \"sojourn0\"\n\n[admin]\nsocket = \"ha.sock\"\n\n\
         [kdc]\nendpoint = \"https://{KDC}\"\nserver_name = \"{KDC_NAME}\"\nca = \"ca.pem\"\n\
         certificate = \"{HOME_AGENT}.pem\"\nkey = \"{HOME_AGENT}.key\"\n",
        nodes.max(1000),
    );
    if let Some(group) = group {
        for with in ["mobile_nodes", "foreign_agents"] {
            write!(text, "\n[negotiation.{with}]\ngroups = [\"{group}\"]\nallow_legacy_groups = true\n")?;
        }
    }
    let mut played = Vec::new();
    for number in 0..agents {
        let (name, address, spi) = (agents_nai(number), agent_address(number), FIRST_SPI + u32::from(number));
        let key = random()?;
        let mut digits = String::with_capacity(65);
        for octet in key {
            write!(digits, "{octet:02x}")?;
        }
        write_private(&directory.node("ha")?.join(format!("fa{number}.key")), &(digits + "\n"))?;
        write!(
            text,
            "\n[[foreign_agents]]\nnai = \"{name}\"\naddress = \"{address}\"\nspi = {spi}\nkey = \"fa{number}.key\"\npath = \"static\"\nno_fs = {}\n",
            !shares
        )?;
        played.push(Agent::new(name, address, HOME_AGENT, spi, Key::new(key)));
    }
    Ok((text, played))
}
