//! The real daemons as child processes of a namespace's thread: they live in its network and die with it.

use std::{
    ffi::OsString,
    fs::{self, File},
    net::{SocketAddrV4, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use nix::{
    sys::{prctl, signal},
    unistd::Pid,
};

use crate::{agent, netns::Namespace};

const READY: Duration = Duration::from_secs(30);
const DEATH: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(5);

/// How to see that a daemon serves.
#[derive(Clone, Debug)]
pub(crate) enum Answers {
    /// The Agent service on a Unix socket.
    Agent(PathBuf),
    /// A TCP connection.
    Tcp(SocketAddrV4),
}

/// A daemon: how to start it, and the process if it runs.
pub(crate) struct Daemon {
    program: PathBuf,
    config: PathBuf,
    arguments: Vec<OsString>,
    log: PathBuf,
    answers: Answers,
    child: Mutex<Option<Child>>,
}

/// Whether a daemon runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Running,
    /// With what the operating system says about its end.
    Stopped(String),
}

impl Daemon {
    /// A daemon with its configuration file, not yet started. It logs to `PROGRAM.log` beside that file.
    pub(crate) fn new(program: &Path, config: &Path, answers: Answers) -> Self {
        let name = program.file_name().unwrap_or_default();
        Self {
            program: program.to_owned(),
            config: config.to_owned(),
            arguments: vec!["--config".into(), config.into()],
            log: config.with_file_name(name).with_extension("log"),
            answers,
            child: Mutex::new(None),
        }
    }

    /// Starts the process inside a namespace and waits until it answers.
    pub(crate) fn start(&self, namespace: &Namespace) -> Result<()> {
        if self.state()? == State::Running {
            bail!("{} already runs", self.name());
        }
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("cannot write {}", self.log.display()))?;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        if std::env::var_os("SOJOURN_LOG").is_none() {
            command.env("SOJOURN_LOG", "info");
        }
        // A process group of its own: an interrupt at the terminal is for the testbed alone.
        command.process_group(0);
        // SAFETY: between fork and exec only the async-signal-safe prctl is called. The signal comes when the
        // namespace's thread ends, which is this child's parent.
        unsafe {
            command.pre_exec(|| Ok(prctl::set_pdeathsig(signal::Signal::SIGKILL)?));
        }
        let child = namespace
            .run(move |_| Ok(command.spawn()?))
            .with_context(|| format!("cannot start {}", self.name()))?;
        *self.child()? = Some(child);
        self.wait_ready(namespace)
    }

    fn wait_ready(&self, namespace: &Namespace) -> Result<()> {
        let limit = Instant::now() + READY;
        loop {
            let error = match self.answer(namespace) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if let State::Stopped(how) = self.state()? {
                bail!(
                    "{} ended at once ({how}); its log, {}, ends with:\n{}",
                    self.name(),
                    self.log.display(),
                    self.last_words()
                );
            }
            if Instant::now() > limit {
                bail!(
                    "{} does not answer after {} s: {error:#}; log: {}",
                    self.name(),
                    READY.as_secs(),
                    self.log.display()
                );
            }
            thread::sleep(STEP);
        }
    }

    fn answer(&self, namespace: &Namespace) -> Result<()> {
        match self.answers.clone() {
            Answers::Agent(socket) => agent::status(&socket).map(|_| ()),
            Answers::Tcp(address) => namespace.run(move |_| {
                TcpStream::connect_timeout(&address.into(), Duration::from_secs(1))?;
                Ok(())
            }),
        }
    }

    /// Sends a signal; after one that ends a process, waits until it has ended.
    pub(crate) fn kill(&self, number: i32) -> Result<()> {
        let wanted = signal::Signal::try_from(number).map_err(|_| anyhow!("{number} is no signal"))?;
        {
            let guard = self.child()?;
            let Some(child) = guard.as_ref() else { bail!("{} does not run", self.name()) };
            signal::kill(Pid::from_raw(child.id().cast_signed()), wanted)
                .with_context(|| format!("cannot send signal {number} to {}", self.name()))?;
        }
        use signal::Signal::{SIGABRT, SIGINT, SIGKILL, SIGQUIT, SIGSEGV, SIGTERM};
        if !matches!(wanted, SIGABRT | SIGINT | SIGKILL | SIGQUIT | SIGSEGV | SIGTERM) {
            return Ok(());
        }
        if !self.wait_end(DEATH)? {
            bail!("{} still runs {} s after signal {number}", self.name(), DEATH.as_secs());
        }
        Ok(())
    }

    /// Asks the process to end, without waiting.
    pub(crate) fn ask_to_end(&self) {
        if let Ok(guard) = self.child.lock()
            && let Some(child) = guard.as_ref()
        {
            let _ = signal::kill(Pid::from_raw(child.id().cast_signed()), signal::Signal::SIGTERM);
        }
    }

    /// Waits for the end of the process; `false` if the time runs out first.
    pub(crate) fn wait_end(&self, time: Duration) -> Result<bool> {
        let limit = Instant::now() + time;
        while self.state()? == State::Running {
            if Instant::now() > limit {
                return Ok(false);
            }
            thread::sleep(STEP);
        }
        Ok(true)
    }

    /// Whether the process runs.
    pub(crate) fn state(&self) -> Result<State> {
        let mut guard = self.child()?;
        let Some(child) = guard.as_mut() else {
            return Ok(State::Stopped("not started".into()));
        };
        Ok(match child.try_wait()? {
            None => State::Running,
            Some(status) => {
                let how = status.to_string();
                *guard = None;
                State::Stopped(how)
            }
        })
    }

    /// The Unix socket of the Agent service, if the daemon has one.
    pub(crate) fn socket(&self) -> Option<&Path> {
        match &self.answers {
            Answers::Agent(socket) => Some(socket),
            Answers::Tcp(_) => None,
        }
    }

    /// The process's number while it runs.
    pub(crate) fn process(&self) -> Result<u32> {
        let guard = self.child()?;
        Ok(guard.as_ref().with_context(|| format!("{} does not run", self.name()))?.id())
    }

    /// The configuration file.
    pub(crate) fn config(&self) -> &Path {
        &self.config
    }

    /// Where the daemon logs.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    fn name(&self) -> String {
        self.program.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(8)).map(|line| format!("    {line}\n")).collect()
    }

    fn child(&self) -> Result<MutexGuard<'_, Option<Child>>> {
        self.child.lock().map_err(|_| anyhow!("a thread panicked"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Ok(mut guard) = self.child.lock()
            && let Some(mut child) = guard.take()
        {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, directory: &Path) -> Daemon {
        let config = directory.join("x.toml");
        let answers = Answers::Tcp("127.0.0.1:9".parse().unwrap());
        let mut daemon = Daemon::new(Path::new("/bin/sh"), &config, answers);
        daemon.arguments = vec!["-c".into(), script.into()];
        daemon
    }

    #[test]
    fn a_daemon_that_ends_at_once_is_told_with_its_last_words() {
        let directory = tempfile::tempdir().unwrap();
        let Ok(namespace) = Namespace::new("one") else {
            return;
        };
        let daemon = shell("echo line 3: unknown key; exit 2", directory.path());
        let error = format!("{:#}", daemon.start(&namespace).unwrap_err());
        assert!(error.contains("exit status: 2") && error.contains("line 3: unknown key"), "{error}");
    }

    #[test]
    fn a_killed_daemon_is_gone_when_kill_returns() {
        let directory = tempfile::tempdir().unwrap();
        let Ok(namespace) = Namespace::new("one") else {
            return;
        };
        let listener = namespace.run(|_| Ok(std::net::TcpListener::bind("127.0.0.1:9")?)).unwrap();
        let daemon = shell("exec sleep 600", directory.path());
        daemon.start(&namespace).unwrap();
        assert!(daemon.start(&namespace).is_err(), "it runs");
        daemon.kill(libc::SIGKILL).unwrap();
        assert!(matches!(daemon.state().unwrap(), State::Stopped(_)));
        assert!(daemon.kill(libc::SIGKILL).is_err(), "nothing to kill");
        daemon.start(&namespace).unwrap();
        drop(listener);
    }
}
