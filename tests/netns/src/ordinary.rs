//! Running a program as a user without rights, for tests that root runs.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::{
        prctl::set_dumpable,
        stat::{Mode, SFlag, makedev, mknod, umask},
    },
    unistd::{Gid, Uid, setgid, setgroups, setuid},
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

    /// Makes a command run as the user. Where only root may open the TUN device, which is not so on most
    /// machines, the command sees one that everybody may open; the machine's own stays as it is.
    pub fn lend(&self, command: &mut Command) {
        command.current_dir("/");
        // SAFETY: between fork and exec only system calls are made, on constants; nothing is allocated.
        unsafe {
            command.pre_exec(|| {
                open_tunnels()?;
                give_up_rights()
            });
        }
    }
}

fn open_tunnels() -> std::io::Result<()> {
    const NONE: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)?;
    mount(Some("none"), "/dev/net", Some("tmpfs"), MsFlags::empty(), Some("mode=0755"))?;
    let before = umask(Mode::empty());
    mknod("/dev/net/tun", SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(10, 200))?;
    umask(before);
    Ok(())
}

fn give_up_rights() -> std::io::Result<()> {
    setgroups(&[])?;
    setgid(Gid::from_raw(USER))?;
    setuid(Uid::from_raw(USER))?;
    // As after an exec by the user: its own files in /proc belong to it.
    set_dumpable(true)?;
    Ok(())
}
