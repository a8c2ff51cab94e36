//! The desk at which the machine works: one task that owns it, takes asks from everywhere, and carries out its
//! effects in order.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use authority::{Answer, Ask, Caller, Class, Effect, GrantsWanted, Issue, Kdc, Refusal, Request, Ticket};
use keystore::{GrantFilter, Store};
use sansio::{Input, Instant, Machine as _, Now, Output};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};
use tonic::{Code, Status};

use crate::{events::Events, watched::Figures};

/// Asks that may wait; beyond, the callers wait.
const WAITING: usize = 1024;
/// Asks that the machine is given at a time: what comes together is committed together.
const TOGETHER: usize = 512;

type Reply = oneshot::Sender<Result<Answer, Refusal>>;
type Replies = oneshot::Sender<Vec<Result<Answer, Refusal>>>;

/// What comes to the desk.
enum Asked {
    One(Caller, Ask, Reply),
    /// Keys for many registrations; answered together.
    Issues(Caller, Vec<Issue>, Replies),
}

/// The way to the machine; cheap to clone.
#[derive(Clone)]
pub(crate) struct Desk {
    asks: mpsc::Sender<Asked>,
    published: watch::Receiver<u64>,
    audited: watch::Receiver<u64>,
    events: Events,
    figures: Arc<Figures>,
}

/// Why there is no answer.
pub(crate) enum Failure {
    /// The machine refused.
    Refused(Refusal),
    /// The machine is gone: the process is ending.
    Gone,
}

impl Failure {
    pub(crate) fn into_error(self) -> anyhow::Error {
        match self {
            Self::Refused(refusal) => refusal.into(),
            Self::Gone => anyhow::anyhow!("the key distribution centre is stopping"),
        }
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let refusal = match failure {
            Failure::Refused(refusal) => refusal,
            Failure::Gone => return Self::unavailable("the key distribution centre is stopping"),
        };
        let code = match refusal.class() {
            Class::Invalid => Code::InvalidArgument,
            Class::NotFound => Code::NotFound,
            Class::Exists => Code::AlreadyExists,
            Class::State => Code::FailedPrecondition,
            Class::Denied => Code::PermissionDenied,
            Class::Unavailable => Code::Unavailable,
        };
        Self::new(code, refusal.to_string())
    }
}

impl Desk {
    /// Loads the state and starts the task, which lives as long as a desk does. A realm that has no key yet gets
    /// its first.
    pub(crate) async fn open(realm: &str, store: Store) -> anyhow::Result<Self> {
        let state = store.load().await?;
        let kdc = Kdc::new(realm, daemon::seed().context("no key can be made")?, state);
        let (asks, inbox) = mpsc::channel(WAITING);
        let (published_to, published) = watch::channel(kdc.published());
        let (audited_to, audited) = watch::channel(kdc.audited());
        let events = Events::default();
        let figures = Arc::<Figures>::default();
        let work = Work {
            kdc,
            store,
            inbox,
            waiting: BTreeMap::new(),
            together: BTreeMap::new(),
            tickets: 0,
            begun: JoinSet::new(),
            published: published_to,
            audited: audited_to,
            events: events.clone(),
            figures: Arc::clone(&figures),
        };
        tokio::spawn(work.run());
        let desk = Self { asks, published, audited, events, figures };
        if let Err(failure) = desk.ask(Self::local(), Ask::EnsureRealmKey).await {
            // Everything else works; the next start tries again.
            tracing::error!("the realm has no key yet, the next start tries again: {}", failure.into_error());
        }
        Ok(desk)
    }

    /// Who asks when nobody else does.
    pub(crate) fn local() -> Caller {
        Caller { name: "local".into(), role: "administrator".into() }
    }

    /// What happens.
    pub(crate) const fn events(&self) -> &Events {
        &self.events
    }

    /// What it counts.
    pub(crate) fn figures(&self) -> &Figures {
        &self.figures
    }

    /// False once the task has ended: then nothing is answered any more.
    pub(crate) fn works(&self) -> bool {
        !self.asks.is_closed()
    }

    /// Asks and waits for the answer.
    pub(crate) async fn ask(&self, caller: Caller, ask: Ask) -> Result<Answer, Failure> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(Asked::One(caller, ask, reply)).await.map_err(|_| Failure::Gone)?;
        answer.await.map_err(|_| Failure::Gone)?.map_err(Failure::Refused)
    }

    /// Asks for keys for many registrations, which go into one commit if they can; the answers are in the same order.
    pub(crate) async fn issue(
        &self,
        caller: Caller,
        issues: Vec<Issue>,
    ) -> Result<Vec<Result<Answer, Refusal>>, Failure> {
        if issues.is_empty() {
            return Ok(Vec::new());
        }
        let (replies, answers) = oneshot::channel();
        self.asks.send(Asked::Issues(caller, issues, replies)).await.map_err(|_| Failure::Gone)?;
        answers.await.map_err(|_| Failure::Gone)
    }

    /// The number of the last durable change of subscribers.
    pub(crate) fn published(&self) -> watch::Receiver<u64> {
        self.published.clone()
    }

    /// The number of the last durable audit entry.
    pub(crate) fn audited(&self) -> watch::Receiver<u64> {
        self.audited.clone()
    }
}

struct Work {
    kdc: Kdc,
    store: Store,
    inbox: mpsc::Receiver<Asked>,
    /// With whether keys were asked for.
    waiting: BTreeMap<Ticket, (Reply, bool)>,
    /// Those that are answered together, by the first of their tickets, which follow each other.
    together: BTreeMap<Ticket, Together>,
    tickets: u64,
    /// Commits and reads that are on their way.
    begun: JoinSet<Request>,
    published: watch::Sender<u64>,
    audited: watch::Sender<u64>,
    events: Events,
    figures: Arc<Figures>,
}

/// Issues that are answered together.
struct Together {
    answers: Vec<Option<Result<Answer, Refusal>>>,
    missing: usize,
    replies: Replies,
}

impl Work {
    async fn run(mut self) {
        let mut asked = Vec::with_capacity(TOGETHER);
        loop {
            let wake = self.carry_out();
            self.figures.holds(&self.kdc);
            // Finished commits first: asks wait for them anyway.
            let input = tokio::select! {
                biased;
                Some(done) = self.begun.join_next() => match done {
                    Ok(done) => {
                        if let Request::Persisted { result: Err(error), .. } = &done {
                            tracing::error!("what was asked for was not done, and whoever asked is told: {error}");
                        }
                        Input::Request(done)
                    }
                    Err(error) => {
                        // Whether something was written is unknown: only a fresh start can tell.
                        tracing::error!(
                            "a commit or a read ended unexpectedly, nothing is answered any more, restart: {error}"
                        );
                        return;
                    }
                },
                count = self.inbox.recv_many(&mut asked, TOGETHER) => {
                    if count == 0 {
                        return;
                    }
                    let mut asks = Vec::with_capacity(count);
                    asked.drain(..).for_each(|asked| self.take(asked, &mut asks));
                    self.figures.asked(asks.len());
                    Input::Request(Request::Asks(asks))
                }
                () = sleep_until(wake) => Input::Tick,
            };
            self.kdc.handle(input, now());
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    /// Gives tickets to what was asked.
    fn take(&mut self, asked: Asked, asks: &mut Vec<(Ticket, Caller, Ask)>) {
        match asked {
            Asked::One(caller, ask, reply) => {
                let ticket = self.ticket();
                self.waiting.insert(ticket, (reply, matches!(ask, Ask::Issue(_))));
                asks.push((ticket, caller, ask));
            }
            Asked::Issues(caller, issues, replies) => {
                let answers = issues.iter().map(|_| None).collect::<Vec<_>>();
                let together = Together { missing: answers.len(), answers, replies };
                self.together.insert(Ticket(self.tickets + 1), together);
                for issue in issues {
                    asks.push((self.ticket(), caller.clone(), Ask::Issue(issue)));
                }
            }
        }
    }

    /// Hands an answer to whoever waits for it.
    fn answer(&mut self, ticket: Ticket, answer: Result<Answer, Refusal>) {
        if let Some((reply, for_keys)) = self.waiting.remove(&ticket) {
            self.figures.answered(for_keys, &answer);
            // A caller that has gone away wants no answer any more.
            let _ = reply.send(answer);
            return;
        }
        let Some((first, together)) = self.together.range_mut(..=ticket).next_back() else { return };
        self.figures.answered(true, &answer);
        let first = *first;
        let place = usize::try_from(ticket.0 - first.0).ok().and_then(|at| together.answers.get_mut(at));
        if let Some(place) = place {
            *place = Some(answer);
            together.missing -= 1;
        }
        if together.missing == 0
            && let Some(done) = self.together.remove(&first)
        {
            let _ = done.replies.send(done.answers.into_iter().flatten().collect());
        }
    }

    /// Carries out what the machine wants; returns when it wants to be woken.
    fn carry_out(&mut self) -> Option<Instant> {
        loop {
            match self.kdc.poll() {
                Output::Effect(Effect::Persist { commit, changes }) => {
                    // Queued here, so that commits keep the order of the effects.
                    let committed = self.store.commit(changes);
                    self.begun.spawn(async move { Request::Persisted { commit, result: committed.await } });
                }
                Output::Effect(Effect::Read { read, wanted }) => {
                    let store = self.store.clone();
                    self.begun.spawn(async move {
                        let result = store.grants(&filter(&wanted)).await;
                        Request::Grants { read, result: result.map_err(|error| error.to_string()) }
                    });
                }
                Output::Effect(Effect::Answer { ticket, answer }) => self.answer(ticket, answer),
                Output::Effect(Effect::Publish { change }) => drop(self.published.send_replace(change)),
                Output::Effect(Effect::Notify(event)) => {
                    self.events.tell(event);
                }
                Output::Effect(Effect::Audited { number }) => drop(self.audited.send_replace(number)),
                Output::Send(_) => {}
                Output::Wait(wake) => return wake,
            }
        }
    }
}

/// What the store is asked for.
fn filter(wanted: &GrantsWanted) -> GrantFilter {
    GrantFilter {
        newest: wanted.of.as_ref().map(|(_, newest)| *newest),
        live_at: wanted.live_at,
        ends_after: Some(wanted.ends_after),
        issued_since: wanted.issued_since,
        after: wanted.after,
        limit: u32::try_from(wanted.limit).unwrap_or(u32::MAX),
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep(wake - now().mono).await,
        None => std::future::pending().await,
    }
}

/// Both clocks of the host. Whether suspension counts does not matter here: nothing but the memory of recent
/// answers follows the monotonic one.
fn now() -> Now {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    let start = START.get_or_init(std::time::Instant::now);
    Now {
        mono: Instant::new(start.elapsed()),
        unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO),
    }
}
