use std::net::SocketAddr;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response};
use tracing_subscriber::{EnvFilter, Registry, layer::SubscriberExt as _};

use super::*;

const TRACE: &str = "5f0c00112233445566778899aabbccdd";
const OTHER: &str = "00000000000000000000000000000001";
/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);

/// A span as it came: of which service.
type Come = (String, Span);

struct Collecting(blocking::Sender<Come>);

#[tonic::async_trait]
impl TraceService for Collecting {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, tonic::Status> {
        for of in request.into_inner().resource_spans {
            let attributes = of.resource.unwrap_or_default().attributes;
            let name =
                attributes.into_iter().find(|it| it.key == "service.name").and_then(|it| it.value?.value);
            let Some(any_value::Value::StringValue(name)) = name else { panic!("a service has a name") };
            for span in of.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                self.0.send((name.clone(), span)).unwrap();
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// A collector in a thread of its own, for as long as the test.
fn collector(at: &str) -> (Collector, SocketAddr, blocking::Receiver<Come>) {
    let (to, come) = blocking::channel();
    let listener = std::net::TcpListener::bind(at).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let incoming = TcpListenerStream::new(tokio::net::TcpListener::from_std(listener).unwrap());
            let service = TraceServiceServer::new(Collecting(to));
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(incoming)
                .await
                .unwrap();
        });
    });
    (Collector::try_from(format!("http://{address}")).unwrap(), address, come)
}

/// A daemon's log at INFO with its spans.
fn log(spans: &Spans) -> impl Subscriber + Send + Sync + use<> {
    let shown = tracing_subscriber::fmt::layer().with_test_writer().with_filter(EnvFilter::new("info"));
    Registry::default().with(shown).with(spans.layer())
}

fn within(service: &str, collector: &Collector, steps: impl FnOnce()) {
    let spans = Spans::default();
    tracing::subscriber::with_default(log(&spans), || {
        spans.export(collector, service).unwrap();
        steps();
        spans.flush();
    });
}

#[test]
fn four_daemons_meet_in_one_trace_and_tell_nobodys_name() {
    let (collector, _, come) = collector("127.0.0.1:0");
    let trace = || Some(tracing::field::display(TRACE));
    within("mobile-node", &collector, || {
        tracing::debug!(word = "request_sent", trace = trace(), "asks ha@home.example for traveller");
        tracing::info!(word = "registered", trace = trace(), "registered as 10.11.1.50");
        // What belongs to no registration is no step.
        let none: Option<tracing::field::DisplayValue<&str>> = None;
        tracing::info!(word = "link_up", trace = none, "eth0 is up");
        tracing::info!("ready");
    });
    within("foreign-agent", &collector, || {
        tracing::debug!(word = "request_relayed", trace = trace(), "to ha");
    });
    within("home-agent", &collector, || {
        tracing::debug!(word = "keys_asked", trace = trace(), "asked");
        tracing::warn!(word = "denied", trace = trace(), agent = "fa@x.example", "denied to traveller");
        tracing::info!(word = "binding_added", trace = tracing::field::display(OTHER), "another");
    });
    within("kdc", &collector, || {
        tracing::info!(word = "keys_issued", trace = trace(), home_agent = "ha", "keys");
    });
    let mut spans: Vec<Come> = (0..7).map(|_| come.recv_timeout(LIMIT).unwrap()).collect();
    assert!(come.try_recv().is_err());
    spans.sort_by(|one, other| one.1.name.cmp(&other.1.name));
    let shown: Vec<(&str, &str)> = spans.iter().map(|(of, span)| (of.as_str(), span.name.as_str())).collect();
    assert_eq!(
        shown,
        [
            ("home-agent", "binding_added"),
            ("home-agent", "denied"),
            ("home-agent", "keys_asked"),
            ("kdc", "keys_issued"),
            ("mobile-node", "registered"),
            ("foreign-agent", "request_relayed"),
            ("mobile-node", "request_sent"),
        ]
    );
    let root = trace_id(TRACE).unwrap();
    for (_, span) in &spans {
        let other = span.name == "binding_added";
        assert_eq!(span.trace_id == root, !other, "{span:?}");
        assert_eq!(span.status.as_ref().unwrap().code == StatusCode::Error as i32, span.name == "denied");
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano && span.attributes.is_empty());
        assert_eq!(span.span_id.len(), 8);
        match span.name.as_str() {
            "request_sent" => assert!(span.parent_span_id.is_empty() && span.span_id == root[8..]),
            _ if !other => assert_eq!(span.parent_span_id, root[8..]),
            _ => {}
        }
    }
    // A span begins where the one before it ended.
    let of = |name: &str| spans.iter().find(|(_, span)| span.name == name).unwrap().1.clone();
    assert_eq!(of("registered").start_time_unix_nano, of("request_sent").end_time_unix_nano);
}

#[test]
fn a_collector_that_is_away_holds_nothing_up_and_gets_what_comes_later() {
    // A port that was free a moment ago, at an address where no other test takes it meanwhile.
    let address = std::net::TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap();
    let away = Collector::try_from(format!("http://{address}")).unwrap();
    let spans = Spans::default();
    tracing::subscriber::with_default(log(&spans), || {
        spans.export(&away, "mobile-node").unwrap();
        for _ in 0..3 * WAITING {
            tracing::debug!(word = "request_sent", trace = TRACE, "asks");
        }
        let (_, _, come) = collector(&address.to_string());
        // Until the queue is empty and the connection is tried again.
        let mut silent = 0;
        let arrived = loop {
            tracing::debug!(word = "registered", trace = TRACE, "registered");
            // What waited before it comes first, and may come one by one.
            let first = come.recv_timeout(Duration::from_millis(100)).into_iter();
            let names: Vec<String> = first.chain(come.try_iter()).map(|(_, span)| span.name).collect();
            if names.iter().any(|name| name == "registered") {
                break true;
            }
            silent += usize::from(names.is_empty());
            if silent == 600 {
                break false;
            }
        };
        assert!(arrived);
    });
}

#[test]
fn only_32_digits_are_the_name_of_a_registration() {
    assert_eq!(trace_id(TRACE).unwrap()[..2], [0x5f, 0x0c]);
    for wrong in ["", "5f0c", &"0".repeat(32), &"x".repeat(32), &"+".repeat(32), &format!("{TRACE}0")] {
        assert_eq!(trace_id(wrong), None, "{wrong}");
    }
}

#[test]
fn of_old_registrations_nothing_is_remembered() {
    let (mut last, now) = (Last::default(), SystemTime::now());
    for n in 0..2 * REMEMBERED as u128 {
        assert_eq!(last.step(n.to_be_bytes(), now), None);
    }
    assert_eq!((last.ended.len(), last.order.len()), (REMEMBERED, REMEMBERED));
    assert_eq!(last.step((2 * REMEMBERED as u128 - 1).to_be_bytes(), now), Some(now));
}
