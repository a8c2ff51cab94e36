//! Health and reflection, which every server offers beside its own service.

use futures_util::FutureExt as _;
use tonic::service::Routes;
use tonic_health::{
    ServingStatus,
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};
use tonic_reflection::server::Builder;

/// Health (all of `names` serving) and reflection (of `names` in the encoded descriptor set), in both versions
/// that clients know. The caller adds the services themselves.
///
/// # Panics
/// Never with a descriptor set that the build made: it is decoded here.
#[must_use]
pub fn routes(descriptors: &'static [u8], names: &[&str]) -> Routes {
    let reporter = HealthReporter::new();
    for name in names {
        // Ready at once: nobody else holds the reporter yet.
        let _ = reporter.set_service_status(name, ServingStatus::Serving).now_or_never();
    }
    let health = HealthServer::new(HealthService::from_health_reporter(reporter));
    let mut routes = Routes::new(health);
    if let Ok(reflection) = reflection(descriptors, names).build_v1() {
        routes = routes.add_service(reflection);
    }
    if let Ok(reflection) = reflection(descriptors, names).build_v1alpha() {
        routes = routes.add_service(reflection);
    }
    routes
}

fn reflection(descriptors: &'static [u8], names: &[&str]) -> Builder<'static> {
    let builder = Builder::configure()
        .register_encoded_file_descriptor_set(descriptors)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .with_service_name("grpc.health.v1.Health");
    names.iter().fold(builder, |builder, name| builder.with_service_name(*name))
}
