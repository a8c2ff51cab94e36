//! The packet path as pure functions.
