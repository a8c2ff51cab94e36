//! Our own extensions and what is sealed in them: bytes written by hand, damage, limits, both numberings.
#![allow(clippy::unwrap_used, reason = "tests")]

use wire::{
    Error, Reader, Writer,
    mip::{
        Spi,
        code::DetailCode,
        extension::walk,
        ours::{
            self, AgentHeard, AssociationInfo, DOCUMENTATION_VENDOR, ErrorDetail, Handle, Mode, Numbers,
            Protected, SealedLayer2, SealedNai, Subtype, association_between, layer_2, nai_owner,
        },
    },
};

const VENDOR: Numbers = Numbers::Vendor(DOCUMENTATION_VENDOR);

/// A sealed NAI of a mobile node in vendor numbering; three bytes stand for what was sealed.
const NAI: [u8; 19] = [
    38, 0, 0, 15, // type, reserved, length
    0, 0, 0x7e, 0xd9, 0, 1, // vendor 32473, sub-type 1
    0, 0x80, 0, 0, 0x12, 0x67, // mobile node, E, index 4711
    0xaa, 0xbb, 0xcc,
];

/// The same in experimental numbering.
const NAI_EXPERIMENTAL: [u8; 13] = [127, 1, 0, 9, 0, 0x80, 0, 0, 0x12, 0x67, 0xaa, 0xbb, 0xcc];

fn only(message: &[u8]) -> Result<ours::Ours<'_>, Error> {
    ours::parse(&walk(message, 0)?[0]).map(Option::unwrap)
}

#[test]
fn parse() {
    for (message, numbers) in [(&NAI[..], VENDOR), (&NAI_EXPERIMENTAL[..], Numbers::Experimental)] {
        let found = only(message).unwrap();
        assert_eq!((found.numbers, found.subtype), (numbers, Subtype::NAI));
        let nai = Protected::parse(found.body).unwrap();
        let content = nai_owner::MOBILE_NODE;
        assert_eq!(nai, Protected { content, sealed: true, spi: Spi(4711), info: &[0xaa, 0xbb, 0xcc] });
    }
}

#[test]
fn emit() {
    for (message, numbers) in [(&NAI[..], VENDOR), (&NAI_EXPERIMENTAL[..], Numbers::Experimental)] {
        let content = nai_owner::MOBILE_NODE;
        let nai = Protected { content, sealed: true, spi: Spi(4711), info: &[0xaa, 0xbb, 0xcc] };
        let mut w = Writer::default();
        nai.emit(&mut w, numbers, Subtype::NAI).unwrap();
        assert_eq!(w.bytes(), message);
        assert_eq!(numbers.protected_header() + 3, message.len());
    }
}

#[test]
fn truncated_at_every_length() {
    for message in [&NAI[..], &NAI_EXPERIMENTAL[..]] {
        for n in 1..message.len() {
            assert_eq!(walk(&message[..n], 0), Err(Error::Truncated), "{n} bytes");
        }
    }
    // The framing holds, what is inside does not.
    for length in 0..6 {
        let mut message = NAI[..4 + length].to_vec();
        message[3] = length.try_into().unwrap();
        assert_eq!(only(&message), Err(Error::Truncated), "vendor header of {length} bytes");
    }
    for n in 0..6 {
        assert_eq!(Protected::parse(&NAI[10..10 + n]), Err(Error::Truncated), "{n} bytes");
    }
}

#[test]
fn other_vendors_and_sub_types_are_told_apart_not_refused() {
    let mut message = NAI;
    message[7] = 0xda;
    message[8] = 0x7f;
    let found = only(&message).unwrap();
    assert_eq!((found.numbers, found.subtype), (Numbers::Vendor(32474), Subtype(0x7f01)));
}

#[test]
fn the_reserved_byte_of_a_vendor_extension() {
    let mut message = NAI;
    message[1] = 1;
    assert_eq!(only(&message), Err(Error::Value("reserved byte of a vendor extension")));
}

#[test]
fn standard_extensions_are_not_ours() {
    assert_eq!(ours::parse(&walk(&[131, 1, b'x'], 0).unwrap()[0]), Ok(None));
}

#[test]
fn what_does_not_fit_is_an_error() {
    let mut w = Writer::default();
    let body = vec![0; 65_535];
    assert!(ours::put(&mut w, VENDOR, Subtype::NAI, &body).is_err());
    assert!(ours::put(&mut w, Numbers::Experimental, Subtype(256), &[]).is_err());
    let mut w = Writer::default();
    assert!(ours::put(&mut w, VENDOR, Subtype::NAI, &body[..65_529]).is_ok());
}

#[test]
fn every_flag_but_e_is_refused() {
    for flags in 0..=255_u8 {
        let body = [0, flags, 0, 0, 0, 0];
        let parsed = Protected::parse(&body);
        match flags {
            0 => assert!(!parsed.unwrap().sealed),
            0x80 => assert!(parsed.unwrap().sealed),
            _ => assert_eq!(parsed, Err(Error::Value("flags of a protected extension"))),
        }
    }
}

#[test]
fn sealed_nai_by_hand() {
    let mut bytes = vec![0, 0, 0, 0, 0, 0, 0, 7, 13];
    bytes.extend(b"traveller-one");
    bytes.resize(72, 0);
    let nai = SealedNai { index: 7, user: "traveller-one".into() };
    assert_eq!(nai.emit().unwrap(), bytes);
    assert_eq!(SealedNai::parse(&bytes), Ok(nai));
    for n in (0..300).filter(|n| *n != 72) {
        bytes.resize(n, 0);
        assert!(SealedNai::parse(&bytes).is_err(), "{n} bytes");
    }
}

#[test]
fn sealed_nai_padding_and_text() {
    let good = SealedNai { index: u64::MAX, user: "u".repeat(64) }.emit().unwrap();
    assert_eq!(good.len(), 264);
    for at in 73..264 {
        let mut bytes = good.clone();
        bytes[at] = 1;
        assert_eq!(SealedNai::parse(&bytes), Err(Error::Value("sealed NAI")), "byte {at}");
    }
    let mut no_text = good;
    no_text[20] = 0xff;
    assert_eq!(SealedNai::parse(&no_text), Err(Error::Value("sealed NAI")));
    let mut empty = vec![0; 72];
    assert_eq!(SealedNai::parse(&empty), Err(Error::Value("sealed NAI")));
    for length in [254, 255] {
        let mut too_long = vec![b'u'; 264];
        too_long[8] = length;
        assert_eq!(SealedNai::parse(&too_long), Err(Error::Length("sealed NAI")));
    }
    empty[8] = 64;
    assert_eq!(SealedNai::parse(&empty), Err(Error::Length("sealed NAI")));
}

#[test]
fn sealed_layer_2_by_hand() {
    let bytes = [0, 6, 0x02, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    let address = SealedLayer2 { kind: layer_2::ETHERNET, address: vec![2, 0, 0, 0, 0, 1] };
    assert_eq!(address.emit().unwrap(), bytes);
    assert_eq!(SealedLayer2::parse(&bytes), Ok(address));
    for n in (0..32).filter(|n| *n != 16) {
        let mut wrong = bytes.to_vec();
        wrong.resize(n, 0);
        assert!(SealedLayer2::parse(&wrong).is_err(), "{n} bytes");
    }
    for at in 8..16 {
        let mut padded = bytes;
        padded[at] = 1;
        assert!(SealedLayer2::parse(&padded).is_err(), "byte {at}");
    }
    let mut kind = bytes;
    kind[0] = 3;
    assert!(SealedLayer2::parse(&kind).is_err());
    let longest = SealedLayer2 { kind: layer_2::IMSI, address: vec![1; 14] };
    assert_eq!(SealedLayer2::parse(&longest.emit().unwrap()), Ok(longest));
    assert!(SealedLayer2 { kind: layer_2::MIN, address: vec![1; 15] }.emit().is_err());
}

#[test]
fn an_ip_extension_has_four_bytes() {
    for n in 0..20 {
        assert_eq!(ours::parse_ip(&[10; 20][..n]).is_ok(), n == 4, "{n} bytes");
    }
}

#[test]
fn agent_heard_by_hand() {
    let body = [4, 1, 2, 3, 4, b'f', b'a', b'@', b'v'];
    let heard = AgentHeard { challenge: &[1, 2, 3, 4], agent: "fa@v" };
    assert_eq!(AgentHeard::parse(&body), Ok(heard));
    let mut w = Writer::default();
    heard.emit(&mut w, VENDOR).unwrap();
    assert_eq!(w.bytes()[10..], body);
    for n in 0..=5 {
        assert!(AgentHeard::parse(&body[..n]).is_err(), "{n} bytes");
    }
}

#[test]
fn agent_heard_limits() {
    let long = "n".repeat(65);
    let heard = |challenge: &[u8], agent: &str| {
        AgentHeard { challenge, agent }.emit(&mut Writer::default(), VENDOR).is_ok()
    };
    assert!(heard(&[1; 4], "n") && heard(&[1; 32], &long[..64]));
    assert!(!heard(&[1; 3], "n") && !heard(&[1; 33], "n") && !heard(&[1; 300], "n"));
    assert!(!heard(&[1; 4], "") && !heard(&[1; 4], &long));
    assert_eq!(AgentHeard::parse(&[4, 1, 2, 3, 4, 0xff]), Err(Error::Value("agent name")));
    assert_eq!(AgentHeard::parse(&[33; 60]), Err(Error::Length("challenge")));
}

#[test]
fn handle_by_hand() {
    let body = [1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 1, 0, 0xff, 0xff, 0xff, 0xff];
    let handle = Handle { handle: 0x0102_0304_0506_0708, key2: Spi(256), key3: Spi(u32::MAX) };
    assert_eq!(Handle::parse(&body), Ok(handle));
    let mut w = Writer::default();
    handle.emit(&mut w, Numbers::Experimental).unwrap();
    assert_eq!(w.bytes(), [&[127, 8, 0, 16][..], &body].concat());
    for n in 0..16 {
        assert_eq!(Handle::parse(&body[..n]), Err(Error::Truncated), "{n} bytes");
    }
    assert_eq!(Handle::parse(&[&body[..], &[0]].concat()), Err(Error::Trailing));
}

#[test]
fn reserved_indices_in_a_handle() {
    for at in [8, 12] {
        let mut body = [1; 16];
        body[at..at + 4].copy_from_slice(&255_u32.to_be_bytes());
        assert_eq!(Handle::parse(&body), Err(Error::Value("index in a handle")));
    }
}

#[test]
fn error_detail_by_hand() {
    let info = [0, 8, b'K', b'D', b'C'];
    let detail = ErrorDetail { code: DetailCode::KDC_UNAVAILABLE, text: "KDC".into() };
    assert_eq!(ErrorDetail::parse(&info), Ok(detail.clone()));
    assert_eq!(detail.emit(), info);
    assert_eq!(ErrorDetail::parse(&[0]), Err(Error::Truncated));
    assert_eq!(ErrorDetail::parse(&[0, 8]).unwrap().text, "");
    assert_eq!(ErrorDetail::parse(&[0, 8, 0xff]), Err(Error::Value("error detail")));
    assert!(ErrorDetail::parse(&[b'x'; 202]).is_ok());
    assert_eq!(ErrorDetail::parse(&[b'x'; 203]), Err(Error::Length("error detail")));
}

fn key2(key: &[u8]) -> AssociationInfo<'_> {
    AssociationInfo {
        mode: Mode::KEY,
        inbound: Spi(0x0001_0203),
        outbound: Spi(0x0405_0607),
        protocol: 2,
        transform: 20,
        key_bits: 256,
        lifetime: 600,
        key,
        own: "fa@v",
        peer: "ha@h",
    }
}

#[test]
fn association_by_hand() {
    let mut bytes = vec![1, 0, 1, 2, 3, 4, 5, 6, 7, 2, 0, 20, 1, 0, 0, 0, 2, 0x58, 0, 32];
    bytes.extend([9; 32]);
    bytes.extend(b"\x04fa@v\x04ha@h");
    let mut w = Writer::default();
    key2(&[9; 32]).emit(&mut w).unwrap();
    assert_eq!(w.bytes(), bytes);
    assert_eq!(key2(&[9; 32]).len(), bytes.len());
    let mut r = Reader::new(&bytes);
    assert!(AssociationInfo::parse(&mut r).unwrap() == key2(&[9; 32]));
    assert!(r.is_empty());
    for n in 0..bytes.len() {
        assert!(AssociationInfo::parse(&mut Reader::new(&bytes[..n])).is_err(), "{n} bytes");
    }
}

#[test]
fn associations_follow_each_other() {
    let mut w = Writer::default();
    key2(&[1; 32]).emit(&mut w).unwrap();
    key2(&[2; 16]).emit(&mut w).unwrap();
    let mut r = Reader::new(w.bytes());
    assert_eq!(AssociationInfo::parse(&mut r).map(|i| i.key).unwrap(), [1; 32]);
    assert_eq!(AssociationInfo::parse(&mut r).map(|i| i.key).unwrap(), [2; 16]);
    assert!(r.is_empty());
}

#[test]
fn associations_that_cannot_be() {
    let mut w = Writer::default();
    key2(&[9; 32]).emit(&mut w).unwrap();
    let changed = |at: usize, value: u8| {
        let mut bytes = w.bytes().to_vec();
        bytes[at] = value;
        AssociationInfo::parse(&mut Reader::new(&bytes)).map(|_| ())
    };
    for at in [1, 5] {
        let mut bytes = w.bytes().to_vec();
        bytes[at..at + 4].copy_from_slice(&255_u32.to_be_bytes());
        let parsed = AssociationInfo::parse(&mut Reader::new(&bytes)).map(|_| ());
        assert_eq!(parsed, Err(Error::Value("index in a security association")));
    }
    assert_eq!(changed(52, 0), Err(Error::Length("name")));
    assert_eq!(changed(53, 0xff), Err(Error::Value("name")));
    assert_eq!(changed(18, 0xff), Err(Error::Truncated));
    assert!(key2(&vec![0; 65_536]).emit(&mut Writer::default()).is_err());
}

#[test]
fn names_of_the_registry() {
    let contents = [association_between::MN_FA, association_between::FA_HA, association_between::MN_HA];
    assert_eq!(contents, [0, 1, 2]);
    let subtypes = [
        Subtype::NAI,
        Subtype::IP,
        Subtype::LAYER_2,
        Subtype::ASSOCIATION,
        Subtype::NEGOTIATION,
        Subtype::AGENT_HEARD,
        Subtype::ERROR_DETAIL,
        Subtype::HANDLE,
        Subtype::KEY_SHARE,
        Subtype::COOKIE,
    ];
    assert!(subtypes.iter().zip(1..).all(|(subtype, number)| subtype.0 == number));
}
