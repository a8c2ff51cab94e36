//! A reader of pcap files, independent of the program that writes them.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};

/// One captured frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Nanoseconds since 1970.
    pub unix_ns: u64,
    /// Length on the link in bytes.
    pub length: usize,
    /// What was kept of it, from the Ethernet header on.
    pub bytes: Vec<u8>,
}

impl Frame {
    /// Whether all of the frame was kept.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.bytes.len() == self.length
    }
}

/// Reads a little-endian pcap file of Ethernet frames with nanoseconds.
///
/// # Errors
/// If the file is something else or ends within a record.
pub fn read(path: &Path) -> Result<Vec<Frame>> {
    let bytes = fs::read(path).with_context(|| path.display().to_string())?;
    parse(&bytes).with_context(|| path.display().to_string())
}

fn parse(mut bytes: &[u8]) -> Result<Vec<Frame>> {
    let header = take(&mut bytes, 24)?;
    ensure!(word(header, 0)? == 0xa1b2_3c4d, "not a pcap file with nanoseconds");
    ensure!(word(header, 20)? == 1, "not of Ethernet frames");
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let record = take(&mut bytes, 16)?;
        let (kept, length) = (word(record, 8)? as usize, word(record, 12)? as usize);
        ensure!(kept <= length, "a frame of {length} bytes with {kept}");
        frames.push(Frame {
            unix_ns: u64::from(word(record, 0)?) * 1_000_000_000 + u64::from(word(record, 4)?),
            length,
            bytes: take(&mut bytes, kept)?.to_vec(),
        });
    }
    Ok(frames)
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8]> {
    let (first, rest) = bytes.split_at_checked(count).context("cut short")?;
    *bytes = rest;
    Ok(first)
}

fn word(bytes: &[u8], at: usize) -> Result<u32> {
    let octets = bytes.get(at..at + 4).context("cut short")?;
    Ok(u32::from_le_bytes(octets.try_into()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Vec<u8> {
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        [words(&[0xa1b2_3c4d, 0x0004_0002, 0, 0, 65535, 1]), words(&[7, 9, 3, 60]), vec![1, 2, 3]].concat()
    }

    #[test]
    fn a_frame_comes_back_as_it_was_written() {
        let frames = parse(&file()).unwrap();
        assert_eq!(frames, [Frame { unix_ns: 7_000_000_009, length: 60, bytes: vec![1, 2, 3] }]);
        assert!(!frames[0].is_whole());
    }

    #[test]
    fn a_cut_file_is_refused() {
        let whole = file();
        assert!((25..whole.len()).all(|length| parse(&whole[..length]).is_err()));
    }
}
