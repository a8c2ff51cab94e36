//! The service `sojourn.agent.v1.Agent`, the same in home agent, foreign agent and mobile node.

use std::{net::Ipv4Addr, pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt as _, stream};
use proto::agent::{
    Association, Binding, CountersReply, CountersRequest, DeleteAssociationReply, DeleteAssociationRequest,
    DeregisterReply, DeregisterRequest, Event, ListAssociationsRequest, ListBindingsRequest,
    ListVisitorsRequest, ReloadReply, ReloadRequest, RenewAssociationReply, RenewAssociationRequest,
    RevokeBindingReply, RevokeBindingRequest, RevokeVisitorReply, RevokeVisitorRequest, Role, StatusReply,
    StatusRequest, Visitor, WatchEventsRequest,
    agent_server::{self, AgentServer},
};
use tokio::sync::{mpsc, oneshot, watch};
use tonic::{Request, Response, Status, service::Routes};

use crate::{AgentSnapshot, EventLog, services};

/// What an operator asks of an agent's core.
#[derive(Debug)]
pub enum AgentRequest {
    /// Mobile node: give up the binding. Answered when the home agent confirmed it, or with the reason why not.
    Deregister(oneshot::Sender<Result<(), String>>),
    /// Home agent: end the bindings of a home address; foreign agent: end the visit of the mobile node that has it.
    /// Answered when that is durable, or with the reason why it was not done.
    Revoke(Ipv4Addr, oneshot::Sender<Result<(), String>>),
    /// Have the registration renewed whose association receives under this index. Answered when it was, or with the
    /// reason why not.
    Renew(u32, oneshot::Sender<Result<(), String>>),
    /// End the registration whose association receives under this index. Answered when that is durable, or with the
    /// reason why it was not done.
    Delete(u32, oneshot::Sender<Result<(), String>>),
}

/// Who wants the configuration to be read again: told what has changed, or why nothing has.
pub type Reload = oneshot::Sender<Result<Vec<String>, String>>;

/// Has the configuration read again.
///
/// # Errors
/// `FAILED_PRECONDITION` with what is wrong with it, `UNAVAILABLE` while the process ends.
pub async fn reload(reloads: &mpsc::Sender<Reload>) -> Result<Vec<String>, Status> {
    let stopping = || Status::unavailable("the daemon is stopping");
    let (answer, answered) = oneshot::channel();
    reloads.send(answer).await.map_err(|_| stopping())?;
    answered.await.map_err(|_| stopping())?.map_err(Status::failed_precondition)
}

/// Somebody is about to look at the newest snapshot, and waits until it is as new as it can be.
pub type Look = oneshot::Sender<()>;

/// How long a new snapshot is waited for before the one that is there is shown: one of a million rows takes a second.
const LOOK: Duration = Duration::from_secs(5);

/// The service, answering from the newest snapshot and the event log.
#[derive(Clone, Debug)]
pub struct Agent {
    snapshots: watch::Receiver<Arc<AgentSnapshot>>,
    events: EventLog,
    requests: Option<mpsc::Sender<AgentRequest>>,
    reloads: Option<mpsc::Sender<Reload>>,
    looks: Option<mpsc::Sender<Look>>,
}

impl Agent {
    /// An agent that only tells.
    #[must_use]
    pub const fn new(snapshots: watch::Receiver<Arc<AgentSnapshot>>, events: EventLog) -> Self {
        Self { snapshots, events, requests: None, reloads: None, looks: None }
    }

    /// An agent that also takes requests.
    #[must_use]
    pub fn with_requests(mut self, requests: mpsc::Sender<AgentRequest>) -> Self {
        self.requests = Some(requests);
        self
    }

    /// An agent that reads its configuration again when asked.
    #[must_use]
    pub fn with_reloads(mut self, reloads: mpsc::Sender<Reload>) -> Self {
        self.reloads = Some(reloads);
        self
    }

    /// An agent that is told when somebody looks, and makes a snapshot for him then.
    #[must_use]
    pub fn with_looks(mut self, looks: mpsc::Sender<Look>) -> Self {
        self.looks = Some(looks);
        self
    }

    /// The service with health and reflection beside it.
    #[must_use]
    pub fn routes(self) -> Routes {
        services::routes(proto::FILE_DESCRIPTOR_SET, &["sojourn.agent.v1.Agent"])
            .add_service(AgentServer::new(self))
    }

    fn snapshot(&self) -> Arc<AgentSnapshot> {
        self.snapshots.borrow().clone()
    }

    /// The snapshot for somebody who looks now.
    async fn newest(&self) -> Arc<AgentSnapshot> {
        if let Some(looks) = &self.looks {
            let (look, made) = oneshot::channel();
            let made = async { looks.send(look).await.is_ok() && made.await.is_ok() };
            // Without an answer the agent is stopping or overloaded: what there is says more than an error.
            let _ = tokio::time::timeout(LOOK, made).await;
        }
        self.snapshot()
    }

    /// Hands a request to the core and waits for its answer.
    async fn ask_any(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<(), String>>) -> AgentRequest,
    ) -> Result<(), Status> {
        let stopping = || Status::unavailable("the agent is stopping");
        let none = || Status::unimplemented("this agent takes no requests");
        let requests = self.requests.as_ref().ok_or_else(none)?;
        let (answer, answered) = oneshot::channel();
        requests.send(request(answer)).await.map_err(|_| stopping())?;
        match answered.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(reason)) => Err(Status::failed_precondition(reason)),
            Err(_) => Err(stopping()),
        }
    }

    /// The same at an agent with this role; `wrong` is what others say.
    async fn ask(
        &self,
        role: Role,
        wrong: &str,
        request: impl FnOnce(oneshot::Sender<Result<(), String>>) -> AgentRequest,
    ) -> Result<(), Status> {
        let found = self.snapshot().status_at(0).role();
        if found != role || self.requests.is_none() {
            return Err(Status::unimplemented(wrong));
        }
        self.ask_any(request).await
    }

    /// The rows of the newest snapshot, made one by one as the client takes them.
    async fn rows<T: Send + 'static>(
        &self,
        row: fn(&AgentSnapshot, usize, u64) -> Option<T>,
    ) -> Response<Rows<T>> {
        let snapshot = self.newest().await;
        let age_s = snapshot.age_s();
        let rows = (0..).map_while(move |n| row(&snapshot, n, age_s)).map(Ok);
        Response::new(Box::pin(stream::iter(rows)))
    }
}

type Rows<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl agent_server::Agent for Agent {
    type ListBindingsStream = Rows<Binding>;
    type ListVisitorsStream = Rows<Visitor>;
    type ListAssociationsStream = Rows<Association>;
    type WatchEventsStream = Rows<Event>;

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusReply>, Status> {
        let snapshot = self.newest().await;
        Ok(Response::new(snapshot.status_at(snapshot.age_s())))
    }

    async fn list_bindings(
        &self,
        _: Request<ListBindingsRequest>,
    ) -> Result<Response<Self::ListBindingsStream>, Status> {
        Ok(self.rows(AgentSnapshot::binding_at).await)
    }

    async fn list_visitors(
        &self,
        _: Request<ListVisitorsRequest>,
    ) -> Result<Response<Self::ListVisitorsStream>, Status> {
        Ok(self.rows(AgentSnapshot::visitor_at).await)
    }

    async fn list_associations(
        &self,
        _: Request<ListAssociationsRequest>,
    ) -> Result<Response<Self::ListAssociationsStream>, Status> {
        Ok(self.rows(AgentSnapshot::association_at).await)
    }

    async fn counters(&self, request: Request<CountersRequest>) -> Result<Response<CountersReply>, Status> {
        let nai = request.into_inner().nai;
        let none = "only home agents and foreign agents count registrations; this is a mobile node";
        let counters =
            self.newest().await.counters_of(&nai).ok_or_else(|| Status::failed_precondition(none))?;
        if !nai.is_empty() && counters.peers.is_empty() {
            return Err(Status::not_found(format!("nothing was counted of \"{nai}\" since the start")));
        }
        Ok(Response::new(counters))
    }

    async fn watch_events(
        &self,
        request: Request<WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let WatchEventsRequest { after, kept_only } = request.into_inner();
        let events = self.events.watch(after, kept_only).map(|event| Ok(Event::clone(&event)));
        Ok(Response::new(Box::pin(events)))
    }

    async fn deregister(&self, _: Request<DeregisterRequest>) -> Result<Response<DeregisterReply>, Status> {
        let wrong = "only a mobile node has a registration to give up; this is another kind of agent";
        self.ask(Role::MobileNode, wrong, AgentRequest::Deregister).await?;
        Ok(Response::new(DeregisterReply {}))
    }

    async fn reload(&self, _: Request<ReloadRequest>) -> Result<Response<ReloadReply>, Status> {
        let Some(reloads) = &self.reloads else {
            return Err(Status::unimplemented("this agent does not read its configuration again"));
        };
        Ok(Response::new(ReloadReply { changes: reload(reloads).await? }))
    }

    async fn revoke_binding(
        &self,
        request: Request<RevokeBindingRequest>,
    ) -> Result<Response<RevokeBindingReply>, Status> {
        let home_address = address(&request.into_inner().home_address)?;
        let wrong = "only a home agent has bindings to revoke; this is another kind of agent";
        self.ask(Role::HomeAgent, wrong, |answer| AgentRequest::Revoke(home_address, answer)).await?;
        Ok(Response::new(RevokeBindingReply {}))
    }

    async fn renew_association(
        &self,
        request: Request<RenewAssociationRequest>,
    ) -> Result<Response<RenewAssociationReply>, Status> {
        let index = request.into_inner().inbound_spi;
        self.ask_any(|answer| AgentRequest::Renew(index, answer)).await?;
        Ok(Response::new(RenewAssociationReply {}))
    }

    async fn delete_association(
        &self,
        request: Request<DeleteAssociationRequest>,
    ) -> Result<Response<DeleteAssociationReply>, Status> {
        let index = request.into_inner().inbound_spi;
        self.ask_any(|answer| AgentRequest::Delete(index, answer)).await?;
        Ok(Response::new(DeleteAssociationReply {}))
    }

    async fn revoke_visitor(
        &self,
        request: Request<RevokeVisitorRequest>,
    ) -> Result<Response<RevokeVisitorReply>, Status> {
        let home_address = address(&request.into_inner().home_address)?;
        let wrong = "only a foreign agent has visitors to revoke; this is another kind of agent";
        self.ask(Role::ForeignAgent, wrong, |answer| AgentRequest::Revoke(home_address, answer)).await?;
        Ok(Response::new(RevokeVisitorReply {}))
    }
}

fn address(text: &str) -> Result<Ipv4Addr, Status> {
    let wrong = |_| Status::invalid_argument(format!("home_address: \"{text}\" is no IPv4 address"));
    text.parse().map_err(wrong)
}
