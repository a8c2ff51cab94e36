//! Reading the configuration again while the daemon runs: on SIGHUP, or when an operator asks.
//!
//! All or nothing: a file with a fault in it changes nothing, and says what is wrong where it was asked and in the log.
//! It is read and checked beside the event loop: a prime in it may take seconds.

use std::{fmt, path::PathBuf, pin::Pin};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot},
};

use crate::{
    Args, beside,
    config::{Reloadable, Reloaded, Setting, reload},
    log::{self, Level},
};

/// What has changed, or why nothing did.
pub type Answer = Result<Vec<String>, String>;
/// Somebody who wants the configuration to be read again.
pub type Asking = oneshot::Sender<Answer>;

/// Operators that may wait.
const WAITING: usize = 4;

/// The configuration file of a daemon that runs.
pub struct Reloads<C> {
    path: PathBuf,
    running: Vec<Setting>,
    level: Level,
    /// As given on the command line, which the file does not overrule.
    log: Option<String>,
    hangups: Option<mpsc::Receiver<()>>,
    asks: mpsc::Sender<Asking>,
    asked: mpsc::Receiver<Asking>,
    reading: Option<Reading<C>>,
    taken: Option<Taken>,
}

/// A file that is being read and checked.
struct Reading<C> {
    read: Pin<Box<dyn Future<Output = Result<Reloaded<C>, String>>>>,
    asking: Option<Asking>,
}

/// A configuration that is being put to use.
#[derive(Debug)]
struct Taken {
    settings: Vec<Setting>,
    changes: Vec<String>,
    log: String,
    asking: Option<Asking>,
}

impl<C> fmt::Debug for Reloads<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloads").field("path", &self.path).finish_non_exhaustive()
    }
}

impl<C: Reloadable> Reloads<C> {
    /// For a daemon that was started with this configuration.
    pub(crate) fn new(args: &Args, config: &C, level: Level) -> Self {
        let (asks, asked) = mpsc::channel(WAITING);
        Self {
            path: args.config.clone(),
            running: config.settings(),
            level,
            log: args.log.clone(),
            hangups: None,
            asks,
            asked,
            reading: None,
            taken: None,
        }
    }

    /// Where operators ask.
    #[must_use]
    pub fn asks(&self) -> mpsc::Sender<Asking> {
        self.asks.clone()
    }

    /// Waits for the next good configuration, made ready for use by `prepare`; nothing of a bad one is taken. May be
    /// dropped and called again at any time. Once all is in use call [`applied`](Self::applied).
    pub async fn next<T>(&mut self, prepare: impl Fn(&C) -> anyhow::Result<T>) -> T {
        // What came before is put to use first, and its asker answered.
        if self.taken.is_some() {
            std::future::pending::<()>().await;
        }
        loop {
            if self.reading.is_none() {
                let asking = self.asked().await;
                self.reading = Some(Reading { read: Box::pin(self.read()), asking });
            }
            let read = match &mut self.reading {
                Some(reading) => reading.read.as_mut().await,
                None => continue,
            };
            let asking = self.reading.take().and_then(|reading| reading.asking);
            match read.and_then(|reloaded| self.ready(reloaded, &prepare)) {
                Ok((ready, taken)) => {
                    self.taken = Some(Taken { asking, ..taken });
                    return ready;
                }
                Err(reason) => {
                    tracing::error!("the configuration stays as it was: {reason}");
                    answer(asking, Err(reason));
                }
            }
        }
    }

    /// The configuration that [`next`](Self::next) gave is in use: whoever asked is told. Without one nothing happens.
    pub fn applied(&mut self) {
        let Some(Taken { settings, changes, log, asking }) = self.taken.take() else { return };
        self.running = settings;
        if let Err(error) = self.level.set(&log) {
            tracing::error!("the log goes on as before: {error}");
        }
        match changes.is_empty() {
            true => tracing::info!("configuration read again: nothing is different"),
            false => tracing::info!("configuration read again: {}", changes.join("; ")),
        }
        answer(asking, Ok(changes));
    }

    fn read(&self) -> impl Future<Output = Result<Reloaded<C>, String>> + use<C> {
        let (path, running) = (self.path.clone(), self.running.clone());
        beside::one_by_one(move || reload::<C>(&path, &running).map_err(|error| error.to_string()))
    }

    fn ready<T>(
        &self,
        Reloaded { config, settings, changes }: Reloaded<C>,
        prepare: impl Fn(&C) -> anyhow::Result<T>,
    ) -> Result<(T, Taken), String> {
        let ready = prepare(&config).map_err(|error| format!("{error:#}"))?;
        let log = log::wanted(self.log.as_deref(), config.log()).to_owned();
        Ok((ready, Taken { settings, changes, log, asking: None }))
    }

    /// The next one who asks; nobody who waits for an answer if it was a signal.
    async fn asked(&mut self) -> Option<Asking> {
        if self.hangups.is_none() {
            let watched = signal(SignalKind::hangup()).map(hangups);
            self.hangups = watched.inspect_err(|error| tracing::error!("SIGHUP is not heard: {error}")).ok();
        }
        let hangup = async {
            match &mut self.hangups {
                // The other end lives as long as the runtime does.
                Some(hangups) => drop(hangups.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = hangup => None,
            // We hold a sender ourselves, so it never ends.
            asking = self.asked.recv() => asking,
        }
    }
}

/// Waits for the signal in a task of its own: a daemon's loop asks for each event whether it came. Several that nobody
/// has looked at are one.
fn hangups(mut signal: Signal) -> mpsc::Receiver<()> {
    let (heard, hangups) = mpsc::channel(1);
    tokio::spawn(async move {
        while signal.recv().await.is_some() && !heard.is_closed() {
            let _ = heard.try_send(());
        }
    });
    hangups
}

fn answer(asking: Option<Asking>, answer: Answer) {
    if let Some(asking) = asking {
        // Whoever asked may have gone away meanwhile.
        let _ = asking.send(answer);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::Path,
        pin::pin,
        sync::Mutex,
        task::{Context, Poll, Waker},
    };

    use nix::{
        sys::signal::{Signal, kill},
        unistd::Pid,
    };

    use super::*;
    use crate::config::{Check, Config};

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Example {
        limit: u16,
    }

    impl Config for Example {
        fn paths(&mut self) -> Vec<&mut PathBuf> {
            Vec::new()
        }

        fn validate(&self, check: &mut Check) {
            check.range("limit", self.limit, 1..=9);
        }
    }

    impl Reloadable for Example {
        fn settings(&self) -> Vec<Setting> {
            vec![Setting::free("limit", self.limit)]
        }

        fn log(&self) -> Option<&str> {
            None
        }
    }

    fn running(folder: &Path) -> (Reloads<Example>, PathBuf) {
        let path = folder.join("x.toml");
        let args = Args { config: path.clone(), check: false, log: None };
        (Reloads::new(&args, &Example { limit: 1 }, Level::deaf()), path)
    }

    fn limit(config: &Example) -> anyhow::Result<u16> {
        anyhow::ensure!(config.limit != 7, "seven is taken");
        Ok(config.limit)
    }

    #[tokio::test]
    async fn a_bad_file_is_answered_and_a_good_one_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let (mut reloads, path) = running(folder.path());
        // The signal of the test beside this one reaches every handler of the process; taken between the last file and
        // its question it would leave nothing to answer.
        let (_no_signal, hangups) = mpsc::channel(1);
        reloads.hangups = Some(hangups);
        let asks = reloads.asks();
        let asking = async {
            let mut answers = Vec::new();
            for text in ["limit = 10", "limit = 7", "limit = ", "limit = 2"] {
                fs::write(&path, text).unwrap();
                let (asking, answered) = oneshot::channel();
                asks.send(asking).await.unwrap();
                if text != "limit = 2" {
                    answers.push(answered.await.unwrap().unwrap_err());
                } else {
                    return (answers, answered);
                }
            }
            unreachable!("the last one returns")
        };
        let ((refusals, answered), taken) = tokio::join!(asking, reloads.next(limit));
        assert_eq!(taken, 2);
        assert!(refusals[0].contains("x.toml:1:1: limit: 10 is not allowed"), "{refusals:?}");
        assert_eq!(refusals[1], "seven is taken");
        assert!(refusals[2].contains("x.toml:1:"), "{refusals:?}");
        reloads.applied();
        assert_eq!(answered.await.unwrap().unwrap(), ["limit: 1 -> 2"]);
    }

    fn polled<T>(future: impl Future<Output = T>) -> Poll<T> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn two_who_ask_at_once_are_both_answered() {
        let folder = tempfile::tempdir().unwrap();
        let (mut reloads, path) = running(folder.path());
        let (_no_signal, hangups) = mpsc::channel(1);
        reloads.hangups = Some(hangups);
        fs::write(path, "limit = 2").unwrap();
        let ((first, one), (second, other)) = (oneshot::channel(), oneshot::channel());
        for asking in [first, second] {
            reloads.asks().send(asking).await.unwrap();
        }
        assert_eq!(reloads.next(limit).await, 2);
        assert!(polled(reloads.next(limit)).is_pending(), "the first is not in use yet");
        reloads.applied();
        assert_eq!(reloads.next(limit).await, 2);
        reloads.applied();
        assert_eq!(one.await.unwrap().unwrap(), ["limit: 1 -> 2"]);
        assert_eq!(other.await.unwrap().unwrap(), [] as [&str; 0]);
    }

    /// Held as long as the check of a [`Slow`] shall take.
    static CHECKED: Mutex<()> = Mutex::new(());

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Slow {}

    impl Config for Slow {
        fn paths(&mut self) -> Vec<&mut PathBuf> {
            Vec::new()
        }

        fn validate(&self, _: &mut Check) {
            drop(CHECKED.lock());
        }
    }

    impl Reloadable for Slow {
        fn settings(&self) -> Vec<Setting> {
            Vec::new()
        }

        fn log(&self) -> Option<&str> {
            None
        }
    }

    #[tokio::test]
    async fn a_check_that_takes_long_holds_nothing_up_and_outlives_who_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.toml");
        fs::write(&path, "").unwrap();
        let args = Args { config: path, check: false, log: None };
        let mut reloads = Reloads::<Slow>::new(&args, &Slow {}, Level::deaf());
        let (_no_signal, hangups) = mpsc::channel(1);
        reloads.hangups = Some(hangups);
        let (asking, answered) = oneshot::channel();
        reloads.asks().send(asking).await.unwrap();
        let checking = CHECKED.lock().unwrap();
        for _ in 0..3 {
            assert!(polled(reloads.next(|_| Ok(()))).is_pending());
        }
        drop(checking);
        reloads.next(|_| Ok(())).await;
        reloads.applied();
        assert_eq!(answered.await.unwrap().unwrap(), [] as [&str; 0]);
    }

    #[tokio::test]
    async fn a_signal_asks_too() {
        let folder = tempfile::tempdir().unwrap();
        let (mut reloads, path) = running(folder.path());
        fs::write(path, "limit = 3").unwrap();
        let mut next = pin!(reloads.next(limit));
        // The first poll puts the handler in place, so that the signal cannot end the test itself.
        assert!(polled(next.as_mut()).is_pending());
        kill(Pid::this(), Signal::SIGHUP).unwrap();
        assert_eq!(next.await, 3);
    }
}
