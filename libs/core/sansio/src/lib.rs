//! The one trait between a core and the world.
//!
//! A core decides; a shell acts. The shell hands a core exactly one [`Input`] at a time together with
//! the time in [`Now`], then calls [`Machine::poll`] until it returns [`Output::Wait`] and carries out
//! every output in the order it came. The same core runs under the event loop of a daemon and under the
//! simulator, where a seed always gives the same trace.
//!
//! Nothing here reads a clock, a socket, a file or a source of randomness.

#![forbid(unsafe_code)]

use std::{
    collections::VecDeque,
    fmt,
    net::SocketAddrV4,
    num::NonZeroU64,
    ops::{Add, Sub},
    time::Duration,
};

/// Monotonic time since an arbitrary start; it goes on while the host is suspended.
///
/// Our own type, not the standard library's, because that one can only be read from a clock: a simulator
/// could not make one and a trace could not print one. Nanoseconds, for 584 years, then it stands still: with or without
/// `Option` it takes 8 bytes, and a million bindings have several each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(NonZeroU64);

impl Instant {
    /// The instant `since_start` after the arbitrary start.
    #[must_use]
    pub const fn new(since_start: Duration) -> Self {
        let nanoseconds = since_start.as_nanos();
        // Counted from one, so that none has the place of zero.
        Self(NonZeroU64::MIN.saturating_add(if nanoseconds > u64::MAX as u128 {
            u64::MAX
        } else {
            nanoseconds as u64
        }))
    }

    /// Time since the arbitrary start.
    #[must_use]
    pub const fn since_start(self) -> Duration {
        Duration::from_nanos(self.0.get() - 1)
    }

    /// Time from `earlier` to `self`, zero if `earlier` is later.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl Default for Instant {
    fn default() -> Self {
        Self::new(Duration::ZERO)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        let nanoseconds = u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanoseconds))
    }
}

impl Sub<Self> for Instant {
    type Output = Duration;
    fn sub(self, rhs: Self) -> Duration {
        self.saturating_since(rhs)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since_start = self.since_start();
        write!(f, "{}.{:06}s", since_start.as_secs(), since_start.subsec_micros())
    }
}

/// Both clocks at one moment: lifetimes need monotonic time, replay windows need wall time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic time.
    pub mono: Instant,
    /// Wall time since 1970-01-01T00:00:00Z, as the host believes it.
    pub unix: Duration,
}

/// A link layer address (48 bits).
pub type LinkAddress = [u8; 6];

/// One of the links that a core was configured with; the shell maps it to an interface.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct LinkId(pub u32);

/// Something that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram<'a> {
    /// A whole IPv4 packet taken from a link, with the link address of its sender.
    Link {
        /// Where it arrived.
        link: LinkId,
        /// Link address of the sender.
        from: LinkAddress,
        /// The IPv4 packet from its version octet on, without link layer padding guarantees.
        packet: &'a [u8],
    },
    /// A UDP datagram that the host's IP stack delivered.
    Udp {
        /// Sender.
        source: SocketAddrV4,
        /// The local address and port it was sent to.
        destination: SocketAddrV4,
        /// UDP payload.
        payload: &'a [u8],
    },
}

/// Something to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// A whole IPv4 packet to a link address on one link, past the host's routing.
    Link {
        /// Where to send.
        link: LinkId,
        /// Link address of the receiver; all ones is broadcast.
        to: LinkAddress,
        /// The IPv4 packet from its version octet on.
        packet: Vec<u8>,
    },
    /// A UDP datagram by the host's IP stack and routes.
    Udp {
        /// The local address and port to send from.
        source: SocketAddrV4,
        /// Receiver.
        destination: SocketAddrV4,
        /// UDP payload.
        payload: Vec<u8>,
    },
}

/// What a shell hands to a machine.
#[derive(Debug)]
pub enum Input<'a, R> {
    /// Something arrived.
    Datagram(Datagram<'a>),
    /// The shell asks or answers: an operator, the store, the key distribution centre.
    Request(R),
    /// Time has passed; the instant of the last [`Output::Wait`] may have come.
    Tick,
}

/// What a machine wants.
#[derive(Debug)]
pub enum Output<E> {
    /// Send this.
    Send(Transmit),
    /// Do this, before any later output is carried out.
    Effect(E),
    /// Nothing more; call [`Machine::handle`] with [`Input::Tick`] at this instant, if any.
    Wait(Option<Instant>),
}

/// A core: a deterministic state machine.
///
/// Exactly one mutation per [`handle`](Self::handle), followed by [`poll`](Self::poll) until
/// [`Output::Wait`].
pub trait Machine {
    /// What the shell asks or answers.
    type Request;
    /// What the machine wants done besides sending.
    type Effect;

    /// Takes one input at `now`.
    fn handle(&mut self, input: Input<'_, Self::Request>, now: Now);

    /// The next output; call until it returns [`Output::Wait`].
    fn poll(&mut self) -> Output<Self::Effect>;
}

/// The queue of outputs that every machine keeps.
#[derive(Debug)]
pub struct Outbox<E> {
    queue: VecDeque<Output<E>>,
}

impl<E> Default for Outbox<E> {
    fn default() -> Self {
        Self { queue: VecDeque::new() }
    }
}

impl<E> Outbox<E> {
    /// Queues a datagram.
    pub fn send(&mut self, transmit: Transmit) {
        self.queue.push_back(Output::Send(transmit));
    }

    /// Queues an effect.
    pub fn effect(&mut self, effect: E) {
        self.queue.push_back(Output::Effect(effect));
    }

    /// The next queued output, or `Wait(deadline)` when there is none.
    pub fn poll(&mut self, deadline: Option<Instant>) -> Output<E> {
        self.queue.pop_front().unwrap_or(Output::Wait(deadline))
    }

    /// True if nothing is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

/// The earlier of two optional deadlines.
#[must_use]
pub fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_count_in_nanoseconds_and_stand_still_at_their_end() {
        let nanosecond = Duration::from_nanos(1);
        let start = Instant::default();
        assert_eq!((start.since_start(), size_of::<Option<Instant>>()), (Duration::ZERO, 8));
        assert_eq!((start + nanosecond) - start, nanosecond);
        assert_eq!(start - (start + nanosecond), Duration::ZERO);
        let end = start + Duration::MAX;
        assert_eq!((end + nanosecond, Instant::new(Duration::MAX)), (end, end));
        assert!(end.since_start() > Duration::from_secs(584 * 365 * 24 * 3600));
    }

    #[test]
    fn outputs_come_in_order_then_wait() {
        let mut outbox = Outbox::default();
        outbox.effect("persist");
        outbox.effect("tunnel");
        let deadline = Some(Instant::new(Duration::from_secs(3)));
        assert!(matches!(outbox.poll(deadline), Output::Effect("persist")));
        assert!(matches!(outbox.poll(deadline), Output::Effect("tunnel")));
        assert!(matches!(outbox.poll(deadline), Output::Wait(d) if d == deadline));
    }

    #[test]
    fn the_earliest_deadline_wins_and_none_never_does() {
        let at = |s| Some(Instant::new(Duration::from_secs(s)));
        assert_eq!(earliest(at(2), at(1)), at(1));
        assert_eq!(earliest(None, at(1)), at(1));
        assert_eq!(earliest(None, None), None);
    }
}
