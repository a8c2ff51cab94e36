//! `netns-halves AGENT RATE SECONDS SEED SAMPLES`: opens so many registrations a second by halves at the foreign agent of
//! this address, on `eth0`: each a request of the samples (lines of an address and hex) with the agent's challenge of the
//! moment, another identification, and from a station of its own, so that the foreign agent relays it and nobody ever
//! answers. Prints how many went out in what time, as JSON.

use std::{
    env, fs,
    io::IoSliceMut,
    net::Ipv4Addr,
    os::fd::{AsRawFd as _, OwnedFd},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use netns_tests::{
    dice::Dice,
    forged::{Sample, with_challenge},
};
use nix::{
    errno::Errno,
    ifaddrs::getifaddrs,
    sys::socket::{
        AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, recvmsg, send,
        socket,
    },
};

const INTERFACE: &str = "eth0";
/// Ethernet header.
const LINK: usize = 14;
const ICMP: u8 = 1;
const ADVERTISEMENT: u8 = 9;
/// Type of the challenge in an advertisement (RFC 4721 §2).
const CHALLENGE: u8 = 24;

/// What the agent said last.
struct Heard {
    station: [u8; 6],
    challenge: Vec<u8>,
}

fn main() -> Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [agent, rate, seconds, seed, file] = words.as_slice() else {
        bail!("netns-halves AGENT RATE SECONDS SEED SAMPLES");
    };
    let samples = Sample::read(&fs::read_to_string(file)?)?;
    let agent: Ipv4Addr = agent.parse().context("an address")?;
    let (rate, length): (u64, Duration) = (rate.parse()?, Duration::from_secs(seconds.parse()?));
    let mut dice = Dice::of(seed.parse()?);
    let socket = link_socket()?;
    // Without an advertisement there is no challenge, and nothing to say.
    let mut heard = loop {
        if let Some(heard) = listen(&socket, agent, MsgFlags::empty())? {
            break heard;
        }
    };
    let (begun, mut sent) = (Instant::now(), 0_u64);
    while begun.elapsed() < length {
        while let Some(new) = listen(&socket, agent, MsgFlags::MSG_DONTWAIT)? {
            heard = new;
        }
        let due = (begun.elapsed().as_secs_f64() * rate as f64) as u64;
        if sent >= due {
            std::thread::sleep(Duration::from_micros(300));
            continue;
        }
        match send(socket.as_raw_fd(), &half(&samples, &heard, agent, &mut dice)?, MsgFlags::empty()) {
            Ok(_) => sent += 1,
            Err(Errno::ENOBUFS | Errno::EAGAIN) => std::thread::sleep(Duration::from_millis(1)),
            Err(error) => bail!("cannot send: {}", error.desc()),
        }
    }
    #[allow(clippy::print_stdout, reason = "the test reads it")]
    {
        println!("{{\"sent\": {sent}, \"seconds\": {:.3}}}", begun.elapsed().as_secs_f64());
    }
    Ok(())
}

fn link_socket() -> Result<OwnedFd> {
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::empty(), SockProtocol::EthAll)?;
    let mut interfaces = getifaddrs()?;
    let interface = interfaces.find_map(|it| {
        let link = *it.address.as_ref()?.as_link_addr()?;
        (it.interface_name == INTERFACE).then_some(link)
    });
    // An interface's own address names no protocol, and a socket that is bound keeps the one that it has.
    bind(socket.as_raw_fd(), &interface.context("there is no eth0")?)?;
    Ok(socket)
}

/// The next frame, if it is an advertisement of the agent.
fn listen(socket: &OwnedFd, agent: Ipv4Addr, flags: MsgFlags) -> Result<Option<Heard>> {
    let mut buffer = [0; 2048];
    loop {
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let length = match recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, None, flags) {
            Ok(message) => message.bytes,
            Err(Errno::EAGAIN) => return Ok(None),
            Err(error) => bail!("cannot listen: {}", error.desc()),
        };
        if let Some(heard) = buffer.get(..length).and_then(|frame| advertisement(frame, agent)) {
            return Ok(Some(heard));
        }
    }
}

fn advertisement(frame: &[u8], agent: Ipv4Addr) -> Option<Heard> {
    let packet = frame.get(LINK..).filter(|packet| packet.first() == Some(&0x45))?;
    let message = packet.get(20..)?;
    let ours = packet.get(9) == Some(&ICMP) && packet.get(12..16)? == agent.octets();
    if !ours || message.first() != Some(&ADVERTISEMENT) {
        return None;
    }
    // The router addresses come first, of so many words each.
    let mut rest = message.get(8 + usize::from(*message.get(4)?) * usize::from(*message.get(5)?) * 4..)?;
    loop {
        match rest {
            [0, more @ ..] => rest = more,
            [CHALLENGE, length, more @ ..] => {
                let challenge = more.get(..usize::from(*length))?.to_vec();
                return Some(Heard { station: *frame.get(6..12)?.first_chunk()?, challenge });
            }
            [_, length, more @ ..] => rest = more.get(usize::from(*length)..)?,
            _ => return None,
        }
    }
}

fn half(samples: &[Sample], heard: &Heard, agent: Ipv4Addr, dice: &mut Dice) -> Result<Vec<u8>> {
    let mut message = with_challenge(&dice.one(samples).message, &heard.challenge)?;
    let identification = (dice.below(1 << 32) as u32).to_be_bytes();
    message.get_mut(20..24).context("a request has an identification")?.copy_from_slice(&identification);
    // A station of its own, administered by nobody.
    let [a, b, c, d] = (dice.below(1 << 32) as u32).to_be_bytes();
    let source = Ipv4Addr::new(10, 66, c, d);
    let packet = netns_tests::forged::request_packet(source, agent, &message);
    let mut frame = heard.station.to_vec();
    frame.extend([2, 0x66, a, b, c, d, 8, 0]);
    frame.extend(packet);
    Ok(frame)
}
