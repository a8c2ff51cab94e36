//! UDP checksums that a network card was to fill in.
//!
//! What a packet socket sees of the host's own packets, or over a virtual link, may still be without its checksum. A
//! copy that leaves in a tunnel passes no card any more that would know.

use wire::checksum::Sum;

use crate::header::{Packet, UDP};

/// Fills in the UDP checksum of a whole packet (RFC 768); changes nothing if it is no UDP or a fragment.
pub fn fill_in(packet: &mut [u8]) {
    let Ok(parsed) = Packet::parse(packet) else { return };
    let (at, end) = (parsed.header_length(), parsed.bytes().len());
    if parsed.protocol() != UDP || parsed.is_fragment() || end < at + 8 {
        return;
    }
    let (source, destination) = (parsed.source().octets(), parsed.destination().octets());
    packet[at + 6..at + 8].fill(0);
    let length = (end - at) as u32;
    let pseudo = [[0, 0, 0, UDP], length.to_be_bytes()];
    let sum = Sum::new().bytes(&source).bytes(&destination).bytes(pseudo.as_flattened());
    // Zero would mean that there is none.
    let sum = match sum.bytes(&packet[at..end]).finish() {
        0 => u16::MAX,
        sum => sum,
    };
    packet[at + 6..at + 8].copy_from_slice(&sum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Inner, Random, address};

    #[test]
    fn what_is_filled_in_is_right() {
        let mut random = Random::new(2);
        for length in 0..300 {
            let payload = random.bytes(length);
            let (source, destination) = (address("10.11.1.90"), address("255.255.255.255"));
            let right = wire::ip::udp_packet(
                std::net::SocketAddrV4::new(source, 5000),
                std::net::SocketAddrV4::new(destination, 7),
                1,
                &payload,
            );
            let right = right.unwrap();
            let mut packet = right.clone();
            packet[26..28].copy_from_slice(&[0x12, 0x34]);
            packet.extend([9; 3]);
            fill_in(&mut packet);
            assert_eq!(packet[..right.len()], right);
            assert_eq!(packet[right.len()..], [9; 3], "what follows the packet stays");
        }
    }

    #[test]
    fn other_packets_stay_as_they_are() {
        let tcp = Inner::new("10.11.1.90", "10.11.1.255").protocol(6).payload(40).build();
        let fragment = Inner::new("10.11.1.90", "10.11.1.255").fragment(0, true).payload(40).build();
        let short = Inner::new("10.11.1.90", "10.11.1.255").payload(7).build();
        for packet in [tcp, fragment, short, vec![0x45; 19]] {
            let mut after = packet.clone();
            fill_in(&mut after);
            assert_eq!(after, packet);
        }
    }
}
