//! `netns-reach ADDRESS SECONDS`: sends datagrams to a port where nobody listens until the other end's kernel says so,
//! which shows that packets go both ways. Fails if it does not within that time.

use std::{
    io::{Error, ErrorKind, Result},
    net::{Ipv4Addr, UdpSocket},
    time::{Duration, Instant},
};

/// Discard, where no node listens.
const PORT: u16 = 9;
/// Between two datagrams.
const AGAIN: Duration = Duration::from_millis(100);

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let mut next = || words.next().ok_or(Error::from(ErrorKind::InvalidInput));
    let (address, seconds) = (next()?, next()?);
    let address: Ipv4Addr = address.parse().map_err(|_| Error::from(ErrorKind::InvalidInput))?;
    let seconds: u64 = seconds.parse().map_err(|_| Error::from(ErrorKind::InvalidInput))?;
    let limit = Instant::now() + Duration::from_secs(seconds);
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect((address, PORT))?;
    socket.set_read_timeout(Some(AGAIN))?;
    while Instant::now() < limit {
        // An earlier answer or none, or that the way there is not known yet.
        if socket.send(b"is anybody there?").is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
        {
            return Ok(());
        }
        match socket.recv(&mut [0; 64]) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok(()),
            Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                std::thread::sleep(AGAIN);
            }
            _ => {}
        }
    }
    Err(Error::new(ErrorKind::TimedOut, format!("{address} does not answer")))
}
