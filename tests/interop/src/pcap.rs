//! Capture files in the classic pcap format, Ethernet frames with IPv4.

use std::{fs, io, path::Path};

const MAGIC: u32 = 0xa1b2_c3d4;
const ETHERNET: u32 = 1;
/// Destination and source addresses without meaning, and the type of IPv4.
const FRAME_HEADER: [u8; 14] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];

/// Writes IPv4 packets, one a millisecond.
///
/// # Errors
/// Those of writing the file.
pub fn write<'a>(path: &Path, packets: impl IntoIterator<Item = &'a [u8]>) -> io::Result<()> {
    let mut out = Vec::new();
    out.extend(MAGIC.to_ne_bytes());
    out.extend([2_u16, 4].map(u16::to_ne_bytes).concat());
    out.extend([0, 0, 65_535, ETHERNET].map(u32::to_ne_bytes).concat());
    for (at, packet) in (0_u32..).zip(packets) {
        let length = u32::try_from(FRAME_HEADER.len() + packet.len()).map_err(io::Error::other)?;
        out.extend([at / 1000, at % 1000 * 1000, length, length].map(u32::to_ne_bytes).concat());
        out.extend(FRAME_HEADER);
        out.extend(packet);
    }
    fs::write(path, out)
}

/// Reads the IPv4 packets of a file that was written in the byte order of this machine.
///
/// # Errors
/// Those of reading the file, and [`io::ErrorKind::InvalidData`] if it is no such file.
pub fn read(path: &Path) -> io::Result<Vec<Vec<u8>>> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, format!("{}: no pcap file", path.display()));
    let bytes = fs::read(path)?;
    let (header, mut rest) = bytes.split_at_checked(24).ok_or_else(wrong)?;
    let number = |bytes: &[u8]| bytes.try_into().map(u32::from_ne_bytes).map_err(|_| wrong());
    if number(&header[..4])? != MAGIC || number(&header[20..])? != ETHERNET {
        return Err(wrong());
    }
    let mut packets = Vec::new();
    while !rest.is_empty() {
        let (record, data) = rest.split_at_checked(16).ok_or_else(wrong)?;
        let length = number(&record[8..12])? as usize;
        let (frame, next) = data.split_at_checked(length).ok_or_else(wrong)?;
        packets.push(frame.get(FRAME_HEADER.len()..).ok_or_else(wrong)?.to_vec());
        rest = next;
    }
    Ok(packets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("two.pcap");
        write(&path, [&[0x45; 20][..], &[1, 2, 3]]).unwrap();
        assert_eq!(read(&path).unwrap(), [vec![0x45; 20], vec![1, 2, 3]]);
        fs::write(&path, b"something else entirely").unwrap();
        assert!(read(&path).is_err());
    }
}
