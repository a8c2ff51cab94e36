//! Real binaries in network namespaces: what tests of whole networks share.
//!
//! The tests start the `testbed` program that stands beside them in the target directory, look at its reports,
//! and read its captures with a reader of their own.

pub mod dice;
pub mod forged;
pub mod frames;
pub mod ordinary;
pub mod pcap;
pub mod told;

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use self::ordinary::Ordinary;

/// The `testbed` program with a runtime directory of its own. Only one exists at a time on a machine: networks
/// are heavy, and a busy machine would make handovers slow.
#[derive(Debug)]
pub struct Testbed {
    program: PathBuf,
    runtime: TempDir,
    results: TempDir,
    /// Copies of the programs that another user may run, with that user.
    ordinary: Option<Ordinary>,
    _turn: File,
}

impl Testbed {
    /// Finds the program and waits for its turn.
    ///
    /// # Errors
    /// If the program has not been built.
    pub fn new() -> Result<Self> {
        let own = env::current_exe()?;
        let target = own.ancestors().nth(2).context("tests stand in target/PROFILE/deps")?;
        let program = target.join("testbed");
        ensure!(program.is_file(), "{} is missing: run `cargo build -p testbed` first", program.display());
        let turn = File::create(target.join("netns-tests.lock"))?;
        turn.lock()?;
        // In memory, where there is such a place: what other programs write to the disk is not to be measured.
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { memory.to_owned() } else { env::temp_dir() };
        let runtime = tempfile::Builder::new().prefix("sj").tempdir_in(place)?;
        Ok(Self { program, runtime, results: tempfile::tempdir()?, ordinary: None, _turn: turn })
    }

    /// The same, run by a user without any rights; by who runs the tests, unless that is root.
    ///
    /// # Errors
    /// If the programs have not been built or cannot be copied.
    pub fn ordinary() -> Result<Self> {
        let mut testbed = Self::new()?;
        if ordinary::root() {
            let ordinary = Ordinary::new(&testbed.program, &[testbed.runtime(), testbed.results()])?;
            testbed.program = ordinary.program();
            testbed.ordinary = Some(ordinary);
        }
        Ok(testbed)
    }

    /// The directory of scenario files.
    #[must_use]
    pub fn scenarios() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testbed/scenarios")
    }

    /// A directory for results, gone with this value.
    #[must_use]
    pub fn results(&self) -> &Path {
        self.results.path()
    }

    /// The runtime directory of the program, in which it makes its own.
    #[must_use]
    pub fn runtime(&self) -> &Path {
        self.runtime.path()
    }

    /// The program with its arguments, not started yet.
    pub fn command(&self, arguments: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).env("XDG_RUNTIME_DIR", self.runtime.path());
        command
    }

    /// Runs the program and hands back what came of it, whatever that is.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn attempt(&self, arguments: &[impl AsRef<OsStr>]) -> Result<Output> {
        self.output(&mut self.command(arguments))
            .with_context(|| format!("cannot run {}", self.program.display()))
    }

    /// Runs a command to its end, as the user of this testbed.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn output(&self, command: &mut Command) -> Result<Output> {
        match &self.ordinary {
            Some(ordinary) => ordinary.output(command),
            None => Ok(command.output()?),
        }
    }

    /// Runs the program, which must succeed, and hands back its standard output.
    ///
    /// # Errors
    /// If it fails, with all that it said.
    pub fn run(&self, arguments: &[impl AsRef<OsStr>]) -> Result<String> {
        let output = self.attempt(arguments)?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let words: Vec<_> = arguments.iter().map(|word| word.as_ref().to_string_lossy()).collect();
            let complaint = String::from_utf8_lossy(&output.stderr);
            bail!("testbed {} failed ({}):\n{said}\n{complaint}", words.join(" "), output.status);
        }
        Ok(said)
    }

    /// Runs the program and reads its standard output as JSON.
    ///
    /// # Errors
    /// If it fails or prints something else.
    pub fn json(&self, arguments: &[impl AsRef<OsStr>]) -> Result<Value> {
        let said = self.run(arguments)?;
        serde_json::from_str(&said).with_context(|| format!("no JSON: {said}"))
    }

    /// A field of a node in `status --json`.
    ///
    /// # Errors
    /// If there is no such node.
    pub fn node(&self, name: &str) -> Result<Value> {
        let status = self.json(&["status", "--json"])?;
        let nodes = status["nodes"].as_array().context("a list of nodes")?;
        nodes.iter().find(|node| node["name"] == name).cloned().with_context(|| format!("no node {name}"))
    }
}

impl Testbed {
    /// The folder of a node of the network that is up: its configuration, store and log.
    #[must_use]
    pub fn folder(&self, node: &str) -> PathBuf {
        self.runtime().join("sojourn-testbed/default/nodes").join(node)
    }

    /// The process of a node's daemon.
    ///
    /// # Errors
    /// If none runs with a configuration in the node's folder.
    pub fn process(&self, node: &str) -> Result<u32> {
        let folder = self.folder(node);
        for entry in fs::read_dir("/proc")? {
            let entry = entry?;
            let Ok(number) = entry.file_name().to_string_lossy().parse() else { continue };
            // A process may end while we look.
            let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words: Vec<_> = command.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
            if let [_, flag, file, ..] = words.as_slice()
                && flag == "--config"
                && Path::new(&**file).starts_with(&folder)
            {
                return Ok(number);
            }
        }
        bail!("no daemon runs with a configuration in {}", folder.display())
    }

    /// What `sojourn --json` prints about a daemon: lines, or a list, whose elements count as lines.
    ///
    /// # Errors
    /// If it fails or prints something else.
    pub fn sojourn(&self, node: &str, words: &[&str]) -> Result<Vec<Value>> {
        let said = self.run(&[&["exec", node, "--", "sojourn", "--json"], words].concat())?;
        let values: Vec<Value> =
            serde_json::Deserializer::from_str(&said).into_iter().collect::<Result<_, _>>()?;
        Ok(values
            .into_iter()
            .flat_map(|value| value.as_array().cloned().unwrap_or_else(|| vec![value]))
            .collect())
    }

    /// The care-of address of each binding that a home agent lists.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub fn bindings(&self, node: &str) -> Result<Vec<String>> {
        let rows = self.sojourn(node, &["ha", "bindings"])?;
        Ok(rows.iter().map(|row| text(&row["care_of"]).to_owned()).collect())
    }
}

/// Ends a network that a test left up; one that is down already is fine.
impl Drop for Testbed {
    fn drop(&mut self) {
        let _ = self.attempt(&["down"]);
    }
}

/// Text of a JSON value; empty if it is none.
#[must_use]
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
