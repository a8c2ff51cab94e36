//! The audit trail: one entry for every change and every refusal, in the same commit as the change.
//!
//! Refusals of one caller, and a home agent's connecting, are limited, so that a broken or hostile client cannot
//! fill the disk; what was left out is counted in its next entry.

use std::{borrow::Cow, collections::BTreeMap, net::Ipv4Addr, sync::Arc, time::Duration};

use record::{AuditEntry, Nai};
use sansio::{Instant, Now};

use super::{
    Answer, Ask, Caller, Kdc,
    check::{shortened, shortened_shared},
};

/// Entries of such a kind per caller and [`WINDOW`].
const ENTRIES: u32 = 30;
const WINDOW: Duration = Duration::from_secs(60);
/// Longest text of an entry in characters; everything is shorter unless a caller sends nonsense.
const TEXT: usize = 300;

/// Counts entries of one kind per caller.
#[derive(Default)]
pub(super) struct EntryLimit(BTreeMap<Arc<str>, Window>);

struct Window {
    start: Instant,
    recorded: u32,
    left_out: u32,
}

impl EntryLimit {
    /// `Some(left out before)` if one more may be recorded.
    fn admit(&mut self, name: &Arc<str>, now: Instant) -> Option<u32> {
        let window =
            self.0.entry(Arc::clone(name)).or_insert(Window { start: now, recorded: 0, left_out: 0 });
        if now - window.start >= WINDOW {
            (window.start, window.recorded) = (now, 0);
        }
        if window.recorded >= ENTRIES {
            window.left_out = window.left_out.saturating_add(1);
            return None;
        }
        window.recorded += 1;
        Some(std::mem::take(&mut window.left_out))
    }

    /// Forgets callers of whom nothing was left out and nothing came for a while.
    pub(super) fn forget(&mut self, now: Instant) {
        self.0.retain(|_, window| now - window.start < WINDOW || window.left_out > 0);
    }
}

impl Ask {
    /// What is wanted and on what, in the words of the audit trail, and whether it is a rehearsal.
    pub(super) fn in_words(&self) -> (Cow<'static, str>, String, bool) {
        let (action, subject, dry_run) = match self {
            Self::Enrol(enrol) => ("enrol subscriber", enrol.nai.clone(), enrol.dry_run),
            Self::Rotate { nai, dry_run, .. } => ("rotate subscriber", nai.clone(), *dry_run),
            Self::EnsureRealmKey => ("make realm key", String::new(), false),
            Self::RotateRealmKey { dry_run, .. } => ("rotate realm key", String::new(), *dry_run),
            Self::Backup => ("back up the store", String::new(), false),
            Self::RealmKeys => ("read realm keys", String::new(), false),
            Self::RevokeSubscriber { nai, reason, dry_run } => {
                ("revoke subscriber", with_reason(nai, reason), *dry_run)
            }
            Self::RevokeAssociation { id, reason, dry_run } => {
                ("revoke association", with_reason(&id.to_string(), reason), *dry_run)
            }
            Self::RegisterHomeAgent { name, dry_run, .. } => ("register home agent", name.clone(), *dry_run),
            // It says so itself.
            Self::Issue(_) => ("issue keys", String::new(), false),
            Self::Refuse { action, .. } => return (Cow::Owned(action.clone()), String::new(), false),
            Self::Watch { since } => ("take over subscribers", format!("changes after {since}"), false),
            Self::ChangesSince { .. } => ("take over subscribers", String::new(), false),
            Self::Subscribers { .. } | Self::Subscriber { .. } => ("read subscribers", String::new(), false),
            Self::Grants { .. } => ("read associations", String::new(), false),
            Self::HomeAgents => ("read home agents", String::new(), false),
        };
        (Cow::Borrowed(action), subject, dry_run)
    }

    /// True if grants that stand in the store end with it.
    pub(super) const fn revokes(&self) -> bool {
        matches!(self, Self::RevokeSubscriber { .. } | Self::RevokeAssociation { .. })
    }

    /// True if it changes nothing and is not recorded.
    pub(super) const fn reads(&self) -> bool {
        matches!(
            self,
            Self::ChangesSince { .. }
                | Self::Subscribers { .. }
                | Self::Subscriber { .. }
                | Self::Grants { .. }
                | Self::HomeAgents
                | Self::RealmKeys
        )
    }
}

fn with_reason(subject: &str, reason: &str) -> String {
    if reason.is_empty() { subject.to_owned() } else { format!("{subject} ({reason})") }
}

/// What an entry says beyond "done".
pub(super) fn details(answer: &Answer) -> String {
    match answer {
        Answer::Enrolled(s) => {
            let home_address = match s.home_address {
                Ipv4Addr::UNSPECIFIED => "from its home agent".to_owned(),
                enrolled => enrolled.to_string(),
            };
            format!("home address {home_address}, SPI {}, key {}", s.spi, s.key0.fingerprint_hex())
        }
        Answer::Rotated(s) => {
            let until = match &s.retiring {
                Some(old) => format!("the one before, {}, until {}", old.key0.fingerprint_hex(), old.ends),
                None => "the one before has ended".to_owned(),
            };
            format!("SPI {}, key {}, generation {}; {until}", s.spi, s.key0.fingerprint_hex(), s.generation)
        }
        Answer::RealmKey(key) => format!("realm key {}", key.id),
        Answer::Revoked { associations: n @ 1.., .. } => format!("associations ended: {n}"),
        Answer::Revoked { .. }
        | Answer::WouldDo
        | Answer::Registered
        | Answer::Issued(_)
        | Answer::Noted
        | Answer::Changes(_)
        | Answer::Subscribers(_)
        | Answer::Subscriber { .. }
        | Answer::Grants(_)
        | Answer::HomeAgents(_)
        | Answer::RealmKeys(_) => String::new(),
    }
}

impl Kdc {
    pub(super) fn audit_done(
        &mut self,
        caller: &Caller,
        action: &str,
        subject: &str,
        details: &str,
        now: Now,
    ) {
        let outcome = if details.is_empty() { "done".to_owned() } else { format!("done: {details}") };
        self.ledger.audit(|number| entry(number, caller, [action, subject, &outcome], now));
    }

    /// Keys were issued; returns the number of the entry. All of it was checked already.
    pub(super) fn audit_issue(
        &mut self,
        caller: &Caller,
        action: &'static str,
        nai: &Nai,
        outcome: String,
        now: Now,
    ) -> u64 {
        self.ledger.audit(|number| AuditEntry {
            number,
            unix_ms: unix_ms(now),
            actor: shortened_shared(&caller.name, TEXT),
            role: shortened_shared(&caller.role, TEXT),
            action: Cow::Borrowed(action),
            subject: nai.shared(),
            outcome,
        })
    }

    /// A home agent begins to take over; one that comes and goes all the time is not recorded each time.
    pub(super) fn audit_watch(&mut self, caller: &Caller, action: &str, subject: &str, now: Now) {
        let Some(left_out) = self.watches.admit(&caller.name, now.mono) else { return };
        let details = if left_out > 0 { format!("{left_out} more were not listed") } else { String::new() };
        self.audit_done(caller, action, subject, &details, now);
    }

    pub(super) fn audit_refusal(
        &mut self,
        caller: &Caller,
        action: &str,
        subject: &str,
        why: &str,
        now: Now,
    ) {
        let Some(left_out) = self.refusals.admit(&caller.name, now.mono) else {
            return;
        };
        let mut outcome = format!("refused: {}", shortened(why, TEXT));
        if left_out > 0 {
            outcome += &format!(" (and {left_out} more that are not listed)");
        }
        self.ledger.audit(|number| entry(number, caller, [action, subject, &outcome], now));
    }
}

fn entry(number: u64, caller: &Caller, [action, subject, outcome]: [&str; 3], now: Now) -> AuditEntry {
    AuditEntry {
        number,
        unix_ms: unix_ms(now),
        actor: shortened_shared(&caller.name, TEXT),
        role: shortened_shared(&caller.role, TEXT),
        action: Cow::Owned(shortened(action, TEXT)),
        subject: shortened(subject, TEXT).into(),
        outcome: shortened(outcome, 2 * TEXT),
    }
}

fn unix_ms(now: Now) -> u64 {
    u64::try_from(now.unix.as_millis()).unwrap_or(u64::MAX)
}
