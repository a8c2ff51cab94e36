//! Measures Sojourn beside a rival or a limit of this machine, in turn and several times, and prints one JSON object:
//! `cargo run --release -p bench -- NAME`. What each program compares is told in `bench/README.md`.

mod codec;
mod outcome;
mod refusals;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::outcome::Outcome;

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
    /// Requests that the home agent refuses, by kind: how many a second on one core, beside an HMAC
    Refusals,
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
        Program::Codec => codec::run(cli.runs),
        Program::Refusals => refusals::run(cli.runs),
    }
}
