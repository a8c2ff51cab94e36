//! The home agent daemon: registrations in, bindings kept, packets tunnelled to where a mobile node is.

mod admin;
mod config;
mod counters;
mod effects;
mod kdc;
mod limits;
mod watched;

use std::{collections::BTreeMap, net::SocketAddrV4, process::ExitCode, sync::Arc};

use ::admin::{Agent, AgentSnapshot, EventLog, http::Watched, unix::Socket};
use anyhow::Context as _;
use clap::Parser;
use crypto::Key;
use daemon::reload::Reloads;
use forward::{Side, Table};
use futures_util::stream::{FuturesOrdered, FuturesUnordered};
use keystore::Store;
use mobility::{Ticket, home_agent::HomeAgent};
use net::{
    clock::Clock,
    link::{Hears, LinkSocket},
    netlink::Netlink,
    plan, tunnel, udp,
};
use tokio::sync::{mpsc, watch};
use wire::mip::PORT;

use self::{
    admin::Publisher,
    config::Config,
    effects::World,
    kdc::{Kdc, line::Line},
};

/// Keeps the bindings of mobile nodes that roam, and tunnels their packets to them.
///
/// It needs the right to open raw sockets and TUN devices (root, or CAP_NET_ADMIN and CAP_NET_RAW).
/// Ask it what it does with `sojourn ha --socket ha.sock bindings`.
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
    let watch_port = Watched::at(config.metrics, "home-agent")?;
    let clock = Clock;
    let started = clock.now();
    let (kek, _) = daemon::secret_file::create_if_absent(&config.state_key)?;
    let store = Store::open(&config.state, Key::new(*kek.expose())).await?;
    let state = store.load().await?;
    let cursor = state.subscriber_cursor;
    let mut core = HomeAgent::new(config.core()?, daemon::seed()?, state, started);

    let (events, (snapshots, newest_snapshot)) =
        (EventLog::default(), watch::channel(Arc::new(AgentSnapshot::default())));
    let (kdc_state, kdc_watched) = watch::channel("connecting".to_owned());
    let (to_core, requests) = mpsc::channel(64);
    let (operators, asked) = mpsc::channel(4);
    let (looks_to, looks) = mpsc::channel(4);
    let (acknowledge, acknowledged) = mpsc::unbounded_channel();
    let kdc = Kdc::new(&config.kdc)?;
    let socket = Socket::bind(&config.admin.socket)?;

    let (mut table, links) = (Table::new(Side::HomeAgent, []), config.broadcasts());
    let mut installed = Vec::new();
    for (home_address, tunnels) in core.tunnels() {
        let entries = effects::entries(config.address, home_address, &tunnels);
        installed.push(effects::caught(home_address, &entries));
        table.set(home_address, &entries);
    }
    let table = match &links {
        tunnel::Links::Home { broadcast, .. } => table.with_broadcast(*broadcast),
        tunnel::Links::Visited { .. } | tunnel::Links::None => table,
    };
    let port = udp::Port::open(SocketAddrV4::new(config.address, PORT), None)?;
    let device = config.tunnel.device.as_str();
    let tunnel_config = tunnel::Config {
        device: device.to_owned(),
        mark: None,
        ports: vec![port.clone()],
        table: table.clone(),
        encapsulations: config.encapsulations(),
        offload: config.tunnel.offload,
        mss_clamp: config.tunnel.mss_clamp,
        links,
    };
    let (mut tunnel, datagrams) = tunnel::Tunnel::open(tunnel_config)?;
    datagrams.prefer(config.foreign_agents.iter().map(|agent| agent.address));
    let interface = config.home_link.interface.as_str();
    let netlink = Netlink::connect()?;
    let plan = plan::home_agent::HomeAgent::start(netlink, interface, device, &installed).await?;
    let link = LinkSocket::open(interface, Hears::HomeAgent)?;

    let crossings = tunnel.crossings().context("crossings are taken once")?;
    let mut publisher = Publisher::new(snapshots, kdc_watched, started.mono);
    publisher.publish(&core, &tunnel, clock);
    watch_port.show(watched::seen(newest_snapshot.clone(), store.figures(), tunnel.watch_counters()));
    let agent = Agent::new(newest_snapshot, events.clone())
        .with_requests(operators)
        .with_reloads(reloads.asks())
        .with_looks(looks_to);
    tokio::spawn(socket.serve(agent.routes()));
    tokio::spawn(kdc.clone().follow(cursor, to_core, acknowledged, kdc_state));
    let mut world = World {
        address: config.address,
        clock,
        store,
        line: Line::open(&config.kdc)?,
        port,
        link,
        plan,
        tunnel,
        table,
        table_changed: false,
        outgoing: Vec::new(),
        datagrams,
        requests,
        crossings,
        acknowledge,
        asked,
        looks,
        waiting: BTreeMap::new(),
        last_asked: Ticket::default(),
        events,
        publisher,
        reloads,
        stop: Box::pin(async {
            if let Err(error) = daemon::signals::terminated().await {
                tracing::error!("SIGTERM is not heard, so it ends now: {error}");
            }
        }),
        commits: FuturesOrdered::new(),
        reads: FuturesUnordered::new(),
    };
    tracing::info!(bindings = core.bindings().count(), subscribers = core.subscribers(), "ready");
    net::drive::drive(&mut core, &mut world).await?;
    let World { store, .. } = world;
    store.close().await;
    Ok(())
}
