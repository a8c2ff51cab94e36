//! Notices that a registration is to be renewed.

use wire::{
    Writer,
    mip::notice::{Message, Notice},
};

/// A whole notice.
pub fn notice(data: &[u8]) {
    let Ok(message) = Message::parse(data) else {
        return;
    };
    let mut w = Writer::default();
    message.notice.emit(&mut w);
    assert_eq!((w.len(), w.bytes()), (Notice::LEN, &data[..Notice::LEN]));
    let claim = message.authentication;
    assert_eq!(claim.covered + claim.authenticator.len(), data.len());
    assert_eq!(message.covered(), &data[..claim.covered]);
}
