//! What the main function of every daemon shares: command line, configuration, log, signals, secrets in
//! files and the start and end of the process.
//!
//! Nothing here knows a protocol, opens a socket or keeps state.

pub mod beside;
pub mod config;
pub mod enrolment;
pub mod log;
pub mod manual;
#[cfg(feature = "otlp")]
mod otlp;
pub mod privilege;
pub mod reload;
pub mod secret_file;
pub mod signals;

use std::{
    future::Future,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use config::{Config, Reloadable};
use log::Log;
use reload::Reloads;

/// Registrations are many small allocations: under load the C library's allocator took an eighth of the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit code of a command line or configuration that is wrong.
const EXIT_CONFIGURATION: u8 = 2;

/// The flags that every daemon takes.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Configuration file (TOML). Relative paths in it are relative to its folder.
    #[arg(long, value_name = "FILE.toml")]
    pub config: PathBuf,

    /// Only check the configuration: exit 0 if it is right, 2 with the file, line and key that are wrong.
    #[arg(long)]
    pub check: bool,

    /// What to log: error, warn, info, debug or trace, also by module, as in "info,mobility=debug". Without it as
    /// `log` in the configuration says, or info.
    #[arg(long, value_name = "LEVEL", env = "SOJOURN_LOG")]
    pub log: Option<String>,
}

/// The first steps of a daemon: log to standard error, no core dumps, configuration read and checked. Hands back
/// the configuration, what will read it again, and the log, which [`run`] keeps to the end.
///
/// # Errors
/// The exit code to end with: 0 after a successful `--check`, 2 after a wrong flag or configuration, which
/// has been explained on standard error, 1 if the process cannot be kept from dumping core.
pub fn start<C: Reloadable>(args: &Args) -> Result<(C, Reloads<C>, Log), ExitCode> {
    let told = log::wanted(args.log.as_deref(), None);
    let log = log::init(told).map_err(|error| explain(&error.to_string()))?;
    let config = load_or_explain::<C>(&args.config)?;
    let wanted = log::wanted(args.log.as_deref(), config.log());
    log.level().set(wanted).map_err(|error| explain(&error.to_string()))?;
    if args.check {
        say(&format!("{}: the configuration is right", args.config.display()));
        return Err(ExitCode::SUCCESS);
    }
    privilege::no_core_dumps().map_err(|error| {
        say(&format!("core dumps could not be turned off, so keys might reach the disk: {error}"));
        ExitCode::FAILURE
    })?;
    #[cfg(feature = "otlp")]
    if let Some(collector) = config.otlp() {
        log.export(collector).map_err(|error| {
            say(&format!("otlp: {error}"));
            ExitCode::FAILURE
        })?;
    }
    let reloads = Reloads::new(args, &config, log.level());
    Ok((config, reloads, log))
}

/// Reads and checks a configuration; what is wrong with it is written to standard error.
///
/// # Errors
/// Exit code 2.
pub fn load_or_explain<C: Config>(path: &Path) -> Result<C, ExitCode> {
    config::load(path).map_err(|error| explain(&error.to_string()))
}

/// Runs the daemon on an event loop of one thread until it returns, says why it failed if it did, and writes the
/// last lines of the log.
///
/// Exit code 0 if it ended as asked, 1 if it failed.
pub fn run<F: Future<Output = anyhow::Result<()>>>(log: Log, daemon: F) -> ExitCode {
    let code = run_logged(daemon);
    let dropped = log.dropped();
    if dropped > 0 {
        tracing::warn!(dropped, "standard error did not take every line of the log");
    }
    log.flush();
    drop(log);
    code
}

fn run_logged<F: Future<Output = anyhow::Result<()>>>(daemon: F) -> ExitCode {
    if let Err(error) = signals::unblock() {
        tracing::warn!("signals may be blocked: {error}");
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("no event loop: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(daemon) {
        Ok(()) => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!("stopped: {}", in_words(&error));
            ExitCode::FAILURE
        }
    }
}

/// 32 bytes of the operating system's randomness: the seed that a core is born with.
///
/// # Errors
/// If the operating system has none to give; then no key may be made.
pub fn seed() -> Result<[u8; 32], SeedError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| SeedError(error.to_string()))?;
    Ok(seed)
}

/// The operating system gave no randomness.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no randomness: {0}")]
pub struct SeedError(String);

/// An error with its causes, each said once: some errors name their cause themselves.
fn in_words(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |said, cause| match said.as_str() {
        "" => cause,
        words if words.contains(&cause) => said,
        words => format!("{words}: {cause}"),
    })
}

fn explain(message: &str) -> ExitCode {
    say(message);
    ExitCode::from(EXIT_CONFIGURATION)
}

/// A line for the person who started the process; nothing can be done if standard error is closed.
fn say(message: &str) {
    let _ = writeln!(std::io::stderr(), "{message}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_said_once() {
        let cause = std::io::Error::other("no such device");
        let named = anyhow::Error::new(cause).context("tunnel sojourn0: no such device").context("start");
        assert_eq!(in_words(&named), "start: tunnel sojourn0: no such device");
    }

    #[test]
    fn two_seeds_differ() {
        assert_ne!(seed().unwrap(), seed().unwrap());
    }
}
