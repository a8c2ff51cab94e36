//! Opening: file, lock, schema, key-encryption key.

use std::{
    fs::{self, File, OpenOptions, Permissions, TryLockError},
    io,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use crypto::Rng;
use rusqlite::OpenFlags;
use sqlx::{
    ConnectOptions as _, Connection as _, SqliteConnection,
    migrate::MigrateError,
    sqlite::{SqliteConnectOptions, SqliteSynchronous},
};

use crate::{OpenError, error, packed, schema, seal::Vault};

/// Pages of log before it is written back, 16 MiB: pages that many commits touch are written back once.
const LOG_PAGES: u32 = 4096;
/// Pages that the writer keeps in memory, in KiB: those of one transaction, and those that every transaction needs.
const CACHE_KIB: i64 = 16_384;
/// More than there are statements.
const STATEMENTS: usize = 64;

/// Limits that tests tighten.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    /// How long a locked database is waited for. A mobile node repeats its request after a second, and by
    /// then a home agent should know that it cannot answer.
    pub(crate) busy_timeout: Duration,
    /// The largest size of the file in pages of 4096 bytes, `None` for SQLite's own.
    pub(crate) max_pages: Option<u32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { busy_timeout: Duration::from_secs(1), max_pages: None }
    }
}

/// An open store before its writer runs.
pub(crate) struct Opened {
    pub(crate) options: SqliteConnectOptions,
    pub(crate) writing: rusqlite::Connection,
    pub(crate) reading: SqliteConnection,
    pub(crate) rng: Rng,
    pub(crate) lock: File,
}

/// Opens or creates the file, brings it to the newest schema and checks the key.
pub(crate) async fn open(path: &Path, vault: &Vault, settings: Settings) -> Result<Opened, OpenError> {
    let lock = lock(path)?;
    let file = |source| OpenError::File { path: path.to_owned(), source };
    create(path).map_err(file)?;
    let mut rng = seeded()?;
    let options = options(path, settings);
    let prepared = prepare(path, &options, vault, &mut rng).await?;
    let reading = connect(&options.clone().read_only(true)).await.map_err(|e| unavailable(path, &e))?;
    let writing = connect_writer(path, settings)
        .map_err(|failure| OpenError::Unavailable { path: path.to_owned(), reason: error::why(&failure) })?;
    prepared.close().await.map_err(|failure| unavailable(path, &failure))?;
    // A new file's name is durable only when its folder has been flushed.
    sync_folder(path).map_err(file)?;
    Ok(Opened { options, writing, reading, rng, lock })
}

/// A generator for nonces.
pub(crate) fn seeded() -> Result<Rng, OpenError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(OpenError::Randomness)?;
    Ok(Rng::from_seed(seed))
}

async fn prepare(
    path: &Path,
    options: &SqliteConnectOptions,
    vault: &Vault,
    rng: &mut Rng,
) -> Result<SqliteConnection, OpenError> {
    let mut connection = connect(options).await.map_err(|failure| unreadable(path, &failure))?;
    // The file must be a store or empty before anything is changed in it.
    refuse_foreign(path, &mut connection).await?;
    write_ahead(path, &mut connection).await?;
    schema::migrator().run(&mut connection).await.map_err(|failure| migration(path, failure))?;
    check_key(path, &mut connection, vault, rng).await?;
    move_old(path, &mut connection, vault, rng).await?;
    Ok(connection)
}

/// What statements alone could not bring over, because it is sealed.
pub(crate) async fn move_old(
    path: &Path,
    connection: &mut SqliteConnection,
    vault: &Vault,
    rng: &mut Rng,
) -> Result<(), OpenError> {
    packed::move_old(connection, vault, rng).await.map_err(|error| OpenError::Unavailable {
        path: path.to_owned(),
        reason: format!("its bindings cannot be brought to the newest schema: {error}"),
    })
}

/// How every connection is opened. That the file has a write-ahead log is a property of the file.
pub(crate) fn options(path: &Path, settings: Settings) -> SqliteConnectOptions {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(settings.busy_timeout)
        .pragma("wal_autocheckpoint", LOG_PAGES.to_string())
        .disable_statement_logging();
    match settings.max_pages {
        Some(pages) => options.pragma("max_page_count", pages.to_string()),
        None => options,
    }
}

/// The connection of the writer: it is used by one thread, without a runtime in between.
pub(crate) fn connect_writer(
    path: &Path,
    settings: Settings,
) -> Result<rusqlite::Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = rusqlite::Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(settings.busy_timeout)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    // Both answer with what is set now.
    let set = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
    connection.pragma_update_and_check(None, "wal_autocheckpoint", LOG_PAGES, set)?;
    if let Some(pages) = settings.max_pages {
        connection.pragma_update_and_check(None, "max_page_count", pages, set)?;
    }
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

pub(crate) async fn connect(options: &SqliteConnectOptions) -> Result<SqliteConnection, sqlx::Error> {
    options.connect().await
}

/// Executes SQL that has no arguments.
pub(crate) async fn execute(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), sqlx::Error> {
    sqlx::query(sql).execute(connection).await.map(|_| ())
}

pub(crate) fn unavailable(path: &Path, failure: &sqlx::Error) -> OpenError {
    OpenError::Unavailable { path: path.to_owned(), reason: error::reason(failure) }
}

/// One number asked of a database.
pub(crate) async fn number(connection: &mut SqliteConnection, sql: &'static str) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(sql).fetch_one(connection).await
}

/// Takes the lock that keeps a second daemon away. It stands in a file of its own because closing any handle
/// on the database file would drop SQLite's own locks on it, and it ends with the process.
pub(crate) fn lock(path: &Path) -> Result<File, OpenError> {
    let beside = beside(path, ".lock");
    let file = |source| OpenError::File { path: beside.clone(), source };
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&beside);
    let lock = lock.map_err(file)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(file(source)),
    }
}

pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Makes the file if absent, for its owner alone; SQLite gives its log the same mode.
fn create(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "others could read the store; its mode is set to 0600");
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
    }
    Ok(())
}

pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

pub(crate) async fn refuse_foreign(path: &Path, connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let failed = |failure| unreadable(path, &failure);
    let application = number(connection, "PRAGMA application_id").await.map_err(failed)?;
    let tables = number(connection, FOREIGN_TABLES).await.map_err(failed)?;
    match (application, tables) {
        (schema::APPLICATION, _) | (0, 0) => Ok(()),
        _ => Err(OpenError::Foreign { path: path.to_owned() }),
    }
}

pub(crate) fn unreadable(path: &Path, failure: &sqlx::Error) -> OpenError {
    match error::is_no_database(failure) {
        true => OpenError::Foreign { path: path.to_owned() },
        false => unavailable(path, failure),
    }
}

/// A start that was cut off may have left the table of migrations and nothing else.
const FOREIGN_TABLES: &str =
    "SELECT count(*) FROM sqlite_schema WHERE name NOT GLOB '_sqlx*' AND name NOT GLOB 'sqlite_*'";

async fn write_ahead(path: &Path, connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode = WAL")
        .fetch_one(connection)
        .await
        .map_err(|failure| unavailable(path, &failure))?;
    if mode == "wal" {
        return Ok(());
    }
    let reason = "its file system cannot hold a write-ahead log; use a local one".to_owned();
    Err(OpenError::Unavailable { path: path.to_owned(), reason })
}

pub(crate) fn migration(path: &Path, failure: MigrateError) -> OpenError {
    let path = path.to_owned();
    match failure {
        MigrateError::VersionMissing(found) => OpenError::Newer { path, found, known: schema::NEWEST },
        MigrateError::VersionMismatch(version) | MigrateError::Dirty(version) => {
            OpenError::Differs { path, version }
        }
        MigrateError::Execute(failure) | MigrateError::ExecuteMigration(failure, _) => {
            unavailable(&path, &failure)
        }
        other => OpenError::Unavailable { path, reason: other.to_string() },
    }
}

/// Compares the key-encryption key with the one that the store was made with; a new store takes it.
async fn check_key(
    path: &Path,
    connection: &mut SqliteConnection,
    vault: &Vault,
    rng: &mut Rng,
) -> Result<(), OpenError> {
    let stored: Option<Vec<u8>> = sqlx::query_scalar("SELECT sealed_value FROM key_check")
        .fetch_optional(&mut *connection)
        .await
        .map_err(|failure| unavailable(path, &failure))?;
    match stored {
        Some(sealed) if vault.accepts(&sealed) => Ok(()),
        Some(_) => Err(OpenError::WrongKey { path: path.to_owned() }),
        None => sqlx::query("INSERT INTO key_check (id, sealed_value) VALUES (1, ?1)")
            .bind(vault.seal_check(rng))
            .execute(connection)
            .await
            .map(|_| ())
            .map_err(|failure| unavailable(path, &failure)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_flush_each_commit_and_keep_rows_together() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ha.db");
        let vault = Vault::new(crypto::Key::new([1; 32]));
        let mut opened = open(&path, &vault, Settings::default()).await.unwrap();
        // As the first connection is, so is one that replaces it after a failure.
        let replaced = connect_writer(&path, Settings::default()).unwrap();
        for connection in [&opened.writing, &replaced] {
            const FULL: i64 = 2;
            let number =
                |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
            assert_eq!(number("synchronous"), Ok(FULL));
            assert_eq!(number("foreign_keys"), Ok(1));
            assert_eq!(number("busy_timeout"), Ok(1000));
            assert_eq!(number("wal_autocheckpoint"), Ok(i64::from(LOG_PAGES)));
            let mode = connection.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0));
            assert_eq!(mode.as_deref(), Ok("wal"));
        }
        assert!(execute(&mut opened.reading, "DELETE FROM bindings").await.is_err());
    }
}
