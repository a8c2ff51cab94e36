//! Hosts for measurements: network namespaces that live as long as a thread, joined by wires.

use std::{
    ffi::OsStr,
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
};

use anyhow::{Context as _, bail, ensure};
use nix::{
    sched::{CloneFlags, unshare},
    unistd::{Pid, Uid, gettid},
};

use crate::outcome::say;

type Job = Box<dyn FnOnce() + Send>;

/// A host: a thread in a network namespace of its own, which lives as long as this does, or the process.
pub(crate) struct Host {
    jobs: mpsc::Sender<Job>,
    /// Names the namespace to the kernel.
    thread: Pid,
}

impl Host {
    /// A new host that forwards packets, with its loopback up.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let (jobs, work) = mpsc::channel::<Job>();
        let (report, born) = mpsc::channel();
        thread::spawn(move || {
            let made = unshare(CloneFlags::CLONE_NEWNET).map(|()| gettid());
            // Who asks may have gone.
            if report.send(made).is_ok() && made.is_ok() {
                work.into_iter().for_each(|job| job());
            }
        });
        let thread =
            born.recv().context("a host")?.context("make a network namespace (root, or user namespaces)")?;
        let host = Self { jobs, thread };
        host.run("ip", ["link", "set", "lo", "up"])?;
        host.act(|| {
            for (parameter, value) in
                [("ip_forward", "1"), ("conf/all/rp_filter", "0"), ("conf/default/rp_filter", "0")]
            {
                net::sysctl::set(&format!("net/ipv4/{parameter}"), value)?;
            }
            Ok(())
        })?;
        Ok(host)
    }

    /// Does something on the host and waits for its result.
    pub(crate) fn act<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let (report, result) = mpsc::channel();
        let job = move || drop(report.send(job()));
        ensure!(self.jobs.send(Box::new(job)).is_ok(), "the host is gone");
        result.recv().context("what was to be done on the host panicked")?
    }

    /// Runs a command on the host; its standard output.
    pub(crate) fn run<'a>(
        &self,
        program: &'static str,
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> anyhow::Result<String> {
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        self.act(move || run(program, &arguments))
    }

    /// Runs several commands of `ip`, each in one text.
    pub(crate) fn ip(&self, commands: &[&str]) -> anyhow::Result<()> {
        commands.iter().try_for_each(|command| self.run("ip", command.split(' ')).map(drop))
    }

    /// A wire to another host, with an interface of this name and address at each end. Real frames of 1,500 octets pass
    /// it: what veth pairs otherwise leave to nobody, segmentation, is switched off, as a network card would do it.
    pub(crate) fn wire(&self, end: [&str; 2], other: &Self, far_end: [&str; 2]) -> anyhow::Result<()> {
        let ([name, address], [far_name, far_address]) = (end, far_end);
        let thread = other.thread.to_string();
        let made = ["link", "add", name, "type", "veth", "peer", "name", far_name, "netns", &thread];
        self.run("ip", made)?;
        for (host, name, address) in [(self, name, address), (other, far_name, far_address)] {
            host.ip(&[&format!("address add {address} dev {name}"), &format!("link set {name} up")])?;
            let frames = ["tso", "off", "gso", "off", "tx-udp-segmentation", "off", "gro", "on"];
            host.run("ethtool", ["-K", name].into_iter().chain(frames))?;
        }
        Ok(())
    }
}

/// Runs a command and says what it said if it failed.
pub(crate) fn run(program: &str, arguments: &[impl AsRef<OsStr>]) -> anyhow::Result<String> {
    let output =
        Command::new(program).args(arguments).output().with_context(|| format!("start {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} ended with {}: {}", output.status, said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The same with something on its standard input.
pub(crate) fn feed(program: &str, arguments: &[&str], input: &str) -> anyhow::Result<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("start {program}"))?;
    child.stdin.take().context("its standard input")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{program} ended with {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Sees to it that a program is there: installs its package as root.
pub(crate) fn needs(program: &str, package: &str) -> anyhow::Result<()> {
    let there = || {
        let folders = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&folders).any(|folder| folder.join(program).is_file())
    };
    if there() {
        return Ok(());
    }
    if !Uid::effective().is_root() {
        bail!("{program} is not installed (package {package})");
    }
    say(&format!("installing {package}"));
    run("apt-get", &["install", "-y", "--no-install-recommends", package])?;
    ensure!(there(), "the package {package} has no {program}");
    Ok(())
}

/// Builds programs of these packages as this one was built; where `testbed` stands then.
pub(crate) fn build(packages: &[&str]) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("this program")?;
    let program = own.parent().context("its folder")?.join("testbed");
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--bins"]).args(packages.iter().flat_map(|package| ["--package", package]));
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    ensure!(build.stdout(Stdio::null()).status()?.success(), "the daemons do not build");
    Ok(program)
}

/// Becomes root of a user namespace if this is not root: starts the program anew there.
pub(crate) fn become_root() -> anyhow::Result<()> {
    if Uid::effective().is_root() {
        return Ok(());
    }
    let program = std::env::current_exe().context("this program")?;
    let arguments = ["--user", "--map-root-user", "--net", "--mount", "--"];
    let error = Command::new("unshare").args(arguments).arg(program).args(std::env::args_os().skip(1)).exec();
    Err(error).context("become root of a user namespace with unshare")
}
