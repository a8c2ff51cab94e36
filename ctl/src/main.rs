//! `sojourn`, the operator's command line: asks agents on their Unix sockets and the key distribution centre
//! over gRPC. It changes nothing by itself and keeps no state.

mod agents;
mod failure;
mod kdc;
mod output;
mod time;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{CommandFactory as _, Parser, Subcommand};

use failure::Failure;

/// Looks after a roaming network: agents, mobile nodes and the key distribution centre.
#[derive(Parser)]
#[command(
    name = "sojourn",
    version,
    arg_required_else_help = true,
    after_help = "Examples:
  sojourn ha bindings --socket /run/ha.sock        who is away, and where
  sojourn mn status --socket /run/mn.sock --json   for a script
  SOJOURN_SOCKET=/run/fa.sock sojourn fa events -f watch a foreign agent

Exit codes:
  0  done
  1  the other side refused or could not do it
  2  the command line is wrong
  3  the other side could not be reached"
)]
struct Cli {
    /// Answer in JSON: one value, or one object a line for events.
    #[arg(long, global = true)]
    json: bool,

    /// Unix socket of the agent, [admin] socket in its configuration.
    #[arg(long, global = true, value_name = "PATH", env = "SOJOURN_SOCKET")]
    socket: Option<PathBuf>,

    /// Profile of the key distribution centre: the admin.toml that `kdc init` made.
    #[arg(long, global = true, value_name = "FILE", env = "SOJOURN_KDC")]
    profile: Option<PathBuf>,

    #[command(subcommand)]
    whom: Whom,
}

#[derive(Subcommand)]
enum Whom {
    /// A home agent: its bindings, associations and events.
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  sojourn ha bindings --socket /run/ha.sock"
    )]
    Ha(agents::HomeAgent),

    /// A foreign agent: its visitors, associations and events.
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  sojourn fa visitors --socket /run/fa.sock"
    )]
    Fa(agents::ForeignAgent),

    /// A mobile node: where it is, what happened, and giving up its binding.
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  sojourn mn events --follow --socket /run/mn.sock"
    )]
    Mn(agents::MobileNode),

    /// The key distribution centre: subscribers, associations, home agents and the audit trail.
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  sojourn kdc list --profile /etc/sojourn/admin.toml"
    )]
    Kdc(kdc::Command),

    /// Completions for a shell, on standard output.
    #[command(
        after_help = "Example:\n  sojourn completions bash > /usr/share/bash-completion/completions/sojourn"
    )]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },

    /// The man pages of sojourn and its subcommands, into a folder. Each daemon writes its own with `man DIR`.
    #[command(after_help = "Example:\n  sojourn man /usr/share/man/man1")]
    Man {
        /// The folder, which must exist.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&Failure::Refused(format!("no event loop: {error}"))),
    };
    match runtime.block_on(run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => complain(&failure),
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let Cli { json, socket, profile, whom } = cli;
    match whom {
        Whom::Ha(command) => agents::run(command.into(), socket, json).await,
        Whom::Fa(command) => agents::run(command.into(), socket, json).await,
        Whom::Mn(command) => agents::run(command.into(), socket, json).await,
        Whom::Kdc(command) => kdc::run(command, profile, json).await,
        Whom::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "sojourn", &mut text);
            // A reader that closed the pipe has seen enough.
            let _ = io::stdout().write_all(&text);
            Ok(())
        }
        Whom::Man { directory } => daemon::manual::write(Cli::command(), &directory)
            .map_err(|error| Failure::Refused(format!("{}: {error}", directory.display()))),
    }
}

fn complain(failure: &Failure) -> ExitCode {
    let _ = writeln!(io::stderr(), "sojourn: {failure}");
    failure.exit_code()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
