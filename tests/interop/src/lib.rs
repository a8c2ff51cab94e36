//! Real third-party peers: finding or installing them, and the capture files that go to and fro.
//!
//! A test that needs a program which is not there and cannot be installed says so by name on standard error
//! and passes: an oracle that is missing is no reason to stop, but nobody should overlook it.

pub mod pcap;
mod tshark;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

pub use tshark::Tshark;

/// The folder that cargo builds into.
fn target() -> PathBuf {
    // Cargo makes `tmp` for integration tests inside it.
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from)
}

/// Says on standard error, past the capture of the test harness, that a peer is missing.
fn skipped(peer: &str) {
    // If standard error is closed, nobody listens.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {peer} not installed");
}

/// Runs the installer for one peer, unless `SOJOURN_NO_INSTALL` is set.
fn install(peer: &str) {
    if std::env::var_os("SOJOURN_NO_INSTALL").is_some() {
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("install-peers.sh");
    // A failure shows when the peer is looked for again; the script says why on standard error.
    let _ = Command::new(script).arg(peer).status();
}

/// Python with scapy 2.8 or newer and grpcio, or `None` with a loud line on standard error.
#[must_use]
pub fn python() -> Option<PathBuf> {
    let python = target().join("interop-venv/bin/python");
    let works = || {
        let check = "import grpc, grpc_reflection, scapy; assert scapy.__version__ >= '2.8'";
        Command::new(&python).args(["-c", check]).output().is_ok_and(|out| out.status.success())
    };
    if !works() {
        install("python");
    }
    if works() {
        return Some(python);
    }
    skipped("python with scapy and grpcio");
    None
}
