//! One long TCP transfer over one connection, paced so that it spans a whole walk, checked by SHA-256.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use sha2::{Digest, Sha256};

use super::TRANSFER_PORT;
use crate::{clock, netns::Namespace};

const TICK: Duration = Duration::from_millis(5);
const CHUNK: usize = 32 * 1024;
/// After this long without progress the transfer is broken.
const STALL: Duration = Duration::from_secs(30);
/// A sender that was held up catches up at this many times its pace.
const CATCH_UP: u64 = 3;
/// Of 100 parts of the transfer, those kept back until [`Transfer::release`].
const KEPT_BACK: u64 = 3;
/// A transfer that ends with the walk does not leave more than that to deliver after it (bytes).
const SMALL_BUFFER: usize = 64 * 1024;
/// Between two points of the curve, in nanoseconds.
const POINT: u64 = 100_000_000;

/// How much to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Amount {
    Exactly(u64),
    /// What gets through until [`Transfer::release`]: nobody knows before what bad links carry.
    AtMost(u64),
}

impl Amount {
    /// In bytes.
    pub(crate) fn most(self) -> u64 {
        match self {
            Self::Exactly(bytes) | Self::AtMost(bytes) => bytes,
        }
    }
}

/// What both ends and the onlookers share.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) total: u64,
    pub(crate) received: AtomicU64,
    connections: AtomicU32,
    released: AtomicBool,
    stop: AtomicBool,
}

/// A running transfer.
pub(crate) struct Transfer {
    progress: Arc<Progress>,
    sender: JoinHandle<Result<(u64, [u8; 32])>>,
    receiver: JoinHandle<Result<Received>>,
}

/// What the receiver saw.
struct Received {
    ended: u64,
    hash: [u8; 32],
    curve: Vec<(u64, u64)>,
}

/// How it ended.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) bytes: u64,
    pub(crate) sha256_match: bool,
    /// TCP connections that the receiver accepted.
    pub(crate) connections: u32,
    /// Boot nanoseconds.
    pub(crate) started: u64,
    pub(crate) ended: u64,
    /// Boot nanoseconds and bytes received until then.
    pub(crate) curve: Vec<(u64, u64)>,
    /// What went wrong, if anything did.
    pub(crate) error: Option<String>,
}

impl Transfer {
    /// Starts to send from one node to an address that another has, spread over `duration`.
    pub(crate) fn start(
        from: &Namespace,
        to: &Namespace,
        address: Ipv4Addr,
        amount: Amount,
        duration: Duration,
    ) -> Result<Self> {
        let listener = to.run(|_| Ok(TcpListener::bind((Ipv4Addr::UNSPECIFIED, TRANSFER_PORT))?))?;
        listener.set_nonblocking(true)?;
        let progress = Arc::new(Progress { total: amount.most(), ..Progress::default() });
        let receiver = {
            let progress = Arc::clone(&progress);
            thread::Builder::new().name("transfer in".into()).spawn(move || accept(&listener, &progress))?
        };
        let target = SocketAddrV4::new(address, TRANSFER_PORT);
        let stream = from.run(move |_| {
            TcpStream::connect_timeout(&target.into(), Duration::from_secs(10))
                .with_context(|| format!("cannot connect to {target}"))
        });
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                progress.stop.store(true, Ordering::Relaxed);
                return Err(error);
            }
        };
        if let Amount::AtMost(_) = amount {
            socket2::SockRef::from(&stream).set_send_buffer_size(SMALL_BUFFER)?;
        }
        let started = clock::boot_ns();
        let sender = {
            let progress = Arc::clone(&progress);
            let send = move || Ok((started, send(stream, &progress, amount, duration)?));
            thread::Builder::new().name("transfer out".into()).spawn(send)?
        };
        Ok(Self { progress, sender, receiver })
    }

    /// How far it is.
    pub(crate) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Lets the last part go, so that the transfer may end.
    pub(crate) fn release(&self) {
        self.progress.released.store(true, Ordering::Relaxed);
    }

    /// Releases, and waits for both ends.
    pub(crate) fn finish(self) -> Outcome {
        self.release();
        let sent = self.sender.join().unwrap_or_else(|_| Err(anyhow!("the sending thread panicked")));
        if sent.is_err() {
            self.progress.stop.store(true, Ordering::Relaxed);
        }
        let received = self.receiver.join().unwrap_or_else(|_| Err(anyhow!("the receiving thread panicked")));
        let connections = self.progress.connections.load(Ordering::Relaxed);
        let bytes = self.progress.received.load(Ordering::Relaxed);
        let mut outcome = Outcome {
            bytes,
            sha256_match: false,
            connections,
            started: 0,
            ended: 0,
            curve: Vec::new(),
            error: None,
        };
        match (sent, received) {
            (Ok((started, sent)), Ok(received)) => {
                (outcome.started, outcome.ended) = (started, received.ended);
                outcome.sha256_match = sent == received.hash;
                outcome.curve = received.curve;
            }
            (Err(error), _) | (_, Err(error)) => outcome.error = Some(format!("{error:#}")),
        }
        outcome
    }
}

/// Sends pseudo-random bytes by the timetable; hands back their SHA-256.
fn send(mut stream: TcpStream, progress: &Progress, amount: Amount, duration: Duration) -> Result<[u8; 32]> {
    stream.set_write_timeout(Some(STALL))?;
    let total = amount.most();
    let all_but_the_last = total - total * KEPT_BACK / 100;
    // A part that was kept back belongs to a transfer that is otherwise complete.
    let enough = |sent: u64| {
        let released = progress.released.load(Ordering::Relaxed);
        matches!(amount, Amount::AtMost(_)) && released && sent < all_but_the_last
    };
    let begin = Instant::now();
    let whole = duration.as_nanos().max(1);
    let most_per_tick = u64::try_from(u128::from(total) * TICK.as_nanos() / whole)?.max(1) * CATCH_UP;
    let mut source = Source(0x9e37_79b9_7f4a_7c15);
    let mut hash = Sha256::new();
    let mut sent = 0_u64;
    let mut buffer = vec![0_u8; CHUNK];
    while sent < total {
        if progress.stop.load(Ordering::Relaxed) {
            bail!("stopped after {sent} of {total} bytes");
        }
        if enough(sent) {
            break;
        }
        let released = progress.released.load(Ordering::Relaxed);
        let due = u64::try_from(u128::from(total) * begin.elapsed().as_nanos() / whole)?;
        let open = if released { total } else { all_but_the_last };
        let limit = open.min(due);
        let mut quota = limit.saturating_sub(sent).min(most_per_tick);
        while quota > 0 && !enough(sent) {
            let part = usize::try_from(quota)?.min(CHUNK);
            let Some(chunk) = buffer.get_mut(..part) else { bail!("a chunk is larger than its buffer") };
            source.fill(chunk);
            stream.write_all(chunk).with_context(|| format!("the sender is stuck after {sent} bytes"))?;
            hash.update(&chunk);
            sent += part as u64;
            quota -= part as u64;
        }
        thread::sleep(TICK);
    }
    stream.shutdown(Shutdown::Write)?;
    Ok(hash.finalize().into())
}

/// Receives the one connection, and counts any further one.
fn accept(listener: &TcpListener, progress: &Progress) -> Result<Received> {
    let mut first = None;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                progress.connections.fetch_add(1, Ordering::Relaxed);
                if first.is_none() {
                    first = Some(Incoming::new(stream)?);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("cannot accept"),
        }
        match first.take() {
            Some(mut incoming) => {
                if incoming.read_some(progress)? {
                    return Ok(incoming.finish(progress));
                }
                first = Some(incoming);
            }
            None => thread::sleep(TICK),
        }
        if progress.stop.load(Ordering::Relaxed) {
            bail!("stopped after {} bytes", progress.received.load(Ordering::Relaxed));
        }
    }
}

struct Incoming {
    stream: TcpStream,
    hash: Sha256,
    buffer: Vec<u8>,
    heard: Instant,
    curve: Vec<(u64, u64)>,
}

impl Incoming {
    fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(Duration::from_millis(50)))?;
        let curve = vec![(clock::boot_ns(), 0)];
        Ok(Self { stream, hash: Sha256::new(), buffer: vec![0; 256 * 1024], heard: Instant::now(), curve })
    }

    fn finish(mut self, progress: &Progress) -> Received {
        let ended = clock::boot_ns();
        self.curve.push((ended, progress.received.load(Ordering::Relaxed)));
        Received { ended, hash: self.hash.finalize().into(), curve: self.curve }
    }

    /// A point of the curve, if the last one is old.
    fn draw(&mut self, progress: &Progress) {
        let now = clock::boot_ns();
        if self.curve.last().is_none_or(|(at, _)| now >= at + POINT) {
            self.curve.push((now, progress.received.load(Ordering::Relaxed)));
        }
    }

    /// Reads what is there; `true` at the end of the stream.
    fn read_some(&mut self, progress: &Progress) -> Result<bool> {
        match self.stream.read(&mut self.buffer) {
            Ok(0) => return Ok(true),
            Ok(length) => {
                self.hash.update(self.buffer.get(..length).unwrap_or_default());
                progress.received.fetch_add(length as u64, Ordering::Relaxed);
                self.heard = Instant::now();
            }
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) => {}
            Err(error) => return Err(error).context("the connection broke at the receiver"),
        }
        self.draw(progress);
        if self.heard.elapsed() > STALL {
            bail!("nothing received for {} s", STALL.as_secs());
        }
        Ok(false)
    }
}

/// A fast stream of letters that never repeats within a transfer (xorshift64*). Letters, because readers of
/// captures take any other bytes for some protocol now and then.
struct Source(u64);

impl Source {
    fn fill(&mut self, buffer: &mut [u8]) {
        for part in buffer.chunks_mut(8) {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            let word = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d);
            for (octet, random) in part.iter_mut().zip(word.to_le_bytes()) {
                *octet = b'a' + (random & 15);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(one: &Namespace, two: &Namespace, amount: Amount, duration: Duration) -> Result<Transfer> {
        Transfer::start(one, two, Ipv4Addr::LOCALHOST, amount, duration)
    }

    #[test]
    fn an_open_ended_transfer_ends_with_its_release_and_is_right() {
        let Ok(namespace) = Namespace::new("one") else {
            return;
        };
        let hour = Duration::from_secs(3600);
        let transfer = start(&namespace, &namespace, Amount::AtMost(1 << 40), hour).unwrap();
        let progress = transfer.progress();
        while progress.received.load(Ordering::Relaxed) < 100_000 {
            thread::sleep(TICK);
        }
        let outcome = transfer.finish();
        assert_eq!(outcome.error, None);
        assert!(outcome.sha256_match && (100_000..1 << 39).contains(&outcome.bytes));
        assert_eq!(outcome.curve.last(), Some(&(outcome.ended, outcome.bytes)));
        assert!(outcome.curve.is_sorted());
    }

    #[test]
    fn a_transfer_ends_only_after_its_release() {
        let Ok(namespace) = Namespace::new("one") else {
            return;
        };
        let bytes = 3_000_000;
        let transfer =
            start(&namespace, &namespace, Amount::Exactly(bytes), Duration::from_millis(50)).unwrap();
        let progress = transfer.progress();
        let kept = bytes * KEPT_BACK / 100;
        let limit = Instant::now() + Duration::from_secs(20);
        while progress.received.load(Ordering::Relaxed) < bytes - kept {
            assert!(Instant::now() < limit);
            thread::sleep(TICK);
        }
        assert_eq!(progress.received.load(Ordering::Relaxed), bytes - kept);
        let outcome = transfer.finish();
        assert_eq!(outcome.error, None);
        assert!(outcome.sha256_match && outcome.ended > outcome.started);
        assert_eq!((outcome.bytes, outcome.connections), (bytes, 1));
    }

    #[test]
    fn nobody_listening_is_an_error() {
        let (Ok(one), Ok(two)) = (Namespace::new("one"), Namespace::new("two")) else {
            return;
        };
        let error = start(&one, &two, Amount::Exactly(1), Duration::from_millis(1)).err().unwrap();
        assert!(format!("{error:#}").contains("cannot connect to 127.0.0.1"), "{error:#}");
    }
}
