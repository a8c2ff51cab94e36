//! Public values and exchanges of negotiated associations, the long ones by others than the event loop.
//!
//! A value serves for a minute: a stranger costs no exponentiation. Of each method that takes long the next value is made
//! while the present one serves. Whoever is the first to want one waits for it; nobody does after that.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use crypto::{Key, Rng, group};
use sa::negotiation::{Answered, End, Half, Method, Policy, Settled};
use sansio::{Instant, Now};
use wire::ip::UdpPacket;

use super::{
    Effect, ForeignAgent, Station,
    pending::{Progress, WAIT},
};
use crate::Ticket;

/// How long a public value is kept from its first use, and how long it is offered.
const VALUE_KEPT: Duration = Duration::from_secs(60);
const VALUE_OFFERED: Duration = Duration::from_secs(VALUE_KEPT.as_secs() - WAIT.as_secs());

/// Most requests that wait for a value; more go without one, which costs them a round.
const MOST: usize = 64;

/// Work for somebody with time, up to a tenth of a second for each exchange (docs/performance.md).
pub struct Exchanges(Job);

enum Job {
    /// A value to offer; what its private half is drawn from is wiped on drop.
    Value { method: Method, group: group::Method, seed: Key },
    /// What a reply settles.
    Settle(Vec<Answered>),
}

/// What came of it.
pub struct Exchanged(Done);

enum Done {
    Value(Method, Half),
    Settled(Result<Vec<Settled>, End>),
}

impl Exchanges {
    pub(super) const fn settling(answers: Vec<Answered>) -> Self {
        Self(Job::Settle(answers))
    }

    /// Does the work, best on a thread beside.
    #[must_use]
    pub fn finish(self) -> Exchanged {
        Exchanged(match self.0 {
            Job::Value { method, group, seed } => {
                let half = Half::new(group, &mut Rng::from_seed(*seed.expose()));
                Done::Value(method, half)
            }
            Job::Settle(answers) => Done::Settled(answers.into_iter().map(Answered::finish).collect()),
        })
    }
}

/// The next value of a method.
enum Spare {
    /// Somebody works at it.
    Ordered,
    Ready(Half),
}

/// Values that are in use, and the next ones.
#[derive(Default)]
pub(super) struct Values {
    live: VecDeque<(Method, Half, Instant)>,
    spare: BTreeMap<Method, Spare>,
    /// To be made.
    wanted: Vec<(Method, group::Method)>,
}

/// What there is to offer now by a method.
pub(super) enum Value {
    Ready(Half),
    /// It is being made.
    Awaited,
    /// The method is not known, or none of the policy's.
    Unknown,
}

impl Values {
    /// The one to offer now by this method.
    pub(super) fn offer(&mut self, policy: &Policy, method: &Method, rng: &mut Rng, now: Instant) -> Value {
        self.erase(now);
        let Some(group) = policy.group(method) else {
            return Value::Unknown;
        };
        let mut latest = self.live.iter().rev().filter(|(by, ..)| by == method);
        if let Some((_, half, first)) = latest.next()
            && now.saturating_since(*first) < VALUE_OFFERED
        {
            return Value::Ready(half.duplicate());
        }
        let half = if group.is_heavy() {
            match self.spare.remove(method) {
                Some(Spare::Ready(half)) => {
                    self.order(method, group);
                    half
                }
                Some(Spare::Ordered) => {
                    self.spare.insert(method.clone(), Spare::Ordered);
                    return Value::Awaited;
                }
                None => {
                    self.order(method, group);
                    return Value::Awaited;
                }
            }
        } else {
            Half::new(group, rng)
        };
        self.live.push_back((method.clone(), half.duplicate(), now));
        Value::Ready(half)
    }

    fn order(&mut self, method: &Method, group: group::Method) {
        self.spare.insert(method.clone(), Spare::Ordered);
        self.wanted.push((method.clone(), group));
    }

    /// One was made. Nobody may want it any more.
    fn came(&mut self, method: &Method, half: Half) {
        if let Some(spare) = self.spare.get_mut(method) {
            *spare = Spare::Ready(half);
        }
    }

    /// Erases what was made for methods of none of these policies.
    pub(super) fn keep(&mut self, policies: &[&Policy]) {
        let kept = |method: &Method| policies.iter().any(|policy| policy.methods.contains(method));
        self.spare.retain(|method, _| kept(method));
        self.live.retain(|(method, ..)| kept(method));
    }

    /// Erases what is a minute old.
    pub(super) fn erase(&mut self, now: Instant) {
        while self.live.front().is_some_and(|(.., first)| now.saturating_since(*first) >= VALUE_KEPT) {
            self.live.pop_front();
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.live.front().map(|(.., first)| *first + VALUE_KEPT)
    }
}

/// A datagram of a station that waits for a value.
struct Early {
    station: Station,
    source: SocketAddrV4,
    destination: SocketAddrV4,
    ttl: u8,
    payload: Vec<u8>,
}

/// A reply whose exchange is worked at.
struct Late {
    handle: u64,
    source: Ipv4Addr,
    payload: Vec<u8>,
}

/// Who waits for work to be done. Requests are bounded, and of replies there is one for each that waits for its home agent.
#[derive(Default)]
pub(super) struct Waiting {
    requests: Vec<Early>,
    replies: BTreeMap<Ticket, Late>,
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.requests.len() + self.replies.len()
    }

    /// True if one more request may wait.
    pub(super) const fn has_room(&self) -> bool {
        self.requests.len() < MOST
    }

    /// A request comes again when a value was made.
    pub(super) fn keep(&mut self, station: Station, udp: &UdpPacket<'_>) {
        let (source, destination, ttl) = (udp.source, udp.destination, udp.ttl);
        self.requests.push(Early { station, source, destination, ttl, payload: udp.payload.to_vec() });
    }
}

impl ForeignAgent {
    /// Has the values made that are wanted.
    pub(super) fn order_values(&mut self) {
        for (method, group) in std::mem::take(&mut self.values.wanted) {
            let ticket = self.ticket();
            let seed = self.rng.key();
            let exchanges = Exchanges(Job::Value { method, group, seed });
            self.outbox.effect(Effect::Exchange { ticket, exchanges });
        }
    }

    /// A reply is right as far as can be seen without its exchanges: nothing changes until they are done.
    pub(super) fn exchange(
        &mut self,
        handle: u64,
        (source, payload): (Ipv4Addr, &[u8]),
        exchanges: Exchanges,
    ) {
        if let Some(pending) = self.pendings.find_mut(handle) {
            pending.progress = Progress::Exchanging;
        }
        let ticket = self.ticket();
        self.waiting.replies.insert(ticket, Late { handle, source, payload: payload.to_vec() });
        self.outbox.effect(Effect::Exchange { ticket, exchanges });
    }

    /// They were worked at.
    pub(super) fn exchanged(&mut self, ticket: Ticket, results: Exchanged, now: Now) {
        match results.0 {
            Done::Value(method, half) => {
                self.values.came(&method, half);
                for early in std::mem::take(&mut self.waiting.requests) {
                    let Early { station, source, destination, ttl, payload } = &early;
                    let udp = UdpPacket {
                        source: *source,
                        destination: *destination,
                        ttl: *ttl,
                        payload: payload.as_slice(),
                    };
                    self.request_again(*station, &udp, now);
                }
            }
            Done::Settled(settled) => {
                let Some(Late { handle, source, payload }) = self.waiting.replies.remove(&ticket) else {
                    return;
                };
                // All is looked at again: much may have changed meanwhile.
                if let Some(pending) = self.pendings.find_mut(handle) {
                    pending.progress = Progress::Waiting;
                }
                self.take_reply(source, &payload, Some(settled), now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use wire::mip::share::Group;

    use super::*;

    const MODP: Method = Method::Known(Group(14));

    fn at(ms: u64) -> Instant {
        Instant::new(Duration::from_millis(ms))
    }

    /// Works at all that is wanted.
    fn make(values: &mut Values, rng: &mut Rng) -> usize {
        let wanted = std::mem::take(&mut values.wanted);
        for (method, group) in &wanted {
            let job = Exchanges(Job::Value { method: method.clone(), group: group.clone(), seed: rng.key() });
            let Done::Value(method, half) = job.finish().0 else { panic!() };
            values.came(&method, half);
        }
        wanted.len()
    }

    fn ready(value: Value) -> Option<Vec<u8>> {
        match value {
            Value::Ready(half) => Some(half.value()),
            Value::Awaited => None,
            Value::Unknown => panic!(),
        }
    }

    #[test]
    fn only_the_first_value_is_waited_for_and_each_serves_53_seconds() {
        let (mut rng, mut values, policy) = (Rng::from_seed([1; 32]), Values::default(), Policy::default());
        let offer = |values: &mut Values, ms: u64| {
            ready(values.offer(&policy, &MODP, &mut Rng::from_seed([9; 32]), at(ms)))
        };
        assert!(offer(&mut values, 1000).is_none() && offer(&mut values, 1000).is_none());
        assert_eq!(make(&mut values, &mut rng), 1, "it is made once");
        let first = offer(&mut values, 1010).unwrap();
        assert_eq!(make(&mut values, &mut rng), 1, "and the next one at once");
        assert_eq!(offer(&mut values, 54_009).unwrap(), first);
        let second = offer(&mut values, 54_010).unwrap();
        assert_ne!(second, first);
        assert_eq!(values.deadline(), Some(at(61_010)));
        values.erase(at(61_010));
        assert_eq!(values.live.len(), 1);
        assert_eq!(make(&mut values, &mut rng), 1);
        // However late the next one is wanted.
        let third = offer(&mut values, 1_000_000).unwrap();
        assert!(third != second && values.live.len() == 1);
    }

    #[test]
    fn values_that_cost_little_are_made_at_once_and_those_of_no_policy_not_at_all() {
        let (mut rng, mut values, policy) = (Rng::from_seed([1; 32]), Values::default(), Policy::default());
        let x25519 = Method::Known(Group::X25519);
        assert!(ready(values.offer(&policy, &x25519, &mut rng, at(0))).is_some());
        let own = Method::Own { prime: [0xff; 256].as_slice().into(), generator: [2].into() };
        assert!(matches!(values.offer(&policy, &own, &mut rng, at(0)), Value::Unknown));
        assert!(matches!(values.offer(&policy, &Method::Known(Group(9)), &mut rng, at(0)), Value::Unknown));
        assert!(values.wanted.is_empty());
        // What a new configuration does not have is erased, also if it comes later.
        assert!(ready(values.offer(&policy, &MODP, &mut rng, at(0))).is_none());
        values.keep(&[&Policy { methods: vec![], ..policy }]);
        make(&mut values, &mut rng);
        assert!(values.live.is_empty() && values.spare.is_empty());
    }
}
