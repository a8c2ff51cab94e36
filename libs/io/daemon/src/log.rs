//! The log: one line an event on standard error.

use tracing_subscriber::EnvFilter;

/// What is logged unless asked otherwise.
pub const DEFAULT: &str = "info";

/// The log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The directives cannot be read.
    #[error(
        "--log {directives:?}: {reason}; allowed: error, warn, info, debug, trace, off, also by module as in \"info,mobility=debug\""
    )]
    Directives {
        /// As given.
        directives: String,
        /// What is wrong.
        reason: String,
    },
    /// Somebody set one up before.
    #[error("the log was set up twice")]
    Twice,
}

/// Sends the log to standard error, filtered by `directives` such as `info` or `info,mobility=debug`.
///
/// Colours only on a terminal. Call once, first.
///
/// # Errors
/// If the directives cannot be read or the log is already set up.
pub fn init(directives: &str) -> Result<(), LogError> {
    let filter = parse(directives)?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .try_init()
        .map_err(|_| LogError::Twice)
}

fn parse(directives: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::builder().parse(directives).map_err(|error| LogError::Directives {
        directives: directives.to_owned(),
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_modules_are_understood() {
        for good in ["info", "trace", "off", "warn,mobility=debug"] {
            assert!(parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_wrong_level_names_what_is_allowed() {
        let message = parse("mobility=loud").unwrap_err().to_string();
        assert!(message.contains("mobility=loud") && message.contains("debug"), "{message}");
    }
}
