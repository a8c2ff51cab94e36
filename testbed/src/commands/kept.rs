//! The commands on a network that stays up.

use std::{
    fs::File,
    io::BufReader,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;

use crate::{
    binaries::Binaries,
    control::{self, Answer, Request, ask, receive, send},
    directory::Directory,
    interrupt,
    network::Network,
    privilege,
    scenario::{EveryLink, Scenario},
    terminal,
};

/// Which of the networks that are up.
#[derive(Debug, Args)]
pub(crate) struct Name {
    /// Name of the network, where more than one is up
    #[arg(long, default_value = "default", value_parser = plain_name)]
    name: String,
}

impl Name {
    /// The network's directory.
    pub(crate) fn directory(&self) -> PathBuf {
        Directory::base().join(&self.name)
    }
}

fn plain_name(text: &str) -> Result<String, String> {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if plain && (1..=20).contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        Err("1 to 20 letters, digits and -".into())
    }
}

/// Starts a process in the background that holds the network, and waits until it is complete.
pub(crate) fn up(name: &Name, file: &Path, pcap: Option<&Path>, links: &EveryLink) -> Result<ExitCode> {
    let directory = name.directory();
    if control::is_held(&directory) {
        bail!(
            "the network `{0}` is already up: end it with `testbed down --name {0}`, or give this one another --name",
            name.name
        );
    }
    Scenario::load(file)?.worsen(links)?;
    Binaries::find()?;
    Directory::take(&Directory::base())?;
    let held = Directory::take(&directory)?;
    let log_path = held.path().join("holder.log");
    let log = File::create(&log_path)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("hold").arg(std::path::absolute(file)?).arg("--directory").arg(&directory);
    if let Some(pcap) = pcap {
        command.arg("--pcap").arg(std::path::absolute(pcap)?);
    }
    command.args(links.arguments());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    // SAFETY: setsid is async-signal-safe and touches no memory of the parent.
    unsafe {
        command.pre_exec(|| {
            nix::unistd::setsid()?;
            Ok(())
        });
    }
    let mut child = command.spawn().context("cannot start the process that holds the network")?;
    let mut answers = BufReader::new(child.stdout.take().context("the holder has an output")?);
    loop {
        match receive(&mut answers)? {
            Some(Answer::Note(text)) => terminal::line(&format!("  {text}")),
            Some(Answer::Done(_)) => return Ok(ExitCode::SUCCESS),
            Some(Answer::Failed(message)) => bail!(message),
            None => bail!("the process that holds the network ended; see {}", log_path.display()),
        }
    }
}

/// The process in the background. Its answers go to standard output until the network is complete.
pub(crate) fn hold(
    file: &Path,
    directory: &Path,
    pcap: Option<&Path>,
    links: &EveryLink,
) -> Result<ExitCode> {
    let answer = |answer: &Answer| drop(send(std::io::stdout(), answer));
    let result = Scenario::load(file)
        .and_then(|scenario| scenario.worsen(links))
        .and_then(|scenario| hold_network(scenario, directory, pcap, &answer));
    if let Err(error) = &result {
        answer(&Answer::Failed(format!("{error:#}")));
    }
    result.map(|()| ExitCode::SUCCESS)
}

fn hold_network(
    scenario: Scenario,
    directory: &Path,
    pcap: Option<&Path>,
    answer: &dyn Fn(&Answer),
) -> Result<()> {
    let binaries = Binaries::find()?;
    privilege::become_root()?;
    privilege::come_first();
    let directory = Directory::take(directory)?;
    let _claimed = control::claim(&directory)?;
    directory.forget_nodes()?;
    interrupt::guard(Some(directory.path().to_owned()))?;
    let network = Network::up(scenario, directory, binaries, pcap, &|text| {
        answer(&Answer::Note(text.to_owned()));
    })?;
    control::hold(network, || answer(&Answer::Done(Value::Null)))
}

/// Shows every node.
pub(crate) fn status(name: &Name, json: bool) -> Result<ExitCode> {
    let status = ask(&name.directory(), &Request::Status)?;
    if json {
        terminal::line(&serde_json::to_string_pretty(&status)?);
        return Ok(ExitCode::SUCCESS);
    }
    let text = |node: &Value, key: &str| match node.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    terminal::line(&format!(
        "{:<12} {:<14} {:<16} {:<12} {:<12} {:<16} {:<12} {}",
        "NODE", "ROLE", "ADDRESS", "LINK", "STATE", "CARE-OF", "AGENT", "REGISTRATIONS"
    ));
    for node in status.get("nodes").and_then(Value::as_array).into_iter().flatten() {
        let line = format!(
            "{:<12} {:<14} {:<16} {:<12} {:<12} {:<16} {:<12} {}",
            text(node, "name"),
            text(node, "role"),
            text(node, "address"),
            text(node, "link"),
            text(node, "state"),
            text(node, "care_of"),
            text(node, "agent"),
            text(node, "registrations"),
        );
        terminal::line(line.trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

/// Moves a mobile node and waits until it is registered.
pub(crate) fn move_to(name: &Name, node: String, link: String) -> Result<ExitCode> {
    let said = format!("{node} is on {link}");
    let done = ask(&name.directory(), &Request::Move { node, link })?;
    terminal::line(&format!("{said}: {}", done.get("state").and_then(Value::as_str).unwrap_or_default()));
    Ok(ExitCode::SUCCESS)
}

/// Sends a signal to a node's daemon.
pub(crate) fn kill(name: &Name, node: String, signal: i32) -> Result<ExitCode> {
    ask(&name.directory(), &Request::Kill { node, signal })?;
    Ok(ExitCode::SUCCESS)
}

/// Starts a node's daemon again.
pub(crate) fn start(name: &Name, node: String) -> Result<ExitCode> {
    ask(&name.directory(), &Request::Start { node })?;
    Ok(ExitCode::SUCCESS)
}

/// Runs the scenario's traffic without moves and prints how it fared. Success means a right transfer.
pub(crate) fn traffic(name: &Name, megabytes: u32, seconds: u32) -> Result<ExitCode> {
    let result = ask(&name.directory(), &Request::Traffic { megabytes, seconds })?;
    terminal::line(&serde_json::to_string_pretty(&result)?);
    let right = result.pointer("/transfer/sha256_match").and_then(Value::as_bool).unwrap_or(false);
    Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Ends the network.
pub(crate) fn down(name: &Name) -> Result<ExitCode> {
    ask(&name.directory(), &Request::Down)?;
    Ok(ExitCode::SUCCESS)
}
