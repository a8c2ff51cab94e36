//! A copy takes the place of a store that is not in use.
//!
//! The copy is copied beside the store, checked there to the last row, and only then renamed into place; the store
//! before stays under another name. Whenever the process dies, the file in place is whole: the one before or the
//! one after.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use crypto::Key;
use record::{Change, CommitError, State};
use sqlx::{Connection as _, SqliteConnection};
use thiserror::Error;

use crate::{
    OpenError, ReadError, Store, error,
    open::{self, Settings, beside, connect, execute},
    schema,
    seal::Vault,
};

/// What was put in place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Restored {
    /// Where the store before stands now, if there was one.
    pub aside: Option<PathBuf>,
    /// Subscribers in the store now.
    pub subscribers: usize,
    /// Number of its last audit entry before the restoration's own.
    pub last_audit: u64,
}

/// Why the store is as it was.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// The store is in use, or the copy is none of a store under this key.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A row of the copy does not open.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The disk refuses.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Puts the database file `copy`, made by [`Store::snapshot`], in the place of the store at `path`. `changes` are
/// made in it first, from what it holds.
///
/// # Errors
/// [`RestoreError`]; the store is as it was.
pub async fn restore(
    path: &Path,
    copy: &Path,
    kek: Key,
    changes: impl FnOnce(&State) -> Vec<Change>,
) -> Result<Restored, RestoreError> {
    let _lock = open::lock(path)?;
    let new = beside(path, ".restore");
    forget(&new);
    let done = prepare(&new, copy, kek, changes).await;
    let done = match done {
        Ok(restored) => {
            fold_log(path).await;
            swap(path, &new).map(|aside| Restored { aside, ..restored }).map_err(RestoreError::from)
        }
        Err(error) => Err(error),
    };
    forget(&new);
    done
}

/// Brings the log of the store before into its file, so that this is whole wherever the process dies. A damaged
/// store may refuse that; its log is kept beside it.
async fn fold_log(path: &Path) {
    if !path.exists() {
        return;
    }
    let folded = async {
        let mut connection = connect(&open::options(path, Settings::default())).await?;
        let folded = execute(&mut connection, "PRAGMA journal_mode = DELETE").await;
        connection.close().await?;
        folded
    };
    if let Err(failure) = folded.await {
        tracing::warn!("the store before is set aside as it is: {}", error::reason(&failure));
    }
}

/// Removes what an attempt leaves behind.
fn forget(new: &Path) {
    for ending in ["", "-wal", "-shm", ".lock"] {
        let _ = fs::remove_file(beside(new, ending));
    }
}

async fn prepare(
    new: &Path,
    copy: &Path,
    kek: Key,
    changes: impl FnOnce(&State) -> Vec<Change>,
) -> Result<Restored, RestoreError> {
    let file = |source| OpenError::File { path: copy.to_owned(), source };
    duplicate(copy, new).map_err(file)?;
    if is_cut(new).map_err(file)? {
        let reason = "the copy is cut short".to_owned();
        return Err(OpenError::Unavailable { path: copy.to_owned(), reason }.into());
    }
    examine(new, copy, &kek).await?;
    let store = Store::open(new, kek).await.map_err(|error| named(error, copy))?;
    let state = store.load().await?;
    store.commit(changes(&state)).await?;
    // The file is whole without its log, which goes with the last connection.
    store.close().await;
    OpenOptions::new().write(true).open(new).and_then(|file| file.sync_all()).map_err(file)?;
    Ok(Restored { aside: None, subscribers: state.subscribers.len(), last_audit: state.last_audit })
}

fn duplicate(copy: &Path, new: &Path) -> io::Result<()> {
    let mut from = fs::File::open(copy)?;
    let mut to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new)?;
    io::copy(&mut from, &mut to)?;
    to.sync_all()
}

/// True if the file has fewer octets than its header says (sqlite.org/fileformat.html section 1.3): the database
/// would take what is missing for zeros where it can. What has no header is looked at later.
fn is_cut(file: &Path) -> io::Result<bool> {
    let mut header = [0; 32];
    if fs::File::open(file)?.read_exact(&mut header).is_err() {
        return Ok(false);
    }
    let [.., a, b, c, d] = header;
    let pages = u64::from(u32::from_be_bytes([a, b, c, d]));
    let size = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        size => u64::from(size),
    };
    Ok(header.starts_with(b"SQLite format 3\0") && fs::metadata(file)?.len() < pages.saturating_mul(size))
}

/// It must be a store, whole, and under this key: an empty file would become a new store otherwise.
async fn examine(new: &Path, copy: &Path, kek: &Key) -> Result<(), OpenError> {
    let unreadable = |failure: sqlx::Error| open::unreadable(copy, &failure);
    let mut connection = connect(&open::options(new, Settings::default())).await.map_err(unreadable)?;
    let examined = examine_rows(&mut connection, copy, kek).await;
    let _ = connection.close().await;
    examined
}

async fn examine_rows(connection: &mut SqliteConnection, copy: &Path, kek: &Key) -> Result<(), OpenError> {
    let unreadable = |failure: sqlx::Error| open::unreadable(copy, &failure);
    let application = open::number(connection, "PRAGMA application_id").await.map_err(unreadable)?;
    if application != schema::APPLICATION {
        return Err(OpenError::Foreign { path: copy.to_owned() });
    }
    let whole: String = sqlx::query_scalar("PRAGMA integrity_check(1)")
        .fetch_one(&mut *connection)
        .await
        .map_err(unreadable)?;
    if whole != "ok" {
        let reason = format!("the copy is damaged or cut short ({whole})");
        return Err(OpenError::Unavailable { path: copy.to_owned(), reason });
    }
    let sealed: Option<Vec<u8>> = sqlx::query_scalar("SELECT sealed_value FROM key_check")
        .fetch_optional(connection)
        .await
        .map_err(unreadable)?;
    match sealed {
        Some(sealed) if Vault::new(kek.duplicate()).accepts(&sealed) => Ok(()),
        _ => Err(OpenError::WrongKey { path: copy.to_owned() }),
    }
}

/// The same error about the file that the caller named.
fn named(error: OpenError, copy: &Path) -> OpenError {
    let path = copy.to_owned();
    match error {
        OpenError::File { source, .. } => OpenError::File { path, source },
        OpenError::InUse { .. } => OpenError::InUse { path },
        OpenError::Foreign { .. } => OpenError::Foreign { path },
        OpenError::WrongKey { .. } => OpenError::WrongKey { path },
        OpenError::Newer { found, known, .. } => OpenError::Newer { path, found, known },
        OpenError::Differs { version, .. } => OpenError::Differs { path, version },
        OpenError::Unavailable { reason, .. } => OpenError::Unavailable { path, reason },
        randomness @ OpenError::Randomness(_) => randomness,
    }
}

/// Puts `new` into place; returns where the file before stands.
fn swap(path: &Path, new: &Path) -> Result<Option<PathBuf>, OpenError> {
    let file = |source| OpenError::File { path: path.to_owned(), source };
    let aside = if path.exists() { Some(set_aside(path).map_err(file)?) } else { None };
    fs::rename(new, path).map_err(file)?;
    open::sync_folder(path).map_err(file)?;
    Ok(aside)
}

/// Gives the file before a second name. Its log, if it has one, moves there with it: beside another file it would be
/// played into that.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let mut number = 1;
    let aside = loop {
        let aside = beside(path, &format!(".before-restore-{number}"));
        if !aside.exists() {
            break aside;
        }
        number += 1;
    };
    fs::hard_link(path, &aside)?;
    for ending in ["-wal", "-shm"] {
        match fs::rename(beside(path, ending), beside(&aside, ending)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    open::sync_folder(path)?;
    Ok(aside)
}
