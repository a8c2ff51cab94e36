//! Negotiation of security associations (docs/wire.md, negotiation): policy in, offers and answers out.
//!
//! An offer is a tree of alternatives. Whoever answers takes the first alternative of the offer that all who have a say
//! allow, and in it the first encryption, the first authentication and the first group that they allow; however the
//! offer is spelt, the same is chosen. Nothing here knows a key or a clock.

mod answer;
mod choose;
mod half;
mod keys;
pub(crate) mod numbers;
mod policy;
mod rounds;
mod talk;

pub use answer::{Accepted, NotAnAnswer, accept};
pub use choose::{Choice, Chosen, choose};
pub use half::{Finished, Half, Unfinished, begin};
pub use keys::{Ends, pair_seed, prf_key, stateless_key3};
pub use policy::{Method, Named, OWN, Policy, Terms, group_name, suite_names, test_group};
pub use rounds::{MAX_ROUNDS, Rounds};
pub use talk::{Answered, End, Exchanged, Offered, Settled, Talk};

#[cfg(test)]
mod tests;
