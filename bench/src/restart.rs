//! How long a store of a million bindings with their associations takes to be loaded.

use std::time::Instant;

use anyhow::ensure;
use crypto::{Key, Rng};
use keystore::Store;
use record::Change;

use crate::{
    memory::{MANY, binding, names},
    outcome::{Outcome, say},
};

/// Bindings of one list.
const TOGETHER: u32 = 2000;

pub(crate) fn run(runs: u32) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(loads(runs))
}

async fn loads(runs: u32) -> anyhow::Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("ha.db");
    let open = || Store::open(&path, Key::new([1; 32]));
    let written = fill(&open().await?).await?;
    say(&format!("{written:.0} bindings a second were written"));
    let mut times = Vec::new();
    let mut reads = Vec::new();
    for _ in 0..runs {
        let start = Instant::now();
        let store = open().await?;
        let state = store.load().await?;
        times.push(start.elapsed().as_secs_f64());
        ensure!(state.bindings.len() == MANY as usize, "bindings were lost");
        store.close().await;
        drop(state);
        let start = Instant::now();
        std::hint::black_box(std::fs::read(&path)?.len());
        reads.push(start.elapsed().as_secs_f64());
    }
    Ok(Outcome::new("restart", "s to load a million bindings", times)
        .against("read", reads)
        .with("bindings_written_a_second", written))
}

async fn fill(store: &Store) -> anyhow::Result<f64> {
    let (names, mut rng) = (names(), Rng::from_seed([1; 32]));
    let start = Instant::now();
    let mut n = 0;
    while n < MANY {
        let list = (n..n + TOGETHER).map(|n| Ok(Change::PutBinding(binding(n, &names, &mut rng)?)));
        let list: Vec<Change> = list.collect::<anyhow::Result<_>>()?;
        store.commit(list).await?;
        n += TOGETHER;
    }
    let rate = f64::from(MANY) / start.elapsed().as_secs_f64();
    store.clone().close().await;
    Ok(rate)
}
