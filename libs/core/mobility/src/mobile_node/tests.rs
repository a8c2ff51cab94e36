//! The mobile node against agents that do right, wrong, or nothing.

mod conformance;
mod discovering;
mod moving;
mod random;
mod registering;
mod replies;
mod world;
