//! The file that a mobile node keeps over a restart.
//!
//! A lost or broken one costs a request with code 133 and its answer, so nothing waits for the disk.

use std::path::{Path, PathBuf};

use record::MobileNodeState;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// The file, as JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// NTP seconds of the last request.
    last_seconds: u32,
    /// Seconds that the home agent's clock is ahead.
    clock_offset: i64,
    /// Accepted registrations since enrolment.
    registrations: u64,
}

/// Reads the file; a missing one is that of a new mobile node.
pub(crate) fn load(path: &Path) -> MobileNodeState {
    let kept = std::fs::read(path).map_err(anyhow::Error::from);
    match kept.and_then(|bytes| Ok(serde_json::from_slice::<Kept>(&bytes)?)) {
        Ok(Kept { last_seconds, clock_offset, registrations }) => {
            MobileNodeState { last_seconds, clock_offset, registrations }
        }
        Err(error) => {
            if path.exists() {
                tracing::warn!("{} is begun anew, it cannot be read: {error}", path.display());
            }
            MobileNodeState::default()
        }
    }
}

/// Replaces the file, whole or not at all.
pub(crate) fn save(path: &Path, state: MobileNodeState) {
    let MobileNodeState { last_seconds, clock_offset, registrations } = state;
    let written = serde_json::to_vec(&Kept { last_seconds, clock_offset, registrations })
        .map_err(anyhow::Error::from)
        .and_then(|bytes| Ok(daemon::secret_file::write_private(path, &bytes)?));
    if let Err(error) = written {
        tracing::warn!("the state was not kept: {error:#}");
    }
}

/// Saves the newest state again and again, beside the event loop. Ends when nobody can change it any more.
pub(crate) async fn keep(path: PathBuf, mut states: watch::Receiver<MobileNodeState>) {
    while states.changed().await.is_ok() {
        let (path, state) = (path.clone(), *states.borrow_and_update());
        if tokio::task::spawn_blocking(move || save(&path, state)).await.is_err() {
            tracing::warn!("the state was not kept: its writer failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_loaded_and_rubbish_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mn.state");
        assert_eq!(load(&path), MobileNodeState::default());
        let state = MobileNodeState { last_seconds: u32::MAX, clock_offset: -86_400, registrations: 7 };
        save(&path, state);
        assert_eq!(load(&path), state);
        std::fs::write(&path, b"{\"last_seconds\": 1").unwrap();
        assert_eq!(load(&path), MobileNodeState::default());
    }
}
