//! The service `sojourn.agent.v1.Agent`, the same in home agent, foreign agent and mobile node.

use std::{pin::Pin, sync::Arc};

use futures_util::{Stream, StreamExt as _, stream};
use proto::agent::{
    Association, Binding, DeregisterReply, DeregisterRequest, Event, ListAssociationsRequest,
    ListBindingsRequest, ListVisitorsRequest, StatusReply, StatusRequest, Visitor, WatchEventsRequest,
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
}

/// The service, answering from the newest snapshot and the event log.
#[derive(Clone, Debug)]
pub struct Agent {
    snapshots: watch::Receiver<Arc<AgentSnapshot>>,
    events: EventLog,
    requests: Option<mpsc::Sender<AgentRequest>>,
}

impl Agent {
    /// An agent that only tells.
    #[must_use]
    pub const fn new(snapshots: watch::Receiver<Arc<AgentSnapshot>>, events: EventLog) -> Self {
        Self { snapshots, events, requests: None }
    }

    /// An agent that also takes requests, as a mobile node does.
    #[must_use]
    pub fn with_requests(mut self, requests: mpsc::Sender<AgentRequest>) -> Self {
        self.requests = Some(requests);
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

    /// The rows of the newest snapshot, made one by one as the client takes them.
    fn rows<T: Send + 'static>(&self, row: fn(&AgentSnapshot, usize, u64) -> Option<T>) -> Response<Rows<T>> {
        let snapshot = self.snapshot();
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
        let snapshot = self.snapshot();
        Ok(Response::new(snapshot.status_at(snapshot.age_s())))
    }

    async fn list_bindings(
        &self,
        _: Request<ListBindingsRequest>,
    ) -> Result<Response<Self::ListBindingsStream>, Status> {
        Ok(self.rows(AgentSnapshot::binding_at))
    }

    async fn list_visitors(
        &self,
        _: Request<ListVisitorsRequest>,
    ) -> Result<Response<Self::ListVisitorsStream>, Status> {
        Ok(self.rows(AgentSnapshot::visitor_at))
    }

    async fn list_associations(
        &self,
        _: Request<ListAssociationsRequest>,
    ) -> Result<Response<Self::ListAssociationsStream>, Status> {
        Ok(self.rows(AgentSnapshot::association_at))
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
        let Some(requests) = &self.requests else {
            return Err(Status::unimplemented(
                "only a mobile node has a registration to give up; this is another kind of agent",
            ));
        };
        let stopping = || Status::unavailable("the mobile node is stopping");
        let (answer, answered) = oneshot::channel();
        requests.send(AgentRequest::Deregister(answer)).await.map_err(|_| stopping())?;
        match answered.await {
            Ok(Ok(())) => Ok(Response::new(DeregisterReply {})),
            Ok(Err(reason)) => Err(Status::failed_precondition(reason)),
            Err(_) => Err(stopping()),
        }
    }
}
