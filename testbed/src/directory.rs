//! Where a network keeps its files: configurations, keys, databases, logs and its socket, for the owner alone.

use std::{
    env, fs,
    fs::DirBuilder,
    io::Write,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use nix::sys::statfs::{TMPFS_MAGIC, statfs};

/// The longest path of a Unix socket in an `AF_UNIX` address.
const SOCKET_PATH: usize = 107;

/// A directory of mode 0700.
#[derive(Clone, Debug)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    /// Where networks have their directories, by name: the user's runtime directory, else a place in memory, so
    /// that another program's writes to the disk do not show in handovers, else what there is. Must be asked
    /// before a user namespace makes everybody root.
    pub(crate) fn base() -> PathBuf {
        const NAME: &str = "sojourn-testbed";
        if let Some(runtime) = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_dir())
        {
            return runtime.join(NAME);
        }
        let mine = nix::unistd::geteuid();
        let of_user = format!("{NAME}-{mine}");
        let mut places = vec![PathBuf::from("/dev/shm").join(&of_user), env::temp_dir().join(&of_user)];
        if mine.is_root() {
            places.insert(0, Path::new("/run").join(NAME));
        }
        let in_memory = |path: &&PathBuf| {
            path.parent()
                .and_then(|parent| statfs(parent).ok())
                .is_some_and(|found| found.filesystem_type() == TMPFS_MAGIC)
        };
        let exists = |path: &&PathBuf| path.parent().is_some_and(Path::is_dir);
        let chosen = places.iter().find(in_memory).or(places.iter().rev().find(exists));
        chosen.cloned().unwrap_or_else(|| PathBuf::from(of_user))
    }

    /// Makes or takes a directory. One that belongs to another, or that others may enter, is refused.
    pub(crate) fn take(path: &Path) -> Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("cannot make the directory {}", path.display()))?;
        let found = fs::symlink_metadata(path)?;
        let mine = nix::unistd::geteuid().as_raw();
        if !found.is_dir() || found.uid() != mine || found.mode() & 0o077 != 0 {
            bail!("{} is not a directory of mode 0700 that belongs to user {mine}", path.display());
        }
        if path.as_os_str().len() + "/nodes/123456789012/mn.sock".len() > SOCKET_PATH {
            bail!("{} is too long a path for sockets; set XDG_RUNTIME_DIR to a shorter one", path.display());
        }
        Ok(Self(path.to_owned()))
    }

    /// A new directory with a name that nobody has.
    pub(crate) fn fresh(base: &Path) -> Result<Self> {
        let base = Self::take(base)?;
        for number in 0..10_000 {
            let path = base.0.join(format!("run-{}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).with_context(|| format!("cannot make {}", path.display())),
            }
        }
        bail!("{} is full of old runs", base.0.display())
    }

    /// The directory of one node, made if absent.
    pub(crate) fn node(&self, name: &str) -> Result<PathBuf> {
        let path = self.0.join("nodes").join(name);
        Self::take(&path)?;
        Ok(path)
    }

    /// Removes what an earlier network left.
    pub(crate) fn forget_nodes(&self) -> Result<()> {
        match fs::remove_dir_all(self.0.join("nodes")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}/nodes", self.0.display()))
            }
            _ => Ok(()),
        }
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Removes the directory and everything in it.
    pub(crate) fn remove(&self) -> Result<()> {
        fs::remove_dir_all(&self.0).with_context(|| format!("cannot remove {}", self.0.display()))
    }
}

/// Writes a file of mode 0600.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<()> {
    let open = fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path);
    let mut file = open.with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_directory_that_others_may_enter_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("run");
        Directory::take(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(Directory::take(&path).is_err());
    }

    #[test]
    fn private_files_are_for_the_owner_alone() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("key");
        write_private(&path, "secret").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }
}
