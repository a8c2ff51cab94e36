//! Answers of the key distribution centre as JSON, with the names of the schema. No message here has a key.

use proto::kdc::{
    Association, AuditEntry, Cipher, Event, HomeAgent, IssuedKey, RealmKey, RevokeAssociationReply,
    RevokeSubscriberReply, ShowSubscriberReply, State, Subscriber,
};
use serde_json::{Value, json};

pub(super) const fn state(state: State) -> &'static str {
    match state {
        State::Unspecified => "",
        State::Active => "active",
        State::Revoked => "revoked",
        State::Ended => "ended",
    }
}

pub(super) const fn cipher(cipher: Cipher) -> &'static str {
    match cipher {
        Cipher::Unspecified => "",
        Cipher::Aes256Gcm => "aes-256-gcm",
        Cipher::Aes128Gcm => "aes-128-gcm",
        Cipher::Chacha20Poly1305 => "chacha20-poly1305",
    }
}

pub(super) fn subscriber(it: &Subscriber) -> Value {
    json!({
        "nai": it.nai,
        "state": state(it.state()),
        "home_address": it.home_address,
        "home_prefix_length": it.home_prefix_length,
        "home_gateway": it.home_gateway,
        "home_agent": it.home_agent,
        "spi": it.spi,
        "cipher": cipher(it.cipher()),
        "no_fs": it.no_fs,
        "max_lifetime_s": it.max_lifetime_s,
        "change": it.change,
        "fingerprint": it.fingerprint,
        "one_time": it.one_time,
        "generation": it.generation,
        "retiring_ends_unix_s": it.retiring_ends_unix_s,
        "retiring_fingerprint": it.retiring_fingerprint,
        "plain": it.plain.map(|plain| json!({ "nonces": plain.nonces, "md5": plain.md5 })),
    })
}

pub(super) fn realm_key(it: &RealmKey) -> Value {
    let key = it.key.clone().unwrap_or_default();
    json!({
        "id": key.id,
        "public": hex(&key.public),
        "made_unix_s": it.made_unix_s,
        "ends_unix_s": it.ends_unix_s,
        "change": it.change,
    })
}

/// A public half in hexadecimal digits.
pub(super) fn hex(public: &[u8]) -> String {
    public.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn event(it: &Event) -> Value {
    json!({
        "number": it.number,
        "unix_ms": it.unix_ms,
        "kind": it.kind,
        "subject": it.subject,
        "detail": it.detail,
    })
}

pub(super) fn shown(it: &ShowSubscriberReply) -> Value {
    json!({
        "subscriber": it.subscriber.as_ref().map(subscriber),
        "associations": it.associations.iter().map(association).collect::<Vec<_>>(),
    })
}

pub(super) fn association(it: &Association) -> Value {
    json!({
        "id": it.id,
        "subscriber": it.subscriber,
        "home_agent": it.home_agent,
        "foreign_agent": it.foreign_agent,
        "care_of": it.care_of,
        "issued_unix_s": it.issued_unix_s,
        "ends_unix_s": it.ends_unix_s,
        "state": state(it.state()),
        "keys": it.keys.iter().map(key).collect::<Vec<_>>(),
    })
}

fn key(it: &IssuedKey) -> Value {
    let spis = it.spis.unwrap_or_default();
    json!({ "kind": it.kind, "spis": [spis.first, spis.second], "fingerprint": it.fingerprint })
}

pub(super) fn revoked(it: &RevokeSubscriberReply) -> Value {
    json!({
        "change": it.change,
        "associations": it.associations,
        "taken_over_by": it.taken_over_by,
        "not_yet_at": it.not_yet_at,
    })
}

pub(super) fn association_revoked(it: &RevokeAssociationReply) -> Value {
    json!({ "change": it.change, "taken_over_by": it.taken_over_by, "not_yet_at": it.not_yet_at })
}

pub(super) fn home_agent(it: &HomeAgent) -> Value {
    json!({
        "name": it.name,
        "address": it.address,
        "registered_unix_s": it.registered_unix_s,
        "connected": it.connected,
        "acknowledged": it.acknowledged,
    })
}

pub(super) fn audit_entry(it: &AuditEntry) -> Value {
    json!({
        "number": it.number,
        "unix_ms": it.unix_ms,
        "actor": it.actor,
        "role": it.role,
        "action": it.action,
        "subject": it.subject,
        "outcome": it.outcome,
    })
}
