//! What programs that watch a foreign agent see: metrics, and whether it is ready.

use std::sync::Arc;

use admin::{
    AgentSnapshot,
    health::Check,
    http::Seen,
    metrics::{
        Histogram, agent,
        store::{self, Commits},
    },
};
use net::tunnel::Counters;
use tokio::sync::watch;

type Snapshots = watch::Receiver<Arc<AgentSnapshot>>;

/// Out of what it publishes, and of what its store and its packet path count.
pub(crate) fn seen(
    snapshots: Snapshots,
    figures: Arc<keystore::Figures>,
    packets: impl Fn() -> Counters + Send + Sync + 'static,
) -> Seen {
    let (watched, committed) = (snapshots.clone(), Arc::clone(&figures));
    Seen {
        checks: Box::new(move || {
            let snapshot = Arc::clone(&watched.borrow());
            vec![Check::started(&snapshot), Check::store(&commits(&committed))]
        }),
        metrics: Box::new(move |page| {
            let snapshot = Arc::clone(&snapshots.borrow());
            agent::add(page, &snapshot, &packets().entries().collect());
            store::add(page, commits(&figures));
        }),
    }
}

/// What the store counts, as it is shown.
fn commits(figures: &keystore::Figures) -> Commits {
    let shown =
        |spread: keystore::Spreading, unit| Histogram::of(spread.buckets, spread.above, spread.sum, unit);
    let (failed, trouble) = figures.failures();
    Commits { seconds: shown(figures.micros(), 1e-6), lists: shown(figures.lists(), 1.0), failed, trouble }
}
