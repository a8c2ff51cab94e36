//! The key distribution centre of a world: the real machine on a store that never refuses. Its own durability is tested
//! where the store is.

use authority::{Answer, Ask, Caller, Effect, Issue, Issued, Kdc, Pair, Refusal, Request, Ticket};
use crypto::Rng;
use mobility::home_agent::{self, KeyRequest};
use record::{HomeAgent, RealmKey};
use sansio::{Input, Machine, Now, Output};

use crate::{
    disk::Disk,
    nodes::{HOME_AGENT_NAI, REALM},
};

/// Seconds in which a KEY 0 that was rotated is accepted beside the new one: longer than any world.
const OVERLAP: u32 = 3_600;
/// Changes in one answer.
const PAGE: usize = 64;

pub(crate) struct Centre {
    machine: Kdc,
    disk: Disk,
    last_ticket: u64,
}

impl Centre {
    pub(crate) fn new(mut disk: Disk, rng: &mut Rng) -> Self {
        disk.register(HomeAgent { name: HOME_AGENT_NAI.to_owned(), address: None, registered: 0 });
        let machine = Kdc::new(REALM, rng.array(), disk.load());
        Self { machine, disk, last_ticket: 0 }
    }

    /// Starts again with what its store held.
    pub(crate) fn restart(&mut self, rng: &mut Rng) {
        self.machine = Kdc::new(REALM, rng.array(), self.disk.load());
    }

    fn ask(&mut self, role: &str, ask: Ask, now: Now) -> Result<Answer, Refusal> {
        self.last_ticket += 1;
        let caller = Caller { name: HOME_AGENT_NAI.into(), role: role.into() };
        let ticket = Ticket(self.last_ticket);
        self.machine.handle(Input::Request(Request::Ask { ticket, caller, ask }), now);
        let mut answered = Err(Refusal::Store("it did not answer".to_owned()));
        loop {
            match self.machine.poll() {
                Output::Effect(Effect::Persist { commit, changes }) => {
                    let result = self.disk.commit(0, changes);
                    self.machine.handle(Input::Request(Request::Persisted { commit, result }), now);
                }
                Output::Effect(Effect::Read { read, wanted }) => {
                    let found = self.disk.load().grants.into_iter().filter(|grant| wanted.holds(grant));
                    let result = Ok(found.take(wanted.limit).collect());
                    self.machine.handle(Input::Request(Request::Grants { read, result }), now);
                }
                Output::Effect(Effect::Answer { answer, .. }) => answered = answer,
                Output::Effect(_) | Output::Send(_) => {}
                Output::Wait(_) => return answered,
            }
        }
    }

    /// Keys for a registration.
    pub(crate) fn issue(&mut self, request: &KeyRequest, now: Now) -> Result<Issued, Refusal> {
        let pair = |(first, second)| Pair { first, second };
        let issue = Issue {
            request: request.request.to_vec(),
            nai: request.nai.to_string(),
            foreign_agent: request.foreign_agent.as_deref().unwrap_or_default().to_owned(),
            care_of: request.care_of.to_string(),
            lifetime: request.lifetime.into(),
            key1: request.key1.map(pair),
            key2: request.key2.map(pair),
            key3: request.key3.map(pair),
            seeded: request.seeded.iter().map(|kind| kind.number().into()).collect(),
        };
        match self.ask("home-agent", Ask::Issue(issue), now)? {
            Answer::Issued(issued) => Ok(issued),
            _ => Err(Refusal::Store("it answered something else".to_owned())),
        }
    }

    /// Another KEY 0, the old one accepted beside it; the number of the change.
    pub(crate) fn rotate(&mut self, nai: &str, now: Now) -> Option<u64> {
        let ask = Ask::Rotate { nai: nai.to_owned(), overlap: OVERLAP, dry_run: false };
        match self.ask("administrator", ask, now) {
            Ok(Answer::Rotated(subscriber)) => Some(subscriber.change),
            _ => None,
        }
    }

    /// The subscriber is one no more; the number of the change.
    pub(crate) fn revoke(&mut self, nai: &str, now: Now) -> Option<u64> {
        let ask = Ask::RevokeSubscriber { nai: nai.to_owned(), reason: "stolen".to_owned(), dry_run: false };
        match self.ask("administrator", ask, now) {
            Ok(Answer::Revoked { change, .. }) => Some(change),
            _ => None,
        }
    }

    /// What changed after this number, as a home agent is told, and up to which number that is; `None` if nothing did.
    pub(crate) fn changes(&mut self, since: u64, now: Now) -> Option<(home_agent::Request, u64)> {
        let ask = Ask::ChangesSince { since, limit: PAGE, first: false };
        let Ok(Answer::Changes(page)) = self.ask("home-agent", ask, now) else {
            return None;
        };
        if page.next == since {
            return None;
        }
        let realm_keys: Vec<RealmKey> = page
            .realm_keys
            .into_iter()
            .filter_map(|key| match key {
                authority::RealmKeyChange::Put(key) => Some(key),
                authority::RealmKeyChange::Removed { .. } => None,
            })
            .collect();
        let (changed, cursor, complete) = (page.subscribers, page.next, page.from_beginning);
        Some((home_agent::Request::Subscribers { changed, realm_keys, cursor, complete }, cursor))
    }
}
