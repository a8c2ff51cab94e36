//! KEY 1, KEY 2 and KEY 3 for one registration (docs/wire.md, key generation, stateful mode).
//!
//! The keys are fresh random values, made for one registration and given to the asking home agent alone. They
//! are remembered for a minute, in memory only, so that a home agent whose answer was lost can ask again with
//! the same number; the store gets their names. If the process started anew within that minute, the same number gets
//! new keys under the same grant: the ones before reached nobody who would still use them. After the minute nobody waits
//! for the answer, and the number is like a new one.

use std::{fmt, net::Ipv4Addr, sync::Arc};

use crypto::{Key, kdf};
use record::{AssociationKind, Grant, GrantKey, Nai, SubscriberState};
use sansio::Now;
use wire::mip::Spi;

use super::{
    Answer, Caller, Event, EventKind, Issue, Issued, Kdc, Pair, Refusal, check, event::Detail, read::serves,
    remembered::Remembrance,
};

/// An issue whose every part was checked.
struct Checked {
    nai: Nai,
    home_agent: Arc<str>,
    foreign_agent: Option<Arc<str>>,
    care_of: Ipv4Addr,
    lifetime: u32,
    request: [u8; 16],
    wanted: Vec<Wanted>,
}

/// A key that is asked for.
struct Wanted {
    kind: AssociationKind,
    pair: Pair,
    /// Its ends make it of their part of a seed.
    seeded: bool,
}

impl Kdc {
    /// Issues keys, with the audit entry whose number becomes the grant's.
    pub(super) fn issue_and_audit(
        &mut self,
        caller: &Caller,
        ask: &Issue,
        now: Now,
    ) -> Result<Answer, Refusal> {
        let outcome = self.check_issue(caller, ask).and_then(|checked| self.issue(caller, &checked, now));
        if let Err(refusal) = &outcome {
            self.audit_refusal(caller, "issue keys", &ask.nai, &refusal.to_string(), now);
        }
        outcome.map(Answer::Issued)
    }

    fn check_issue(&self, caller: &Caller, ask: &Issue) -> Result<Checked, Refusal> {
        let agent = self.asking_home_agent(caller)?;
        let request = ask.request.as_slice().try_into().map_err(|_| Refusal::RequestId(ask.request.len()))?;
        let Some(subscriber) = self.ledger.subscriber(&ask.nai) else {
            let nai = check::own_nai("the subscriber", &ask.nai, &self.realm)?;
            return Err(Refusal::UnknownSubscriber(nai));
        };
        let nai = subscriber.nai.clone();
        if !serves(agent, subscriber) {
            let (home_agent, owner) = (caller.name.to_string(), subscriber.home_agent);
            return Err(Refusal::NotItsSubscriber { nai, home_agent, owner });
        }
        if subscriber.state == SubscriberState::Revoked {
            return Err(Refusal::RevokedSubscriber(nai));
        }
        let foreign_agent: Option<Arc<str>> = match ask.foreign_agent.as_str() {
            "" => None,
            name => {
                check::agent_name("the foreign agent", name)?;
                Some(name.into())
            }
        };
        if foreign_agent.as_ref() == Some(&caller.name) {
            return Err(Refusal::AgentOfItself(caller.name.to_string()));
        }
        let care_of = check::host("care-of address", &ask.care_of)?;
        if !(1..=u32::from(u16::MAX)).contains(&ask.lifetime) {
            return Err(Refusal::Lifetime(ask.lifetime, 1));
        }
        if let Some(limit) = subscriber.max_lifetime.filter(|limit| ask.lifetime > u32::from(*limit)) {
            return Err(Refusal::LifetimeOfSubscriber { asked: ask.lifetime, limit, nai });
        }
        let wanted = check_spis(ask, foreign_agent.is_some())?;
        let (home_agent, lifetime) = (Arc::clone(&caller.name), ask.lifetime);
        Ok(Checked { nai, home_agent, foreign_agent, care_of, lifetime, request, wanted })
    }

    fn issue(&mut self, caller: &Caller, checked: &Checked, now: Now) -> Result<Issued, Refusal> {
        let name = (checked.request, Arc::clone(&checked.home_agent));
        let mut earlier = None;
        if let Some(Remembrance { grant, keys, .. }) = self.remembered.of(&name) {
            if !checked.asks_for(grant) || keys.as_ref().is_some_and(|keys| !checked.is_answered_by(keys)) {
                return Err(Refusal::RequestReused);
            }
            if self.ledger.grants().is_revoked(grant) {
                return Err(Refusal::AssociationOver { id: grant.id, how: "revoked" });
            }
            if let Some(keys) = keys {
                return Ok(keys.duplicate());
            }
            earlier = Some((grant.id, grant.earlier, grant.ends));
        }
        let seed = checked.wanted.iter().any(|wanted| wanted.seeded).then(|| self.rng.key());
        let made = |wanted: &Wanted| match seed.as_ref().filter(|_| wanted.seeded) {
            Some(seed) => kdf::part_of(seed, wanted.kind.pair()),
            None => self.rng.key(),
        };
        let keys: Vec<Key> = checked.wanted.iter().map(made).collect();
        let what = if earlier.is_some() { "issue keys again" } else { "issue keys" };
        let outcome = format!("done: {}", checked.in_words());
        let number = self.audit_issue(caller, what, &checked.nai, outcome, now);
        let id = earlier.map_or(number, |(id, ..)| id);
        self.ledger.tell(Event {
            kind: EventKind::AssociationIssued,
            subject: checked.nai.shared(),
            detail: Detail::Issued { id, way: checked.in_words() },
        });
        let before =
            earlier.map_or_else(|| self.ledger.grants().newest(&checked.nai), |(_, before, _)| before);
        let grant = checked.grant(id, before, &keys, now.unix.as_secs());
        self.ledger.put_grant(grant.clone(), earlier.map(|(.., ends)| ends));
        let mut issued = Issued { request: checked.request, id, key1: None, key2: None, key3: None, seed };
        // Of a key that is made of the seed, nobody is told anything else.
        for (wanted, key) in checked.wanted.iter().zip(keys).filter(|(wanted, _)| !wanted.seeded) {
            match wanted.kind {
                AssociationKind::Key1 => issued.key1 = Some(key),
                AssociationKind::Key2 => issued.key2 = Some(key),
                AssociationKind::Key3 => issued.key3 = Some(key),
            }
        }
        self.remembered.add(name, grant, issued.duplicate(), now.mono);
        Ok(issued)
    }
}

/// The indices must be above 255, and different wherever one node receives by both. A key that both ends make by
/// themselves is not asked for.
fn check_spis(ask: &Issue, with_agent: bool) -> Result<Vec<Wanted>, Refusal> {
    let refuse = |key, why| Err(Refusal::Spi { key, why });
    let asked = [
        (AssociationKind::Key1, ask.key1),
        (AssociationKind::Key2, ask.key2),
        (AssociationKind::Key3, ask.key3),
    ];
    if ask.seeded.iter().any(|number| !(1..=3).contains(number)) {
        return refuse("a seed", "it is for KEY 1, 2 or 3");
    }
    let seeded = |kind: AssociationKind| ask.seeded.contains(&kind.number().into());
    for (kind, pair) in asked {
        if pair.is_some_and(|p| p.first < Spi::FIRST || p.second < Spi::FIRST) {
            return refuse(kind.name(), "0 to 255 are reserved");
        }
        if !with_agent && kind != AssociationKind::Key1 && pair.is_some() {
            return refuse(kind.name(), "a co-located care-of address has KEY 1 only");
        }
        if seeded(kind) && pair.is_none() {
            return refuse(kind.name(), "they are missing, though its part of a seed is asked for");
        }
    }
    let same = |a: Option<Spi>, b: Option<Spi>| a.is_some() && a == b;
    let first = |pair: Option<Pair>| pair.map(|p| p.first);
    let second = |pair: Option<Pair>| pair.map(|p| p.second);
    if same(first(ask.key1), first(ask.key3)) {
        return refuse("KEY 3", "the mobile node has the same for KEY 1");
    }
    if same(second(ask.key1), second(ask.key2)) {
        return refuse("KEY 2", "the home agent has the same for KEY 1");
    }
    if same(first(ask.key2), second(ask.key3)) {
        return refuse("KEY 3", "the foreign agent has the same for KEY 2");
    }
    let wanted = |(kind, pair): (AssociationKind, Option<Pair>)| {
        Some(Wanted { kind, pair: pair?, seeded: seeded(kind) })
    };
    let wanted: Vec<_> = asked.into_iter().filter_map(wanted).collect();
    if wanted.is_empty() { refuse("KEY 1", "they are missing") } else { Ok(wanted) }
}

impl Checked {
    fn grant(&self, id: u64, earlier: Option<u64>, keys: &[Key], time: u64) -> Grant {
        let named = self.wanted.iter().zip(keys).map(|(Wanted { kind, pair, .. }, key)| GrantKey {
            kind: *kind,
            first: pair.first,
            second: pair.second,
            fingerprint: u64::from_be_bytes(key.fingerprint().0),
        });
        Grant {
            id,
            request: self.request,
            nai: self.nai.clone(),
            earlier,
            home_agent: Arc::clone(&self.home_agent),
            foreign_agent: self.foreign_agent.clone(),
            care_of: self.care_of,
            keys: named.collect(),
            issued: time,
            ends: time.saturating_add(u64::from(self.lifetime)),
            revoked: None,
        }
    }

    /// True if an earlier grant was made for the same request.
    fn asks_for(&self, grant: &Grant) -> bool {
        let indices = grant.keys.iter().map(|k| (k.kind, Pair { first: k.first, second: k.second }));
        grant.nai == self.nai
            && grant.foreign_agent == self.foreign_agent
            && grant.care_of == self.care_of
            && grant.ends == grant.issued.saturating_add(u64::from(self.lifetime))
            && indices.eq(self.wanted.iter().map(|wanted| (wanted.kind, wanted.pair)))
    }

    /// True if these are the keys that it asks for, and not others instead.
    fn is_answered_by(&self, issued: &Issued) -> bool {
        self.wanted.iter().all(|wanted| {
            let key = match wanted.kind {
                AssociationKind::Key1 => &issued.key1,
                AssociationKind::Key2 => &issued.key2,
                AssociationKind::Key3 => &issued.key3,
            };
            key.is_none() == wanted.seeded
        })
    }

    fn in_words(&self) -> Way {
        let (foreign_agent, care_of) = (self.foreign_agent.clone(), self.care_of);
        Way { foreign_agent, care_of, lifetime: self.lifetime }
    }
}

/// The way of a registration that keys were issued for; text once somebody reads it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Way {
    foreign_agent: Option<Arc<str>>,
    care_of: Ipv4Addr,
    lifetime: u32,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let agent = self.foreign_agent.as_deref().unwrap_or("no foreign agent");
        write!(f, "through {agent} at {} for {} s", self.care_of, self.lifetime)
    }
}
