//! The file that a mobile node keeps over a restart.
//!
//! A lost or broken one costs a request with code 133 and its answer, and one that names the mobile node by the
//! realm's public key instead of an index.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

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
    /// Highest index of a one-time security parameter index that may have been used.
    #[serde(default)]
    index: u64,
    /// Highest of them that was confirmed.
    #[serde(default)]
    confirmed: u64,
    /// The indices are not known.
    #[serde(default)]
    lost: bool,
}

/// Reads the file; a missing one is that of a new mobile node, and one that cannot be read is lost.
pub(crate) fn load(path: &Path) -> MobileNodeState {
    let kept = match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice::<Kept>(&bytes).map_err(anyhow::Error::from),
        Err(error) if error.kind() == ErrorKind::NotFound => return MobileNodeState::default(),
        Err(error) => Err(error.into()),
    };
    match kept {
        Ok(Kept { last_seconds, clock_offset, registrations, index, confirmed, lost }) => {
            MobileNodeState { last_seconds, clock_offset, registrations, index, confirmed, lost }
        }
        Err(error) => {
            tracing::warn!("{} is begun anew, it cannot be read: {error}", path.display());
            MobileNodeState { lost: true, ..MobileNodeState::default() }
        }
    }
}

/// Replaces the file, whole or not at all.
pub(crate) fn save(path: &Path, state: MobileNodeState) {
    let MobileNodeState { last_seconds, clock_offset, registrations, index, confirmed, lost } = state;
    let written =
        serde_json::to_vec(&Kept { last_seconds, clock_offset, registrations, index, confirmed, lost })
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
        let state = MobileNodeState {
            last_seconds: u32::MAX,
            clock_offset: -86_400,
            registrations: 7,
            index: u64::MAX,
            confirmed: u64::MAX - 12,
            lost: true,
        };
        save(&path, state);
        assert_eq!(load(&path), state);
        let lost = MobileNodeState { lost: true, ..MobileNodeState::default() };
        std::fs::write(&path, b"{\"last_seconds\": 1").unwrap();
        assert_eq!(load(&path), lost);
        std::fs::write(&path, b"").unwrap();
        assert_eq!(load(&path), lost);
    }

    #[test]
    fn a_file_without_indices_is_read_as_one_that_used_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mn.state");
        let kept = br#"{"last_seconds":5,"clock_offset":-3,"registrations":7}"#;
        std::fs::write(&path, kept).unwrap();
        let state =
            MobileNodeState { last_seconds: 5, clock_offset: -3, registrations: 7, ..Default::default() };
        assert_eq!(load(&path), state);
    }
}
