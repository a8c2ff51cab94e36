//! The memory that a packet socket shares with the kernel (TPACKET_V3): frames arrive without a call each.

use std::{
    num::NonZeroUsize,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    ptr::NonNull,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::mman::{MapFlags, ProtFlags, mmap, munmap},
};

const BLOCK: usize = 1 << 20;
const BLOCKS: usize = 32;
/// The kernel hands a block over after this time even if it is not full (milliseconds).
const RETIRE_MS: u32 = 20;
/// Longer than that: an empty wait means that nothing is left in the ring.
const WAIT_MS: u16 = 60;

/// One received frame.
pub(crate) struct Frame<'a> {
    /// Index of the interface that it came in by.
    pub(crate) interface: u32,
    /// Nanoseconds since 1970, from the kernel.
    pub(crate) unix_ns: u64,
    /// Length on the link, in bytes.
    pub(crate) length: u32,
    /// What the filter kept.
    pub(crate) bytes: &'a [u8],
}

/// A packet socket and its ring.
pub(crate) struct Ring {
    socket: OwnedFd,
    memory: NonNull<libc::c_void>,
    next: usize,
}

// SAFETY: the mapping belongs to this value alone and is not bound to the thread that made it.
unsafe impl Send for Ring {}

impl Ring {
    /// Gives the socket its ring and starts to receive every protocol.
    pub(crate) fn new(socket: OwnedFd) -> Result<Self> {
        set(&socket, libc::PACKET_VERSION, &(libc::tpacket_versions::TPACKET_V3 as libc::c_int))?;
        let wanted = libc::tpacket_req3 {
            tp_block_size: BLOCK as u32,
            tp_block_nr: BLOCKS as u32,
            tp_frame_size: 2048,
            tp_frame_nr: (BLOCK / 2048 * BLOCKS) as u32,
            tp_retire_blk_tov: RETIRE_MS,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set(&socket, libc::PACKET_RX_RING, &wanted).context("cannot make a packet ring")?;
        let size = NonZeroUsize::new(BLOCK * BLOCKS).context("a ring has a size")?;
        // SAFETY: a fresh shared mapping of the socket's ring; nothing else refers to it.
        let memory = unsafe {
            mmap(None, size, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED, &socket, 0)
        }
        .context("cannot map a packet ring")?;
        let ring = Self { socket, memory, next: 0 };
        ring.receive_everything()?;
        Ok(ring)
    }

    /// Waits until a block is ready; `false` after a while without one.
    pub(crate) fn wait(&self) -> Result<bool> {
        if self.status().load(Ordering::Acquire) & libc::TP_STATUS_USER != 0 {
            return Ok(true);
        }
        let mut ready = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, PollTimeout::from(WAIT_MS)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("cannot wait for frames"),
        }
        Ok(self.status().load(Ordering::Acquire) & libc::TP_STATUS_USER != 0)
    }

    /// Shows every frame of the next block, then gives the block back to the kernel.
    pub(crate) fn take(&mut self, mut show: impl FnMut(Frame<'_>) -> Result<()>) -> Result<()> {
        let block = self.block();
        // SAFETY: `wait` saw that the kernel has handed this block over, so its header is initialised and the
        // kernel does not write to it until the status is cleared below.
        let header = unsafe { (*block.cast::<libc::tpacket_block_desc>()).hdr.bh1 };
        let mut at = header.offset_to_first_pkt as usize;
        let mut result = Ok(());
        for _ in 0..header.num_pkts {
            // SAFETY: the kernel laid a packet header at this offset of the block.
            let packet = unsafe { &*block.add(at).cast::<libc::tpacket3_hdr>() };
            // SAFETY: the link-layer address stands behind the aligned header, as packet(7) lays it out.
            let from = unsafe {
                &*block
                    .add(at + size_of::<libc::tpacket3_hdr>().next_multiple_of(16))
                    .cast::<libc::sockaddr_ll>()
            };
            // SAFETY: `tp_snaplen` bytes from `tp_mac` on were written by the kernel inside this block.
            let bytes = unsafe {
                std::slice::from_raw_parts(block.add(at + packet.tp_mac as usize), packet.tp_snaplen as usize)
            };
            result = show(Frame {
                interface: from.sll_ifindex.cast_unsigned(),
                unix_ns: u64::from(packet.tp_sec) * 1_000_000_000 + u64::from(packet.tp_nsec),
                length: packet.tp_len,
                bytes,
            });
            if result.is_err() {
                break;
            }
            at += packet.tp_next_offset as usize;
        }
        self.status().store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.next = (self.next + 1) % BLOCKS;
        result
    }

    /// Frames that found the ring full.
    pub(crate) fn dropped(&self) -> Result<u32> {
        // SAFETY: an all-zero statistics structure is valid.
        let mut counts: libc::tpacket_stats_v3 = unsafe { std::mem::zeroed() };
        let mut length = size_of::<libc::tpacket_stats_v3>() as libc::socklen_t;
        // SAFETY: the kernel writes at most `length` bytes into `counts`.
        let result = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut counts).cast(),
                &raw mut length,
            )
        };
        Errno::result(result).context("cannot read the packet statistics")?;
        Ok(counts.tp_drops)
    }

    fn block(&self) -> *mut u8 {
        // SAFETY: `next` is below BLOCKS, so the result lies within the mapping.
        unsafe { self.memory.as_ptr().cast::<u8>().add(self.next * BLOCK) }
    }

    fn status(&self) -> &AtomicU32 {
        let block = self.block().cast::<libc::tpacket_block_desc>();
        // SAFETY: the status word is aligned, inside the mapping, and shared with the kernel as an atomic.
        unsafe { AtomicU32::from_ptr(&raw mut (*block).hdr.bh1.block_status) }
    }

    fn receive_everything(&self) -> Result<()> {
        // SAFETY: an all-zero link-layer address is valid.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        // SAFETY: the kernel reads one sockaddr_ll from a local.
        let result = unsafe {
            libc::bind(
                self.socket.as_raw_fd(),
                (&raw const address).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        };
        Errno::result(result).context("cannot bind a packet socket")?;
        Ok(())
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping was made with this size and no reference into it outlives `take`.
        let _ = unsafe { munmap(self.memory, BLOCK * BLOCKS) };
    }
}

fn set<T>(socket: &OwnedFd, option: libc::c_int, value: &T) -> Result<()> {
    // SAFETY: the kernel reads the size of T from a reference that outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    Errno::result(result)?;
    Ok(())
}
