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
mod issue;
mod ledger;
mod overlap;
mod read;
mod realm;
mod refusal;
mod revoke;
mod rotate;

use std::{collections::VecDeque, time::Duration};

use crypto::Rng;
use record::State;
use sansio::{Input, Instant, Machine, Now, Outbox, Output};

pub use ask::{
    Answer, Ask, Caller, ChangesPage, Effect, Enrol, Issue, Issued, Page, Pair, RealmKeyChange, RealmKeyView,
    Request, RevokedAssociation, SubscriberView, Ticket,
};
pub use event::{Event, EventKind};
pub use ledger::epoch_after;
pub use refusal::{Class, Refusal};

use audit::EntryLimit;
use issue::Remembered;
use ledger::Ledger;

/// Changes in one commit: enough for a burst, small enough to be quick.
const COMMIT_CHANGES: usize = 512;
/// How long grants are shown after their end.
const GRANTS_KEPT: Duration = Duration::from_secs(3600);
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
    pub fn new(realm: &str, seed: [u8; 32], state: State) -> Self {
        let ledger = Ledger::new(state);
        Self {
            realm: realm.to_owned(),
            rng: Rng::from_seed(seed),
            published: ledger.change(),
            audited: ledger.last_audit(),
            ledger,
            remembered: Remembered::default(),
            refusals: EntryLimit::default(),
            watches: EntryLimit::default(),
            queue: VecDeque::new(),
            commit: None,
            commits: 0,
            sweep: Instant::default(),
            outbox: Outbox::default(),
        }
    }

    /// The last durable change number.
    #[must_use]
    pub const fn published(&self) -> u64 {
        self.published
    }

    /// How many subscribers, home agents and grants it holds: revoked ones, and those that ended lately, too.
    #[must_use]
    pub fn held(&self) -> [usize; 3] {
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

    /// Works off what waits, up to the next commit.
    fn work(&mut self, now: Now) {
        if self.commit.is_some() {
            return;
        }
        let mut answers = Vec::new();
        while let Some((_, _, ask)) = self.queue.front() {
            // Reading must work although the store does not: it never goes into a commit.
            if self.ledger.is_changed() && (ask.reads() || self.ledger.pending() >= COMMIT_CHANGES) {
                break;
            }
            let Some((ticket, caller, ask)) = self.queue.pop_front() else {
                break;
            };
            answers.push((ticket, self.decide(&caller, ask, now)));
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

    fn answer_all(&mut self, answers: &mut Vec<(Ticket, Result<Answer, Refusal>)>) {
        for (ticket, answer) in answers.drain(..) {
            self.outbox.effect(Effect::Answer { ticket, answer });
        }
    }

    fn decide(&mut self, caller: &Caller, ask: Ask, now: Now) -> Result<Answer, Refusal> {
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
                self.revoke_subscriber(&nai, &reason, dry_run, time)
            }
            Ask::RevokeAssociation { id, reason, dry_run } => {
                self.revoke_association(id, &reason, dry_run, time)
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
            Ask::Subscriber { nai } => return self.subscriber(&nai),
            Ask::Grants { after, limit, nai, include_ended } => {
                return self.grants(after, limit, &nai, include_ended, time);
            }
            Ask::HomeAgents => return Ok(Answer::HomeAgents(self.ledger.home_agents().cloned().collect())),
        };
        match &answer {
            _ if dry_run => {}
            Ok(done) => {
                let details = audit::details(done);
                self.audit_done(caller, &action, &subject, &details, now);
                if let Some(kind) = event::kind_of(done) {
                    self.ledger.tell(Event { kind, subject, detail: details });
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
        if now.mono >= self.sweep && self.commit.is_none() {
            self.sweep = now.mono + SWEEP;
            self.ledger.forget_grants(now.unix.saturating_sub(GRANTS_KEPT).as_secs());
            self.end_overlaps(now);
        }
        match input {
            Input::Request(Request::Ask { ticket, caller, ask }) => {
                self.queue.push_back((ticket, caller, ask));
            }
            Input::Request(Request::Asks(asks)) => self.queue.extend(asks),
            Input::Request(Request::Persisted { commit, result }) => self.persisted(commit, result),
            Input::Datagram(_) | Input::Tick => {}
        }
        self.work(now);
    }

    fn poll(&mut self) -> Output<Effect> {
        let sweep = self.ledger.overlaps_run().then_some(self.sweep);
        let wake = [self.remembered.deadline(), sweep].into_iter().flatten().min();
        self.outbox.poll(wake)
    }
}

#[cfg(test)]
mod tests;
