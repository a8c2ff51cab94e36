//! A tunnel without any art, to compare with: a packet is read and sent, received and written, one at a time, in a thread
//! each way.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    net::{SocketAddrV4, UdpSocket},
    thread,
};

use crate::lab::Host;

/// The header of tunnel data over UDP (RFC 3519 §3.3).
const HEADER: [u8; 4] = [4, 4, 0, 0];
/// Octets for a packet.
const LONGEST: usize = 2048;

/// Starts one end with the device `name`; it runs as long as the process.
pub(crate) fn start(
    host: &Host,
    name: &str,
    local: SocketAddrV4,
    remote: SocketAddrV4,
) -> anyhow::Result<()> {
    let name = name.to_owned();
    host.act(move || {
        let socket = UdpSocket::bind(local)?;
        socket.connect(remote)?;
        let device = net::plain_tun(&name, forward::UDP_MTU)?;
        let (from_socket, to_device) = (socket.try_clone()?, device.try_clone()?);
        thread::spawn(move || out(device, &socket));
        thread::spawn(move || back(&from_socket, to_device));
        Ok(())
    })
}

fn out(mut device: File, socket: &UdpSocket) {
    let mut packet = [0; LONGEST];
    packet[..HEADER.len()].copy_from_slice(&HEADER);
    while let Ok(length) = device.read(&mut packet[HEADER.len()..]) {
        // What is lost is lost.
        let _ = socket.send(&packet[..HEADER.len() + length]);
    }
}

fn back(socket: &UdpSocket, mut device: File) {
    let mut packet = [0; LONGEST];
    loop {
        if let Ok(length) = socket.recv(&mut packet)
            && packet[..length].starts_with(&HEADER)
        {
            let _ = device.write(&packet[HEADER.len()..length]);
        }
    }
}
