//! Steps of registrations as spans for a collector of OpenTelemetry (OTLP over gRPC).
//!
//! Every line of the log with a field `trace` is a step; the name of the registration is the trace id, so what mobile
//! node, foreign agent, home agent and key distribution centre send meets in one trace, and nothing more goes over the
//! network than before. A span begins where the step before it ended in the same process. The mobile node's request is the
//! root: its span id is the second half of the trace id, which the others know as their parent without being told.
//!
//! Only the word of a step and whether it went wrong leave the process, never its text: no names, no addresses. Steps wait
//! in a queue with a bound; a collector that is slow or away costs spans and holds nothing up.

use std::{
    collections::{HashMap, VecDeque},
    env, fmt, io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
        mpsc as blocking,
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span::SpanKind, status::StatusCode},
};
use tokio::{sync::mpsc, time::timeout};
use tonic::transport::{Channel, Endpoint};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    subscriber::Interest,
};
use tracing_subscriber::{
    Layer,
    filter::LevelFilter,
    layer::{Context, Filter},
};

use crate::config::Collector;

/// Steps that may wait; more are lost.
const WAITING: usize = 4096;
/// Spans of one message.
const TOGETHER: usize = 512;
/// How long the first of them waits for others.
const GATHER: Duration = Duration::from_millis(500);
/// How long the collector may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Registrations whose last step is remembered.
const REMEMBERED: usize = 4096;
/// How long the last spans may take when the process ends.
const FAREWELL: Duration = Duration::from_secs(2);

/// The step of a mobile node that begins a registration.
const ROOT: &str = "request_sent";

type TraceId = [u8; 16];

/// One line of the log.
struct Step {
    trace: TraceId,
    word: String,
    wrong: bool,
    at: SystemTime,
}

enum Item {
    Step(Step),
    /// Everything before it shall be sent.
    Flush(blocking::Sender<()>),
}

/// The way of steps to the collector; nothing happens before [`export`](Self::export).
#[derive(Clone, Default)]
pub(crate) struct Spans(Arc<Shared>);

#[derive(Default)]
struct Shared {
    on: AtomicBool,
    to: OnceLock<mpsc::Sender<Item>>,
}

impl fmt::Debug for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Spans")
    }
}

/// The file name of this program.
pub(crate) fn program() -> String {
    let path = env::current_exe().unwrap_or_default();
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl Spans {
    /// The layer that hears of every step, whatever is logged.
    pub(crate) fn layer<S: Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>>(
        &self,
    ) -> impl Layer<S> + use<S> {
        Hearing(self.clone()).with_filter(Steps(self.clone()))
    }

    /// From now on steps go to `collector` under the name `service`.
    pub(crate) fn export(&self, collector: &Collector, service: &str) -> io::Result<()> {
        let (to, steps) = mpsc::channel(WAITING);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let channel = {
            let _inside = runtime.enter();
            let endpoint = Endpoint::from_shared(collector.as_str().to_owned()).map_err(io::Error::other)?;
            endpoint.connect_timeout(PATIENCE).connect_lazy()
        };
        let sending = Sending {
            service: service.to_owned(),
            address: collector.as_str().to_owned(),
            client: TraceServiceClient::new(channel),
            last: Last::default(),
            silent: false,
        };
        let send = move || runtime.block_on(sending.run(steps));
        std::thread::Builder::new().name("otlp".to_owned()).spawn(send)?;
        if self.0.to.set(to).is_ok() {
            self.0.on.store(true, Ordering::Relaxed);
            // Lines below the level of the log are steps too.
            tracing::callsite::rebuild_interest_cache();
        }
        Ok(())
    }

    /// Waits a little until what was heard is sent.
    pub(crate) fn flush(&self) {
        let (done, sent) = blocking::channel();
        if let Some(to) = self.0.to.get()
            && to.try_send(Item::Flush(done)).is_ok()
        {
            // A collector that is away is not waited for longer.
            let _ = sent.recv_timeout(FAREWELL);
        }
    }
}

/// Which lines are steps.
struct Steps(Spans);

impl Steps {
    fn wanted(&self, metadata: &Metadata<'_>) -> bool {
        self.0.0.on.load(Ordering::Relaxed)
            && metadata.is_event()
            && metadata.fields().field("trace").is_some()
    }
}

impl<S> Filter<S> for Steps {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.wanted(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.wanted(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(if self.0.0.on.load(Ordering::Relaxed) { LevelFilter::DEBUG } else { LevelFilter::OFF })
    }
}

struct Hearing(Spans);

impl<S: Subscriber> Layer<S> for Hearing {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut heard = Heard::default();
        event.record(&mut heard);
        let (Some(to), Some(trace)) = (self.0.0.to.get(), heard.trace) else { return };
        let word = heard.word.unwrap_or_else(|| "step".to_owned());
        let wrong = *event.metadata().level() <= Level::WARN;
        // With a full queue the step is lost, as is said above.
        let _ = to.try_send(Item::Step(Step { trace, word, wrong, at: SystemTime::now() }));
    }
}

/// What a span is made of.
#[derive(Default)]
struct Heard {
    trace: Option<TraceId>,
    word: Option<String>,
}

impl Visit for Heard {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "word" => self.word = Some(value.to_owned()),
            "trace" => self.trace = trace_id(value),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "trace" {
            self.trace = trace_id(&format!("{value:?}"));
        }
    }
}

/// Of 32 hexadecimal digits, not all of them 0.
fn trace_id(text: &str) -> Option<TraceId> {
    let number = u128::from_str_radix(text, 16).ok().filter(|number| text.len() == 32 && *number != 0)?;
    Some(number.to_be_bytes())
}

/// When the last step of a registration ended, of the newest ones.
#[derive(Default)]
struct Last {
    ended: HashMap<TraceId, SystemTime>,
    order: VecDeque<TraceId>,
}

impl Last {
    /// Remembers a step; when the one before it ended.
    fn step(&mut self, trace: TraceId, at: SystemTime) -> Option<SystemTime> {
        let before = self.ended.insert(trace, at);
        if before.is_none() {
            self.order.push_back(trace);
            if self.order.len() > REMEMBERED {
                self.order.pop_front().map(|oldest| self.ended.remove(&oldest));
            }
        }
        before
    }
}

struct Sending {
    service: String,
    address: String,
    client: TraceServiceClient<Channel>,
    last: Last,
    /// The collector did not take the last message.
    silent: bool,
}

impl Sending {
    async fn run(mut self, mut steps: mpsc::Receiver<Item>) {
        let mut items = Vec::with_capacity(TOGETHER);
        while steps.recv_many(&mut items, TOGETHER).await > 0 {
            let hurry = items.iter().any(|item| matches!(item, Item::Flush(_)));
            if !hurry && items.len() < TOGETHER {
                // Others that come soon go with it.
                let more = async {
                    while steps.recv_many(&mut items, TOGETHER).await > 0 && items.len() < TOGETHER {
                        if matches!(items.last(), Some(Item::Flush(_))) {
                            break;
                        }
                    }
                };
                let _ = timeout(GATHER, more).await;
            }
            let mut done = Vec::new();
            let mut spans = Vec::with_capacity(items.len());
            for item in items.drain(..) {
                match item {
                    Item::Step(step) => spans.push(self.span(step)),
                    Item::Flush(sender) => done.push(sender),
                }
            }
            if !spans.is_empty() {
                self.send(spans).await;
            }
            for sender in done {
                // Whoever waited may have gone on.
                let _ = sender.send(());
            }
        }
    }

    fn span(&mut self, step: Step) -> Span {
        let Step { trace, word, wrong, at } = step;
        let began = self.last.step(trace, at).map_or(at, |before| before.min(at));
        let root = trace[8..].to_vec();
        let (span_id, parent_span_id) = if word == ROOT { (root, Vec::new()) } else { (fresh_id(), root) };
        let code = if wrong { StatusCode::Error } else { StatusCode::Unset };
        Span {
            trace_id: trace.to_vec(),
            span_id,
            parent_span_id,
            name: word,
            kind: SpanKind::Internal.into(),
            start_time_unix_nano: nanoseconds(began),
            end_time_unix_nano: nanoseconds(at),
            status: Some(Status { message: String::new(), code: code.into() }),
            ..Span::default()
        }
    }

    async fn send(&mut self, spans: Vec<Span>) {
        let count = spans.len();
        let request = ExportTraceServiceRequest { resource_spans: vec![self.resource(spans)] };
        let sent = match timeout(PATIENCE, self.client.export(request)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(status)) => Err(status.message().to_owned()),
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        match sent {
            Ok(()) if self.silent => {
                self.silent = false;
                tracing::info!("the collector at {} takes spans again", self.address);
            }
            Ok(()) => {}
            // Once for each time that it goes away.
            Err(why) if !self.silent => {
                self.silent = true;
                let address = &self.address;
                tracing::warn!(
                    "the collector at {address} does not take spans: {why}; {count} are lost, and more until it does"
                );
            }
            Err(_) => {}
        }
    }

    fn resource(&self, spans: Vec<Span>) -> ResourceSpans {
        let word =
            |text: &str| Some(AnyValue { value: Some(any_value::Value::StringValue(text.to_owned())) });
        let named = |key: &str, text: &str| KeyValue {
            key: key.to_owned(),
            value: word(text),
            ..KeyValue::default()
        };
        let version = env!("CARGO_PKG_VERSION");
        let attributes = vec![
            named("service.name", &self.service),
            named("service.namespace", "sojourn"),
            named("service.version", version),
        ];
        let scope = InstrumentationScope {
            name: "sojourn".to_owned(),
            version: version.to_owned(),
            ..InstrumentationScope::default()
        };
        ResourceSpans {
            resource: Some(Resource { attributes, ..Resource::default() }),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }
    }
}

/// 8 random octets. Without randomness a span has none, and the collector drops it.
fn fresh_id() -> Vec<u8> {
    let mut id = [0; 8];
    let _ = getrandom::fill(&mut id);
    id.to_vec()
}

fn nanoseconds(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
