//! A roaming network on one machine: namespaces and links made by netlink, the real daemons inside them, a
//! mobile node that moves by having its cable moved, traffic that must survive it, and a report.
//!
//! The testbed needs nothing of the host but its kernel. It never touches the host's own network: everything
//! happens in namespaces that die with the process.
#![allow(dead_code)]

mod agent;
mod binaries;
mod capture;
mod clock;
mod daemons;
mod directory;
mod nat;
mod netns;
mod network;
mod privilege;
mod provision;
mod scenario;
mod switch;
mod terminal;
mod traffic;

fn main() {}
