//! `testbed exec` and `testbed pcap`: this process goes into a node.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, IsTerminal, Write},
    os::{
        fd::AsRawFd,
        unix::{fs::PermissionsExt, process::CommandExt},
    },
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result};
use nix::{
    net::if_::{if_indextoname, if_nametoindex},
    sched::{CloneFlags, setns},
};
use socket2::{Domain, Socket, Type};

use super::kept::Name;
use crate::{
    capture::{pcap, pcap::PcapFile, words},
    clock,
    control::{Door, Request, ask},
    terminal,
};

/// Replaces this process by a command in a node's network.
pub(crate) fn exec(name: &Name, node: String, command: &[OsString]) -> Result<ExitCode> {
    let (program, arguments) = command.split_first().context("no command given")?;
    let door = enter(name, node)?;
    // The search for the program uses this process's own PATH, not the one given to it.
    let program = found(program, &door).unwrap_or_else(|| program.clone());
    let error = Command::new(&program).args(arguments).envs(door.variables()).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}

/// Captures everything that a node sends and receives, or one interface of it: as a pcap file, or in words at a
/// terminal. It ends only by a signal or an error.
pub(crate) fn pcap(
    name: &Name,
    node: String,
    interface: Option<&str>,
    file: Option<&Path>,
) -> Result<ExitCode> {
    let target: Option<Box<dyn Write>> = match file {
        Some(path) => {
            Some(Box::new(File::create(path).with_context(|| format!("cannot write {}", path.display()))?))
        }
        None if io::stdout().is_terminal() => None,
        None => Some(Box::new(io::stdout())),
    };
    let mut out = target.map(|target| PcapFile::new(target, pcap::LINUX_SLL2)).transpose()?;
    enter(name, node)?;
    let only = interface
        .map(|name| if_nametoindex(name).with_context(|| format!("the node has no interface {name}")))
        .transpose()?;
    let protocol = i32::from((libc::ETH_P_ALL as u16).to_be());
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol.into())).context("cannot capture")?;
    if let Some(out) = &mut out {
        out.flush()?;
    }
    let mut buffer = vec![0_u8; 1 << 16];
    loop {
        let (length, from) = receive(&socket, &mut buffer)?;
        if only.is_some_and(|index| index != from.sll_ifindex.cast_unsigned()) {
            continue;
        }
        let packet = buffer.get(..length).unwrap_or_default();
        match &mut out {
            Some(out) => {
                let frame = [&cooked(&from)[..], packet].concat();
                out.write(clock::unix_ns(), u32::try_from(frame.len())?, &frame)?;
                out.flush()?;
            }
            None => show(&from, packet),
        }
    }
}

/// Joins the namespaces of a node: first the user namespace, if the network has one of its own.
fn enter(name: &Name, node: String) -> Result<Door> {
    let door: Door = serde_json::from_value(ask(&name.directory(), &Request::Enter { node })?)?;
    let path = |what: &str| format!("/proc/{}/task/{}/ns/{what}", door.process, door.thread);
    let (user, network) = (File::open(path("user"))?, File::open(path("net"))?);
    if fs::read_link(path("user"))? != fs::read_link("/proc/self/ns/user")? {
        setns(user, CloneFlags::CLONE_NEWUSER).context("cannot join the network's user namespace")?;
    }
    setns(network, CloneFlags::CLONE_NEWNET)
        .context("cannot join the node's network (only who started the network can)")?;
    Ok(door)
}

fn found(program: &OsString, door: &Door) -> Option<OsString> {
    if program.as_encoded_bytes().contains(&b'/') {
        return None;
    }
    let (_, path) = door.variables().find(|(name, _)| *name == "PATH")?;
    let runs = |path: &Path| {
        fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|path| runs(path))
        .map(Into::into)
}

fn receive(socket: &Socket, buffer: &mut [u8]) -> Result<(usize, libc::sockaddr_ll)> {
    // SAFETY: an all-zero link-layer address is valid.
    let mut from: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    let mut size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the kernel writes at most the given lengths into the buffer and the address.
    let length = unsafe {
        libc::recvfrom(
            socket.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            0,
            (&raw mut from).cast(),
            &raw mut size,
        )
    };
    let length = nix::errno::Errno::result(length).context("cannot capture")?;
    Ok((usize::try_from(length)?, from))
}

/// The header of the "Linux cooked, version 2" link type.
fn cooked(from: &libc::sockaddr_ll) -> [u8; 20] {
    let mut header = [0_u8; 20];
    let fields: [&[u8]; 7] = [
        &from.sll_protocol.to_ne_bytes(),
        &[0, 0],
        &from.sll_ifindex.to_be_bytes(),
        &from.sll_hatype.to_be_bytes(),
        &[from.sll_pkttype],
        &[from.sll_halen],
        &from.sll_addr,
    ];
    for (to, octet) in header.iter_mut().zip(fields.concat()) {
        *to = octet;
    }
    header
}

fn show(from: &libc::sockaddr_ll, packet: &[u8]) {
    let interface = if_indextoname(from.sll_ifindex.cast_unsigned())
        .map_or_else(|_| "?".to_owned(), |name| name.to_string_lossy().into_owned());
    let way = if from.sll_pkttype == libc::PACKET_OUTGOING { "out" } else { "in" };
    let now = clock::unix_ns() / 1_000_000;
    let what = words::describe(u16::from_be(from.sll_protocol), packet);
    terminal::line(&format!(
        "{}.{:03} {interface:<9} {way:<3} {what} ({} bytes)",
        now / 1000,
        now % 1000,
        packet.len()
    ));
}
