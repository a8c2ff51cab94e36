//! Links that are worse than a cable: delay, jitter, loss, duplicates, reordering, a rate and cuts, all in user
//! space, since many kernels come without such a queueing discipline.
//!
//! A thread reads every frame that a node sends on such a link from a packet socket, lets it wait as the link's
//! impairment says, and hands it to the ports that it is for, as a learning bridge does. A frame passes one
//! discipline: that of the port by which it entered, so the delay counts once in each direction.

mod discipline;
mod ledger;
mod random;
mod relay;
mod segment;
mod socket;

use std::{
    io::Write as _,
    os::{fd::OwnedFd, unix::net::UnixStream},
    sync::{
        Arc, Mutex,
        mpsc::{self, Sender},
    },
    thread::{self, JoinHandle},
};

use anyhow::{Context, Result, anyhow};

use self::relay::Relay;
pub(crate) use self::{discipline::Impairment, ledger::Ledger, socket::port_socket};

/// A link to emulate.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) link: String,
    pub(crate) impairment: Impairment,
    /// The same seed gives the n-th frame that a node sends on the link the same fate in every run.
    pub(crate) seed: u64,
}

/// What the thread is told.
enum Command {
    Attach { port: u32, link: String, origin: String, socket: OwnedFd },
    Detach { port: u32 },
    Impair { link: String, impairment: Impairment },
    Cut { link: String, cut: bool },
    Stop,
}

/// A command, and where to say that it is carried out.
struct Order {
    command: Command,
    done: Sender<()>,
}

/// The thread that carries the frames of all emulated links. It ends with this value.
pub(crate) struct Emulator {
    commands: Sender<Order>,
    wake: UnixStream,
    ledger: Arc<Mutex<Ledger>>,
    thread: Option<JoinHandle<()>>,
}

impl Emulator {
    /// Starts without any port.
    pub(crate) fn start(lines: Vec<Line>) -> Result<Self> {
        let (commands, inbox) = mpsc::channel();
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let ledger = Arc::new(Mutex::new(Ledger::new(lines.iter().map(|line| line.link.as_str()))));
        let relay = Relay::new(lines, inbox, woken, Arc::clone(&ledger));
        let thread = thread::Builder::new().name("emulated links".into()).spawn(move || relay.run())?;
        Ok(Self { commands, wake, ledger, thread: Some(thread) })
    }

    /// Makes a port of the switch a port of a link. `origin` names the node's end of the cable, always the same
    /// for the same node, and goes into the seed.
    pub(crate) fn attach(&self, port: u32, link: &str, origin: &str, socket: OwnedFd) -> Result<()> {
        self.tell(Command::Attach { port, link: link.to_owned(), origin: origin.to_owned(), socket })
    }

    /// Takes a port away; what it sent before still arrives. One that is not there is no error.
    pub(crate) fn detach(&self, port: u32) -> Result<()> {
        self.tell(Command::Detach { port })
    }

    /// From now on frames that enter the link have this impairment.
    pub(crate) fn impair(&self, link: &str, impairment: Impairment) -> Result<()> {
        self.tell(Command::Impair { link: link.to_owned(), impairment })
    }

    /// Cuts a link, and everything on its way is lost; or makes it whole again. No port loses its carrier.
    pub(crate) fn cut(&self, link: &str, cut: bool) -> Result<()> {
        self.tell(Command::Cut { link: link.to_owned(), cut })
    }

    /// What happened so far.
    pub(crate) fn ledger(&self) -> Result<Ledger> {
        Ok(self.ledger.lock().map_err(|_| anyhow!("a thread panicked"))?.clone())
    }

    /// Tells the thread something and waits until it is so.
    fn tell(&self, command: Command) -> Result<()> {
        let ended = "the thread of the emulated links has ended";
        let (done, carried_out) = mpsc::channel();
        self.commands.send(Order { command, done }).ok().context(ended)?;
        // A full pipe wakes just as well.
        let _ = (&self.wake).write(&[0]);
        carried_out.recv().context(ended)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.tell(Command::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
