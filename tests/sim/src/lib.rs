//! The deterministic simulator with its reference model.
