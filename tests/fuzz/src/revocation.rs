//! Revocations, their acknowledgements and extension 137.

use wire::{
    Writer,
    mip::{
        ours::DOCUMENTATION_VENDOR,
        revocation::{Acknowledgement, Message, Revocation, Support},
    },
};

/// A whole revocation or acknowledgement. Reserved bits come out as zero.
pub fn revocation(data: &[u8]) {
    let mut w = Writer::default();
    let fixed = if let Ok(revocation) = Revocation::parse(data) {
        revocation.emit(&mut w);
        assert_eq!(Revocation::parse(w.bytes()), Ok(revocation));
        Revocation::LEN
    } else if let Ok(acknowledgement) = Acknowledgement::parse(data) {
        acknowledgement.emit(&mut w);
        assert_eq!(Acknowledgement::parse(w.bytes()), Ok(acknowledgement));
        Acknowledgement::LEN
    } else {
        return;
    };
    assert_eq!((w.len(), &w.bytes()[4..]), (fixed, &data[4..fixed]));
    let Ok(message) = Message::parse(data, fixed, DOCUMENTATION_VENDOR) else {
        return;
    };
    let claim = message.authentication;
    assert_eq!(claim.covered + claim.authenticator.len(), data.len());
    assert_eq!(message.covered(), &data[..claim.covered]);
    if let Some(held) = &message.ip {
        let additional = message.additional(held);
        assert!(additional.starts_with(&data[..fixed]));
        assert_eq!(additional.len(), fixed + held.numbers.protected_header());
        assert_eq!(additional[additional.len() - 4..], held.protected.spi.0.to_be_bytes());
    }
}

/// The data of extension 137.
pub fn revocation_support(data: &[u8]) {
    if let Ok(support) = Support::parse(data) {
        let mut w = Writer::default();
        support.emit(&mut w);
        // The reserved bits are gone, the time stands.
        assert_eq!((w.bytes()[2], w.bytes()[3]), (data[0] & 0x80, 0));
        assert_eq!(w.bytes()[4..], data[2..6]);
    }
}
