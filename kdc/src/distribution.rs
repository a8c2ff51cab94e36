//! `KeyDistribution`: what home agents ask. Which subscribers and keys a home agent gets is decided by the
//! machine, by the name in its certificate.

use std::{fmt, mem::take, pin::Pin, sync::Arc};

use admin::Role;
use authority::{Answer, Ask, Caller, ChangesPage};
use futures_util::{Stream, StreamExt as _};
use proto::kdc::{
    AcknowledgeChangesReply, AcknowledgeChangesRequest, CaughtUp, IssueKeysBatch, IssueKeysBatchReply,
    IssueKeysReply, IssueKeysRequest, IssueKeysStreamReply, Refusal, SubscriberChange,
    WatchSubscribersRequest, issue_keys_stream_reply, key_distribution_server::KeyDistribution,
    subscriber_change::What,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    convert,
    desk::{Desk, Failure},
    permit::permit,
    watchers::{Connected, Watchers},
};

/// Subscribers asked of the machine at a time.
const PAGE: usize = 128;
/// Requests in one message of a stream.
const BATCH: usize = 512;
/// Messages of one stream in flight.
const IN_FLIGHT: usize = 16;
/// Messages that wait for a slow receiver, and keep KEY 0 in memory meanwhile.
const READY: usize = 16;

/// The service.
pub(crate) struct Distribution {
    desk: Desk,
    watchers: Watchers,
}

impl Distribution {
    pub(crate) const fn new(desk: Desk, watchers: Watchers) -> Self {
        Self { desk, watchers }
    }

    async fn home_agent<T>(&self, request: &Request<T>, method: &str) -> Result<Caller, Status> {
        permit(&self.desk, request, method, &[Role::HomeAgent]).await
    }
}

#[tonic::async_trait]
impl KeyDistribution for Distribution {
    type WatchSubscribersStream = ReceiverStream<Result<SubscriberChange, Status>>;
    type IssueKeysStreamStream = Pin<Box<dyn Stream<Item = Result<IssueKeysBatchReply, Status>> + Send>>;

    async fn watch_subscribers(
        &self,
        request: Request<WatchSubscribersRequest>,
    ) -> Result<Response<Self::WatchSubscribersStream>, Status> {
        let caller = self.home_agent(&request, "WatchSubscribers").await?;
        let since = request.into_inner().since;
        self.desk.ask(caller.clone(), Ask::Watch { since }).await?;
        tracing::info!(home_agent = &*caller.name, since, "a home agent takes over subscribers");
        let (to, stream) = mpsc::channel(READY);
        let connected = self.watchers.connect(&caller.name, since.min(*self.desk.published().borrow()));
        self.desk.events().push("home-agent-connected", &caller.name, &format!("has changes up to {since}"));
        let watch = Watch { desk: self.desk.clone(), caller, to, _connected: connected };
        tokio::spawn(watch.run(since));
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn acknowledge_changes(
        &self,
        request: Request<AcknowledgeChangesRequest>,
    ) -> Result<Response<AcknowledgeChangesReply>, Status> {
        let caller = self.home_agent(&request, "AcknowledgeChanges").await?;
        let change = request.into_inner().change;
        let last = *self.desk.published().borrow();
        if change > last {
            return Err(Status::invalid_argument(format!(
                "change {change} was never made; the last is {last}"
            )));
        }
        if !self.watchers.progress(&caller.name).connected() {
            return Err(Status::failed_precondition("watch subscribers first"));
        }
        self.watchers.acknowledge(&caller.name, change);
        Ok(Response::new(AcknowledgeChangesReply {}))
    }

    async fn issue_keys(
        &self,
        request: Request<IssueKeysRequest>,
    ) -> Result<Response<IssueKeysReply>, Status> {
        let caller = self.home_agent(&request, "IssueKeys").await?;
        issue(&self.desk, caller, request.into_inner()).await.map(Response::new)
    }

    async fn issue_keys_stream(
        &self,
        request: Request<Streaming<IssueKeysBatch>>,
    ) -> Result<Response<Self::IssueKeysStreamStream>, Status> {
        let caller = self.home_agent(&request, "IssueKeysStream").await?;
        let desk = self.desk.clone();
        let replies = request.into_inner().map(move |asked| {
            let (desk, caller) = (desk.clone(), caller.clone());
            async move { replies_to(&desk, caller, asked?).await }
        });
        Ok(Response::new(Box::pin(replies.buffer_unordered(IN_FLIGHT))))
    }
}

/// The name of a registration in the log, if the home agent gave one.
fn trace(octets: &[u8]) -> Option<impl tracing::Value + use<>> {
    struct Trace(u128);
    impl fmt::Display for Trace {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{:032x}", self.0)
        }
    }
    let octets = <[u8; 16]>::try_from(octets).ok()?;
    Some(tracing::field::display(Trace(u128::from_be_bytes(octets))))
}

/// What the machine said, in the log and for the home agent.
fn told(
    home_agent: &str,
    octets: &[u8],
    answer: Result<Answer, Status>,
) -> Result<authority::Issued, Status> {
    let trace = trace(octets);
    match answer {
        Ok(Answer::Issued(issued)) => {
            tracing::info!(word = "keys_issued", trace, home_agent, association = issued.id, "keys issued");
            Ok(issued)
        }
        Ok(_) => Err(Status::internal("the machine answered something else")),
        Err(why) => {
            tracing::warn!(word = "keys_refused", trace, home_agent, "no keys issued: {}", why.message());
            Err(why)
        }
    }
}

async fn issue(desk: &Desk, caller: Caller, mut request: IssueKeysRequest) -> Result<IssueKeysReply, Status> {
    let (home_agent, trace) = (Arc::clone(&caller.name), take(&mut request.trace));
    let answer = desk.ask(caller, Ask::Issue(convert::issue_from(request))).await.map_err(Status::from);
    told(&home_agent, &trace, answer).map(|issued| convert::issued(&issued))
}

/// All of them are asked together, so that one commit holds them.
async fn replies_to(
    desk: &Desk,
    caller: Caller,
    batch: IssueKeysBatch,
) -> Result<IssueKeysBatchReply, Status> {
    if batch.requests.len() > BATCH {
        return Err(Status::invalid_argument(format!("a message has at most {BATCH} requests")));
    }
    let home_agent = Arc::clone(&caller.name);
    let mut asked = Vec::with_capacity(batch.requests.len());
    let issues = batch.requests.into_iter().map(|mut request| {
        asked.push((request.request_id.clone(), take(&mut request.trace)));
        convert::issue_from(request)
    });
    let issues = issues.collect();
    let answers = desk.issue(caller, issues).await?;
    let replies = answers.into_iter().zip(asked).map(|(answer, (request_id, trace))| {
        let answer = answer.map_err(|refusal| Status::from(Failure::Refused(refusal)));
        let result = match told(&home_agent, &trace, answer) {
            Ok(issued) => issue_keys_stream_reply::Result::Issued(convert::issued(&issued)),
            Err(status) => issue_keys_stream_reply::Result::Refusal(Refusal {
                code: i32::from(status.code()).unsigned_abs(),
                message: status.message().to_owned(),
            }),
        };
        IssueKeysStreamReply { request_id, result: Some(result) }
    });
    Ok(IssueKeysBatchReply { replies: replies.collect() })
}

/// One home agent that takes over subscribers.
struct Watch {
    desk: Desk,
    caller: Caller,
    to: mpsc::Sender<Result<SubscriberChange, Status>>,
    _connected: Connected,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.desk.events().push("home-agent-disconnected", &self.caller.name, "");
    }
}

impl Watch {
    /// Sends the backlog, says so, and goes on with each change, until the home agent goes away.
    async fn run(self, since: u64) {
        let mut published = self.desk.published();
        let (mut at, mut complete, mut caught_up, mut first) = (since, false, false, true);
        loop {
            // Marked as seen before asking, so that no change in between is missed.
            published.borrow_and_update();
            let page = match self.page(at, first).await {
                Ok(page) => page,
                Err(status) => {
                    let _ = self.to.send(Err(status)).await;
                    return;
                }
            };
            let before = if first { u64::MAX } else { 0 };
            first = false;
            complete |= page.from_beginning && !caught_up;
            at = page.next;
            let more = page.more;
            if self.send(page, before).await.is_none() {
                return;
            }
            if more {
                continue;
            }
            if !caught_up {
                caught_up = true;
                let what = What::CaughtUp(CaughtUp { complete });
                if self.to.send(Ok(convert::change(at, what))).await.is_err() {
                    return;
                }
                self.desk.events().push("home-agent-caught-up", &self.caller.name, &format!("change {at}"));
            }
            tokio::select! {
                () = self.to.closed() => return,
                changed = published.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn page(&self, since: u64, first: bool) -> Result<ChangesPage, Status> {
        match self.desk.ask(self.caller.clone(), Ask::ChangesSince { since, limit: PAGE, first }).await? {
            Answer::Changes(page) => Ok(page),
            _ => Err(Status::internal("the machine answered something else")),
        }
    }

    /// `None` once the home agent is gone. Keys of the realm with a change up to `before` stand in front of
    /// everything, the others in order of change.
    async fn send(&self, page: ChangesPage, before: u64) -> Option<()> {
        let mut keys = page.realm_keys.iter().peekable();
        // Revocations stand before the subscriber of the same change: a change is taken over when that came.
        let mut revoked = page.revoked.iter().peekable();
        for subscriber in &page.subscribers {
            while let Some(key) = keys.next_if(|key| key.change() <= subscriber.change.max(before)) {
                self.to.send(Ok(convert::realm_key_change(key))).await.ok()?;
            }
            while let Some(gone) = revoked.next_if(|gone| gone.change == subscriber.change) {
                self.to.send(Ok(convert::association_revoked(gone))).await.ok()?;
            }
            let what = What::Subscriber(convert::subscriber_record(subscriber));
            self.to.send(Ok(convert::change(subscriber.change, what))).await.ok()?;
        }
        for key in keys {
            self.to.send(Ok(convert::realm_key_change(key))).await.ok()?;
        }
        Some(())
    }
}
