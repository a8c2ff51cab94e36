//! The testbed's own traffic: from threads of this process through sockets of the nodes' namespaces, so that
//! every byte takes the way that it would take between two machines.

pub(crate) mod probe;
pub(crate) mod transfer;

/// UDP port of the probes at the mobile node.
pub(crate) const PROBE_PORT: u16 = 7007;
/// TCP port of the transfer at the mobile node.
pub(crate) const TRANSFER_PORT: u16 = 7008;
