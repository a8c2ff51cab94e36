//! The live view: what happens to the mobile nodes as it happens, and how far the transfer is.
//!
//! Moments come from several threads. They wait a little before they are shown, so that they stand in the
//! order of their times.

use std::{
    collections::BTreeMap,
    io::IsTerminal,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use proto::agent::Event;

use crate::{agent::Told, clock, network::Move, terminal, traffic::transfer::Progress};

const TICK: Duration = Duration::from_millis(50);
/// How long a moment waits for earlier ones, in nanoseconds.
const SETTLE: u64 = 80_000_000;

/// Something to show.
pub(crate) enum Moment {
    /// A line of its own, shown at once.
    Note(String),
    Moved {
        node: String,
        moved: Move,
    },
    FirstPacket {
        node: String,
        came: bool,
    },
    Told {
        node: String,
        event: Box<Event>,
    },
    /// Something that the scenario lets go wrong.
    Trouble(String),
    /// An agent read its configuration again.
    Reloaded(String),
    Begin {
        zero: u64,
        progress: Arc<Progress>,
    },
}

type Timed = (u64, Moment);

/// The thread that shows.
pub(crate) struct Timeline {
    moments: Sender<Timed>,
    told: Sender<Told>,
    threads: Vec<JoinHandle<()>>,
}

impl Timeline {
    /// Starts to show. A progress bar is drawn only where a person looks on.
    pub(crate) fn start() -> Result<Self> {
        let (moments, inbox) = mpsc::channel();
        let (told, events) = mpsc::channel::<Told>();
        let forward = moments.clone();
        let from_daemons = move || {
            for Told { node, event } in events {
                let _ = forward.send((event.boot_ns, Moment::Told { node, event: Box::new(event) }));
            }
        };
        let screen = Screen::default();
        let threads = vec![
            thread::Builder::new().name("daemons' events".into()).spawn(from_daemons)?,
            thread::Builder::new().name("timeline".into()).spawn(move || screen.run(&inbox))?,
        ];
        Ok(Self { moments, told, threads })
    }

    /// Shows a line.
    pub(crate) fn note(&self, text: impl Into<String>) {
        self.tell(0, Moment::Note(text.into()));
    }

    /// Shows a moment (boot nanoseconds).
    pub(crate) fn tell(&self, at: u64, moment: Moment) {
        let _ = self.moments.send((at, moment));
    }

    /// From now on times count from here, and the transfer is shown.
    pub(crate) fn begin(&self, zero: u64, progress: Arc<Progress>) {
        self.tell(0, Moment::Begin { zero, progress });
    }

    /// Where a daemon's events may be sent.
    pub(crate) fn listener(&self) -> Sender<Told> {
        self.told.clone()
    }

    /// Shows what is left and ends.
    pub(crate) fn finish(self) {
        let Self { moments, told, threads } = self;
        drop((moments, told));
        for thread in threads {
            let _ = thread.join();
        }
    }
}

#[derive(Default)]
struct Screen {
    zero: u64,
    progress: Option<Arc<Progress>>,
    bar: Option<ProgressBar>,
    waiting: Vec<Timed>,
    /// By mobile node: when its carrier came, and on which link.
    places: BTreeMap<String, (u64, String)>,
    tenths: u64,
}

impl Screen {
    fn run(mut self, inbox: &Receiver<Timed>) {
        loop {
            match inbox.recv_timeout(TICK) {
                Ok((_, Moment::Note(text))) => self.print(&text),
                Ok((_, Moment::Begin { zero, progress })) => self.begin(zero, progress),
                Ok(timed) => self.waiting.push(timed),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.show_until(clock::boot_ns().saturating_sub(SETTLE));
            self.advance();
        }
        self.show_until(u64::MAX);
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn begin(&mut self, zero: u64, progress: Arc<Progress>) {
        self.zero = zero;
        if std::io::stdout().is_terminal() {
            let bar = ProgressBar::new(progress.total);
            bar.set_draw_target(indicatif::ProgressDrawTarget::stdout());
            if let Ok(style) = ProgressStyle::with_template(
                "  transfer [{bar:36}] {decimal_bytes:>9} of {decimal_total_bytes}  {decimal_bytes_per_sec:>11}  {msg}",
            ) {
                bar.set_style(style.progress_chars("=> "));
            }
            self.bar = Some(bar);
        }
        self.progress = Some(progress);
    }

    fn advance(&mut self) {
        let Some(progress) = &self.progress else { return };
        let received = progress.received.load(Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.set_position(received);
            return;
        }
        let tenths = received * 10 / progress.total.max(1);
        if tenths > self.tenths {
            self.tenths = tenths;
            let at = clock::ms(self.zero, clock::boot_ns()) / 1000.0;
            self.print(&format!("{at:8.3} s  transfer: {} %, {} MB", tenths * 10, received / 1_000_000));
        }
    }

    fn show_until(&mut self, limit: u64) {
        let (mut due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(at, _)| *at <= limit);
        self.waiting = later;
        due.sort_by_key(|(at, _)| *at);
        for (at, moment) in due {
            self.show(at, moment);
        }
    }

    fn show(&mut self, at: u64, moment: Moment) {
        // What daemons tell of the time before the schedule has been said already.
        if self.zero == 0 || at < self.zero {
            return;
        }
        let seconds = clock::ms(self.zero, at) / 1000.0;
        match moment {
            Moment::Moved { node, moved } => {
                self.print(&format!("{seconds:8.3} s  {node}: {} -> {}", moved.from, moved.to));
                let out = clock::ms(moved.link_down, moved.link_up);
                self.print(&format!("{:11}{:10.1} ms  carrier, after {out:.1} ms without", "", 0.0));
                if let Some(bar) = &self.bar {
                    bar.set_message(format!("{node} on {}", moved.to));
                }
                self.places.insert(node, (moved.link_up, moved.to));
            }
            Moment::FirstPacket { node, came } => {
                let what = if came { "first packet through" } else { "NO PACKET CAME" };
                self.detail(&node, at, what);
            }
            Moment::Told { node, event } => {
                if let Some(what) = words(&event) {
                    self.detail(&node, at, &what);
                }
            }
            Moment::Trouble(what) => self.print(&format!("{seconds:8.3} s  fault: {what}")),
            Moment::Reloaded(what) => self.print(&format!("{seconds:8.3} s  {what}")),
            Moment::Note(_) | Moment::Begin { .. } => {}
        }
    }

    /// A line with the time since the carrier of the node that moved last.
    fn detail(&self, node: &str, at: u64, what: &str) {
        let own = self.places.get(node).map(|(up, _)| *up);
        let last = || self.places.values().map(|(up, _)| *up).filter(|up| *up <= at).max();
        let Some(up) = own.or_else(last) else { return };
        let who = if own.is_some() { String::new() } else { format!("{node}: ") };
        self.print(&format!("{:11}{:10.1} ms  {who}{what}", "", clock::ms(up, at)));
    }

    fn print(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => terminal::line(text),
        }
    }
}

/// An event in a few words; nothing for those that say nothing new to an onlooker.
fn words(event: &Event) -> Option<String> {
    let care_of = &event.care_of;
    Some(match event.kind.as_str() {
        "agent_heard" => format!("hears {}", event.agent),
        "address_appeared" => format!("has the address {care_of}"),
        "request_sent" => "sends a registration request".into(),
        "registered" if care_of.is_empty() => "registered".into(),
        "registered" => format!("registered with care-of address {care_of}"),
        "deregistered" => "at home, binding given up".into(),
        "denied" => format!("denied, code {}: {}", event.code, event.text),
        "route_installed" => "routes installed".into(),
        "binding_added" => {
            let keys: Vec<String> =
                event.keys.iter().map(|key| format!("{} {}", key.kind, key.fingerprint)).collect();
            let through =
                if event.encapsulation.is_empty() { "tunnel" } else { event.encapsulation.as_str() };
            format!("{through} to {care_of}; fresh {}", keys.join(", "))
        }
        "binding_removed" => "binding removed".into(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemons_event_becomes_a_few_words() {
        let event = |kind: &str| Event { kind: kind.into(), care_of: "10.51.1.2".into(), ..Event::default() };
        assert_eq!(words(&event("registered")).unwrap(), "registered with care-of address 10.51.1.2");
        assert_eq!(words(&event("visitor_added")), None);
    }

    #[test]
    fn moments_are_shown_in_the_order_of_their_times() {
        let mut screen = Screen { zero: 1, ..Screen::default() };
        for at in [30, 10, 20] {
            screen.waiting.push((at, Moment::FirstPacket { node: "mn".into(), came: true }));
        }
        screen.show_until(20);
        assert_eq!(screen.waiting.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [30]);
    }
}
