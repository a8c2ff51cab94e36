//! `netns-cry hear ADDRESS:PORT` joins the group, if it is one, says "ready", and then the sender and the words of the
//! first datagram; `netns-cry say ADDRESS:PORT WORDS` sends one, to a group or broadcast as well.

use std::{
    io::{Error, ErrorKind, Result, Write as _, stdout},
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    time::Duration,
};

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let mut next = || words.next().ok_or(Error::from(ErrorKind::InvalidInput));
    let (what, target) = (next()?, next()?);
    let target: SocketAddrV4 = target.parse().map_err(|_| Error::from(ErrorKind::InvalidInput))?;
    if what == "hear" { hear(target) } else { say(target, &next()?) }
}

fn hear(target: SocketAddrV4) -> Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, target.port()))?;
    if target.ip().is_multicast() {
        socket.join_multicast_v4(target.ip(), &Ipv4Addr::UNSPECIFIED)?;
    }
    // A test that waits for what never comes must end.
    socket.set_read_timeout(Some(Duration::from_secs(30)))?;
    writeln!(stdout(), "ready")?;
    stdout().flush()?;
    let mut buffer = [0; 512];
    let (length, from) = socket.recv_from(&mut buffer)?;
    writeln!(stdout(), "{} {}", from.ip(), String::from_utf8_lossy(&buffer[..length]))
}

fn say(target: SocketAddrV4, words: &str) -> Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_broadcast(true)?;
    socket.send_to(words.as_bytes(), target)?;
    Ok(())
}
