//! What every daemon shares: command line, configuration, log, signals.
