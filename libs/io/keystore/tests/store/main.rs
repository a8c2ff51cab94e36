//! The store as daemons use it, and as disks, neighbours and intruders treat it.

mod commit;
mod crash;
mod grants;
mod opening;
mod round_trip;
mod sample;
mod sealed;
mod sick;
