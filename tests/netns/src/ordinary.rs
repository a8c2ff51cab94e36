//! Running a program as a user without rights, for tests that root runs.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
};

use anyhow::{Context as _, Result, anyhow};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::stat::{Mode, SFlag, makedev, mknod},
    unistd::Uid,
};
use tempfile::TempDir;

/// Nobody.
const USER: u32 = 65_534;
/// What a network needs beside the testbed.
const PROGRAMS: [&str; 6] = ["testbed", "home-agent", "foreign-agent", "mobile-node", "kdc", "sojourn"];

/// Whether the tests run as root.
#[must_use]
pub fn root() -> bool {
    Uid::effective().is_root()
}

/// Programs where a user without rights can reach them, wherever the checkout is.
#[derive(Debug)]
pub struct Ordinary {
    programs: TempDir,
}

impl Ordinary {
    /// Copies the programs that stand beside one, and gives directories to the user.
    ///
    /// # Errors
    /// If a program is missing or a directory is not root's.
    pub fn new(beside: &Path, directories: &[&Path]) -> Result<Self> {
        let programs = tempfile::tempdir()?;
        fs::set_permissions(programs.path(), fs::Permissions::from_mode(0o755))?;
        for program in PROGRAMS {
            let from = beside.with_file_name(program);
            fs::copy(&from, programs.path().join(program))
                .with_context(|| format!("{} is missing: build it first", from.display()))?;
        }
        for directory in directories {
            chown(directory, Some(USER), Some(USER))?;
        }
        Ok(Self { programs })
    }

    /// The copy of the testbed.
    #[must_use]
    pub fn program(&self) -> PathBuf {
        self.programs.path().join("testbed")
    }

    /// Runs a command as the user and waits for its end. Where only root may open the TUN device, which is not so
    /// on most machines, the command sees one that everybody may open; the machine's own stays as it is.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn output(&self, command: &mut Command) -> Result<Output> {
        command.current_dir("/").uid(USER).gid(USER);
        // What mounts a thread sees is its own affair, and its children's.
        thread::scope(|scope| {
            let run = scope.spawn(|| {
                open_tunnels().context("cannot make a TUN device that everybody may open")?;
                Ok(command.output()?)
            });
            run.join().map_err(|_| anyhow!("a thread panicked"))?
        })
    }
}

fn open_tunnels() -> Result<()> {
    const NONE: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)?;
    mount(Some("none"), "/dev/net", Some("tmpfs"), MsFlags::empty(), Some("mode=0755"))?;
    mknod("/dev/net/tun", SFlag::S_IFCHR, Mode::S_IRUSR, makedev(10, 200))?;
    // Not by the mode above, from which the umask takes.
    fs::set_permissions("/dev/net/tun", fs::Permissions::from_mode(0o666))?;
    Ok(())
}
