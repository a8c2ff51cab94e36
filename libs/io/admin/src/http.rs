//! `/metrics`, `/health/live` and `/health/ready` over HTTP/1.1, for programs that watch a daemon.
//!
//! Nobody is asked who he is, nothing can be changed, and everybody who reaches the port may be a stranger: a thread of
//! its own answers, at most 32 at a time, of which the oldest gives way to the newest; one request each,
//! with few and short headers and within 10 s.

use std::{
    collections::VecDeque,
    convert::Infallible,
    fmt, io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpStream, runtime::Handle, task::AbortHandle, time::timeout};

use crate::{
    health::{Check, Report},
    metrics::{self, Page},
};

/// Connections that are served at a time.
const CONNECTIONS: usize = 32;
/// How long one may last.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long its request may take to arrive.
const HEADER: Duration = Duration::from_secs(5);
/// Octets of a request, and its headers.
const REQUEST: usize = 8192;
const HEADERS: usize = 32;
/// A daemon whose event loop takes longer to answer does not live.
const ALIVE: Duration = Duration::from_secs(2);
/// After a failure to accept, as when no file is free.
const PAUSE: Duration = Duration::from_millis(100);

const PATHS: &str = "there are /metrics, /health/live and /health/ready\n";

/// What a daemon shows of itself, asked for anew each time.
pub struct Seen {
    /// What must hold before it does its work.
    pub checks: Box<dyn Fn() -> Vec<Check> + Send + Sync>,
    /// Its metrics, added to those of every process.
    pub metrics: Box<dyn Fn(&mut Page) + Send + Sync>,
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seen")
    }
}

/// The port cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("metrics: {address}: {reason}")]
pub struct HttpError {
    address: SocketAddr,
    reason: io::Error,
}

/// The port of a daemon at which it is watched, if it has one.
#[derive(Clone, Debug)]
pub struct Watched(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    program: &'static str,
    address: SocketAddr,
    started: f64,
    event_loop: Handle,
    seen: OnceLock<Seen>,
}

impl Watched {
    /// Binds the address, if there is one, and answers there until the process ends; not ready before
    /// [`show`](Self::show). Must be called inside the tokio runtime whose life is watched.
    ///
    /// # Errors
    /// The address cannot be bound, or no thread be started.
    pub fn at(address: Option<SocketAddr>, program: &'static str) -> Result<Self, HttpError> {
        let Some(address) = address else { return Ok(Self(None)) };
        let failed = |reason| HttpError { address, reason };
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        if !address.ip().is_loopback() {
            tracing::warn!(
                "metrics at {address} can be read by everybody who reaches that address: nobody is asked who he is"
            );
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (started, event_loop) = (since.as_secs_f64(), Handle::current());
        let shared = Arc::new(Shared { program, address, started, event_loop, seen: OnceLock::new() });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let serve = {
            let shared = Arc::clone(&shared);
            move || runtime.block_on(accept(listener, shared))
        };
        std::thread::Builder::new().name("watched".to_owned()).spawn(serve).map_err(failed)?;
        Ok(Self(Some(shared)))
    }

    /// From now on this is shown.
    pub fn show(&self, seen: Seen) {
        if let Some(shared) = &self.0 {
            // Only once: a second one would be a mistake that changes nothing.
            let _ = shared.seen.set(seen);
        }
    }

    /// Where, with the port that was chosen if none was named.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.0.as_ref().map(|shared| shared.address)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("metrics are not served, restart to have them: {error}"),
    };
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        match listener.accept().await {
            Ok((connection, _)) => {
                open.retain(|connection| !connection.is_finished());
                // Whoever keeps connections without asking shuts nobody out.
                if open.len() >= CONNECTIONS
                    && let Some(oldest) = open.pop_front()
                {
                    oldest.abort();
                }
                let task = tokio::spawn(timeout(PATIENCE, serve(connection, Arc::clone(&shared))));
                open.push_back(task.abort_handle());
            }
            Err(error) => {
                tracing::debug!("a connection for metrics was not accepted: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn serve(connection: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(&request, &shared).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER)
        .keep_alive(false)
        .max_headers(HEADERS)
        .max_buf_size(REQUEST)
        .serve_connection(TokioIo::new(connection), service)
        .await;
    if let Err(error) = served {
        // What strangers send is no concern of the operator.
        tracing::trace!("a connection for metrics: {error}");
    }
}

async fn answer(request: &Request<Incoming>, shared: &Shared) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut refusal =
            response(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET and HEAD\n".to_owned());
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    match request.uri().path() {
        "/metrics" => response(StatusCode::OK, metrics::CONTENT_TYPE, shared.page().await),
        "/health/live" => report(&Report::of(&[shared.alive().await], "live", "not live")),
        "/health/ready" => report(&Report::of(&shared.checks().await, "ready", "not ready")),
        _ => response(StatusCode::NOT_FOUND, "text/plain", PATHS.to_owned()),
    }
}

fn report(report: &Report) -> Response<Full<Bytes>> {
    let status = if report.good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    response(status, "application/json", report.to_string())
}

fn response(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl Shared {
    /// The event loop takes a task and finishes it.
    async fn alive(&self) -> Check {
        let answered = timeout(ALIVE, self.event_loop.spawn(async {})).await;
        let why_not = match answered {
            Ok(Ok(())) => None,
            Ok(Err(_)) => Some("the daemon is stopping".to_owned()),
            Err(_) => Some(format!("it did not answer within {} s", ALIVE.as_secs())),
        };
        Check::new("event_loop", why_not)
    }

    async fn checks(&self) -> Vec<Check> {
        let mut checks = vec![self.alive().await];
        match self.seen.get() {
            Some(seen) => checks.extend((seen.checks)()),
            None => checks.push(Check::new("started", Some("still starting".to_owned()))),
        }
        checks
    }

    async fn page(&self) -> String {
        let mut page = Page::of_process(self.program, self.started);
        if let Some(seen) = self.seen.get() {
            (seen.metrics)(&mut page);
        }
        let checks = self.checks().await;
        let checks = checks.iter().map(|check| (check.name, u64::from(check.why_not.is_none())));
        page.named("sojourn");
        let help = "1 for each check of /health/ready that holds";
        page.gauges("ready", help, metrics::Labelled::by("check", checks));
        page.text()
    }
}
