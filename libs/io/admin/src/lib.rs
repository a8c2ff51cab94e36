//! The gRPC side of every daemon.
