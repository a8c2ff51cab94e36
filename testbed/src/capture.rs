//! What passes on every link, as one pcap file per link.
//!
//! One packet socket in the switch namespace sees each frame once, as it enters the switch from a node. ARP,
//! ICMP and registration messages (UDP 434, first byte other than 4) are kept whole, of all else the first 128
//! bytes with the true length. Since the filter cuts before the ring is filled, a ring of 32 MiB holds many
//! seconds of a fast transfer and nothing is lost while the disk is slow.

pub(crate) mod filter;
pub(crate) mod pcap;
mod ring;
pub(crate) mod words;

use std::{
    collections::BTreeMap,
    fs,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use anyhow::{Context, Result, anyhow};

use self::{pcap::PcapFile, ring::Ring};
use crate::{clock, netns::Namespace};

/// Which link each switch port belongs to, and since when (nanoseconds since 1970): a frame that waits in the
/// ring while its node moves still goes to the file of the link where it was seen.
type Ports = Arc<Mutex<BTreeMap<u32, Vec<(u64, usize)>>>>;

/// A running capture.
pub(crate) struct Capture {
    links: Vec<String>,
    paths: Vec<PathBuf>,
    ports: Ports,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<u32>>>,
}

impl Capture {
    /// Starts writing `DIRECTORY/LINK.pcap` for every link.
    pub(crate) fn start(switch: &Namespace, links: Vec<String>, directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot make the directory {}", directory.display()))?;
        let paths: Vec<PathBuf> = links.iter().map(|link| directory.join(format!("{link}.pcap"))).collect();
        let files =
            paths.iter().map(|path| PcapFile::create(path, pcap::ETHERNET)).collect::<Result<Vec<_>>>()?;
        let ring = Ring::new(switch.run(|_| packet_socket())?)?;
        let ports = Ports::default();
        let stop = Arc::new(AtomicBool::new(false));
        let writer = Writer { ring, files, ports: Arc::clone(&ports), stop: Arc::clone(&stop) };
        let thread = thread::Builder::new().name("capture".into()).spawn(move || writer.run())?;
        Ok(Self { links, paths, ports, stop, thread: Some(thread) })
    }

    /// From now on, frames from this switch port belong to this link.
    pub(crate) fn attach(&self, port: u32, link: &str) {
        let Some(position) = self.links.iter().position(|known| known == link) else {
            return;
        };
        if let Ok(mut ports) = self.ports.lock() {
            ports.entry(port).or_default().push((clock::unix_ns(), position));
        }
    }

    /// Link names and their files.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.links.iter().map(String::as_str).zip(self.paths.iter().map(PathBuf::as_path))
    }

    /// Empties the ring, closes the files and says how many frames the kernel had no room for.
    pub(crate) fn stop(&mut self) -> Result<u32> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.take() {
            Some(thread) => thread.join().map_err(|_| anyhow!("the capture thread panicked"))?,
            None => Ok(0),
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

struct Writer {
    ring: Ring,
    files: Vec<PcapFile>,
    ports: Ports,
    stop: Arc<AtomicBool>,
}

impl Writer {
    fn run(mut self) -> Result<u32> {
        loop {
            // Read before the wait: a stop that comes during it must still see one empty wait after it.
            let stopping = self.stop.load(Ordering::Relaxed);
            if self.ring.wait()? {
                let (files, ports) = (&mut self.files, &self.ports);
                self.ring.take(|frame| {
                    if let Some(link) = link_at(ports, frame.interface, frame.unix_ns)
                        && let Some(file) = files.get_mut(link)
                    {
                        file.write(frame.unix_ns, frame.length, frame.bytes)?;
                    }
                    Ok(())
                })?;
                continue;
            }
            for file in &mut self.files {
                file.flush()?;
            }
            if stopping {
                return self.ring.dropped();
            }
        }
    }
}

/// The link that a port belonged to at a time.
fn link_at(ports: &Ports, port: u32, unix_ns: u64) -> Option<usize> {
    let ports = ports.lock().ok()?;
    let history = ports.get(&port)?;
    let at_the_time = history.iter().rev().find(|(since, _)| *since <= unix_ns);
    at_the_time.or(history.first()).map(|(_, link)| *link)
}

/// A packet socket on every interface of this namespace, with the filter in place before the first frame.
fn packet_socket() -> Result<OwnedFd> {
    let socket = socket2::Socket::new(socket2::Domain::PACKET, socket2::Type::RAW, None)
        .context("cannot open a packet socket")?;
    filter::attach(&socket, &filter::links())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_belongs_to_the_link_of_its_time() {
        let ports = Ports::default();
        ports.lock().unwrap().insert(4, vec![(100, 0), (200, 1)]);
        assert_eq!(link_at(&ports, 4, 150), Some(0));
        assert_eq!(link_at(&ports, 4, 200), Some(1));
        assert_eq!(link_at(&ports, 4, 50), Some(0), "seen before the first entry was made");
        assert_eq!(link_at(&ports, 5, 150), None, "a bridge, not a port");
    }
}
