//! The loop: reads answers, sends what is due, waits.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{
    engine::{Engine, Pace, Source},
    figures::Phase,
    histogram::Histogram,
    kills::{self, Kills, Outcome, Victim},
    lab::{HOME_ADDRESS, Lab, agent_address, own_address},
    ledger::Ledger,
    live::{Counters, Live},
    player::{Heard, HeldKey, Player},
    ports::{self, Ports},
    trace::Place,
    usage::Usage,
    window::Window,
};
use crate::clock;

/// Requests that are built before answers are read again.
const ROUND: usize = 256;
/// After a round with work, so that the next finds more than one answer: the generator shares the processors with
/// what it measures. No answer's time is off by more.
const NAP: Duration = Duration::from_micros(200);
/// Longest wait for an answer.
const LONGEST: Duration = Duration::from_millis(100);
/// With a rate all that is due is sent, however many are on their way.
const UNBOUNDED: usize = 1 << 20;
/// Most requests of the stream beside that are on their way when answers set its pace.
const BESIDE: usize = 16;

/// Nodes that register beside the others, at a pace of their own.
pub(crate) struct Beside {
    engine: Engine,
    /// The number of the first; they are the last ones.
    first: u32,
}

impl Beside {
    /// So many, from that one on, at home.
    pub(crate) fn new(first: u32, count: u32, agents: u16, seed: [u8; 32]) -> Self {
        let mut engine = Engine::new(count, agents, seed);
        engine.set_window(BESIDE);
        Self { engine, first }
    }
}

/// How fast those beside are.
fn window_beside(pace: Pace) -> usize {
    if pace == Pace::Answers { BESIDE } else { UNBOUNDED }
}

/// The phase of those beside.
const fn name_beside(name: &str) -> &'static str {
    match name.as_bytes() {
        b"register" => "register-beside",
        b"moves" => "moves-beside",
        b"renewals" => "renewals-beside",
        _ => "beside",
    }
}

/// Everything that the generator has.
pub(crate) struct Runner<'a> {
    lab: &'a Lab,
    player: Player,
    engine: Engine,
    beside: Option<Beside>,
    ports: Ports,
    in_flight: Option<usize>,
    started: Instant,
    kills: Option<Kills>,
}

impl<'a> Runner<'a> {
    /// Opens the sockets in the generator's namespace.
    pub(crate) fn new(
        lab: &'a Lab,
        player: Player,
        engine: Engine,
        beside: Option<Beside>,
        agents: u16,
        in_flight: Option<usize>,
    ) -> Result<Self> {
        let sockets = lab.access.run(move |_| {
            let agents: Vec<_> = (0..agents).map(agent_address).collect();
            ports::sockets(&agents, own_address(), HOME_ADDRESS)
        })?;
        let ports = Ports::new(sockets);
        Ok(Self { lab, player, engine, beside, ports, in_flight, started: Instant::now(), kills: None })
    }

    /// The sockets.
    pub(crate) const fn ports(&self) -> &Ports {
        &self.ports
    }

    /// Every node that is registered, and where.
    pub(crate) fn visits(&self) -> Vec<(u32, Place)> {
        let nodes = u32::try_from(self.player.nodes()).unwrap_or(u32::MAX);
        let beside = |node: u32| {
            let beside = self.beside.as_ref()?;
            beside.engine.bound(node.checked_sub(beside.first)?)
        };
        (0..nodes)
            .filter_map(|node| Some((node, self.engine.bound(node).or_else(|| beside(node))?)))
            .collect()
    }

    /// Runs one phase to its end: those beside do the same at their own pace, which makes a second phase of it.
    pub(crate) fn phase(
        &mut self,
        name: &'static str,
        source: impl Fn(Duration) -> Source,
        [pace, pace_beside]: [Pace; 2],
    ) -> Result<Vec<Phase>> {
        let before = self.usage()?;
        let begun = self.started.elapsed();
        self.engine.begin(source(begun), pace, begun);
        if let Some(Beside { engine, .. }) = &mut self.beside {
            engine.begin(source(begun), pace_beside, begun);
            engine.set_window(window_beside(pace_beside));
        }
        let fixed = self.in_flight.or((pace != Pace::Answers).then_some(UNBOUNDED));
        let mut window = Window::new(fixed, begun);
        let mut live = Live::new(begun);
        let mut second = Histogram::default();
        let mut all = Histogram::default();
        loop {
            let now = self.started.elapsed();
            self.engine.set_window(window.size());
            let work = self.round(now)?;
            if now >= live.due() {
                self.lab.check()?;
                std::mem::swap(&mut second, &mut self.engine.tally.took);
                live.show(now, self.counters(), self.engine.on_their_way(), &second);
                all.merge(&std::mem::take(&mut second));
            }
            let counters = self.counters();
            self.kill_if_due(now, counters.accepted)?;
            window.look(now, counters.accepted, counters.retransmissions);
            let beside = self.beside.as_ref();
            if self.engine.finished(now) && beside.is_none_or(|beside| beside.engine.finished(now)) {
                break;
            }
            if work {
                thread::sleep(NAP);
            }
        }
        live.end();
        let (after, lasted) = (self.usage()?, self.started.elapsed().saturating_sub(begun));
        for (node, checked) in self.player.verify_kept() {
            let (engine, _) = stream_of(&mut self.engine, &mut self.beside, node);
            match checked {
                Ok(accepted) => engine.tally.verified += u64::from(accepted),
                Err(why) => *engine.tally.wrong.entry(why).or_default() += 1,
            }
        }
        let used = [after[0].since(before[0]), after[1].since(before[1]), after[2].since(before[2])];
        let end = |engine: &mut Engine| engine.begin(Source::Trace([].into()), Pace::Answers, begun);
        let mut tally = end(&mut self.engine);
        tally.took.merge(&all);
        let mut phases = vec![Phase::of(name, tally, (begun, lasted), window.size(), used)];
        if let Some(Beside { engine, .. }) = &mut self.beside {
            let window = window_beside(pace_beside);
            phases.push(Phase::of(name_beside(name), end(engine), (begun, lasted), window, used));
        }
        Ok(phases)
    }

    /// What was negotiated and not given up.
    pub(crate) fn negotiated(&self) -> impl Iterator<Item = &HeldKey> {
        self.player.negotiated()
    }

    /// Makes the next phase one of kills; it ends when all are done.
    pub(crate) fn begin_kills(&mut self, kills: Kills) {
        self.kills = Some(kills);
    }

    /// From now on it is recorded what is acknowledged.
    pub(crate) fn begin_record(&mut self) {
        self.player.ledger = Some(Ledger::new(self.player.nodes()));
    }

    /// Compares for the last time, when nobody moves any more, and hands back what came of the kills.
    pub(crate) fn end_kills(&mut self) -> Result<Option<Outcome>> {
        let (Some(mut kills), Some(ledger)) = (self.kills.take(), &self.player.ledger) else {
            return Ok(None);
        };
        kills.compare_all(self.lab, ledger)?;
        Ok(Some(kills.outcome))
    }

    fn kill_if_due(&mut self, now: Duration, accepted: u64) -> Result<()> {
        let Some(kills) = &mut self.kills else { return Ok(()) };
        if let Some(victim) = kills.due(now, accepted)? {
            kills.strike(self.lab, victim)?;
            kills::tell(victim, kills.outcome.home_agent + kills.outcome.kdc);
            self.hear_the_rest(victim)?;
        } else if kills.over() {
            self.engine.end_moves(now);
        }
        Ok(())
    }

    /// Reads what was answered before a kill, starts again who was killed, and compares.
    fn hear_the_rest(&mut self, victim: Victim) -> Result<()> {
        while self.receive(Duration::ZERO)? {}
        let accepted = self.engine.tally.accepted();
        let (Some(kills), Some(ledger)) = (&mut self.kills, &self.player.ledger) else { return Ok(()) };
        kills.revive(self.lab, victim, ledger)?;
        kills.wait_for_more_than(accepted);
        if victim != Victim::Kdc {
            for (from, bytes) in kills.replays(ledger) {
                self.ports.push(from, bytes);
            }
        }
        Ok(())
    }

    /// Reads and sends once; true if there was something to do.
    fn round(&mut self, now: Duration) -> Result<bool> {
        let Self { player, engine, beside, ports, .. } = self;
        let beside = beside.as_mut().map(|Beside { engine, first }| (engine, *first));
        let (mut sent, mut deadline) = (0, now + LONGEST);
        for (engine, first) in [(engine, 0)].into_iter().chain(beside) {
            while sent < ROUND
                && let Some(order) = engine.next(now)
            {
                let unix = clock::unix_ns() / 1_000_000_000;
                let datagram = player.request(first + order.node, order.ask, now, unix)?;
                engine.sent(order.node, datagram.name, now);
                ports.push(datagram.from, datagram.bytes);
                sent += 1;
            }
            deadline = engine.deadline().map_or(deadline, |at| at.min(deadline));
        }
        ports.flush()?;
        let until = if sent == ROUND { now } else { deadline };
        let heard = self.receive(until.saturating_sub(now).min(LONGEST))?;
        Ok(sent > 0 || heard)
    }

    /// Reads what comes within this time; true if there was something.
    fn receive(&mut self, longest: Duration) -> Result<bool> {
        let Self { player, engine, beside, ports, .. } = self;
        let readable = ports.wait(longest)?;
        let arrived = self.started.elapsed();
        for at in &readable {
            ports.receive(*at, |agent, message| match player.reply(agent, message) {
                Heard::Verified { node, name, code } => {
                    let (engine, node) = stream_of(engine, beside, node);
                    engine.tally.verified += u64::from(code.accepted());
                    engine.answered(node, name, code, arrived);
                }
                Heard::Kept { node, name, code } => {
                    let (engine, node) = stream_of(engine, beside, node);
                    engine.answered(node, name, code, arrived);
                }
                Heard::Late => engine.tally.late += 1,
                Heard::Wrong(why) => *engine.tally.wrong.entry(why).or_default() += 1,
            })?;
        }
        for engine in [Some(engine), beside.as_mut().map(|beside| &mut beside.engine)].into_iter().flatten() {
            engine.over().for_each(|name| player.forget(name));
        }
        Ok(!readable.is_empty())
    }

    fn counters(&self) -> Counters {
        let tally = &self.engine.tally;
        Counters {
            sent: tally.sent,
            accepted: tally.accepted(),
            denied: tally.denied(),
            retransmissions: tally.retransmissions,
        }
    }

    /// Of home agent, key distribution centre and generator.
    fn usage(&self) -> Result<[Usage; 3]> {
        let processes = [self.lab.home_agent.process()?, self.lab.kdc.process()?, std::process::id()];
        Ok(processes.map(Usage::of))
    }
}

/// The schedule that a node belongs to, and its number there.
fn stream_of<'e>(main: &'e mut Engine, beside: &'e mut Option<Beside>, node: u32) -> (&'e mut Engine, u32) {
    match beside {
        Some(Beside { engine, first }) if node >= *first => (engine, node - *first),
        _ => (main, node),
    }
}
