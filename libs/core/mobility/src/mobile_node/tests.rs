//! The mobile node against agents that do right, wrong, or nothing.

mod addresses;
mod configuring;
mod conformance;
mod discovering;
mod encapsulations;
mod moving;
mod naming;
mod proof;
mod random;
mod registering;
mod renewing;
mod replies;
mod revocations;
mod shares;
mod simultaneous;
mod world;
