//! A steady stream of numbered UDP packets to a home address: what arrives, and when, tells what a handover
//! cost.

use std::{
    io::{ErrorKind, IoSliceMut},
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    os::fd::AsRawFd,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use nix::{
    errno::Errno,
    sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, setsockopt, sockopt},
};

use crate::{clock, netns::Namespace};

/// Number, mark and stream, then filling: a small voice packet.
const LENGTH: usize = 64;
/// By this an emulated link that drops a packet knows it as a probe, whatever tunnel it is in.
const MARK: [u8; 7] = *b"\xa7probe\xb1";
/// A probe with the headers of every tunnel that it may be in is not longer.
const LONGEST_FRAME: usize = 256;
/// How long the last packets may be on their way.
const STRAGGLERS: Duration = Duration::from_millis(500);

/// A packet that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) number: usize,
    /// Boot nanoseconds, from the kernel's receive time.
    pub(crate) at: u64,
}

/// What was sent and what came.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Boot nanoseconds of sending, by number.
    pub(crate) sent: Vec<u64>,
    /// In order of arrival.
    pub(crate) arrivals: Vec<Arrival>,
}

/// A running stream.
pub(crate) struct Probe {
    log: Arc<Mutex<Log>>,
    stop_sending: Arc<AtomicBool>,
    stop_receiving: Arc<AtomicBool>,
    sender: Option<JoinHandle<()>>,
    receiver: Option<JoinHandle<()>>,
}

impl Probe {
    /// Starts `rate` packets a second from one node to an address and a port that another has. The stream's number
    /// tells it from other streams of the same run.
    pub(crate) fn start(
        from: &Namespace,
        to: &Namespace,
        target: SocketAddrV4,
        rate: u32,
        stream: u8,
    ) -> Result<Self> {
        let out = from.run(|_| Ok(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?))?;
        let inward = to.run(move |_| Ok(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, target.port()))?))?;
        setsockopt(&inward, sockopt::ReceiveTimestampns, &true).context("no receive times")?;
        setsockopt(&inward, sockopt::RcvBuf, &(1 << 20))?;
        inward.set_read_timeout(Some(Duration::from_millis(50)))?;
        let log = Arc::new(Mutex::new(Log::default()));
        let (stop_sending, stop_receiving) = <(Arc<AtomicBool>, Arc<AtomicBool>)>::default();
        let sender = {
            let (log, stop) = (Arc::clone(&log), Arc::clone(&stop_sending));
            thread::Builder::new()
                .name("probe out".into())
                .spawn(move || send(&out, target, rate, stream, &log, &stop))?
        };
        let receiver = {
            let (log, stop) = (Arc::clone(&log), Arc::clone(&stop_receiving));
            thread::Builder::new().name("probe in".into()).spawn(move || receive(&inward, &log, &stop))?
        };
        Ok(Self { log, stop_sending, stop_receiving, sender: Some(sender), receiver: Some(receiver) })
    }

    /// Waits for the first packet that was sent and received after these times (boot nanoseconds), and hands
    /// back when it came; nothing if none comes in time.
    pub(crate) fn first_after(&self, sent: u64, received: u64, limit: Duration) -> Result<Option<u64>> {
        let end = Instant::now() + limit;
        let mut seen = 0;
        loop {
            {
                let log = self.log()?;
                if let Some(first) = log.first_after(&mut seen, sent, received) {
                    return Ok(Some(first));
                }
            }
            if Instant::now() > end {
                return Ok(None);
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Stops sending, waits a little for what is on its way, and hands the log over.
    pub(crate) fn finish(mut self) -> Result<Log> {
        self.stop_sending.store(true, Ordering::Relaxed);
        join(self.sender.take())?;
        let end = Instant::now() + STRAGGLERS;
        while Instant::now() < end {
            let log = self.log()?;
            let last = log.sent.len().checked_sub(1);
            if log.arrivals.iter().rev().take(64).any(|arrival| Some(arrival.number) == last) {
                break;
            }
            drop(log);
            thread::sleep(Duration::from_millis(5));
        }
        self.stop_receiving.store(true, Ordering::Relaxed);
        join(self.receiver.take())?;
        let mut log = self.log()?;
        Ok(std::mem::take(&mut *log))
    }

    fn log(&self) -> Result<MutexGuard<'_, Log>> {
        self.log.lock().map_err(|_| anyhow!("a probe thread panicked"))
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.stop_sending.store(true, Ordering::Relaxed);
        self.stop_receiving.store(true, Ordering::Relaxed);
    }
}

impl Log {
    /// Looks at the arrivals from `seen` on, and moves it to the end.
    pub(crate) fn first_after(&self, seen: &mut usize, sent: u64, received: u64) -> Option<u64> {
        let fits = |arrival: &&Arrival| {
            arrival.at >= received && self.sent.get(arrival.number).is_some_and(|time| *time >= sent)
        };
        let found = self.arrivals.get(*seen..)?.iter().find(fits).map(|arrival| arrival.at);
        *seen = self.arrivals.len();
        found
    }

    /// By number: when each packet came, for those that came.
    pub(crate) fn received(&self) -> Vec<Option<u64>> {
        let mut received = vec![None; self.sent.len()];
        for arrival in &self.arrivals {
            if let Some(slot) = received.get_mut(arrival.number)
                && slot.is_none()
            {
                *slot = Some(arrival.at);
            }
        }
        received
    }

    /// The longest time without an arrival, in nanoseconds.
    pub(crate) fn longest_gap(&self) -> u64 {
        let times = self.arrivals.iter().map(|arrival| arrival.at);
        times.clone().zip(times.skip(1)).map(|(one, next)| next.saturating_sub(one)).max().unwrap_or(0)
    }
}

fn join(thread: Option<JoinHandle<()>>) -> Result<()> {
    thread.map_or(Ok(()), |thread| thread.join().map_err(|_| anyhow!("a probe thread panicked")))
}

/// The payload of a probe.
pub(crate) fn packet(stream: u8, number: u64) -> [u8; LENGTH] {
    let mut packet = [0; LENGTH];
    let head = number.to_be_bytes().into_iter().chain(MARK).chain([stream]);
    for (to, from) in packet.iter_mut().zip(head) {
        *to = from;
    }
    packet
}

/// Stream and number of the probe in a frame, if there is one in it.
pub(crate) fn marked(frame: &[u8]) -> Option<(u8, u64)> {
    if frame.len() > LONGEST_FRAME {
        return None;
    }
    let at = frame.windows(MARK.len()).position(|window| window == MARK)?;
    let number = frame.get(at.checked_sub(8)?..at)?.first_chunk::<8>()?;
    Some((*frame.get(at + MARK.len())?, u64::from_be_bytes(*number)))
}

/// How far behind its times a stream may be; then its later times move.
const HELD_UP: Duration = Duration::from_millis(10);

fn send(
    socket: &UdpSocket,
    target: SocketAddrV4,
    rate: u32,
    stream: u8,
    log: &Mutex<Log>,
    stop: &AtomicBool,
) {
    let between = Duration::from_nanos(1_000_000_000 / u64::from(rate));
    let mut due = Instant::now();
    for number in 0_u64.. {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // What a machine that was busy elsewhere held up is not made up for: so many at once would be lost on their way.
        due = (due + between).max(Instant::now() - HELD_UP);
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let packet = packet(stream, number);
        let Ok(mut log) = log.lock() else { return };
        log.sent.push(clock::boot_ns());
        drop(log);
        // A packet that the kernel refuses, for want of a route or a neighbour, is a lost packet.
        let _ = socket.send_to(&packet, target);
    }
}

fn receive(socket: &UdpSocket, log: &Mutex<Log>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let Ok(Some(arrival)) = receive_one(socket) else {
            continue;
        };
        let Ok(mut log) = log.lock() else { return };
        log.arrivals.push(arrival);
    }
}

/// One packet, with the kernel's time of it moved to the boot clock; nothing if none came for a while.
fn receive_one(socket: &UdpSocket) -> Result<Option<Arrival>> {
    let mut packet = [0_u8; LENGTH];
    let mut space = nix::cmsg_space!(nix::sys::time::TimeSpec);
    let mut parts = [IoSliceMut::new(&mut packet)];
    let message =
        match recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::empty()) {
            Ok(message) => message,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
    let stamp = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::ScmTimestampns(time) => {
            Some(time.tv_sec().cast_unsigned() * 1_000_000_000 + time.tv_nsec().cast_unsigned())
        }
        _ => None,
    });
    let whole = message.bytes == LENGTH;
    let (boot, unix) = (clock::boot_ns(), clock::unix_ns());
    let waited = unix.saturating_sub(stamp.unwrap_or(unix));
    let Some(number) = packet.first_chunk::<8>().filter(|_| whole) else {
        return Err(std::io::Error::from(ErrorKind::InvalidData).into());
    };
    let number = usize::try_from(u64::from_be_bytes(*number))?;
    Ok(Some(Arrival { number, at: boot.saturating_sub(waited) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_counted_and_timed() {
        let Ok(namespace) = Namespace::new("one") else {
            return;
        };
        let target = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 61_007);
        let probe = Probe::start(&namespace, &namespace, target, 1000, 0).unwrap();
        let from = clock::boot_ns();
        let first = probe.first_after(from, from, Duration::from_secs(5)).unwrap().unwrap();
        assert!(first >= from);
        assert!(probe.first_after(u64::MAX, 0, Duration::ZERO).unwrap().is_none());
        let log = probe.finish().unwrap();
        assert!(!log.sent.is_empty());
        assert_eq!(log.arrivals.len(), log.sent.len());
        for (sent, received) in log.sent.iter().zip(log.received()) {
            assert!(received.unwrap() >= *sent, "nothing arrives before it was sent");
        }
    }

    #[test]
    fn a_probe_is_known_by_its_mark_alone() {
        let probe = packet(9, 0x0102_0304);
        assert_eq!(marked(&[&[0; 70], &probe[..]].concat()), Some((9, 0x0102_0304)));
        assert_eq!(marked(&probe[8..]), None, "the number is cut off");
        assert_eq!(marked(&[0; 100]), None);
        assert_eq!(marked(&[&[0; 1400], &probe[..]].concat()), None, "too long for a probe");
    }

    #[test]
    fn the_first_packet_after_a_move_was_also_sent_after_it() {
        let arrivals = [(0, 110), (1, 220), (2, 260)].map(|(number, at)| Arrival { number, at });
        let log = Log { sent: vec![100, 190, 210], arrivals: arrivals.to_vec() };
        assert_eq!(log.first_after(&mut 0, 200, 205), Some(260), "number 1 was on the old link's way");
        assert_eq!(log.first_after(&mut 3, 200, 205), None);
        assert_eq!(log.longest_gap(), 110);
    }
}
