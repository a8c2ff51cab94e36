//! The mobile node daemon: finds out where it is, registers there, and keeps its home address working.

mod admin;
mod config;
mod effects;
mod links;
mod state;
mod watched;

use std::{collections::BTreeMap, process::ExitCode, sync::Arc};

use ::admin::{Agent, AgentSnapshot, EventLog, http::Watched, unix::Socket};
use clap::Parser;
use daemon::{enrolment::Enrolment, reload::Reloads};
use forward::{Side, Table};
use mobility::{Ticket, mobile_node::MobileNode};
use net::{
    clock::Clock,
    link::{Hears, LinkSocket},
    netlink::{Netlink, Watch},
    plan, tunnel,
};
use sansio::LinkId;
use tokio::sync::{mpsc, watch};

use self::{admin::Publisher, config::Config, effects::World, links::Interfaces, state::StateFile};

/// Keeps a host reachable under its home address wherever it is attached.
///
/// It needs the right to change routes and to open raw sockets and TUN devices (root, or CAP_NET_ADMIN and
/// CAP_NET_RAW). When it is stopped, routes and registration stay, and the next start goes on with them;
/// `sojourn mn --socket mn.sock deregister` gives the registration up.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    daemon: daemon::Args,
}

fn main() -> ExitCode {
    if let Some(code) = daemon::manual::asked::<Cli>() {
        return code;
    }
    let cli = Cli::parse();
    match daemon::start::<Config>(&cli.daemon) {
        Ok((config, reloads, log)) => daemon::run(log, serve(config, reloads)),
        Err(code) => code,
    }
}

async fn serve(config: Config, reloads: Reloads<Config>) -> anyhow::Result<()> {
    let watch_port = Watched::at(config.metrics, "mobile-node")?;
    let enrolment = Enrolment::load(&config.enrolment)?;
    let started = Clock.now();
    let file = StateFile::new(config.state.clone(), enrolment.generation);
    let kept = file.load();
    if enrolment.one_time && enrolment.realm_keys.is_empty() {
        tracing::warn!(
            "the enrolment has no realm_keys: when {} is lost, only a new one helps",
            config.state.display()
        );
    }
    let mut core = MobileNode::new(config.core(&enrolment)?, daemon::seed()?, kept, started);
    let (events, (snapshots, newest_snapshot)) =
        (EventLog::default(), watch::channel(Arc::new(AgentSnapshot::default())));
    let (requests, asked) = mpsc::channel(4);
    let socket = Socket::bind(&config.admin.socket)?;

    // The device first: routes that an earlier life left behind lead into it, and must find it.
    let device = config.tunnel.device.as_str();
    let (tunnel, datagrams) = tunnel::Tunnel::open(tunnel::Config {
        device: device.to_owned(),
        mark: Some(plan::MARK),
        ports: Vec::new(),
        table: Table::new(Side::Visited, []),
        encapsulations: config.encapsulations(),
        offload: config.tunnel.offload,
        mss_clamp: config.tunnel.mss_clamp,
        links: tunnel::Links::None,
    })?;
    let netlink = Netlink::connect()?;
    let interfaces = config.interfaces();
    let home = plan::mobile_node::Home {
        address: core.home_address(),
        prefix_length: enrolment.home_prefix_length,
        gateway: enrolment.home_gateway,
    };
    let plan = plan::mobile_node::MobileNode::start(netlink.clone(), &interfaces, device, home).await?;
    let mut sockets = BTreeMap::new();
    for (id, name) in (0..).zip(&interfaces) {
        sockets.insert(LinkId(id), LinkSocket::open(name, Hears::MobileNode)?);
    }
    let names = sockets.values().map(|s| (s.index(), s.name().to_owned())).collect();
    let (happened, changes) = mpsc::channel(64);
    tokio::spawn(links::watch(netlink, Watch::open(&interfaces).await?, names, happened));

    let mut publisher = Publisher::new(snapshots, started.mono);
    publisher.publish(&core, std::iter::empty(), started);
    watch_port.show(watched::seen(newest_snapshot.clone(), tunnel.watch_counters()));
    let agent =
        Agent::new(newest_snapshot, events.clone()).with_requests(requests).with_reloads(reloads.asks());
    tokio::spawn(socket.serve(agent.routes()));
    let (states, newest) = watch::channel((Ticket::default(), kept));
    let (done, written) = mpsc::channel(4);
    let keeper = tokio::spawn(file.clone().keep(newest, done));
    let mut world = World {
        home,
        home_agent: enrolment.home_agent,
        plan,
        tunnel,
        interfaces: Interfaces::new(&sockets),
        sockets,
        changes,
        datagrams,
        asked,
        states,
        written,
        events,
        publisher,
        reloads,
        stop: Box::pin(async {
            if let Err(error) = daemon::signals::terminated().await {
                tracing::error!("SIGTERM is not heard, so it ends now: {error}");
            }
        }),
        now: effects::Present::default(),
    };
    tracing::info!(links = interfaces.join(" "), "ready");
    let done = net::drive::drive(&mut core, &mut world).await;
    // The last word is written here, once the writer beside the loop has come to rest.
    drop(world);
    keeper.await?;
    if let Err(error) = file.save(core.state()) {
        tracing::warn!("the last state was not kept: {error:#}");
    }
    done
}
