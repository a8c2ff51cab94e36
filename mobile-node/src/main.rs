//! The mobile node daemon.

fn main() {}
