//! The log: one line an event on standard error.
//!
//! Lines are written by a thread of their own, so that a busy disk or a terminal that stands still never holds
//! up a registration. If that thread falls [`KEPT_LINES`] behind, further lines are dropped and counted.

use std::{fmt, sync::Arc};

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
#[cfg(feature = "otlp")]
use tracing_subscriber::Layer as _;
use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _};

/// What is logged unless asked otherwise.
pub const DEFAULT: &str = "info";

/// Lines that wait for standard error before further ones are dropped.
pub const KEPT_LINES: usize = 16_384;

/// Octets that are written to standard error at once at most, unless a line is longer.
const PIECE: usize = 32 * 1024;

/// The log while it is kept: dropping it writes what still waits.
#[must_use = "lines that wait are lost unless this lives until the end"]
#[derive(Debug)]
pub struct Log {
    dropped: ErrorCounter,
    level: Level,
    #[cfg(feature = "otlp")]
    spans: crate::otlp::Spans,
    _writer: WorkerGuard,
}

impl Log {
    /// Lines that were dropped because standard error did not take them.
    #[must_use]
    pub fn dropped(&self) -> usize {
        self.dropped.dropped_lines()
    }

    /// Steps of registrations go to the collector at this address, too, under the name of this program.
    ///
    /// # Errors
    /// If no thread can be started for it.
    #[cfg(feature = "otlp")]
    pub(crate) fn export(&self, collector: &crate::config::Collector) -> std::io::Result<()> {
        self.spans.export(collector, &crate::otlp::program())
    }

    /// Sends what waits for the collector; what waits for standard error is written when the log is dropped.
    pub(crate) fn flush(&self) {
        #[cfg(feature = "otlp")]
        self.spans.flush();
    }

    /// The way to log more or less from now on.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level.clone()
    }
}

/// What is logged, to be changed while the daemon runs.
#[derive(Clone)]
pub struct Level(Arc<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>);

impl fmt::Debug for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Level")
    }
}

impl Level {
    /// Logs by these directives from now on.
    ///
    /// # Errors
    /// If they cannot be read; then everything stays as it was.
    pub fn set(&self, directives: &str) -> Result<(), LogError> {
        let wrong = |reason: String| LogError::Directives { directives: directives.to_owned(), reason };
        (self.0)(parse(directives)?).map_err(|error| wrong(error.to_string()))
    }

    /// One that changes nothing.
    #[cfg(test)]
    pub(crate) fn deaf() -> Self {
        Self(Arc::new(|_| Ok(())))
    }
}

/// What counts: the command line, then the configuration, then [`DEFAULT`].
#[must_use]
pub fn wanted<'a>(told: Option<&'a str>, configured: Option<&'a str>) -> &'a str {
    told.or(configured).unwrap_or(DEFAULT)
}

/// Whether these directives can be read.
///
/// # Errors
/// If not.
pub fn check(directives: &str) -> Result<(), LogError> {
    parse(directives).map(drop)
}

/// The log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The directives cannot be read.
    #[error(
        "log {directives:?}: {reason}; allowed: error, warn, info, debug, trace, off, also by module as in \"info,mobility=debug\""
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
/// Colours only on a terminal. Call once, first, and keep what it hands back until the end.
///
/// # Errors
/// If the directives cannot be read or the log is already set up.
pub fn init(directives: &str) -> Result<Log, LogError> {
    let filter = parse(directives)?;
    // Its thread writes what waits in one piece, and whole lines: one that has no room goes with the next piece.
    let pieces = std::io::BufWriter::with_capacity(PIECE, std::io::stderr());
    let (lines, writer) = NonBlockingBuilder::default().buffered_lines_limit(KEPT_LINES).finish(pieces);
    let dropped = lines.error_counter();
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let (filter, handle) = reload::Layer::new(filter);
    let shown = tracing_subscriber::fmt::layer().with_writer(lines).with_ansi(colours);
    #[cfg(feature = "otlp")]
    let spans = crate::otlp::Spans::default();
    let registry = tracing_subscriber::registry();
    // The filter of what is shown is not the one of what is exported.
    #[cfg(feature = "otlp")]
    let registry = registry.with(shown.with_filter(filter)).with(spans.layer());
    #[cfg(not(feature = "otlp"))]
    let registry = registry.with(filter).with(shown);
    registry.try_init().map_err(|_| LogError::Twice)?;
    let level = Level(Arc::new(move |filter| handle.reload(filter)));
    Ok(Log {
        dropped,
        level,
        #[cfg(feature = "otlp")]
        spans,
        _writer: writer,
    })
}

/// It complains where nobody waits for the rest of an answer, which is no trouble.
const COMPLAINS: &str = "netlink_proto=error";
/// At DEBUG these tell every frame; an operator who asks for that wants our lines.
const CHATTER: [&str; 6] = ["h2", "hyper", "hyper_util", "rustls", "tonic", "tower"];

/// The directives, with libraries kept short unless they are named.
fn parse(directives: &str) -> Result<EnvFilter, LogError> {
    let wrong = |reason: String| LogError::Directives { directives: directives.to_owned(), reason };
    let filter = EnvFilter::builder().parse(directives).map_err(|error| wrong(error.to_string()))?;
    let deep = directives.contains("debug") || directives.contains("trace");
    let chatter = CHATTER.iter().filter(|_| deep).map(|library| format!("{library}=warn"));
    let mut short: Vec<String> = chatter.collect();
    if directives != "off" {
        short.push(COMPLAINS.to_owned());
    }
    let named = |short: &str| {
        let library = short.split('=').next().unwrap_or_default();
        directives
            .split(',')
            .any(|told| told.trim().strip_prefix(library).is_some_and(|rest| rest.starts_with(['=', ':'])))
    };
    short.iter().filter(|short| !named(short)).try_fold(filter, |filter, short| {
        Ok(filter.add_directive(short.parse().map_err(|_| wrong(short.clone()))?))
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
    fn libraries_are_short_unless_they_are_named() {
        let shown = |directives: &str| parse(directives).unwrap().to_string();
        assert!(shown("info").contains("netlink_proto=error") && !shown("info").contains("h2="));
        assert!(shown("debug").contains("h2=warn") && shown("debug").contains("tonic=warn"));
        let named = shown("debug,h2=trace,netlink_proto=debug");
        assert!(named.contains("h2=trace") && !named.contains("h2=warn") && named.contains("rustls=warn"));
        assert!(named.contains("netlink_proto=debug") && !named.contains("netlink_proto=error"), "{named}");
        assert_eq!(shown("off"), "off");
    }

    #[test]
    fn a_wrong_level_names_what_is_allowed() {
        let message = parse("mobility=loud").unwrap_err().to_string();
        assert!(message.contains("mobility=loud") && message.contains("debug"), "{message}");
    }
}
