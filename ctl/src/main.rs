//! `sojourn`, the operator's command line: asks agents on their Unix sockets and the key distribution centre
//! over gRPC, and draws what passes between them. It changes nothing by itself and keeps no state.

mod agents;
mod associations;
mod decode;
mod failure;
mod kdc;
mod output;
mod time;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{CommandFactory as _, Parser, Subcommand, error::ErrorKind};

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
  sojourn sa list --socket /run/fa.sock            what protects what, with algorithms and lifetimes
  SOJOURN_SOCKET=/run/fa.sock sojourn fa events -f watch a foreign agent
  sojourn decode link.pcap                         what passed on a link

Exit codes:
  0  done
  1  the other side refused or could not do it, or what was decoded is malformed
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

    /// Security associations of any agent: what they are, renewing them, ending them.
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  sojourn sa list --socket /run/ha.sock"
    )]
    Sa(associations::Command),

    /// The key distribution centre: subscribers, associations, home agents and the audit trail.
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  sojourn kdc list --profile /etc/sojourn/admin.toml"
    )]
    Kdc(kdc::Command),

    /// Mobile IP messages in a capture or in hexadecimal digits, as text. Needs neither an agent nor keys.
    #[command(
        arg_required_else_help = true,
        after_help = "\
Drawn are registration requests and replies, revocations and their acknowledgements, notices (UDP port
434), and agent advertisements and solicitations (ICMP): the fixed part, then every extension with
its place in the message in bytes, and the tree of what is negotiated. What is sealed, keys and
public values are shown as sizes; packets in UDP tunnels are counted only. Hexadecimal digits may
have spaces, colons, line breaks, and comments behind #.

Examples:
  sojourn decode link.pcap                          everything in a capture, pcap or pcapng
  tcpdump -w - port 434 | sojourn decode -          out of a pipe, when it ends
  sojourn decode 03 4e 00 00 00000000 0a0b0102 eeaa0001deadbeef
  sojourn decode --vendor 9999 request.hex          our extensions under another enterprise number

The third one prints:
  registration reply, 20 bytes
       0  code 78: foreign agent: home agent did not answer in time, lifetime 0 s
       4  home address 0.0.0.0
       8  home agent 10.11.1.2
      12  identification eeaa0001deadbeef, trace c7905b02aa2a2ba51983aa3d7f430cd1
          nothing in it is authenticated by the home agent

What is wrong stands in a line with MALFORMED and the place where it begins; the exit code is then 1."
    )]
    Decode(decode::Decode),

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
        Whom::Sa(command) => associations::run(command, socket, json).await,
        Whom::Kdc(command) => kdc::run(command, profile, json).await,
        Whom::Decode(_) if json => {
            Cli::command().error(ErrorKind::ArgumentConflict, "decode has no answer in JSON").exit()
        }
        Whom::Decode(command) => decode::run(&command),
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
