//! Captures: pcap and pcapng files, frame by frame, of any size.

mod link;

use std::{
    fmt,
    io::{self, Read},
};

use pcap_parser::{
    Block, InterfaceDescriptionBlock, PcapBlockOwned, PcapError, create_reader,
    traits::{PcapNGPacketBlock as _, PcapReaderIterator},
};

use super::{
    packet::{self, Carried},
    page::Page,
};
use crate::time;
use link::Link;

/// Bytes read at once, and the longest block that is taken: beyond every frame there is.
const BUFFER: usize = 1 << 18;
const LONGEST: usize = 1 << 24;

/// True if a file that begins so is a capture: pcap in four ways, with micro- or nanoseconds in either byte order, or
/// pcapng.
pub(super) const fn is_capture(beginning: [u8; 4]) -> bool {
    matches!(
        beginning,
        [0xa1, 0xb2, 0xc3, 0xd4]
            | [0xd4, 0xc3, 0xb2, 0xa1]
            | [0xa1, 0xb2, 0x3c, 0x4d]
            | [0x4d, 0x3c, 0xb2, 0xa1]
            | [0x0a, 0x0d, 0x0d, 0x0a]
    )
}

/// Why a capture cannot be read on.
#[derive(Debug)]
pub(super) enum Broken {
    /// It ends within a frame.
    Cut(usize),
    /// A frame or block is malformed, or longer than any is.
    Frame(usize),
    /// Its beginning is malformed.
    Beginning,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut(frame) => write!(f, "the capture is cut short behind frame {frame}"),
            Self::Frame(frame) => write!(f, "what follows frame {frame} of the capture cannot be read"),
            Self::Beginning => f.write_str("the header of the capture is malformed"),
        }
    }
}

/// Draws the messages in a capture, each as soon as it was read, and a last line that counts.
///
/// # Errors
/// [`Broken`], after all that could be read was drawn.
pub(super) fn draw(input: impl Read + Send, page: &mut Page, write: fn(&str)) -> Result<(), Broken> {
    let mut reader = create_reader(BUFFER, Filling(input)).map_err(|_| Broken::Beginning)?;
    let mut frames = Frames::default();
    let read = frames.all(reader.as_mut(), page, write);
    write(&frames.summary(page));
    read
}

/// A reader that gives as much as is asked for while there is more, also out of a pipe.
struct Filling<R>(R);

impl<R: Read> Read for Filling<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < into.len() {
            match self.0.read(&mut into[filled..]) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

/// Where frames were captured, with the unit of its clock.
#[derive(Clone, Copy)]
struct Interface {
    link: Link,
    /// Units a second.
    resolution: u64,
    /// Seconds to add.
    offset: i64,
}

impl Interface {
    fn of(described: &InterfaceDescriptionBlock<'_>) -> Self {
        Self {
            link: Link(described.linktype.0),
            resolution: described.ts_resolution().unwrap_or(1_000_000),
            offset: described.ts_offset(),
        }
    }

    /// Nanoseconds since 1970.
    fn unix_ns(&self, units: u64) -> u64 {
        let nanoseconds = u128::from(units) * 1_000_000_000 / u128::from(self.resolution.max(1));
        let shift = i128::from(self.offset) * 1_000_000_000;
        nanoseconds.saturating_add_signed(shift).try_into().unwrap_or(u64::MAX)
    }
}

#[derive(Default)]
struct Frames {
    interfaces: Vec<Interface>,
    count: usize,
    tunnel_data: usize,
    /// Frames of a link whose headers are not known here, and which.
    not_read: Option<(usize, Link)>,
}

impl Frames {
    fn all(
        &mut self,
        reader: &mut dyn PcapReaderIterator,
        page: &mut Page,
        write: fn(&str),
    ) -> Result<(), Broken> {
        let mut capacity = BUFFER;
        loop {
            match reader.next() {
                Ok((length, block)) => {
                    self.take(&block, page);
                    reader.consume(length);
                    page.flush(write);
                }
                Err(PcapError::Eof) => return Ok(()),
                Err(PcapError::Incomplete(_)) => {
                    reader.refill().map_err(|_| Broken::Cut(self.count))?;
                }
                Err(PcapError::BufferTooSmall) if capacity < LONGEST => {
                    capacity *= 2;
                    reader.grow(capacity);
                    reader.refill().map_err(|_| Broken::Cut(self.count))?;
                }
                Err(PcapError::UnexpectedEof) => return Err(Broken::Cut(self.count)),
                Err(_) => return Err(Broken::Frame(self.count)),
            }
        }
    }

    fn take(&mut self, block: &PcapBlockOwned<'_>, page: &mut Page) {
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                let resolution = if header.is_nanosecond_precision() { 1_000_000_000 } else { 1_000_000 };
                self.interfaces = vec![Interface { link: Link(header.network.0), resolution, offset: 0 }];
            }
            PcapBlockOwned::Legacy(frame) => {
                let Some(&interface) = self.interfaces.first() else {
                    return;
                };
                let units = u64::from(frame.ts_sec) * interface.resolution + u64::from(frame.ts_usec);
                self.frame(interface, Some(units), frame.data, page);
            }
            PcapBlockOwned::NG(Block::SectionHeader(_)) => self.interfaces.clear(),
            PcapBlockOwned::NG(Block::InterfaceDescription(described)) => {
                self.interfaces.push(Interface::of(described));
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(frame)) => {
                let interface = usize::try_from(frame.if_id).ok().and_then(|id| self.interfaces.get(id));
                if let Some(&interface) = interface {
                    let units = u64::from(frame.ts_high) << 32 | u64::from(frame.ts_low);
                    self.frame(interface, Some(units), frame.packet_data(), page);
                }
            }
            PcapBlockOwned::NG(Block::SimplePacket(frame)) => {
                if let Some(&interface) = self.interfaces.first() {
                    self.frame(interface, None, frame.packet_data(), page);
                }
            }
            PcapBlockOwned::NG(_) => {}
        }
    }

    fn frame(&mut self, interface: Interface, units: Option<u64>, frame: &[u8], page: &mut Page) {
        self.count += 1;
        if !interface.link.is_known() {
            let (count, link) = self.not_read.unwrap_or((0, interface.link));
            self.not_read = Some((count + 1, link));
            return;
        }
        let Some(packet) = interface.link.ipv4(frame) else {
            return;
        };
        let mut from = format!("frame {}, ", self.count);
        if let Some(units) = units {
            from += &format!("{}, ", time::utc_ms(interface.unix_ns(units)));
        }
        if packet::draw_ipv4(packet, &from, page) == Carried::TunnelData {
            self.tunnel_data += 1;
        }
    }

    fn summary(&self, page: &Page) -> String {
        let mut text = format!(
            "{} of Mobile IP in {}",
            counted(page.messages(), "message"),
            counted(self.count, "frame")
        );
        if page.messages() > 0 {
            text.insert(0, '\n');
        }
        if self.tunnel_data > 0 {
            text += &format!("; {} in UDP tunnels passed over", counted(self.tunnel_data, "packet"));
        }
        if let Some((count, link)) = self.not_read {
            let known = "Ethernet, Linux cooked, loopback and raw IPv4 are";
            text += &format!(
                "; {} not read: link type {} is not known here, {known}",
                counted(count, "frame"),
                link.0
            );
        }
        text
    }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_of_interfaces() {
        let of = |resolution, offset| Interface { link: Link(1), resolution, offset };
        assert_eq!(of(1_000_000, 0).unix_ns(7_000_042), 7_000_042_000);
        assert_eq!(of(1_000_000_000, 5).unix_ns(7_000_000_042), 12_000_000_042);
        assert_eq!(of(1 << 10, -1).unix_ns(3 << 10), 2_000_000_000);
        assert_eq!(of(0, i64::MIN).unix_ns(7), 0);
        assert_eq!(of(1, i64::MAX).unix_ns(u64::MAX), u64::MAX);
    }

    #[test]
    fn a_reader_that_gives_little_at_once_fills_what_is_asked() {
        let little = (&[1_u8, 2][..]).chain(&[3][..]).chain(&[4, 5][..]);
        let mut into = [0; 4];
        assert_eq!(Filling(little).read(&mut into).unwrap(), 4);
        assert_eq!(into, [1, 2, 3, 4]);
    }
}
