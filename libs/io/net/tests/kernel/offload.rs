//! What is on the wires while packets go through the tunnels many in one: frames that fit, with all checksums right.

use std::{
    ffi::c_int,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream, UdpSocket},
    os::fd::AsRawFd as _,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use socket2::{Domain, Socket, Type};

use crate::{
    lab::{Host, PATIENCE, Switch},
    world::{
        ALL, CARE_OF, Encapsulation, FOREIGN_AGENT, HOME_ADDRESS, World, clamping, echo, ends, learns_mtu,
        transfer, wait_for, with_and_without_offload,
    },
};

/// Octets of the frames of a link, without their header.
const LINK: usize = 1500;

/// Interfaces through which only real frames pass: the kernel cuts and sums before them.
fn real_frames(host: &Host, interfaces: &[&'static str]) {
    for interface in interfaces.iter().copied() {
        host.act(move || async move {
            // Scatter-gather, checksums, TCP segments, segments of any kind; UDP segments have no command of their own.
            for command in [0x19, 0x17, 0x1f, 0x25] {
                ethtool(interface, &mut [command, 0]);
            }
        });
    }
}

/// Interfaces at which the kernel puts together what comes, as it does at network cards.
fn put_together(host: &Host, interfaces: &[&'static str]) {
    for interface in interfaces.iter().copied() {
        host.act(move || async move { ethtool(interface, &mut [0x2c, 1]) });
    }
}

/// `SIOCETHTOOL` with a command and its value.
fn ethtool(interface: &str, value: &mut [u32; 2]) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    // SAFETY: `ifreq` is plain data for which all zeros is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = value.as_mut_ptr().cast();
    // SAFETY: SIOCETHTOOL (0x8946) takes an `ifreq` that points to a command and its value, which outlive the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), 0x8946, &raw mut request) };
    assert_eq!(result, 0, "{interface} {value:x?} {}", std::io::Error::last_os_error());
}

/// Looks at all IPv4 packets of an interface until it is asked what it saw.
struct Capture {
    stop: Arc<AtomicBool>,
    looks: JoinHandle<Seen>,
}

/// What was on a wire.
#[derive(Debug, Default)]
struct Seen {
    packets: usize,
    tunnelled: usize,
    streams: usize,
    fragments: usize,
    longest: usize,
    silent: usize,
    wrong: Vec<String>,
}

impl Capture {
    fn at(host: &Host) -> Self {
        let socket = host.act(|| async {
            let everything = i32::from(0x0003_u16.to_be());
            Socket::new(Domain::PACKET, Type::DGRAM, Some(everything.into())).unwrap()
        });
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        socket.set_recv_buffer_size(32 << 20).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let looks = std::thread::spawn(move || {
            let mut seen = Seen::default();
            let mut buffer = vec![0; 70_000];
            loop {
                match (&socket).read(&mut buffer) {
                    Ok(length) if buffer[0] >> 4 == 4 => seen.look(&buffer[..length], true),
                    Ok(_) => {}
                    Err(_) if stopped.load(Ordering::Relaxed) => return seen,
                    Err(_) => {}
                }
            }
        });
        Self { stop, looks }
    }

    fn end(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.looks.join().unwrap()
    }
}

impl Seen {
    fn look(&mut self, frame: &[u8], outermost: bool) {
        let header = usize::from(frame[0] & 0x0f) * 4;
        let total = usize::from(u16::from_be_bytes([frame[2], frame[3]]));
        if header < 20 || total < header || total > frame.len() {
            return self.wrong.push(format!("lengths {header} {total} {}", frame.len()));
        }
        let packet = &frame[..total];
        if outermost {
            self.packets += 1;
            self.longest = self.longest.max(frame.len());
        }
        if sum(&[&packet[..header]]) != 0 {
            self.wrong.push(format!("IP checksum {:x?}", &packet[..header]));
        }
        if u16::from_be_bytes([packet[6], packet[7]]) & 0x3fff != 0 {
            self.fragments += 1;
            return;
        }
        let transport = &packet[header..];
        let length = (transport.len() as u32).to_be_bytes();
        let pseudo = [&packet[12..20], &[0, packet[9]], &length[2..]];
        match packet[9] {
            4 => self.inside(transport),
            // Ours has no checksum.
            47 => self.inside(&transport[4..]),
            55 => {
                self.tunnelled += 1;
                let with_source = transport[1] & 0x80 != 0;
                let forwarding = if with_source { 12 } else { 8 };
                if sum(&[&transport[..forwarding]]) != 0 {
                    self.wrong.push("checksum of a minimal header".to_owned());
                }
                let mut inner = packet[..20].to_vec();
                inner[9] = transport[0];
                inner[2..4].copy_from_slice(&((total - forwarding) as u16).to_be_bytes());
                inner[16..20].copy_from_slice(&transport[4..8]);
                if with_source {
                    inner[12..16].copy_from_slice(&transport[8..12]);
                }
                inner[10..12].fill(0);
                let right = sum(&[&inner]).to_be_bytes();
                inner[10..12].copy_from_slice(&right);
                inner.extend(&transport[forwarding..]);
                self.look(&inner, false);
            }
            6 => {
                self.streams += 1;
                if sum(&[&pseudo.concat(), transport]) != 0 {
                    self.wrong.push(format!("TCP checksum of {total} octets"));
                }
            }
            17 => {
                let none = transport[6..8] == [0, 0];
                self.silent += usize::from(none);
                if !none && sum(&[&pseudo.concat(), transport]) != 0 {
                    self.wrong.push(format!("UDP checksum of {total} octets"));
                }
                if transport[2..4] == 434_u16.to_be_bytes() && transport.get(8..10) == Some(&[4, 4]) {
                    self.inside(&transport[12..]);
                }
            }
            _ => {}
        }
    }

    fn inside(&mut self, inner: &[u8]) {
        self.tunnelled += 1;
        // A packet that is shorter than a header came from nobody but a test.
        if inner.len() >= 20 {
            self.look(inner, false);
        }
    }
}

/// The checksum of these pieces, of which only the last may have an odd length.
fn sum(pieces: &[&[u8]]) -> u16 {
    let words = pieces.iter().flat_map(|piece| piece.chunks(2));
    let mut total: u32 =
        words.map(|word| u32::from(word[0]) << 8 | word.get(1).map_or(0, |low| u32::from(*low))).sum();
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    !(total as u16)
}

fn option(socket: &UdpSocket, level: c_int, name: c_int, value: c_int) {
    let length = size_of::<c_int>() as libc::socklen_t;
    let value = (&raw const value).cast();
    // SAFETY: pointer and length describe `value`, which outlives the call.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value, length) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// Datagrams of these sizes from one to the other; all arrive, none changed.
fn datagrams(from: &UdpSocket, to: &UdpSocket, sizes: impl Iterator<Item = usize>) {
    let address = to.local_addr().unwrap();
    for size in sizes {
        let message: Vec<u8> = (0..size).map(|n| (n * 3 + size) as u8).collect();
        from.send_to(&message, address).unwrap();
        let mut buffer = [0; 9000];
        let (length, _) = to.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], message, "{size}");
    }
}

/// Many datagrams with one call, which the kernel hands over as one packet where it may.
fn in_one(from: &UdpSocket, to: &UdpSocket) {
    option(from, libc::SOL_UDP, libc::UDP_SEGMENT, 500);
    let message: Vec<u8> = (0..500 * 40 + 123).map(|n| (n / 7) as u8).collect();
    from.send_to(&message, to.local_addr().unwrap()).unwrap();
    option(from, libc::SOL_UDP, libc::UDP_SEGMENT, 0);
    let mut received: Vec<u8> = Vec::new();
    let mut buffer = [0; 2048];
    while received.len() < message.len() {
        let (length, _) = to.recv_from(&mut buffer).unwrap();
        received.extend(&buffer[..length]);
    }
    assert!(received == message, "in order and whole");
}

#[test]
fn every_frame_to_a_visitor_fits_and_has_right_checksums() {
    with_and_without_offload(|offload| {
        for encapsulation in ALL {
            let Some(world) = with_real_frames() else { return };
            let tunnels = [world.bind(encapsulation, FOREIGN_AGENT), world.visit(encapsulation)]
                .map(|(tunnel, _)| tunnel);
            let World { correspondent, router, mobile, .. } = &world;
            let hops = [("correspondent", correspondent), ("router", router), ("mobile node", mobile)];
            traffic(&world, encapsulation, &hops);
            for tunnel in &tunnels {
                let counters = tunnel.counters();
                assert_eq!(counters.value("tunnel deliveries refused"), 0, "{counters:?}");
                let together = counters.value("tunnel packets handed over together");
                assert_eq!(together > 0, offload, "{encapsulation:?} {counters:?}");
            }
        }
    });
}

/// The mobile node's own kernel hands over packets that are to be cut.
#[test]
fn every_frame_of_a_node_with_an_address_of_its_own_fits_and_has_right_checksums() {
    with_and_without_offload(|offload| {
        for encapsulation in ALL {
            let Some(world) = with_real_frames() else { return };
            let (_at_home, _control) = world.bind(encapsulation, CARE_OF);
            let (away, _control) = world.co_locate(encapsulation);
            let hops = [("correspondent", &world.correspondent), ("router", &world.router)];
            traffic(&world, encapsulation, &hops);
            let counters = away.counters();
            assert_eq!(counters.value("tunnel deliveries refused"), 0, "{counters:?}");
            let cut = counters.value("tunnel segments cut from longer packets");
            assert_eq!(cut > 500, offload, "{encapsulation:?} {counters:?}");
        }
    });
}

/// A world whose hosts cut and sum before the wires, while the agents put together what comes.
fn with_real_frames() -> Option<World> {
    let world = World::new()?;
    let agents = [&world.home_agent, &world.foreign_agent];
    for host in agents.into_iter().chain([&world.router]) {
        real_frames(host, &["eth0", "eth1"]);
    }
    for host in [&world.correspondent, &world.mobile] {
        real_frames(host, &["eth0"]);
    }
    agents.into_iter().for_each(|agent| put_together(agent, &["eth0", "eth1"]));
    Some(world)
}

/// All kinds of packets between the correspondent and the mobile node, looked at on the way.
fn traffic(world: &World, encapsulation: Encapsulation, hops: &[(&str, &Host)]) {
    let (one, two) = ends(world);
    echo(&one, &two, 100);
    let mtu = c_int::from(encapsulation.mtu());
    learns_mtu(&one, &two, mtu);
    learns_mtu(&two, &one, mtu);
    let looks: Vec<_> = hops.iter().map(|(name, host)| (name, Capture::at(host))).collect();
    transfer(world, 1 << 20);
    let (one, two) = (world.correspondent.udp("10.11.1.90:5002"), world.mobile.udp("10.11.1.50:5002"));
    for (from, to) in [(&one, &two), (&two, &one)] {
        // Tiny ones, those at the edge, and those that the host cuts into fragments.
        datagrams(from, to, (0..9).chain([1, 2, 5, 200]).chain(1400..1441).chain([4000, 7777]));
        option(from, libc::SOL_SOCKET, libc::SO_NO_CHECK, 1);
        datagrams(from, to, [1, 100, 1400, 1439, 3000].into_iter());
        option(from, libc::SOL_SOCKET, libc::SO_NO_CHECK, 0);
        in_one(from, to);
    }
    for (name, look) in looks {
        let seen = look.end();
        assert_eq!(seen.wrong, [] as [&str; 0], "{name} {encapsulation:?}");
        assert!((1..=LINK).contains(&seen.longest), "{name} {encapsulation:?} {seen:?}");
        assert!(seen.streams > 1000 && seen.fragments > 10 && seen.silent > 5, "{name} {seen:?}");
        assert_eq!(seen.tunnelled > 1000, *name == "router", "{name} {seen:?}");
    }
}

/// Inner packets that end in their header, or after a few octets more; and garbage that looks like tunnel data.
#[test]
fn tiny_packets_and_garbage_in_a_tunnel_stop_nothing() {
    with_and_without_offload(|_| {
        let Some(world) = World::new() else { return };
        let (at_home, mut control) = world.bind(Encapsulation::Udp, FOREIGN_AGENT);
        let (_away, _control) = world.visit(Encapsulation::Udp);
        let (one, two) = ends(&world);
        echo(&one, &two, 100);
        // As the foreign agent, from its port: only the inner packet is judged.
        let stranger = world.router.udp("10.50.1.1:40000");
        let mut datagram =
            vec![4, 4, 0, 0, 0x45, 0, 0, 20, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 11, 1, 50, 10, 11, 1, 90];
        datagram.extend([0; 40]);
        for length in 0..datagram.len() {
            stranger.send_to(&datagram[..length], "10.50.1.2:434").unwrap();
        }
        // Datagrams of one size and one sender may come glued: what is for control comes to it, one by one.
        for n in 0..20_u8 {
            stranger.send_to(&[1, n, 7, 7], "10.50.1.2:434").unwrap();
            stranger.send_to(&[4, 4, n, 7], "10.50.1.2:434").unwrap();
        }
        let received = world.home_agent.act(move || async move {
            let mut all = Vec::new();
            while all.len() < 21 {
                all.push(control.recv().await.unwrap().payload);
            }
            all
        });
        let expected: Vec<Vec<u8>> = [vec![]].into_iter().chain((0..20).map(|n| vec![1, n, 7, 7])).collect();
        assert_eq!(received, expected);
        assert_eq!(at_home.counters().value("tunnel deliveries refused"), 0);
        echo(&two, &one, 100);
    });
}

/// Datagrams of two kinds that the kernel has put together are told apart.
#[test]
fn datagrams_that_come_glued_are_each_judged_alone() {
    let Some(world) = World::new() else { return };
    let (at_home, mut control) = world.bind(Encapsulation::Udp, FOREIGN_AGENT);
    let stranger = world.router.udp("10.50.1.1:40000");
    option(&stranger, libc::SOL_UDP, libc::UDP_SEGMENT, 4);
    let message: Vec<u8> =
        (0..30_u8).flat_map(|n| if n % 3 == 0 { [1, n, 0, 0] } else { [4, 4, n, 0] }).collect();
    stranger.send_to(&message, "10.50.1.2:434").unwrap();
    let received = world.home_agent.act(move || async move {
        let mut all = Vec::new();
        while all.len() < 10 {
            all.push(control.recv().await.unwrap().payload);
        }
        all
    });
    let expected: Vec<Vec<u8>> = (0..10).map(|n| vec![1, n * 3, 0, 0]).collect();
    assert_eq!(received, expected);
    wait_for(|| at_home.counters().value("tunnel drop: malformed packet") == 20);
}

/// A stream that nobody tells how narrow the tunnel is.
#[test]
fn a_stream_passes_where_no_icmp_does() {
    with_and_without_offload(|_| {
        for encapsulation in ALL {
            let Some(world) = World::new() else { return };
            clamping(true);
            let (at_home, _control) = world.bind(encapsulation, CARE_OF);
            let (_away, _control) = world.co_locate(encapsulation);
            clamping(false);
            for host in [&world.correspondent, &world.mobile] {
                host.act(|| async {
                    let rule = ["rule", "add", "pref", "5", "iif", "eth0", "ipproto", "icmp", "blackhole"];
                    assert!(Command::new("ip").args(rule).status().unwrap().success());
                });
            }
            transfer(&world, 1 << 20);
            assert_eq!(at_home.counters().value("tunnel packets too big"), 0);
            let (announced, most) = (segment_size(&world), i32::from(encapsulation.mtu()) - 40);
            assert!(announced <= most, "{announced} {most}");
        }
    });
}

#[test]
fn without_clamping_streams_announce_what_they_like() {
    let Some(world) = World::new() else { return };
    let (_at_home, _control) = world.bind(Encapsulation::Udp, FOREIGN_AGENT);
    let (_away, _control) = world.visit(Encapsulation::Udp);
    assert!(segment_size(&world) > i32::from(Encapsulation::Udp.mtu()) - 40 - 12);
}

/// The largest segment that the correspondent would send to the mobile node at the beginning.
fn segment_size(world: &World) -> c_int {
    let listener = world.mobile.act(|| async { TcpListener::bind((HOME_ADDRESS, 7001)).unwrap() });
    let stream = world.correspondent.act(|| async { TcpStream::connect((HOME_ADDRESS, 7001)).unwrap() });
    let (_other, _) = listener.accept().unwrap();
    let (mut value, mut length) = (0, size_of::<c_int>() as libc::socklen_t);
    let place = (&raw mut value).cast();
    // SAFETY: pointer and length describe `value`, which outlives the call.
    let result = unsafe {
        libc::getsockopt(stream.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_MAXSEG, place, &raw mut length)
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    value
}

/// A stream whose segments stop fitting on the way: what waits in one piece is cut anew.
#[test]
fn a_path_that_grows_narrow_under_a_stream_does_not_stop_it() {
    with_and_without_offload(|_| {
        for encapsulation in ALL {
            let Some(world) = World::new() else { return };
            let (at_home, _control) = world.bind(encapsulation, FOREIGN_AGENT);
            let (_away, _control) = world.visit(encapsulation);
            let listener = world.mobile.act(|| async { TcpListener::bind((HOME_ADDRESS, 7002)).unwrap() });
            let from =
                world.correspondent.act(|| async { TcpStream::connect((HOME_ADDRESS, 7002)).unwrap() });
            let (mut to, _) = listener.accept().unwrap();
            to.set_read_timeout(Some(PATIENCE)).unwrap();
            let octets = 512 << 10;
            let mut received = vec![0; octets];
            for round in 0..3_u8 {
                let sent: Vec<u8> = (0..octets).map(|n| (n / 5) as u8 ^ round).collect();
                let expected = sent.clone();
                let mut source = from.try_clone().unwrap();
                let sender = std::thread::spawn(move || source.write_all(&sent).unwrap());
                to.read_exact(&mut received).unwrap();
                sender.join().unwrap();
                assert!(received == expected, "{encapsulation:?} {round}");
                // The next round finds the path 100 octets narrower than the one before.
                Switch::narrow(&world.router, "eth1", 1400 - 100 * u32::from(round));
                Switch::narrow(&world.foreign_agent, "eth0", 1400 - 100 * u32::from(round));
            }
            assert!(at_home.counters().value("tunnel ICMP errors sent") >= 2, "{:?}", at_home.counters());
        }
    });
}
