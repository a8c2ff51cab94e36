//! This crate against the kernel, in network namespaces that the tests make.
//!
//! They need root (or the capabilities that it has) and say `SKIPPED` where namespaces are not permitted.

// What is not as a test assumes ends the test, in its helping functions as well.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "kernel/conformance.rs"]
mod conformance;
#[path = "kernel/deliveries.rs"]
mod deliveries;
#[path = "kernel/home_link.rs"]
mod home_link;
#[path = "kernel/lab.rs"]
mod lab;
#[path = "kernel/link.rs"]
mod link;
#[path = "kernel/offload.rs"]
mod offload;
#[path = "kernel/plan.rs"]
mod plan;
#[path = "kernel/simultaneous.rs"]
mod simultaneous;
#[path = "kernel/tunnel.rs"]
mod tunnel;
#[path = "kernel/watch.rs"]
mod watch;
#[path = "kernel/world.rs"]
mod world;
