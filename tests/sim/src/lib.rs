//! The deterministic simulator: the very machines that the daemons run, under virtual time, on links that
//! lose, delay, duplicate and reorder, with crashes, a failing store, wrong clocks and an attacker who
//! replays and forges. A reference model says at every step which bindings, keys and visitors may exist.
//!
//! One seed is one world: it always gives the same trace. `cargo run -p sim -- --seed N` prints it.

mod check;
mod disk;
mod model;
mod network;
mod nodes;
mod plan;
mod world;

pub use plan::{Action, Inform, Place, Plan, Weather};
pub use world::{Outcome, Recorded, Way, record, run};
