//! An agent asked through its Unix socket, as `sojourn` asks it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{net::Ipv4Addr, path::PathBuf, sync::Arc, time::Duration};

use admin::{Agent, AgentRequest, AgentSnapshot, EventLog, Look, client, shown, unix::Socket};
use futures_util::{StreamExt as _, TryStreamExt as _};
use mobility::EventKind;
use proto::agent::{
    Binding, DeregisterRequest, ListBindingsRequest, ListVisitorsRequest, RevokeBindingRequest,
    RevokeVisitorRequest, Role, StatusReply, StatusRequest, WatchEventsRequest, agent_client::AgentClient,
};
use sansio::{Instant, Now};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tonic::{Code, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

struct World {
    channel: Channel,
    snapshots: watch::Sender<Arc<AgentSnapshot>>,
    events: EventLog,
    _server: JoinSet<()>,
    _folder: tempfile::TempDir,
}

async fn world(requests: Option<mpsc::Sender<AgentRequest>>) -> World {
    world_of(|agent| match requests {
        Some(requests) => agent.with_requests(requests),
        None => agent,
    })
    .await
}

async fn world_of(with: impl FnOnce(Agent) -> Agent) -> World {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("agent.sock");
    let events = EventLog::default();
    let (snapshots, watch) = watch::channel(Arc::new(AgentSnapshot::default()));
    let agent = with(Agent::new(watch, events.clone()));
    let socket = Socket::bind(&path).unwrap();
    let mut server = JoinSet::new();
    server.spawn(async move { socket.serve(agent.routes()).await.unwrap() });
    let channel = client::unix(&path).await.unwrap();
    World { channel, snapshots, events, _server: server, _folder: folder }
}

impl World {
    fn is(&self, role: Role) {
        let status = StatusReply { role: role.into(), ..StatusReply::default() };
        self.snapshots.send_replace(Arc::new(AgentSnapshot::new(status)));
    }
}

#[tokio::test]
async fn the_newest_snapshot_is_told() {
    let world = world(None).await;
    let mut client = AgentClient::new(world.channel.clone());
    let row = |n: usize| Binding { home_address: format!("10.11.1.{n}"), ..Binding::default() };
    let mut snapshot = AgentSnapshot::new(StatusReply {
        role: Role::HomeAgent.into(),
        nai: "ha@home.example".to_owned(),
        bindings: 1000,
        ..StatusReply::default()
    });
    snapshot.bindings = (0..1000).map(row).collect();
    world.snapshots.send_replace(Arc::new(snapshot));

    let status = client.status(StatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.nai.as_str(), status.bindings), ("ha@home.example", 1000));
    let bindings: Vec<Binding> =
        client.list_bindings(ListBindingsRequest {}).await.unwrap().into_inner().try_collect().await.unwrap();
    assert_eq!(bindings, (0..1000).map(row).collect::<Vec<_>>());
    let visitors: Vec<_> =
        client.list_visitors(ListVisitorsRequest {}).await.unwrap().into_inner().try_collect().await.unwrap();
    assert!(visitors.is_empty());
}

/// Who looks sees what is so when he looks, and waits for that; an agent that stops leaves what it said last.
#[tokio::test]
async fn a_snapshot_is_made_for_who_looks() {
    let (looks_to, mut looks) = mpsc::channel(1);
    let world = world_of(|agent| agent.with_looks(looks_to)).await;
    let mut client = AgentClient::new(world.channel.clone());
    let snapshots = world.snapshots.clone();
    let agent = tokio::spawn(async move {
        for bindings in 1..=3 {
            let look: Look = looks.recv().await.unwrap();
            let status = StatusReply { bindings, ..StatusReply::default() };
            let mut snapshot = AgentSnapshot::new(status);
            snapshot.bindings.resize_with(usize::try_from(bindings).unwrap(), Binding::default);
            snapshots.send_replace(Arc::new(snapshot));
            look.send(()).unwrap();
        }
    });
    assert_eq!(client.status(StatusRequest {}).await.unwrap().into_inner().bindings, 1);
    let rows = client.list_bindings(ListBindingsRequest {}).await.unwrap().into_inner();
    assert_eq!(rows.try_collect::<Vec<_>>().await.unwrap().len(), 2);
    assert_eq!(client.status(StatusRequest {}).await.unwrap().into_inner().bindings, 3);
    agent.await.unwrap();
    assert_eq!(client.status(StatusRequest {}).await.unwrap().into_inner().bindings, 3);
}

#[tokio::test]
async fn events_are_told_and_followed() {
    let world = world(None).await;
    let mut client = AgentClient::new(world.channel.clone());
    let now = Now { mono: Instant::new(Duration::from_secs(1)), unix: Duration::from_secs(5) };
    let happened = |kind| shown::event(&mobility::Event::new(kind, "told"), now);
    for kind in [EventKind::LinkUp, EventKind::AgentHeard] {
        world.events.push(happened(kind));
    }
    let kept = client.watch_events(WatchEventsRequest { after: 0, kept_only: true }).await.unwrap();
    let kept: Vec<_> = kept.into_inner().map(|event| event.unwrap().kind).collect().await;
    assert_eq!(kept, ["link_up", "agent_heard"]);

    let mut followed =
        client.watch_events(WatchEventsRequest { after: 1, kept_only: false }).await.unwrap().into_inner();
    let next = followed.message().await.unwrap().unwrap();
    assert_eq!((next.number, next.unix_ns, next.boot_ns), (2, 5_000_000_000, 1_000_000_000));
    world.events.push(happened(EventKind::Registered));
    assert_eq!(followed.message().await.unwrap().unwrap().kind, "registered");
}

#[tokio::test]
async fn deregistration_goes_to_the_core_and_its_answer_comes_back() {
    let (requests, mut asked) = mpsc::channel(1);
    let world = world(Some(requests)).await;
    world.is(Role::MobileNode);
    let mut client = AgentClient::new(world.channel.clone());
    let core = tokio::spawn(async move {
        for answer in [Ok(()), Err("not registered".to_owned())] {
            let Some(AgentRequest::Deregister(back)) = asked.recv().await else { panic!("no request") };
            back.send(answer).unwrap();
        }
        let Some(AgentRequest::Deregister(forgotten)) = asked.recv().await else { panic!("no request") };
        drop(forgotten);
    });
    assert!(client.deregister(DeregisterRequest {}).await.is_ok());
    let refusal = client.deregister(DeregisterRequest {}).await.unwrap_err();
    assert_eq!((refusal.code(), refusal.message()), (Code::FailedPrecondition, "not registered"));
    assert_eq!(client.deregister(DeregisterRequest {}).await.unwrap_err().code(), Code::Unavailable);
    core.await.unwrap();
}

#[tokio::test]
async fn revocations_go_to_the_core_of_the_right_role_and_its_answer_comes_back() {
    for role in [Role::HomeAgent, Role::ForeignAgent, Role::MobileNode] {
        let (requests, mut asked) = mpsc::channel(1);
        let world = world(Some(requests)).await;
        world.is(role);
        let core = tokio::spawn(async move {
            while let Some(AgentRequest::Revoke(address, back)) = asked.recv().await {
                let known = address == Ipv4Addr::new(10, 11, 1, 50);
                back.send(if known { Ok(()) } else { Err("not here".to_owned()) }).unwrap();
            }
        });
        for (address, right) in [
            ("10.11.1.50", Ok(())),
            ("10.11.1.51", Err((Code::FailedPrecondition, "not here"))),
            (
                "traveller-one",
                Err((Code::InvalidArgument, "home_address: \"traveller-one\" is no IPv4 address")),
            ),
        ] {
            let home_address = address.to_owned();
            let (mut client, mut other) =
                (AgentClient::new(world.channel.clone()), AgentClient::new(world.channel.clone()));
            let binding = RevokeBindingRequest { home_address: home_address.clone() };
            let visitor = RevokeVisitorRequest { home_address };
            let answers = [
                (Role::HomeAgent, client.revoke_binding(binding).await.map(|_| ())),
                (Role::ForeignAgent, other.revoke_visitor(visitor).await.map(|_| ())),
            ];
            for (of, answer) in answers {
                let told = answer.as_ref().copied().map_err(|s| (s.code(), s.message()));
                if of == role || right.is_err_and(|(code, _)| code == Code::InvalidArgument) {
                    assert_eq!(told, right, "{of:?}");
                } else {
                    assert_eq!(told.unwrap_err().0, Code::Unimplemented, "{of:?} asked of {role:?}");
                }
            }
        }
        drop(world);
        core.await.unwrap();
    }
}

#[tokio::test]
async fn an_agent_without_registration_says_so() {
    let world = world(None).await;
    let refusal = AgentClient::new(world.channel).deregister(DeregisterRequest {}).await.unwrap_err();
    assert_eq!(refusal.code(), Code::Unimplemented);
    assert!(refusal.message().contains("only a mobile node"), "{}", refusal.message());
}

#[tokio::test]
async fn health_and_reflection_answer() {
    let world = world(None).await;
    let health = HealthClient::new(world.channel.clone())
        .check(HealthCheckRequest { service: "sojourn.agent.v1.Agent".to_owned() })
        .await
        .unwrap();
    assert_eq!(health.into_inner().status(), tonic_health::pb::health_check_response::ServingStatus::Serving);

    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut replies = ServerReflectionClient::new(world.channel)
        .server_reflection_info(tokio_stream::once(request))
        .await
        .unwrap()
        .into_inner();
    let Some(MessageResponse::ListServicesResponse(list)) =
        replies.message().await.unwrap().unwrap().message_response
    else {
        panic!("no list of services")
    };
    let names: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert!(names.contains(&"sojourn.agent.v1.Agent"), "{names:?}");
}
