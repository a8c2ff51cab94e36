//! The maximum segment size that a TCP connection announces (RFC 9293 §3.7.1), lowered to what the tunnel takes.
//!
//! A host learns by ICMP that a tunnel takes less than its link, and often no ICMP arrives: then its stream stands
//! still. So what each end announces in its first segment is lowered on the way, as routers at the end of a narrow
//! link do.

use wire::checksum;

use crate::{
    header::{MINIMUM, Packet, TCP},
    segment::TCP_CHECKSUM,
};

/// Octets of a TCP header without options.
const HEADER: usize = 20;
const SYN: u8 = 0x02;
/// The options that are read: none more, nothing, maximum segment size with its length.
const END: u8 = 0;
const NOTHING: u8 = 1;
const SEGMENT_SIZE: u8 = 2;
const SEGMENT_SIZE_LENGTH: usize = 4;
/// Nobody announces less (RFC 9293 §3.7.1: a host that announces nothing takes 536), and it leaves room to work.
const SMALLEST: u16 = 88;

/// True for a packet that opens a connection and may announce a segment size.
#[must_use]
pub fn opens(packet: &[u8]) -> bool {
    // Asked of every packet: cheap first.
    packet.get(9) == Some(&TCP)
        && Packet::parse(packet).is_ok_and(|packet| {
            !packet.is_fragment() && packet.payload().get(13).is_some_and(|flags| flags & SYN != 0)
        })
}

/// Lowers the announced segment size to what a packet of `mtu` octets carries, and keeps the checksum, which is
/// complete; true if anything changed. What announces no size is left as it is: 536 octets fit into every tunnel.
pub fn clamp(packet: &mut [u8], mtu: u16) -> bool {
    if !opens(packet) {
        return false;
    }
    let most = mtu.saturating_sub((MINIMUM + HEADER) as u16).max(SMALLEST);
    let Some((tcp, at)) = announced(packet) else {
        return false;
    };
    let (old, field) = (word(packet, at), tcp + TCP_CHECKSUM);
    if old <= most {
        return false;
    }
    let mut sum = word(packet, field);
    // An option may begin at an odd octet: then its number is in two words of the sum.
    for (place, value) in [(at, most >> 8), (at + 1, most & 0xff)] {
        let shift = if (place - tcp) % 2 == 0 { 8 } else { 0 };
        let octet = u16::from(packet[place]);
        sum = checksum::update(sum, octet << shift, value << shift);
        packet[place] = value as u8;
    }
    packet[field..field + 2].copy_from_slice(&sum.to_be_bytes());
    true
}

fn word(packet: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([packet[at], packet[at + 1]])
}

/// Where TCP begins, and where the announced size is.
fn announced(packet: &[u8]) -> Option<(usize, usize)> {
    let parsed = Packet::parse(packet).ok()?;
    let tcp = parsed.header_length();
    let header = usize::from(parsed.payload().get(12)? >> 4) * 4;
    let options = parsed.payload().get(HEADER..header)?;
    let mut at = 0;
    while let Some(kind) = options.get(at) {
        let length = match *kind {
            END => return None,
            NOTHING => 1,
            _ => usize::from(*options.get(at + 1)?),
        };
        if *kind == SEGMENT_SIZE && length == SEGMENT_SIZE_LENGTH {
            options.get(at + 3)?;
            return Some((tcp, tcp + HEADER + at + 2));
        }
        if length == 0 || (length == 1 && *kind != NOTHING) {
            return None;
        }
        at += length;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Inner, Random, tcp, tcp_sum};

    fn syn(options: &[u8]) -> Vec<u8> {
        let bytes = tcp(7, SYN, options, &[]);
        let mut packet = Inner::new("10.11.1.90", "10.11.1.50").protocol(6).bytes(&bytes).build();
        let sum = tcp_sum(&packet);
        packet[36..38].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    #[test]
    fn what_is_announced_fits_and_the_checksum_stays_right() {
        for options in [&[2, 4, 5, 0xb4][..], &[1, 2, 4, 0x23, 0x01, 1, 1, 1], &[4, 2, 1, 2, 4, 5, 0xb4, 0]] {
            for mtu in [128, 576, 1468, 1480] {
                let mut packet = syn(options);
                assert!(clamp(&mut packet, mtu), "{options:?} {mtu}");
                let at = packet[40..].windows(2).position(|two| two == [2, 4]).unwrap() + 42;
                assert_eq!(word(&packet, at), mtu - 40);
                assert_eq!(tcp_sum(&packet), word(&packet, 36), "{options:?} {mtu}");
                assert!(!clamp(&mut packet, mtu), "nothing is left to do");
            }
        }
    }

    #[test]
    fn nothing_else_is_touched() {
        let fits = syn(&[2, 4, 5, 0x94]);
        let silent = syn(&[1, 1, 1, 1]);
        let ended = syn(&[0, 2, 4, 5, 0xb4, 0, 0, 0]);
        let broken = syn(&[2, 3, 5, 0xb4]);
        let endless = syn(&[3, 0, 2, 4]);
        let short = syn(&[1, 1, 2, 4]);
        let mut data = syn(&[2, 4, 5, 0xb4]);
        data[33] = 0x10;
        let mut fragment = syn(&[2, 4, 5, 0xb4]);
        fragment[6] = 0x20;
        let mut datagram = syn(&[2, 4, 5, 0xb4]);
        datagram[9] = 17;
        for packet in [fits, silent, ended, broken, endless, short, data, fragment, datagram] {
            let mut after = packet.clone();
            assert!(!clamp(&mut after, 1468));
            assert_eq!(after, packet);
        }
    }

    #[test]
    fn no_tunnel_is_so_narrow_that_nothing_is_left() {
        let mut packet = syn(&[2, 4, 5, 0xb4]);
        assert!(clamp(&mut packet, 0));
        assert_eq!(word(&packet, 42), SMALLEST);
    }

    #[test]
    fn no_octets_make_it_panic() {
        let mut random = Random::new(11);
        for _ in 0..20_000 {
            let length = random.below(9) as usize * 4;
            let options = random.bytes(length);
            let mut packet = syn(&options);
            let cut = random.below(packet.len() as u32 + 1) as usize;
            if random.below(2) == 0 {
                packet.truncate(cut);
            }
            if random.below(4) == 0 && packet.len() > 33 {
                packet[32] = random.next() as u8;
            }
            clamp(&mut packet, 1000);
        }
    }
}
