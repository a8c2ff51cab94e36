//! The one writer: takes every list that waits, commits them in one transaction, answers them together.

use std::{
    fs::File,
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use crypto::Rng;
use record::{Change, CommitError};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::{
    error,
    figures::Figures,
    open::{Settings, connect_writer},
    packed::GroupKeys,
    seal::Vault,
    write::{Changes, Stop},
};

/// Lists that may wait. At some ten thousand a second this is what a mobile node's patience of a second
/// allows; a longer queue would be answered too late anyway.
pub(crate) const QUEUE: usize = 8192;

/// Lists in one transaction, so that the first of them does not wait long for the last.
const BATCH: usize = 512;

/// Asked of the writer.
pub(crate) enum Job {
    /// Commit a list.
    Commit { changes: Vec<Change>, answer: oneshot::Sender<Result<(), CommitError>> },
    /// Take no more, commit what waits, close the file.
    Close(oneshot::Sender<()>),
}

/// The writer's own things.
pub(crate) struct Writer {
    pub(crate) path: Arc<Path>,
    pub(crate) settings: Settings,
    /// `None` after a failure that may have left the connection in doubt.
    pub(crate) connection: Option<Connection>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) rng: Rng,
    /// Of the home addresses that were bound lately.
    pub(crate) keys: GroupKeys,
    pub(crate) jobs: mpsc::Receiver<Job>,
    pub(crate) transactions: Arc<AtomicU64>,
    pub(crate) figures: Arc<Figures>,
    /// Held until the file is closed.
    pub(crate) lock: File,
}

/// Commits that wait for their answer.
#[derive(Default)]
struct Batch {
    lists: Vec<Vec<Change>>,
    answers: Vec<oneshot::Sender<Result<(), CommitError>>>,
}

impl Writer {
    /// Serves in a thread of its own until every handle is gone or one of them closes the store.
    pub(crate) fn start(self) -> io::Result<()> {
        std::thread::Builder::new().name("store".to_owned()).spawn(move || self.run()).map(drop)
    }

    fn run(mut self) {
        let mut jobs = Vec::with_capacity(BATCH);
        let mut closing = Vec::new();
        while self.jobs.blocking_recv_many(&mut jobs, BATCH) > 0 {
            let mut batch = Batch::default();
            for job in jobs.drain(..) {
                match job {
                    Job::Commit { changes, answer } => {
                        batch.lists.push(changes);
                        batch.answers.push(answer);
                    }
                    Job::Close(answer) => {
                        self.jobs.close();
                        closing.push(answer);
                    }
                }
            }
            self.commit(batch);
        }
        self.close();
        for answer in closing {
            let _ = answer.send(());
        }
    }

    fn commit(&mut self, batch: Batch) {
        if batch.lists.is_empty() {
            return;
        }
        let begun = Instant::now();
        let results = match self.transact(&batch.lists) {
            Ok(results) => {
                self.figures.committed(batch.lists.len(), begun.elapsed());
                results
            }
            Err(failure) => {
                let reason = error::why(&failure);
                self.figures.failed(&reason);
                let lists = batch.lists.len();
                tracing::error!(%reason, lists, "the store cannot write: nothing is acknowledged until it can");
                self.abandon();
                vec![Err(CommitError::Unavailable(reason)); batch.lists.len()]
            }
        };
        for (answer, result) in batch.answers.into_iter().zip(results) {
            // Whoever asked may have gone; the change stands all the same.
            let _ = answer.send(result);
        }
    }

    /// One transaction with one flush. An error means that nothing of it is visible.
    fn transact(&mut self, lists: &[Vec<Change>]) -> Result<Vec<Result<(), CommitError>>, rusqlite::Error> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect_writer(&self.path, self.settings)?,
        };
        let connection = &*self.connection.insert(connection);
        execute(connection, "BEGIN IMMEDIATE")?;
        let mut changes = Changes::new(connection, &self.vault, &mut self.rng, &mut self.keys);
        let results = match lists.iter().flatten().try_for_each(|change| changes.apply(change)) {
            Ok(()) => vec![Ok(()); lists.len()],
            Err(Stop::Failed(failure)) => return Err(failure),
            // Whose fault it was is found one by one.
            Err(Stop::Refused(_)) => {
                execute(connection, "ROLLBACK")?;
                execute(connection, "BEGIN IMMEDIATE")?;
                lists.iter().map(|list| apply_list(&mut changes, list)).collect::<Result<_, _>>()?
            }
        };
        execute(connection, "COMMIT")?;
        self.transactions.fetch_add(1, Ordering::Relaxed);
        Ok(results)
    }

    /// Rolls back after a failure. Some failures have rolled back already, and then, as after any doubt, the
    /// connection is replaced.
    fn abandon(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        if execute(&connection, "ROLLBACK").is_ok() {
            self.connection = Some(connection);
        }
    }

    fn close(self) {
        let Self { connection, lock, .. } = self;
        if let Some(connection) = connection {
            // The last connection to close writes the log back into the file; if it cannot, the next start does.
            let _ = connection.close();
        }
        drop(lock);
    }
}

fn execute(connection: &Connection, sql: &str) -> Result<(), rusqlite::Error> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

/// Applies one list behind a savepoint: refused, it leaves nothing and disturbs no other list.
fn apply_list(
    changes: &mut Changes<'_>,
    list: &[Change],
) -> Result<Result<(), CommitError>, rusqlite::Error> {
    let connection = changes.connection;
    execute(connection, "SAVEPOINT list")?;
    match list.iter().try_for_each(|change| changes.apply(change)) {
        Ok(()) => {
            execute(connection, "RELEASE list")?;
            Ok(Ok(()))
        }
        Err(Stop::Failed(failure)) => Err(failure),
        Err(Stop::Refused(refusal)) => {
            execute(connection, "ROLLBACK TO list")?;
            execute(connection, "RELEASE list")?;
            Ok(Err(refusal))
        }
    }
}
