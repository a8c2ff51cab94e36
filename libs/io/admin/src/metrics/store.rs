//! What a store tells of its commits.

use prometheus_client::registry::Unit;

use super::{Histogram, Page};

/// The commits of a store since it was opened.
#[derive(Clone, Debug, Default)]
pub struct Commits {
    /// How long transactions took, in seconds, to the answer of the disk.
    pub seconds: Histogram,
    /// How many lists of changes were in one transaction.
    pub lists: Histogram,
    /// Transactions of which nothing was written.
    pub failed: u64,
    /// Why the last one failed; `None` if it did not.
    pub trouble: Option<String>,
}

/// Adds them to a page.
pub fn add(page: &mut Page, commits: Commits) {
    page.named("sojourn_store");
    let help = "Time from the begin of a transaction until the disk has it";
    page.histogram("commit", Some(Unit::Seconds), help, commits.seconds);
    page.histogram("commit_lists", None, "Lists of changes that one transaction held", commits.lists);
    page.counter("commit_failures", "Transactions of which nothing was written", commits.failed);
}
