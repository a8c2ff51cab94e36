//! A roaming network on one machine: namespaces and links made by netlink, the real daemons inside them, a
//! mobile node that moves by having its cable moved, traffic that must survive it, and a report.
//!
//! The testbed needs nothing of the host but its kernel. It never touches the host's own network: everything
//! happens in namespaces that die with the process.

mod agent;
mod binaries;
mod capture;
mod clock;
mod commands;
mod control;
mod daemons;
mod directory;
mod emulation;
mod interrupt;
mod load;
mod nat;
mod netns;
mod network;
mod picture;
mod privilege;
mod provision;
mod report;
mod scenario;
mod standstill;
mod switch;
mod terminal;
mod timeline;
mod traffic;
mod walk;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};
use nix::sys::signal::Signal;

use crate::{
    commands::{Name, Results},
    scenario::{DEMO, EveryLink, Scenario},
};

#[derive(Debug, Parser)]
#[command(version, about = "A network that roams, on one machine")]
struct Cli {
    #[command(subcommand)]
    command: Action,
}

const DEMO_EXAMPLES: &str = "\
Examples:
  testbed demo
  testbed demo --delay-ms 50 --loss-percent 2
  testbed demo --report walk.json && testbed report walk.json -o walk.svg";

#[derive(Debug, Subcommand)]
enum Action {
    /// Walk a mobile node from its home through two foreign agents and a NATed network and back, with traffic
    ///
    /// It builds the network in namespaces of its own, needs no root where the kernel lets users make them, and
    /// ends with a picture and a verdict: exit status 0 if nothing was lost that should not be.
    #[command(after_long_help = DEMO_EXAMPLES)]
    Demo {
        /// Walk this scenario instead
        #[arg(long, value_name = "FILE")]
        scenario: Option<PathBuf>,
        #[command(flatten)]
        results: Results,
        #[command(flatten)]
        links: EveryLink,
    },
    /// Run the schedule of a scenario file with traffic
    ///
    /// Moves, faults and other policies of agents come at the times that the file says. The exit status is 0 if nothing was
    /// lost that should not be.
    Run {
        /// The scenario (TOML); testbed/scenarios has some, and says how to write others
        file: PathBuf,
        #[command(flatten)]
        results: Results,
        #[command(flatten)]
        links: EveryLink,
    },
    /// Play many mobile nodes against one home agent and measure it
    ///
    /// One process plays the mobile nodes and the foreign agents that they register through, against a real home agent
    /// with a real key distribution centre beside it, in namespaces of its own. Every answer is checked as a mobile node
    /// and a foreign agent check it, with every key in it. In the end a correspondent asks for every registered node by
    /// its home address: exit status 0 if each answers and no answer had anything wrong in it.
    Load(Box<load::Arguments>),
    /// Draw the report of a run: handovers step by step, losses, the transfer and faults over time, as SVG
    Report {
        /// What `testbed demo --report FILE` wrote
        file: PathBuf,
        /// Write the picture to this file; to standard output if absent
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Build the network of a scenario file and keep it up, each node where its schedule begins
    Up {
        file: PathBuf,
        #[command(flatten)]
        name: Name,
        /// Write one capture file per link into this directory
        #[arg(long, value_name = "DIR")]
        pcap: Option<PathBuf>,
        #[command(flatten)]
        links: EveryLink,
    },
    /// Show every node
    Status {
        #[command(flatten)]
        name: Name,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Run a command in a node; it finds `sojourn`, which asks that node
    Exec {
        #[command(flatten)]
        name: Name,
        node: String,
        #[arg(last = true, required = true, value_name = "COMMAND")]
        command: Vec<OsString>,
    },
    /// Move a mobile node to a link and wait until it is registered
    Move {
        #[command(flatten)]
        name: Name,
        node: String,
        #[arg(long, value_name = "LINK")]
        to: String,
    },
    /// Send a signal to a node's daemon; wait for its end if it is one that ends it
    Kill {
        #[command(flatten)]
        name: Name,
        node: String,
        /// A number or a name
        #[arg(long, default_value = "9", value_parser = signal)]
        signal: i32,
    },
    /// Start a node's daemon again and wait until it answers, a mobile node until it is registered
    Start {
        #[command(flatten)]
        name: Name,
        node: String,
    },
    /// Capture what a node sends and receives: in words at a terminal, else as pcap
    Pcap {
        #[command(flatten)]
        name: Name,
        node: String,
        /// Only this interface
        #[arg(short, long, value_name = "NAME")]
        interface: Option<String>,
        /// Write pcap to this file
        #[arg(short, long, value_name = "FILE")]
        write: Option<PathBuf>,
    },
    /// Run the scenario's transfer and probes without moves, and print how they fared as JSON
    Traffic {
        #[command(flatten)]
        name: Name,
        /// Size of the transfer in units of 1,000,000 bytes
        #[arg(long, default_value_t = 100)]
        megabytes: u32,
        /// Time over which it is spread
        #[arg(long, default_value_t = 20)]
        seconds: u32,
    },
    /// End the network
    Down {
        #[command(flatten)]
        name: Name,
    },
    /// The process that holds a network for `up`
    #[command(hide = true)]
    Hold {
        file: PathBuf,
        #[arg(long)]
        directory: PathBuf,
        #[arg(long)]
        pcap: Option<PathBuf>,
        #[command(flatten)]
        links: EveryLink,
    },
}

fn signal(text: &str) -> Result<i32, String> {
    let name = text.to_uppercase();
    let name = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
    let known = text.parse::<i32>().ok().map(Signal::try_from).unwrap_or_else(|| name.parse());
    known
        .map(|signal| signal as i32)
        .map_err(|_| "a signal is a number such as 9 or a name such as TERM".into())
}

fn main() -> ExitCode {
    match carry_out(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            terminal::complain(&format!("testbed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn carry_out(action: Action) -> Result<ExitCode> {
    match action {
        Action::Demo { scenario, results, links } => {
            let scenario =
                scenario.map_or_else(|| Scenario::parse(DEMO.0, DEMO.1), |file| Scenario::load(&file));
            commands::run(scenario?.worsen(&links)?, &results)
        }
        Action::Run { file, results, links } => {
            commands::run(Scenario::load(&file)?.worsen(&links)?, &results)
        }
        Action::Load(arguments) => load::run(&arguments),
        Action::Report { file, output } => commands::report(&file, output.as_deref()),
        Action::Up { file, name, pcap, links } => commands::up(&name, &file, pcap.as_deref(), &links),
        Action::Status { name, json } => commands::status(&name, json),
        Action::Exec { name, node, command } => commands::exec(&name, node, &command),
        Action::Move { name, node, to } => commands::move_to(&name, node, to),
        Action::Kill { name, node, signal } => commands::kill(&name, node, signal),
        Action::Start { name, node } => commands::start(&name, node),
        Action::Pcap { name, node, interface, write } => {
            commands::pcap(&name, node, interface.as_deref(), write.as_deref())
        }
        Action::Traffic { name, megabytes, seconds } => commands::traffic(&name, megabytes, seconds),
        Action::Down { name } => commands::down(&name),
        Action::Hold { file, directory, pcap, links } => {
            commands::hold(&file, &directory, pcap.as_deref(), &links)
        }
    }
}
