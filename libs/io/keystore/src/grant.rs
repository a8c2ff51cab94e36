//! The keys of a grant in one column: by name only, never the keys themselves.

use record::{AssociationKind, GrantKey};
use wire::{Reader, Writer, mip::Spi};

/// Octets of one: kind, both indices, fingerprint.
const LENGTH: usize = 17;

pub(crate) fn pack(keys: &[GrantKey]) -> Vec<u8> {
    let mut w = Writer::with_capacity(keys.len() * LENGTH);
    for key in keys {
        w.u8(key.kind.number()).u32(key.first.0).u32(key.second.0).u64(key.fingerprint);
    }
    w.into_bytes()
}

/// `None` if it is not what [`pack`] makes.
pub(crate) fn unpack(packed: &[u8]) -> Option<Vec<GrantKey>> {
    let mut r = Reader::new(packed);
    let mut keys = Vec::with_capacity(packed.len() / LENGTH);
    while !r.is_empty() {
        keys.push(GrantKey {
            kind: AssociationKind::from_number(r.u8().ok()?)?,
            first: Spi(r.u32().ok()?),
            second: Spi(r.u32().ok()?),
            fingerprint: r.u64().ok()?,
        });
    }
    Some(keys)
}
