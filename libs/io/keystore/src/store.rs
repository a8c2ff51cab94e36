//! The handle that daemons hold.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use crypto::Key;
use record::{AuditEntry, Change, CommitError, Grant, Nai, State};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::{
    GrantFilter, OpenError, ReadError,
    error::CLOSED,
    figures::Figures,
    load::{self, Held},
    open::{self, Settings},
    packed::GroupKeys,
    query,
    seal::Vault,
    snapshot::{self, Snapshot},
    writer::{Job, QUEUE, Writer},
};

/// A handle on one store; clones share its file, its lock and its one writer.
///
/// The writer has a thread of its own, for sealing and statements cost time that the daemon has better uses for. When
/// the last handle goes without [`Self::close`], it commits what waits and ends by itself.
#[derive(Clone)]
pub struct Store {
    jobs: mpsc::Sender<Job>,
    reading: Arc<Mutex<Option<SqliteConnection>>>,
    vault: Arc<Vault>,
    transactions: Arc<AtomicU64>,
    figures: Arc<Figures>,
    path: Arc<Path>,
    options: SqliteConnectOptions,
    /// Held while a copy is made: one at a time.
    copying: Arc<Mutex<()>>,
}

impl Store {
    /// Opens the store in the file `path`, or makes it, readable by its owner alone, and brings it to the
    /// newest schema. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`OpenError`]: the file is in use, is no store, belongs to another key-encryption key or to a newer
    /// program, or the disk refuses.
    pub async fn open(path: &Path, kek: Key) -> Result<Self, OpenError> {
        Self::open_with(path, kek, Settings::default()).await
    }

    pub(crate) async fn open_with(path: &Path, kek: Key, settings: Settings) -> Result<Self, OpenError> {
        let vault = Arc::new(Vault::new(kek));
        let opened = open::open(path, &vault, settings).await?;
        let (jobs, waiting) = mpsc::channel(QUEUE);
        let transactions = Arc::new(AtomicU64::new(0));
        let figures = Arc::new(Figures::default());
        let writer = Writer {
            path: Arc::from(path),
            settings,
            connection: Some(opened.writing),
            vault: Arc::clone(&vault),
            rng: opened.rng,
            keys: GroupKeys::default(),
            jobs: waiting,
            transactions: Arc::clone(&transactions),
            figures: Arc::clone(&figures),
            lock: opened.lock,
        };
        writer.start().map_err(|source| OpenError::File { path: path.to_owned(), source })?;
        let reading = Arc::new(Mutex::new(Some(opened.reading)));
        let (path, options, copying) = (Arc::from(path), opened.options, Arc::default());
        Ok(Self { jobs, reading, vault, transactions, figures, path, options, copying })
    }

    /// Commits a list of changes: all of them, durably, when it yields `Ok`; none of them otherwise.
    ///
    /// The call itself puts the list in the queue, so lists are committed in the order of the calls, whenever
    /// their futures are polled; dropping the future takes nothing back. An empty list succeeds at once.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] if a compare-and-set of an identification found another value, or the number
    /// of an audit entry is taken. [`CommitError::Unavailable`] if the disk is full, the database locked, the
    /// store closed, or more lists wait than the disk can keep up with.
    pub fn commit(
        &self,
        changes: Vec<Change>,
    ) -> impl Future<Output = Result<(), CommitError>> + Send + use<> {
        let (answer, result) = oneshot::channel();
        let queued = if changes.is_empty() {
            let _ = answer.send(Ok(()));
            Ok(())
        } else {
            self.jobs.try_send(Job::Commit { changes, answer })
        };
        async move {
            match queued {
                Ok(()) => result.await.unwrap_or_else(|_| Err(CommitError::Unavailable(CLOSED.to_owned()))),
                Err(mpsc::error::TrySendError::Closed(_)) => Err(CommitError::Unavailable(CLOSED.to_owned())),
                Err(mpsc::error::TrySendError::Full(_)) => Err(CommitError::Unavailable(format!(
                    "{QUEUE} lists of changes wait for the disk already"
                ))),
            }
        }
    }

    /// Everything that a start needs: the whole store but audit entries, and of grants only the latest and the revoked
    /// ones, what the newest of each subscriber is, and how many end when.
    ///
    /// # Errors
    /// [`ReadError`]: the database does not answer, or a row was changed by something else than a store.
    pub async fn load(&self) -> Result<State, ReadError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.load_at(now).await
    }

    pub(crate) async fn load_at(&self, now: u64) -> Result<State, ReadError> {
        load::load(open(&mut *self.reading.lock().await)?, &self.vault, now).await
    }

    /// What is held of one subscriber. For a home agent whose commit was refused because another one on the same store
    /// was quicker.
    ///
    /// # Errors
    /// [`ReadError`]: as [`Self::load`].
    pub fn held(&self, nai: Nai) -> impl Future<Output = Result<Held, ReadError>> + Send + use<> {
        let (reading, vault) = (Arc::clone(&self.reading), Arc::clone(&self.vault));
        async move { load::held(open(&mut *reading.lock().await)?, &vault, &nai).await }
    }

    /// Audit entries with a number above `since`, in order of number, at most `limit`.
    ///
    /// # Errors
    /// [`ReadError`]: as [`Self::load`].
    pub async fn audit(&self, since: u64, limit: u32) -> Result<Vec<AuditEntry>, ReadError> {
        query::audit(open(&mut *self.reading.lock().await)?, since, limit).await
    }

    /// Grants in order of number, old and revoked ones too unless the filter leaves them out.
    ///
    /// # Errors
    /// [`ReadError`]: as [`Self::load`].
    pub async fn grants(&self, filter: &GrantFilter) -> Result<Vec<Grant>, ReadError> {
        query::grants(open(&mut *self.reading.lock().await)?, filter).await
    }

    /// The whole store as of one moment, while it is in use: everything that was acknowledged before the call is in
    /// it, and no list of changes in part. Keys in it are sealed as they are in the store.
    ///
    /// # Errors
    /// [`ReadError`]: as [`Self::load`], or there is no room for a copy beside the store.
    pub async fn snapshot(&self) -> Result<Snapshot, ReadError> {
        if self.jobs.is_closed() {
            return Err(ReadError::Unavailable(CLOSED.to_owned()));
        }
        let _one = self.copying.lock().await;
        snapshot::make(&self.path, &self.options).await
    }

    /// Transactions committed since the store was opened: far fewer than lists when many come at once.
    #[must_use]
    pub fn transactions(&self) -> u64 {
        self.transactions.load(Ordering::Relaxed)
    }

    /// What the writer counts; may be read while the store is in use and after it was closed.
    #[must_use]
    pub fn figures(&self) -> Arc<Figures> {
        Arc::clone(&self.figures)
    }

    /// Commits what waits, closes the file and lets go of its lock. Other handles find the store closed.
    pub async fn close(self) {
        if let Some(reading) = self.reading.lock().await.take() {
            let _ = reading.close().await;
        }
        let (answer, closed) = oneshot::channel();
        if self.jobs.send(Job::Close(answer)).await.is_ok() {
            let _ = closed.await;
        }
    }
}

fn open(reading: &mut Option<SqliteConnection>) -> Result<&mut SqliteConnection, ReadError> {
    reading.as_mut().ok_or_else(|| ReadError::Unavailable(CLOSED.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn grant(id: u64, ends: u64) -> Grant {
        Grant {
            id,
            request: [0; 16],
            nai: Nai::parse("traveller-one@home.example").unwrap(),
            earlier: None,
            home_agent: "ha@home.example".into(),
            foreign_agent: None,
            care_of: Ipv4Addr::new(10, 51, 1, 2),
            keys: Vec::new(),
            issued: 0,
            ends,
            revoked: None,
        }
    }

    fn put(id: u64) -> Change {
        Change::PutGrant(grant(id, 1))
    }

    async fn loaded(store: &Store) -> Vec<u64> {
        store.load_at(0).await.unwrap().grants.iter().map(|grant| grant.id).collect()
    }

    #[tokio::test]
    async fn a_start_finds_the_latest_and_the_revoked_grants_and_counts_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("kdc.db"), Key::new([1; 32])).await.unwrap();
        let nai = |user: &str| Nai::parse(&format!("{user}@home.example")).unwrap();
        let of = |id, user, issued, ends, revoked| {
            Change::PutGrant(Grant { nai: nai(user), issued, ends, revoked, ..grant(id, 0) })
        };
        let list = vec![
            of(1, "one", 100_000, 100_600, None),
            of(2, "two", 100_000, 165_535, None),
            of(4, "one", 165_000, 165_535, Some(165_001)),
            of(6, "one", 165_100, 165_900, None),
            of(7, "one", 165_200, 165_900, None),
        ];
        store.commit(list).await.unwrap();
        let at = async |now| {
            let state = store.load_at(now).await.unwrap();
            let lately: Vec<u64> = state.grants.iter().map(|grant| grant.id).collect();
            let newest: Vec<String> =
                state.newest_grants.iter().map(|(nai, id)| format!("{} {id}", nai.user())).collect();
            (lately, newest.join(" "), state.grants_ending, state.longest_grant)
        };
        let newest = |text: &str| text.to_owned();
        assert_eq!(
            at(165_160).await,
            (vec![4, 6, 7], newest("one 7 two 2"), vec![(165_535, 2), (165_900, 2)], 65_535)
        );
        assert_eq!(
            at(165_161).await,
            (vec![4, 7], newest("one 7 two 2"), vec![(165_535, 2), (165_900, 2)], 65_535)
        );
        assert_eq!(at(165_535).await, (vec![4], newest("one 7 two 2"), vec![(165_900, 2)], 65_535));
        // An hour after its end nobody asks for it any more.
        assert_eq!(at(169_135).await, (vec![4], newest("one 7 two 2"), vec![], 65_535));
        assert_eq!(at(169_136).await, (vec![], newest("one 7 two 2"), vec![], 65_535));
        // A clock that is far ahead may be set right: what the latest grants go back to is known.
        assert_eq!(at(9_999_999).await, (vec![], newest("one 7 two 2"), vec![], 65_535));
        assert_eq!(at(0).await.0, [1, 2, 4, 6, 7], "a clock that is far behind hides nothing");
    }

    #[tokio::test]
    async fn a_file_at_its_limit_refuses_the_group_and_lives_on() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { max_pages: Some(50), ..Settings::default() };
        let path = folder.path().join("kdc.db");
        let store = Store::open_with(&path, Key::new([1; 32]), settings).await.unwrap();
        store.commit(vec![put(1)]).await.unwrap();

        let large = store.commit((1000..5000).map(put).collect());
        // In one transaction with it if they met in the queue; then neither fits.
        let small = store.commit(vec![put(2)]);
        let full = Err(CommitError::Unavailable("the disk is full".to_owned()));
        assert_eq!(large.await, full);
        let expected = match small.await {
            Ok(()) => vec![1, 2],
            refused => {
                assert_eq!(refused, full);
                vec![1]
            }
        };
        assert_eq!(loaded(&store).await, expected);

        assert_eq!(store.commit(vec![put(2)]).await, Ok(()));
        store.close().await;
        let store = Store::open_with(&path, Key::new([1; 32]), settings).await.unwrap();
        assert_eq!(loaded(&store).await, [1, 2]);
    }
}
