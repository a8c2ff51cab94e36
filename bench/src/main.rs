//! Measures Sojourn beside a rival or a limit of this machine, in turn and several times, and prints one JSON object:
//! `cargo run --release -p bench -- NAME`. What each program compares is told in `bench/README.md`.

mod accepts;
mod codec;
mod exchanges;
mod handover;
mod lab;
mod load;
mod memory;
mod negotiated;
mod outcome;
mod refusals;
mod registrations;
mod requests;
mod restart;
mod tunnel;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::outcome::Outcome;

/// The daemons' own: what the cores take of memory depends on it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures one thing beside its rival or its limit and prints a JSON object as the last line.
///
/// Machines are noisy and differ: read the ratio under "against", which is our median over the rival's, both of
/// runs in turn. What could not be compared is named on standard error and under "skipped".
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    program: Program,
    /// How often each side is run, in turn
    #[arg(long, global = true, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
}

#[derive(Debug, Subcommand)]
enum Program {
    /// Parse and emit a whole registration request: nanoseconds, beside a copy of its bytes
    Codec,
    /// Registrations that the home agent accepts: nanoseconds on one core, beside HMACs over as many octets
    Accepts,
    /// Key exchanges of negotiated associations, by group: microseconds on one core, group 14 beside X25519
    Exchanges,
    /// Registrations without key shares, each durable and with three keys, beside krb5kdc, FreeRADIUS and a bare echo
    Registrations,
    /// Registrations with key shares, beside the key exchanges alone on the same cores
    RegistrationsFs,
    /// Registrations beside a hundred key exchanges in group 14 a second: ms within which 99 of 100 are answered, beside
    /// the same without them
    StatelessBeside,
    /// Renewals of 100,000 associations an hour: percent of one core that the home agent uses, beside doing nothing
    Renewals,
    /// A million bindings, and the indices of a million subscribers: octets each in the home agent's core
    Memory,
    /// One figure of `memory`, in a process that has held nothing before
    #[command(hide = true)]
    MemoryPart { part: memory::Part },
    /// A million bindings: seconds to load them from the store
    Restart,
    /// One TCP stream through the tunnel over UDP: Mbit/s, beside plain forwarding and wireguard-go
    Tunnel {
        #[command(flatten)]
        path: Path,
    },
    /// One TCP stream through the tunnel of IP in IP: Mbit/s, beside plain forwarding
    TunnelIpip {
        #[command(flatten)]
        path: Path,
    },
    /// Packets of 200 bytes through the tunnel over UDP: packets/s, beside a plain read-and-send loop
    TunnelSmall {
        #[command(flatten)]
        path: Path,
    },
    /// Moves among home and two foreign agents: ms from link up to first packet, beside a ping of the same path
    Handover,
    /// Requests that the home agent refuses, by kind: how many a second on one core, beside an HMAC
    Refusals,
}

#[derive(Debug, clap::Args)]
struct Path {
    /// Exchange packets with the kernel one by one, as with offload = false in a configuration
    #[arg(long)]
    no_offload: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(outcome) => {
            outcome.print();
            ExitCode::SUCCESS
        }
        Err(error) => {
            outcome::say(&format!("bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<Outcome> {
    match cli.program {
        Program::Accepts => accepts::run(cli.runs),
        Program::Codec => codec::run(cli.runs),
        Program::Exchanges => exchanges::run(cli.runs),
        Program::Tunnel { ref path } => tunnel::udp(cli.runs, !path.no_offload),
        Program::TunnelIpip { ref path } => tunnel::ipip(cli.runs, !path.no_offload),
        Program::TunnelSmall { ref path } => tunnel::small(cli.runs, !path.no_offload),
        Program::Handover => handover::run(cli.runs),
        Program::MemoryPart { part } => memory::part(part),
        Program::Refusals => refusals::run(cli.runs),
        Program::Registrations => registrations::plain(cli.runs),
        Program::RegistrationsFs => registrations::with_shares(cli.runs),
        Program::StatelessBeside => negotiated::stateless_beside(cli.runs),
        Program::Renewals => negotiated::renewals(cli.runs),
        Program::Memory => memory::run(cli.runs),
        Program::Restart => restart::run(cli.runs),
    }
}
