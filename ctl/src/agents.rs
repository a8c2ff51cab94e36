//! What is asked of agents, over their Unix sockets.

pub(crate) mod json;
mod show;

use std::{net::Ipv4Addr, path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use proto::agent::{
    CountersRequest, DeregisterRequest, ListAssociationsRequest, ListBindingsRequest, ListVisitorsRequest,
    ReloadRequest, RevokeBindingRequest, RevokeVisitorRequest, Role, StatusReply, StatusRequest,
    WatchEventsRequest, agent_client::AgentClient,
};
use serde_json::Value;
use tonic::{Request, Streaming, transport::Channel};

use crate::{
    associations,
    failure::Failure,
    output::{json_value, line},
};

/// How long an agent may take to answer; it answers from memory.
pub(crate) const ANSWER: Duration = Duration::from_secs(10);
/// How long a deregistration may take: the mobile node's retransmissions take most of it.
const DEREGISTRATION: Duration = Duration::from_secs(60);

/// What a home agent can be asked.
#[derive(Subcommand)]
pub(crate) enum HomeAgent {
    /// Who it is, since when it serves, whether it reaches its key distribution centre, its counters.
    Status,
    /// The mobile nodes that are away, with the tunnel to each.
    Bindings,
    /// Its security associations, without keys: the same as `sojourn sa list`.
    Associations,
    /// Registrations accepted and denied, in a minute and by mobile node, and how fast keys come.
    #[command(after_help = COUNTING)]
    Counters {
        /// Only this mobile node, by its NAI
        #[arg(long, value_name = "NAI")]
        node: Option<String>,
    },
    /// What happened, oldest first.
    Events(Events),
    /// Reads its configuration file again, all or nothing, and says what is different; no binding is touched.
    Reload,
    /// Ends the binding of a mobile node before its time, and tells whoever serves it.
    #[command(after_help = REVOKING)]
    Revoke(Revoke),
}

/// What a foreign agent can be asked.
#[derive(Subcommand)]
pub(crate) enum ForeignAgent {
    /// Who it is, since when it serves, its counters.
    Status,
    /// The mobile nodes that visit its links.
    Visitors,
    /// Its security associations, without keys: the same as `sojourn sa list`.
    Associations,
    /// Registrations relayed, accepted and denied, in a minute and by home agent, and how fast those answer.
    #[command(after_help = COUNTING)]
    Counters {
        /// Only this home agent, by its NAI
        #[arg(long, value_name = "NAI")]
        home_agent: Option<String>,
    },
    /// What happened, oldest first.
    Events(Events),
    /// Reads its configuration file again, all or nothing, and says what is different; no binding is touched.
    Reload,
    /// Sends a mobile node away before its time, and tells its home agent.
    #[command(after_help = REVOKING)]
    Revoke(Revoke),
}

/// What a mobile node can be asked.
#[derive(Subcommand)]
pub(crate) enum MobileNode {
    /// Where it is, through which agent, and how long its registration lasts.
    Status,
    /// What happened, oldest first.
    Events(Events),
    /// Reads its configuration file again, all or nothing, and says what is different; no binding is touched.
    Reload,
    /// Gives up the binding at the home agent, as at a shutdown, and waits for the confirmation.
    Deregister,
}

/// Which events.
#[derive(Args)]
pub(crate) struct Events {
    /// Go on with events as they happen, until interrupted.
    #[arg(long, short)]
    follow: bool,

    /// Only events with a higher number; the agent keeps the last 4096.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    after: u64,
}

/// What the figures mean.
const COUNTING: &str = "Counted since the daemon started. Why requests were discarded or denied, by reason and by code, \
stands among the counters of `status`; how much may be used by whom, in [limits] of the configuration.";

/// What who revokes should know.
const REVOKING: &str = "The end is durable when this command is done. The other agent is told until it acknowledges. The \
mobile node may register again at once: to keep it away for good use `sojourn kdc revoke`.";

/// Whose registration.
#[derive(Args)]
pub(crate) struct Revoke {
    /// Home address of the mobile node.
    #[arg(value_name = "HOME-ADDRESS")]
    home_address: Ipv4Addr,
}

/// A question to an agent of a certain role.
pub(crate) struct Command {
    role: Role,
    question: Question,
}

enum Question {
    Status,
    Bindings,
    Visitors,
    Associations,
    Counters(Option<String>),
    Events(Events),
    RevokeBinding(Revoke),
    RevokeVisitor(Revoke),
    Reload,
    Deregister,
}

impl From<HomeAgent> for Command {
    fn from(command: HomeAgent) -> Self {
        let question = match command {
            HomeAgent::Status => Question::Status,
            HomeAgent::Bindings => Question::Bindings,
            HomeAgent::Associations => Question::Associations,
            HomeAgent::Events(events) => Question::Events(events),
            HomeAgent::Counters { node } => Question::Counters(node),
            HomeAgent::Reload => Question::Reload,
            HomeAgent::Revoke(whose) => Question::RevokeBinding(whose),
        };
        Self { role: Role::HomeAgent, question }
    }
}

impl From<ForeignAgent> for Command {
    fn from(command: ForeignAgent) -> Self {
        let question = match command {
            ForeignAgent::Status => Question::Status,
            ForeignAgent::Visitors => Question::Visitors,
            ForeignAgent::Associations => Question::Associations,
            ForeignAgent::Events(events) => Question::Events(events),
            ForeignAgent::Counters { home_agent } => Question::Counters(home_agent),
            ForeignAgent::Reload => Question::Reload,
            ForeignAgent::Revoke(whose) => Question::RevokeVisitor(whose),
        };
        Self { role: Role::ForeignAgent, question }
    }
}

impl From<MobileNode> for Command {
    fn from(command: MobileNode) -> Self {
        let question = match command {
            MobileNode::Status => Question::Status,
            MobileNode::Events(events) => Question::Events(events),
            MobileNode::Reload => Question::Reload,
            MobileNode::Deregister => Question::Deregister,
        };
        Self { role: Role::MobileNode, question }
    }
}

/// Reaches the agent behind `socket`.
pub(crate) async fn connect(socket: Option<PathBuf>) -> Result<AgentClient<Channel>, Failure> {
    let socket = socket.ok_or_else(|| {
        Failure::Unreachable(
            "which agent? Give --socket PATH, or set SOJOURN_SOCKET, to [admin] socket of its configuration"
                .to_owned(),
        )
    })?;
    Ok(AgentClient::new(admin::client::unix(&socket).await?))
}

/// Asks the agent behind `socket` and writes its answer.
pub(crate) async fn run(command: Command, socket: Option<PathBuf>, json: bool) -> Result<(), Failure> {
    let mut client = connect(socket).await?;
    let status = client.status(within(ANSWER, StatusRequest {})).await?.into_inner();
    check_role(command.role, &status)?;
    match command.question {
        Question::Status if json => json_value(&json::status(&status)),
        Question::Status => show::status(&status),
        Question::Bindings => {
            let reply = client.list_bindings(within(ANSWER, ListBindingsRequest {})).await?;
            answer(reply.into_inner(), json, json::binding, show::bindings).await?;
        }
        Question::Visitors => {
            let reply = client.list_visitors(within(ANSWER, ListVisitorsRequest {})).await?;
            answer(reply.into_inner(), json, json::visitor, show::visitors).await?;
        }
        Question::Associations => {
            let reply = client.list_associations(within(ANSWER, ListAssociationsRequest {})).await?;
            answer(reply.into_inner(), json, json::association, associations::show::list).await?;
        }
        Question::Counters(peer) => {
            let request = CountersRequest { nai: peer.unwrap_or_default() };
            let counters = client.counters(within(ANSWER, request)).await?.into_inner();
            if json {
                json_value(&json::counters(&counters, command.role));
            } else {
                show::counters(&counters, command.role);
            }
        }
        Question::Events(which) => events(&mut client, &which, json).await?,
        Question::RevokeBinding(Revoke { home_address }) => {
            let request = RevokeBindingRequest { home_address: home_address.to_string() };
            client.revoke_binding(within(ANSWER, request)).await?;
            done(json, &format!("The binding of {home_address} is gone; whoever serves it is being told."));
        }
        Question::RevokeVisitor(Revoke { home_address }) => {
            let request = RevokeVisitorRequest { home_address: home_address.to_string() };
            client.revoke_visitor(within(ANSWER, request)).await?;
            done(json, &format!("The visitor {home_address} is gone; its home agent is being told."));
        }
        Question::Reload => {
            let reply = client.reload(within(ANSWER, ReloadRequest {})).await?.into_inner();
            show_changes(&reply.changes, json);
        }
        Question::Deregister => {
            client.deregister(within(DEREGISTRATION, DeregisterRequest {})).await?;
            done(json, "The home agent confirmed that the binding is gone.");
        }
    }
    Ok(())
}

/// What a configuration that was read again has changed.
pub(crate) fn show_changes(changes: &[String], json: bool) {
    if json {
        return json_value(&serde_json::json!({ "changes": changes }));
    }
    if changes.is_empty() {
        line("The configuration was read again: nothing is different.");
    }
    changes.iter().for_each(|change| line(change));
}

/// Says that something was done: an empty object for scripts.
pub(crate) fn done(json: bool, text: &str) {
    if json {
        json_value(&Value::Object(serde_json::Map::new()));
    } else {
        line(text);
    }
}

pub(crate) fn within<T>(time: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(time);
    request
}

fn check_role(asked: Role, status: &StatusReply) -> Result<(), Failure> {
    let found = status.role();
    if found == asked {
        return Ok(());
    }
    let (found, word) = match found {
        Role::HomeAgent => ("a home agent", "ha"),
        Role::ForeignAgent => ("a foreign agent", "fa"),
        Role::MobileNode => ("a mobile node", "mn"),
        Role::Unspecified => {
            return Err(Failure::Refused("the agent behind this socket is still starting".to_owned()));
        }
    };
    Err(Failure::Refused(format!(
        "behind this socket is {found}, {}: use `sojourn {word} …`, or another socket",
        status.nai
    )))
}

/// Takes all rows of `reply`, so that the table's columns fit all of them.
async fn answer<T>(
    mut reply: Streaming<T>,
    json: bool,
    to_json: fn(&T) -> Value,
    show: fn(&[T]),
) -> Result<(), Failure> {
    let mut rows = Vec::new();
    while let Some(row) = reply.message().await? {
        rows.push(row);
    }
    if json {
        json_value(&rows.iter().map(to_json).collect());
    } else {
        show(&rows);
    }
    Ok(())
}

/// Without a deadline: whoever follows waits as long as he likes.
async fn events(client: &mut AgentClient<Channel>, which: &Events, json: bool) -> Result<(), Failure> {
    let request = WatchEventsRequest { after: which.after, kept_only: !which.follow };
    let mut events = client.watch_events(request).await?.into_inner();
    while let Some(event) = events.message().await? {
        line(&if json { json::event(&event).to_string() } else { show::event(&event) });
    }
    Ok(())
}
