use std::{net::UdpSocket, os::fd::AsFd};

use super::*;

fn pair() -> (UdpSocket, UdpSocket, SocketAddrV4) {
    let (one, two) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let std::net::SocketAddr::V4(to) = two.local_addr().unwrap() else { unreachable!("bound to IPv4") };
    (one, two, to)
}

#[test]
fn a_batch_goes_out_and_comes_in_in_order() {
    let (one, two, to) = pair();
    let memory: Vec<u8> = (0..100).collect();
    let mut sender = Sender::new();
    for at in 0..BATCH {
        sender.push(0..0, at..at + 5, to, (at, 0));
    }
    sender.flush(one.as_fd(), Memory { heads: &[], bodies: &memory }, |_, error| panic!("{error}"));
    let mut receiver = Receiver::new(16);
    assert_eq!(receiver.receive(two.as_fd()).unwrap(), BATCH);
    let from = one.local_addr().unwrap();
    for at in 0..BATCH {
        let arrived = receiver.arrived(at).unwrap();
        assert_eq!(receiver.memory()[arrived.at.clone()], memory[at..at + 5]);
        assert_eq!(std::net::SocketAddr::V4(arrived.source), from);
        assert_eq!(arrived.datagrams().collect::<Vec<_>>(), [arrived.at]);
    }
    let empty = receiver.receive(two.as_fd()).unwrap_err();
    assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn a_refused_packet_does_not_hold_up_the_others() {
    let (one, two, to) = pair();
    let memory = vec![7; 70_000];
    let mut sender = Sender::new();
    sender.push(0..0, 0..3, to, (1, 1));
    sender.push(0..0, 0..70_000, to, (2, 7));
    sender.push(0..0, 0..4, to, (3, 1));
    let mut refused = Vec::new();
    sender.flush(one.as_fd(), Memory { heads: &[], bodies: &memory }, |tag, error| {
        refused.push((tag, error.raw_os_error()));
    });
    assert_eq!(refused, [((2, 7), Some(libc::EMSGSIZE))]);
    let mut receiver = Receiver::new(16);
    let count = receiver.receive(two.as_fd()).unwrap();
    let lengths: Vec<_> = (0..count).map(|n| receiver.arrived(n).unwrap().at.len()).collect();
    assert_eq!(lengths, [3, 4]);
}

#[test]
fn a_packet_that_is_too_long_is_not_handed_out_in_part() {
    let (one, two, to) = pair();
    one.send_to(&[1; 17], to).unwrap();
    one.send_to(&[2; 16], to).unwrap();
    let mut receiver = Receiver::new(16);
    let count = receiver.receive(two.as_fd()).unwrap();
    let packets: Vec<_> = (0..count).map(|n| receiver.arrived(n).map(|one| one.at.len())).collect();
    assert_eq!(packets, [None, Some(16)]);
}

/// What came at `socket`, taken apart.
fn taken(socket: &UdpSocket) -> Vec<Vec<u8>> {
    let mut receiver = Receiver::new(70_000);
    let mut out = Vec::new();
    while let Ok(count) = receiver.receive(socket.as_fd()) {
        for n in 0..count {
            let arrived = receiver.arrived(n).unwrap();
            out.extend(arrived.datagrams().map(|at| receiver.memory()[at].to_vec()));
        }
    }
    out
}

#[test]
fn what_goes_as_one_message_arrives_as_the_datagrams_it_was() {
    let (one, two, to) = pair();
    let (_three, four, elsewhere) = pair();
    sys::set_option(&two, libc::SOL_UDP, libc::UDP_GRO, 1).unwrap();
    let memory: Vec<u8> = (0..70_000_u32).map(|n| (n / 97) as u8).collect();
    let (heads, bodies) = (&memory[..1000], &memory[1000..]);
    let mut sender = Sender::together();
    let mut sent = Vec::new();
    // A head and a body each; shorter ones end a message; 0 octets; another port between; one too many for a message.
    let lengths = [1400; 50].into_iter().chain([900, 900, 3, 0, 0, 40]).chain([13; 70]);
    for (n, length) in lengths.enumerate() {
        let head = n..n + length.min(20);
        let body = n * 11..n * 11 + length - head.len();
        sent.push([&heads[head.clone()], &bodies[body.clone()]].concat());
        sender.push(head, body, to, (n, 0));
        if n == 20 {
            sender.push(0..0, 5..9, elsewhere, (n, 1));
        }
    }
    sender.flush(one.as_fd(), Memory { heads, bodies }, |tag, error| panic!("{tag:?} {error}"));
    assert!(sender.together);
    assert_eq!(taken(&two), sent);
    assert_eq!(taken(&four), [bodies[5..9].to_vec()]);
}

#[test]
fn messages_are_as_long_as_the_kernel_takes_them() {
    let packet = |length: usize, port| {
        let to = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        send::outgoing(0..0, 0..length, to)
    };
    let of = |packets: &[_], together| {
        // What was there before does not count.
        let mut groups = vec![0..9, 9..10];
        send::group(packets, together, &mut groups);
        groups
    };
    let full: Vec<_> = (0..47).map(|_| packet(1472, 1)).collect();
    assert_eq!(of(&full, true), [0..44, 44..47]);
    assert_eq!(of(&full[..2], false), [0..1, 1..2]);
    let small: Vec<_> = (0..65).map(|_| packet(30, 1)).collect();
    assert_eq!(of(&small, true), [0..64, 64..65]);
    assert_eq!(of(&[packet(5, 1), packet(5, 1), packet(4, 1), packet(4, 1)], true), [0..3, 3..4]);
    assert_eq!(of(&[packet(5, 1), packet(6, 1), packet(6, 2)], true), [0..1, 1..2, 2..3]);
    assert_eq!(of(&[packet(0, 1), packet(0, 1), packet(1, 1), packet(0, 1)], true), [0..1, 1..2, 2..3, 3..4]);
    assert_eq!(of(&[], true), []);
}
