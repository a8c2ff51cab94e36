use super::*;
use crate::testing::{Inner, Random, address, tcp, tcp_sum, transport_sum};

const ACK: u8 = 0x10;

fn left(size: u16) -> Left {
    Left { checksum: Some(Place { start: 20, field: 16 }), segment: NonZeroU16::new(size) }
}

fn stream(sequence: u32, flags: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let bytes = tcp(sequence, flags, options, payload);
    Inner::new("10.11.1.90", "10.11.1.50").protocol(6).dont_fragment(true).bytes(&bytes).build()
}

fn datagram(payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x13, 0x88, 0x13, 0x89];
    bytes.extend(((payload.len() + 8) as u16).to_be_bytes());
    bytes.extend([0xab, 0xcd]);
    bytes.extend(payload);
    Inner::new("10.11.1.90", "10.11.1.50").bytes(&bytes).build()
}

fn cut(packet: &[u8], left: Left) -> Vec<Vec<u8>> {
    let segments = Segments::new(packet, left).unwrap();
    let all: Vec<Vec<u8>> = (0..segments.count())
        .map(|n| {
            let mut out = vec![0xee; segments.longest()];
            let length = segments.write(n, &mut out).unwrap();
            out.truncate(length);
            out
        })
        .collect();
    let longest = all.iter().map(Vec::len).max();
    assert_eq!(longest, Some(segments.longest()));
    assert_eq!(all.iter().map(Vec::len).sum::<usize>(), segments.octets());
    assert_eq!(segments.write(segments.count(), &mut [0; 2000]), None);
    all
}

#[test]
fn segments_of_a_stream_to_the_octet() {
    let packet = stream(0xffff_fffe, ACK | PSH | FIN | CWR, &[1, 1, 1, 0], &[1, 2, 3, 4, 5]);
    let all = cut(&packet, left(2));
    let flags = [ACK | CWR, ACK, ACK | PSH | FIN];
    for (n, (segment, payload)) in all.iter().zip([&[1, 2][..], &[3, 4], &[5]]).enumerate() {
        let sequence = 0xffff_fffe_u32.wrapping_add(2 * n as u32);
        let bytes = tcp(sequence, flags[n], &[1, 1, 1, 0], payload);
        let inner = Inner::new("10.11.1.90", "10.11.1.50").protocol(6).dont_fragment(true);
        let mut expected = inner.identification(0x1234 + n as u16).bytes(&bytes).build();
        let sum = tcp_sum(&expected);
        expected[36..38].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(segment, &expected, "{n}");
    }
    assert_eq!(all.len(), 3);
}

#[test]
fn datagrams_have_their_own_length_and_checksum() {
    let payload: Vec<u8> = (0..250).collect();
    let packet = datagram(&payload);
    let place = Place { start: 20, field: 6 };
    let all = cut(&packet, Left { checksum: Some(place), segment: NonZeroU16::new(100) });
    let joined: Vec<u8> = all.iter().flat_map(|one| one[28..].to_vec()).collect();
    assert_eq!(joined, payload);
    for (n, segment) in all.iter().enumerate() {
        assert_eq!(wire::checksum::checksum(&segment[..20]), 0);
        assert_eq!(u16::from_be_bytes([segment[4], segment[5]]), 0x1234 + n as u16);
        assert_eq!(usize::from(u16::from_be_bytes([segment[24], segment[25]])), segment.len() - 20);
        assert_eq!(u16::from_be_bytes([segment[26], segment[27]]), transport_sum(segment, 6));
    }
}

#[test]
fn a_datagram_without_a_checksum_stays_without() {
    let mut packet = datagram(&[7; 250]);
    packet[26..28].fill(0);
    for segment in cut(&packet, Left { checksum: None, segment: NonZeroU16::new(100) }) {
        assert_eq!(segment[26..28], [0, 0]);
    }
}

#[test]
fn a_checksum_of_zero_is_written_as_ones() {
    let mut random = Random::new(4);
    let mut zeros = 0;
    while zeros < 3 {
        let mut payload = random.bytes(4);
        payload.extend(random.bytes(4));
        let packet = datagram(&payload);
        let place = Place { start: 20, field: 6 };
        for segment in cut(&packet, Left { checksum: Some(place), segment: NonZeroU16::new(4) }) {
            let written = u16::from_be_bytes([segment[26], segment[27]]);
            assert_ne!(written, 0);
            zeros += usize::from(transport_sum(&segment, 6) == 0 && written == 0xffff);
        }
    }
}

#[test]
fn options_of_ip_are_in_every_segment() {
    let bytes = tcp(1, ACK, &[], &[9; 30]);
    let packet = Inner::new("10.11.1.90", "10.11.1.50").protocol(6).options(&[7, 4, 4, 0]).bytes(&bytes);
    for segment in cut(&packet.build(), left(10)) {
        assert_eq!(segment[20..24], [7, 4, 4, 0]);
        assert_eq!(wire::checksum::checksum(&segment[..24]), 0);
    }
}

#[test]
fn what_cannot_be_cut_is_refused() {
    let whole = stream(1, ACK, &[], &[1; 50]);
    assert!(Segments::new(&whole, Left::default()).is_none(), "nothing is to be cut");
    assert!(Segments::new(&stream(1, ACK, &[], &[]), left(10)).is_none(), "no payload");
    let mut offset = whole.clone();
    offset[32] = 0x40;
    let mut long = whole.clone();
    long[32] = 0xf0;
    let mut other = whole.clone();
    other[9] = 1;
    let fragment = Inner::new("10.11.1.90", "10.11.1.50").protocol(6).fragment(0, true).payload(50).build();
    let later = Inner::new("10.11.1.90", "10.11.1.50").protocol(6).fragment(3, false).payload(50).build();
    for packet in [offset, other, fragment, later, whole[..60].to_vec()] {
        assert!(Segments::new(&packet, left(10)).is_none());
    }
    assert!(Segments::new(&long, left(10)).is_some_and(|segments| segments.count() == 1));
    for length in 0..whole.len() {
        let packet = Inner::new("10.11.1.90", "10.11.1.50").protocol(6).bytes(&whole[20..length.max(20)]);
        let _ = Segments::new(&packet.build(), left(1)).map(|segments| segments.longest());
    }
}

#[test]
fn a_checksum_that_was_left_is_completed() {
    let mut random = Random::new(9);
    for _ in 0..2000 {
        let length = random.below(1400) as usize;
        let payload = random.bytes(length);
        let (source, destination) = (address("10.11.1.90"), address("10.11.1.50"));
        let right = wire::ip::udp_packet(
            std::net::SocketAddrV4::new(source, 5000),
            std::net::SocketAddrV4::new(destination, 7),
            64,
            &payload,
        )
        .unwrap();
        let mut packet = right.clone();
        let parsed = Packet::parse(&right).unwrap();
        let sum = !pseudo(parsed, right.len() - 20).finish();
        packet[26..28].copy_from_slice(&sum.to_be_bytes());
        assert!(complete(&mut packet, Place { start: 20, field: 6 }));
        assert_eq!(packet, right);
    }
}

#[test]
fn a_checksum_outside_the_packet_changes_nothing() {
    let whole = datagram(&[1; 10]);
    for (start, field) in [(20, 17), (38, 0), (37, 0), (u16::MAX, u16::MAX), (0, 38), (40, 6)] {
        let mut packet = whole.clone();
        assert!(!complete(&mut packet, Place { start, field }), "{start} {field}");
        assert_eq!(packet, whole);
    }
}
