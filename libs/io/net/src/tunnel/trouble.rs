//! What comes back from inside the tunnels: smaller paths, and hosts that cannot be reached (RFC 2003 §4, §5).

use std::{net::Ipv4Addr, ops::Range, sync::Arc};

use forward::{
    Entry, decap,
    icmp_error::{Bucket, Kind, Reaction, reaction},
    mtu::{Paths, plateau_below},
};

use super::{Shared, counters::Count, now, outbound::send_error};
use crate::error_queue::{Cause, Reader, Trouble};

/// Reads error queues and says what to do.
pub(super) struct Troubles {
    reader: Reader,
    bucket: Bucket,
}

impl Troubles {
    pub(super) fn new() -> Self {
        Self { reader: Reader::new(), bucket: Bucket::new(now()) }
    }
}

/// Finds the inner packet in what a socket quotes.
type Unwrap = fn(&[u8]) -> Option<Range<usize>>;

/// Empties the error queues of all sockets and acts on what they say.
pub(super) fn drain(shared: &Shared, troubles: &mut Troubles) {
    let Troubles { reader, bucket } = troubles;
    while let Some(trouble) = reader.next(&shared.raw) {
        act(shared, bucket, decap::quoted_ip_in_ip, &trouble);
    }
    for port in shared.ports.load().iter() {
        while let Some(trouble) = reader.next(port) {
            act(shared, bucket, |quoted| decap::udp(quoted).ok(), &trouble);
        }
    }
}

fn act(shared: &Shared, bucket: &mut Bucket, unwrap: Unwrap, trouble: &Trouble<'_>) {
    let remote = trouble.remote;
    let inner = unwrap(trouble.quoted).and_then(|range| trouble.quoted.get(range)).unwrap_or_default();
    let entry = shared.table.load().sent(remote, inner);
    let reaction = match trouble.cause {
        Cause::Icmp { icmp_type, code, mtu } => {
            shared.tally.add(Count::Relayed, 1);
            reaction(icmp_type, code, mtu)
        }
        Cause::TooBig { mtu } => Reaction::LowerPath { mtu },
        Cause::Local => Reaction::Ignore,
    };
    match reaction {
        Reaction::LowerPath { mtu } => {
            lower(shared, remote, outer_mtu(mtu, inner));
            if let Some(entry) = entry {
                let mtu = shared.paths.load().inner_mtu(&entry);
                tell(shared, bucket, Kind::TooBig { mtu }, &entry, inner);
            }
        }
        Reaction::Relay(kind) => {
            if let Some(entry) = entry {
                tell(shared, bucket, kind, &entry, inner);
            }
        }
        Reaction::Ignore => {}
    }
}

/// The path MTU that a router named; without a number, the next plateau below what it refused.
fn outer_mtu(named: u16, inner: &[u8]) -> u16 {
    match (named, inner) {
        (0, [_, _, high, low, ..]) => plateau_below(usize::from(u16::from_be_bytes([*high, *low]))),
        (named, _) => named,
    }
}

fn lower(shared: &Shared, remote: Ipv4Addr, mtu: u16) {
    let mut news = false;
    shared.paths.rcu(|paths| {
        let mut paths = Paths::clone(paths);
        news = paths.lower(remote, mtu, now());
        Arc::new(paths)
    });
    if news {
        tracing::debug!(%remote, mtu, "the path to a tunnel peer takes smaller packets only");
    }
}

/// Tells the sender of an inner packet; one that may be fragmented will be from now on.
fn tell(shared: &Shared, bucket: &mut Bucket, kind: Kind, entry: &Entry, inner: &[u8]) {
    let dont_fragment = inner.get(6).is_some_and(|flags| flags & 0x40 != 0);
    if matches!(kind, Kind::TooBig { .. }) && !dont_fragment {
        return;
    }
    if let Some(own) = shared.own_address(entry.peer) {
        send_error(shared, bucket, kind, own, inner);
    }
}
