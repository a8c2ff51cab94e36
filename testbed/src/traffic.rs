//! The testbed's own traffic: from threads of this process through sockets of the nodes' namespaces, so that
//! every byte takes the way that it would take between two machines.

pub(crate) mod probe;
pub(crate) mod transfer;

use std::{net::SocketAddrV4, time::Duration};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{
    network::Network,
    traffic::{
        probe::Probe,
        transfer::{Amount, Transfer},
    },
};

/// UDP port of the probes at the mobile node; above the ports that the kernel hands out by itself, and none that
/// readers of captures take for a protocol.
pub(crate) const PROBE_PORT: u16 = 61007;
/// UDP port at the correspondent of the probes that the first mobile node sends; of the next ones it is one more each.
pub(crate) const BACK_PORT: u16 = 61010;
/// TCP port of the transfer at the mobile node.
pub(crate) const TRANSFER_PORT: u16 = 61008;

/// Runs the scenario's transfer and probes for a while and says how they fared, whatever else happens to the
/// network meanwhile.
pub(crate) fn measure(network: &Network, megabytes: u32, seconds: u32) -> Result<Value> {
    let traffic = network.scenario.traffic.as_ref().context("the scenario has no [traffic]")?;
    let from = &network.node(traffic.from.get_ref())?.namespace;
    let to = &network.node(traffic.to.get_ref())?.namespace;
    let address = *network.scenario.mobile_node(traffic.to.get_ref())?.home_address.get_ref();
    let target = SocketAddrV4::new(address, PROBE_PORT);
    let probe = Probe::start(from, to, target, *traffic.probes_per_second.get_ref(), 0)?;
    let amount = Amount::Exactly(u64::from(megabytes) * 1_000_000);
    let transfer = Transfer::start(from, to, address, amount, Duration::from_secs(seconds.into()))?;
    let outcome = transfer.finish();
    let log = probe.finish()?;
    Ok(json!({
        "transfer": {
            "bytes": outcome.bytes,
            "sha256_match": outcome.sha256_match,
            "connections": outcome.connections,
            "error": outcome.error,
        },
        "ping": {
            "sent": log.sent.len(),
            "received": log.received().iter().flatten().count(),
            "longest_gap_ms": log.longest_gap() as f64 / 1e6,
        },
    }))
}
