//! Who may call what: every method of the schema with every kind of certificate.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod installation;

use std::{collections::BTreeSet, fs};

use installation::{HOME_AGENT, Holder, Installation, all};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use proto::kdc::{AuditTrailRequest, ListHomeAgentsRequest};
use rcgen::{CertificateParams, DnType, Issuer, KeyPair};
use tonic::{Code, Status, codegen::http::uri::PathAndQuery, transport::Channel};

/// Every method as `package.Service/Method`, from the descriptors that reflection shows.
fn methods() -> Vec<(String, String)> {
    let set = FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET).unwrap();
    let of_file = |file: &prost_types::FileDescriptorProto| {
        let services = file.service.iter().flat_map(|service| {
            service.method.iter().map(|method| (service.name().to_owned(), method.name().to_owned()))
        });
        services.collect::<Vec<_>>()
    };
    let kdc = set.file.iter().find(|file| file.package() == "sojourn.kdc.v1").unwrap();
    of_file(kdc)
}

/// Who may call a method. A method that is not named here fails the test.
fn allowed(method: &str) -> &'static [&'static str] {
    match method {
        "WatchSubscribers" | "AcknowledgeChanges" | "IssueKeys" | "IssueKeysStream" => &["home-agent"],
        "EnrolSubscriber" | "RotateSubscriber" | "RevokeSubscriber" | "RevokeAssociation"
        | "RegisterHomeAgent" | "RotateRealmKey" | "Backup" | "Reload" => &["administrator"],
        "ListSubscribers" | "ShowSubscriber" | "ListAssociations" | "ListHomeAgents" | "ListRealmKeys"
        | "AuditTrail" | "WatchEvents" => &["administrator", "auditor"],
        other => panic!("who may call {other}?"),
    }
}

/// Calls a method with an empty request; the reply's content does not matter.
async fn call(channel: &Channel, service: &str, method: &str) -> Result<(), Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
    let path: PathAndQuery = format!("/sojourn.kdc.v1.{service}/{method}").parse().unwrap();
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let mut stream = client.server_streaming(tonic::Request::new(()), path, codec).await?.into_inner();
    // One item is enough: some of the streams do not end.
    stream.message().await.map(drop)
}

/// A certificate of the installation's own authority with any subject, which `kdc certificate` would not issue.
fn odd_certificate(installation: &Installation, unit: Option<&str>, name: Option<&str>) -> Holder {
    let ca = KeyPair::from_pem(&fs::read_to_string(installation.file("ca.key")).unwrap()).unwrap();
    let mut root = CertificateParams::default();
    root.distinguished_name = rcgen::DistinguishedName::new();
    root.distinguished_name.push(DnType::CommonName, "Key distribution of home.example");
    sign(installation, &Issuer::new(root, ca), unit, name)
}

fn sign(
    installation: &Installation,
    issuer: &Issuer<'_, KeyPair>,
    unit: Option<&str>,
    name: Option<&str>,
) -> Holder {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    if let Some(unit) = unit {
        params.distinguished_name.push(DnType::OrganizationalUnitName, unit);
    }
    if let Some(name) = name {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    let folder = tempfile::Builder::new().prefix("odd").tempdir_in(installation.directory()).unwrap().keep();
    let (pem, secret) = (folder.join("odd.pem"), folder.join("odd.key"));
    fs::write(&pem, certificate.pem()).unwrap();
    daemon::secret_file::write_private(&secret, key.serialize_pem().as_bytes()).unwrap();
    Holder { ca: installation.file("ca.pem"), certificate: pem, key: secret }
}

#[tokio::test]
async fn every_method_checks_the_role() {
    let installation = Installation::new();
    let server = installation.start();
    installation::register(&mut server.admin(&installation.administrator()), HOME_AGENT, "").await;
    let holders = [
        ("home-agent", installation.certificate("home-agent", HOME_AGENT)),
        ("administrator", installation.administrator()),
        ("auditor", installation.certificate("auditor", "ann")),
        ("no role", odd_certificate(&installation, None, Some("nobody"))),
        ("unknown role", odd_certificate(&installation, Some("root"), Some("mallory"))),
        ("name without role", odd_certificate(&installation, None, Some("administrator"))),
    ];
    let mut tried = BTreeSet::new();
    for (role, holder) in &holders {
        let channel = server.channel(holder);
        for (service, method) in methods() {
            let outcome = call(&channel, &service, &method).await;
            let denied = outcome.as_ref().is_err_and(|status| {
                status.code() == Code::PermissionDenied
                    && status.message().contains("needs a certificate with the role")
            });
            assert_eq!(denied, !allowed(&method).contains(role), "{role} calls {method}: {outcome:?}");
            tried.insert(method);
        }
    }
    assert_eq!(tried.len(), 19);

    let entries = all(server.admin(&holders[2].1).audit_trail(AuditTrailRequest::default()).await).await;
    for (name, method) in
        [("ann", "EnrolSubscriber"), ("mallory", "IssueKeys"), ("admin", "WatchSubscribers")]
    {
        assert!(
            entries
                .iter()
                .any(|e| e.actor == name && e.action == method && e.outcome.starts_with("refused: ")),
            "{name} {method}"
        );
    }
    assert!(server.log().contains("WatchSubscribers refused"));
}

#[tokio::test]
async fn a_role_without_a_name_is_refused() {
    let installation = Installation::new();
    let server = installation.start();
    let nameless = odd_certificate(&installation, Some("administrator"), None);
    let status = server.admin(&nameless).list_home_agents(ListHomeAgentsRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("common name"), "{}", status.message());
}

#[tokio::test]
async fn an_unregistered_home_agent_gets_nothing() {
    let installation = Installation::new();
    let server = installation.start();
    let mut agent = server.distribution(&installation.certificate("home-agent", HOME_AGENT));
    let status = agent.watch_subscribers(proto::kdc::WatchSubscribersRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("not a registered home agent"), "{}", status.message());
    let status = agent.issue_keys(installation::issue("nobody", 1)).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn strangers_do_not_get_past_tls() {
    let installation = Installation::new();
    let server = installation.start();
    // Of an authority with the same name but another key.
    let mut root = CertificateParams::default();
    root.distinguished_name = rcgen::DistinguishedName::new();
    root.distinguished_name.push(DnType::CommonName, "Key distribution of home.example");
    let stranger = Issuer::new(root, KeyPair::generate().unwrap());
    let holder = sign(&installation, &stranger, Some("administrator"), Some("admin"));
    let status = server.admin(&holder).list_home_agents(ListHomeAgentsRequest {}).await.unwrap_err();
    assert_ne!(status.code(), Code::PermissionDenied, "{status}");

    // Without any certificate.
    let ca =
        tonic::transport::Certificate::from_pem(fs::read_to_string(installation.file("ca.pem")).unwrap());
    let tls = tonic::transport::ClientTlsConfig::new().ca_certificate(ca).domain_name(installation::SERVER);
    let endpoint = tonic::transport::Endpoint::from_shared(format!("https://{}", server.address())).unwrap();
    let channel = endpoint.tls_config(tls).unwrap().connect_lazy();
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
    assert!(health.check(tonic_health::pb::HealthCheckRequest::default()).await.is_err());

    // And the server's own certificate is not one for clients.
    let own = Holder {
        ca: installation.file("ca.pem"),
        certificate: installation.file("server.pem"),
        key: installation.file("server.key"),
    };
    assert!(server.admin(&own).list_home_agents(ListHomeAgentsRequest {}).await.is_err());
}

#[tokio::test]
async fn health_and_reflection_answer_any_certificate() {
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let installation = Installation::new();
    let server = installation.start();
    let channel = server.channel(&odd_certificate(&installation, None, Some("nobody")));
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel.clone());
    for service in ["", "sojourn.kdc.v1.KdcAdmin", "sojourn.kdc.v1.KeyDistribution"] {
        let request = tonic_health::pb::HealthCheckRequest { service: service.to_owned() };
        let reply = health.check(request).await.unwrap().into_inner();
        assert_eq!(reply.status, tonic_health::ServingStatus::Serving as i32, "{service}");
    }
    let mut reflection = ServerReflectionClient::new(channel);
    let request = |message| ServerReflectionRequest { host: String::new(), message_request: Some(message) };
    let asked = [
        request(MessageRequest::ListServices(String::new())),
        request(MessageRequest::FileContainingSymbol("sojourn.kdc.v1.KdcAdmin".to_owned())),
    ];
    let replies = all(reflection.server_reflection_info(tokio_stream::iter(asked)).await).await;
    let Some(MessageResponse::ListServicesResponse(list)) = &replies[0].message_response else { panic!() };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    for name in ["sojourn.kdc.v1.KeyDistribution", "sojourn.kdc.v1.KdcAdmin", "grpc.health.v1.Health"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let Some(MessageResponse::FileDescriptorResponse(_)) = &replies[1].message_response else {
        panic!("{:?}", replies[1])
    };
}
