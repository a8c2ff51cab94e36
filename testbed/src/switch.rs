//! Every link of the network, in a namespace of their own, with one port per attached node. A good link is a
//! bridge of the kernel; one that is to be bad is emulated in user space.
//!
//! A mobile node changes links by what happens to the switch end of its cable: down, plugged into another
//! bridge, up. Its own end stays where it is, so that it sees carrier go and come as a real node does.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::Mutex,
};

use anyhow::{Context, Result, anyhow};
use sha2::{Digest, Sha256};

use crate::{
    capture::Capture,
    clock,
    emulation::{Emulator, Impairment, Ledger, Line, port_socket},
    netns::{Mac, Namespace, raw},
};

/// The links and, if wanted, the capture of what passes through them.
pub(crate) struct Switch {
    namespace: Namespace,
    segments: BTreeMap<String, Segment>,
    emulator: Option<Emulator>,
    capture: Mutex<Option<Capture>>,
}

/// What a link is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Segment {
    /// Index of its interface.
    Bridge(u32),
    Emulated,
}

/// A node's end of a cable.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    /// `eth0`, `eth1`, … in the node's namespace.
    pub(crate) interface: String,
    /// Its index there.
    pub(crate) index: u32,
    /// Index of the other end in the switch.
    pub(crate) switch_index: u32,
    /// Name of that end, the same in every run.
    pub(crate) switch_name: String,
    /// The node's link address on it, as text.
    pub(crate) link_address: String,
    /// The link that it was first plugged into.
    pub(crate) first_link: String,
    /// The node's fixed address on it.
    pub(crate) address: Option<Ipv4Addr>,
}

/// When a cable was plugged in, in boot nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plugged {
    /// Just before the switch brought its end up.
    pub(crate) at: u64,
    /// When the node's kernel told that it has a carrier.
    pub(crate) carrier: u64,
}

/// A capture file of a link.
#[derive(Clone, Debug)]
pub(crate) struct CaptureFile {
    pub(crate) link: String,
    pub(crate) path: PathBuf,
}

impl Switch {
    /// Makes the links, and emulates those that are among the lines.
    pub(crate) fn new(links: &[String], lines: Vec<Line>) -> Result<Self> {
        let namespace = Namespace::new("switch")?;
        let plans: Vec<(String, bool)> =
            links.iter().map(|link| (link.clone(), lines.iter().any(|line| line.link == *link))).collect();
        let segments = namespace.run(move |inside| {
            let segment = |(link, emulated): (String, bool)| {
                if emulated {
                    return Ok((link, Segment::Emulated));
                }
                let bridge = inside.bridge(&format!("br-{link}"))?;
                Ok((link, Segment::Bridge(bridge)))
            };
            plans.into_iter().map(segment).collect()
        })?;
        let emulator = if lines.is_empty() { None } else { Some(Emulator::start(lines)?) };
        Ok(Self { namespace, segments, emulator, capture: Mutex::new(None) })
    }

    /// What the emulated links did so far.
    pub(crate) fn ledger(&self) -> Result<Ledger> {
        self.emulator.as_ref().map_or_else(|| Ok(Ledger::default()), Emulator::ledger)
    }

    /// Changes an emulated link.
    pub(crate) fn impair(&self, link: &str, impairment: Impairment) -> Result<()> {
        self.emulating(link)?.impair(link, impairment)
    }

    /// Cuts an emulated link, or ends the cut. Nobody loses a carrier: the break is further away.
    pub(crate) fn cut(&self, link: &str, cut: bool) -> Result<()> {
        self.emulating(link)?.cut(link, cut)
    }

    fn emulating(&self, link: &str) -> Result<&Emulator> {
        let emulator = self.emulator.as_ref().filter(|_| self.segments.get(link) == Some(&Segment::Emulated));
        emulator.with_context(|| format!("the link {link} is not emulated"))
    }

    /// Starts to write one file per link into a directory. Nodes plugged in earlier are not seen.
    pub(crate) fn record(&self, directory: &Path) -> Result<()> {
        let links = self.segments.keys().cloned().collect();
        let capture = Capture::start(&self.namespace, links, directory)?;
        *self.capture.lock().map_err(|_| anyhow!("a thread panicked"))? = Some(capture);
        Ok(())
    }

    /// Ends the capture: its files, and how many frames are missing in them.
    pub(crate) fn end_record(&self) -> Result<(Vec<CaptureFile>, u32)> {
        let mut capture = self.capture.lock().map_err(|_| anyhow!("a thread panicked"))?;
        let Some(mut capture) = capture.take() else {
            return Ok((Vec::new(), 0));
        };
        let dropped = capture.stop()?;
        let files = capture
            .files()
            .map(|(link, path)| CaptureFile { link: link.to_owned(), path: path.to_owned() })
            .collect();
        Ok((files, dropped))
    }

    /// Lays a cable from a node's next interface to a link, and brings both ends up.
    pub(crate) fn plug(&self, node: &Namespace, name: &str, number: usize, link: &str) -> Result<Port> {
        let interface = format!("eth{number}");
        let mac = link_address(name, number);
        let (outer, inner) = (format!("{name}.{number}"), format!("{name}.{number}x"));
        let target = raw(node.fd());
        let switch_name = outer.clone();
        let (switch_index, index) = self.namespace.run(move |inside| {
            let (outer, inner) = inside.veth(&outer, &inner)?;
            inside.give_away(inner, target)?;
            Ok((outer, inner))
        })?;
        self.connect(switch_index, &switch_name, link)?;
        self.attribute(switch_index, link)?;
        let ready = interface.clone();
        node.run(move |inside| {
            inside.dress(index, &ready, mac)?;
            inside.up(index)
        })?;
        self.namespace.run(move |inside| inside.up(switch_index))?;
        Ok(Port {
            interface,
            index,
            switch_index,
            switch_name,
            link_address: mac.to_string(),
            first_link: link.to_owned(),
            address: None,
        })
    }

    /// Takes the carrier from a node and waits until its kernel has told it. Hands back the time (boot
    /// nanoseconds) just before.
    pub(crate) fn unplug(&self, node: &Namespace, port: &Port) -> Result<u64> {
        let (index, inner) = (port.switch_index, port.index);
        let watch = node.run(move |inside| inside.watch_carrier(inner))?;
        let at = self.namespace.run(move |inside| {
            let at = clock::boot_ns();
            inside.down(index)?;
            Ok(at)
        })?;
        if let Some(emulator) = &self.emulator {
            emulator.detach(index)?;
        }
        watch.wait(false)?;
        Ok(at)
    }

    /// Connects an unplugged node to a link.
    pub(crate) fn replug(&self, node: &Namespace, port: &Port, link: &str) -> Result<Plugged> {
        let (index, inner) = (port.switch_index, port.index);
        let watch = node.run(move |inside| inside.watch_carrier(inner))?;
        self.connect(index, &port.switch_name, link)?;
        self.attribute(index, link)?;
        let at = self.namespace.run(move |inside| {
            let at = clock::boot_ns();
            inside.up(index)?;
            Ok(at)
        })?;
        Ok(Plugged { at, carrier: watch.wait(true)? })
    }

    /// Makes a port, which is down, one of a link.
    fn connect(&self, port: u32, name: &str, link: &str) -> Result<()> {
        const NO_BRIDGE: u32 = 0;
        let segment = self.segments.get(link).with_context(|| format!("there is no link {link}"))?;
        if let Segment::Bridge(bridge) = *segment {
            return self.namespace.run(move |inside| inside.enslave(port, bridge));
        }
        let socket = self.namespace.run(move |inside| {
            inside.enslave(port, NO_BRIDGE)?;
            port_socket(inside, port)
        })?;
        self.emulating(link)?.attach(port, link, name, socket)
    }

    fn attribute(&self, port: u32, link: &str) -> Result<()> {
        if let Some(capture) = self.capture.lock().map_err(|_| anyhow!("a thread panicked"))?.as_ref() {
            capture.attach(port, link);
        }
        Ok(())
    }
}

/// A link address for a node, the same in every run: locally administered, and without the zero octets that
/// would make a search for it in captures hit by chance.
fn link_address(node: &str, number: usize) -> Mac {
    let digest = Sha256::digest(format!("{node}/{number}"));
    let mut mac = [0x02; 6];
    for (octet, random) in mac.iter_mut().skip(1).zip(digest.iter().filter(|octet| **octet != 0)) {
        *octet = *random;
    }
    Mac(mac)
}

#[cfg(test)]
mod tests {
    use std::{fs, net::UdpSocket, time::Duration};

    use super::*;

    const PREFIX: u8 = 24;

    fn node(switch: &Switch, name: &str, link: &str, address: &str) -> (Namespace, Port) {
        let namespace = Namespace::new(name).unwrap();
        let port = switch.plug(&namespace, name, 0, link).unwrap();
        let (index, address) = (port.index, address.parse::<Ipv4Addr>().unwrap());
        namespace.run(move |inside| inside.add_address(index, address, PREFIX)).unwrap();
        (namespace, port)
    }

    fn socket(namespace: &Namespace, address: &'static str) -> UdpSocket {
        let socket = namespace.run(move |_| Ok(UdpSocket::bind(address)?)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket
    }

    fn switch(links: &[&str]) -> Option<Switch> {
        emulating(links, Vec::new())
    }

    fn emulating(links: &[&str], lines: Vec<Line>) -> Option<Switch> {
        let links: Vec<String> = links.iter().map(|link| (*link).to_owned()).collect();
        match Switch::new(&links, lines) {
            Ok(switch) => Some(switch),
            Err(error) => {
                eprintln!("skipped: {error:#}");
                None
            }
        }
    }

    #[test]
    fn a_moved_node_talks_on_its_new_link_and_the_capture_follows() {
        let Some(switch) = switch(&["one", "two"]) else {
            return;
        };
        let directory = tempfile::tempdir().unwrap();
        switch.record(directory.path()).unwrap();
        let (left, _) = node(&switch, "left", "one", "10.9.0.1");
        let (right, _) = node(&switch, "right", "two", "10.9.0.1");
        let (mobile, port) = node(&switch, "mobile", "one", "10.9.0.7");

        let talk = |peer: &Namespace, word: &[u8]| {
            let (here, there) = (socket(&mobile, "10.9.0.7:5000"), socket(peer, "10.9.0.1:5000"));
            here.send_to(word, "10.9.0.1:5000").unwrap();
            let mut buffer = [0; 2000];
            let (length, from) = there.recv_from(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], word);
            assert_eq!(from.to_string(), "10.9.0.7:5000");
        };
        talk(&left, &[b'a'; 900]);
        let down = switch.unplug(&mobile, &port).unwrap();
        let up = switch.replug(&mobile, &port, "two").unwrap();
        assert!(down < up.at && up.at < up.carrier);
        talk(&right, b"second link");

        let (files, dropped) = switch.end_record().unwrap();
        assert_eq!(dropped, 0);
        let read = |link: &str| fs::read(&files.iter().find(|file| file.link == link).unwrap().path).unwrap();
        let holds = |bytes: &[u8], word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
        assert!(holds(&read("two"), b"second link"));
        assert!(!holds(&read("one"), b"second link"));
        assert!(holds(&read("one"), &[b'a'; 86]), "128 bytes with 42 of headers");
        assert!(!holds(&read("one"), &[b'a'; 87]), "bulk is cut");
        let resolution = [&[0, 1, 8, 0, 6, 4, 0, 1, 2][..]].concat();
        assert!(holds(&read("one"), &resolution) && holds(&read("two"), &resolution), "ARP on both");
    }

    #[test]
    fn an_emulated_link_delays_each_direction_once_and_can_be_cut() {
        const DELAY: u64 = 20_000_000;
        let impairment = Impairment { delay: DELAY, ..Impairment::default() };
        let line = Line { link: "slow".into(), impairment, seed: 1 };
        let Some(switch) = emulating(&["slow", "fast"], vec![line]) else {
            return;
        };
        let (left, port) = node(&switch, "left", "slow", "10.9.0.1");
        let (right, _) = node(&switch, "right", "slow", "10.9.0.2");
        let (third, _) = node(&switch, "third", "fast", "10.9.0.2");
        let (here, there) = (socket(&left, "10.9.0.1:5000"), socket(&right, "10.9.0.2:5000"));
        let mut buffer = [0; 100];
        // ARP first, so that the second round trip is of two frames only.
        for round in 0..2 {
            let begin = clock::boot_ns();
            here.send_to(&[round], "10.9.0.2:5000").unwrap();
            let (_, from) = there.recv_from(&mut buffer).unwrap();
            there.send_to(b"back", from).unwrap();
            here.recv(&mut buffer).unwrap();
            assert!(clock::boot_ns() - begin >= 2 * DELAY, "two ways");
        }

        switch.cut("slow", true).unwrap();
        here.send_to(b"lost", "10.9.0.2:5000").unwrap();
        let limit = std::time::Instant::now() + Duration::from_secs(5);
        let cut =
            |switch: &Switch| switch.ledger().unwrap().links().map(|(_, counts)| counts.cut).sum::<u64>();
        while cut(&switch) == 0 {
            assert!(std::time::Instant::now() < limit, "the link counts what it drops");
        }
        switch.cut("slow", false).unwrap();
        here.send_to(b"through", "10.9.0.2:5000").unwrap();
        assert_eq!(there.recv(&mut buffer).unwrap(), 7, "and only that");

        switch.unplug(&left, &port).unwrap();
        switch.replug(&left, &port, "fast").unwrap();
        let there = socket(&third, "10.9.0.2:5000");
        here.send_to(b"fast", "10.9.0.2:5000").unwrap();
        assert_eq!(there.recv(&mut buffer).unwrap(), 4);
        switch.unplug(&left, &port).unwrap();
        switch.replug(&left, &port, "slow").unwrap();
        let there = socket(&right, "10.9.0.2:5001");
        here.send_to(b"again", "10.9.0.2:5001").unwrap();
        assert_eq!(there.recv(&mut buffer).unwrap(), 5);
        assert!(switch.cut("fast", true).is_err(), "a bridge of the kernel cannot be cut");
    }

    /// Which of so many datagrams over a link that loses one in ten arrive.
    fn survivors(seed: u64, datagrams: u16) -> Option<Vec<u16>> {
        let impairment = Impairment { loss_percent: 10.0, ..Impairment::default() };
        let switch = emulating(&["bad"], vec![Line { link: "bad".into(), impairment, seed }])?;
        let (left, _) = node(&switch, "left", "bad", "10.9.0.1");
        let (right, _) = node(&switch, "right", "bad", "10.9.0.2");
        // To everybody, so that no address resolution comes between.
        let (here, there) = (socket(&left, "10.9.0.1:5000"), socket(&right, "0.0.0.0:5000"));
        here.set_broadcast(true).unwrap();
        let counts = || switch.ledger().unwrap().links().next().map(|(_, counts)| counts.clone()).unwrap();
        let limit = std::time::Instant::now() + Duration::from_secs(30);
        let (mut arrived, mut buffer) = (Vec::new(), [0; 2]);
        for number in 0..datagrams {
            here.send_to(&number.to_be_bytes(), "10.9.0.255:5000").unwrap();
            // One at a time, so that no buffer overflows.
            while counts().frames <= u64::from(number) {
                assert!(std::time::Instant::now() < limit);
            }
            if usize::from(number) + 1 - arrived.len() > usize::try_from(counts().lost).unwrap() {
                assert_eq!(there.recv(&mut buffer).unwrap(), 2);
                arrived.push(u16::from_be_bytes(buffer));
            }
        }
        assert_eq!(counts().frames, u64::from(datagrams), "nothing else is sent on the link");
        Some(arrived)
    }

    #[test]
    fn a_seed_loses_the_same_frames_again_and_as_many_as_it_should() {
        const DATAGRAMS: u16 = 1000;
        let Some(arrived) = survivors(1, DATAGRAMS) else {
            return;
        };
        // Mean 100, standard deviation 9.5.
        let lost = usize::from(DATAGRAMS) - arrived.len();
        assert!((55..=145).contains(&lost), "{lost}");
        assert_eq!(survivors(1, DATAGRAMS).unwrap(), arrived);
        assert_ne!(survivors(2, DATAGRAMS).unwrap(), arrived);
    }

    #[test]
    fn a_masquerading_router_hides_its_inner_side() {
        let Some(switch) = switch(&["inner", "outer"]) else {
            return;
        };
        let (host, port) = node(&switch, "host", "inner", "192.168.77.10");
        let (server, _) = node(&switch, "server", "outer", "10.53.1.1");
        let (router, inner) = node(&switch, "router", "inner", "192.168.77.1");
        let outer = switch.plug(&router, "router", 1, "outer").unwrap();
        assert_ne!(inner.interface, outer.interface);
        let uplink = outer.index;
        router
            .run(move |inside| {
                inside.add_address(uplink, "10.53.1.2".parse()?, PREFIX)?;
                inside.forwarding()?;
                inside.masquerade(uplink)
            })
            .unwrap();
        let index = port.index;
        host.run(move |inside| inside.add_dhcp_default(index, "192.168.77.1".parse()?)).unwrap();

        let (here, there) = (socket(&host, "0.0.0.0:434"), socket(&server, "10.53.1.1:434"));
        here.send_to(b"request", "10.53.1.1:434").unwrap();
        let mut buffer = [0; 100];
        let (_, from) = there.recv_from(&mut buffer).unwrap();
        assert_eq!(from.to_string(), "10.53.1.2:434");
        there.send_to(b"reply", from).unwrap();
        assert_eq!(here.recv(&mut buffer).unwrap(), 5);

        host.run(move |inside| {
            inside.remove_dhcp_default(index, "192.168.77.1".parse()?)?;
            inside.remove_dhcp_default(index, "192.168.77.1".parse()?)?;
            inside.remove_address(index, "192.168.77.10".parse()?, PREFIX)?;
            inside.remove_address(index, "192.168.77.10".parse()?, PREFIX)
        })
        .expect("taking away what is gone is no error");
        assert!(here.send_to(b"request", "10.53.1.1:434").is_err());
    }

    #[test]
    fn link_addresses_have_no_zero_octet_and_differ() {
        let all: Vec<String> = (0..50).map(|n| link_address("mn", n).to_string()).collect();
        for (position, address) in all.iter().enumerate() {
            assert!(address.starts_with("02:") && !address.contains("00"), "{address}");
            assert!(!all.iter().skip(position + 1).any(|other| other == address));
        }
    }
}
