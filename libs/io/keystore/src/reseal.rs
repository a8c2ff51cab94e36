//! Another key-encryption key for a store that is not in use.
//!
//! Everything sealed is sealed anew in one transaction, together with the value that tells which key opens the
//! store. So whenever the process dies, the store opens under exactly one of both keys: the old one before the
//! commit, the new one after it. Whoever calls puts the new key where the daemon looks for it only afterwards, and
//! finds by calling again which of both it is.

use std::{path::Path, sync::Arc};

use crypto::{Key, Rng};
use record::{Change, State};
use rusqlite::Connection;
use sqlx::{Connection as _, SqliteConnection};
use thiserror::Error;

use crate::{
    OpenError, ReadError, error, load,
    open::{self, Settings, connect},
    packed::GroupKeys,
    schema,
    seal::Vault,
    write::{Changes, Stop},
};

/// What became of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resealed {
    /// So many keys, and bindings with theirs, were sealed anew.
    Now(usize),
    /// The store was under the new key already; nothing was changed.
    Before,
}

/// Why nothing was changed.
#[derive(Debug, Error)]
pub enum ResealError {
    /// It cannot be opened, or not under the old key.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A row does not open.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The disk refuses.
    #[error("nothing was changed: {0}")]
    Write(String),
}

impl From<rusqlite::Error> for ResealError {
    fn from(failure: rusqlite::Error) -> Self {
        Self::Write(error::why(&failure))
    }
}

impl From<sqlx::Error> for ResealError {
    fn from(failure: sqlx::Error) -> Self {
        Self::Write(error::reason(&failure))
    }
}

/// Brings the store at `path` from the key-encryption key `old` under `new`.
///
/// # Errors
/// [`ResealError`]; nothing was changed.
pub async fn reseal(path: &Path, old: Key, new: Key) -> Result<Resealed, ResealError> {
    let _lock = open::lock(path)?;
    if !path.exists() {
        let source = std::io::ErrorKind::NotFound.into();
        return Err(OpenError::File { path: path.to_owned(), source }.into());
    }
    let (old, new) = (Arc::new(Vault::new(old)), Vault::new(new));
    let options = open::options(path, Settings::default());
    let mut connection = connect(&options).await.map_err(|failure| open::unreadable(path, &failure))?;
    open::refuse_foreign(path, &mut connection).await?;
    schema::migrator().run(&mut connection).await.map_err(|failure| open::migration(path, failure))?;
    let check = check(&mut connection).await?;
    if check.as_deref().is_some_and(|sealed| new.accepts(sealed)) {
        return Ok(Resealed::Before);
    }
    if !check.is_some_and(|sealed| old.accepts(&sealed)) {
        return Err(OpenError::WrongKey { path: path.to_owned() }.into());
    }
    let mut rng = open::seeded()?;
    open::move_old(path, &mut connection, &old, &mut rng).await?;
    // Grants hold no keys; no row with one is left out. The lock lets nobody write in between.
    let state = load::load_in(&mut connection, &old, None).await?;
    connection.close().await?;
    let writing = open::connect_writer(path, Settings::default())?;
    // What is replaced is overwritten, not only given back.
    writing.execute_batch("PRAGMA secure_delete = ON; BEGIN IMMEDIATE")?;
    let count = all(&writing, state, &new, &mut rng)?;
    writing.execute_batch("COMMIT")?;
    // It is done; what follows only leaves less of the old behind.
    for sweep in ["VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"] {
        if let Err(failure) = writing.execute_batch(sweep) {
            tracing::warn!("{sweep}: {}", error::why(&failure));
        }
    }
    writing.close().map_err(|(_, failure)| failure)?;
    Ok(Resealed::Now(count))
}

async fn check(connection: &mut SqliteConnection) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar("SELECT sealed_value FROM key_check").fetch_optional(connection).await
}

/// Writes every row that holds a key under the new vault. A failure drops the connection with its transaction.
fn all(connection: &Connection, state: State, new: &Vault, rng: &mut Rng) -> Result<usize, ResealError> {
    let State { subscribers, realm_keys, bindings, visitors, revocations, .. } = state;
    let associations = |of: &[record::Association]| of.len();
    let count = subscribers.iter().map(|s| 1 + usize::from(s.retiring.is_some())).sum::<usize>()
        + realm_keys.len()
        + bindings.len()
        + visitors.iter().map(|v| associations(&v.associations)).sum::<usize>()
        + revocations.iter().map(|r| associations(&r.associations)).sum::<usize>();
    let subscribers = subscribers.into_iter().map(Change::PutSubscriber);
    let bindings = bindings.into_iter().map(Change::AddBinding);
    let visitors = visitors.into_iter().map(Change::PutVisitor);
    let revocations = revocations.into_iter().map(Change::PutRevocation);
    let realm_keys = realm_keys.into_iter().map(Change::PutRealmKey);
    let sealed = new.seal_check(rng);
    let mut keys = GroupKeys::default();
    let mut changes = Changes::new(connection, new, rng, &mut keys);
    for change in subscribers.chain(bindings).chain(visitors).chain(revocations).chain(realm_keys) {
        match changes.apply(&change) {
            Ok(()) => {}
            Err(Stop::Refused(refusal)) => return Err(ResealError::Write(refusal.to_string())),
            Err(Stop::Failed(failure)) => return Err(failure.into()),
        }
    }
    connection.execute("UPDATE key_check SET sealed_value = ?1", [sealed])?;
    Ok(count)
}
