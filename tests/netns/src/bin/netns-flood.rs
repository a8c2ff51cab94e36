//! `netns-flood WHAT DESTINATION RATE SECONDS SEED [SAMPLES]`: sends so many datagrams a second from `eth0`, from its own
//! address, strangers' and those of the samples, and prints how many went out in what time, as JSON.
//!
//! `requests`: to UDP 434, each sample (a line of hex: source address, blank, message) as it is, with octets changed, cut
//! short, or noise. `advertisements`, `solicitations` and `icmp`: to one node, of strangers.
//! Every datagram is drawn from the seed; the rate is a bound, and what the machine does not manage is left out.

use std::{
    env, fs,
    io::IoSlice,
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::AsRawFd as _,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use netns_tests::{
    dice::Dice,
    forged::{Sample, What},
};
use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, MsgFlags, MultiHeaders, SockFlag, SockProtocol, SockType, SockaddrIn, sendmmsg,
        setsockopt, socket,
        sockopt::{BindToDevice, Broadcast},
    },
};

/// Datagrams with one system call.
const BATCH: usize = 64;
/// Different datagrams, drawn before the first is sent; they go out in runs that begin anywhere.
const POOL: usize = 16_384;
const INTERFACE: &str = "eth0";

fn main() -> Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [what, destination, rate, seconds, seed, samples @ ..] = words.as_slice() else {
        bail!("netns-flood WHAT DESTINATION RATE SECONDS SEED [SAMPLES]");
    };
    let samples = match samples.first() {
        Some(file) => Sample::read(&fs::read_to_string(file)?)?,
        None => Vec::new(),
    };
    let destination: Ipv4Addr = destination.parse().context("an address")?;
    let (rate, seconds): (u64, u64) = (rate.parse()?, seconds.parse()?);
    let what = What::named(what).context("requests, advertisements, solicitations or icmp")?;
    let (sent, took) = flood(what, destination, rate, seconds, Dice::of(seed.parse()?), &samples)?;
    #[allow(clippy::print_stdout, reason = "the test reads it")]
    {
        println!("{{\"sent\": {sent}, \"seconds\": {:.3}}}", took.as_secs_f64());
    }
    Ok(())
}

fn flood(
    what: What,
    destination: Ipv4Addr,
    rate: u64,
    seconds: u64,
    mut dice: Dice,
    samples: &[Sample],
) -> Result<(u64, Duration)> {
    // The header of each packet is ours, so that its source is anybody's.
    let socket = socket(AddressFamily::Inet, SockType::Raw, SockFlag::empty(), SockProtocol::Raw)?;
    setsockopt(&socket, BindToDevice, &INTERFACE.into())?;
    setsockopt(&socket, Broadcast, &true)?;
    let to = vec![Some(SockaddrIn::from(SocketAddrV4::new(destination, 0))); BATCH];
    let mut headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    let pool: Vec<Vec<u8>> = (0..POOL).map(|_| what.packet(destination, samples, &mut dice)).collect();
    let (begun, length) = (Instant::now(), Duration::from_secs(seconds));
    let mut sent = 0;
    while begun.elapsed() < length {
        let due = (begun.elapsed().as_secs_f64() * rate as f64) as u64;
        if sent >= due {
            // Until a few are due.
            std::thread::sleep(Duration::from_micros(300));
            continue;
        }
        let count = BATCH.min((due - sent) as usize);
        let begin = dice.below((POOL - count) as u64) as usize;
        let packets = pool.get(begin..begin + count).unwrap_or_default();
        let slices: Vec<_> = packets.iter().map(|packet| [IoSlice::new(packet)]).collect();
        let to = to.get(..slices.len()).unwrap_or_default();
        match sendmmsg(socket.as_raw_fd(), &mut headers, &slices, to, [], MsgFlags::empty()) {
            Ok(went) => sent += went.count() as u64,
            Err(Errno::ENOBUFS | Errno::EAGAIN | Errno::EHOSTUNREACH | Errno::EPERM) => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => bail!("cannot send: {}", error.desc()),
        }
    }
    Ok((sent, begun.elapsed()))
}
