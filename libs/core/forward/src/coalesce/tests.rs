use super::*;
use crate::{
    segment::{FIN, Segments},
    testing::{Inner, Random, tcp, tcp_sum, transport_sum},
};

/// A packet of TCP with its checksum.
fn stream(sequence: u32, flags: u8, identification: u16, payload: &[u8]) -> Vec<u8> {
    let bytes = tcp(sequence, flags, &[1, 1, 1, 1], payload);
    let inner = Inner::new("10.11.1.90", "10.11.1.50").protocol(6).identification(identification);
    summed(inner.bytes(&bytes).build())
}

fn summed(mut packet: Vec<u8>) -> Vec<u8> {
    let sum = tcp_sum(&packet);
    packet[36..38].copy_from_slice(&sum.to_be_bytes());
    packet
}

fn datagram(port: u16, identification: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x13, 0x88];
    bytes.extend(port.to_be_bytes());
    bytes.extend(((payload.len() + 8) as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(payload);
    let inner = Inner::new("10.11.1.90", "10.11.1.50").identification(identification);
    let mut packet = inner.bytes(&bytes).build();
    let sum = match transport_sum(&packet, 6) {
        0 => 0xffff,
        sum => sum,
    };
    packet[26..28].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// What comes out of these packets: each with what is left to do on it.
fn joined(packets: &[Vec<u8>]) -> Vec<(Vec<u8>, Left)> {
    let memory = packets.concat();
    let mut out = Vec::new();
    let mut amount = (0, 0);
    let mut hand = |whole: Whole<'_>| {
        let (count, octets) = whole.amount();
        amount = (amount.0 + count, amount.1 + octets);
        out.push(match whole {
            Whole::Packet(at) => (memory[at].to_vec(), Left::default()),
            Whole::Long { head, pieces, left } => {
                let mut packet = head.to_vec();
                pieces.iter().for_each(|at| packet.extend(&memory[at.clone()]));
                (packet, left)
            }
        });
    };
    let mut runs = Runs::new(true);
    let mut at = 0;
    for packet in packets {
        runs.take(&memory, at..at + packet.len(), &mut hand);
        at += packet.len();
    }
    runs.finish(&mut hand);
    assert_eq!(runs.open, 0);
    assert_eq!(amount, (packets.len() as u64, memory.len() as u64));
    out
}

/// What the host makes of it again.
fn apart(joined: &[(Vec<u8>, Left)]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for (packet, left) in joined {
        let Some(segments) = Segments::new(packet, *left) else {
            out.push(packet.clone());
            continue;
        };
        for n in 0..segments.count() {
            let mut segment = vec![0; segments.longest()];
            let length = segments.write(n, &mut segment).unwrap();
            segment.truncate(length);
            out.push(segment);
        }
    }
    out
}

#[test]
fn neighbours_of_one_stream_become_one_packet() {
    let packets = [
        stream(u32::MAX - 3, ACK, u16::MAX, &[1; 10]),
        stream(6, ACK, 0, &[2; 10]),
        stream(16, ACK | PSH, 1, &[3; 4]),
        stream(20, ACK, 2, &[4; 10]),
    ];
    let out = joined(&packets);
    assert_eq!(out.len(), 2);
    let (long, left) = &out[0];
    assert_eq!(long.len(), 44 + 24);
    assert_eq!(left.segment, NonZeroU16::new(10));
    assert_eq!(left.checksum, Some(Place { start: 20, field: 16 }));
    // The checksum that is left to the host turns out as that of the whole.
    let mut whole = long.clone();
    assert!(crate::segment::complete(&mut whole, left.checksum.unwrap()));
    assert_eq!(whole[36..38], tcp_sum(long).to_be_bytes());
    assert_eq!(apart(&out), packets);
}

#[test]
fn datagrams_of_one_size_become_one_packet() {
    let packets: Vec<_> = (0..5).map(|n| datagram(7, n, &[n as u8; 30])).collect();
    let out = joined(&packets);
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].1.segment, NonZeroU16::new(30));
    assert_eq!(apart(&out), packets);
}

#[test]
fn what_differs_stays_apart() {
    let first = || stream(1000, ACK, 1, &[1; 10]);
    let second = || stream(1010, ACK, 2, &[2; 10]);
    let change = |at: usize, value: u8| {
        let mut packet = second();
        packet[at] = value;
        let sum = checksum(&[&packet[..10], &[0, 0], &packet[12..20]].concat());
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        summed(packet)
    };
    let others = [
        ("traffic class", change(1, 0xb9)),
        ("don't fragment", change(6, 0x40)),
        ("fragment", change(6, 0x20)),
        ("time to live", change(8, 12)),
        ("destination", change(19, 51)),
        ("source port", change(21, 0x91)),
        ("acknowledgment", change(31, 78)),
        ("reserved bits", change(32, 0x61)),
        ("RST", change(33, ACK | 4)),
        ("FIN", change(33, ACK | FIN)),
        ("SYN", change(33, ACK | 2)),
        ("ECE", change(33, ACK | 0x40)),
        ("URG", change(33, ACK | 0x20)),
        ("window", change(35, 0xf6)),
        ("urgent pointer", change(39, 1)),
        ("options", change(43, 0)),
        ("gap", stream(1011, ACK, 2, &[2; 10])),
        ("overlap", stream(1000, ACK, 2, &[2; 10])),
        ("identification", stream(1010, ACK, 3, &[2; 10])),
        ("longer", stream(1010, ACK, 2, &[2; 11])),
        ("no payload", stream(1010, ACK, 2, &[])),
        ("PSH before", stream(1010, ACK | PSH, 2, &[2; 10])),
    ];
    for (what, other) in others {
        let packets = if what == "PSH before" { [other, first()] } else { [first(), other] };
        let out = joined(&packets);
        assert_eq!(out.len(), 2, "{what}");
        assert_eq!(apart(&out), packets, "{what}");
    }
}

#[test]
fn a_wrong_checksum_is_never_hidden() {
    let packets = [stream(1000, ACK, 1, &[1; 10]), stream(1010, ACK, 2, &[2; 10])];
    assert_eq!(joined(&packets).len(), 1);
    for at in (0..packets[1].len()).filter(|at| ![2, 3].contains(at)) {
        let mut broken = packets.clone();
        broken[1][at] ^= 0x04;
        let mut out = apart(&joined(&broken));
        // Of another flow it may come first.
        out.sort_by_key(|packet| packet[5]);
        assert_eq!(out, broken, "{at}");
    }
    let mut silent = [datagram(7, 1, &[1; 10]), datagram(7, 2, &[2; 10])];
    silent[1][26..28].fill(0);
    assert_eq!(joined(&silent).len(), 2, "without a checksum nobody knows");
}

#[test]
fn what_may_not_be_fragmented_needs_no_identification() {
    let packet = |sequence, payload: &[u8]| {
        let bytes = tcp(sequence, ACK, &[], payload);
        summed(Inner::new("10.11.1.90", "10.11.1.50").protocol(6).dont_fragment(true).bytes(&bytes).build())
    };
    assert_eq!(joined(&[packet(0, &[1; 10]), packet(10, &[1; 10])]).len(), 1);
}

#[test]
fn nothing_overtakes_in_its_flow() {
    let (a, b) = (stream(0, ACK, 1, &[1; 10]), stream(10, ACK, 2, &[2; 10]));
    let bare = stream(20, ACK, 3, &[]);
    let far = datagram(9, 9, &[1; 10]);
    let packets = [a, far.clone(), b, bare.clone(), far.clone()];
    let out: Vec<_> = joined(&packets).into_iter().map(|(packet, _)| packet).collect();
    assert_eq!(out.len(), 4);
    let place = |packet: &Vec<u8>| out.iter().position(|one| one == packet).unwrap();
    assert_eq!(out.iter().position(|one| one.len() == 44 + 20), Some(0));
    assert!(place(&bare) > 0);
}

#[test]
fn more_flows_than_there_is_room_for_lose_nothing() {
    let mut packets = Vec::new();
    for round in 0..3 {
        for port in 0..2 * RUNS as u16 {
            packets.push(datagram(port, round, &[port as u8; 20]));
        }
    }
    let mut out = apart(&joined(&packets));
    out.sort();
    packets.sort();
    assert_eq!(out, packets);
}

#[test]
fn no_packet_becomes_longer_than_packets_are() {
    let packets: Vec<_> = (0..80_u32).map(|n| stream(n * 1400, ACK, n as u16, &[7; 1400])).collect();
    let out = joined(&packets);
    assert!(out.iter().all(|(packet, _)| packet.len() <= LONGEST));
    assert_eq!(out.len(), 2);
    assert_eq!(apart(&out), packets);
}

/// A stream cut at random, sent with losses, repeats and strangers between, comes out as it was.
#[test]
fn apart_again_it_is_what_came() {
    let mut random = Random::new(1);
    for _ in 0..300 {
        let mut packets = Vec::new();
        let mut sequences = [0_u32; 3];
        let mut identification = [0_u16; 3];
        let size = 1 + random.below(300) as usize;
        for _ in 0..random.below(60) {
            let flow = random.below(3) as usize;
            let length = if random.below(6) == 0 { random.below(size as u32 + 1) as usize } else { size };
            let payload = random.bytes(length);
            let flags = if random.below(8) == 0 { ACK | PSH } else { ACK };
            let bytes = match random.below(12) {
                0 => tcp(random.next() as u32, flags, &[], &payload),
                _ => tcp(sequences[flow], flags, &[], &payload),
            };
            sequences[flow] = sequences[flow].wrapping_add(length as u32);
            identification[flow] = identification[flow].wrapping_add(1);
            let source = ["10.11.1.90", "10.11.1.91", "10.11.1.92"][flow];
            let inner = Inner::new(source, "10.11.1.50").protocol(6).identification(identification[flow]);
            let packet = summed(inner.bytes(&bytes).build());
            if random.below(20) == 0 {
                packets.push(random.bytes(15));
            }
            packets.push(packet);
        }
        let mut out = apart(&joined(&packets));
        for source in [90, 91, 92] {
            let of = |all: &[Vec<u8>]| -> Vec<Vec<u8>> {
                all.iter().filter(|packet| packet.get(15) == Some(&source)).cloned().collect()
            };
            assert_eq!(of(&out), of(&packets), "in order");
        }
        out.sort();
        packets.sort();
        assert_eq!(out, packets);
    }
}
