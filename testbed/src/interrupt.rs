//! An interrupt ends the testbed at once; its namespaces and daemons go with it. Only files need a hand.

use std::{fs, path::PathBuf, thread};

use anyhow::Result;
use nix::sys::signal::{SigSet, Signal};

use crate::terminal;

/// From now on SIGINT, SIGTERM and SIGHUP remove a directory, if one is given, and end the process. Must run
/// before other threads start, so that they leave the signals alone.
pub(crate) fn guard(directory: Option<PathBuf>) -> Result<()> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signals.add(signal);
    }
    signals.thread_block()?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        if let Ok(signal) = signals.wait() {
            terminal::complain(&format!("ended by {signal}"));
            if let Some(directory) = directory {
                let _ = fs::remove_dir_all(directory);
            }
            std::process::exit(128 + signal as i32);
        }
    })?;
    Ok(())
}
