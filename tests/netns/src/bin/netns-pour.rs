//! `netns-pour ADDRESS OCTETS`: sends so many octets of IPv4 packets, of 1,000 octets each, to a port where nobody listens.

use std::{
    io::{Error, ErrorKind, Result},
    net::{Ipv4Addr, UdpSocket},
};

/// Discard, where no node listens.
const PORT: u16 = 9;
/// Octets of a packet, 28 of them its headers.
const PACKET: usize = 1000;

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let mut next = || words.next().ok_or(Error::from(ErrorKind::InvalidInput));
    let (address, octets) = (next()?, next()?);
    let address: Ipv4Addr = address.parse().map_err(|_| Error::from(ErrorKind::InvalidInput))?;
    let octets: usize = octets.parse().map_err(|_| Error::from(ErrorKind::InvalidInput))?;
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    for _ in 0..octets / PACKET {
        // Not connected: that nobody listens is no error here.
        socket.send_to(&[0; PACKET - 28], (address, PORT))?;
    }
    Ok(())
}
