//! The server side of a key distribution centre: TLS 1.3 only, and only for holders of a client certificate
//! of the realm's own certificate authority.
//!
//! A connection's [`Caller`] is read from its certificate once, at the handshake, and travels with each of its
//! requests; what the caller may do is decided by the service methods.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, PoisonError, RwLock},
    task::{Context, Poll},
    time::Duration,
};

use rustls::{RootCertStore, ServerConfig, crypto::aws_lc_rs, server::WebPkiClientVerifier, version::TLS13};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    service::Routes,
    transport::server::{Connected, Server as GrpcServer},
};

pub use crate::services::routes;
use crate::{Caller, FileError, files};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Handshakes at once; more wait in the kernel's queue.
const HANDSHAKES: usize = 64;
/// How often an idle connection is probed, and how long its answer may take.
const KEEPALIVE: Duration = Duration::from_secs(20);
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(10);
/// Pause after the kernel could not accept a connection, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The PEM files of a server.
#[derive(Clone, Debug)]
pub struct Files {
    /// Certificate authority that client certificates must come from.
    pub ca: PathBuf,
    /// The server's certificate, with the intermediate ones, if any.
    pub certificate: PathBuf,
    /// Its private key, for its owner alone.
    pub key: PathBuf,
}

/// Why the server cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate or key file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The certificates do not fit together.
    #[error("the certificates cannot be used: {0}")]
    Certificates(String),
    /// The address.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// As configured.
        address: SocketAddr,
        /// Why.
        reason: io::Error,
    },
    /// The server failed.
    #[error("the server failed: {0}")]
    Serve(#[from] tonic::transport::Error),
}

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    acceptor: Acceptor,
}

/// The certificates in use, for the connections to come; clones share them.
#[derive(Clone)]
pub struct Acceptor(Arc<RwLock<TlsAcceptor>>);

impl Acceptor {
    fn new(files: &Files) -> Result<Self, TlsError> {
        Ok(Self(Arc::new(RwLock::new(read(files)?))))
    }

    /// Takes these files for all connections from now on; those that stand are left alone.
    ///
    /// # Errors
    /// As [`Server::bind`]; then the certificates stay what they were.
    pub fn replace(&self, files: &Files) -> Result<(), TlsError> {
        let new = read(files)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    fn current(&self) -> TlsAcceptor {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn read(files: &Files) -> Result<TlsAcceptor, TlsError> {
    Ok(TlsAcceptor::from(Arc::new(config(files)?)))
}

impl Server {
    /// Reads the certificates and listens on `address`.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub async fn bind(address: SocketAddr, files: &Files) -> Result<Self, TlsError> {
        let acceptor = Acceptor::new(files)?;
        let listener =
            TcpListener::bind(address).await.map_err(|reason| TlsError::Listen { address, reason })?;
        Ok(Self { listener, acceptor })
    }

    /// The certificates in use, to be replaced while it serves.
    #[must_use]
    pub fn acceptor(&self) -> Acceptor {
        self.acceptor.clone()
    }

    /// The address it listens on, with the real port if 0 was asked for.
    ///
    /// # Errors
    /// If the operating system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until the future is dropped.
    ///
    /// # Errors
    /// If the server fails.
    pub async fn serve(self, routes: Routes) -> Result<(), TlsError> {
        let (sessions, incoming) = mpsc::channel(HANDSHAKES);
        // Aborted with this future.
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(self.listener, self.acceptor, sessions));
        GrpcServer::builder()
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_keepalive_timeout(Some(KEEPALIVE_ANSWER))
            .add_routes(routes)
            .serve_with_incoming(ReceiverStream::new(incoming))
            .await?;
        Ok(())
    }
}

fn config(files: &Files) -> Result<ServerConfig, TlsError> {
    let wrong = |error: &dyn std::fmt::Display| TlsError::Certificates(error.to_string());
    let mut roots = RootCertStore::empty();
    for root in files::certificates(&files.ca)? {
        roots.add(root).map_err(|error| wrong(&error))?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|error| wrong(&error))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| wrong(&error))?
        .with_client_cert_verifier(clients)
        .with_single_cert(files::certificates(&files.certificate)?, files::private_key(&files.key)?)
        .map_err(|error| wrong(&error))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

async fn accept(listener: TcpListener, acceptor: Acceptor, sessions: mpsc::Sender<io::Result<Session>>) {
    let places = Arc::new(Semaphore::new(HANDSHAKES));
    let mut handshakes = JoinSet::new();
    // A handshake must not hold up the next caller, so each has a task.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        while handshakes.try_join_next().is_some() {}
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("a connection could not be accepted: {error}");
                time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (acceptor, sessions) = (acceptor.current(), sessions.clone());
        handshakes.spawn(async move {
            let _place = place;
            match time::timeout(HANDSHAKE, shake_hands(&acceptor, stream)).await {
                Ok(Ok(session)) => {
                    let _ = sessions.send(Ok(session)).await;
                }
                Ok(Err(error)) => tracing::info!(%peer, "connection refused: {error}"),
                Err(_) => tracing::info!(%peer, "connection closed: no TLS handshake within {HANDSHAKE:?}"),
            }
        });
    }
}

async fn shake_hands(acceptor: &TlsAcceptor, stream: TcpStream) -> io::Result<Session> {
    stream.set_nodelay(true)?;
    let stream = acceptor.accept(stream).await?;
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let certificate = certificates.first().ok_or_else(|| io::Error::other("no client certificate"))?;
    let caller = Caller::of_certificate(certificate);
    Ok(Session { stream, caller })
}

/// A connection with the holder of its client certificate.
struct Session {
    stream: TlsStream<TcpStream>,
    caller: Caller,
}

impl Connected for Session {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl AsyncRead for Session {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Session {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
