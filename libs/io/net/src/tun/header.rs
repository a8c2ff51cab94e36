//! The header of virtio-net before a packet of a TUN device: what its sender leaves to its receiver.
//!
//! Ten octets in the order of this machine: flags, what to cut it into, length of all headers, octets of payload of each
//! segment, where the sum begins, and where it is written from there (virtio 1.3 §5.1.6, and the kernel's
//! `linux/virtio_net.h`).

use std::num::NonZeroU16;

use forward::segment::{Left, Place};

/// A checksum is left to do.
const NEEDS_CHECKSUM: u8 = 1;
/// To be cut into segments of TCP over IPv4, or into datagrams of UDP; nothing.
const NONE: u8 = 0;
const STREAM: u8 = 1;
const DATAGRAMS: u8 = 5;
/// The segments know congestion notification: a bit of the above.
const CONGESTION: u8 = 0x80;
const UDP: u8 = 17;

/// One header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header(pub(crate) [u8; Self::LENGTH]);

impl Header {
    pub(crate) const LENGTH: usize = 10;

    /// For a packet that begins with `head` and needs what is `left`.
    pub(crate) fn new(left: Left, head: &[u8]) -> Self {
        let mut out = Self::default();
        if let Some(Place { start, field }) = left.checksum {
            out.0[0] = NEEDS_CHECKSUM;
            out.0[6..8].copy_from_slice(&start.to_ne_bytes());
            out.0[8..10].copy_from_slice(&field.to_ne_bytes());
        }
        if let Some(size) = left.segment {
            out.0[1] = if head.get(9) == Some(&UDP) { DATAGRAMS } else { STREAM };
            out.0[2..4].copy_from_slice(&(head.len() as u16).to_ne_bytes());
            out.0[4..6].copy_from_slice(&size.get().to_ne_bytes());
        }
        out
    }

    /// What is left to do; none if it is something that was not asked for.
    pub(crate) fn read(self) -> Option<Left> {
        let [flags, cut, _, _, size @ ..] = self.0;
        let [size_0, size_1, start_0, start_1, field_0, field_1] = size;
        let checksum = (flags & NEEDS_CHECKSUM != 0).then_some(Place {
            start: u16::from_ne_bytes([start_0, start_1]),
            field: u16::from_ne_bytes([field_0, field_1]),
        });
        let segment = match cut & !CONGESTION {
            NONE => None,
            STREAM | DATAGRAMS => Some(NonZeroU16::new(u16::from_ne_bytes([size_0, size_1]))?),
            _ => return None,
        };
        Some(Left { checksum, segment })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let checksum = Some(Place { start: 20, field: 16 });
        for (checksum, segment) in [(None, None), (checksum, None), (checksum, NonZeroU16::new(1416))] {
            let left = Left { checksum, segment };
            assert_eq!(Header::new(left, &[0; 40]).read(), Some(left));
        }
    }

    #[test]
    fn the_octets_are_those_of_the_kernel() {
        let left = Left { checksum: Some(Place { start: 20, field: 6 }), segment: NonZeroU16::new(0x0102) };
        let mut head = [0; 28];
        head[9] = UDP;
        let number = |value: u16| value.to_ne_bytes();
        let expected = [&[1, 5][..], &number(28), &number(0x0102), &number(20), &number(6)].concat();
        assert_eq!(Header::new(left, &head).0, *expected);
    }

    #[test]
    fn what_nobody_asked_for_is_refused() {
        for (cut, size) in [(2, 100), (3, 100), (4, 100), (1, 0), (5, 0), (0x84, 7)] {
            let mut header = Header::default();
            header.0[1] = cut;
            header.0[4..6].copy_from_slice(&u16::to_ne_bytes(size));
            assert_eq!(header.read(), None, "{cut} {size}");
        }
        let mut header = Header::default();
        header.0[1] = STREAM | CONGESTION;
        header.0[4] = 9;
        assert!(header.read().is_some());
    }
}
