//! Typed doors over audited cryptography.
//!
//! No cryptographic algorithm is implemented here: HMAC, SHA-2, MD5, HKDF, AES-GCM, ChaCha20-Poly1305, X25519, P-256,
//! P-384, ML-KEM-768 and powers modulo a prime come from the RustCrypto crates. This crate gives them the few shapes that
//! the protocol needs (docs/wire.md), keeps secrets out of logs, wipes them on drop and compares in constant time. It
//! takes no randomness from the operating system: a seed comes in from outside.
#![forbid(unsafe_code)]

pub mod aead;
pub mod exchange;
pub mod group;
pub mod kdf;
pub mod legacy;
pub mod mac;
pub mod rng;
mod secret;

pub use aead::{Cipher, Sealer};
pub use mac::{Integrity, digest, hmac, verify_hmac};
pub use rng::Rng;
pub use secret::{Fingerprint, Key, wipe};
