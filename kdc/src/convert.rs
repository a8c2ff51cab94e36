//! Between the values of the core and the messages of the schema; nothing is decided here.

use std::net::Ipv4Addr;

use authority::{Issued, Pair, RealmKeyChange, RealmKeyView, RevokedAssociation, SubscriberView};
use crypto::Cipher;
use proto::kdc;
use record::{AssociationKind, AuditEntry, Grant, GrantKey, Plain, RetiringKey, Subscriber, SubscriberState};
use wire::mip::Spi;

pub(crate) fn cipher_from(number: i32) -> Option<Cipher> {
    match kdc::Cipher::try_from(number).ok()? {
        kdc::Cipher::Unspecified | kdc::Cipher::Aes256Gcm => Some(Cipher::Aes256Gcm),
        kdc::Cipher::Aes128Gcm => Some(Cipher::Aes128Gcm),
        kdc::Cipher::Chacha20Poly1305 => Some(Cipher::ChaCha20Poly1305),
    }
}

pub(crate) fn cipher(cipher: Cipher) -> i32 {
    match cipher {
        Cipher::Aes256Gcm => kdc::Cipher::Aes256Gcm,
        Cipher::Aes128Gcm => kdc::Cipher::Aes128Gcm,
        Cipher::ChaCha20Poly1305 => kdc::Cipher::Chacha20Poly1305,
    }
    .into()
}

fn state(state: SubscriberState) -> i32 {
    match state {
        SubscriberState::Active => kdc::State::Active,
        SubscriberState::Revoked => kdc::State::Revoked,
    }
    .into()
}

fn optional(address: Option<Ipv4Addr>) -> String {
    address.map_or(String::new(), |it| it.to_string())
}

pub(crate) fn pair_from(spis: Option<kdc::Spis>) -> Option<Pair> {
    spis.map(|it| Pair { first: Spi(it.first), second: Spi(it.second) })
}

fn spis(key: &GrantKey) -> kdc::Spis {
    kdc::Spis { first: key.first.0, second: key.second.0 }
}

/// Empty if the home agent assigns one.
fn home_address(address: Ipv4Addr) -> String {
    optional(Some(address).filter(|address| !address.is_unspecified()))
}

/// What a home agent keeps: the only message besides [`enrolment`] with KEY 0.
pub(crate) fn subscriber_record(subscriber: &Subscriber) -> kdc::SubscriberRecord {
    let active = subscriber.state == SubscriberState::Active;
    kdc::SubscriberRecord {
        nai: subscriber.nai.to_string(),
        key0: if active { subscriber.key0.expose().to_vec() } else { Vec::new() },
        spi: subscriber.spi.0,
        cipher: cipher(subscriber.cipher),
        home_address: home_address(subscriber.home_address),
        home_prefix_length: subscriber.home_prefix_length.into(),
        home_agent: subscriber.home_agent.to_string(),
        no_fs: subscriber.no_fs,
        state: state(subscriber.state),
        max_lifetime_s: subscriber.max_lifetime.map_or(0, u32::from),
        one_time: subscriber.one_time,
        generation: subscriber.generation,
        retiring: subscriber.retiring.as_ref().map(retiring),
        plain: subscriber.plain.map(plain),
    }
}

fn retiring(of: &RetiringKey) -> kdc::RetiringKey {
    kdc::RetiringKey {
        key0: of.key0.expose().to_vec(),
        spi: of.spi.0,
        generation: of.generation,
        ends_unix_s: of.ends,
    }
}

const fn plain(of: Plain) -> kdc::Plain {
    kdc::Plain { nonces: of.nonces, md5: of.md5 }
}

pub(crate) const fn plain_from(of: kdc::Plain) -> Plain {
    Plain { nonces: of.nonces, md5: of.md5 }
}

/// The only message with the private half of a key of the realm.
pub(crate) fn realm_key_change(of: &RealmKeyChange) -> kdc::SubscriberChange {
    let record = match of {
        RealmKeyChange::Put(key) => kdc::RealmKeyRecord {
            id: key.id.0,
            secret: key.secret.expose().to_vec(),
            made_unix_s: key.made,
            ends_unix_s: key.ends.unwrap_or(0),
            ended: false,
        },
        RealmKeyChange::Removed { id, .. } => {
            kdc::RealmKeyRecord { id: id.0, ended: true, ..kdc::RealmKeyRecord::default() }
        }
    };
    change(of.change(), kdc::subscriber_change::What::RealmKey(record))
}

pub(crate) fn realm_key(view: &RealmKeyView) -> kdc::RealmKey {
    kdc::RealmKey {
        key: Some(realm_public_key(view)),
        made_unix_s: view.made,
        ends_unix_s: view.ends.unwrap_or(0),
        change: view.change,
    }
}

fn realm_public_key(view: &RealmKeyView) -> kdc::RealmPublicKey {
    kdc::RealmPublicKey { id: view.id.0, public: view.public.to_vec() }
}

pub(crate) fn enrolment(subscriber: &Subscriber, keys: &[RealmKeyView], vendor: u32) -> kdc::Enrolment {
    kdc::Enrolment {
        nai: subscriber.nai.to_string(),
        home_realm: subscriber.nai.realm().to_owned(),
        home_address: home_address(subscriber.home_address),
        home_prefix_length: subscriber.home_prefix_length.into(),
        home_gateway: optional(subscriber.home_gateway),
        home_agent: subscriber.home_agent.to_string(),
        spi: subscriber.spi.0,
        cipher: cipher(subscriber.cipher),
        key0: subscriber.key0.expose().to_vec(),
        vendor,
        one_time: subscriber.one_time,
        no_fs: subscriber.no_fs,
        generation: subscriber.generation,
        realm_keys: keys.iter().map(realm_public_key).collect(),
        plain: subscriber.plain.map(plain),
    }
}

pub(crate) fn subscriber(view: SubscriberView) -> kdc::Subscriber {
    let (retiring_ends_unix_s, retiring_fingerprint) = view.retiring.unwrap_or_default();
    kdc::Subscriber {
        nai: view.nai,
        home_address: home_address(view.home_address),
        home_prefix_length: view.home_prefix_length.into(),
        home_gateway: optional(view.home_gateway),
        home_agent: view.home_agent.to_string(),
        spi: view.spi.0,
        cipher: cipher(view.cipher),
        no_fs: view.no_fs,
        state: state(view.state),
        max_lifetime_s: view.max_lifetime.map_or(0, u32::from),
        change: view.change,
        fingerprint: view.fingerprint,
        one_time: view.one_time,
        generation: view.generation,
        retiring_ends_unix_s,
        retiring_fingerprint,
        plain: view.plain.map(plain),
    }
}

pub(crate) fn association(grant: Grant, unix_s: u64) -> kdc::Association {
    let state = match grant.revoked {
        Some(_) => kdc::State::Revoked,
        None if grant.ends <= unix_s => kdc::State::Ended,
        None => kdc::State::Active,
    };
    let key = |key: &GrantKey| kdc::IssuedKey {
        kind: key.kind.name().to_owned(),
        spis: Some(spis(key)),
        fingerprint: format!("{:016x}", key.fingerprint),
    };
    kdc::Association {
        id: grant.id,
        subscriber: grant.nai.to_string(),
        home_agent: grant.home_agent.to_string(),
        foreign_agent: grant.foreign_agent.as_deref().unwrap_or_default().to_owned(),
        care_of: grant.care_of.to_string(),
        issued_unix_s: grant.issued,
        ends_unix_s: grant.ends,
        state: state.into(),
        keys: grant.keys.iter().map(key).collect(),
    }
}

pub(crate) fn association_revoked(revoked: &RevokedAssociation) -> kdc::SubscriberChange {
    let of = |kind| revoked.grant.keys.iter().find(|key| key.kind == kind).map(spis);
    let what = kdc::AssociationRevoked {
        association_id: revoked.grant.id,
        subscriber: revoked.grant.nai.to_string(),
        key1: of(AssociationKind::Key1),
        key2: of(AssociationKind::Key2),
        key3: of(AssociationKind::Key3),
        care_of: revoked.grant.care_of.to_string(),
    };
    change(revoked.change, kdc::subscriber_change::What::AssociationRevoked(what))
}

pub(crate) const fn change(change: u64, what: kdc::subscriber_change::What) -> kdc::SubscriberChange {
    kdc::SubscriberChange { change, what: Some(what) }
}

pub(crate) fn issued(issued: &Issued) -> kdc::IssueKeysReply {
    let octets = |key: &Option<crypto::Key>| key.as_ref().map_or_else(Vec::new, |key| key.expose().to_vec());
    kdc::IssueKeysReply {
        request_id: issued.request.to_vec(),
        association_id: issued.id,
        key1: octets(&issued.key1),
        key2: octets(&issued.key2),
        key3: octets(&issued.key3),
        seed: octets(&issued.seed),
    }
}

pub(crate) fn issue_from(request: kdc::IssueKeysRequest) -> authority::Issue {
    authority::Issue {
        request: request.request_id,
        nai: request.subscriber,
        foreign_agent: request.foreign_agent,
        care_of: request.care_of,
        lifetime: request.lifetime_s,
        key1: pair_from(request.key1),
        key2: pair_from(request.key2),
        key3: pair_from(request.key3),
        seeded: request.seeded,
    }
}

pub(crate) fn audit_entry(entry: AuditEntry) -> kdc::AuditEntry {
    let AuditEntry { number, unix_ms, actor, role, action, subject, outcome } = entry;
    let [actor, role, subject] = [actor, role, subject].map(|text| text.to_string());
    kdc::AuditEntry { number, unix_ms, actor, role, action: action.into_owned(), subject, outcome }
}
