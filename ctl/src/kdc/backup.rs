//! `sojourn kdc backup`: the store in a file.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::Args;
use proto::kdc::BackupRequest;
use serde_json::json;
use tonic::Request;

use super::{Client, done};
use crate::{failure::Failure, output::progress};

/// Where to.
#[derive(Args)]
pub(crate) struct Backup {
    /// The file to write; it must not exist.
    #[arg(value_name = "FILE")]
    out: PathBuf,
}

/// A file for its owner alone that gets its name when it is whole and durable; until then it is removed when
/// dropped.
pub(super) struct Whole {
    file: File,
    part: PathBuf,
    out: PathBuf,
}

impl Whole {
    pub(super) fn create(out: &Path) -> Result<Self, Failure> {
        if out.exists() {
            let why = "exists already and is not overwritten";
            return Err(Failure::Refused(format!("{}: {why}", out.display())));
        }
        let mut part = out.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part);
        let file = opened.map_err(|error| refuse(&part, &error))?;
        Ok(Self { file, part, out: out.to_owned() })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all(bytes).map_err(|error| refuse(&self.part, &error))
    }

    pub(super) fn finish(self) -> Result<(), Failure> {
        let finished = self.file.sync_all().and_then(|()| fs::rename(&self.part, &self.out)).and_then(|()| {
            let folder = self.out.parent().filter(|it| !it.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
        });
        finished.map_err(|error| refuse(&self.out, &error))
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        // Gone already once it has its name.
        let _ = fs::remove_file(&self.part);
    }
}

fn refuse(path: &Path, error: &io::Error) -> Failure {
    Failure::Refused(format!("{}: {error}", path.display()))
}

impl Backup {
    pub(super) async fn run(self, client: &mut Client, json: bool) -> Result<(), Failure> {
        let mut file = Whole::create(&self.out)?;
        // Without a deadline: nobody knows how large it is.
        let mut parts = client.backup(Request::new(BackupRequest {})).await?.into_inner();
        let (mut got, mut size) = (0, 0);
        let bar = progress(Some(0));
        while let Some(part) = parts.message().await? {
            size = part.size;
            got += part.data.len() as u64;
            file.write(&part.data)?;
            bar.set_length(size);
            bar.set_position(got);
        }
        bar.finish_and_clear();
        if got == 0 || got != size {
            return Err(Failure::Refused(format!("{got} of {size} octets came; nothing was kept")));
        }
        file.finish()?;
        let out = self.out.display().to_string();
        done(
            json,
            false,
            &format!("{out} has the store, {size} octets."),
            json!({ "file": out, "size": size }),
        );
        Ok(())
    }
}
