//! The threads of the data path and how control speaks to them.

use std::{
    io::{self, PipeReader, PipeWriter, Write as _},
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use crate::error::{Attempt, Error};

/// How long control waits for a thread that was rung for. It answers after what it has in hand.
const ANSWER: Duration = Duration::from_secs(1);

/// A thread of the data path.
pub(super) struct Thread {
    /// Closed, it ends the thread; an octet makes it look at the ports anew.
    wake: Option<PipeWriter>,
    /// Says that it has let the old ports go.
    answers: Mutex<Receiver<()>>,
    handle: Option<JoinHandle<()>>,
}

impl Thread {
    /// Starts a thread that lives until it is stopped.
    pub(super) fn spawn(name: &str, run: impl FnOnce(Bell) + Send + 'static) -> Result<Self, Error> {
        let start = || -> io::Result<Self> {
            let (pipe, wake) = io::pipe()?;
            let (sender, answers) = sync_channel(1);
            let bell = Bell { pipe, answers: sender };
            let handle = std::thread::Builder::new().name(name.to_owned()).spawn(move || run(bell))?;
            Ok(Self { wake: Some(wake), answers: Mutex::new(answers), handle: Some(handle) })
        };
        start().attempt(|| format!("start the thread {name}"))
    }

    pub(super) fn stop(&mut self) {
        self.wake = None;
    }

    pub(super) fn join(&mut self) {
        if let Some(handle) = self.handle.take()
            && handle.join().is_err()
        {
            tracing::error!(
                "a thread of the data path had panicked: packets were lost, please report the lines before"
            );
        }
    }

    /// Makes the thread look at the ports anew and waits until it did: only then are the old ones closed and
    /// their numbers free.
    pub(super) fn ring(&self) {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        // Answers that came too late for somebody before us.
        while answers.try_recv().is_ok() {}
        if let Some(mut wake) = self.wake.as_ref()
            && wake.write_all(&[0]).is_ok()
            && answers.recv_timeout(ANSWER).is_err()
        {
            tracing::warn!("a thread of the data path is slow to exchange its ports");
        }
    }
}

/// The thread's end of its wake-up pipe.
pub(super) struct Bell {
    pipe: PipeReader,
    answers: SyncSender<()>,
}

impl Bell {
    /// Reads a wake-up that poll has announced.
    pub(super) fn read(&self) -> Wake {
        let mut octets = [0; 64];
        match nix::unistd::read(&self.pipe, &mut octets) {
            Ok(0) | Err(_) => Wake::Stop,
            Ok(_) => Wake::PortsChanged,
        }
    }

    pub(super) fn answer(&self) {
        // Nobody waits if the place is taken.
        let _ = self.answers.try_send(());
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// What a wake-up means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    Stop,
    PortsChanged,
}
