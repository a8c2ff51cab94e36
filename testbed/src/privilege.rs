//! Being allowed to make namespaces: as root, or as root of a user namespace of one's own.

use std::{
    fs::{self, File},
    io,
};

use anyhow::{Result, anyhow, bail};
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
    File::options().read(true).write(true).open(TUN).map(drop).map_err(|error| anyhow!(no_tunnels(&error)))
}

/// What to do about a TUN device that cannot be opened.
fn no_tunnels(error: &io::Error) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "Only root may open it here. As root:\n    chmod 666 /dev/net/tun\nA user can do nothing with it outside of namespaces of their own."
        }
        io::ErrorKind::NotFound => {
            "It is not there. As root:\n    modprobe tun\nor, in a container, start that with --device /dev/net/tun."
        }
        _ => "The kernel may lack its module; as root:\n    modprobe tun",
    };
    format!("The tunnels need {TUN}, which cannot be opened ({error}).\n{remedy}")
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
    let maps = [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("0 {user} 1\n")),
        ("gid_map", format!("0 {group} 1\n")),
    ];
    for (map, text) in maps {
        // Some kernels let a user make the namespace and refuse everything in it.
        if let Err(error) = fs::write(format!("/proc/self/{map}"), text) {
            bail!("{}", refusal(Errno::from_raw(error.raw_os_error().unwrap_or(libc::EPERM))));
        }
    }
    Ok(())
}

/// What decides whether users may make namespaces, and a value with which they may. Not every kernel has each.
const SETTINGS: [(&str, &str); 3] = [
    ("kernel/unprivileged_userns_clone", "1"),
    ("kernel/apparmor_restrict_unprivileged_userns", "0"),
    ("user/max_user_namespaces", "15000"),
];

fn stands_in_the_way(setting: &str, now: &str) -> bool {
    let forbids = if setting.contains("restrict") { "1" } else { "0" };
    now == forbids
}

fn refusal(error: Errno) -> String {
    let mut text = format!(
        "The kernel does not let this user make network namespaces ({}).\nRun the same command as root, or let users make them:",
        error.desc()
    );
    for (setting, value) in SETTINGS {
        if let Ok(now) = fs::read_to_string(format!("/proc/sys/{setting}")) {
            let mark = if stands_in_the_way(setting, now.trim()) { "  <- this is why" } else { "" };
            let name = setting.replace('/', ".");
            text += &format!("\n    sysctl -w {name}={value}    (now {}){mark}", now.trim());
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

    #[test]
    fn the_setting_that_forbids_is_pointed_at() {
        assert!(stands_in_the_way("kernel/apparmor_restrict_unprivileged_userns", "1"));
        assert!(stands_in_the_way("user/max_user_namespaces", "0"));
        assert!(!stands_in_the_way("kernel/unprivileged_userns_clone", "1"));
        assert!(!stands_in_the_way("user/max_user_namespaces", "63432"));
    }

    #[test]
    fn a_missing_device_and_a_forbidden_one_have_different_remedies() {
        let text = |kind: io::ErrorKind| no_tunnels(&kind.into());
        assert!(text(io::ErrorKind::NotFound).contains("modprobe tun"));
        assert!(text(io::ErrorKind::PermissionDenied).contains("chmod 666 /dev/net/tun"));
    }
}
