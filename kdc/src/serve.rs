//! Serving: store, desk, gRPC over TLS.

use anyhow::Context as _;
use daemon::{reload::Reloads, secret_file};
use keystore::Store;
use proto::kdc::{kdc_admin_server::KdcAdminServer, key_distribution_server::KeyDistributionServer};

use tokio::sync::watch;

use crate::{
    administration::Administration, config::KdcConfig, desk::Desk, distribution::Distribution, watched,
    watchers::Watchers,
};

/// Requests are small; this keeps a caller from filling memory with one. In octets.
const LARGEST_REQUEST: usize = 64 * 1024;
/// The same of home agents: 512 questions for keys with the longest names in one message.
const LARGEST_BATCH: usize = 512 * 1024;

const SERVICES: [&str; 2] = ["sojourn.kdc.v1.KeyDistribution", "sojourn.kdc.v1.KdcAdmin"];

/// Serves until asked to stop.
pub(crate) async fn serve(config: KdcConfig, mut reloads: Reloads<KdcConfig>) -> anyhow::Result<()> {
    let watch_port = admin::http::Watched::at(config.metrics, "kdc")?;
    let kek = secret_file::read_key(&config.state_key)?;
    let store = Store::open(&config.state, crypto::Key::new(*kek.expose())).await?;
    drop(kek);
    let desk = Desk::open(config.realm.as_str(), store.clone()).await?;
    let watchers = Watchers::default();
    let server = admin::tls::Server::bind(config.listen, &config.files()).await?;
    let acceptor = server.acceptor();
    let address = server.local_addr().context("the address is unknown")?;

    watch_port.show(watched::seen(desk.clone(), watchers.clone(), store.figures()));
    let distribution = Distribution::new(desk.clone(), watchers.clone());
    let (vendor, vendor_now) = watch::channel(config.vendor);
    let administration =
        Administration::new(desk, store.clone(), watchers, vendor_now).with_reloads(reloads.asks());
    let routes = admin::tls::routes(proto::FILE_DESCRIPTOR_SET, &SERVICES)
        .add_service(KeyDistributionServer::new(distribution).max_decoding_message_size(LARGEST_BATCH))
        .add_service(KdcAdminServer::new(administration).max_decoding_message_size(LARGEST_REQUEST));

    tracing::info!(%address, realm = %config.realm, "ready");
    // Nobody can have a half of it: the certificates are the last that could fail.
    let replace = |config: &KdcConfig| {
        acceptor.replace(&config.files())?;
        Ok(config.vendor)
    };
    let reloading = async {
        loop {
            vendor.send_replace(reloads.next(replace).await);
            reloads.applied();
        }
    };
    tokio::select! {
        ended = server.serve(routes) => ended.context("serving ended")?,
        stop = daemon::signals::terminated() => stop?,
        () = reloading => {}
    }
    store.close().await;
    Ok(())
}
