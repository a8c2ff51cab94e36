//! Whether every node can be reached: the correspondent sends an ICMP echo request to each home address, the home agent
//! tunnels it to where the node is, the generator answers there through the reverse tunnel.

use std::{
    collections::BTreeSet,
    mem::MaybeUninit,
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::AsFd,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use socket2::{Domain, Protocol, Socket, Type};
use wire::{
    ip::{self, Icmp, ipip, ipv4},
    mip::tunnel_data::TunnelData,
};

use super::{
    lab::{CORRESPONDENT, HOME_ADDRESS, Lab, agent_address, home_address},
    ports::Ports,
    trace::Place,
};

/// Echo requests on their way at a time: far fewer than a TUN device holds.
const AT_ONCE: usize = 64;
/// Times that a node is asked.
const TRIES: usize = 4;
/// After the last answer, how long the others are waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// Identifier of our echo requests.
const IDENTIFIER: u16 = 0x4c44;
const TTL: u8 = 64;
const SLOT: usize = 2048;

/// The sockets of correspondent and agents.
pub(crate) struct Probe {
    /// Of the correspondent: raw ICMP.
    outside: Socket,
    /// Of each agent: raw IP in IP.
    agents: Vec<Socket>,
}

/// A node and where it is registered.
type Visit = (u32, Place);

impl Probe {
    /// Opens them before anything happens, so that the kernel says of no tunnelled packet that nobody wants it.
    pub(crate) fn open(lab: &Lab, agents: u16) -> Result<Self> {
        let raw = |protocol: i32, address: Ipv4Addr| -> Result<Socket> {
            let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(protocol)))?;
            let _ = socket.set_recv_buffer_size(4 << 20);
            socket.bind(&SocketAddrV4::new(address, 0).into())?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        let outside = lab.outside.run(move |_| raw(libc::IPPROTO_ICMP, CORRESPONDENT))?;
        let agents = lab.access.run(move |_| {
            (0..agents).map(|agent| raw(libc::IPPROTO_IPIP, agent_address(agent))).collect::<Result<_>>()
        })?;
        Ok(Self { outside, agents })
    }

    /// Asks for each of these nodes; hands back those that never answered.
    pub(crate) fn run(&self, ports: &Ports, visits: &[Visit]) -> Result<BTreeSet<u32>> {
        let mut missing: BTreeSet<u32> = visits.iter().map(|(node, _)| *node).collect();
        let mut places: Vec<Option<Place>> = Vec::new();
        for (node, place) in visits {
            let at = *node as usize;
            if places.len() <= at {
                places.resize(at + 1, None);
            }
            places[at] = Some(*place);
        }
        for _ in 0..TRIES {
            let wanted: Vec<u32> = missing.iter().copied().collect();
            for some in wanted.chunks(AT_ONCE) {
                for node in some {
                    self.ask(*node)?;
                }
                self.listen(ports, &places, &mut missing, some)?;
            }
            if missing.is_empty() {
                break;
            }
        }
        Ok(missing)
    }

    fn ask(&self, node: u32) -> Result<()> {
        let data = node.to_be_bytes();
        let echo = Icmp::EchoRequest { identifier: IDENTIFIER, sequence: node as u16, data: &data };
        let to = SocketAddrV4::new(home_address(node), 0).into();
        match self.outside.send_to(&echo.to_vec(), &to) {
            Ok(_) => Ok(()),
            // A host unreachable of an earlier one: this node is asked again.
            Err(error) if lost(&error) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("cannot ask for {}", home_address(node))),
        }
    }

    /// Until all of `some` have answered, or nothing comes any more.
    fn listen(
        &self,
        ports: &Ports,
        places: &[Option<Place>],
        missing: &mut BTreeSet<u32>,
        some: &[u32],
    ) -> Result<()> {
        let mut last = Instant::now();
        while some.iter().any(|node| missing.contains(node)) {
            let left = PATIENCE.saturating_sub(last.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            let own = ports.own()?;
            let mut fds = vec![PollFd::new(self.outside.as_fd(), PollFlags::POLLIN)];
            fds.push(PollFd::new(own.as_fd(), PollFlags::POLLIN));
            fds.extend(self.agents.iter().map(|agent| PollFd::new(agent.as_fd(), PollFlags::POLLIN)));
            let timeout = PollTimeout::try_from(left.as_millis().max(1)).unwrap_or(PollTimeout::MAX);
            match poll(&mut fds, timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => bail!("cannot wait for echo replies: {}", error.desc()),
            }
            for (number, agent) in (0..).zip(&self.agents) {
                each(agent, |packet| {
                    let Ok(tunnelled) = ipip::decapsulate(packet) else { return };
                    if let Some(answer) = answer(tunnelled.bytes, Place::Agent(number), places) {
                        // What is lost here is asked for again.
                        let _ = agent.send_to(&answer, &SocketAddrV4::new(HOME_ADDRESS, 0).into());
                    }
                });
            }
            each(own, |payload| {
                let Ok(tunnelled) = TunnelData::parse(payload) else { return };
                if tunnelled.next_header == ipv4::Protocol::IP_IN_IP
                    && let Some(packet) = answer(tunnelled.packet, Place::Own, places)
                {
                    let data = TunnelData { next_header: ipv4::Protocol::IP_IN_IP, packet: &packet };
                    let _ = ports.send_own(&data.to_vec());
                }
            });
            each(&self.outside, |packet| {
                if let Some(node) = came_back(packet) {
                    missing.remove(&node);
                    last = Instant::now();
                }
            });
        }
        Ok(())
    }
}

/// The node whose right answer this is.
fn came_back(packet: &[u8]) -> Option<u32> {
    let packet = ip::parse_icmp(packet).ok()?;
    let Ok(Icmp::EchoReply { identifier: IDENTIFIER, data, .. }) = packet.icmp() else { return None };
    let node = u32::from_be_bytes(data.try_into().ok()?);
    (packet.source == home_address(node)).then_some(node)
}

/// What a node answers to a packet that came to `place`, if it is there and the packet is an echo request for it.
fn answer(inner: &[u8], place: Place, places: &[Option<Place>]) -> Option<Vec<u8>> {
    let packet = ip::parse_icmp(inner).ok()?;
    let Ok(Icmp::EchoRequest { identifier, sequence, data }) = packet.icmp() else { return None };
    let node = packet.destination.to_bits().checked_sub(home_address(0).to_bits())?;
    if places.get(node as usize)? != &Some(place) {
        return None;
    }
    let reply = Icmp::EchoReply { identifier, sequence, data }.to_vec();
    ip::icmp_packet(packet.destination, packet.source, TTL, &reply).ok()
}

/// Every packet that waits at a socket.
fn each(socket: &Socket, mut take: impl FnMut(&[u8])) {
    let mut buffer = [MaybeUninit::<u8>::uninit(); SLOT];
    loop {
        match socket.recv(&mut buffer) {
            Ok(length) => {
                let octets = buffer.get(..length).unwrap_or_default();
                // SAFETY: the kernel has written so many octets.
                take(unsafe { &*(std::ptr::from_ref(octets) as *const [u8]) });
            }
            Err(error) if lost(&error) => {}
            Err(_) => return,
        }
    }
}

/// The report of an ICMP error about something sent earlier.
fn lost(error: &std::io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ECONNREFUSED | libc::EHOSTUNREACH | libc::ENETUNREACH | libc::ENOPROTOOPT | libc::EPROTO)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo(to: Ipv4Addr, node: u32) -> Vec<u8> {
        let data = node.to_be_bytes();
        let echo = Icmp::EchoRequest { identifier: IDENTIFIER, sequence: 1, data: &data }.to_vec();
        ip::icmp_packet(CORRESPONDENT, to, TTL, &echo).unwrap()
    }

    #[test]
    fn a_node_answers_where_it_is_and_nowhere_else() {
        let places = [None, Some(Place::Agent(2)), Some(Place::Own)];
        let asked = echo(home_address(1), 1);
        assert_eq!(answer(&asked, Place::Agent(1), &places), None);
        assert_eq!(answer(&asked, Place::Own, &places), None);
        let answered = answer(&asked, Place::Agent(2), &places).unwrap();
        assert_eq!(came_back(&answered), Some(1));
        assert_eq!(answer(&echo(home_address(0), 0), Place::Agent(0), &places), None);
        assert_eq!(answer(&echo(home_address(9), 9), Place::Own, &places), None);
        assert_eq!(answer(&echo(Ipv4Addr::new(10, 0, 0, 9), 9), Place::Own, &places), None);
    }

    #[test]
    fn an_answer_from_another_address_does_not_count() {
        let data = 7_u32.to_be_bytes();
        let reply = Icmp::EchoReply { identifier: IDENTIFIER, sequence: 7, data: &data }.to_vec();
        let from = |address| ip::icmp_packet(address, CORRESPONDENT, TTL, &reply).unwrap();
        assert_eq!(came_back(&from(home_address(7))), Some(7));
        assert_eq!(came_back(&from(home_address(8))), None);
        assert_eq!(came_back(&echo(home_address(7), 7)), None);
    }
}
