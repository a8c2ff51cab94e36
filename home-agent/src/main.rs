//! The home agent daemon.

fn main() {}
