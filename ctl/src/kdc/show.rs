//! Answers of the key distribution centre for people.

use proto::kdc::{
    Association, AuditEntry, Event, HomeAgent, IssuedKey, RealmKey, ShowSubscriberReply, Subscriber,
};

use super::json::{cipher, hex, state};
use crate::{
    output::{Table, facts, line},
    time::{span, utc, utc_ms},
};

/// With its prefix; a subscriber that was enrolled without one is told apart.
fn home_address(of: &Subscriber) -> String {
    match of.home_address.as_str() {
        "" => format!("by home agent/{}", of.home_prefix_length),
        address => format!("{address}/{}", of.home_prefix_length),
    }
}

pub(super) fn subscribers(subscribers: &[Subscriber]) {
    let mut table = Table::new(&["SUBSCRIBER", "STATE", "HOME ADDRESS", "HOME AGENT", "SPI", "CHANGE"]);
    for it in subscribers {
        table.row(vec![
            it.nai.clone(),
            state(it.state()).to_owned(),
            home_address(it),
            it.home_agent.clone(),
            it.spi.to_string(),
            it.change.to_string(),
        ]);
    }
    table.print("No subscriber is enrolled.");
}

pub(super) fn shown(reply: &ShowSubscriberReply) {
    if let Some(it) = &reply.subscriber {
        let limit = match it.max_lifetime_s {
            0 => "as the home agent allows".to_owned(),
            seconds => span(seconds.into()),
        };
        facts(&[
            ("subscriber", it.nai.clone()),
            ("state", state(it.state()).to_owned()),
            ("home address", home_address(it)),
            ("home gateway", or_dash(&it.home_gateway)),
            ("home agent", it.home_agent.clone()),
            ("SPI", it.spi.to_string()),
            ("cipher", cipher(it.cipher()).to_owned()),
            ("KEY 0", key0(it)),
            ("names itself by", if it.one_time { "one-time indices" } else { "a static index" }.to_owned()),
            ("forward secrecy", if it.no_fs { "not asked for" } else { "required" }.to_owned()),
            ("extensions", extensions(it)),
            ("longest lifetime", limit),
            ("change", it.change.to_string()),
        ]);
        line("");
    }
    associations(&reply.associations);
}

/// Its fingerprint, generation, and the one before while that is accepted.
fn key0(it: &Subscriber) -> String {
    if it.fingerprint.is_empty() {
        return "-".to_owned();
    }
    let now = format!("{}, generation {}", it.fingerprint, it.generation);
    match it.retiring_ends_unix_s {
        0 => now,
        ends => format!("{now}; until {} also {}", utc(ends), it.retiring_fingerprint),
    }
}

fn extensions(it: &Subscriber) -> String {
    match it.plain {
        None => "ours".to_owned(),
        Some(plain) => {
            let replay = if plain.nonces { "nonces" } else { "timestamps" };
            let mac = if plain.md5 { "HMAC-MD5" } else { "HMAC-SHA-256" };
            format!("none: plain RFC 5944 with {replay} and {mac}")
        }
    }
}

pub(super) fn realm_keys(keys: &[RealmKey]) {
    let mut table = Table::new(&["ID", "MADE", "ENDS", "PUBLIC HALF"]);
    for it in keys {
        let key = it.key.clone().unwrap_or_default();
        let ends = if it.ends_unix_s == 0 { String::new() } else { utc(it.ends_unix_s) };
        table.row(vec![key.id.to_string(), utc(it.made_unix_s), ends, hex(&key.public)]);
    }
    table.print("The realm has no key.");
}

pub(super) fn event(it: &Event) -> String {
    let when = utc_ms(it.unix_ms.saturating_mul(1_000_000));
    let text = [it.subject.as_str(), it.detail.as_str()].join(" ");
    format!("{:>6}  {when}  {}  {}", it.number, it.kind, text.trim())
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

pub(super) fn associations(associations: &[Association]) {
    let headings =
        ["ID", "SUBSCRIBER", "FOREIGN AGENT", "CARE-OF", "HOME AGENT", "STATE", "ISSUED", "FOR", "KEYS"];
    let mut table = Table::new(&headings);
    for it in associations {
        let keys: Vec<String> = it.keys.iter().map(key).collect();
        table.row(vec![
            it.id.to_string(),
            it.subscriber.clone(),
            it.foreign_agent.clone(),
            it.care_of.clone(),
            it.home_agent.clone(),
            state(it.state()).to_owned(),
            utc(it.issued_unix_s),
            span(it.ends_unix_s.saturating_sub(it.issued_unix_s)),
            keys.join(" "),
        ]);
    }
    table.print("No association.");
}

/// As in `1:9f2c…`: the number of the key and the beginning of its fingerprint.
fn key(it: &IssuedKey) -> String {
    let number = it.kind.trim_start_matches("KEY ");
    let fingerprint: String = it.fingerprint.chars().take(8).collect();
    format!("{number}:{fingerprint}")
}

pub(super) fn home_agents(agents: &[HomeAgent]) {
    let mut table = Table::new(&["HOME AGENT", "SERVES", "CONNECTED", "HAS CHANGE", "REGISTERED"]);
    for it in agents {
        let serves =
            if it.address.is_empty() { "all".to_owned() } else { format!("those of {}", it.address) };
        table.row(vec![
            it.name.clone(),
            serves,
            if it.connected { "yes" } else { "no" }.to_owned(),
            it.acknowledged.to_string(),
            utc(it.registered_unix_s),
        ]);
    }
    table.print("No home agent is registered.");
}

pub(super) fn audit_entry(it: &AuditEntry) -> String {
    let when = utc_ms(it.unix_ms.saturating_mul(1_000_000));
    let subject = if it.subject.is_empty() { String::new() } else { format!(" {}", it.subject) };
    format!("{:>6}  {when}  {} ({}): {}{subject}: {}", it.number, it.actor, it.role, it.action, it.outcome)
}

/// Which home agents know of a change.
pub(super) fn taken_over(by: &[String], not_yet: &[String]) -> String {
    match (by.is_empty(), not_yet.is_empty()) {
        (true, true) => "No home agent is registered yet.".to_owned(),
        (false, true) => format!("Known to {}.", by.join(", ")),
        (true, false) => {
            format!("Not yet known to {}, which will be told on connecting.", not_yet.join(", "))
        }
        (false, false) => {
            format!("Known to {}, not yet to {}.", by.join(", "), not_yet.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audit_entry_is_one_line() {
        let entry = AuditEntry {
            number: 7,
            unix_ms: 1_795_251_600_042,
            actor: "alice".to_owned(),
            role: "administrator".to_owned(),
            action: "revoke subscriber".to_owned(),
            subject: "traveller-one@home.example (lost)".to_owned(),
            outcome: "done: associations ended: 1".to_owned(),
        };
        assert_eq!(
            audit_entry(&entry),
            "     7  2026-11-21T09:00:00.042Z  alice (administrator): revoke subscriber \
             traveller-one@home.example (lost): done: associations ended: 1"
        );
    }

    #[test]
    fn who_knows_is_told_in_every_case() {
        let one = ["ha@home.example".to_owned()];
        for (by, not_yet) in [(&one[..], &[][..]), (&[], &one), (&one, &one)] {
            assert!(taken_over(by, not_yet).contains("ha@home.example"));
        }
        assert!(!taken_over(&[], &[]).is_empty());
    }
}
