//! Registration messages: fixed parts, extensions, both parts of a whole message.

use wire::{
    Writer,
    mip::{
        extension::{self, Extension, UdpTunnelReply, UdpTunnelRequest},
        ours::{DOCUMENTATION_VENDOR, Numbers},
        part::{Held, Part, Parts},
        registration::{Reply, Request},
    },
};

/// The fixed part of a registration request.
pub fn registration_request(data: &[u8]) {
    if let Ok(request) = Request::parse(data) {
        let mut w = Writer::default();
        request.emit(&mut w);
        assert_eq!(w.bytes(), &data[..Request::LEN]);
    }
}

/// The fixed part of a registration reply.
pub fn registration_reply(data: &[u8]) {
    if let Ok(reply) = Reply::parse(data) {
        let mut w = Writer::default();
        reply.emit(&mut w);
        assert_eq!(w.bytes(), &data[..Reply::LEN]);
    }
}

/// A run of extensions without a fixed part before it.
pub fn extensions(data: &[u8]) {
    let Ok(found) = extension::walk(data, 0) else {
        return;
    };
    assert!(found.len() <= extension::MAX_EXTENSIONS);
    let mut at = 0;
    for e in &found {
        assert!(data[at..e.offset].iter().all(|b| *b == 0), "only padding is passed over");
        assert_eq!(again(e), &data[e.offset..e.end()]);
        at = e.end();
        known(e);
    }
    assert!(data[at..].iter().all(|b| *b == 0));
}

fn again(e: &Extension<'_>) -> Vec<u8> {
    let mut w = Writer::default();
    match e.header {
        2 => extension::put(&mut w, e.kind, e.data).expect("it came with an 8-bit length"),
        _ => {
            let length = u16::try_from(e.data.len()).expect("it came with a 16-bit length");
            w.u8(e.kind).u8(e.subtype).u16(length).put(e.data);
        }
    }
    w.into_bytes()
}

fn known(e: &Extension<'_>) {
    if let Ok(authentication) = e.authentication() {
        assert!(authentication.authenticator.len() >= 16);
        assert_eq!(authentication.covered + authentication.authenticator.len(), e.end());
    }
    if e.kind == extension::UDP_TUNNEL_REQUEST
        && let Ok(request) = UdpTunnelRequest::parse(e.data)
    {
        let mut w = Writer::default();
        request.emit(&mut w);
        assert_eq!(UdpTunnelRequest::parse(&w.bytes()[2..]), Ok(request));
    }
    if e.kind == extension::UDP_TUNNEL_REPLY
        && let Ok(reply) = UdpTunnelReply::parse(e.data)
    {
        let mut w = Writer::default();
        reply.emit(&mut w);
        assert_eq!(UdpTunnelReply::parse(&w.bytes()[2..]), Ok(reply));
    }
}

/// A whole registration request or reply.
pub fn parts(data: &[u8]) {
    let fixed = match data.first() {
        Some(1) => Request::LEN,
        Some(3) => Reply::LEN,
        _ => return,
    };
    let Ok(parts) = Parts::parse(data, fixed, DOCUMENTATION_VENDOR) else {
        return;
    };
    assert!(data.starts_with(parts.mobile_bytes()));
    assert!(parts.mobile_home.covered < parts.mobile_end);
    assert_eq!(parts.covered(&parts.mobile_home).len(), parts.mobile_home.covered);
    if let Some(foreign_home) = parts.foreign_home {
        assert!(foreign_home.covered > parts.mobile_end);
        assert_eq!(foreign_home.covered + foreign_home.authenticator.len(), data.len());
    }
    for held in held(&parts.mobile).chain(held(&parts.foreign)) {
        let header = match held.numbers {
            Numbers::Vendor(_) => 16,
            Numbers::Experimental => 10,
        };
        let additional = parts.additional(held);
        assert_eq!(additional.len(), fixed + header);
        assert!(additional.starts_with(&data[..fixed]));
        assert_eq!(additional[additional.len() - 4..], held.protected.spi.0.to_be_bytes());
    }
}

fn held<'p, 'a>(part: &'p Part<'a>) -> impl Iterator<Item = &'p Held<'a>> {
    let single = [&part.nai, &part.ip, &part.layer_2, &part.error_detail];
    single.into_iter().flatten().chain(&part.associations)
}
