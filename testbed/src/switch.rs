//! Every link of the network: bridges in a namespace of their own, with one port per attached node.
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
    netns::{Mac, Namespace, raw},
};

/// The bridges and, if wanted, the capture of what passes through them.
pub(crate) struct Switch {
    namespace: Namespace,
    bridges: BTreeMap<String, u32>,
    capture: Mutex<Option<Capture>>,
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
    /// Makes one bridge per link.
    pub(crate) fn new(links: &[String]) -> Result<Self> {
        let namespace = Namespace::new("switch")?;
        let names = links.to_vec();
        let bridges = namespace.run(move |inside| {
            names.into_iter().map(|link| Ok((link.clone(), inside.bridge(&format!("br-{link}"))?))).collect()
        })?;
        Ok(Self { namespace, bridges, capture: Mutex::new(None) })
    }

    /// Starts to write one file per link into a directory. Nodes plugged in earlier are not seen.
    pub(crate) fn record(&self, directory: &Path) -> Result<()> {
        let links = self.bridges.keys().cloned().collect();
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
        let bridge = self.bridge(link)?;
        let interface = format!("eth{number}");
        let mac = link_address(name, number);
        let (outer, inner) = (format!("{name}.{number}"), format!("{name}.{number}x"));
        let target = raw(node.fd());
        let (switch_index, index) = self.namespace.run(move |inside| {
            let (outer, inner) = inside.veth(&outer, &inner)?;
            inside.give_away(inner, target)?;
            inside.enslave(outer, bridge)?;
            Ok((outer, inner))
        })?;
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
        watch.wait(false)?;
        Ok(at)
    }

    /// Connects an unplugged node to a link.
    pub(crate) fn replug(&self, node: &Namespace, port: &Port, link: &str) -> Result<Plugged> {
        let (index, inner, bridge) = (port.switch_index, port.index, self.bridge(link)?);
        let watch = node.run(move |inside| inside.watch_carrier(inner))?;
        self.attribute(index, link)?;
        let at = self.namespace.run(move |inside| {
            inside.enslave(index, bridge)?;
            let at = clock::boot_ns();
            inside.up(index)?;
            Ok(at)
        })?;
        Ok(Plugged { at, carrier: watch.wait(true)? })
    }

    fn bridge(&self, link: &str) -> Result<u32> {
        self.bridges.get(link).copied().with_context(|| format!("there is no link {link}"))
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
        let links: Vec<String> = links.iter().map(|link| (*link).to_owned()).collect();
        match Switch::new(&links) {
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
