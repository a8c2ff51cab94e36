//! FreeRADIUS with PAP from a file, asked by its own client with 128 requests on their way.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

use crate::lab;

const PORT: u16 = 31_812;
const SECRET: &str = "testing123";
/// Requests of the client's list, and how often it sends each: with one long list it would be the slower of the two.
const LIST: usize = 100;
const TIMES: usize = 200;
/// Runs at most, until the client gives none of its requests up.
const ATTEMPTS: usize = 4;

/// A server of our own on loopback.
pub(crate) struct Server {
    child: Child,
    folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    pub(crate) fn start() -> anyhow::Result<Self> {
        lab::needs("radclient", "freeradius-utils")?;
        let program = "/usr/sbin/freeradius";
        if fs::metadata(program).is_err() {
            lab::needs("freeradius", "freeradius")?;
        }
        let folder = tempfile::tempdir()?;
        let at = folder.path().display();
        // Its parser wants a line break behind every brace.
        let configuration = format!(
            "prefix = /usr\nlibdir = /usr/lib/freeradius\nlogdir = {at}\nrun_dir = {at}\nmax_requests = 65536\n\
            log {{\n destination = stdout\n}}\nsecurity {{\n reject_delay = 0\n}}\n\
            thread pool {{\n start_servers = 2\n max_servers = 4\n}}\n\
            modules {{\n pap {{\n }}\n files {{\n  filename = {at}/users\n }}\n}}\n\
            client bench {{\n ipaddr = 127.0.0.1\n secret = {SECRET}\n}}\n\
            server default {{\n listen {{\n  type = auth\n  ipaddr = 127.0.0.1\n  port = {PORT}\n }}\n\
            authorize {{\n  files\n  pap\n }}\n authenticate {{\n  Auth-Type PAP {{\n   pap\n  }}\n }}\n}}\n"
        );
        fs::write(folder.path().join("radiusd.conf"), configuration)?;
        fs::write(folder.path().join("users"), "traveller Cleartext-Password := \"secret\"\n")?;
        let request = "User-Name = traveller\nUser-Password = secret\n\n";
        fs::write(folder.path().join("one"), request)?;
        fs::write(folder.path().join("many"), request.repeat(LIST))?;
        let child = Command::new(program)
            .args(["-f", "-d"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start freeradius")?;
        let server = Self { child, folder };
        let patience = Instant::now() + Duration::from_secs(10);
        while server.ask("one", 1).is_err() {
            ensure!(Instant::now() < patience, "freeradius does not answer");
        }
        Ok(server)
    }

    fn ask(&self, file: &str, times: usize) -> anyhow::Result<()> {
        let output = Command::new("radclient")
            .args(["-q", "-p", "128", "-r", "3", "-t", "1", "-c", &times.to_string(), "-f"])
            .arg(self.folder.path().join(file))
            .args([&format!("127.0.0.1:{PORT}"), "auth", SECRET])
            .stdin(Stdio::null())
            .output()
            .context("start radclient")?;
        ensure!(output.status.success(), "radclient: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(())
    }

    /// Accepted requests a second. A run in which the client gave requests up waited seconds for them, and says nothing
    /// about the server: it is made again.
    pub(crate) fn rate(&self) -> anyhow::Result<f64> {
        let once = || {
            let start = Instant::now();
            self.ask("many", TIMES)?;
            Ok((LIST * TIMES) as f64 / start.elapsed().as_secs_f64())
        };
        (1..ATTEMPTS).find_map(|_| once().ok()).map_or_else(once, Ok)
    }
}
