//! What programs that watch a mobile node see: metrics, and whether it is reachable.

use std::sync::Arc;

use admin::{AgentSnapshot, health::Check, http::Seen, metrics::agent};
use net::tunnel::Counters;
use tokio::sync::watch;

/// Out of what it publishes, and of what its packet path counts.
pub(crate) fn seen(
    snapshots: watch::Receiver<Arc<AgentSnapshot>>,
    packets: impl Fn() -> Counters + Send + Sync + 'static,
) -> Seen {
    let watched = snapshots.clone();
    Seen {
        checks: Box::new(move || {
            let snapshot = Arc::clone(&watched.borrow());
            vec![Check::started(&snapshot), Check::reachable(&snapshot)]
        }),
        metrics: Box::new(move |page| {
            let snapshot = Arc::clone(&snapshots.borrow());
            agent::add(page, &snapshot, &packets().entries().collect());
        }),
    }
}
