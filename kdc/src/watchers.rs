//! Which home agents are connected, and how far each has taken over.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use record::HomeAgent;
use tokio::{sync::watch, time};

/// How long an answer waits for connected home agents.
const PATIENCE: Duration = Duration::from_secs(3);

/// Home agents that watch subscribers; cheap to clone.
#[derive(Clone)]
pub(crate) struct Watchers(Arc<Shared>);

struct Shared {
    agents: Mutex<BTreeMap<String, Progress>>,
    moved: watch::Sender<()>,
}

/// One home agent since this process began.
#[derive(Clone, Copy, Default)]
pub(crate) struct Progress {
    /// Streams that are open.
    connections: usize,
    /// Highest change that it says it has.
    pub(crate) acknowledged: u64,
}

impl Progress {
    /// True while it watches.
    pub(crate) const fn connected(self) -> bool {
        self.connections > 0
    }
}

impl Default for Watchers {
    fn default() -> Self {
        Self(Arc::new(Shared { agents: Mutex::default(), moved: watch::Sender::new(()) }))
    }
}

/// While it lives, the home agent counts as connected.
pub(crate) struct Connected {
    watchers: Watchers,
    name: String,
}

impl Drop for Connected {
    fn drop(&mut self) {
        let mut agents = self.watchers.agents();
        if let Some(progress) = agents.get_mut(&self.name) {
            progress.connections -= 1;
        }
        drop(agents);
        self.watchers.0.moved.send_replace(());
    }
}

impl Watchers {
    fn agents(&self) -> MutexGuard<'_, BTreeMap<String, Progress>> {
        self.0.agents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A home agent begins to watch and has everything up to `since`.
    pub(crate) fn connect(&self, name: &str, since: u64) -> Connected {
        let mut agents = self.agents();
        let progress = agents.entry(name.to_owned()).or_default();
        progress.connections += 1;
        progress.acknowledged = since;
        Connected { watchers: self.clone(), name: name.to_owned() }
    }

    /// A home agent has everything up to `change`.
    pub(crate) fn acknowledge(&self, name: &str, change: u64) {
        let mut agents = self.agents();
        let progress = agents.entry(name.to_owned()).or_default();
        progress.acknowledged = progress.acknowledged.max(change);
        drop(agents);
        self.0.moved.send_replace(());
    }

    /// How far a home agent is.
    pub(crate) fn progress(&self, name: &str) -> Progress {
        self.agents().get(name).copied().unwrap_or_default()
    }

    /// How many watch now.
    pub(crate) fn connected(&self) -> usize {
        self.agents().values().filter(|progress| progress.connected()).count()
    }

    /// Waits a little until the connected ones of `agents` have `change`; returns who has it and who not.
    pub(crate) async fn taken_over(&self, agents: &[HomeAgent], change: u64) -> (Vec<String>, Vec<String>) {
        let mut moved = self.0.moved.subscribe();
        let all_have_it = async {
            while agents
                .iter()
                .map(|a| self.progress(&a.name))
                .any(|p| p.connected() && p.acknowledged < change)
            {
                if moved.changed().await.is_err() {
                    return;
                }
            }
        };
        if time::timeout(PATIENCE, all_have_it).await.is_err() {
            tracing::warn!(
                change,
                "a connected home agent has not taken over the change yet, and does so later"
            );
        }
        let names = agents.iter().map(|agent| agent.name.clone());
        names.partition(|name| self.progress(name).acknowledged >= change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(name: &str) -> HomeAgent {
        HomeAgent { name: name.to_owned(), address: None, registered: 0 }
    }

    #[tokio::test]
    async fn it_waits_for_the_connected_and_not_for_the_absent() {
        let watchers = Watchers::default();
        let agents = [agent("here"), agent("away")];
        let connected = watchers.connect("here", 0);
        let later = watchers.clone();
        let (outcome, ()) = tokio::join!(watchers.taken_over(&agents, 7), async move {
            tokio::task::yield_now().await;
            later.acknowledge("here", 6);
            tokio::task::yield_now().await;
            later.acknowledge("here", 7);
        });
        assert_eq!(outcome, (vec!["here".to_owned()], vec!["away".to_owned()]));
        drop(connected);
        assert!(!watchers.progress("here").connected());
        assert_eq!(watchers.taken_over(&agents, 8).await.0, Vec::<String>::new());
    }
}
