//! The key distribution centre as one machine: asks in, commits and answers out.
//!
//! ```text
//!          ask                    ask, ask …                     Persisted(ok): answer, publish
//!   idle ───────> committing ──────────────> (they wait) ───────────────────────────────> idle or committing
//!                     └── Persisted(error): all is put back, every ask of the commit is refused
//! ```
//!
//! There is one commit on its way at most. What is asked meanwhile waits and goes into the next one together,
//! so that a burst of issues costs few writes, each ask sees the outcome of those before it, and a refused
//! commit leaves nothing behind.

mod ask;
mod audit;
mod check;
mod enrol;
mod event;
mod grants;
mod issue;
mod ledger;
mod overlap;
mod read;
mod realm;
mod refusal;
mod remembered;
mod revoke;
mod rotate;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crypto::Rng;
use record::{Grant, State};
use sansio::{Input, Instant, Machine, Now, Outbox, Output};

pub use ask::{
    Answer, Ask, Caller, ChangesPage, Effect, Enrol, Issue, Issued, Page, Pair, RealmKeyChange, RealmKeyView,
    Request, RevokedAssociation, SubscriberView, Ticket,
};
pub use event::{Detail, Event, EventKind};
pub use grants::GrantsWanted;
pub use issue::Way;
pub use ledger::epoch_after;
pub use refusal::{Class, Refusal};

use audit::EntryLimit;
use ledger::Ledger;
use remembered::Remembered;

/// Changes in one commit: enough for a burst, small enough to be quick.
const COMMIT_CHANGES: usize = 512;
/// How often ended grants and overlaps are looked for.
const SWEEP: Duration = Duration::from_secs(60);

/// The state machine of the key distribution centre of one realm.
pub struct Kdc {
    realm: String,
    rng: Rng,
    ledger: Ledger,
    remembered: Remembered,
    refusals: EntryLimit,
    watches: EntryLimit,
    queue: VecDeque<(Ticket, Caller, Ask)>,
    commit: Option<Commit>,
    commits: u64,
    /// Asks that wait for grants out of the store, by the number of the read.
    reads: BTreeMap<u64, (Ticket, Ask)>,
    /// One that will change something, and holds up all others until then: none comes between what is read and what is
    /// changed.
    changing: Option<(u64, Ticket, Caller, Ask)>,
    last_read: u64,
    published: u64,
    audited: u64,
    sweep: Instant,
    outbox: Outbox<Effect>,
}

/// The one commit on its way, and who waits for it.
struct Commit {
    number: u64,
    answers: Vec<(Ticket, Result<Answer, Refusal>)>,
}

impl Kdc {
    /// Starts from what the store held. `realm` in lower case; `seed` is secret and used for nothing else.
    #[must_use]
    pub fn new(realm: &str, seed: [u8; 32], mut state: State) -> Self {
        let ledger = Ledger::new(&mut state);
        Self {
            realm: realm.to_owned(),
            rng: Rng::from_seed(seed),
            published: ledger.change(),
            audited: ledger.last_audit(),
            ledger,
            remembered: Remembered::new(state.grants),
            refusals: EntryLimit::default(),
            watches: EntryLimit::default(),
            queue: VecDeque::new(),
            commit: None,
            commits: 0,
            reads: BTreeMap::new(),
            changing: None,
            last_read: 0,
            sweep: Instant::default(),
            outbox: Outbox::default(),
        }
    }

    /// The last durable change number.
    #[must_use]
    pub const fn published(&self) -> u64 {
        self.published
    }

    /// How many subscribers, revoked ones too, and home agents it holds, and how many grants have not ended.
    #[must_use]
    pub fn held(&self) -> [u64; 3] {
        self.ledger.held()
    }

    /// The number of the last durable audit entry.
    #[must_use]
    pub const fn audited(&self) -> u64 {
        self.audited
    }

    fn persisted(&mut self, number: u64, result: Result<(), record::CommitError>) {
        let Some(commit) = self.commit.take_if(|commit| commit.number == number) else {
            return;
        };
        match result {
            Ok(()) => {
                for event in self.ledger.keep() {
                    self.outbox.effect(Effect::Notify(event));
                }
                self.remembered.keep();
                self.tell_progress();
            }
            Err(_) => {
                self.ledger.put_back();
                self.remembered.put_back();
            }
        }
        for (ticket, answer) in commit.answers {
            let answer = match &result {
                Ok(()) => answer,
                // A refusal stays what it was; only its audit entry is missing, which the store's log tells.
                Err(error) => answer.and_then(|_| Err(Refusal::Store(error.to_string()))),
            };
            self.outbox.effect(Effect::Answer { ticket, answer });
        }
    }

    fn tell_progress(&mut self) {
        if self.ledger.change() > self.published {
            self.published = self.ledger.change();
            self.outbox.effect(Effect::Publish { change: self.published });
        }
        if self.ledger.last_audit() > self.audited {
            self.audited = self.ledger.last_audit();
            self.outbox.effect(Effect::Audited { number: self.audited });
        }
    }

    /// Works off what waits, up to the next commit. `answers` are of the asks that are decided already.
    fn work(&mut self, mut answers: Vec<(Ticket, Result<Answer, Refusal>)>, now: Now) {
        if self.commit.is_some() || self.changing.is_some() {
            return;
        }
        while let Some((_, _, ask)) = self.queue.front() {
            // Reading must work although the store does not: it never goes into a commit. And what is read is durable.
            let alone = ask.reads() || ask.revokes();
            if self.ledger.is_changed() && (alone || self.ledger.pending() >= COMMIT_CHANGES) {
                break;
            }
            let Some((ticket, caller, ask)) = self.queue.pop_front() else {
                break;
            };
            if let Some(wanted) = self.grants_for(&ask, now.unix.as_secs()) {
                self.last_read += 1;
                self.outbox.effect(Effect::Read { read: self.last_read, wanted });
                if ask.revokes() {
                    self.changing = Some((self.last_read, ticket, caller, ask));
                    return;
                }
                self.reads.insert(self.last_read, (ticket, ask));
                continue;
            }
            answers.push((ticket, self.decide(&caller, ask, Vec::new(), now)));
            if !self.ledger.is_changed() {
                self.answer_all(&mut answers);
            }
        }
        if self.ledger.is_changed() {
            self.commits += 1;
            let changes = self.ledger.take_changes();
            self.outbox.effect(Effect::Persist { commit: self.commits, changes });
            self.commit = Some(Commit { number: self.commits, answers });
        }
    }

    /// Grants came out of the store; returns the answer to whoever waited for them to change something.
    fn found(
        &mut self,
        read: u64,
        result: Result<Vec<Grant>, String>,
        now: Now,
    ) -> Option<(Ticket, Result<Answer, Refusal>)> {
        let result = result.map_err(Refusal::Store);
        if let Some((_, ticket, caller, ask)) = self.changing.take_if(|(number, ..)| *number == read) {
            return Some((ticket, result.and_then(|grants| self.decide(&caller, ask, grants, now))));
        }
        let (ticket, ask) = self.reads.remove(&read)?;
        let answer = result.and_then(|grants| match ask {
            Ask::Subscriber { nai } => self.subscriber(&nai, grants),
            Ask::Grants { limit, nai, .. } => self.grants(limit, &nai, grants),
            _ => Ok(Answer::Noted),
        });
        self.outbox.effect(Effect::Answer { ticket, answer });
        None
    }

    fn answer_all(&mut self, answers: &mut Vec<(Ticket, Result<Answer, Refusal>)>) {
        for (ticket, answer) in answers.drain(..) {
            self.outbox.effect(Effect::Answer { ticket, answer });
        }
    }

    /// `grants` are those of [`Self::grants_for`].
    fn decide(&mut self, caller: &Caller, ask: Ask, grants: Vec<Grant>, now: Now) -> Result<Answer, Refusal> {
        let time = now.unix.as_secs();
        let (action, subject, dry_run) = ask.in_words();
        let answer = match ask {
            Ask::Enrol(enrol) => self.enrol(&enrol),
            Ask::Rotate { nai, overlap, dry_run } => self.rotate(&nai, overlap, dry_run, time),
            Ask::EnsureRealmKey => match self.ensure_realm_key(time) {
                Some(made) => Ok(made),
                None => return Ok(Answer::Noted),
            },
            Ask::RotateRealmKey { overlap, dry_run } => self.rotate_realm_key(overlap, dry_run, time),
            Ask::Backup => Ok(Answer::Noted),
            Ask::RealmKeys => return Ok(self.realm_keys(time)),
            Ask::RevokeSubscriber { nai, reason, dry_run } => {
                self.revoke_subscriber(&nai, &reason, dry_run, grants, time)
            }
            Ask::RevokeAssociation { id, reason, dry_run } => {
                let grant = grants.into_iter().next();
                self.revoke_association(id, &reason, dry_run, grant, time)
            }
            Ask::RegisterHomeAgent { name, address, dry_run } => {
                self.register(&name, &address, dry_run, time)
            }
            Ask::Issue(issue) => return self.issue_and_audit(caller, &issue, now),
            Ask::Refuse { why, .. } => {
                self.audit_refusal(caller, &action, &subject, &why, now);
                return Ok(Answer::Noted);
            }
            Ask::Watch { .. } => {
                let known = self.asking_home_agent(caller).map(|_| Answer::Noted);
                if known.is_ok() {
                    self.audit_watch(caller, &action, &subject, now);
                    return known;
                }
                known
            }
            Ask::ChangesSince { since, limit, first } => {
                return self.changes_since(caller, since, limit, first, time);
            }
            Ask::Subscribers { after, limit, include_revoked } => {
                return Ok(self.subscribers(&after, limit, include_revoked));
            }
            Ask::Subscriber { nai } => return self.subscriber(&nai, grants),
            Ask::Grants { limit, nai, .. } => return self.grants(limit, &nai, grants),
            Ask::HomeAgents => return Ok(Answer::HomeAgents(self.ledger.home_agents().cloned().collect())),
        };
        match &answer {
            _ if dry_run => {}
            Ok(done) => {
                let details = audit::details(done);
                self.audit_done(caller, &action, &subject, &details, now);
                if let Some(kind) = event::kind_of(done) {
                    let (subject, detail) = (subject.into(), Detail::Text(details));
                    self.ledger.tell(Event { kind, subject, detail });
                }
            }
            Err(refusal) => self.audit_refusal(caller, &action, &subject, &refusal.to_string(), now),
        }
        answer
    }
}

impl Machine for Kdc {
    type Request = Request;
    type Effect = Effect;

    fn handle(&mut self, input: Input<'_, Request>, now: Now) {
        self.remembered.forget(now.mono);
        self.ledger.end_grants(now.unix.as_secs());
        if now.mono >= self.sweep && self.commit.is_none() && self.changing.is_none() {
            self.sweep = now.mono + SWEEP;
            self.ledger.forget_grants(now.unix.as_secs());
            self.refusals.forget(now.mono);
            self.watches.forget(now.mono);
            self.end_overlaps(now);
        }
        let mut answers = Vec::new();
        match input {
            Input::Request(Request::Ask { ticket, caller, ask }) => {
                self.queue.push_back((ticket, caller, ask));
            }
            Input::Request(Request::Asks(asks)) => self.queue.extend(asks),
            Input::Request(Request::Persisted { commit, result }) => self.persisted(commit, result),
            Input::Request(Request::Grants { read, result }) => {
                answers.extend(self.found(read, result, now));
                if !self.ledger.is_changed() {
                    self.answer_all(&mut answers);
                }
            }
            Input::Datagram(_) | Input::Tick => {}
        }
        self.work(answers, now);
    }

    fn poll(&mut self) -> Output<Effect> {
        let sweep = self.ledger.overlaps_run().then_some(self.sweep);
        let wake = [self.remembered.deadline(), sweep].into_iter().flatten().min();
        self.outbox.poll(wake)
    }
}

#[cfg(test)]
mod tests;
