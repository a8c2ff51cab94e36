//! A copy of a store that is in use, as of one moment.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use sqlx::{Connection as _, sqlite::SqliteConnectOptions};
use tokio::{fs::File, io::AsyncReadExt as _};

use crate::{
    ReadError,
    open::{beside, connect},
};

/// A copy that is read once. Its file has no name any more: it is gone when this is dropped.
pub struct Snapshot {
    file: File,
    size: u64,
}

impl Snapshot {
    /// Octets of the whole copy, which is a database file.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The next octets, at most `most`; none at the end.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn read(&mut self, most: usize) -> io::Result<Vec<u8>> {
        let mut part = vec![0; most];
        let read = self.file.read(&mut part).await?;
        part.truncate(read);
        Ok(part)
    }
}

/// Copies the store at `path` on a connection of its own, which holds up neither reader nor writer.
pub(crate) async fn make(path: &Path, options: &SqliteConnectOptions) -> Result<Snapshot, ReadError> {
    let copy = beside(path, ".copy");
    let made = into(&copy, options).await;
    let opened = match made {
        Ok(()) => open(&copy).await.map_err(|error| ReadError::Unavailable(error.to_string())),
        Err(error) => Err(error),
    };
    let _ = fs::remove_file(&copy);
    opened
}

async fn into(copy: &Path, options: &SqliteConnectOptions) -> Result<(), ReadError> {
    // Made before, because the database would let others read it; emptied, should a crash have left one.
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(copy);
    file.map_err(|error| ReadError::Unavailable(format!("{}: {error}", copy.display())))?;
    let mut connection = connect(&options.clone().read_only(true)).await?;
    let copied =
        sqlx::query("VACUUM INTO ?1").bind(copy.to_string_lossy().as_ref()).execute(&mut connection).await;
    let _ = connection.close().await;
    Ok(copied.map(drop)?)
}

async fn open(copy: &Path) -> io::Result<Snapshot> {
    let file = File::open(copy).await?;
    let size = file.metadata().await?.len();
    Ok(Snapshot { file, size })
}
