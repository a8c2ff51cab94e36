//! What is only looked at: subscribers, grants, and what a home agent takes over.

use record::{Grant, HomeAgent, Subscriber};

use super::{
    Answer, Ask, Caller, ChangesPage, GrantsWanted, Kdc, Page, RealmKeyChange, Refusal, RevokedAssociation,
    SubscriberView, check,
};

impl Kdc {
    /// The registered home agent that asks.
    pub(super) fn asking_home_agent(&self, caller: &Caller) -> Result<&HomeAgent, Refusal> {
        self.ledger.home_agent(&caller.name).ok_or_else(|| Refusal::NotRegistered(caller.name.to_string()))
    }

    /// Subscribers of the asking home agent that changed after `since`, and their revoked associations.
    pub(super) fn changes_since(
        &self,
        caller: &Caller,
        since: u64,
        limit: usize,
        first: bool,
        time: u64,
    ) -> Result<Answer, Refusal> {
        let agent = self.asking_home_agent(caller)?;
        let from_beginning = since == 0 || !self.ledger.knows(since);
        let since = if from_beginning { 0 } else { since };
        let mut of_agent = self.ledger.changed_since(since).filter(|s| serves(agent, s));
        let subscribers: Vec<Subscriber> = of_agent.by_ref().take(limit).map(Subscriber::duplicate).collect();
        let more = of_agent.next().is_some();
        let revoked = subscribers.iter().flat_map(|s| self.revoked_of(s, time)).collect();
        let last = subscribers.last().map_or(since, |s| s.change);
        let next = if more { last } else { self.ledger.change() };
        let realm_keys = if first { self.all_keys() } else { self.keys_between(since, next) };
        Ok(Answer::Changes(ChangesPage { revoked, subscribers, realm_keys, next, more, from_beginning }))
    }

    fn all_keys(&self) -> Vec<RealmKeyChange> {
        let mut keys: Vec<_> = self.ledger.realm_keys().map(|k| RealmKeyChange::Put(k.duplicate())).collect();
        keys.sort_by_key(RealmKeyChange::change);
        keys
    }

    /// Keys of the realm changed after `since` and not after `next`.
    fn keys_between(&self, since: u64, next: u64) -> Vec<RealmKeyChange> {
        let removed = self.ledger.removed_since(since);
        let removed = removed.map(|(change, id)| RealmKeyChange::Removed { id, change });
        let mut keys = self.all_keys();
        keys.extend(removed);
        keys.retain(|key| key.change() > since && key.change() <= next);
        keys.sort_by_key(RealmKeyChange::change);
        keys
    }

    fn revoked_of(&self, subscriber: &Subscriber, time: u64) -> Vec<RevokedAssociation> {
        let grants = self.ledger.grants().revoked_of(&subscriber.nai).filter(|grant| grant.ends > time);
        grants.map(|grant| RevokedAssociation { change: subscriber.change, grant: grant.clone() }).collect()
    }

    pub(super) fn subscribers(&self, after: &str, limit: usize, include_revoked: bool) -> Answer {
        let all = self.ledger.subscribers_after(after);
        let shown = all.filter(|s| include_revoked || s.state == record::SubscriberState::Active);
        Answer::Subscribers(page(shown.map(SubscriberView::from), limit))
    }

    /// What has to be read out of the store before `ask` can be decided; `None` for nothing.
    pub(super) fn grants_for(&self, ask: &Ask, time: u64) -> Option<GrantsWanted> {
        let grants = self.ledger.grants();
        let of = |nai: &str| {
            let subscriber = self.ledger.subscriber(nai)?;
            Some((subscriber.nai.clone(), grants.newest(&subscriber.nai)?))
        };
        match ask {
            Ask::Subscriber { nai } => Some(GrantsWanted { of: Some(of(nai)?), ..grants.shown(time) }),
            Ask::Grants { after, limit, nai, include_ended } => Some(GrantsWanted {
                of: if nai.is_empty() { None } else { Some(of(nai)?) },
                after: *after,
                // One more shows whether there are more.
                limit: limit.saturating_add(1),
                ..if *include_ended { grants.shown(time) } else { grants.live(time) }
            }),
            Ask::RevokeSubscriber { nai, .. } => {
                Some(GrantsWanted { of: Some(of(nai)?), ..grants.live(time) })
            }
            Ask::RevokeAssociation { id, .. } => Some(GrantsWanted {
                after: id.saturating_sub(1),
                limit: 1,
                issued_since: 0,
                ..grants.shown(time)
            }),
            _ => None,
        }
    }

    /// A subscriber with its grants.
    pub(super) fn subscriber(&self, nai: &str, grants: Vec<Grant>) -> Result<Answer, Refusal> {
        let subscriber = self.known(nai)?.into();
        Ok(Answer::Subscriber { subscriber, grants })
    }

    /// At most `limit` of `grants`, which are all or those of one subscriber.
    pub(super) fn grants(&self, limit: usize, nai: &str, mut grants: Vec<Grant>) -> Result<Answer, Refusal> {
        if !nai.is_empty() {
            self.known(nai)?;
        }
        let more = grants.len() > limit;
        grants.truncate(limit);
        Ok(Answer::Grants(Page { items: grants, more }))
    }

    fn known(&self, nai: &str) -> Result<&Subscriber, Refusal> {
        let nai = check::any_nai("the subscriber", nai)?;
        self.ledger.subscriber(nai.as_str()).ok_or(Refusal::UnknownSubscriber(nai))
    }
}

/// True if the subscriber belongs to this home agent.
pub(super) fn serves(agent: &HomeAgent, subscriber: &Subscriber) -> bool {
    agent.address.is_none_or(|address| address == subscriber.home_agent)
}

fn page<T>(mut items: impl Iterator<Item = T>, limit: usize) -> Page<T> {
    let taken: Vec<T> = items.by_ref().take(limit).collect();
    Page { items: taken, more: items.next().is_some() }
}
