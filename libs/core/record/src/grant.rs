//! What the key distribution centre records.

use std::{borrow::Cow, net::Ipv4Addr, sync::Arc};

use wire::mip::Spi;

use crate::{AssociationKind, Nai};

/// One issued key, by name only.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GrantKey {
    /// Which.
    pub kind: AssociationKind,
    /// Index inbound at the first of the pair: mobile node (KEY 1, KEY 3) or foreign agent (KEY 2).
    pub first: Spi,
    /// Index inbound at the other.
    pub second: Spi,
    /// 8 octets that name the key and reveal nothing of it; people see them as 16 hexadecimal digits.
    pub fingerprint: u64,
}

/// Keys that were issued once: names and indices, never the keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    /// Number, rising.
    pub id: u64,
    /// The asker's own number for the request; the same number gives the same grant, not a second one.
    pub request: [u8; 16],
    /// For which subscriber.
    pub nai: Nai,
    /// Number of the same subscriber's grant before this one, if there is one: whoever knows the newest finds all.
    pub earlier: Option<u64>,
    /// Home agent that asked.
    pub home_agent: Arc<str>,
    /// Foreign agent, `None` with a co-located care-of address.
    pub foreign_agent: Option<Arc<str>>,
    /// Care-of address.
    pub care_of: Ipv4Addr,
    /// KEY 1, and KEY 2 and KEY 3 through a foreign agent.
    pub keys: Vec<GrantKey>,
    /// When they were issued.
    pub issued: u64,
    /// When they end.
    pub ends: u64,
    /// When they were revoked, if they were.
    pub revoked: Option<u64>,
}

/// One line of the audit trail; it is only ever appended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditEntry {
    /// Number, rising by one.
    pub number: u64,
    /// When, in milliseconds since 1970.
    pub unix_ms: u64,
    /// Who: the name in the client certificate, or "local" for the machine's own administrator.
    pub actor: Arc<str>,
    /// In which role.
    pub role: Arc<str>,
    /// What was asked: the method.
    pub action: Cow<'static, str>,
    /// On what.
    pub subject: Arc<str>,
    /// "done", or why it was refused.
    pub outcome: String,
}

/// A home agent that may take over subscribers and ask for keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HomeAgent {
    /// Its name, as in its certificate.
    pub name: String,
    /// Its address, if it serves only the subscribers whose home agent that is; `None` serves them all.
    pub address: Option<Ipv4Addr>,
    /// When it was registered.
    pub registered: u64,
}
