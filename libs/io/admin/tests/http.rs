//! The port at which a daemon is watched, and what strangers do to it.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use admin::{
    health::Check,
    http::{Seen, Watched},
};
use tokio::{runtime::Builder, sync::oneshot};

/// Longer than the port is ever patient.
const LIMIT: Duration = Duration::from_secs(60);

/// A daemon that does nothing but live.
struct Daemon {
    address: SocketAddr,
    watched: Watched,
    well: Arc<AtomicBool>,
    life: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Daemon {
    fn new() -> Self {
        let (born, birth) = std::sync::mpsc::channel();
        let (end, ended) = oneshot::channel::<()>();
        let life = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                born.send(Watched::at(Some("127.0.0.1:0".parse().unwrap()), "test").unwrap()).unwrap();
                let _ = ended.await;
            });
        });
        let watched = birth.recv().unwrap();
        let address = watched.address().unwrap();
        Self { address, watched, well: Arc::default(), life: Some((end, life)) }
    }

    /// Its event loop ends; the process does not.
    fn die(&mut self) {
        let (end, life) = self.life.take().unwrap();
        drop(end);
        life.join().unwrap();
    }

    fn shown(self) -> Self {
        let well = Arc::clone(&self.well);
        self.watched.show(Seen {
            checks: Box::new(move || {
                let ill = (!well.load(Ordering::Relaxed)).then(|| "it is ill".to_owned());
                vec![Check::new("health", ill)]
            }),
            metrics: Box::new(|page| {
                page.named("sojourn_test");
                page.counter("things", "Things", 7);
            }),
        });
        self
    }

    fn connect(&self) -> TcpStream {
        let connection = TcpStream::connect(self.address).unwrap();
        connection.set_read_timeout(Some(LIMIT)).unwrap();
        connection.set_write_timeout(Some(LIMIT)).unwrap();
        connection
    }

    /// Sends these bytes and reads until the other end closes.
    fn say(&self, bytes: &[u8]) -> String {
        let mut connection = self.connect();
        // Who is refused early may be cut off while still talking.
        let _ = connection.write_all(bytes);
        let mut answer = Vec::new();
        let _ = connection.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn get(&self, path: &str) -> (u16, String) {
        let answer = self.say(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn works(&self) {
        let (status, text) = self.get("/metrics");
        assert!(status == 200 && text.contains("sojourn_test_things_total 7\n"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}

#[test]
fn a_daemon_is_not_ready_before_it_shows_itself_and_while_a_check_fails() {
    let daemon = Daemon::new();
    let (status, body) = daemon.get("/health/ready");
    assert!(status == 503 && body.contains("\"why\":\"still starting\""), "{body}");
    assert_eq!(daemon.get("/health/live").0, 200);
    let (status, text) = daemon.get("/metrics");
    assert!(status == 200 && text.contains("sojourn_ready{check=\"started\"} 0"), "{text}");
    let daemon = daemon.shown();
    let (status, body) = daemon.get("/health/ready");
    assert_eq!(status, 503);
    let told: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&told["status"], &told["checks"][1]["why"]), (&"not ready".into(), &"it is ill".into()));
    daemon.well.store(true, Ordering::Relaxed);
    assert_eq!(daemon.get("/health/ready").0, 200);
    assert!(daemon.get("/metrics").1.contains("sojourn_ready{check=\"health\"} 1"));
}

#[test]
fn only_what_there_is_can_be_asked_for() {
    let daemon = Daemon::new().shown();
    assert_eq!(daemon.get("/").0, 404);
    assert_eq!(daemon.get("/metrics/../../etc/passwd").0, 404);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "X"] {
        let answer = daemon.say(format!("{method} /metrics HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("allow: GET, HEAD"), "{answer}");
    }
    let head = daemon.say(b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
}

#[test]
fn an_address_in_use_is_told_with_the_key() {
    let daemon = Daemon::new();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let refused = Watched::at(Some(daemon.address), "test").unwrap_err().to_string();
    assert!(refused.starts_with(&format!("metrics: {}: ", daemon.address)), "{refused}");
    assert_eq!(Watched::at(None, "test").unwrap().address(), None);
}

#[test]
fn a_daemon_whose_event_loop_is_gone_does_not_live() {
    let mut daemon = Daemon::new().shown();
    daemon.die();
    let (status, body) = daemon.get("/health/live");
    assert!(status == 503 && body.contains("\"name\":\"event_loop\""), "{body}");
}

#[test]
fn garbage_and_requests_without_measure_are_refused_and_do_no_harm() {
    let daemon = Daemon::new().shown();
    let many: String = (0..1000).map(|n| format!("X-{n}: {n}\r\n")).collect();
    let strange: Vec<Vec<u8>> = vec![
        vec![0; 4096],
        (0..=255).collect(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"GET /metrics HTTP/9.9\r\n\r\n".to_vec(),
        b"GET http://[::1 HTTP/1.1\r\n\r\n".to_vec(),
        b"GET /metrics HTTP/1.1\r\nContent-Length: -1\r\n\r\n".to_vec(),
        format!("GET /metrics HTTP/1.1\r\n{many}\r\n").into_bytes(),
        format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(1 << 20)).into_bytes(),
        format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(1 << 20)).into_bytes(),
    ];
    for bytes in strange {
        let answer = daemon.say(&bytes);
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
        // Refused, or cut off without an answer; never a page.
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{shown:?}: {answer}");
        daemon.works();
    }
    // A body that nobody wants is not waited for.
    let answer = daemon.say(b"GET /metrics HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    // Two requests at once: the second is not answered.
    let twice = daemon.say(&b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2));
    assert_eq!(twice.matches("HTTP/1.1 ").count(), 1, "{twice}");
}

#[test]
fn whoever_is_slow_is_cut_off_and_keeps_nobody_waiting() {
    let daemon = Daemon::new().shown();
    let mut slow = daemon.connect();
    slow.write_all(b"GET /metrics HT").unwrap();
    daemon.works();
    let mut rest = Vec::new();
    // Ends by itself, long before the limit of this test.
    let ended = slow.read_to_end(&mut rest);
    assert!(ended.is_ok() || ended.is_err_and(|error| error.kind() != std::io::ErrorKind::WouldBlock));
    assert!(!String::from_utf8_lossy(&rest).contains("200 OK"));
}

#[test]
fn a_thousand_connections_shut_nobody_out() {
    let daemon = Daemon::new().shown();
    let open: Vec<_> = (0..1000).map(|_| daemon.connect()).collect();
    daemon.works();
    // All but the newest were given up: those read an end, or that they were cut off.
    for mut connection in open.into_iter().take(900) {
        let _ = connection.shutdown(Shutdown::Write);
        let mut rest = Vec::new();
        let ended = connection.read_to_end(&mut rest);
        assert!(ended.is_ok() || ended.is_err_and(|error| error.kind() != std::io::ErrorKind::WouldBlock));
        assert!(rest.is_empty());
    }
    daemon.works();
}
