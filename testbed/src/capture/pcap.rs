//! pcap files with nanoseconds, as every reader of captures knows them.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use anyhow::{Context, Result};

/// Link type of Ethernet frames.
pub(crate) const ETHERNET: u32 = 1;
/// Link type of Linux cooked frames, version 2: any mix of interfaces.
pub(crate) const LINUX_SLL2: u32 = 276;

const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
const SNAP: u32 = 262_144;
const RECORD_HEADER: usize = 16;

/// One capture file being written.
pub(crate) struct PcapFile<W: Write = File> {
    out: BufWriter<W>,
}

impl PcapFile {
    /// Makes the file, replacing an older one.
    pub(crate) fn create(path: &Path, link_type: u32) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Self::new(file, link_type)
    }
}

impl<W: Write> PcapFile<W> {
    /// Writes the file header.
    pub(crate) fn new(out: W, link_type: u32) -> Result<Self> {
        let mut out = BufWriter::with_capacity(1 << 16, out);
        out.write_all(&MAGIC_NANOSECONDS.to_le_bytes())?;
        out.write_all(&2_u16.to_le_bytes())?;
        out.write_all(&4_u16.to_le_bytes())?;
        out.write_all(&[0; 8])?;
        out.write_all(&SNAP.to_le_bytes())?;
        out.write_all(&link_type.to_le_bytes())?;
        Ok(Self { out })
    }

    /// Adds a frame: nanoseconds since 1970, its length on the link, and the bytes kept of it.
    pub(crate) fn write(&mut self, unix_ns: u64, length: u32, bytes: &[u8]) -> Result<()> {
        // Whole records reach the file, so that it can be read at any time.
        if self.out.buffer().len() + RECORD_HEADER + bytes.len() > self.out.capacity() {
            self.out.flush()?;
        }
        let seconds = u32::try_from(unix_ns / 1_000_000_000)?;
        let nanoseconds = (unix_ns % 1_000_000_000) as u32;
        self.out.write_all(&seconds.to_le_bytes())?;
        self.out.write_all(&nanoseconds.to_le_bytes())?;
        self.out.write_all(&u32::try_from(bytes.len())?.to_le_bytes())?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(bytes)?;
        Ok(())
    }

    /// Hands everything to the operating system.
    pub(crate) fn flush(&mut self) -> Result<()> {
        Ok(self.out.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_keeps_the_true_length() {
        let mut bytes = Vec::new();
        let mut file = PcapFile::new(&mut bytes, ETHERNET).unwrap();
        file.write(1_700_000_000_000_000_007, 1514, &[0xaa; 128]).unwrap();
        file.flush().unwrap();
        drop(file);
        assert_eq!(bytes.len(), 24 + 16 + 128);
        assert_eq!(&bytes[..4], &[0x4d, 0x3c, 0xb2, 0xa1]);
        assert_eq!(&bytes[24..28], &1_700_000_000_u32.to_le_bytes());
        assert_eq!(&bytes[28..32], &7_u32.to_le_bytes());
        assert_eq!(&bytes[32..36], &128_u32.to_le_bytes());
        assert_eq!(&bytes[36..40], &1514_u32.to_le_bytes());
    }
}
