//! Being allowed to make namespaces: as root, or as root of a user namespace of one's own.

use std::fs::{self, File};

use anyhow::{Context, Result, bail};
use nix::{
    errno::Errno,
    sched::{CloneFlags, unshare},
    unistd::{Gid, Uid, getegid, geteuid},
};

const TUN: &str = "/dev/net/tun";

/// Makes the caller root where it counts. Must run before any thread starts: a user namespace is entered by a
/// whole process.
pub(crate) fn become_root() -> Result<()> {
    let (user, group) = (geteuid(), getegid());
    if !user.is_root() {
        enter_user_namespace(user, group)?;
    }
    // The daemons' tunnels need it, and an error of theirs would be harder to read.
    File::options().read(true).write(true).open(TUN).map(drop).with_context(|| {
        format!("{TUN} is needed and cannot be opened; as root, `chmod 666 {TUN}` lets every user do it")
    })
}

/// Puts this process and the daemons that it will start before other work of the machine, where that is allowed:
/// what is measured is the network, not the neighbours.
pub(crate) fn come_first() {
    const AHEAD: i32 = -5;
    // SAFETY: the call takes numbers only. A refusal changes nothing, so its result does not matter.
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, AHEAD) };
}

fn enter_user_namespace(user: Uid, group: Gid) -> Result<()> {
    let flags = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS;
    if let Err(error) = unshare(flags) {
        bail!("{}", refusal(error));
    }
    fs::write("/proc/self/setgroups", "deny").context("cannot prepare a user namespace")?;
    for (map, id) in [("uid_map", user.as_raw()), ("gid_map", group.as_raw())] {
        fs::write(format!("/proc/self/{map}"), format!("0 {id} 1\n"))
            .with_context(|| format!("cannot write the {map} of a user namespace"))?;
    }
    Ok(())
}

fn refusal(error: Errno) -> String {
    let mut text = format!(
        "The kernel does not let this user make network namespaces ({}).\nRun the same command as root, or let users make them:",
        error.desc()
    );
    for (setting, value) in [
        ("kernel/unprivileged_userns_clone", "1"),
        ("kernel/apparmor_restrict_unprivileged_userns", "0"),
        ("user/max_user_namespaces", "15000"),
    ] {
        if let Ok(now) = fs::read_to_string(format!("/proc/sys/{setting}")) {
            text += &format!("\n    sysctl -w {}={value}    (now {})", setting.replace('/', "."), now.trim());
        }
    }
    text + "\nIn a container it needs the capability SYS_ADMIN (and /dev/net/tun)."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_to_do() {
        let text = refusal(Errno::EPERM);
        assert!(text.contains("as root") && text.contains("user.max_user_namespaces=15000"), "{text}");
    }
}
