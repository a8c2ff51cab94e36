//! Who asks for what and when: the schedule, the nodes that wait for an answer, and what came of it.
//!
//! No socket and no clock is here: times come in as durations since the start. A node has one request on its way at
//! most. With a rate, requests are due at fixed times whatever became of those before, and an answer's time counts
//! from when its request was due, not from when it could be sent.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
    time::Duration,
};

use crypto::Rng;
use wire::mip::code::Code;

use super::{
    histogram::Histogram,
    player::Ask,
    trace::{Event, Place, What},
};

/// Waits for an answer to each request of an attempt in turn, in milliseconds; then it is over.
const WAITS: [u64; 4] = [1000, 2000, 4000, 8000];
/// Of ten moves one is to an address of the node's own.
const OWN_OF: u64 = 10;

/// Where requests come from.
pub(crate) enum Source {
    /// Every node registers once, in turn.
    Everyone,
    /// Nodes picked at random move, until this time.
    Moves { until: Duration },
    /// Registered nodes register again where they are, in turn, until this time.
    Renewals { until: Duration },
    /// Nobody asks for anything until this time.
    Nothing { until: Duration },
    /// What a trace says, in the order of times.
    Trace(VecDeque<Event>),
}

/// How fast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// As fast as answers come, with as many on their way as the window allows.
    Answers,
    /// So many requests a second.
    Rate(f64),
}

/// What came of the requests of one phase.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Datagrams, those sent again included.
    pub(crate) sent: u64,
    pub(crate) retransmissions: u64,
    /// Attempts that ended without an answer.
    pub(crate) timeouts: u64,
    pub(crate) codes: BTreeMap<u8, u64>,
    /// Acceptances in which everything was right.
    pub(crate) verified: u64,
    /// Answers to attempts that were over.
    pub(crate) late: u64,
    /// Answers with something wrong, by what.
    pub(crate) wrong: BTreeMap<&'static str, u64>,
    pub(crate) took: Histogram,
    /// Events that a node was too busy for: its earlier ones were not over.
    pub(crate) deferred: u64,
    pub(crate) last_answer: Duration,
}

impl Tally {
    /// Answers with code 0 or 1.
    pub(crate) fn accepted(&self) -> u64 {
        self.codes.iter().filter(|(code, _)| Code(**code).accepted()).map(|(_, count)| count).sum()
    }

    /// Answers with other codes.
    pub(crate) fn denied(&self) -> u64 {
        self.codes.values().sum::<u64>() - self.accepted()
    }
}

/// A request that a node is to send now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) node: u32,
    pub(crate) ask: Ask,
}

/// What a node is at.
struct Attempt {
    number: u64,
    ask: Ask,
    due: Duration,
    sends: usize,
    names: [u32; WAITS.len()],
}

/// A node as the schedule sees it.
#[derive(Default)]
struct Life {
    attempt: Option<Attempt>,
    /// Where it is by the schedule.
    meant: Option<Place>,
    /// Where its last accepted registration is.
    bound: Option<Place>,
    /// What of the trace comes next.
    waiting: VecDeque<(Duration, What)>,
    /// Place among the idle.
    idle: Option<usize>,
}

/// The schedule of one run.
pub(crate) struct Engine {
    lives: Vec<Life>,
    idle: Vec<u32>,
    agents: u16,
    rng: Rng,
    source: Source,
    pace: Pace,
    /// Most on their way at a time.
    window: usize,
    begun: Duration,
    made: u64,
    on_their_way: usize,
    attempts: u64,
    timers: BinaryHeap<Reverse<(Duration, u32, u64)>>,
    /// Attempts whose request is to be sent again.
    again: VecDeque<(u32, u64)>,
    /// Nodes whose attempt ended and for which the trace has more.
    ready: VecDeque<u32>,
    over: Vec<u32>,
    pub(crate) tally: Tally,
}

impl Engine {
    /// With all nodes at home; nothing happens before [`Self::begin`].
    pub(crate) fn new(nodes: u32, agents: u16, seed: [u8; 32]) -> Self {
        let mut engine = Self {
            lives: (0..nodes).map(|_| Life::default()).collect(),
            idle: Vec::new(),
            agents,
            rng: Rng::from_seed(seed),
            source: Source::Trace(VecDeque::new()),
            pace: Pace::Answers,
            window: 1,
            begun: Duration::ZERO,
            made: 0,
            on_their_way: 0,
            attempts: 0,
            timers: BinaryHeap::new(),
            again: VecDeque::new(),
            ready: VecDeque::new(),
            over: Vec::new(),
            tally: Tally::default(),
        };
        (0..nodes).for_each(|node| engine.rest(node));
        engine
    }

    /// Begins a phase; hands back the tally of the one before.
    pub(crate) fn begin(&mut self, source: Source, pace: Pace, now: Duration) -> Tally {
        (self.source, self.pace, self.begun, self.made) = (source, pace, now, 0);
        std::mem::take(&mut self.tally)
    }

    /// No move begins from now on.
    pub(crate) fn end_moves(&mut self, now: Duration) {
        if let Source::Moves { until } = &mut self.source {
            *until = now.min(*until);
        }
    }

    /// Allows so many on their way.
    pub(crate) fn set_window(&mut self, window: usize) {
        self.window = window.max(1);
    }

    /// How many wait for an answer.
    pub(crate) const fn on_their_way(&self) -> usize {
        self.on_their_way
    }

    /// True once all is sent and answered or given up.
    pub(crate) fn finished(&self, now: Duration) -> bool {
        let exhausted = match &self.source {
            Source::Everyone => self.made >= self.lives.len() as u64,
            Source::Moves { until } | Source::Renewals { until } => self.paced().unwrap_or(now) >= *until,
            Source::Nothing { until } => now >= *until,
            Source::Trace(events) => events.is_empty() && self.ready.is_empty(),
        };
        exhausted && self.on_their_way == 0
    }

    /// Where a node's last accepted registration is.
    pub(crate) fn bound(&self, node: u32) -> Option<Place> {
        self.lives.get(node as usize).and_then(|life| life.bound)
    }

    /// The next request to be sent at this time, if one is due.
    pub(crate) fn next(&mut self, now: Duration) -> Option<Order> {
        self.expire(now);
        while let Some((node, number)) = self.again.pop_front() {
            let attempt = self.lives.get(node as usize).and_then(|life| life.attempt.as_ref());
            if let Some(attempt) = attempt.filter(|attempt| attempt.number == number) {
                self.tally.retransmissions += 1;
                return Some(Order { node, ask: attempt.ask });
            }
        }
        while let Some(node) = self.ready.pop_front() {
            let Some((due, what)) = self.life(node).and_then(|life| life.waiting.pop_front()) else {
                continue;
            };
            if let Some(order) = self.act(node, what, due) {
                return Some(order);
            }
        }
        if self.on_their_way >= self.window {
            return None;
        }
        let due = self.paced().unwrap_or(now);
        match self.source {
            Source::Trace(_) => self.next_of_trace(now),
            _ if due > now => None,
            Source::Everyone => {
                let node =
                    u32::try_from(self.made).ok().filter(|node| (*node as usize) < self.lives.len())?;
                self.made += 1;
                let place = Place::Agent((node % u32::from(self.agents)) as u16);
                self.start(node, Ask::Register(place), due)
            }
            Source::Moves { until } => {
                if due >= until || self.idle.is_empty() {
                    return None;
                }
                let chosen = self.rng.below(self.idle.len() as u64) as usize;
                let node = *self.idle.get(chosen)?;
                self.made += 1;
                let place = self.elsewhere(node);
                self.start(node, Ask::Register(place), due)
            }
            Source::Renewals { until } => {
                if due >= until {
                    return None;
                }
                let (node, place) = self.next_to_renew()?;
                self.made += 1;
                self.start(node, Ask::Register(place), due)
            }
            Source::Nothing { .. } => None,
        }
    }

    /// The next registered node that waits for nothing, and where it is.
    fn next_to_renew(&self) -> Option<(u32, Place)> {
        let count = self.lives.len() as u64;
        let in_turn = (0..count).map(|n| ((self.made + n) % count) as u32);
        let mut idle = in_turn.filter_map(|node| {
            let life = self.lives.get(node as usize)?;
            life.attempt.is_none().then_some((node, life.bound?))
        });
        idle.next()
    }

    fn next_of_trace(&mut self, now: Duration) -> Option<Order> {
        loop {
            let Source::Trace(events) = &mut self.source else { return None };
            let first = events.front()?;
            let due = self.begun + Duration::from_secs_f64(first.at);
            if due > now {
                return None;
            }
            let Event { node, what, .. } = events.pop_front()?;
            let life = self.life(node)?;
            if life.attempt.is_some() || !life.waiting.is_empty() {
                life.waiting.push_back((due, what));
                self.tally.deferred += 1;
            } else if let Some(order) = self.act(node, what, due) {
                return Some(order);
            }
        }
    }

    /// What a line of a trace makes a node ask for.
    fn act(&mut self, node: u32, what: What, due: Duration) -> Option<Order> {
        let meant = self.life(node)?.meant;
        let ask = match (what, meant) {
            (What::Register(place) | What::Move(place), _) | (What::Renew, Some(place)) => {
                Ask::Register(place)
            }
            (What::Deregister, Some(place)) => Ask::Leave(place),
            (What::Home, _) => Ask::Return,
            (What::Renew | What::Deregister, None) => return None,
        };
        self.start(node, ask, due)
    }

    fn start(&mut self, node: u32, ask: Ask, due: Duration) -> Option<Order> {
        self.attempts += 1;
        let number = self.attempts;
        self.wake(node);
        let life = self.life(node)?;
        life.meant = match ask {
            Ask::Register(place) => Some(place),
            Ask::Leave(_) | Ask::Return => None,
        };
        life.attempt = Some(Attempt { number, ask, due, sends: 0, names: [0; WAITS.len()] });
        self.on_their_way += 1;
        Some(Order { node, ask })
    }

    /// A place other than where the node is.
    fn elsewhere(&mut self, node: u32) -> Place {
        let here = self.lives.get(node as usize).and_then(|life| life.meant);
        if here != Some(Place::Own) && (self.agents < 2 || self.rng.below(OWN_OF) == 0) {
            return Place::Own;
        }
        let others = u64::from(self.agents) - u64::from(matches!(here, Some(Place::Agent(_))));
        let chosen = self.rng.below(others) as u16;
        match here {
            Some(Place::Agent(here)) if chosen >= here => Place::Agent(chosen + 1),
            _ => Place::Agent(chosen),
        }
    }

    /// The request of that name was handed over to be sent.
    pub(crate) fn sent(&mut self, node: u32, name: u32, now: Duration) {
        self.tally.sent += 1;
        let Some(attempt) = self.life(node).and_then(|life| life.attempt.as_mut()) else { return };
        let Some((slot, wait)) = attempt.names.get_mut(attempt.sends).zip(WAITS.get(attempt.sends)) else {
            return;
        };
        *slot = name;
        attempt.sends += 1;
        let again = now + Duration::from_millis(*wait);
        let number = attempt.number;
        self.timers.push(Reverse((again, node, number)));
    }

    /// An answer to the request of that name came.
    pub(crate) fn answered(&mut self, node: u32, name: u32, code: Code, now: Duration) {
        let Some(attempt) = self.end(node, |attempt| attempt.names.contains(&name)) else {
            self.tally.late += 1;
            return;
        };
        *self.tally.codes.entry(code.0).or_default() += 1;
        self.tally.last_answer = now;
        let took = now.saturating_sub(attempt.due);
        self.tally.took.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        if let Some(life) = self.life(node) {
            match code.accepted() {
                true => life.bound = life.meant,
                false => life.meant = life.bound,
            }
        }
    }

    /// Ends the attempt of a node if it is this one.
    fn end(&mut self, node: u32, this: impl FnOnce(&Attempt) -> bool) -> Option<Attempt> {
        let life = self.life(node)?;
        let attempt = life.attempt.take_if(|attempt| this(attempt))?;
        let more = !life.waiting.is_empty();
        self.on_their_way -= 1;
        self.over.extend(attempt.names.iter().take(attempt.sends));
        if more {
            self.ready.push_back(node);
        } else {
            self.rest(node);
        }
        Some(attempt)
    }

    /// Requests that nobody waits for any more, since the last call.
    pub(crate) fn over(&mut self) -> std::vec::Drain<'_, u32> {
        self.over.drain(..)
    }

    /// When something is due without an answer.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        let timer = self.timers.peek().map(|Reverse((at, _, _))| *at);
        // What cannot be sent for want of room or of a node waits for an answer, not for its time.
        let schedule = self.due().filter(|_| self.on_their_way < self.window);
        timer.into_iter().chain(schedule).min()
    }

    /// When the schedule wants its next request sent, if not as soon as an answer comes.
    fn due(&self) -> Option<Duration> {
        if let Source::Trace(events) = &self.source {
            return events.front().map(|event| self.begun + Duration::from_secs_f64(event.at));
        }
        let due = self.paced()?;
        let possible = match self.source {
            Source::Everyone => self.made < self.lives.len() as u64,
            Source::Moves { until } | Source::Renewals { until } => due < until && !self.idle.is_empty(),
            Source::Nothing { .. } | Source::Trace(_) => false,
        };
        possible.then_some(due)
    }

    /// The time of the next request at a rate.
    fn paced(&self) -> Option<Duration> {
        match self.pace {
            Pace::Answers => None,
            Pace::Rate(rate) => Some(self.begun + Duration::from_secs_f64(self.made as f64 / rate)),
        }
    }

    /// Repeats or gives up what waited long enough.
    fn expire(&mut self, now: Duration) {
        while let Some(Reverse((at, node, number))) = self.timers.peek().copied() {
            if at > now {
                return;
            }
            self.timers.pop();
            let Some(attempt) = self.life(node).and_then(|life| life.attempt.as_ref()) else { continue };
            if attempt.number != number {
                continue;
            }
            if attempt.sends < WAITS.len() {
                self.again.push_back((node, number));
            } else if self.end(node, |_| true).is_some() {
                self.tally.timeouts += 1;
                if let Some(life) = self.life(node) {
                    life.meant = life.bound;
                }
            }
        }
    }

    fn life(&mut self, node: u32) -> Option<&mut Life> {
        self.lives.get_mut(node as usize)
    }

    /// It may be picked.
    fn rest(&mut self, node: u32) {
        let at = self.idle.len();
        if let Some(life) = self.lives.get_mut(node as usize).filter(|life| life.idle.is_none()) {
            life.idle = Some(at);
            self.idle.push(node);
        }
    }

    /// It may not be picked any more.
    fn wake(&mut self, node: u32) {
        let Some(at) = self.life(node).and_then(|life| life.idle.take()) else { return };
        self.idle.swap_remove(at);
        if let Some(moved) = self.idle.get(at).copied()
            && let Some(life) = self.life(moved)
        {
            life.idle = Some(at);
        }
    }
}

#[cfg(test)]
mod tests;
