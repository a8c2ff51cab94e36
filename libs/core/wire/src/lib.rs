//! Bytes and values: IPv4, UDP, ICMP and Mobile IPv4 messages.
//!
//! Every parser takes a slice and returns a value or an [`Error`]; none panics, and none allocates more
//! than the bytes it was given justify. Every value that is parsed can be emitted again, byte for byte.
#![forbid(unsafe_code)]

mod error;
mod reader;
mod writer;

pub mod checksum;
pub mod ip;
pub mod mip;
pub mod negotiation;

pub use error::Error;
pub use reader::Reader;
pub use writer::Writer;
