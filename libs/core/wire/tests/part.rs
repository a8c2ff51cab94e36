//! Whole registration messages taken apart: both parts in any order, nothing twice, nothing behind 34.
#![allow(clippy::unwrap_used, reason = "tests")]

use wire::{
    Error, Writer,
    mip::{
        Spi,
        extension::{
            self, DELIVERY_STYLE, Extension, FA_HA_AUTHENTICATION, MN_FA_AUTHENTICATION, MN_FA_CHALLENGE,
            MN_HA_AUTHENTICATION, MN_NAI, UdpTunnelReply, UdpTunnelRequest,
        },
        ours::{self, AgentHeard, DOCUMENTATION_VENDOR, Handle, Numbers, Protected, Subtype},
        part::Parts,
    },
};

const VENDOR: u32 = DOCUMENTATION_VENDOR;
const FIXED: usize = 24;

type Piece = (&'static str, Vec<u8>);

fn piece(name: &'static str, build: impl FnOnce(&mut Writer)) -> Piece {
    let mut w = Writer::default();
    build(&mut w);
    (name, w.into_bytes())
}

fn authentication(kind: u8) -> Vec<u8> {
    let mut w = Writer::default();
    extension::open_authentication(&mut w, kind, Spi(1000), 32);
    w.put(&[kind; 32]);
    w.into_bytes()
}

fn protected(name: &'static str, numbers: Numbers, subtype: Subtype) -> Piece {
    piece(name, |w| {
        let info = &[9; 40];
        Protected { content: 0, sealed: true, spi: Spi(4711), info }.emit(w, numbers, subtype).unwrap();
    })
}

/// Everything that a mobile node may put before 32.
fn mobile_pieces() -> Vec<Piece> {
    let numbers = Numbers::Vendor(VENDOR);
    vec![
        piece("131", |w| extension::put(w, MN_NAI, b"@home.example").unwrap()),
        protected("NAI", numbers, Subtype::NAI),
        protected("IP", numbers, Subtype::IP),
        protected("layer 2", numbers, Subtype::LAYER_2),
        protected("error detail", numbers, Subtype::ERROR_DETAIL),
        piece("agent heard", |w| {
            AgentHeard { challenge: &[1; 8], agent: "fa@v" }.emit(w, numbers).unwrap();
        }),
        piece("144", |w| {
            UdpTunnelRequest { forced: true, through_foreign_agent: false, encapsulation: 4 }.emit(w);
        }),
        piece("44", |w| {
            UdpTunnelReply { code: 0, forced: false, keepalive: 110 }.emit(w);
        }),
    ]
}

/// Everything that may stand between 32 and 34.
fn foreign_pieces() -> Vec<Piece> {
    let numbers = Numbers::Vendor(VENDOR);
    vec![
        protected("NAI", numbers, Subtype::NAI),
        protected("IP", numbers, Subtype::IP),
        piece("handle", |w| {
            Handle { handle: 7, key2: Spi(300), key3: Spi(301) }.emit(w, numbers).unwrap();
        }),
        piece("130", |w| extension::put(w, DELIVERY_STYLE, &[]).unwrap()),
        piece("132", |w| extension::put(w, MN_FA_CHALLENGE, &[1; 8]).unwrap()),
        ("33", authentication(MN_FA_AUTHENTICATION)),
    ]
}

fn assemble(mobile: &[Piece], foreign: &[Piece]) -> Vec<u8> {
    let mut bytes = vec![1; FIXED];
    bytes.extend(mobile.iter().flat_map(|p| &p.1));
    bytes.extend(authentication(MN_HA_AUTHENTICATION));
    bytes.extend(foreign.iter().flat_map(|p| &p.1));
    bytes.extend(authentication(FA_HA_AUTHENTICATION));
    bytes
}

fn parse(bytes: &[u8]) -> Result<Parts<'_>, Error> {
    Parts::parse(bytes, FIXED, VENDOR)
}

fn check_all_present(parts: &Parts<'_>) {
    let (mobile, foreign) = (&parts.mobile, &parts.foreign);
    assert_eq!(mobile.clear_nai, Some(&b"@home.example"[..]));
    assert!(mobile.nai.is_some() && mobile.ip.is_some() && mobile.layer_2.is_some());
    assert!(mobile.error_detail.is_some() && mobile.agent_heard.is_some());
    assert!(mobile.udp_request.is_some() && mobile.udp_reply.is_some());
    assert!(foreign.nai.is_some() && foreign.ip.is_some() && foreign.delivery_style);
    assert_eq!(foreign.handle, Some(Handle { handle: 7, key2: Spi(300), key3: Spi(301) }));
    assert_eq!(foreign.challenge, Some(&[1; 8][..]));
    assert_eq!(foreign.mobile_foreign.unwrap().authenticator, [33; 32]);
    assert!(mobile.understood() && foreign.understood());
    assert_eq!(parts.mobile_home.authenticator, [32; 32]);
    assert_eq!(parts.foreign_home.unwrap().authenticator, [34; 32]);
}

#[test]
fn any_order_within_a_part() {
    let (mut mobile, mut foreign) = (mobile_pieces(), foreign_pieces());
    for _ in 0..mobile.len() * foreign.len() {
        let bytes = assemble(&mobile, &foreign);
        check_all_present(&parse(&bytes).unwrap());
        mobile.rotate_left(1);
        foreign.rotate_left(1);
        mobile.swap(0, 3);
        foreign.swap(1, 4);
    }
}

#[test]
fn each_extension_at_most_once_in_a_part() {
    for repeated in mobile_pieces() {
        let mut mobile = mobile_pieces();
        mobile.push(repeated.clone());
        let error = parse(&assemble(&mobile, &[])).unwrap_err();
        assert!(matches!(error, Error::Misplaced(_)), "{}: {error}", repeated.0);
    }
    for repeated in foreign_pieces() {
        let mut foreign = foreign_pieces();
        foreign.push(repeated.clone());
        let error = parse(&assemble(&[], &foreign)).unwrap_err();
        assert!(matches!(error, Error::Misplaced(_)), "{}: {error}", repeated.0);
    }
}

#[test]
fn security_associations_may_repeat() {
    let sa = || protected("association", Numbers::Vendor(VENDOR), Subtype::ASSOCIATION);
    let bytes = assemble(&[sa(), sa()], &[sa(), sa(), sa()]);
    let parts = parse(&bytes).unwrap();
    assert_eq!((parts.mobile.associations.len(), parts.foreign.associations.len()), (2, 3));
}

#[test]
fn authentications_stand_where_they_belong() {
    let piece = |kind| ("authentication", authentication(kind));
    for kind in [MN_FA_AUTHENTICATION, FA_HA_AUTHENTICATION] {
        let bytes = assemble(&[piece(kind)], &[]);
        assert_eq!(parse(&bytes).unwrap_err(), Error::Misplaced(kind));
    }
    let second_32 = assemble(&[], &[piece(MN_HA_AUTHENTICATION)]);
    assert_eq!(parse(&second_32).unwrap_err(), Error::Misplaced(MN_HA_AUTHENTICATION));
    let mut after_34 = assemble(&[], &[]);
    after_34.extend([200, 0]);
    assert_eq!(parse(&after_34).unwrap_err(), Error::Misplaced(200));
    let mut padded = assemble(&[], &[]);
    padded.push(0);
    assert_eq!(parse(&padded).unwrap_err(), Error::Trailing);
    let without_32 = [&[1; FIXED][..], &authentication(FA_HA_AUTHENTICATION)].concat();
    assert_eq!(parse(&without_32).unwrap_err(), Error::Value("no mobile-home authentication"));
}

#[test]
fn what_each_authentication_covers() {
    let bytes = assemble(&mobile_pieces(), &foreign_pieces());
    let parts = parse(&bytes).unwrap();
    assert_eq!(parts.mobile_bytes(), &bytes[..parts.mobile_end]);
    assert_eq!(parts.covered(&parts.mobile_home), &bytes[..parts.mobile_end - 32]);
    assert_eq!(parts.covered(&parts.foreign_home.unwrap()), &bytes[..bytes.len() - 32]);
    assert_eq!(bytes[parts.mobile_end - 38], MN_HA_AUTHENTICATION);
}

#[test]
fn additional_data_is_the_fixed_part_and_the_header_through_the_spi() {
    for numbers in [Numbers::Vendor(VENDOR), Numbers::Experimental] {
        let bytes = assemble(&[protected("NAI", numbers, Subtype::NAI)], &[]);
        let parts = parse(&bytes).unwrap();
        let additional = parts.additional(&parts.mobile.nai.unwrap());
        assert_eq!(additional, bytes[..FIXED + numbers.protected_header()]);
        assert_eq!(additional[additional.len() - 4..], 4711_u32.to_be_bytes());
    }
}

#[test]
fn unknown_by_the_rule() {
    let skippable = assemble(&[("unknown", vec![250, 1, 7])], &[("unknown", vec![250, 1, 7])]);
    assert!(parse(&skippable).unwrap().mobile.understood());
    let critical = assemble(&[], &[("unknown", vec![99, 0])]);
    assert_eq!(parse(&critical).unwrap_err(), Error::UnknownCritical(99));
}

#[test]
fn unknown_sub_types_and_other_vendors_are_noted() {
    for subtype in [Subtype(11), Subtype(0x7fff)] {
        let unknown = piece("unknown", |w| {
            ours::put(w, Numbers::Vendor(VENDOR), subtype, &[1, 2, 3]).unwrap();
        });
        let bytes = assemble(&[unknown], &[]);
        let parts = parse(&bytes).unwrap();
        assert_eq!(parts.mobile.not_understood, Some(subtype));
        assert!(!parts.mobile.understood() && parts.foreign.understood());
    }
    let other = protected("other vendor", Numbers::Vendor(VENDOR + 1), Subtype::NAI);
    let bytes = assemble(&[], &[other]);
    let parts = parse(&bytes).unwrap();
    assert!(parts.foreign.nai.is_none() && parts.foreign.foreign_vendor && !parts.foreign.understood());
}

/// RFC 3519: with another sub-type, or reserved bytes that are set, the extension counts as unknown.
#[test]
fn a_udp_tunnel_request_of_the_future_is_skipped() {
    for data in [[1, 0, 0x80, 4, 0, 0], [0, 0, 0x80, 4, 0, 1]] {
        let request = piece("144", |w| extension::put(w, 144, &data).unwrap());
        let bytes = assemble(&[request], &[]);
        let parts = parse(&bytes).unwrap();
        assert!(parts.mobile.udp_request.is_none() && parts.mobile.understood());
    }
    let short = piece("144", |w| extension::put(w, 144, &[0, 0, 0x80]).unwrap());
    assert_eq!(parse(&assemble(&[short], &[])).unwrap_err(), Error::Truncated);
}

#[test]
fn one_numbering_in_a_part() {
    let vendor = protected("NAI", Numbers::Vendor(VENDOR), Subtype::NAI);
    let experimental = protected("IP", Numbers::Experimental, Subtype::IP);
    let mixed = assemble(&[vendor.clone(), experimental.clone()], &[]);
    assert_eq!(parse(&mixed).unwrap_err(), Error::Value("two numberings in one part"));
    let bytes = assemble(&[vendor], &[experimental]);
    let parts = parse(&bytes).unwrap();
    assert_eq!(parts.mobile.numbers, Some(Numbers::Vendor(VENDOR)));
    assert_eq!(parts.foreign.numbers, Some(Numbers::Experimental));
}

/// A cut is noticed unless it falls between two extensions behind 32; what is left then is the same message
/// without 34.
#[test]
fn truncated_at_every_length() {
    let bytes = assemble(&mobile_pieces(), &foreign_pieces());
    let whole = parse(&bytes).unwrap();
    let mut ends: Vec<_> = extension::walk(&bytes, FIXED).unwrap().iter().map(Extension::end).collect();
    ends.retain(|end| *end >= whole.mobile_end);
    for n in 0..bytes.len() {
        let cut = parse(&bytes[..n]);
        assert_eq!(cut.is_ok(), ends.contains(&n), "{n} bytes");
        if let Ok(cut) = cut {
            assert_eq!(cut.mobile_bytes(), whole.mobile_bytes());
            assert!(cut.foreign_home.is_none());
        }
    }
}

/// Whatever one byte becomes, the parser returns and what it says is covered lies within the message.
#[test]
fn every_byte_changed() {
    let bytes = assemble(&mobile_pieces(), &foreign_pieces());
    for at in FIXED..bytes.len() {
        for change in [1, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= change;
            if let Ok(parts) = parse(&damaged) {
                assert!(parts.mobile_end <= damaged.len());
                assert!(parts.mobile_home.covered < parts.mobile_end);
                for held in parts.mobile.nai.iter().chain(&parts.mobile.ip).chain(&parts.foreign.nai) {
                    assert!(parts.additional(held).len() > FIXED);
                }
            }
        }
    }
}

/// 36 (RFC 4721 section 6) stands behind 32 of a request, once, and nowhere else.
#[test]
fn no_reply_has_36() {
    let generalized = |subtype: u8| [&[36, subtype, 0, 20, 0, 0, 3, 0][..], &[9; 16]].concat();
    let message = |fixed: usize, pieces: &[Vec<u8>]| [vec![0; fixed], pieces.concat()].concat();
    let own = || authentication(MN_HA_AUTHENTICATION);
    let good = message(FIXED, &[own(), generalized(1)]);
    let parts = Parts::parse(&good, FIXED, VENDOR).unwrap();
    let claim = parts.foreign.mobile_aaa.unwrap();
    assert_eq!((claim.spi, claim.covered, claim.authenticator), (Spi(768), good.len() - 16, &[9; 16][..]));
    for (bytes, fixed, error) in [
        (message(20, &[own(), generalized(1)]), 20, Error::Misplaced(36)),
        (message(FIXED, &[generalized(1), own()]), FIXED, Error::Misplaced(36)),
        (message(FIXED, &[own(), generalized(1), generalized(1)]), FIXED, Error::Misplaced(36)),
        (message(FIXED, &[own(), generalized(2)]), FIXED, Error::UnknownCritical(36)),
        (message(FIXED, &[own(), generalized(1)[..7].to_vec()]), FIXED, Error::Truncated),
    ] {
        assert_eq!(Parts::parse(&bytes, fixed, VENDOR).unwrap_err(), error);
    }
    let short = [&[36, 1, 0, 19, 0, 0, 3, 0][..], &[9; 15]].concat();
    let short = message(FIXED, &[own(), short]);
    assert_eq!(Parts::parse(&short, FIXED, VENDOR).unwrap_err(), Error::Length("authenticator"));
}
