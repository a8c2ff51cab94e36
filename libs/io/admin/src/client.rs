//! The client ends: to a key distribution centre over TLS, to an agent over its Unix socket.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::UnixStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Uri};
use tower::service_fn;

use crate::{FileError, files};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(3);
/// How often an idle connection is probed, and how long its answer may take.
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(5);

/// How to reach a key distribution centre and who to be there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// As in `https://10.11.1.3:7443`.
    pub endpoint: String,
    /// The name in the server's certificate.
    pub server_name: String,
    /// PEM file of the certificate authority.
    pub ca: PathBuf,
    /// PEM file of the client certificate.
    pub certificate: PathBuf,
    /// PEM file of its private key, for its owner alone.
    pub key: PathBuf,
}

impl Profile {
    /// Every path in it.
    pub fn paths(&mut self) -> Vec<&mut PathBuf> {
        vec![&mut self.ca, &mut self.certificate, &mut self.key]
    }

    /// What is wrong with it, as pairs of key and sentence: the endpoint's form and the files.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if endpoint(&self.endpoint).is_err() {
            problems.push(("endpoint", ClientError::Endpoint(self.endpoint.clone()).to_string()));
        }
        let mut check = |key, result: Result<(), FileError>| {
            if let Err(error) = result {
                problems.push((key, error.to_string()));
            }
        };
        check("ca", files::certificates(&self.ca).map(drop));
        check("certificate", files::certificates(&self.certificate).map(drop));
        check("key", files::private_key(&self.key).map(drop));
        problems
    }
}

/// Why a channel cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A certificate or key file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The endpoint's form.
    #[error("{0:?} is not the address of a key distribution centre: write it as \"https://10.11.1.3:7443\"")]
    Endpoint(String),
    /// The certificates do not fit together.
    #[error("the certificates cannot be used: {0}")]
    Certificates(String),
    /// There is no socket.
    #[error(
        "there is no socket at {0}: is the daemon running, and is this the path of [admin] socket in its configuration?"
    )]
    NoSocket(PathBuf),
    /// The socket belongs to somebody else.
    #[error(
        "the socket {0} may not be opened: it is for the daemon's user alone, so run this as that user or as root"
    )]
    NotPermitted(PathBuf),
    /// The socket is there but its daemon is not.
    #[error(
        "nobody answers on the socket {0}: is the daemon running? (a killed daemon leaves its socket behind)"
    )]
    NobodyAnswers(PathBuf),
    /// Anything else.
    #[error("{path}: {reason}")]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// A channel to a key distribution centre.
///
/// It connects when it is first used, and again after failures; calls fail with `UNAVAILABLE` meanwhile. Give
/// each call a deadline of its own. Needs a tokio runtime.
///
/// # Errors
/// If the profile cannot be used; never because the other end is away.
pub fn channel(profile: &Profile) -> Result<Channel, ClientError> {
    let identity = Identity::from_pem(files::read(&profile.certificate)?, files::read_private(&profile.key)?);
    files::certificates(&profile.ca)?;
    files::certificates(&profile.certificate)?;
    files::private_key(&profile.key)?;
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(files::read(&profile.ca)?))
        .identity(identity)
        .domain_name(&profile.server_name);
    let endpoint = endpoint(&profile.endpoint)?
        .tls_config(tls)
        .map_err(|error| ClientError::Certificates(chain(&error)))?;
    Ok(endpoint.connect_lazy())
}

fn endpoint(text: &str) -> Result<Endpoint, ClientError> {
    let wrong = || ClientError::Endpoint(text.to_owned());
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    if uri.scheme_str() != Some("https") || uri.port_u16().is_none() || !matches!(uri.path(), "" | "/") {
        return Err(wrong());
    }
    Ok(Endpoint::from(uri)
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_ANSWER)
        .keep_alive_while_idle(true))
}

/// A channel to the agent that answers on the socket at `path`, connected at once.
///
/// # Errors
/// Whether there is no socket, no permission or no daemon behind it is told apart.
pub async fn unix(path: &Path) -> Result<Channel, ClientError> {
    // Tried once by hand, because the channel would hide the operating system's reason.
    let stream = UnixStream::connect(path).await.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ClientError::NoSocket(path.to_owned()),
        io::ErrorKind::PermissionDenied => ClientError::NotPermitted(path.to_owned()),
        io::ErrorKind::ConnectionRefused => ClientError::NobodyAnswers(path.to_owned()),
        _ => ClientError::Socket { path: path.to_owned(), reason: error.to_string() },
    })?;
    drop(stream);
    let target = path.to_owned();
    let connect = service_fn(move |_: Uri| {
        let target = target.clone();
        async move { UnixStream::connect(target).await.map(TokioIo::new) }
    });
    // The name is only the value of a header; the socket is what is connected to.
    Endpoint::from_static("http://agent.invalid")
        .connect_timeout(CONNECT)
        .connect_with_connector(connect)
        .await
        .map_err(|error| ClientError::Socket { path: path.to_owned(), reason: chain(&error) })
}

/// An error with its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        assert!(endpoint("https://10.11.1.3:7443").is_ok());
        assert!(endpoint("https://kdc.home.example:7443/").is_ok());
        for wrong in ["", "10.11.1.3:7443", "http://10.11.1.3:7443", "https://10.11.1.3", "https://k:1/path"]
        {
            assert!(matches!(endpoint(wrong), Err(ClientError::Endpoint(_))), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_missing_and_a_dead_socket_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ha.sock");
        assert!(matches!(unix(&path).await, Err(ClientError::NoSocket(_))));
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(matches!(unix(&path).await, Err(ClientError::NobodyAnswers(_))));
    }
}
