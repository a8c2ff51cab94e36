//! Our own extensions, their bodies, and what is sealed in them.

use wire::{
    Reader, Writer,
    mip::{
        extension,
        ours::{
            self, AgentHeard, AssociationInfo, ErrorDetail, Handle, Numbers, Protected, SealedLayer2,
            SealedNai, Subtype,
        },
        registration::Reply,
        share::{Cookie, KeyShare},
    },
    negotiation::{Drawing, Negotiation, Tree},
};

const EXPERIMENTAL: Numbers = Numbers::Experimental;
/// Bytes before the body of an extension in experimental numbering.
const HEADER: usize = 4;

/// A run of extensions, among them ours.
pub fn ours(data: &[u8]) {
    let Ok(found) = extension::walk(data, 0) else {
        return;
    };
    for e in &found {
        if let Ok(Some(ours)) = ours::parse(e) {
            let mut w = Writer::default();
            ours::put(&mut w, ours.numbers, ours.subtype, ours.body).expect("it was parsed");
            assert_eq!(w.bytes(), &data[e.offset..e.end()]);
        }
    }
}

/// The body of an extension with content-type, flag and SPI.
pub fn protected(data: &[u8]) {
    if let Ok(protected) = Protected::parse(data) {
        let mut w = Writer::default();
        if protected.emit(&mut w, EXPERIMENTAL, Subtype::NAI).is_ok() {
            assert_eq!(&w.bytes()[HEADER..], data);
        }
    }
}

/// What is sealed as a NAI.
pub fn sealed_nai(data: &[u8]) {
    if let Ok(nai) = SealedNai::parse(data) {
        assert_eq!(nai.emit().as_deref(), Ok(data));
    }
}

/// What is sealed as a layer 2 address.
pub fn sealed_layer_2(data: &[u8]) {
    if let Ok(address) = SealedLayer2::parse(data) {
        assert_eq!(address.emit().as_deref(), Ok(data));
    }
}

/// What is sealed as an IP address.
pub fn ip_info(data: &[u8]) {
    if let Ok(address) = ours::parse_ip(data) {
        assert_eq!(address.octets(), data);
    }
}

/// The body of agent heard.
pub fn agent_heard(data: &[u8]) {
    if let Ok(heard) = AgentHeard::parse(data) {
        let mut w = Writer::default();
        heard.emit(&mut w, EXPERIMENTAL).expect("it was parsed");
        assert_eq!(&w.bytes()[HEADER..], data);
    }
}

/// The body of a handle.
pub fn handle(data: &[u8]) {
    if let Ok(handle) = Handle::parse(data) {
        let mut w = Writer::default();
        handle.emit(&mut w, EXPERIMENTAL).expect("it was parsed");
        assert_eq!(&w.bytes()[HEADER..], data);
    }
}

/// The body of a key share.
pub fn key_share(data: &[u8]) {
    if let Ok(share) = KeyShare::parse(data) {
        let mut w = Writer::default();
        share.emit(&mut w, EXPERIMENTAL).expect("it was parsed");
        assert_eq!(&w.bytes()[HEADER..], data);
    }
}

/// The body of a negotiation, its trees, and their drawing.
pub fn negotiation(data: &[u8]) {
    let Ok(negotiation) = Negotiation::parse(data) else {
        return;
    };
    assert_eq!(negotiation.body(), data);
    let Ok(trees) = negotiation.trees() else {
        return;
    };
    let again = Negotiation::emit(negotiation.round, &negotiation.digest, &trees);
    assert_eq!(again.as_deref(), Ok(data));
    let lines: usize = trees.iter().map(lines).sum();
    assert_eq!(Drawing(&trees).to_string().lines().count(), lines);
}

/// One line for the tree and one for each of its alternatives, proposals, transforms and key exchanges.
fn lines(tree: &Tree<'_>) -> usize {
    let proposals = tree.proposals.iter().map(|p| 1 + p.transforms.len() + p.exchanges.len());
    1 + tree.alternatives().count() + proposals.sum::<usize>()
}

/// The body of a cookie.
pub fn cookie(data: &[u8]) {
    if let Ok(cookie) = Cookie::parse(data) {
        assert_eq!(cookie.0, data);
    }
}

/// A reply that only asks for a cookie.
pub fn cookie_reply(data: &[u8]) {
    if let Some((cookie, numbers)) = Cookie::alone_in(data, ours::DOCUMENTATION_VENDOR) {
        let mut w = Writer::default();
        cookie.emit(&mut w, numbers).expect("it was parsed");
        // Padding may stand on both sides.
        assert!(data[Reply::LEN..].windows(w.len()).any(|extension| extension == w.bytes()));
    }
}

/// What is sealed as error detail.
pub fn error_detail(data: &[u8]) {
    if let Ok(detail) = ErrorDetail::parse(data) {
        assert_eq!(detail.emit(), data);
    }
}

/// SA info: entries one after the other, and the one entry that agents take.
pub fn association_info(data: &[u8]) {
    let mut r = Reader::new(data);
    let mut again = Writer::default();
    while !r.is_empty() {
        let Ok(entry) = AssociationInfo::parse(&mut r) else {
            return;
        };
        let before = again.len();
        entry.emit(&mut again).expect("it was parsed");
        assert_eq!(again.len() - before, entry.len());
    }
    assert_eq!(again.bytes(), data);
    for content_type in 0..=3 {
        if let Ok(info) = sa::open_keys(content_type, data) {
            let (content, plain) = sa::key_extension(&info).expect("it was parsed");
            assert_eq!((content, plain.as_slice()), (content_type, data));
        }
    }
}
