//! The fixed parts of registration messages against bytes written by hand, and against damage.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::Ipv4Addr;

use wire::{
    Error, Writer,
    mip::{
        MAX_MESSAGE,
        code::Code,
        registration::{Flags, Identification, Reply, Request},
    },
};

/// Flags B and T, lifetime 600, home address 0.0.0.0, home agent 10.11.1.2, care-of address 10.51.1.2.
const REQUEST: [u8; 24] = [
    1, 0x42, 0x02, 0x58, 0, 0, 0, 0, 10, 11, 1, 2, 10, 51, 1, 2, 0xee, 0xaa, 0x00, 0x01, 0xde, 0xad, 0xbe,
    0xef,
];

/// Code 133, lifetime 0xffff, home address 10.11.1.50, home agent 10.11.1.2.
const REPLY: [u8; 20] =
    [3, 133, 0xff, 0xff, 10, 11, 1, 50, 10, 11, 1, 2, 0xee, 0xaa, 0x00, 0x01, 0xde, 0xad, 0xbe, 0xef];

fn request() -> Request {
    Request {
        flags: Flags(Flags::BROADCAST | Flags::REVERSE_TUNNEL),
        lifetime: 600,
        home_address: Ipv4Addr::UNSPECIFIED,
        home_agent: Ipv4Addr::new(10, 11, 1, 2),
        care_of: Ipv4Addr::new(10, 51, 1, 2),
        identification: Identification::new(0xeeaa_0001, 0xdead_beef),
    }
}

fn reply() -> Reply {
    Reply {
        code: Code::HA_IDENTIFICATION,
        lifetime: 0xffff,
        home_address: Ipv4Addr::new(10, 11, 1, 50),
        home_agent: Ipv4Addr::new(10, 11, 1, 2),
        identification: Identification(0xeeaa_0001_dead_beef),
    }
}

#[test]
fn parse() {
    assert_eq!(Request::parse(&REQUEST), Ok(request()));
    assert_eq!(Reply::parse(&REPLY), Ok(reply()));
}

#[test]
fn emit() {
    let mut w = Writer::default();
    request().emit(&mut w);
    assert_eq!(w.bytes(), REQUEST);
    let mut w = Writer::default();
    reply().emit(&mut w);
    assert_eq!(w.bytes(), REPLY);
}

#[test]
fn truncated_at_every_length() {
    for n in 0..Request::LEN {
        assert_eq!(Request::parse(&REQUEST[..n]), Err(Error::Truncated), "{n} bytes");
    }
    for n in 0..Reply::LEN {
        assert_eq!(Reply::parse(&REPLY[..n]), Err(Error::Truncated), "{n} bytes");
    }
}

#[test]
fn what_follows_the_fixed_part_is_left_to_the_extensions() {
    let longer = [&REQUEST[..], &[131, 1, b'x']].concat();
    assert_eq!(Request::parse(&longer), Ok(request()));
}

#[test]
fn overlong() {
    let mut message = REQUEST.to_vec();
    message.resize(MAX_MESSAGE, 0);
    assert!(Request::parse(&message).is_ok());
    message.push(0);
    assert_eq!(Request::parse(&message), Err(Error::TooLong));
}

#[test]
fn every_other_message_type() {
    for kind in (0..=255).filter(|k| *k != 1) {
        let mut bytes = REQUEST;
        bytes[0] = kind;
        assert_eq!(Request::parse(&bytes), Err(Error::Value("message type")), "type {kind}");
    }
    for kind in (0..=255).filter(|k| *k != 3) {
        let mut bytes = REPLY;
        bytes[0] = kind;
        assert_eq!(Reply::parse(&bytes), Err(Error::Value("message type")), "type {kind}");
    }
}

/// The parser keeps every bit, reserved ones too: the foreign agent has to answer them with code 70.
#[test]
fn every_bit_survives_a_round_trip() {
    for bit in 8..Request::LEN * 8 {
        let mut bytes = REQUEST;
        bytes[bit / 8] ^= 0x80 >> (bit % 8);
        let mut w = Writer::default();
        Request::parse(&bytes).unwrap().emit(&mut w);
        assert_eq!(w.bytes(), bytes, "bit {bit}");
    }
    for bit in 8..Reply::LEN * 8 {
        let mut bytes = REPLY;
        bytes[bit / 8] ^= 0x80 >> (bit % 8);
        let mut w = Writer::default();
        Reply::parse(&bytes).unwrap().emit(&mut w);
        assert_eq!(w.bytes(), bytes, "bit {bit}");
    }
}

#[test]
fn flags_stand_where_the_rfc_puts_them() {
    let masks = [
        (Flags::SIMULTANEOUS, "S-------"),
        (Flags::BROADCAST, "-B------"),
        (Flags::DECAPSULATION, "--D-----"),
        (Flags::MINIMAL, "---M----"),
        (Flags::GRE, "----G---"),
        (Flags::REVERSE_TUNNEL, "------T-"),
        (Flags::RESERVED, "-----r-x"),
    ];
    for (mask, drawn) in masks {
        assert_eq!(format!("{:?}", Flags(mask)), drawn);
        assert!(Flags(mask).has(mask) && !Flags(!mask).has(mask));
        assert_eq!(Flags(mask).reserved_clear(), mask != Flags::RESERVED);
    }
}
