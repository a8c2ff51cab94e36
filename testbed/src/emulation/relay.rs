//! The thread behind the emulated links. It sleeps until a frame comes, a frame arrives or it is told something.

use std::{
    collections::BTreeMap,
    io::Read as _,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, TryRecvError},
    },
};

use nix::{
    poll::{PollFd, PollFlags, ppoll},
    sys::time::TimeSpec,
};

use super::{
    Command, Line, Order,
    discipline::{Discipline, Dropped, Impairment},
    ledger::Ledger,
    random::Random,
    segment::{Segment, Way},
    socket,
};
use crate::clock;

/// The longest frame without segmentation offload, and then some.
const LONGEST: usize = 1 << 16;
/// Frames read from a port before the others get their turn.
const TURN: usize = 32;

pub(super) struct Relay {
    inbox: Receiver<Order>,
    woken: UnixStream,
    ledger: Arc<Mutex<Ledger>>,
    links: BTreeMap<String, Link>,
    /// By a number that no other port ever has; one that was detached stays while frames of it are on the way.
    ports: BTreeMap<u64, Port>,
    next: u64,
}

struct Link {
    impairment: Impairment,
    cut: bool,
    seed: u64,
    segment: Segment,
}

struct Port {
    /// Index of the interface in the switch.
    index: u32,
    link: String,
    socket: Option<OwnedFd>,
    discipline: Discipline,
}

impl Relay {
    pub(super) fn new(
        lines: Vec<Line>,
        inbox: Receiver<Order>,
        woken: UnixStream,
        ledger: Arc<Mutex<Ledger>>,
    ) -> Self {
        let link = |line: Line| {
            let state = Link {
                impairment: line.impairment,
                cut: false,
                seed: line.seed,
                segment: Segment::default(),
            };
            (line.link, state)
        };
        let links = lines.into_iter().map(link).collect();
        Self { inbox, woken, ledger, links, ports: BTreeMap::new(), next: 0 }
    }

    pub(super) fn run(mut self) {
        let mut buffer = vec![0; LONGEST];
        while self.obey(&mut buffer) {
            self.release();
            for number in self.wait() {
                self.read(number, TURN, &mut buffer);
            }
        }
    }

    /// Carries out what it was told; `false` if that is to stop.
    fn obey(&mut self, buffer: &mut [u8]) -> bool {
        loop {
            let Order { command, done } = match self.inbox.try_recv() {
                Ok(order) => order,
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            };
            match command {
                Command::Attach { port, link, origin, socket } => self.attach(port, link, &origin, socket),
                Command::Detach { port } => self.detach(port, buffer),
                Command::Impair { link, impairment } => self.impair(&link, &impairment),
                Command::Cut { link, cut } => self.cut(&link, cut),
                Command::Stop => return false,
            }
            // Who asked may have ended.
            let _ = done.send(());
        }
    }

    fn attach(&mut self, index: u32, name: String, origin: &str, socket: OwnedFd) {
        let Some(link) = self.links.get(&name) else { return };
        let random = Random::new(link.seed, &format!("{name} {origin}"));
        let discipline = Discipline::new(link.impairment.clone(), link.cut, random);
        self.next += 1;
        self.ports.insert(self.next, Port { index, link: name, socket: Some(socket), discipline });
    }

    fn detach(&mut self, index: u32, buffer: &mut [u8]) {
        let attached =
            |(number, port): (&u64, &Port)| (port.index == index && port.socket.is_some()).then_some(*number);
        let Some(number) = self.ports.iter().find_map(attached) else {
            return;
        };
        // What it sent before it left is on the link already.
        self.read(number, usize::MAX, buffer);
        if let Some(port) = self.ports.get_mut(&number) {
            port.socket = None;
            if let Some(link) = self.links.get_mut(&port.link) {
                link.segment.forget(number);
            }
        }
    }

    fn impair(&mut self, name: &str, impairment: &Impairment) {
        if let Some(link) = self.links.get_mut(name) {
            link.impairment = impairment.clone();
        }
        for port in self.ports.values_mut().filter(|port| port.link == name) {
            port.discipline.impair(impairment.clone());
        }
    }

    fn cut(&mut self, name: &str, cut: bool) {
        if let Some(link) = self.links.get_mut(name) {
            link.cut = cut;
        }
        let Ok(mut ledger) = self.ledger.lock() else { return };
        for port in self.ports.values_mut().filter(|port| port.link == name) {
            for frame in port.discipline.cut(cut) {
                ledger.dropped(name, &frame, Dropped::Cut);
            }
        }
    }

    /// Hands over every frame whose time has come, the earliest first.
    fn release(&mut self) {
        let now = clock::boot_ns();
        loop {
            let due = self.ports.iter().filter_map(|(number, port)| Some((port.discipline.next()?, *number)));
            let Some((_, number)) = due.min().filter(|(at, _)| *at <= now) else {
                break;
            };
            self.deliver(number, now);
        }
        self.ports.retain(|_, port| port.socket.is_some() || port.discipline.next().is_some());
    }

    fn deliver(&mut self, number: u64, now: u64) {
        let Some(port) = self.ports.get_mut(&number) else { return };
        let Some(frame) = port.discipline.take(now) else { return };
        let (name, attached) = (port.link.clone(), port.socket.is_some());
        let Some(link) = self.links.get_mut(&name) else { return };
        let way = link.segment.forward(number, attached, &frame);
        for (other, port) in &self.ports {
            let wanted = match way {
                Way::Everybody => *other != number && port.link == name,
                Way::To(one) => *other == one,
                Way::Nobody => false,
            };
            if let Some(socket) = port.socket.as_ref().filter(|_| wanted) {
                socket::write(socket, &frame);
            }
        }
    }

    /// Sleeps, and hands back the ports that have something to read.
    fn wait(&mut self) -> Vec<u64> {
        let next = self.ports.values().filter_map(|port| port.discipline.next()).min();
        let limit = next.map(|at| TimeSpec::from_duration(duration_until(at)));
        let sockets: Vec<(u64, &OwnedFd)> =
            self.ports.iter().filter_map(|(number, port)| Some((*number, port.socket.as_ref()?))).collect();
        let mut polled = vec![PollFd::new(self.woken.as_fd(), PollFlags::POLLIN)];
        polled.extend(sockets.iter().map(|(_, socket)| PollFd::new(socket.as_fd(), PollFlags::POLLIN)));
        if ppoll(&mut polled, limit, None).is_err() {
            return Vec::new();
        }
        let ready = |fd: &PollFd<'_>| fd.any().unwrap_or(true);
        let numbers = sockets.iter().map(|(number, _)| *number);
        let found = polled.iter().skip(1).zip(numbers).filter(|(fd, _)| ready(fd)).map(|(_, number)| number);
        let found = found.collect();
        if polled.first().is_some_and(ready) {
            let _ = (&self.woken).read(&mut [0; 64]);
        }
        found
    }

    fn read(&mut self, number: u64, most: usize, buffer: &mut [u8]) {
        let Some(port) = self.ports.get_mut(&number) else { return };
        let Some(socket) = &port.socket else { return };
        let Ok(mut ledger) = self.ledger.lock() else { return };
        for _ in 0..most {
            let Some(frame) = socket::read(socket, buffer) else {
                break;
            };
            let fate = port.discipline.offer(clock::boot_ns(), frame);
            ledger.entered(&port.link, frame, fate);
        }
        ledger.overrun(&port.link, socket::overrun(socket));
    }
}

fn duration_until(boot_ns: u64) -> std::time::Duration {
    std::time::Duration::from_nanos(boot_ns.saturating_sub(clock::boot_ns()))
}
