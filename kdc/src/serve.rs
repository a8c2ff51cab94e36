//! Serving: store, desk, gRPC over TLS.

use anyhow::Context as _;
use daemon::secret_file;
use keystore::Store;
use proto::kdc::{kdc_admin_server::KdcAdminServer, key_distribution_server::KeyDistributionServer};

use crate::{
    administration::Administration, config::KdcConfig, desk::Desk, distribution::Distribution,
    watchers::Watchers,
};

/// Requests are small; this keeps a caller from filling memory with one. In octets.
const LARGEST_REQUEST: usize = 64 * 1024;

const SERVICES: [&str; 2] = ["sojourn.kdc.v1.KeyDistribution", "sojourn.kdc.v1.KdcAdmin"];

/// Serves until asked to stop.
pub(crate) async fn serve(config: KdcConfig) -> anyhow::Result<()> {
    let kek = secret_file::read_key(&config.state_key)?;
    let store = Store::open(&config.state, crypto::Key::new(*kek.expose())).await?;
    drop(kek);
    let desk = Desk::open(config.realm.as_str(), store.clone()).await?;
    let watchers = Watchers::default();
    let files =
        admin::tls::Files { ca: config.tls.ca, certificate: config.tls.certificate, key: config.tls.key };
    let server = admin::tls::Server::bind(config.listen, &files).await?;
    let address = server.local_addr().context("the address is unknown")?;

    let distribution = Distribution::new(desk.clone(), watchers.clone());
    let administration = Administration::new(desk, store.clone(), watchers, config.vendor);
    let routes = admin::tls::routes(proto::FILE_DESCRIPTOR_SET, &SERVICES)
        .add_service(KeyDistributionServer::new(distribution).max_decoding_message_size(LARGEST_REQUEST))
        .add_service(KdcAdminServer::new(administration).max_decoding_message_size(LARGEST_REQUEST));

    tracing::info!(%address, realm = %config.realm, "ready");
    tokio::select! {
        ended = server.serve(routes) => ended.context("serving ended")?,
        stop = daemon::signals::terminated() => stop?,
    }
    store.close().await;
    Ok(())
}
