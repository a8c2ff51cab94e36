//! The foreign agent daemon.

fn main() {}
