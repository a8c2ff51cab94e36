//! A roaming network on one machine.

fn main() {}
