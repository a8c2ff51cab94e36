//! Datagrams that wait for control: so many and no more, and nobody crowds out the others.
//!
//! A flood is faster than control. So that it hurts itself, each sender has a lane, shared by chance with few others;
//! control takes from the lanes in turn, and when there is no more room the longest lane loses its oldest datagram.
//! Senders that control knows have lanes of their own and come first: nobody who forges other addresses gets in their
//! way, and strangers are heard all the same.

use std::{
    collections::{BTreeSet, VecDeque, hash_map::RandomState},
    hash::BuildHasher as _,
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::udp::Received;

/// Lanes of one kind of sender.
const LANES: usize = 256;
/// Of so many datagrams one is a stranger's, if any waits.
const STRANGERS_TURN: u8 = 4;

/// What waits in lanes: at most so many in all.
#[derive(Debug)]
struct Lanes<T> {
    lanes: Vec<VecDeque<T>>,
    /// Those that have something, or had when they were last looked at, in the order of their turns.
    turns: VecDeque<usize>,
    waiting: usize,
    most: usize,
}

impl<T> Lanes<T> {
    fn new(most: usize) -> Self {
        let lanes = (0..LANES).map(|_| VecDeque::new()).collect();
        Self { lanes, turns: VecDeque::with_capacity(LANES), waiting: 0, most }
    }

    /// False if another one was lost for it.
    fn push(&mut self, lane: usize, item: T) -> bool {
        let room = self.waiting < self.most;
        if !room && let Some(longest) = self.lanes.iter_mut().max_by_key(|lane| lane.len()) {
            longest.pop_front();
            self.waiting -= 1;
        }
        let lane = lane % LANES;
        if !self.turns.contains(&lane) {
            self.turns.push_back(lane);
        }
        self.lanes[lane].push_back(item);
        self.waiting += 1;
        room
    }

    fn pop(&mut self) -> Option<T> {
        loop {
            let lane = self.turns.pop_front()?;
            if let Some(item) = self.lanes[lane].pop_front() {
                self.waiting -= 1;
                if !self.lanes[lane].is_empty() {
                    self.turns.push_back(lane);
                }
                return Some(item);
            }
        }
    }
}

#[derive(Debug)]
struct State {
    known: BTreeSet<Ipv4Addr>,
    of_known: Lanes<Received>,
    of_strangers: Lanes<Received>,
    /// Datagrams of known senders that were taken since a stranger's was.
    since: u8,
    ended: bool,
}

impl State {
    fn pop(&mut self) -> Option<Received> {
        let turn = self.since.saturating_add(1) >= STRANGERS_TURN;
        let first = if turn { self.of_strangers.pop() } else { None };
        if let Some(stranger) = first {
            self.since = 0;
            return Some(stranger);
        }
        let known = self.of_known.pop();
        if known.is_some() {
            self.since = self.since.saturating_add(1);
            return known;
        }
        self.since = 0;
        self.of_strangers.pop()
    }
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    hash: RandomState,
    arrived: Notify,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of the thread that reads the network.
#[derive(Debug)]
pub(crate) struct Sender(Arc<Shared>);

/// Control's end.
#[derive(Debug)]
pub struct Receiver(Arc<Shared>);

/// Room for so many datagrams of known senders, and for as many of strangers.
pub(crate) fn intake(most: usize) -> (Sender, Receiver) {
    let state = State {
        known: BTreeSet::new(),
        of_known: Lanes::new(most),
        of_strangers: Lanes::new(most),
        since: 0,
        ended: false,
    };
    let shared =
        Arc::new(Shared { state: Mutex::new(state), hash: RandomState::new(), arrived: Notify::new() });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

impl Sender {
    /// Never waits. False if a datagram was lost for it: the oldest of whoever has most waiting.
    pub(crate) fn send(&self, received: Received) -> bool {
        let source = *received.source.ip();
        let lane = self.0.hash.hash_one(source) as usize;
        let mut state = self.0.state();
        let known = state.known.contains(&source);
        let lanes = if known { &mut state.of_known } else { &mut state.of_strangers };
        let room = lanes.push(lane, received);
        drop(state);
        self.0.arrived.notify_one();
        room
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.state().ended = true;
        self.0.arrived.notify_one();
    }
}

impl Receiver {
    /// Waits for the next datagram; `None` once the other end is gone and nothing is left. May be dropped at any time.
    pub async fn recv(&mut self) -> Option<Received> {
        loop {
            {
                let mut state = self.0.state();
                let next = state.pop();
                if next.is_some() || state.ended {
                    return next;
                }
            }
            self.0.arrived.notified().await;
        }
    }

    /// The next datagram, if one waits.
    pub fn try_recv(&mut self) -> Option<Received> {
        self.0.state().pop()
    }

    /// From now on these are the senders that are known.
    pub fn prefer(&self, known: impl IntoIterator<Item = Ipv4Addr>) {
        self.0.state().known = known.into_iter().collect();
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV4;

    use super::*;

    fn from(source: u32, n: u32) -> Received {
        let source = SocketAddrV4::new(Ipv4Addr::from_bits(source), 434);
        Received { source, destination: source, payload: n.to_be_bytes().to_vec() }
    }

    fn all(receiver: &mut Receiver) -> Vec<Received> {
        std::iter::from_fn(|| receiver.try_recv()).collect()
    }

    #[test]
    fn one_loud_sender_loses_its_own_and_nobody_waits_behind_it() {
        let mut lanes = Lanes::new(100);
        let room = (0..10_000).filter(|n| lanes.push(7, *n)).count();
        assert_eq!((room, lanes.waiting), (100, 100));
        for n in 0..10 {
            assert!(!lanes.push(8, n), "somebody loses");
        }
        assert_eq!((lanes.lanes[7].len(), lanes.lanes[8].len()), (90, 10));
        // In turns, and of the loud one the newest are left.
        let taken: Vec<i32> = std::iter::from_fn(|| lanes.pop()).take(20).collect();
        assert_eq!(taken[..4], [9910, 0, 9911, 1]);
        assert_eq!(taken.iter().filter(|n| **n < 100).count(), 10);
        assert_eq!(std::iter::from_fn(|| lanes.pop()).count(), 80);
        assert_eq!((lanes.waiting, lanes.pop()), (0, None));
    }

    #[test]
    fn known_senders_come_first_and_lose_nothing_to_strangers() {
        let (sender, mut receiver) = intake(64);
        receiver.prefer([Ipv4Addr::from_bits(1)]);
        for n in 0..64 {
            assert!(sender.send(from(1, n)));
        }
        for n in 0..10_000 {
            sender.send(from(1000 + n, n));
        }
        let taken = all(&mut receiver);
        assert_eq!(taken.len(), 128);
        let known: Vec<usize> = (0..128).filter(|n| taken[*n].source.ip().to_bits() == 1).collect();
        assert_eq!(known.len(), 64);
        assert!(*known.last().unwrap() < 64 * 4 / 3 + 4, "one of four is a stranger's: {known:?}");
        let order: Vec<_> = known.iter().map(|n| taken[*n].payload[3]).collect();
        assert!(order.is_sorted(), "of one sender in order");
    }

    #[test]
    fn strangers_have_their_turn_however_many_of_known_senders_came_alone() {
        let (sender, mut receiver) = intake(1000);
        receiver.prefer([Ipv4Addr::from_bits(1)]);
        (0..600).for_each(|n| assert!(sender.send(from(1, n))));
        for _ in 0..500 {
            assert!(receiver.try_recv().is_some());
        }
        (0..10).for_each(|n| assert!(sender.send(from(1000 + n, n))));
        let taken: Vec<_> = std::iter::from_fn(|| receiver.try_recv()).take(40).collect();
        assert_eq!(taken.iter().filter(|one| one.source.ip().to_bits() >= 1000).count(), 10);
    }

    #[tokio::test]
    async fn what_is_left_is_taken_before_the_end() {
        let (sender, mut receiver) = intake(4);
        let waits = tokio::spawn(async move {
            let first = receiver.recv().await;
            (first, receiver.recv().await, receiver.recv().await)
        });
        tokio::task::yield_now().await;
        assert!(sender.send(from(5, 1)) && sender.send(from(6, 2)));
        drop(sender);
        let (first, second, end) = waits.await.unwrap();
        let mut values = [first.unwrap().payload[3], second.unwrap().payload[3]];
        values.sort_unstable();
        assert_eq!((values, end), ([1, 2], None));
    }
}
