//! The TUN device, through which the host and the tunnel exchange inner packets.
//!
//! It is persistent: when the process dies the device and all routes into it stay, so that nothing leaves
//! the host untunnelled, and the next process takes it up again.
//!
//! With offloads each packet has a header of virtio-net before it, which says what the host leaves to us, or we to
//! it: checksums, and packets of up to 64 KiB that are to be cut ([`forward::segment`]).

mod header;

use std::{
    fs::{File, OpenOptions},
    io::{self, IoSlice, Read as _, Write as _},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::OpenOptionsExt as _,
    },
};

use forward::{
    coalesce::Whole,
    segment::{self, Left, Segments},
};

use crate::{
    error::{Attempt, Error},
    sys, sysctl,
};
pub(crate) use header::Header;

/// Packets that wait in the device while the process is busy: a burst of the default 500 is soon lost.
const QUEUE: u16 = 5000;
/// Pieces of the longest packet that is put together, with both headers.
const PIECES: usize = 68;

/// An open TUN device; whole IP packets, one a read or write.
#[derive(Debug)]
pub(crate) struct Tun {
    file: File,
    name: String,
    offload: Offload,
}

/// What a device and its host leave to each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offload {
    /// Packets have headers: what we put together can be handed over in one.
    pub(crate) headers: bool,
    /// The host leaves checksums and the segments of TCP to us.
    pub(crate) streams: bool,
    /// The same with UDP, in both directions.
    pub(crate) datagrams: bool,
}

impl Tun {
    /// Makes the device `name` or takes up the one that is there; persistent, up, with inner MTU `mtu`, and with what the
    /// kernel has of the offloads if `offload` is true.
    pub(crate) fn open(name: &str, mtu: u16, offload: bool) -> Result<Self, Error> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open("/dev/net/tun")
            .attempt(|| "open /dev/net/tun")?;
        let offload = attach(file.as_fd(), name, offload)
            .attempt(|| format!("make or take up the TUN device {name}"))?;
        sys::persist_tun(file.as_fd(), true).attempt(|| format!("make {name} persistent"))?;
        // Before it comes up: it would emit IPv6 of its own.
        sysctl::set_if_present(&format!("net/ipv6/conf/{name}/disable_ipv6"), "1")?;
        sys::configure_interface(name, mtu, QUEUE).attempt(|| format!("bring {name} up"))?;
        Ok(Self { file, name: name.to_owned(), offload })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) const fn offload(&self) -> Offload {
        self.offload
    }

    /// Reads one packet to `at` in `memory`, with octets before it to spare as [`Header::LENGTH`] has them; returns its
    /// length and what is left to do on it. `WouldBlock` if none waits.
    pub(crate) fn read(&self, memory: &mut [u8], at: usize) -> io::Result<(usize, Left)> {
        if !self.offload.headers {
            return Ok(((&self.file).read(&mut memory[at..])?, Left::default()));
        }
        let start = at - Header::LENGTH;
        let length = (&self.file).read(&mut memory[start..])?;
        let header = memory[start..].first_chunk().filter(|_| length >= Header::LENGTH);
        let left = header.and_then(|header| Header(*header).read()).ok_or(io::ErrorKind::InvalidData)?;
        Ok((length - Header::LENGTH, left))
    }

    /// Hands one packet to the host.
    pub(crate) fn write(&self, packet: &[u8]) -> io::Result<()> {
        if !self.offload.headers {
            return (&self.file).write(packet).map(drop);
        }
        let header = Header::default();
        (&self.file).write_vectored(&[IoSlice::new(&header.0), IoSlice::new(packet)]).map(drop)
    }

    /// Hands over a packet with this `left` to do: cut and summed here if the device has no headers.
    pub(crate) fn write_left(&self, packet: &[u8], left: Left) -> io::Result<()> {
        if self.offload.headers {
            // The kernel takes more from the headers if that is needed for the checksum.
            let length = left.checksum.map_or(0, |place| usize::from(place.start + place.field) + 2);
            let header = Header::new(left, packet.get(..length).unwrap_or_default());
            let slices = [IoSlice::new(&header.0), IoSlice::new(packet)];
            return (&self.file).write_vectored(&slices).map(drop);
        }
        let mut out = packet.to_vec();
        let Some(segments) = Segments::new(packet, left) else {
            if let Some(place) = left.checksum {
                let _ = segment::complete(&mut out, place);
            }
            return self.write(&out);
        };
        for n in 0..segments.count() {
            let length = segments.write(n, &mut out).unwrap_or(0);
            self.write(&out[..length])?;
        }
        Ok(())
    }

    /// Hands over what was put together in `memory`; only with headers.
    pub(crate) fn write_whole(&self, whole: &Whole<'_>, memory: &[u8]) -> io::Result<()> {
        let (head, pieces, left) = match whole {
            Whole::Packet(at) => return self.write(memory.get(at.clone()).unwrap_or_default()),
            Whole::Long { head, pieces, left } => (*head, *pieces, *left),
        };
        let header = Header::new(left, head);
        let mut slices = [IoSlice::new(&[]); PIECES];
        slices[0] = IoSlice::new(&header.0);
        slices[1] = IoSlice::new(head);
        let count = 2 + pieces.len();
        let places = slices.get_mut(2..count).ok_or(io::ErrorKind::InvalidInput)?;
        for (slice, piece) in places.iter_mut().zip(pieces) {
            *slice = IoSlice::new(memory.get(piece.clone()).unwrap_or_default());
        }
        (&self.file).write_vectored(&slices[..count]).map(drop)
    }

    /// Lets the device go when it is closed.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        sys::persist_tun(self.file.as_fd(), false).attempt(|| format!("remove {}", self.name))
    }
}

/// Attaches the file to its device, with the offloads that the kernel has.
fn attach(file: BorrowedFd<'_>, name: &str, offload: bool) -> io::Result<Offload> {
    const STREAMS: libc::c_uint = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO_ECN;
    // The kernel has the two together or not at all; there is no IPv6 on the device.
    const DATAGRAMS: libc::c_uint = libc::TUN_F_USO4 | libc::TUN_F_USO6;
    if !offload {
        sys::attach_tun(file, name, false)?;
        // An earlier process may have left it otherwise.
        let _ = sys::set_tun_offload(file, 0);
        return Ok(Offload::default());
    }
    if sys::attach_tun(file, name, true).is_err() || sys::set_tun_header(file, Header::LENGTH as i32).is_err()
    {
        sys::attach_tun(file, name, false)?;
        return Ok(Offload::default());
    }
    let datagrams = sys::set_tun_offload(file, STREAMS | DATAGRAMS).is_ok();
    let streams = datagrams || sys::set_tun_offload(file, STREAMS).is_ok();
    if !streams {
        let _ = sys::set_tun_offload(file, 0);
    }
    Ok(Offload { headers: true, streams, datagrams })
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A TUN device without offloads that goes when its file is closed, for programs that compare themselves with
/// [`crate::tunnel`]: whole IP packets, one a read or write, which wait.
///
/// # Errors
/// TUN devices are not permitted, or another process holds the device.
pub fn plain_tun(name: &str, mtu: u16) -> Result<File, Error> {
    let open = OpenOptions::new().read(true).write(true).custom_flags(libc::O_CLOEXEC).open("/dev/net/tun");
    let file = open.attempt(|| "open /dev/net/tun")?;
    sys::attach_tun(file.as_fd(), name, false).attempt(|| format!("make the TUN device {name}"))?;
    sysctl::set_if_present(&format!("net/ipv6/conf/{name}/disable_ipv6"), "1")?;
    sys::configure_interface(name, mtu, QUEUE).attempt(|| format!("bring {name} up"))?;
    Ok(file)
}
