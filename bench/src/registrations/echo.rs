//! A bare echo over UDP on loopback, 64 datagrams on their way: what the sockets alone allow.

use std::{
    net::UdpSocket,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;

const IN_FLIGHT: usize = 64;
const LASTS: Duration = Duration::from_secs(2);
/// Octets of a relayed request.
const OCTETS: usize = 568;

/// Echoes a second.
pub(crate) fn rate() -> anyhow::Result<f64> {
    let (server, client) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    client.connect(server.local_addr()?)?;
    client.set_read_timeout(Some(Duration::from_secs(1)))?;
    server.set_read_timeout(Some(Duration::from_millis(500)))?;
    let echoing = thread::spawn(move || {
        let mut buffer = [0; 2048];
        // Ends when nobody has asked for a while.
        while let Ok((length, from)) = server.recv_from(&mut buffer) {
            let _ = server.send_to(&buffer[..length], from);
        }
    });
    let mut buffer = [7; OCTETS];
    for _ in 0..IN_FLIGHT {
        client.send(&buffer)?;
    }
    let (start, mut done) = (Instant::now(), 0_u32);
    while start.elapsed() < LASTS {
        client.recv(&mut buffer).context("the echo stopped")?;
        client.send(&buffer)?;
        done += 1;
    }
    let rate = f64::from(done) / start.elapsed().as_secs_f64();
    let _ = echoing.join();
    Ok(rate)
}
