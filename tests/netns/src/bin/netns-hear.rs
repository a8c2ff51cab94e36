//! `netns-hear ADDRESS COUNT`: says "ready", and then prints the registration requests to this address of this host until
//! there are so many, each a line as `netns-flood` reads them.

use std::{
    io::{Write as _, stdout},
    net::Ipv4Addr,
    os::fd::AsRawFd as _,
};

use anyhow::{Result, bail};
use netns_tests::forged::Sample;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, socket};

/// UDP port of registration messages (RFC 5944 §3.2), and the type of a request.
const PORT: u16 = 434;
const REQUEST: u8 = 1;
const UDP: u8 = 17;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [address, count] = words.as_slice() else { bail!("netns-hear ADDRESS COUNT") };
    let (address, count): (Ipv4Addr, usize) = (address.parse()?, count.parse()?);
    // A copy of every packet from its IPv4 header on, before the kernel has an opinion about it.
    let socket = socket(AddressFamily::Packet, SockType::Datagram, SockFlag::empty(), SockProtocol::EthAll)?;
    let mut out = stdout().lock();
    writeln!(out, "ready")?;
    out.flush()?;
    let (mut heard, mut buffer) = (0, [0; 4096]);
    while heard < count {
        let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        if let Some(sample) = request(&buffer[..length], address) {
            write!(out, "{}", Sample::write(&[sample]))?;
            out.flush()?;
            heard += 1;
        }
    }
    Ok(())
}

fn request(packet: &[u8], address: Ipv4Addr) -> Option<Sample> {
    if packet.get(16..20)? != address.octets() || packet.get(9) != Some(&UDP) {
        return None;
    }
    let datagram = packet.get(usize::from(packet.first()? & 15) * 4..)?;
    let port = u16::from_be_bytes([*datagram.get(2)?, *datagram.get(3)?]);
    let message = datagram.get(8..).filter(|message| port == PORT && message.first() == Some(&REQUEST))?;
    let source: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
    Some(Sample { source: Ipv4Addr::from(source), message: message.to_vec() })
}
