//! The store as daemons use it, and as disks, neighbours and intruders treat it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod addresses;
mod commit;
mod copying;
mod crash;
mod grants;
mod migration;
mod opening;
mod round_trip;
mod sample;
mod sealed;
mod sick;
