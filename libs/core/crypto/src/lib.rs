//! Typed doors over audited cryptography.
