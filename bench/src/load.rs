//! `testbed load`: a home agent with a key distribution centre beside it, and mobile nodes that check every answer.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::lab;

/// The load generator's program and where it works.
pub(crate) struct Load {
    program: PathBuf,
    folder: tempfile::TempDir,
}

/// What one run of it found.
pub(crate) struct Played(Value);

impl Load {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let program = lab::build(&["testbed", "home-agent", "kdc"])?;
        Ok(Self { program, folder: tempfile::tempdir()? })
    }

    /// Fails if any answer or key was not what a mobile node and a foreign agent accept, or a node could not be reached.
    pub(crate) fn run(&self, arguments: &[&str]) -> anyhow::Result<Played> {
        let json = self.folder.path().join("load.json");
        let directory = self.folder.path().join("run");
        let mut command = Command::new(&self.program);
        command.arg("load").args(arguments);
        command.arg("--json").arg(&json).arg("--directory").arg(&directory);
        let output = command.stdin(Stdio::null()).output().context("testbed load")?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "testbed load: {said}{}", String::from_utf8_lossy(&output.stderr));
        let figures: Value = serde_json::from_slice(&std::fs::read(&json)?)?;
        let count = |name: &str| figures[name].as_u64().with_context(|| format!("no {name} in its figures"));
        ensure!(
            count("verified")? == count("accepted")?,
            "an answer was not what a node and an agent accept"
        );
        ensure!(count("unreachable")? == 0, "some nodes could not be reached");
        ensure!(count("keys_wrong")? == 0, "some keys are not the home agent's");
        Ok(Played(figures))
    }
}

impl Played {
    /// A figure of one of its phases.
    pub(crate) fn of(&self, phase: &str, name: &str) -> anyhow::Result<f64> {
        let phases = self.0["phases"].as_array().context("no phases in its figures")?;
        let found = phases.iter().find(|one| one["name"] == phase);
        let found = found.with_context(|| format!("no {phase} in its figures"))?;
        let number = name.split('/').fold(found, |value, key| &value[key]).as_f64();
        number.with_context(|| format!("no {name} of {phase} in its figures"))
    }
}
