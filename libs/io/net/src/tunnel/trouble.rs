//! What comes back from inside the tunnels: smaller paths, and hosts that cannot be reached (RFC 2003 §4, §5).

use std::{io::ErrorKind, net::Ipv4Addr, ops::Range, sync::Arc};

use forward::{
    Entry, decap,
    encap::TUNNEL_DATA,
    icmp_error::{Bucket, Kind, Reaction, reaction},
    mtu::{Paths, plateau_below},
};

use super::{Refusal, Shared, counters::Count, now, outbound::send_error};
use crate::error_queue::{Cause, Reader, Trouble};

/// Reads error queues and says what to do.
pub(super) struct Troubles {
    reader: Reader,
    /// For the errors that we send.
    errors: Bucket,
    /// For what we learn from others: each time the path MTUs are copied.
    lessons: Bucket,
}

impl Troubles {
    pub(super) fn new() -> Self {
        let now = now();
        Self { reader: Reader::new(), errors: Bucket::new(now), lessons: Bucket::new(now) }
    }
}

/// Finds the inner packet in what a socket quotes; may put its header together again.
type Unwrap = fn(&mut [u8]) -> Option<Range<usize>>;

/// Empties the error queues of all sockets and acts on what they say.
pub(super) fn drain(shared: &Shared, troubles: &mut Troubles) {
    let Troubles { reader, errors, lessons } = troubles;
    let mut act = |unwrap: Unwrap, shows_hops: bool, trouble: Trouble<'_>| {
        let Trouble { remote, cause, quoted } = trouble;
        let inner = unwrap(quoted).and_then(|range| quoted.get(range)).unwrap_or_default();
        react(shared, errors, lessons, &Report { remote, cause, shows_hops }, inner);
    };
    for socket in shared.raw.iter() {
        while let Some(trouble) = reader.next(socket) {
            let shows_hops = decap::shows_hops(trouble.quoted);
            act(decap::quoted, shows_hops, trouble);
        }
    }
    for port in shared.ports.load().iter() {
        while let Some(trouble) = reader.next(port) {
            if trouble.quoted.first().is_some_and(|first| *first != TUNNEL_DATA) {
                refuse(shared, trouble.remote, trouble.cause);
                continue;
            }
            act(|quoted| decap::udp(quoted).ok(), false, trouble);
        }
    }
}

/// Tells control that a message of its own did not arrive. Whether a report is to be believed is its decision.
fn refuse(shared: &Shared, destination: Ipv4Addr, cause: Cause) {
    let kind = match cause {
        Cause::Icmp { icmp_type: 3, code: 0 | 6 | 11, .. } => ErrorKind::NetworkUnreachable,
        Cause::Icmp { icmp_type: 3, code: 1 | 7 | 12, .. } => ErrorKind::HostUnreachable,
        Cause::Icmp { icmp_type: 3, code: 3, .. } => ErrorKind::ConnectionRefused,
        Cause::Icmp { icmp_type: 3, code, .. } if code != 4 => ErrorKind::Other,
        _ => return,
    };
    // More than control can take say nothing new.
    let _ = shared.refusals.try_send(Refusal { destination, kind });
}

/// What was said of an outer packet.
struct Report {
    remote: Ipv4Addr,
    cause: Cause,
    /// The hops of the tunnel count for the inner packet as well.
    shows_hops: bool,
}

fn react(shared: &Shared, errors: &mut Bucket, lessons: &mut Bucket, trouble: &Report, inner: &[u8]) {
    let entry = shared.table.load().sent(trouble.remote, inner);
    let reaction = match trouble.cause {
        Cause::Icmp { icmp_type, code, mtu } => {
            shared.tally.add(Count::ErrorsReceived, 1);
            reaction(icmp_type, code, mtu, trouble.shows_hops)
        }
        Cause::TooBig { mtu } => Reaction::LowerPath { mtu },
        Cause::Local => Reaction::Ignore,
    };
    match reaction {
        Reaction::LowerPath { mtu } => {
            let from_us = matches!(trouble.cause, Cause::TooBig { .. });
            if !from_us && !is_credible(shared, lessons, trouble.remote, entry.as_ref()) {
                return;
            }
            lower(shared, trouble.remote, outer_mtu(mtu, inner));
            if let Some(entry) = entry {
                let mtu = shared.paths.load().inner_mtu(&entry);
                tell(shared, errors, Kind::TooBig { mtu }, &entry, inner);
            }
        }
        Reaction::Relay(kind) => {
            if let Some(entry) = entry {
                tell(shared, errors, kind, &entry, inner);
            }
        }
        Reaction::Ignore => {}
    }
}

/// Anybody can forge an ICMP message. It has to be about a packet of ours, or, where the router quotes too
/// little to see that, about a tunnel of ours; and there may not be too many.
fn is_credible(shared: &Shared, lessons: &mut Bucket, remote: Ipv4Addr, entry: Option<&Entry>) -> bool {
    lessons.take(now()) && (entry.is_some() || shared.table.load().has_peer(remote))
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
