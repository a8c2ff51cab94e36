//! Debian's wireguard-go between two hosts, as its own manual has it set up.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

use crate::lab::{Host, feed, needs, run};

const PORT: u16 = 51_820;

/// Both ends, which stop when this is dropped.
pub(crate) struct Pair {
    ends: Vec<End>,
    _folder: tempfile::TempDir,
}

struct End {
    process: Child,
    socket: String,
}

impl Drop for End {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_file(&self.socket);
    }
}

impl Pair {
    /// Starts it: each end is a host, its address outside, and its address inside.
    pub(crate) fn start(ends: [(&Host, &str, &str); 2]) -> anyhow::Result<Self> {
        needs("wireguard-go", "wireguard-go")?;
        needs("wg", "wireguard-tools")?;
        let folder = tempfile::tempdir()?;
        let mut pair = Self { ends: Vec::new(), _folder: folder };
        let names = ["a", "b"].map(|end| format!("bw{}{end}", std::process::id()));
        let mut public = Vec::new();
        for name in &names {
            let key = run("wg", &["genkey"])?;
            let path = pair._folder.path().join(name);
            fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)?
                .write_all(key.as_bytes())?;
            public.push(feed("wg", &["pubkey"], &key)?.trim().to_owned());
        }
        for (n, name) in names.iter().enumerate() {
            let ((host, _, inside), (_, far_outside, far_inside)) = (ends[n], ends[1 - n]);
            pair.ends.push(End::start(host, name)?);
            let key = pair._folder.path().join(name).display().to_string();
            let (port, far) = (PORT.to_string(), format!("{far_outside}:{PORT}"));
            let allowed = format!("{far_inside}/32");
            let ours = ["set", name, "listen-port", &port, "private-key", &key];
            let theirs = ["peer", &public[1 - n], "allowed-ips", &allowed, "endpoint", &far];
            host.run("wg", ours.into_iter().chain(theirs))?;
            host.ip(&[
                &format!("address add {inside}/32 dev {name}"),
                &format!("link set {name} up mtu 1420"),
                &format!("route add {far_inside}/32 dev {name} src {inside}"),
            ])?;
        }
        Ok(pair)
    }
}

impl End {
    fn start(host: &Host, name: &str) -> anyhow::Result<Self> {
        let device = name.to_owned();
        let process = host.act(move || {
            let mut command = Command::new("wireguard-go");
            command.args(["-f", &device]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.env("WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD", "1");
            command.spawn().context("start wireguard-go")
        })?;
        let end = Self { process, socket: format!("/var/run/wireguard/{name}.sock") };
        let start = Instant::now();
        while !Path::new(&end.socket).exists() {
            ensure!(start.elapsed() < Duration::from_secs(10), "wireguard-go did not open {}", end.socket);
            thread::sleep(Duration::from_millis(20));
        }
        Ok(end)
    }
}
