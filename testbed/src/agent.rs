//! Asking the daemons over their Unix sockets: how they are, and what happened to them.

use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, mpsc::Sender},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};
use futures_util::TryStreamExt as _;
use hyper_util::rt::TokioIo;
use proto::agent::{
    Association, Binding, Event, ListAssociationsRequest, ListBindingsRequest, ReloadRequest, StatusReply,
    StatusRequest, WatchEventsRequest, agent_client::AgentClient,
};
use tokio::{net::UnixStream, sync::watch};
use tonic::transport::{Channel, Endpoint};

const ANSWER: Duration = Duration::from_secs(2);
/// Between two tries to reach a daemon that is down.
const AGAIN: Duration = Duration::from_millis(20);

/// Asks an agent for its state. Fails if it does not answer within two seconds.
pub(crate) fn status(socket: &Path) -> Result<StatusReply> {
    wait(async {
        let ask = async { anyhow::Ok(connect(socket).await?.status(StatusRequest {}).await?.into_inner()) };
        tokio::time::timeout(ANSWER, ask).await.context("no answer")?
    })?
    .with_context(|| format!("nobody answers at {}", socket.display()))
}

/// Asks a home agent for its bindings and their associations, however many there are.
pub(crate) fn bindings(socket: &Path) -> Result<(Vec<Binding>, Vec<Association>)> {
    wait(async {
        let mut client = connect(socket).await?;
        let bindings = client.list_bindings(ListBindingsRequest {}).await?.into_inner();
        let bindings = bindings.try_collect().await?;
        let associations = client.list_associations(ListAssociationsRequest {}).await?.into_inner();
        anyhow::Ok((bindings, associations.try_collect().await?))
    })?
    .with_context(|| format!("cannot list the bindings at {}", socket.display()))
}

/// Lets an agent read its configuration again. Hands back what is different now, one sentence each; what it refuses is
/// an error.
pub(crate) fn reload(socket: &Path) -> Result<Vec<String>> {
    wait(async {
        let ask = async {
            let answer = connect(socket).await?.reload(ReloadRequest {}).await;
            let reply = answer.map_err(|status| anyhow::anyhow!("{}", status.message()))?;
            anyhow::Ok(reply.into_inner().changes)
        };
        tokio::time::timeout(ANSWER, ask).await.context("no answer")?
    })?
    .with_context(|| format!("the configuration was not taken over at {}", socket.display()))
}

/// Follows the events of one daemon, over its restarts, until dropped.
pub(crate) struct Watch {
    events: Arc<Mutex<Vec<Event>>>,
    stop: Option<watch::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// An event and the node that told it.
pub(crate) struct Told {
    pub(crate) node: String,
    pub(crate) event: Event,
}

impl Watch {
    /// Begins with all events that the daemon still keeps; each is also sent to `live`.
    pub(crate) fn start(node: &str, socket: &Path, live: Option<Sender<Told>>) -> Result<Self> {
        let events = Arc::new(Mutex::new(Vec::new()));
        let (stop, stopped) = watch::channel(());
        let follower = Follower {
            node: node.to_owned(),
            socket: socket.to_owned(),
            events: Arc::clone(&events),
            live,
            stopped,
        };
        let thread = thread::Builder::new().name(format!("watch {node}")).spawn(move || {
            // Without a runtime there are no events, which the report shows.
            let _ = wait(follower.follow());
        })?;
        Ok(Self { events, stop: Some(stop), thread: Some(thread) })
    }

    /// Every event so far.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.lock().map(|events| events.clone()).unwrap_or_default()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Follower {
    node: String,
    socket: PathBuf,
    events: Arc<Mutex<Vec<Event>>>,
    live: Option<Sender<Told>>,
    stopped: watch::Receiver<()>,
}

impl Follower {
    async fn follow(mut self) {
        let mut stopped = self.stopped.clone();
        tokio::select! {
            _ = stopped.changed() => {}
            () = async {
                loop {
                    // An error means that the daemon is down; the next one is asked for all of its events.
                    let _ = self.listen().await;
                    tokio::time::sleep(AGAIN).await;
                }
            } => {}
        }
    }

    async fn listen(&mut self) -> Result<()> {
        let mut client = connect(&self.socket).await?;
        let mut stream = client.watch_events(WatchEventsRequest::default()).await?.into_inner();
        while let Some(event) = stream.message().await? {
            self.keep(event);
        }
        Ok(())
    }

    /// The same daemon, asked again, tells its events again.
    fn keep(&self, event: Event) {
        let Ok(mut events) = self.events.lock() else {
            return;
        };
        if events.iter().rev().any(|known| known.number == event.number && known.boot_ns == event.boot_ns) {
            return;
        }
        if let Some(live) = &self.live {
            let _ = live.send(Told { node: self.node.clone(), event: event.clone() });
        }
        events.push(event);
    }
}

async fn connect(socket: &Path) -> Result<AgentClient<Channel>> {
    let path = socket.to_owned();
    // The address is never looked up: the connector knows the socket.
    let channel = Endpoint::from_static("http://agent.invalid")
        .connect_with_connector(tower::service_fn(move |_| {
            let path = path.clone();
            async move { std::io::Result::Ok(TokioIo::new(UnixStream::connect(path).await?)) }
        }))
        .await?;
    Ok(AgentClient::new(channel))
}

fn wait<F: Future>(future: F) -> Result<F::Output> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future))
}
