//! Streams and datagrams from one host to another, counted where they arrive.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket},
    os::fd::AsRawFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};

use crate::lab::Host;

/// Before it is counted: a stream finds its pace, caches and neighbours are filled.
const RAMP: Duration = Duration::from_millis(500);
const COUNTED: Duration = Duration::from_millis(2500);
/// Octets of a write and a read.
const BLOCK: usize = 128 * 1024;
/// Datagrams of a system call of the generator and of the sink.
const BATCH: usize = 32;

/// Megabits of payload in a second that one TCP stream carries from `from` to `to`, at the address `at`.
pub(crate) fn stream(from: &Host, to: &Host, at: Ipv4Addr) -> anyhow::Result<f64> {
    let listener = to.act(move || Ok(TcpListener::bind((at, 0))?))?;
    let address = listener.local_addr()?;
    let mut source = from.act(move || {
        let connected = TcpStream::connect_timeout(&address, Duration::from_secs(10));
        connected.with_context(|| format!("connect to {address}"))
    })?;
    let (mut sink, _) = listener.accept()?;
    let end = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&end);
    let sender = thread::spawn(move || {
        let block = vec![0x5a; BLOCK];
        while !ended.load(Ordering::Relaxed) && source.write_all(&block).is_ok() {}
    });
    let mut block = vec![0; BLOCK];
    let mut take = |time: Duration| -> anyhow::Result<(u64, Duration)> {
        let (start, mut octets) = (Instant::now(), 0);
        while start.elapsed() < time {
            octets += sink.read(&mut block)? as u64;
        }
        Ok((octets, start.elapsed()))
    };
    take(RAMP)?;
    let (octets, time) = take(COUNTED)?;
    end.store(true, Ordering::Relaxed);
    // The sender may wait for room: it is told that nobody reads any more.
    drop(sink);
    let _ = sender.join();
    Ok(octets as f64 * 8.0 / 1e6 / time.as_secs_f64())
}

/// Datagrams in a second that arrive at `to`, of those that `from` sends as fast as it can: IP packets of `length`
/// octets.
pub(crate) fn datagrams(from: &Host, to: &Host, at: Ipv4Addr, length: usize) -> anyhow::Result<f64> {
    let sink = to.act(move || Ok(UdpSocket::bind((at, 0))?))?;
    let std::net::SocketAddr::V4(address) = sink.local_addr()? else { anyhow::bail!("no IPv4 address") };
    sink.set_read_timeout(Some(Duration::from_millis(50)))?;
    let source = from.act(|| Ok(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?))?;
    let (end, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (ended, counted) = (Arc::clone(&end), Arc::clone(&count));
    let sender = thread::spawn({
        let ended = Arc::clone(&ended);
        move || generate(&source, address, length - 28, &ended)
    });
    let receiver = thread::spawn(move || receive(&sink, &counted, &ended));
    thread::sleep(RAMP);
    let (before, start) = (count.load(Ordering::Relaxed), Instant::now());
    thread::sleep(COUNTED);
    let (arrived, time) = (count.load(Ordering::Relaxed) - before, start.elapsed());
    end.store(true, Ordering::Relaxed);
    let _ = (sender.join(), receiver.join());
    Ok(arrived as f64 / time.as_secs_f64())
}

fn generate(source: &UdpSocket, to: SocketAddrV4, payload: usize, end: &AtomicBool) {
    let payload = vec![0x5a; payload];
    let pieces = vec![[std::io::IoSlice::new(&payload)]; BATCH];
    let addresses = vec![Some(SockaddrIn::from(to)); BATCH];
    let mut headers = MultiHeaders::preallocate(BATCH, None);
    while !end.load(Ordering::Relaxed) {
        // A full queue refuses some: that is what "as fast as it can" means.
        let _ = sendmmsg(source.as_raw_fd(), &mut headers, &pieces, &addresses, [], MsgFlags::empty());
    }
}

fn receive(sink: &UdpSocket, count: &AtomicU64, end: &AtomicBool) {
    let mut headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    let mut memory = vec![[0_u8; 2048]; BATCH];
    while !end.load(Ordering::Relaxed) {
        let mut pieces: Vec<_> = memory.iter_mut().map(|slot| [std::io::IoSliceMut::new(slot)]).collect();
        let flags = MsgFlags::MSG_WAITFORONE;
        if let Ok(arrived) = recvmmsg(sink.as_raw_fd(), &mut headers, pieces.iter_mut(), flags, None) {
            count.fetch_add(arrived.count() as u64, Ordering::Relaxed);
        }
    }
}
