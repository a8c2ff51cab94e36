//! The key distribution centre daemon.

fn main() {}
