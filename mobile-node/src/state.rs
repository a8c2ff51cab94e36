//! The file that a mobile node keeps over a restart.
//!
//! A lost or broken one costs a request with code 133 and its answer, and one that names the mobile node by the
//! realm's public key instead of an index.

use std::{io::ErrorKind, net::Ipv4Addr, path::PathBuf};

use mobility::Ticket;
use record::MobileNodeState;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

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
    /// Generation of KEY 0 that the indices belong to.
    #[serde(default)]
    generation: u32,
    /// Highest index of a one-time security parameter index that may have been used.
    #[serde(default)]
    index: u64,
    /// Highest of them that was confirmed.
    #[serde(default)]
    confirmed: u64,
    /// The indices are not known.
    #[serde(default)]
    lost: bool,
    /// The home address that the home agent assigned.
    #[serde(default)]
    home_address: Option<Ipv4Addr>,
}

/// Where the state is kept, and which KEY 0 its indices belong to.
#[derive(Clone)]
pub(crate) struct StateFile {
    path: PathBuf,
    generation: u32,
}

/// A state that went to disk, and what kept it from getting there.
pub(crate) type Written = (Ticket, Result<(), String>);

impl StateFile {
    pub(crate) const fn new(path: PathBuf, generation: u32) -> Self {
        Self { path, generation }
    }

    /// Reads the file; a missing one is that of a new mobile node, and one that cannot be read is lost. Indices of
    /// another KEY 0 mean nothing: they begin anew.
    pub(crate) fn load(&self) -> MobileNodeState {
        let kept = match std::fs::read(&self.path) {
            Ok(bytes) => serde_json::from_slice::<Kept>(&bytes).map_err(anyhow::Error::from),
            Err(error) if error.kind() == ErrorKind::NotFound => return MobileNodeState::default(),
            Err(error) => Err(error.into()),
        };
        match kept {
            Ok(kept) => {
                let Kept { last_seconds, clock_offset, registrations, home_address, .. } = kept;
                let begun = MobileNodeState::default();
                let state =
                    MobileNodeState { last_seconds, clock_offset, registrations, home_address, ..begun };
                if kept.generation == self.generation {
                    let Kept { index, confirmed, lost, .. } = kept;
                    MobileNodeState { index, confirmed, lost, ..state }
                } else {
                    state
                }
            }
            Err(error) => {
                tracing::warn!("{} is begun anew, it cannot be read: {error}", self.path.display());
                MobileNodeState { lost: true, ..MobileNodeState::default() }
            }
        }
    }

    /// Replaces the file, whole or not at all; it is on disk when this returns.
    pub(crate) fn save(&self, state: MobileNodeState) -> anyhow::Result<()> {
        let MobileNodeState { last_seconds, clock_offset, registrations, .. } = state;
        let MobileNodeState { index, confirmed, lost, home_address, .. } = state;
        let generation = self.generation;
        let kept = Kept {
            last_seconds,
            clock_offset,
            registrations,
            generation,
            index,
            confirmed,
            lost,
            home_address,
        };
        Ok(daemon::secret_file::write_private(&self.path, &serde_json::to_vec(&kept)?)?)
    }

    /// Saves the newest state again and again, beside the event loop, and tells which it was. Ends when nobody can
    /// change it any more.
    pub(crate) async fn keep(
        self,
        mut states: watch::Receiver<(Ticket, MobileNodeState)>,
        written: mpsc::Sender<Written>,
    ) {
        while states.changed().await.is_ok() {
            let (ticket, state) = *states.borrow_and_update();
            let file = self.clone();
            let saved = tokio::task::spawn_blocking(move || file.save(state)).await;
            let result = saved.map_err(anyhow::Error::from).flatten().map_err(|error| format!("{error:#}"));
            if written.send((ticket, result)).await.is_err() {
                return;
            }
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
        let file = StateFile::new(path.clone(), 3);
        assert_eq!(file.load(), MobileNodeState::default());
        let state = MobileNodeState {
            last_seconds: u32::MAX,
            clock_offset: -86_400,
            registrations: 7,
            index: u64::MAX,
            confirmed: u64::MAX - 12,
            lost: true,
            home_address: Some(Ipv4Addr::new(10, 11, 1, 130)),
        };
        file.save(state).unwrap();
        assert_eq!(file.load(), state);
        let lost = MobileNodeState { lost: true, ..MobileNodeState::default() };
        std::fs::write(&path, b"{\"last_seconds\": 1").unwrap();
        assert_eq!(file.load(), lost);
        std::fs::write(&path, b"").unwrap();
        assert_eq!(file.load(), lost);
    }

    #[test]
    fn a_file_without_indices_is_read_as_one_that_used_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mn.state");
        let file = StateFile::new(path.clone(), 3);
        let kept = br#"{"last_seconds":5,"clock_offset":-3,"registrations":7}"#;
        std::fs::write(&path, kept).unwrap();
        let state =
            MobileNodeState { last_seconds: 5, clock_offset: -3, registrations: 7, ..Default::default() };
        assert_eq!(file.load(), state);
    }

    #[tokio::test]
    async fn what_is_answered_is_on_disk_and_the_newest_overtakes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mn.state");
        let file = StateFile::new(path.clone(), 3);
        let (states, newest) = watch::channel((Ticket(0), MobileNodeState::default()));
        let (done, mut written) = mpsc::channel(4);
        let keeper = tokio::spawn(file.clone().keep(newest, done));
        for index in 1..=200 {
            states.send_replace((Ticket(index), MobileNodeState { index, ..Default::default() }));
            if index % 50 == 0 {
                let mut told = Ticket(0);
                while told < Ticket(index) {
                    let (ticket, result) = written.recv().await.unwrap();
                    assert!(ticket > told && result.is_ok());
                    assert!(file.load().index >= ticket.0);
                    told = ticket;
                }
            }
        }
        drop(states);
        keeper.await.unwrap();
        assert_eq!(file.load().index, 200);
    }

    #[tokio::test]
    async fn a_disk_that_takes_nothing_is_told_and_the_file_stands() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gone").join("mn.state");
        let file = StateFile::new(path.clone(), 3);
        let (states, newest) = watch::channel((Ticket(0), MobileNodeState::default()));
        let (done, mut written) = mpsc::channel(4);
        tokio::spawn(file.clone().keep(newest, done));
        states.send_replace((Ticket(1), MobileNodeState::default()));
        let (ticket, result) = written.recv().await.unwrap();
        assert_eq!(ticket, Ticket(1));
        assert!(result.unwrap_err().contains("mn.state"));
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        states.send_replace((Ticket(2), MobileNodeState { index: 3, ..Default::default() }));
        assert_eq!(written.recv().await.unwrap(), (Ticket(2), Ok(())));
        assert_eq!(file.load().index, 3);
    }

    #[test]
    fn indices_of_another_key_0_begin_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mn.state");
        let state = MobileNodeState {
            last_seconds: 9,
            clock_offset: 4,
            registrations: 7,
            index: 30,
            confirmed: 29,
            lost: true,
            home_address: Some(Ipv4Addr::new(10, 11, 1, 130)),
        };
        StateFile::new(path.clone(), 1).save(state).unwrap();
        assert_eq!(StateFile::new(path.clone(), 1).load(), state);
        let renewed = MobileNodeState { index: 0, confirmed: 0, lost: false, ..state };
        assert_eq!(StateFile::new(path, 2).load(), renewed);
    }
}
