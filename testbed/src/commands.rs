//! What the commands do.

mod inside;
mod kept;
mod once;

pub(crate) use self::{
    inside::{exec, pcap},
    kept::{Name, down, hold, kill, move_to, start, status, traffic, up},
    once::{Results, report, run},
};
