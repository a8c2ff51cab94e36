//! The foreign agent daemon: says that it is there, relays registrations, delivers to visitors.

mod admin;
mod config;
mod counters;
mod effects;
mod limits;
mod watched;

use std::{net::SocketAddrV4, process::ExitCode, sync::Arc};

use ::admin::{Agent, AgentSnapshot, EventLog, http::Watched, unix::Socket};
use anyhow::Context as _;
use clap::Parser;
use crypto::Key;
use daemon::reload::Reloads;
use forward::{Side, Table};
use keystore::Store;
use mobility::foreign_agent::ForeignAgent;
use net::{
    clock::Clock,
    deliveries::Deliveries,
    link::{Hears, LinkSocket},
    netlink::{Netlink, Watch},
    plan, tunnel, udp,
};
use tokio::sync::{mpsc, watch};
use wire::mip::PORT;

use self::{
    admin::Publisher,
    config::Config,
    effects::{Visited, World},
};

/// Serves mobile nodes that visit its links: relays their registrations to their home agents, and tunnels.
///
/// It needs the right to open raw sockets and TUN devices (root, or CAP_NET_ADMIN and CAP_NET_RAW).
/// Ask it what it does with `sojourn fa --socket fa.sock visitors`.
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
    let watch_port = Watched::at(config.metrics, "foreign-agent")?;
    let clock = Clock;
    let started = clock.now();
    let (kek, _) = daemon::secret_file::create_if_absent(&config.state_key)?;
    let store = Store::open(&config.state, Key::new(*kek.expose())).await?;
    let state = store.load().await?;
    let mut core = ForeignAgent::new(config.core()?, daemon::seed()?, state, started);

    let netlink = Netlink::connect()?;
    let visited = check_links(&netlink, &config).await?;
    let events = EventLog::default();
    let (snapshots, newest_snapshot) = watch::channel(Arc::new(AgentSnapshot::default()));
    let (operators, asked) = mpsc::channel(4);
    let socket = Socket::bind(&config.admin.socket)?;

    // Ports and tunnel first: nothing may leave untunnelled meanwhile.
    let interfaces = config.interfaces();
    let port = udp::Port::open(SocketAddrV4::new(config.care_of, PORT), None)?;
    let silent = config
        .links
        .iter()
        .filter(|link| link.address != config.care_of)
        .map(|link| udp::Silent::open(SocketAddrV4::new(link.address, PORT)))
        .collect::<Result<Vec<_>, _>>()?;
    let device = config.tunnel.device.as_str();
    let (mut tunnel, datagrams) = tunnel::Tunnel::open(tunnel::Config {
        device: device.to_owned(),
        mark: None,
        ports: vec![port.clone()],
        // Nothing comes out before the ways to the visitors stand.
        table: Table::new(Side::Visited, []),
        encapsulations: config.encapsulations(),
        offload: config.tunnel.offload,
        mss_clamp: config.tunnel.mss_clamp,
        links: config.handed_over(),
    })?;
    datagrams.prefer(config.home_agents.iter().map(|home| home.address));
    let refusals = tunnel.refusals().context("the tunnel has just been opened")?;
    let names: Vec<&str> = interfaces.iter().map(String::as_str).collect();
    let visitors: Vec<_> = core.tunnels().filter_map(|visitor| visited.visitor(&visitor)).collect();
    let planned: Vec<_> = visitors.iter().map(|(visitor, _)| visitor.clone()).collect();
    let plan = plan::ForeignAgent::start(netlink, &names, device, config.mtu(), &planned).await?;
    let mut links = Vec::new();
    for name in &names {
        links.push(LinkSocket::open(name, Hears::ForeignAgent)?);
    }
    let changes = Watch::open(&names).await?;

    let mut publisher = Publisher::new(snapshots, interfaces.clone(), started.mono);
    publisher.publish(&core, Vec::new(), started);
    watch_port.show(watched::seen(newest_snapshot.clone(), store.figures(), tunnel.watch_counters()));
    let agent =
        Agent::new(newest_snapshot, events.clone()).with_requests(operators).with_reloads(reloads.asks());
    tokio::spawn(socket.serve(agent.routes()));
    let restored = visitors.len();
    let mut world = World {
        deliveries: Deliveries::new(plan, tunnel, visitors),
        visited,
        clock,
        store,
        links,
        port,
        silent,
        changes,
        datagrams,
        asked,
        waiting: Default::default(),
        last_asked: Default::default(),
        refusals,
        events,
        publisher,
        reloads,
        stop: Box::pin(async {
            if let Err(error) = daemon::signals::terminated().await {
                tracing::error!("SIGTERM is not heard, so it ends now: {error}");
            }
        }),
        commits: Default::default(),
        exchanges: Default::default(),
        troubles: Default::default(),
        turn: 0,
    };
    tracing::info!(care_of = %config.care_of, links = names.join(" "), visitors = restored, "ready");
    net::drive::drive(&mut core, &mut world).await?;
    world.store.close().await;
    Ok(())
}

/// The interfaces must be there; an address that is not is told, for it may come later.
async fn check_links(netlink: &Netlink, config: &Config) -> anyhow::Result<Visited> {
    let mut visited = Visited::default();
    for link in &config.links {
        let index = netlink.link(link.interface.as_str()).await?.index;
        visited.0.push((link.interface.to_string(), index, link.address));
        let addresses = netlink.addresses(index).await?;
        if !addresses.iter().any(|held| held.address == link.address) {
            tracing::warn!(
                "{} has no address {}: mobile nodes on that link cannot reach us",
                link.interface,
                link.address
            );
        }
    }
    Ok(visited)
}
