//! The tool: a program of its own, installed below the target folder by `./ci formal`, never linked.

use std::{
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use anyhow::{Context as _, bail};

/// Verifpal of the version that `formal/VERSION` names.
pub struct Verifpal(PathBuf);

impl Verifpal {
    /// The one below the target folder, else the one in the search path; `None` where neither is that version, with
    /// a loud line on standard error.
    ///
    /// # Errors
    /// The same if `CI` is set: there nothing may stay unchecked.
    pub fn find() -> anyhow::Result<Option<Self>> {
        let wanted = std::fs::read_to_string(crate::folder().join("VERSION")).context("formal/VERSION")?;
        let wanted = wanted.trim();
        let below = target().join("tools/bin/verifpal");
        for program in [below, PathBuf::from("verifpal")] {
            let said = Command::new(&program).arg("--version").output();
            if said.is_ok_and(|said| {
                String::from_utf8_lossy(&said.stdout).trim() == format!("verifpal {wanted}")
            }) {
                return Ok(Some(Self(program)));
            }
        }
        if std::env::var_os("CI").is_some() {
            bail!("verifpal {wanted} is not installed: no model was checked");
        }
        // Past the capture of the test harness. If standard error is closed, nobody listens.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: verifpal {wanted} is not installed (./ci formal installs it)"
        );
        Ok(None)
    }

    /// The report about one model, in JSON; about a faulty model too, which exits with a failure.
    ///
    /// # Errors
    /// If the tool cannot be run, says nothing, or needs longer than `limit`: then it is ended.
    pub fn report(&self, model: &Path, sessions: u8, limit: Duration) -> anyhow::Result<String> {
        let sessions = sessions.to_string();
        let mut child = Command::new(&self.0)
            .args(["verify", "--format", "json", "--sessions", &sessions])
            .arg(model)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("verifpal")?;
        let (mut out, mut err) =
            (child.stdout.take().context("its output")?, child.stderr.take().context("its output")?);
        let complaints = std::thread::spawn(move || {
            let mut text = String::new();
            err.read_to_string(&mut text).map(|_| text).unwrap_or_default()
        });
        let (sender, said) = mpsc::channel();
        std::thread::spawn(move || {
            let mut text = String::new();
            let read = out.read_to_string(&mut text).map(|_| text);
            // Nobody listens any more once the time is over.
            let _ = sender.send(read);
        });
        let report = said.recv_timeout(limit);
        if report.is_err() {
            child.kill().context("verifpal runs on")?;
        }
        child.wait().context("verifpal")?;
        let Ok(report) = report else { bail!("no answer within {} s", limit.as_secs()) };
        let report = report.context("its output")?;
        if report.is_empty() {
            bail!("verifpal says nothing: {}", complaints.join().unwrap_or_default().trim());
        }
        Ok(report)
    }
}

/// The folder that cargo builds into.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from)
}
