//! The key distribution centre of one realm: enrols mobile nodes, and gives home agents KEY 0 of their
//! subscribers and fresh KEY 1 to KEY 3 for every registration.
//!
//! What is decided stands in `authority`; here are the command line, the certificates, gRPC and the store.

mod administration;
mod ca;
mod config;
mod convert;
mod desk;
mod distribution;
mod events;
mod init;
mod permit;
mod reseal;
mod restore;
mod serve;
mod watched;
mod watchers;

use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

/// The key distribution centre: makes the keys of a roaming network.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

/// Without a subcommand: serve.
#[derive(Args)]
struct Serve {
    /// Configuration file (TOML). Relative paths in it are relative to its folder.
    #[arg(long, value_name = "FILE.toml")]
    config: Option<std::path::PathBuf>,

    /// Only check the configuration: exit 0 if it is right, 2 with the file, line and key that are wrong.
    #[arg(long)]
    check: bool,

    /// What to log: error, warn, info, debug or trace, also by module, as in "info,authority=debug". Without it as
    /// `log` in the configuration says, or info.
    #[arg(long, value_name = "LEVEL", env = "SOJOURN_LOG")]
    log: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Make a working installation in a folder: configuration, store, certificate authority, certificates.
    Init(init::Init),
    /// Issue a client certificate: for a home agent, an administrator or an auditor.
    Certificate(ca::Issue),
    /// Put a backup in the place of the store; the key distribution centre must not run.
    Restore(restore::Restore),
    /// Bring the store under another key-encryption key; the key distribution centre must not run.
    Reseal(reseal::Reseal),
    /// Write the man pages of kdc and its subcommands into a folder.
    #[command(hide = true)]
    Man {
        /// The folder, which must exist.
        #[arg(value_name = "DIR")]
        directory: std::path::PathBuf,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        Some(Command::Init(init)) => once(cli.serve.log.as_deref(), init.run()),
        Some(Command::Certificate(issue)) => once(cli.serve.log.as_deref(), async move { issue.run() }),
        Some(Command::Restore(restore)) => once(cli.serve.log.as_deref(), restore.run()),
        Some(Command::Reseal(reseal)) => once(cli.serve.log.as_deref(), reseal.run()),
        Some(Command::Man { directory }) => {
            let written = daemon::manual::write(Cli::command(), &directory);
            once(cli.serve.log.as_deref(), async { Ok(written?) })
        }
        None => serve(cli.serve),
    }
}

fn serve(serve: Serve) -> ExitCode {
    let Some(config) = serve.config else {
        let mut command = Cli::command();
        let error = command.error(
            clap::error::ErrorKind::MissingRequiredArgument,
            "--config FILE.toml is needed to serve; `kdc init` makes one",
        );
        error.exit();
    };
    let args = daemon::Args { config, check: serve.check, log: serve.log };
    match daemon::start::<config::KdcConfig>(&args) {
        Ok((config, reloads, log)) => daemon::run(log, serve::serve(config, reloads)),
        Err(code) => code,
    }
}

/// Runs a subcommand; its failure is one line on standard error.
fn once(log: Option<&str>, command: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    // Only warnings and errors: what a subcommand did is told by itself.
    let _log = match daemon::log::init(log.unwrap_or("warn")) {
        Ok(log) => log,
        Err(error) => {
            init::say(&error.to_string());
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(command));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            init::say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
