//! The network that stays up: a process in the background holds it, and others ask it over a Unix socket.
//!
//! One request and its answers per connection, each a line of JSON.

use std::{
    ffi::OsString,
    fs::File,
    io::{BufRead, BufReader, Write},
    os::unix::{
        ffi::OsStringExt,
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::Path,
    sync::{
        Arc,
        mpsc::{self, Sender},
    },
    thread,
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{directory::Directory, network::Network, traffic};

/// Name of the socket in a network's directory.
const SOCKET: &str = "holder.sock";
const LOCK: &str = "holder.lock";

/// What can be asked of a network.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "request")]
pub(crate) enum Request {
    Status,
    Move {
        node: String,
        link: String,
    },
    Kill {
        node: String,
        signal: i32,
    },
    Start {
        node: String,
    },
    /// How another process gets into a node.
    Enter {
        node: String,
    },
    /// The transfer and the probes of the scenario, without any move.
    Traffic {
        megabytes: u32,
        seconds: u32,
    },
    Down,
}

/// One line of an answer; the last one is `Done` or `Failed`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answer {
    Note(String),
    Done(Value),
    Failed(String),
}

/// How to get into a node: the process and thread that hold its namespace, and the environment.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Door {
    pub(crate) process: u32,
    pub(crate) thread: i32,
    /// Values are the bytes of the operating system.
    pub(crate) environment: Vec<(String, Vec<u8>)>,
}

impl Door {
    /// The environment as the operating system wants it.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&str, OsString)> {
        self.environment.iter().map(|(name, value)| (name.as_str(), OsString::from_vec(value.clone())))
    }
}

/// Claims a directory for this process, for as long as the file lives.
pub(crate) fn claim(directory: &Directory) -> Result<File> {
    let file = File::create(directory.path().join(LOCK))?;
    if file.try_lock().is_err() {
        bail!("another testbed holds a network in {}", directory.path().display());
    }
    Ok(file)
}

/// Whether a network is held there.
pub(crate) fn is_held(directory: &Path) -> bool {
    UnixStream::connect(directory.join(SOCKET)).is_ok()
}

/// Answers requests until one asks for the end; then takes the network down.
pub(crate) fn hold(network: Network, ready: impl FnOnce()) -> Result<()> {
    let path = network.directory.path().join(SOCKET);
    let _ = std::fs::remove_file(&path);
    let listener =
        UnixListener::bind(&path).with_context(|| format!("cannot listen at {}", path.display()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let directory = network.directory.clone();
    let network = Arc::new(network);
    let (ask_end, end) = mpsc::channel::<UnixStream>();
    let serving = Arc::clone(&network);
    thread::Builder::new().name("control".into()).spawn(move || {
        for stream in listener.incoming().flatten() {
            let (network, ask_end) = (Arc::clone(&serving), ask_end.clone());
            thread::spawn(move || serve(stream, &network, &ask_end));
        }
    })?;
    ready();
    let stream = end.recv().context("the control thread has ended")?;
    network.end();
    network.switch.end_record()?;
    directory.remove()?;
    send(&stream, &Answer::Done(json!({})))?;
    Ok(())
}

fn serve(stream: UnixStream, network: &Network, ask_end: &Sender<UnixStream>) {
    let Ok(Some(request)) = receive::<Request>(&mut BufReader::new(&stream)) else {
        return;
    };
    if let Request::Down = request {
        let _ = ask_end.send(stream);
        return;
    }
    let answer = match carry_out(network, request) {
        Ok(value) => Answer::Done(value),
        Err(error) => Answer::Failed(format!("{error:#}")),
    };
    let _ = send(&stream, &answer);
}

fn carry_out(network: &Network, request: Request) -> Result<Value> {
    match request {
        Request::Status => Ok(serde_json::to_value(network.status()?)?),
        Request::Move { node, link } => {
            network.move_to(&node, &link)?;
            Ok(json!({ "state": network.await_attached(&node)? }))
        }
        Request::Kill { node, signal } => network.kill(&node, signal).map(|()| json!({})),
        Request::Start { node } => network.start(&node).map(|()| json!({})),
        Request::Enter { node } => {
            let environment = network.environment(&node)?;
            let environment = environment.into_iter().map(|(name, value)| (name, value.into_vec())).collect();
            let thread = network.node(&node)?.namespace.thread_id();
            Ok(serde_json::to_value(Door { process: std::process::id(), thread, environment })?)
        }
        Request::Traffic { megabytes, seconds } => traffic::measure(network, megabytes, seconds),
        Request::Down => Ok(json!({})),
    }
}

/// Asks the network held in a directory. `note` hears what it says on the way.
pub(crate) fn ask(directory: &Path, request: &Request) -> Result<Value> {
    let stream = UnixStream::connect(directory.join(SOCKET)).with_context(|| {
        format!("no network is up in {} (start one with `testbed up FILE.toml`)", directory.display())
    })?;
    send(&stream, request)?;
    let mut lines = BufReader::new(&stream);
    loop {
        match receive(&mut lines)? {
            Some(Answer::Note(_)) => {}
            Some(Answer::Done(value)) => return Ok(value),
            Some(Answer::Failed(message)) => bail!(message),
            None => bail!("the network went down without an answer"),
        }
    }
}

/// Writes a line.
pub(crate) fn send<T: Serialize>(mut to: impl Write, message: &T) -> Result<()> {
    to.write_all((serde_json::to_string(message)? + "\n").as_bytes())?;
    Ok(())
}

/// Reads a line; nothing at the end.
pub(crate) fn receive<T: for<'a> Deserialize<'a>>(from: &mut impl BufRead) -> Result<Option<T>> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(serde_json::from_str(&line)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_answers_survive_the_socket() {
        let mut bytes = Vec::new();
        send(&mut bytes, &Request::Kill { node: "ha".into(), signal: 9 }).unwrap();
        send(&mut bytes, &Request::Down).unwrap();
        let mut from = bytes.as_slice();
        let first: Option<Request> = receive(&mut from).unwrap();
        assert!(matches!(first, Some(Request::Kill { signal: 9, .. })));
        assert!(matches!(receive(&mut from).unwrap(), Some(Request::Down)));
        assert!(receive::<Request>(&mut from).unwrap().is_none());
    }

    #[test]
    fn a_directory_is_claimed_by_one_only() {
        let parent = tempfile::tempdir().unwrap();
        let directory = Directory::take(&parent.path().join("x")).unwrap();
        let first = claim(&directory).unwrap();
        assert!(claim(&directory).is_err());
        drop(first);
        claim(&directory).unwrap();
    }

    #[test]
    fn nobody_there_is_said_plainly() {
        let parent = tempfile::tempdir().unwrap();
        let error = ask(parent.path(), &Request::Status).unwrap_err();
        assert!(format!("{error:#}").contains("testbed up"), "{error:#}");
    }
}
