//! Sealing of keys in rows.
//!
//! The key-encryption key seals nothing itself: each place in the database has a key derived from it, so
//! that random nonces meet under one key only when one row is rewritten, however many rows there are.

use std::net::Ipv4Addr;

use crypto::{Cipher, Key, Rng, aead, kdf};
use record::{Association, RealmKey, RetiringKey, Suite};
use zeroize::Zeroizing;

/// Where a sealed value stands: table, column and row, each with its length before it.
pub(crate) struct Place(Vec<u8>);

impl Place {
    fn new(table: &str, column: &str) -> Self {
        let mut place = Self(Vec::with_capacity(96));
        kdf::length_prefixed(&mut place.0, table.as_bytes());
        kdf::length_prefixed(&mut place.0, column.as_bytes());
        place
    }

    fn with(mut self, part: &[u8]) -> Self {
        kdf::length_prefixed(&mut self.0, part);
        self
    }

    /// KEY 0 of a subscriber.
    pub(crate) fn key0(nai: &str) -> Self {
        Self::new("subscribers", "sealed_key0").with(nai.as_bytes())
    }

    /// KEY 0 of a subscriber before its last rotation. Index, generation and end belong to the place: an edit of
    /// the row must not lengthen what was promised to end.
    pub(crate) fn retiring_key0(nai: &str, of: &RetiringKey) -> Self {
        Self::new("subscribers", "sealed_retiring_key0")
            .with(nai.as_bytes())
            .with(&of.spi.0.to_be_bytes())
            .with(&of.generation.to_be_bytes())
            .with(&of.ends.to_be_bytes())
    }

    /// The private half of a key of the realm.
    pub(crate) fn realm_key(of: &RealmKey) -> Self {
        let ends = of.ends.map(u64::to_be_bytes);
        Self::new("realm_keys", "sealed_secret")
            .with(&of.id.0.to_be_bytes())
            .with(ends.as_ref().map_or(&[], |ends| ends))
    }

    /// The key of the association at `position` of what has this home address, or of the binding that has it and a
    /// care-of address. Kind and indices belong to the place as well: a key must not become good for another use by an
    /// edit of its row.
    pub(crate) fn association(table: &str, owner: &[&str], position: i64, of: &Association) -> Self {
        let table = Self::new(table, "sealed_key");
        let place = owner
            .iter()
            .fold(table, |place, part| place.with(part.as_bytes()))
            .with(&position.to_be_bytes())
            .with(&[of.kind.number()])
            .with(&of.inbound.0.to_be_bytes())
            .with(&of.outbound.0.to_be_bytes());
        // As it was before there were others.
        if of.suite == Suite::default() { place } else { place.with(&of.suite.octets()) }
    }

    /// A binding, whole.
    pub(crate) fn binding(home_address: Ipv4Addr, care_of: Ipv4Addr, nai: &str) -> Self {
        Self::new("bindings", "sealed_record")
            .with(&home_address.octets())
            .with(&care_of.octets())
            .with(nai.as_bytes())
    }

    /// Nonce, sealed value and tag: 28 octets more than the value.
    pub(crate) fn seal(&self, key: &Key, rng: &mut Rng, value: &[u8]) -> Vec<u8> {
        aead::seal(Cipher::Aes256Gcm, key, rng, &self.0, value)
    }

    /// The value, `None` if it was sealed elsewhere, under another key, or changed.
    pub(crate) fn open(&self, key: &Key, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        aead::open(Cipher::Aes256Gcm, key, &self.0, sealed).map(Zeroizing::new)
    }

    fn check() -> Self {
        Self::new("key_check", "sealed_value").with(&1_i64.to_be_bytes())
    }
}

/// The key-encryption key and what is done with it.
pub(crate) struct Vault(Key);

impl Vault {
    pub(crate) const fn new(kek: Key) -> Self {
        Self(kek)
    }

    fn key_of(&self, place: &Place) -> Key {
        Key::new(kdf::derive(&self.0, None, "store", &place.0))
    }

    /// The key of a group of rows of one column.
    pub(crate) fn group_key(&self, table: &str, column: &str, group: u32) -> Key {
        self.key_of(&Place::new(table, column).with(&group.to_be_bytes()))
    }

    /// 60 bytes: nonce, sealed key, tag.
    pub(crate) fn seal(&self, rng: &mut Rng, place: &Place, key: &Key) -> Vec<u8> {
        aead::seal(Cipher::Aes256Gcm, &self.key_of(place), rng, &place.0, key.expose())
    }

    /// The key, `None` if it was sealed elsewhere, under another key-encryption key, or changed.
    pub(crate) fn open(&self, place: &Place, sealed: &[u8]) -> Option<Key> {
        let plain =
            aead::open(Cipher::Aes256Gcm, &self.key_of(place), &place.0, sealed).map(Zeroizing::new)?;
        Key::from_slice(&plain)
    }

    /// A value that only the same key-encryption key accepts.
    pub(crate) fn seal_check(&self, rng: &mut Rng) -> Vec<u8> {
        self.seal(rng, &Place::check(), &Key::new([0; Key::LEN]))
    }

    /// True if [`Self::seal_check`] made the value under the same key-encryption key.
    pub(crate) fn accepts(&self, sealed: &[u8]) -> bool {
        self.open(&Place::check(), sealed).is_some()
    }
}

#[cfg(test)]
mod tests {
    use record::AssociationKind;
    use wire::mip::Spi;

    use super::*;

    fn association() -> Association {
        Association {
            kind: AssociationKind::Key1,
            inbound: Spi(600),
            outbound: Spi(601),
            suite: Suite::default(),
            key: Key::new([9; 32]),
            own: "ha@home.example".into(),
            peer: "traveller-one@home.example".into(),
            made: 1,
            ends: 2,
            confirmed: false,
            retires: None,
        }
    }

    #[test]
    fn a_sealed_key_opens_in_its_place_only() {
        let vault = Vault::new(Key::new([1; 32]));
        let mut rng = Rng::from_seed([2; 32]);
        let of = association();
        let owner = ["10.11.1.50", "10.51.1.2"];
        let place = || Place::association("binding_associations", &owner, 0, &of);
        let sealed = vault.seal(&mut rng, &place(), &of.key);
        assert!(vault.open(&place(), &sealed) == Some(of.key.duplicate()));
        let mut other = association();
        other.kind = AssociationKind::Key2;
        let mut index = association();
        index.outbound = Spi(602);
        for elsewhere in [
            Place::association("visitor_associations", &owner, 0, &of),
            Place::association("binding_associations", &["10.11.1.51", "10.51.1.2"], 0, &of),
            Place::association("binding_associations", &["10.11.1.50", "10.52.1.2"], 0, &of),
            Place::association("binding_associations", &["10.11.1.50"], 0, &of),
            Place::association("binding_associations", &owner, 1, &of),
            Place::association("binding_associations", &owner, 0, &other),
            Place::association("binding_associations", &owner, 0, &index),
            Place::key0("10.11.1.50"),
            Place::retiring_key0("10.11.1.50", &retiring(3)),
            Place::realm_key(&realm_key(None)),
        ] {
            assert!(vault.open(&elsewhere, &sealed).is_none());
        }
        assert!(Vault::new(Key::new([2; 32])).open(&place(), &sealed).is_none());
        assert_ne!(sealed, vault.seal(&mut rng, &place(), &of.key));
    }

    fn retiring(ends: u64) -> RetiringKey {
        RetiringKey { key0: Key::new([9; 32]), spi: Spi(600), generation: 1, ends }
    }

    fn realm_key(ends: Option<u64>) -> RealmKey {
        RealmKey { id: Spi(256), secret: Key::new([9; 32]), made: 1, ends, change: 1 }
    }

    #[test]
    fn an_edited_end_does_not_open() {
        assert_ne!(Place::retiring_key0("a@b", &retiring(3)).0, Place::retiring_key0("a@b", &retiring(4)).0);
        assert_ne!(Place::realm_key(&realm_key(None)).0, Place::realm_key(&realm_key(Some(0))).0);
        assert_ne!(Place::realm_key(&realm_key(Some(1))).0, Place::realm_key(&realm_key(Some(0))).0);
    }

    #[test]
    fn parts_of_a_place_do_not_run_together() {
        assert_ne!(Place::new("ab", "c").0, Place::new("a", "bc").0);
        assert_ne!(Place::new("a", "b").with(b"").0, Place::new("a", "b").0);
    }
}
