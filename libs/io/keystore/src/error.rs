//! What can go wrong, in words for the person who has to mend it.

use std::{io, path::PathBuf};

use sqlx::error::DatabaseError;
use thiserror::Error;

/// Why a store was not opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The file or its lock cannot be made or opened.
    #[error("cannot open the store {path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process, or another store of this one, has it open.
    #[error("the store {path} is in use by another process; a store serves one daemon at a time")]
    InUse {
        /// Which file.
        path: PathBuf,
    },
    /// The file holds something else.
    #[error("{path} is not a store of this product; name another file or move this one away")]
    Foreign {
        /// Which file.
        path: PathBuf,
    },
    /// The key-encryption key is not the one it was made with.
    #[error(
        "the store {path} does not open under this key-encryption key; \
         restore the key file that belongs to it"
    )]
    WrongKey {
        /// Which file.
        path: PathBuf,
    },
    /// A newer program has changed the schema.
    #[error(
        "the store {path} has schema {found}, and this program knows schemas up to {known}; \
         run the newer program that wrote it"
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema known here.
        known: i64,
    },
    /// A schema of the same number but other content.
    #[error("the store {path} was written by a program whose schema {version} differs from this one's")]
    Differs {
        /// Which file.
        path: PathBuf,
        /// The schema that differs.
        version: i64,
    },
    /// The database does not answer: locked, full, damaged.
    #[error("cannot open the store {path}: {reason}")]
    Unavailable {
        /// Which file.
        path: PathBuf,
        /// Why, as a sentence.
        reason: String,
    },
    /// The operating system has no random bytes for nonces.
    #[error("the operating system gives no random bytes: {0}")]
    Randomness(getrandom::Error),
}

/// Why something was not read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    /// The database does not answer: locked, closed, damaged. The text is for the log.
    #[error("the store cannot be read: {0}")]
    Unavailable(String),
    /// A row holds what was never written there.
    #[error("the store is damaged: row {row} of table {table}: {what}")]
    Damaged {
        /// Its table.
        table: &'static str,
        /// Its rowid.
        row: i64,
        /// What is wrong with it.
        what: String,
    },
}

impl From<sqlx::Error> for ReadError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(reason(&error))
    }
}

/// The text for whoever comes after [`crate::Store::close`].
pub(crate) const CLOSED: &str = "the store is closed";

/// Primary result codes (sqlite.org/rescode.html); extended ones carry them in the low byte.
mod code {
    pub(super) const BUSY: u32 = 5;
    pub(super) const LOCKED: u32 = 6;
    pub(super) const READ_ONLY: u32 = 8;
    pub(super) const IO_ERROR: u32 = 10;
    pub(super) const CORRUPT: u32 = 11;
    pub(super) const FULL: u32 = 13;
    pub(super) const CANNOT_OPEN: u32 = 14;
    pub(super) const CONSTRAINT: u32 = 19;
    pub(super) const NOT_A_DATABASE: u32 = 26;
}

fn result_code(error: &dyn DatabaseError) -> Option<u32> {
    error.code()?.parse::<u32>().ok()
}

/// True if a row broke a rule of the schema, which undoes its statement and nothing else.
pub(crate) fn is_constraint(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|failure| failure.extended_code.cast_unsigned());
    code.is_some_and(|code| code & 0xff == code::CONSTRAINT)
}

/// True if the file is not SQLite's.
pub(crate) fn is_no_database(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(result_code);
    code.is_some_and(|code| code & 0xff == code::NOT_A_DATABASE)
}

/// What an error of the database means, for a log.
pub(crate) fn reason(error: &sqlx::Error) -> String {
    let Some(database) = error.as_database_error() else {
        return match error {
            sqlx::Error::WorkerCrashed => CLOSED.to_owned(),
            other => other.to_string(),
        };
    };
    sentence(result_code(database).unwrap_or_default(), database.message())
}

/// What an error of the writer means, for a log.
pub(crate) fn why(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(failure, message) => {
            let message = message.clone().unwrap_or_else(|| failure.to_string());
            sentence(failure.extended_code.cast_unsigned(), &message)
        }
        other => other.to_string(),
    }
}

fn sentence(code: u32, message: &str) -> String {
    match code & 0xff {
        code::FULL => "the disk is full".to_owned(),
        code::BUSY | code::LOCKED => "another program keeps the database locked".to_owned(),
        code::READ_ONLY => "the database file is read-only".to_owned(),
        code::IO_ERROR => format!("the disk reports an error or is full (SQLite code {code}: {message})"),
        code::CORRUPT => "the database file is damaged".to_owned(),
        code::NOT_A_DATABASE => "the file is not a database".to_owned(),
        code::CANNOT_OPEN => "the database file, its folder or its log cannot be opened".to_owned(),
        code::CONSTRAINT => format!("a row was refused ({message})"),
        _ => format!("SQLite code {code}: {message}"),
    }
}
