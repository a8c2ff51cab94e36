//! Walking over extensions: good ones, damaged ones, unknown ones, many of them.
#![allow(clippy::unwrap_used, reason = "tests")]

use wire::{
    Error, Writer,
    mip::{
        Spi,
        extension::{
            self, Extension, FA_HA_AUTHENTICATION, MAX_EXTENSIONS, MN_FA_AUTHENTICATION, MN_FA_CHALLENGE,
            MN_HA_AUTHENTICATION, MN_NAI, UdpTunnelReply, UdpTunnelRequest, walk,
        },
    },
};

/// Types with a sub-type and a 16-bit length among those that are understood.
const LONG: [u8; 2] = [38, 127];

/// A message with one of every kind that is understood, behind four bytes of a made-up fixed part.
fn everything() -> Vec<u8> {
    let mut w = Writer::after(vec![1, 2, 3, 4]);
    extension::put(&mut w, MN_NAI, b"@home.example").unwrap();
    w.put(&[38, 0, 0, 8, 0, 0, 0x7e, 0xd9, 0, 6, 0xaa, 0xbb]);
    w.put(&[127, 6, 0, 2, 0xaa, 0xbb]);
    UdpTunnelRequest { forced: false, through_foreign_agent: true, encapsulation: 0 }.emit(&mut w);
    UdpTunnelReply { code: 64, forced: true, keepalive: 0xffff }.emit(&mut w);
    extension::put(&mut w, 130, &[]).unwrap();
    extension::put(&mut w, MN_FA_CHALLENGE, &[7; 8]).unwrap();
    w.u8(0);
    for kind in [MN_HA_AUTHENTICATION, MN_FA_AUTHENTICATION, FA_HA_AUTHENTICATION] {
        extension::open_authentication(&mut w, kind, Spi(0x1234_5678), 32);
        w.put(&[kind; 32]);
    }
    extension::put(&mut w, 200, &[1; 255]).unwrap();
    w.into_bytes()
}

fn again(e: &Extension<'_>) -> Vec<u8> {
    let mut w = Writer::default();
    if LONG.contains(&e.kind) {
        w.u8(e.kind).u8(e.subtype).u16(e.data.len().try_into().unwrap()).put(e.data);
    } else {
        extension::put(&mut w, e.kind, e.data).unwrap();
    }
    w.into_bytes()
}

#[test]
fn extensions_cover_the_message_and_round_trip() {
    let message = everything();
    let found = walk(&message, 4).unwrap();
    let kinds: Vec<_> = found.iter().map(|e| e.kind).collect();
    assert_eq!(kinds, [131, 38, 127, 144, 44, 130, 132, 32, 33, 34, 200]);
    let mut at = 4;
    for e in &found {
        assert!(message[at..e.offset].iter().all(|b| *b == 0), "only padding between extensions");
        assert_eq!(message[e.offset..e.end()], again(e));
        at = e.end();
    }
    assert_eq!(at, message.len());
}

/// A cut is either noticed or leaves a shorter list of the same extensions.
#[test]
fn truncated_at_every_length() {
    let message = everything();
    let whole = walk(&message, 4).unwrap();
    let ends: Vec<_> = whole.iter().map(Extension::end).collect();
    for n in 0..message.len() {
        match walk(&message[..n], 4) {
            Ok(found) => {
                assert!(n == 4 || ends.contains(&n) || message[n - 1] == 0, "{n} bytes");
                assert_eq!(found, whole[..found.len()]);
            }
            Err(error) => assert_eq!(error, Error::Truncated, "{n} bytes"),
        }
    }
}

#[test]
fn every_type_by_the_rule_of_the_rfc() {
    for kind in 1..=255 {
        let bytes = [kind, 0, 0, 0];
        let walked = walk(&bytes, 0);
        match kind {
            1..=127 if !extension::known(kind) => {
                assert_eq!(walked, Err(Error::UnknownCritical(kind)), "type {kind}");
            }
            _ => assert_eq!(walked.unwrap()[0].kind, kind),
        }
    }
}

#[test]
fn a_length_that_reaches_beyond_the_message() {
    for bytes in
        [&[131, 1][..], &[131], &[38, 0, 0, 1], &[38, 0, 0xff, 0xff, 0], &[38, 0, 0], &[38, 0], &[38]]
    {
        assert_eq!(walk(bytes, 0), Err(Error::Truncated), "{bytes:?}");
    }
    assert_eq!(walk(&[0; 3], 4), Err(Error::Truncated));
}

#[test]
fn the_number_of_extensions_is_bounded_and_padding_does_not_count() {
    let mut message = vec![0; 4096 - 2 * MAX_EXTENSIONS];
    message.extend([131, 0].repeat(MAX_EXTENSIONS));
    assert_eq!(walk(&message, 0).unwrap().len(), MAX_EXTENSIONS);
    message.extend([131, 0]);
    assert_eq!(walk(&message, 0), Err(Error::Length("number of extensions")));
}

#[test]
fn data_that_does_not_fit_is_not_written() {
    let mut w = Writer::default();
    assert_eq!(extension::put(&mut w, MN_NAI, &[b'x'; 256]), Err(Error::Length("extension data")));
    assert!(w.is_empty());
}

#[test]
fn authenticators_below_sixteen_bytes_are_refused() {
    for n in 0..40 {
        let message = [&[32, 4 + n][..], &[0, 0, 3, 0xe8], &vec![9; n.into()]].concat();
        let found = walk(&message, 0).unwrap();
        let authentication = found[0].authentication();
        if n < 16 {
            assert_eq!(authentication, Err(Error::Length("authenticator")), "{n} bytes");
        } else {
            let authentication = authentication.unwrap();
            assert_eq!((authentication.spi, authentication.covered), (Spi(1000), 6));
            assert_eq!(authentication.authenticator.len(), usize::from(n));
        }
    }
    let short = walk(&[32, 3, 0, 0, 0], 0).unwrap()[0];
    assert_eq!(short.authentication(), Err(Error::Truncated));
}

#[test]
fn udp_tunnel_extensions_of_every_wrong_length() {
    let request = [0, 0, 0x80, 4, 0, 0, 0];
    let reply = [0, 0, 0x80, 0, 0, 110, 0];
    for n in (0..=7).filter(|n| *n != 6) {
        assert!(UdpTunnelRequest::parse(&request[..n]).is_err(), "{n} bytes");
        assert!(UdpTunnelReply::parse(&reply[..n]).is_err(), "{n} bytes");
    }
    assert!(UdpTunnelRequest::parse(&request[..6]).unwrap().forced);
    assert_eq!(UdpTunnelReply::parse(&reply[..6]).unwrap().keepalive, 110);
}

/// RFC 3519: reserved 1 and 2 are ignored; reserved 3 and another sub-type make the extension unknown.
#[test]
fn udp_tunnel_request_reserved_bits() {
    let wanted = UdpTunnelRequest { forced: true, through_foreign_agent: false, encapsulation: 4 };
    assert_eq!(UdpTunnelRequest::parse(&[0, 0xff, 0xbf, 4, 0, 0]), Ok(wanted));
    for bad in [[1, 0, 0x80, 4, 0, 0], [0, 0, 0x80, 4, 1, 0], [0, 0, 0x80, 4, 0, 1]] {
        assert_eq!(UdpTunnelRequest::parse(&bad), Err(Error::Value("UDP tunnel request")));
    }
    assert_eq!(UdpTunnelReply::parse(&[1, 0, 0, 0, 0, 0]), Err(Error::Value("UDP tunnel reply")));
}

#[test]
fn udp_tunnel_reply_codes() {
    for code in 0..=255 {
        let reply = UdpTunnelReply { code, forced: false, keepalive: 0 };
        assert_eq!(reply.tunnels(), code < 64);
    }
}
