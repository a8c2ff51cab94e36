//! KEY 1, KEY 2 and KEY 3 for one registration (docs/wire.md, key generation, stateful mode).
//!
//! The keys are fresh random values, made for one registration and given to the asking home agent alone. They
//! are remembered for a minute, in memory only, so that a home agent whose answer was lost can ask again with
//! the same number; the store gets their names. After a restart the same number gets new keys under the same
//! grant: the ones before reached nobody who would still use them.

use std::{
    collections::{BTreeMap, VecDeque},
    net::Ipv4Addr,
    time::Duration,
};

use crypto::Key;
use record::{AssociationKind, Grant, GrantKey, Nai, SubscriberState};
use sansio::{Instant, Now};
use wire::mip::Spi;

use super::{
    Answer, Caller, Event, EventKind, Issue, Issued, Kdc, Pair, Refusal, check, ledger::IssueName,
    read::serves,
};

/// How long an answer can be had again.
const REMEMBERED: Duration = Duration::from_secs(60);
/// At most so many answers; with more, the oldest go first.
const REMEMBERED_MOST: usize = 65_536;

/// An issue whose every part was checked.
struct Checked {
    nai: Nai,
    home_agent: String,
    foreign_agent: Option<String>,
    care_of: Ipv4Addr,
    lifetime: u32,
    request: [u8; 16],
    key1: Pair,
    key2_and_key3: Option<(Pair, Pair)>,
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
        let nai = check::own_nai("the subscriber", &ask.nai, &self.realm)?;
        let Some(subscriber) = self.ledger.subscriber(&nai) else {
            return Err(Refusal::UnknownSubscriber(nai));
        };
        if !serves(agent, subscriber) {
            let (home_agent, owner) = (caller.name.clone(), subscriber.home_agent);
            return Err(Refusal::NotItsSubscriber { nai, home_agent, owner });
        }
        if subscriber.state == SubscriberState::Revoked {
            return Err(Refusal::RevokedSubscriber(nai));
        }
        let foreign_agent = match ask.foreign_agent.as_str() {
            "" => None,
            name => Some(check::agent_nai("the foreign agent", name)?.to_string()),
        };
        if foreign_agent.as_ref() == Some(&caller.name) {
            return Err(Refusal::AgentOfItself(caller.name.clone()));
        }
        let care_of = check::host("care-of address", &ask.care_of)?;
        if !(1..=u32::from(u16::MAX)).contains(&ask.lifetime) {
            return Err(Refusal::Lifetime(ask.lifetime, 1));
        }
        if let Some(limit) = subscriber.max_lifetime.filter(|limit| ask.lifetime > u32::from(*limit)) {
            return Err(Refusal::LifetimeOfSubscriber { asked: ask.lifetime, limit, nai });
        }
        let (key1, key2_and_key3) = check_spis(ask, foreign_agent.is_some())?;
        let (home_agent, lifetime) = (caller.name.clone(), ask.lifetime);
        Ok(Checked { nai, home_agent, foreign_agent, care_of, lifetime, request, key1, key2_and_key3 })
    }

    fn issue(&mut self, caller: &Caller, checked: &Checked, now: Now) -> Result<Issued, Refusal> {
        let name = (checked.home_agent.clone(), checked.request);
        let earlier = self.ledger.issue(&name).cloned();
        if let Some(earlier) = &earlier {
            if !checked.asks_for(earlier) {
                return Err(Refusal::RequestReused);
            }
            if earlier.revoked.is_some() {
                return Err(Refusal::AssociationOver { id: earlier.id, how: "revoked" });
            }
            if let Some(issued) = self.remembered.recall(&name) {
                return Ok(issued);
            }
        }
        let keys = [self.rng.key(), self.rng.key(), self.rng.key()];
        let what = if earlier.is_some() { "issue keys again" } else { "issue keys" };
        self.audit_done(caller, what, checked.nai.as_str(), &checked.in_words(), now);
        let id = earlier.map_or(self.ledger.last_audit(), |grant| grant.id);
        let event = Event {
            kind: EventKind::AssociationIssued,
            subject: checked.nai.to_string(),
            detail: format!("association {id} {}", checked.in_words()),
        };
        self.ledger.tell(event);
        self.ledger.put_grant(checked.grant(id, &keys, now.unix.as_secs()));
        let [key1, key2, key3] = keys;
        let key2_and_key3 = checked.key2_and_key3.is_some().then_some((key2, key3));
        let issued = Issued { request: checked.request, id, key1, key2_and_key3 };
        self.remembered.add(name, checked.nai.clone(), issued.duplicate(), now.mono + REMEMBERED);
        Ok(issued)
    }
}

/// The indices must be there, above 255, and different wherever one node receives by both.
fn check_spis(ask: &Issue, with_agent: bool) -> Result<(Pair, Option<(Pair, Pair)>), Refusal> {
    let refuse = |key, why| Err(Refusal::Spi { key, why });
    for (key, pair) in [("KEY 1", ask.key1), ("KEY 2", ask.key2), ("KEY 3", ask.key3)] {
        if pair.is_some_and(|p| p.first < Spi::FIRST || p.second < Spi::FIRST) {
            return refuse(key, "0 to 255 are reserved");
        }
    }
    let Some(key1) = ask.key1 else {
        return refuse("KEY 1", "they are missing");
    };
    match (with_agent, ask.key2, ask.key3) {
        (false, None, None) => Ok((key1, None)),
        (false, Some(_), _) => refuse("KEY 2", "a co-located care-of address has KEY 1 only"),
        (false, None, Some(_)) => refuse("KEY 3", "a co-located care-of address has KEY 1 only"),
        (true, None, _) => refuse("KEY 2", "they are missing"),
        (true, Some(_), None) => refuse("KEY 3", "they are missing"),
        (true, Some(key2), Some(key3)) => {
            if key1.first == key3.first {
                return refuse("KEY 3", "the mobile node has the same for KEY 1");
            }
            if key1.second == key2.second {
                return refuse("KEY 2", "the home agent has the same for KEY 1");
            }
            if key2.first == key3.second {
                return refuse("KEY 3", "the foreign agent has the same for KEY 2");
            }
            Ok((key1, Some((key2, key3))))
        }
    }
}

impl Checked {
    fn pairs(&self) -> Vec<(AssociationKind, Pair)> {
        let mut pairs = vec![(AssociationKind::Key1, self.key1)];
        if let Some((key2, key3)) = self.key2_and_key3 {
            pairs.extend([(AssociationKind::Key2, key2), (AssociationKind::Key3, key3)]);
        }
        pairs
    }

    fn grant(&self, id: u64, keys: &[Key; 3], time: u64) -> Grant {
        let named = self.pairs().into_iter().zip(keys).map(|((kind, pair), key)| GrantKey {
            kind,
            first: pair.first,
            second: pair.second,
            fingerprint: key.fingerprint_hex(),
        });
        Grant {
            id,
            request: self.request,
            nai: self.nai.clone(),
            home_agent: self.home_agent.clone(),
            foreign_agent: self.foreign_agent.clone(),
            care_of: self.care_of.to_string(),
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
            && grant.care_of == self.care_of.to_string()
            && grant.ends == grant.issued.saturating_add(u64::from(self.lifetime))
            && indices.eq(self.pairs())
    }

    fn in_words(&self) -> String {
        let agent = self.foreign_agent.as_deref().unwrap_or("no foreign agent");
        format!("through {agent} at {} for {} s", self.care_of, self.lifetime)
    }
}

/// Answers that can be had again, by the asker's number. The keys in them are wiped when they go.
#[derive(Default)]
pub(super) struct Remembered {
    answers: BTreeMap<IssueName, (Nai, Issued)>,
    ends: VecDeque<(Instant, IssueName)>,
    uncommitted: Vec<IssueName>,
}

impl Remembered {
    fn add(&mut self, name: IssueName, nai: Nai, issued: Issued, until: Instant) {
        if self.ends.len() >= REMEMBERED_MOST
            && let Some((_, oldest)) = self.ends.pop_front()
        {
            self.answers.remove(&oldest);
        }
        self.answers.insert(name.clone(), (nai, issued));
        self.ends.push_back((until, name.clone()));
        self.uncommitted.push(name);
    }

    fn recall(&self, name: &IssueName) -> Option<Issued> {
        self.answers.get(name).map(|(_, issued)| issued.duplicate())
    }

    /// A subscriber's answers are not given again.
    pub(super) fn drop_of(&mut self, nai: &Nai) {
        self.answers.retain(|_, (owner, _)| owner != nai);
    }

    /// What was added is durable.
    pub(super) fn keep(&mut self) {
        self.uncommitted.clear();
    }

    /// What was added is not durable: it is forgotten.
    pub(super) fn put_back(&mut self) {
        for name in self.uncommitted.drain(..) {
            self.answers.remove(&name);
        }
    }

    /// Forgets what is over at `now`.
    pub(super) fn forget(&mut self, now: Instant) {
        while let Some((_, name)) = self.ends.pop_front_if(|(until, _)| *until <= now) {
            self.answers.remove(&name);
        }
    }

    /// When the next is over.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.ends.front().map(|(until, _)| *until)
    }
}
