//! `netns-send ADDRESS:PORT`: sends one datagram, so that a test can make a node speak without a program of the
//! host.

use std::{
    io::{Error, ErrorKind, Result},
    net::UdpSocket,
};

fn main() -> Result<()> {
    let target = std::env::args().nth(1).ok_or(Error::from(ErrorKind::InvalidInput))?;
    UdpSocket::bind("0.0.0.0:0")?.send_to(b"a datagram", target)?;
    Ok(())
}
