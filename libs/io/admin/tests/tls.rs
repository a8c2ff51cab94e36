//! Who gets into a server that asks for client certificates, and who does not.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use admin::{
    Agent, AgentSnapshot, EventLog, Role, caller,
    client::{self, ClientError, Profile},
    tls::{self, Files, Server},
};
use proto::agent::{StatusReply, StatusRequest, agent_client::AgentClient, agent_server::AgentServer};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair,
};
use tokio::{net::TcpStream, sync::watch, task::JoinSet};
use tonic::{Code, Request, Status};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

/// A certificate authority with a folder for what it issues.
struct Authority {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = parameters.self_signed(&key).unwrap();
        fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        Self { folder, issuer: Issuer::new(parameters, key) }
    }

    fn issue(&self, name: &str, unit: Option<&str>, usage: ExtendedKeyUsagePurpose) {
        let mut parameters = CertificateParams::new(vec!["kdc.home.example".to_owned()]).unwrap();
        parameters.distinguished_name = DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, name);
        if let Some(unit) = unit {
            parameters.distinguished_name.push(DnType::OrganizationalUnitName, unit);
        }
        parameters.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.file(name, "pem"), certificate.pem()).unwrap();
        fs::write(self.file(name, "key"), key.serialize_pem()).unwrap();
        fs::set_permissions(self.file(name, "key"), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn file(&self, name: &str, extension: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.{extension}"))
    }

    fn profile(&self, address: SocketAddr, name: &str) -> Profile {
        Profile {
            endpoint: format!("https://{address}"),
            server_name: "kdc.home.example".to_owned(),
            ca: self.file("ca", "pem"),
            certificate: self.file(name, "pem"),
            key: self.file(name, "key"),
        }
    }
}

/// A server whose one service is for administrators and answers with the caller's name.
async fn serve(authority: &Authority) -> (SocketAddr, JoinSet<()>) {
    authority.issue("server", None, ExtendedKeyUsagePurpose::ServerAuth);
    let files = Files {
        ca: authority.file("ca", "pem"),
        certificate: authority.file("server", "pem"),
        key: authority.file("server", "key"),
    };
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), &files).await.unwrap();
    let address = server.local_addr().unwrap();
    let status = StatusReply { nai: "behind the gate".to_owned(), ..StatusReply::default() };
    let (_, snapshots) = watch::channel(Arc::new(AgentSnapshot::new(status)));
    let gate = |request: Request<()>| -> Result<Request<()>, Status> {
        caller(&request)?.require(&[Role::Administrator])?;
        Ok(request)
    };
    let agent = AgentServer::with_interceptor(Agent::new(snapshots, EventLog::default()), gate);
    let routes = tls::routes(proto::FILE_DESCRIPTOR_SET, &["sojourn.agent.v1.Agent"]).add_service(agent);
    let mut task = JoinSet::new();
    task.spawn(async move { server.serve(routes).await.unwrap() });
    (address, task)
}

async fn status(profile: &Profile) -> Result<String, Status> {
    let channel = client::channel(profile).unwrap();
    Ok(AgentClient::new(channel).status(StatusRequest {}).await?.into_inner().nai)
}

#[tokio::test]
async fn the_role_in_the_certificate_opens_the_gate() {
    let authority = Authority::new();
    let (address, _server) = serve(&authority).await;
    authority.issue("alice", Some("administrator"), ExtendedKeyUsagePurpose::ClientAuth);
    assert_eq!(status(&authority.profile(address, "alice")).await.unwrap(), "behind the gate");
}

#[tokio::test]
async fn another_role_or_none_is_refused_but_health_is_told() {
    let authority = Authority::new();
    let (address, _server) = serve(&authority).await;
    for (name, unit) in [("ha@home.example", Some("home-agent")), ("eve", None), ("mallory", Some("root"))] {
        authority.issue(name, unit, ExtendedKeyUsagePurpose::ClientAuth);
        let profile = authority.profile(address, name);
        let refusal = status(&profile).await.unwrap_err();
        assert_eq!(refusal.code(), Code::PermissionDenied, "{name}");
        assert!(refusal.message().contains(name), "{}", refusal.message());
        let health = HealthClient::new(client::channel(&profile).unwrap())
            .check(HealthCheckRequest { service: String::new() })
            .await;
        assert!(health.is_ok(), "{name}");
    }
}

#[tokio::test]
async fn strangers_do_not_get_in() {
    let authority = Authority::new();
    let (address, _server) = serve(&authority).await;
    // Of another authority, but trusting this one.
    let stranger = Authority::new();
    stranger.issue("alice", Some("administrator"), ExtendedKeyUsagePurpose::ClientAuth);
    let mut profile = stranger.profile(address, "alice");
    profile.ca = authority.file("ca", "pem");
    assert_no_connection(&profile).await;
    // A server's certificate is not a client's.
    authority.issue("bob", Some("administrator"), ExtendedKeyUsagePurpose::ServerAuth);
    assert_no_connection(&authority.profile(address, "bob")).await;
}

/// With TLS 1.3 the refusal may come after the client has begun to send, so it has two faces.
async fn assert_no_connection(profile: &Profile) {
    let code = status(profile).await.unwrap_err().code();
    assert!(matches!(code, Code::Unavailable | Code::Unknown), "{code:?}");
}

#[tokio::test]
async fn a_client_does_not_trust_a_stranger_or_another_name() {
    let authority = Authority::new();
    let (address, _server) = serve(&authority).await;
    authority.issue("alice", Some("administrator"), ExtendedKeyUsagePurpose::ClientAuth);
    let mut profile = authority.profile(address, "alice");
    profile.server_name = "other.home.example".to_owned();
    assert_eq!(status(&profile).await.unwrap_err().code(), Code::Unavailable);
    let mut profile = authority.profile(address, "alice");
    profile.ca = Authority::new().file("ca", "pem");
    assert!(matches!(client::channel(&profile), Err(ClientError::File(_))), "its folder is gone");
    let other = Authority::new();
    profile.ca = other.file("ca", "pem");
    assert_eq!(status(&profile).await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn tls_1_2_is_not_spoken() {
    let authority = Authority::new();
    let (address, _server) = serve(&authority).await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority_certificate(&authority.file("ca", "pem"))).unwrap();
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = "kdc.home.example".try_into().unwrap();
    let error = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap_err();
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
}

fn authority_certificate(path: &Path) -> rustls::pki_types::CertificateDer<'static> {
    use rustls::pki_types::pem::PemObject as _;
    rustls::pki_types::CertificateDer::from_pem_file(path).unwrap()
}

#[tokio::test]
async fn a_private_key_that_others_may_read_is_refused() {
    let authority = Authority::new();
    authority.issue("alice", Some("administrator"), ExtendedKeyUsagePurpose::ClientAuth);
    let profile = authority.profile("127.0.0.1:1".parse().unwrap(), "alice");
    assert!(profile.problems().is_empty());
    fs::set_permissions(&profile.key, fs::Permissions::from_mode(0o640)).unwrap();
    let error = client::channel(&profile).unwrap_err().to_string();
    assert!(error.contains("chmod 600"), "{error}");
    assert_eq!(profile.problems().len(), 1);
}
