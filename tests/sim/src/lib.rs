//! The deterministic simulator: the very machines that the daemons run, under virtual time, on links that
//! lose, delay, duplicate and reorder, with crashes, a failing store, wrong clocks and an attacker who
//! replays and forges. A reference model says at every step which bindings, keys and visitors may exist.
//!
//! One seed is one world: it always gives the same trace. `cargo run -p sim -- --seed N` prints it.

mod centre;
mod check;
mod disk;
mod home;
mod model;
mod network;
mod nodes;
mod plan;
pub mod rogue;
mod scene;
mod world;

pub use network::Message;
pub use nodes::{agent_nai, care_of, home_address};
pub use plan::{Action, Inform, Offer, Place, Plan, Policies, Renewer, Weather, Wish};
pub use scene::{Fate, Scene};
pub use world::{Outcome, Recorded, Way, record, run};
